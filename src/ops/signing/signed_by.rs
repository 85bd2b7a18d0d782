//! Who signed what a command wrote.

use serde::Serialize;

use super::Signing;
use crate::signing::SignerRole;
use crate::trust::KeyId;

/// A key that signed in a run, and the role for which it signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignedBy {
    /// Role of the key: `release`, `channel` or `refresh`.
    pub role: &'static str,
    /// ID of the key.
    pub key: KeyId,
}

impl Signing {
    /// Returns the keys that signed in this run, by their roles. A run that only prepares messages signs nothing.
    pub(in crate::ops) fn signed_by(&self) -> Vec<SignedBy> {
        if self.is_preparing() {
            return Vec::new();
        }
        let by = |(role, key): &(SignerRole, KeyId)| SignedBy { role: role.word(), key: *key };
        self.used.lock().map(|used| used.iter().map(by).collect()).unwrap_or_default()
    }
}

impl SignedBy {
    /// Returns a line that names the keys, or nothing where none signed.
    pub(in crate::ops) fn line(signed: &[Self]) -> String {
        let names: Vec<String> = signed.iter().map(|one| format!("{} ({})", one.key.short(), one.role)).collect();
        if names.is_empty() { String::new() } else { format!("signed by {}\n", names.join(", ")) }
    }
}

//! What the commands about the trust document say.

use std::fmt::Write as _;

use serde::Serialize;

use super::change::{days_of, differences, epoch_of};
use super::draft::Draft;
use super::files::{Place, Versions};
use super::role::RoleName;
use crate::oci::Digest;
use crate::text::{clean, counted, shown};
use crate::trust::{DAY, Time, TrustDocument};

/// Version of the JSON, `docs/schemas/trust.json`.
const SCHEMA: &str = "alga.release.trust/v1";

/// The trust document in its files, and in a store where one was read.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustReport {
    /// Version of this JSON, [`SCHEMA`].
    pub schema: &'static str,
    /// Whether nothing was written on purpose.
    pub dry_run: bool,
    /// Whether the command changed a file or the store, or a dry run would.
    pub has_changes: bool,
    /// The documents in the files by version: the one in force, and the next one while it is prepared.
    pub documents: Vec<TrustDocumentReport>,
    /// What a store has of the document; absent when no store was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<TrustStoreReport>,
    /// What should be done next, as a command; absent when nothing is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
    /// What people should know, a line each.
    pub warnings: Vec<String>,
}

/// The versions of a trust document in a store.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustStoreReport {
    /// Location of the store.
    pub location: String,
    /// Newest version that the store serves after the command; absent when it has none.
    pub version: Option<u64>,
    /// Versions that were published, or that a dry run would publish.
    pub published: Vec<u64>,
}

/// One version of a trust document.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustDocumentReport {
    /// Path of the file.
    pub file: String,
    /// Product that the keys are for.
    pub product: String,
    /// Version of the document.
    pub version: u64,
    /// Time at which the version was made, RFC 3339.
    pub issued: String,
    /// Time from which the document does not count, RFC 3339.
    pub expires: String,
    /// Whole days until the expiry; negative after it.
    pub days_left: i64,
    /// Roles with their keys.
    pub roles: Vec<TrustRoleReport>,
    /// Releases that no appliance may install.
    pub withdrawn: Vec<Digest>,
    /// Who signed, for each set of root keys that must sign.
    pub signatures: Vec<TrustSignatures>,
    /// Whether enough root keys signed.
    pub complete: bool,
    /// What differs from the version before, where that is in a file, a line each.
    pub changes: Vec<String>,
    /// Reasons that were given for the changes.
    pub reasons: Vec<String>,
}

/// A role of a trust document.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustRoleReport {
    /// `root`, `release`, `channel:NAME` or `refresh:NAME`.
    pub role: String,
    /// Number of keys that must sign.
    pub threshold: usize,
    /// IDs of the keys.
    pub keys: Vec<String>,
    /// Epoch of a channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Longest lifetime of a statement or of a refresh, in days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lifetime_days: Option<u64>,
}

/// Who of the root keys of a version signed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustSignatures {
    /// Version whose root keys must sign.
    pub of_version: u64,
    /// Number of keys that must sign.
    pub threshold: usize,
    /// IDs of the keys that signed.
    pub signed: Vec<String>,
    /// IDs of the keys that have not signed.
    pub missing: Vec<String>,
}

impl TrustReport {
    /// Reports the documents of the files.
    pub(super) fn of(files: &Versions, now: Time) -> Self {
        let places = if files.next.is_some() { vec![Place::Current, Place::Next] } else { vec![Place::Current] };
        let documents: Vec<_> = places.iter().map(|place| TrustDocumentReport::of(files, *place, now)).collect();
        let newest = documents.last().expect("a document");
        let next_step = if newest.complete {
            (files.next.is_some()).then(|| files.step("publish"))
        } else {
            Some(files.step("sign --sign-key FILE"))
        };
        let (dry_run, has_changes, store, warnings) = (false, false, None, Vec::new());
        Self { schema: SCHEMA, dry_run, has_changes, documents, store, next_step, warnings }
    }

    /// Returns the report for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for document in &self.documents {
            document.write(&mut text);
        }
        if let Some(TrustStoreReport { location, version, published }) = &self.store {
            let found = version.map_or_else(|| "no version".to_owned(), |version| format!("version {version}"));
            let _ = writeln!(text, "{}: serves {found} of the trust document", shown(location));
            if !published.is_empty() {
                let list: Vec<String> = published.iter().map(ToString::to_string).collect();
                let word = if self.dry_run { "would publish" } else { "published" };
                let _ = writeln!(text, "  {word}: version {}", list.join(", "));
            }
        }
        if let Some(step) = &self.next_step {
            let _ = writeln!(text, "next: `{step}`");
        }
        clean(&text)
    }
}

impl TrustDocumentReport {
    fn of(files: &Versions, place: Place, now: Time) -> Self {
        let (draft, before) = (files.at(place), files.before(place));
        let document = &draft.document;
        let role = |name: RoleName| {
            let role = name.of(document)?;
            Some(TrustRoleReport {
                threshold: role.threshold,
                keys: role.keys.iter().map(ToString::to_string).collect(),
                epoch: epoch_of(document, &name),
                max_lifetime_days: days_of(document, &name),
                role: name.to_string(),
            })
        };
        let signatures = [before, Some(document)].into_iter().flatten().map(|of| TrustSignatures::of(draft, of));
        Self {
            file: files.path_of(place).display().to_string(),
            product: document.product.clone(),
            version: document.version,
            issued: document.issued.to_string(),
            expires: document.expires.to_string(),
            days_left: days_left(document, now),
            roles: RoleName::all(document).into_iter().filter_map(role).collect(),
            withdrawn: document.withdrawn.iter().cloned().collect(),
            signatures: signatures.collect(),
            complete: files.check_signed(place).is_ok(),
            changes: before.map(|before| differences(before, document)).unwrap_or_default(),
            reasons: draft.reasons.clone(),
        }
    }

    fn write(&self, text: &mut String) {
        let Self { file, product, version, issued, expires, .. } = self;
        let _ = writeln!(text, "{}: version {version} of {}", shown(file), shown(product));
        let left = match self.days_left {
            left @ 0.. => format!("{} left", counted(usize::try_from(left).unwrap_or(0), "day", "days")),
            _ => "expired".to_owned(),
        };
        let _ = writeln!(text, "  issued   {issued}\n  expires  {expires} ({left})");
        let width = self.roles.iter().map(|role| role.role.len()).max().unwrap_or(0);
        for role in &self.roles {
            role.write(width, text);
        }
        for digest in &self.withdrawn {
            let _ = writeln!(text, "  withdrawn  {digest}");
        }
        if !self.changes.is_empty() {
            let _ = writeln!(text, "  changes from version {}:", version - 1);
        }
        for change in &self.changes {
            let _ = writeln!(text, "    {change}");
        }
        for reason in &self.reasons {
            let _ = writeln!(text, "  reason: {}", shown(reason));
        }
        for signatures in &self.signatures {
            let _ = writeln!(text, "  {}", signatures.line());
        }
    }
}

impl TrustRoleReport {
    fn write(&self, width: usize, text: &mut String) {
        let Self { role, threshold, keys, epoch, max_lifetime_days } = self;
        let _ = write!(text, "  {role:width$}  {threshold} of {}", counted(keys.len(), "key", "keys"));
        if let Some(epoch) = epoch {
            let _ = write!(text, ", epoch {epoch}");
        }
        if let Some(days) = max_lifetime_days {
            let _ = write!(text, ", {days} days");
        }
        let short: Vec<&str> = keys.iter().map(|key| &key[..12.min(key.len())]).collect();
        let _ = writeln!(text, ": {}", short.join(", "));
    }
}

impl TrustSignatures {
    fn of(draft: &Draft, of: &TrustDocument) -> Self {
        let signed = draft.signers(of);
        let texts = |keys: Vec<&crate::trust::KeyId>| keys.into_iter().map(ToString::to_string).collect();
        Self {
            of_version: of.version,
            threshold: of.root.threshold,
            missing: texts(of.root.keys.difference(&signed).collect()),
            signed: texts(signed.iter().collect()),
        }
    }

    /// Returns what a person must know: how many signed of those that must, and who else can.
    fn line(&self) -> String {
        let Self { of_version, threshold, signed, missing } = self;
        let count = signed.len();
        let keys = counted(*threshold, "root key", "root keys");
        let line = format!("signed by {count} of the {keys} of version {of_version} that must sign");
        if count >= *threshold { line } else { format!("{line}; not signed yet: {}", missing.join(", ")) }
    }
}

/// Returns the whole days until a document expires.
fn days_left(document: &TrustDocument, now: Time) -> i64 {
    let [expires, now] = [document.expires, now].map(|time| i64::try_from(time.seconds()).unwrap_or(i64::MAX));
    (expires - now).div_euclid(i64::try_from(DAY).unwrap_or(1))
}

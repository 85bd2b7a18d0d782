//! Keys and trust documents of a vendor, as files.

use alga_release::signing::PrivateKey;
use alga_release::trust::{ChannelRole, DOCUMENT_TYPE, Envelope, RefreshRole, Role, Signature, Time, TrustDocument};
use secrecy::ExposeSecret as _;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Seconds of a day.
pub const DAY: u64 = 86_400;

/// The private keys of a vendor, in a directory: one root key, one key of the role `release`, two keys for `stable`
/// that must both sign, a refresh key for `stable`, and one key for `nightly`.
pub struct Vendor {
    directory: tempfile::TempDir,
    /// Trust document in force, which tests change and write again.
    pub document: TrustDocument,
    keys: BTreeMap<&'static str, PrivateKey>,
}

/// Returns the present time in whole seconds.
pub fn now() -> Time {
    Time::from_seconds(u64::try_from(jiff::Timestamp::now().as_second()).expect("after 1970"))
}

/// Returns a time that is some seconds ago.
pub fn ago(seconds: u64) -> Time {
    Time::from_seconds(now().seconds() - seconds)
}

/// Returns flags as the arguments of a command.
pub fn slices(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

/// Returns the flags with which a command signs by the named keys of a directory. What is signed is recorded there.
pub fn flags(directory: &Path, keys: &[&str]) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    let mut flags = vec!["--trust".to_owned(), file("trust.json")];
    flags.extend(["--signing-record".to_owned(), file("signed.json")]);
    for key in keys {
        flags.extend(["--sign-key".to_owned(), file(&format!("{key}.key"))]);
    }
    flags
}

impl Vendor {
    /// Makes all keys and the first trust document.
    pub fn new() -> Self {
        let names = ["root", "release", "stable-a", "stable-b", "refresh", "nightly"];
        let keys: BTreeMap<_, _> = names.into_iter().map(|name| (name, PrivateKey::generate())).collect();
        let role = |names: &[&str], threshold| Role {
            keys: names.iter().map(|name| keys[name].key().id()).collect(),
            threshold,
        };
        let refresh = RefreshRole { role: role(&["refresh"], 1), max_lifetime_days: 14 };
        let stable = ChannelRole {
            epoch: 1,
            role: role(&["stable-a", "stable-b"], 2),
            max_lifetime_days: 180,
            refresh: Some(refresh),
        };
        let nightly = ChannelRole { epoch: 1, role: role(&["nightly"], 1), max_lifetime_days: 30, refresh: None };
        let document = TrustDocument {
            product: "alga-psa".to_owned(),
            version: 1,
            issued: ago(60),
            expires: now().plus(365 * DAY),
            keys: keys.values().map(|key| (key.key().id(), *key.key())).collect(),
            root: role(&["root"], 1),
            release: role(&["release"], 1),
            channels: BTreeMap::from([("stable".to_owned(), stable), ("nightly".to_owned(), nightly)]),
            withdrawn: BTreeSet::new(),
        };
        let vendor = Self { directory: tempfile::tempdir().expect("a directory"), document, keys };
        for (name, key) in &vendor.keys {
            let text = key.to_pem();
            std::fs::write(vendor.path(&format!("{name}.key")), text.expose_secret()).expect("written");
            std::fs::write(vendor.path(&format!("{name}.pub")), key.key().to_pem()).expect("written");
            vendor.protect(&format!("{name}.key"));
        }
        vendor.write();
        vendor
    }

    fn protect(&self, name: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.path(name), mode).expect("permissions");
    }

    /// Returns the path of a file in the directory of the vendor.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns the same path as an argument.
    pub fn file(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Returns a private key by its name.
    pub fn key(&self, name: &str) -> &PrivateKey {
        &self.keys[name]
    }

    /// Returns the trust document in its envelope, signed by the root key.
    pub fn envelope(&self) -> Vec<u8> {
        let mut envelope = Envelope::new(DOCUMENT_TYPE, self.document.to_bytes());
        let root = self.key("root");
        let signature = root.sign(&envelope.message());
        envelope.signatures = vec![Signature { key: Some(root.key().id()), signature }];
        envelope.to_bytes()
    }

    /// Writes the trust document to `trust.json`.
    pub fn write(&self) {
        std::fs::write(self.path("trust.json"), self.envelope()).expect("written");
    }

    /// Returns the flags with which a command signs by the named keys. What is signed is recorded in the directory.
    pub fn flags(&self, keys: &[&str]) -> Vec<String> {
        flags(self.directory.path(), keys)
    }
}

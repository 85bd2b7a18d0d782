//! Why a trust document is not changed, signed or published.

use std::path::PathBuf;

use super::role::RoleName;
use crate::oci::{self, Tag};
use crate::ops::Kind;
use crate::text::counted;
use crate::trust::{InvalidTrust, KeyId, Malformed, PublishedError, Time};

/// A change, a signature or a publication of a trust document that is not possible.
#[derive(Debug, thiserror::Error)]
pub enum TrustFileError {
    /// A new trust document would replace a file.
    #[error("cannot write {}: the file exists", .0.display())]
    Exists(PathBuf),
    /// A new trust document lacks the keys of a role.
    #[error("missing a key of the role {0}")]
    NoKeys(RoleName),
    /// The trust document does not have a role.
    #[error("the trust document has no role {role}; its roles are {}", known.join(", "))]
    NoRole {
        /// Role that was named.
        role: RoleName,
        /// Roles that the document has.
        known: Vec<String>,
    },
    /// A role does not have a key.
    #[error("the role {role} has no key {}", key.escape_debug())]
    NoKey {
        /// Role that was named.
        role: RoleName,
        /// File or ID of the key.
        key: String,
    },
    /// The start of an ID fits several keys of a role.
    #[error("the role {role} has several keys whose IDs start with {}", key.escape_debug())]
    SeveralKeys {
        /// Role that was named.
        role: RoleName,
        /// Start of the ID.
        key: String,
    },
    /// A role would have no key.
    #[error("cannot remove the last key of the role {0}")]
    LastKey(RoleName),
    /// A role would have fewer keys than must sign.
    #[error("the role {role} would have {}, and {threshold} must sign", counted(*keys, "key", "keys"))]
    Threshold {
        /// Role that was named.
        role: RoleName,
        /// Number of keys that must sign.
        threshold: usize,
        /// Number of keys that the role would have.
        keys: usize,
    },
    /// A lifetime is set for a role whose signatures do not expire by themselves.
    #[error("the role {0} has no lifetime: expected `channel:NAME` or `refresh:NAME`")]
    NoLifetime(RoleName),
    /// The changed document would break a rule of trust documents.
    #[error("the change is not possible: {0}")]
    Rule(Malformed),
    /// A key is not a point of the curve.
    #[error("the key {0} is not usable: its point is not on the curve P-256")]
    Point(KeyId),
    /// A draft does not follow the document before it.
    #[error("{} does not follow {}: {cause}", path.display(), held.display())]
    Unrelated {
        /// Path of the draft.
        path: PathBuf,
        /// Path of the document in force.
        held: PathBuf,
        /// The rule that does not hold.
        cause: InvalidTrust,
    },
    /// A draft was signed by enough keys, so it may be published already.
    #[error("cannot change version {version} in {}: enough root keys signed it already", path.display())]
    Complete {
        /// Path of the draft.
        path: PathBuf,
        /// Version of the draft.
        version: u64,
    },
    /// Too few root keys signed a document.
    #[error(
        "version {version} in {} is signed by {found} of the {} of version {of} that must sign",
        path.display(), counted(*threshold, "root key", "root keys")
    )]
    Incomplete {
        /// Path of the document.
        path: PathBuf,
        /// Version of the document.
        version: u64,
        /// Version whose root keys are counted.
        of: u64,
        /// Number of keys that must sign.
        threshold: usize,
        /// Number of keys that signed.
        found: usize,
        /// Keys that have not signed.
        missing: Vec<KeyId>,
    },
    /// A document would not count at all.
    #[error("the trust document would expire at {0}, which is in the past")]
    Expires(Time),
    /// A signing key may not sign trust documents.
    #[error("the key {id} ({place}) is not a root key of the trust document")]
    NotRoot {
        /// ID of the key.
        id: KeyId,
        /// Path of the file, or name of the variable.
        place: String,
    },
    /// No key and no program was given that could sign.
    #[error("missing a key that signs the trust document")]
    NothingSigns,
    /// A store serves another document of the same version.
    #[error("{store} serves another version {version} of the trust document than {}", path.display())]
    OtherPublished {
        /// Location of the store.
        store: String,
        /// Version of both documents.
        version: u64,
        /// Path of the own document.
        path: PathBuf,
    },
    /// A store does not have the version before the one that would be published.
    #[error("cannot publish version {version} of the trust document: {store} does not have version {}", version - 1)]
    NoPredecessor {
        /// Location of the store.
        store: String,
        /// Version that would be published.
        version: u64,
    },
    /// A store has earlier versions of the trust document, and not the one that signs.
    #[error("version {version} of the trust document is not published in {store}: appliances do not know its keys")]
    Unpublished {
        /// Location of the store.
        store: String,
        /// Version in the file.
        version: u64,
    },
    /// A published trust document cannot be followed.
    #[error(transparent)]
    Published(#[from] PublishedError),
    /// The target of a copy has another document under a tag.
    #[error("cannot copy {tag}: {store} has another trust document under this tag")]
    OtherInTarget {
        /// Tag of the document.
        tag: Tag,
        /// Location of the target.
        store: String,
    },
}

impl From<oci::Error> for TrustFileError {
    fn from(error: oci::Error) -> Self {
        Self::Published(error.into())
    }
}

impl TrustFileError {
    /// Returns what the error means for the caller.
    pub(in crate::ops) fn kind(&self) -> Kind {
        match self {
            Self::NoKeys(_)
            | Self::NoRole { .. }
            | Self::NoKey { .. }
            | Self::SeveralKeys { .. }
            | Self::NoLifetime(_)
            | Self::Expires(_)
            | Self::NothingSigns => Kind::Usage,
            _ => Kind::Refused,
        }
    }

    /// Returns what a person can do, as an instruction.
    pub fn way_out(&self) -> Option<String> {
        let way = match self {
            Self::Exists(_) => {
                "choose another file with `--trust FILE`, or change the document with `alga-release trust add-key`"
            }
            Self::NoKeys(role) => return Some(format!("pass `--key {role}=FILE.pub`")),
            Self::NoRole { role, .. } => {
                return Some(format!(
                    "create the role with a key: `alga-release trust add-key --role {role} --new-role FILE.pub`, or `--key \
                     {role}=FILE.pub` of `trust init`"
                ));
            }
            Self::NoKey { .. } | Self::SeveralKeys { .. } => {
                "run `alga-release trust show --output json` for the whole IDs of the keys"
            }
            Self::LastKey(role) => {
                return Some(format!("add another key first: `alga-release trust add-key --role {role} FILE.pub`"));
            }
            Self::Threshold { role, .. } => {
                return Some(format!("add keys first, or run `alga-release trust threshold --role {role} N`"));
            }
            Self::NoLifetime(_) | Self::Rule(_) | Self::Published(_) => return None,
            Self::Point(_) => "make another key with `alga-release key generate`",
            Self::Unrelated { .. } => {
                "remove the draft and make the change again, after `alga-release trust update` if the store has newer versions"
            }
            Self::Complete { path, .. } => {
                return Some(format!(
                    "publish it first with `alga-release trust publish`, then make the next change; if it must not be published, remove {} and \
                     make the change again",
                    path.display()
                ));
            }
            Self::Incomplete { missing, .. } => return Some(sign_with(missing)),
            Self::Expires(_) => "pass a later time, for example `--expires 365d`",
            Self::NotRoot { .. } => "pass a root key; `alga-release trust show` lists the IDs of the root keys",
            Self::NothingSigns => {
                "pass `--sign-key FILE` or `--signer 'root=COMMAND'`, or set ALGA_SIGNING_KEY_FILE to the path of the key"
            }
            Self::OtherPublished { .. } => {
                "check with `alga-release trust verify` who published; to go on from the store, remove the draft and run \
                 `alga-release trust update`"
            }
            Self::NoPredecessor { version, .. } => {
                let before = version - 1;
                return Some(format!(
                    "publish the file with version {before} first: `alga-release trust publish --trust FILE`, with FILE from the history \
                     of the source tree; or copy a release from a store that has all versions: `alga-release copy` carries them"
                ));
            }
            Self::Unpublished { .. } => "run `alga-release trust publish` first",
            Self::OtherInTarget { .. } => {
                "copy to a store of the same vendor, or give the copy its own trust with `--rewrite-prefix`"
            }
        };
        Some(way.to_owned())
    }
}

/// Returns the instruction to sign with the keys that have not signed.
pub(super) fn sign_with(missing: &[KeyId]) -> String {
    let keys: Vec<String> = missing.iter().map(ToString::to_string).collect();
    format!("sign with `alga-release trust sign --sign-key FILE`; not signed yet: {}", keys.join(", "))
}

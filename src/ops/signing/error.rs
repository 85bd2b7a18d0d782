//! Why a command cannot sign what it writes.

use std::io;
use std::path::PathBuf;

use crate::appliance::StateError;
use crate::oci::{Digest, Tag};
use crate::signing::SignerRole;
use crate::text::counted;
use crate::trust::{InvalidTrust, PublishedError, STEPS, Time, Untrusted};

/// A rule about signatures that does not hold.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Keys are given without a trust document.
    #[error("`--sign-key` and `--signer` need a trust document, which says what their keys may sign")]
    KeysAlone,
    /// The trust document cannot be read from its file.
    #[error("cannot read the trust document {}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file does not hold a trust document that its root keys signed.
    #[error("{}: {cause}", path.display())]
    Invalid {
        /// Path of the file.
        path: PathBuf,
        /// The rule that does not hold.
        cause: InvalidTrust,
    },
    /// A later version of the trust document in the store cannot be followed.
    #[error("the next trust document in the store is refused: {0}")]
    Published(PublishedError),
    /// The store has more versions of the trust document than are read.
    #[error("the store has more than {STEPS} later versions of the trust document, which is the limit")]
    TooManyVersions,
    /// The trust document does not count any more.
    #[error("trust document version {version} expired at {expires}: appliances accept nothing by it")]
    Expired {
        /// Version of the document.
        version: u64,
        /// Time from which it does not count.
        expires: Time,
    },
    /// The trust document says that no appliance may install the release.
    #[error("the release {0} is withdrawn by the trust document")]
    Withdrawn(Digest),
    /// The trust document has no role for a channel.
    #[error("the trust document has no role for the channel {0}")]
    NoChannel(Tag),
    /// Too few keys of a role signed.
    #[error("{what} needs signatures by {} of the role {role}, found {found}", counted(*threshold, "key", "keys"))]
    Threshold {
        /// What must be signed, such as `the move of stable`.
        what: String,
        /// Role whose keys must sign.
        role: SignerRole,
        /// Number of keys that must sign.
        threshold: usize,
        /// Number of keys that signed.
        found: usize,
    },
    /// No key of the role `release` has signed the release.
    #[error("the release {0} is not signed by a key of the role release")]
    ReleaseUnsigned(Digest),
    /// A command that signs has no trust document.
    #[error("a refresh needs a trust document: no file is given")]
    NoDocument,
    /// The channel serves nothing that is signed.
    #[error("cannot refresh {0}: the channel carries no signed statement")]
    NoStatement(Tag),
    /// The statement of the channel is not one that a refresh keeps alive.
    #[error("cannot refresh {channel}: {cause}")]
    NotRefreshed {
        /// Name of the channel.
        channel: Tag,
        /// The rule that does not hold.
        cause: Untrusted,
    },
    /// Appliances would refuse what would be written.
    #[error("the signatures of {channel} are not written: appliances would refuse them: {cause}")]
    NotFollowed {
        /// Name of the channel.
        channel: Tag,
        /// The rule that does not hold.
        cause: Untrusted,
    },
    /// What was signed last cannot be recorded.
    #[error("cannot record the statement before it is signed")]
    Record(#[source] StateError),
    /// The publisher has signed a later statement than the plan would.
    #[error(
        "statement {offered} of {channel} (epoch {epoch}) is not signed: {} was signed here before",
        .signed
    )]
    Signed {
        /// Name of the channel.
        channel: Tag,
        /// Epoch of the channel.
        epoch: u64,
        /// Sequence number of the plan.
        offered: u64,
        /// Highest sequence number that was signed in the epoch.
        signed: u64,
    },
}

impl TrustError {
    /// Returns what a person can do, as an instruction.
    pub fn way_out(&self) -> Option<String> {
        let way = match self {
            Self::Read { .. } => return None,
            Self::KeysAlone => "pass `--trust FILE`, or set `signing.trust` in alga-release.yaml",
            Self::Record(_) => {
                "make the record of `--signing-record` readable and writable; restore a damaged one from a backup, or remove it, and the \
                 statements in the store say what was signed"
            }
            Self::Invalid { .. } => "pass the trust document in its envelope, with the signatures of its root keys",
            Self::Published(_) => {
                "find out who wrote the tag, and publish the version that the root keys signed under it"
            }
            Self::TooManyVersions => "pass a later version of the trust document",
            Self::Expired { .. } => "sign the next version of the trust document, with a later expiry",
            Self::Withdrawn(_) => "publish a corrected release under a new version",
            Self::NoChannel(_) => "add a role for the channel to the trust document",
            Self::Threshold { role, .. } => {
                return Some(format!(
                    "pass the other keys with `--sign-key FILE`, or programs with `--signer {role}=COMMAND`"
                ));
            }
            Self::NoDocument => {
                "pass the trust document with `--trust FILE`, or set `signing.trust` in alga-release.yaml"
            }
            Self::NoStatement(channel) | Self::NotRefreshed { channel, .. } => {
                return Some(format!(
                    "sign the channel anew with the keys of its role: `alga-release promote --from VERSION --to {channel}` with the \
                     version that it serves"
                ));
            }
            Self::NotFollowed { .. } => "sign again, with the trust document that appliances have",
            Self::ReleaseUnsigned(_) => "publish the version again with a key of the role release",
            Self::Signed { .. } => "run the command again: it takes the number after the last one",
        };
        Some(way.to_owned())
    }
}

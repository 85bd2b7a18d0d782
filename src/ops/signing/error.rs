//! Why a command cannot sign what it writes.

use std::io;
use std::path::PathBuf;

use crate::appliance::StateError;
use crate::oci::{Digest, Tag};
use crate::signing::{InvalidPrepared, SignerRole};
use crate::text::{counted, shown};
use crate::trust::{InvalidTrust, KeyId, PublishedError, Role, STEPS, Time, Untrusted};

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
    /// A later version of the trust document was used before.
    #[error(
        "trust document version {version} is older than version {used}, by which a statement was signed here before"
    )]
    OlderDocument {
        /// Version of the document in force.
        version: u64,
        /// Version that was used before.
        used: u64,
    },
    /// Too few keys of a role signed.
    #[error(
        "{what} needs signatures by {} of the role {role}, found {found}{}",
        counted(*threshold, "key", "keys"),
        not_signed(missing)
    )]
    Threshold {
        /// What must be signed, such as `the move of stable`.
        what: String,
        /// Role whose keys must sign.
        role: SignerRole,
        /// Number of keys that must sign.
        threshold: usize,
        /// Number of keys that signed.
        found: usize,
        /// Keys of the role that did not sign.
        missing: Vec<KeyId>,
    },
    /// A file with messages to sign cannot be read.
    #[error("cannot read {}", path.display())]
    ReadPrepared {
        /// Path of the file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file does not hold messages to sign.
    #[error("{}: {cause}", path.display())]
    Prepared {
        /// Path of the file.
        path: PathBuf,
        /// Why the file is not valid.
        cause: InvalidPrepared,
    },
    /// A message in a file is not one that the trust document knows a role for.
    #[error("{}: {what}: {reason}", path.display())]
    Foreign {
        /// Path of the file.
        path: PathBuf,
        /// What the message says.
        what: String,
        /// Why it is not signed.
        reason: String,
    },
    /// A signature in a file is not by a key of the role, or does not verify.
    #[error("{}: the signature of {what} by the key {key} does not count: {reason}", path.display())]
    Signature {
        /// Path of the file.
        path: PathBuf,
        /// What the message says.
        what: String,
        /// ID of the key.
        key: KeyId,
        /// Why the signature does not count.
        reason: &'static str,
    },
    /// The signatures are of another statement than the one that would be written.
    #[error("the signatures are of another statement of {channel}: {}", differences.join("; "))]
    OtherStatement {
        /// Name of the channel.
        channel: Tag,
        /// What differs, a phrase each.
        differences: Vec<String>,
    },
    /// A file holds no statement of a channel.
    #[error("{}: the file holds no move of a channel", path.display())]
    NoMove {
        /// Path of the file.
        path: PathBuf,
    },
    /// The channel has moved since a statement was prepared.
    #[error("{}: statement {sequence} of {channel} does not follow what the channel serves now: {found}", path.display())]
    NotNext {
        /// Path of the file.
        path: PathBuf,
        /// Name of the channel.
        channel: Tag,
        /// Sequence number of the statement.
        sequence: u64,
        /// What the channel carries.
        found: String,
    },
    /// The store lacks an artifact of a release.
    #[error("cannot sign {0}: the store does not have it")]
    NoArtifact(String),
    /// No key that was given signs anything in a file.
    #[error("{}: no key that is given has a role that signs one of its messages", path.display())]
    NothingSigned {
        /// Path of the file.
        path: PathBuf,
    },
    /// No key of the role `release` has signed the release.
    #[error("the release {0} is not signed by a key of the role release")]
    ReleaseUnsigned(Digest),
    /// A command that signs has no trust document.
    #[error("a command that signs needs a trust document: no file is given")]
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
    /// The channel of the source does not count.
    #[error("the channel {channel} of the source is refused ({}): {cause}", cause.name())]
    SourceChannel {
        /// Name of the channel.
        channel: Tag,
        /// The rule that does not hold.
        cause: Untrusted,
    },
    /// No statement proves the release that a channel served before.
    #[error(
        "cannot find a previous release of {channel}: its history names {found}, but no earlier move of the channel has a statement that \
         counts"
    )]
    UnprovenPrevious {
        /// Name of the channel.
        channel: Tag,
        /// Version of the release that the history names.
        found: String,
    },
    /// The tag of a version points to the release of another version.
    #[error("{tag}: expected the release of this version, found version `{}`", shown(found))]
    OtherVersion {
        /// Tag by which the release was asked for.
        tag: Tag,
        /// Version in the JSON of the release.
        found: String,
    },
    /// A copy changes the bundle and the release of a signed source, and would sign neither.
    #[error(
        "the release is signed, and `--rewrite-prefix` changes its bundle and its manifest: their signatures do not count for the copy"
    )]
    Rewritten,
    /// The statement of a channel would be signed, and no file records it.
    #[error(
        "cannot sign a statement of {0}: missing file for the record of what was signed, because neither HOME nor XDG_STATE_HOME is set"
    )]
    NoRecord(Tag),
    /// A copy of a signed source would be signed by other keys without a verification of the source.
    #[error(
        "the release is signed, and no trust document of the source verifies it: the keys of the copy would sign whatever the source serves"
    )]
    SourceNotVerified,
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
        /// Whether the statement is in a file that was prepared.
        is_prepared: bool,
    },
}

/// Names the keys that did not sign.
fn not_signed(missing: &[KeyId]) -> String {
    let missing: Vec<String> = missing.iter().map(KeyId::short).collect();
    if missing.is_empty() { String::new() } else { format!("; no signature by {}", missing.join(", ")) }
}

impl TrustError {
    /// Returns the error for a message that too few keys of a role signed.
    pub(super) fn threshold(what: String, role: SignerRole, keys: &Role, signers: &[KeyId]) -> Self {
        let (threshold, found) = (keys.threshold, signers.len());
        let missing = keys.keys.iter().filter(|key| !signers.contains(key)).copied().collect();
        Self::Threshold { what, role, threshold, found, missing }
    }

    /// Returns what a person can do, as an instruction.
    pub fn way_out(&self) -> Option<String> {
        let way = match self {
            Self::Read { .. } => "pass another file, or make one with `alga-release trust init`",
            Self::ReadPrepared { .. } => return None,
            Self::KeysAlone => "pass `--trust FILE`, or set `signing.trust` in alga-release.yaml",
            Self::NoRecord(_) | Self::Record(_) | Self::Signed { .. } | Self::OlderDocument { .. } => {
                return Some(self.way_out_of_record());
            }
            Self::Invalid { .. } => "pass the trust document in its envelope, with the signatures of its root keys",
            Self::Published(_) => "find out who wrote the tag, and publish what the root keys signed under it",
            Self::TooManyVersions => "pass a later version of the trust document",
            Self::Expired { .. } => "sign the next version of the trust document, with a later expiry",
            Self::Withdrawn(_) => "publish a corrected release under a new version",
            Self::NoChannel(_) => "add a role for the channel to the trust document",
            Self::Threshold { role, .. } => {
                return Some(format!(
                    "pass the other keys with `--sign-key FILE`, programs with `--signer {role}=COMMAND`, or signatures that were made \
                     elsewhere with `--signature FILE`"
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
            Self::SourceChannel { .. }
            | Self::UnprovenPrevious { .. }
            | Self::OtherVersion { .. }
            | Self::Rewritten
            | Self::SourceNotVerified => return self.of_source(),
            Self::ReleaseUnsigned(_) => "publish the version again with a key of the role release",
            Self::NotNext { .. } => "prepare the move again, and have it signed",
            Self::NoMove { .. } | Self::Prepared { .. } => "pass a file that `--prepare FILE` wrote",
            Self::Foreign { .. } => {
                "sign only what was prepared with the trust document that you pass with `--trust FILE`"
            }
            Self::Signature { .. } => {
                "sign the prepared file again with `alga-release sign FILE` and a key of the role"
            }
            Self::OtherStatement { .. } => {
                "repeat the command line of `--prepare` with `--signature FILE` in its place; if the channel has moved meanwhile, \
                 prepare and sign again"
            }
            Self::NoArtifact(_) => "run `alga-release verify` to see what the release lacks",
            Self::NothingSigned { .. } => "pass a key of the role with `--sign-key FILE` or `--signer ROLE=COMMAND`",
        };
        Some(way.to_owned())
    }

    /// Returns what a person can do about the record of what was signed, and about what it forbids.
    fn way_out_of_record(&self) -> String {
        let way = match self {
            Self::Record(cause) if cause.is_busy() => "run the command again when the other one has ended",
            Self::Record(_) => {
                "make the record of `--signing-record` readable and writable; restore a damaged one from a backup, or remove it, and the \
                 statements in the store say what was signed"
            }
            Self::Signed { is_prepared: true, signed, .. } => {
                return format!(
                    "prepare the move again with `--accept-sequence {signed}`, sign that file, and repeat the flag with `--signature`"
                );
            }
            Self::Signed { .. } => "run the command again: it takes the number after the last one",
            Self::OlderDocument { used, .. } => {
                return format!(
                    "pass version {used} or a later one with `--trust FILE`; if the store has lost it, publish it again with \
                     `alga-release trust publish`"
                );
            }
            _ => {
                "pass a file that outlives the run with `--signing-record FILE` or `ALGA_SIGNING_RECORD`; in a container, a file of a volume \
                 that every run has"
            }
        };
        way.to_owned()
    }

    /// Returns what a person can do about the source of a move or a copy.
    fn of_source(&self) -> Option<String> {
        let way = match self {
            Self::SourceChannel { .. } => {
                "verify the source with `alga-release verify CHANNEL --trust FILE`, and find out who wrote the channel"
            }
            Self::OtherVersion { .. } => {
                "find out who wrote the tag, and set it to the digest that was published; or pass the digest of the release in place of \
                 the version"
            }
            Self::UnprovenPrevious { channel, .. } => {
                return Some(format!(
                    "verify the release, then pass it with `--to VERSION`; `alga-release history {channel} --trust FILE` lists the versions"
                ));
            }
            Self::Rewritten => {
                "sign the copy with keys of the mirror: `--source-trust FILE --trust FILE --sign-key FILE`; or give the signatures up with \
                 `--drop-signatures`"
            }
            Self::SourceNotVerified => {
                "pass the trust document of those who signed the source with `--source-trust FILE`; or give the signatures up with \
                 `--drop-signatures`"
            }
            _ => return None,
        };
        Some(way.to_owned())
    }
}

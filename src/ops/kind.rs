//! The kind of each error.

use std::io;

use super::{Error, TrustFileError};
use crate::plan::{self, copy::CopyError};
use crate::signing::{self, SignerFault};
use crate::system::RunError;
use crate::trust::PublishedError;
use crate::{credentials, image, oci, ops, release, source};

impl Error {
    /// Returns what the error means for the caller.
    #[expect(clippy::too_many_lines, reason = "a match without a wildcard: a new error must be given its kind here")]
    pub fn kind(&self) -> ops::Kind {
        match self {
            Self::Store(error)
            | Self::Resolve(release::ResolveError::Store(error))
            | Self::Image(image::Error::Store { source: error, .. })
            | Self::Copy(CopyError::Store(error))
            | Self::TrustFile(TrustFileError::Published(PublishedError::Store(error))) => of_store(error),
            Self::Source(error) => of_tree(error),
            Self::Signing(error) => of_signing(error),
            Self::Trust(error) => of_trust(error),
            Self::TrustFile(error) => error.kind(),
            Self::ImageArchive(error) => match error.kind() {
                image::archive::Kind::Damaged | image::archive::Kind::Io => ops::Kind::Failed,
                image::archive::Kind::Refused => ops::Kind::Refused,
            },
            Self::Execute(error) => of_execution(error),
            Self::Refused { cause, .. } | Self::NotADirectory { cause, .. } => cause.kind(),
            Self::Unfit { verdict, .. } => verdict.kind(),
            Self::Several(all) => {
                all.iter().map(Self::kind).find(|kind| *kind != ops::Kind::Refused).unwrap_or(ops::Kind::Refused)
            }
            Self::Credentials(credentials::Error::Helper { .. }) => ops::Kind::Denied,
            Self::Resolve(_)
            | Self::Release(_)
            | Self::NoPresentMove { .. }
            | Self::Unlisted { .. }
            | Self::NotCompared { .. }
            | Self::Scratch { .. } => ops::Kind::Failed,
            Self::Unpackable { .. }
            | Self::Lint(_)
            | Self::Image(_)
            | Self::Plan(_)
            | Self::OtherContent(_)
            | Self::OtherPlan(_)
            | Self::Copy(_)
            | Self::BrokenBundle { .. }
            | Self::ForeignPrefix { .. }
            | Self::Incomplete { .. }
            | Self::NoPrevious { .. }
            | Self::RolledBack { .. }
            | Self::ArchiveExists { .. }
            | Self::NotServed { .. }
            | Self::ChannelLikeVersion { .. }
            | Self::NothingInUse { .. }
            | Self::UnknownAt { .. }
            | Self::Unverified { .. }
            | Self::NothingServed { .. }
            | Self::IncompleteList { .. }
            | Self::NotCommitted { .. } => ops::Kind::Refused,
            Self::Credentials(_)
            | Self::Reference(_)
            | Self::Address(_)
            | Self::Disagreement(_)
            | Self::OtherStore { .. }
            | Self::Certificates { .. }
            | Self::NoSuchChannel { .. }
            | Self::NoSuchName { .. }
            | Self::NothingPublished { .. }
            | Self::NothingToRollBack { .. }
            | Self::NoLayout { .. }
            | Self::NoRepository { .. }
            | Self::UnknownPrefix { .. }
            | Self::Offline { .. }
            | Self::NotWritable { .. }
            | Self::ControlPlane { .. }
            | Self::SourceUrl { .. }
            | Self::SourceDateEpoch { .. }
            | Self::Commit { .. }
            | Self::NoEpoch
            | Self::Approval(_)
            | Self::NoChannels { .. }
            | Self::NoChannelInArchive { .. }
            | Self::NoImageTag
            | Self::NoPrefix { .. }
            | Self::RollbackToChannel { .. }
            | Self::SameStore { .. }
            | Self::NoJudge { .. }
            | Self::VersionLikeChannel { .. }
            | Self::Reserved(_) => ops::Kind::Usage,
        }
    }
}

fn of_execution(error: &plan::ExecuteError) -> ops::Kind {
    use plan::ExecuteError;
    match error {
        ExecuteError::Stopped { source, .. }
        | ExecuteError::NotReadable { source, .. }
        | ExecuteError::Image { source, .. }
        | ExecuteError::Unconfirmed { source, .. } => of_store(source),
        ExecuteError::NotPublic { .. }
        | ExecuteError::Broken { .. }
        | ExecuteError::Moved { .. }
        | ExecuteError::Rival { .. } => ops::Kind::Refused,
    }
}

fn of_tree(error: &source::Error) -> ops::Kind {
    match error.kind() {
        source::Kind::Invalid | source::Kind::Io => ops::Kind::Failed,
        source::Kind::Refused => ops::Kind::Refused,
        source::Kind::Usage => ops::Kind::Usage,
    }
}

fn of_store(error: &oci::Error) -> ops::Kind {
    match error.kind() {
        oci::Kind::Denied | oci::Kind::Blocked(oci::Obstacle::Quota) => ops::Kind::Denied,
        oci::Kind::Unavailable => ops::Kind::Unavailable,
        oci::Kind::NoStore => ops::Kind::Usage,
        oci::Kind::Conflict | oci::Kind::Blocked(oci::Obstacle::ImmutableTag) => ops::Kind::Refused,
        _ => ops::Kind::Failed,
    }
}

/// Returns what an error about keys and signers means for the caller.
fn of_signing(error: &signing::Error) -> ops::Kind {
    use signing::Error;
    match error {
        Error::WrongPassword { .. } | Error::NoPassword { .. } => ops::Kind::Denied,
        Error::Read { source, .. } | Error::Write { source, .. } | Error::Terminal { source, .. } => {
            match source.kind() {
                io::ErrorKind::PermissionDenied => ops::Kind::Denied,
                io::ErrorKind::NotFound
                | io::ErrorKind::IsADirectory
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::FileTooLarge => ops::Kind::Usage,
                _ => ops::Kind::Failed,
            }
        }
        Error::Invalid { .. }
        | Error::Public { .. }
        | Error::Password { .. }
        | Error::EmptyPassword { .. }
        | Error::NoCommand
        | Error::KeyId
        | Error::Role(_)
        | Error::Signer { fault: SignerFault::Run(RunError::Start(_)), .. } => ops::Kind::Usage,
        Error::Signer { fault: SignerFault::Failed(_) | SignerFault::Run(RunError::Read(_)), .. } => ops::Kind::Failed,
        Error::Signer { .. } | Error::NoRole { .. } | Error::NotOneKey { .. } | Error::Exists(_) => ops::Kind::Refused,
    }
}

fn of_trust(error: &ops::TrustError) -> ops::Kind {
    use ops::TrustError;
    match error {
        TrustError::Read { .. }
        | TrustError::Invalid { .. }
        | TrustError::KeysAlone
        | TrustError::NoDocument
        | TrustError::NoRecord(_)
        | TrustError::ReadPrepared { .. }
        | TrustError::NoMove { .. }
        | TrustError::Prepared { .. } => ops::Kind::Usage,
        TrustError::Record(cause) if cause.is_busy() => ops::Kind::Unavailable,
        TrustError::Record(_) => ops::Kind::Failed,
        TrustError::Expired { .. }
        | TrustError::OlderDocument { .. }
        | TrustError::Withdrawn(_)
        | TrustError::NoChannel(_)
        | TrustError::Threshold { .. }
        | TrustError::ReleaseUnsigned(_)
        | TrustError::NoStatement(_)
        | TrustError::Foreign { .. }
        | TrustError::Signature { .. }
        | TrustError::OtherStatement { .. }
        | TrustError::NothingSigned { .. }
        | TrustError::NoArtifact(_)
        | TrustError::NotNext { .. }
        | TrustError::NotRefreshed { .. }
        | TrustError::NotFollowed { .. }
        | TrustError::SourceChannel { .. }
        | TrustError::Rewritten
        | TrustError::SourceNotVerified
        | TrustError::UnprovenPrevious { .. }
        | TrustError::OtherVersion { .. }
        | TrustError::Signed { .. }
        | TrustError::Published(_)
        | TrustError::TooManyVersions => ops::Kind::Refused,
    }
}

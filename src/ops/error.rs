//! Why an operation did not come to its end. Ways out and exit codes are the program's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;

use super::{TrustError, TrustFileError, Verdict, changed};
use crate::config::TRUST_TAGS;
use crate::diff::Diff;
use crate::lint::Report;
use crate::oci::{self, Repository, Tag};
use crate::plan::{self, copy::CopyError};
use crate::source::git::Change;
use crate::{credentials, image, release, signing, source};

/// Meaning of an [`Error`] for the caller, who derives the exit code from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request or the configuration is wrong.
    Usage,
    /// A rule forbids the operation.
    Refused,
    /// The credentials are missing, wrong, or do not suffice.
    Denied,
    /// A store cannot be reached at the moment.
    Unavailable,
    /// Everything else: damaged content, a failing disk, an answer that is not understood.
    Failed,
}

/// An operation that failed or was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request to a store failed.
    #[error(transparent)]
    Store(#[from] oci::Error),
    /// A name or reference is invalid.
    #[error(transparent)]
    Reference(#[from] oci::InvalidReference),
    /// The source tree cannot be published.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// The source tree cannot be packed: Helm, kustomize or Flux would refuse it.
    #[error("{cause}")]
    Unpackable {
        /// Error that packing ended with.
        cause: source::Error,
        /// Everything else that is wrong with the tree.
        others: Box<Report>,
    },
    /// The release that would be published or promoted cannot be installed.
    #[error("{} cannot be installed: {}", .0.subject, .0.summary())]
    Lint(Box<Report>),
    /// A program that must be asked does not answer.
    #[error("--render require: cannot ask {program}: {reason}")]
    NoJudge {
        /// Name of the program.
        program: String,
        /// Why it does not answer.
        reason: String,
    },
    /// Credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] credentials::Error),
    /// A rule about signatures does not hold.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A trust document cannot be changed, signed or published.
    #[error(transparent)]
    TrustFile(#[from] TrustFileError),
    /// A key cannot be read or written, or does not sign.
    #[error(transparent)]
    Signing(#[from] signing::Error),
    /// A release cannot be read.
    #[error(transparent)]
    Resolve(#[from] release::ResolveError),
    /// A release is invalid.
    #[error(transparent)]
    Release(#[from] release::InvalidRelease),
    /// A release is named in a form that is not one.
    #[error(transparent)]
    Address(#[from] release::InvalidAddress),
    /// A reference was cut in the wrong place: the release says below which prefix its repositories are.
    #[error("the repositories of the release are below {store}, not below {opened}")]
    OtherStore {
        /// The prefix of the release.
        store: String,
        /// Repository of releases below that prefix.
        repository: Repository,
        /// The store that was read.
        opened: String,
    },
    /// A release says otherwise than the caller.
    #[error(transparent)]
    Disagreement(#[from] release::Disagreement),
    /// An image cannot be pinned.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// An image archive cannot be read.
    #[error(transparent)]
    ImageArchive(#[from] image::archive::Error),
    /// A rule forbids the plan.
    #[error(transparent)]
    Plan(#[from] plan::Refusal),
    /// The target of a copy holds other content under a published version.
    #[error(transparent)]
    OtherContent(plan::Refusal),
    /// Another plan was approved.
    #[error(transparent)]
    OtherPlan(#[from] plan::OtherPlan),
    /// A file is not the report of a dry run.
    #[error("--approved: the file is not the JSON report of a dry run: {0}")]
    Approval(String),
    /// Checks of what a release names failed.
    #[error("the release {version} is not complete: {} of {checked} checks failed", failed.len())]
    Incomplete {
        /// Version of the release.
        version: String,
        /// The failed checks: `KIND NAME REFERENCE: REASON`.
        failed: Vec<String>,
        /// Number of all checks.
        checked: usize,
    },
    /// A channel says something else than the release that it serves.
    #[error("{reference}: {reason}")]
    NotServed {
        /// Reference of the release.
        reference: String,
        /// Why the release is not the one that the channel serves.
        reason: String,
    },
    /// A file has no channels.
    #[error("cannot move a channel in {store}: an archive has no channels")]
    NoChannels {
        /// Location of the store.
        store: String,
    },
    /// A copy would replace a file.
    #[error("{store} exists and holds something else")]
    ArchiveExists {
        /// Location of the archive.
        store: String,
    },
    /// A copy from a store to itself.
    #[error("cannot copy to {store}: it is the store that the release is read from")]
    SameStore {
        /// Location of the store.
        store: String,
    },
    /// A target without a prefix of its own.
    #[error("--rewrite-prefix: {store} has no prefix of its own")]
    NoPrefix {
        /// Location of the store.
        store: String,
    },
    /// A channel would serve a release that names another registry.
    #[error("a channel of {target} would serve a release whose objects pull from {prefix}")]
    ForeignPrefix {
        /// Prefix of the target.
        target: String,
        /// Prefix that the release names.
        prefix: String,
    },
    /// The bundle of a release cannot be rewritten.
    #[error("cannot rewrite the bundle: {reason}")]
    BrokenBundle {
        /// Fault of the bundle.
        reason: String,
    },
    /// A channel serves nothing yet.
    #[error("channel {channel} serves nothing yet, so it cannot be rolled back")]
    NothingToRollBack {
        /// Name of the channel.
        channel: Tag,
    },
    /// A roll-back names a channel in the place of a release.
    #[error("--to {to}: expected a version or a digest, found the name of a channel")]
    RollbackToChannel {
        /// The channel that is rolled back.
        channel: Tag,
        /// The channel that was named.
        to: String,
    },
    /// A roll-back to the previous release follows another roll-back, so that it would go forward.
    #[error("{channel} was rolled back from {from} to {to}: `--to previous` would move {channel} forward to {from}")]
    RolledBack {
        /// Name of the channel.
        channel: Tag,
        /// Version that the channel served before it was rolled back.
        from: String,
        /// Version that the channel serves.
        to: String,
    },
    /// The history of a channel knows no release before the present one.
    #[error("cannot find a previous release of {channel}: {}", no_previous(end))]
    NoPrevious {
        /// Name of the channel.
        channel: Tag,
        /// Where the history ends, and why.
        end: release::End,
    },
    /// An image has neither a tag nor a revision.
    #[error("the image has neither a tag nor a revision of its own")]
    NoImageTag,
    /// A version looks like a channel.
    #[error("--version {version}: a version cannot be named like the channel `{channel}` or its keep-alive tags")]
    VersionLikeChannel {
        /// Version that was given.
        version: Tag,
        /// Name of the channel.
        channel: Tag,
    },
    /// A version or a channel would take the tag of a trust document.
    #[error("invalid name `{0}`: names that begin with `{TRUST_TAGS}` are for trust documents")]
    Reserved(Tag),
    /// A channel would take the tag of a version.
    #[error(
        "cannot move a channel named `{name}`: `{name}` is the tag of a published version, and versions do not move"
    )]
    ChannelLikeVersion {
        /// Name of the channel, which is the tag of the version.
        name: Tag,
    },
    /// A release cannot be copied.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// A plan was not carried out to its end.
    #[error(transparent)]
    Execute(#[from] plan::ExecuteError),
    /// Certificates cannot be read.
    #[error("{named_by} {}: {reason}", path.display())]
    Certificates {
        /// Flag or variable that names the file.
        named_by: String,
        /// Path of the file.
        path: PathBuf,
        /// Why the certificates cannot be read.
        reason: String,
    },
    /// The configuration has no channel of this name.
    #[error("there is no channel `{}`", word.escape_debug())]
    NoSuchChannel {
        /// The name that was given.
        word: String,
        /// The channel with the most similar name.
        near: Option<String>,
        /// Channels of the configuration.
        known: Vec<Tag>,
        /// Whether the command can create a channel.
        creates: bool,
    },
    /// The store has neither a channel nor a version of this name, nor a release of this digest.
    #[error("there is no {} `{}` in {location}", sought(word), word.escape_debug())]
    NoSuchName {
        /// The name that was given.
        word: String,
        /// Where it was looked for.
        location: String,
        /// The most similar name of the store.
        near: Option<String>,
    },
    /// The directory of a store does not exist.
    #[error("cannot read {store}: the directory does not exist")]
    NoLayout {
        /// Location of the store.
        store: String,
    },
    /// A directory holds no releases.
    #[error("{store} has no repository {repository}")]
    NoRepository {
        /// Location of the store.
        store: String,
        /// Repository of releases that was sought.
        repository: Repository,
    },
    /// A channel of the configuration serves nothing yet.
    #[error("channel {channel} serves nothing in {location}")]
    NothingPublished {
        /// Name of the channel.
        channel: String,
        /// Where it was looked for.
        location: String,
    },
    /// The prefix of a release cannot be derived from the release.
    #[error(
        "cannot derive the prefix of the release: its bundle is {bundle}, expected a name that ends with `{expected}`"
    )]
    UnknownPrefix {
        /// Repository of the release's bundle.
        bundle: String,
        /// Configured repository of bundles.
        expected: Repository,
    },
    /// A registry cannot be read offline.
    #[error("cannot read {store} offline: it is a registry")]
    Offline {
        /// Location of the store.
        store: String,
    },
    /// A store of this kind is not written to.
    #[error("cannot write to {store}: only copy writes an archive, as a whole")]
    NotWritable {
        /// Location of the store.
        store: String,
    },
    /// No channel of the configuration serves anything, so that nothing is known to be in use.
    #[error("{} in {store}, so it is not known which tags are in use", nothing_in_use(channel.as_ref()))]
    NothingInUse {
        /// The only channel that was asked for.
        channel: Option<Tag>,
        /// Location of the store.
        store: String,
    },
    /// A history does not tell what a channel served at a time.
    #[error("cannot tell what {channel} served at {time}: {end}")]
    UnknownAt {
        /// Name of the channel.
        channel: Tag,
        /// Time that was asked for.
        time: Timestamp,
        /// Why the history ends before that time.
        end: release::End,
    },
    /// A release cannot be published, by the worst finding about its repositories.
    #[error("{count} of {all} repositories {}", verdict.phrase())]
    Unfit {
        /// Worst finding of all repositories.
        verdict: Verdict,
        /// Number of repositories with this finding.
        count: usize,
        /// Number of repositories that were asked.
        all: usize,
    },
    /// The history of a channel does not tell what the channel serves now.
    #[error("cannot tell what {channel} serves in {store}: {end}")]
    NoPresentMove {
        /// Name of the channel.
        channel: Tag,
        /// Location of the store.
        store: String,
        /// Why the present move is not known.
        end: release::End,
    },
    /// The charts of a source tree or a release cannot be listed, so their repositories are not known.
    #[error("cannot list the charts of {of}: {reason}")]
    Unlisted {
        /// Root of the source tree, or name of the release.
        of: String,
        /// Reason, with its causes.
        reason: String,
    },
    /// The control plane is named without a tag and without a digest.
    #[error("invalid control plane `{}`: expected a tag or a digest in the reference", reference.escape_debug())]
    ControlPlane {
        /// The reference that was given.
        reference: String,
    },
    /// The URL of the source is invalid.
    #[error("invalid source URL `{}`: {reason}", url.escape_debug())]
    SourceUrl {
        /// The URL that was given.
        url: String,
        /// Fault of the URL.
        reason: &'static str,
    },
    /// The value of `SOURCE_DATE_EPOCH` is invalid.
    #[error("invalid SOURCE_DATE_EPOCH `{}`: expected seconds since 1970", value.escape_debug())]
    SourceDateEpoch {
        /// The value of the variable.
        value: String,
    },
    /// The id of the source's commit is invalid.
    #[error("invalid commit `{}`: expected the full id, 40 or 64 lowercase hex digits", id.escape_debug())]
    Commit {
        /// The id that was given.
        id: String,
    },
    /// The release has no time.
    #[error("missing time of the release")]
    NoEpoch,
    /// Files that would be published are not committed.
    #[error("{}", changed::not_committed(changes))]
    NotCommitted {
        /// The files, by their paths.
        changes: BTreeMap<String, Change>,
    },
    /// A name was not found in the store, but there is a directory of this name.
    #[error("{cause}")]
    NotADirectory {
        /// Name that was given.
        reference: String,
        /// Why the name was not found.
        cause: Box<Error>,
    },
    /// Temporary files cannot be written.
    #[error("failed to write temporary files in {}", path.display())]
    Scratch {
        /// Path of the directory or file.
        path: PathBuf,
        /// Error of the file system.
        source: std::io::Error,
    },
    /// The overlays of two releases cannot be compared, so that the comparison would hide changes.
    #[error("cannot compare the overlays: {reason}")]
    NotCompared {
        /// The release whose bundle cannot be read, as it was named.
        reference: String,
        /// Why the bundle cannot be read.
        reason: String,
    },
    /// Releases failed their verification.
    #[error("{store} failed verification: {failures}")]
    Unverified {
        /// Location of the store.
        store: String,
        /// Names of the checks that failed, in one line.
        failures: String,
        /// What to do about them.
        hint: String,
    },
    /// No channel of the configuration serves a release.
    #[error("no channel serves anything in {store}")]
    NothingServed {
        /// Location of the store.
        store: String,
    },
    /// A list of what is in use lacks something, so that nothing may be deleted by it.
    #[error("the list of what is in use in {store} is incomplete")]
    IncompleteList {
        /// Location of the store.
        store: String,
    },
    /// An archive was asked for a channel.
    #[error("{store} has no channel {channel}: an archive holds versions only")]
    NoChannelInArchive {
        /// Name of the channel.
        channel: String,
        /// Location of the archive.
        store: String,
    },
    /// Several things keep a release from being published.
    #[error("{} problems keep the release from being published", .0.len())]
    Several(Vec<Error>),
    /// A dry run was refused after what would change was known.
    #[error("{cause}")]
    Refused {
        /// Why it was refused.
        cause: Box<Error>,
        /// Changes that the dry run would have shown.
        diff: Box<Diff>,
    },
}

/// Returns why a history knows no earlier release.
fn no_previous(end: &release::End) -> String {
    match end {
        release::End::Beginning => "the channel has served one release only".to_owned(),
        end => end.to_string(),
    }
}

/// Returns what a name that was not found can name.
fn sought(word: &str) -> &'static str {
    if word.starts_with("sha256:") { "release" } else { "channel and no version" }
}

fn nothing_in_use(channel: Option<&Tag>) -> String {
    channel.map_or_else(|| "no channel serves anything".to_owned(), |name| format!("channel {name} serves nothing"))
}

impl Error {
    /// Marks a refusal because of other content as one of a copy, which cannot change what it copies.
    #[must_use]
    pub(super) fn of_copy(self) -> Self {
        match self {
            Self::Plan(refusal @ plan::Refusal::Immutable { .. }) => Self::OtherContent(refusal),
            other => other,
        }
    }

    /// Adds what would have changed to a refusal of a dry run.
    #[must_use]
    pub fn with_diff(self, diff: Diff) -> Self {
        Self::Refused { cause: Box::new(self), diff: Box::new(diff) }
    }
}

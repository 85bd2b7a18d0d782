//! Hints: for each error of the library what a person can do, as an instruction with the exact command or setting.

use alga_release::oci;
use alga_release::ops::{Error, TrustFileError};
use alga_release::plan::copy::CopyError;
use alga_release::plan::{ArtifactKind, ExecuteError, OtherPlan, Refusal};
use alga_release::release;
use alga_release::trust::PublishedError;

use super::stores::{of_channels, of_credentials, of_image, of_missing, of_store, of_verdict};

/// Hint for a run that stopped in its middle.
const FINISH: &str = "run the same command again: it finishes what is left";
/// Hint for a channel or version whose content this program did not write.
const FIND_WRITER: &str =
    "find out who wrote it: the tags of the release repository must be written by `alga-release` only";
/// Hint for a plan that is not the approved one.
const APPROVE_AGAIN: &str = "run the command with `--dry-run` to see what would change now, and approve the new plan";
/// Hint for a store that lost published bytes.
const MEND: &str = "run the same command with `--repair` to send charts, bundle and release again; push a damaged image again from where it \
                    was built";

/// Returns the hint of an error, one or two sentences.
pub fn hint(error: &Error) -> Option<String> {
    let hint = match error {
        Error::Store(error)
        | Error::Resolve(release::ResolveError::Store(error))
        | Error::Copy(CopyError::Store(error))
        | Error::TrustFile(TrustFileError::Published(PublishedError::Store(error))) => return of_store(error),
        Error::Source(error) | Error::Unpackable { cause: error, .. } => return error.way_out().map(ToOwned::to_owned),
        Error::Lint(_) => {
            "correct each finding (`alga-release lint` shows the lines), or publish all the same with `--no-lint REASON`"
        }
        Error::Image(error) => return of_image(error),
        Error::Credentials(error) => return of_credentials(error),
        Error::Signing(error) => return error.way_out().map(ToOwned::to_owned),
        Error::Trust(error) => return error.way_out(),
        Error::TrustFile(error) => return error.way_out(),
        Error::Execute(error) => return of_execution(error),
        Error::Unlisted { .. } => {
            "pass the path of the source tree, or `--channel` or `--version` for the charts of a published release"
        }
        Error::Offline { .. } => {
            "pass a directory or an archive: `--store oci-layout:DIR` or `--store oci-archive:FILE`"
        }
        Error::NoEpoch => "pass `--epoch SECONDS`, or set `SOURCE_DATE_EPOCH`",
        Error::NotCommitted { .. } => "commit the files, or pass `--allow-dirty`, which marks the revision `-dirty`",
        Error::Unfit { verdict, .. } => of_verdict(*verdict),
        Error::Disagreement(_) => {
            "omit the value, or pass the configuration that the release was published with: `--config FILE`"
        }
        Error::Resolve(_) | Error::Copy(CopyError::Version(_)) => FIND_WRITER,
        Error::Copy(CopyError::Incomplete { version, failed }) => return Some(of_missing(version, failed)),
        Error::Unverified { hint, .. } => return Some(hint.clone()),
        Error::Refused { cause, .. } => return hint(cause),
        Error::Several(all) => return of_each(all),
        _ => return of_reading(error),
    };
    Some(hint.to_owned())
}

/// Returns the hint for an error of a name, or of what a store has.
fn of_reading(error: &Error) -> Option<String> {
    let hint = match error {
        Error::UnknownAt { end: release::End::Limit, .. } => "read more of the history with `--moves N`",
        Error::UnknownAt { channel, .. } => {
            return Some(format!("run `alga-release history {channel}` to see the moves that are known"));
        }
        Error::NothingInUse { channel: Some(_), .. } => {
            "name channels that serve a release, or no channel for all of them; `alga-release ls` lists the channels"
        }
        Error::NoLayout { .. } | Error::NoRepository { .. } => {
            "check `--store`: expected a directory that `alga-release` has written"
        }
        Error::NothingInUse { .. } | Error::NothingServed { .. } => "check `--store`, or publish a release first",
        Error::IncompleteList { .. } => {
            "run `alga-release history CHANNEL` for each channel to see what is missing; do not delete anything by this list"
        }
        Error::NotCompared { reference, .. } => {
            return Some(format!("run `alga-release verify {reference}` to see how to restore the bundle"));
        }
        Error::NoChannelInArchive { store, .. } => {
            return Some(format!("pass a version; `alga-release ls --store {store}` lists the versions"));
        }
        Error::NoPresentMove { end: release::End::Gone, .. } => {
            "publish or promote to the channel: its history continues from the newest move that a tag keeps"
        }
        Error::NoPresentMove { .. } => "restore the repository from a backup, or copy the releases from another store",
        Error::NotADirectory { reference, .. } => {
            return Some(format!("if you mean the directory, write `./{reference}`"));
        }
        Error::OtherStore { store, repository, .. } => {
            return Some(format!("name the release as `{repository}:TAG` and pass `--store {store}`"));
        }
        Error::NoSuchName { near: Some(near), .. } | Error::NoSuchChannel { near: Some(near), .. } => {
            return Some(did_you_mean(near));
        }
        Error::NoSuchName { near: None, .. } => "run `alga-release ls` to list the channels and versions",
        Error::NoSuchChannel { known, creates, .. } => return Some(of_channels(known, *creates)),
        Error::NothingPublished { channel, .. } => {
            return Some(format!(
                "run `alga-release ls` to see what the channels serve, or publish to it: `alga-release publish --version VERSION --channel {channel}`"
            ));
        }
        Error::Reference(invalid) if invalid.text().starts_with("oci-layout:") => {
            return Some(format!(
                "pass the directory with `--store {}`; the prefix is the registry that appliances read from",
                invalid.text()
            ));
        }
        Error::Reference(invalid) => return invalid.nearest().map(did_you_mean),
        Error::Address(release::InvalidAddress::OutsideStore { .. }) => {
            "leave out `--store` or unset ALGA_STORE, or name a release that is in the store"
        }
        Error::Address(invalid) => return invalid.nearest().map(did_you_mean),
        Error::UnknownPrefix { .. } => "pass the registry and path that the release is read from: `--prefix HOST/PATH`",
        _ => return of_writing(error),
    };
    Some(hint.to_owned())
}

/// Returns the hint for a misspelt word.
fn did_you_mean(near: &str) -> String {
    format!("did you mean `{near}`?")
}

/// Returns the hint for an error of an operation that writes.
fn of_writing(error: &Error) -> Option<String> {
    let hint = match error {
        Error::Plan(refusal) => return Some(of_refusal(refusal)),
        Error::NotWritable { store } => {
            return Some(format!(
                "pass a registry or `oci-layout:DIR` with `--store`, then run `alga-release copy VERSION {store}`"
            ));
        }
        Error::OtherContent(_) => {
            "copy to an empty store, or copy without `--rewrite-prefix`: the published version has other content"
        }
        Error::OtherPlan(other) => of_other_plan(other),
        Error::Approval(_) => "pass the file that the dry run wrote with `--output json`",
        Error::NotServed { .. } | Error::BrokenBundle { .. } => "publish the release again",
        Error::NoChannels { .. } => "pass `--channel` when you copy the release from the archive to a registry",
        Error::ArchiveExists { .. } => "name another file, or pass `--force` to replace this one",
        Error::NoPrefix { .. } => {
            "pass the registry and path that the release will be read from: `--rewrite-prefix=HOST/PATH`"
        }
        Error::ForeignPrefix { .. } => "pass `--rewrite-prefix`, or copy the release without `--channel`",
        Error::NothingToRollBack { channel } => {
            return Some(format!("run `alga-release promote --from VERSION --to {channel}`"));
        }
        Error::RollbackToChannel { channel, to } => {
            return Some(format!("run `alga-release promote --from {to} --to {channel}`"));
        }
        Error::RolledBack { channel, .. } => {
            return Some(format!(
                "run `alga-release rollback {channel} --to VERSION --reason TEXT` with the version to roll back to; `alga-release history \
                 {channel}` lists the versions"
            ));
        }
        Error::NoPrevious { channel, .. } => {
            return Some(format!(
                "pass the release with `--to VERSION`; `alga-release history {channel}` lists the versions"
            ));
        }
        Error::NoImageTag => "pass a tag with `--tag TAG`",
        Error::ChannelLikeVersion { .. } => "choose another name for the channel",
        Error::VersionLikeChannel { .. } => "use a version such as `1.0.4-nightly.20261123`",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn of_refusal(refusal: &Refusal) -> String {
    let hint = match refusal {
        Refusal::Immutable { kind: ArtifactKind::Chart, .. } => {
            "raise the version in its `Chart.yaml`, or let charts be stamped: `chartVersions: stamped` in the configuration"
        }
        Refusal::Immutable { kind: ArtifactKind::Image, .. } => {
            "push the image under another `--tag`, or publish it with another `--version`: the tags of images do not move"
        }
        Refusal::Immutable { .. } => "publish this under another `--version`: published versions do not change",
        Refusal::Downgrade { channel, version, kind, .. } if *kind != release::MoveKind::Publish => {
            return format!(
                "if the channel must go back, run `alga-release rollback {channel} --to {version} --reason TEXT`"
            );
        }
        Refusal::Downgrade { channel, version, .. } => {
            return format!(
                "move the channel back on purpose with `alga-release rollback {channel} --to {version} --reason TEXT`, or publish the version \
                 alone with `--no-channel`"
            );
        }
        Refusal::Unordered { .. } => "if the channel should move all the same, pass `--allow-unordered`",
        Refusal::TooYoung { .. } => "wait, or promote without `--min-age`",
        Refusal::NoAge(_) => "promote from a channel, or without `--min-age`",
        Refusal::OtherCurrent { .. } => APPROVE_AGAIN,
        Refusal::NoSequence(_) => "publish to a channel of another name, or delete the tag of this one",
        _ => return refusal.way_out().unwrap_or_else(|| FIND_WRITER.to_owned()),
    };
    hint.to_owned()
}

fn of_other_plan(other: &OtherPlan) -> &'static str {
    if other.is_compared {
        return APPROVE_AGAIN;
    }
    "run the command with `--dry-run` to see what would change now, and approve the new plan; pass the JSON of the approved dry run with \
     `--approved FILE` to see what differs"
}

fn of_execution(error: &ExecuteError) -> Option<String> {
    let hint = match error {
        ExecuteError::Stopped { source, .. } if source.kind() != oci::Kind::Mismatch => {
            return of_store(source).or_else(|| Some(FINISH.to_owned()));
        }
        ExecuteError::Image { source, .. } => return of_store(source).or_else(|| Some(FINISH.to_owned())),
        // The run stopped because the store holds other bytes than were published.
        ExecuteError::Broken { .. } | ExecuteError::Stopped { .. } => MEND,
        ExecuteError::NotPublic { .. } => {
            "make each package public in its settings and run the command again, or set `publicRead: false` if appliances have a pull secret"
        }
        ExecuteError::NotReadable { .. } | ExecuteError::Unconfirmed { .. } => FINISH,
        ExecuteError::Moved { .. } | ExecuteError::Rival { .. } => {
            "check what the channel serves now, then run the same command again"
        }
    };
    Some(hint.to_owned())
}

/// Returns the ways out of several errors, each one once.
fn of_each(all: &[Error]) -> Option<String> {
    let mut hints: Vec<String> = Vec::new();
    for hint in all.iter().filter_map(hint) {
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    (!hints.is_empty()).then(|| hints.join("; "))
}

//! Hints: for each error of the library what a person can do, as an instruction with the exact command or setting.

use alga_release::oci::{self, Tag};
use alga_release::ops::Error;
use alga_release::plan::copy::CopyError;
use alga_release::plan::{ArtifactKind, ExecuteError, OtherPlan, Refusal};
use alga_release::release;

use super::stores::{of_credentials, of_image, of_store, of_verdict};

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
        | Error::Copy(CopyError::Store(error)) => return of_store(error),
        Error::Source(error) | Error::Unpackable { cause: error, .. } => return error.way_out().map(ToOwned::to_owned),
        Error::Lint(_) => {
            "correct each finding (`alga-release lint` shows the lines), or publish all the same with `--no-lint REASON`"
        }
        Error::Image(error) => return of_image(error),
        Error::Credentials(error) => return of_credentials(error),
        Error::Signing(error) => return error.way_out().map(ToOwned::to_owned),
        Error::Execute(error) => return of_execution(error),
        Error::UnknownAt { end: release::End::Limit, .. } => "read more of the history with `--moves N`",
        Error::UnknownAt { channel, .. } => {
            return Some(format!("run `alga-release history {channel}` to see the moves that are known"));
        }
        Error::NothingInUse { .. } => "check `--store` and the `channels` of the configuration",
        Error::Offline { .. } => {
            "pass a directory or an archive: `--store oci-layout:DIR` or `--store oci-archive:FILE`"
        }
        Error::NoPresentMove { end, .. } => return Some(of_history(end)),
        Error::Unlisted { .. } => {
            "pass the path of the source tree, or `--channel` or `--version` for the charts of a published release"
        }
        Error::NoEpoch => "pass `--epoch SECONDS`, or set `SOURCE_DATE_EPOCH`",
        Error::NotCommitted { .. } => "commit the files, or pass `--allow-dirty`, which marks the revision `-dirty`",
        Error::Unfit { verdict, .. } => of_verdict(*verdict),
        Error::NotADirectory { reference, .. } => {
            return Some(format!("if you mean the directory, write `./{reference}`"));
        }
        Error::OtherStore { store, repository, .. } => {
            return Some(format!("name the release as `{repository}:TAG` and pass `--store {store}`"));
        }
        Error::Disagreement(_) => {
            "omit the value, or pass the configuration that the release was published with: `--config FILE`"
        }
        Error::Resolve(_) | Error::Copy(CopyError::Version(_)) => FIND_WRITER,
        Error::Copy(CopyError::Incomplete { .. }) => {
            "publish the version again, which sends only what is missing; pass `--without-images` to leave missing images out"
        }
        Error::NoSuchName { near, .. }
        | Error::NoSuchChannel { near: Some(near), .. }
        | Error::NoSuchRelease { near: Some(near), .. } => return Some(did_you_mean(near)),
        Error::NoSuchChannel { known, near: None, .. } => return Some(of_channels(known)),
        Error::NothingPublished { channel, location, .. } => {
            return Some(format!("publish a release to {channel} first, or check the store: {location}"));
        }
        Error::Reference(invalid) => return invalid.nearest().map(did_you_mean),
        Error::Address(release::InvalidAddress::OutsideStore { .. }) => {
            "leave out `--store` or unset ALGA_STORE, or name a release that is in the store"
        }
        Error::Address(invalid) => return invalid.nearest().map(did_you_mean),
        Error::NoSuchRelease { near: None, .. } => "pass a channel, a published version, or the digest of a release",
        Error::UnknownPrefix { .. } => "pass the registry and path that the release is read from: `--prefix HOST/PATH`",
        Error::Refused { cause, .. } => return hint(cause),
        Error::Several(all) => return of_each(all),
        _ => return of_writing(error),
    };
    Some(hint.to_owned())
}

fn of_history(end: &release::End) -> String {
    let hint = match end {
        release::End::Gone => {
            "publish or promote to the channel: its history continues from the newest move that a tag keeps"
        }
        _ => "restore the repository from a backup, or copy the releases from another store",
    };
    hint.to_owned()
}

fn of_channels(known: &[Tag]) -> String {
    let known: Vec<&str> = known.iter().map(Tag::as_str).collect();
    format!(
        "use a configured channel ({}), or create another one by `promote` or `copy` with `--new-channel`",
        known.join(", ")
    )
}

/// Returns the hint for a misspelt word.
fn did_you_mean(near: &str) -> String {
    format!("did you mean `{near}`?")
}

/// Returns the hint for an error of an operation that writes.
fn of_writing(error: &Error) -> Option<String> {
    let hint = match error {
        Error::Plan(refusal) => return Some(of_refusal(refusal)),
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
        Refusal::Invalid(_) => FIND_WRITER,
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

//! What to do about an error of the library, and what else is worth knowing about it.

use alga_release::lint::render;
use alga_release::oci::{self, Tag};
use alga_release::ops::{Error, Verdict, package_settings, way_out};
use alga_release::plan::copy::CopyError;
use alga_release::plan::{ArtifactKind, ExecuteError, OtherPlan, Refusal};
use alga_release::{credentials, image, release};

/// Returns the way out of an error, a sentence or two.
pub fn hint(error: &Error) -> Option<String> {
    let hint = match error {
        Error::Store(error)
        | Error::Resolve(release::ResolveError::Store(error))
        | Error::Copy(CopyError::Store(error)) => return of_store(error),
        Error::Source(error) | Error::Unpackable { cause: error, .. } => return own(error.way_out()),
        Error::Lint(_) => {
            "Correct what is named, or publish with --no-lint REASON; `alga-release lint` shows the lines."
        }
        Error::Image(error) => return own(of_image(error)),
        Error::Credentials(error) => return of_credentials(error),
        Error::Execute(ExecuteError::Stopped { source, .. }) if source.kind() != oci::Kind::Mismatch => {
            return of_store(source).or_else(|| own(Some("run the same command again: it finishes what is left")));
        }
        Error::Execute(ExecuteError::Image { source, .. }) if of_store(source).is_some() => return of_store(source),
        Error::Execute(error) => of_execution(error),
        Error::UnknownAt { end: release::End::Limit, .. } => "look further back: --moves N",
        Error::UnknownAt { .. } => "see the history itself",
        Error::NothingInUse { .. } => "check the store and the configured channels",
        Error::Offline { .. } => "name a directory or an archive: --store oci-layout:DIR, --store oci-archive:FILE",
        Error::NoEpoch => "give --epoch SECONDS or set SOURCE_DATE_EPOCH",
        Error::NotCommitted { .. } => "commit them, or give --allow-dirty: the revision is then marked `-dirty`",
        Error::Unfit { verdict, .. } => of_verdict(*verdict),
        Error::NotADirectory { reference, .. } => return Some(format!("if the directory is meant: ./{reference}")),
        Error::OtherStore { store, repository, .. } => {
            return Some(format!("name the release as {repository}:TAG with --store {store}"));
        }
        Error::Disagreement(_) => "leave it out, or name the configuration that the release is published with",
        Error::Resolve(_) => "the channel holds something that no version of this program wrote: look who did",
        Error::Copy(CopyError::Version(_)) => "look who published it",
        Error::Copy(CopyError::Incomplete { .. }) => {
            "publish the version again, which sends nothing else; images that are gone stay behind with --without-images"
        }
        Error::NoSuchName { near, .. }
        | Error::NoSuchChannel { near: Some(near), .. }
        | Error::NoSuchRelease { near: Some(near), .. } => return Some(format!("did you mean `{near}`?")),
        Error::NoSuchChannel { known, near: None, .. } => {
            let known: Vec<&str> = known.iter().map(Tag::as_str).collect();
            let known = known.join(", ");
            return Some(format!(
                "the configuration names: {known}; promote and copy make another channel with --new-channel"
            ));
        }
        Error::NothingPublished { channel, location, .. } => {
            return Some(format!("nothing was published to {channel} in {location} yet"));
        }
        Error::NoSuchRelease { near: None, .. } => "name a channel, a published version, or the digest of one",
        Error::UnknownPrefix { .. } => "say below which name the release is read: --prefix HOST/PATH",
        Error::Refused { cause, .. } => return hint(cause),
        _ => return of_writing(error),
    };
    Some(hint.to_owned())
}

/// The way out of an error of an operation that writes.
fn of_writing(error: &Error) -> Option<String> {
    let hint = match error {
        Error::Plan(refusal) => return Some(of_refusal(refusal)),
        Error::OtherPlan(other) => of_other_plan(other),
        Error::Approval(_) => "give the file that --dry-run --output json wrote",
        Error::NotServed { .. } | Error::BrokenBundle { .. } => "publish the release again",
        Error::NoChannels { .. } => "name the channel where the release is copied to from there",
        Error::NoPrefix { .. } => "say below which name the release will be read: --rewrite-prefix=HOST/PATH",
        Error::ForeignPrefix { .. } => "add --rewrite-prefix, or copy it without a channel",
        Error::NothingToRollBack { channel } => {
            return Some(format!("alga-release promote --from VERSION --to {channel}"));
        }
        Error::RollbackToChannel { channel, to } => {
            return Some(format!("alga-release promote --from {to} --to {channel}"));
        }
        Error::NoPrevious { channel, .. } => {
            return Some(format!("name the release: --to VERSION; see alga-release history {channel}"));
        }
        Error::NoImageTag => "give one: --tag TAG",
        Error::VersionLikeChannel { .. } => "name it as 1.0.4-nightly.20261123",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn own(hint: Option<&str>) -> Option<String> {
    hint.map(ToOwned::to_owned)
}

fn of_store(error: &oci::Error) -> Option<String> {
    let hint = match error.kind() {
        oci::Kind::Denied => {
            "log in with docker or podman, or give --username with --password-stdin, or ALGA_REGISTRY_TOKEN, of a user who may push there"
        }
        oci::Kind::Unavailable => "try again later: running the same command again sends only what is missing",
        oci::Kind::Untrusted => {
            "if you trust this certificate, pass its CA with --ca-file or SSL_CERT_FILE; otherwise the connection may be intercepted"
        }
        oci::Kind::Conflict => "see what is there now, then run the same command again",
        oci::Kind::Io => "check the free space and the permissions there, then run the same command again",
        _ => return way_out(error),
    };
    Some(hint.to_owned())
}

fn of_verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Unreachable => "check name, network and proxy, or try again later",
        Verdict::Unauthenticated => {
            "log in with docker or podman, or give --username with --password-stdin, or ALGA_REGISTRY_TOKEN"
        }
        Verdict::Failed => "check that the address is the one of a registry, and what is between it and this machine",
        Verdict::Refused | Verdict::Blocked | Verdict::Private | Verdict::Ready | Verdict::Absent => {
            "the list says what to do for each repository"
        }
    }
}

fn of_image(error: &image::Error) -> Option<&'static str> {
    match error {
        image::Error::Missing { .. } => {
            Some("build and push it first, name another tag with --image, or publish with --image-check warn")
        }
        image::Error::Platform { .. } => {
            Some("build it for that one too, name another with --platform, or publish with --image-check warn")
        }
        image::Error::Unpinned { why: image::Unknown::NotFound, .. } => {
            Some("push it first, or name it by digest: --control-plane sha256:…")
        }
        image::Error::Unpinned { .. } => {
            Some("name it by digest: --control-plane sha256:…, or let its tag be looked up")
        }
        image::Error::Store { .. } => None,
    }
}

fn of_credentials(error: &credentials::Error) -> Option<String> {
    match error {
        credentials::Error::File { .. } => Some(
            "repair the file, remove it, or name another one with DOCKER_CONFIG for docker's or REGISTRY_AUTH_FILE for podman's"
                .to_owned(),
        ),
        credentials::Error::Entry { .. } => {
            Some("log in again with docker or podman, or remove the entry from the file".to_owned())
        }
        credentials::Error::Helper { program, server, .. } => Some(format!(
            "see what it says with `echo {server} | {program} get`, or give --username with --password-stdin"
        )),
        credentials::Error::Given { .. } => None,
    }
}

fn of_refusal(refusal: &Refusal) -> String {
    let hint = match refusal {
        Refusal::Immutable { kind: ArtifactKind::Chart, .. } => {
            "raise the version in its Chart.yaml, or let charts be stamped: `chartVersions: stamped` in the configuration"
        }
        Refusal::Immutable { kind: ArtifactKind::Image, .. } => {
            "tags of images do not move: push it under another --tag, or publish it with another --version"
        }
        Refusal::Immutable { .. } => "published versions do not change: publish this under another --version",
        Refusal::Downgrade { channel, version, .. } => {
            return format!(
                "move the channel back on purpose with `alga-release rollback {channel} --to {version} --reason TEXT`; \
                 `publish --no-channel` publishes a version alone"
            );
        }
        Refusal::Unordered { .. } => "if it is meant so, say --allow-unordered",
        Refusal::TooYoung { .. } => "wait, or promote without --min-age",
        Refusal::NoAge(_) => "promote from a channel, or without --min-age",
        Refusal::OtherCurrent { .. } => "see what would change now with --dry-run, and approve that",
        Refusal::NoSequence(_) => "publish to a channel of another name, or delete the tag of this one",
        Refusal::Invalid(_) => "look who published it",
    };
    hint.to_owned()
}

fn of_other_plan(other: &OtherPlan) -> &'static str {
    if other.is_compared {
        return "see what would change now with --dry-run, and approve that";
    }
    "see what would change now with --dry-run, and approve that; with --approved FILE, the JSON of the approved dry run, the differences are listed"
}

/// The way out where the store does not have what was published.
const MEND: &str = "run the same command with --repair: it sends charts, bundle and release again; push an image again where it comes from";

fn of_execution(error: &ExecuteError) -> &'static str {
    match error {
        // Stopped here by other bytes than were published.
        ExecuteError::Broken { .. } | ExecuteError::Stopped { .. } => MEND,
        ExecuteError::Image { .. } => "run the same command again: it finishes what is left",
        ExecuteError::NotPublic { .. } => {
            "make them public in their settings and run again, or set `publicRead: false` if appliances have a pull secret"
        }
        ExecuteError::NotReadable { .. } => "run the same command again",
        ExecuteError::Unconfirmed { .. } => {
            "run the same command again: it looks at what is there, and does what is left"
        }
        ExecuteError::Moved { .. } | ExecuteError::Rival { .. } => {
            "see what is there now, then run the same command again"
        }
    }
}

/// Returns what else is worth knowing before the way out.
pub fn notes(error: &Error) -> Vec<String> {
    let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    match error {
        Error::Execute(ExecuteError::Stopped { done, left, .. }) => {
            vec![format!("done: {}", list(done)), format!("left: {}", list(left))]
        }
        Error::Execute(ExecuteError::NotPublic { packages }) => {
            let settings = |name: &String| package_settings(name).map(|link| format!("{name}: {link}"));
            packages.iter().map(|name| settings(name).unwrap_or_else(|| name.clone())).collect()
        }
        Error::Lint(report) | Error::Unpackable { others: report, .. } => render::lines(report),
        _ => Vec::new(),
    }
}

/// Returns further reasons of an error, where there are several.
pub fn reasons(error: &Error) -> &[String] {
    match error {
        Error::Incomplete { failed, .. }
        | Error::Copy(CopyError::Incomplete { failed, .. })
        | Error::Execute(ExecuteError::Broken { failed }) => failed,
        Error::OtherPlan(other) => &other.differences,
        _ => &[],
    }
}

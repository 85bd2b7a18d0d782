//! The findings of `doctor`, and their meaning for a publication.

use serde::Serialize;

use crate::oci::{self, Kind, Prefix, Probe, Repository};
use crate::ops::{self, Error, github};
use crate::text::with_causes;

/// The artifacts of a release that a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepositoryKind {
    /// One Helm chart of the release.
    Chart,
    /// The config bundles of all releases.
    Bundle,
    /// The release manifests and channels.
    Release,
    /// The control-plane images of all releases.
    ControlPlane,
    /// One application image of the configuration.
    Image,
}

impl RepositoryKind {
    /// Returns whether a publication writes there. Application images are built elsewhere, and the control plane may be.
    pub(super) fn is_pushed(self) -> bool {
        matches!(self, Self::Chart | Self::Bundle | Self::Release)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Chart => "chart",
            Self::Bundle => "bundle",
            Self::Release => "release",
            Self::ControlPlane => "control plane",
            Self::Image => "image",
        }
    }
}

/// Result of the checks of one repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// A release can be published there.
    Ready,
    /// The repository does not exist yet.
    Absent,
    /// The public cannot read it, and must be able to.
    Private,
    /// The credentials are accepted, but do not suffice.
    Refused,
    /// The registry refuses every push until a person changes it: the repository must be created, or the registry is full.
    Blocked,
    /// The credentials are missing or not accepted.
    Unauthenticated,
    /// The registry does not answer, or answers that it is unavailable.
    Unreachable,
    /// The server that answers does not speak the registry protocol.
    Failed,
}

impl Verdict {
    /// Returns what the verdict means for the caller.
    pub(in crate::ops) fn kind(self) -> ops::Kind {
        match self {
            Self::Unreachable => ops::Kind::Unavailable,
            Self::Unauthenticated => ops::Kind::Denied,
            Self::Private | Self::Refused => ops::Kind::Refused,
            Self::Blocked | Self::Failed | Self::Ready | Self::Absent => ops::Kind::Failed,
        }
    }

    /// Returns what repositories with this verdict do, as the end of a sentence.
    pub(in crate::ops) fn phrase(self) -> &'static str {
        match self {
            Self::Unreachable => "did not answer",
            Self::Unauthenticated => "require authentication",
            Self::Private | Self::Refused => "cannot be written by this user, or cannot be read by the public",
            Self::Blocked => "refuse pushes: they must be created, or the registry is full",
            Self::Failed => "did not answer as a registry does",
            Self::Ready => "are ready",
            Self::Absent => "do not exist yet",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Absent => "does not exist yet",
            Self::Private => "private",
            Self::Refused => "refused",
            Self::Blocked => "blocked",
            Self::Unauthenticated => "not authenticated",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
        }
    }
}

/// The answers of one repository.
#[derive(Debug)]
pub(super) struct Probes {
    pub own: Probe,
    /// The answers without credentials; `None` when there are no credentials.
    pub public: Option<Probe>,
}

/// The answers of one repository, and what they are judged by.
#[derive(Debug)]
pub(super) struct Asked {
    pub probes: Probes,
    pub anonymous: bool,
    pub public_read: bool,
}

impl Asked {
    fn public_answer(&self) -> &Result<(), oci::Error> {
        &self.probes.public.as_ref().unwrap_or(&self.probes.own).read
    }

    fn judge(&self) -> (Verdict, Option<&oci::Error>) {
        let probe = &self.probes.own;
        let push = probe.push.as_ref().map(|push| push.as_ref().err());
        let read = probe.read.as_ref().err();
        let answers = [read, push.flatten(), self.public_answer().as_ref().err()];
        let of_kind = |kind: Kind| answers.iter().flatten().copied().find(|error| error.kind() == kind);
        if let Some(error) = of_kind(Kind::Unavailable) {
            return (Verdict::Unreachable, Some(error));
        }
        if let Some(error) = push.flatten().filter(|error| matches!(error.kind(), Kind::Blocked(_))) {
            return (Verdict::Blocked, Some(error));
        }
        // Some registries refuse to read a repository that does not exist yet: a client that may push there is not refused.
        let may_push = matches!(push, Some(None));
        let denied = |error: &&oci::Error| error.kind() == Kind::Denied;
        if let Some(error) = push.flatten().filter(denied).or(read.filter(denied).filter(|_| !may_push)) {
            let known = !self.anonymous && !probe.unauthenticated;
            return (if known { Verdict::Refused } else { Verdict::Unauthenticated }, Some(error));
        }
        let odd =
            answers.iter().flatten().copied().find(|error| !matches!(error.kind(), Kind::Denied | Kind::NotFound));
        match (odd, read, self.public_answer()) {
            (Some(error), ..) => (Verdict::Failed, Some(error)),
            (None, Some(error), _) => (Verdict::Absent, Some(error)),
            (None, None, Err(error)) if self.public_read => (Verdict::Private, Some(error)),
            (None, None, _) => (Verdict::Ready, None),
        }
    }
}

/// Findings about one repository.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryReport {
    /// Artifacts that the repository holds.
    pub kind: RepositoryKind,
    /// Name of the repository, `HOST/PATH`.
    pub repository: String,
    /// Whether the repository exists; `None` when that is not known.
    pub exists: Option<bool>,
    /// Whether it can be pushed to; `None` when that was not asked or is not known.
    pub may_push: Option<bool>,
    /// Whether the public can read it; `None` when that is not known.
    pub public: Option<bool>,
    /// Result for a publication.
    pub verdict: Verdict,
    /// The registry's answer, where a release cannot be published.
    pub reason: Option<String>,
    /// Instruction for a person, when something stops a publication.
    pub hint: Option<String>,
}

/// Returns yes, no, or `None` when the answer is neither.
fn answer(result: &Result<(), oci::Error>, no: impl Fn(Kind) -> bool) -> Option<bool> {
    match result {
        Ok(()) => Some(true),
        Err(error) if no(error.kind()) => Some(false),
        Err(_) => None,
    }
}

impl RepositoryReport {
    pub(super) fn new(kind: RepositoryKind, prefix: Option<&Prefix>, repository: &Repository, asked: &Asked) -> Self {
        let (verdict, error) = asked.judge();
        let exists = answer(&asked.probes.own.read, |kind| kind == Kind::NotFound);
        let public = answer(asked.public_answer(), |kind| kind == Kind::Denied).filter(|_| exists != Some(false));
        Self {
            kind,
            repository: prefix.map_or_else(|| repository.to_string(), |prefix| prefix.name_of(repository)),
            exists,
            may_push: asked.probes.own.push.as_ref().and_then(|push| answer(push, refuses)),
            public,
            verdict,
            reason: error.filter(|_| verdict != Verdict::Absent).map(|error| with_causes(error)),
            hint: error.and_then(ops::way_out).or_else(|| hint(verdict, prefix, repository)),
        }
    }
}

fn refuses(kind: Kind) -> bool {
    matches!(kind, Kind::Denied | Kind::Blocked(_))
}

fn hint(verdict: Verdict, prefix: Option<&Prefix>, repository: &Repository) -> Option<String> {
    let settings = prefix.and_then(|prefix| github::package_settings(&prefix.name_of(repository)));
    match (verdict, settings) {
        (Verdict::Private, Some(settings)) => Some(format!("change its visibility to public: {settings}")),
        (Verdict::Private, None) => {
            Some("make the repository readable without credentials, or set `publicRead: false`".to_owned())
        }
        (Verdict::Refused, Some(settings)) => Some(format!(
            "give the token the scope write:packages; if a workflow publishes, add its repository at {settings}"
        )),
        (Verdict::Absent, Some(_)) => {
            Some("check the visibility after the first push: GitHub makes new packages private".to_owned())
        }
        _ => None,
    }
}

/// Whether a release can be published, and why not.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// Version of this JSON.
    pub schema: &'static str,
    /// Store that was asked.
    pub store: String,
    /// Where the credentials were found, never their values; empty for a store on a disk.
    pub credentials: String,
    /// Whether the credentials were accepted; `None` without credentials, and without an answer.
    pub authenticated: Option<bool>,
    /// Proxy that requests go through.
    pub proxy: Option<String>,
    /// Seconds that the clock of this machine is ahead of the registry's.
    pub clock_skew_seconds: Option<i64>,
    /// Number of requests that the registry's rate limit still allows.
    pub rate_limit_remaining: Option<u64>,
    /// Whether the public must be able to read what is published.
    pub public_read: bool,
    /// The repositories that were asked.
    pub repositories: Vec<RepositoryReport>,
    /// Warnings for people, a line each.
    pub warnings: Vec<String>,
    /// Tree or release whose charts cannot be listed, and the reason.
    #[serde(skip)]
    pub(super) unlisted: Option<(String, String)>,
}

impl Diagnosis {
    pub(super) fn is_authenticated(&self, anonymous: bool) -> Option<bool> {
        let has = |verdict: Verdict| self.repositories.iter().any(|report| report.verdict == verdict);
        let answered = self.repositories.iter().any(|report| report.verdict != Verdict::Unreachable);
        (!anonymous && answered).then(|| !has(Verdict::Unauthenticated))
    }

    /// Keeps the largest difference of the clocks, and the smallest rest of the rate limit.
    pub(super) fn hear(&mut self, skew: Option<i64>, left: Option<u64>) {
        self.clock_skew_seconds = [self.clock_skew_seconds, skew].into_iter().flatten().max_by_key(|skew| skew.abs());
        self.rate_limit_remaining = [self.rate_limit_remaining, left].into_iter().flatten().min();
    }

    /// Returns the worst finding as an error. Findings that kept repositories from answering come first.
    ///
    /// # Errors
    /// [`Error::Unfit`] or [`Error::Unlisted`], unless a release can be published.
    pub fn verdict(&self) -> Result<(), Error> {
        let all = self.repositories.len();
        let worst =
            [Verdict::Unreachable, Verdict::Unauthenticated, Verdict::Blocked, Verdict::Refused, Verdict::Failed];
        for verdict in worst {
            let alike = |found: Verdict| found == verdict || (found, verdict) == (Verdict::Private, Verdict::Refused);
            let count = self.repositories.iter().filter(|report| alike(report.verdict)).count();
            if count > 0 {
                return Err(Error::Unfit { verdict, count, all });
            }
        }
        match self.unlisted.clone() {
            Some((of, reason)) => Err(Error::Unlisted { of, reason }),
            None => Ok(()),
        }
    }
}

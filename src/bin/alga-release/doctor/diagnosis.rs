//! What was found out, and what it means for somebody who wants to publish.

use std::fmt::Write as _;

use alga_release::oci::{Error, Kind, Prefix, Probe, Repository};
use alga_release::text::clean;
use serde::Serialize;

use crate::failure::{self, Failure};
use crate::github;

/// What a repository is to a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepositoryKind {
    Chart,
    Bundle,
    Release,
    ControlPlane,
    Image,
}

impl RepositoryKind {
    /// Does a publication write there? Application images are built elsewhere, the control plane may be.
    pub fn is_pushed(self) -> bool {
        matches!(self, Self::Chart | Self::Bundle | Self::Release)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Chart => "chart",
            Self::Bundle => "bundle",
            Self::Release => "release",
            Self::ControlPlane => "control plane",
            Self::Image => "image",
        }
    }
}

/// What a repository means for a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing stands in the way.
    Ready,
    /// It is not there yet.
    Absent,
    /// The public cannot read it, and must.
    Private,
    /// We are known, and may not.
    Refused,
    /// We are not known.
    Unauthenticated,
    /// No answer, or one that says "later".
    Unreachable,
    /// What answers does not speak the protocol.
    Failed,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Absent => "not there yet",
            Self::Private => "private",
            Self::Refused => "refused",
            Self::Unauthenticated => "not authenticated",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
        }
    }
}

/// The answers of one repository.
#[derive(Debug)]
pub struct Probes {
    pub own: Probe,
    /// As the public; nothing when we are the public.
    pub public: Option<Probe>,
}

/// The same, and what is to be made of it.
#[derive(Debug)]
pub struct Asked {
    pub probes: Probes,
    pub anonymous: bool,
    pub public_read: bool,
}

impl Asked {
    fn public_answer(&self) -> &Result<(), Error> {
        &self.probes.public.as_ref().unwrap_or(&self.probes.own).read
    }

    fn judge(&self) -> (Verdict, Option<&Error>) {
        let probe = &self.probes.own;
        let push = probe.push.as_ref().map(|push| push.as_ref().err());
        let read = probe.read.as_ref().err();
        let answers = [read, push.flatten(), self.public_answer().as_ref().err()];
        let of_kind = |kind: Kind| answers.iter().flatten().copied().find(|error| error.kind() == kind);
        if let Some(error) = of_kind(Kind::Unavailable) {
            return (Verdict::Unreachable, Some(error));
        }
        // Some registries hide what is not there yet behind a refusal: who may push there is not refused.
        let may_push = matches!(push, Some(None));
        let denied = |error: &&Error| error.kind() == Kind::Denied;
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

/// One repository.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryReport {
    kind: RepositoryKind,
    /// `HOST/PATH`.
    repository: String,
    /// Null when nobody could say.
    exists: Option<bool>,
    /// Null when it was not asked, or nobody could say.
    may_push: Option<bool>,
    /// Can the public read it? Null when nobody could say.
    public: Option<bool>,
    verdict: Verdict,
    reason: Option<String>,
    hint: Option<String>,
}

/// Yes, no, or nobody knows.
fn answer(result: &Result<(), Error>, no: &[Kind]) -> Option<bool> {
    match result {
        Ok(()) => Some(true),
        Err(error) if no.contains(&error.kind()) => Some(false),
        Err(_) => None,
    }
}

impl RepositoryReport {
    pub fn new(kind: RepositoryKind, prefix: Option<&Prefix>, repository: &Repository, asked: &Asked) -> Self {
        let (verdict, error) = asked.judge();
        let exists = answer(&asked.probes.own.read, &[Kind::NotFound]);
        let public = answer(asked.public_answer(), &[Kind::Denied]).filter(|_| exists != Some(false));
        Self {
            kind,
            repository: prefix.map_or_else(|| repository.to_string(), |prefix| prefix.name_of(repository)),
            exists,
            may_push: asked.probes.own.push.as_ref().and_then(|push| answer(push, &[Kind::Denied])),
            public,
            verdict,
            reason: error.filter(|_| verdict != Verdict::Absent).map(all_of),
            hint: hint(verdict, prefix, repository),
        }
    }
}

/// An error with its causes.
fn all_of(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let _ = write!(text, ": {inner}");
        cause = inner.source();
    }
    text
}

fn hint(verdict: Verdict, prefix: Option<&Prefix>, repository: &Repository) -> Option<String> {
    let settings = prefix.and_then(|prefix| github::settings(&prefix.name_of(repository)));
    match (verdict, settings) {
        (Verdict::Private, Some(settings)) => Some(format!("change its visibility to public: {settings}")),
        (Verdict::Private, None) => Some("let the public read it, or set `publicRead: false`".to_owned()),
        (Verdict::Refused, Some(settings)) => {
            Some(format!("the token needs write:packages, and a workflow's repository a place under {settings}"))
        }
        (Verdict::Absent, Some(_)) => {
            Some("GitHub makes new packages private: have a look after the first push".to_owned())
        }
        _ => None,
    }
}

/// Names the form of the JSON, which `docs/schemas/doctor.json` describes.
pub const SCHEMA: &str = "alga.release.doctor/v1";

/// All of it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    pub schema: &'static str,
    pub store: String,
    /// Where they were found, never what they are.
    pub credentials: String,
    /// Did nobody refuse them? Null without credentials, and without an answer.
    pub authenticated: Option<bool>,
    pub proxy: Option<String>,
    /// How far our clock is ahead of the registry's.
    pub clock_skew_seconds: Option<i64>,
    pub rate_limit_remaining: Option<u64>,
    /// Must the public be able to read what is published?
    pub public_read: bool,
    pub repositories: Vec<RepositoryReport>,
    pub warnings: Vec<String>,
}

impl Diagnosis {
    pub fn is_authenticated(&self, anonymous: bool) -> Option<bool> {
        let has = |verdict: Verdict| self.repositories.iter().any(|report| report.verdict == verdict);
        let answered = self.repositories.iter().any(|report| report.verdict != Verdict::Unreachable);
        (!anonymous && answered).then(|| !has(Verdict::Unauthenticated))
    }

    /// The clock that is off most, and the least that is left.
    pub fn heard(&mut self, skew: Option<i64>, left: Option<u64>) {
        self.clock_skew_seconds = [self.clock_skew_seconds, skew].into_iter().flatten().max_by_key(|skew| skew.abs());
        self.rate_limit_remaining = [self.rate_limit_remaining, left].into_iter().flatten().min();
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let authenticated = match self.authenticated {
            Some(true) => "; accepted",
            Some(false) => "; refused",
            None => "",
        };
        let or = |value: Option<String>, otherwise: &str| value.unwrap_or_else(|| otherwise.to_owned());
        let clock = self.clock_skew_seconds.map(|skew| format!("{skew} s ahead of the registry's"));
        let left = self.rate_limit_remaining.map(|left| format!("{left} requests left"));
        let _ = writeln!(text, "store        {}", self.store);
        let _ = writeln!(
            text,
            "credentials  {}{authenticated}",
            if self.credentials.is_empty() { "none needed" } else { &self.credentials }
        );
        let _ = writeln!(text, "proxy        {}", or(self.proxy.clone(), "none"));
        let _ = writeln!(text, "clock        {}", or(clock, "not known: the registry does not say the time"));
        let _ = writeln!(text, "rate limit   {}", or(left, "none is said"));
        self.table(&mut text);
        self.reasons(&mut text);
        clean(&text)
    }

    /// What is wrong with one repository is its own; what is wrong with the way there is said once.
    fn reasons(&self, text: &mut String) {
        let mut said = Vec::new();
        for report in &self.repositories {
            let own = !matches!(report.verdict, Verdict::Unreachable | Verdict::Unauthenticated | Verdict::Failed);
            if !own && said.contains(&report.verdict) {
                continue;
            }
            said.push(report.verdict);
            let lines = [("because", &report.reason), ("hint", &report.hint)];
            let lines: Vec<_> = lines.iter().filter_map(|(what, line)| Some((what, line.as_ref()?))).collect();
            if !lines.is_empty() {
                let _ = writeln!(text, "{}: {}", report.repository, report.verdict.name());
            }
            for (what, line) in lines {
                let _ = writeln!(text, "  {what}: {line}");
            }
        }
    }

    fn table(&self, text: &mut String) {
        let width = self.repositories.iter().map(|report| report.repository.len()).max().unwrap_or(0);
        let word = |answer: Option<bool>| answer.map_or("-", |yes| if yes { "yes" } else { "no" });
        let head = ("", "repository", "there", "may push", "public");
        let _ = writeln!(text, "{:13} {:width$}  {:5}  {:8}  {:6}", head.0, head.1, head.2, head.3, head.4);
        for report in &self.repositories {
            let (exists, push, public) = (word(report.exists), word(report.may_push), word(report.public));
            let (kind, name, verdict) = (report.kind.name(), &report.repository, report.verdict.name());
            let _ = writeln!(text, "{kind:13} {name:width$}  {exists:5}  {push:8}  {public:6}  {verdict}");
        }
    }

    /// What the worst of it is; what keeps us from knowing comes first.
    pub fn verdict(&self) -> Result<(), Failure> {
        let of = |verdict: Verdict| self.repositories.iter().filter(|report| report.verdict == verdict).count();
        let all = self.repositories.len();
        let not = |count: usize, what: &str| format!("{count} of {all} repositories {what}");
        let refused = of(Verdict::Refused) + of(Verdict::Private);
        if of(Verdict::Unreachable) > 0 {
            let reason = not(of(Verdict::Unreachable), "gave no answer");
            Err(Failure::diagnosed(failure::TEMPORARY, reason, "look at name, network and proxy, or try again later"))
        } else if of(Verdict::Unauthenticated) > 0 {
            let reason = not(of(Verdict::Unauthenticated), "want to know who asks");
            let hint = "log in with docker or podman, or give --username with --password-stdin, or ALGA_REGISTRY_TOKEN";
            Err(Failure::diagnosed(failure::DENIED, reason, hint))
        } else if refused > 0 {
            let reason = not(refused, "may not be written by this user, or cannot be read by the public");
            Err(Failure::diagnosed(failure::REFUSED, reason, "the list says what to do for each"))
        } else if of(Verdict::Failed) > 0 {
            let reason = not(of(Verdict::Failed), "did not answer as a registry that is trusted does");
            Err(Failure::diagnosed(failure::FAILED, reason, "is it a registry, and nothing else on the way?"))
        } else {
            Ok(())
        }
    }
}

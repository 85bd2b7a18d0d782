//! Errors as people and scripts see them: what failed, why, what to do, and the exit code.

use std::fmt::Write as _;

use alga_release::diff::Diff;
use alga_release::text::clean;
use alga_release::{config, image, oci, plan, release, source};

use crate::{github, output};

/// A mistake in arguments or configuration.
pub const USAGE: u8 = 9;
pub const FAILED: u8 = 1;
pub const REFUSED: u8 = 3;
pub const DENIED: u8 = 4;
pub const TEMPORARY: u8 = 75;

/// Why a command did not succeed.
#[derive(Debug, Default)]
pub struct Failure {
    code: u8,
    /// What failed, then why.
    lines: Vec<String>,
    /// What else is to be known, before the way out.
    notes: Vec<String>,
    hint: Option<String>,
    /// What a dry run would have come to without it.
    would_change: Option<Box<Diff>>,
}

impl Failure {
    fn new(code: u8, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut lines = vec![error.to_string()];
        let mut cause = error.source();
        while let Some(error) = cause {
            if lines.last() != Some(&error.to_string()) {
                lines.push(error.to_string());
            }
            cause = error.source();
        }
        Self { code, lines, ..Self::default() }
    }

    /// The same with the way out.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A mistake in the arguments.
    pub fn usage(reason: impl Into<String>) -> Self {
        Self { code: USAGE, lines: vec![reason.into()], ..Self::default() }
    }

    /// A mistake in the arguments, and the way out.
    pub fn usage_hint(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::usage(reason).hint(hint)
    }

    /// Refused by a rule.
    pub fn refused(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::diagnosed(REFUSED, reason, hint)
    }

    /// What a diagnosis comes to.
    pub fn diagnosed(code: u8, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, lines: vec![reason.into()], hint: Some(hint.into()), ..Self::default() }
    }

    /// Nobody who may.
    pub fn denied(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::diagnosed(DENIED, reason, hint)
    }

    /// Something of this machine failed.
    pub fn io(attempted: &str, cause: impl std::error::Error) -> Self {
        Self { code: FAILED, lines: vec![format!("failed {attempted}"), cause.to_string()], ..Self::default() }
    }

    /// Stopped by a signal.
    pub fn signal(code: u8) -> Self {
        let lines = vec!["stopped by a signal; no channel was left between two releases".to_owned()];
        let hint = Some("run the same command again: it finishes what is left".to_owned());
        Self { code, lines, hint, ..Self::default() }
    }

    /// Refused by a rule, and not failed?
    pub fn is_refusal(&self) -> bool {
        self.code == REFUSED
    }

    /// The same, with what would have changed.
    pub fn showing(mut self, diff: Diff) -> Self {
        self.would_change = Some(Box::new(diff));
        self
    }

    /// What a dry run would have come to without it.
    pub fn would_change(&self) -> Option<&Diff> {
        self.would_change.as_deref()
    }

    pub fn exit_code(&self) -> u8 {
        self.code
    }

    pub fn print(&self) {
        eprint!("{}", output::in_log(&self.text()));
    }

    /// What failed, why, and the way out: a line each.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut lines = self.lines.iter();
        if let Some(first) = lines.next() {
            let _ = writeln!(text, "error: {}", clean(first));
        }
        for cause in lines {
            let _ = writeln!(text, "  because: {}", clean(cause));
        }
        for note in &self.notes {
            let _ = writeln!(text, "  {}", clean(note));
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "hint: {}", clean(hint));
        }
        text
    }
}

impl From<source::Error> for Failure {
    fn from(error: source::Error) -> Self {
        let code = match error.kind() {
            source::Kind::Invalid | source::Kind::Io => FAILED,
            source::Kind::Refused => REFUSED,
            source::Kind::Usage => USAGE,
        };
        let hint = error.way_out().map(ToOwned::to_owned);
        Self { hint, ..Self::new(code, &error) }
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        let hint = error.nearest().map(|key| format!("did you mean `{key}`?"));
        Self { hint, ..Self::new(USAGE, &error) }
    }
}

impl From<oci::InvalidReference> for Failure {
    fn from(error: oci::InvalidReference) -> Self {
        Self::new(USAGE, &error)
    }
}

impl From<oci::Error> for Failure {
    fn from(error: oci::Error) -> Self {
        let (code, hint) = of_store(&error);
        Self { hint: hint.map(ToOwned::to_owned), ..Self::new(code, &error) }
    }
}

fn of_store(error: &oci::Error) -> (u8, Option<&'static str>) {
    match error.kind() {
        oci::Kind::Denied => (
            DENIED,
            Some(
                "log in with docker or podman, or give --username with --password-stdin, or ALGA_REGISTRY_TOKEN, of a user who may push there",
            ),
        ),
        oci::Kind::Unavailable => {
            (TEMPORARY, Some("try again later: running the same command again sends only what is missing"))
        }
        oci::Kind::Untrusted => (
            FAILED,
            Some(
                "if its certificate is of your own authority, name that by --ca-file or SSL_CERT_FILE; else somebody may be on the way",
            ),
        ),
        oci::Kind::Conflict => (REFUSED, Some("see what is there now, then run the same command again")),
        oci::Kind::Io => (FAILED, Some("look at space and permissions there, and run the same command again")),
        _ => (FAILED, None),
    }
}

impl From<release::ResolveError> for Failure {
    fn from(error: release::ResolveError) -> Self {
        match error {
            release::ResolveError::Store(error) => error.into(),
            other => Self::new(FAILED, &other)
                .hint("the channel holds something that no version of this program wrote: look who did"),
        }
    }
}

impl From<release::InvalidRelease> for Failure {
    fn from(error: release::InvalidRelease) -> Self {
        Self::new(FAILED, &error)
    }
}

impl From<image::Error> for Failure {
    fn from(error: image::Error) -> Self {
        match &error {
            image::Error::Missing { .. } => Self::new(REFUSED, &error)
                .hint("build and push it first, name another tag with --image, or publish with --image-check warn"),
            image::Error::Platform { .. } => Self::new(REFUSED, &error)
                .hint("build it for that one too, name another with --platform, or publish with --image-check warn"),
            image::Error::Unpinned { .. } => {
                Self::new(REFUSED, &error).hint("push it first, or name it by digest: --control-plane sha256:…")
            }
            image::Error::Store { source, .. } => Self::new(of_store(source).0, &error),
        }
    }
}

impl From<image::archive::Error> for Failure {
    fn from(error: image::archive::Error) -> Self {
        let code = match error.kind() {
            image::archive::Kind::Damaged | image::archive::Kind::Io => FAILED,
            image::archive::Kind::Refused => REFUSED,
        };
        Self::new(code, &error)
    }
}

impl From<plan::Refusal> for Failure {
    fn from(refusal: plan::Refusal) -> Self {
        let hint = match &refusal {
            plan::Refusal::Immutable { kind: "chart", .. } => {
                "raise the version in its Chart.yaml, or let charts be stamped: `chartVersions: stamped` in the configuration"
            }
            plan::Refusal::Immutable { kind: "image", .. } => {
                "tags of images do not move: push it under another --tag, or publish it with another --version"
            }
            plan::Refusal::Immutable { .. } => "published versions do not change: publish this under another --version",
            plan::Refusal::Downgrade { .. } => {
                "a channel goes back by a deliberate roll-back alone; --no-channel publishes the version"
            }
            plan::Refusal::Unordered { .. } => "if it is meant so, say --allow-unordered",
        };
        Self::new(REFUSED, &refusal).hint(hint)
    }
}

impl From<plan::MoveRefusal> for Failure {
    fn from(refusal: plan::MoveRefusal) -> Self {
        use plan::MoveRefusal as Refusal;
        let hint = match &refusal {
            Refusal::Order(plan::Refusal::Downgrade { channel, version, .. }) => {
                &format!("to take a channel back: alga-release rollback {channel} --to {version} --reason TEXT")
            }
            Refusal::Order(_) => "if it is meant so, say --allow-unordered",
            Refusal::Incomplete { .. } => {
                "what is missing: publish the version again, which sends nothing else; what is not public: its package's settings"
            }
            Refusal::TooYoung { .. } => "wait, or promote without --min-age",
            Refusal::NoAge(_) => "promote from a channel, or without --min-age",
            Refusal::OtherPlan { .. } | Refusal::OtherCurrent { .. } => {
                "look at what would change now: --dry-run; then approve that"
            }
            Refusal::Invalid(_) => "look who published it",
        };
        let mut failure = Self::new(REFUSED, &refusal).hint(hint);
        if let Refusal::Incomplete { failed, .. } = refusal {
            failure.lines.extend(failed);
        }
        failure
    }
}

impl From<plan::copy::CopyError> for Failure {
    fn from(error: plan::copy::CopyError) -> Self {
        use plan::copy::CopyError;
        match error {
            CopyError::Store(error) => error.into(),
            CopyError::Version(_) => Self::new(REFUSED, &error).hint("look who published it"),
            CopyError::Incomplete { .. } => {
                let mut failure = Self::new(REFUSED, &error)
                    .hint("publish the version again, which sends nothing else; images that are gone stay behind with --without-images");
                if let CopyError::Incomplete { failed, .. } = error {
                    failure.lines.extend(failed);
                }
                failure
            }
        }
    }
}

impl From<plan::ExecuteError> for Failure {
    fn from(error: plan::ExecuteError) -> Self {
        let (code, hint) = match &error {
            plan::ExecuteError::Stopped { source, .. } => {
                let (code, hint) = of_store(source);
                (code, hint.unwrap_or("run the same command again: it finishes what is left"))
            }
            plan::ExecuteError::NotPublic { .. } => (
                REFUSED,
                "make them public in their settings and run again, or set `publicRead: false` if appliances have a pull secret",
            ),
            plan::ExecuteError::NotReadable { source, .. } => (of_store(source).0, "run the same command again"),
            plan::ExecuteError::Unconfirmed { source, .. } => {
                (of_store(source).0, "run the same command again: it looks at what is there, and does what is left")
            }
            plan::ExecuteError::Moved { .. } | plan::ExecuteError::Rival { .. } => {
                (REFUSED, "see what is there now, then run the same command again")
            }
        };
        let mut failure = Self::new(code, &error).hint(hint);
        if let plan::ExecuteError::Stopped { done, left, .. } = &error {
            let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            failure.notes = vec![format!("done: {}", list(done)), format!("left: {}", list(left))];
        }
        if let plan::ExecuteError::NotPublic { packages } = &error {
            let settings = |name: &String| github::settings(name).map(|link| format!("{name}: {link}"));
            failure.notes = packages.iter().map(|name| settings(name).unwrap_or_else(|| name.clone())).collect();
        }
        failure
    }
}

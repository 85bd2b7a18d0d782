//! Errors as people and scripts see them: what failed, why, what to do, and the exit code.

mod hints;
mod stores;

use std::fmt::Write as _;
use std::time::Duration;

use alga_release::diff::Diff;
use alga_release::ops::{self, Kind};
use alga_release::text::clean;
use alga_release::{config, credentials, image, oci, plan, release, signing, source};

/// Exit code for invalid arguments or configuration.
pub const USAGE: u8 = 9;
/// Exit code for any other failure.
pub const FAILED: u8 = 1;
/// Exit code for a command that a rule forbids.
pub const REFUSED: u8 = 3;
/// Exit code for missing or refused credentials.
pub const DENIED: u8 = 4;
/// Exit code of a command that Ctrl-C ended.
const INTERRUPTED: u8 = 130;
/// Exit code for a failure that may be gone later.
pub const TEMPORARY: u8 = 75;

/// A failed command: its exit code and its texts.
#[derive(Debug, Default)]
pub struct Failure {
    code: u8,
    /// The message, then its causes.
    lines: Vec<String>,
    /// Details that are shown before the hint.
    notes: Vec<String>,
    hint: Option<String>,
    /// Changes that a refused dry run would have shown.
    would_change: Option<Box<Diff>>,
}

/// Tags that an interrupted command had set, and those that it had not.
#[derive(Debug, Default)]
pub struct Interrupted {
    pub done: Vec<String>,
    /// Absent when the command had not started to write.
    pub left: Option<Vec<String>>,
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

    /// Adds a hint that says what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Creates a failure for invalid arguments.
    pub fn usage(reason: impl Into<String>) -> Self {
        Self { code: USAGE, lines: vec![reason.into()], ..Self::default() }
    }

    /// Creates a failure for invalid arguments, with a hint.
    pub fn usage_hint(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::usage(reason).hint(hint)
    }

    /// Creates a failure for a command that a rule forbids.
    pub fn refused(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::diagnosed(REFUSED, reason, hint)
    }

    /// Creates a failure with the given exit code.
    pub fn diagnosed(code: u8, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, lines: vec![reason.into()], hint: Some(hint.into()), ..Self::default() }
    }

    /// Creates a failure of this machine: its files, its terminal, its runtime. `attempted` is an infinitive such as "to read x".
    pub fn io(attempted: &str, cause: impl std::error::Error) -> Self {
        Self { code: FAILED, lines: vec![format!("failed {attempted}"), cause.to_string()], ..Self::default() }
    }

    /// Returns the failure of a command that a signal ended.
    pub fn signal(code: u8, interrupted: Interrupted) -> Self {
        let Interrupted { done, left } = interrupted;
        let Some(left) = left else {
            return Self { code, lines: vec!["interrupted; nothing was written".to_owned()], ..Self::default() };
        };
        let total = done.len() + left.len();
        let first = match total {
            0 => "interrupted while writing".to_owned(),
            _ => format!("interrupted after {} of {total} tags were set", done.len()),
        };
        let listed = [("done", done), ("left", left)].into_iter().filter(|(_, names)| !names.is_empty());
        let notes = listed.map(|(word, names)| format!("{word}: {}", names.join(", "))).collect();
        let hint = Some("run the same command again to finish what is left".to_owned());
        Self { code, lines: vec![first], notes, hint, ..Self::default() }
    }

    /// Returns the first line: what failed.
    pub fn message(&self) -> &str {
        self.lines.first().map_or("", String::as_str)
    }

    /// Returns the causes, the notes, the way out and the exit code, for a log line in JSON.
    pub fn fields(&self) -> serde_json::Value {
        let causes = self.lines.get(1..).unwrap_or_default();
        serde_json::json!({ "because": causes, "notes": self.notes, "hint": self.hint, "exitCode": self.code })
    }

    /// Reports that a command did not end within `--timeout`.
    pub fn timed_out(limit: Option<Duration>, interrupted: Interrupted) -> Self {
        let mut failure = Self::signal(TEMPORARY, interrupted);
        let limit = limit.unwrap_or_default().as_secs_f64();
        failure.lines.insert(0, format!("not finished within {limit} s, the `--timeout` of this command"));
        failure.hint("raise `--timeout`, or run the same command again later")
    }

    /// Adds the changes that a refused dry run would have made.
    pub fn showing(mut self, diff: Diff) -> Self {
        self.would_change = Some(Box::new(diff));
        self
    }

    /// Returns the changes that a refused dry run would have shown.
    pub fn would_change(&self) -> Option<&Diff> {
        self.would_change.as_deref()
    }

    pub fn exit_code(&self) -> u8 {
        self.code
    }

    /// Returns the message, its causes, the details and the hint, a line each.
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

impl From<ops::Error> for Failure {
    fn from(error: ops::Error) -> Self {
        let error = match error {
            ops::Error::Refused { cause, diff } => return Self::from(*cause).showing(*diff),
            ops::Error::Signing(signing::Error::Terminal { source, .. })
                if source.kind() == std::io::ErrorKind::Interrupted =>
            {
                return Self::signal(INTERRUPTED, Interrupted::default());
            }
            error => error,
        };
        let code = match error.kind() {
            Kind::Usage => USAGE,
            Kind::Refused => REFUSED,
            Kind::Denied => DENIED,
            Kind::Unavailable => TEMPORARY,
            Kind::Failed => FAILED,
        };
        let mut failure = Self { hint: hints::hint(&error), notes: error.notes(), ..Self::new(code, &error) };
        failure.lines.extend(error.reasons());
        failure
    }
}

/// Converts errors of the library by way of [`ops::Error`], which knows their kinds.
macro_rules! by_operation {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                ops::Error::from(error).into()
            }
        })*
    };
}

by_operation!(
    credentials::Error,
    image::Error,
    image::archive::Error,
    oci::Error,
    oci::InvalidReference,
    plan::ExecuteError,
    plan::Refusal,
    plan::copy::CopyError,
    release::Disagreement,
    release::InvalidAddress,
    release::InvalidRelease,
    release::ResolveError,
    signing::Error,
    source::Error,
);

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        let hint = error.nearest().map(|key| format!("did you mean `{key}`?"));
        Self { hint, ..Self::new(USAGE, &error) }
    }
}

//! What an operation gets from the machine that it runs on: environment variables, programs and time.
//!
//! The library reads none of them itself. The program hands them in, and a test hands in what it wants to test with.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use secrecy::SecretBox;

/// Bytes that are wiped when they are dropped and that no message shows.
pub type SecretBytes = SecretBox<Vec<u8>>;

/// The environment variables of a process. Some of them are secret, so they are looked up by name and never listed.
#[derive(Clone)]
pub struct Environment(Arc<Lookup>);

type Lookup = dyn Fn(&str) -> Option<OsString> + Send + Sync;

impl Environment {
    /// Creates an environment from a function that looks a variable up.
    pub fn new(lookup: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static) -> Self {
        Self(Arc::new(lookup))
    }

    /// Returns the value of a variable that is set, not empty, and Unicode.
    pub fn text(&self, name: &str) -> Option<String> {
        self.value(name)?.into_string().ok()
    }

    /// Returns the value of a variable that names a file or a directory, unless the variable is unset or empty.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.value(name).map(PathBuf::from)
    }

    fn value(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }
}

impl Default for Environment {
    /// An environment without variables.
    fn default() -> Self {
        Self::new(|_| None)
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Environment")
    }
}

/// One run of a program.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Path of the program, or its name, which is then looked up on the path.
    pub program: &'a Path,
    /// Arguments after the program's own name.
    pub arguments: &'a [&'a str],
    /// Standard input of the program.
    pub input: &'a [u8],
    /// All variables of the program; `None` passes on those of this process.
    pub variables: Option<&'a [(&'a str, &'a OsStr)]>,
    /// Working directory of the program; `None` is the one of this process.
    pub directory: Option<&'a Path>,
    /// Number of bytes that the program may print.
    pub limit: usize,
    /// Time after which the program is stopped.
    pub patience: Duration,
    /// Whether standard error is kept. Otherwise it is discarded, since it may hold secrets.
    pub keeps_errors: bool,
}

/// What a program that ended by itself has printed.
#[derive(Debug)]
pub struct Ended {
    /// Whether the exit code is 0.
    pub success: bool,
    /// Standard output.
    pub output: SecretBytes,
    /// Standard error, empty unless it was to be kept.
    pub errors: Vec<u8>,
}

/// A program that gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no such program, or it may not be run.
    #[error("it cannot be started: {0}")]
    Start(std::io::Error),
    /// Reading what it prints failed.
    #[error("it cannot be read: {0}")]
    Read(std::io::Error),
    /// It did not end in time.
    #[error("it did not end within {} s and was stopped", .0.as_secs_f64())]
    TimedOut(Duration),
    /// It printed more than [`Call::limit`].
    #[error("it printed more than {0} bytes and was stopped")]
    TooLong(usize),
}

impl RunError {
    /// Returns whether there is no such program.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Start(cause) if cause.kind() == std::io::ErrorKind::NotFound)
    }
}

/// Runs programs.
pub trait Programs: std::fmt::Debug + Send + Sync {
    /// Runs a program to its end.
    fn run<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Ended, RunError>>;

    /// Returns the path of a program that is found by its name.
    fn find(&self, name: &str) -> Option<PathBuf>;
}

/// No program at all: for callers that start none.
#[derive(Clone, Copy, Debug)]
pub struct NoPrograms;

impl Programs for NoPrograms {
    fn run<'a>(&'a self, _: Call<'a>) -> BoxFuture<'a, Result<Ended, RunError>> {
        Box::pin(async { Err(RunError::Start(std::io::ErrorKind::NotFound.into())) })
    }

    fn find(&self, _: &str) -> Option<PathBuf> {
        None
    }
}

/// Tells the time and waits.
pub trait Clock: std::fmt::Debug + Send + Sync {
    /// Returns the present time.
    fn now(&self) -> Timestamp;

    /// Waits for a time.
    fn sleep(&self, time: Duration) -> BoxFuture<'_, ()>;
}

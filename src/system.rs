//! Access to the machine that an operation runs on: environment variables, programs and time.
//!
//! The library does not access them itself. The program passes them in, and a test passes in its own.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox, SecretString};

/// Bytes that are wiped when they are dropped, and that no message shows.
pub type SecretBytes = SecretBox<Vec<u8>>;

/// Variables with a secret of this program. No program that it starts gets one of them.
pub const SECRET_VARIABLES: [&str; 4] =
    ["ALGA_REGISTRY_TOKEN", "ALGA_SIGNING_KEY", "ALGA_SIGNING_PASSWORD", "COSIGN_PASSWORD"];

/// Reads everything into memory that is allocated at once, so that no copies of a secret are left behind.
///
/// # Errors
/// When there are more than `limit` bytes, or they cannot be read.
pub(crate) fn read_secret(from: impl Read, limit: usize) -> io::Result<SecretBytes> {
    let mut bytes: SecretBytes = SecretBox::new(Box::new(Vec::with_capacity(limit + 1)));
    from.take(limit as u64 + 1).read_to_end(bytes.expose_secret_mut())?;
    if bytes.expose_secret().len() > limit {
        let limit = if limit < 1 << 20 { format!("{} KiB", limit >> 10) } else { format!("{} MiB", limit >> 20) };
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than the limit of {limit}")));
    }
    Ok(bytes)
}

/// The environment variables of a process. Some of them are secret, so they are looked up by name and never listed.
#[derive(Clone)]
pub struct Environment(Arc<Lookup>);

type Lookup = dyn Fn(&str) -> Option<OsString> + Send + Sync;

impl Environment {
    /// Creates an environment from a function that looks up a variable.
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
    /// An environment without any variables.
    fn default() -> Self {
        Self::new(|_| None)
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Environment")
    }
}

/// The parameters for running a program.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Path of the program, or its name, which is looked up in `PATH`.
    pub program: &'a Path,
    /// Arguments after the program's own name.
    pub arguments: &'a [&'a str],
    /// Standard input of the program.
    pub input: &'a [u8],
    /// Environment variables of the program.
    pub variables: Variables<'a>,
    /// Working directory of the program; `None` means that of this process.
    pub directory: Option<&'a Path>,
    /// Most bytes that the program may print.
    pub limit: usize,
    /// Time after which the program is stopped.
    pub patience: Duration,
    /// Whether standard error is kept. Otherwise it is discarded, since it may hold secrets.
    pub keeps_errors: bool,
}

/// The environment variables of a program that is started.
#[derive(Clone, Copy, Debug)]
pub enum Variables<'a> {
    /// The variables of this process without [`SECRET_VARIABLES`] and without the names in `removed`, and those in
    /// `added`.
    Inherited {
        /// Names of further variables that are not passed on.
        removed: &'a [&'a str],
        /// Names and values of variables that this process does not have.
        added: &'a [(&'a str, &'a OsStr)],
    },
    /// These names and values alone.
    Only(&'a [(&'a str, &'a OsStr)]),
}

impl Variables<'_> {
    /// The variables of this process without its secrets.
    pub const WITHOUT_SECRETS: Self = Self::Inherited { removed: &[], added: &[] };
}

/// The output of a program that ended by itself.
#[derive(Debug)]
pub struct Ended {
    /// Whether the exit code is 0.
    pub success: bool,
    /// Standard output, which may hold secrets.
    pub output: SecretBytes,
    /// Standard error, empty unless [`Call::keeps_errors`] is set.
    pub errors: Vec<u8>,
}

/// The reason why a program gave no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The program does not exist, or may not be run.
    #[error("cannot be started: {0}")]
    Start(std::io::Error),
    /// Reading the output of the program failed.
    #[error("its output cannot be read: {0}")]
    Read(std::io::Error),
    /// The program did not end in time.
    #[error("did not end within {} s and was stopped", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The program printed more than [`Call::limit`] bytes.
    #[error("printed more than {0} bytes and was stopped")]
    TooLong(usize),
}

impl RunError {
    /// Returns whether the program does not exist.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Start(cause) if cause.kind() == std::io::ErrorKind::NotFound)
    }
}

/// Runs and finds programs on the machine.
pub trait Programs: std::fmt::Debug + Send + Sync {
    /// Runs a program and waits for its end.
    fn run<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Ended, RunError>>;

    /// Returns the path of a program with this name.
    fn find(&self, name: &str) -> Option<PathBuf>;
}

/// A machine without programs, for callers that start none.
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

/// The terminal of the person who runs this program.
pub trait Terminal: std::fmt::Debug + Send + Sync {
    /// Asks for a secret, which the terminal does not show. Returns `None` if there is no terminal.
    ///
    /// # Errors
    /// When the terminal cannot be used. The kind `Interrupted` means that the person ends the program.
    fn secret(&self, prompt: &str) -> io::Result<Option<SecretString>>;
}

/// No terminal, for callers that ask nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoTerminal;

impl Terminal for NoTerminal {
    fn secret(&self, _: &str) -> io::Result<Option<SecretString>> {
        Ok(None)
    }
}

/// Tells the time and waits.
pub trait Clock: std::fmt::Debug + Send + Sync {
    /// Returns the current time.
    fn now(&self) -> Timestamp;

    /// Waits for the given time.
    fn sleep(&self, time: Duration) -> BoxFuture<'_, ()>;
}

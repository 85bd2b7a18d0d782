//! Variables, programs and clock of this machine for the library. Only this file starts programs for the library.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use alga_release::ops::{Call, Clock, Context, Ended, Environment, Programs, RunError};
use alga_release::system::{SECRET_VARIABLES, SecretBytes, Variables};
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecretMut, SecretBox};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::log::Log;
use crate::terminal::Controlling;

/// Bytes that are allocated at once for the output of a program. A secret that fits is not copied when the buffer grows.
const AT_ONCE: usize = 1 << 20;
/// Most bytes that are kept of a program's standard error.
const ERRORS: usize = 64 << 10;

/// Returns the context of every operation of this program.
pub fn context(log: &Log) -> Context {
    Context {
        environment: Environment::new(|name| std::env::var_os(name)),
        programs: Arc::new(Machine),
        clock: Arc::new(Machine),
        terminal: Arc::new(Controlling),
        progress: Arc::new(log.clone()),
    }
}

/// Returns the same for work that says nothing.
pub fn silent() -> Context {
    let environment = Environment::new(|name| std::env::var_os(name));
    Context { environment, programs: Arc::new(Machine), ..Context::silent(Machine) }
}

/// The machine that the program runs on.
#[derive(Clone, Copy, Debug)]
struct Machine;

impl Clock for Machine {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

impl Programs for Machine {
    fn run<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Ended, RunError>> {
        Box::pin(async move {
            let work = run(call);
            tokio::time::timeout(call.patience, work).await.unwrap_or(Err(RunError::TimedOut(call.patience)))
        })
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|directory| directory.join(name)).find(|program| program.is_file())
    }
}

async fn run(call: Call<'_>) -> Result<Ended, RunError> {
    let mut command = Command::new(call.program);
    command.args(call.arguments).stdout(Stdio::piped()).kill_on_drop(true);
    command.stdin(if call.input.is_empty() { Stdio::null() } else { Stdio::piped() });
    command.stderr(if call.keeps_errors { Stdio::piped() } else { Stdio::null() });
    let added = match call.variables {
        Variables::Only(all) => {
            command.env_clear();
            all
        }
        Variables::Inherited { removed, added } => {
            SECRET_VARIABLES.iter().chain(removed).for_each(|name| {
                command.env_remove(name);
            });
            added
        }
    };
    command.envs(added.iter().map(|(name, value)| (OsStr::new(*name), *value)));
    if let Some(directory) = call.directory {
        command.current_dir(directory);
    }
    let mut child = command.spawn().map_err(RunError::Start)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program that does not need its input closes the pipe.
            let _ = stdin.write_all(call.input).await;
        }
    };
    let read = async { futures_util::join!(output(stdout, call.limit), errors(stderr)) };
    let ((), (output, errors)) = futures_util::join!(write, read);
    let output = output?;
    let status = child.wait().await.map_err(RunError::Read)?;
    Ok(Ended { success: status.success(), output, errors })
}

async fn output(stream: Option<impl AsyncRead + Unpin>, limit: usize) -> Result<SecretBytes, RunError> {
    let mut bytes: SecretBytes = SecretBox::new(Box::new(Vec::with_capacity(AT_ONCE.min(limit) + 1)));
    let Some(stream) = stream else { return Ok(bytes) };
    let buffer = bytes.expose_secret_mut();
    stream.take(limit as u64 + 1).read_to_end(buffer).await.map_err(RunError::Read)?;
    if buffer.len() > limit { Err(RunError::TooLong(limit)) } else { Ok(bytes) }
}

async fn errors(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // Text that was read before an error is still shown.
        let _ = (&mut stream).take(ERRORS as u64).read_to_end(&mut bytes).await;
        // The rest is read too, so that the program does not stop at a full pipe.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use secrecy::ExposeSecret;

    use super::*;

    /// A limit that no test reaches.
    const LONG: Duration = Duration::from_mins(10);

    async fn run(program: &str, arguments: &[&str], input: &[u8], patience: Duration) -> Result<Ended, RunError> {
        let program = Path::new(program);
        let (variables, directory, limit) = (Variables::WITHOUT_SECRETS, None, 1000);
        let call = Call { program, arguments, input, variables, directory, limit, patience, keeps_errors: true };
        Machine.run(call).await
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_stopped() {
        let error = run("/bin/sh", &["-c", "exec sleep 600"], b"", Duration::from_millis(1)).await.unwrap_err();
        assert!(matches!(error, RunError::TimedOut(_)), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_never_stops_writing_is_read_to_its_limit_and_stopped() {
        let error = run("/bin/sh", &["-c", "exec yes"], b"", LONG).await.unwrap_err();
        assert!(matches!(error, RunError::TooLong(1000)), "{error}");
    }

    #[tokio::test]
    async fn a_program_gets_its_input_and_both_of_its_outputs_are_kept() {
        let ended = run("/bin/sh", &["-c", "cat; echo why >&2"], b"what", LONG).await.unwrap();
        assert!(ended.success);
        assert_eq!((ended.output.expose_secret().as_slice(), ended.errors.as_slice()), (&b"what"[..], &b"why\n"[..]));
    }

    #[tokio::test]
    async fn a_program_gets_the_variables_of_this_process_but_for_those_that_are_removed() {
        let added = [("ADDED", OsStr::new("here"))];
        let variables = Variables::Inherited { removed: &["HOME"], added: &added };
        let (directory, limit, patience) = (None, 1000, LONG);
        let arguments = &["-c", "echo ${PATH:+path} ${HOME:-no home} $ADDED"];
        let (program, input) = (Path::new("/bin/sh"), b"".as_slice());
        let call = Call { program, arguments, input, variables, directory, limit, patience, keeps_errors: true };
        let ended = Machine.run(call).await.unwrap();
        assert_eq!(String::from_utf8_lossy(ended.output.expose_secret()), "path no home here\n");
    }

    #[tokio::test]
    async fn a_program_that_does_not_exist_is_told_from_one_that_fails() {
        assert!(run("/nonexistent/program", &[], b"", LONG).await.unwrap_err().is_absent());
        assert!(!run("/bin/sh", &["-c", "exit 3"], b"", LONG).await.unwrap().success);
        assert!(!run("/", &[], b"", LONG).await.unwrap_err().is_absent());
    }
}

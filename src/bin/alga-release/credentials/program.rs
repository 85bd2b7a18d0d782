//! Programs that give credentials. What they print is never shown, whatever it is; none of them is waited for without end.
//!
//! <https://github.com/docker/docker-credential-helpers#development>

use std::process::Stdio;
use std::time::Duration;

use alga_release::oci::Credentials;
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::{LIMIT, SecretBytes, SecretText};

/// What a program did.
#[derive(Debug)]
pub struct Output {
    pub success: bool,
    pub stdout: SecretBytes,
}

/// Why a program gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("it cannot be started: {0}")]
    Start(std::io::Error),
    #[error("it cannot be read: {0}")]
    Read(std::io::Error),
    #[error("it gave no answer within {} s and was stopped", .0.as_secs_f64())]
    Silent(Duration),
    #[error("it failed")]
    Failed,
    #[error("its answer is not the one of a credential helper")]
    Malformed,
}

impl Trouble {
    /// Is there no such program?
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Start(cause) if cause.kind() == std::io::ErrorKind::NotFound)
    }
}

/// Runs a program and reads what it prints, within `patience`.
pub async fn output(program: &str, arguments: &[&str], input: &[u8], patience: Duration) -> Result<Output, Trouble> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(Trouble::Start)?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let work = async {
        if let Some(mut stdin) = stdin {
            // A program that does not want to know has closed it.
            let _ = stdin.write_all(input).await;
        }
        let mut bytes: SecretBytes = SecretBox::new(Box::new(Vec::with_capacity(LIMIT)));
        if let Some(stdout) = stdout {
            stdout.take(LIMIT as u64).read_to_end(bytes.expose_secret_mut()).await.map_err(Trouble::Read)?;
        }
        let status = child.wait().await.map_err(Trouble::Read)?;
        Ok(Output { success: status.success(), stdout: bytes })
    };
    tokio::time::timeout(patience, work).await.unwrap_or(Err(Trouble::Silent(patience)))
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: SecretText,
}

/// Asks a helper for the credentials of a server; `None` when it says that it has none.
pub async fn credential_helper(
    program: &str,
    server: &str,
    patience: Duration,
) -> Result<Option<Credentials>, Trouble> {
    let output = output(program, &["get"], server.as_bytes(), patience).await?;
    let bytes = output.stdout.expose_secret();
    if !output.success {
        let absent = String::from_utf8_lossy(bytes).contains("credentials not found");
        return if absent { Ok(None) } else { Err(Trouble::Failed) };
    }
    let Answer { username, secret } = serde_json::from_slice(bytes).map_err(|_| Trouble::Malformed)?;
    Ok(match username.as_str() {
        _ if secret.is_empty() => None,
        "<token>" => Some(Credentials::IdentityToken(secret.0)),
        _ => Some(Credentials::Basic { username, password: secret.0 }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A limit that no test waits for.
    const LONG: Duration = Duration::from_mins(10);

    #[tokio::test]
    async fn a_program_that_hangs_is_stopped() {
        let trouble = output("/bin/sh", &["-c", "exec sleep 600"], b"", Duration::from_millis(1)).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Silent(_)), "{trouble}");
    }

    #[tokio::test]
    async fn a_program_that_never_stops_writing_is_read_to_a_bound() {
        let output = output("/bin/sh", &["-c", "exec yes"], b"", LONG).await.unwrap();
        assert!(!output.success);
        assert_eq!(output.stdout.expose_secret().len(), LIMIT);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_told_from_one_that_fails() {
        assert!(output("/nonexistent/program", &[], b"", LONG).await.unwrap_err().is_absent());
        assert!(!output("/bin/sh", &["-c", "exit 3"], b"", LONG).await.unwrap().success);
        assert!(!output("/", &[], b"", LONG).await.unwrap_err().is_absent());
    }
}

//! Programs that give credentials. No message shows what they print, and each of them has a time limit.
//!
//! <https://github.com/docker/docker-credential-helpers#development>

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::{LIMIT, SecretText};
use crate::oci::Credentials;
use crate::system::{Call, Ended, Programs, RunError};

/// How long a program that gives credentials may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A credential helper that gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// It did not run to its end.
    #[error(transparent)]
    Run(RunError),
    /// It ended with a code other than 0, and not because it has no credentials.
    #[error("it failed")]
    Failed,
    /// It does not speak the protocol of credential helpers.
    #[error("its answer is not the one of a credential helper")]
    Malformed,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: SecretText,
}

/// Runs a program that prints credentials.
pub(super) async fn print(
    programs: &dyn Programs,
    program: &str,
    arguments: &[&str],
    input: &[u8],
) -> Result<Ended, RunError> {
    let call = Call {
        program: Path::new(program),
        arguments,
        input,
        variables: None,
        directory: None,
        limit: LIMIT,
        patience: PATIENCE,
        keeps_errors: false,
    };
    programs.run(call).await
}

/// Asks a credential helper for the credentials of a server; `None` when the helper has none.
pub(super) async fn ask(
    programs: &dyn Programs,
    program: &str,
    server: &str,
) -> Result<Option<Credentials>, HelperError> {
    let ended = print(programs, program, &["get"], server.as_bytes()).await.map_err(HelperError::Run)?;
    let bytes = ended.output.expose_secret();
    if !ended.success {
        let absent = String::from_utf8_lossy(bytes).contains("credentials not found");
        return if absent { Ok(None) } else { Err(HelperError::Failed) };
    }
    let Answer { username, secret } = serde_json::from_slice(bytes).map_err(|_| HelperError::Malformed)?;
    Ok(match username.as_str() {
        _ if secret.is_empty() => None,
        "<token>" => Some(Credentials::IdentityToken(secret.0)),
        _ => Some(Credentials::Basic { username, password: secret.0 }),
    })
}

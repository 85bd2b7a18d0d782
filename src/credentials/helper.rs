//! Runs programs that print credentials. Messages never show their output, and each program has a time limit.
//!
//! <https://github.com/docker/docker-credential-helpers#development>

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::{LIMIT, SecretText};
use crate::oci::Credentials;
use crate::system::{Call, Ended, Programs, RunError, Variables};

/// Longest time that a program may take to print credentials.
const PATIENCE: Duration = Duration::from_secs(10);

/// The reason why a credential helper gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// The helper did not run to its end.
    #[error(transparent)]
    Run(RunError),
    /// The helper ended with an exit code other than 0, and not because it has no credentials.
    #[error("it ended with an error")]
    Failed,
    /// The output does not follow the protocol of credential helpers.
    #[error("its output does not follow the protocol of credential helpers")]
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
        variables: Variables::WITHOUT_SECRETS,
        directory: None,
        limit: LIMIT,
        patience: PATIENCE,
        keeps_errors: false,
    };
    programs.run(call).await
}

/// Asks a credential helper for the credentials of a server. Returns `None` when the helper has none.
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

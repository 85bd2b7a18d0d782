//! Errors of reading credentials. Messages never quote a value.

use std::path::{Path, PathBuf};

use super::HelperError;
use crate::system::RunError;

/// The reason why credentials cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A credentials file of docker or podman is invalid.
    #[error("cannot read credentials from {}: {reason}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with the file.
        reason: String,
    },
    /// The file that a variable names does not exist.
    #[error("cannot read credentials from {}, which REGISTRY_AUTH_FILE names: {reason}", path.display())]
    Named {
        /// Path of the file.
        path: PathBuf,
        /// Answer of the file system.
        reason: String,
    },
    /// One entry of such a file is invalid.
    #[error("{}: invalid `auth` of `{}`: expected `user:password` in base64", path.display(), key.escape_debug())]
    Entry {
        /// Path of the file.
        path: PathBuf,
        /// Key of the entry.
        key: String,
    },
    /// A credential helper that such a file names failed.
    #[error("{}", helper_failed(program, server, path, cause))]
    Helper {
        /// Name of the helper.
        program: String,
        /// Server whose credentials were requested.
        server: String,
        /// Path of the file that names the helper.
        path: PathBuf,
        /// The reason why the helper gave no answer.
        cause: HelperError,
    },
    /// A password or token that was passed to this program is invalid.
    #[error("{place}: {reason}")]
    Given {
        /// The source of the password or token.
        place: String,
        /// The reason why it is invalid.
        reason: String,
    },
}

/// Describes the failure of a credential helper.
fn helper_failed(program: &str, server: &str, path: &Path, cause: &HelperError) -> String {
    let of = format!("the credential helper for {server} in {}", path.display());
    match cause {
        HelperError::Run(RunError::Start(cause)) => format!("cannot start {program}, {of}: {cause}"),
        cause => format!("cannot get credentials from {program}, {of}: {cause}"),
    }
}

impl Error {
    pub(super) fn given(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Given { place: place.into(), reason: reason.into() }
    }
}

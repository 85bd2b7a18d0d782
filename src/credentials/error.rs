//! Errors of reading credentials. Messages never quote a value.

use std::path::PathBuf;

use super::HelperError;

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
    /// One entry of such a file is invalid.
    #[error("{}: invalid `auth` of `{}`: expected `user:password` in base64", path.display(), key.escape_debug())]
    Entry {
        /// Path of the file.
        path: PathBuf,
        /// Key of the entry.
        key: String,
    },
    /// A credential helper that such a file names failed.
    #[error("cannot get the credentials of {server} from {program}, which {} names: {cause}", path.display())]
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

impl Error {
    pub(super) fn given(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Given { place: place.into(), reason: reason.into() }
    }
}

//! Credentials that cannot be used. No message quotes a value.

use std::path::PathBuf;

use super::HelperError;

/// Credentials that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of docker or podman is broken.
    #[error("cannot read credentials from {}: {reason}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with the file.
        reason: String,
    },
    /// One entry of such a file is broken.
    #[error("{}: `auth` of `{}` is not the base64 of `user:password`", path.display(), key.escape_debug())]
    Entry {
        /// Path of the file.
        path: PathBuf,
        /// Key of the entry.
        key: String,
    },
    /// A credential helper that such a file names failed.
    #[error("asking {program} for the credentials of {server}, as {} says: {cause}", path.display())]
    Helper {
        /// Name of the helper.
        program: String,
        /// Server whose credentials were asked for.
        server: String,
        /// Path of the file that names the helper.
        path: PathBuf,
        /// Why the helper gave no answer.
        cause: HelperError,
    },
    /// A password or token that was given to this program cannot be used.
    #[error("{place}: {reason}")]
    Given {
        /// Where the password or token was read.
        place: String,
        /// Why it cannot be used.
        reason: String,
    },
}

impl Error {
    pub(super) fn given(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Given { place: place.into(), reason: reason.into() }
    }
}

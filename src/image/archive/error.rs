//! The errors of reading an image from an archive.

use std::io;

use crate::oci::tar;

/// What an [`Error`] means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The file is not an image archive, is damaged, or exceeds a limit that protects against harmful archives.
    Damaged,
    /// The archive is intact, but its image must not be published.
    Refused,
    /// The file system or the pipe failed.
    Io,
}

/// The failure to read the image of an archive.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the image archive {archive}: {reason}")]
pub struct Error {
    kind: Kind,
    archive: String,
    reason: String,
    #[source]
    source: Option<io::Error>,
}

impl Error {
    pub(super) fn damaged(reason: impl Into<String>) -> Self {
        Self::new(Kind::Damaged, reason)
    }

    pub(super) fn refused(reason: impl Into<String>) -> Self {
        Self::new(Kind::Refused, reason)
    }

    pub(super) fn io(reason: impl Into<String>, source: io::Error) -> Self {
        Self { source: Some(source), ..Self::new(Kind::Io, reason) }
    }

    /// Returns the error for a failed read of the archive. An archive that ends too early counts as damaged.
    pub(super) fn reading(source: io::Error) -> Self {
        tar::Error::reading(source).into()
    }

    fn new(kind: Kind, reason: impl Into<String>) -> Self {
        Self { kind, archive: String::new(), reason: reason.into(), source: None }
    }

    /// Adds the name of the archive to the error.
    pub(super) fn of(self, archive: String) -> Self {
        Self { archive, ..self }
    }

    /// Returns the kind that callers decide by.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl From<tar::Error> for Error {
    fn from(error: tar::Error) -> Self {
        let kind = if error.damaged { Kind::Damaged } else { Kind::Io };
        Self { source: error.source, ..Self::new(kind, error.reason) }
    }
}

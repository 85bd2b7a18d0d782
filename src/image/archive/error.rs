//! Why an image is not taken from its archive.

use std::io;

use crate::oci::tar;

/// What an [`Error`] means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is no image archive, or damaged, or made to do harm.
    Damaged,
    /// It is sound, and not what may be published.
    Refused,
    /// The file system, or the pipe.
    Io,
}

/// An archive whose image is not taken.
#[derive(Debug, thiserror::Error)]
#[error("the image archive {archive}: {reason}")]
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

    /// Reading the archive itself failed: what is cut off is damaged.
    pub(super) fn reading(source: io::Error) -> Self {
        tar::Error::reading(source).into()
    }

    fn new(kind: Kind, reason: impl Into<String>) -> Self {
        Self { kind, archive: String::new(), reason: reason.into(), source: None }
    }

    /// The same, naming the archive.
    pub(super) fn of(self, archive: String) -> Self {
        Self { archive, ..self }
    }

    /// For decisions.
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

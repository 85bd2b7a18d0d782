//! Why an image is not taken from its archive.

use std::io;

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
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Self::damaged("it ends in its middle"),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                Self { source: Some(source), ..Self::damaged("it is damaged") }
            }
            _ => Self::io("it cannot be read", source),
        }
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

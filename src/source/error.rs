//! What is wrong with something that the user wrote, and where.

use std::fmt;

/// A place in the user's tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Path below the root of the tree, with `/`; empty is the root, shown as `.`.
    pub path: String,
    /// Line, from 1; absent when the whole file is meant.
    pub line: Option<usize>,
}

impl Place {
    /// A whole file or directory.
    pub fn file(path: impl Into<String>) -> Self {
        Self { path: path.into(), line: None }
    }

    /// A line of a file, from 1.
    pub fn line(path: impl Into<String>, line: usize) -> Self {
        Self { path: path.into(), line: Some(line) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", if self.path.is_empty() { "." } else { &self.path }.escape_debug())?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// What an [`Error`] means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The input is wrong: somebody has to change a file.
    Invalid,
    /// A rule of the product refuses it.
    Refused,
    /// How the program was called or configured.
    Usage,
    /// The file system.
    Io,
}

/// Something wrong in the user's tree: the place, the reason, the way out. Shown as `PLACE: REASON`.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct Error {
    place: Place,
    reason: String,
    hint: Option<String>,
    kind: Kind,
    #[source]
    source: Option<std::io::Error>,
}

impl Error {
    /// Wrong input at `place`.
    pub fn invalid(place: Place, reason: impl Into<String>) -> Self {
        Self { place, reason: reason.into(), hint: None, kind: Kind::Invalid, source: None }
    }

    /// Refused by a rule of the product.
    pub fn refused(place: Place, reason: impl Into<String>) -> Self {
        Self { kind: Kind::Refused, ..Self::invalid(place, reason) }
    }

    /// A mistake in the configuration or the arguments.
    pub fn usage(place: Place, reason: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, ..Self::invalid(place, reason) }
    }

    /// The file system failed at `place` while the program was `attempted` ("reading", "listing").
    pub fn io(place: Place, attempted: &str, source: std::io::Error) -> Self {
        Self { kind: Kind::Io, source: Some(source), ..Self::invalid(place, format!("failed {attempted}")) }
    }

    /// The same with the way out, for people.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Where.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What to do about it.
    pub fn way_out(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// For decisions.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

//! Errors about the user's source tree, each with its place.

use std::fmt;

/// A place in the user's tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Path relative to the tree's root, with `/`. The empty path is the root and is shown as `.`.
    pub path: String,
    /// Line, counted from 1. Absent when the error is about the whole file.
    pub line: Option<usize>,
}

impl Place {
    /// Creates the place of a whole file or directory.
    pub fn file(path: impl Into<String>) -> Self {
        Self { path: path.into(), line: None }
    }

    /// Creates the place of a line, counted from 1.
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

/// A warning for the author of a tree that can still be published. Warnings are ordered by file and line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// The file, or the line of a file, that the warning is about.
    pub place: Place,
    /// The warning: one sentence without a period.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// The kind of an [`Error`], which callers decide by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The input is invalid, and a file has to be changed.
    Invalid,
    /// A rule of the product refuses the input.
    Refused,
    /// The arguments or the configuration are wrong.
    Usage,
    /// The file system failed.
    Io,
}

/// An error about the source tree, with its place, reason and hint. Displayed as `PLACE: REASON`.
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
    /// Creates the error for invalid input at `place`.
    pub fn invalid(place: Place, reason: impl Into<String>) -> Self {
        Self { place, reason: reason.into(), hint: None, kind: Kind::Invalid, source: None }
    }

    /// Creates the error for input that a rule of the product refuses.
    pub fn refused(place: Place, reason: impl Into<String>) -> Self {
        Self { kind: Kind::Refused, ..Self::invalid(place, reason) }
    }

    /// Creates the error for a mistake in the configuration or the arguments.
    pub fn usage(place: Place, reason: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, ..Self::invalid(place, reason) }
    }

    /// Creates the error for a file system that failed to do what was `attempted` at `place` ("read the file").
    pub fn io(place: Place, attempted: &str, source: std::io::Error) -> Self {
        Self { kind: Kind::Io, source: Some(source), ..Self::invalid(place, format!("failed to {attempted}")) }
    }

    /// Adds a hint, which tells people how to resolve the error.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns the place that the error is about.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Returns the hint that resolves the error.
    pub fn way_out(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Returns the kind that callers decide by.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Warning};

    #[test]
    fn warnings_are_in_the_order_of_files_and_of_lines_as_numbers() {
        let warning = |place: Place| Warning { place, text: "a".to_owned() };
        let mut warnings =
            [Place::line("b.yaml", 1), Place::line("a.yaml", 20), Place::line("a.yaml", 3), Place::file("a.yaml")]
                .map(warning);
        warnings.sort();
        let places = warnings.map(|warning| warning.place.to_string());
        assert_eq!(places, ["a.yaml", "a.yaml:3", "a.yaml:20", "b.yaml:1"]);
    }
}

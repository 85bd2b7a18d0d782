//! A file that Flux or kustomize could not read or build.

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Path of the file below the root that Flux unpacks.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
}

/// Why the cluster could not use a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{}: {reason}", at.file.escape_debug(), at.line)]
pub struct Error {
    /// The line that is wrong.
    pub at: At,
    /// What is wrong with it.
    pub reason: String,
    /// What to do about it, in a whole sentence.
    pub hint: Option<&'static str>,
}

impl Error {
    pub(crate) fn new(file: &str, line: usize, reason: impl Into<String>) -> Self {
        Self { at: At { file: file.to_owned(), line }, reason: reason.into(), hint: None }
    }

    pub(super) fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

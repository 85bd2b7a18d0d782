//! The error for a file that Flux or kustomize cannot read or build.

/// A place in a file: its path and a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Path of the file below the root that Flux unpacks.
    pub file: String,
    /// Line of the file, counted from 1.
    pub line: usize,
}

/// The reason why the cluster cannot use a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{}: {reason}", at.file.escape_debug(), at.line)]
pub struct Error {
    /// Place that the error is about.
    pub at: At,
    /// Reason of the error: one sentence without a period.
    pub reason: String,
    /// Instruction that resolves the error, in a whole sentence.
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

//! Errors of a store operation.

use std::error::Error as StdError;
use std::time::Duration;

/// The class of an [`Error`], for the caller's decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The repository, tag, manifest or blob does not exist.
    NotFound,
    /// The content does not have the digest by which it was requested.
    Mismatch,
    /// The content is larger than a limit, or than its descriptor states.
    TooLarge,
    /// The content does not follow its specification.
    Malformed,
    /// The path of a store on a disk does not exist, or is a directory instead of a file or the reverse.
    NoStore,
    /// The operation violates a rule of the store: the blobs of a manifest are missing, or a directory is not a
    /// directory of layouts.
    Refused,
    /// The tag does not point to the expected manifest, because another publisher moved it.
    Conflict,
    /// The registry refuses the write until a person changes something.
    Blocked(Obstacle),
    /// The credentials are missing or wrong, or lack a permission.
    Denied,
    /// The store cannot be reached, or asks for a later retry.
    Unavailable,
    /// The TLS certificate of the registry is not trusted.
    Untrusted,
    /// The server that answers does not speak the distribution API.
    NotRegistry,
    /// The file system of a layout or archive failed.
    Io,
}

impl Kind {
    /// Returns whether the error says nothing about what was asked for, because no trusted registry answered.
    pub fn is_of_server(self) -> bool {
        matches!(self, Self::Unavailable | Self::Untrusted | Self::NotRegistry)
    }
}

/// The reason why a registry refuses a write until a person changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The tag points to another manifest, and a rule of the registry keeps the tag from being moved.
    ImmutableTag,
    /// The repository does not exist, and the registry does not create one for a push.
    NoRepository,
    /// The registry, or the project in it, is full.
    Quota,
    /// The registry, or a proxy in front of it, does not accept this many bytes.
    Size,
    /// The registry rejects the content of the blob or manifest.
    Content,
    /// The registry stores other bytes under a digest than were pushed, or none, and does not delete them.
    KeepsOtherBytes,
}

/// A store operation that failed. The message names what was attempted, on which reference, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("failed to {attempted} {reference}: {reason}")]
pub struct Error {
    kind: Kind,
    attempted: &'static str,
    reference: String,
    reason: String,
    /// Shortest wait before a retry, when a retry may help.
    retry_after: Option<Duration>,
    /// Longest time for which another attempt is worth it, when that is less than the caller's patience.
    retry_for: Option<Duration>,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Builds an error. `attempted` is an infinitive without `to`: "read", "push".
    pub fn new(kind: Kind, attempted: &'static str, reference: impl Into<String>, reason: impl Into<String>) -> Self {
        let (reference, reason) = (reference.into(), reason.into());
        Self { kind, attempted, reference, reason, retry_after: None, retry_for: None, source: None }
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub(crate) fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Marks the error as transient: a retry may help after `wait`.
    #[must_use]
    pub(super) fn passing(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Limits the time for which another attempt is worth it.
    #[must_use]
    pub(super) fn retried_for(mut self, longest: Duration) -> Self {
        self.retry_for = Some(longest);
        self
    }

    /// Appends `text` to the reason.
    #[must_use]
    pub(super) fn adding(mut self, text: &str) -> Self {
        self.reason.push_str(text);
        self
    }

    /// Returns how long to wait before a retry, and `None` when a retry does not help.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the longest time for which another attempt is worth it; `None` for as long as the caller waits.
    pub(super) fn retry_for(&self) -> Option<Duration> {
        self.retry_for
    }

    /// Returns the class of the error.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the reference that the operation was attempted on.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// Returns the reason, without what was attempted.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns the repository: the reference without tag and digest.
    pub fn repository(&self) -> &str {
        let name = self.reference.split('@').next().unwrap_or_default();
        match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => name,
            _ => name,
        }
    }

    /// Returns whether the requested content does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind == Kind::NotFound
    }
}

/// Turns [`Kind::NotFound`] into `None`.
///
/// # Errors
/// Every other error, unchanged.
pub fn optional<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

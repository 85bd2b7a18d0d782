//! What can go wrong between this program and a store.

use std::error::Error as StdError;
use std::time::Duration;

/// What an [`Error`] means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is no such repository, tag, manifest or blob.
    NotFound,
    /// What was read is not what its digest says.
    Mismatch,
    /// What was read is larger than the bound, or than its descriptor says.
    TooLarge,
    /// What was read does not follow its specification.
    Malformed,
    /// The store refuses what is against its rules: a manifest whose blobs are absent, a directory that is something else.
    Refused,
    /// A tag names something else than it should: somebody else moved it.
    Conflict,
    /// The registry does not take what is written, and would not take it another time.
    Blocked(Obstacle),
    /// No or wrong credentials, or no permission.
    Denied,
    /// The store cannot be reached, or says that it will be back.
    Unavailable,
    /// Nobody who is trusted vouches for the store: its TLS certificate.
    Untrusted,
    /// The file system of a layout.
    Io,
}

/// What keeps a registry from taking a write until a person changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The tag names another manifest, and a rule of the registry keeps the tag from being moved.
    ImmutableTag,
    /// The repository does not exist, and the registry makes none for a push.
    NoRepository,
    /// The registry, or this part of it, is full.
    Quota,
    /// The registry, or a proxy in front of it, does not take this many bytes.
    Size,
    /// The registry finds fault with the blob or the manifest.
    Content,
    /// The registry keeps other bytes under a digest than that of the bytes that it was sent, or none, and deletes nothing.
    KeepsOtherBytes,
}

/// A store operation that failed: what was attempted, on which reference, why.
#[derive(Debug, thiserror::Error)]
#[error("{attempted} {reference}: {reason}")]
pub struct Error {
    kind: Kind,
    attempted: &'static str,
    reference: String,
    reason: String,
    /// It may pass by itself, after this long at the earliest.
    retry_after: Option<Duration>,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// `attempted` is a gerund: "reading", "pushing".
    pub fn new(kind: Kind, attempted: &'static str, reference: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { kind, attempted, reference: reference.into(), reason: reason.into(), retry_after: None, source: None }
    }

    /// The same with its cause.
    #[must_use]
    pub(crate) fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same, which may pass by itself, after `wait` at the earliest.
    #[must_use]
    pub(super) fn passing(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The same with more to say.
    #[must_use]
    pub(super) fn adding(mut self, text: &str) -> Self {
        self.reason.push_str(text);
        self
    }

    /// When it is worth another attempt, if it is.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// For decisions.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// On which reference.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// Why, without what was attempted.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// On which repository: the reference without tag and digest.
    pub fn repository(&self) -> &str {
        let name = self.reference.split('@').next().unwrap_or_default();
        match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => name,
            _ => name,
        }
    }

    /// Is something that was asked for simply not there?
    pub fn is_not_found(&self) -> bool {
        self.kind == Kind::NotFound
    }
}

/// Nothing where what was asked for is simply not there.
///
/// # Errors
/// All others stay.
pub fn optional<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

//! What a request carries, so that it can be sent again from its start.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;

use super::Error;
use super::client::Operation;
use crate::oci::Kind;

/// Makes the body of one attempt.
type Make = dyn Fn(Failed) -> reqwest::Body + Send + Sync;

/// Bytes in memory, or a stream that is opened anew for each attempt.
#[derive(Clone)]
pub(super) struct Body {
    length: u64,
    make: Arc<Make>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("length", &self.length).finish_non_exhaustive()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::streamed(bytes.len() as u64, move |_| bytes.clone().into())
    }
}

impl Body {
    /// `make` opens a stream of `length` bytes.
    pub(super) fn streamed(length: u64, make: impl Fn(Failed) -> reqwest::Body + Send + Sync + 'static) -> Self {
        Self { length, make: Arc::new(make) }
    }

    /// Count of bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// As the HTTP crate wants it, for one attempt.
    pub(super) fn open(&self, failed: &Failed) -> reqwest::Body {
        (self.make)(failed.clone())
    }
}

/// Why a body broke off on our side, where it did.
#[derive(Clone, Debug, Default)]
pub(super) struct Failed(Arc<OnceLock<(Kind, String, Option<Duration>)>>);

impl Failed {
    /// What is to be said of it. Another attempt helps where that may pass which the body was read from.
    pub(super) fn error(&self, operation: &Operation) -> Option<Error> {
        let (kind, reason, retry_after) = self.0.get()?;
        let error = operation.error(*kind, reason.clone());
        Some(match retry_after {
            Some(wait) => error.passing(*wait),
            None => error,
        })
    }
}

#[cfg(feature = "publish")]
impl Failed {
    /// Remembers the first failure.
    pub(super) fn because(&self, (kind, reason, retry_after): (Kind, String, Option<Duration>)) {
        let _ = self.0.set((kind, reason, retry_after));
    }
}

//! The body of a request, which every attempt sends from the start.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;

use super::Error;
use super::client::Operation;
use crate::oci::Kind;

/// Opens the body for one attempt.
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
    /// Returns a body of `length` bytes that `make` opens as a stream.
    pub(super) fn streamed(length: u64, make: impl Fn(Failed) -> reqwest::Body + Send + Sync + 'static) -> Self {
        Self { length, make: Arc::new(make) }
    }

    /// Returns the length in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Opens the body for one attempt, as the HTTP crate expects it.
    pub(super) fn open(&self, failed: &Failed) -> reqwest::Body {
        (self.make)(failed.clone())
    }
}

/// The reason why a body could not be read to its end on this side, if it failed.
#[derive(Clone, Debug, Default)]
pub(super) struct Failed(Arc<OnceLock<(Kind, String, Option<Duration>)>>);

impl Failed {
    /// Returns the failure as an error. A retry may help when the source of the body failed temporarily.
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
    /// Records the first failure.
    pub(super) fn because(&self, (kind, reason, retry_after): (Kind, String, Option<Duration>)) {
        let _ = self.0.set((kind, reason, retry_after));
    }
}

//! Waits for a registry that answers with an older state for a while, for example because of a cache.

use std::time::Duration;

use super::execute::Executor;
use super::progress::{Event, Progress};
use crate::oci::{Error, Kind};

/// First pause, which doubles each time.
const FIRST: Duration = Duration::from_millis(100);
/// Longest single pause between two reads.
const LONGEST: Duration = Duration::from_secs(2);
/// Longest time during which an older state counts as a late answer.
pub(super) const LATEST: Duration = Duration::from_secs(30);

/// State that an answer showed.
pub(super) enum Seen<T, E> {
    /// The expected state, or a later one.
    Now(T),
    /// An earlier state, and the error to report if it does not change.
    Earlier(E),
}

impl Executor<'_> {
    /// Reads again while the answer shows an earlier state. Stops after the time for which failures are retried, or
    /// after `longest` if that is shorter.
    ///
    /// # Errors
    /// Returns the error of the last answer.
    pub(super) async fn wait_for<T, E>(
        &self,
        what: &str,
        longest: Duration,
        progress: &dyn Progress,
        look: impl AsyncFn() -> Result<Seen<T, E>, E>,
    ) -> Result<T, E> {
        let patience = self.patience.min(longest);
        let (mut pause, mut waited) = (FIRST, Duration::ZERO);
        loop {
            let error = match look().await? {
                Seen::Now(found) => return Ok(found),
                Seen::Earlier(error) => error,
            };
            let wait = pause.min(patience.saturating_sub(waited));
            if wait.is_zero() {
                return Err(error);
            }
            if waited.is_zero() {
                let seconds = patience.as_secs();
                progress.event(&Event::Note {
                    text: &format!("{what} is not visible yet: reading again for up to {seconds} s"),
                });
            }
            self.clock.sleep(wait).await;
            waited += wait;
            pause = (pause * 2).min(LONGEST);
        }
    }
}

/// Returns the error for an answer that still shows an earlier state. The error counts as temporary.
pub(super) fn late(reference: String, reason: &str) -> Error {
    Error::new(Kind::Unavailable, "read", reference, format!("{reason}: the registry returns out-of-date answers"))
}

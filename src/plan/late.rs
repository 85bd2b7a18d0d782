//! Waiting for a registry that answers with an older state for a while, as one does behind a cache.

use std::time::Duration;

use super::execute::Executor;
use super::progress::{Event, Progress};
use crate::oci::{Error, Kind};

/// The first wait, doubled each time.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait at a time.
const LONGEST: Duration = Duration::from_secs(2);
/// The longest time in which an answer is taken to be late.
pub(super) const LATEST: Duration = Duration::from_secs(30);

/// What an answer showed.
pub(super) enum Seen<T, E> {
    /// The state that was looked for, or a later one.
    Now(T),
    /// An earlier state, with the error that it is when no other answer comes.
    Earlier(E),
}

impl Executor<'_> {
    /// Reads again while the answer shows an earlier state, for as long as failures are waited out, and no longer than `longest`.
    ///
    /// # Errors
    /// That of the last answer.
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
                    text: &format!("{what} is not there yet: reading again for up to {seconds} s"),
                });
            }
            self.clock.sleep(wait).await;
            waited += wait;
            pause = (pause * 2).min(LONGEST);
        }
    }
}

/// Returns the error of an answer that still shows an earlier state: it passes by itself.
pub(super) fn late(reference: String, reason: &str) -> Error {
    Error::new(Kind::Unavailable, "read", reference, format!("{reason}: the registry answers late"))
}

//! The retry policy for all transient errors.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Error, Options};

/// The first wait, which doubles with each attempt.
const FIRST: Duration = Duration::from_millis(200);
/// The longest wait, unless the registry asks for a longer one.
const LONGEST: Duration = Duration::from_secs(30);

/// Receives the messages of the registry client while it waits: one line each, without a line end.
pub type Notice = std::sync::Arc<dyn Fn(&str) + Send + Sync>;

/// How long failures are retried, and the time before which the registry accepts no request.
pub(super) struct Patience {
    /// Time from the first failure of an operation to the last attempt.
    total: Duration,
    notice: Option<Notice>,
    /// Shared by all operations: when the registry asks one of them to wait, all of them wait.
    quiet: Mutex<Quiet>,
    last: Mutex<String>,
}

#[derive(Clone, Copy)]
struct Quiet {
    until: Instant,
    /// Waits that end before this time have been announced.
    said: Instant,
}

impl std::fmt::Debug for Patience {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patience").field("total", &self.total).finish_non_exhaustive()
    }
}

impl Patience {
    pub(super) fn new(options: &Options) -> Self {
        let now = Instant::now();
        let quiet = Mutex::new(Quiet { until: now, said: now });
        Self { total: options.retry_for, notice: options.notice.clone(), quiet, last: Mutex::default() }
    }

    /// Calls `attempt` until it succeeds, fails for good, or has failed for too long. An operation that must not be
    /// sent twice is attempted as a whole, for example an upload from its start.
    pub(super) async fn persist<T>(&self, attempt: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
        let mut failing: Option<Instant> = None;
        for count in 0.. {
            let until = self.quiet().until;
            sleep_until(until).await;
            let error = match attempt().await {
                Err(error) if error.retry_after().is_some() => error,
                result => return result,
            };
            let total = error.retry_for().map_or(self.total, |longest| longest.min(self.total));
            let since = *failing.get_or_insert_with(Instant::now);
            let asked = error.retry_after().unwrap_or_default();
            let longest = FIRST.saturating_mul(1 << count.min(16)).min(LONGEST);
            let wait = asked.saturating_add(jittered(longest));
            if since.elapsed().saturating_add(asked) > total || total.is_zero() {
                return Err(gave_up(error, count, since.elapsed(), asked));
            }
            // The last attempt happens at the end of the time for retries.
            let left = total.saturating_sub(since.elapsed());
            let wait = wait.min(left);
            self.announce(&error, Pause { asked, wait, latest: asked.saturating_add(longest), left });
            sleep_until(Instant::now() + wait).await;
        }
        unreachable!("an endless loop")
    }

    /// Reports a message, unless it equals the last one.
    pub(super) fn say(&self, text: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(notice), true) = (&self.notice, *last != text) {
            text.clone_into(&mut last);
            notice(text);
        }
    }

    fn quiet(&self) -> Quiet {
        *self.quiet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces a wait once for all operations that wait for the same reason.
    fn announce(&self, error: &Error, Pause { asked, wait, latest, left }: Pause) {
        let wakes = Instant::now() + wait;
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        quiet.until = quiet.until.max(Instant::now() + asked);
        if let (Some(notice), true) = (&self.notice, wakes > quiet.said) {
            quiet.said = Instant::now() + latest;
            drop(quiet);
            let cause = root(error).map_or_else(String::new, |cause| format!(": {cause}"));
            notice(&format!("{error}{cause}; retrying in {}, for at most {}", shown(wait), shown(left)));
        }
    }
}

/// The durations of one wait.
struct Pause {
    /// The time that the registry asked for.
    asked: Duration,
    wait: Duration,
    /// The longest wait of other operations that failed at the same time.
    latest: Duration,
    /// The time that is left for retries.
    left: Duration,
}

/// Returns the innermost cause of an error.
fn root(error: &Error) -> Option<String> {
    let mut cause = std::error::Error::source(error)?;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Some(cause.to_string())
}

fn gave_up(error: Error, retries: u32, elapsed: Duration, asked: Duration) -> Error {
    if !asked.is_zero() && retries == 0 {
        return error.adding(&format!("; the registry asks for a retry after {}", shown(asked)));
    }
    match retries {
        0 => error,
        _ => error.adding(&format!("; tried {} times in {}", retries + 1, shown(elapsed))),
    }
}

/// Returns a random duration between half of `wait` and `wait`, so that operations that failed together do not retry
/// together.
pub(crate) fn jittered(wait: Duration) -> Duration {
    // The keys of a hasher are random. No published byte depends on them.
    let random = std::hash::RandomState::new().build_hasher().finish();
    let share = (random % 1000) as u32;
    wait / 2 + wait / 2 * share / 1000
}

/// Formats a duration in seconds, or in milliseconds below one second.
fn shown(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds @ 1..=9 => format!("{seconds}.{} s", time.subsec_millis() / 100),
        seconds @ 10..=119 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// Parses a duration as Go prints it (`1m30s`, `1.889377ms`, `3µs`) at the start of `text`.
///
/// <https://pkg.go.dev/time#Duration.String>
pub(super) fn go_duration(text: &str) -> Option<Duration> {
    let mut total = None;
    let mut rest = text;
    loop {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let Ok(number) = number.parse::<f64>() else { return total };
        let units = [
            ("ns", 1e-9),
            ("us", 1e-6),
            ("µs", 1e-6),
            ("μs", 1e-6),
            ("ms", 1e-3),
            ("h", 3600.0),
            ("m", 60.0),
            ("s", 1.0),
        ];
        let Some((unit, seconds)) = units.into_iter().find(|(unit, _)| after.starts_with(unit)) else { return total };
        let part = Duration::try_from_secs_f64(number * seconds).ok()?;
        total = Some(total.unwrap_or(Duration::ZERO).saturating_add(part));
        rest = &after[unit.len()..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_parsed_in_every_unit() {
        assert_eq!(go_duration("1.889377ms, allowed: 2000/minute"), Some(Duration::from_nanos(1_889_377)));
        assert_eq!(go_duration("123.5µs"), Some(Duration::from_nanos(123_500)));
        assert_eq!(go_duration("7us"), Some(Duration::from_micros(7)));
        assert_eq!(go_duration("1h2m3.5s"), Some(Duration::from_millis(3_723_500)));
        assert_eq!(go_duration("44s."), Some(Duration::from_secs(44)));
        for none in ["", "soon", "5", "-3s", ".s", "1e9s", "99999999999999999999h"] {
            assert_eq!(go_duration(none), None, "{none}");
        }
    }

    #[tokio::test]
    async fn an_error_may_set_a_shorter_limit_than_the_caller() {
        let patience = Patience::new(&Options { retry_for: Duration::from_hours(1), ..Options::default() });
        let attempts = std::cell::Cell::new(0);
        let unresolved = || {
            attempts.set(attempts.get() + 1);
            let error = Error::new(crate::oci::Kind::Unavailable, "read", "r.invalid/x", "it cannot be reached");
            error.passing(Duration::ZERO).retried_for(Duration::from_millis(1))
        };
        let error = patience.persist(async || Err::<(), _>(unresolved())).await.expect_err("it fails");
        assert!(error.to_string().contains("tried"), "{error}");
        assert!(attempts.get() >= 2, "the last attempt comes at the end of the limit");
    }

    #[test]
    fn waits_are_spread_but_never_longer_than_intended() {
        for _ in 0..100 {
            let wait = jittered(Duration::from_secs(4));
            assert!(wait >= Duration::from_secs(2) && wait <= Duration::from_secs(4), "{wait:?}");
        }
    }

    #[test]
    fn waits_are_shown_in_readable_units() {
        let shown = [5, 1_250, 42_000, 300_000].map(|ms| shown(Duration::from_millis(ms)));
        assert_eq!(shown, ["5 ms", "1.2 s", "42 s", "5 min 0 s"]);
    }
}

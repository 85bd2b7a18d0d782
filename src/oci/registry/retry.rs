//! One policy for everything that may pass by itself.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Error, Options};

/// The first wait, doubled each time.
const FIRST: Duration = Duration::from_millis(200);
/// The longest wait that nobody asked for.
const LONGEST: Duration = Duration::from_secs(30);

/// Takes what the registry client has to say while it waits: one line without its end.
pub type Notice = std::sync::Arc<dyn Fn(&str) + Send + Sync>;

/// How long failures are waited out, and until when the registry wants no request at all.
pub(super) struct Patience {
    /// From the first failure of an operation to the last attempt.
    total: Duration,
    notice: Option<Notice>,
    /// One registry, one queue: who was told to wait makes the others wait, too.
    quiet: Mutex<Quiet>,
    last: Mutex<String>,
}

#[derive(Clone, Copy)]
struct Quiet {
    until: Instant,
    /// Waits that end before this were spoken of.
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

    /// Calls `attempt` until it succeeds, fails for good, or has failed for too long. What is not safe to be sent twice must
    /// be attempted as a whole: an upload from its start.
    pub(super) async fn persist<T>(&self, attempt: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
        let mut failing: Option<Instant> = None;
        for count in 0.. {
            let until = self.quiet().until;
            sleep_until(until).await;
            let error = match attempt().await {
                Err(error) if error.retry_after().is_some() => error,
                result => return result,
            };
            let since = *failing.get_or_insert_with(Instant::now);
            let asked = error.retry_after().unwrap_or_default();
            let longest = FIRST.saturating_mul(1 << count.min(16)).min(LONGEST);
            let wait = asked.saturating_add(jittered(longest));
            if since.elapsed().saturating_add(asked) > self.total || self.total.is_zero() {
                return Err(gave_up(error, count, since.elapsed(), asked));
            }
            // The last attempt comes when the time is over, not later.
            let left = self.total.saturating_sub(since.elapsed());
            let wait = wait.min(left);
            self.announce(&error, Pause { asked, wait, latest: asked.saturating_add(longest), left });
            sleep_until(Instant::now() + wait).await;
        }
        unreachable!("an endless loop")
    }

    /// Says it, unless it is what was said last.
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

    /// Says it once for all that wait for the same.
    fn announce(&self, error: &Error, Pause { asked, wait, latest, left }: Pause) {
        let wakes = Instant::now() + wait;
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        quiet.until = quiet.until.max(Instant::now() + asked);
        if let (Some(notice), true) = (&self.notice, wakes > quiet.said) {
            quiet.said = Instant::now() + latest;
            drop(quiet);
            let cause = root(error).map_or_else(String::new, |cause| format!(": {cause}"));
            notice(&format!("{error}{cause}; trying again in {}, for {} at the most", shown(wait), shown(left)));
        }
    }
}

/// How long something waits.
struct Pause {
    /// What the registry asks for.
    asked: Duration,
    wait: Duration,
    /// What others wait at the most that failed at the same time.
    latest: Duration,
    /// Until patience is over.
    left: Duration,
}

/// The cause of the cause, and so on to the last.
fn root(error: &Error) -> Option<String> {
    let mut cause = std::error::Error::source(error)?;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Some(cause.to_string())
}

fn gave_up(error: Error, retries: u32, elapsed: Duration, asked: Duration) -> Error {
    if !asked.is_zero() && retries == 0 {
        return error.adding(&format!("; it wants to be left alone for {}", shown(asked)));
    }
    match retries {
        0 => error,
        _ => error.adding(&format!("; tried {} times in {}", retries + 1, shown(elapsed))),
    }
}

/// Between half of it and all of it, so that those who failed together do not come back together.
pub(crate) fn jittered(wait: Duration) -> Duration {
    // The keys of a hasher are random; nothing that is published depends on them.
    let random = std::hash::RandomState::new().build_hasher().finish();
    let share = (random % 1000) as u32;
    wait / 2 + wait / 2 * share / 1000
}

/// Seconds, or milliseconds below one.
fn shown(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds @ 1..=9 => format!("{seconds}.{} s", time.subsec_millis() / 100),
        seconds @ 10..=119 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// A span of time as Go prints it (`1m30s`, `1.889377ms`, `3µs`), at the beginning of `text`.
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
    fn go_durations_are_read_in_every_unit() {
        assert_eq!(go_duration("1.889377ms, allowed: 2000/minute"), Some(Duration::from_nanos(1_889_377)));
        assert_eq!(go_duration("123.5µs"), Some(Duration::from_nanos(123_500)));
        assert_eq!(go_duration("7us"), Some(Duration::from_micros(7)));
        assert_eq!(go_duration("1h2m3.5s"), Some(Duration::from_millis(3_723_500)));
        assert_eq!(go_duration("44s."), Some(Duration::from_secs(44)));
        for none in ["", "soon", "5", "-3s", ".s", "1e9s", "99999999999999999999h"] {
            assert_eq!(go_duration(none), None, "{none}");
        }
    }

    #[test]
    fn waits_are_spread_but_never_longer_than_meant() {
        for _ in 0..100 {
            let wait = jittered(Duration::from_secs(4));
            assert!(wait >= Duration::from_secs(2) && wait <= Duration::from_secs(4), "{wait:?}");
        }
    }

    #[test]
    fn waits_are_shown_as_people_say_them() {
        let shown = [5, 1_250, 42_000, 300_000].map(|ms| shown(Duration::from_millis(ms)));
        assert_eq!(shown, ["5 ms", "1.2 s", "42 s", "5 min 0 s"]);
    }
}

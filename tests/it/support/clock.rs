//! A clock whose time passes without waiting: when all tasks sleep, it advances to the first one that wakes up.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use alga_release::ops::Clock;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::oneshot;

/// The time at which every clock starts.
const BEGIN: &str = "2026-11-20T12:00:00Z";

#[derive(Debug, Default)]
struct State {
    passed: Duration,
    /// Number of running tasks that may sleep.
    running: usize,
    asleep: Vec<(Duration, oneshot::Sender<()>)>,
}

impl State {
    /// Wakes the first task when all running tasks are asleep.
    fn go_on(&mut self) {
        while self.asleep.len() >= self.running.max(1) {
            let first = (0..self.asleep.len()).min_by_key(|one| self.asleep[*one].0).expect("one");
            let (until, wake) = self.asleep.swap_remove(first);
            self.passed = self.passed.max(until);
            // A task that was cancelled no longer listens, so the next one is woken.
            if wake.send(()).is_ok() {
                break;
            }
        }
    }
}

/// The clock. Its clones share the time.
#[derive(Clone, Debug, Default)]
pub struct VirtualClock(Arc<Mutex<State>>);

impl VirtualClock {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Returns how much time has passed.
    pub fn passed(&self) -> Duration {
        self.state().passed
    }

    /// Advances the time.
    pub fn pass(&self, time: Duration) {
        self.state().passed += time;
    }

    /// Sets the number of concurrent tasks. The time advances when all of them are asleep.
    pub fn run_together(&self, count: usize) {
        self.state().running = count;
    }

    /// Reports that one of the concurrent tasks has ended.
    pub fn one_is_done(&self) {
        let mut state = self.state();
        state.running -= 1;
        if state.running > 0 && !state.asleep.is_empty() {
            state.go_on();
        }
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let begin: Timestamp = BEGIN.parse().expect("a time");
        begin + self.passed()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'_, ()> {
        let (wake, woken) = oneshot::channel();
        {
            let mut state = self.state();
            let until = state.passed + time;
            state.asleep.push((until, wake));
            state.go_on();
        }
        Box::pin(async {
            let _ = woken.await;
        })
    }
}

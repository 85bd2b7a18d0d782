//! A clock that no test waits for: when everything that runs is asleep, its time goes on to whoever wakes first.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use alga_release::ops::Clock;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::oneshot;

/// When the time of every clock begins.
const BEGIN: &str = "2026-11-20T12:00:00Z";

#[derive(Debug, Default)]
struct State {
    passed: Duration,
    /// How many run that may sleep.
    running: usize,
    asleep: Vec<(Duration, oneshot::Sender<()>)>,
}

impl State {
    /// Wakes the first one, when all that run are asleep.
    fn go_on(&mut self) {
        while self.asleep.len() >= self.running.max(1) {
            let first = (0..self.asleep.len()).min_by_key(|one| self.asleep[*one].0).expect("one");
            let (until, wake) = self.asleep.swap_remove(first);
            self.passed = self.passed.max(until);
            // Who does not listen any more has gone; then the next one's turn has come.
            if wake.send(()).is_ok() {
                break;
            }
        }
    }
}

/// The clock, and every other hand of it.
#[derive(Clone, Debug, Default)]
pub struct VirtualClock(Arc<Mutex<State>>);

impl VirtualClock {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How much time has passed.
    pub fn passed(&self) -> Duration {
        self.state().passed
    }

    /// Lets time pass.
    pub fn pass(&self, time: Duration) {
        self.state().passed += time;
    }

    /// From now on `count` run side by side: time goes on when all of them are asleep.
    pub fn run_together(&self, count: usize) {
        self.state().running = count;
    }

    /// One of them is done.
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

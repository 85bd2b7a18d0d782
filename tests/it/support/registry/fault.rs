//! Faults: scripted, random from a seed, and by a limit of requests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::State;
use super::wire::Request;

/// What the registry does instead of answering correctly.
#[derive(Clone, Debug)]
pub enum Action {
    /// Send this response.
    Status(u16, Vec<(String, String)>, Vec<u8>),
    /// Send the correct response up to a byte, then reset the connection.
    Reset(usize),
    /// Reset the connection without executing the request.
    ResetBefore,
    /// Send the correct header and a body that is shorter by this many bytes, then close the connection.
    Truncate(usize),
    /// Send the correct response after a delay.
    Delay(Duration),
    /// Send the correct response byte by byte, with this pause between the bytes.
    Drip(Duration),
    /// Send the correct response when the test opens the gate.
    Hold(Gate),
    /// Do not execute the request and do not answer. The test is notified.
    CatchBefore(Notice),
    /// Execute the request, but do not answer. The test is notified.
    CatchAfter(Notice),
    /// Send the correct response twice.
    Duplicate,
    /// Flip one bit of the body.
    CorruptBody,
    /// Append this many zero bytes to the body, counted in `Content-Length`.
    Longer(usize),
    /// Repeat the body until the client closes the connection.
    Endless,
    /// Send an endless header until the client closes the connection.
    EndlessHeader,
    CloseBeforeResponse,
    WrongDigestHeader,
    NoDigestHeader,
    /// Set headers, or remove them if the value is empty.
    Headers(Vec<(String, String)>),
    /// Redirect with 307 to this location.
    Redirect(String),
    /// Redirect with 307 to the same location.
    RedirectToItself,
}

impl Action {
    /// Returns a fault that answers with a status and a body.
    pub fn status(status: u16, body: &str) -> Self {
        Self::Status(status, Vec::new(), body.as_bytes().to_vec())
    }
}

/// A fault and the requests that it applies to.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Method of the request; empty for any.
    pub method: &'static str,
    /// A part of `path?query`.
    pub path: String,
    /// Number of matching requests that succeed before.
    pub skip: usize,
    /// Number of requests that fail then.
    pub times: usize,
    pub action: Action,
}

impl Fault {
    /// The first request of `method` whose `path?query` contains `path` fails.
    pub fn first(method: &'static str, path: impl Into<String>, action: Action) -> Self {
        Self { method, path: path.into(), skip: 0, times: 1, action }
    }

    /// Every request of `method` whose `path?query` contains `path` fails.
    pub fn every(method: &'static str, path: impl Into<String>, action: Action) -> Self {
        Self { times: usize::MAX, ..Self::first(method, path, action) }
    }

    /// The request after `count` others fails, whatever it is.
    pub fn after(count: usize, action: Action) -> Self {
        Self { skip: count, ..Self::first("", "", action) }
    }

    fn matches(&self, request: &Request, target: &str) -> bool {
        (self.method.is_empty() || self.method == request.method) && target.contains(&self.path)
    }
}

/// Holds responses back until the test opens it.
#[derive(Clone, Debug)]
pub struct Gate {
    arrived: Arc<Semaphore>,
    released: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { arrived: Arc::new(Semaphore::new(0)), released: Arc::new(Semaphore::new(0)) }
    }
}

impl Gate {
    /// Waits until `count` more requests have arrived at the gate.
    pub async fn arrived(&self, count: u32) {
        self.arrived.acquire_many(count).await.expect("open").forget();
    }

    /// Opens the gate for all requests, now and later.
    pub fn release(&self) {
        self.released.add_permits(Semaphore::MAX_PERMITS / 64);
    }

    /// Waits until the gate is open.
    pub async fn opened(&self) {
        drop(self.released.acquire().await.expect("open"));
    }

    pub(super) async fn pass(&self) {
        self.arrived.add_permits(1);
        self.released.acquire().await.expect("open").forget();
    }
}

/// A function that is called when a request has been caught.
#[derive(Clone)]
pub struct Notice(Arc<dyn Fn() + Send + Sync>);

impl Notice {
    pub fn new(call: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }

    pub(super) fn give(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Notice")
    }
}

/// Lets a share of the requests fail, by a generator with a seed, so that every run has the same sequence.
#[derive(Clone, Debug)]
pub struct Unreliable {
    state: u64,
    percent: u64,
}

impl Unreliable {
    pub fn new(seed: u64, percent: u64) -> Self {
        Self { state: seed, percent }
    }

    /// Returns the next number of splitmix64.
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn next(&mut self) -> Option<Action> {
        if self.draw() % 100 >= self.percent {
            return None;
        }
        let now = vec![("Retry-After".to_owned(), "0".to_owned())];
        Some(match self.draw() % 8 {
            0 => Action::status(500, ""),
            1 => Action::status(502, "<html><h1>Bad Gateway</h1></html>"),
            2 => Action::status(504, ""),
            3 => Action::Status(503, now, Vec::new()),
            4 => Action::Status(429, now, Vec::new()),
            5 => Action::ResetBefore,
            6 => Action::Reset(0),
            _ => Action::Reset(20),
        })
    }
}

/// The form in which a registry reports its rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// Status 429 and `Retry-After: 0`.
    Header,
    /// Status 429 and a duration in the format of Go in the message, as GHCR writes it.
    Message,
    /// Status 403 in the format of GitHub's other API.
    Forbidden,
}

/// Refuses one request after every `every` requests. Requests are counted instead of time, so that the speed does not
/// matter.
#[derive(Clone, Debug)]
pub struct Limit {
    pub every: usize,
    pub slow: Slow,
    counted: usize,
}

impl Limit {
    pub fn new(every: usize, slow: Slow) -> Self {
        Self { every, slow, counted: 0 }
    }

    fn next(&mut self) -> Option<Action> {
        self.counted += 1;
        if self.counted <= self.every {
            return None;
        }
        self.counted = 0;
        Some(match self.slow {
            Slow::Header => Action::Status(429, vec![("Retry-After".to_owned(), "0".to_owned())], Vec::new()),
            Slow::Message => {
                let said = format!("retry-after: 188.9\u{b5}s, allowed: {}/minute", self.every);
                let body = serde_json::json!({ "errors": [{ "code": "TOOMANYREQUESTS", "message": said }] });
                Action::status(429, &body.to_string())
            }
            Slow::Forbidden => Action::Status(
                403,
                vec![("Retry-After".to_owned(), "0".to_owned())],
                br#"{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}"#
                    .to_vec(),
            ),
        })
    }
}

/// Returns the fault for this request: the scripted one, then the limit, then the random one.
pub(super) fn next(state: &mut State, request: &Request) -> Option<Action> {
    let target = format!("{}?{}", request.path, request.query);
    let scripted = state.faults.iter_mut().find_map(|fault| {
        if !fault.matches(request, &target) || fault.times == 0 {
            return None;
        }
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.times -= 1;
        Some(fault.action.clone())
    });
    let action = scripted
        .or_else(|| state.limit.as_mut().and_then(Limit::next))
        .or_else(|| state.unreliable.as_mut().and_then(Unreliable::next));
    state.failed += usize::from(action.is_some());
    action
}

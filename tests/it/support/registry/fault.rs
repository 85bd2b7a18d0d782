//! What goes wrong: scripted, by chance from a seed, and by a limit of requests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::State;
use super::wire::Request;

/// What is done in place of the right thing.
#[derive(Clone, Debug)]
pub enum Action {
    /// This response.
    Status(u16, Vec<(String, String)>, Vec<u8>),
    /// The right response, up to a byte; then the connection is reset.
    Reset(usize),
    /// The connection is reset and nothing is done.
    ResetBefore,
    /// The right header, and as many bytes less of the body; then the connection is closed.
    Truncate(usize),
    /// The right response, later.
    Delay(Duration),
    /// The right response, byte by byte, with so much time between them.
    Drip(Duration),
    /// The right response, when the test lets it go.
    Hold(Gate),
    /// Nothing is done and nothing is answered; the test learns of it.
    CatchBefore(Notice),
    /// The right thing is done and nothing is answered; the test learns of it.
    CatchAfter(Notice),
    /// The right response twice.
    Duplicate,
    /// One bit of the body is flipped.
    CorruptBody,
    /// Zeroes after the body, counted in `Content-Length`.
    Longer(usize),
    /// The body again and again, until the client goes.
    Endless,
    /// A header that never ends, until the client goes.
    EndlessHeader,
    CloseBeforeResponse,
    WrongDigestHeader,
    NoDigestHeader,
    /// Headers set or, with an empty value, removed.
    Headers(Vec<(String, String)>),
    /// 307 to there.
    Redirect(String),
    /// 307 to the very same place.
    RedirectToItself,
}

impl Action {
    /// A response with a text.
    pub fn status(status: u16, body: &str) -> Self {
        Self::Status(status, Vec::new(), body.as_bytes().to_vec())
    }
}

/// Something that goes wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Empty for any.
    pub method: &'static str,
    /// A part of `path?query`.
    pub path: String,
    /// How many matching requests go well before.
    pub skip: usize,
    /// How many go wrong then.
    pub times: usize,
    pub action: Action,
}

impl Fault {
    /// The first request of `method` whose `path?query` holds `path` goes wrong.
    pub fn first(method: &'static str, path: impl Into<String>, action: Action) -> Self {
        Self { method, path: path.into(), skip: 0, times: 1, action }
    }

    /// Every one.
    pub fn every(method: &'static str, path: impl Into<String>, action: Action) -> Self {
        Self { times: usize::MAX, ..Self::first(method, path, action) }
    }

    /// The request after `count` others goes wrong, whatever it is.
    pub fn after(count: usize, action: Action) -> Self {
        Self { skip: count, ..Self::first("", "", action) }
    }

    fn matches(&self, request: &Request, target: &str) -> bool {
        (self.method.is_empty() || self.method == request.method) && target.contains(&self.path)
    }
}

/// Holds responses back until the test lets them go.
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
    /// Waits until `count` more requests stand at the gate.
    pub async fn arrived(&self, count: u32) {
        self.arrived.acquire_many(count).await.expect("open").forget();
    }

    /// Lets all through, now and later.
    pub fn release(&self) {
        self.released.add_permits(Semaphore::MAX_PERMITS / 64);
    }

    /// Waits until it lets all through.
    pub async fn opened(&self) {
        drop(self.released.acquire().await.expect("open"));
    }

    pub(super) async fn pass(&self) {
        self.arrived.add_permits(1);
        self.released.acquire().await.expect("open").forget();
    }
}

/// Called when a request was caught.
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

/// A share of the requests goes wrong, by a generator with a seed: the same sequence in every run.
#[derive(Clone, Debug)]
pub struct Unreliable {
    state: u64,
    percent: u64,
}

impl Unreliable {
    pub fn new(seed: u64, percent: u64) -> Self {
        Self { state: seed, percent }
    }

    /// splitmix64.
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

/// How a registry says "slow down".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// 429 and `Retry-After: 0`.
    Header,
    /// 429 and a duration of Go in the message, as GHCR writes it.
    Message,
    /// 403 in the shape of GitHub's other API.
    Forbidden,
}

/// After each `every` requests one is refused. It counts requests instead of looking at a clock: the same at every speed.
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

/// What goes wrong with this request: what the script says, else the limit, else chance.
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

//! A registry in this process: real HTTP, on a thread and a runtime of its own. It records what it receives, shows what it holds,
//! and fails when it is told to.
#![allow(dead_code, reason = "included by several test crates, each of which uses a part")]

#[path = "registry/distribution.rs"]
mod distribution;
#[path = "registry/wire.rs"]
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use alga_release::oci::Certificates;
use tokio::sync::Semaphore;

/// Who may do what.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// Everybody everything.
    #[default]
    Open,
    /// Every request with this user and password.
    Basic { username: String, password: String },
    /// Tokens from `realm`, by default `/token` of this registry. With a user, only that user gets one to push with;
    /// the user `<token>` is whoever posts the password as an identity token.
    Token { realm: Option<String>, user: Option<(String, String)> },
}

/// How a registry is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    pub auth: Auth,
    pub tls: bool,
    /// Is `POST …/uploads/?mount=` understood? Otherwise it is answered by 405.
    pub mount: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { auth: Auth::Open, tls: false, mount: true }
    }
}

/// A request as it was received.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    pub path: String,
    pub query: String,
    /// The value of `Authorization`.
    pub authorization: Option<String>,
    /// The value of `Proxy-Authorization`, which nobody but a proxy should see.
    pub proxy_authorization: Option<String>,
    pub content_type: Option<String>,
    pub content_length: Option<String>,
    pub body: usize,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
}

/// What is done in place of the right thing.
#[derive(Clone, Debug)]
pub enum Action {
    /// This response.
    Status(u16, Vec<(String, String)>, Vec<u8>),
    /// The right response, up to a byte; then the connection is reset.
    Reset(usize),
    /// The right header, and as many bytes less of the body; then the connection is closed.
    Truncate(usize),
    /// The right response, later.
    Delay(Duration),
    /// The right response, when the test lets it go.
    Hold(Gate),
    /// One bit of the body is flipped.
    CorruptBody,
    /// Zeroes after the body, counted in `Content-Length`.
    Longer(usize),
    /// The body again and again, until the client goes.
    Endless,
    CloseBeforeResponse,
    WrongDigestHeader,
    NoDigestHeader,
    /// Headers set or, with an empty value, removed.
    Headers(Vec<(String, String)>),
    /// 307 to there.
    Redirect(String),
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
        self.released.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    async fn pass(&self) {
        self.arrived.add_permits(1);
        self.released.acquire().await.expect("open").forget();
    }
}

#[derive(Debug, Default)]
struct Repository {
    blobs: BTreeMap<String, Vec<u8>>,
    /// By digest: media type and bytes.
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct State {
    repositories: BTreeMap<String, Repository>,
    uploads: BTreeMap<String, Vec<u8>>,
    serial: usize,
    /// Tokens that are good no longer.
    expired: Vec<String>,
    seen: Vec<String>,
    log: Vec<Received>,
    faults: Vec<Fault>,
    connections: usize,
    sent: u64,
}

#[derive(Debug)]
struct Shared {
    setup: Setup,
    address: SocketAddr,
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A running registry. Stops on drop.
#[derive(Debug)]
pub struct Registry {
    shared: Arc<Shared>,
    ca: String,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Registry {
    /// Open to all, plain HTTP, empty.
    pub fn start() -> Self {
        Self::with(Setup::default())
    }

    /// As `setup` says, empty.
    pub fn with(setup: Setup) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("non-blocking");
        let address = listener.local_addr().expect("an address");
        let (tls, ca) = if setup.tls { wire::certify() } else { (None, String::new()) };
        let shared = Arc::new(Shared { setup, address, state: Mutex::default() });
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = wire::serve(serving, listener, tls) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { shared, ca, stop: Some(stop), thread: Some(thread) }
    }

    /// `HOST:PORT`; the host is one that plain HTTP is used with unless told otherwise.
    pub fn address(&self) -> String {
        self.shared.address.to_string()
    }

    /// With the scheme.
    pub fn url(&self) -> String {
        let scheme = if self.shared.setup.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.shared.address)
    }

    /// The PEM certificate to trust, for TLS.
    pub fn ca(&self) -> &[u8] {
        self.ca.as_bytes()
    }

    /// The same, parsed; none without TLS.
    pub fn certificates(&self) -> Certificates {
        if self.ca.is_empty() { Certificates::default() } else { Certificates::parse(self.ca()).expect("PEM") }
    }

    /// What was received so far.
    pub fn log(&self) -> Vec<Received> {
        self.shared.state().log.clone()
    }

    /// `METHOD path` of what was received so far.
    pub fn lines(&self) -> Vec<String> {
        self.log().iter().map(|received| format!("{} {}", received.method, received.path)).collect()
    }

    /// Forgets what was received.
    pub fn clear_log(&self) {
        self.shared.state().log.clear();
    }

    /// Lets something go wrong.
    pub fn fail(&self, fault: Fault) {
        self.shared.state().faults.push(fault);
    }

    /// Lets nothing go wrong any longer.
    pub fn heal(&self) {
        self.shared.state().faults.clear();
    }

    /// Tokens that were used so far are good no longer.
    pub fn expire_tokens(&self) {
        let mut state = self.shared.state();
        let seen = std::mem::take(&mut state.seen);
        state.expired.extend(seen);
    }

    /// How many body bytes were sent.
    pub fn sent(&self) -> u64 {
        self.shared.state().sent
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// Media type and bytes of a manifest, by tag or digest.
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<(String, Vec<u8>)> {
        let state = self.shared.state();
        let repository = state.repositories.get(repository)?;
        let digest = repository.tags.get(reference).map_or(reference, String::as_str);
        repository.manifests.get(digest).cloned()
    }

    /// Tags with the digests that they name.
    pub fn tags(&self, repository: &str) -> BTreeMap<String, String> {
        self.shared.state().repositories.get(repository).map(|found| found.tags.clone()).unwrap_or_default()
    }

    /// How many uploads were started and neither finished nor cancelled.
    pub fn uploads(&self) -> usize {
        self.shared.state().uploads.len()
    }

    /// The names of all repositories.
    pub fn repositories(&self) -> Vec<String> {
        self.shared.state().repositories.keys().cloned().collect()
    }

    /// The bytes of a blob.
    pub fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        self.shared.state().repositories.get(repository)?.blobs.get(digest).cloned()
    }

    /// Stores a blob under any digest, right or wrong.
    pub fn put_blob(&self, repository: &str, digest: &str, bytes: &[u8]) {
        let mut state = self.shared.state();
        state.repositories.entry(repository.to_owned()).or_default().blobs.insert(digest.to_owned(), bytes.to_vec());
    }

    /// Stores a manifest under any digest, right or wrong, and lets `tag` name it.
    pub fn put_manifest(&self, repository: &str, tag: Option<&str>, digest: &str, media_type: &str, bytes: &[u8]) {
        let mut state = self.shared.state();
        let repository = state.repositories.entry(repository.to_owned()).or_default();
        repository.manifests.insert(digest.to_owned(), (media_type.to_owned(), bytes.to_vec()));
        if let Some(tag) = tag {
            repository.tags.insert(tag.to_owned(), digest.to_owned());
        }
    }

    /// Takes a blob away.
    pub fn remove_blob(&self, repository: &str, digest: &str) {
        if let Some(found) = self.shared.state().repositories.get_mut(repository) {
            found.blobs.remove(digest);
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

//! A registry in this process: real HTTP, on a thread and a runtime of its own. It records the requests that it
//! receives, shows its content, and fails on request.
#![allow(dead_code, reason = "included by several test crates, each of which uses a part")]

#[path = "registry/auth.rs"]
mod auth;
#[path = "registry/distribution.rs"]
mod distribution;
#[path = "registry/fault.rs"]
mod fault;
#[path = "registry/late.rs"]
mod late;
#[path = "registry/quirks.rs"]
mod quirks;
#[path = "registry/tags.rs"]
mod tags;
#[path = "registry/uploads.rs"]
mod uploads;
#[path = "registry/wire.rs"]
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use alga_release::oci::Certificates;

pub use auth::{Auth, Tokens};
pub use fault::{Action, Fault, Gate, Limit, Notice, Slow, Unreliable};
pub use late::Late;
pub use quirks::{Immutable, Quirks, Referrers, Tags};

/// The address of the second host.
const ELSEWHERE: &str = "127.0.0.2";

/// The configuration of a registry.
#[derive(Clone, Debug)]
pub struct Setup {
    pub auth: Auth,
    pub tokens: Tokens,
    pub tls: bool,
    /// Whether `POST …/uploads/?mount=` is supported. Otherwise the answer is 405.
    pub mount: bool,
    pub quirks: Quirks,
    pub elsewhere: Elsewhere,
    /// Number of reads of a tag that still return the value before its last write.
    pub stale_reads: usize,
    /// How long the state before a write is shown, if at all.
    pub late: Option<Late>,
}

/// The parts of a registry that are on the second host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Elsewhere {
    /// Whether the token server is on the second host.
    pub tokens: bool,
    /// Whether the blobs are on the second host. Reading a blob redirects there.
    pub blobs: bool,
    pub tls: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            auth: Auth::Open,
            tokens: Tokens::default(),
            tls: false,
            mount: true,
            quirks: Quirks::default(),
            elsewhere: Elsewhere::default(),
            stale_reads: 0,
            late: None,
        }
    }
}

/// A request as it was received.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    pub path: String,
    pub query: String,
    /// Value of the `Authorization` header.
    pub authorization: Option<String>,
    /// Value of the `Proxy-Authorization` header, which only a proxy should receive.
    pub proxy_authorization: Option<String>,
    pub content_type: Option<String>,
    pub content_length: Option<String>,
    pub body: usize,
    /// Number of the connection, counted from 0.
    pub connection: usize,
    /// Whether the request was sent to the second host.
    pub elsewhere: bool,
}

#[derive(Clone, Debug, Default)]
struct Repository {
    blobs: BTreeMap<String, Vec<u8>>,
    /// Media type and bytes of each manifest, by digest.
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    tags: BTreeMap<String, String>,
    /// By tag: the value before the last write, and the number of reads that still return it.
    stale: BTreeMap<String, (Option<String>, usize)>,
}

#[derive(Debug, Default)]
struct State {
    repositories: BTreeMap<String, Repository>,
    uploads: BTreeMap<String, Vec<u8>>,
    serial: usize,
    tokens: BTreeMap<String, auth::Grant>,
    /// Repositories that everyone may read, if that is not all of them.
    public: BTreeSet<String>,
    log: Vec<Received>,
    faults: Vec<Fault>,
    limit: Option<Limit>,
    unreliable: Option<Unreliable>,
    /// Number of requests that failed.
    failed: usize,
    connections: usize,
    sent: u64,
    written: late::Written,
}

impl State {
    fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }
}

#[derive(Debug)]
struct Shared {
    setup: Setup,
    address: SocketAddr,
    elsewhere: SocketAddr,
    state: Mutex<State>,
}

impl Shared {
    fn url(&self) -> String {
        format!("{}://{}", if self.setup.tls { "https" } else { "http" }, self.address)
    }

    fn elsewhere_url(&self) -> String {
        format!("{}://{}", if self.setup.elsewhere.tls { "https" } else { "http" }, self.elsewhere)
    }

    fn token_realm(&self) -> String {
        let host = if self.setup.elsewhere.tokens { self.elsewhere_url() } else { self.url() };
        format!("{host}/token")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A running registry, which stops on drop.
#[derive(Debug)]
pub struct Registry {
    shared: Arc<Shared>,
    ca: String,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Registry {
    /// Starts an empty registry with plain HTTP that is open to everyone.
    pub fn start() -> Self {
        Self::with(Setup::default())
    }

    /// Starts an empty registry with this configuration.
    pub fn with(setup: Setup) -> Self {
        let listen = |host: &str| {
            let listener = TcpListener::bind((host, 0)).expect("a free port");
            listener.set_nonblocking(true).expect("non-blocking");
            listener
        };
        let (listener, other) = (listen("127.0.0.1"), listen(ELSEWHERE));
        let address = |listener: &TcpListener| listener.local_addr().expect("an address");
        let (own, elsewhere) = (address(&listener), address(&other));
        let encrypted = setup.tls || setup.elsewhere.tls;
        let (tls, ca) = if encrypted { wire::certify() } else { (None, String::new()) };
        let (own_tls, other_tls) = (tls.clone().filter(|_| setup.tls), tls.filter(|_| setup.elsewhere.tls));
        let shared = Arc::new(Shared { setup, address: own, elsewhere, state: Mutex::default() });
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = wire::serve(Arc::clone(&serving), listener, own_tls, false) => {}
                    () = wire::serve(serving, other, other_tls, true) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { shared, ca, stop: Some(stop), thread: Some(thread) }
    }

    /// Starts a registry with this configuration and a copy of the content of `other`.
    pub fn copy_of(other: &Self, setup: Setup) -> Self {
        let copy = Self::with(setup);
        let repositories = other.shared.state().repositories.clone();
        copy.shared.state().repositories = repositories;
        copy
    }

    /// Returns `HOST:PORT`. Clients use plain HTTP for this host by default.
    pub fn address(&self) -> String {
        self.shared.address.to_string()
    }

    /// Returns the URL of the registry.
    pub fn url(&self) -> String {
        self.shared.url()
    }

    /// Returns the PEM certificate to trust, which is empty without TLS.
    pub fn ca(&self) -> &[u8] {
        self.ca.as_bytes()
    }

    /// Returns the certificate to trust, parsed.
    pub fn certificates(&self) -> Certificates {
        if self.ca.is_empty() { Certificates::default() } else { Certificates::parse(self.ca()).expect("PEM") }
    }

    /// Returns all requests that were received.
    pub fn log(&self) -> Vec<Received> {
        self.shared.state().log.clone()
    }

    /// Returns `METHOD path` of all requests that were received.
    pub fn lines(&self) -> Vec<String> {
        self.log().iter().map(|received| format!("{} {}", received.method, received.path)).collect()
    }

    /// Clears the list of received requests.
    pub fn clear_log(&self) {
        self.shared.state().log.clear();
    }

    /// Adds a fault.
    pub fn fail(&self, fault: Fault) {
        self.shared.state().faults.push(fault);
    }

    /// Lets a share of all further requests fail.
    pub fn unreliable(&self, unreliable: Unreliable) {
        self.shared.state().unreliable = Some(unreliable);
    }

    /// Counts all further requests, and refuses those over the limit.
    pub fn limit(&self, limit: Limit) {
        self.shared.state().limit = Some(limit);
    }

    /// Removes all faults.
    pub fn heal(&self) {
        let mut state = self.shared.state();
        state.faults.clear();
        (state.limit, state.unreliable) = (None, None);
    }

    /// Returns the number of requests that failed.
    pub fn failed(&self) -> usize {
        self.shared.state().failed
    }

    /// Expires all tokens that have been used.
    pub fn expire_tokens(&self) {
        auth::expire(&mut self.shared.state().tokens);
    }

    /// Returns the number of body bytes that were sent.
    pub fn sent(&self) -> u64 {
        self.shared.state().sent
    }

    /// Returns the number of connections that were accepted.
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// Returns media type and bytes of a manifest, by tag or digest.
    pub fn manifest(&self, repository: &str, reference: &str) -> Option<(String, Vec<u8>)> {
        let state = self.shared.state();
        let repository = state.repositories.get(repository)?;
        let digest = repository.tags.get(reference).map_or(reference, String::as_str);
        repository.manifests.get(digest).cloned()
    }

    /// Returns the tags of a repository with their digests.
    pub fn tags(&self, repository: &str) -> BTreeMap<String, String> {
        self.shared.state().repositories.get(repository).map(|found| found.tags.clone()).unwrap_or_default()
    }

    /// Returns the digests of all manifests of a repository.
    pub fn manifests(&self, repository: &str) -> Vec<String> {
        let state = self.shared.state();
        state.repositories.get(repository).map(|found| found.manifests.keys().cloned().collect()).unwrap_or_default()
    }

    /// Returns the names of all repositories.
    pub fn repositories(&self) -> Vec<String> {
        self.shared.state().repositories.keys().cloned().collect()
    }

    /// Returns the bytes of a blob.
    pub fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        self.shared.state().repositories.get(repository)?.blobs.get(digest).cloned()
    }

    /// Creates an empty repository.
    pub fn create(&self, repository: &str) {
        self.shared.state().repository(repository);
    }

    /// Lets everyone read a repository.
    pub fn publish(&self, repository: &str) {
        let mut state = self.shared.state();
        state.public.insert(repository.to_owned());
        late::published(&self.shared, &mut state, repository);
    }

    /// Sets a tag to a digest.
    pub fn tag(&self, repository: &str, tag: &str, digest: &str) {
        self.shared.state().repository(repository).tags.insert(tag.to_owned(), digest.to_owned());
    }

    /// Sets each of these tags to one digest.
    pub fn tag_all(&self, repository: &str, tags: impl IntoIterator<Item = String>, digest: &str) {
        let mut state = self.shared.state();
        state.repository(repository).tags.extend(tags.into_iter().map(|tag| (tag, digest.to_owned())));
    }

    /// Returns the number of uploads that were neither finished nor cancelled.
    pub fn uploads(&self) -> usize {
        self.shared.state().uploads.len()
    }

    /// Stores a blob under any digest, right or wrong.
    pub fn put_blob(&self, repository: &str, digest: &str, bytes: &[u8]) {
        let mut state = self.shared.state();
        state.repository(repository).blobs.insert(digest.to_owned(), bytes.to_vec());
    }

    /// Stores a manifest under any digest, right or wrong, and sets `tag` to it.
    pub fn put_manifest(&self, repository: &str, tag: Option<&str>, digest: &str, media_type: &str, bytes: &[u8]) {
        let mut state = self.shared.state();
        let repository = state.repository(repository);
        repository.manifests.insert(digest.to_owned(), (media_type.to_owned(), bytes.to_vec()));
        if let Some(tag) = tag {
            repository.tags.insert(tag.to_owned(), digest.to_owned());
        }
    }

    /// Removes a tag. The manifest stays.
    pub fn remove_tag(&self, repository: &str, tag: &str) {
        if let Some(found) = self.shared.state().repositories.get_mut(repository) {
            found.tags.remove(tag);
        }
    }

    /// Removes a manifest and every tag that points to it.
    pub fn remove_manifest(&self, repository: &str, digest: &str) {
        if let Some(found) = self.shared.state().repositories.get_mut(repository) {
            found.manifests.remove(digest);
            found.tags.retain(|_, named| named != digest);
        }
    }

    /// Removes a manifest, but not the tags that point to it.
    pub fn lose_manifest(&self, repository: &str, digest: &str) {
        if let Some(found) = self.shared.state().repositories.get_mut(repository) {
            found.manifests.remove(digest);
        }
    }

    /// Removes a blob of a repository.
    pub fn remove_blob(&self, repository: &str, digest: &str) {
        if let Some(found) = self.shared.state().repositories.get_mut(repository) {
            found.blobs.remove(digest);
        }
    }
}

/// Runs `work`, and answers the first `count` requests whose path contains `path` only after all of them have arrived.
/// This fails if they are not sent concurrently.
pub fn at_once(registry: &Registry, path: &str, count: u32, work: impl FnOnce() + Send) {
    at_once_behind(registry, (path, 0), count, work);
}

/// Works as [`at_once`], after skipping the first requests.
pub fn at_once_behind(registry: &Registry, (path, skip): (&str, usize), count: u32, work: impl FnOnce() + Send) {
    let gate = Gate::default();
    registry.fail(Fault { skip, times: count as usize, ..Fault::every("GET", path, Action::Hold(gate.clone())) });
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            // Less than the timeout of the client, so that the failure is reported here.
            let arrived =
                runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), gate.arrived(count)).await });
            gate.release();
            assert!(arrived.is_ok(), "{count} requests for {path} wait for each other");
        });
        work();
        waiting.join().expect("all at once");
    });
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

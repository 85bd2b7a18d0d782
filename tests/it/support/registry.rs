//! A registry in this process: real HTTP, on a thread and a runtime of its own. It records what it receives, shows what it holds,
//! and fails when it is told to.
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

/// The address of the other host.
const ELSEWHERE: &str = "127.0.0.2";

/// How a registry is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    pub auth: Auth,
    pub tokens: Tokens,
    pub tls: bool,
    /// Is `POST …/uploads/?mount=` understood? Otherwise it is answered by 405.
    pub mount: bool,
    pub quirks: Quirks,
    pub elsewhere: Elsewhere,
    /// How many times a tag is read as it was before it was written.
    pub stale_reads: usize,
    /// How long what was there before is shown, when it is.
    pub late: Option<Late>,
}

/// What of a registry lies on another host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Elsewhere {
    /// The token server.
    pub tokens: bool,
    /// The blobs: reading one is a redirect to there.
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
    /// The value of `Authorization`.
    pub authorization: Option<String>,
    /// The value of `Proxy-Authorization`, which nobody but a proxy should see.
    pub proxy_authorization: Option<String>,
    pub content_type: Option<String>,
    pub content_length: Option<String>,
    pub body: usize,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
    /// Was it for the other host?
    pub elsewhere: bool,
}

#[derive(Clone, Debug, Default)]
struct Repository {
    blobs: BTreeMap<String, Vec<u8>>,
    /// By digest: media type and bytes.
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    tags: BTreeMap<String, String>,
    /// By tag: what it named before it was written last, and how many readers still see that.
    stale: BTreeMap<String, (Option<String>, usize)>,
}

#[derive(Debug, Default)]
struct State {
    repositories: BTreeMap<String, Repository>,
    uploads: BTreeMap<String, Vec<u8>>,
    serial: usize,
    tokens: BTreeMap<String, auth::Grant>,
    /// Repositories that everybody may read, where that is not all of them.
    public: BTreeSet<String>,
    log: Vec<Received>,
    faults: Vec<Fault>,
    limit: Option<Limit>,
    unreliable: Option<Unreliable>,
    /// How many requests went wrong.
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

    /// As `setup` says, with a copy of what `other` holds.
    pub fn copy_of(other: &Self, setup: Setup) -> Self {
        let copy = Self::with(setup);
        let repositories = other.shared.state().repositories.clone();
        copy.shared.state().repositories = repositories;
        copy
    }

    /// `HOST:PORT`; the host is one that plain HTTP is used with unless told otherwise.
    pub fn address(&self) -> String {
        self.shared.address.to_string()
    }

    /// With the scheme.
    pub fn url(&self) -> String {
        self.shared.url()
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

    /// From now on a share of the requests goes wrong.
    pub fn unreliable(&self, unreliable: Unreliable) {
        self.shared.state().unreliable = Some(unreliable);
    }

    /// From now on requests are counted, and refused when they are too many.
    pub fn limit(&self, limit: Limit) {
        self.shared.state().limit = Some(limit);
    }

    /// Lets nothing go wrong any longer.
    pub fn heal(&self) {
        let mut state = self.shared.state();
        state.faults.clear();
        (state.limit, state.unreliable) = (None, None);
    }

    /// How many requests went wrong so far.
    pub fn failed(&self) -> usize {
        self.shared.state().failed
    }

    /// Tokens that were used so far are good no longer.
    pub fn expire_tokens(&self) {
        auth::expire(&mut self.shared.state().tokens);
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

    /// The names of all repositories.
    pub fn repositories(&self) -> Vec<String> {
        self.shared.state().repositories.keys().cloned().collect()
    }

    /// The bytes of a blob.
    pub fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        self.shared.state().repositories.get(repository)?.blobs.get(digest).cloned()
    }

    /// Makes an empty repository.
    pub fn create(&self, repository: &str) {
        self.shared.state().repository(repository);
    }

    /// Lets everybody read a repository.
    pub fn publish(&self, repository: &str) {
        let mut state = self.shared.state();
        state.public.insert(repository.to_owned());
        late::published(&self.shared, &mut state, repository);
    }

    /// Lets a tag name something else.
    pub fn tag(&self, repository: &str, tag: &str, digest: &str) {
        self.shared.state().repository(repository).tags.insert(tag.to_owned(), digest.to_owned());
    }

    /// Lets each of these tags name something.
    pub fn tag_all(&self, repository: &str, tags: impl IntoIterator<Item = String>, digest: &str) {
        let mut state = self.shared.state();
        state.repository(repository).tags.extend(tags.into_iter().map(|tag| (tag, digest.to_owned())));
    }

    /// How many uploads were started and neither finished nor cancelled.
    pub fn uploads(&self) -> usize {
        self.shared.state().uploads.len()
    }

    /// Stores a blob under any digest, right or wrong.
    pub fn put_blob(&self, repository: &str, digest: &str, bytes: &[u8]) {
        let mut state = self.shared.state();
        state.repository(repository).blobs.insert(digest.to_owned(), bytes.to_vec());
    }

    /// Stores a manifest under any digest, right or wrong, and lets `tag` name it.
    pub fn put_manifest(&self, repository: &str, tag: Option<&str>, digest: &str, media_type: &str, bytes: &[u8]) {
        let mut state = self.shared.state();
        let repository = state.repository(repository);
        repository.manifests.insert(digest.to_owned(), (media_type.to_owned(), bytes.to_vec()));
        if let Some(tag) = tag {
            repository.tags.insert(tag.to_owned(), digest.to_owned());
        }
    }

    /// Takes a tag away; its manifest stays.
    pub fn remove_tag(&self, repository: &str, tag: &str) {
        if let Some(found) = self.shared.state().repositories.get_mut(repository) {
            found.tags.remove(tag);
        }
    }

    /// Takes a manifest away, and every tag that names it.
    pub fn remove_manifest(&self, repository: &str, digest: &str) {
        if let Some(found) = self.shared.state().repositories.get_mut(repository) {
            found.manifests.remove(digest);
            found.tags.retain(|_, named| named != digest);
        }
    }

    /// Takes a manifest away, and leaves the tags that name it.
    pub fn lose_manifest(&self, repository: &str, digest: &str) {
        if let Some(found) = self.shared.state().repositories.get_mut(repository) {
            found.manifests.remove(digest);
        }
    }

    /// Takes a blob away.
    pub fn remove_blob(&self, repository: &str, digest: &str) {
        if let Some(found) = self.shared.state().repositories.get_mut(repository) {
            found.blobs.remove(digest);
        }
    }
}

/// Does `work`, of which `count` requests whose path holds `path` are not answered before all of them are there: those do not wait
/// for each other.
pub fn at_once(registry: &Registry, path: &str, count: u32, work: impl FnOnce() + Send) {
    at_once_behind(registry, (path, 0), count, work);
}

/// The same of the requests behind the first ones.
pub fn at_once_behind(registry: &Registry, (path, skip): (&str, usize), count: u32, work: impl FnOnce() + Send) {
    let gate = Gate::default();
    registry.fail(Fault { skip, times: count as usize, ..Fault::every("GET", path, Action::Hold(gate.clone())) });
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            // Less than the client's own patience: then it is said here.
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

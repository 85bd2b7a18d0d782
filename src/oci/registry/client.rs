//! Sends requests: chooses their connections and credentials, and limits how long they take.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::api::Recognized;
use super::auth::{Access, Authenticator};
use super::body::{Body, Failed};
use super::error::{self, shown_target};
use super::realm::Realms;
use super::retry::Patience;
use super::{Certificates, Error, Exchange, Options, Prefix, Trace, tls};
use crate::oci::{Kind, reference::is_loopback};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest time without any bytes from the server.
const READ_TIMEOUT: Duration = Duration::from_mins(1);
/// Bytes per second below which a transfer is given up.
const SLOWEST: u64 = 64 << 10;
/// Largest number of redirects that one request follows.
pub(super) const REDIRECT_LIMIT: usize = 5;
/// Bytes that are read of a response that reports an error.
const EXPLANATION_LIMIT: u64 = 64 << 10;

/// The operation that a request belongs to.
#[derive(Debug)]
pub(super) struct Operation {
    /// An infinitive for messages: "read", "push".
    pub attempted: &'static str,
    /// The reference that messages name.
    pub reference: String,
    /// Path of the repository in its registry.
    pub path: String,
    /// The permission that the token must grant.
    pub access: Access,
}

impl Operation {
    /// Returns the scope of the token, as token servers write it.
    pub(super) fn scope(&self) -> String {
        format!("repository:{}:{}", self.path, self.access.actions())
    }

    pub(super) fn error(&self, kind: Kind, reason: impl Into<String>) -> Error {
        Error::new(kind, self.attempted, self.reference.clone(), reason)
    }
}

/// A request that can be sent again. Its body is shared or opened again, not copied.
#[derive(Clone)]
pub(super) struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<Body>,
}

impl std::fmt::Debug for Request {
    /// Leaves out the body, which may contain a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("method", &self.method).field("url", &self.url).finish_non_exhaustive()
    }
}

impl Request {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: None }
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// What to read of a successful response.
#[derive(Clone, Copy, Debug)]
pub(super) enum Take {
    /// At most this many bytes of the body.
    Bytes(u64),
    /// The body as a stream.
    #[cfg_attr(not(feature = "publish"), expect(dead_code, reason = "the resolver copies nothing"))]
    Stream,
}

impl From<u64> for Take {
    fn from(limit: u64) -> Self {
        Self::Bytes(limit)
    }
}

/// The client for one registry.
pub(super) struct Client {
    pub(super) root: Url,
    authenticator: Authenticator,
    ca: Certificates,
    insecure: bool,
    /// A connection pool for each scheme, created when it is first needed, because loading the root certificates takes
    /// longer than a plain request. Loopback addresses have two pools of their own, which use no proxy.
    pools: [OnceLock<reqwest::Client>; 4],
    /// Limits the number of open connections.
    permits: Arc<Semaphore>,
    patience: Patience,
    trace: Option<Trace>,
    pub(super) recognized: Recognized,
    /// Whether any server answered any request.
    answered: AtomicBool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("root", &self.root).finish_non_exhaustive()
    }
}

/// Host of Docker Hub's API.
pub(super) const HUB: &str = "registry-1.docker.io";

/// Returns the host of a registry's API. The names of Docker Hub's images contain another host.
fn api_host(host: &str) -> &str {
    if matches!(host, "docker.io" | "index.docker.io") { HUB } else { host }
}

impl Client {
    pub(super) fn new(prefix: &Prefix, options: Options) -> Result<Self, Error> {
        let failed = |reason: &str| Error::new(Kind::Malformed, "open", prefix.to_string(), reason);
        let scheme = if prefix.plain_http() { "http" } else { "https" };
        let root = Url::parse(&format!("{scheme}://{}/v2/", api_host(prefix.host())))
            .map_err(|cause| failed("invalid registry address").caused_by(cause))?;
        let realms = Realms { allowed: options.auth_realms.clone(), same_owner: options.same_owner };
        let client = Self {
            patience: Patience::new(&options),
            trace: options.trace,
            permits: Arc::new(Semaphore::new(options.jobs.max(1))),
            authenticator: Authenticator::new(&root, options.credentials, realms),
            root,
            ca: options.ca,
            insecure: options.insecure,
            pools: Default::default(),
            recognized: Recognized::default(),
            answered: AtomicBool::new(false),
        };
        client.pool(&client.root).map_err(|(kind, reason)| Error::new(kind, "open", prefix.to_string(), reason))?;
        Ok(client)
    }

    /// Repeats `attempt` until it succeeds, fails for good, or the time for retries is over.
    pub(super) async fn persist<T>(&self, attempt: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
        self.patience.persist(attempt).await
    }

    /// Reports a message to the caller's notice, once.
    pub(super) fn say(&self, text: &str) {
        self.patience.say(text);
    }

    /// Builds the URL `<registry>/v2/<path>/<rest>`.
    pub(super) fn url(&self, operation: &Operation, rest: &str) -> Url {
        let mut url = self.root.clone();
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        url.set_path(&format!("/v2/{}/{rest}", operation.path));
        url.set_query(query);
        url
    }

    /// Returns whether a URL has the scheme, host and port of this registry.
    pub(super) fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.root.origin()
    }

    /// Resolves the target of a `Location` or `Link` header.
    ///
    /// # Errors
    /// When the target is not an HTTP URL, or leaves TLS.
    pub(super) fn follow(operation: &Operation, from: &Url, target: &str) -> Result<Url, Error> {
        let malformed = |what: &str| {
            operation.error(Kind::Malformed, format!("the registry redirects to `{}`, {what}", shown_target(target)))
        };
        let url = from.join(target).map_err(|_| malformed("which is not a valid URL"))?;
        match (from.scheme(), url.scheme()) {
            ("https", "http") => Err(malformed("which is not encrypted")),
            (_, "http" | "https") => Ok(url),
            _ => Err(malformed("which is not an HTTP URL")),
        }
    }

    /// Sends a request. A request to the registry itself carries the credentials that the registry asks for, and a
    /// rejected token is renewed once. `take` says how much of a successful response is read.
    pub(super) async fn call(
        &self,
        operation: &Operation,
        request: &Request,
        take: impl Into<Take>,
    ) -> Result<Answer, Error> {
        let take = take.into();
        if !self.is_own(&request.url) {
            return self.send(operation, request, None, take).await;
        }
        let sent = self.authenticator.authorization(self, operation).await?;
        let mut answer = self.send(operation, request, sent.as_deref(), take).await?;
        if answer.status == StatusCode::UNAUTHORIZED
            && let Some(renewed) = self.authenticator.answer(self, operation, &answer.headers, sent.as_ref()).await?
        {
            answer = self.send(operation, request, Some(&renewed), take).await?;
        }
        self.recognize(operation, &request.method, &answer).await?;
        Ok(answer)
    }

    /// Works as [`Self::call`] and follows redirects, which is allowed for `GET` and `HEAD`.
    pub(super) async fn call_following(
        &self,
        operation: &Operation,
        mut request: Request,
        take: impl Into<Take>,
    ) -> Result<Answer, Error> {
        let take = take.into();
        for _ in 0..=REDIRECT_LIMIT {
            let mut answer = self.call(operation, &request, take).await?;
            if answer.status == StatusCode::FORBIDDEN && request.method == Method::HEAD {
                // Only the body contains the reason: GitHub also answers 403 for a rate limit.
                request.method = Method::GET;
                answer = self.call(operation, &request, take).await?;
            }
            let location = answer.headers.get(LOCATION).filter(|_| answer.status.is_redirection());
            let Some(location) = location else { return Ok(answer) };
            request.url = Self::follow(operation, &request.url, &String::from_utf8_lossy(location.as_bytes()))?;
        }
        Err(operation.error(Kind::Malformed, format!("more than {REDIRECT_LIMIT} redirects, which is the limit")))
    }

    /// Sends one request. All requests go through this function. A response that asks for a later retry becomes a
    /// transient error.
    pub(super) async fn send(
        &self,
        operation: &Operation,
        request: &Request,
        authorization: Option<&SecretString>,
        take: impl Into<Take>,
    ) -> Result<Answer, Error> {
        let pool = self.pool(&request.url).map_err(|(kind, reason)| operation.error(kind, reason))?;
        let mut outgoing = prepare(operation, request, authorization)?;
        let patience = patience_for(request.body.as_ref().map_or(0, Body::length));
        // Held until the body has been read, which limits the number of open connections.
        let permit = self.permits.clone().acquire_owned().await.ok();
        let failed = Failed::default();
        *outgoing.body_mut() = request.body.as_ref().map(|body| body.open(&failed));
        let started = tokio::time::Instant::now();
        let sent = timeout(patience, pool.execute(outgoing)).await;
        if let Some(trace) = &self.trace {
            let status =
                sent.as_ref().ok().and_then(|sent| sent.as_ref().ok()).map(|response| response.status().as_u16());
            let (method, url) = (request.method.as_str(), &error::shown_url(&request.url));
            trace(&Exchange { method, url, status, elapsed: started.elapsed() });
        }
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(cause)) => {
                let (ours, answered) = (failed.error(operation), self.answered.load(Ordering::Relaxed));
                return Err(ours.unwrap_or_else(|| error::unreachable(operation, &request.url, &cause, answered)));
            }
            Err(_) => return Err(error::silent(operation, &request.url, patience)),
        };
        self.answered.store(true, Ordering::Relaxed);
        let answer = Answer::read(operation, Opened { response, _permit: permit }, take.into()).await?;
        match error::transient(operation, &answer) {
            Some(error) => Err(error),
            None => Ok(answer),
        }
    }

    fn pool(&self, url: &Url) -> Result<&reqwest::Client, (Kind, String)> {
        let secure = url.scheme() == "https";
        let local = is_loopback(url.host_str().unwrap_or_default().trim_matches(['[', ']']));
        let cell = &self.pools[usize::from(secure) + 2 * usize::from(local)];
        if let Some(pool) = cell.get() {
            return Ok(pool);
        }
        let tls = if secure { tls::config(&self.ca, self.insecure)? } else { tls::none()? };
        let pool = new_pool(tls, local).map_err(|cause| (Kind::Unavailable, format!("cannot set up HTTP: {cause}")))?;
        Ok(cell.get_or_init(|| pool))
    }
}

/// Creates a connection pool. Proxies come from the environment, as for curl.
fn new_pool(tls: rustls::ClientConfig, local: bool) -> Result<reqwest::Client, reqwest::Error> {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        // `localhost` is always loopback (RFC 6761, section 6.3). Resolving it would cost a thread for each connection.
        .resolve_to_addrs("localhost", &[(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()]);
    if local { builder.no_proxy() } else { builder }.build()
}

/// Converts a request for the HTTP crate, without its body, which is opened later.
fn prepare(
    operation: &Operation,
    request: &Request,
    authorization: Option<&SecretString>,
) -> Result<reqwest::Request, Error> {
    let mut outgoing = reqwest::Request::new(request.method.clone(), request.url.clone());
    *outgoing.headers_mut() = request.headers.clone();
    if let Some(authorization) = authorization {
        let mut value = HeaderValue::from_str(authorization.expose_secret()).map_err(|_| {
            operation.error(Kind::Denied, "the credentials contain characters that are not allowed in an HTTP header")
        })?;
        value.set_sensitive(true);
        outgoing.headers_mut().insert(AUTHORIZATION, value);
    }
    if let Some(body) = &request.body {
        // reqwest omits the header for an empty body and for a stream, and some registries and proxies answer 411
        // without it.
        outgoing.headers_mut().insert(CONTENT_LENGTH, body.length().into());
    }
    Ok(outgoing)
}

/// Returns how long the transfer of `bytes` may take, including the time that the server needs to respond.
fn patience_for(bytes: u64) -> Duration {
    READ_TIMEOUT + Duration::from_secs(bytes / SLOWEST)
}

/// A response whose body has not been read. It counts against the limit of open connections.
#[derive(Debug)]
pub(super) struct Opened {
    response: reqwest::Response,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Opened {
    /// Returns the next piece of the body.
    pub(super) async fn next(&mut self, operation: &Operation) -> Result<Option<Bytes>, Error> {
        match timeout(READ_TIMEOUT, self.response.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(cause)) => Err(error::broken_off(operation, self.response.url(), cause)),
            Err(_) => Err(error::silent(operation, self.response.url(), READ_TIMEOUT)),
        }
    }
}

/// A response and as much of its body as was read.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    /// URL of the server that answered.
    pub url: Url,
    pub headers: HeaderMap,
    /// The body, up to the limit.
    pub body: Bytes,
    /// Whether `body` is the whole body.
    pub whole: bool,
    /// The body as a stream, when one was requested.
    #[cfg_attr(not(feature = "publish"), expect(dead_code, reason = "the resolver copies nothing"))]
    pub stream: Option<Opened>,
}

impl Answer {
    /// Reads as much of the body as `take` says, and the explanation in an error response. Memory is allocated for the
    /// bytes that arrive, not for the length that the header announces.
    async fn read(operation: &Operation, mut opened: Opened, take: Take) -> Result<Self, Error> {
        let (status, url) = (opened.response.status(), opened.response.url().clone());
        let headers = std::mem::take(opened.response.headers_mut());
        let limit = match take {
            Take::Bytes(limit) if status.is_success() => limit,
            Take::Stream if status.is_success() => {
                return Ok(Self { status, url, headers, body: Bytes::new(), whole: false, stream: Some(opened) });
            }
            _ => EXPLANATION_LIMIT,
        };
        let patience = patience_for(limit);
        let mut body = BytesMut::new();
        let reading = async {
            while let Some(chunk) = opened.next(operation).await? {
                let room = usize::try_from(limit).unwrap_or(usize::MAX) - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        let whole = match timeout(patience, reading).await {
            Ok(Ok(whole)) => whole,
            // An error response counts even if its body cannot be read.
            _ if !status.is_success() => false,
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(error::silent(operation, &url, patience)),
        };
        let body = body.freeze();
        Ok(Self { status, url, headers, body, whole, stream: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_of_docker_hub_are_requested_from_the_host_of_its_api() {
        for (host, expected) in
            [("docker.io", "registry-1.docker.io"), ("quay.io", "quay.io"), ("docker.io:5000", "docker.io:5000")]
        {
            assert_eq!(api_host(host), expected);
        }
    }
}

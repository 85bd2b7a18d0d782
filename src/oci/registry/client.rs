//! Requests: where they go, with which credentials, and how long they may take.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::auth::{Access, Authenticator};
use super::body::{Body, Failed};
use super::error::{self, shown_target};
use super::realm::Realms;
use super::retry::Patience;
use super::{Certificates, Error, Options, Prefix, tls};
use crate::oci::{Kind, reference::is_loopback};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the other side may be silent.
const READ_TIMEOUT: Duration = Duration::from_mins(1);
/// Bytes a second below which a transfer is given up.
const SLOWEST: u64 = 64 << 10;
const REDIRECT_LIMIT: usize = 5;
/// What is read of a body that only says what went wrong.
const EXPLANATION_LIMIT: u64 = 64 << 10;

/// On whose behalf requests are sent.
#[derive(Debug)]
pub(super) struct Operation {
    /// A gerund, for messages.
    pub attempted: &'static str,
    /// For messages.
    pub reference: String,
    /// Path of the repository in its registry.
    pub path: String,
    /// What the token must allow.
    pub access: Access,
}

impl Operation {
    /// What a token must allow, as token servers write it.
    pub(super) fn scope(&self) -> String {
        format!("repository:{}:{}", self.path, self.access.actions())
    }

    pub(super) fn error(&self, kind: Kind, reason: impl Into<String>) -> Error {
        Error::new(kind, self.attempted, self.reference.clone(), reason)
    }
}

/// A request that can be sent again: its body is shared, or opened again, not copied.
#[derive(Clone)]
pub(super) struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<Body>,
}

impl std::fmt::Debug for Request {
    /// Without the body, which may be a secret.
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

/// What is wanted of an answer that is a success.
#[derive(Clone, Copy, Debug)]
pub(super) enum Want {
    /// At most so many bytes of its body.
    Bytes(u64),
    /// Its body as it comes.
    #[cfg_attr(not(feature = "publish"), expect(dead_code, reason = "the resolver copies nothing"))]
    Stream,
}

impl From<u64> for Want {
    fn from(limit: u64) -> Self {
        Self::Bytes(limit)
    }
}

/// One registry.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) root: Url,
    authenticator: Authenticator,
    ca: Certificates,
    insecure: bool,
    /// One pool for each scheme, made when first needed: the roots that HTTPS needs take longer to load than a plain request. And
    /// one for each scheme on this machine, which no proxy could reach.
    pools: [OnceLock<reqwest::Client>; 4],
    /// Requests at once.
    permits: Arc<Semaphore>,
    patience: Patience,
}

/// Docker Hub's API.
pub(super) const HUB: &str = "registry-1.docker.io";

/// Where the API of a registry is: Docker Hub's is not where its images are said to be.
fn api_host(host: &str) -> &str {
    if matches!(host, "docker.io" | "index.docker.io") { HUB } else { host }
}

impl Client {
    pub(super) fn new(prefix: &Prefix, options: Options) -> Result<Self, Error> {
        let failed = |reason: &str| Error::new(Kind::Malformed, "opening", prefix.to_string(), reason);
        let scheme = if prefix.plain_http() { "http" } else { "https" };
        let root = Url::parse(&format!("{scheme}://{}/v2/", api_host(prefix.host())))
            .map_err(|cause| failed("its address is not valid").caused_by(cause))?;
        let realms = Realms { allowed: options.auth_realms.clone(), same_owner: options.same_owner };
        let client = Self {
            patience: Patience::new(&options),
            permits: Arc::new(Semaphore::new(options.jobs.max(1))),
            authenticator: Authenticator::new(&root, options.credentials, realms),
            root,
            ca: options.ca,
            insecure: options.insecure,
            pools: Default::default(),
        };
        client.pool(&client.root).map_err(|(kind, reason)| Error::new(kind, "opening", prefix.to_string(), reason))?;
        Ok(client)
    }

    /// Attempts something until it succeeds or nobody would wait any longer.
    pub(super) async fn persist<T>(&self, attempt: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
        self.patience.persist(attempt).await
    }

    /// Says something to whoever listens, once.
    pub(super) fn say(&self, text: &str) {
        self.patience.say(text);
    }

    /// `<registry>/v2/<path>/<rest>`
    pub(super) fn url(&self, operation: &Operation, rest: &str) -> Url {
        let mut url = self.root.clone();
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        url.set_path(&format!("/v2/{}/{rest}", operation.path));
        url.set_query(query);
        url
    }

    /// Is it this registry, by scheme, host and port?
    pub(super) fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.root.origin()
    }

    /// Where a `Location` or `Link` leads.
    ///
    /// # Errors
    /// When it is no HTTP URL, or leaves TLS.
    pub(super) fn follow(operation: &Operation, from: &Url, target: &str) -> Result<Url, Error> {
        let malformed = |what: &str| {
            operation.error(Kind::Malformed, format!("the registry sends us to `{}`, {what}", shown_target(target)))
        };
        let url = from.join(target).map_err(|_| malformed("which is no URL"))?;
        match (from.scheme(), url.scheme()) {
            ("https", "http") => Err(malformed("which is not encrypted")),
            (_, "http" | "https") => Ok(url),
            _ => Err(malformed("which is not HTTP")),
        }
    }

    /// Sends a request with what the registry wants to see of our credentials, when it goes to the registry itself. A refused
    /// token is renewed once. Of the answer's body so much is read as
    /// is wanted.
    pub(super) async fn call(
        &self,
        operation: &Operation,
        request: &Request,
        want: impl Into<Want>,
    ) -> Result<Answer, Error> {
        let want = want.into();
        if !self.is_own(&request.url) {
            return self.send(operation, request, None, want).await;
        }
        let sent = self.authenticator.authorization(self, operation).await?;
        let answer = self.send(operation, request, sent.as_deref(), want).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        match self.authenticator.answer(self, operation, &answer.headers, sent.as_ref()).await? {
            Some(renewed) => self.send(operation, request, Some(&renewed), want).await,
            None => Ok(answer),
        }
    }

    /// As [`Self::call`] and follows redirects, as `GET` and `HEAD` may.
    pub(super) async fn call_following(
        &self,
        operation: &Operation,
        mut request: Request,
        want: impl Into<Want>,
    ) -> Result<Answer, Error> {
        let want = want.into();
        for _ in 0..=REDIRECT_LIMIT {
            let mut answer = self.call(operation, &request, want).await?;
            if answer.status == StatusCode::FORBIDDEN && request.method == Method::HEAD {
                // Only a body says why: GitHub means "slow down" by it, too.
                request.method = Method::GET;
                answer = self.call(operation, &request, want).await?;
            }
            let location = answer.headers.get(LOCATION).filter(|_| answer.status.is_redirection());
            let Some(location) = location else { return Ok(answer) };
            request.url = Self::follow(operation, &request.url, &String::from_utf8_lossy(location.as_bytes()))?;
        }
        Err(operation.error(Kind::Malformed, format!("more than {REDIRECT_LIMIT} redirects")))
    }

    /// The one place where a request leaves. An answer that says "later" is a failure that may pass.
    pub(super) async fn send(
        &self,
        operation: &Operation,
        request: &Request,
        authorization: Option<&SecretString>,
        want: impl Into<Want>,
    ) -> Result<Answer, Error> {
        let pool = self.pool(&request.url).map_err(|(kind, reason)| operation.error(kind, reason))?;
        let mut outgoing = prepare(operation, request, authorization)?;
        let patience = patience_for(request.body.as_ref().map_or(0, Body::length));
        // Held until the body is read: this many connections are open at most.
        let permit = self.permits.clone().acquire_owned().await.ok();
        let failed = Failed::default();
        *outgoing.body_mut() = request.body.as_ref().map(|body| body.open(&failed));
        let response = match timeout(patience, pool.execute(outgoing)).await {
            Ok(Ok(response)) => response,
            Ok(Err(cause)) => {
                let ours = failed.error(operation);
                return Err(ours.unwrap_or_else(|| error::unreachable(operation, &request.url, cause)));
            }
            Err(_) => return Err(error::silent(operation, &request.url, patience)),
        };
        let answer = Answer::read(operation, Opened { response, _permit: permit }, want.into()).await?;
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
        let pool =
            new_pool(tls, local).map_err(|cause| (Kind::Unavailable, format!("HTTP cannot be set up: {cause}")))?;
        Ok(cell.get_or_init(|| pool))
    }
}

/// Proxies are those of the environment, as curl reads it.
fn new_pool(tls: rustls::ClientConfig, local: bool) -> Result<reqwest::Client, reqwest::Error> {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        // Always loopback (RFC 6761, 6.3): a thread to look it up, for each connection, finds nothing else.
        .resolve_to_addrs("localhost", &[(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()]);
    if local { builder.no_proxy() } else { builder }.build()
}

/// The request as the HTTP crate wants it, but for its body, which is opened when its turn comes.
fn prepare(
    operation: &Operation,
    request: &Request,
    authorization: Option<&SecretString>,
) -> Result<reqwest::Request, Error> {
    let mut outgoing = reqwest::Request::new(request.method.clone(), request.url.clone());
    *outgoing.headers_mut() = request.headers.clone();
    if let Some(authorization) = authorization {
        let mut value = HeaderValue::from_str(authorization.expose_secret())
            .map_err(|_| operation.error(Kind::Denied, "the credentials have characters that no header can carry"))?;
        value.set_sensitive(true);
        outgoing.headers_mut().insert(AUTHORIZATION, value);
    }
    if let Some(body) = &request.body {
        // Left out for an empty body and for a stream otherwise; some registries and proxies answer that by 411.
        outgoing.headers_mut().insert(CONTENT_LENGTH, body.length().into());
    }
    Ok(outgoing)
}

/// How long so many bytes may take, and the other side may think.
fn patience_for(bytes: u64) -> Duration {
    READ_TIMEOUT + Duration::from_secs(bytes / SLOWEST)
}

/// An answer whose body has not been read: one of the connections that may be open at once.
#[derive(Debug)]
pub(super) struct Opened {
    response: reqwest::Response,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Opened {
    /// The next piece of the body.
    pub(super) async fn next(&mut self, operation: &Operation) -> Result<Option<Bytes>, Error> {
        match timeout(READ_TIMEOUT, self.response.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(cause)) => Err(error::broken_off(operation, self.response.url(), cause)),
            Err(_) => Err(error::silent(operation, self.response.url(), READ_TIMEOUT)),
        }
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    /// Who answered.
    pub url: Url,
    pub headers: HeaderMap,
    /// What lies within the bound.
    pub body: Bytes,
    /// Is that all of it?
    pub whole: bool,
    /// The body that is wanted as it comes.
    #[cfg_attr(not(feature = "publish"), expect(dead_code, reason = "the resolver copies nothing"))]
    pub stream: Option<Opened>,
}

impl Answer {
    /// Reads so much as is wanted; of an answer that is no success, what explains it. Whatever the header says, memory is taken
    /// for what arrives.
    async fn read(operation: &Operation, mut opened: Opened, want: Want) -> Result<Self, Error> {
        let (status, url) = (opened.response.status(), opened.response.url().clone());
        let headers = std::mem::take(opened.response.headers_mut());
        let limit = match want {
            Want::Bytes(limit) if status.is_success() => limit,
            Want::Stream if status.is_success() => {
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
            // What cannot be read explains nothing; the status stands.
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
    fn the_images_of_docker_hub_are_asked_for_where_its_api_is() {
        for (host, expected) in
            [("docker.io", "registry-1.docker.io"), ("quay.io", "quay.io"), ("docker.io:5000", "docker.io:5000")]
        {
            assert_eq!(api_host(host), expected);
        }
    }
}

//! Requests: where they go, with which credentials, and how long they may take.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use super::auth::{Access, Authenticator};
use super::error::{self, shown_target};
use super::{Certificates, Error, Options, Prefix, tls};
use crate::oci::{Kind, reference::is_loopback};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the other side may be silent.
const READ_TIMEOUT: Duration = Duration::from_mins(1);
/// Bytes a second below which an upload is given up.
const SLOWEST_UPLOAD: u64 = 64 << 10;
const REDIRECT_LIMIT: usize = 5;
/// What is read of a body that only says what went wrong, or a token.
pub(super) const SMALL_BODY_LIMIT: u64 = 64 << 10;

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
    pub(super) fn error(&self, kind: Kind, reason: impl Into<String>) -> Error {
        Error::new(kind, self.attempted, self.reference.clone(), reason)
    }
}

/// A request that can be sent again: its body is shared, not copied.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<Bytes>,
}

impl Request {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: None }
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    #[cfg(feature = "publish")]
    pub(super) fn body(mut self, body: Bytes) -> Self {
        self.body = Some(body);
        self
    }
}

/// One registry.
#[derive(Debug)]
pub(super) struct Client {
    root: Url,
    authenticator: Authenticator,
    ca: Certificates,
    insecure: bool,
    /// One pool for each scheme, made when first needed: the roots that HTTPS needs take longer to load than a plain request. And
    /// one for each scheme on this machine, which no proxy could reach.
    pools: [OnceLock<reqwest::Client>; 4],
}

impl Client {
    pub(super) fn new(prefix: &Prefix, options: Options) -> Result<Self, Error> {
        let failed = |reason: &str| Error::new(Kind::Malformed, "opening", prefix.to_string(), reason);
        let scheme = if prefix.plain_http() { "http" } else { "https" };
        let root = Url::parse(&format!("{scheme}://{}/v2/", prefix.host()))
            .map_err(|cause| failed("its address is not valid").caused_by(cause))?;
        let client = Self {
            authenticator: Authenticator::new(&root, options.credentials),
            root,
            ca: options.ca,
            insecure: options.insecure,
            pools: Default::default(),
        };
        client.pool(&client.root).map_err(|(kind, reason)| Error::new(kind, "opening", prefix.to_string(), reason))?;
        Ok(client)
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
    /// token is renewed once.
    pub(super) async fn call(&self, operation: &Operation, request: Request) -> Result<reqwest::Response, Error> {
        if !self.is_own(&request.url) {
            return self.send(operation, &request, None).await;
        }
        let sent = self.authenticator.authorization(self, operation).await?;
        let response = self.send(operation, &request, sent.as_deref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        match self.authenticator.answer(self, operation, response.headers(), sent.as_ref()).await? {
            Some(renewed) => {
                // Read to its end, so that the connection can be used again.
                let _ = read_body(operation, response, SMALL_BODY_LIMIT).await;
                self.send(operation, &request, Some(&renewed)).await
            }
            None => Ok(response),
        }
    }

    /// As [`Self::call`] and follows redirects, as `GET` and `HEAD` may.
    pub(super) async fn call_following(
        &self,
        operation: &Operation,
        mut request: Request,
    ) -> Result<reqwest::Response, Error> {
        for _ in 0..=REDIRECT_LIMIT {
            let response = self.call(operation, request.clone()).await?;
            let location = response.headers().get(LOCATION).filter(|_| response.status().is_redirection());
            let Some(location) = location else { return Ok(response) };
            request.url = Self::follow(operation, &request.url, &String::from_utf8_lossy(location.as_bytes()))?;
            let _ = read_body(operation, response, SMALL_BODY_LIMIT).await;
        }
        Err(operation.error(Kind::Malformed, format!("more than {REDIRECT_LIMIT} redirects")))
    }

    /// The one place where a request leaves.
    pub(super) async fn send(
        &self,
        operation: &Operation,
        request: &Request,
        authorization: Option<&SecretString>,
    ) -> Result<reqwest::Response, Error> {
        let pool = self.pool(&request.url).map_err(|(kind, reason)| operation.error(kind, reason))?;
        let mut outgoing = reqwest::Request::new(request.method.clone(), request.url.clone());
        *outgoing.headers_mut() = request.headers.clone();
        if let Some(authorization) = authorization {
            let mut value = HeaderValue::from_str(authorization.expose_secret()).map_err(|_| {
                operation.error(Kind::Denied, "the credentials have characters that no header can carry")
            })?;
            value.set_sensitive(true);
            outgoing.headers_mut().insert(AUTHORIZATION, value);
        }
        let length = request.body.as_ref().map_or(0, |body| body.len() as u64);
        if request.body.is_some() && length == 0 {
            // Left out for an empty body otherwise, which some registries and proxies answer by 411.
            outgoing.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        *outgoing.body_mut() = request.body.clone().map(reqwest::Body::from);
        let patience = READ_TIMEOUT + Duration::from_secs(length / SLOWEST_UPLOAD);
        match timeout(patience, pool.execute(outgoing)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(cause)) => Err(error::unreachable(operation, &request.url, cause)),
            Err(_) => Err(error::silent(operation, &request.url, patience)),
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
        .connect_timeout(CONNECT_TIMEOUT);
    if local { builder.no_proxy() } else { builder }.build()
}

/// A body up to a bound.
pub(super) enum Body {
    /// All of it.
    Whole(Bytes),
    /// What of it lies within the bound; the rest was not read.
    Cut(Bytes),
}

/// Reads at most `limit` bytes; whatever the header says, memory is taken for what arrives.
pub(super) async fn read_body(
    operation: &Operation,
    mut response: reqwest::Response,
    limit: u64,
) -> Result<Body, Error> {
    let url = response.url().clone();
    let mut bytes = BytesMut::new();
    loop {
        let chunk = match timeout(READ_TIMEOUT, response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => return Ok(Body::Whole(bytes.freeze())),
            Ok(Err(cause)) => return Err(error::broken_off(operation, &url, cause)),
            Err(_) => return Err(error::silent(operation, &url, READ_TIMEOUT)),
        };
        let room = usize::try_from(limit).unwrap_or(usize::MAX) - bytes.len();
        if chunk.len() > room {
            bytes.extend_from_slice(&chunk[..room]);
            return Ok(Body::Cut(bytes.freeze()));
        }
        bytes.extend_from_slice(&chunk);
    }
}

//! Checks what a registry allows for a repository, without leaving anything behind.

use bytes::Bytes;
use reqwest::header::{DATE, HeaderMap, LOCATION};
use reqwest::{Method, StatusCode};

use super::auth::Access;
use super::client::{Client, Request};
use super::obstacle::{Written, write_refused};
use super::{Error, Registry, Repository, error};
use crate::oci::Kind;

/// Headers with the remaining requests of a rate limit, as Docker Hub and most other registries name them.
const RATE_LIMITS: [&str; 2] = ["ratelimit-remaining", "x-ratelimit-remaining"];
/// Bytes that are read of a response. A list of tags may be longer.
const ANSWER_LIMIT: u64 = 64 << 10;

/// The result of probing one repository.
#[derive(Debug)]
pub struct Probe {
    /// Whether the tags can be listed; [`Kind::NotFound`] when the repository does not exist.
    pub read: Result<(), Error>,
    /// Whether an upload can be started; `None` when this was not requested.
    pub push: Option<Result<(), Error>>,
    /// Whether the registry requires authentication to read, and the credentials are missing or rejected.
    pub unauthenticated: bool,
    /// The last `Date` header of the registry.
    pub date: Option<String>,
    /// The smallest number of remaining requests that the registry reported.
    pub remaining: Option<u64>,
}

impl Probe {
    /// Returns the result for a store without a server.
    pub(in crate::oci) fn local(read: Result<(), Error>) -> Self {
        Self { read, push: None, unauthenticated: false, date: None, remaining: None }
    }

    fn hear(&mut self, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        self.date = text(DATE.as_str()).map(ToOwned::to_owned).or(self.date.take());
        for name in RATE_LIMITS {
            // For example `76;w=21600`: 76 requests are left in a window of 21,600 seconds.
            let left = text(name).and_then(|value| value.split(';').next()?.trim().parse().ok());
            self.remaining = [self.remaining, left].into_iter().flatten().min();
        }
    }
}

impl Registry {
    /// Lists one tag, and with `push` starts an upload that is cancelled at once, so that no blob is created.
    pub(crate) async fn probe(&self, repository: &Repository, push: bool) -> Probe {
        let mut probe = Probe::local(Ok(()));
        probe.read = self.probe_read(repository, &mut probe).await;
        if push {
            probe.push = Some(self.probe_push(repository, &mut probe).await);
        }
        probe
    }

    async fn probe_read(&self, repository: &Repository, probe: &mut Probe) -> Result<(), Error> {
        let operation = self.operation("list the tags of", repository, "", Access::Pull);
        let request = Request::new(Method::GET, self.client.url(&operation, "tags/list?n=1"));
        let ask = async || self.client.call_following(&operation, request.clone(), ANSWER_LIMIT).await;
        let answer = self.client.persist(ask).await;
        // The token server refused a token even for reading, so the credentials are missing or rejected.
        let answer = answer.inspect_err(|error| probe.unauthenticated |= error.kind() == Kind::Denied)?;
        probe.unauthenticated |= answer.status == StatusCode::UNAUTHORIZED;
        probe.hear(&answer.headers);
        if !answer.status.is_success() {
            return Err(error::refused(&operation, &answer));
        }
        if answer.whole && serde_json::from_slice::<Tags>(&answer.body).is_err() {
            let reason = "the server is not a registry: expected a list of tags";
            return Err(operation.error(Kind::NotRegistry, reason));
        }
        Ok(())
    }

    async fn probe_push(&self, repository: &Repository, probe: &mut Probe) -> Result<(), Error> {
        let operation = self.operation("check push access to", repository, "", Access::Push);
        let request = Request::new(Method::POST, self.client.url(&operation, "blobs/uploads/")).body(Bytes::new());
        let ask = async || self.client.call(&operation, &request, ANSWER_LIMIT).await;
        let answer = self.client.persist(ask).await?;
        probe.hear(&answer.headers);
        if !answer.status.is_success() {
            return Err(write_refused(&operation, &answer, Written::Start));
        }
        if answer.status != StatusCode::ACCEPTED {
            let reason = format!("the registry answered {} to the start of an upload, expected 202", answer.status);
            return Err(operation.error(Kind::Malformed, reason));
        }
        if let Some(location) = answer.headers.get(LOCATION) {
            let target = String::from_utf8_lossy(location.as_bytes());
            let upload = Client::follow(&operation, &answer.url, &target)?;
            // An upload that cannot be cancelled expires.
            let _ = self.client.call(&operation, &Request::new(Method::DELETE, upload), ANSWER_LIMIT).await;
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct Tags {
    #[serde(rename = "tags")]
    _tags: Option<Vec<String>>,
}

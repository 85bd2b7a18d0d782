//! What a registry lets us do with a repository, asked without leaving anything behind.

use bytes::Bytes;
use reqwest::header::{DATE, HeaderMap, LOCATION};
use reqwest::{Method, StatusCode};

use super::auth::Access;
use super::client::{Client, Request};
use super::obstacle::{Written, write_refused};
use super::{Error, Registry, Repository, error};
use crate::oci::Kind;

/// Headers that count what is left of a rate limit, Docker Hub's and those of most others.
const RATE_LIMITS: [&str; 2] = ["ratelimit-remaining", "x-ratelimit-remaining"];
/// What is read of an answer; a longer list of tags is one all the same.
const ANSWER_LIMIT: u64 = 64 << 10;

/// What was found out about one repository.
#[derive(Debug)]
pub struct Probe {
    /// Its tags could be listed; [`Kind::NotFound`] when there is no such repository.
    pub read: Result<(), Error>,
    /// An upload could be started; nothing when that was not asked.
    pub push: Option<Result<(), Error>>,
    /// The registry lets nobody read whom it does not know, and does not know us.
    pub unauthenticated: bool,
    /// The last `Date` that it sent.
    pub date: Option<String>,
    /// The least that it said is left of a rate limit.
    pub remaining: Option<u64>,
}

impl Probe {
    /// Of a store that needs no server.
    pub(in crate::oci) fn local(read: Result<(), Error>) -> Self {
        Self { read, push: None, unauthenticated: false, date: None, remaining: None }
    }

    fn hear(&mut self, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        self.date = text(DATE.as_str()).map(ToOwned::to_owned).or(self.date.take());
        for name in RATE_LIMITS {
            // `76;w=21600`: left, and in which time.
            let left = text(name).and_then(|value| value.split(';').next()?.trim().parse().ok());
            self.remaining = [self.remaining, left].into_iter().flatten().min();
        }
    }
}

impl Registry {
    /// Lists a tag, and with `push` starts an upload, that is cancelled at once: no blob ever comes of it.
    pub(crate) async fn probe(&self, repository: &Repository, push: bool) -> Probe {
        let mut probe = Probe::local(Ok(()));
        probe.read = self.probe_read(repository, &mut probe).await;
        if push {
            probe.push = Some(self.probe_push(repository, &mut probe).await);
        }
        probe
    }

    async fn probe_read(&self, repository: &Repository, probe: &mut Probe) -> Result<(), Error> {
        let operation = self.operation("listing the tags of", repository, "", Access::Pull);
        let request = Request::new(Method::GET, self.client.url(&operation, "tags/list?n=1"));
        let ask = async || self.client.call_following(&operation, request.clone(), ANSWER_LIMIT).await;
        let answer = self.client.persist(ask).await;
        // No token even to read with: whoever we are, we are not known.
        let answer = answer.inspect_err(|error| probe.unauthenticated |= error.kind() == Kind::Denied)?;
        probe.unauthenticated |= answer.status == StatusCode::UNAUTHORIZED;
        probe.hear(&answer.headers);
        if !answer.status.is_success() {
            return Err(error::refused(&operation, &answer));
        }
        if answer.whole && serde_json::from_slice::<Tags>(&answer.body).is_err() {
            let reason = "what answers there is no registry: it sent something other than tags";
            return Err(operation.error(Kind::Malformed, reason));
        }
        Ok(())
    }

    async fn probe_push(&self, repository: &Repository, probe: &mut Probe) -> Result<(), Error> {
        let operation = self.operation("asking to push to", repository, "", Access::Push);
        let request = Request::new(Method::POST, self.client.url(&operation, "blobs/uploads/")).body(Bytes::new());
        let ask = async || self.client.call(&operation, &request, ANSWER_LIMIT).await;
        let answer = self.client.persist(ask).await?;
        probe.hear(&answer.headers);
        if !answer.status.is_success() {
            return Err(write_refused(&operation, &answer, Written::Start));
        }
        if answer.status != StatusCode::ACCEPTED {
            let reason = format!("the registry answers {} to the start of an upload", answer.status);
            return Err(operation.error(Kind::Malformed, reason));
        }
        if let Some(location) = answer.headers.get(LOCATION) {
            let target = String::from_utf8_lossy(location.as_bytes());
            let upload = Client::follow(&operation, &answer.url, &target)?;
            // Where it cannot be cancelled it ends by itself.
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

//! Pulling.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};

use super::auth::Access;
use super::client::{Answer, Operation, Request};
use super::{Error, Registry, Repository, error};
use crate::oci::{Descriptor, Digest, Kind, Selector, Tag, media_type};

/// Largest manifest that is read to learn its digest, and largest page of a list.
pub(super) const BODY_LIMIT: u64 = 4 << 20;

impl Registry {
    /// What the registry says that the tag names; where it does not say, the digest of what it sends.
    pub(crate) async fn resolve(&self, repository: &Repository, tag: &Tag) -> Result<Digest, Error> {
        let operation = self.operation("reading", repository, tag, Access::Pull);
        let request = self.manifest_request(&operation, Method::HEAD, tag.as_str());
        let answer = self.get(&operation, request, 0).await?;
        if let Some(digest) = content_digest(&answer.headers) {
            return Ok(digest);
        }
        let (_, bytes) = self.manifest(repository, &Selector::Tag(tag.clone()), BODY_LIMIT).await?;
        Ok(Digest::of(&bytes))
    }

    /// Reads, as often as it takes; what is no success is an error.
    pub(super) async fn get(&self, operation: &Operation, request: Request, limit: u64) -> Result<Answer, Error> {
        let answer = self.answer(operation, request, limit).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(error::refused(operation, &answer)) }
    }

    /// Reads, as often as it takes, whatever the answer is.
    pub(super) async fn answer(&self, operation: &Operation, request: Request, limit: u64) -> Result<Answer, Error> {
        self.client.persist(async || self.client.call_following(operation, request.clone(), limit).await).await
    }

    pub(super) fn manifest_request(&self, operation: &Operation, method: Method, reference: &str) -> Request {
        let accept = HeaderValue::from_str(&media_type::MANIFESTS.join(", ")).expect("media types are visible ASCII");
        Request::new(method, self.client.url(operation, &format!("manifests/{reference}"))).header(ACCEPT, accept)
    }

    /// Media type and bytes, at most `limit`; not verified against a digest that was asked for.
    pub(crate) async fn manifest(
        &self,
        repository: &Repository,
        selector: &Selector,
        limit: u64,
    ) -> Result<(String, Bytes), Error> {
        let operation = self.operation("reading", repository, selector, Access::Pull);
        let request = self.manifest_request(&operation, Method::GET, &selector.to_string());
        let Answer { headers, body: bytes, whole, .. } = self.get(&operation, request, limit).await?;
        if !whole {
            return Err(operation.error(Kind::TooLarge, format!("it is larger than {limit} bytes")));
        }
        let claimed = content_digest(&headers);
        if let (Selector::Tag(_), Some(claimed)) = (selector, claimed) {
            let found = Digest::of(&bytes);
            if found != claimed {
                let reason = format!("the bytes have the digest {found}, the registry says {claimed}");
                return Err(operation.error(Kind::Mismatch, reason));
            }
        }
        // A guess would let the registry choose how the bytes are read.
        let media_type = stated_type(&headers).or_else(|| media_type::own(&bytes)).ok_or_else(|| {
            operation.error(Kind::Malformed, "neither its `Content-Type` nor its `mediaType` states what it is")
        })?;
        Ok((media_type, bytes))
    }

    /// The descriptor's count of bytes, not yet verified.
    pub(crate) async fn blob(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Bytes, Error> {
        let operation = self.operation("reading", repository, &descriptor.digest, Access::Pull);
        let url = self.client.url(&operation, &format!("blobs/{}", descriptor.digest));
        let size = descriptor.size;
        let answer = self.get(&operation, Request::new(Method::GET, url), size).await?;
        if !answer.whole {
            return Err(operation.error(Kind::TooLarge, format!("it is longer than the {size} bytes it should be")));
        }
        if (answer.body.len() as u64) < size {
            let reason = format!("it has {} bytes, not the {size} it should have", answer.body.len());
            return Err(operation.error(Kind::Mismatch, reason));
        }
        Ok(answer.body)
    }
}

/// The digest that the registry says the content has.
pub(super) fn content_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

/// A media type without its parameters.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Returns the media type in the header, unless that is one for anything, as stores of files without types of their own send it.
pub(super) fn stated_type(headers: &HeaderMap) -> Option<String> {
    let generic = ["", "application/json", "application/octet-stream"];
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(essence);
    given.filter(|given| !generic.contains(&given.as_str()))
}

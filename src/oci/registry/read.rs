//! Reads manifests and blobs from a registry.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};

use super::auth::Access;
use super::client::{Answer, Operation, Request};
use super::{Error, Registry, Repository, error};
use crate::oci::{Descriptor, Digest, Kind, Selector, Tag, media_type};

/// Largest manifest that is read to compute its digest, and largest page of a list, in bytes.
pub(super) const BODY_LIMIT: u64 = 4 << 20;

impl Registry {
    /// Returns the digest that the registry reports for a tag. When it reports none, the manifest is read and hashed.
    pub(crate) async fn resolve(&self, repository: &Repository, tag: &Tag) -> Result<Digest, Error> {
        let operation = self.operation("read", repository, tag, Access::Pull);
        let request = self.manifest_request(&operation, Method::HEAD, tag.as_str());
        let answer = self.get(&operation, request, 0).await?;
        if let Some(digest) = content_digest(&answer.headers) {
            return Ok(digest);
        }
        let (_, bytes) = self.manifest(repository, &Selector::Tag(tag.clone()), BODY_LIMIT).await?;
        Ok(Digest::of(&bytes))
    }

    /// Sends a reading request with retries. A response that is not a success is an error.
    pub(super) async fn get(&self, operation: &Operation, request: Request, limit: u64) -> Result<Answer, Error> {
        let answer = self.answer(operation, request, limit).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(error::refused(operation, &answer)) }
    }

    /// Sends a reading request with retries, and returns any response.
    pub(super) async fn answer(&self, operation: &Operation, request: Request, limit: u64) -> Result<Answer, Error> {
        self.client.persist(async || self.client.call_following(operation, request.clone(), limit).await).await
    }

    pub(super) fn manifest_request(&self, operation: &Operation, method: Method, reference: &str) -> Request {
        let accept = HeaderValue::from_str(&media_type::MANIFESTS.join(", ")).expect("media types are visible ASCII");
        Request::new(method, self.client.url(operation, &format!("manifests/{reference}"))).header(ACCEPT, accept)
    }

    /// Returns media type and bytes of a manifest of at most `limit` bytes. The bytes are not verified against the
    /// selector.
    pub(crate) async fn manifest(
        &self,
        repository: &Repository,
        selector: &Selector,
        limit: u64,
    ) -> Result<(String, Bytes), Error> {
        let operation = self.operation("read", repository, selector, Access::Pull);
        let request = self.manifest_request(&operation, Method::GET, &selector.to_string());
        let Answer { headers, body: bytes, whole, .. } = self.get(&operation, request, limit).await?;
        if !whole {
            return Err(operation.error(Kind::TooLarge, format!("larger than the limit of {limit} bytes")));
        }
        let claimed = content_digest(&headers);
        if let (Selector::Tag(_), Some(claimed)) = (selector, claimed) {
            let found = Digest::of(&bytes);
            if found != claimed {
                let reason =
                    format!("digest mismatch: the registry states {claimed}, the content has the digest {found}");
                return Err(operation.error(Kind::Mismatch, reason));
            }
        }
        // A default would let the registry choose how the bytes are parsed.
        let media_type = stated_type(&headers).or_else(|| media_type::own(&bytes)).ok_or_else(|| {
            operation.error(Kind::Malformed, "missing media type: neither `Content-Type` nor `mediaType` states one")
        })?;
        Ok((media_type, bytes))
    }

    /// Reads as many bytes as the descriptor states. They are not verified.
    pub(crate) async fn blob(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Bytes, Error> {
        let operation = self.operation("read", repository, &descriptor.digest, Access::Pull);
        let url = self.client.url(&operation, &format!("blobs/{}", descriptor.digest));
        let size = descriptor.size;
        let answer = self.get(&operation, Request::new(Method::GET, url), size).await?;
        if !answer.whole {
            return Err(
                operation.error(Kind::TooLarge, format!("larger than the {size} bytes that its descriptor states"))
            );
        }
        if (answer.body.len() as u64) < size {
            let reason = format!("expected {size} bytes, found {}", answer.body.len());
            return Err(operation.error(Kind::Mismatch, reason));
        }
        Ok(answer.body)
    }
}

/// Returns the digest in the response header.
pub(super) fn content_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

/// Returns a media type without its parameters.
pub(super) fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Returns the media type in the header, unless it is a generic one, as plain file servers send it.
pub(super) fn stated_type(headers: &HeaderMap) -> Option<String> {
    let generic = ["", "application/json", "application/octet-stream"];
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(essence);
    given.filter(|given| !generic.contains(&given.as_str()))
}

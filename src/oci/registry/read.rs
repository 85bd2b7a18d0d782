//! Pulling.

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LINK};
use reqwest::{Method, Url};

use super::auth::Access;
use super::client::{Answer, Client, Operation, Request};
use super::error::{self, shown_target};
use super::{Error, Registry, Repository};
use crate::oci::{Descriptor, Digest, Kind, Selector, Tag, media_type};

/// Largest manifest that is read to learn its digest, and largest page of tags.
pub(super) const BODY_LIMIT: u64 = 4 << 20;
/// Tags that are asked for at once: the most that every registry takes.
const PAGE: usize = 1000;
/// Pages of tags after which a registry is taken to be lying.
pub(super) const PAGE_LIMIT: usize = 1000;

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
        let answer = self.client.persist(async || self.client.call_following(operation, request.clone(), limit).await);
        let answer = answer.await?;
        if answer.status.is_success() { Ok(answer) } else { Err(error::refused(operation, &answer)) }
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

    /// In the registry's order. What is no valid tag is left out: some registries list digests.
    pub(crate) async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        let operation = self.operation("listing the tags of", repository, "", Access::Pull);
        let mut next = Some(self.client.url(&operation, &format!("tags/list?n={PAGE}")));
        let mut tags = Vec::new();
        for _ in 0..PAGE_LIMIT {
            let Some(url) = next else { return Ok(tags) };
            let answer = self.get(&operation, Request::new(Method::GET, url.clone()), BODY_LIMIT).await?;
            if !answer.whole {
                return Err(operation.error(Kind::TooLarge, format!("a page is larger than {BODY_LIMIT} bytes")));
            }
            next = self.next_page(&operation, &url, &answer.headers)?;
            let page: TagList = serde_json::from_slice(&answer.body).map_err(|cause| {
                operation.error(Kind::Malformed, "the registry sent something other than tags").caused_by(cause)
            })?;
            tags.extend(page.tags.unwrap_or_default().into_iter().filter_map(|name| name.parse::<Tag>().ok()));
        }
        Err(operation.error(Kind::TooLarge, format!("the registry has more than {PAGE_LIMIT} pages of tags")))
    }

    /// The page after this one, on this registry.
    pub(super) fn next_page(
        &self,
        operation: &Operation,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Option<Url>, Error> {
        let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
        let Some(target) = links.flat_map(|value| value.split(',')).find_map(next_link) else { return Ok(None) };
        let next = Client::follow(operation, url, target)?;
        if !self.client.is_own(&next) || next == *url {
            let reason = format!("its list goes on at `{}`, where it cannot", shown_target(target));
            return Err(operation.error(Kind::Malformed, reason));
        }
        Ok(Some(next))
    }
}

#[derive(serde::Deserialize)]
struct TagList {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// The target of `<target>; rel="next"`.
fn next_link(link: &str) -> Option<&str> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = |parameter: &str| {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        key.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
    };
    parameters.split(';').any(is_next).then_some(target)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_the_link_that_says_so() {
        assert_eq!(next_link(r#"</v2/a/tags/list?last=b&n=2>; rel="next""#), Some("/v2/a/tags/list?last=b&n=2"));
        assert_eq!(next_link("<x>;title=y; REL=next"), Some("x"));
        for other in ["", "<x", "<x>", "<x>; rel=prev", "x; rel=next"] {
            assert_eq!(next_link(other), None, "{other}");
        }
    }
}

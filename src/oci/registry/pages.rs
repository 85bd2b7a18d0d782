//! Reads lists that a registry sends in pages. The end of a list does not depend on the registry: the number of pages
//! is limited, and each page must differ from the earlier ones.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-tags>

use std::collections::BTreeSet;

use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, Url};

use super::client::{Answer, Client, Operation, Request};
use super::error::shown_target;
use super::read::BODY_LIMIT;
use super::{Error, Registry};
use crate::oci::{Digest, Kind};

/// Most pages of one list.
const PAGES: usize = 10_000;
/// Most bytes of all pages of one list together.
const BYTES: usize = 512 << 20;

/// The pages of one list, read one after another.
pub(super) struct Pages<'a> {
    registry: &'a Registry,
    operation: &'a Operation,
    next: Option<Url>,
    /// Digests of the URLs and of the bodies of all pages so far.
    seen: BTreeSet<Digest>,
    count: usize,
    bytes: usize,
}

impl<'a> Pages<'a> {
    /// Returns the list whose first page is at `first`, relative to the repository of `operation`.
    pub(super) fn new(registry: &'a Registry, operation: &'a Operation, first: &str) -> Self {
        let next = Some(registry.client.url(operation, first));
        Self { registry, operation, next, seen: BTreeSet::new(), count: 0, bytes: 0 }
    }

    /// Returns the next page, or the response of a request that failed. Returns `None` after the last page.
    ///
    /// # Errors
    /// When the registry fails, when a page repeats an earlier one, and [`Kind::TooLarge`] when the list exceeds its
    /// limits.
    pub(super) async fn next(&mut self) -> Result<Option<Answer>, Error> {
        let Some(url) = self.next.take() else { return Ok(None) };
        let refused = |kind: Kind, reason: String| Err(self.operation.error(kind, reason));
        if self.count == PAGES || self.bytes > BYTES {
            let reason = format!("the list has more than {PAGES} pages or {} MiB, which is the limit", BYTES >> 20);
            return refused(Kind::TooLarge, reason);
        }
        if !self.seen.insert(Digest::of(url.as_str().as_bytes())) {
            let reason = format!("the pages of the list form a cycle: `{}` occurs twice", shown_target(url.as_str()));
            return refused(Kind::Malformed, reason);
        }
        let request = Request::new(Method::GET, url.clone());
        // Boxed to keep the futures of the callers small.
        let answer = Box::pin(self.registry.answer(self.operation, request, BODY_LIMIT)).await?;
        if !answer.status.is_success() {
            return Ok(Some(answer));
        }
        if !answer.whole {
            return refused(
                Kind::TooLarge,
                format!("a page of the list is larger than the limit of {BODY_LIMIT} bytes"),
            );
        }
        if !self.seen.insert(Digest::of(&answer.body)) {
            return refused(Kind::Malformed, format!("page {} of the list repeats an earlier page", self.count + 1));
        }
        self.count += 1;
        self.bytes += answer.body.len();
        self.next = self.after(&url, &answer.headers)?;
        Ok(Some(answer))
    }

    /// Returns the URL of the page after this one, which must be on the same registry.
    fn after(&self, url: &Url, headers: &HeaderMap) -> Result<Option<Url>, Error> {
        let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
        let Some(target) = links.flat_map(|value| value.split(',')).find_map(next_link) else { return Ok(None) };
        let next = Client::follow(self.operation, url, target)?;
        if !self.registry.client.is_own(&next) {
            let reason = format!("the next page of the list is `{}`, which is on another server", shown_target(target));
            return Err(self.operation.error(Kind::Malformed, reason));
        }
        Ok(Some(next))
    }
}

/// Returns the target of `<target>; rel="next"`.
fn next_link(link: &str) -> Option<&str> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = |parameter: &str| {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        key.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
    };
    parameters.split(';').any(is_next).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_the_target_of_the_link_next() {
        assert_eq!(next_link(r#"</v2/a/tags/list?last=b&n=2>; rel="next""#), Some("/v2/a/tags/list?last=b&n=2"));
        assert_eq!(next_link("<x>;title=y; REL=next"), Some("x"));
        for other in ["", "<x", "<x>", "<x>; rel=prev", "x; rel=next"] {
            assert_eq!(next_link(other), None, "{other}");
        }
    }
}

//! Lists of tags in the pages of each kind of registry.

use super::distribution::{find, refusal};
use super::quirks::Tags;
use super::wire::{Request, Response};
use super::{Shared, State, late};

/// The most tags on one page.
const PAGE: usize = 1000;

pub(super) fn list(shared: &Shared, state: &State, request: &Request, name: &str) -> Response {
    let repository = match find(state, name) {
        Ok(repository) => repository,
        Err(response) => return response,
    };
    let quirks = &shared.setup.quirks;
    let asked: Option<usize> = request.parameter("n").and_then(|n| n.parse().ok());
    if quirks.tag_page.is_some_and(|most| asked.is_some_and(|asked| asked > most)) {
        return refusal(400, "PAGINATION_NUMBER_INVALID");
    }
    let limit = asked.unwrap_or(usize::MAX).clamp(1, PAGE);
    let last = request.parameter("last").unwrap_or_default();
    if quirks.tags == Tags::KnownLast && !last.is_empty() && !repository.tags.contains_key(&last) {
        return refusal(400, "BAD_REQUEST");
    }
    let offset = request.parameter("offset").and_then(|offset| offset.parse().ok()).unwrap_or(0);
    let digests = repository.manifests.keys().filter(|_| quirks.digests_as_tags);
    let listed =
        repository.tags.keys().filter(|tag| late::is_listed(shared, state, name, tag)).chain(digests).collect();
    let (tags, next) = match quirks.tags {
        Tags::Sorted | Tags::KnownLast => sorted(listed, &last, limit),
        other => by_offset(other, listed, &last, offset, limit),
    };
    let body = serde_json::json!({ "name": name, "tags": tags }).to_string();
    let response = Response::new(200).body("application/json", body);
    let Some(next) = next else { return response };
    response.header("Link", format!("</v2/{name}/tags/list?{next}&n={limit}>; rel=\"next\""))
}

/// Returns the page after `last`, and the parameter of the next page.
fn sorted(mut tags: Vec<&String>, last: &str, limit: usize) -> (Vec<String>, Option<String>) {
    tags.retain(|tag| tag.as_str() > last);
    tags.sort();
    let more = tags.len() > limit;
    tags.truncate(limit);
    let next = tags.last().filter(|_| more).map(|last| format!("last={last}"));
    (tags.into_iter().cloned().collect(), next)
}

/// Returns the page at `offset`, and the parameter of the next page.
fn by_offset(
    order: Tags,
    mut all: Vec<&String>,
    last: &str,
    offset: usize,
    limit: usize,
) -> (Vec<String>, Option<String>) {
    if order == Tags::Endless {
        return (vec![format!("stable-{offset:09}-00000000")], Some(format!("offset={}", offset + 1)));
    }
    if order == Tags::Unordered {
        all.sort_by_key(|tag| tag.bytes().rev().collect::<Vec<_>>());
        let after = all.iter().position(|tag| tag.as_str() == last).map_or(0, |place| place + 1);
        all.drain(..after);
    }
    let pages = all.len().div_ceil(limit).max(1);
    let page = match order {
        Tags::Repeated => 0,
        Tags::Backwards => (pages - 1).saturating_sub(offset),
        Tags::Circle => offset % 2,
        _ => offset,
    };
    let tags = all.into_iter().skip(page * limit).take(limit).cloned().collect();
    let next = if order == Tags::Circle { (offset + 1) % 2 } else { offset + 1 };
    let more = next < pages || order == Tags::Repeated;
    (tags, more.then(|| format!("last={last}&offset={next}")))
}

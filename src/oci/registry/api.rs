//! Tells a registry from another server that answers at its address: a website, a login page, the page of a proxy.
//!
//! A website answers 404 to every path and a login page answers 200, so without this check a tag would seem to be absent, or to
//! be there already. An answer that only a registry gives settles the question. The first answer that any web server could have
//! given costs one request to `/v2/`, which the specification keeps for this purpose. All requests of a store share that result.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#determining-support>

use reqwest::header::{CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode};
use tokio::sync::OnceCell;

use super::Error;
use super::client::{Answer, Client, Operation, REDIRECT_LIMIT, Request};
use super::error::{Refusal, host_of, shown_url};
use super::read::essence;
use crate::oci::Kind;

/// Largest part of the answer to `/v2/` that is read.
const ANSWER_LIMIT: u64 = 64 << 10;
/// Header that registries send with every answer. The specification does not require the header.
const VERSION: &str = "docker-distribution-api-version";
/// Header with the digest of the manifest or blob in an answer.
const DIGEST: &str = "docker-content-digest";

/// What is known about the server at a registry's address.
#[derive(Debug, Default)]
pub(super) struct Recognized {
    /// `None` once the server is known to be a registry, otherwise what it answers to `/v2/`.
    refuted: OnceCell<Option<String>>,
}

/// What a single answer says about the server that sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// Only a registry sends this answer.
    Registry,
    /// Registries and other servers send this answer.
    Either,
    /// A registry rarely sends this answer, and a website often does.
    Strange,
}

impl Client {
    /// Checks that an answer comes from a registry, with one request to `/v2/` for the first answer that leaves this open.
    ///
    /// # Errors
    /// [`Kind::NotRegistry`], and the errors of the request to `/v2/`.
    pub(super) async fn recognize(&self, operation: &Operation, method: &Method, answer: &Answer) -> Result<(), Error> {
        let known = &self.recognized.refuted;
        if let Some(None) = known.get() {
            return Ok(());
        }
        match sign(method, answer) {
            Sign::Registry => {
                let _ = known.set(None);
                return Ok(());
            }
            Sign::Either => return Ok(()),
            Sign::Strange => {}
        }
        match known.get_or_try_init(|| Box::pin(self.refute(operation))).await? {
            None => Ok(()),
            Some(answered) => {
                let reason = format!("the server at {} is not a registry: {answered}", host_of(&self.root));
                Err(operation.error(Kind::NotRegistry, reason))
            }
        }
    }

    /// Asks `/v2/` without credentials. Returns the answer in words when it is not the answer of a registry.
    async fn refute(&self, operation: &Operation) -> Result<Option<String>, Error> {
        let mut request = Request::new(Method::GET, self.root.clone());
        for _ in 0..=REDIRECT_LIMIT {
            let answer = self.send(operation, &request, None, ANSWER_LIMIT).await?;
            if let Some(location) = answer.headers.get(LOCATION).filter(|_| answer.status.is_redirection()) {
                request.url = Self::follow(operation, &request.url, &String::from_utf8_lossy(location.as_bytes()))?;
                continue;
            }
            let registry = match sign(&Method::GET, &answer) {
                Sign::Registry => true,
                Sign::Either => {
                    let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
                    answer.status.is_success() || refused.contains(&answer.status)
                }
                // `/v2/` has no content: an empty answer and a plain text are as good as `{}`.
                Sign::Strange => answer.status == StatusCode::OK && !is_page(&answer),
            };
            let what = if is_page(&answer) { " and an HTML page" } else { "" };
            return Ok((!registry).then(|| format!("{} answers {}{what}", shown_url(&answer.url), answer.status)));
        }
        Ok(Some(format!("{} redirects more than {REDIRECT_LIMIT} times", shown_url(&self.root))))
    }
}

fn sign(method: &Method, answer: &Answer) -> Sign {
    if answer.headers.contains_key(VERSION) || answer.headers.contains_key(DIGEST) {
        return Sign::Registry;
    }
    let content = content_type(answer);
    match answer.status.as_u16() {
        201 | 202 if answer.headers.contains_key(LOCATION) => Sign::Registry,
        200..=299 if content.starts_with("application/vnd.") => Sign::Registry,
        200..=299 if is_for_any_bytes(&content) => Sign::Either,
        // A proxy asks for credentials with 407. A server in front of a registry may refuse a client with 401 or 403.
        407 => Sign::Either,
        401 if answer.headers.contains_key(WWW_AUTHENTICATE) => Sign::Either,
        401 | 403 if !is_page(answer) => Sign::Either,
        400.. if Refusal::parse(&answer.body).has_code() => Sign::Registry,
        // The body that would tell is not sent.
        400.. if *method == Method::HEAD && content == "application/json" => Sign::Either,
        _ => Sign::Strange,
    }
}

fn content_type(answer: &Answer) -> String {
    let value = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.map(essence).unwrap_or_default()
}

/// Returns whether a media type is the one that registries give to blobs and lists.
fn is_for_any_bytes(content: &str) -> bool {
    matches!(content, "application/octet-stream" | "binary/octet-stream") || content.contains("json")
}

fn is_page(answer: &Answer) -> bool {
    matches!(content_type(answer).as_str(), "text/html" | "application/xhtml+xml") || answer.body.starts_with(b"<")
}

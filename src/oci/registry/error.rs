//! What a registry's refusal means. Nothing that the other side wrote reaches a terminal unescaped.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes>

use std::time::Duration;

use reqwest::{StatusCode, Url};

use super::Error;
use super::client::{Body, Operation, SMALL_BODY_LIMIT, read_body};
use crate::oci::Kind;

/// Characters of foreign text in a message.
const SHOWN: usize = 300;

/// Foreign text for a message: control characters escaped, cut.
pub(super) fn shown(text: &str) -> String {
    let mut escaped = String::new();
    for (count, character) in text.trim().chars().enumerate() {
        if count == SHOWN {
            escaped.push('…');
            break;
        }
        // Also what reorders or hides the text around it.
        let hidden = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if character.is_control() || hidden {
            escaped.extend(character.escape_unicode());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// A URL for a message: its query may hold a signature, its user a password.
pub(super) fn shown_url(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    shown(&format!("{}://{host}{port}{}", url.scheme(), url.path()))
}

/// What another side names as a URL, for a message: as [`shown_url`], valid or not.
pub(super) fn shown_target(target: &str) -> String {
    let visible = target.split(['?', '#']).next().unwrap_or_default();
    Url::parse(visible).map_or_else(|_| shown(visible), |url| shown_url(&url))
}

/// No answer came.
pub(super) fn unreachable(operation: &Operation, url: &Url, cause: reqwest::Error) -> Error {
    let what = if cause.is_connect() { "cannot be reached" } else { "did not answer" };
    operation.error(Kind::Unavailable, format!("{} {what}", shown_url(url))).caused_by(cause.without_url())
}

/// The answer stopped in its middle.
pub(super) fn broken_off(operation: &Operation, url: &Url, cause: reqwest::Error) -> Error {
    operation.error(Kind::Unavailable, format!("{} broke off", shown_url(url))).caused_by(cause.without_url())
}

/// Nothing came for too long.
pub(super) fn silent(operation: &Operation, url: &Url, patience: Duration) -> Error {
    operation.error(Kind::Unavailable, format!("{} was silent for {} s", shown_url(url), patience.as_secs()))
}

/// The answer is no success.
pub(super) async fn refused(operation: &Operation, response: reqwest::Response) -> Error {
    explain(operation, response, "", kind_of).await
}

/// The answer to a manifest is no success: that a blob is unknown then means that the manifest names an absent one.
#[cfg(feature = "publish")]
pub(super) async fn manifest_refused(operation: &Operation, response: reqwest::Response) -> Error {
    explain(operation, response, "", |status, refusal| {
        let absent = ["MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"];
        match kind_of(status, refusal) {
            kind @ (Kind::Denied | Kind::Unavailable) => kind,
            _ if absent.iter().any(|code| refusal.has(code)) => Kind::Refused,
            kind => kind,
        }
    })
    .await
}

/// The token server gave no token.
pub(super) async fn token_refused(operation: &Operation, response: reqwest::Response, note: &str) -> Error {
    explain(operation, response, note, |status, refusal| match kind_of(status, refusal) {
        Kind::Unavailable => Kind::Unavailable,
        _ => Kind::Denied,
    })
    .await
}

async fn explain(
    operation: &Operation,
    response: reqwest::Response,
    note: &str,
    kind: impl Fn(StatusCode, &Refusal) -> Kind,
) -> Error {
    let (status, url) = (response.status(), response.url().clone());
    // What cannot be read explains nothing; the status stands.
    let body = match read_body(operation, response, SMALL_BODY_LIMIT).await {
        Ok(Body::Whole(body) | Body::Cut(body)) => body,
        Err(_) => bytes::Bytes::new(),
    };
    let refusal = Refusal::parse(&body);
    let said = if refusal.text.is_empty() { String::new() } else { format!(": {}", shown(&refusal.text)) };
    operation.error(kind(status, &refusal), format!("{} answers {status}{said}{note}", shown_url(&url)))
}

fn kind_of(status: StatusCode, refusal: &Refusal) -> Kind {
    match status.as_u16() {
        _ if refusal.has("TOOMANYREQUESTS") => Kind::Unavailable,
        // GitHub says 403 for "slow down".
        403 if refusal.text.to_ascii_lowercase().contains("rate limit") => Kind::Unavailable,
        401 | 403 => Kind::Denied,
        404 => Kind::NotFound,
        408 | 429 | 500..=599 => Kind::Unavailable,
        _ => Kind::Malformed,
    }
}

/// What an error body says.
#[derive(Debug, Default)]
struct Refusal {
    codes: Vec<String>,
    text: String,
}

impl Refusal {
    fn has(&self, code: &str) -> bool {
        self.codes.iter().any(|found| found == code)
    }

    /// `{"errors": [{code, message, detail}]}`, `{"message"}`, or whatever a proxy on the way wrote.
    fn parse(body: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) else {
            return Self { codes: Vec::new(), text: plain_text(&String::from_utf8_lossy(body)) };
        };
        let text_of = |value: &serde_json::Value, key: &str| {
            value.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
        };
        let errors = value.get("errors").and_then(serde_json::Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if errors.is_empty() {
            let text = ["message", "details", "error"].map(|key| text_of(&value, key));
            return Self {
                codes: Vec::new(),
                text: text.into_iter().find(|text| !text.is_empty()).unwrap_or_default(),
            };
        }
        let said = |error: &serde_json::Value| format!("{} {}", text_of(error, "code"), text_of(error, "message"));
        Self {
            codes: errors.iter().map(|error| text_of(error, "code")).collect(),
            text: errors.iter().take(3).map(said).collect::<Vec<_>>().join("; "),
        }
    }
}

/// A page without its markup, in one line.
fn plain_text(page: &str) -> String {
    let mut text = String::new();
    for (count, piece) in page.split('<').enumerate() {
        let visible = if count == 0 { piece } else { piece.split_once('>').map_or("", |(_, after)| after) };
        text.push_str(visible);
        text.push(' ');
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_escaped_and_cut() {
        assert_eq!(shown("a\u{1b}[31mb\r\n\u{202e}c"), "a\\u{1b}[31mb\\u{d}\\u{a}\\u{202e}c");
        assert!(shown(&"x".repeat(5000)).chars().count() == SHOWN + 1);
    }

    #[test]
    fn urls_are_shown_without_what_may_be_secret() {
        let url = Url::parse("https://user:pass@host:99/p?X-Signature=s#f").expect("a URL");
        assert_eq!(shown_url(&url), "https://host:99/p");
        assert_eq!(shown_target("https://user:pass@host/p?X-Signature=s#f"), "https://host/p");
        assert_eq!(shown_target("/p?X-Signature=s"), "/p");
    }

    #[test]
    fn a_refusal_is_found_in_every_shape_of_body() {
        let oci = Refusal::parse(br#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}"#);
        assert!(oci.has("MANIFEST_BLOB_UNKNOWN"));
        assert_eq!(oci.text, "MANIFEST_BLOB_UNKNOWN blob unknown");
        let github = Refusal::parse(br#"{"message":"You have exceeded a secondary rate limit"}"#);
        assert_eq!(kind_of(StatusCode::FORBIDDEN, &github), Kind::Unavailable);
        assert_eq!(Refusal::parse(b"<html><h1>Bad <b>Gateway</b></h1>").text, "Bad Gateway");
        for odd in ["", "null", "[]", "{\"errors\":3}", "{\"errors\":[null,7]}", "\u{0}", "<", "<<>"] {
            let _ = Refusal::parse(odd.as_bytes());
        }
        let _ = Refusal::parse(&[0xff, 0xfe, b'<', 0x80]);
    }
}

//! Turns the error responses of a registry into errors. Text from the server is escaped before it reaches a terminal.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes>

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{StatusCode, Url};

use super::Error;
use super::client::{Answer, Operation};
use super::retry::go_duration;
use crate::oci::Kind;
use crate::text::shown;

/// Longest wait that a registry can ask for. It is longer than any retry.
const LONGEST_WAIT: Duration = Duration::from_hours(24);
/// Longest time for which a host name that has never resolved is retried.
const UNRESOLVED: Duration = Duration::from_secs(5);
/// Wait after GitHub's secondary rate limit, whose responses do not say how long to wait.
const SECONDARY_LIMIT: Duration = Duration::from_mins(1);

/// Formats a URL for a message, without its user and query, which may contain a password or a signature.
pub(super) fn shown_url(url: &Url) -> String {
    shown(&format!("{}://{}{}", url.scheme(), host_of(url), url.path()))
}

/// Returns `HOST`, or `HOST:PORT` when the port is not that of the scheme.
pub(super) fn host_of(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or_default())
}

/// Formats a URL from the server for a message, valid or not, as [`shown_url`] does.
pub(super) fn shown_target(target: &str) -> String {
    let visible = target.split(['?', '#']).next().unwrap_or_default();
    Url::parse(visible).map_or_else(|_| shown(visible), |url| shown_url(&url))
}

/// Returns the error for a request that received no response. A host name that does not resolve before any server has `answered` is
/// probably a typing error, so it is not retried for as long as a registry that fails.
pub(super) fn unreachable(operation: &Operation, url: &Url, cause: &reqwest::Error, answered: bool) -> Error {
    if let Some(reason) = untrusted(cause) {
        return operation.error(Kind::Untrusted, format!("{}: {reason}", shown_url(url)));
    }
    if !answered && is_not_http(cause) {
        let reason = format!("the server at {} is not a registry: it does not speak HTTP", shown_url(url));
        return operation.error(Kind::NotRegistry, reason);
    }
    let unresolved = cause.is_connect() && says(cause, "dns error");
    let what = if cause.is_connect() { "cannot be reached" } else { "did not answer" };
    let error = operation.error(Kind::Unavailable, format!("{} {what}", shown_url(url)));
    let error = error.caused_by(innermost(cause)).passing(Duration::ZERO);
    if unresolved && !answered { error.retried_for(UNRESOLVED) } else { error }
}

/// Returns the text of the last cause. The causes before that name layers of the HTTP crate, which tell a person nothing.
fn innermost(cause: &reqwest::Error) -> String {
    let mut last: &dyn std::error::Error = cause;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

/// Returns whether the server sent something that is not HTTP, before or after it received the request: an SSH server, for example.
fn is_not_http(cause: &reqwest::Error) -> bool {
    says(cause, "invalid HTTP version parsed") || says(cause, "received unexpected message from connection")
}

/// Returns whether one of the causes has this text. hyper has no public types for a host name that does not resolve and for an answer that
/// is not HTTP, only these words.
fn says(cause: &reqwest::Error, text: &str) -> bool {
    let mut next = std::error::Error::source(cause);
    while let Some(cause) = next {
        if cause.to_string() == text {
            return true;
        }
        next = cause.source();
    }
    false
}

/// Returns the reason when TLS failed. A retry does not help then.
fn untrusted(cause: &reqwest::Error) -> Option<String> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(cause);
    while let Some(cause) = next {
        // `source` of an I/O error skips the error that it wraps.
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = match wrapped {
            Some(wrapped) => wrapped.downcast_ref::<rustls::Error>(),
            None => cause.downcast_ref::<rustls::Error>(),
        };
        match tls {
            Some(rustls::Error::InvalidCertificate(error)) => {
                return Some(format!("the certificate is not trusted: {}", shown(&error.to_string())));
            }
            Some(rustls::Error::InvalidMessage(_)) => return Some("the server does not speak TLS".to_owned()),
            Some(error @ (rustls::Error::PeerIncompatible(_) | rustls::Error::AlertReceived(_))) => {
                return Some(format!("no common TLS version or cipher suite: {}", shown(&error.to_string())));
            }
            _ => {}
        }
        next = wrapped.map_or_else(|| cause.source(), |wrapped| Some(wrapped));
    }
    None
}

/// Returns the error for a response that ended too early.
pub(super) fn broken_off(operation: &Operation, url: &Url, cause: reqwest::Error) -> Error {
    let error = operation.error(Kind::Unavailable, format!("the response of {} ended too early", shown_url(url)));
    error.caused_by(cause.without_url()).passing(Duration::ZERO)
}

/// Returns the error for a request that took longer than its limit.
pub(super) fn silent(operation: &Operation, url: &Url, patience: Duration) -> Error {
    let reason = format!("{} did not respond within {} s", shown_url(url), patience.as_secs());
    operation.error(Kind::Unavailable, reason).passing(Duration::ZERO)
}

/// Returns an error when the response asks for a later retry.
pub(super) fn transient(operation: &Operation, answer: &Answer) -> Option<Error> {
    if answer.status.is_success() || answer.status.is_redirection() {
        return None;
    }
    let refusal = Refusal::parse(&answer.body);
    let wait = refusal.retry_after(answer.status, &answer.headers)?;
    Some(operation.error(Kind::Unavailable, refusal.told(answer)).passing(wait))
}

/// Returns the error for a response that is not a success.
pub(super) fn refused(operation: &Operation, answer: &Answer) -> Error {
    let refusal = Refusal::parse(&answer.body);
    refusal.error(operation, answer, kind_of(answer.status))
}

/// Returns the error for a token server that gave no token.
pub(super) fn token_refused(operation: &Operation, answer: &Answer) -> Error {
    Refusal::parse(&answer.body).error(operation, answer, Kind::Denied)
}

pub(super) fn kind_of(status: StatusCode) -> Kind {
    match status.as_u16() {
        401 | 403 => Kind::Denied,
        404 => Kind::NotFound,
        408 | 429 | 500..=599 => Kind::Unavailable,
        _ => Kind::Malformed,
    }
}

/// Reads `Retry-After`: seconds, or a date that is compared with the response's own `Date`.
///
/// <https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3>
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let value = text(RETRY_AFTER)?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    Some(date(value)?.duration_since(date(text(DATE)?)?).unwrap_or_default())
}

/// The content of an error response.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    codes: Vec<String>,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn has(&self, code: &str) -> bool {
        self.codes.iter().any(|found| found == code)
    }

    /// Returns whether the body lists errors with codes, as only registries do.
    pub(super) fn has_code(&self) -> bool {
        self.codes.iter().any(|code| !code.is_empty())
    }

    fn told(&self, answer: &Answer) -> String {
        let said = if self.text.is_empty() { String::new() } else { format!(": {}", shown(&self.text)) };
        format!("{} answered {}{said}", shown_url(&answer.url), answer.status)
    }

    pub(super) fn error(&self, operation: &Operation, answer: &Answer, kind: Kind) -> Error {
        let error = operation.error(kind, self.told(answer));
        if kind == Kind::Denied {
            error.adding(&format!("; the credentials need the scope `{}`", operation.scope()))
        } else {
            error
        }
    }

    /// Returns how long to wait before a retry, when a retry may help.
    fn retry_after(&self, status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
        let text = self.text.to_ascii_lowercase();
        // GitHub answers 403 for a rate limit, and expects a wait of minutes.
        let limited = status == StatusCode::FORBIDDEN && text.contains("rate limit");
        let passes = limited || self.has("TOOMANYREQUESTS") || matches!(status.as_u16(), 408 | 429 | 500 | 502..=504);
        let asked = || retry_after(headers).or_else(|| go_duration(text.split_once("retry-after: ")?.1));
        let wait = || asked().unwrap_or(if limited { SECONDARY_LIMIT } else { Duration::ZERO });
        passes.then(|| wait().min(LONGEST_WAIT))
    }

    /// Parses `{"errors": [{code, message, detail}]}`, `{"message"}`, or the text of a proxy's page.
    pub(super) fn parse(body: &[u8]) -> Self {
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

/// Returns the text of a page without its markup, in one line.
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
    use reqwest::header::HeaderValue;

    #[tokio::test]
    async fn a_host_name_that_does_not_resolve_is_told_from_a_refused_connection_and_from_another_protocol() {
        let tls = super::super::tls::none().expect("a configuration");
        let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().expect("a client");
        let cause = async |url: String| client.get(url).send().await.expect_err("no server");
        // A label of more than 63 characters is refused before any name server is asked.
        assert!(says(&cause(format!("http://{}.example/", "a".repeat(64))).await, "dns error"));
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
        assert!(!says(&cause(format!("http://{port}/")).await, "dns error"));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let greet = async {
            let (mut stream, _) = listener.accept().await.expect("a client");
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.9\r\n").await.expect("written");
        };
        let (cause, ()) = tokio::join!(cause(url), greet);
        assert!(is_not_http(&cause), "{cause:?}");
    }

    #[test]
    fn urls_are_shown_without_user_password_and_query() {
        let url = Url::parse("https://user:pass@host:99/p?X-Signature=s#f").expect("a URL");
        assert_eq!(shown_url(&url), "https://host:99/p");
        assert_eq!(shown_target("https://user:pass@host/p?X-Signature=s#f"), "https://host/p");
        assert_eq!(shown_target("/p?X-Signature=s"), "/p");
    }

    #[test]
    fn the_time_to_wait_is_found_wherever_registries_state_it() {
        let wait = |status: u16, body: &str, headers: &[(HeaderName, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
            Refusal::parse(body.as_bytes()).retry_after(StatusCode::from_u16(status).expect("a status"), &headers)
        };
        assert_eq!(wait(429, "", &[(RETRY_AFTER, "7")]), Some(Duration::from_secs(7)));
        let dates = [(DATE, "Sun, 06 Nov 1994 08:49:37 GMT"), (RETRY_AFTER, "Sun, 06 Nov 1994 08:50:07 GMT")];
        assert_eq!(wait(503, "", &dates), Some(Duration::from_secs(30)));
        assert_eq!(wait(503, "", &dates[1..]), Some(Duration::ZERO));
        assert_eq!(wait(503, "", &[(RETRY_AFTER, "18446744073709551615")]), Some(LONGEST_WAIT));
        let ghcr =
            r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"retry-after: 1.889377ms, allowed: 2000/minute"}]}"#;
        assert_eq!(wait(429, ghcr, &[]), Some(Duration::from_nanos(1_889_377)));
        assert_eq!(wait(200, ghcr, &[]), Some(Duration::from_nanos(1_889_377)));
        for status in [408, 429, 500, 502, 503, 504] {
            assert_eq!(wait(status, "", &[(RETRY_AFTER, "soon")]), Some(Duration::ZERO), "{status}");
        }
        for status in [400, 401, 403, 404, 405, 416, 501, 505] {
            assert_eq!(wait(status, "denied", &[(RETRY_AFTER, "7")]), None, "{status}");
        }
    }

    #[test]
    fn an_error_is_parsed_from_every_form_of_body() {
        let oci = Refusal::parse(br#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}"#);
        assert!(oci.has("MANIFEST_BLOB_UNKNOWN"));
        assert_eq!(oci.text, "MANIFEST_BLOB_UNKNOWN blob unknown");
        let github = Refusal::parse(br#"{"message":"You have exceeded a secondary rate limit"}"#);
        assert_eq!(github.retry_after(StatusCode::FORBIDDEN, &HeaderMap::new()), Some(SECONDARY_LIMIT));
        assert_eq!(Refusal::parse(b"<html><h1>Bad <b>Gateway</b></h1>").text, "Bad Gateway");
        for odd in ["", "null", "[]", "{\"errors\":3}", "{\"errors\":[null,7]}", "\u{0}", "<", "<<>"] {
            let _ = Refusal::parse(odd.as_bytes());
        }
        let _ = Refusal::parse(&[0xff, 0xfe, b'<', 0x80]);
    }
}

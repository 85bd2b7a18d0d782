//! Authenticates requests in the way that the registry asks for.
//!
//! <https://distribution.github.io/distribution/spec/auth/token/>

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};

use super::client::{Client, Operation, Request};
use super::error::{self, shown_target, shown_url};
use super::realm::Realms;
use super::{Credentials, Error};
use crate::oci::Kind;

/// Largest response of a token server, in bytes.
const TOKEN_LIMIT: u64 = 64 << 10;

/// The permission that a token must grant, in increasing order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    /// Permission to read a repository.
    Pull,
    /// Permission to read and write a repository.
    #[cfg_attr(not(feature = "publish"), expect(dead_code, reason = "the resolver cannot push"))]
    Push,
}

impl Access {
    pub(super) fn actions(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
        }
    }
}

/// The authentication scheme that a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

/// The value of an `Authorization` header. Two values are the same when they share their allocation.
type Authorization = Arc<SecretString>;

/// The token of one repository. The task that holds the lock fetches it, and the others wait for it.
type Slot = Arc<tokio::sync::Mutex<Option<(Access, Authorization)>>>;

/// The credentials, and the tokens that they were exchanged for.
#[derive(Debug)]
pub(super) struct Authenticator {
    registry: Url,
    credentials: Credentials,
    /// Token servers that the credentials may be sent to.
    realms: Realms,
    basic: Option<Authorization>,
    /// The registry's last challenge, by which later repositories get a token before their first request.
    challenge: Mutex<Option<Challenge>>,
    slots: Mutex<BTreeMap<String, Slot>>,
}

impl Authenticator {
    pub(super) fn new(registry: &Url, credentials: Credentials, realms: Realms) -> Self {
        let basic = match &credentials {
            Credentials::Anonymous | Credentials::IdentityToken(_) => None,
            Credentials::Basic { username, password } => {
                let pair = SecretString::from(format!("{username}:{}", password.expose_secret()));
                Some(Arc::new(format!("Basic {}", BASE64_STANDARD.encode(pair.expose_secret())).into()))
            }
        };
        let (challenge, slots) = (Mutex::default(), Mutex::default());
        Self { registry: registry.clone(), credentials, realms, basic, challenge, slots }
    }

    /// Returns the header to send before the registry has asked. It is `None` until the first challenge.
    pub(super) async fn authorization(
        &self,
        client: &Client,
        operation: &Operation,
    ) -> Result<Option<Authorization>, Error> {
        let challenge = self.challenge.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match challenge {
            None => Ok(None),
            Some(Challenge::Basic) => Ok(self.basic.clone()),
            Some(Challenge::Bearer { realm, service }) => {
                self.token(client, operation, &realm, service.as_deref(), None).await.map(Some)
            }
        }
    }

    /// Returns the header to send after a 401, or `None` when nothing better than `sent` exists.
    pub(super) async fn answer(
        &self,
        client: &Client,
        operation: &Operation,
        headers: &HeaderMap,
        sent: Option<&Authorization>,
    ) -> Result<Option<Authorization>, Error> {
        let Some(challenge) = choose(headers) else { return Ok(None) };
        *self.challenge.lock().unwrap_or_else(PoisonError::into_inner) = Some(challenge.clone());
        match challenge {
            Challenge::Basic => {
                Ok(self.basic.clone().filter(|basic| sent.is_none_or(|sent| !Arc::ptr_eq(sent, basic))))
            }
            Challenge::Bearer { realm, service } => {
                self.token(client, operation, &realm, service.as_deref(), sent).await.map(Some)
            }
        }
    }

    /// Returns the token of the operation's repository. Fetches a new one when the current one grants too little or is
    /// `refused`.
    async fn token(
        &self,
        client: &Client,
        operation: &Operation,
        realm: &str,
        service: Option<&str>,
        refused: Option<&Authorization>,
    ) -> Result<Authorization, Error> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(operation.path.clone()).or_default())
        };
        let mut held = slot.lock().await;
        let mut access = operation.access;
        if let Some((allowed, token)) = &*held {
            if *allowed >= access && refused.is_none_or(|refused| !Arc::ptr_eq(refused, token)) {
                return Ok(Arc::clone(token));
            }
            access = access.max(*allowed);
        }
        let token = Arc::new(self.fetch(client, operation, realm, service, access).await?);
        *held = Some((access, Arc::clone(&token)));
        Ok(token)
    }

    async fn fetch(
        &self,
        client: &Client,
        operation: &Operation,
        realm: &str,
        service: Option<&str>,
        access: Access,
    ) -> Result<SecretString, Error> {
        let url = token_url(operation, realm, service, access)?;
        let anonymous = matches!(self.credentials, Credentials::Anonymous);
        if !anonymous && !self.realms.has(&self.registry, &url) {
            return Err(unknown_realm(operation, &url));
        }
        let request = match &self.credentials {
            Credentials::IdentityToken(token) => exchange(&url, token),
            _ => Request::new(Method::GET, url.clone()),
        };
        let mut answer = client.send(operation, &request, self.basic.as_deref(), TOKEN_LIMIT).await?;
        let refused = matches!(answer.status.as_u16(), 401 | 403);
        if refused && access == Access::Pull && !anonymous {
            // An expired token must not prevent reading public content.
            client.say(&format!("{} rejected the credentials: reading anonymously instead", shown_url(&url)));
            answer = client.send(operation, &Request::new(Method::GET, url.clone()), None, TOKEN_LIMIT).await?;
        }
        if !answer.status.is_success() {
            return Err(error::token_refused(operation, &answer));
        }
        let token = if answer.whole { bearer(&answer.body) } else { None };
        token.ok_or_else(|| {
            operation.error(Kind::Malformed, format!("the token server {} sent no valid token", shown_url(&url)))
        })
    }
}

/// Returns the error for a token server that the credentials are not sent to. No request is sent to it.
fn unknown_realm(operation: &Operation, realm: &Url) -> Error {
    let way_out = match (realm.scheme(), realm.host_str()) {
        ("https", Some(host)) => format!("pass `--auth-realm {host}` if you trust it"),
        _ => "credentials are only sent to a token server over HTTPS".to_owned(),
    };
    let reason = format!(
        "the registry names the token server {}, and the credentials are not sent to that host: {way_out}",
        shown_url(realm)
    );
    operation.error(Kind::Denied, reason)
}

/// Builds the URL of a token request.
fn token_url(operation: &Operation, realm: &str, service: Option<&str>, access: Access) -> Result<Url, Error> {
    let valid = Url::parse(realm).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let mut url = valid.ok_or_else(|| {
        operation.error(
            Kind::Malformed,
            format!("invalid token server `{}`: expected an HTTP or HTTPS URL", shown_target(realm)),
        )
    })?;
    // reqwest would send a user name in the URL instead of the credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    if let Some(service) = service {
        url.query_pairs_mut().append_pair("service", service);
    }
    url.query_pairs_mut().append_pair("scope", &format!("repository:{}:{}", operation.path, access.actions()));
    Ok(url)
}

/// Builds the request that exchanges an identity token for a token: a form with the parameters of `url` and the
/// identity token.
///
/// <https://distribution.github.io/distribution/spec/auth/oauth/>
fn exchange(url: &Url, token: &SecretString) -> Request {
    let mut form = url.clone();
    let token = token.expose_secret();
    let more = [("client_id", env!("CARGO_PKG_NAME")), ("grant_type", "refresh_token"), ("refresh_token", token)];
    form.query_pairs_mut().extend_pairs(more);
    let body = form.query().unwrap_or_default().to_owned();
    let mut url = url.clone();
    url.set_query(None);
    let mut request = Request::new(Method::POST, url)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    request.body = Some(bytes::Bytes::from(body).into());
    request
}

#[derive(serde::Deserialize)]
struct TokenReply {
    #[serde(default)]
    token: Option<SecretText>,
    #[serde(default)]
    access_token: Option<SecretText>,
}

#[derive(serde::Deserialize)]
#[serde(from = "String")]
struct SecretText(SecretString);

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

fn bearer(body: &[u8]) -> Option<SecretString> {
    let reply: TokenReply = serde_json::from_slice(body).ok()?;
    let SecretText(token) = reply.token.or(reply.access_token)?;
    let text = token.expose_secret();
    let valid = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    valid.then(|| format!("Bearer {text}").into())
}

/// Chooses the challenge to answer. `Bearer` has precedence over `Basic`.
fn choose(headers: &HeaderMap) -> Option<Challenge> {
    let mut basic = None;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let Ok(text) = value.to_str() else { continue };
        for (scheme, parameters) in challenges(text) {
            if scheme.eq_ignore_ascii_case("bearer") {
                let get = |name: &str| {
                    parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
                };
                if let Some(realm) = get("realm") {
                    return Some(Challenge::Bearer { realm, service: get("service") });
                }
            } else if scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            }
        }
    }
    basic
}

type Parameters = Vec<(String, String)>;

/// Parses all challenges of one header: schemes with parameters, whose values may be quoted (RFC 9110, section 11.6.1).
fn challenges(text: &str) -> Vec<(String, Parameters)> {
    let mut found: Vec<(String, Parameters)> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if let Some(value) = after.strip_prefix('=') {
            let (value, after) = parameter_value(value);
            if let (Some((_, parameters)), false) = (found.last_mut(), word.is_empty()) {
                parameters.push((word.to_owned(), value));
            }
            rest = after;
        } else if word.is_empty() {
            return found;
        } else {
            found.push((word.to_owned(), Vec::new()));
            rest = after;
        }
    }
}

/// Parses a token or a quoted text, and returns it with the text after it.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, after) = text.split_at(text.find([' ', '\t', ',']).unwrap_or(text.len()));
        return (value.to_owned(), after);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            plain => value.push(plain),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).expect("a header value"));
        }
        choose(&headers)
    }

    fn bearer_of(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.to_owned(), service: service.map(ToOwned::to_owned) }
    }

    #[test]
    fn challenges_are_parsed_in_every_form_that_registries_send() {
        let ghcr = r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:user/image:pull""#;
        assert_eq!(chosen(&[ghcr]), Some(bearer_of("https://ghcr.io/token", Some("ghcr.io"))));
        assert_eq!(chosen(&["bearer  REALM=https://a/t , service=b"]), Some(bearer_of("https://a/t", Some("b"))));
        assert_eq!(chosen(&[r#"Basic realm="x", Bearer realm="https://a/t""#]), Some(bearer_of("https://a/t", None)));
        assert_eq!(chosen(&["Basic realm=x", "Bearer realm=y"]), Some(bearer_of("y", None)));
        assert_eq!(chosen(&[r#"Bearer realm="a\"b,c=d""#]), Some(bearer_of(r#"a"b,c=d"#, None)));
        assert_eq!(chosen(&["Basic"]), Some(Challenge::Basic));
    }

    #[test]
    fn malformed_challenges_are_ignored() {
        for text in ["", ",,,", "=", "=x", "Bearer", "Bearer realm", "Negotiate abc==", "Bearer service=", "a=\"\\"] {
            assert_eq!(chosen(&[text]), None, "{text}");
        }
        assert_eq!(chosen(&[r#"Bearer realm="open"#]), Some(bearer_of("open", None)));
    }

    #[test]
    fn a_token_that_does_not_fit_into_a_header_is_ignored() {
        assert!(bearer(br#"{"token":"abc"}"#).is_some());
        assert!(bearer(br#"{"access_token":"abc","expires_in":300}"#).is_some());
        for body in ["", "[]", "{}", r#"{"token":""}"#, r#"{"token":"a\nb"}"#, r#"{"token":1}"#, "<html>"] {
            assert!(bearer(body.as_bytes()).is_none(), "{body}");
        }
    }
}

//! Authentication: Basic, and tokens for each scope from a token server.
//!
//! <https://distribution.github.io/distribution/spec/auth/token/> and `/oauth/` beside it

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

use super::distribution::{Place, refusal};
use super::wire::{Request, Response, parameters};
use super::{Shared, State, late};

/// The access that a registry grants.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// Everyone may read and write.
    #[default]
    Open,
    /// Every request needs this user and password.
    Basic { username: String, password: String },
    /// Tokens from `realm`, by default `/token` of this registry. With a user, only that user gets a token to push.
    Token { realm: Option<String>, user: Option<(String, String)> },
}

/// The form of tokens.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// Whether tokens have three parts with dots between them and the length of real ones. Otherwise they are short.
    pub jwt: bool,
    /// Number of requests that a token is valid for. It replaces a time, so that tests do not wait.
    pub uses: Option<usize>,
    /// Lifetime that the response states. It is not enforced.
    pub expires_in: Option<u64>,
    /// Name of the token in the response: `token`, or `access_token` as in OAuth 2.
    pub key: &'static str,
    /// A refresh token, which `POST` accepts instead of a password.
    pub refresh: Option<String>,
    /// Whether only the last of several requested scopes counts.
    pub last_scope: bool,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { jwt: false, uses: None, expires_in: None, key: "token", refresh: None, last_scope: false }
    }
}

/// A token that was issued.
#[derive(Debug)]
pub(super) struct Grant {
    /// The repositories and actions that the token allows.
    scopes: Vec<(String, String)>,
    /// Number of requests that the token is still valid for.
    left: Option<usize>,
    pub(super) used: bool,
    pub(super) expired: bool,
}

impl Grant {
    pub(super) fn allows(&self, repository: &str, wanted: &str) -> bool {
        let mut scopes = self.scopes.iter().filter(|(name, _)| name == repository);
        scopes.any(|(_, actions)| actions.split(',').any(|action| action == wanted || action == "*"))
    }
}

pub(super) fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{password}")))
}

/// Accepts a request, or returns the response that asks for authentication.
pub(super) fn admit(shared: &Shared, request: &Request, place: Option<&Place<'_>>) -> Result<(), Response> {
    let given = request.header("authorization").unwrap_or_default();
    let refuse = |challenge: String| Err(refusal(401, "UNAUTHORIZED").header("WWW-Authenticate", challenge));
    match &shared.setup.auth {
        Auth::Open => Ok(()),
        Auth::Basic { username, password } if given == basic(username, password) => Ok(()),
        Auth::Basic { .. } => refuse("Basic realm=\"registry\"".to_owned()),
        Auth::Token { realm, .. } => {
            let repository = place.map_or("user/image", |place| place.repository);
            let wanted = if matches!(request.method.as_str(), "GET" | "HEAD") { "pull" } else { "push" };
            let token = given.strip_prefix("Bearer ").unwrap_or_default();
            if serves(&mut shared.state(), token, repository, wanted) {
                return Ok(());
            }
            let own = shared.token_realm();
            let realm = realm.as_ref().unwrap_or(&own);
            // As in some registries, the scope of the challenge is too small.
            refuse(format!(r#"Bearer realm="{realm}",service="test",scope="repository:{repository}:pull""#))
        }
    }
}

/// Returns whether a token allows a request, and counts its use.
fn serves(state: &mut State, token: &str, repository: &str, wanted: &str) -> bool {
    let Some(grant) = state.tokens.get_mut(token) else { return false };
    grant.used = true;
    if grant.expired || grant.left == Some(0) {
        return false;
    }
    grant.left = grant.left.map(|left| left - 1);
    grant.allows(repository, wanted)
}

/// Answers a token request: `GET` with Basic, or `POST` with a form.
pub(super) fn token(shared: &Shared, request: &Request) -> Response {
    let user = match &shared.setup.auth {
        Auth::Token { user: Some(user), .. } => Some(user),
        _ => None,
    };
    let form = parameters(&String::from_utf8_lossy(&request.body));
    let asked = if request.method == "POST" { &form } else { &parameters(&request.query) };
    let who = if request.method == "POST" { by_form(shared, &form, user) } else { by_header(request, user) };
    let Some(known) = who else { return refusal(401, "UNAUTHORIZED") };
    let mut scopes = scopes(asked);
    if shared.setup.tokens.last_scope {
        scopes.drain(..scopes.len().saturating_sub(1));
    }
    if scopes.is_empty() {
        return refusal(400, "UNSUPPORTED");
    }
    let mut state = shared.state();
    if !known {
        let quirks = &shared.setup.quirks;
        let refused = |name: &String| {
            (quirks.private && !late::is_public(shared, &state, name))
                || (quirks.absent_is_denied && !state.repositories.contains_key(name))
        };
        if scopes.iter().any(|(name, _)| refused(name)) {
            return refusal(403, "DENIED");
        }
        for (_, actions) in &mut scopes {
            "pull".clone_into(actions);
        }
    }
    grant(shared, &mut state, scopes)
}

fn grant(shared: &Shared, state: &mut State, scopes: Vec<(String, String)>) -> Response {
    let tokens = &shared.setup.tokens;
    state.serial += 1;
    let token = if tokens.jwt {
        let part = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let access: Vec<_> = scopes.iter().map(|(name, actions)| serde_json::json!([name, actions])).collect();
        let claims = serde_json::json!({ "jti": state.serial, "access": access, "pad": "x".repeat(600) });
        format!("{}.{}.c2lnbmF0dXJl", part(serde_json::json!({ "alg": "none", "typ": "JWT" })), part(claims))
    } else {
        format!("opaque-{}", state.serial)
    };
    let grant = Grant { scopes, left: tokens.uses, used: false, expired: false };
    state.tokens.insert(token.clone(), grant);
    let mut reply = serde_json::Map::new();
    reply.insert(tokens.key.to_owned(), token.into());
    if let Some(seconds) = tokens.expires_in {
        reply.insert("expires_in".to_owned(), seconds.into());
    }
    Response::new(200).body("application/json", serde_json::Value::Object(reply).to_string())
}

/// Returns whether the request is by the user or anonymous, and `None` for wrong credentials.
fn by_header(request: &Request, user: Option<&(String, String)>) -> Option<bool> {
    let Some((username, password)) = user else { return Some(true) };
    match request.header("authorization") {
        None => Some(false),
        Some(given) => (given == basic(username, password)).then_some(true),
    }
}

fn by_form(shared: &Shared, form: &[(String, String)], user: Option<&(String, String)>) -> Option<bool> {
    let get = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    match get("grant_type")? {
        "refresh_token" => {
            let known = shared.setup.tokens.refresh.as_deref();
            (known.is_some() && get("refresh_token") == known).then_some(true)
        }
        "password" => {
            let (username, password) = user?;
            (get("username") == Some(username) && get("password") == Some(password)).then_some(true)
        }
        _ => None,
    }
}

/// Returns every `repository:<name>:<actions>`. One parameter may hold several, separated by blanks as in OAuth 2.
fn scopes(asked: &[(String, String)]) -> Vec<(String, String)> {
    let values = asked.iter().filter(|(key, _)| key == "scope").flat_map(|(_, value)| value.split(' '));
    let parse = |scope: &str| {
        let (name, actions) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
        Some((name.to_owned(), actions.to_owned()))
    };
    values.filter_map(parse).collect()
}

/// Expires all tokens that have been used.
pub(super) fn expire(tokens: &mut BTreeMap<String, Grant>) {
    for grant in tokens.values_mut().filter(|grant| grant.used) {
        grant.expired = true;
    }
}

//! The distribution API over the state, and the token server.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use super::wire::{Request, Response};
use super::{Auth, Repository, Shared, State};

fn digest_of(bytes: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn refusal(status: u16, code: &str) -> Response {
    let message = code.to_lowercase().replace('_', " ");
    let body = serde_json::json!({ "errors": [{ "code": code, "message": message, "detail": null }] });
    Response::new(status).body("application/json", body.to_string())
}

/// The right answer.
pub fn answer(shared: &Shared, request: &Request) -> Response {
    if request.path == "/token" {
        return token(shared, request);
    }
    let Some(rest) = request.path.strip_prefix("/v2/") else { return refusal(404, "UNSUPPORTED") };
    let place = Place::parse(rest);
    if let Err(response) = admit(shared, request, place.as_ref()) {
        return response;
    }
    let Some(place) = place else {
        return if rest.is_empty() { Response::new(200) } else { refusal(404, "NAME_INVALID") };
    };
    let mut state = shared.state();
    match (request.method.as_str(), place.kind) {
        ("POST", "uploads") => start_upload(shared, &mut state, request, place.repository),
        ("PATCH" | "PUT", "uploads") => upload(&mut state, request, &place),
        ("DELETE", "uploads") => match state.uploads.remove(place.reference) {
            Some(_) => Response::new(204),
            None => refusal(404, "BLOB_UPLOAD_UNKNOWN"),
        },
        ("GET" | "HEAD", "blobs") => read_blob(&state, &place),
        ("GET" | "HEAD", "manifests") => read_manifest(&state, &place),
        ("PUT", "manifests") => put_manifest(&mut state, request, &place),
        ("GET", "tags") => list_tags(&state, request, place.repository),
        _ => refusal(405, "UNSUPPORTED"),
    }
}

struct Place<'a> {
    repository: &'a str,
    kind: &'static str,
    reference: &'a str,
}

impl<'a> Place<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        for (infix, kind) in [("/blobs/uploads/", "uploads"), ("/blobs/", "blobs"), ("/manifests/", "manifests")] {
            if let Some((repository, reference)) = path.rsplit_once(infix) {
                return Some(Self { repository, kind, reference });
            }
        }
        Some(Self { repository: path.strip_suffix("/tags/list")?, kind: "tags", reference: "" })
    }
}

fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{password}")))
}

/// Lets a request in, or says what is wanted.
fn admit(shared: &Shared, request: &Request, place: Option<&Place<'_>>) -> Result<(), Response> {
    let given = request.header("authorization").unwrap_or_default();
    let refuse = |challenge: String| Err(refusal(401, "UNAUTHORIZED").header("WWW-Authenticate", challenge));
    match &shared.setup.auth {
        Auth::Open => Ok(()),
        Auth::Basic { username, password } if given == basic(username, password) => Ok(()),
        Auth::Basic { .. } => refuse("Basic realm=\"registry\"".to_owned()),
        Auth::Token { realm, .. } => {
            let writes = !matches!(request.method.as_str(), "GET" | "HEAD");
            let repository = place.map_or("user/image", |place| place.repository);
            let token = given.strip_prefix("Bearer ").unwrap_or_default();
            let mut state = shared.state();
            if !token.is_empty() {
                state.seen.push(token.to_owned());
            }
            let allowed = token.split_once('.').map_or("", |(_, scope)| scope);
            let actions = allowed.strip_prefix(repository).and_then(|rest| rest.strip_prefix(':')).unwrap_or_default();
            let wanted = if writes { "push" } else { "pull" };
            if actions.split(',').any(|action| action == wanted) && state.expired.iter().all(|old| old != token) {
                return Ok(());
            }
            let scheme = if shared.setup.tls { "https" } else { "http" };
            let own = format!("{scheme}://{}/token", shared.address);
            let realm = realm.as_ref().unwrap_or(&own);
            // As some registries do: the scope of the challenge is too small.
            refuse(format!(r#"Bearer realm="{realm}",service="test",scope="repository:{repository}:pull""#))
        }
    }
}

/// A form as the query that it looks like.
fn form(request: &Request) -> Request {
    Request { query: String::from_utf8_lossy(&request.body).into_owned(), ..Request::default() }
}

/// Tokens name what they allow: `<serial>.<repository>:<actions>`.
fn token(shared: &Shared, request: &Request) -> Response {
    let form = (request.method == "POST").then(|| form(request));
    let identity = form.as_ref().and_then(|form| form.parameter("refresh_token"));
    let identity = identity.map(|token| basic("<token>", &token));
    let given = identity.as_deref().or(request.header("authorization"));
    let request = form.as_ref().unwrap_or(request);
    let user = match &shared.setup.auth {
        Auth::Token { user: Some((username, password)), .. } => Some(basic(username, password)),
        _ => None,
    };
    let known = user.as_deref().is_none_or(|user| given == Some(user));
    if !known && given.is_some() {
        return refusal(401, "UNAUTHORIZED");
    }
    let scope = request.parameter("scope").unwrap_or_default();
    let Some((repository, actions)) = scope.strip_prefix("repository:").and_then(|scope| scope.rsplit_once(':')) else {
        return refusal(400, "UNSUPPORTED");
    };
    let actions = if known { actions } else { "pull" };
    let mut state = shared.state();
    state.serial += 1;
    let token = format!("{}.{repository}:{actions}", state.serial);
    Response::new(200).body("application/json", serde_json::json!({ "token": token }).to_string())
}

fn start_upload(shared: &Shared, state: &mut State, request: &Request, repository: &str) -> Response {
    if let Some(digest) = request.parameter("mount") {
        if !shared.setup.mount {
            return refusal(405, "UNSUPPORTED");
        }
        let found = state.repositories.values().find_map(|other| other.blobs.get(&digest)).cloned();
        if let Some(bytes) = found {
            state.repositories.entry(repository.to_owned()).or_default().blobs.insert(digest.clone(), bytes);
            return created(repository, "blobs", &digest);
        }
    }
    state.serial += 1;
    let session = format!("session-{}", state.serial);
    state.uploads.insert(session.clone(), Vec::new());
    Response::new(202).header("Location", format!("/v2/{repository}/blobs/uploads/{session}?state=a%2Fb"))
}

fn created(repository: &str, kind: &str, digest: &str) -> Response {
    Response::new(201)
        .header("Location", format!("/v2/{repository}/{kind}/{digest}"))
        .header("Docker-Content-Digest", digest)
}

fn upload(state: &mut State, request: &Request, place: &Place<'_>) -> Response {
    let Some(bytes) = state.uploads.get_mut(place.reference) else { return refusal(404, "BLOB_UPLOAD_UNKNOWN") };
    bytes.extend_from_slice(&request.body);
    if request.method == "PATCH" {
        let range = format!("0-{}", bytes.len().saturating_sub(1));
        return Response::new(202).header("Location", request.path.clone()).header("Range", range);
    }
    let bytes = state.uploads.remove(place.reference).unwrap_or_default();
    let digest = request.parameter("digest").unwrap_or_default();
    if digest_of(&bytes) != digest {
        return refusal(400, "DIGEST_INVALID");
    }
    state.repositories.entry(place.repository.to_owned()).or_default().blobs.insert(digest.clone(), bytes);
    created(place.repository, "blobs", &digest)
}

fn find<'a>(state: &'a State, name: &str) -> Result<&'a Repository, Response> {
    state.repositories.get(name).ok_or_else(|| refusal(404, "NAME_UNKNOWN"))
}

fn read_blob(state: &State, place: &Place<'_>) -> Response {
    let repository = match find(state, place.repository) {
        Ok(repository) => repository,
        Err(response) => return response,
    };
    repository.blobs.get(place.reference).map_or_else(
        || refusal(404, "BLOB_UNKNOWN"),
        |bytes| {
            let response = Response::new(200).body("application/octet-stream", bytes.clone());
            response.header("Docker-Content-Digest", place.reference)
        },
    )
}

fn read_manifest(state: &State, place: &Place<'_>) -> Response {
    let repository = match find(state, place.repository) {
        Ok(repository) => repository,
        Err(response) => return response,
    };
    let digest = repository.tags.get(place.reference).map_or(place.reference, String::as_str);
    repository.manifests.get(digest).map_or_else(
        || refusal(404, "MANIFEST_UNKNOWN"),
        |(media_type, bytes)| {
            Response::new(200).body(media_type, bytes.clone()).header("Docker-Content-Digest", digest)
        },
    )
}

fn put_manifest(state: &mut State, request: &Request, place: &Place<'_>) -> Response {
    let Ok(manifest) = serde_json::from_slice::<serde_json::Value>(&request.body) else {
        return refusal(400, "MANIFEST_INVALID");
    };
    let list = |key: &str| manifest.get(key).and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
    let digest_in =
        |value: &serde_json::Value| value.get("digest").and_then(|text| text.as_str()).map(ToOwned::to_owned);
    let blobs = manifest.get("config").cloned().into_iter().chain(list("layers"));
    let held = state.repositories.get(place.repository);
    let absent = blobs
        .filter_map(|blob| digest_in(&blob))
        .any(|digest| held.is_none_or(|held| !held.blobs.contains_key(&digest)))
        || list("manifests")
            .iter()
            .filter_map(digest_in)
            .any(|digest| held.is_none_or(|held| !held.manifests.contains_key(&digest)));
    if absent {
        return refusal(404, "MANIFEST_BLOB_UNKNOWN");
    }
    let digest = digest_of(&request.body);
    if place.reference.contains(':') && place.reference != digest {
        return refusal(400, "DIGEST_INVALID");
    }
    let media_type = request.header("content-type").unwrap_or_default().to_owned();
    let repository = state.repositories.entry(place.repository.to_owned()).or_default();
    repository.manifests.insert(digest.clone(), (media_type, request.body.clone()));
    if !place.reference.contains(':') {
        repository.tags.insert(place.reference.to_owned(), digest.clone());
    }
    created(place.repository, "manifests", &digest)
}

fn list_tags(state: &State, request: &Request, name: &str) -> Response {
    let repository = match find(state, name) {
        Ok(repository) => repository,
        Err(response) => return response,
    };
    let last = request.parameter("last").unwrap_or_default();
    let limit: usize = request.parameter("n").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX).clamp(1, 1000);
    let mut tags: Vec<&String> = repository.tags.keys().filter(|tag| last.is_empty() || **tag > last).collect();
    let more = tags.len() > limit;
    tags.truncate(limit);
    let body = serde_json::json!({ "name": name, "tags": tags }).to_string();
    let response = Response::new(200).body("application/json", body);
    match tags.last() {
        Some(last) if more => {
            response.header("Link", format!("</v2/{name}/tags/list?last={last}&n={limit}>; rel=\"next\""))
        }
        _ => response,
    }
}

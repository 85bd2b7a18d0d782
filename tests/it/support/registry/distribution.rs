//! The distribution API on the state of the registry.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::quirks::{Referrers, Shape};
use super::wire::{Request, Response};
use super::{Repository, Shared, State, auth, late, tags, uploads};

pub(super) fn digest_of(bytes: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

pub(super) fn refusal(status: u16, code: &str) -> Response {
    let message = code.to_lowercase().replace('_', " ");
    let body = serde_json::json!({ "errors": [{ "code": code, "message": message, "detail": null }] });
    Response::new(status).body("application/json", body.to_string())
}

/// Returns the error for a missing repository that a push does not create, in the words of ECR.
pub(super) fn unknown_name(repository: &str) -> Response {
    let message =
        format!("The repository with name '{repository}' does not exist in the registry with id '123456789012'");
    let body = serde_json::json!({ "errors": [{ "code": "NAME_UNKNOWN", "message": message }] });
    Response::new(404).body("application/json", body.to_string())
}

/// Returns the correct response. The second host serves only tokens and blobs.
pub fn answer(shared: &Shared, request: &Request, elsewhere: bool) -> Response {
    if request.path == "/token" && (elsewhere || !shared.setup.elsewhere.tokens) {
        return auth::token(shared, request);
    }
    if let Some(rest) = request.path.strip_prefix("/storage/").filter(|_| elsewhere) {
        return stored(&shared.state(), request, rest);
    }
    let mut response = api(shared, request);
    if response.status >= 400 {
        reshape(shared, &mut response);
    }
    if !shared.setup.quirks.says_digest {
        response.set("Docker-Content-Digest", "");
    }
    response
}

fn api(shared: &Shared, request: &Request) -> Response {
    let Some(rest) = request.path.strip_prefix("/v2/") else { return refusal(404, "UNSUPPORTED") };
    let place = Place::parse(rest);
    if let Err(response) = auth::admit(shared, request, place.as_ref()) {
        return response;
    }
    let Some(place) = place else {
        return if rest.is_empty() { Response::new(200) } else { refusal(404, "NAME_INVALID") };
    };
    let mut state = shared.state();
    match (request.method.as_str(), place.kind) {
        ("POST", "uploads") => uploads::start(shared, &mut state, request, place.repository),
        ("PATCH" | "PUT" | "GET" | "DELETE", "uploads") => uploads::go_on(shared, &mut state, request, &place),
        ("GET" | "HEAD", "blobs") => read_blob(shared, &state, request, &place),
        ("GET" | "HEAD", "manifests") => read_manifest(shared, &mut state, request, &place),
        ("PUT", "manifests") => put_manifest(shared, &mut state, request, &place),
        ("DELETE", "manifests" | "blobs") => delete(shared, &mut state, &place),
        ("GET", "tags") => tags::list(shared, &state, request, place.repository),
        ("GET", "referrers") => referrers(shared, &state, request, &place),
        _ => refusal(405, "UNSUPPORTED"),
    }
}

/// The resource of the API that a path names.
pub(super) struct Place<'a> {
    pub repository: &'a str,
    kind: &'static str,
    pub reference: &'a str,
}

impl<'a> Place<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        let infixes = [
            ("/blobs/uploads/", "uploads"),
            ("/blobs/", "blobs"),
            ("/manifests/", "manifests"),
            ("/referrers/", "referrers"),
        ];
        for (infix, kind) in infixes {
            if let Some((repository, reference)) = path.rsplit_once(infix) {
                return Some(Self { repository, kind, reference });
            }
        }
        Some(Self { repository: path.strip_suffix("/tags/list")?, kind: "tags", reference: "" })
    }
}

/// Rewrites an error in the form that this registry uses.
fn reshape(shared: &Shared, response: &mut Response) {
    match shared.setup.quirks.shape {
        Shape::UnknownCode if response.status == 404 => {
            response.body = br#"{"errors":[{"code":"UNKNOWN","message":"artifact or repository not found"}]}"#.to_vec();
        }
        Shape::Html if response.status != 401 => {
            response.body = format!("<html><body><h1>Status {}</h1></body></html>", response.status).into_bytes();
            response.set("Content-Type", "text/html;charset=utf-8");
        }
        _ => {}
    }
}

pub(super) fn created(shared: &Shared, repository: &str, kind: &str, digest: &str) -> Response {
    let host = if shared.setup.quirks.absolute { shared.url() } else { String::new() };
    Response::new(201)
        .header("Location", format!("{host}/v2/{repository}/{kind}/{digest}"))
        .header("Docker-Content-Digest", digest)
}

pub(super) fn find<'a>(state: &'a State, name: &str) -> Result<&'a Repository, Response> {
    state.repositories.get(name).ok_or_else(|| refusal(404, "NAME_UNKNOWN"))
}

fn read_blob(shared: &Shared, state: &State, request: &Request, place: &Place<'_>) -> Response {
    let repository = match find(state, place.repository) {
        Ok(repository) => repository,
        Err(response) => return response,
    };
    let Some(bytes) = repository.blobs.get(place.reference) else { return refusal(404, "BLOB_UNKNOWN") };
    if shared.setup.elsewhere.blobs && request.method == "GET" {
        let there = shared.elsewhere_url();
        let target = format!("{there}/storage/{}@{}?signature=s3cr3t", place.repository, place.reference);
        return Response::new(307).header("Location", target);
    }
    ranged(request, bytes).header("Docker-Content-Digest", place.reference)
}

/// Serves a blob on the second host. Its signed URL is the permission, so a request with credentials is refused.
fn stored(state: &State, request: &Request, rest: &str) -> Response {
    if request.header("authorization").is_some() || request.query != "signature=s3cr3t" {
        return Response::new(400).body("application/xml", "<Error><Code>InvalidArgument</Code></Error>");
    }
    let blob = rest.split_once('@').and_then(|(name, digest)| state.repositories.get(name)?.blobs.get(digest));
    blob.map_or_else(|| Response::new(404), |bytes| ranged(request, bytes))
}

/// Returns all bytes, or the range that was requested.
fn ranged(request: &Request, bytes: &[u8]) -> Response {
    let whole = || Response::new(200).body("application/octet-stream", bytes);
    let Some(range) = request.header("range").and_then(|range| range.strip_prefix("bytes=")) else { return whole() };
    let Some((first, last)) = range.split_once('-') else { return whole() };
    let first: usize = first.parse().unwrap_or(usize::MAX);
    let last = last.parse().unwrap_or(usize::MAX).min(bytes.len().saturating_sub(1));
    match bytes.get(first..=last) {
        Some(part) => Response::new(206)
            .body("application/octet-stream", part)
            .header("Content-Range", format!("bytes {first}-{last}/{}", bytes.len())),
        None => Response::new(416).header("Content-Range", format!("bytes */{}", bytes.len())),
    }
}

fn read_manifest(shared: &Shared, state: &mut State, request: &Request, place: &Place<'_>) -> Response {
    let current = late::read(shared, state, place.repository, place.reference);
    let Some(repository) = state.repositories.get_mut(place.repository) else { return refusal(404, "NAME_UNKNOWN") };
    let digest = match repository.stale.get_mut(place.reference) {
        Some((before, left)) if *left > 0 => {
            *left -= 1;
            let Some(before) = before.clone() else { return refusal(404, "MANIFEST_UNKNOWN") };
            before
        }
        _ => current.unwrap_or_else(|| place.reference.to_owned()),
    };
    let Some((media_type, bytes)) = repository.manifests.get(&digest) else { return refusal(404, "MANIFEST_UNKNOWN") };
    let response = Response::new(200).body(media_type, bytes.clone()).header("Docker-Content-Digest", &digest);
    if shared.setup.quirks.wrong_head_length && request.method == "HEAD" {
        return Response { body: vec![0; bytes.len() / 2], ..response };
    }
    response
}

fn put_manifest(shared: &Shared, state: &mut State, request: &Request, place: &Place<'_>) -> Response {
    let quirks = &shared.setup.quirks;
    if quirks.must_exist && !state.repositories.contains_key(place.repository) {
        return unknown_name(place.repository);
    }
    if request.body.len() > 4 << 20 {
        return refusal(413, "SIZE_INVALID");
    }
    let Ok(manifest) = serde_json::from_slice::<Value>(&request.body) else { return refusal(400, "MANIFEST_INVALID") };
    if quirks.needs_media_type && manifest.get("mediaType").is_none() {
        return refusal(405, "UNSUPPORTED");
    }
    if names_absent(state.repositories.get(place.repository), &manifest) {
        return refusal(404, "MANIFEST_BLOB_UNKNOWN");
    }
    let digest = digest_of(&request.body);
    let by_digest = place.reference.contains(':');
    if by_digest && place.reference != digest {
        return refusal(400, "DIGEST_INVALID");
    }
    let media_type = request.header("content-type").unwrap_or_default().to_owned();
    let repository = state.repository(place.repository);
    let before = repository.tags.get(place.reference).cloned();
    let version = place.reference.starts_with(|first: char| first.is_ascii_digit());
    if let Some(rule) = quirks.immutable.filter(|rule| before.is_some() && (version || rule.channels)) {
        return rule.refusal(place.repository, place.reference);
    }
    if !(quirks.keeps_blobs && repository.manifests.contains_key(&digest)) {
        repository.manifests.insert(digest.clone(), (media_type, request.body.clone()));
    }
    if !by_digest {
        repository.tags.insert(place.reference.to_owned(), digest.clone());
        repository.stale.insert(place.reference.to_owned(), (before.clone(), shared.setup.stale_reads));
        late::wrote(shared, state, place.repository, place.reference, before);
    }
    created(shared, place.repository, "manifests", &digest)
}

/// Returns whether a manifest names a blob or manifest that the repository lacks.
fn names_absent(held: Option<&Repository>, manifest: &Value) -> bool {
    let list = |key: &str| manifest.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let digest = |value: &Value| value.get("digest").and_then(Value::as_str).map(ToOwned::to_owned);
    let mut blobs = manifest.get("config").cloned().into_iter().chain(list("layers")).filter_map(|blob| digest(&blob));
    let manifests = list("manifests");
    let mut manifests = manifests.iter().filter_map(digest);
    blobs.any(|digest| held.is_none_or(|held| !held.blobs.contains_key(&digest)))
        || manifests.any(|digest| held.is_none_or(|held| !held.manifests.contains_key(&digest)))
}

/// Deletes a tag, or a manifest with all its tags.
fn delete(shared: &Shared, state: &mut State, place: &Place<'_>) -> Response {
    if !shared.setup.quirks.deletes {
        return refusal(405, "UNSUPPORTED");
    }
    let Some(repository) = state.repositories.get_mut(place.repository) else { return refusal(404, "NAME_UNKNOWN") };
    let found = match place.kind {
        "blobs" => repository.blobs.remove(place.reference).is_some(),
        _ if place.reference.contains(':') => {
            repository.tags.retain(|_, digest| digest != place.reference);
            repository.manifests.remove(place.reference).is_some()
        }
        _ => repository.tags.remove(place.reference).is_some(),
    };
    if found { Response::new(202) } else { refusal(404, "MANIFEST_UNKNOWN") }
}

/// <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers>
fn referrers(shared: &Shared, state: &State, request: &Request, place: &Place<'_>) -> Response {
    let kind = shared.setup.quirks.referrers;
    if kind == Referrers::Endless {
        return endless_referrers(request, place);
    }
    if kind == Referrers::Absent {
        return refusal(404, "MANIFEST_UNKNOWN");
    }
    let held = state.repositories.get(place.repository).into_iter().flat_map(|repository| &repository.manifests);
    let named = held.filter_map(|(digest, (media_type, bytes))| {
        let manifest: Value = serde_json::from_slice(bytes).ok()?;
        if manifest["subject"]["digest"].as_str() != Some(place.reference) {
            return None;
        }
        let own = manifest["artifactType"].as_str().or(manifest["config"]["mediaType"].as_str()).unwrap_or_default();
        let shown = if kind == Referrers::Listed { own } else { "application/vnd.oci.empty.v1+json" };
        let size = bytes.len();
        Some(serde_json::json!({ "mediaType": media_type, "digest": digest, "size": size, "artifactType": shown }))
    });
    let media_type = "application/vnd.oci.image.index.v1+json";
    let manifests: Vec<Value> = named.collect();
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
    Response::new(200).body(media_type, index.to_string())
}

fn endless_referrers(request: &Request, place: &Place<'_>) -> Response {
    let page: usize = request.parameter("page").and_then(|page| page.parse().ok()).unwrap_or(0);
    let made_up = |number: usize| {
        let digest = digest_of(format!("{} {page} {number}", place.reference).as_bytes());
        serde_json::json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 2 })
    };
    let media_type = "application/vnd.oci.image.index.v1+json";
    let manifests: Vec<Value> = (0..100).map(made_up).collect();
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
    let next = format!("</v2/{}/referrers/{}?page={}>; rel=\"next\"", place.repository, place.reference, page + 1);
    Response::new(200).body(media_type, index.to_string()).header("Link", next)
}

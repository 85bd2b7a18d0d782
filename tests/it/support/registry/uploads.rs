//! Uploads: started, mounted, as a whole, in pieces, with their progress, and cancelled.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-blobs>

use super::auth::Auth;
use super::distribution::{Place, created, digest_of, refusal, unknown_name};
use super::quirks::Mount;
use super::wire::{Request, Response};
use super::{Shared, State};

/// Answers `POST …/uploads/`.
pub(super) fn start(shared: &Shared, state: &mut State, request: &Request, repository: &str) -> Response {
    let quirks = &shared.setup.quirks;
    if quirks.must_exist && !state.repositories.contains_key(repository) {
        return unknown_name(repository);
    }
    if let Some(digest) = request.parameter("mount") {
        if !shared.setup.mount {
            return refusal(405, "UNSUPPORTED");
        }
        if let Some(bytes) = mounted(shared, state, request, &digest) {
            state.repository(repository).blobs.insert(digest.clone(), bytes);
            return created(shared, repository, "blobs", &digest);
        }
    }
    if let Some(digest) = request.parameter("digest").filter(|_| quirks.single_post) {
        return complete(shared, state, repository, &digest, request.body.clone());
    }
    state.serial += 1;
    let session = format!("session-{}", state.serial);
    state.uploads.insert(session.clone(), Vec::new());
    Response::new(202)
        .header("Location", place_of(shared, repository, &session))
        .header("Docker-Upload-UUID", session)
        .header("Range", "0-0")
}

/// Returns the location of an upload session. It has a query of its own, as in many registries.
fn place_of(shared: &Shared, repository: &str, session: &str) -> String {
    let host = if shared.setup.quirks.absolute { shared.url() } else { String::new() };
    format!("{host}/v2/{repository}/blobs/uploads/{session}?state=a%2Fb")
}

/// Returns the bytes of a blob that may be mounted from another repository.
fn mounted(shared: &Shared, state: &State, request: &Request, digest: &str) -> Option<Vec<u8>> {
    let from = request.parameter("from");
    let readable = |name: &str| match &shared.setup.auth {
        Auth::Token { user: Some(_), .. } => {
            let token = request.header("authorization").and_then(|given| given.strip_prefix("Bearer "));
            token.and_then(|token| state.tokens.get(token)).is_some_and(|grant| grant.allows(name, "pull"))
        }
        _ => true,
    };
    let blob = |name: &str| state.repositories.get(name)?.blobs.get(digest).cloned();
    match (shared.setup.quirks.mount, from) {
        (Mount::Never, _) | (Mount::From, None) => None,
        (_, Some(name)) => blob(&name).filter(|_| readable(&name)),
        (Mount::Anywhere, None) => state.repositories.keys().find_map(|name| blob(name)),
    }
}

/// Answers the further requests of a session: `PATCH`, `PUT`, `GET` and `DELETE`.
pub(super) fn go_on(shared: &Shared, state: &mut State, request: &Request, place: &Place<'_>) -> Response {
    let session = place.reference;
    let Some(held) = state.uploads.get_mut(session) else { return refusal(404, "BLOB_UPLOAD_UNKNOWN") };
    match request.method.as_str() {
        "GET" => progress(shared, 204, place, held.len()),
        "DELETE" => {
            state.uploads.remove(session);
            Response::new(204)
        }
        "PATCH" => {
            if let Err(response) = fits(shared, request, held.len()) {
                return response;
            }
            held.extend_from_slice(&request.body);
            let status = if shared.setup.quirks.early_created { 201 } else { 202 };
            progress(shared, status, place, held.len())
        }
        _ => {
            let mut bytes = state.uploads.remove(session).unwrap_or_default();
            bytes.extend_from_slice(&request.body);
            let digest = request.parameter("digest").unwrap_or_default();
            complete(shared, state, place.repository, &digest, bytes)
        }
    }
}

fn progress(shared: &Shared, status: u16, place: &Place<'_>, held: usize) -> Response {
    Response::new(status)
        .header("Location", place_of(shared, place.repository, place.reference))
        .header("Range", format!("0-{}", held.saturating_sub(1)))
}

/// Checks that a piece starts where the last one ended, and is not too large.
fn fits(shared: &Shared, request: &Request, held: usize) -> Result<(), Response> {
    let Some(range) = request.header("content-range") else { return Ok(()) };
    let begins = range.split('-').next().and_then(|number| number.parse().ok());
    let too_large = shared.setup.quirks.patch_limit.is_some_and(|limit| request.body.len() > limit);
    if begins == Some(held) && !too_large { Ok(()) } else { Err(refusal(416, "REQUESTED_RANGE_NOT_SATISFIABLE")) }
}

fn complete(shared: &Shared, state: &mut State, repository: &str, digest: &str, bytes: Vec<u8>) -> Response {
    if digest_of(&bytes) != digest {
        return refusal(400, "DIGEST_INVALID");
    }
    let blobs = &mut state.repository(repository).blobs;
    if !(shared.setup.quirks.keeps_blobs && blobs.contains_key(digest)) {
        blobs.insert(digest.to_owned(), bytes);
    }
    created(shared, repository, "blobs", digest)
}

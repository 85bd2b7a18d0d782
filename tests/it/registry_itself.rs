//! The in-process registry, tested with a bare HTTP client: the behaviour that the other tests rely on.

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use sha2::{Digest as _, Sha256};

use crate::support::registry::{
    Action, Auth, Elsewhere, Fault, Limit, Notice, Quirks, Registry, Setup, Slow, Tokens, Unreliable,
};

fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().expect("a client")
}

fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default()
}

/// Starts an upload and returns the URL of its session.
async fn session(client: &Client, registry: &Registry, query: &str) -> String {
    let started = send(client.post(format!("{}/v2/org/x/blobs/uploads/{query}", registry.url()))).await;
    assert_eq!(started.status(), StatusCode::ACCEPTED);
    let location = header(&started, "location");
    if location.starts_with('/') { format!("{}{location}", registry.url()) } else { location }
}

#[tokio::test]
async fn an_upload_takes_consecutive_pieces_and_can_be_cancelled() {
    let (client, registry) = (client(), Registry::start());
    let place = session(&client, &registry, "").await;
    let piece = |range: &str, body: &'static str| client.patch(&place).header("Content-Range", range).body(body);
    assert_eq!(send(piece("0-2", "abc")).await.status(), StatusCode::ACCEPTED);
    assert_eq!(send(piece("7-9", "ghi")).await.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(header(&send(client.get(&place)).await, "range"), "0-2");
    assert_eq!(send(piece("3-5", "def")).await.status(), StatusCode::ACCEPTED);
    let done = send(client.put(format!("{place}&digest={}", digest_of(b"abcdef")))).await;
    assert_eq!(done.status(), StatusCode::CREATED);
    assert_eq!(registry.blob("org/x", &digest_of(b"abcdef")).as_deref(), Some(&b"abcdef"[..]));

    let place = session(&client, &registry, "").await;
    assert_eq!(registry.uploads(), 1);
    assert_eq!(send(client.delete(&place)).await.status(), StatusCode::NO_CONTENT);
    assert_eq!((registry.uploads(), send(client.get(&place)).await.status()), (0, StatusCode::NOT_FOUND));
}

#[tokio::test]
async fn a_single_post_uploads_a_blob_only_in_a_registry_that_supports_it() {
    let client = client();
    for (quirks, status) in [(Quirks::default(), StatusCode::CREATED), (Quirks::ghcr(), StatusCode::ACCEPTED)] {
        let registry = Registry::with(Setup { quirks, ..Setup::default() });
        let url = format!("{}/v2/org/x/blobs/uploads/?digest={}", registry.url(), digest_of(b"whole"));
        assert_eq!(send(client.post(url).body("whole")).await.status(), status);
        assert_eq!(registry.blob("org/x", &digest_of(b"whole")).is_some(), status == StatusCode::CREATED);
    }
    let registry = Registry::with(Setup { quirks: Quirks::ghcr(), ..Setup::default() });
    let place = session(&client, &registry, "").await;
    let large = client.patch(place).header("Content-Range", "0-4194304").body(vec![0; (4 << 20) + 1]);
    assert_eq!(send(large).await.status(), StatusCode::RANGE_NOT_SATISFIABLE);
}

#[tokio::test]
async fn blobs_on_another_host_are_read_by_their_signed_url_only_and_in_ranges() {
    let elsewhere = Elsewhere { blobs: true, ..Elsewhere::default() };
    let (client, registry) = (client(), Registry::with(Setup { elsewhere, ..Setup::default() }));
    registry.put_blob("org/x", "sha256:1", b"0123456789");
    let moved = send(client.get(format!("{}/v2/org/x/blobs/sha256:1", registry.url()))).await;
    assert_eq!(moved.status(), StatusCode::TEMPORARY_REDIRECT);
    let there = header(&moved, "location");
    let part = send(client.get(&there).header("Range", "bytes=2-4")).await;
    assert_eq!((part.status(), header(&part, "content-range")), (StatusCode::PARTIAL_CONTENT, "bytes 2-4/10".into()));
    assert_eq!(part.text().await.expect("a body"), "234");
    let with_credentials = send(client.get(&there).header("Authorization", "Bearer x")).await;
    assert_eq!(with_credentials.status(), StatusCode::BAD_REQUEST);
    assert!(registry.log()[1].elsewhere);
}

#[tokio::test]
async fn a_token_is_valid_for_its_scope_and_number_of_uses_and_a_refresh_token_gets_one() {
    let user = Some(("alice".to_owned(), "secret".to_owned()));
    let tokens = Tokens { jwt: true, uses: Some(2), refresh: Some("refresh-me".to_owned()), ..Tokens::default() };
    let setup = Setup { auth: Auth::Token { realm: None, user }, tokens, ..Setup::default() };
    let (client, registry) = (client(), Registry::with(setup));
    let url = format!("{}/token", registry.url());
    let form = |secret: &str| {
        format!("grant_type=refresh_token&service=test&scope=repository%3Aorg%2Fx%3Apull%2Cpush&refresh_token={secret}")
    };
    assert_eq!(send(client.post(&url).body(form("wrong"))).await.status(), StatusCode::UNAUTHORIZED);
    let reply: serde_json::Value =
        serde_json::from_str(&send(client.post(&url).body(form("refresh-me"))).await.text().await.expect("text"))
            .expect("JSON");
    let token = reply["token"].as_str().expect("a token").to_owned();
    assert_eq!(token.split('.').count(), 3);
    let read = |name: &str| {
        let url = format!("{}/v2/{name}/manifests/none", registry.url());
        send(client.request(Method::HEAD, url).bearer_auth(&token))
    };
    assert_eq!(read("org/x").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(read("org/y").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(read("org/x").await.status(), StatusCode::UNAUTHORIZED, "the token has been used twice");
}

#[tokio::test]
async fn requests_over_the_limit_fail_and_so_does_a_share_of_all() {
    let client = client();
    for (slow, status) in [(Slow::Header, 429), (Slow::Message, 429), (Slow::Forbidden, 403)] {
        let registry = Registry::start();
        registry.limit(Limit::new(2, slow));
        let mut seen = Vec::new();
        for _ in 0..6 {
            seen.push(send(client.get(format!("{}/v2/", registry.url()))).await.status().as_u16());
        }
        assert_eq!(seen, [200, 200, status, 200, 200, status]);
        assert_eq!(registry.failed(), 2);
    }
    let mut counts = Vec::new();
    for _ in 0..2 {
        let registry = Registry::start();
        registry.unreliable(Unreliable::new(7, 5));
        for _ in 0..200 {
            let _ = client.get(format!("{}/v2/", registry.url())).send().await;
        }
        counts.push((registry.log().len(), registry.failed()));
    }
    // The client's pool may send a request again after a reset. With the same seed, that happens in the same places.
    assert_eq!(counts[0], counts[1]);
    assert!((1..40).contains(&counts[0].1), "{counts:?}");
}

#[tokio::test]
async fn a_request_caught_before_its_execution_has_no_effect_and_one_caught_after_has() {
    for (after, tags) in [(false, 0), (true, 1)] {
        let (client, registry) = (client(), Registry::start());
        let (caught, arrival) = std::sync::mpsc::channel();
        let notice = Notice::new(move || caught.send(()).expect("the test waits"));
        let action = if after { Action::CatchAfter(notice) } else { Action::CatchBefore(notice) };
        registry.fail(Fault::after(1, action));
        assert!(send(client.get(format!("{}/v2/", registry.url()))).await.status().is_success());
        let put = client.put(format!("{}/v2/org/x/manifests/1.0", registry.url())).body("{}").send();
        let sent = tokio::spawn(put);
        tokio::task::spawn_blocking(move || arrival.recv()).await.expect("a thread").expect("caught");
        sent.abort();
        assert_eq!(registry.tags("org/x").len(), tags);
    }
}

#[tokio::test]
async fn stale_reads_return_the_old_tag_for_a_number_of_requests() {
    let (client, registry) = (client(), Registry::with(Setup { stale_reads: 2, ..Setup::default() }));
    let url = format!("{}/v2/org/x/manifests/t", registry.url());
    assert_eq!(send(client.put(&url).body("{}")).await.status(), StatusCode::CREATED);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(send(client.get(&url)).await.status().as_u16());
    }
    assert_eq!(seen, [404, 404, 200]);
}

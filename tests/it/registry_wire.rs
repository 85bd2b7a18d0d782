//! The requests that a registry receives from this program, and the handling of a registry that misbehaves.

use std::fmt::Write as _;

use alga_release::oci::{
    Certificates, Content, Credentials, Descriptor, Digest, Error, Kind, Location, Notice, Obstacle, Options,
    ReadStore, Selector, Store, media_type,
};

use crate::store_contract::{alice, artifact, push, repository, tag, tokens_for_alice};
use crate::support::registry::{Action, Auth, Elsewhere, Fault, Gate, Immutable, Quirks, Registry, Setup};

fn open(registry: &Registry, credentials: Credentials) -> Store {
    let location = Location::parse(&format!("{}/org", registry.url()), false).expect("a location");
    Store::open(&location, Options { credentials, ca: registry.certificates(), ..Options::default() }).expect("a store")
}

/// Opens the registry for reading only.
fn reader(registry: &Registry) -> ReadStore {
    let location = Location::parse(&format!("{}/org", registry.url()), false).expect("a location");
    ReadStore::open(&location, Options::default()).expect("a store")
}

fn anonymous(registry: &Registry) -> Store {
    open(registry, Credentials::Anonymous)
}

fn with_tokens() -> Registry {
    Registry::with(Setup { auth: tokens_for_alice(), ..Setup::default() })
}

fn methods(registry: &Registry) -> Vec<String> {
    registry.log().into_iter().map(|received| received.method).collect()
}

/// Returns the texts of an error and of all its causes.
fn all_of(error: &Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let _ = write!(text, " {inner} {inner:?}");
        cause = inner.source();
    }
    text
}

#[tokio::test]
async fn a_new_artifact_takes_five_requests_on_one_connection_and_a_known_blob_one() {
    let registry = Registry::start();
    let (store, artifact) = (anonymous(&registry), artifact("x"));
    push(&store, &repository("x"), &artifact, Some(&tag("1.0"))).await;
    assert_eq!(methods(&registry), ["POST", "PUT", "POST", "PUT", "PUT"]);
    assert_eq!(registry.connections(), 1);
    let log = registry.log();
    assert_eq!(log[0].query, format!("mount={}", artifact.config().expect("a config").descriptor().digest));
    assert_eq!(log[0].content_length.as_deref(), Some("0"));
    assert!(
        log[1].query.ends_with(&format!("&digest={}", artifact.config().expect("a config").descriptor().digest)),
        "{log:?}"
    );
    assert_eq!(log[1].content_length, Some(artifact.blobs()[0].bytes().expect("in memory").len().to_string()));
    assert_eq!(log[4].content_type.as_deref(), Some(media_type::IMAGE_MANIFEST));
    let (stored, bytes) = registry.manifest("org/x", "1.0").expect("stored");
    assert_eq!((stored.as_str(), &bytes[..]), (media_type::IMAGE_MANIFEST, &artifact.manifest().bytes()[..]));

    registry.clear_log();
    store.push_blob(&repository("x"), &artifact.blobs()[0]).await.expect("pushed");
    assert_eq!(methods(&registry), ["POST"]);
    // A blob that another repository holds is mounted from there.
    store.push_blob(&repository("y"), &artifact.blobs()[0]).await.expect("pushed");
    assert_eq!(methods(&registry), ["POST", "POST"]);
    let digest = &artifact.config().expect("a config").descriptor().digest;
    assert_eq!(registry.log()[1].query, format!("mount={digest}&from=org/x"));
}

#[tokio::test]
async fn a_registry_that_refuses_mounts_is_asked_for_one_only_once() {
    let registry = Registry::with(Setup { mount: false, ..Setup::default() });
    push(&anonymous(&registry), &repository("x"), &artifact("x"), None).await;
    assert_eq!(methods(&registry), ["POST", "POST", "PUT", "POST", "PUT", "PUT"]);
}

#[tokio::test]
async fn a_large_blob_is_only_sent_after_a_request_whether_it_exists() {
    let registry = Registry::start();
    let (store, blob) = (anonymous(&registry), Content::new("x/y", vec![1; 1 << 20]));
    for _ in 0..2 {
        store.push_blob(&repository("x"), &blob).await.expect("pushed");
    }
    assert_eq!(methods(&registry), ["HEAD", "POST", "PUT", "HEAD"]);
}

#[tokio::test]
async fn there_is_no_ping_and_concurrent_requests_share_one_token() {
    let registry = with_tokens();
    let (store, x, name) = (open(&registry, alice()), repository("x"), tag("1.0"));
    let artifact = artifact("x");
    push(&store, &x, &artifact, Some(&name)).await;
    let tokens = |registry: &Registry| registry.lines().iter().filter(|line| *line == "GET /token").count();
    assert_eq!(tokens(&registry), 1);
    assert!(registry.lines().iter().all(|line| !line.ends_with(" /v2/")));
    assert_eq!(registry.log()[1].query, "service=test&scope=repository%3Aorg%2Fx%3Apull%2Cpush");

    // Another process reads many times at once. The token server answers only after all reads have started.
    registry.clear_log();
    let (gate, other) = (Gate::default(), reader(&registry));
    registry.fail(Fault::first("GET", "/token", Action::Hold(gate.clone())));
    let reads = futures_util::future::join_all((0..8).map(|_| other.resolve(&x, &name)));
    let release = async {
        gate.arrived(1).await;
        gate.release();
    };
    let (digests, ()) = tokio::join!(reads, release);
    assert!(digests.iter().all(Result::is_ok), "{digests:?}");
    assert_eq!(tokens(&registry), 1);
    let asked = registry.log().into_iter().find(|received| received.path == "/token").expect("asked");
    assert_eq!(asked.query, "service=test&scope=repository%3Aorg%2Fx%3Apull");
    // Other repositories use the known challenge, so their first request is not refused.
    registry.clear_log();
    let _ = other.resolve(&repository("y"), &name).await;
    assert_eq!(registry.lines(), ["GET /token", "HEAD /v2/org/y/manifests/1.0"]);
    // A store that is opened for writing requests both permissions at once, even if it reads first.
    registry.clear_log();
    let writer = open(&registry, alice());
    writer.read().resolve(&x, &name).await.expect("read");
    push(&writer, &x, &artifact, None).await;
    assert_eq!(tokens(&registry), 1);
}

#[tokio::test]
async fn an_expired_token_is_renewed_once_and_a_rejected_one_is_not_renewed_forever() {
    let registry = with_tokens();
    let (store, x) = (open(&registry, alice()), repository("x"));
    push(&store, &x, &artifact("x"), Some(&tag("1.0"))).await;
    registry.expire_tokens();
    registry.clear_log();
    push(&store, &x, &artifact("y"), Some(&tag("1.1"))).await;
    let lines = registry.lines();
    assert_eq!(lines[..3].iter().map(|line| &line[..8]).collect::<Vec<_>>(), ["POST /v2", "GET /tok", "POST /v2"]);
    assert_eq!(lines.len(), 7);

    registry.clear_log();
    let refusal = vec![("WWW-Authenticate".to_owned(), format!("Bearer realm=\"{}/token\"", registry.url()))];
    registry.fail(Fault::every("HEAD", "", Action::Status(401, refusal, b"no".to_vec())));
    let error = store.read().resolve(&x, &tag("1.0")).await.expect_err("refused");
    assert_eq!(error.kind(), Kind::Denied);
    assert_eq!(registry.log().len(), 3);
}

#[tokio::test]
async fn expired_credentials_do_not_prevent_anonymous_reads() {
    let registry = with_tokens();
    push(&open(&registry, alice()), &repository("x"), &artifact("x"), Some(&tag("1.0"))).await;
    let expired = Credentials::Basic { username: "alice".to_owned(), password: "hunter2-secret".to_owned().into() };
    let location = Location::parse(&format!("{}/org", registry.url()), false).expect("a location");
    let said = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let hears = std::sync::Arc::clone(&said);
    let notice: Notice = std::sync::Arc::new(move |line: &str| hears.lock().expect("a lock").push(line.to_owned()));
    let options = Options { credentials: expired, notice: Some(notice), ..Options::default() };
    let reader = ReadStore::open(&location, options).expect("a store");
    registry.clear_log();
    reader.resolve(&repository("x"), &tag("1.0")).await.expect("the public may read it");
    let tokens: Vec<_> = registry.log().into_iter().filter(|received| received.path == "/token").collect();
    assert_eq!(tokens.iter().map(|asked| asked.authorization.is_some()).collect::<Vec<_>>(), [true, false]);
    let said = said.lock().expect("a lock");
    assert!(said.len() == 1 && said[0].contains("rejected the credentials: reading anonymously instead"), "{said:?}");
}

#[tokio::test]
async fn wrong_credentials_and_missing_permissions_are_denied_without_showing_secrets() {
    let registry = with_tokens();
    let wrong = Credentials::Basic { username: "mallory".to_owned(), password: "hunter2-secret".to_owned().into() };
    let store = open(&registry, wrong);
    let error = store.read().resolve(&repository("x"), &tag("1.0")).await.expect_err("refused");
    assert_eq!(error.kind(), Kind::Denied);
    for text in [all_of(&error), format!("{store:?}")] {
        assert!(!text.contains("hunter2") && !text.contains("bWFsbG9yeTpodW50ZXIy"), "{text}");
    }
    let error = anonymous(&registry).push_blob(&repository("x"), &Content::new("x/y", "z")).await;
    assert_eq!(error.expect_err("a token to pull does not allow a push").kind(), Kind::Denied);
    assert!(registry.blob("org/x", Digest::of(b"z").as_str()).is_none());

    let registry = Registry::with(Setup {
        auth: Auth::Basic { username: "alice".to_owned(), password: "other".to_owned() },
        ..Setup::default()
    });
    let error = open(&registry, alice()).read().tags(&repository("x")).await.expect_err("refused");
    assert_eq!((error.kind(), registry.log().len()), (Kind::Denied, 2));
}

#[tokio::test]
async fn credentials_never_reach_another_host() {
    let (registry, elsewhere) = (with_tokens(), Registry::start());
    let (store, x, blob) = (open(&registry, alice()), repository("x"), Content::new("x/y", "content"));
    let digest = &blob.descriptor().digest;
    store.push_blob(&x, &blob).await.expect("pushed");
    // A blob on another host, as every large registry has.
    elsewhere.put_blob("store", digest.as_str(), b"content");
    let signed = format!("{}/v2/store/blobs/{digest}?signature=s3cr3t", elsewhere.url());
    registry.fail(Fault::first("GET", "/blobs/", Action::Redirect(signed)));
    let bytes = store.read().fetch_verified(&x, blob.descriptor(), 100).await.expect("the blob");
    assert_eq!(&bytes[..], b"content");
    // An upload to another host.
    let session = vec![("Location".to_owned(), format!("{}/v2/x/blobs/uploads/none", elsewhere.url()))];
    registry.fail(Fault::first("POST", "/uploads/", Action::Status(202, session, Vec::new())));
    let error =
        store.push_blob(&x, &Content::new("x/y", "other")).await.expect_err("the other registry has no such session");
    assert_eq!(error.kind(), Kind::NotFound);
    // A token server on another host, without TLS.
    let realm = vec![("WWW-Authenticate".to_owned(), format!("Bearer realm=\"{}/token\"", elsewhere.url()))];
    registry.fail(Fault::first("HEAD", "", Action::Status(401, realm, Vec::new())));
    let _ = store.read().resolve(&x, &tag("1.0")).await;
    let seen = elsewhere.log();
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen.iter().all(|received| received.authorization.is_none()), "{seen:?}");
}

/// Opens the registry as [`open`] does, with credentials that may also be sent to a token server on the other host.
fn open_with_realm(registry: &Registry, credentials: Credentials) -> Store {
    let location = Location::parse(&format!("{}/org", registry.url()), false).expect("a location");
    let auth_realms = vec!["127.0.0.2".to_owned()];
    let options = Options { credentials, auth_realms, ca: registry.certificates(), ..Options::default() };
    Store::open(&location, options).expect("a store")
}

#[tokio::test]
async fn a_token_server_on_another_host_gets_credentials_only_when_allowed_and_over_tls() {
    for (tls, kind) in [(true, None), (false, Some(Kind::Denied))] {
        let elsewhere = Elsewhere { tokens: true, tls, ..Elsewhere::default() };
        let registry = Registry::with(Setup { auth: tokens_for_alice(), elsewhere, ..Setup::default() });
        let push = async |store: &Store| store.push_blob(&repository("x"), &Content::new("x/y", "z")).await;
        let foreign = || registry.log().into_iter().filter(|received| received.elsewhere).collect::<Vec<_>>();
        let error = push(&open(&registry, alice())).await.expect_err("a foreign token server");
        assert_eq!((error.kind(), foreign().len()), (Kind::Denied, 0), "{error}");
        let way_out = if tls { "--auth-realm 127.0.0.2" } else { "only sent to a token server over HTTPS" };
        assert!(error.to_string().contains(way_out), "{error}");
        let pushed = push(&open_with_realm(&registry, alice())).await;
        assert_eq!(pushed.as_ref().err().map(Error::kind), kind, "{pushed:?}");
        assert_eq!(foreign().iter().any(|received| received.authorization.is_some()), tls);
        assert!(foreign().iter().all(|received| received.path == "/token"));
        // Without credentials, a token may be requested from any server.
        let _ = push(&anonymous(&registry)).await;
        assert!(foreign().last().is_some_and(|received| received.authorization.is_none()));
    }
}

#[tokio::test]
async fn an_upload_goes_to_another_host_only_over_tls_and_is_reported() {
    let (registry, x, blob) = (Registry::start(), repository("x"), Content::new("x/y", "content"));
    let elsewhere = Registry::with(Setup { tls: true, ..Setup::default() });
    let session = |scheme: &str| {
        // `localhost` is another name of this machine.
        let place = elsewhere.address().replace("127.0.0.1", "localhost");
        vec![("Location".to_owned(), format!("{scheme}://{place}/v2/x/blobs/uploads/none?signature=s3cr3t"))]
    };
    registry.fail(Fault::first("POST", "/uploads/", Action::Status(202, session("http"), Vec::new())));
    let error = anonymous(&registry).push_blob(&x, &blob).await.expect_err("not encrypted");
    assert_eq!((error.kind(), elsewhere.connections()), (Kind::Refused, 0), "{error}");
    assert!(
        error.to_string().contains("another host and not encrypted") && !all_of(&error).contains("s3cr3t"),
        "{error}"
    );
    registry.fail(Fault::first("POST", "/uploads/", Action::Status(202, session("https"), Vec::new())));
    let said = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let hears = std::sync::Arc::clone(&said);
    let notice: Notice = std::sync::Arc::new(move |text| hears.lock().expect("whole").push(text.to_owned()));
    let location = Location::parse(&format!("{}/org", registry.url()), false).expect("a location");
    let store = Store::open(&location, Options { notice: Some(notice), insecure: true, ..Options::default() });
    let _ = store.expect("a store").push_blob(&x, &blob).await;
    let said = said.lock().expect("whole").join("\n");
    assert!(said.contains("redirects uploads to another host, localhost"), "{said}");
    assert_eq!(elsewhere.lines(), ["PUT /v2/x/blobs/uploads/none"]);
}

#[tokio::test]
async fn no_redirect_leaves_tls_and_no_signature_is_shown() {
    let (registry, elsewhere) = (Registry::with(Setup { tls: true, ..Setup::default() }), Registry::start());
    let (store, x, blob) = (anonymous(&registry), repository("x"), Content::new("x/y", "content"));
    let plain = format!("{}/v2/x?signature=s3cr3t", elsewhere.url());
    registry.fail(Fault::first("GET", "", Action::Redirect(plain.clone())));
    let error = store.read().fetch_verified(&x, blob.descriptor(), 100).await.expect_err("the redirect leaves TLS");
    assert_eq!(error.kind(), Kind::Malformed);
    let session = vec![("Location".to_owned(), plain.clone())];
    registry.fail(Fault::first("POST", "", Action::Status(202, session, Vec::new())));
    assert_eq!(store.push_blob(&x, &blob).await.expect_err("the redirect leaves TLS").kind(), Kind::Malformed);
    assert!(elsewhere.log().is_empty());

    let (registry, gone) = (Registry::start(), "http://127.0.0.1:1/x?signature=s3cr3t".to_owned());
    for target in [plain, gone] {
        registry.fail(Fault::first("GET", "", Action::Redirect(target)));
        let store = anonymous(&registry);
        let other = store.read().fetch_verified(&x, blob.descriptor(), 100).await.expect_err("not found");
        for error in [&error, &other] {
            assert!(!all_of(error).contains("s3cr3t"), "{}", all_of(error));
        }
    }
}

#[tokio::test]
async fn the_number_of_redirects_is_limited() {
    let registry = Registry::start();
    registry.fail(Fault::every("GET", "/blobs/", Action::Redirect("/v2/org/x/blobs/again".to_owned())));
    let blob = Content::new("x/y", "z");
    let error = anonymous(&registry).read().fetch_verified(&repository("x"), blob.descriptor(), 9).await;
    assert_eq!(error.expect_err("no end").kind(), Kind::Malformed);
    // One question whether this is a registry at all, and the redirects.
    assert_eq!(registry.log().len(), 1 + 6);
    for target in ["ftp://x/", "http://[", "javascript:1"] {
        registry.heal();
        registry.fail(Fault::first("GET", "/blobs/", Action::Redirect(target.to_owned())));
        let error = anonymous(&registry).read().fetch_verified(&repository("x"), blob.descriptor(), 9).await;
        assert_eq!(error.expect_err("nowhere").kind(), Kind::Malformed, "{target}");
    }
}

#[tokio::test]
async fn endless_bodies_are_not_read_beyond_the_limit() {
    let registry = with_tokens();
    let (store, x, artifact) = (open(&registry, alice()), repository("x"), artifact("x"));
    push(&store, &x, &artifact, Some(&tag("1.0"))).await;
    let kind = |error: Error| error.kind();
    let selector = Selector::Tag(tag("1.0"));
    registry.fail(Fault::every("GET", "/v2/", Action::Endless));
    let read = store.read();
    assert_eq!(read.manifest(&x, &selector).await.map_err(kind), Err(Kind::TooLarge));
    let blob = artifact.config().expect("a config").descriptor();
    assert_eq!(read.fetch_verified(&x, blob, 1000).await.map_err(kind), Err(Kind::TooLarge));
    assert_eq!(read.tags(&x).await.map_err(kind), Err(Kind::TooLarge));
    registry.expire_tokens();
    registry.fail(Fault::first("GET", "/token", Action::Endless));
    assert_eq!(read.resolve(&x, &tag("1.0")).await.map_err(kind), Err(Kind::Malformed));
    // A header that announces a large body does not allocate memory.
    registry.heal();
    let length = vec![("Content-Length".to_owned(), "99999999999999".to_owned())];
    registry.fail(Fault::first("GET", "/manifests/", Action::Status(200, length, Vec::new())));
    assert!(read.manifest(&x, &selector).await.is_err());
}

#[tokio::test]
async fn a_truncated_or_changed_body_is_an_error() {
    let registry = Registry::start();
    let (store, x, artifact) = (anonymous(&registry), repository("x"), artifact("x"));
    push(&store, &x, &artifact, Some(&tag("1.0"))).await;
    let blob = artifact.blobs()[1].descriptor();
    let by_digest = Selector::Digest(artifact.digest().clone());
    for (action, kind) in [
        (Action::Truncate(3), Kind::Unavailable),
        (Action::Reset(150), Kind::Unavailable),
        (Action::CloseBeforeResponse, Kind::Unavailable),
        (Action::CorruptBody, Kind::Mismatch),
    ] {
        registry.fail(Fault::first("GET", "/blobs/", action.clone()));
        let error = store.read().fetch_verified(&x, blob, 1000).await.expect_err("broken");
        assert_eq!(error.kind(), kind, "{action:?}: {error}");
        for selector in [&by_digest, &Selector::Tag(tag("1.0"))] {
            registry.fail(Fault::first("GET", "/manifests/", action.clone()));
            let error = store.read().manifest(&x, selector).await.expect_err("broken");
            assert_eq!(error.kind(), kind, "{action:?}: {error}");
        }
    }
    registry.fail(Fault::first("GET", "/blobs/", Action::Longer(1)));
    assert_eq!(store.read().fetch_verified(&x, blob, 1000).await.expect_err("longer").kind(), Kind::TooLarge);
}

#[tokio::test]
async fn a_missing_digest_header_is_computed_and_a_wrong_one_is_detected() {
    let registry = Registry::start();
    let (store, x, artifact) = (anonymous(&registry), repository("x"), artifact("x"));
    push(&store, &x, &artifact, Some(&tag("1.0"))).await;
    registry.fail(Fault::every("HEAD", "", Action::NoDigestHeader));
    assert_eq!(store.read().resolve(&x, &tag("1.0")).await.expect("the tag"), *artifact.digest());
    registry.fail(Fault::first("GET", "/manifests/", Action::WrongDigestHeader));
    let error = store.read().manifest(&x, &Selector::Tag(tag("1.0"))).await.expect_err("the digest header is wrong");
    assert_eq!(error.kind(), Kind::Mismatch);
    registry.fail(Fault::first("PUT", "/manifests/", Action::WrongDigestHeader));
    let error = store.push_manifest(&x, artifact.manifest(), None).await.expect_err("the registry stored other bytes");
    assert_eq!(error.kind(), Kind::Mismatch);
}

#[tokio::test]
async fn a_media_type_is_found_with_parameters_and_without_a_header() {
    let registry = Registry::start();
    let (store, x, artifact) = (anonymous(&registry), repository("x"), artifact("x"));
    push(&store, &x, &artifact, Some(&tag("1.0"))).await;
    for sent in ["", "application/json; charset=utf-8", "application/vnd.oci.image.manifest.v1+json; charset=utf-8"] {
        let headers = vec![("Content-Type".to_owned(), sent.to_owned())];
        registry.fail(Fault::first("GET", "/manifests/", Action::Headers(headers)));
        let (descriptor, _) = store.read().manifest(&x, &Selector::Tag(tag("1.0"))).await.expect("the manifest");
        assert_eq!(descriptor.media_type, media_type::IMAGE_MANIFEST);
    }
}

#[tokio::test]
async fn an_immutable_tag_accepts_its_own_manifest_again_and_no_other() {
    let quirks = Quirks { immutable: Some(Immutable::HARBOR), ..Quirks::default() };
    let registry = Registry::with(Setup { quirks, ..Setup::default() });
    let (store, x, own, other) = (anonymous(&registry), repository("x"), artifact("x"), artifact("y"));
    push(&store, &x, &own, Some(&tag("1.0"))).await;
    push(&store, &x, &own, Some(&tag("1.0"))).await;
    push(&store, &x, &other, Some(&tag("1.1"))).await;
    let refused = store.push_manifest(&x, other.manifest(), Some(&tag("1.0"))).await.expect_err("immutable");
    assert_eq!(refused.kind(), Kind::Blocked(Obstacle::ImmutableTag));
    assert_eq!(registry.tags("org/x")["1.0"], own.digest().to_string());
}

#[tokio::test]
async fn error_responses_become_kinds_and_escaped_text() {
    let registry = Registry::start();
    let store = anonymous(&registry);
    let evil = b"<html>\x1b[2J\xff\xfe\x00<b>evil\r\n\xe2\x80\xae".repeat(5000);
    for (status, body, kind) in [
        (401, b"".to_vec(), Kind::Denied),
        (403, evil.clone(), Kind::Denied),
        (403, br#"{"message":"You have exceeded a secondary rate limit"}"#.to_vec(), Kind::Unavailable),
        (404, evil.clone(), Kind::NotFound),
        (408, Vec::new(), Kind::Unavailable),
        (429, br#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#.to_vec(), Kind::Unavailable),
        (500, evil.clone(), Kind::Unavailable),
        (503, b"{\"errors\":[[[[".to_vec(), Kind::Unavailable),
        (418, evil, Kind::Malformed),
        (302, Vec::new(), Kind::Malformed),
        (400, br#"{"errors":[{"code":"NAME_INVALID","message":"\u001b[31mno\u0007"}]}"#.to_vec(), Kind::Malformed),
    ] {
        registry.fail(Fault::first("GET", "", Action::Status(status, Vec::new(), body)));
        let error = store.read().manifest(&repository("x"), &Selector::Tag(tag("1.0"))).await.expect_err("refused");
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{text}");
        assert!(text.contains(&status.to_string()) && text.len() < 4000, "{text}");
        assert!(!text.chars().any(|c| c.is_control() || c == '\u{202e}'), "{text:?}");
    }
    let garbage = Action::Status(200, Vec::new(), b"not json".to_vec());
    registry.fail(Fault::first("GET", "/tags/", garbage));
    assert_eq!(store.read().tags(&repository("x")).await.expect_err("no tags").kind(), Kind::Malformed);
}

#[tokio::test]
async fn a_host_that_does_not_respond_is_unavailable() {
    let registry = Registry::start();
    let (store, x) = (anonymous(&registry), repository("x"));
    push(&store, &x, &artifact("x"), Some(&tag("1.0"))).await;
    drop(registry);
    let error = store.read().resolve(&x, &tag("1.0")).await.expect_err("gone");
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
}

#[tokio::test]
async fn all_pages_of_tags_are_read_and_none_from_another_server() {
    let registry = Registry::start();
    let (store, digest) = (anonymous(&registry), Digest::of(b"{}"));
    for number in 0..2500 {
        let name = format!("t{number:04}");
        registry.put_manifest("org/x", Some(&name), digest.as_str(), media_type::IMAGE_MANIFEST, b"{}");
    }
    let tags = store.read().tags(&repository("x")).await.expect("tags");
    assert_eq!((tags.len(), registry.log().len()), (2500, 3));
    for (body, count) in [(r#"{"name":"x","tags":null}"#, 0), ("{}", 0), (r#"{"tags":["a","sha256:b","c/d"]}"#, 1)] {
        registry.fail(Fault::first("GET", "/tags/", Action::Status(200, Vec::new(), body.into())));
        assert_eq!(store.read().tags(&repository("x")).await.expect("tags").len(), count, "{body}");
    }
    for target in ["http://127.0.0.1:1/v2/org/x/tags/list", "?n=1000"] {
        let link = vec![("Link".to_owned(), format!("<{target}>; rel=\"next\""))];
        registry.fail(Fault::first("GET", "/tags/", Action::Headers(link)));
        let error = store.read().tags(&repository("x")).await.expect_err("the next page is on another server");
        assert_eq!(error.kind(), Kind::Malformed);
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_ca_is_refused() {
    let registry = Registry::with(Setup { tls: true, ..Setup::default() });
    let location = Location::parse(&registry.url(), false).expect("a location");
    let other = Registry::with(Setup { tls: true, ..Setup::default() });
    let store = Store::open(&location, Options { ca: other.certificates(), ..Options::default() }).expect("a store");
    let error = store.read().resolve(&repository("x"), &tag("1.0")).await.expect_err("an unknown certificate");
    assert_eq!(error.kind(), Kind::Untrusted);
    assert!(all_of(&error).contains("ertificate"), "{}", all_of(&error));
    assert!(registry.log().is_empty());
    for junk in ["junk", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(Certificates::parse(junk.as_bytes()).is_err(), "{junk}");
    }
}

#[tokio::test]
async fn an_independent_client_reads_what_is_pushed() {
    use oci_client::client::{ClientConfig, ClientProtocol};
    use oci_client::manifest::OciManifest;
    use oci_client::secrets::RegistryAuth;

    let registry = with_tokens();
    let artifact = artifact("independent");
    push(&open(&registry, alice()), &repository("x"), &artifact, Some(&tag("1.0"))).await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() };
    let client = oci_client::Client::try_from(config).expect("a client");
    let reference = oci_client::Reference::with_tag(registry.address(), "org/x".to_owned(), "1.0".to_owned());
    let auth = RegistryAuth::Basic("alice".to_owned(), "secret-pass".to_owned());
    let (manifest, digest) = client.pull_manifest(&reference, &auth).await.expect("the manifest");
    assert_eq!(digest, artifact.digest().as_str());
    let OciManifest::Image(manifest) = manifest else { panic!("an image manifest") };
    assert_eq!(manifest.artifact_type.as_deref(), Some("application/vnd.example"));
    for (named, blob) in [(&manifest.config, 0), (&manifest.layers[0], 1)] {
        let mut bytes = Vec::new();
        client.pull_blob(&reference, named, &mut bytes).await.expect("the blob");
        assert_eq!(&bytes[..], &artifact.blobs()[blob].bytes().expect("in memory")[..]);
        let own: Descriptor = artifact.blobs()[blob].descriptor().clone();
        assert_eq!(u64::try_from(named.size), Ok(own.size));
    }
}

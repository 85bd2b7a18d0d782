//! Transient errors are retried within limits. Other errors are reported at once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use alga_release::oci::{Content, Digest, Error, Kind, Location, Notice, Options, Selector, Store};

use crate::store_contract::{artifact, push, repository, tag};
use crate::support::registry::{Action, Fault, Gate, Registry};

/// A time for retries that is longer than any test.
const LONG: Duration = Duration::from_mins(5);

fn open(registry: &Registry, retry_for: Duration) -> (Store, Arc<Mutex<Vec<String>>>) {
    let location = Location::parse(&format!("{}/org", registry.url()), false).expect("a location");
    let said = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&said);
    let notice: Notice = Arc::new(move |line: &str| hears.lock().expect("a lock").push(line.to_owned()));
    let options = Options { retry_for, notice: Some(notice), ..Options::default() };
    (Store::open(&location, options).expect("a store"), said)
}

fn status(status: u16) -> Action {
    Action::Status(status, Vec::new(), Vec::new())
}

fn with_header(status: u16, name: &str, value: &str) -> Action {
    Action::Status(status, vec![(name.to_owned(), value.to_owned())], Vec::new())
}

/// Returns one fault for each kind of transient error.
fn passing() -> Vec<Action> {
    let limited =
        r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"retry-after: 1.889377ms, allowed: 2000/minute"}]}"#;
    let mut faults: Vec<Action> = [408, 429, 500, 502, 503, 504].map(status).into();
    faults.extend([
        Action::Status(429, Vec::new(), limited.into()),
        with_header(503, "Retry-After", "0"),
        Action::CloseBeforeResponse,
        Action::Reset(0),
        Action::Reset(20),
    ]);
    faults
}

#[tokio::test]
async fn transient_errors_are_retried_at_every_request() {
    let artifact = artifact("x");
    for fault in passing() {
        let registry = Registry::start();
        let (store, said) = open(&registry, LONG);
        for (method, path) in [("POST", ""), ("PUT", "/blobs/"), ("PUT", "/manifests/"), ("HEAD", ""), ("GET", "")] {
            registry.fail(Fault::first(method, path, fault.clone()));
        }
        push(&store, &repository("x"), &artifact, Some(&tag("1.0"))).await;
        assert_eq!(store.read().resolve(&repository("x"), &tag("1.0")).await.expect("read"), *artifact.digest());
        let (_, bytes) = store.read().manifest(&repository("x"), &Selector::Tag(tag("1.0"))).await.expect("read");
        assert_eq!(bytes, *artifact.manifest().bytes(), "{fault:?}");
        let said = said.lock().expect("a lock");
        assert!(said.iter().all(|line| line.contains("retrying in ")), "{said:?}");
        assert!(!said.is_empty() && said.len() <= 5, "{fault:?}: {said:?}");
    }
}

#[tokio::test]
async fn a_truncated_body_is_read_again() {
    let registry = Registry::start();
    let (store, _) = open(&registry, LONG);
    let artifact = artifact("x");
    push(&store, &repository("x"), &artifact, Some(&tag("1.0"))).await;
    let blob = artifact.config().expect("a config").descriptor();
    registry.fail(Fault::first("GET", "/blobs/", Action::Truncate(1)));
    registry.fail(Fault::first("GET", "/manifests/", Action::Truncate(1)));
    store.read().manifest(&repository("x"), &Selector::Tag(tag("1.0"))).await.expect("read");
    let bytes = store.read().fetch_verified(&repository("x"), blob, 1 << 20).await.expect("read");
    assert_eq!(bytes, *artifact.blobs()[0].bytes().expect("in memory"));
}

#[tokio::test]
async fn a_failed_upload_starts_again_in_a_new_session() {
    let registry = Registry::start();
    let (store, _) = open(&registry, LONG);
    for fault in [Action::CloseBeforeResponse, status(500), status(404)] {
        registry.clear_log();
        registry.fail(Fault::first("PUT", "/blobs/", fault.clone()));
        let content = Content::new("x/y", format!("{fault:?}"));
        store.push_blob(&repository("x"), &content).await.expect("pushed");
        let log = registry.log();
        let methods: Vec<_> = log.iter().map(|received| received.method.as_str()).collect();
        assert_eq!(methods, ["POST", "PUT", "POST", "PUT"], "{fault:?}");
        assert_ne!(log[1].path, log[3].path, "the same session");
        assert_eq!(
            registry.blob("org/x", content.descriptor().digest.as_str()).as_deref(),
            Some(&content.bytes().expect("in memory")[..])
        );
    }
}

async fn fails(registry: &Registry, retry_for: Duration, action: Action) -> (Error, usize) {
    registry.heal();
    registry.clear_log();
    registry.fail(Fault::every("", "", action));
    let (store, _) = open(registry, retry_for);
    let error = store.read().resolve(&repository("x"), &tag("1.0")).await.expect_err("every request fails");
    (error, registry.log().len())
}

#[tokio::test]
async fn retries_end_after_the_given_time() {
    let registry = Registry::start();
    let (error, requests) = fails(&registry, Duration::ZERO, status(503)).await;
    assert_eq!((error.kind(), requests), (Kind::Unavailable, 1));

    let (error, requests) = fails(&registry, Duration::from_millis(1), status(503)).await;
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(requests >= 2, "the last attempt is made at the end of the time");
    assert!(error.to_string().contains(&format!("tried {requests} times")), "{error}");

    // A registry that asks for a longer wait than the time for retries gets no second request.
    let (error, requests) = fails(&registry, Duration::from_secs(5), with_header(429, "Retry-After", "3600")).await;
    assert_eq!((error.kind(), requests), (Kind::Unavailable, 1));
    assert!(error.to_string().contains("retry after 60 min 0 s"), "{error}");
    // A huge wait does not overflow.
    let endless = with_header(429, "Retry-After", "18446744073709551615");
    let (error, requests) = fails(&registry, LONG, endless).await;
    assert_eq!((error.kind(), requests), (Kind::Unavailable, 1));
    let secondary = br#"{"message":"You have exceeded a secondary rate limit. Please wait a few minutes"}"#;
    let action = Action::Status(403, Vec::new(), secondary.to_vec());
    let (error, requests) = fails(&registry, Duration::from_secs(5), action).await;
    // A response to HEAD has no body with a reason, so the request is repeated with GET.
    assert_eq!((error.kind(), requests), (Kind::Unavailable, 2));
}

#[tokio::test]
async fn permanent_errors_are_reported_at_once() {
    let registry = Registry::start();
    let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    for (answer, kind) in [(401, Kind::Denied), (403, Kind::Denied), (404, Kind::NotFound), (400, Kind::Malformed)] {
        let (error, requests) = fails(&registry, LONG, Action::Status(answer, headers.clone(), Vec::new())).await;
        assert_eq!((error.kind(), requests), (kind, if answer == 403 { 2 } else { 1 }), "{error}");
        let scope = error.to_string().contains("the scope `repository:org/x:");
        assert_eq!(scope, kind == Kind::Denied, "{error}");
    }
}

#[tokio::test]
async fn concurrent_requests_announce_a_common_wait_only_a_few_times() {
    let registry = Registry::start();
    let (store, said) = open(&registry, LONG);
    let artifact = artifact("x");
    push(&store, &repository("x"), &artifact, Some(&tag("1.0"))).await;
    // All eight requests arrive before the first one is answered, and all are refused.
    let gate = Gate::default();
    registry.fail(Fault { times: 8, ..Fault::first("HEAD", "", Action::Hold(gate.clone())) });
    registry.fail(Fault { times: 8, ..Fault::first("HEAD", "", with_header(429, "Retry-After", "1")) });
    let (repository, tag) = (repository("x"), tag("1.0"));
    let reads = futures_util::future::join_all((0..8).map(|_| store.read().resolve(&repository, &tag)));
    let release = async {
        gate.arrived(8).await;
        gate.release();
    };
    let (held, ()) = tokio::join!(reads, release);
    assert!(held.iter().all(Result::is_ok), "{held:?}");
    let read = futures_util::future::join_all((0..8).map(|_| store.read().resolve(&repository, &tag))).await;
    assert!(read.iter().all(Result::is_ok), "{read:?}");
    let said = said.lock().expect("a lock");
    assert!(!said.is_empty() && said.len() <= 4, "{said:?}");
}

#[tokio::test]
async fn the_number_of_open_requests_is_limited() {
    let registry = Registry::start();
    let location = Location::parse(&format!("{}/org", registry.url()), false).expect("a location");
    let store = Store::open(&location, Options { jobs: 2, ..Options::default() }).expect("a store");
    let (gate, name) = (Gate::default(), tag("1.0"));
    registry.fail(Fault::every("HEAD", "", Action::Hold(gate.clone())));
    let repositories: Vec<_> = (0..8).map(|number| repository(&format!("x{number}"))).collect();
    let reads = futures_util::future::join_all(repositories.iter().map(|one| store.read().resolve(one, &name)));
    let release = async {
        gate.arrived(2).await;
        let open = registry.log().len();
        gate.release();
        open
    };
    let (_, open) = tokio::join!(reads, release);
    assert_eq!((open, registry.log().len()), (2, 8));
    assert!(registry.connections() <= 2);
}

/// Other publishers may move the same tag. A move between a failed attempt and its retry is not overwritten.
#[tokio::test]
async fn a_failed_move_reads_the_tag_before_the_retry() {
    let (mine, theirs) = (artifact("mine"), artifact("theirs"));
    let (x, channel) = (repository("x"), tag("nightly"));
    // The fault, whether another publisher then moves the tag, the number of writes, and the manifest that the tag
    // points to.
    let cases = [
        (status(503), false, 2, Some(mine.digest())),
        (Action::Reset(0), false, 1, Some(mine.digest())),
        (status(503), true, 1, Some(theirs.digest())),
        (Action::Reset(0), true, 1, Some(theirs.digest())),
    ];
    for (fault, overtaken, writes, holder) in cases {
        let registry = Arc::new(Registry::start());
        let location = Location::parse(&format!("{}/org", registry.url()), false).expect("a location");
        let (server, manifest) = (Arc::clone(&registry), theirs.manifest().clone());
        let notice: Notice = Arc::new(move |_: &str| {
            if overtaken {
                let descriptor = manifest.descriptor();
                let digest = descriptor.digest.as_str();
                server.put_manifest("org/x", Some("nightly"), digest, &descriptor.media_type, manifest.bytes());
            }
        });
        let options = Options { retry_for: LONG, notice: Some(notice), ..Options::default() };
        let store = Store::open(&location, options).expect("a store");
        push(&store, &x, &mine, None).await;
        registry.clear_log();
        registry.fail(Fault::first("PUT", "/manifests/nightly", fault.clone()));
        let moved = store.move_tag(&x, mine.manifest(), &channel, None).await;
        assert_eq!(moved.as_ref().err().map(Error::kind), overtaken.then_some(Kind::Conflict), "{fault:?}: {moved:?}");
        assert_eq!(registry.log().iter().filter(|received| received.method == "PUT").count(), writes, "{fault:?}");
        assert_eq!(registry.tags("org/x").get("nightly").map(String::as_str), holder.map(Digest::as_str));
    }
}

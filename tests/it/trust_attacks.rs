//! Attacks on the way to a signed channel, by their numbers, against `alga-resolve --trust` and `verify --trust`. The
//! other ones are in `trust_resolver.rs` and `trust_state.rs`. What no signed channel is needed for has its tests
//! elsewhere: platforms of images (45, `image_check.rs`), archives (52 and 53, `archive.rs` of the library), names and
//! values (56 and 57, `values.rs` and `yaml/node.rs` of the library), uploads (61, `hostile_registry.rs`).

use serde_json::json;

use crate::support::programs::{release, run};
use crate::support::published::{RELEASES, store};
use crate::support::registry::{Action, Auth, Fault, Registry, Setup};
use crate::support::root;
use crate::support::signed_channel::{Appliance, Offer, put_release, statement};

/// Checks that both programs fail in bounded time, that nothing is printed and that the state stays.
#[track_caller]
fn both_fail(appliance: &Appliance, what: &str) {
    let before = appliance.remembered();
    let asked = appliance.resolve(&["--timeout", "2s"]);
    assert!(matches!(asked.code, Some(1 | 3 | 4 | 75)), "{what}: {asked:?}");
    assert_eq!((asked.stdout.as_str(), appliance.remembered()), ("", before), "{what}");
    assert!(asked.stderr.starts_with("error: "), "{what}: {asked:?}");
    let verified = appliance.verify_with("stable", &["--timeout", "2s"]);
    assert!(matches!(verified.code, Some(1 | 3 | 4 | 75)), "{what}: {verified:?}");
}

#[test]
fn the_time_of_a_run_is_the_time_of_its_start() {
    // C 26: what expires during a run is judged by one time. The library gets the time as a value.
    let sources = std::fs::read_dir(root("src/bin/alga-resolve")).expect("sources");
    let texts = sources.map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("a source"));
    let reads: usize = texts.map(|text| text.matches("::now()").count()).sum();
    assert_eq!(reads, 1, "the resolver reads the clock once");
    let verify = std::fs::read_to_string(root("src/verify/signed.rs")).expect("a source");
    assert_eq!(verify.matches("::now()").count(), 0);
}

#[test]
fn an_image_without_a_digest_is_said_to_be_not_covered() {
    // E 40.
    let appliance = Appliance::following();
    let open = appliance.resolve(&["--output", "json"]).ends(0).json()["trust"]["notCovered"].clone();
    assert!(open.as_array().expect("a list").contains(&json!("image algaCore 1")), "{open}");
}

#[test]
fn a_token_server_on_another_host_gets_nothing_and_gives_nothing() {
    // G 58.
    let appliance = Appliance::following();
    appliance.offer("1.0.4", 6).put(&appliance.registry);
    let elsewhere = Registry::start();
    for realm in [format!("{}/token", elsewhere.url()), "file:///etc/passwd".to_owned(), "//".to_owned()] {
        let challenge = vec![("WWW-Authenticate".to_owned(), format!("Bearer realm=\"{realm}\",service=\"x\""))];
        for method in ["GET", "HEAD"] {
            appliance.registry.fail(Fault::every(method, "", Action::Status(401, challenge.clone(), Vec::new())));
        }
        both_fail(&appliance, &realm);
        with_credentials(&appliance);
        appliance.registry.heal();
    }
    let seen = elsewhere.log();
    assert!(seen.iter().all(|received| received.authorization.is_none()), "{seen:?}");
    appliance.resolve(&[]).ends(0);
}

/// Verifies with credentials, which only the registry itself may get.
fn with_credentials(appliance: &Appliance) {
    let (at, trust) = (store(&appliance.registry), appliance.vendor.file("trust.json"));
    let mut command = release();
    command.args(["verify", "stable", "--store", &at, "--prefix", "ghcr.io/x", "--trust", &trust]);
    command.args(["--retry-for", "0", "--timeout", "2s"]);
    let verified = run(command.env("ALGA_REGISTRY_USERNAME", "alice").env("ALGA_REGISTRY_TOKEN", "secret-pass"));
    assert_ne!(verified.code, Some(0), "{verified:?}");
}

#[test]
fn a_redirect_gives_nothing_that_is_not_signed_and_takes_no_credentials() {
    // G 59: to another server on this machine that answers with an older move, to another scheme, and to nowhere.
    let appliance = Appliance::following();
    appliance.offer("1.0.4", 6).put(&appliance.registry);
    let elsewhere = Registry::with(Setup {
        auth: Auth::Basic { username: "alice".to_owned(), password: "secret-pass".to_owned() },
        ..Setup::default()
    });
    let target = format!("{}/v2/{RELEASES}/manifests/stable", elsewhere.url());
    for to in [&*target, "file:///etc/passwd", "http://127.0.0.1:1/v2/", "http://["] {
        for method in ["GET", "HEAD"] {
            appliance.registry.fail(Fault::every(method, "/manifests/stable", Action::Redirect(to.to_owned())));
        }
        both_fail(&appliance, to);
        with_credentials(&appliance);
        appliance.registry.heal();
    }
    let seen = elsewhere.log();
    assert!(!seen.is_empty() && seen.iter().all(|received| received.authorization.is_none()), "{seen:?}");
    // A server that answers with an older move, which its keys signed.
    let mirror = Registry::start();
    let release = put_release(&mirror, "1.0.2");
    Offer::of(&appliance.vendor, "1.0.2", statement(&appliance.vendor, "stable", &release, 4)).put(&mirror);
    let older = format!("{}/v2/{RELEASES}/manifests/stable", mirror.url());
    appliance.registry.fail(Fault::every("GET", "/manifests/stable", Action::Redirect(older)));
    let run = appliance.resolve(&["--timeout", "2s"]);
    appliance.registry.heal();
    assert!(run.code != Some(0) && run.stdout.is_empty(), "{run:?}");
    appliance.resolve(&[]).ends(0);
}

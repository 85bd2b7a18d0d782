//! `doctor` reports everything that stops a publication, and leaves nothing in the registry.

use serde_json::Value;

use crate::schemas::valid;
use crate::support::docker_registry::{DockerRegistry, PASSWORD, USER};
use crate::support::programs::{Run, Source, release, run};
use crate::support::proxy::Proxy;
use crate::support::registry::{Action, Auth, Fault, Registry, Setup};

const OWN: [&str; 3] = ["chart", "bundle", "release"];

fn doctor(arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    run(release().arg("doctor").args(arguments).envs(environment.iter().copied()))
}

fn published(registry: &Registry, environment: &[(&str, &str)]) -> (Source, String) {
    let (source, store) = (Source::new(), format!("{}/org", registry.address()));
    let arguments = ["--version", "1.0.3", "--channel", "nightly", "--store", &store];
    // The channel does not move when the public cannot read the packages.
    let run = source.publish_in(&arguments, environment);
    assert!(matches!(run.code, Some(0 | 3)), "{}", run.stderr);
    registry.clear_log();
    (source, store)
}

fn alice(auth: impl FnOnce(String, String) -> Auth) -> Registry {
    Registry::with(Setup { auth: auth("alice".to_owned(), "alice-secret".to_owned()), ..Setup::default() })
}

fn basic(username: String, password: String) -> Auth {
    Auth::Basic { username, password }
}

fn token(username: String, password: String) -> Auth {
    Auth::Token { realm: None, user: Some((username, password)) }
}

const ALICE: [(&str, &str); 2] = [("ALGA_REGISTRY_USERNAME", "alice"), ("ALGA_REGISTRY_TOKEN", "alice-secret")];

/// Returns the value of `key` for every repository that a publication writes.
#[track_caller]
fn own(diagnosis: &Value, key: &str) -> Vec<Value> {
    let all = diagnosis["repositories"].as_array().expect("a list").iter();
    let own = all.filter(|report| OWN.iter().any(|kind| report["kind"] == **kind));
    let found: Vec<Value> = own.map(|report| report[key].clone()).collect();
    assert_eq!(found.len(), 7, "{diagnosis}");
    found
}

fn all_are(found: &[Value], value: &Value) -> bool {
    found.iter().all(|found| found == value)
}

#[test]
fn a_user_who_may_publish_is_told_so_and_nothing_is_left_behind() {
    let registry = alice(token);
    let (_source, store) = published(&registry, &ALICE);
    let before = (registry.repositories(), registry.uploads());
    let run = doctor(&["--store", &store, "--channel", "nightly", "--output", "json"], &ALICE).ends(0);
    let diagnosis = run.json();
    valid("doctor.json", &diagnosis);
    for key in ["exists", "mayPush", "public"] {
        assert!(all_are(&own(&diagnosis, key), &true.into()), "{key}: {diagnosis}");
    }
    assert!(all_are(&own(&diagnosis, "verdict"), &"ready".into()), "{diagnosis}");
    assert_eq!((&diagnosis["credentials"], &diagnosis["authenticated"]), (&"ALGA_REGISTRY_TOKEN".into(), &true.into()));
    assert_eq!((registry.repositories(), registry.uploads()), before);
    let count = |method: &str| registry.log().iter().filter(|received| received.method == method).count();
    assert_eq!((count("POST"), count("DELETE"), count("PUT"), count("PATCH")), (7, 7, 0, 0));
    assert!(!run.stdout.contains("alice-secret"));
}

#[test]
fn repositories_that_do_not_exist_yet_do_not_stop_a_publication() {
    let (registry, source) = (Registry::start(), Source::new());
    let store = format!("{}/org", registry.address());
    let tree = source.path("").display().to_string();
    let run = doctor(&[&tree, "--store", &store], &[]).ends(0);
    for name in
        ["org/charts/sebastian ", "org/alga-appliance-config", "org/alga-appliance-release", "does not exist yet"]
    {
        assert!(run.stdout.contains(name), "{name}: {}", run.stdout);
    }
    assert_eq!((registry.repositories().len(), registry.uploads()), (0, 0));
}

#[test]
fn the_other_repositories_are_checked_when_the_charts_are_unknown_but_the_check_fails() {
    let (registry, empty) = (Registry::start(), tempfile::tempdir().expect("a directory"));
    let (store, tree) = (format!("{}/org", registry.address()), empty.path().display().to_string());
    let run = doctor(&[tree.as_str(), "--store", &store], &[]).ends(1);
    let run = run.says(&["error: cannot list the charts of", "hint: pass the path of the source tree"]);
    assert!(run.stdout.contains("alga-appliance-config"), "{}", run.stdout);
}

#[test]
fn a_release_that_is_not_published_is_a_mistake_in_the_arguments() {
    let registry = Registry::start();
    let (_source, store) = published(&registry, &[]);
    let run = doctor(&["--version", "9.9.9", "--store", &store], &[]).ends(9);
    assert_eq!(run.says(&["9.9.9", "hint: "]).stdout, "");
}

#[test]
fn a_repository_that_the_public_cannot_read_is_private_unless_that_is_configured() {
    let registry = alice(basic);
    let (source, store) = published(&registry, &ALICE);
    let tree = source.path("").display().to_string();
    let run = doctor(&[&tree, "--store", &store, "--output", "json"], &ALICE).ends(3);
    let diagnosis = run.json();
    assert!(all_are(&own(&diagnosis, "public"), &false.into()), "{diagnosis}");
    assert!(all_are(&own(&diagnosis, "verdict"), &"private".into()), "{diagnosis}");
    source.append("alga-release.yaml", "publicRead: false\n");
    let diagnosis = doctor(&[&tree, "--store", &store, "--output", "json"], &ALICE).ends(0).json();
    assert!(all_are(&own(&diagnosis, "public"), &false.into()), "{diagnosis}");
    assert!(all_are(&own(&diagnosis, "verdict"), &"ready".into()), "{diagnosis}");
}

#[test]
fn a_private_package_at_github_comes_with_the_link_to_its_settings() {
    let auth = basic("token".to_owned(), "github-secret".to_owned());
    let registry = Registry::with(Setup { auth, tls: true, ..Setup::default() });
    let (source, proxy) = (Source::new(), Proxy::to(&registry.address()));
    let ca = source.path("../ca.pem");
    std::fs::write(&ca, registry.ca()).expect("written");
    registry.put_manifest("org/charts/sebastian", Some("1"), "sha256:x", "application/json", b"{}");
    let (tree, ca, url) = (source.path("").display().to_string(), ca.display().to_string(), proxy.url());
    let environment = [("HTTPS_PROXY", url.as_str()), ("GH_TOKEN", "github-secret")];
    let run = doctor(&[&tree, "--store", "ghcr.io/org", "--ca-file", &ca], &environment).ends(3);
    let link = "https://github.com/orgs/org/packages/container/charts%2Fsebastian/settings";
    let proxy = url.replace("proxy-user:proxy-pass@", "");
    for words in [link, "credentials  GH_TOKEN; accepted", &format!("proxy        {proxy}")] {
        assert!(run.stdout.contains(words), "{words}: {}", run.stdout);
    }
    assert!(!run.stdout.contains("proxy-pass") && !run.stdout.contains("github-secret"), "{}", run.stdout);
}

#[test]
fn a_user_who_may_not_push_is_refused() {
    let registry = alice(token);
    let (_source, store) = published(&registry, &ALICE);
    let body = br#"{"errors":[{"code":"DENIED","message":"permission_denied: write_package"}]}"#.to_vec();
    registry.fail(Fault::every("POST", "/blobs/uploads/", Action::Status(403, Vec::new(), body)));
    let run = doctor(&["--store", &store, "--channel", "nightly", "--output", "json"], &ALICE).ends(3);
    let diagnosis = run.json();
    assert!(all_are(&own(&diagnosis, "mayPush"), &false.into()), "{diagnosis}");
    assert!(all_are(&own(&diagnosis, "verdict"), &"refused".into()), "{diagnosis}");
    assert!(run.stdout.contains("permission_denied: write_package"), "{}", run.stdout);
}

#[test]
fn a_user_whom_the_registry_does_not_know_is_told_so() {
    for registry in [alice(token), alice(basic)] {
        let (_source, store) = published(&registry, &ALICE);
        let arguments = ["--store", &store, "--output", "json"];
        let wrong = [("ALGA_REGISTRY_USERNAME", "alice"), ("ALGA_REGISTRY_TOKEN", "wrong-secret")];
        let run = doctor(&arguments, &wrong).ends(4);
        assert_eq!(run.json()["authenticated"], false, "{}", run.stdout);
        assert!(!run.stdout.contains("wrong-secret") && !run.stderr.contains("wrong-secret"));
        let run = doctor(&arguments, &[]).ends(4).says(&["--password-stdin"]);
        assert_eq!(run.json()["authenticated"], Value::Null, "{}", run.stdout);
    }
}

#[test]
fn a_server_without_an_answer_is_told_from_one_that_is_not_a_registry() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("an address");
    let run = doctor(&["--store", &format!("{closed}/org"), "--output", "json"], &[]).ends(75);
    valid("doctor.json", &run.json());
    assert!(run.stdout.contains("unreachable"), "{}", run.stdout);
    let portal = Registry::start();
    let headers = vec![("Content-Type".to_owned(), "text/html".to_owned())];
    portal.fail(Fault::every("", "/", Action::Status(200, headers, b"<h1>Welcome, please log in</h1>".to_vec())));
    let run = doctor(&["--store", &format!("{}/org", portal.address())], &[]).ends(1);
    assert!(run.stdout.contains("is not a registry"), "{}", run.stdout);
}

#[test]
fn a_wrong_clock_and_the_rest_of_a_rate_limit_are_reported() {
    let (registry, source) = (Registry::start(), Source::new());
    let headers = [("Date", "Tue, 15 Nov 1994 08:12:31 GMT"), ("RateLimit-Remaining", "76;w=21600")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    registry.fail(Fault::every("", "/", Action::Headers(headers)));
    let (tree, store) = (source.path("").display().to_string(), format!("{}/org", registry.address()));
    let run = doctor(&[&tree, "--store", &store, "--output", "json"], &[]).ends(0);
    let diagnosis = run.says(&["warning: the clock of this machine is", "s ahead of the registry's"]).json();
    assert!(diagnosis["clockSkewSeconds"].as_i64().is_some_and(|skew| skew > 900_000_000), "{diagnosis}");
    assert_eq!(diagnosis["rateLimitRemaining"], 76);
}

#[test]
fn a_directory_needs_no_credentials() {
    let source = Source::new();
    let (tree, layout) = (source.path("").display().to_string(), source.layout());
    let run = doctor(&[&tree, "--store", &layout], &[]).ends(0);
    assert!(run.stdout.contains("none needed"), "{}", run.stdout);
    source.publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &layout]).ends(0);
    let diagnosis = doctor(&["--store", &layout, "--channel", "nightly", "--output", "json"], &[]).ends(0).json();
    assert!(all_are(&own(&diagnosis, "verdict"), &"ready".into()), "{diagnosis}");
}

#[test]
fn the_registries_of_others_with_passwords_agree() {
    for registry in DockerRegistry::each_with_password() {
        let (source, store) = (Source::new(), format!("{}/org", registry.address()));
        let user = [("ALGA_REGISTRY_USERNAME", USER), ("ALGA_REGISTRY_TOKEN", PASSWORD)];
        source
            .publish_in(&["--version", "1.0.3", "--channel", "nightly", "--no-channel", "--store", &store], &user)
            .ends(0);
        let arguments = ["--store", &store, "--version", "1.0.3", "--output", "json"];
        let diagnosis = doctor(&arguments, &user).ends(3).json();
        for (key, value) in [("exists", true), ("mayPush", true), ("public", false)] {
            assert!(all_are(&own(&diagnosis, key), &value.into()), "{key}: {diagnosis}");
        }
        assert!(diagnosis["clockSkewSeconds"].as_i64().is_some_and(|skew| skew.abs() < 60), "{diagnosis}");
        doctor(&arguments, &[("ALGA_REGISTRY_USERNAME", USER), ("ALGA_REGISTRY_TOKEN", "wrong")]).ends(4);
        assert_eq!(registry.unfinished_uploads(), Vec::<std::path::PathBuf>::new());
    }
}

//! Servers that are not registries, and registries with hostile responses: both programs limit, name, escape and refuse
//! them.

use std::io::Write as _;
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::programs::{Run, Source, alga, resolve, run};
use crate::support::registry::{Action, Auth, Fault, Quirks, Referrers, Registry, Setup};

const RELEASES: &str = "org/alga-appliance-release";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// More bytes than either program reads of any response, including buffers on the way.
const BOUND: u64 = 256 << 20;
const PORTAL: &str = "<!DOCTYPE html><html><head><title>Welcome</title></head><body>Sign in to the Wi-Fi</body></html>";

fn store(registry: &Registry) -> String {
    format!("{}/org", registry.address())
}

fn published() -> (Source, Registry) {
    let (source, registry) = (Source::new(), Registry::start());
    publish(&source, &registry).ends(0);
    registry.clear_log();
    (source, registry)
}

fn publish(source: &Source, registry: &Registry) -> Run {
    source.publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &store(registry)])
}

fn ask(registry: &Registry) -> Run {
    resolve(&["resolve", "nightly", "--store", &store(registry)])
}

/// Checks that a run ended with one of `codes`, names a reference, and printed no control characters.
#[track_caller]
fn refused(run: &Run, codes: &[i32], registry: &Registry, what: &str) {
    assert!(run.code.is_some_and(|code| codes.contains(&code)), "{what}: {run:?}");
    assert!(!run.stderr.contains("panicked"), "{what}: {run:?}");
    assert!(run.stderr.contains("alga-appliance-") || run.stderr.contains("charts/"), "{what}: no reference: {run:?}");
    let unsafe_ = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!run.stderr.contains(unsafe_), "{what}: {:?}", run.stderr);
    assert!(run.stderr.len() < 20_000, "{what}: {} bytes of talk", run.stderr.len());
    assert!(registry.sent() < BOUND, "{what}: {} bytes were taken", registry.sent());
}

fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// Changes the manifest of the channel.
fn change_manifest(registry: &Registry, change: impl FnOnce(&mut Value)) {
    let (_, bytes) = registry.manifest(RELEASES, "nightly").expect("a manifest");
    let mut manifest: Value = serde_json::from_slice(&bytes).expect("JSON");
    change(&mut manifest);
    serve(registry, &manifest.to_string());
}

fn serve(registry: &Registry, manifest: &str) {
    let digest = digest_of(manifest.as_bytes());
    registry.put_manifest(RELEASES, Some("nightly"), &digest, MANIFEST, manifest.as_bytes());
}

#[test]
fn a_server_that_answers_with_a_page_is_not_taken_for_a_registry() {
    let page = Action::Status(200, vec![("Content-Type".into(), "text/html".into())], PORTAL.into());
    for empty in [true, false] {
        let (source, registry) = if empty { (Source::new(), Registry::start()) } else { published() };
        registry.fail(Fault::every("", "", page.clone()));
        refused(&ask(&registry), &[1], &registry, "resolve behind a portal");
        let run = publish(&source, &registry);
        refused(&run, &[1], &registry, "publish behind a portal");
        assert!(!run.stderr.contains("other content"), "a page is not taken for a publication: {}", run.stderr);
        assert!(registry.log().iter().all(|received| matches!(received.method.as_str(), "GET" | "HEAD")));
    }
}

#[test]
fn endless_bodies_and_headers_are_not_read_beyond_the_limit() {
    let long = || Action::Headers(vec![("X-Long".to_owned(), "x".repeat(3 << 20))]);
    for (what, action, codes) in [
        ("an endless body", Action::Endless, &[1][..]),
        ("an endless header", Action::EndlessHeader, &[1, 75]),
        ("a header of 3 MB", long(), &[1, 75]),
    ] {
        let (source, registry) = published();
        registry.fail(Fault::every("GET", "", action.clone()));
        refused(&ask(&registry), codes, &registry, what);
        registry.heal();
        let registry = Registry::start();
        registry.fail(Fault::every("GET", "", action.clone()));
        registry.fail(Fault::every("POST", "", action));
        let run = publish(&source, &registry);
        refused(&run, &[1, 75], &registry, what);
    }
}

#[test]
fn ambiguous_and_invalid_manifests_are_refused() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 5] = [
        ("index and image at once", |manifest| manifest["manifests"] = json!([])),
        ("a digest of another algorithm", |manifest| {
            manifest["config"]["digest"] = format!("sha512:{}", "0".repeat(128)).into();
        }),
        ("a negative size", |manifest| manifest["config"]["size"] = json!(-1)),
        ("a size beyond all bounds", |manifest| manifest["config"]["size"] = json!(u64::MAX)),
        ("a digest that leads elsewhere", |manifest| manifest["config"]["digest"] = "sha256:../../x".into()),
    ];
    for (what, change) in changes {
        let (_, registry) = published();
        change_manifest(&registry, change);
        refused(&ask(&registry), &[1, 3], &registry, what);
        let source = Source::new();
        source.write("ee/appliance/releases/1.0.4/release.json", &images(&source));
        let run = source.publish(&["--version", "1.0.4", "--channel", "nightly", "--store", &store(&registry)]);
        refused(&run, &[1], &registry, what);
    }
}

fn images(source: &Source) -> String {
    std::fs::read_to_string(source.path("ee/appliance/releases/1.0.3/release.json")).expect("images")
}

#[test]
fn a_duplicate_key_is_refused() {
    let (_, registry) = published();
    let (_, bytes) = registry.manifest(RELEASES, "nightly").expect("a manifest");
    let text = String::from_utf8(bytes).expect("UTF-8");
    let manifest: Value = serde_json::from_str(&text).expect("JSON");
    serve(&registry, &text.replacen('{', &format!("{{\"config\":{},", manifest["config"]), 1));
    refused(&ask(&registry), &[3], &registry, "two configs");

    let digest = manifest["config"]["digest"].as_str().expect("a digest");
    let json = String::from_utf8(registry.blob(RELEASES, digest).expect("a blob")).expect("UTF-8");
    for key in ["version", "config", "charts"] {
        let own = &serde_json::from_str::<Value>(&json).expect("JSON")[key];
        let doubled = json.replacen('{', &format!("{{\"{key}\":{own},"), 1);
        registry.put_blob(RELEASES, &digest_of(doubled.as_bytes()), doubled.as_bytes());
        change_manifest(&registry, |manifest| {
            manifest["config"]["digest"] = digest_of(doubled.as_bytes()).into();
            manifest["config"]["size"] = doubled.len().into();
        });
        refused(&ask(&registry), &[1], &registry, key);
    }
}

/// Returns manifests that Helm, Flux or a container runtime would read differently, each with the reason for its
/// refusal.
fn ambiguous(manifest: &str) -> [(&'static str, String); 4] {
    let index = "application/vnd.oci.image.index.v1+json";
    [
        ("duplicate key `schemaVersion`", manifest.replacen('{', r#"{"schemaVersion":2,"#, 1)),
        ("invalid key `Layers`: expected `layers`", manifest.replacen('{', r#"{"Layers":[],"#, 1)),
        ("both an image manifest and an index", manifest.replacen('{', r#"{"manifests":[],"#, 1)),
        ("invalid `mediaType`: expected", manifest.replacen(MANIFEST, index, 1)),
    ]
}

#[test]
fn a_manifest_that_other_programs_read_differently_is_refused_by_both_programs() {
    let (source, registry) = published();
    let sound = String::from_utf8(registry.manifest(RELEASES, "nightly").expect("a manifest").1).expect("UTF-8");
    source.write("ee/appliance/releases/1.0.4/release.json", &images(&source));
    for (reason, manifest) in ambiguous(&sound) {
        serve(&registry, &manifest);
        let said = ["alga-appliance-release:nightly", "invalid image manifest", reason];
        ask(&registry).ends(3).says(&said);
        let run = alga(&["verify", "nightly", "--store", &store(&registry)]).ends(3);
        assert!(said.iter().all(|part| run.stdout.contains(part)), "{reason}: {run:?}");
        let run = source.publish(&["--version", "1.0.4", "--channel", "nightly", "--store", &store(&registry)]);
        run.ends(1).says(&said);
    }
}

#[test]
fn a_chart_whose_manifest_other_programs_read_differently_fails_its_check() {
    let (_, registry) = published();
    let (chart, digest) = ("org/charts/temporal", registry.tags("org/charts/temporal")["0.1.0"].clone());
    let sound = String::from_utf8(registry.manifest(chart, &digest).expect("a manifest").1).expect("UTF-8");
    let release = registry.manifest(RELEASES, "nightly").expect("a manifest").1;
    let release = String::from_utf8(release).expect("UTF-8");
    let config = serde_json::from_str::<Value>(&release).expect("JSON")["config"]["digest"].clone();
    let json = registry.blob(RELEASES, config.as_str().expect("a digest")).expect("a blob");
    let json = String::from_utf8(json).expect("UTF-8");
    for (reason, manifest) in ambiguous(&sound) {
        let changed = digest_of(manifest.as_bytes());
        registry.put_manifest(chart, Some("0.1.0"), &changed, MANIFEST, manifest.as_bytes());
        let json = json.replace(&digest, &changed);
        registry.put_blob(RELEASES, &digest_of(json.as_bytes()), json.as_bytes());
        serve(&registry, &release.replace(config.as_str().expect("a digest"), &digest_of(json.as_bytes())));
        let run = alga(&["verify", "nightly", "--store", &store(&registry)]).ends(3);
        let said = ["charts/temporal", "invalid image manifest", reason];
        assert!(said.iter().all(|part| run.stdout.contains(part)), "{reason}: {run:?}");
    }
}

#[test]
fn text_of_a_registry_does_not_control_the_terminal() {
    let evil = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\u{202e}evil";
    let body = json!({ "errors": [{ "code": evil, "message": evil, "detail": evil }] }).to_string();
    for status in [400, 403, 404, 500] {
        let (source, registry) = published();
        registry.fail(Fault::every("", "", Action::status(status, &body)));
        refused(&ask(&registry), &[1, 4, 9, 75], &registry, "resolve");
        refused(&publish(&source, &registry), &[1, 3, 4, 75], &registry, "publish");
    }
    let (_, registry) = published();
    change_manifest(&registry, |manifest| manifest["artifactType"] = evil.into());
    refused(&ask(&registry), &[3], &registry, "an artifact type");
}

#[test]
fn uploads_only_go_to_web_servers_and_credentials_only_to_the_registry() {
    let basic = || Auth::Basic { username: "alice".to_owned(), password: "s3cr3t-t0ken".to_owned() };
    let elsewhere = Registry::start();
    let there = format!("{}/v2/x/blobs/uploads/none?signature=abc", elsewhere.url());
    for target in ["file:///etc/passwd", "ftp://127.0.0.1/x", "//", "http://", &there] {
        let (source, registry) = (Source::new(), Registry::with(Setup { auth: basic(), ..Setup::default() }));
        let location = vec![("Location".to_owned(), target.to_owned())];
        registry.fail(Fault::every("POST", "/uploads/", Action::Status(202, location, Vec::new())));
        let arguments = ["--version", "1.0.3", "--channel", "nightly", "--store", &store(&registry)];
        let environment = [("ALGA_REGISTRY_USERNAME", "alice"), ("ALGA_REGISTRY_TOKEN", "s3cr3t-t0ken")];
        let run = source.publish_in(&arguments, &environment);
        refused(&run, &[1, 3, 4], &registry, target);
        assert!(!run.stderr.contains("s3cr3t") && !run.stderr.contains("signature"), "{}", run.stderr);
        assert!(registry.repositories().is_empty(), "nothing was stored");
        assert!(
            registry.log().iter().any(|received| received.authorization.is_some()),
            "the registry itself gets the credentials"
        );
    }
    let seen = elsewhere.log();
    assert!(!seen.is_empty() && seen.iter().all(|received| received.authorization.is_none()), "{seen:?}");
}

#[test]
fn endless_redirects_are_followed_a_few_times_only() {
    let (source, registry) = published();
    for method in ["GET", "HEAD"] {
        registry.fail(Fault::every(method, "", Action::RedirectToItself));
    }
    refused(&ask(&registry), &[1], &registry, "resolve");
    assert!(registry.log().len() < 10, "{}", registry.log().len());
    registry.clear_log();
    refused(&publish(&source, &registry), &[1], &registry, "publish");
    // The concurrent requests are for seven artifacts, the channel and its tags.
    assert!(registry.log().len() <= 9 * 10, "{}", registry.log().len());
}

#[test]
fn a_redirect_does_not_leave_tls() {
    let (plain, registry) = (Registry::start(), Registry::with(Setup { tls: true, ..Setup::default() }));
    let mut certificate = tempfile::NamedTempFile::new().expect("a file");
    certificate.write_all(registry.ca()).expect("written");
    let path = certificate.path().to_str().expect("UTF-8");
    let target = format!("{}/v2/x", plain.url());
    let store = format!("https://{}/org", registry.address());
    for method in ["GET", "HEAD"] {
        registry.fail(Fault::every(method, "", Action::Redirect(target.clone())));
    }
    let mut resolve = Command::new(env!("CARGO_BIN_EXE_alga-resolve"));
    resolve.env_clear().env("SSL_CERT_FILE", path).args(["resolve", "nightly", "--store", &store]);
    refused(&run(&mut resolve), &[1], &registry, "resolve");
    let source = Source::new();
    let arguments = ["--version", "1.0.3", "--channel", "nightly", "--store", &store];
    let published = source.publish_in(&arguments, &[("SSL_CERT_FILE", path)]);
    refused(&published, &[1], &registry, "publish");
    published.says(&["not encrypted"]);
    assert!(plain.log().is_empty() && !registry.log().is_empty());
}

/// Checks that copying the release fails after a bounded number of requests, and leaves nothing behind.
fn refused_copy(registry: &Registry, source: &Source, words: &[&str]) {
    registry.clear_log();
    let run = alga(&["copy", "nightly", &source.layout(), "--store", &store(registry), "--retry-for", "0"]).ends(1);
    refused(&run, &[1], registry, "copy");
    run.says(words);
    assert!(registry.log().len() < 300, "{}", registry.log().len());
    alga(&["verify", "1.0.3", "--store", &source.layout()]).ends(9).says(&["oci-layout:"]);
}

#[test]
fn endless_referrers_are_refused() {
    let (source, held) = published();
    // The list has endless pages.
    let quirks = Quirks { referrers: Referrers::Endless, ..Quirks::default() };
    let registry = Registry::copy_of(&held, Setup { quirks, ..Setup::default() });
    refused_copy(&registry, &source, &["list the referrers of", "more than 1000 manifests"]);
    // The tag that replaces the list names more manifests than the limit.
    let quirks = Quirks { referrers: Referrers::Absent, ..Quirks::default() };
    let registry = Registry::copy_of(&held, Setup { quirks, ..Setup::default() });
    let named = |number: usize| json!({ "mediaType": MANIFEST, "digest": digest_of(&number.to_be_bytes()), "size": 2 });
    let index = "application/vnd.oci.image.index.v1+json";
    let list = json!({ "schemaVersion": 2, "mediaType": index, "manifests": (0..2000).map(named).collect::<Vec<_>>() });
    let (list, release) = (list.to_string(), registry.tags(RELEASES)["1.0.3"].replace(':', "-"));
    registry.put_manifest(RELEASES, Some(&release), &digest_of(list.as_bytes()), index, list.as_bytes());
    refused_copy(&registry, &source, &["list the referrers of", "more than 1000 manifests refer to this manifest"]);
}

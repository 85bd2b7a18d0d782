//! The resolver as a program: its results and its failures.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::programs::{Run, Source, resolve, resolving, run};
use crate::support::registry::{Action, Fault, Gate, Registry};

const RELEASES: &str = "org/alga-appliance-release";

/// A registry with 1.0.3 in nightly.
fn published() -> Registry {
    let registry = Registry::start();
    let store = store(&registry);
    Source::new().publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &store]).ends(0);
    registry
}

fn store(registry: &Registry) -> String {
    format!("{}/org", registry.address())
}

fn ask(registry: &Registry, reference: &str, more: &[&str]) -> Run {
    resolve(&[&["resolve", reference, "--store", &store(registry)], more].concat())
}

/// Returns the blob with the release's JSON.
fn blob(registry: &Registry) -> (String, Vec<u8>) {
    let (_, manifest) = registry.manifest(RELEASES, "nightly").expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    let digest = manifest["config"]["digest"].as_str().expect("a digest").to_owned();
    let bytes = registry.blob(RELEASES, &digest).expect("a blob");
    (digest, bytes)
}

#[test]
fn channel_version_and_digest_give_the_same_release() {
    let registry = published();
    let expected = String::from_utf8(blob(&registry).1).expect("UTF-8");
    let digest = registry.tags(RELEASES)["1.0.3"].clone();
    for reference in ["nightly", "1.0.3", &digest] {
        assert_eq!(ask(&registry, reference, &[]).ends(0).stdout, expected, "{reference}");
    }
}

#[test]
fn a_layout_gives_the_same_as_a_registry() {
    let source = Source::new();
    source.publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &source.layout()]).ends(0);
    let by_channel = resolve(&["resolve", "nightly", "--store", &source.layout()]).ends(0);
    let by_version = resolve(&["resolve", "1.0.3", "--store", &source.layout()]).ends(0);
    assert_eq!(by_channel.stdout, by_version.stdout);
    resolve(&["resolve", "stable", "--store", &source.layout()]).ends(9);
}

#[test]
fn a_missing_channel_is_not_found() {
    ask(&published(), "stable", &[]).ends(9).says(&["stable"]);
}

#[test]
fn a_closed_port_is_temporary() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    resolve(&["resolve", "nightly", "--store", &format!("{free}/org")]).ends(75);
}

#[test]
fn a_server_that_never_answers_causes_a_time_out() {
    let registry = published();
    registry.fail(Fault::every("GET", "", Action::Hold(Gate::default())));
    ask(&registry, "nightly", &["--timeout", "0.2"]).ends(75).says(&["did not answer within 0.2 s"]);
}

#[test]
fn a_machine_without_certificates_gets_a_hint() {
    let mut command = resolving(&["resolve", "stable", "--store", "registry.example.com/x"]);
    command.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent");
    run(&mut command).ends(1).says(&["no CA certificates", "--ca-file", "SSL_CERT_FILE"]);
}

#[test]
fn refused_credentials_are_reported() {
    let registry = published();
    registry.fail(Fault::every("GET", "", Action::Status(403, Vec::new(), Vec::new())));
    ask(&registry, "nightly", &[]).ends(4);
}

#[test]
fn bytes_that_do_not_match_their_digest_are_refused() {
    let registry = published();
    let (digest, mut bytes) = blob(&registry);
    bytes[20] ^= 1;
    registry.put_blob(RELEASES, &digest, &bytes);
    let run = ask(&registry, "nightly", &[]).ends(1).says(&[&digest]);
    assert_eq!(run.stdout, "");
}

#[test]
fn a_channel_that_names_something_else_is_not_a_release() {
    let registry = published();
    let digest = registry.tags("org/charts/sebastian")["0.0.1"].clone();
    let (media_type, bytes) = registry.manifest("org/charts/sebastian", &digest).expect("a manifest");
    registry.put_manifest(RELEASES, Some("stable"), &digest, &media_type, &bytes);
    ask(&registry, "stable", &[]).ends(3).says(&["is not a release"]);
}

#[test]
fn an_answer_with_another_media_type_is_refused() {
    let registry = published();
    let header = |text: &str| Action::Headers(vec![("Content-Type".to_owned(), text.to_owned())]);
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    for (sent, code) in [
        ("text/html", 3),
        ("text/plain", 3),
        ("application/vnd.oci.image.index.v1+json", 3),
        (docker, 3),
        // A file server that does not know media types. The manifest has its own.
        ("", 0),
        ("application/json", 0),
        ("application/octet-stream", 0),
    ] {
        registry.fail(Fault::first("GET", "/manifests/nightly", header(sent)));
        let run = ask(&registry, "nightly", &[]).ends(code);
        assert!(code == 0 || run.stdout.is_empty() && run.stderr.contains("is not a release"), "{sent}: {run:?}");
    }
    let (_, bytes) = registry.manifest(RELEASES, "nightly").expect("a manifest");
    let mut manifest: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    manifest["mediaType"] = docker.into();
    let bytes = serde_json::to_vec(&manifest).expect("JSON");
    let digest = alga_release::oci::Digest::of(&bytes).to_string();
    registry.put_manifest(RELEASES, Some("nightly"), &digest, docker, &bytes);
    ask(&registry, "nightly", &[]).ends(3).says(&["is not a release", docker]);
    // If neither the server nor the manifest states a media type, it is not guessed.
    manifest.as_object_mut().expect("an object").remove("mediaType");
    let bytes = serde_json::to_vec(&manifest).expect("JSON");
    let digest = alga_release::oci::Digest::of(&bytes).to_string();
    registry.put_manifest(RELEASES, Some("nightly"), &digest, "application/json", &bytes);
    ask(&registry, "nightly", &[]).ends(1).says(&["alga-appliance-release:nightly", "missing media type"]);
}

/// A new dependency of the resolver needs a reviewed line in the list.
#[test]
fn the_resolver_has_only_the_listed_dependencies_and_no_archive_code() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--no-default-features", "-e", "normal", "--prefix", "none", "--locked"]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let names: BTreeSet<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    let list: BTreeSet<&str> = include_str!("resolver_dependencies.txt").lines().collect();
    assert_eq!(names, list);
    for name in ["clap", "tar", "flate2", "gix", "indicatif"] {
        assert!(!names.contains(&name), "{name}");
    }
}

/// Pushes a release as some publisher wrote it, under the tag `stable`.
fn put_release(registry: &Registry, artifact_type: Option<&str>, json: &serde_json::Value) {
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let config_type = "application/vnd.alga.appliance.release.config.v1+json";
    let json = serde_json::to_vec(json).expect("JSON");
    let digest = alga_release::oci::Digest::of(&json).to_string();
    registry.put_blob(RELEASES, &digest, &json);
    let config = serde_json::json!({ "mediaType": config_type, "digest": digest, "size": json.len() });
    let mut manifest =
        serde_json::json!({ "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [] });
    if let Some(artifact_type) = artifact_type {
        manifest["artifactType"] = artifact_type.into();
    }
    let manifest = serde_json::to_vec(&manifest).expect("JSON");
    let digest = alga_release::oci::Digest::of(&manifest).to_string();
    registry.put_manifest(RELEASES, Some("stable"), &digest, media_type, &manifest);
}

fn old_release() -> serde_json::Value {
    serde_json::json!({
        "schema": "alga.appliance.release/v1", "version": "1.0.2", "channel": "stable", "valuesProfile": "single-node",
        "images": { "algaCore": "1", "workflowWorker": "2", "emailService": "3", "temporalWorker": "4" },
        "controlPlane": "62cdce38",
        "config": { "repository": "ghcr.io/nine-minds/alga-appliance-config", "version": "1.0.2",
            "digest": format!("sha256:{}", "0".repeat(64)) },
        "charts": { "sebastian": "0.0.1" }, "unknown": { "later": true }
    })
}

#[test]
fn a_release_of_an_older_publisher_is_accepted() {
    let registry = Registry::start();
    put_release(&registry, None, &old_release());
    let run = ask(&registry, "stable", &[]).ends(0);
    assert_eq!(run.json(), old_release());
}

#[test]
fn an_invalid_release_is_refused_with_the_path_of_the_problem() {
    for (pointer, value, word) in [
        ("/schema", serde_json::json!("alga.appliance.release/v2"), "schema: "),
        ("/images/algaCore", serde_json::Value::Null, "images.algaCore: "),
        ("/config/digest", serde_json::json!("sha256:short"), "config.digest: "),
    ] {
        let registry = Registry::start();
        let mut release = old_release();
        *release.pointer_mut(pointer).expect("a value") = value;
        put_release(&registry, Some("application/vnd.alga.appliance.release.v1"), &release);
        ask(&registry, "stable", &[]).ends(1).says(&[word]);
    }
    let registry = Registry::start();
    let mut release = old_release();
    release["images"].as_object_mut().expect("images").remove("algaCore");
    put_release(&registry, None, &release);
    ask(&registry, "stable", &[]).ends(1).says(&["images.algaCore: missing"]);
}

/// Pushes a release whose manifest claims a config of `size` bytes.
fn put_claiming(registry: &Registry, size: &serde_json::Value, config: &[u8]) -> String {
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let digest = alga_release::oci::Digest::of(config).to_string();
    registry.put_blob(RELEASES, &digest, config);
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type, "artifactType": "application/vnd.alga.appliance.release.v1", "layers": [],
        "config": { "mediaType": "application/vnd.alga.appliance.release.config.v1+json", "digest": digest, "size": size }
    });
    let manifest = serde_json::to_vec(&manifest).expect("JSON");
    let own = alga_release::oci::Digest::of(&manifest).to_string();
    registry.put_manifest(RELEASES, Some("stable"), &own, media_type, &manifest);
    digest
}

#[test]
fn a_config_that_claims_to_be_huge_is_not_requested() {
    let huge = vec![b' '; 5 << 20];
    for size in [huge.len() as u64, 1 << 40, u64::MAX] {
        let registry = Registry::start();
        let digest = put_claiming(&registry, &size.into(), &huge);
        let run = ask(&registry, "stable", &[]).ends(1);
        assert_eq!(run.stdout, "");
        run.says(&[&digest, &size.to_string(), "more than the limit of 4194304 bytes"]);
        assert!(registry.lines().iter().all(|line| !line.contains("/blobs/")), "{:?}", registry.lines());
    }
    for size in [serde_json::json!(-1), serde_json::json!(1e300), serde_json::json!("12")] {
        let registry = Registry::start();
        put_claiming(&registry, &size, &huge);
        ask(&registry, "stable", &[]).ends(3).says(&["alga-appliance-release:stable", "is not a release"]);
    }
}

#[test]
fn a_config_that_is_longer_than_its_size_is_refused() {
    let registry = Registry::start();
    let digest = put_claiming(&registry, &100.into(), &vec![b' '; 64 << 10]);
    ask(&registry, "stable", &[]).ends(1).says(&[&digest, "larger than the 100 bytes"]);
    // The same holds for a body without an end: reading stops.
    registry.fail(Fault::every("GET", "/blobs/", Action::Endless));
    ask(&registry, "stable", &[]).ends(1).says(&[&digest, "larger than the 100 bytes"]);
}

#[test]
fn a_layout_is_read_within_the_same_limits() {
    let source = Source::new();
    source.publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &source.layout()]).ends(0);
    let repository = source.store().join("alga-appliance-release");
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(repository.join("index.json")).expect("an index")).expect("JSON");
    for entry in index["manifests"].as_array().expect("manifests") {
        let blob = |digest: &serde_json::Value| {
            repository.join("blobs").join(digest.as_str().expect("a digest").replace(':', "/"))
        };
        let manifest = std::fs::read(blob(&entry["digest"])).expect("a manifest");
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
        let config = std::fs::File::options().append(true).open(blob(&manifest["config"]["digest"])).expect("a config");
        config.set_len(1 << 33).expect("sparse");
    }
    let run = resolve(&["resolve", "nightly", "--store", &source.layout()]).ends(1);
    assert_eq!(run.stdout, "");
    run.says(&["larger than"]);
}

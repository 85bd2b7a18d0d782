//! The resolver from outside: what it gives, and how it fails.

use std::process::Command;

use crate::support::programs::{Run, Source, resolve};
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

/// The blob with the release's JSON.
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
    resolve(&["resolve", "stable", "--store", &source.layout()]).ends(3);
}

#[test]
fn what_is_not_there_is_not_found() {
    ask(&published(), "stable", &[]).ends(3).says(&["stable"]);
}

#[test]
fn a_closed_port_is_temporary() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    resolve(&["resolve", "nightly", "--store", &format!("{free}/org")]).ends(75);
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let registry = published();
    registry.fail(Fault::every("GET", "", Action::Hold(Gate::default())));
    ask(&registry, "nightly", &["--timeout", "0.2"]).ends(75).says(&["did not answer within 0.2 s"]);
}

#[test]
fn refused_credentials_are_said() {
    let registry = published();
    registry.fail(Fault::every("GET", "", Action::Status(403, Vec::new(), Vec::new())));
    ask(&registry, "nightly", &[]).ends(4);
}

#[test]
fn other_bytes_than_the_digest_says_are_refused() {
    let registry = published();
    let (digest, mut bytes) = blob(&registry);
    bytes[20] ^= 1;
    registry.put_blob(RELEASES, &digest, &bytes);
    let run = ask(&registry, "nightly", &[]).ends(1).says(&[&digest]);
    assert_eq!(run.stdout, "");
}

#[test]
fn something_else_under_the_channel_is_no_release() {
    let registry = published();
    let digest = registry.tags("org/charts/sebastian")["0.0.1"].clone();
    let (media_type, bytes) = registry.manifest("org/charts/sebastian", &digest).expect("a manifest");
    registry.put_manifest(RELEASES, Some("stable"), &digest, &media_type, &bytes);
    ask(&registry, "stable", &[]).ends(1).says(&["is not a release"]);
}

#[test]
fn the_resolver_depends_on_no_archive_or_command_line_code() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--no-default-features", "-e", "normal", "--prefix", "none", "--offline"]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let names: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"lexopt"), "{text}");
    for name in ["clap", "tar", "flate2", "gix", "indicatif"] {
        assert!(!names.contains(&name), "{name}");
    }
}

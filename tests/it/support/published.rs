//! The fixtures, published to a registry in this process, and what it holds then.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::programs::{Run, Source};
use super::registry::Registry;

/// Where releases lie.
pub const RELEASES: &str = "org/alga-appliance-release";
const RELEASE_CONFIG: &str = "application/vnd.alga.appliance.release.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const RECORD: &str = "vnd.alga.appliance.channel.";

/// The prefix that a test publishes to.
pub fn store(registry: &Registry) -> String {
    format!("{}/org", registry.address())
}

/// `alga-release publish` of the fixtures.
pub fn publish(source: &Source, registry: &Registry, version: &str, channel: &str, more: &[&str]) -> Run {
    let store = store(registry);
    let mut arguments = vec!["--version", version, "--channel", channel, "--store", &store];
    arguments.extend(more);
    source.publish(&arguments)
}

/// Takes away what a release says of itself, as older publishers wrote none of it.
pub fn undescribed(release: &mut Value) {
    let object = release.as_object_mut().expect("an object");
    for key in ["product", "prefix", "chartRepository", "appliance"] {
        assert!(object.remove(key).is_some(), "{key}");
    }
}

/// How many requests could have changed something.
pub fn writes(registry: &Registry) -> usize {
    registry.log().iter().filter(|received| !matches!(received.method.as_str(), "GET" | "HEAD")).count()
}

/// The manifest of a release or a channel.
pub fn manifest(registry: &Registry, reference: &str) -> Value {
    let (_, bytes) = registry.manifest(RELEASES, reference).expect("a manifest");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// The JSON that a tag serves.
pub fn served(registry: &Registry, tag: &str) -> Value {
    let manifest = manifest(registry, tag);
    let digest = manifest["config"]["digest"].as_str().expect("a digest");
    serde_json::from_slice(&registry.blob(RELEASES, digest).expect("a blob")).expect("JSON")
}

/// What the record of a channel's last move says.
pub fn record(registry: &Registry, channel: &str, key: &str) -> Option<String> {
    manifest(registry, channel)["annotations"][format!("{RECORD}{key}")].as_str().map(ToOwned::to_owned)
}

/// Publishes a release that this program would not write.
pub fn put_release(registry: &Registry, tag: &str, json: &Value, annotations: &Value) {
    put_release_in(registry, RELEASES, tag, json, annotations);
}

/// Publishes a release that this program would not write, in a repository of any name.
pub fn put_release_in(registry: &Registry, repository: &str, tag: &str, json: &Value, annotations: &Value) {
    let bytes = json.to_string().into_bytes();
    let config = json!({"mediaType": RELEASE_CONFIG, "digest": digest_of(&bytes), "size": bytes.len()});
    registry.put_blob(repository, &digest_of(&bytes), &bytes);
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [config], "annotations": annotations});
    let manifest = manifest.to_string().into_bytes();
    registry.put_manifest(repository, Some(tag), &digest_of(&manifest), MANIFEST, &manifest);
}

/// Stores the manifest of an artifact that states no platform, and returns its digest.
pub fn put_artifact(registry: &Registry, repository: &str, tag: &str) -> String {
    let config = json!({"mediaType": "application/json", "digest": digest_of(b"{}"), "size": 2});
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": [], "annotations": {"name": repository}});
    let manifest = manifest.to_string().into_bytes();
    registry.put_blob(repository, &digest_of(b"{}"), b"{}");
    registry.put_manifest(repository, Some(tag), &digest_of(&manifest), MANIFEST, &manifest);
    digest_of(&manifest)
}

/// An image with a config and one layer, in a registry.
pub fn put_image(registry: &Registry, name: &str, tag: &str) -> String {
    let blob = |bytes: &[u8], media_type: &str| {
        registry.put_blob(name, &digest_of(bytes), bytes);
        json!({ "mediaType": media_type, "digest": digest_of(bytes), "size": bytes.len() })
    };
    let config = blob(format!("{{\"name\":\"{name}\"}}").as_bytes(), "application/vnd.oci.image.config.v1+json");
    let layer = blob(format!("layer of {name}").as_bytes(), "application/vnd.oci.image.layer.v1.tar");
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
    let bytes = serde_json::to_vec(&manifest).expect("JSON");
    registry.put_manifest(name, Some(tag), &digest_of(&bytes), MANIFEST, &bytes);
    digest_of(&bytes)
}

/// 1.0.3 in nightly with all its images and a control plane; and the tree.
pub fn complete() -> (Source, Registry) {
    let (source, registry) = (Source::new(), Registry::start());
    for (name, tag) in [
        ("alga-psa-ee", "62cdce38"),
        ("workflow-worker", "a2cbb43"),
        ("temporal-worker", "a2cbb43"),
        ("email-service", "61e4a00e"),
        ("alga-appliance-control-plane", "1"),
    ] {
        put_image(&registry, &format!("org/{name}"), tag);
    }
    publish(&source, &registry, "1.0.3", "nightly", &["--image-check", "require", "--control-plane", "1"]).ends(0);
    (source, registry)
}

/// A release with other words in its JSON, under a version's tag.
pub fn rewrite_release(registry: &Registry, change: impl FnOnce(&mut Value)) {
    let mut release = served(registry, "1.0.3");
    change(&mut release);
    let json = serde_json::to_vec(&release).expect("JSON");
    registry.put_blob(RELEASES, &digest_of(&json), &json);
    let mut manifest = manifest(registry, "1.0.3");
    for blob in ["/config", "/layers/0"] {
        let blob = manifest.pointer_mut(blob).expect("a blob");
        (blob["digest"], blob["size"]) = (digest_of(&json).into(), json.len().into());
    }
    let bytes = serde_json::to_vec(&manifest).expect("JSON");
    let version = release["version"].as_str().expect("a version");
    registry.put_manifest(RELEASES, Some(version), &digest_of(&bytes), MANIFEST, &bytes);
}

/// The digest of bytes.
pub fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// All tags of all repositories.
pub fn state(registry: &Registry) -> BTreeMap<String, BTreeMap<String, String>> {
    registry.repositories().into_iter().map(|name| (name.clone(), registry.tags(&name))).collect()
}

/// The fixtures' own `release.json`.
pub fn release_json(source: &Source) -> String {
    std::fs::read_to_string(source.path("ee/appliance/releases/1.0.3/release.json")).expect("a release.json")
}

/// The images that the fixtures' own `release.json` names, for other versions.
pub fn with_images(source: &Source, versions: &[&str]) {
    let text = release_json(source);
    for version in versions {
        source.write(&format!("ee/appliance/releases/{version}/release.json"), &text);
    }
}

//! The fixtures, published to a registry in this process, and the content of the registry afterwards.

use std::collections::BTreeMap;

use alga_release::oci::media_type::SIGSTORE_BUNDLE;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::programs::{Run, Source};
use super::registry::Registry;
use super::release_with_images::IMAGES;

/// The repository of releases.
pub const RELEASES: &str = "org/alga-appliance-release";
const RELEASE_CONFIG: &str = "application/vnd.alga.appliance.release.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const RECORD: &str = "vnd.alga.appliance.channel.";

/// Returns the store that a test publishes to.
pub fn store(registry: &Registry) -> String {
    format!("{}/org", registry.address())
}

/// Runs `alga-release publish` on the fixtures. With a trust document, the images exist, because a signed release pins
/// each of them.
pub fn publish(source: &Source, registry: &Registry, version: &str, channel: &str, more: &[&str]) -> Run {
    let store = store(registry);
    let mut arguments = vec!["--version", version, "--channel", channel, "--store", &store];
    if more.contains(&"--trust") && !more.contains(&"--image-check") {
        put_images(registry);
        arguments.extend(["--image-check", "require"]);
    }
    arguments.extend(more);
    source.publish(&arguments)
}

/// Stores the application images that the fixtures name.
pub fn put_images(registry: &Registry) {
    for (name, tag) in IMAGES {
        put_image(registry, &format!("org/{name}"), tag);
    }
}

/// Removes the description of a release from its JSON, as older publishers did not write one.
pub fn undescribed(release: &mut Value) {
    let object = release.as_object_mut().expect("an object");
    for key in ["product", "prefix", "chartRepository", "appliance"] {
        assert!(object.remove(key).is_some(), "{key}");
    }
}

/// Counts the requests that may have changed something.
pub fn writes(registry: &Registry) -> usize {
    registry.log().iter().filter(|received| !matches!(received.method.as_str(), "GET" | "HEAD")).count()
}

/// Returns the manifest of a release or a channel.
pub fn manifest(registry: &Registry, reference: &str) -> Value {
    let (_, bytes) = registry.manifest(RELEASES, reference).expect("a manifest");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// Returns the bundles in the layers of a channel manifest.
pub fn bundles(registry: &Registry, channel: &str) -> Vec<Vec<u8>> {
    let manifest = manifest(registry, channel);
    let layers = manifest["layers"].as_array().expect("layers").iter();
    let bundles = layers.filter(|layer| layer["mediaType"] == SIGSTORE_BUNDLE);
    bundles.map(|layer| registry.blob(RELEASES, layer["digest"].as_str().expect("text")).expect("a blob")).collect()
}

/// Returns the JSON that a tag serves.
pub fn served(registry: &Registry, tag: &str) -> Value {
    let manifest = manifest(registry, tag);
    let digest = manifest["config"]["digest"].as_str().expect("a digest");
    serde_json::from_slice(&registry.blob(RELEASES, digest).expect("a blob")).expect("JSON")
}

/// Returns a value of the record of a channel's last move.
pub fn record(registry: &Registry, channel: &str, key: &str) -> Option<String> {
    manifest(registry, channel)["annotations"][format!("{RECORD}{key}")].as_str().map(ToOwned::to_owned)
}

/// Stores a release that this program would not write.
pub fn put_release(registry: &Registry, tag: &str, json: &Value, annotations: &Value) {
    put_release_in(registry, RELEASES, tag, json, annotations);
}

/// Stores a release that this program would not write, in a repository of any name.
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

/// Stores an image with a config and one layer.
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

/// Publishes 1.0.3 to nightly with all its images and a control plane. Returns the tree and the registry.
pub fn complete() -> (Source, Registry) {
    complete_from(Source::new())
}

/// Publishes a source with all its images and a control plane.
pub fn complete_from(source: Source) -> (Source, Registry) {
    let registry = Registry::start();
    put_images(&registry);
    put_image(&registry, "org/alga-appliance-control-plane", "1");
    publish(&source, &registry, "1.0.3", "nightly", &["--image-check", "require", "--control-plane", "1"]).ends(0);
    (source, registry)
}

/// Changes the JSON of a release, and stores the release under its version tag.
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

/// Returns the digest of bytes.
pub fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// Returns all tags of all repositories.
pub fn state(registry: &Registry) -> BTreeMap<String, BTreeMap<String, String>> {
    registry.repositories().into_iter().map(|name| (name.clone(), registry.tags(&name))).collect()
}

/// Returns the `release.json` of the fixtures.
pub fn release_json(source: &Source) -> String {
    std::fs::read_to_string(source.path("ee/appliance/releases/1.0.3/release.json")).expect("a release.json")
}

/// Writes the images of the fixtures' `release.json` for other versions.
pub fn with_images(source: &Source, versions: &[&str]) {
    let text = release_json(source);
    for version in versions {
        let text = text.replace("\"version\": \"1.0.3\"", &format!("\"version\": \"{version}\""));
        source.write(&format!("ee/appliance/releases/{version}/release.json"), &text);
    }
}

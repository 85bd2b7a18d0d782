//! A release whose images exist: in its own registry, and in another one.

use serde_json::json;

use super::images::{GZIP, INDEX, Image, MANIFEST, describe};
use super::programs::Source;
use super::published::{digest_of, publish};
use super::registry::Registry;

/// Images of the fixtures: repository and tag.
pub const IMAGES: [(&str, &str); 4] = [
    ("alga-psa-ee", "62cdce38"),
    ("workflow-worker", "a2cbb43"),
    ("email-service", "61e4a00e"),
    ("temporal-worker", "a2cbb43"),
];

/// Stores an image in a registry, and returns its digest.
pub fn put(registry: &Registry, repository: &str, tag: Option<&str>, image: &Image) -> String {
    let (manifest, blobs) = image.oci(GZIP);
    for blob in blobs {
        registry.put_blob(repository, &digest_of(&blob), &blob);
    }
    let digest = digest_of(&manifest);
    registry.put_manifest(repository, tag, &digest, MANIFEST, &manifest);
    digest
}

/// Stores an image for two platforms in a registry. Returns the digests of its index and of its manifests, amd64 first.
pub fn put_index(registry: &Registry, repository: &str, tag: &str, size: usize) -> (String, [String; 2]) {
    let (mut entries, mut digests) = (Vec::new(), Vec::new());
    for architecture in ["amd64", "arm64"] {
        let image = Image::new(architecture, &[size]);
        digests.push(put(registry, repository, None, &image));
        let mut entry = describe(MANIFEST, &image.oci(GZIP).0);
        entry["platform"] = json!({ "os": "linux", "architecture": architecture });
        entries.push(entry);
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string().into_bytes();
    let digest = digest_of(&index);
    registry.put_manifest(repository, Some(tag), &digest, INDEX, &index);
    (digest, [digests[0].clone(), digests[1].clone()])
}

/// Stores a manifest that refers to `subject` in a registry, and returns its digest.
pub fn refer(registry: &Registry, repository: &str, subject: &str, kind: &str) -> String {
    let (_, bytes) = registry.manifest(repository, subject).expect("a subject");
    let (config, layer) = (b"{}".to_vec(), format!("signature of {subject} by {kind}").into_bytes());
    let mut named = describe(MANIFEST, &bytes);
    named["digest"] = subject.into();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind,
        "config": describe("application/vnd.oci.empty.v1+json", &config),
        "layers": [describe("application/octet-stream", &layer)],
        "subject": named,
        "annotations": { "org.example.signed-by": "someone" },
    });
    for blob in [config, layer] {
        registry.put_blob(repository, &digest_of(&blob), &blob);
    }
    let manifest = manifest.to_string().into_bytes();
    let digest = digest_of(&manifest);
    registry.put_manifest(repository, None, &digest, MANIFEST, &manifest);
    digest
}

/// Publishes 1.0.3 to nightly with all its images, a control plane for two platforms, and redis from `elsewhere`. Also
/// returns the digest of redis.
pub fn release(registry: &Registry, elsewhere: &Registry) -> (Source, String) {
    let source = Source::new();
    for (at, (repository, tag)) in IMAGES.into_iter().enumerate() {
        put(registry, &format!("org/{repository}"), Some(tag), &Image::new("amd64", &[3000 + at, 40_000]));
    }
    put_index(registry, "org/alga-appliance-control-plane", "cp-1", 20_000);
    let redis = put(elsewhere, "library/redis", Some("7.4.1-alpine"), &Image::new("amd64", &[9000]));
    let reference = format!("{}/library/redis:7.4.1-alpine@{redis}", elsewhere.address());
    source.append("alga-release.yaml", &format!("extraImages:\n  - {reference}\n"));
    let values = "ee/appliance/flux/profiles/single-node/values/pgbouncer.single-node.yaml";
    source.append(values, &format!("\nsidecar:\n  image: {}/library/redis:7.4.1-alpine\n", elsewhere.address()));
    publish(&source, registry, "1.0.3", "nightly", &["--image-check", "require", "--control-plane", "cp-1"]).ends(0);
    (source, redis)
}

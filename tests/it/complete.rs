//! A channel moves only to a complete release: every blob that the release needs is read or checked before the move.

use std::collections::{BTreeMap, BTreeSet};

use alga_release::overlay;
use serde_json::{Value, json};

use crate::support::programs::{Run, Source, alga};
use crate::support::published::{
    RELEASES, complete, digest_of, manifest, publish, rewrite_release, served, state, store, with_images,
};
use crate::support::registry::{Registry, at_once_behind};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn promote(registry: &Registry, from: &str) -> Run {
    alga(&["promote", "--from", from, "--to", "stable", "--store", &store(registry)])
}

fn rollback(registry: &Registry, to: &str) -> Run {
    alga(&["rollback", "nightly", "--to", to, "--reason", "it fails", "--store", &store(registry)])
}

/// A registry with 1.0.3 and then 1.0.4 in nightly, with every image.
fn two_releases() -> Registry {
    let (source, registry) = complete();
    with_images(&source, &["1.0.4"]);
    publish(&source, &registry, "1.0.4", "nightly", &["--image-check", "require", "--control-plane", "1"]).ends(0);
    registry
}

/// Returns the blobs of the manifest under a tag.
fn blobs(registry: &Registry, repository: &str, tag: &str) -> BTreeSet<String> {
    let (_, bytes) = registry.manifest(repository, tag).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&bytes).expect("JSON");
    let layers = manifest["layers"].as_array().expect("layers");
    layers
        .iter()
        .chain([&manifest["config"]])
        .map(|blob| blob["digest"].as_str().expect("a digest").to_owned())
        .collect()
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

#[test]
fn no_channel_moves_to_missing_or_corrupt_bytes() {
    let registry = two_releases();
    let before = state(&registry);
    let mut tried = 0;
    for (repository, tag, name) in [
        ("org/charts/sebastian", "0.0.1", "chart sebastian"),
        ("org/charts/temporal", "0.1.0", "chart temporal"),
        ("org/alga-appliance-config", "1.0.3", "bundle alga-appliance-config"),
        (RELEASES, "1.0.3", "release 1.0.3"),
        ("org/alga-psa-ee", "62cdce38", "image algaCore"),
        ("org/alga-appliance-control-plane", "1", "control plane controlPlane"),
    ] {
        for digest in blobs(&registry, repository, tag) {
            let bytes = registry.blob(repository, &digest).expect("a blob");
            let is_image = name.contains("image") || name.contains("plane");
            // The blobs of images are gigabytes. A registry verifies them, so only their existence is checked.
            for corrupted in [None, Some(flipped(&bytes))].into_iter().take(if is_image { 1 } else { 2 }) {
                match &corrupted {
                    None => registry.remove_blob(repository, &digest),
                    Some(other) => registry.put_blob(repository, &digest, other),
                }
                let words = ["the release 1.0.3 is not complete", name, &digest];
                promote(&registry, "1.0.3").ends(3).says(&words);
                rollback(&registry, "1.0.3").ends(3).says(&words);
                assert_eq!(state(&registry), before, "{name} {digest}");
                registry.put_blob(repository, &digest, &bytes);
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 2 * 4 + 4 + 2 + 2 * 2);
    assert_eq!(registry.uploads(), 0, "no upload is left behind");
    rollback(&registry, "1.0.3").ends(0);
    promote(&registry, "1.0.3").ends(0);
    assert_eq!(served(&registry, "stable")["version"], "1.0.3");
}

#[test]
fn all_problems_are_reported_at_once_with_advice() {
    let registry = two_releases();
    for (repository, tag) in
        [("org/charts/temporal", "0.1.0"), ("org/alga-appliance-config", "1.0.4"), ("org/alga-psa-ee", "62cdce38")]
    {
        for digest in blobs(&registry, repository, tag) {
            registry.remove_blob(repository, &digest);
        }
    }
    let refused = promote(&registry, "nightly").ends(3);
    refused.says(&["chart temporal", "bundle alga-appliance-config", "image algaCore", "--repair", "the same digest"]);
}

#[test]
fn the_command_in_the_advice_of_verify_repairs_the_problem() {
    let (source, registry) = complete();
    let verify = || alga(&["verify", "nightly", "--output", "json", "--store", &store(&registry)]);
    for (repository, tag) in
        [("org/charts/temporal", "0.1.0"), ("org/alga-appliance-config", "1.0.3"), (RELEASES, "1.0.3")]
    {
        for digest in blobs(&registry, repository, tag) {
            let bytes = registry.blob(repository, &digest).expect("a blob");
            for corrupted in [None, Some(flipped(&bytes))] {
                match &corrupted {
                    None => registry.remove_blob(repository, &digest),
                    Some(other) => registry.put_blob(repository, &digest, other),
                }
                let report = verify().ends(3).json();
                let checks = report["releases"][0]["checks"].as_array().expect("checks");
                let help = checks.iter().find_map(|check| check["help"].as_str()).expect("the advice");
                let command = help.split('`').nth(1).expect("a command");
                let words = command.replace("VERSION", "1.0.3").replace("CHANNEL", "nightly");
                let words: Vec<&str> = words.split(' ').collect();
                assert_eq!(words[..2], ["alga-release", "publish"], "{help}");
                let store = store(&registry);
                let flags = ["--image-check", "require", "--control-plane", "1"];
                let at = if words.contains(&"--store") { &[][..] } else { &["--store", &store] };
                source.publish(&[&words[2..], at, &flags].concat()).ends(0);
                verify().ends(0);
                assert_eq!(registry.blob(repository, &digest), Some(bytes.clone()));
            }
        }
    }
}

#[test]
fn each_manifest_and_each_blob_is_read_once_before_a_move() {
    let registry = two_releases();
    promote(&registry, "1.0.3").ends(0);
    registry.clear_log();
    promote(&registry, "nightly").ends(0);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let log = registry.log();
    let until = log.iter().position(|received| received.method == "PUT").expect("a write");
    for received in log[..until].iter().filter(|received| received.method != "POST") {
        *counts.entry(format!("{} {}", received.method, received.path)).or_default() += 1;
    }
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:#?}");
    // Five charts with three contents each, two bundles and the release with theirs; manifests, contents and tags of
    // the channels; the images with their blobs.
    assert!(counts.len() <= 45, "{}: {counts:#?}", counts.len());
    for repository in ["org/charts/sebastian", "org/alga-appliance-config", "org/alga-psa-ee"] {
        let tag = registry.tags(repository).into_keys().next_back().expect("a tag");
        for digest in blobs(&registry, repository, &tag) {
            let asked = counts.keys().any(|line| line.contains(repository) && line.ends_with(&digest));
            assert!(asked, "{repository} {digest}: {counts:#?}");
        }
    }
    assert_eq!(manifest(&registry, "stable")["annotations"]["vnd.alga.appliance.channel.sequence"], "2");
}

#[test]
fn every_byte_is_read_in_one_round_trip_after_the_manifests() {
    let (source, registry) = (Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    // The channel's JSON is first. It is also the release's JSON. Then come config and layer of five charts and the
    // bundle.
    at_once_behind(&registry, ("/blobs/sha256:", 1), 12, || {
        promote(&registry, "nightly").ends(0);
    });
}

/// Checks that verification and promotion refuse 1.0.3 for the same reason.
fn refused(registry: &Registry, words: &[&str]) {
    let verified = alga(&["verify", "1.0.3", "--output", "json", "--store", &store(registry)]).ends(3).json();
    let checks = verified["releases"][0]["checks"].as_array().expect("checks");
    let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let line = |check: &Value| {
        let kind = text(check, "kind").replace('-', " ");
        format!(
            "{kind} {} {}: {} {}",
            text(check, "name"),
            text(check, "reference"),
            text(check, "reason"),
            text(check, "help")
        )
    };
    let said: Vec<String> = checks.iter().filter(|check| check["outcome"] == "failed").map(line).collect();
    for word in words {
        assert!(said.iter().any(|line| line.contains(word)), "no `{word}` in {said:#?}");
    }
    promote(registry, "1.0.3").ends(3).says(words);
    assert!(!registry.tags(RELEASES).contains_key("stable"), "{words:?}");
}

const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Stores a manifest with a config and one layer, and returns its digest.
fn put(registry: &Registry, repository: &str, config: (&str, &str), layer: (&str, &[u8])) -> String {
    let blob = |media_type: &str, bytes: &[u8]| {
        registry.put_blob(repository, &digest_of(bytes), bytes);
        json!({"mediaType": media_type, "digest": digest_of(bytes), "size": bytes.len()})
    };
    let (config, layer) = (blob(config.0, config.1.as_bytes()), blob(layer.0, layer.1));
    put_manifest(registry, repository, &json!({"mediaType": MANIFEST, "config": config, "layers": [layer]}))
}

/// Stores a manifest or an index, and returns its digest.
fn put_manifest(registry: &Registry, repository: &str, manifest: &Value) -> String {
    let mut manifest = manifest.clone();
    manifest["schemaVersion"] = 2.into();
    let (media_type, bytes) =
        (manifest["mediaType"].as_str().expect("text").to_owned(), manifest.to_string().into_bytes());
    registry.put_manifest(repository, None, &digest_of(&bytes), &media_type, &bytes);
    digest_of(&bytes)
}

/// An index that names manifests of these digests.
fn put_index(registry: &Registry, repository: &str, media_type: &str, digests: &[String]) -> String {
    let named = |digest: &String| {
        let (_, bytes) = registry.manifest(repository, digest).expect("a manifest");
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    };
    let manifests: Vec<Value> = digests.iter().map(named).collect();
    put_manifest(registry, repository, &json!({"mediaType": INDEX, "manifests": manifests}))
}

#[test]
fn the_control_plane_and_the_images_are_container_images() {
    let (_source, registry) = complete();
    let (repository, host) = ("org/alga-appliance-control-plane", registry.address());
    let plane = |digest: &str| {
        let reference = format!("{host}/{repository}@{digest}");
        rewrite_release(&registry, |release| release["controlPlane"] = reference.into());
    };
    let attestation = put(&registry, repository, (IMAGE_CONFIG, "{}"), ("application/vnd.in-toto+json", b"{}"));
    let unknown = r#"{"os":"unknown","architecture":"unknown"}"#;
    let unknown = put(&registry, repository, (IMAGE_CONFIG, unknown), (LAYER, b"of no platform"));
    for (digest, words) in [(attestation, "found a signature, an attestation"), (unknown, "found an attestation")] {
        plane(&digest);
        refused(&registry, &["control plane controlPlane", &digest, words, "publish another version"]);
    }
    let chart = registry.tags("org/charts/temporal")["0.1.0"].clone();
    let chart = format!("{host}/org/charts/temporal@{chart}");
    rewrite_release(&registry, |release| release["controlPlane"] = chart.clone().into());
    refused(
        &registry,
        &["control plane controlPlane", &chart, "found an artifact with a config of `application/vnd.cncf.helm"],
    );
    rewrite_release(&registry, |release| {
        release["controlPlane"] = Value::Null;
        release["imageDigests"]["algaCore"] = chart.clone().into();
    });
    refused(&registry, &["image algaCore", &chart, "expected a container image"]);
}

#[test]
fn an_index_leads_to_a_bounded_number_of_manifests() {
    let (_source, registry) = complete();
    let repository = "org/alga-appliance-control-plane";
    let plane = |digest: &str| {
        let reference = format!("{}/{repository}@{digest}", registry.address());
        rewrite_release(&registry, |release| release["controlPlane"] = reference.into());
        registry.clear_log();
        refused(&registry, &["control plane controlPlane", digest, "more than 200 manifests"]);
        assert!(registry.log().len() < 200, "{}", registry.log().len());
    };
    let image = put(&registry, repository, (IMAGE_CONFIG, "{}"), (LAYER, b"a layer"));
    let mut nested = put_index(&registry, repository, MANIFEST, &[image]);
    let inside = put_index(&registry, repository, INDEX, std::slice::from_ref(&nested));
    let reference = format!("{}/{repository}@{inside}", registry.address());
    rewrite_release(&registry, |release| release["controlPlane"] = reference.into());
    alga(&["verify", "1.0.3", "--store", &store(&registry)]).ends(0);
    for _ in 0..500 {
        nested = put_index(&registry, repository, INDEX, &[nested]);
    }
    plane(&nested);
    let images: Vec<String> =
        (0..500_u32).map(|at| put(&registry, repository, (IMAGE_CONFIG, "{}"), (LAYER, &at.to_be_bytes()))).collect();
    plane(&put_index(&registry, repository, MANIFEST, &images));
    let blob = |at: usize| json!({"mediaType": LAYER, "digest": digest_of(&at.to_be_bytes()), "size": 8});
    let layers: Vec<Value> = (0..3000).map(blob).collect();
    registry.put_blob(repository, &digest_of(b"{}"), b"{}");
    let config = json!({"mediaType": IMAGE_CONFIG, "digest": digest_of(b"{}"), "size": 2});
    let manifest = json!({"mediaType": MANIFEST, "config": config, "layers": layers});
    let reference = format!("{}/{repository}@{}", registry.address(), put_manifest(&registry, repository, &manifest));
    rewrite_release(&registry, |release| release["controlPlane"] = reference.into());
    refused(&registry, &["control plane controlPlane", "the image names 3000 blobs, and the limit is 2000"]);
}

#[test]
fn the_images_of_a_release_must_run_on_one_platform() {
    let (_source, registry) = complete();
    let of = |name: &str, architecture: &str| {
        let repository = format!("org/{name}");
        let config = format!(r#"{{"os":"linux","architecture":"{architecture}"}}"#);
        let digest = put(&registry, &repository, (IMAGE_CONFIG, &config), (LAYER, name.as_bytes()));
        format!("{}/{repository}@{digest}", registry.address())
    };
    let (core, plane) = (of("alga-psa-ee", "amd64"), of("alga-appliance-control-plane", "arm64"));
    rewrite_release(&registry, |release| {
        release["imageDigests"]["algaCore"] = core.into();
        release["controlPlane"] = plane.clone().into();
    });
    refused(&registry, &["control plane controlPlane", &plane, "the image is for linux/arm64, expected linux/amd64"]);
    let windows = r#"{"os":"windows","architecture":"amd64"}"#;
    let windows = put(&registry, "org/alga-psa-ee", (IMAGE_CONFIG, windows), (LAYER, b"of windows"));
    let windows = format!("{}/org/alga-psa-ee@{windows}", registry.address());
    rewrite_release(&registry, |release| {
        release["imageDigests"]["algaCore"] = windows.into();
        release["controlPlane"] = Value::Null;
    });
    refused(&registry, &["image algaCore", "the image is for windows/amd64"]);
    // A rollback to this release is allowed, because the release ran before.
    rollback(&registry, "1.0.3").ends(0).says(&["the image is for windows/amd64"]);
}

/// Replaces the bundle of 1.0.3 by one with changed files.
fn rebundle(registry: &Registry, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) {
    let repository = "org/alga-appliance-config";
    let (_, bytes) = registry.manifest(repository, "1.0.3").expect("a manifest");
    let manifest: Value = serde_json::from_slice(&bytes).expect("JSON");
    let layer = manifest["layers"][0]["digest"].as_str().expect("a digest");
    let mut files = overlay::unpack(&registry.blob(repository, layer).expect("a blob")).expect("an archive");
    change(&mut files);
    let meta = overlay::BundleMeta { created: String::new(), source: None, revision: String::new() };
    let artifact = overlay::bundle(&files, &meta);
    for blob in artifact.blobs() {
        registry.put_blob(repository, blob.descriptor().digest.as_str(), blob.bytes().expect("in memory"));
    }
    let digest = artifact.digest().to_string();
    registry.put_manifest(repository, Some("1.0.3"), &digest, MANIFEST, artifact.manifest().bytes());
    rewrite_release(registry, |release| release["config"]["digest"] = digest.into());
}

#[test]
fn the_bundle_must_be_a_flux_overlay_without_git() {
    let (_source, registry) = complete();
    let git = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: alga-psa, namespace: flux-system}\n";
    rebundle(&registry, |files| {
        files.insert("base/git.yaml".to_owned(), git.as_bytes().to_vec());
    });
    refused(&registry, &["bundle alga-appliance-config", "refers to a GitRepository", "base/git.yaml:1"]);
    rebundle(&registry, |files| files.retain(|path, _| !path.starts_with("base/")));
    refused(&registry, &["bundle alga-appliance-config", "missing directory `base`"]);
    let chart = registry.tags("org/charts/temporal")["0.1.0"].clone();
    let (media_type, bytes) = registry.manifest("org/charts/temporal", &chart).expect("a manifest");
    registry.put_manifest("org/alga-appliance-config", Some("1.0.3"), &chart, &media_type, &bytes);
    for digest in blobs(&registry, "org/charts/temporal", "0.1.0") {
        let bytes = registry.blob("org/charts/temporal", &digest).expect("a blob");
        registry.put_blob("org/alga-appliance-config", &digest, &bytes);
    }
    rewrite_release(&registry, |release| release["config"]["digest"] = chart.into());
    refused(&registry, &["bundle alga-appliance-config", "expected a Flux bundle", "missing directory `base`"]);
}

#[test]
fn the_release_must_list_every_chart_that_its_bundle_uses() {
    let (_source, registry) = complete();
    let json = served(&registry, "1.0.3");
    let without = |release: &mut Value, name: &str| {
        for key in ["charts", "chartDigests"] {
            release[key].as_object_mut().expect("an object").remove(name);
        }
    };
    for name in ["temporal", "cert-manager"] {
        rewrite_release(&registry, |release| without(release, name));
        refused(&registry, &[&format!("chart {name} base/"), "the release does not list the chart"]);
        rewrite_release(&registry, |release| *release = json.clone());
    }
    rewrite_release(&registry, |release| {
        release["charts"] = json!({});
        release.as_object_mut().expect("an object").remove("chartDigests");
    });
    refused(&registry, &["release 1.0.3", "the release lists no charts, but the bundle has 7 HelmReleases"]);
}

#[test]
fn a_version_with_unprintable_characters_is_refused() {
    let (_source, registry) = complete();
    rewrite_release(&registry, |release| {
        release["charts"]["cert-manager"] = "v1.16.2\u{1b}[2K".into();
        release["images"]["algaCore"] = "62cd\u{202e}ce38".into();
    });
    let words = [
        "release 1.0.3",
        "the version of chart `cert-manager` is not printable",
        "the tag of image `algaCore` is not printable",
    ];
    refused(&registry, &words);
}

#[test]
fn a_chart_must_have_the_name_and_version_in_the_release() {
    let (_source, registry) = complete();
    let (from, to) = ("org/charts/temporal-worker", "org/charts/temporal");
    let digest = registry.tags(from)["0.1.0"].clone();
    let (media_type, bytes) = registry.manifest(from, &digest).expect("a manifest");
    registry.put_manifest(to, None, &digest, &media_type, &bytes);
    for blob in blobs(&registry, from, "0.1.0") {
        registry.put_blob(to, &blob, &registry.blob(from, &blob).expect("a blob"));
    }
    rewrite_release(&registry, |release| release["chartDigests"]["temporal"] = digest.clone().into());
    let words =
        ["chart temporal", &digest, "Chart.yaml has temporal-worker 0.1.0, expected temporal 0.1.0 as in the release"];
    refused(&registry, &words);
}

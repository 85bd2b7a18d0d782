//! A channel moves only to a release whose bytes are there: every blob that the release needs is read or asked for before the move.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::programs::{Run, Source, alga};
use crate::support::published::{RELEASES, complete, manifest, publish, served, state, store, with_images};
use crate::support::registry::{Registry, at_once};

fn promote(registry: &Registry, from: &str) -> Run {
    alga(&["promote", "--from", from, "--to", "stable", "--store", &store(registry)])
}

fn rollback(registry: &Registry, to: &str) -> Run {
    alga(&["rollback", "nightly", "--to", to, "--reason", "it fails", "--store", &store(registry)])
}

/// 1.0.3 and then 1.0.4 in nightly, with every image.
fn two_releases() -> Registry {
    let (source, registry) = complete();
    with_images(&source, &["1.0.4"]);
    publish(&source, &registry, "1.0.4", "nightly", &["--image-check", "require", "--control-plane", "1"]).ends(0);
    registry
}

/// The blobs of the manifest under a tag.
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
fn no_channel_moves_onto_bytes_that_are_gone_or_corrupted() {
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
            // A registry vouches for the bytes of images, which are gigabytes: they are asked for.
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
fn everything_that_is_wrong_is_said_at_once_with_the_way_out() {
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
    // Five charts with three contents each, two bundles with theirs, the release; the channels' manifests, contents and tags; the
    // images with their blobs.
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
fn the_blobs_of_a_chart_are_read_at_once() {
    let (source, registry) = (Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    at_once(&registry, "/charts/temporal/blobs/", 2, || {
        promote(&registry, "nightly").ends(0);
    });
}

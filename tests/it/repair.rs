//! A store that lost content or holds corrupt content: no channel moves to it, and one command repairs it.

use serde_json::Value;

use crate::support::docker_registry::DockerRegistry;
use crate::support::programs::{Run, Source, release, run};
use crate::support::published::{RELEASES, digest_of, publish, put_artifact, served, state, store, with_images};
use crate::support::registry::{Quirks, Registry, Setup};

/// Repositories of a release.
const CHART: &str = "org/charts/temporal";
const BUNDLE: &str = "org/alga-appliance-config";

fn verify(store: &str, reference: &str) -> Run {
    run(release().args(["verify", reference, "--store", store]))
}

/// Returns every digest that a manifest under a tag names, and its own digest.
fn digests(registry: &Registry, repository: &str, tag: &str) -> (String, Vec<String>) {
    let own = registry.tags(repository)[tag].clone();
    let (_, bytes) = registry.manifest(repository, tag).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&bytes).expect("JSON");
    let layers = manifest["layers"].as_array().expect("layers").iter().chain([&manifest["config"]]);
    let mut blobs: Vec<String> = layers.map(|blob| blob["digest"].as_str().expect("a digest").to_owned()).collect();
    blobs.sort();
    blobs.dedup();
    (own, blobs)
}

/// Returns the tag of the only version of a chart.
fn version(registry: &Registry, repository: &str) -> String {
    registry.tags(repository).into_keys().next().expect("a version")
}

/// Returns the content that may be damaged: repository and digest, and the tag of a manifest.
fn content(registry: &Registry) -> Vec<(String, String, Option<String>)> {
    let places = [(CHART, version(registry, CHART)), (BUNDLE, "1.0.3".to_owned()), (RELEASES, "1.0.3".to_owned())];
    let mut all = Vec::new();
    for (repository, tag) in places {
        let (own, blobs) = digests(registry, repository, &tag);
        all.extend(blobs.into_iter().map(|blob| (repository.to_owned(), blob, None)));
        all.push((repository.to_owned(), own, Some(tag)));
    }
    all
}

fn remove(registry: &Registry, (repository, digest, tag): &(String, String, Option<String>)) {
    match tag {
        // In a registry that loses a manifest, the tag stays.
        Some(_) => registry.lose_manifest(repository, digest),
        None => registry.remove_blob(repository, digest),
    }
}

fn corrupt(registry: &Registry, (repository, digest, tag): &(String, String, Option<String>)) {
    if let Some(tag) = tag {
        let (media_type, bytes) = registry.manifest(repository, digest).expect("a manifest");
        let bytes = [&bytes[..], b" "].concat();
        return registry.put_manifest(repository, Some(tag), digest, &media_type, &bytes);
    }
    let mut bytes = registry.blob(repository, digest).expect("a blob");
    bytes[0] ^= 1;
    registry.put_blob(repository, digest, &bytes);
}

type Damage = fn(&Registry, &(String, String, Option<String>));

#[test]
fn one_command_pushes_all_missing_and_corrupt_content_again() {
    let source = Source::new();
    let undamaged = Registry::start();
    publish(&source, &undamaged, "1.0.3", "nightly", &["--prefix", "registry.example.com/org"]).ends(0);
    for (what, damage) in [("missing", remove as Damage), ("wrong", corrupt as Damage)] {
        for keeps in [false, true] {
            for one in content(&undamaged) {
                let quirks = Quirks { keeps_blobs: keeps, ..Quirks::default() };
                let registry = Registry::copy_of(&undamaged, Setup { quirks, ..Setup::default() });
                let (before, store) = (state(&registry), store(&registry));
                damage(&registry, &one);
                let when = format!("{what} {keeps} {one:?}");
                let offline = ["verify", "nightly", "--store", &store, "--prefix", "registry.example.com/org"];
                let found = run(release().args(offline));
                assert!(matches!(found.code, Some(1 | 3)), "{when}: {found:?}");
                let mended = publish(
                    &source,
                    &registry,
                    "1.0.3",
                    "nightly",
                    &["--prefix", "registry.example.com/org", "--repair"],
                );
                assert_eq!(mended.code, Some(0), "{when}: {mended:?}");
                assert_eq!(state(&registry), before, "{when}");
                let found = run(release().args(offline));
                assert_eq!(found.code, Some(0), "{when}: {found:?}");
            }
        }
    }
}

#[test]
fn a_dry_run_of_a_repair_lists_the_pushes_and_an_intact_store_is_not_changed() {
    let (source, registry) = (Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    registry.clear_log();
    publish(&source, &registry, "1.0.3", "nightly", &["--repair"]).ends(0).prints(&["nothing to do"]);
    assert!(registry.log().iter().all(|received| matches!(received.method.as_str(), "GET" | "HEAD")));
    let (_, blobs) = digests(&registry, CHART, &version(&registry, CHART));
    registry.remove_blob(CHART, &blobs[0]);
    let plan = publish(&source, &registry, "1.0.3", "nightly", &["--repair", "--dry-run", "--output", "json"]).ends(0);
    let plan = plan.json();
    let actions = plan["plan"]["actions"].as_array().expect("actions");
    assert_eq!((actions.len(), &actions[0]["repository"]), (1, &Value::from("charts/temporal")), "{plan}");
    assert!(registry.blob(CHART, &blobs[0]).is_none());
}

#[test]
fn publishing_again_reports_that_the_bytes_were_not_read() {
    let (source, registry) = (Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    let again = publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    again.prints(&["nothing to do", "the bytes in the store were not read", "--repair"]);
}

#[test]
fn a_new_version_does_not_move_the_channel_to_a_corrupt_chart() {
    let source = Source::new();
    with_images(&source, &["1.0.4"]);
    for damage in [remove as Damage, corrupt as Damage] {
        let registry = Registry::start();
        publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
        let (_, blobs) = digests(&registry, CHART, &version(&registry, CHART));
        for blob in blobs {
            let bytes = registry.blob(CHART, &blob).expect("a blob");
            damage(&registry, &(CHART.to_owned(), blob.clone(), None));
            let refused = publish(&source, &registry, "1.0.4", "nightly", &[]).ends(3);
            refused.says(&["charts/temporal", &blob, "with `--repair`", "no channel moved"]);
            assert_eq!(served(&registry, "nightly")["version"], "1.0.3");
            let announced = registry.tags(RELEASES).into_keys().filter(|tag| tag.starts_with("nightly-2"));
            assert_eq!(announced.count(), 0, "nothing is announced");
            registry.put_blob(CHART, &blob, &bytes);
        }
        publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
        assert_eq!(served(&registry, "nightly")["version"], "1.0.4");
    }
}

#[test]
fn a_new_version_does_not_move_the_channel_to_an_image_without_a_layer() {
    let (source, registry) = (Source::new(), Registry::start());
    for name in ["alga-psa-ee", "workflow-worker", "email-service", "temporal-worker"] {
        for tag in registry_tags(&source, name) {
            put_artifact(&registry, &format!("org/{name}"), &tag);
        }
    }
    let required = ["--image-check", "require"];
    publish(&source, &registry, "1.0.3", "nightly", &required).ends(0);
    with_images(&source, &["1.0.4"]);
    registry.remove_blob("org/email-service", &digest_of(b"{}"));
    let refused = publish(&source, &registry, "1.0.4", "nightly", &required).ends(3);
    refused.says(&["email-service", "the content is missing"]);
    assert_eq!(served(&registry, "nightly")["version"], "1.0.3");
}

/// Returns the tags that the fixtures' release gives an image.
fn registry_tags(source: &Source, name: &str) -> Vec<String> {
    let release: Value = serde_json::from_str(&crate::support::published::release_json(source)).expect("JSON");
    let key = match name {
        "alga-psa-ee" => "algaCore",
        "workflow-worker" => "workflowWorker",
        "email-service" => "emailService",
        _ => "temporalWorker",
    };
    vec![release["app"]["images"][key].as_str().expect("a tag").to_owned()]
}

/// A registry that keeps the bytes under a digest and deletes nothing.
#[test]
fn a_repair_reports_a_registry_that_keeps_a_corrupt_blob() {
    let source = Source::new();
    let quirks = Quirks { keeps_blobs: true, deletes: false, ..Quirks::default() };
    let registry = Registry::with(Setup { quirks, ..Setup::default() });
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    let (_, blobs) = digests(&registry, CHART, &version(&registry, CHART));
    corrupt(&registry, &(CHART.to_owned(), blobs[0].clone(), None));
    let refused = publish(&source, &registry, "1.0.3", "nightly", &["--repair"]);
    assert!(matches!(refused.code, Some(1 | 3)), "{refused:?}");
    refused.says(&[&blobs[0], "still returns other bytes or none", "from the storage of the registry"]);
    // Missing content is pushed nevertheless.
    registry.remove_blob(CHART, &blobs[0]);
    publish(&source, &registry, "1.0.3", "nightly", &["--repair"]).ends(0);
}

#[test]
fn a_layout_is_repaired_like_a_registry() {
    let source = Source::new();
    let layout = source.layout();
    let arguments = ["--version", "1.0.3", "--channel", "nightly", "--store", &layout];
    source.publish(&arguments).ends(0);
    let blobs = source.store().join("charts/temporal/blobs/sha256");
    for entry in std::fs::read_dir(&blobs).expect("a directory").collect::<Vec<_>>() {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("a blob");
        for other in [None, Some(&b"other bytes"[..])] {
            match other {
                None => std::fs::remove_file(&path).expect("removed"),
                Some(other) => std::fs::write(&path, other).expect("written"),
            }
            source.publish(&[&arguments[..], &["--repair"]].concat()).ends(0);
            assert_eq!(std::fs::read(&path).expect("a blob"), bytes, "{path:?}");
        }
    }
}

#[test]
fn content_that_docker_registry_lost_is_pushed_again() {
    let Some(registry) = DockerRegistry::start() else { return };
    let source = Source::new();
    with_images(&source, &["1.0.4"]);
    let store = format!("{}/org", registry.address());
    let arguments = |version| ["--version", version, "--channel", "nightly", "--store", &store];
    let report = source.publish(&[&arguments("1.0.3")[..], &["--output", "json"]].concat()).ends(0).json();
    let chart = report["artifacts"].as_array().expect("artifacts").iter().find(|one| one["name"] == "temporal");
    let digest = chart.expect("a chart")["digest"].as_str().expect("a digest");
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(registry.data_of(digest)).expect("a manifest")).expect("JSON");
    let layer = registry.data_of(manifest["layers"][0]["digest"].as_str().expect("a digest"));
    let bytes = std::fs::read(&layer).expect("a layer");
    std::fs::remove_file(&layer).expect("removed");
    source.publish(&arguments("1.0.4")).ends(3).says(&["the content is missing", "with `--repair`"]);
    verify(&store, "nightly").ends(3).says(&["--repair"]);
    source.publish(&[&arguments("1.0.3")[..], &["--repair"]].concat()).ends(0);
    assert_eq!(std::fs::read(&layer).expect("a layer"), bytes);
    verify(&store, "nightly").ends(0);
    // Corrupt content stays, whatever is pushed, and the program reports that.
    std::fs::write(&layer, b"other bytes").expect("written");
    source.publish(&arguments("1.0.4")).ends(3);
    let kept = source.publish(&[&arguments("1.0.3")[..], &["--repair"]].concat());
    assert!(matches!(kept.code, Some(1 | 3)), "{kept:?}");
    kept.says(&["still returns other bytes or none", "from the storage of the registry"]);
}

/// The JSON of a channel is the JSON of its release with another `channel`, so it can be rebuilt from the release.
#[test]
fn the_json_of_a_channel_is_pushed_again() {
    let (source, registry) = (Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    let store = store(&registry);
    run(release().args(["promote", "--from", "nightly", "--to", "stable", "--store", &store])).ends(0);
    let (_, blobs) = digests(&registry, RELEASES, "stable");
    let before = state(&registry);
    for damage in [remove as Damage, corrupt as Damage] {
        damage(&registry, &(RELEASES.to_owned(), blobs[0].clone(), None));
        assert!(verify(&store, "stable").code != Some(0));
        publish(&source, &registry, "1.0.3", "stable", &["--repair"]).ends(0);
        assert_eq!(state(&registry), before);
        verify(&store, "stable").ends(0);
    }
}

/// A promotion replaces broken content. The JSON of the release shows what the channel serves.
#[test]
fn a_promotion_replaces_the_broken_json_of_a_channel() {
    let source = Source::new();
    with_images(&source, &["1.0.4"]);
    for damage in [remove as Damage, corrupt as Damage] {
        let registry = Registry::start();
        let store = store(&registry);
        publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
        let promote = || run(release().args(["promote", "--from", "nightly", "--to", "stable", "--store", &store]));
        promote().ends(0);
        publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
        let (before, blobs) = digests(&registry, RELEASES, "stable");
        damage(&registry, &(RELEASES.to_owned(), blobs[0].clone(), None));
        promote().ends(0);
        assert_eq!(crate::support::published::record(&registry, "stable", "previous"), Some(before));
    }
}

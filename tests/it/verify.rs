//! Verification of a release: every byte and every reference is checked, and every problem is named.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::files_below;
use crate::support::programs::{Run, Source, alga, release, resolve, run};
use crate::support::published::{
    RELEASES, complete, complete_from, digest_of, publish, put_image, rewrite_release, served, store, undescribed,
    with_images, writes,
};
use crate::support::registry::{Action, Auth, Fault, Quirks, Registry, Setup};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn verify(registry: &Registry, reference: &str, more: &[&str]) -> Run {
    alga(&[&["verify", reference, "--store", &store(registry)], more].concat())
}

/// Returns the checks with one outcome: kind, name, aspect.
fn checks(report: &Value, outcome: &str) -> BTreeSet<(String, String, String)> {
    let word = |check: &Value, key: &str| check[key].as_str().expect("text").to_owned();
    let releases = report["releases"].as_array().expect("releases");
    let checks = releases.iter().flat_map(|release| release["checks"].as_array().expect("checks"));
    let wanted = checks.filter(|check| check["outcome"] == outcome);
    wanted.map(|check| (word(check, "kind"), word(check, "name"), word(check, "aspect"))).collect()
}

fn failed(run: &Run) -> BTreeSet<(String, String, String)> {
    checks(&run.json(), "failed")
}

fn named(kind: &str, name: &str, aspect: &str) -> (String, String, String) {
    (kind.to_owned(), name.to_owned(), aspect.to_owned())
}

#[test]
fn a_complete_release_is_verified_without_writing() {
    let registry = complete().1;
    registry.clear_log();
    let run = verify(&registry, "nightly", &["--output", "json"]).ends(0);
    assert_eq!((writes(&registry), run.json()["ok"].clone()), (0, true.into()));
    let ok = checks(&run.json(), "ok");
    for (kind, name, aspect) in [
        ("channel", "nightly", "manifest"),
        ("channel", "nightly", "tag"),
        ("release", "1.0.3", "content"),
        ("release", "1.0.3", "agrees"),
        ("release", "1.0.3", "tag"),
        ("chart", "sebastian", "content"),
        ("chart", "sebastian", "loads"),
        ("chart", "sebastian", "pin"),
        ("chart", "sebastian", "tag"),
        ("bundle", "alga-appliance-config", "unpacks"),
        ("bundle", "alga-core.single-node.yaml", "values"),
        ("image", "algaCore", "manifest"),
        ("image", "algaCore", "content"),
        ("control-plane", "controlPlane", "manifest"),
    ] {
        assert!(ok.contains(&named(kind, name, aspect)), "{kind} {name} {aspect}: {ok:#?}");
    }
    assert_eq!(checks(&run.json(), "not-checked"), [named("chart", "cert-manager", "manifest")].into());
    for reference in ["1.0.3", &registry.tags(RELEASES)["1.0.3"], &registry.tags(RELEASES)["nightly"]] {
        let table = verify(&registry, reference, &[]).ends(0).stdout;
        assert!(table.contains(": verified ") && !table.contains("FAILED"), "{table}");
    }
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

/// Returns the manifests of a repository and the blobs that they name: digest, and media type for a manifest.
fn contents(registry: &Registry, repository: &str) -> BTreeSet<(String, Option<String>)> {
    let mut contents = BTreeSet::new();
    for digest in registry.tags(repository).into_values() {
        let (media_type, bytes) = registry.manifest(repository, &digest).expect("a manifest");
        let manifest: Value = serde_json::from_slice(&bytes).expect("JSON");
        let layers = manifest["layers"].as_array().expect("layers");
        for blob in layers.iter().chain([&manifest["config"]]) {
            contents.insert((blob["digest"].as_str().expect("a digest").to_owned(), None));
        }
        contents.insert((digest, Some(media_type)));
    }
    contents
}

#[test]
fn a_flipped_byte_of_anything_in_a_registry_is_found_and_named() {
    let registry = complete().1;
    let mut count = 0;
    for repository in registry.repositories() {
        for (digest, media_type) in contents(&registry, &repository) {
            let bytes = match &media_type {
                Some(_) => registry.manifest(&repository, &digest).expect("a manifest").1,
                None => registry.blob(&repository, &digest).expect("a blob"),
            };
            let put = |bytes: &[u8]| match &media_type {
                Some(media_type) => registry.put_manifest(&repository, None, &digest, media_type, bytes),
                None => registry.put_blob(&repository, &digest, bytes),
            };
            // The blobs of images are gigabytes. A registry verifies them, so only their existence is checked, by
            // digest.
            let of_image = media_type.is_none() && !repository.contains("charts/") && !repository.contains("-config");
            if of_image && repository != RELEASES {
                registry.remove_blob(&repository, &digest);
            } else {
                put(&flipped(&bytes, bytes.len() / 2));
            }
            let run = verify(&registry, "nightly", &["--output", "json"]).ends(3);
            let report = run.json().to_string();
            let name = repository.trim_start_matches("org/");
            assert!(!failed(&run).is_empty() && report.contains(name), "{repository} {digest}: {report}");
            assert!(report.contains(&digest), "{repository} {digest}: {report}");
            put(&bytes);
            count += 1;
        }
    }
    // Five charts and the bundle, the release and the channel with one JSON, five images.
    assert_eq!(count, 6 * 3 + 2 + 1 + 5 * 3);
    verify(&registry, "nightly", &[]).ends(0);
}

#[test]
fn a_flipped_byte_of_any_blob_of_a_layout_is_found_and_named() {
    let source = Source::new();
    let layout = source.layout();
    source.publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &layout]).ends(0);
    let arguments = ["verify", "nightly", "--offline", "--output", "json", "--store", &layout];
    alga(&arguments).ends(0);
    let blobs = files_below(&source.store()).into_iter().filter(|(name, _)| name.contains("/blobs/sha256/"));
    let blobs: Vec<(PathBuf, Vec<u8>)> = blobs.map(|(name, bytes)| (source.store().join(name), bytes)).collect();
    assert_eq!(blobs.len(), 6 * 3 + 2 + 1);
    for (path, bytes) in blobs {
        for at in [0, bytes.len() - 1] {
            std::fs::write(&path, flipped(&bytes, at)).expect("written");
            let run = alga(&arguments).ends(3);
            let hex = path.file_name().expect("a name").to_string_lossy().into_owned();
            let report = run.json();
            assert!(!failed(&run).is_empty() && report.to_string().contains(&hex), "{}: {report:#}", path.display());
        }
        std::fs::remove_file(&path).expect("removed");
        alga(&arguments).ends(3);
        std::fs::write(&path, bytes).expect("written");
    }
    alga(&arguments).ends(0);
}

#[test]
fn a_missing_tag_is_reported_before_the_artifact_is_deleted() {
    let registry = complete().1;
    let channel = registry.tags(RELEASES)["nightly"].clone();
    for (repository, tag, check) in [
        (RELEASES, format!("nightly-1-{}", &channel[7..15]), named("channel", "nightly", "tag")),
        (RELEASES, "1.0.3".to_owned(), named("release", "1.0.3", "tag")),
        ("org/charts/temporal", "0.1.0".to_owned(), named("chart", "temporal", "tag")),
        ("org/alga-appliance-config", "1.0.3".to_owned(), named("bundle", "alga-appliance-config", "tag")),
    ] {
        let digest = registry.tags(repository)[&tag].clone();
        registry.remove_tag(repository, &tag);
        let run = verify(&registry, "nightly", &["--output", "json"]).ends(3);
        assert_eq!(failed(&run), [check.clone()].into(), "{tag}");
        registry.put_manifest(repository, Some(&tag), &digest_of(b"{}"), MANIFEST, b"{}");
        assert_eq!(failed(&verify(&registry, "nightly", &["--output", "json"]).ends(3)), [check].into(), "{tag}");
        registry.tag(repository, &tag, &digest);
    }
    verify(&registry, "nightly", &[]).ends(0);
}

#[test]
fn a_release_with_another_chart_is_found_although_every_digest_is_right() {
    let registry = complete().1;
    let (from, to) = ("org/charts/temporal-worker", "org/charts/temporal");
    let digest = registry.tags(from)["0.1.0"].clone();
    for (digest, media_type) in contents(&registry, from) {
        match media_type {
            None => registry.put_blob(to, &digest, &registry.blob(from, &digest).expect("a blob")),
            Some(media_type) => {
                let (_, bytes) = registry.manifest(from, &digest).expect("a manifest");
                registry.put_manifest(to, Some("0.1.0"), &digest, &media_type, &bytes);
            }
        }
    }
    rewrite_release(&registry, |release| release["chartDigests"]["temporal"] = digest.into());
    let run = verify(&registry, "1.0.3", &["--output", "json"]).ends(3);
    let expected = [named("chart", "temporal", "loads"), named("chart", "temporal", "pin")];
    assert_eq!(failed(&run), expected.into());
    run.says(&["chart temporal loads", "chart temporal pin"]);
}

#[test]
fn the_bundle_and_the_release_must_agree() {
    let registry = complete().1;
    rewrite_release(&registry, |release| {
        release["profileValues"]["alga-core.single-node.yaml"] = "other: values\n".into();
        release["charts"]["cert-manager"] = "v9.9.9".into();
        release["images"].as_object_mut().expect("images").remove("emailService");
    });
    let expected = [
        named("bundle", "alga-core.single-node.yaml", "values"),
        named("chart", "cert-manager", "pin"),
        named("release", "1.0.3", "agrees"),
    ];
    assert_eq!(failed(&verify(&registry, "1.0.3", &["--output", "json"]).ends(3)), expected.into());
}

#[test]
fn a_chart_or_bundle_that_does_not_unpack_is_found_although_every_digest_is_right() {
    for (repository, pointer, check) in [
        ("org/charts/temporal", "/chartDigests/temporal", named("chart", "temporal", "loads")),
        ("org/alga-appliance-config", "/config/digest", named("bundle", "alga-appliance-config", "unpacks")),
    ] {
        let registry = complete().1;
        let (tag, digest) = registry.tags(repository).into_iter().next().expect("a tag");
        let (_, bytes) = registry.manifest(repository, &digest).expect("a manifest");
        let mut manifest: Value = serde_json::from_slice(&bytes).expect("JSON");
        let layer = b"\x1f\x8b no archive";
        registry.put_blob(repository, &digest_of(layer), layer);
        let blob = &mut manifest["layers"][0];
        (blob["digest"], blob["size"]) = (digest_of(layer).into(), layer.len().into());
        let bytes = serde_json::to_vec(&manifest).expect("JSON");
        registry.put_manifest(repository, Some(&tag), &digest_of(&bytes), MANIFEST, &bytes);
        rewrite_release(&registry, |release| {
            *release.pointer_mut(pointer).expect("a digest") = digest_of(&bytes).into();
        });
        let run = verify(&registry, "1.0.3", &["--output", "json"]).ends(3);
        assert!(failed(&run).contains(&check), "{check:?}: {:#?}", failed(&run));
    }
}

#[test]
fn the_overlay_must_read_the_names_of_the_values() {
    let (source, registry) = (Source::new(), Registry::start());
    source.write("alga-release.yaml", "valuesNames: hashed\n");
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    let name = served(&registry, "1.0.3")["valuesConfigMaps"]["alga-core"].as_str().expect("a name").to_owned();
    let report = verify(&registry, "1.0.3", &["--output", "json"]).ends(0).json();
    let ok = checks(&report, "ok");
    assert!(
        ok.contains(&named("bundle", &name, "values")) && ok.contains(&named("release", &name, "values")),
        "{ok:#?}"
    );
    let other = "appliance-values-alga-core-000000000000";
    rewrite_release(&registry, |release| {
        release["valuesConfigMaps"]["alga-core"] = other.into();
        let readers = release["appliance"]["values"].as_array_mut().expect("a list");
        let reader = readers.iter_mut().find(|reader| reader["release"] == "alga-core").expect("a reader");
        reader["configMap"] = other.into();
    });
    let run = verify(&registry, "1.0.3", &["--output", "json"]).ends(3);
    assert_eq!(failed(&run), [named("bundle", &name, "values")].into());
    assert!(checks(&run.json(), "not-checked").contains(&named("release", other, "values")), "{}", run.stdout);
    rewrite_release(&registry, |release| {
        undescribed(release);
        release.as_object_mut().expect("an object").remove("valuesConfigMaps");
    });
    assert_eq!(
        failed(&verify(&registry, "1.0.3", &["--output", "json"]).ends(3)).len(),
        6,
        "the appliance would make plain ones"
    );
}

#[test]
fn a_release_of_an_older_publisher_is_verified_as_far_as_possible() {
    let source = Source::new();
    source.write("alga-release.yaml", "valuesNames: plain\n");
    let registry = complete_from(source).1;
    rewrite_release(&registry, |release| {
        undescribed(release);
        let object = release.as_object_mut().expect("an object");
        for key in ["chartDigests", "imageDigests", "profileValues"] {
            object.remove(key);
        }
        object["charts"].as_object_mut().expect("charts").remove("cert-manager");
        object.insert("controlPlane".to_owned(), "62cdce38".into());
    });
    let report = verify(&registry, "1.0.3", &["--output", "json"]).ends(0).json();
    let not_checked = checks(&report, "not-checked");
    for (kind, name) in [("control-plane", "controlPlane"), ("image", "algaCore"), ("image", "emailService")] {
        assert!(not_checked.contains(&named(kind, name, "manifest")), "known by tag only: {not_checked:#?}");
    }
    assert!(checks(&report, "ok").contains(&named("chart", "temporal", "loads")));
    let chart = registry.tags("org/charts/temporal")["0.1.0"].clone();
    registry.remove_manifest("org/charts/temporal", &chart);
    assert_eq!(
        failed(&verify(&registry, "1.0.3", &["--output", "json"]).ends(3)),
        [named("chart", "temporal", "manifest")].into()
    );
}

#[test]
fn every_channel_that_serves_a_release_is_verified() {
    let registry = Registry::start();
    let all = |more: &[&str]| alga(&[&["verify", "--all-channels", "--store", &store(&registry)], more].concat());
    all(&[]).ends(3).says(&["no channel serves anything"]);
    let source = Source::new();
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    let report = all(&["--output", "json"]).ends(0).json();
    assert!(checks(&report, "not-checked").contains(&named("release", "stable", "manifest")), "{report:#}");
    with_images(&source, &["1.0.4"]);
    alga(&["promote", "--from", "nightly", "--to", "stable", "--store", &store(&registry)]).ends(0);
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    all(&[]).ends(0);
    let bundle = registry.tags("org/alga-appliance-config")["1.0.4"].clone();
    registry.remove_manifest("org/alga-appliance-config", &bundle);
    let run = all(&[]).ends(3);
    assert!(run.stderr.contains("nightly (bundle") && !run.stderr.contains("stable ("), "{}", run.stderr);
    verify(&registry, "stable", &["--all-channels"]).ends(9);
}

#[test]
fn a_channel_that_another_tool_moved_back_fails_until_a_roll_back_records_the_move() {
    let (source, registry) = (Source::new(), Registry::start());
    let store = store(&registry);
    with_images(&source, &["1.0.4", "1.0.5"]);
    for version in ["1.0.3", "1.0.4", "1.0.5"] {
        publish(&source, &registry, version, "nightly", &["--by", "alice"]).ends(0);
    }
    verify(&registry, "nightly", &[]).ends(0);
    let state = source.path("../state.json").display().to_string();
    let follow = ["resolve", "nightly", "--store", &store, "--state", &state];
    resolve(&follow).ends(0);
    let tags = registry.tags(RELEASES);
    let first = tags.iter().find(|(tag, _)| tag.starts_with("nightly-1-")).expect("a keep-alive tag").1;
    registry.tag(RELEASES, "nightly", first);
    let run = verify(&registry, "nightly", &["--output", "json"]).ends(3);
    assert_eq!(failed(&run), [named("channel", "nightly", "agrees")].into());
    for words in ["serves move 1, but move 3 is recorded (to 1.0.5, by alice, ", "rollback nightly --to 1.0.3"] {
        assert!(run.stdout.contains(words), "{words}: {}", run.stdout);
    }
    resolve(&follow).ends(3);
    alga(&["rollback", "nightly", "--to", "1.0.3", "--reason", "1.0.5 fails", "--store", &store]).ends(0);
    verify(&registry, "nightly", &[]).ends(0);
    resolve(&follow).ends(0);
    let again = alga(&["rollback", "nightly", "--to", "1.0.3", "--reason", "1.0.5 fails", "--store", &store]).ends(0);
    assert!(again.stdout.starts_with("nothing to do"), "{}", again.stdout);
}

#[test]
fn a_release_is_read_anonymously() {
    let (username, password) = ("alice", "s3cret-token");
    let auth = Auth::Token { realm: None, user: Some((username.to_owned(), password.to_owned())) };
    let quirks = Quirks { private: true, ..Quirks::default() };
    let registry = Registry::with(Setup { auth, quirks, ..Setup::default() });
    let (source, store) = (Source::new(), store(&registry));
    let environment = [("ALGA_REGISTRY_USERNAME", username), ("ALGA_REGISTRY_TOKEN", password)];
    source.write("alga-release.yaml", "publicRead: false\n");
    source.publish_in(&["--version", "1.0.3", "--channel", "nightly", "--store", &store], &environment).ends(0);
    for repository in registry.repositories().iter().filter(|name| !name.ends_with("-config")) {
        registry.publish(repository);
    }
    let verify =
        |more: &[&str]| run(release().args(["verify", "nightly", "--store", &store]).args(more).envs(environment));
    let run = verify(&["--output", "json"]).ends(3);
    assert_eq!(failed(&run), [named("bundle", "alga-appliance-config", "manifest")].into());
    assert!(run.stdout.contains("the public cannot read it") && !run.stdout.contains(password), "{}", run.stdout);
    verify(&["--config", &source.path("alga-release.yaml").display().to_string()]).ends(0);
}

#[test]
fn offline_is_only_for_directories_and_sends_no_request() {
    let registry = complete().1;
    verify(&registry, "nightly", &["--offline"]).ends(9).says(&["offline: it is a registry", "oci-layout:"]);
    let (source, elsewhere) = (Source::new(), Registry::start());
    let digest = put_image(&elsewhere, "library/redis", "7");
    let redis = format!("{}/library/redis@{digest}", elsewhere.address());
    source.write("alga-release.yaml", &format!("extraImages: ['{redis}']\n"));
    let layout = source.layout();
    source.publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &layout]).ends(0);
    let verify = |more: &[&str]| alga(&[&["verify", "nightly", "--output", "json", "--store", &layout], more].concat());
    elsewhere.clear_log();
    let report = verify(&["--offline"]).ends(0).json();
    assert!(checks(&report, "not-checked").contains(&named("extra-image", &redis, "manifest")));
    assert_eq!(elsewhere.log().len(), 0);
    assert!(checks(&verify(&[]).ends(0).json(), "ok").contains(&named("extra-image", &redis, "manifest")));
    elsewhere.remove_manifest("library/redis", &digest);
    assert_eq!(failed(&verify(&[]).ends(3)), [named("extra-image", &redis, "manifest")].into());
}

#[test]
fn an_unreachable_store_is_a_temporary_failure_and_a_missing_release_is_named() {
    let registry = complete().1;
    verify(&registry, "9.9.9", &[]).ends(9).says(&["9.9.9"]);
    registry.fail(Fault::every("GET", "/charts/", Action::status(503, "")));
    verify(&registry, "nightly", &[]).ends(75);
}

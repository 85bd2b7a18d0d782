//! Copies of a whole release between stores: every digest stays, or bundle and release are rewritten. Only missing
//! content is sent.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::docker_registry::DockerRegistry;
use crate::support::images::Image;
use crate::support::programs::{self, Run, Source, alga, resolve, run};
use crate::support::published::{RELEASES, digest_of, publish, record, served, state, store, with_images, writes};
use crate::support::registry::{Quirks, Registry, Setup};
use crate::support::release_with_images::{IMAGES, put, refer, release};
use crate::support::{files_below, require};

const SIGNATURE: &str = "application/vnd.example.signature.v1";

fn copy(from: &str, reference: &str, to: &str, more: &[&str]) -> Run {
    alga(&[&["copy", reference, to, "--store", from], more].concat())
}

/// Returns every tag below `org/` except channel tags.
fn versions(registry: &Registry) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut all = state(registry);
    for tags in all.values_mut() {
        tags.retain(|tag, _| !["nightly", "stable"].iter().any(|channel| tag.starts_with(channel)));
    }
    all
}

fn digest<'a>(json: &'a Value, pointer: &str) -> &'a str {
    json.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer}: {json:#}"))
}

#[test]
fn a_directory_has_all_of_a_release_with_the_same_digests() {
    let (registry, elsewhere) = (Registry::start(), Registry::start());
    let (source, redis) = release(&registry, &elsewhere);
    let (from, to) = (store(&registry), source.layout());
    let copied = copy(&from, "nightly", &to, &["--output", "json"]).ends(0).json();
    assert_eq!(copied["digest"].as_str(), registry.tags(RELEASES).get("1.0.3").map(String::as_str));
    assert_eq!(
        copied["left"].as_array().map(Vec::len),
        Some(1),
        "cert-manager's chart is from another publisher: {copied:#}"
    );
    for (repository, tag) in IMAGES {
        let index = std::fs::read_to_string(source.store().join(repository).join("index.json")).expect("an index");
        assert!(index.contains(&registry.tags(&format!("org/{repository}"))[tag]), "{index}");
    }
    let kept = format!("_external/{}/library/redis", elsewhere.address().replace(':', "_"));
    let index = std::fs::read_to_string(source.store().join(kept).join("index.json")).expect("an index");
    assert!(index.contains(&redis) && index.contains("7.4.1-alpine"), "{index}");
    // Channels are only copied on request.
    let releases = std::fs::read_to_string(source.store().join("alga-appliance-release/index.json")).expect("an index");
    assert!(!releases.contains("nightly"), "{releases}");
    alga(&["verify", "1.0.3", "--store", &to, "--offline"]).ends(0);
    // A second copy only reads.
    let before = files_below(&source.store());
    copy(&from, "1.0.3", &to, &[]).ends(0).prints(&["nothing to do"]);
    assert_eq!(files_below(&source.store()), before);
}

#[test]
fn an_archive_does_not_depend_on_the_time_and_the_source_of_the_copy() {
    let (registry, elsewhere) = (Registry::start(), Registry::start());
    let (source, _) = release(&registry, &elsewhere);
    let archive = |name: &str| format!("oci-archive:{}", source.path(name).display());
    copy(&store(&registry), "nightly", &archive("a.tar"), &[]).ends(0);
    copy(&store(&registry), "1.0.3", &source.layout(), &[]).ends(0);
    copy(&source.layout(), "1.0.3", &archive("b.tar"), &[]).ends(0);
    copy(&archive("a.tar"), "1.0.3", &archive("c.tar"), &[]).ends(0);
    let bytes = |name: &str| digest_of(&std::fs::read(source.path(name)).expect("an archive"));
    assert_eq!(bytes("a.tar"), bytes("b.tar"));
    assert_eq!(bytes("a.tar"), bytes("c.tar"));
    alga(&["verify", "1.0.3", "--store", &archive("a.tar"), "--offline"]).ends(0);
    copy(&archive("a.tar"), "1.0.3", &archive("d.tar"), &["--channel", "stable"]).ends(9).says(&["no channels"]);
}

#[test]
fn an_archive_that_holds_something_else_is_replaced_only_by_force() {
    let (registry, elsewhere) = (Registry::start(), Registry::start());
    let (source, _) = release(&registry, &elsewhere);
    let (store, path) = (store(&registry), source.path("release.tar"));
    let archive = format!("oci-archive:{}", path.display());
    copy(&store, "1.0.3", &archive, &[]).ends(0).prints(&["copied 1.0.3"]);
    let whole = std::fs::read(&path).expect("an archive");
    let written = std::fs::metadata(&path).and_then(|file| file.modified()).expect("a time");
    for more in [&[][..], &["--dry-run"], &["--force"]] {
        copy(&store, "1.0.3", &archive, more).ends(0).prints(&["nothing to do: ", "already has 1.0.3"]);
    }
    assert_eq!(std::fs::metadata(&path).and_then(|file| file.modified()).expect("a time"), written);
    let mut others = vec![b"notes".to_vec(), whole[..whole.len() - 512].to_vec(), Vec::new()];
    // The same length, and another index.
    let mut other = whole.clone();
    other[2000] ^= 1;
    others.push(other);
    for other in others {
        std::fs::write(&path, &other).expect("written");
        for more in [&[][..], &["--dry-run"]] {
            let refused = copy(&store, "1.0.3", &archive, more).ends(3);
            refused.says(&[&format!("{archive} exists and holds something else"), "--force"]);
            assert_eq!(std::fs::read(&path).expect("a file"), other);
        }
        copy(&store, "1.0.3", &archive, &["--force"]).ends(0).prints(&["copied 1.0.3"]);
        assert!(std::fs::read(&path).expect("an archive") == whole, "other bytes");
    }
    let target = Registry::start();
    let to = format!("{}/org", target.address());
    copy(&store, "1.0.3", &to, &["--force"]).ends(9).says(&["--force is only for an archive"]);
    assert_eq!(target.log().len(), 0);
}

#[test]
fn a_second_registry_with_the_same_prefix_path_has_the_same_tags() {
    let (registry, elsewhere, target) = (Registry::start(), Registry::start(), Registry::start());
    let (_source, redis) = release(&registry, &elsewhere);
    let copied = copy(&store(&registry), "nightly", &store(&target), &["--output", "json"]).ends(0).json();
    let control_plane = "org/alga-appliance-control-plane".to_owned();
    let mut expected = versions(&registry);
    // The release names its control plane only by digest, so the release's version is the tag that keeps the image.
    let plane = expected[&control_plane]["cp-1"].clone();
    expected.insert(control_plane, BTreeMap::from([("1.0.3".to_owned(), plane)]));
    assert_eq!(versions(&target), expected);
    let left: Vec<&str> =
        copied["left"].as_array().expect("a list").iter().map(|left| digest(left, "/reference")).collect();
    assert!(left.iter().any(|left| left.ends_with(&redis)), "a registry keeps only its own images: {left:?}");
    target.clear_log();
    copy(&store(&registry), "1.0.3", &store(&target), &[]).ends(0).prints(&["nothing to do"]);
    assert_eq!(writes(&target), 0);
}

#[test]
fn a_channel_of_another_prefix_needs_a_rewritten_release() {
    let (registry, elsewhere, target) = (Registry::start(), Registry::start(), Registry::start());
    let (source, redis) = release(&registry, &elsewhere);
    let archive = format!("oci-archive:{}", source.path("release.tar").display());
    copy(&store(&registry), "nightly", &archive, &[]).ends(0);
    let to = format!("{}/mirror", target.address());
    let refused = copy(&archive, "1.0.3", &to, &["--channel", "stable"]).ends(3);
    refused.says(&[&store(&registry), "--rewrite-prefix"]);
    assert_eq!(target.repositories(), Vec::<String>::new());
    let rewriting = ["--channel", "stable", "--rewrite-prefix", "--reason", "by disk"];
    let copied = copy(&archive, "1.0.3", &to, &[&rewriting[..], &["--output", "json"]].concat()).ends(0).json();
    let releases = "mirror/alga-appliance-release";
    let read = |tag: &str| {
        let (_, manifest) = target.manifest(releases, tag).expect("a manifest");
        let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
        let json = target.blob(releases, digest(&manifest, "/config/digest")).expect("a blob");
        (manifest, String::from_utf8(json).expect("text"))
    };
    let (manifest, json) = read("stable");
    let old = served(&registry, "1.0.3");
    let new: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(new["chartDigests"], old["chartDigests"]);
    assert_eq!(
        new["copiedFrom"],
        format!("{}/alga-appliance-release@{}", store(&registry), registry.tags(RELEASES)["1.0.3"])
    );
    assert_ne!(new["config"]["digest"], old["config"]["digest"]);
    let without_origin = json.replace(digest(&new, "/copiedFrom"), "");
    assert!(!without_origin.contains(&registry.address()) && !without_origin.contains(&elsewhere.address()), "{json}");
    let external = format!("external/{}/library/redis", elsewhere.address().replace(':', "_"));
    assert_eq!(target.tags(&format!("mirror/{external}"))["7.4.1-alpine"], redis);
    assert!(json.contains(&format!("image: {to}/{external}:7.4.1-alpine")), "{json}");
    let annotation = |key: &str| manifest["annotations"][format!("vnd.alga.appliance.channel.{key}")].as_str();
    assert_eq!((annotation("kind"), annotation("reason")), (Some("copy"), Some("by disk")));
    assert_eq!(annotation("release"), copied["digest"].as_str());
    alga(&["verify", "stable", "--store", &to]).ends(0);
    resolve(&["resolve", "stable", "--store", &to]).ends(0);
    target.clear_log();
    copy(&archive, "1.0.3", &to, &rewriting).ends(0).prints(&["nothing to do"]);
    assert_eq!(writes(&target), 0);
    // The bytes do not depend on the target.
    let rewritten = |directory: &str| {
        let to = format!("oci-layout:{}", source.path(directory).display());
        let prefix = format!("--rewrite-prefix={}/mirror", target.address());
        copy(&store(&registry), "nightly", &to, &[&prefix, "--output", "json"]).ends(0).json()["digest"].clone()
    };
    assert_eq!(rewritten("one"), copied["digest"]);
    assert_eq!(rewritten("two"), copied["digest"]);
}

#[test]
fn signatures_are_copied_and_found_without_the_referrers_api() {
    let (registry, elsewhere) = (Registry::start(), Registry::start());
    let (source, _) = release(&registry, &elsewhere);
    let chart = registry.tags("org/charts/temporal")["0.1.0"].clone();
    let signature = refer(&registry, "org/charts/temporal", &chart, SIGNATURE);
    let on_signature = refer(&registry, "org/charts/temporal", &signature, SIGNATURE);
    let core = registry.tags("org/alga-psa-ee")["62cdce38"].clone();
    let cosign = format!("sha256-{}.sig", &core[7..]);
    let by_tag = put(&registry, "org/alga-psa-ee", Some(&cosign), &Image::new("", &[10]));
    let layout = source.layout();
    copy(&store(&registry), "nightly", &layout, &[]).ends(0).prints(&["3 signatures and other referrers"]);
    for quirks in [Quirks::default(), Quirks::distribution2(), Quirks::ghcr()] {
        let lists = quirks.name == "specification";
        let target = Registry::with(Setup {
            quirks: Quirks { private: false, must_exist: false, ..quirks },
            ..Setup::default()
        });
        copy(&layout, "1.0.3", &store(&target), &[]).ends(0);
        assert_eq!(target.tags("org/alga-psa-ee")[&cosign], by_tag, "{}", target.address());
        for (subject, referrer) in [(&chart, &signature), (&signature, &on_signature)] {
            assert!(target.manifest("org/charts/temporal", referrer).is_some());
            let list = target.tags("org/charts/temporal").get(&format!("sha256-{}", &subject[7..])).cloned();
            assert_eq!(list.is_none(), lists, "{list:?}");
            if let Some(list) = list {
                let (_, index) = target.manifest("org/charts/temporal", &list).expect("an index");
                let index: Value = serde_json::from_slice(&index).expect("JSON");
                assert_eq!(index["manifests"][0]["digest"].as_str(), Some(referrer.as_str()));
                assert_eq!(index["manifests"][0]["artifactType"], SIGNATURE);
            }
        }
        target.clear_log();
        copy(&layout, "1.0.3", &store(&target), &[]).ends(0).prints(&["nothing to do"]);
        assert_eq!(writes(&target), 0);
        // A signature that was added later is copied later.
        let late = refer(&target, "org/charts/temporal", &chart, "application/vnd.example.late.v1");
        if lists {
            let back = format!("oci-layout:{}", source.path("back").display());
            copy(&store(&target), "1.0.3", &back, &[]).ends(0);
            let index = std::fs::read_to_string(source.path("back/charts/temporal/index.json")).expect("an index");
            assert!(index.contains(&late) && index.contains(&signature) && index.contains(&on_signature), "{index}");
        }
    }
}

#[test]
fn one_platform_of_an_image_is_enough_for_a_directory() {
    let (registry, elsewhere) = (Registry::start(), Registry::start());
    let (source, _) = release(&registry, &elsewhere);
    let layout = source.layout();
    copy(&store(&registry), "nightly", &layout, &["--platform", "linux/amd64"]).ends(0);
    let plane = source.store().join("alga-appliance-control-plane");
    let blobs = files_below(&plane.join("blobs/sha256")).len();
    assert_eq!(blobs, 4, "the index, and one manifest with its config and its layer");
    alga(&["verify", "1.0.3", "--store", &layout, "--offline"]).ends(0).prints(&["1 of 2 platforms"]);
    let all = format!("oci-layout:{}", source.path("all").display());
    copy(&store(&registry), "nightly", &all, &[]).ends(0);
    assert_eq!(
        files_below(&source.path("all/alga-appliance-control-plane/blobs/sha256")).len(),
        6,
        "they share their layer"
    );
    // The other platforms are copied later.
    copy(&store(&registry), "nightly", &layout, &[]).ends(0);
    assert_eq!(files_below(&plane.join("blobs/sha256")).len(), 6, "they share their layer");
    let none = copy(&store(&registry), "nightly", &layout, &["--platform", "linux/s390x"]).ends(3);
    none.says(&["linux/s390x", "control plane"]);
}

#[test]
fn without_images_copies_no_images() {
    let (registry, elsewhere) = (Registry::start(), Registry::start());
    let (source, _) = release(&registry, &elsewhere);
    let copied = copy(&store(&registry), "nightly", &source.layout(), &["--without-images"]).ends(0);
    copied.says(&["not copied: image algaCore", "the copy excludes images"]);
    assert!(!source.store().join("alga-psa-ee").exists() && !source.store().join("_external").exists());
}

#[test]
fn an_incomplete_release_is_refused_and_leaves_no_tag() {
    let (registry, elsewhere, target) = (Registry::start(), Registry::start(), Registry::start());
    let (source, _) = release(&registry, &elsewhere);
    let chart = registry.tags("org/charts/temporal")["0.1.0"].clone();
    let core = registry.tags("org/alga-psa-ee")["62cdce38"].clone();
    registry.remove_manifest("org/charts/temporal", &chart);
    registry.remove_manifest("org/alga-psa-ee", &core);
    for to in [store(&target), source.layout()] {
        let refused = copy(&store(&registry), "nightly", &to, &[]).ends(3);
        refused.says(&["chart temporal", &chart, "image algaCore", &core, "not complete"]);
    }
    assert_eq!(target.repositories(), Vec::<String>::new());
    assert!(!source.store().exists());
}

#[test]
fn a_contradictory_release_is_not_copied() {
    let (registry, elsewhere, target) = (Registry::start(), Registry::start(), Registry::start());
    let (_source, _) = release(&registry, &elsewhere);
    // The release names another chart than the one under its digest.
    let (_, manifest) = registry.manifest(RELEASES, "1.0.3").expect("a release");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let old = digest(&manifest, "/config/digest").to_owned();
    let json = String::from_utf8(registry.blob(RELEASES, &old).expect("a blob")).expect("text");
    let (temporal, core) =
        (registry.tags("org/charts/temporal")["0.1.0"].clone(), registry.tags("org/charts/sebastian")["0.0.1"].clone());
    let (media_type, chart) = registry.manifest("org/charts/sebastian", &core).expect("a chart");
    let named: Value = serde_json::from_slice(&chart).expect("JSON");
    for blob in [digest(&named, "/config/digest"), digest(&named, "/layers/0/digest")] {
        registry.put_blob("org/charts/temporal", blob, &registry.blob("org/charts/sebastian", blob).expect("a blob"));
    }
    registry.put_manifest("org/charts/temporal", None, &core, &media_type, &chart);
    let forged = json.replace(&temporal, &core);
    let text = serde_json::to_string(&manifest).expect("JSON").replace(&old, &digest_of(forged.as_bytes()));
    let text = text.replace(&format!("\"size\":{}", json.len()), &format!("\"size\":{}", forged.len()));
    registry.put_blob(RELEASES, &digest_of(forged.as_bytes()), forged.as_bytes());
    registry.put_manifest(RELEASES, Some("1.0.3-forged"), &digest_of(text.as_bytes()), &media_type, text.as_bytes());
    copy(&store(&registry), "1.0.3-forged", &store(&target), &[]).ends(3).says(&["chart temporal", "not complete"]);
    assert_eq!(target.repositories(), Vec::<String>::new());
}

#[test]
fn a_dry_run_writes_nothing_and_reports_the_size_of_the_copy() {
    let (registry, elsewhere, target) = (Registry::start(), Registry::start(), Registry::start());
    let (source, _) = release(&registry, &elsewhere);
    let more = ["--rewrite-prefix", "--channel", "stable", "--output", "json"];
    let to = store(&target);
    let dry = copy(&store(&registry), "nightly", &to, &[&more[..], &["--dry-run"]].concat()).ends(0).json();
    assert_eq!((writes(&target), target.repositories().len()), (0, 0));
    let plan = digest(&dry, "/planDigest");
    let wrong = copy(&store(&registry), "nightly", &to, &[&more[..], &["--if-plan", &digest_of(b"")]].concat()).ends(3);
    wrong.says(&[plan]);
    let copied =
        copy(&store(&registry), "nightly", &to, &[&more[..], &["--if-plan", plan, "--if-current", "none"]].concat());
    assert_eq!(copied.ends(0).json()["planDigest"], dry["planDigest"]);
    let said = dry["cost"]["requests"].as_u64().expect("a count");
    assert_eq!(writes(&target) as u64, said, "{:#?}", target.lines());
    // `bytes` does not include the channel manifest, whose size depends on the time of the move.
    let received = target.log().iter().map(|request| request.body as u64).sum::<u64>();
    let said = dry["cost"]["bytes"].as_u64().expect("a count");
    assert!((said..said + 4096).contains(&received), "{said} {received}");
    // After the copy, a dry run of the same release reports nothing.
    let again = copy(&store(&registry), "nightly", &to, &[&more[..], &["--dry-run"]].concat()).ends(0).json();
    assert_eq!(
        (&again["hasChanges"], &again["cost"]["bytes"], &again["cost"]["requests"]),
        (&false.into(), &0.into(), &0.into())
    );
    let dry = copy(&store(&registry), "nightly", &source.layout(), &["--dry-run"]).ends(0);
    dry.prints(&["would copy 1.0.3", "to send: ", "nothing was written"]);
    assert!(!source.store().exists());
}

#[test]
fn versions_and_channels_of_the_target_keep_their_rules() {
    let (registry, elsewhere, target) = (Registry::start(), Registry::start(), Registry::start());
    let (source, _) = release(&registry, &elsewhere);
    with_images(&source, &["1.0.4"]);
    let other = Source::new();
    other.append("helm/values.yaml", "\nanother: value\n");
    publish(&other, &target, "1.0.3", "nightly", &[]).ends(0);
    let before = state(&target);
    copy(&store(&registry), "nightly", &store(&target), &[]).ends(3).says(&["already published with other content"]);
    assert_eq!(state(&target), before);
    // A channel only moves forward.
    let layout = source.layout();
    publish(&source, &registry, "1.0.4", "nightly", &["--image-check", "require"]).ends(0);
    copy(&store(&registry), "1.0.4", &layout, &["--channel", "stable"]).ends(0);
    copy(&store(&registry), "1.0.3", &layout, &["--channel", "stable"]).ends(3).says(&["rollback"]);
    let moves = alga(&["history", "stable", "--store", &layout, "--output", "json"]).ends(0).json();
    assert_eq!(moves["moves"].as_array().map(Vec::len), Some(1));
    assert_eq!(moves["moves"][0]["kind"], "copy");
    copy(&store(&registry), "1.0.4", &store(&registry), &[]).ends(9).says(&["cannot copy to"]);
}

#[test]
fn a_promotion_into_another_store_copies_first() {
    let (registry, elsewhere, target) = (Registry::start(), Registry::start(), Registry::start());
    let (_source, _) = release(&registry, &elsewhere);
    let (from, to) = (store(&registry), store(&target));
    let promote = |more: &[&str]| {
        let arguments = ["promote", "--from", "nightly", "--to", "stable", "--store", &from, "--to-store", &to];
        alga(&[&arguments[..], &["--output", "json"], more].concat())
    };
    promote(&[]).ends(3).says(&["--rewrite-prefix"]);
    let dry = promote(&["--rewrite-prefix", "--dry-run"]).ends(0).json();
    assert_eq!((writes(&target), dry["diff"]["hasChanges"].as_bool()), (0, Some(true)));
    let plan = digest(&dry, "/planDigest");
    promote(&["--rewrite-prefix", "--if-plan", &digest_of(b"another")]).ends(3).says(&[plan]);
    promote(&["--rewrite-prefix", "--min-age", "1000w"]).ends(3);
    assert_eq!(writes(&target), 0);
    let moved =
        promote(&["--rewrite-prefix", "--if-plan", plan, "--if-current", "none", "--reason", "friday"]).ends(0).json();
    assert_eq!(record(&target, "stable", "kind").as_deref(), Some("promote"));
    assert_eq!(record(&target, "stable", "from"), Some(format!("{from} nightly")));
    assert_eq!(record(&target, "stable", "release").as_deref(), moved["digest"].as_str());
    alga(&["verify", "stable", "--store", &to]).ends(0);
    target.clear_log();
    let again = promote(&["--rewrite-prefix"]).ends(0).json();
    assert_eq!((&again["hasChanges"], writes(&target)), (&false.into(), 0));
    alga(&["promote", "--from", "nightly", "--to", "stable", "--store", &from, "--rewrite-prefix"]).ends(9);
}

#[test]
fn images_that_a_rewritten_release_pulls_from_elsewhere_are_listed() {
    let Some(helm) = require("helm") else { return };
    let source = Source::new();
    source.publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &source.layout()]).ends(0);
    let (from, to) = (source.layout(), format!("oci-layout:{}", source.path("mirror").display()));
    let arguments = ["copy", "1.0.3", &to, "--store", &from, "--rewrite-prefix=mirror.example/alga", "--dry-run"];
    alga(&arguments).ends(0).says(&["helm is not on the path"]);
    let path = format!("{}:/usr/bin:/bin", helm.parent().expect("a directory").display());
    let listed = run(programs::release().args(arguments).env("PATH", path)).ends(0);
    listed.prints(&["still pulled from elsewhere:", "docker.io/temporalio/auto-setup", "docker.io/edoburu/pgbouncer"]);
}

#[test]
fn a_registry_that_needs_every_platform_refuses_and_no_release_is_left() {
    for target in DockerRegistry::each() {
        let (registry, elsewhere) = (Registry::start(), Registry::start());
        let (source, _) = release(&registry, &elsewhere);
        let layout = source.layout();
        copy(&store(&registry), "nightly", &layout, &["--platform", "linux/amd64"]).ends(0);
        let to = format!("{}/org", target.address());
        let refused = copy(&layout, "1.0.3", &to, &[]).ends(1);
        refused.says(&[
            "image controlPlane: 1 of its platforms are not copied",
            "alga-appliance-control-plane:1.0.3",
            "unknown",
        ]);
        resolve(&["resolve", "1.0.3", "--store", &to]).ends(9).says(&["MANIFEST_UNKNOWN"]);
        // With all platforms, the copy succeeds.
        copy(&store(&registry), "nightly", &layout, &[]).ends(0);
        copy(&layout, "1.0.3", &to, &[]).ends(0);
    }
}

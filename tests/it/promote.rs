//! Promotions and rollbacks: a channel moves only to a release that is approved, complete and newer. It returns to an
//! older release only on request.

use serde_json::Value;

use crate::support::docker_registry::DockerRegistry;
use crate::support::programs::{Run, Source, alga, release, resolve, run};
use crate::support::published::{
    RELEASES, digest_of, manifest, publish, record, served, state, store, undescribed, with_images, writes,
};
use crate::support::registry::{Action, Auth, Fault, Quirks, Registry, Setup, at_once};

/// Runs `alga-release promote --from FROM --to TO`.
fn promote(store: &str, from: &str, to: &str, more: &[&str]) -> Run {
    alga(&[&["promote", "--from", from, "--to", to, "--store", store], more].concat())
}

fn rollback(store: &str, channel: &str, to: &str, more: &[&str]) -> Run {
    alga(&[&["rollback", channel, "--to", to, "--store", store, "--reason", "it fails"], more].concat())
}

/// A registry with 1.0.3 in nightly, and trees for 1.0.4 and 1.0.5.
fn with_nightly() -> (Source, Registry) {
    let (source, registry) = (Source::new(), Registry::start());
    with_images(&source, &["1.0.4", "1.0.5"]);
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    (source, registry)
}

/// Returns the version that the resolver finds for a channel.
fn follows(store: &str, channel: &str) -> String {
    resolve(&["resolve", channel, "--store", store]).ends(0).json()["version"].as_str().expect("a version").to_owned()
}

fn text<'a>(report: &'a Value, key: &str) -> &'a str {
    report[key].as_str().unwrap_or_else(|| panic!("no {key}: {report:#}"))
}

#[test]
fn the_first_promotion_serves_the_same_release_with_only_another_channel() {
    let (_source, registry) = with_nightly();
    let store = store(&registry);
    promote(&store, "nightly", "stable", &["--by", "alice", "--reason", "friday"]).ends(0);
    let json = |tag: &str| {
        let digest = manifest(&registry, tag)["config"]["digest"].as_str().expect("a digest").to_owned();
        String::from_utf8(registry.blob(RELEASES, &digest).expect("a blob")).expect("UTF-8")
    };
    let expected = json("nightly").replacen("\"channel\": \"nightly\"", "\"channel\": \"stable\"", 1);
    assert_ne!(expected, json("nightly"));
    assert_eq!(json("stable"), expected);
    let tags = registry.tags(RELEASES);
    let release = tags["1.0.3"].clone();
    let known =
        [("name", "stable"), ("release", &release), ("sequence", "1"), ("kind", "promote"), ("from", "nightly")];
    for (key, value) in known.into_iter().chain([("by", "alice"), ("reason", "friday")]) {
        assert_eq!(record(&registry, "stable", key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(record(&registry, "stable", "previous"), None);
    assert_eq!(tags[&format!("stable-1-{}", &tags["stable"][7..15])], tags["stable"]);
    assert_eq!(follows(&store, "stable"), "1.0.3");
}

#[test]
fn a_promotion_to_the_served_release_has_nothing_to_do() {
    let (_source, registry) = with_nightly();
    let store = store(&registry);
    promote(&store, "nightly", "stable", &[]).ends(0);
    let before = state(&registry);
    registry.clear_log();
    for more in [&[][..], &["--dry-run"], &["--if-current", "none"]] {
        let again = promote(&store, "nightly", "stable", more).ends(0);
        assert!(again.stdout.starts_with("nothing to do: stable already serves 1.0.3"), "{}", again.stdout);
    }
    assert_eq!((writes(&registry), state(&registry)), (0, before));
}

#[test]
fn a_dry_run_only_reads_and_its_digests_bind_the_promotion() {
    let (source, registry) = with_nightly();
    let store = store(&registry);
    promote(&store, "nightly", "stable", &[]).ends(0);
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    let before = state(&registry);
    registry.clear_log();
    let dry = promote(&store, "nightly", "stable", &["--dry-run", "--output", "json"]).ends(0).json();
    assert_eq!((writes(&registry), state(&registry)), (0, before.clone()));
    let (plan, current) = (text(&dry, "planDigest"), text(&dry["before"], "manifest"));
    assert_eq!(current, before[RELEASES]["stable"]);
    let said = promote(&store, "nightly", "stable", &["--dry-run"]).ends(0).stdout;
    assert!(said.contains(plan) && said.contains(current) && said.contains("from 1.0.3 to 1.0.4"), "{said}");
    let approved = ["--if-plan", plan, "--if-current", current, "--output", "json"];
    let real = promote(&store, "nightly", "stable", &approved).ends(0).json();
    assert_eq!((&real["plan"], text(&real, "digest")), (&dry["plan"], text(&dry, "digest")));
    assert_eq!(record(&registry, "stable", "release").as_deref(), Some(text(&dry, "digest")));
    assert_eq!(text(&real, "manifest"), registry.tags(RELEASES)["stable"]);
}

#[test]
fn only_the_approved_plan_is_carried_out() {
    for registry in DockerRegistry::each() {
        let store = format!("{}/org", registry.address());
        let source = Source::new();
        with_images(&source, &["1.0.4", "1.0.5"]);
        let publish = |version: &str, more: &[&str]| {
            let arguments =
                ["--version", version, "--channel", "nightly", "--store", &store, "--chart-version", "stamped"];
            source.publish(&[&arguments[..], more].concat()).ends(0)
        };
        publish("1.0.3", &[]);
        promote(&store, "nightly", "stable", &[]).ends(0);
        source.append("helm/templates/server.yaml", "\n# another line\n");
        source.append("helm/values.yaml", "\nanother: value\n");
        publish("1.0.4", &["--image", "algaCore=0ther"]);
        let dry = promote(&store, "nightly", "stable", &["--dry-run", "--output", "json"]).ends(0).json();
        let approved = ["--if-plan", text(&dry, "planDigest"), "--if-current", text(&dry["before"], "manifest")];
        // Another publisher moves nightly meanwhile.
        publish("1.0.5", &[]);
        let now = promote(&store, "nightly", "stable", &["--dry-run", "--output", "json"]).ends(0).json();
        let refused = promote(&store, "nightly", "stable", &approved).ends(3);
        refused.says(&[text(&dry, "planDigest"), text(&now, "planDigest"), "changed since it was approved"]);
        assert_eq!(follows(&store, "stable"), "1.0.3");
        // Then stable moves. Its previous manifest is known by its digest.
        promote(&store, "1.0.4", "stable", &[]).ends(0);
        let now = promote(&store, "nightly", "stable", &["--dry-run", "--output", "json"]).ends(0).json();
        let refused = promote(&store, "nightly", "stable", &approved[2..]).ends(3);
        refused.says(&[approved[3], text(&now["before"], "manifest"), "--if-current"]);
        let served = resolve(&["resolve", "stable", "--store", &store]).ends(0).json();
        assert_eq!((&served["version"], &served["images"]["algaCore"]), (&"1.0.4".into(), &"0ther".into()));
    }
}

#[test]
fn the_resolver_follows_a_rollback_and_a_later_promotion() {
    for registry in DockerRegistry::each() {
        let store = format!("{}/org", registry.address());
        let source = Source::new();
        with_images(&source, &["1.0.4"]);
        let publish = |version: &str| {
            source.publish(&["--version", version, "--channel", "nightly", "--store", &store]).ends(0);
        };
        publish("1.0.3");
        promote(&store, "nightly", "stable", &[]).ends(0);
        publish("1.0.4");
        promote(&store, "nightly", "stable", &["--by", "alice"]).ends(0);
        assert_eq!(follows(&store, "stable"), "1.0.4");
        rollback(&store, "stable", "previous", &["--by", "bob"]).ends(0);
        assert_eq!(follows(&store, "stable"), "1.0.3");
        promote(&store, "nightly", "stable", &["--by", "carol"]).ends(0);
        assert_eq!(follows(&store, "stable"), "1.0.4");
        let history = alga(&["history", "stable", "--store", &store, "--output", "json"]).ends(0).json();
        let told = |one: &Value| {
            let word = |key: &str| one[key].as_str().unwrap_or("-").to_owned();
            (one["sequence"].as_u64(), word("version"), word("kind"), word("from"), word("by"), word("reason"))
        };
        let moves: Vec<_> = history["moves"].as_array().expect("moves").iter().map(told).collect();
        let expected = [
            (4, "1.0.4", "promote", "nightly", "carol", "-"),
            (3, "1.0.3", "rollback", "1.0.3", "bob", "it fails"),
            (2, "1.0.4", "promote", "nightly", "alice", "-"),
        ];
        for (one, (sequence, version, kind, from, by, reason)) in moves.iter().zip(expected) {
            let words = (version.to_owned(), kind.to_owned(), from.to_owned(), by.to_owned(), reason.to_owned());
            assert_eq!(*one, (Some(sequence), words.0, words.1, words.2, words.3, words.4));
        }
        assert_eq!((moves.len(), &history["end"]["why"]), (4, &"beginning".into()));
        alga(&["verify", "--all-channels", "--store", &store]).ends(0);
    }
}

#[test]
fn a_deleted_chart_stops_the_promotion_and_is_named() {
    for registry in DockerRegistry::each() {
        let store = format!("{}/org", registry.address());
        Source::new().publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &store]).ends(0);
        registry.remove_manifests("org/charts/temporal");
        let refused = promote(&store, "nightly", "stable", &[]).ends(3);
        refused.says(&["1.0.3 is not complete", "chart temporal", "charts/temporal@sha256:"]);
        let history = alga(&["history", "stable", "--store", &store]).ends(9);
        assert_eq!(history.stdout, "", "nothing was announced");
        resolve(&["resolve", "stable", "--store", &store]).ends(9);
        let verified = alga(&["verify", "nightly", "--store", &store]).ends(3).says(&["chart temporal manifest"]);
        assert!(verified.stdout.contains("FAILED       chart  temporal  "), "{}", verified.stdout);
    }
}

#[test]
fn a_downgrade_is_refused_with_a_hint_to_roll_back() {
    let (source, registry) = with_nightly();
    let store = store(&registry);
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    source.publish(&["--version", "spring", "--no-channel", "--store", &store, "--images", &images(&source)]).ends(0);
    promote(&store, "nightly", "stable", &[]).ends(0);
    let before = state(&registry);
    promote(&store, "1.0.3", "stable", &[]).ends(3).says(&["newer than 1.0.3", "rollback stable --to 1.0.3"]);
    promote(&store, "spring", "stable", &[]).ends(3).says(&["cannot tell", "--allow-unordered"]);
    assert_eq!(state(&registry), before);
    promote(&store, "spring", "stable", &["--allow-unordered"]).ends(0);
    assert_eq!(served(&registry, "stable")["version"], "spring");
}

fn images(source: &Source) -> String {
    source.path("ee/appliance/releases/1.0.3/release.json").display().to_string()
}

#[test]
fn a_version_and_a_digest_are_promoted_like_a_channel() {
    let (source, registry) = with_nightly();
    let store = store(&registry);
    promote(&store, "1.0.3", "stable", &[]).ends(0);
    assert_eq!(record(&registry, "stable", "from").as_deref(), Some("1.0.3"));
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    let tags = registry.tags(RELEASES);
    // The digest of a channel manifest means the release that it serves.
    promote(&store, &tags["nightly"], "stable", &[]).ends(0);
    assert_eq!(record(&registry, "stable", "release"), Some(tags["1.0.4"].clone()));
    let again = promote(&store, &tags["1.0.4"], "stable", &[]).ends(0);
    assert!(again.stdout.starts_with("nothing to do"), "{}", again.stdout);
}

#[test]
fn an_unknown_channel_is_reported_with_the_nearest_one() {
    let (_source, registry) = with_nightly();
    let store = store(&registry);
    promote(&store, "nightly", "stabel", &[]).ends(9).says(&["no channel `stabel`", "did you mean `stable`?"]);
    promote(&store, "nihgtly", "stable", &[]).ends(9).says(&["`nihgtly`", "did you mean `nightly`?"]);
    promote(&store, "nightly", "production", &[]).ends(9).says(&["use one of nightly, stable"]);
    promote(&store, "stable", "nightly", &[]).ends(9).says(&["channel stable serves nothing in", "--channel stable"]);
    promote(&store, "9.9.9", "stable", &[]).ends(9).says(&["9.9.9"]);
    rollback(&store, "stabel", "previous", &[]).ends(9).says(&["did you mean `stable`?"]);
    alga(&["history", "nigthly", "--store", &store]).ends(9).says(&["did you mean `nightly`?"]);
    alga(&["verify", "nigthly", "--store", &store]).ends(9).says(&["did you mean `nightly`?"]);
    assert_eq!(registry.tags(RELEASES).len(), 3);
}

#[test]
fn a_promotion_needs_the_minimum_age_of_the_release() {
    let (_source, registry) = with_nightly();
    let store = store(&registry);
    let moved = record(&registry, "nightly", "moved").expect("a time");
    promote(&store, "nightly", "stable", &["--min-age", "24h"]).ends(3).says(&[&moved, "24h"]);
    promote(&store, "1.0.3", "stable", &["--min-age", "24h"]).ends(3).says(&["no record gives the time"]);
    promote(&store, "nightly", "stable", &["--min-age", "soon"]).ends(9);
    assert!(!registry.tags(RELEASES).contains_key("stable"));
    promote(&store, "nightly", "stable", &["--min-age", "0s"]).ends(0);
}

/// Pushes an image. Returns its reference by digest.
fn image(registry: &Registry, name: &str, tag: &str) -> String {
    let config = format!("{{\"image\":\"{name}\"}}").into_bytes();
    let config_digest = digest_of(&config);
    let bytes = format!(
        "{{\"schemaVersion\":2,\"config\":{{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\
         \"digest\":\"{config_digest}\",\"size\":{}}},\"layers\":[]}}",
        config.len()
    )
    .into_bytes();
    let digest = digest_of(&bytes);
    registry.put_blob(name, &config_digest, &config);
    registry.put_manifest(name, Some(tag), &digest, "application/vnd.oci.image.manifest.v1+json", &bytes);
    digest
}

#[test]
fn every_pinned_image_and_the_control_plane_must_exist() {
    let (source, registry, elsewhere) = (Source::new(), Registry::start(), Registry::start());
    let own = [("alga-psa-ee", "62cdce38"), ("workflow-worker", "a2cbb43"), ("temporal-worker", "a2cbb43")];
    for (name, tag) in own {
        image(&registry, &format!("org/{name}"), tag);
    }
    let plane = image(&registry, "org/alga-appliance-control-plane", "1");
    let mail = image(&elsewhere, "mail/service", "61e4a00e");
    let extra = image(&elsewhere, "library/redis", "7");
    let external = format!("{}/mail/service", elsewhere.address());
    let configuration = format!(
        "images: {{algaCore: alga-psa-ee, workflowWorker: workflow-worker, temporalWorker: temporal-worker, emailService: '{external}'}}\n\
         extraImages: ['{}/library/redis@{extra}']\n",
        elsewhere.address()
    );
    source.write("alga-release.yaml", &configuration);
    let (store, file) = (store(&registry), source.path("alga-release.yaml").display().to_string());
    let arguments = ["--image-check", "require", "--control-plane", "1"];
    publish(&source, &registry, "1.0.3", "nightly", &arguments).ends(0);
    let dry = || promote(&store, "nightly", "stable", &["--dry-run", "--config", &file, "--output", "json"]);
    let report = dry().ends(0).json();
    let outcome = |name: &str| {
        let checks = report["checks"].as_array().expect("checks");
        checks.iter().find(|check| check["name"] == name).expect("a check")["outcome"].clone()
    };
    let redis = format!("{}/library/redis@{extra}", elsewhere.address());
    for name in ["algaCore", "emailService", "controlPlane", &redis] {
        assert_eq!(outcome(name), "ok", "{name}");
    }
    assert_eq!(outcome("cert-manager"), "not-checked");
    for (at, repository, digest) in [
        (&registry, "org/alga-appliance-control-plane", &plane),
        (&elsewhere, "mail/service", &mail),
        (&elsewhere, "library/redis", &extra),
    ] {
        let (media_type, bytes) = at.manifest(repository, digest).expect("a manifest");
        at.remove_manifest(repository, digest);
        dry().ends(3).says(&["not complete", digest]);
        at.put_manifest(repository, None, digest, &media_type, &bytes);
        dry().ends(0);
        let mut corrupted = bytes.clone();
        corrupted[20] ^= 1;
        at.put_manifest(repository, None, digest, &media_type, &corrupted);
        dry().ends(3).says(&["not complete", digest]);
        at.put_manifest(repository, None, digest, &media_type, &bytes);
    }
}

#[test]
fn an_image_known_by_tag_only_causes_a_warning() {
    let (_source, registry) = with_nightly();
    let run = promote(&store(&registry), "nightly", "stable", &[]).ends(0);
    run.says(&["warning: 4 images not checked (known by tag only)", "algaCore 62cdce38, emailService 61e4a00e"]);
}

#[test]
fn a_release_of_an_older_publisher_is_promoted_as_it_is() {
    let (source, registry) = (Source::new(), Registry::start());
    source.write("alga-release.yaml", "valuesNames: plain\n");
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    let store = store(&registry);
    let mut old = served(&registry, "nightly");
    undescribed(&mut old);
    let object = old.as_object_mut().expect("an object");
    for key in ["chartDigests", "imageDigests", "profileValues"] {
        object.remove(key);
    }
    object["charts"].as_object_mut().expect("charts").remove("cert-manager");
    object.insert("controlPlane".to_owned(), "62cdce38".into());
    object.insert("later".to_owned(), serde_json::json!({ "unknown": [1, "a"] }));
    object["version"] = "1.0.2".into();
    let json = serde_json::to_string(&old).expect("JSON").into_bytes();
    let digest = put_release(&registry, "nightly", &json);
    promote(&store, "nightly", "stable", &[]).ends(0).says(&["control plane", "known by tag only"]);
    let expected = String::from_utf8(json).expect("UTF-8").replacen("\"nightly\"", "\"stable\"", 1);
    let config = manifest(&registry, "stable")["config"]["digest"].as_str().expect("a digest").to_owned();
    assert_eq!(String::from_utf8(registry.blob(RELEASES, &config).expect("a blob")).expect("UTF-8"), expected);
    assert_eq!(record(&registry, "stable", "release"), Some(digest));
    let chart = registry.tags("org/charts/temporal")["0.1.0"].clone();
    registry.remove_manifest("org/charts/temporal", &chart);
    rollback(&store, "stable", "1.0.3", &[]).ends(3).says(&["chart temporal"]);
}

/// Pushes a channel as an older publisher wrote it: without a record.
fn put_release(registry: &Registry, tag: &str, json: &[u8]) -> String {
    let digest = digest_of(json);
    registry.put_blob(RELEASES, &digest, json);
    let media_type = "application/vnd.alga.appliance.release.config.v1+json";
    let blob = serde_json::json!({ "mediaType": media_type, "digest": digest, "size": json.len() });
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": blob, "layers": [blob]
    });
    let manifest = serde_json::to_vec(&manifest).expect("JSON");
    let digest = digest_of(&manifest);
    registry.put_manifest(RELEASES, Some(tag), &digest, "application/vnd.oci.image.manifest.v1+json", &manifest);
    digest
}

#[test]
fn a_channel_that_differs_from_its_release_is_not_promoted() {
    let (_source, registry) = with_nightly();
    let forged = {
        let mut release = served(&registry, "nightly");
        release["images"]["algaCore"] = "forged".into();
        serde_json::to_vec(&release).expect("JSON")
    };
    let digest = digest_of(&forged);
    registry.put_blob(RELEASES, &digest, &forged);
    let mut channel = manifest(&registry, "nightly");
    for blob in ["/config", "/layers/0"] {
        let blob = channel.pointer_mut(blob).expect("a blob");
        (blob["digest"], blob["size"]) = (digest.clone().into(), forged.len().into());
    }
    let bytes = serde_json::to_vec(&channel).expect("JSON");
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    registry.put_manifest(RELEASES, Some("nightly"), &digest_of(&bytes), media_type, &bytes);
    let run = promote(&store(&registry), "nightly", "stable", &[]).ends(3);
    run.says(&["release 1.0.3", "differs from the JSON of the channel"]);
    alga(&["verify", "nightly", "--store", &store(&registry)]).ends(3).says(&["release 1.0.3 agrees"]);
}

#[test]
fn a_release_that_lacks_an_image_is_not_promoted() {
    let (_source, registry) = with_nightly();
    let mut release = served(&registry, "nightly");
    release["images"].as_object_mut().expect("images").remove("algaCore");
    put_release(&registry, "1.0.9", &serde_json::to_vec(&release).expect("JSON"));
    let run = promote(&store(&registry), "1.0.9", "stable", &[]).ends(3);
    run.says(&["not complete", "images.algaCore: missing"]);
}

#[test]
fn a_release_that_the_public_cannot_read_is_not_promoted() {
    let (username, password) = ("alice".to_owned(), "s3cret-token".to_owned());
    let auth = Auth::Token { realm: None, user: Some((username.clone(), password.clone())) };
    let quirks = Quirks { private: true, ..Quirks::default() };
    let registry = Registry::with(Setup { auth, quirks, ..Setup::default() });
    let (source, store) = (Source::new(), store(&registry));
    let environment = [("ALGA_REGISTRY_USERNAME", username.as_str()), ("ALGA_REGISTRY_TOKEN", password.as_str())];
    source.write("alga-release.yaml", "publicRead: false\n");
    source.publish_in(&["--version", "1.0.3", "--channel", "nightly", "--store", &store], &environment).ends(0);
    let promote = |more: &[&str]| {
        let arguments = ["promote", "--from", "nightly", "--to", "stable", "--store", &store];
        run(release().args(arguments).args(more).envs(environment))
    };
    for repository in registry.repositories().iter().filter(|name| !name.ends_with("/temporal")) {
        registry.publish(repository);
    }
    let refused = promote(&[]).ends(3).says(&["1 of 43 checks", "chart temporal ", "the public cannot read it"]);
    assert!(!refused.stderr.contains(&password) && !refused.stdout.contains(&password));
    assert!(!registry.tags(RELEASES).contains_key("stable"));
    let private = source.path("alga-release.yaml").display().to_string();
    promote(&["--config", &private, "--dry-run"]).ends(0);
    registry.publish("org/charts/temporal");
    promote(&[]).ends(0);
}

#[test]
fn a_dry_run_does_not_need_the_right_to_push() {
    let user = ("alice", "s3cret-token");
    let auth = Auth::Token { realm: None, user: Some((user.0.to_owned(), user.1.to_owned())) };
    let registry = Registry::with(Setup { auth, ..Setup::default() });
    let (source, store) = (Source::new(), store(&registry));
    let environment = [("ALGA_REGISTRY_USERNAME", user.0), ("ALGA_REGISTRY_TOKEN", user.1)];
    source.publish_in(&["--version", "1.0.3", "--channel", "nightly", "--store", &store], &environment).ends(0);
    let asked = |arguments: &[&str]| {
        registry.clear_log();
        run(release().args(arguments).args(["--store", &store]).envs(environment)).ends(0);
        let log = registry.log();
        assert!(log.iter().any(|received| received.path == "/token"), "{log:?}");
        log.iter().any(|received| received.path == "/token" && received.query.contains("push"))
    };
    let promote = ["promote", "--from", "nightly", "--to", "stable"];
    assert!(!asked(&[&promote[..], &["--dry-run"]].concat()));
    for arguments in [&["history", "nightly"][..], &["verify", "nightly"], &["in-use"]] {
        assert!(!asked(arguments), "{arguments:?}");
    }
    assert!(asked(&promote));
}

#[test]
fn an_unreachable_store_is_a_temporary_failure_and_not_a_failed_check() {
    let (_source, registry) = with_nightly();
    registry.fail(Fault::every("GET", "/charts/", Action::status(503, "")));
    promote(&store(&registry), "nightly", "stable", &[]).ends(75);
    assert!(!registry.tags(RELEASES).contains_key("stable"));
}

#[test]
fn a_roll_back_to_the_previous_release_that_is_repeated_does_not_go_forward() {
    let (source, registry) = with_nightly();
    let store = store(&registry);
    promote(&store, "nightly", "stable", &[]).ends(0);
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    promote(&store, "nightly", "stable", &[]).ends(0);
    let dry = rollback(&store, "stable", "previous", &["--dry-run", "--output", "json"]).ends(0).json();
    let approved = ["--if-plan", dry["planDigest"].as_str().expect("a digest")];
    rollback(&store, "stable", "previous", &approved).ends(0);
    assert_eq!(served(&registry, "stable")["version"], "1.0.3");
    // A pod that was lost after its work is started again.
    let before = state(&registry);
    registry.clear_log();
    for more in [&[][..], &["--dry-run"], &approved] {
        let again = rollback(&store, "stable", "previous", more).ends(0);
        assert!(again.stdout.starts_with("nothing to do: stable already serves 1.0.3"), "{}", again.stdout);
        again.says(&["stable was rolled back to 1.0.3 already, for the same reason"]);
    }
    let other = ["rollback", "stable", "--to", "previous", "--reason", "the menu is blue", "--store", &store];
    let words = ["stable was rolled back from 1.0.4 to 1.0.3", "--to VERSION", "alga-release rollback stable"];
    alga(&other).ends(3).says(&words);
    assert_eq!((writes(&registry), state(&registry)), (0, before));
    // A release is named, and a promotion makes `previous` unambiguous again.
    promote(&store, "nightly", "stable", &[]).ends(0);
    alga(&other).ends(0);
    assert_eq!(served(&registry, "stable")["version"], "1.0.3");
}

#[test]
fn a_rollback_needs_a_reason_and_goes_to_the_given_release() {
    let (source, registry) = with_nightly();
    let store = store(&registry);
    rollback(&store, "stable", "previous", &[]).ends(9).says(&["serves nothing yet"]);
    promote(&store, "nightly", "stable", &[]).ends(0);
    rollback(&store, "stable", "previous", &[]).ends(3).says(&["cannot find a previous release", "one release only"]);
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    publish(&source, &registry, "1.0.5", "nightly", &[]).ends(0);
    promote(&store, "1.0.4", "stable", &[]).ends(0);
    promote(&store, "1.0.5", "stable", &[]).ends(0);
    alga(&["rollback", "stable", "--to", "1.0.3", "--store", &store]).ends(9).says(&["--reason"]);
    alga(&["rollback", "stable", "--to", "1.0.3", "--store", &store, "--reason", " "]).ends(9);
    rollback(&store, "stable", "nightly", &[]).ends(9).says(&["expected a version or a digest"]);
    let before = state(&registry);
    rollback(&store, "stable", "previous", &["--dry-run"]).ends(0);
    assert_eq!(state(&registry), before);
    rollback(&store, "stable", "previous", &[]).ends(0);
    let of = |key: &str| record(&registry, "stable", key);
    assert_eq!(served(&registry, "stable")["version"], "1.0.4");
    assert_eq!(
        (of("kind"), of("sequence"), of("reason")),
        (Some("rollback".into()), Some("4".into()), Some("it fails".into()))
    );
    rollback(&store, "stable", "1.0.3", &[]).ends(0);
    assert_eq!(
        (served(&registry, "stable")["version"].as_str(), of("sequence").as_deref()),
        (Some("1.0.3"), Some("5"))
    );
    let again = rollback(&store, "stable", &registry.tags(RELEASES)["1.0.3"], &[]).ends(0);
    assert!(again.stdout.starts_with("nothing to do"), "{}", again.stdout);
}

#[test]
fn a_move_records_the_actor_of_the_ci_or_else_the_local_user() {
    let (_source, registry) = with_nightly();
    let store = store(&registry);
    let promote = |to: &str, environment: &[(&str, &str)]| {
        let arguments = ["promote", "--from", "1.0.3", "--to", to, "--store", &store];
        run(release().args(arguments).envs(environment.iter().copied())).ends(0);
        record(&registry, to, "by").expect("a person")
    };
    // A move of which only the announcement exists would be completed under the name of its first actor.
    let again = || {
        for tag in registry.tags(RELEASES).keys().filter(|tag| tag.starts_with("stable")) {
            registry.remove_tag(RELEASES, tag);
        }
    };
    assert_eq!(promote("stable", &[("GITHUB_ACTOR", "octocat"), ("GITHUB_TOKEN", "s3cret")]), "octocat");
    again();
    assert_eq!(promote("stable", &[("ARGO_WORKFLOW_NAME", "release-x7k2p")]), "workflow release-x7k2p");
    again();
    assert_eq!(promote("stable", &[("ALGA_REGISTRY_TOKEN", "s3cret")]), "tester@bench");
    again();
    let user = promote("stable", &[("USER", ""), ("HOSTNAME", "pod")]);
    assert!(user.starts_with("user ") && user.ends_with("@pod"), "{user}");
}

#[test]
fn a_channel_without_its_tag_continues_from_its_highest_keep_alive_tag() {
    let (source, registry) = with_nightly();
    let store = store(&registry);
    promote(&store, "nightly", "stable", &[]).ends(0);
    registry.remove_tag(RELEASES, "stable");
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    promote(&store, "nightly", "stable", &[]).ends(0);
    assert_eq!(record(&registry, "stable", "sequence").as_deref(), Some("2"));
    // The same holds if the first publication was interrupted right before the channel tag.
    registry.remove_tag(RELEASES, "nightly");
    publish(&source, &registry, "1.0.5", "nightly", &[]).ends(0);
    assert_eq!(record(&registry, "nightly", "sequence").as_deref(), Some("3"));
}

#[test]
fn a_channel_without_its_tag_gets_back_the_manifest_that_the_same_move_announced() {
    let (_source, registry) = with_nightly();
    let store = store(&registry);
    promote(&store, "nightly", "stable", &["--by", "alice"]).ends(0);
    let before = registry.tags(RELEASES)["stable"].clone();
    registry.remove_tag(RELEASES, "stable");
    promote(&store, "nightly", "stable", &["--by", "bob"]).ends(0);
    assert_eq!(registry.tags(RELEASES)["stable"], before);
    assert_eq!(record(&registry, "stable", "by").as_deref(), Some("alice"));
}

#[test]
fn a_promotion_that_stops_at_any_request_is_finished_by_the_next_one() {
    let (_source, registry) = with_nightly();
    let store = store(&registry);
    let mut broken = 0;
    for count in 0..19 {
        for action in [Action::ResetBefore, Action::Reset(0)] {
            registry.fail(Fault::after(count, action));
            broken += i32::from(promote(&store, "nightly", "stable", &[]).code != Some(0));
            registry.heal();
            promote(&store, "nightly", "stable", &["--by", "the next one"]).ends(0);
            assert_eq!(follows(&store, "stable"), "1.0.3", "after {count}");
            alga(&["verify", "stable", "--store", &store]).ends(0);
            registry.remove_tag(RELEASES, "stable");
        }
    }
    assert!(broken > 20, "{broken}");
}

#[test]
fn a_layout_is_promoted_and_rolled_back_like_a_registry() {
    let source = Source::new();
    let layout = source.layout();
    with_images(&source, &["1.0.4"]);
    for version in ["1.0.3", "1.0.4"] {
        source.publish(&["--version", version, "--channel", "nightly", "--store", &layout]).ends(0);
        promote(&layout, "nightly", "stable", &[]).ends(0);
        assert_eq!(follows(&layout, "stable"), version);
    }
    rollback(&layout, "stable", "previous", &[]).ends(0);
    assert_eq!(follows(&layout, "stable"), "1.0.3");
    alga(&["verify", "--all-channels", "--offline", "--store", &layout]).ends(0);
}

#[test]
fn a_promotion_reads_everything_concurrently_and_writes_three_times() {
    let (_source, registry) = with_nightly();
    registry.clear_log();
    promote(&store(&registry), "nightly", "stable", &[]).ends(0);
    let lines = registry.lines();
    // Reads: the two channels, one of them with its JSON; the tags, and because the channel has none, a second list
    // that shows whether the registry sorts them; the release, five charts and the bundle; the contents of the charts
    // and of the bundle, each after its manifest. Writes: the JSON in two requests, and its read-back; the manifest
    // under two tags. Before and after the second tag, the announcements of other publishers are read.
    assert_eq!(lines.len(), 5 + 7 + 3 + 2 + 4 + 12, "{lines:#?}");
    assert_eq!(writes(&registry), 4);
    registry.remove_tag(RELEASES, "stable");
    at_once(&registry, "/manifests/sha256:", 7, || drop(promote(&store(&registry), "nightly", "stable", &[]).ends(0)));
    // All of these reads come before the first write that others can see.
    let last_check = lines.iter().rposition(|line| line.starts_with("GET") && line.contains("/manifests/sha256:"));
    let first_tag = lines.iter().position(|line| line.starts_with("PUT") && line.contains("/manifests/"));
    assert!(last_check < first_tag, "{lines:#?}");
}

#[test]
fn the_tag_of_a_version_is_never_taken_for_a_channel() {
    let (source, registry) = with_nightly();
    let store = store(&registry);
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    let before = registry.tags(RELEASES);
    promote(&store, "nightly", "1.0.3", &["--new-channel"])
        .ends(3)
        .says(&["`1.0.3` is the tag of a published version"]);
    let configuration = source.path("other.yaml");
    std::fs::write(&configuration, "channels: [nightly, stable, 1.0.3]\n").expect("written");
    let configuration = configuration.display().to_string();
    let arguments = ["--version", "1.0.4", "--channel", "1.0.3", "--store", &store, "--config", &configuration];
    source.publish(&arguments).ends(3).says(&["`1.0.3` is the tag of a published version"]);
    assert_eq!(registry.tags(RELEASES), before);
}

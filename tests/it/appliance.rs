//! The state of the resolver, and the answers that it refuses.

use alga_release::oci::{Location, Options, ReadStore};
use alga_release::release::{ResolveError, Resolved, resolve as resolve_release};

use crate::support::programs::{Run, Source, after, resolve, resolving, run};
use crate::support::published::{RELEASES, digest_of, publish, put_release, served, store, with_images};
use crate::support::registry::{Action, Auth, Fault, Registry, Setup};

struct Appliance {
    source: Source,
    registry: Registry,
    state: String,
}

impl Appliance {
    fn new() -> Self {
        let source = Source::new();
        with_images(&source, &["1.0.4"]);
        let registry = Registry::start();
        let state = source.path("state/state.json").display().to_string();
        let new = Self { source, registry, state };
        new.publish("1.0.3", "stable");
        new
    }

    fn publish(&self, version: &str, channel: &str) {
        publish(&self.source, &self.registry, version, channel, &[]).ends(0);
    }

    fn resolve(&self, reference: &str, more: &[&str]) -> Run {
        let store = store(&self.registry);
        resolve(&[&["resolve", reference, "--store", &store, "--state", &self.state], more].concat())
    }

    fn version(&self, reference: &str, more: &[&str]) -> String {
        self.resolve(reference, more).ends(0).json()["version"].as_str().expect("a version").to_owned()
    }

    fn tag(&self, tag: &str) -> String {
        self.registry.tags(RELEASES)[tag].clone()
    }

    /// Publishes a release with this JSON, and moves a channel to it with this sequence number.
    fn put(&self, channel: &str, sequence: u64, json: &serde_json::Value) {
        put_release(&self.registry, "release", json, &serde_json::json!({}));
        put_release(&self.registry, channel, json, &record(channel, sequence, &self.tag("release")));
    }

    fn down(&self) {
        self.registry.fail(Fault::every("GET", "", Action::status(503, "")));
    }

    fn read_state(&self) -> Vec<u8> {
        std::fs::read(&self.state).expect("a state")
    }
}

#[test]
fn an_offline_answer_comes_from_the_state_without_a_request() {
    let appliance = Appliance::new();
    appliance.resolve("stable", &["--offline"]).ends(3).says(&["the state has no release for"]);
    let online = appliance.resolve("stable", &[]).ends(0).stdout;
    let digest = alga_release::oci::Digest::of(online.as_bytes()).to_string();
    appliance.registry.clear_log();
    for reference in ["stable", "1.0.3", &appliance.tag("1.0.3"), &appliance.tag("stable")] {
        assert_eq!(appliance.resolve(reference, &["--offline"]).ends(0).stdout, online, "{reference}");
    }
    for reference in ["nightly", "1.0.4", &digest] {
        appliance.resolve(reference, &["--offline"]).ends(3);
    }
    assert!(appliance.registry.lines().is_empty());
    let store = store(&appliance.registry);
    resolve(&["resolve", "stable", "--store", &store, "--offline"]).ends(9).says(&["--state"]);
}

#[test]
fn the_state_answers_for_an_unreachable_store_on_request() {
    let appliance = Appliance::new();
    assert_eq!(appliance.version("stable", &[]), "1.0.3");
    appliance.down();
    appliance.resolve("stable", &[]).ends(75);
    appliance.resolve("stable", &["--fallback-to-state"]).ends(0).says(&["503", "answered from the state: 1.0.3"]);
    appliance.registry.heal();
    // A store with a wrong answer is not unreachable.
    appliance.registry.fail(Fault::every("GET", "/blobs/", Action::CorruptBody));
    appliance.resolve("stable", &["--fallback-to-state"]).ends(1);
}

#[test]
fn a_replay_is_refused_and_a_later_move_is_followed() {
    let appliance = Appliance::new();
    let old = appliance.tag("stable");
    appliance.publish("1.0.4", "stable");
    let new = appliance.tag("stable");
    assert_eq!(appliance.version("stable", &[]), "1.0.4");
    let state = appliance.read_state();
    appliance.registry.tag(RELEASES, "stable", &old);
    let run = appliance.resolve("stable", &["--fallback-to-state"]).ends(3).says(&["move 1", "move 2", "a replay"]);
    assert_eq!((run.stdout.as_str(), appliance.read_state()), ("", state.clone()));
    appliance.registry.tag(RELEASES, "stable", &new);
    assert_eq!(appliance.version("stable", &[]), "1.0.4");
    assert_eq!(appliance.read_state(), state, "an unchanged answer is not written");
    // The old release can be read without a state, and by its version.
    assert_eq!(appliance.version("1.0.3", &[]), "1.0.3");
}

#[test]
fn an_answer_without_a_record_is_refused_after_one_with_a_record() {
    let appliance = Appliance::new();
    // An older tool would put the release itself under the channel tag.
    let (recorded, bare) = (appliance.tag("stable"), appliance.tag("1.0.3"));
    appliance.registry.tag(RELEASES, "stable", &bare);
    appliance.resolve("stable", &[]).ends(0).says(&["has no record of its move"]);
    appliance.registry.tag(RELEASES, "stable", &recorded);
    assert_eq!(appliance.version("stable", &[]), "1.0.3");
    appliance.publish("1.0.4", "stable");
    appliance.registry.tag(RELEASES, "stable", &bare);
    let state = appliance.read_state();
    let run = appliance.resolve("stable", &["--fallback-to-state"]).ends(3);
    let run = run.says(&["has no record of a move", "move 1 ", "--accept-unrecorded"]);
    assert_eq!((run.stdout.as_str(), appliance.read_state()), ("", state));
    assert_eq!(appliance.version("stable", &["--offline"]), "1.0.3");
    // A record with the name of another channel does not count for this channel.
    appliance.publish("1.0.4", "nightly");
    appliance.registry.tag(RELEASES, "stable", &appliance.tag("nightly"));
    appliance.resolve("stable", &[]).ends(3).says(&["has no record of a move"]);
}

#[test]
fn an_answer_without_a_record_is_followed_when_accepted_and_marked_in_the_state() {
    let appliance = Appliance::new();
    let first = appliance.tag("stable");
    appliance.publish("1.0.4", "stable");
    assert_eq!(appliance.version("stable", &[]), "1.0.4");
    appliance.registry.tag(RELEASES, "stable", &appliance.tag("1.0.3"));
    let run = appliance.resolve("stable", &["--accept-unrecorded"]).ends(0).says(&["move 2 still counts"]);
    assert_eq!(run.json()["version"], "1.0.3");
    let entry = |key: &str| {
        let state: serde_json::Value = serde_json::from_slice(&appliance.read_state()).expect("JSON");
        let releases = state["releases"].as_object().expect("releases").clone();
        releases.into_values().next().expect("one")[key].clone()
    };
    assert_eq!((entry("unrecorded"), entry("sequence")), (true.into(), 2.into()));
    // That answer was accepted, but an older answer with a record was not.
    assert_eq!(appliance.version("stable", &[]), "1.0.3");
    appliance.registry.tag(RELEASES, "stable", &first);
    appliance.resolve("stable", &["--accept-unrecorded"]).ends(3).says(&["a replay"]);
    appliance.publish("1.0.4", "stable");
    appliance.registry.tag(RELEASES, "stable", &appliance.tag("1.0.4"));
    appliance.resolve("stable", &[]).ends(3).says(&["has no record of a move"]);
}

#[test]
fn a_channel_stays_a_channel_when_an_answer_claims_to_be_a_version() {
    let appliance = Appliance::new();
    let mut json = served(&appliance.registry, "1.0.3");
    appliance.put("edge", 7, &json);
    json["version"] = "edge".into();
    let followed = appliance.tag("edge");
    assert_eq!(appliance.version("edge", &[]), "1.0.3");
    put_release(&appliance.registry, "edge", &json, &serde_json::json!({}));
    appliance.resolve("edge", &[]).ends(3).says(&["has no record of a move"]);
    appliance.registry.tag(RELEASES, "edge", &appliance.tag("stable"));
    appliance.resolve("edge", &[]).ends(3).says(&["has no record of a move"]);
    appliance.registry.tag(RELEASES, "edge", &followed);
    appliance.resolve("edge", &[]).ends(0);
}

/// Returns the annotations of a move to a release.
fn record(channel: &str, sequence: u64, release: &str) -> serde_json::Value {
    let key = |name: &str| format!("vnd.alga.appliance.channel.{name}");
    serde_json::json!({ key("name"): channel, key("sequence"): sequence.to_string(), key("release"): release,
        key("kind"): "publish", key("moved"): "2026-11-23T10:00:00Z" })
}

#[test]
fn the_same_move_with_other_content_is_refused() {
    let appliance = Appliance::new();
    assert_eq!(appliance.version("stable", &[]), "1.0.3");
    let state = appliance.read_state();
    appliance.publish("1.0.4", "nightly");
    appliance.put("stable", 1, &served(&appliance.registry, "1.0.4"));
    let run = appliance.resolve("stable", &["--fallback-to-state"]).ends(3).says(&["move 1 ", "another release"]);
    assert_eq!((run.stdout.as_str(), appliance.read_state()), ("", state));
}

#[test]
fn a_jump_is_reported_each_time_and_does_not_block_later_moves() {
    let appliance = Appliance::new();
    let first = appliance.tag("stable");
    assert_eq!(appliance.version("stable", &[]), "1.0.3");
    appliance.publish("1.0.4", "nightly");
    appliance.put("stable", u64::MAX, &served(&appliance.registry, "1.0.4"));
    for _ in 0..2 {
        let run = appliance.resolve("stable", &[]).ends(0).says(&["from move 1 to move 18446744073709551615"]);
        assert_eq!(run.json()["version"], "1.0.4");
    }
    appliance.registry.tag(RELEASES, "stable", &first);
    appliance.publish("1.0.4", "stable");
    assert_eq!(appliance.version("stable", &[]), "1.0.4");
    let state: serde_json::Value = serde_json::from_slice(&appliance.read_state()).expect("JSON");
    let entry = state["releases"].as_object().expect("releases").values().next().expect("one");
    assert_eq!((&entry["sequence"], entry.get("jumped")), (&2.into(), None));
}

#[test]
fn a_channel_must_serve_the_release_that_its_record_names() {
    let appliance = Appliance::new();
    let sound = served(&appliance.registry, "1.0.3");
    let mut other = sound.clone();
    other["extraImages"] = serde_json::json!(["evil.example/x:1"]);
    let mut moved = sound.clone();
    moved["channel"] = "nightly".into();
    appliance.put("edge", 1, &sound);
    let (release, absent) = (appliance.tag("release"), digest_of(b"absent"));
    let chart = digest_of(b"chart");
    let text = "application/vnd.oci.image.manifest.v1+json";
    let foreign = serde_json::json!({ "schemaVersion": 2, "mediaType": text, "layers": [],
        "config": { "mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": chart, "size": 2 } });
    let foreign = foreign.to_string().into_bytes();
    appliance.registry.put_manifest(RELEASES, None, &digest_of(&foreign), text, &foreign);
    for (json, named, word) in [
        (&other, release.clone(), "JSON differs from that release"),
        (&sound, absent, "404"),
        (&sound, appliance.tag("edge"), "is a channel manifest"),
        (&sound, digest_of(&foreign), "is not a release"),
    ] {
        put_release(&appliance.registry, "stable", json, &record("stable", 2, &named));
        let run = appliance.resolve("stable", &["--fallback-to-state"]).ends(3);
        let run = run.says(&[&named, word]);
        assert_eq!(run.stdout, "");
        let run = appliance.resolve("stable", &["--offline"]).ends(3);
        assert_eq!(run.stdout, "", "the state is unchanged");
    }
    // The value of `channel` may differ from the release.
    put_release(&appliance.registry, "stable", &moved, &record("stable", 2, &release));
    assert_eq!(appliance.version("stable", &[]), "1.0.3");
}

#[test]
fn a_refused_answer_keeps_the_running_control_plane() {
    let appliance = Appliance::new();
    assert_eq!(appliance.version("stable", &[]), "1.0.3");
    let (state, store) = (appliance.read_state(), store(&appliance.registry));
    let mut other = served(&appliance.registry, "1.0.3");
    other["controlPlane"] = format!("{store}/evil@{}", digest_of(b"evil")).into();
    let held = |word: &str| {
        let arguments = ["control-plane", "stable", "--store", &store, "--state", &appliance.state];
        let run = resolve(&[&arguments[..], &["--running", "r.io/x:1", "--baseline", "r.io/x:0"]].concat()).ends(0);
        assert_eq!((run.says(&[word]).stdout.as_str(), appliance.read_state()), ("", state.clone()), "{word}");
    };
    appliance.put("stable", 1, &other);
    held("another release");
    put_release(&appliance.registry, "stable", &other, &record("stable", 2, &appliance.tag("1.0.3")));
    held("JSON differs from that release");
    put_release(&appliance.registry, "stable", &other, &serde_json::json!({}));
    held("has no record of a move");
    appliance.put("stable", 0, &other);
    held("a replay");
    appliance.put("stable", 2, &other);
    let arguments = ["control-plane", "stable", "--store", &store, "--state", &appliance.state];
    resolve(&[&arguments[..], &["--running", "r.io/x:1"]].concat()).ends(0).prints(&["/evil@"]);
}

#[test]
fn a_known_answer_takes_only_the_requests_for_manifest_and_release() {
    let appliance = Appliance::new();
    let requests = || {
        appliance.registry.clear_log();
        appliance.resolve("stable", &[]).ends(0);
        appliance.registry.lines()
    };
    assert_eq!(requests().len(), 4, "a new answer is compared with the release that it names");
    let again = requests();
    assert!(again.len() == 2 && again[0].ends_with("/manifests/stable") && again[1].contains("/blobs/"), "{again:?}");
}

#[test]
fn a_transient_failure_is_retried_within_the_timeout() {
    let appliance = Appliance::new();
    let portal = Action::status(502, "<html><h1>Bad Gateway</h1></html>");
    for (part, action) in [
        ("/manifests/stable", portal.clone()),
        ("/manifests/stable", Action::ResetBefore),
        ("/blobs/", portal.clone()),
        ("/blobs/", Action::Reset(20)),
    ] {
        appliance.registry.fail(Fault::first("GET", part, action));
        assert_eq!(appliance.version("stable", &[]), "1.0.3", "{part}");
    }
    // Repeated failures are not retried beyond the time limit.
    appliance.registry.fail(Fault::every("GET", "", portal));
    appliance.resolve("stable", &["--timeout", "1"]).ends(75).says(&["502"]);
}

#[test]
fn a_release_of_another_channel_is_refused_on_request() {
    let appliance = Appliance::new();
    appliance.publish("1.0.4", "nightly");
    appliance.registry.tag(RELEASES, "stable", &appliance.tag("nightly"));
    appliance.resolve("stable", &["--require-channel"]).ends(3).says(&["`nightly`"]);
    assert_eq!(appliance.version("stable", &[]), "1.0.4");
    assert_eq!(appliance.version("1.0.4", &["--require-channel"]), "1.0.4");
    assert_eq!(appliance.version("nightly", &["--require-channel"]), "1.0.4");
}

#[test]
fn a_version_that_holds_another_release_is_refused() {
    let appliance = Appliance::new();
    appliance.publish("1.0.4", "stable");
    appliance.registry.tag(RELEASES, "1.0.4", &appliance.tag("1.0.3"));
    appliance.resolve("1.0.4", &[]).ends(3).says(&["1.0.4", "`1.0.3`"]);
}

#[test]
fn a_release_may_name_only_allowed_registries() {
    let appliance = Appliance::new();
    let address = appliance.registry.address();
    assert_eq!(appliance.version("stable", &["--allow-registry", &address]), "1.0.3");
    let run = appliance.resolve("stable", &["--allow-registry", "ghcr.io"]).ends(3);
    run.says(&["config.repository", &address, "not allowed"]);
    appliance.resolve("stable", &["--allow-registry", "https://not a registry"]).ends(9);
}

#[test]
fn a_state_without_releases_counts_as_empty_and_is_reported() {
    let appliance = Appliance::new();
    assert_eq!(appliance.version("stable", &[]), "1.0.3");
    std::fs::write(&appliance.state, r#"{"schemaVersion": 99}"#).expect("written");
    appliance.resolve("stable", &[]).ends(0).says(&["has no releases and counts as empty", "older answer"]);
    assert!(std::fs::read_to_string(&appliance.state).expect("a state").contains("schemaVersion"));
    assert_eq!(appliance.resolve("stable", &[]).ends(0).stderr.matches("counts as empty").count(), 0);
}

#[test]
fn a_damaged_state_is_renamed_and_reported() {
    let appliance = Appliance::new();
    assert_eq!(appliance.version("stable", &[]), "1.0.3");
    let whole = appliance.read_state();
    for damage in [&whole[..whole.len() / 2], b"", b"\0\0\0\0", b"[]", b"{\"releases\":7}"] {
        std::fs::write(&appliance.state, damage).expect("written");
        let run = appliance.resolve("stable", &[]).ends(0).says(&["damaged", "state.json.corrupt"]);
        assert_eq!(run.json()["version"], "1.0.3");
        assert_eq!(std::fs::read(format!("{}.corrupt", appliance.state)).expect("kept"), damage);
        assert_eq!(appliance.version("stable", &["--offline"]), "1.0.3");
    }
}

#[test]
fn a_state_that_cannot_be_written_does_not_prevent_the_answer() {
    let appliance = Appliance::new();
    let store = store(&appliance.registry);
    let run = resolve(&["resolve", "stable", "--store", &store, "--state", "/proc/nowhere/state.json"]).ends(0);
    assert_eq!(run.says(&["warning", "/proc/nowhere/state.json"]).json()["version"], "1.0.3");
}

#[test]
fn a_file_that_is_not_a_state_is_left_in_place() {
    let appliance = Appliance::new();
    let pipe = appliance.source.path("pipe").display().to_string();
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let null = appliance.source.path("null").display().to_string();
    std::os::unix::fs::symlink("/dev/null", &null).expect("a link");
    let directory = appliance.source.path("ee").display().to_string();
    let store = store(&appliance.registry);
    for state in [&pipe, &null, &directory] {
        resolve(&["resolve", "stable", "--store", &store, "--state", state])
            .ends(9)
            .says(&[state, "expected a regular file"]);
        assert!(std::fs::symlink_metadata(state).is_ok(), "{state} is missing");
    }
}

#[test]
fn files_without_an_end_are_refused() {
    let appliance = Appliance::new();
    let store = store(&appliance.registry);
    for (flag, limit) in [("--config", "1 MiB"), ("--ca-file", "4 MiB")] {
        let endless = resolving(&["resolve", "stable", "--store", &store, flag, "/dev/zero"]);
        // A program that reads to the end would run out of memory first.
        run(&mut after("ulimit -v 1000000", &endless)).ends(9).says(&["/dev/zero", "larger than", limit]);
    }
}

#[test]
fn every_invalid_reference_is_refused_before_a_request() {
    let appliance = Appliance::new();
    appliance.registry.clear_log();
    for reference in ["../../x", "a b", "$(reboot)", "stable\n", "", "sha256:short", "a/b", ";", "stable?x=1"] {
        appliance.resolve(reference, &[]).ends(9);
    }
    assert!(appliance.registry.lines().is_empty());
}

/// The smallest possible release, in a registry that requires tokens.
fn small(tls: bool) -> Registry {
    let registry = Registry::with(Setup { auth: Auth::Token { realm: None, user: None }, tls, ..Setup::default() });
    registry.publish(RELEASES);
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let json = serde_json::json!({ "schema": "alga.appliance.release/v1", "version": "1", "channel": "stable", "valuesProfile": "p",
        "images": {}, "charts": {}, "config": { "repository": "r.io/x", "version": "1", "digest": digest_of(b"") } });
    let json = serde_json::to_vec(&json).expect("JSON");
    registry.put_blob(RELEASES, &digest_of(&json), &json);
    let config = "application/vnd.alga.appliance.release.config.v1+json";
    let manifest = serde_json::json!({ "schemaVersion": 2, "mediaType": media_type, "layers": [],
        "config": { "mediaType": config, "digest": digest_of(&json), "size": json.len() } });
    let manifest = serde_json::to_vec(&manifest).expect("JSON");
    registry.put_manifest(RELEASES, Some("stable"), &digest_of(&manifest), media_type, &manifest);
    registry
}

/// Resolves in this process, because thousands of processes would take too long.
fn ask(registry: &Registry) -> Result<Resolved, ResolveError> {
    let location = Location::parse(&format!("{}/org", registry.url()), false).expect("a location");
    let options = Options { ca: registry.certificates(), ..Options::default() };
    let store = ReadStore::open(&location, options).expect("a store");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let repository = "alga-appliance-release".parse().expect("a repository");
    let selector = "stable".parse().expect("a tag");
    runtime.block_on(resolve_release(&store, &repository, &selector))
}

#[test]
fn an_answer_that_is_cut_at_any_byte_is_refused() {
    let registry = small(false);
    let whole = ask(&registry).expect("a release");
    for part in ["/token", "/manifests/", "/blobs/"] {
        let mut cut = 0;
        loop {
            registry.heal();
            // The first manifest request gets a challenge for a token.
            registry.fail(Fault::every("GET", part, Action::Reset(cut)));
            match ask(&registry) {
                Err(_) => cut += 1,
                Ok(resolved) => {
                    assert_eq!(resolved.json, whole.json, "{part} {cut}");
                    break;
                }
            }
        }
        assert!(cut > 80, "{part}: only {cut} bytes were cut");
        for missing in 1..=cut {
            registry.heal();
            registry.fail(Fault::every("GET", part, Action::Truncate(missing)));
            // For sizes of the whole body and more, no byte is left.
            assert!(ask(&registry).is_err(), "{part}: {missing} bytes less");
        }
    }
}

#[test]
fn no_failure_over_tls_with_tokens_gives_a_wrong_release() {
    let registry = small(true);
    let whole = ask(&registry).expect("a release");
    let html = Action::Status(200, vec![("Content-Type".to_owned(), "text/html".to_owned())], b"<html>".to_vec());
    let content_type = Action::Headers(vec![("Content-Type".to_owned(), "text/plain".to_owned())]);
    for part in ["/token", "/manifests/", "/blobs/"] {
        for action in [
            html.clone(),
            content_type.clone(),
            Action::status(200, ""),
            Action::status(200, "null"),
            Action::status(500, "{"),
            Action::ResetBefore,
            Action::Truncate(1),
            Action::CorruptBody,
            Action::Longer(1),
            Action::Longer(70 << 10),
            Action::Endless,
            Action::EndlessHeader,
            Action::Duplicate,
            Action::CloseBeforeResponse,
            Action::WrongDigestHeader,
            Action::NoDigestHeader,
            Action::RedirectToItself,
            Action::Redirect("http://127.0.0.1:1/".to_owned()),
            Action::Redirect("https://127.0.0.1:1/".to_owned()),
        ] {
            registry.heal();
            registry.fail(Fault::every("GET", part, action.clone()));
            if let Ok(resolved) = ask(&registry) {
                assert_eq!(resolved.json, whole.json, "{part} {action:?}");
            }
        }
    }
}

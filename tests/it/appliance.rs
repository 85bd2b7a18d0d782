//! What the resolver remembers, and what it refuses.

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

    /// Publishes a release, whatever is in it, and moves a channel to it under this number.
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
fn offline_the_state_answers_without_a_request() {
    let appliance = Appliance::new();
    appliance.resolve("stable", &["--offline"]).ends(3).says(&["knows nothing"]);
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
fn the_state_answers_for_a_store_that_is_down_where_that_is_asked_for() {
    let appliance = Appliance::new();
    assert_eq!(appliance.version("stable", &[]), "1.0.3");
    appliance.down();
    appliance.resolve("stable", &[]).ends(75);
    appliance.resolve("stable", &["--fallback-to-state"]).ends(0).says(&["503", "answered from the state: 1.0.3"]);
    appliance.registry.heal();
    // A store that answers, and badly, is not down.
    appliance.registry.fail(Fault::every("GET", "/blobs/", Action::CorruptBody));
    appliance.resolve("stable", &["--fallback-to-state"]).ends(1);
}

#[test]
fn a_replay_is_refused_and_what_comes_after_it_is_followed() {
    let appliance = Appliance::new();
    let old = appliance.tag("stable");
    appliance.publish("1.0.4", "stable");
    let new = appliance.tag("stable");
    assert_eq!(appliance.version("stable", &[]), "1.0.4");
    let state = appliance.read_state();
    appliance.registry.tag(RELEASES, "stable", &old);
    let run = appliance.resolve("stable", &["--fallback-to-state"]).ends(3).says(&["move 1", "move 2", "replayed"]);
    assert_eq!((run.stdout.as_str(), appliance.read_state()), ("", state.clone()));
    appliance.registry.tag(RELEASES, "stable", &new);
    assert_eq!(appliance.version("stable", &[]), "1.0.4");
    assert_eq!(appliance.read_state(), state, "nothing new, nothing written");
    // Without a state, and by its version, the old one may be had.
    assert_eq!(appliance.version("1.0.3", &[]), "1.0.3");
}

#[test]
fn an_answer_without_a_record_is_refused_once_one_with_a_record_was_followed() {
    let appliance = Appliance::new();
    // As an older publisher's tool would: the release itself under the channel's tag.
    let (recorded, bare) = (appliance.tag("stable"), appliance.tag("1.0.3"));
    appliance.registry.tag(RELEASES, "stable", &bare);
    appliance.resolve("stable", &[]).ends(0).says(&["does not say which of its moves"]);
    appliance.registry.tag(RELEASES, "stable", &recorded);
    assert_eq!(appliance.version("stable", &[]), "1.0.3");
    appliance.publish("1.0.4", "stable");
    appliance.registry.tag(RELEASES, "stable", &bare);
    let state = appliance.read_state();
    let run = appliance.resolve("stable", &["--fallback-to-state"]).ends(3);
    let run = run.says(&["records no move", "move 1 ", "--accept-unrecorded"]);
    assert_eq!((run.stdout.as_str(), appliance.read_state()), ("", state));
    assert_eq!(appliance.version("stable", &["--offline"]), "1.0.3");
    // The name of another channel in the record makes it none of this one.
    appliance.publish("1.0.4", "nightly");
    appliance.registry.tag(RELEASES, "stable", &appliance.tag("nightly"));
    appliance.resolve("stable", &[]).ends(3).says(&["records no move"]);
}

#[test]
fn an_answer_without_a_record_is_followed_where_that_is_accepted_and_the_state_says_so() {
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
    // That one was accepted; an older answer with a record was not.
    assert_eq!(appliance.version("stable", &[]), "1.0.3");
    appliance.registry.tag(RELEASES, "stable", &first);
    appliance.resolve("stable", &["--accept-unrecorded"]).ends(3).says(&["replayed"]);
    appliance.publish("1.0.4", "stable");
    appliance.registry.tag(RELEASES, "stable", &appliance.tag("1.0.4"));
    appliance.resolve("stable", &[]).ends(3).says(&["records no move"]);
}

#[test]
fn a_channel_of_any_name_stays_one_when_an_answer_pretends_to_be_a_version() {
    let appliance = Appliance::new();
    let mut json = served(&appliance.registry, "1.0.3");
    appliance.put("edge", 7, &json);
    json["version"] = "edge".into();
    let followed = appliance.tag("edge");
    assert_eq!(appliance.version("edge", &[]), "1.0.3");
    put_release(&appliance.registry, "edge", &json, &serde_json::json!({}));
    appliance.resolve("edge", &[]).ends(3).says(&["records no move"]);
    appliance.registry.tag(RELEASES, "edge", &appliance.tag("stable"));
    appliance.resolve("edge", &[]).ends(3).says(&["records no move"]);
    appliance.registry.tag(RELEASES, "edge", &followed);
    appliance.resolve("edge", &[]).ends(0);
}

/// The annotations of a move that serves a release.
fn record(channel: &str, sequence: u64, release: &str) -> serde_json::Value {
    let key = |name: &str| format!("vnd.alga.appliance.channel.{name}");
    serde_json::json!({ key("name"): channel, key("sequence"): sequence.to_string(), key("release"): release,
        key("kind"): "publish", key("moved"): "2026-11-23T10:00:00Z" })
}

#[test]
fn the_same_move_with_another_content_is_refused_and_the_current_one_stays() {
    let appliance = Appliance::new();
    assert_eq!(appliance.version("stable", &[]), "1.0.3");
    let state = appliance.read_state();
    appliance.publish("1.0.4", "nightly");
    appliance.put("stable", 1, &served(&appliance.registry, "1.0.4"));
    let run = appliance.resolve("stable", &["--fallback-to-state"]).ends(3).says(&["move 1 ", "another release"]);
    assert_eq!((run.stdout.as_str(), appliance.read_state()), ("", state));
}

#[test]
fn a_jump_is_said_each_time_and_does_not_keep_later_moves_away() {
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
        (&other, release.clone(), "another JSON"),
        (&sound, absent, "404"),
        (&sound, appliance.tag("edge"), "the manifest of a channel"),
        (&sound, digest_of(&foreign), "is not a release"),
    ] {
        put_release(&appliance.registry, "stable", json, &record("stable", 2, &named));
        let run = appliance.resolve("stable", &["--fallback-to-state"]).ends(3);
        let run = run.says(&[&named, word]);
        assert_eq!(run.stdout, "");
        let run = appliance.resolve("stable", &["--offline"]).ends(3);
        assert_eq!(run.stdout, "", "nothing of it is remembered");
    }
    // The value of `channel` is the channel's own.
    put_release(&appliance.registry, "stable", &moved, &record("stable", 2, &release));
    assert_eq!(appliance.version("stable", &[]), "1.0.3");
}

#[test]
fn what_is_refused_leaves_the_control_plane_that_runs() {
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
    held("another JSON");
    put_release(&appliance.registry, "stable", &other, &serde_json::json!({}));
    held("records no move");
    appliance.put("stable", 0, &other);
    held("replayed");
    appliance.put("stable", 2, &other);
    let arguments = ["control-plane", "stable", "--store", &store, "--state", &appliance.state];
    resolve(&[&arguments[..], &["--running", "r.io/x:1"]].concat()).ends(0).prints(&["/evil@"]);
}

#[test]
fn what_the_state_holds_takes_no_more_requests_than_the_manifest_and_the_release() {
    let appliance = Appliance::new();
    let requests = || {
        appliance.registry.clear_log();
        appliance.resolve("stable", &[]).ends(0);
        appliance.registry.lines()
    };
    assert_eq!(requests().len(), 4, "a new one is compared with the release that it names");
    let again = requests();
    assert!(again.len() == 2 && again[0].ends_with("/manifests/stable") && again[1].contains("/blobs/"), "{again:?}");
}

#[test]
fn one_failure_that_passes_is_retried_within_the_timeout() {
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
    // More than one is not outlasted for longer than the timeout.
    appliance.registry.fail(Fault::every("GET", "", portal));
    appliance.resolve("stable", &["--timeout", "1"]).ends(75).says(&["502"]);
}

#[test]
fn another_channels_release_is_refused_where_that_is_asked_for() {
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
fn only_what_is_allowed_may_be_named() {
    let appliance = Appliance::new();
    let address = appliance.registry.address();
    assert_eq!(appliance.version("stable", &["--allow-registry", &address]), "1.0.3");
    let run = appliance.resolve("stable", &["--allow-registry", "ghcr.io"]).ends(3);
    run.says(&["config.repository", &address, "not allowed"]);
    appliance.resolve("stable", &["--allow-registry", "https://not a registry"]).ends(9);
}

#[test]
fn a_damaged_state_is_kept_aside_and_said() {
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
fn a_state_that_cannot_be_written_keeps_nobody_from_the_answer() {
    let appliance = Appliance::new();
    let store = store(&appliance.registry);
    let run = resolve(&["resolve", "stable", "--store", &store, "--state", "/proc/nowhere/state.json"]).ends(0);
    assert_eq!(run.says(&["warning", "/proc/nowhere/state.json"]).json()["version"], "1.0.3");
}

#[test]
fn what_is_no_state_is_left_where_it_is() {
    let appliance = Appliance::new();
    let pipe = appliance.source.path("pipe").display().to_string();
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let null = appliance.source.path("null").display().to_string();
    std::os::unix::fs::symlink("/dev/null", &null).expect("a link");
    let directory = appliance.source.path("ee").display().to_string();
    let store = store(&appliance.registry);
    for state in [&pipe, &null, &directory] {
        resolve(&["resolve", "stable", "--store", &store, "--state", state]).ends(1).says(&[state, "not a file"]);
        assert!(std::fs::symlink_metadata(state).is_ok(), "{state} is gone");
    }
}

#[test]
fn files_without_an_end_are_given_up() {
    let appliance = Appliance::new();
    let store = store(&appliance.registry);
    for (flag, limit) in [("--config", "1 MiB"), ("--ca-file", "4 MiB")] {
        let endless = resolving(&["resolve", "stable", "--store", &store, flag, "/dev/zero"]);
        // Where it were read to its end, memory would be at its end first.
        run(&mut after("ulimit -v 1000000", &endless)).ends(9).says(&["/dev/zero", "larger than", limit]);
    }
}

#[test]
fn every_reference_that_is_none_is_refused_before_a_request() {
    let appliance = Appliance::new();
    appliance.registry.clear_log();
    for reference in ["../../x", "a b", "$(reboot)", "stable\n", "", "sha256:short", "a/b", ";", "stable?x=1"] {
        appliance.resolve(reference, &[]).ends(9);
    }
    assert!(appliance.registry.lines().is_empty());
}

/// A release as small as one may be, in a registry that asks for tokens.
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

/// As the program asks, in this process: thousands of programs would take too long.
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
fn cut_at_each_byte_no_answer_is_taken_for_a_whole_one() {
    let registry = small(false);
    let whole = ask(&registry).expect("a release");
    for part in ["/token", "/manifests/", "/blobs/"] {
        let mut cut = 0;
        loop {
            registry.heal();
            // The first manifest request is answered by where to get a token.
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
            // As many bytes as the body has, and more, leave none of it.
            assert!(ask(&registry).is_err(), "{part}: {missing} bytes less");
        }
    }
}

#[test]
fn over_tls_with_tokens_no_misbehaviour_gives_a_wrong_release() {
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

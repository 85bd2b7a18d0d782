//! What the resolver remembers, and what it refuses.

use alga_release::oci::{Location, Options, ReadStore};
use alga_release::release::{ResolveError, Resolved, resolve as resolve_release};

use crate::support::programs::{Run, Source, after, resolve, resolving, run};
use crate::support::published::{RELEASES, digest_of, publish, store, with_images};
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
fn an_answer_without_a_record_is_followed_with_a_warning_and_the_sequence_stays() {
    let appliance = Appliance::new();
    let first = appliance.tag("stable");
    appliance.publish("1.0.4", "stable");
    assert_eq!(appliance.version("stable", &[]), "1.0.4");
    // As an older publisher's tool would: the release itself under the channel's tag.
    appliance.registry.tag(RELEASES, "stable", &appliance.tag("1.0.3"));
    let run = appliance.resolve("stable", &[]).ends(0).says(&["does not say which of its moves"]);
    assert_eq!(run.json()["version"], "1.0.3");
    appliance.registry.tag(RELEASES, "stable", &first);
    appliance.resolve("stable", &[]).ends(3).says(&["replayed"]);
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

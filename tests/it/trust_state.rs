//! What a resolver with a trust document keeps, and what it does without: the state, seeds, media, the clock's floor, and
//! the number of its requests.

use std::fs;
use std::process::Command;

use alga_release::oci::{Content, Document, Location, Options, Store, Tag};
use serde_json::{Value, json};

use crate::schemas::valid;
use crate::support::programs::{Run, Source, resolve, resolving, run};
use crate::support::published::{RELEASES, digest_of, manifest, publish, record, store};
use crate::support::registry::{Auth, Registry, Setup, at_once, at_once_behind};
use crate::support::require;
use crate::support::signed_channel::{Appliance, MANIFEST, Offer, put_claims, put_release, put_trust, statement};
use crate::support::trust::{DAY, ago, now};

/// Resolves `stable` without the trust document.
fn unverified(appliance: &Appliance, more: &[&str]) -> Run {
    let given = ["--store", &store(&appliance.registry), "--state", &appliance.state_file()];
    resolve(&[&["resolve", "stable"][..], &given, more].concat())
}

#[test]
fn a_later_call_without_the_trust_document_is_refused_until_an_operator_turns_that_off() {
    let appliance = Appliance::following();
    for more in [&[][..], &["--offline"], &["--fallback-to-state"]] {
        let run = unverified(&appliance, more).ends(3);
        assert_eq!(run.stdout, "");
        run.says(&["were verified before", "`--trust FILE`", "`--forget-trust REASON`"]);
    }
    let variable = appliance.vendor.file("trust.json");
    let given = ["--store", &store(&appliance.registry), "--state", &appliance.state_file()];
    let mut command = resolving(&[&["resolve", "stable"][..], &given].concat());
    run(command.env("ALGA_TRUST_FILE", &variable)).ends(0).says(&["note: verified 1.0.3"]);
    unverified(&appliance, &["--forget-trust", ""]).ends(9);
    unverified(&appliance, &["--forget-trust", "moving", "--trust", &variable]).ends(9);
    unverified(&appliance, &["--forget-trust", "moving to another vendor"]).ends(0);
    unverified(&appliance, &[]).ends(0);
    let state = appliance.state();
    assert_eq!(state["decisions"][0]["reason"], "moving to another vendor");
    valid("state.json", &state);
    // What was accepted still counts, and verification is on again.
    appliance.offer("1.0.2", 4).put(&appliance.registry);
    appliance.refuses("replay");
    appliance.offer("1.0.4", 6).put(&appliance.registry);
    appliance.resolve(&[]).ends(0);
    unverified(&appliance, &[]).ends(3);
}

#[test]
fn releases_that_were_followed_without_verification_do_not_count() {
    let appliance = Appliance::new();
    let mut offer = appliance.offer("6.6.6", 90);
    let bundles = std::mem::take(&mut offer.bundles);
    offer.put(&appliance.registry);
    unverified(&appliance, &[]).ends(0);
    let run = appliance.resolve(&["--offline"]).ends(3).says(&["the state has no release"]);
    assert_eq!(run.stdout, "");
    appliance.refuses("unsigned");
    // The manifest is the one that was followed, and is read again as a whole: its release is another one.
    offer.bundles = bundles;
    offer.json = crate::support::signed_channel::release_json("6.6.7", "stable");
    offer.put(&appliance.registry);
    appliance.refuses("json-differs");
    // The move has a lower number than the unsigned one.
    appliance.offer("1.0.3", 91).put(&appliance.registry);
    appliance.resolve(&[]).ends(0);
}

#[test]
fn without_a_state_the_seed_says_what_counts() {
    // 23.
    let appliance = Appliance::following();
    fs::remove_file(appliance.state_path()).expect("removed");
    let seed = appliance.vendor.path("trust.seed.json");
    fs::write(&seed, r#"{"stable":{"epoch":1,"sequence":6}}"#).expect("written");
    // 21: a rollback below the floor.
    appliance.offer("1.0.2", 5).put(&appliance.registry);
    appliance.refuses("replay");
    for sequence in [6, 7] {
        appliance.offer("1.0.4", sequence).put(&appliance.registry);
        appliance.resolve(&[]).ends(0);
    }
    // The state counts when it is higher, and the seed when that is.
    appliance.offer("1.0.2", 6).put(&appliance.registry);
    appliance.refuses("replay");
    fs::write(&seed, r#"{"stable":{"epoch":2,"sequence":1}}"#).expect("written");
    appliance.offer("1.0.5", 9).put(&appliance.registry);
    appliance.refuses("replay");
    for wrong in ["", "[]", r#"{"stable":7}"#, r#"{"stable":{"epoch":1}}"#] {
        fs::write(&seed, wrong).expect("written");
        appliance.resolve(&[]).ends(9).says(&["cannot read the seed", "trust.seed.json"]);
    }
}

#[test]
fn a_damaged_state_is_refused_and_stays_where_it_is() {
    // 24.
    let appliance = Appliance::following();
    let whole = fs::read(appliance.state_path()).expect("a state");
    for damaged in [&whole[..whole.len() / 2], b"", b"null"] {
        fs::write(appliance.state_path(), damaged).expect("written");
        for _ in 0..2 {
            let run = appliance.resolve(&[]).ends(3).says(&["failed to read the state", "it is damaged", "backup"]);
            assert_eq!(run.stdout, "");
            let plane = ["control-plane", "stable", "--running", "r.io/p:1", "--baseline", "r.io/p:0"];
            assert_eq!(appliance.run(&plane, &[]).ends(0).stdout, "");
        }
        assert_eq!(fs::read(appliance.state_path()).expect("a state"), damaged);
    }
    // Also without a trust document, as long as the file says that one was used.
    fs::write(appliance.state_path(), &whole[..whole.len() - 10]).expect("written");
    unverified(&appliance, &[]).ends(3).says(&["it is damaged"]);
    fs::write(appliance.state_path(), whole).expect("written");
    appliance.change_state(|root| root["positions"] = 7.into());
    appliance.resolve(&[]).ends(3).says(&["the state's entry about trust is damaged"]);
}

#[test]
fn nothing_is_printed_before_the_state_is_written() {
    let appliance = Appliance::following();
    appliance.offer("1.0.4", 6).put(&appliance.registry);
    let directory = appliance.state_path();
    let blocked = directory.with_file_name(".state.json.new");
    fs::create_dir(&blocked).expect("a directory");
    for command in [&["resolve", "stable"][..], &["render", "stable"]] {
        let run = appliance.run(command, &[]).ends(1).says(&["failed to write the state"]);
        assert_eq!(run.stdout, "");
    }
    let plane = ["control-plane", "stable", "--running", "r.io/p:1", "--baseline", "r.io/p:0"];
    assert_eq!(appliance.run(&plane, &[]).ends(0).says(&["failed to write the state"]).stdout, "");
    fs::remove_dir(&blocked).expect("removed");
    appliance.resolve(&[]).ends(0);
    valid("state.json", &appliance.state());
}

#[test]
fn a_trust_document_that_cannot_be_used_stops_the_run_and_not_the_control_plane() {
    let appliance = Appliance::following();
    let file = appliance.vendor.path("trust.json");
    let whole = fs::read(&file).expect("a document");
    let plane = ["control-plane", "stable", "--running", "", "--baseline", "r.io/p:0"];
    for broken in [Some(&whole[..whole.len() - 9]), Some(b"{}"), None] {
        match broken {
            Some(bytes) => fs::write(&file, bytes).expect("written"),
            None => fs::remove_file(&file).expect("removed"),
        }
        let run = appliance.resolve(&[]).ends(9).says(&["trust.json"]);
        assert_eq!(run.stdout, "");
        assert_eq!(appliance.run(&plane, &[]).ends(0).stdout, "r.io/p:0\n");
    }
    let more = ["--accept-expired", &digest_of(b""), "--reason", "old"];
    fs::write(&file, whole).expect("written");
    appliance.resolve(&more).ends(9).says(&["is for archives and layouts"]);
    appliance.resolve(&more[..2]).ends(9).says(&["require each other"]);
    appliance
        .resolve(&["--accept-expired", "x", "--reason", "old"])
        .ends(9)
        .says(&["invalid value for `--accept-expired`: invalid digest"]);
}

#[test]
fn the_output_has_the_documented_form() {
    let appliance = Appliance::following();
    valid("verified.json", &appliance.resolve(&["--output", "json"]).ends(0).json()["trust"]);
    valid("verified.json", &appliance.resolve(&["--output", "json", "--offline"]).ends(0).json()["trust"]);
    let release = put_release(&appliance.registry, "1.0.3");
    put_claims(&appliance.registry, &release, &[appliance.vendor.key("release")]);
    let pinned = appliance.run(&["resolve", "1.0.3", "--output", "json"], &[]).ends(0).json();
    valid("verified.json", &pinned["trust"]);
    let with_trust = appliance.resolve(&["--output", "json"]).ends(0).json();
    valid("release.json", &with_trust);
    valid("state.json", &appliance.state());
}

/// Returns the number of requests of a run that must succeed.
fn requests(registry: &Registry, work: impl FnOnce() -> Run) -> usize {
    registry.clear_log();
    work().ends(0);
    registry.log().len()
}

#[test]
fn verification_takes_no_further_round_trip() {
    let appliance = Appliance::following();
    let offer = appliance.offer("1.0.4", 6);
    offer.put(&appliance.registry);
    let fresh = |name: &str| {
        let path = appliance.state_path().with_file_name(name).display().to_string();
        let store = store(&appliance.registry);
        move || resolve(&["resolve", "stable", "--store", &store, "--state", &path])
    };
    let plain = fresh("other.json");
    assert_eq!((requests(&appliance.registry, &plain), requests(&appliance.registry, &plain)), (4, 2));
    // The statement twice, refresh and release; trust documents 1 and 2.
    let verified = || appliance.resolve(&[]);
    assert_eq!(requests(&appliance.registry, verified), 4 + 4 + 2);
    // Unchanged: the channel's manifest and the two trust documents.
    assert_eq!(requests(&appliance.registry, verified), 1 + 2);
    // At once: the channel and two trust documents, then the JSON and all bundles.
    appliance.offer("1.0.5", 7).put(&appliance.registry);
    at_once(&appliance.registry, "/manifests/", 3, || drop(appliance.resolve(&[]).ends(0)));
    appliance.offer("1.0.5", 8).put(&appliance.registry);
    at_once(&appliance.registry, "/blobs/", 5, || drop(appliance.resolve(&[]).ends(0)));
    // A version: the release, then its JSON and the signatures, then the claims.
    put_claims(&appliance.registry, &offer.statement.release, &[appliance.vendor.key("release")]);
    let pinned = || appliance.run(&["resolve", "1.0.4"], &[]);
    assert_eq!(requests(&appliance.registry, pinned), 2 + 2 + 2);
    let manifests = ("/manifests/", 0);
    at_once_behind(&appliance.registry, manifests, 3, || drop(pinned().ends(0)));
}

#[test]
fn a_registry_with_tokens_is_followed_by_the_same_rules() {
    let appliance = Appliance::following();
    let offer = appliance.offer("1.0.4", 6);
    offer.put(&appliance.registry);
    let setup = Setup { auth: Auth::Token { realm: None, user: None }, ..Setup::default() };
    let copy = Registry::copy_of(&appliance.registry, setup);
    copy.publish(RELEASES);
    appliance.resolve(&["--store", &store(&copy)]).ends(0);
}

/// Writes the channel of an offer, with the release and trust documents, to a directory of layouts.
pub fn write_layout(directory: &std::path::Path, offer: &Offer, registry: &Registry) -> String {
    let location = format!("oci-layout:{}", directory.display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = Location::parse(&location, false).expect("a location");
        let store = Store::open(&store, Options::default()).expect("a store");
        let repository = "alga-appliance-release".parse().expect("a repository");
        let blobs = std::cell::RefCell::new(Vec::new());
        let manifest = offer.manifest(|media_type, bytes| {
            blobs.borrow_mut().push(Content::new(media_type, bytes.to_vec()));
            json!({ "mediaType": media_type, "digest": digest_of(bytes), "size": bytes.len() })
        });
        let release = registry.manifest(RELEASES, offer.statement.release.as_str()).expect("a manifest").1;
        let parsed: Value = serde_json::from_slice(&release).expect("JSON");
        let config = parsed["config"]["digest"].as_str().expect("a digest");
        let media_type = parsed["config"]["mediaType"].as_str().expect("a type");
        blobs.borrow_mut().push(Content::new(media_type, registry.blob(RELEASES, config).expect("a blob")));
        for blob in blobs.into_inner() {
            store.push_blob(&repository, &blob).await.expect("pushed");
        }
        for (bytes, tag) in [(release, "1.0.3"), (manifest.to_string().into_bytes(), "stable")] {
            let document = Document::new(MANIFEST, bytes);
            let tag: Tag = tag.parse().expect("a tag");
            store.push_manifest(&repository, &document, Some(&tag)).await.expect("pushed");
        }
    });
    location
}

#[test]
fn media_need_no_refresh_and_expired_ones_are_accepted_only_by_name() {
    let appliance = Appliance::new();
    let mut offer = appliance.offer("1.0.3", 5);
    // Only the statement itself must be current.
    offer.bundles.remove(2);
    let directory = tempfile::tempdir().expect("a directory");
    let current = write_layout(&directory.path().join("current"), &offer, &appliance.registry);
    appliance.resolve(&["--store", &current]).ends(0);
    let mut old = offer.statement.clone();
    (old.sequence, old.issued, old.expires) = (6, ago(9 * DAY), ago(2 * DAY));
    let mut old = Offer::of(&appliance.vendor, "1.0.3", old);
    old.bundles.remove(2);
    let expired = write_layout(&directory.path().join("expired"), &old, &appliance.registry);
    let digest = old.statement.release.to_string();
    let media = |more: &[&str]| appliance.resolve(&[&["--store", &expired][..], more].concat());
    let run = media(&[]).ends(3).says(&["refused (expired)", "--accept-expired DIGEST --reason TEXT"]);
    assert_eq!(run.stdout, "");
    media(&["--accept-expired", &digest_of(b""), "--reason", "x"]).ends(3).says(&["refused (expired)"]);
    let run = media(&["--accept-expired", &digest, "--reason", "no newer disk", "--output", "json"]).ends(0);
    assert!(run.json()["trust"]["stale"].as_str().expect("a reason").contains("expired"));
    let decision = &appliance.state()["decisions"][0];
    assert_eq!((&decision["option"], &decision["release"]), (&json!("accept-expired"), &json!(digest)));
    // All other rules hold: an older move is a replay.
    appliance.resolve(&["--store", &current]).ends(3).says(&["refused (replay)"]);
}

#[test]
fn an_expired_trust_document_on_media_is_accepted_for_one_release_by_name_and_no_other_rule_is_set_aside() {
    let mut appliance = Appliance::new();
    appliance.vendor.document.issued = ago(30 * DAY);
    appliance.vendor.document.expires = ago(DAY);
    appliance.vendor.write();
    let offer = appliance.offer("1.0.3", 5);
    let digest = offer.statement.release.to_string();
    let directory = tempfile::tempdir().expect("a directory");
    let layout = write_layout(&directory.path().join("current"), &offer, &appliance.registry);
    let media = |what: &str, more: &[&str]| appliance.run(&["resolve", what], &[&["--store", &layout], more].concat());
    let accept = ["--accept-expired", &digest, "--reason", "no newer disk"];
    let refused = media("stable", &[]).ends(3).says(&["refused (trust-expired)", "use newer media"]);
    refused.says(&["--accept-expired DIGEST --reason TEXT"]);
    media("stable", &["--accept-expired", &digest_of(b""), "--reason", "x"]).ends(3).says(&["refused (trust-expired)"]);
    let run = media("stable", &[&accept[..], &["--output", "json"]].concat()).ends(0).json();
    assert!(run["trust"]["stale"].as_str().expect("a reason").contains("trust document version 1 expired"));
    let decisions = appliance.state()["decisions"].clone();
    assert_eq!((&decisions[0]["option"], &decisions[0]["release"]), (&json!("accept-expired"), &json!(digest)));
    // Neither the next call nor a registry is accepted by that decision.
    media("stable", &[]).ends(3).says(&["refused (trust-expired)"]);
    offer.put(&appliance.registry);
    appliance.resolve(&[]).ends(3).says(&["refused (trust-expired)", "publishes the next trust document"]);
    // A version and a digest need the flag too, and a signature all the same.
    media("1.0.3", &[]).ends(3).says(&["refused (trust-expired)"]);
    media("1.0.3", &accept).ends(3).says(&["refused (release-unsigned)"]);
    let unsigned = Offer { bundles: Vec::new(), ..appliance.offer("1.0.3", 6) };
    let layout = write_layout(&directory.path().join("unsigned"), &unsigned, &appliance.registry);
    appliance.resolve(&[&["--store", &layout], &accept[..]].concat()).ends(3).says(&["refused (unsigned)"]);
}

/// Publishes the fixtures to `nightly` without signatures, and returns the signed move to what was published.
fn published(appliance: &Appliance) -> Offer {
    let source = Source::new();
    publish(&source, &appliance.registry, "1.0.3", "nightly", &[]).ends(0);
    let release = record(&appliance.registry, "nightly", "release").expect("a record").parse().expect("a digest");
    let statement = statement(&appliance.vendor, "nightly", &release, 1);
    let config = manifest(&appliance.registry, "nightly")["config"]["digest"].as_str().expect("a digest").to_owned();
    let json = appliance.registry.blob(RELEASES, &config).expect("a blob");
    Offer { json, ..Offer::of(&appliance.vendor, "1.0.3", statement) }
}

#[test]
fn a_verified_release_is_rendered_from_the_store_and_from_the_state() {
    let appliance = Appliance::new();
    let mut offer = published(&appliance);
    let render = |more: &[&str]| appliance.run(&["render", "nightly"], more);
    render(&["--host", "a.example"]).ends(3).says(&["refused (unsigned)"]);
    offer.put(&appliance.registry);
    let rendered = render(&["--host", "a.example", "--output", "json"]).ends(0).json();
    valid("render.json", &rendered);
    valid("state.json", &appliance.state());
    assert_eq!(rendered["trust"]["sequence"], 1);
    let open = rendered["trust"]["notCovered"].as_array().expect("a list").clone();
    assert!(open.contains(&json!("image algaCore 62cdce38")), "{open:?}");
    let stream = render(&[]).ends(0).says(&["note: verified 1.0.3: signed by"]);
    assert_eq!(render(&["--offline"]).ends(0).stdout, stream.stdout);
    // After its time it is still rendered, and said to be stale.
    offer.statement.sequence = 2;
    (offer.statement.issued, offer.statement.expires) = (ago(9 * DAY), ago(DAY));
    let expired = Offer { json: offer.json, ..Offer::of(&appliance.vendor, "1.0.3", offer.statement) };
    expired.put(&appliance.registry);
    assert_eq!(render(&[]).ends(3).stdout, "");
    assert_eq!(render(&["--fallback-to-state"]).ends(0).says(&["refused (expired)"]).stdout, stream.stdout);
}

#[test]
fn a_resolver_killed_at_any_write_has_printed_nothing_that_its_state_does_not_have() {
    let Some(strace) = require("strace") else { return };
    let appliance = Appliance::following();
    let state = fs::read(appliance.state_path()).expect("a state");
    let next = appliance.offer("1.0.4", 6);
    next.put(&appliance.registry);
    let mut kills = 0;
    for call in ["write", "rename", "fsync", "mkdir", "flock"] {
        for number in 1.. {
            fs::write(appliance.state_path(), &state).expect("written");
            let inject = format!("inject={call}:signal=KILL:when={number}");
            let mut traced = Command::new(&strace);
            traced.env_clear().args(["-f", "-qq", "-e", &format!("trace={call}"), "-e", &inject, "-o", "/dev/null"]);
            traced.args(["--", env!("CARGO_BIN_EXE_alga-resolve"), "resolve", "stable"]).args(appliance.options());
            let output = traced.output().expect("strace");
            let held = appliance.state()["trust"].as_object().expect("roots").values().next().expect("a root").clone();
            let (sequence, release) =
                (&held["positions"]["alga-psa/stable"]["sequence"], &held["releases"]["alga-psa/stable"]);
            let what = format!("killed at {call} {number}: {held:#}");
            let kept = release["json"].as_str().expect("JSON").as_bytes();
            assert!(output.stdout.is_empty() || kept == output.stdout, "{what}");
            assert!(*sequence == 6 || (*sequence == 5 && output.stdout.is_empty()), "{what}");
            assert!(kept != next.json || *sequence == 6, "{what}");
            if output.status.success() {
                break;
            }
            kills += 1;
            assert_eq!(appliance.resolve(&[]).ends(0).stdout.as_bytes(), next.json, "{what}");
        }
    }
    assert!(kills > 8, "the program was killed at only {kills} calls");
}

#[test]
fn a_baked_trust_document_makes_verification_mandatory() {
    let Some(unshare) = require("unshare") else { return };
    let appliance = Appliance::new();
    appliance.offer("1.0.3", 5).put(&appliance.registry);
    let baked = |more: &[&str]| {
        let script = "mount -t tmpfs none /etc && mkdir /etc/alga && cp \"$0\" /etc/alga/trust.json && exec \"$@\"";
        let mut command = Command::new(&unshare);
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").args(["--mount", "sh", "-c", script]);
        command.arg(appliance.vendor.path("trust.json")).arg(env!("CARGO_BIN_EXE_alga-resolve"));
        command.args(["resolve", "stable", "--store", &store(&appliance.registry), "--state", &appliance.state_file()]);
        run(command.args(more))
    };
    let first = baked(&[]);
    if first.stderr.contains("unshare:") || first.stderr.contains("mount:") {
        crate::support::missing("a mount namespace is not allowed here");
        return;
    }
    first.ends(0).says(&["note: verified 1.0.3"]);
    let mut unsigned = appliance.offer("1.0.4", 6);
    unsigned.bundles.clear();
    unsigned.put(&appliance.registry);
    baked(&[]).ends(3).says(&["refused (unsigned)"]);
    let run = baked(&["--forget-trust", "a test of the vendor's registry"]).ends(0);
    assert_eq!(run.json()["version"], "1.0.4");
    baked(&[]).ends(3).says(&["refused (unsigned)"]);
}

#[test]
fn the_trust_chain_is_followed_to_its_end_and_not_for_ever() {
    let mut appliance = Appliance::following();
    for version in 2..30 {
        appliance.vendor.document.version = version;
        appliance.vendor.document.issued = ago(60);
        appliance.vendor.document.expires = if version == 29 { now().plus(DAY) } else { ago(1) };
        put_trust(&appliance.registry, version, &appliance.vendor.envelope());
    }
    let run = appliance.resolve(&["--output", "json"]).ends(0).json();
    assert_eq!(run["trust"]["trustVersion"], 29);
}

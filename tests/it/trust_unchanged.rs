//! A channel that did not change is accepted without its signatures being read again. No check of its own is left out:
//! here, the channel stays and everything else changes.

use std::fs;

use alga_release::trust::RefreshStatement;

use crate::support::published::store;
use crate::support::registry::Registry;
use crate::support::signed_channel::{Appliance, bundle, put_trust};
use crate::support::trust::{DAY, ago, now};

/// Number of blobs that a run read.
fn blobs(registry: &Registry, work: impl FnOnce()) -> usize {
    registry.clear_log();
    work();
    registry.lines().into_iter().filter(|line| line.contains("/blobs/")).count()
}

/// Changes what the state says was verified of `stable`.
fn change_facts(appliance: &Appliance, key: &str, value: impl Into<serde_json::Value>) {
    appliance.change_state(|root| root["releases"]["alga-psa/stable"]["verified"][key] = value.into());
}

#[test]
fn an_unchanged_channel_is_answered_without_reading_its_layers() {
    let appliance = Appliance::following();
    let held = appliance.remembered();
    let state = fs::read(appliance.state_path()).expect("a state");
    let read = blobs(&appliance.registry, || {
        for format in ["json", "text"] {
            let run = appliance.resolve(&["--output", format]).ends(0);
            run.prints(&["1.0.3"]);
        }
        assert_eq!(appliance.resolve(&[]).ends(0).stdout, held);
    });
    assert_eq!((read, fs::read(appliance.state_path()).expect("a state")), (0, state));
    let text = appliance.resolve(&["--output", "text"]).ends(0);
    text.prints(&["channel  stable (move 5, ", "epoch 1, sequence 5, until"]);
    // The facts are those of the whole verification.
    let short = appliance.resolve(&["--output", "json"]).ends(0).stdout;
    let whole = blobs(&appliance.registry, || {
        change_facts(&appliance, "statement", serde_json::Value::Null);
        assert_eq!(appliance.resolve(&["--output", "json"]).ends(0).stdout, short);
    });
    assert_eq!(whole, 5, "the JSON, two statements, the refresh and the signature of the release");
    // Also from another store: what was accepted does not depend on it.
    let mirror = Registry::copy_of(&appliance.registry, crate::support::registry::Setup::default());
    assert_eq!(blobs(&mirror, || drop(appliance.resolve(&["--store", &store(&mirror)]).ends(0))), 0);
}

#[test]
fn what_the_state_lacks_or_says_otherwise_is_verified_again() {
    for (key, value) in [
        ("statement", "sha256:0000000000000000000000000000000000000000000000000000000000000000".to_owned()),
        ("trustDocument", "sha256:0000000000000000000000000000000000000000000000000000000000000000".to_owned()),
        ("issued", now().plus(2 * 3600).to_string()),
        ("expires", ago(1).to_string()),
        ("expires", "soon".to_owned()),
    ] {
        let appliance = Appliance::following();
        let before = appliance.remembered();
        change_facts(&appliance, key, value.clone());
        let read = blobs(&appliance.registry, || assert_eq!(appliance.resolve(&[]).ends(0).stdout, before));
        assert!(read > 3, "{key} {value}: {read}");
        assert_eq!(blobs(&appliance.registry, || drop(appliance.resolve(&[]).ends(0))), 0, "{key} {value}");
    }
    // A position above or beside the one in the state's facts is what counts.
    let appliance = Appliance::following();
    appliance.change_state(|root| root["positions"]["alga-psa/stable"]["sequence"] = 6.into());
    appliance.refuses("replay");
    appliance.change_state(|root| root["positions"]["alga-psa/stable"]["sequence"] = 5.into());
    appliance.resolve(&[]).ends(0);
    let other = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
    appliance.change_state(|root| root["positions"]["alga-psa/stable"]["payload"] = other.into());
    appliance.refuses("equivocation");
    // Another JSON in the state is not printed.
    let appliance = Appliance::following();
    let before = appliance.remembered();
    appliance.change_state(|root| {
        let json = &mut root["releases"]["alga-psa/stable"]["json"];
        *json = json.as_str().expect("a text").replace("1.0.3", "6.6.6").into();
    });
    assert_eq!(appliance.resolve(&[]).ends(0).stdout, before);
}

#[test]
fn an_unchanged_channel_is_refused_when_a_later_trust_document_forbids_it() {
    let mut appliance = Appliance::following();
    let release = appliance.state()["trust"].as_object().expect("roots").values().next().expect("a root")["releases"]
        ["alga-psa/stable"]["releaseDigest"]
        .as_str()
        .expect("a digest")
        .parse()
        .expect("a digest");
    appliance.vendor.document.version = 2;
    put_trust(&appliance.registry, 2, &appliance.vendor.envelope());
    assert_eq!(blobs(&appliance.registry, || drop(appliance.resolve(&[]).ends(0))), 6, "verified under version 2");
    assert_eq!(blobs(&appliance.registry, || drop(appliance.resolve(&[]).ends(0))), 0);
    appliance.vendor.document.version = 3;
    appliance.vendor.document.withdrawn.insert(release);
    put_trust(&appliance.registry, 3, &appliance.vendor.envelope());
    appliance.refuses("withdrawn");
    appliance.vendor.document.version = 4;
    appliance.vendor.document.withdrawn.clear();
    appliance.vendor.document.channels.get_mut("stable").expect("a role").epoch = 2;
    put_trust(&appliance.registry, 4, &appliance.vendor.envelope());
    appliance.refuses("other-epoch");
}

#[test]
fn a_seed_above_what_was_accepted_counts_for_an_unchanged_channel() {
    let appliance = Appliance::following();
    let seed = appliance.vendor.path("trust.seed.json");
    fs::write(&seed, r#"{"stable":{"epoch":1,"sequence":6}}"#).expect("written");
    appliance.refuses("replay");
    fs::write(&seed, r#"{"stable":{"epoch":1,"sequence":5}}"#).expect("written");
    appliance.resolve(&[]).ends(0);
}

#[test]
fn a_channel_whose_accepted_refresh_has_expired_is_refused_although_the_channel_is_the_same() {
    let appliance = Appliance::new();
    let mut offer = appliance.offer("1.0.3", 5);
    offer.put(&appliance.registry);
    appliance.resolve(&[]).ends(0);
    // The state of an appliance that accepted this manifest before its refresh expired.
    let refresh = RefreshStatement::of(&offer.statement, 1, ago(9 * DAY), ago(DAY));
    offer.bundles[2] = bundle(&refresh.to_payload(), appliance.vendor.key("refresh"));
    let manifest = offer.put(&appliance.registry);
    appliance.change_state(|root| {
        let release = &mut root["releases"]["alga-psa/stable"];
        release["manifest"] = manifest.to_string().into();
        release["verified"]["issued"] = refresh.issued.to_string().into();
        release["verified"]["expires"] = refresh.expires.to_string().into();
    });
    appliance.refuses("refresh-expired");
}

#[test]
fn what_media_gave_is_verified_by_the_rules_of_a_registry() {
    // Without a refresh, and with an expired statement that an operator accepts.
    let appliance = Appliance::new();
    let mut offer = appliance.offer("1.0.3", 5);
    offer.bundles.remove(2);
    offer.put(&appliance.registry);
    let directory = tempfile::tempdir().expect("a directory");
    let layout = crate::trust_state::write_layout(&directory.path().join("a"), &offer, &appliance.registry);
    for _ in 0..2 {
        appliance.resolve(&["--store", &layout]).ends(0);
        appliance.refuses("no-refresh");
    }
    let mut statement = offer.statement.clone();
    (statement.sequence, statement.issued, statement.expires) = (6, ago(9 * DAY), ago(2 * DAY));
    let old = crate::support::signed_channel::Offer::of(&appliance.vendor, "1.0.3", statement);
    old.put(&appliance.registry);
    let layout = crate::trust_state::write_layout(&directory.path().join("b"), &old, &appliance.registry);
    let digest = old.statement.release.to_string();
    let accept = ["--store", &layout, "--accept-expired", &digest, "--reason", "no newer disk"];
    for _ in 0..2 {
        appliance.resolve(&accept).ends(0);
        appliance.resolve(&accept[..2]).ends(3).says(&["refused (expired)"]);
        appliance.refuses("expired");
    }
}

//! An appliance gets an image with another baked trust document: what it knows goes on to count.

use std::fs;

use alga_release::trust::Time;
use serde_json::Value;

use crate::schemas::valid;
use crate::support::registry::{Action, Fault};
use crate::support::signed_channel::{Appliance, put_trust};
use crate::support::trust::Vendor;

/// Warning that something in the state does not count.
const LEFT: &str = "the state has statements that were accepted under another trust document of alga-psa";

/// Makes the next version of the trust document, publishes it, and bakes it into the appliance if told so.
fn next(appliance: &mut Appliance, is_baked: bool) {
    appliance.vendor.document.version += 1;
    put_trust(&appliance.registry, appliance.vendor.document.version, &appliance.vendor.envelope());
    if is_baked {
        appliance.vendor.write();
    }
}

/// Checks that the older move is a replay, that the release in the state is still there, and that a later move is followed.
#[track_caller]
fn goes_on(appliance: &Appliance) {
    let held = appliance.resolve(&["--offline"]).ends(0);
    assert!(held.stdout.contains("\"version\":\"1.0.3\""), "{held:?}");
    appliance.offer("1.0.2", 4).put(&appliance.registry);
    let run = appliance.refuses("replay");
    assert!(!run.stderr.contains(LEFT), "{}", run.stderr);
    appliance.offer("1.0.4", 6).put(&appliance.registry);
    let run = appliance.resolve(&[]).ends(0);
    assert!(!run.stderr.contains(LEFT), "{}", run.stderr);
    appliance.offer("1.0.3", 5).put(&appliance.registry);
    appliance.refuses("replay");
    valid("state.json", &appliance.state());
}

#[test]
fn a_later_baked_version_keeps_what_was_accepted_under_the_one_before() {
    let mut appliance = Appliance::following();
    next(&mut appliance, true);
    goes_on(&appliance);
}

#[test]
fn a_baked_version_that_the_appliance_has_followed_already_keeps_what_was_accepted() {
    let mut appliance = Appliance::following();
    next(&mut appliance, false);
    next(&mut appliance, false);
    appliance.resolve(&[]).ends(0);
    appliance.vendor.write();
    goes_on(&appliance);
}

#[test]
fn a_baked_version_some_steps_ahead_is_reached_by_the_chain_in_the_store() {
    let mut appliance = Appliance::following();
    next(&mut appliance, false);
    next(&mut appliance, false);
    next(&mut appliance, true);
    // As long as the chain cannot be read, nothing is accepted without it.
    appliance.registry.fail(Fault::every("GET", "/manifests/trust-2", Action::status(500, "")));
    appliance.offer("1.0.2", 4).put(&appliance.registry);
    appliance.resolve(&["--timeout", "2"]).ends(75);
    appliance.registry.heal();
    appliance.resolve(&[]).ends(3).says(&["refused (replay)"]);
    goes_on(&appliance);
}

#[test]
fn a_baked_version_behind_the_one_in_force_reaches_it_by_the_chain_in_the_store() {
    let mut appliance = Appliance::following();
    next(&mut appliance, false);
    let second = appliance.vendor.envelope();
    for _ in 3..6 {
        next(&mut appliance, false);
    }
    appliance.resolve(&[]).ends(0);
    fs::write(appliance.vendor.path("trust.json"), second).expect("written");
    appliance.offer("1.0.2", 4).put(&appliance.registry);
    appliance.resolve(&[]).ends(3).says(&["refused (replay)"]);
    goes_on(&appliance);
    let documents = appliance.state()["trust"].as_object().expect("roots").len();
    assert_eq!(documents, 2);
}

#[test]
fn an_image_that_is_rolled_back_keeps_what_the_later_one_accepted() {
    let mut appliance = Appliance::following();
    let first = fs::read(appliance.vendor.path("trust.json")).expect("a document");
    next(&mut appliance, true);
    appliance.offer("1.0.3", 9).put(&appliance.registry);
    appliance.resolve(&[]).ends(0);
    fs::write(appliance.vendor.path("trust.json"), first).expect("written");
    appliance.offer("1.0.2", 8).put(&appliance.registry);
    appliance.refuses("replay");
}

#[test]
fn the_floor_of_the_clock_is_taken_over_and_the_seed_counts_when_it_is_higher() {
    let mut appliance = Appliance::following();
    let ahead = Time::from_seconds(crate::support::trust::now().seconds() + 90_000);
    appliance.change_state(|root| root["floor"] = ahead.to_string().into());
    next(&mut appliance, true);
    appliance.refuses("clock-fault").says(&[&ahead.to_string()]);
    appliance.resolve(&["--reset-time-floor", "a test"]).ends(0);
    fs::write(appliance.vendor.path("trust.seed.json"), r#"{"stable":{"epoch":1,"sequence":8}}"#).expect("written");
    appliance.offer("1.0.4", 7).put(&appliance.registry);
    appliance.refuses("replay");
}

#[test]
fn what_cannot_be_taken_over_is_reported_until_something_else_is_accepted() {
    let mut appliance = Appliance::following();
    appliance.offer("1.0.3", 50).put(&appliance.registry);
    appliance.resolve(&[]).ends(0);
    // A vendor who lost the root keys starts a new chain for the same product.
    appliance.vendor = Vendor::new();
    let mut unsigned = appliance.offer("1.0.4", 1);
    let bundles = std::mem::take(&mut unsigned.bundles);
    unsigned.put(&appliance.registry);
    for _ in 0..2 {
        let run = appliance.resolve(&[]).ends(3).says(&["refused (unsigned)"]);
        assert_eq!(run.stderr.matches(LEFT).count(), 1, "{}", run.stderr);
    }
    unsigned.bundles = bundles;
    unsigned.put(&appliance.registry);
    assert_eq!(appliance.resolve(&[]).ends(0).stderr.matches(LEFT).count(), 1);
    assert!(!appliance.resolve(&[]).ends(0).stderr.contains(LEFT));
    // The entry of an older program does not say which document it is about.
    let mut appliance = Appliance::following();
    appliance.change_state(|root| drop(root.as_object_mut().expect("an object").remove("baked")));
    next(&mut appliance, true);
    assert_eq!(appliance.resolve(&[]).ends(0).stderr.matches(LEFT).count(), 1);
}

#[test]
fn the_trust_document_is_remembered_also_when_the_first_run_is_refused() {
    let appliance = Appliance::new();
    let mut offer = appliance.offer("1.0.3", 5);
    offer.bundles.clear();
    offer.put(&appliance.registry);
    let store = crate::support::published::store(&appliance.registry);
    let given = ["resolve", "stable", "--store", &store, "--state", &appliance.state_file()];
    let unverified = || crate::support::programs::resolve(&given);
    appliance.resolve(&[]).ends(3).says(&["refused (unsigned)"]);
    let run = unverified().ends(3).says(&["were verified before", "`--forget-trust REASON`"]);
    assert_eq!(run.stdout, "");
    let state = appliance.state();
    valid("state.json", &state);
    let root = state["trust"].as_object().expect("roots").values().next().expect("a root");
    assert_eq!((&root["positions"], &root["floor"]), (&serde_json::json!({}), &Value::Null));
}

//! Checks that the JSON outputs are valid under their published schemas.

use std::path::Path;

use serde_json::Value;

use crate::support::programs::{Source, alga, resolve};
use crate::support::published::store;
use crate::support::registry::Registry;
use crate::support::release_with_images::release;

#[track_caller]
pub fn valid(schema: &str, instance: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas").join(schema);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    let schema = serde_json::from_str(&text).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let errors: Vec<String> =
        validator.iter_errors(instance).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{}: {errors:#?}\n{instance:#}", path.display());
}

#[test]
fn reports_plans_and_releases_are_valid_under_their_schemas() {
    let source = Source::new();
    let layout = source.layout();
    let arguments = ["--version", "1.0.3", "--channel", "nightly", "--store", &layout, "--output", "json"];
    let dry = source.publish(&[&arguments[..], &["--dry-run"]].concat()).ends(0).json();
    valid("report.json", &dry);
    valid("plan.json", &dry["plan"]);
    valid("diff.json", &dry["diff"]);
    valid("lint.json", &dry["lint"]);
    for _ in 0..2 {
        valid("report.json", &source.publish(&arguments).ends(0).json());
    }
    valid("release.json", &resolve(&["resolve", "nightly", "--store", &layout]).ends(0).json());
}

#[test]
fn moves_histories_verifications_and_references_in_use_are_valid_under_their_schemas() {
    let source = Source::new();
    let layout = source.layout();
    source.publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &layout]).ends(0);
    let json =
        |arguments: &[&str]| alga(&[arguments, &["--store", &layout, "--output", "json"]].concat()).ends(0).json();
    let promote = ["promote", "--from", "nightly", "--to", "stable"];
    let dry = json(&[&promote[..], &["--dry-run"]].concat());
    valid("move.json", &dry);
    valid("plan.json", &dry["plan"]);
    for _ in 0..2 {
        valid("move.json", &json(&promote));
    }
    for more in [&[][..], &["--to-time", "2001-01-01T00:00:00Z"], &["--to-time", "2999-01-01T00:00:00Z"]] {
        valid("history.json", &json(&[&["history", "stable"], more].concat()));
    }
    valid("verify.json", &json(&["verify", "--all-channels", "--offline"]));
    valid("in-use.json", &json(&["in-use"]));
    valid("in-use.json", &json(&["in-use", "--moves", "1", "--prune-plan"]));
}

#[test]
fn copies_are_valid_under_their_schema() {
    let (registry, elsewhere, target) = (Registry::start(), Registry::start(), Registry::start());
    let (source, _) = release(&registry, &elsewhere);
    let archive = format!("oci-archive:{}", source.path("release.tar").display());
    for to in [source.layout(), archive, store(&target)] {
        for more in [&["--dry-run"][..], &[], &[]] {
            let arguments = ["copy", "nightly", &to, "--store", &store(&registry), "--output", "json"];
            valid("copy.json", &alga(&[&arguments[..], more].concat()).ends(0).json());
        }
    }
    let (from, to) = (store(&registry), store(&target));
    let promote = ["promote", "--from", "nightly", "--to", "stable", "--store", &from, "--output", "json"];
    valid("move.json", &alga(&[&promote[..], &["--to-store", &source.layout()]].concat()).ends(0).json());
    let mirror = Registry::start();
    for more in ["--dry-run", "--reason=x", "--reason=y"] {
        let to = store(&mirror);
        let arguments = ["copy", "nightly", &to, "--store", &from, "--rewrite-prefix", "--channel", "nightly"];
        valid("copy.json", &alga(&[&arguments[..], &["--output", "json", more]].concat()).ends(0).json());
    }
    alga(&["copy", "nightly", &to, "--store", &from, "--rewrite-prefix"]).ends(3);
}

#[test]
fn the_output_and_the_state_of_the_appliance_are_valid_under_their_schemas() {
    let source = Source::new();
    let layout = source.layout();
    source.publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &layout]).ends(0);
    let state = source.path("state.json");
    let given = ["--store", &layout, "--state", &state.display().to_string()];
    let remembered = || serde_json::from_slice::<Value>(&std::fs::read(&state).expect("a state")).expect("JSON");
    // Without an address, then with one; by channel, by version and by digest.
    resolve(&[&["resolve", "nightly"][..], &given].concat()).ends(0);
    valid("state.json", &remembered());
    let digest =
        remembered()["releases"].as_object().expect("releases").values().next().expect("one")["releaseDigest"].clone();
    for (number, reference) in ["nightly", "1.0.3", digest.as_str().expect("a digest")].into_iter().enumerate() {
        let arguments = ["render", reference, "--host", "alga.example", "--output", "json"];
        let rendering = resolve(&[&arguments[..], &given].concat()).ends(0).json();
        assert_eq!(rendering["objects"].as_array().expect("objects").len(), 10);
        valid("render.json", &rendering);
        let state = remembered();
        assert_eq!(state["releases"].as_object().expect("releases").len(), 1 + number.min(1), "{state:#}");
        assert_eq!(state["host"]["host"], "alga.example");
        valid("state.json", &state);
    }
}

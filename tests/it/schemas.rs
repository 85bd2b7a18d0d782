//! Outputs are as their published schemas say.

use std::path::Path;

use serde_json::Value;

use crate::support::programs::{Source, alga, resolve};

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
fn reports_plans_and_releases_are_as_their_schemas_say() {
    let source = Source::new();
    let layout = source.layout();
    let arguments = ["--version", "1.0.3", "--channel", "nightly", "--store", &layout, "--output", "json"];
    let dry = source.publish(&[&arguments[..], &["--dry-run"]].concat()).ends(0).json();
    valid("report.json", &dry);
    valid("plan.json", &dry["plan"]);
    valid("diff.json", &dry["diff"]);
    for _ in 0..2 {
        valid("report.json", &source.publish(&arguments).ends(0).json());
    }
    valid("release.json", &resolve(&["resolve", "nightly", "--store", &layout]).ends(0).json());
}

#[test]
fn moves_histories_verifications_and_what_is_in_use_are_as_their_schemas_say() {
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
}

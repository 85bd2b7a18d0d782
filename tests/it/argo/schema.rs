//! Validates the objects against Argo's own definitions, and refuses unknown fields.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::manifests::{self, Object};
use crate::support::definitions::{errors, validator};
use crate::support::missing;

/// A strict schema for each of Argo's kinds that the manifests use. Returns `None` without the definitions.
fn validators() -> Option<&'static BTreeMap<&'static str, Validator>> {
    static VALIDATORS: OnceLock<Option<BTreeMap<&'static str, Validator>>> = OnceLock::new();
    let found = VALIDATORS.get_or_init(|| {
        #[expect(clippy::disallowed_methods, reason = "tests find their data by the environment")]
        let crds = PathBuf::from(std::env::var_os("ALGA_CRDS")?).join("argo");
        let kinds = ["Workflow", "WorkflowTemplate", "CronWorkflow"];
        Some(kinds.map(|kind| (kind, validator(&crds, kind, "v1alpha1"))).into())
    });
    if found.is_none() {
        missing("Argo's resource definitions are missing: ALGA_CRDS names a directory with argo/*.yaml");
    }
    found.as_ref()
}

fn wrong(object: &Object) -> Option<Vec<String>> {
    let validators = validators()?;
    let validator = validators.get(object.kind()).unwrap_or_else(|| panic!("{}: no such kind", object.file));
    Some(errors(validator, &object.json))
}

#[test]
fn every_workflow_matches_the_definitions_of_argo() {
    for object in manifests::all().iter().filter(|object| object.is_argo()) {
        let Some(wrong) = wrong(object) else { return };
        assert!(wrong.is_empty(), "{} {}: {wrong:#?}", object.file, object.name());
    }
}

#[test]
fn a_misspelled_field_is_refused() {
    let objects = manifests::shipped();
    let find = |name: &str| objects.iter().find(|object| object.name() == name).expect("an object").clone();
    let slips: [(&str, &str, &str, Value); 8] = [
        ("alga-appliance-release", "/spec", "onExitt", json!("notify")),
        ("alga-appliance-release", "/spec/templates/2", "retryStratgy", json!({"limit": "3"})),
        ("alga-appliance-release", "/spec/templates/2/synchronization", "mutex", json!({"name": "of-version-3"})),
        (
            "alga-appliance-release",
            "/spec/templates/2/container/securityContext",
            "readOnlyRootFileSystem",
            json!(true),
        ),
        ("alga-appliance-release", "/spec/templates/0/dag/tasks/1", "dependss", json!("publish")),
        ("alga-appliance-release", "/spec/templates/2/container/env/1/valueFrom", "secretKeyReff", json!({})),
        ("alga-appliance-release", "/spec/templates/2/retryStrategy", "limit", json!({"of": 3})),
        ("alga-appliance-nightly", "/spec", "schedule", json!("0 2 * * *")),
    ];
    for (name, place, field, value) in slips {
        let mut object = find(name);
        object.json.pointer_mut(place).unwrap_or_else(|| panic!("{place}"))[field] = value;
        let Some(wrong) = wrong(&object) else { return };
        assert!(!wrong.is_empty(), "{name}: {place}/{field}");
    }
}

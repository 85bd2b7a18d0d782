//! The manifests as kubectl builds them, and as an overlay of a team changes them.

use std::fs;
use std::path::Path;
use std::process::Command;

use alga_release::yaml;
use serde_json::Value;

use super::manifests::{list, text};
use crate::support::definitions::json_of;
use crate::support::programs::stdout;
use crate::support::{files_below, require, root};

/// The objects of an overlay beside a copy of `argo/`; nothing where there is no kubectl.
fn built(overlay: &str) -> Option<Vec<Value>> {
    let kubectl = require("kubectl")?;
    let directory = tempfile::tempdir().expect("a directory");
    for (name, bytes) in files_below(&root("argo")) {
        let path = directory.path().join("argo").join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, bytes).expect("written");
    }
    let own = directory.path().join("overlay");
    fs::create_dir(&own).expect("a directory");
    fs::write(own.join("kustomization.yaml"), overlay).expect("written");
    // An overlay may name no file above it.
    fs::copy(root("argo/kustomizeconfig.yaml"), own.join("kustomizeconfig.yaml")).expect("copied");
    let text = String::from_utf8(stdout(Command::new(kubectl).arg("kustomize").arg(Path::new(&own)))).expect("text");
    let documents = yaml::parse(&text).expect("YAML");
    Some(documents.iter().filter_map(|document| document.root.as_ref()).map(json_of).collect())
}

fn templates(objects: &[Value]) -> Vec<&Value> {
    let specs =
        objects.iter().flat_map(|object| [&object["spec"]["templates"], &object["spec"]["workflowSpec"]["templates"]]);
    specs.flat_map(list).collect()
}

#[test]
fn everything_is_built_into_one_namespace() {
    let Some(objects) = built("resources: [../argo]\n") else { return };
    let kinds =
        ["Namespace", "ServiceAccount", "Role", "RoleBinding", "NetworkPolicy", "WorkflowTemplate", "CronWorkflow"];
    for kind in kinds {
        assert!(objects.iter().any(|object| object["kind"] == kind), "{kind}");
    }
    assert!(objects.iter().all(|object| object["kind"] != "Secret" && object["kind"] != "Workflow"));
    let placed = objects.iter().filter(|object| object["kind"] != "Namespace");
    assert!(placed.map(|object| &object["metadata"]["namespace"]).all(|namespace| namespace == "alga-release"));
}

#[test]
fn one_entry_of_an_overlay_pins_the_image_everywhere() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let overlay = format!(
        "resources: [../argo]\nconfigurations: [kustomizeconfig.yaml]\nimages:\n- name: ghcr.io/nine-minds/alga-release\n  newName: registry.example.com/alga-release\n  digest: {digest}\n"
    );
    let Some(objects) = built(&overlay) else { return };
    let images: Vec<&str> = templates(&objects).iter().map(|template| text(&template["container"]["image"])).collect();
    let images: Vec<&str> = images.into_iter().filter(|image| !image.is_empty()).collect();
    assert!(images.len() == 5, "{images:?}");
    assert!(images.iter().all(|image| *image == format!("registry.example.com/alga-release@{digest}")), "{images:?}");
}

#[test]
fn without_an_artifact_repository_no_step_has_output_artifacts() {
    let Some(objects) = built("resources: [../argo]\ncomponents: [../argo/components/without-artifacts]\n") else {
        return;
    };
    let templates = templates(&objects);
    assert!(templates.iter().all(|template| template["outputs"].get("artifacts").is_none()));
    let parameters = templates.iter().filter(|template| template["outputs"].get("parameters").is_some());
    assert_eq!(parameters.count(), 5);
}

//! The manifests as kubectl builds them, alone and with an overlay of a team.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use alga_release::yaml;
use serde_json::{Value, json};

use super::manifests::{Object, list, text};
use super::model::{Cluster, Phase};
use super::stage::Stage;
use crate::support::definitions::json_of;
use crate::support::programs::stdout;
use crate::support::published::served;
use crate::support::registry::{Auth, Setup};
use crate::support::{files_below, require, root};

/// Returns the objects of an overlay beside a copy of `argo/`. Returns `None` without kubectl.
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
    // An overlay may not name a file outside of its directory.
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
    assert!(images.len() == 7, "{images:?}");
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
    assert_eq!(parameters.count(), 8);
}

#[test]
fn a_docker_configuration_replaces_the_token() {
    let overlay = "resources: [../argo]\ncomponents: [../argo/components/docker-config]\n";
    let auth = Auth::Basic { username: "robertisaacs".to_owned(), password: "for-registry".to_owned() };
    let Some(mut stage) = Stage::with(Setup { auth, ..Setup::default() }) else { return };
    let Some(objects) = built(overlay) else { return };
    let (source, objects) = (stage.source.path(""), objects.into_iter());
    stage.source.write("alga-release.yaml", "publicRead: false\n");
    stage.source.commit();
    stage.cluster = Cluster::new(objects.map(|json| Object { file: "overlay".to_owned(), json }).collect());
    stage.cluster.sources.insert("main".to_owned(), source);
    let account = json!({"username": "robertisaacs", "password": "for-registry"});
    let docker = json!({"auths": {(stage.registry.address()): account}}).to_string();
    let key = ("registry-docker-config".to_owned(), ".dockerconfigjson".to_owned());
    stage.cluster.secrets = BTreeMap::from([(key, docker)]);
    let ran = stage.publish("1.0.3", &[]);
    ran.root.is(Phase::Succeeded);
    assert_eq!(served(&stage.registry, "nightly")["version"], "1.0.3");
}

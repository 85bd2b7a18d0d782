//! Validates the manifests with the code of Argo and Kubernetes, as `argo lint --offline` and the API server do.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::manifests::{self, by_name, list, text};
use crate::support::programs::{Run, run, stdout};
use crate::support::{require, root};

/// Validates `argo/` as kubectl builds it, with one text replaced and with more objects. Returns `None` if a program is
/// missing.
fn linted(from: &str, to: &str, more: &[&str]) -> Option<Run> {
    let (lint, kubectl) = (require("argo-lint")?, require("kubectl")?);
    let built = String::from_utf8(stdout(Command::new(kubectl).arg("kustomize").arg(root("argo")))).expect("text");
    assert!(built.contains(from), "{from}");
    let directory = tempfile::tempdir().expect("a directory");
    let mut lint = Command::new(lint);
    for (at, text) in std::iter::once(built.replace(from, to).as_str()).chain(more.iter().copied()).enumerate() {
        let path = directory.path().join(format!("{at}.yaml"));
        fs::write(&path, text).expect("written");
        lint.arg(path);
    }
    Some(run(&mut lint))
}

fn example(name: &str) -> String {
    fs::read_to_string(root("argo/examples").join(name)).expect("an example")
}

#[test]
fn argo_and_kubernetes_find_nothing_in_the_manifests() {
    let examples = [example("call-from-build.yaml"), example("secrets.yaml")];
    let Some(ran) = linted("alga", "alga", &examples.each_ref().map(String::as_str)) else { return };
    // Three templates, the nightly and the example workflow; namespace, account, two roles, binding, network policy and
    // two secrets.
    assert_eq!(ran.ends(0).stdout, "5 of Argo, 8 of Kubernetes\n");
    // The example has the name of the template that it replaces.
    let Some(lint) = require("argo-lint") else { return };
    let webhook = run(Command::new(lint).arg(root("argo/examples/notify-webhook.yaml")));
    assert_eq!(webhook.ends(0).stdout, "1 of Argo, 1 of Kubernetes\n");
}

#[test]
fn argo_and_kubernetes_find_errors() {
    for (from, to, finding) in [
        ("template: publish\n", "template: publsh\n", "publsh"),
        ("{{tasks.diff.outputs.parameters.plan-digest}}", "{{tasks.diff.outputs.parameters.plan}}", "plan"),
        ("entrypoint: nightly", "entrypoint: nightlies", "nightlies"),
        ("depends: diff.Succeeded", "depends: dif.Succeeded", "dif"),
        ("retryStrategy:", "retryStratgy:", "retryStratgy"),
        ("mutexes:", "mutex:", "mutex"),
        ("podSelector:", "podSelecter:", "podSelecter"),
        ("roleRef:", "roleReff:", "roleReff"),
    ] {
        let Some(run) = linted(from, to, &[]) else { return };
        run.ends(1).says(&[finding]);
    }
}

/// Returns the commands in `docs/argo.md` that start a workflow, split like in a shell.
fn submissions() -> Vec<Vec<String>> {
    let page = fs::read_to_string(root("docs/argo.md")).expect("the page");
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block);
    let script = blocks.filter(|block| block.contains("argo submit")).collect::<String>();
    let said = format!("argo() {{ for word; do echo \"$word\"; done; echo; }}\nCOMMIT=abc\n{script}");
    let said = String::from_utf8(stdout(Command::new("sh").args(["-eu", "-c", &said]))).expect("text");
    let commands = said.split("\n\n").map(|command| command.lines().map(str::to_owned).collect::<Vec<_>>());
    commands.filter(|words| words.first().is_some_and(|word| word == "submit")).collect()
}

/// Returns the workflow that a submission creates.
fn submitted(words: &[String]) -> Value {
    let after = |flag: &str| words.iter().position(|word| word == flag).map(|at| words[at + 1].as_str());
    let template = after("--from").and_then(|from| from.strip_prefix("workflowtemplate/")).expect("--from");
    let given = words.windows(2).filter(|pair| pair[0] == "-p").map(|pair| {
        let (name, value) = pair[1].split_once('=').expect("NAME=VALUE");
        json!({"name": name, "value": value})
    });
    let mut spec = json!({
        "workflowTemplateRef": {"name": template},
        "arguments": {"parameters": given.collect::<Vec<_>>()},
    });
    if let Some(entrypoint) = after("--entrypoint") {
        spec["entrypoint"] = entrypoint.into();
    }
    let metadata = json!({"generateName": "submitted-", "namespace": "alga-release"});
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata, "spec": spec})
}

#[test]
fn the_submissions_on_the_page_are_valid() {
    let (submissions, objects) = (submissions(), manifests::shipped());
    assert!(submissions.len() >= 3, "{submissions:?}");
    for words in submissions {
        let workflow = submitted(&words);
        let Some(run) = linted("alga", "alga", &[&workflow.to_string()]) else { return };
        run.ends(0);
        // An argument that no template uses is not an error for Argo.
        let name = text(&workflow["spec"]["workflowTemplateRef"]["name"]);
        let spec = objects.iter().find(|object| object.name() == name).expect("the template").spec();
        let entrypoint = workflow["spec"].get("entrypoint").map_or(&spec["entrypoint"], |given| given);
        let template = by_name(&spec["templates"])[text(entrypoint)];
        let (form, inputs) = (by_name(&spec["arguments"]["parameters"]), by_name(&template["inputs"]["parameters"]));
        for parameter in list(&workflow["spec"]["arguments"]["parameters"]) {
            let name = text(&parameter["name"]);
            assert!(form.contains_key(name) || inputs.contains_key(name), "{name}: {words:?}");
        }
    }
    let without_reason = json!([{"name": "channel", "value": "stable"}]);
    let words = ["submit", "--from", "workflowtemplate/alga-appliance-release", "--entrypoint", "rollback"];
    let mut workflow = submitted(&words.map(str::to_owned));
    workflow["spec"]["arguments"]["parameters"] = without_reason;
    let Some(run) = linted("alga", "alga", &[&workflow.to_string()]) else { return };
    run.ends(1).says(&["inputs.parameters.reason was not supplied"]);
}

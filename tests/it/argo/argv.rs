//! Runs the real program with every container's arguments. The program accepts them all, and fails at the registry,
//! which does not exist.

use super::manifests::{self, list, text};
use super::model::{Cluster, Phase};
use super::stage::RELEASE;
use crate::support::programs::Source;

/// Names of the templates that run the program, each with its command.
fn programs() -> Vec<(String, String)> {
    let objects = manifests::shipped();
    let release = objects.iter().find(|object| object.name() == RELEASE).expect("the release");
    let templates = release.templates().iter().filter(|template| template.get("container").is_some());
    let owned = |value| text(value).to_owned();
    templates.map(|template| (owned(&template["name"]), owned(&list(&template["container"]["args"])[0]))).collect()
}

#[test]
fn the_program_accepts_the_arguments_of_every_container() {
    let source = Source::new();
    let Some(_) = source.commit() else { return };
    let mut cluster = Cluster::new(manifests::shipped());
    cluster.sources.insert("main".to_owned(), source.path(""));
    let programs = programs();
    assert_eq!(programs.len(), 7);
    for (template, _) in &programs {
        let digest = format!("sha256:{}", "a".repeat(64));
        // No server listens at this address.
        let mut set = vec![("store", "127.0.0.1:1/org"), ("retry-for", "0")];
        let more: &[(&str, &str)] = match template.as_str() {
            "publish" | "publish-plan" => &[("version", "1.0.3")],
            "promote" => &[("from", "nightly"), ("if-plan", &digest), ("if-current", &digest)],
            "rollback-plan" => &[("reason", "-because")],
            "rollback-move" => &[("to", &digest), ("if-current", &digest), ("reason", "-because")],
            _ => &[],
        };
        set.extend(more);
        let node = cluster.call(RELEASE, template, &set).expect("inside of the model");
        assert_eq!(
            (node.phase, node.codes.first()),
            (Some(Phase::Failed), Some(&Some(75))),
            "{template}: {}",
            node.said
        );
    }
}

#[test]
fn an_unknown_flag_is_found() {
    let source = Source::new();
    let Some(_) = source.commit() else { return };
    let mut objects = manifests::shipped();
    let object = objects.iter_mut().find(|object| object.name() == RELEASE).expect("the release");
    object.json["spec"]["templates"][2]["container"]["args"][1] = "--verison={{inputs.parameters.version}}".into();
    let mut cluster = Cluster::new(objects);
    cluster.sources.insert("main".to_owned(), source.path(""));
    let set = [("version", "1.0.3"), ("store", "127.0.0.1:1/org"), ("retry-for", "0")];
    let node = cluster.call(RELEASE, "publish", &set).expect("inside of the model");
    assert_eq!(node.codes, [Some(9)], "{}", node.said);
}

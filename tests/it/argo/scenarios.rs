//! Publications by workflows: the content of the registry afterwards, and the reports.

use crate::support::published::{RELEASES, record, served, state, store, writes};
use crate::support::registry::{Action, Auth, Fault, Setup};

use super::attempts::Lost;
use super::manifests;
use super::model::Phase::{Error, Failed, Omitted, Skipped, Succeeded};
use super::model::{Cluster, Locks, Node};
use super::stage::{NIGHTLY, RELEASE, Stage};

const PROMOTE: (&str, &str) = ("promote-release", "true");

#[track_caller]
fn report(node: &Node) -> &str {
    node.artifacts.get("report").expect("a report")
}

#[test]
fn with_both_gates_off_no_request_is_sent() {
    let Some(stage) = Stage::new() else { return };
    let ran = stage.run(&[]);
    ran.root.is(Succeeded);
    ran.root.task("plan").is(Skipped);
    ran.root.task("publish").is(Omitted);
    ran.root.task("preview").is(Skipped);
    ran.root.task("promotion").is(Skipped);
    assert!(stage.registry.log().is_empty());
    assert_eq!(ran.notified["status"], "Succeeded");
    assert_eq!(ran.notified["workflow"], "alga-release/release-x7k2p");
}

#[test]
fn publishing_moves_its_channel_and_gives_the_digests_and_reports() {
    let Some(stage) = Stage::new() else { return };
    let ran = stage.publish("1.0.3", &[]);
    ran.root.is(Succeeded);
    let publish = ran.root.task("publish").is(Succeeded);
    ran.root.task("promotion").is(Skipped);
    assert_eq!(publish.outputs["digest"], stage.tag("1.0.3").expect("the version"));
    assert_eq!(publish.outputs["channel-digest"], stage.tag("nightly").expect("the channel"));
    assert_eq!((publish.outputs["version"].as_str(), publish.outputs["has-changes"].as_str()), ("1.0.3", "true"));
    assert!(publish.outputs["plan-digest"].starts_with("sha256:"));
    assert!(report(publish).contains("published 1.0.3"));
    assert_eq!(publish.artifacts.keys().collect::<Vec<_>>(), ["changes", "report", "summary"]);
    assert_eq!(stage.tag("stable"), None);
    assert_eq!(record(&stage.registry, "nightly", "by").as_deref(), Some("alga-release/release-x7k2p"));
}

#[test]
fn publishing_again_changes_nothing() {
    let Some(stage) = Stage::new() else { return };
    let first = stage.publish("1.0.3", &[]);
    let (before, writes_before) = (state(&stage.registry), writes(&stage.registry));
    let again = stage.publish("1.0.3", &[]);
    let publish = again.root.is(Succeeded).task("publish");
    assert_eq!(publish.outputs["has-changes"], "false");
    assert_eq!(publish.outputs["digest"], first.root.task("publish").outputs["digest"]);
    assert_eq!((state(&stage.registry), writes(&stage.registry)), (before, writes_before));
}

#[test]
fn a_dry_run_writes_nothing_and_reports_the_plan() {
    let Some(stage) = Stage::new() else { return };
    let ran = stage.publish("1.0.3", &[("dry-run", "true"), PROMOTE]);
    let publish = ran.root.is(Succeeded).task("plan").is(Succeeded);
    ran.root.task("publish").is(Skipped);
    ran.root.task("preview").is(Omitted);
    ran.root.task("promotion").is(Omitted);
    assert_eq!((writes(&stage.registry), publish.outputs["channel-digest"].as_str()), (0, "none"));
    assert!(report(publish).contains("1.0.3") && report(publish).contains("sebastian"), "{}", report(publish));
}

#[test]
fn the_tags_of_a_build_override_those_in_the_tree() {
    let Some(stage) = Stage::new() else { return };
    let (media_type, bytes) = stage.registry.manifest("org/alga-psa-ee", "62cdce38").expect("the image");
    let digest = stage.registry.tags("org/alga-psa-ee")["62cdce38"].clone();
    stage.registry.put_manifest("org/alga-psa-ee", Some("b1d5e7"), &digest, &media_type, &bytes);
    stage.publish("1.0.3", &[("appliance-release-images", r#"{"algaCore": "b1d5e7"}"#)]).root.is(Succeeded);
    assert_eq!(served(&stage.registry, "nightly")["images"]["algaCore"], "b1d5e7");
    assert_eq!(served(&stage.registry, "nightly")["images"]["emailService"], "61e4a00e");
}

#[test]
fn transient_failures_are_retried() {
    let Some(stage) = Stage::new() else { return };
    let fault = Fault::first("POST", "uploads", Action::status(503, "busy"));
    stage.registry.fail(fault.clone());
    stage.registry.fail(Fault { method: "PUT", path: "/manifests/".to_owned(), ..fault });
    let ran = stage.publish("1.0.3", &[]);
    assert_eq!(ran.root.is(Succeeded).task("publish").codes, [Some(75), Some(75), Some(0)]);
    assert_eq!(ran.root.task("publish").outputs["channel-digest"], stage.tag("nightly").expect("the channel"));
}

#[test]
fn a_lasting_failure_ends_after_four_attempts() {
    let Some(stage) = Stage::new() else { return };
    stage.registry.fail(Fault::every("", "", Action::status(503, "busy")));
    let ran = stage.publish("1.0.3", &[PROMOTE]);
    assert_eq!(ran.root.is(Failed).task("plan").is(Failed).codes, [Some(75); 4]);
    ran.root.task("publish").is(Omitted);
    ran.root.task("promotion").is(Omitted);
    assert_eq!(ran.notified["status"], "Failed");
}

#[test]
fn missing_rights_are_not_retried_and_leave_a_report() {
    let auth = Auth::Basic { username: "robertisaacs".to_owned(), password: "another".to_owned() };
    let Some(stage) = Stage::with(Setup { auth, ..Setup::default() }) else { return };
    let ran = stage.publish("1.0.3", &[PROMOTE]);
    let plan = ran.root.is(Failed).task("plan").is(Failed);
    assert_eq!((plan.codes.as_slice(), plan.waited), (&[Some(4)][..], 0));
    assert!(plan.message.starts_with("main: Error (exit code 4): "), "{}", plan.message);
    assert!(report(plan).contains("exit code 4"));
    assert!(plan.outputs.values().all(String::is_empty), "{:?}", plan.outputs);
    ran.root.task("promotion").is(Omitted);
    ran.root.task("preview").is(Omitted);
    assert_eq!(ran.notified["status"], "Failed");
}

#[test]
fn a_refusal_is_not_retried_and_leaves_a_report() {
    let Some(mut stage) = Stage::new() else { return };
    stage.publish("1.0.3", &[]).root.is(Succeeded);
    let before = state(&stage.registry);
    let _other = stage.other_source("feature");
    let ran = stage.publish("1.0.3", &[("appliance-release-source-ref", "feature")]);
    let plan = ran.root.is(Failed).task("plan").is(Failed);
    assert_eq!((plan.codes.as_slice(), plan.waited), (&[Some(3)][..], 0));
    assert!(plan.message.contains("(exit code 3): ") && plan.message.contains("hint: "), "{}", plan.message);
    assert!(report(plan).contains("hint: "));
    assert_eq!(state(&stage.registry), before);
    let failures: String = serde_json::from_str(&ran.notified["failures"]).expect("a JSON string");
    let failures: serde_json::Value = serde_json::from_str(&failures).expect("JSON");
    assert_eq!(
        (&failures[0]["displayName"], &failures[0]["message"]),
        (&"plan(0)".into(), &plan.message.as_str().into())
    );
}

#[test]
fn a_pod_that_is_lost_after_its_work_runs_again_and_finds_nothing_to_do() {
    let Some(mut stage) = Stage::new() else { return };
    stage.cluster.lost.insert(("publish", 0), Lost::DELETED);
    let ran = stage.publish("1.0.3", &[]);
    let publish = ran.root.is(Succeeded).task("publish").is(Succeeded);
    assert_eq!(publish.codes, [None, Some(0)]);
    assert_eq!(publish.outputs["has-changes"], "false");
    assert_eq!(publish.outputs["digest"], stage.tag("1.0.3").expect("the version"));
    assert_eq!(record(&stage.registry, "nightly", "sequence").as_deref(), Some("1"));
}

#[test]
fn a_pod_that_is_lost_each_time_is_an_error() {
    let Some(mut stage) = Stage::new() else { return };
    stage.cluster.lost.extend((0..4).map(|attempt| (("publish", attempt), Lost::DELETED)));
    let ran = stage.publish("1.0.3", &[PROMOTE]);
    assert_eq!(ran.root.is(Error).task("publish").is(Error).codes, [None; 4]);
    ran.root.task("promotion").is(Omitted);
    assert_eq!(ran.notified["status"], "Error");
}

#[test]
fn a_lost_pod_runs_again_but_not_after_a_permanent_failure() {
    let Some(mut stage) = Stage::new() else { return };
    let again = [Lost::DELETED, Lost::EVICTED, Lost::SHUT_DOWN, Lost::KILLED, Lost::GIT_AWAY];
    let permanent = [Lost::NO_SUCH_REVISION, Lost::POD_REFUSED, Lost::NOT_STORED];
    for lost in again.into_iter().chain(permanent) {
        stage.cluster.lost.insert(("publish", 0), lost);
        let ran = stage.publish("1.0.3", &[]);
        let publish = ran.root.task("publish");
        if permanent.contains(&lost) {
            assert_eq!((publish.phase, publish.codes.len(), publish.waited), (Some(Error), 1, 0), "{lost:?}");
        } else {
            assert_eq!((publish.phase, publish.codes.len()), (Some(Succeeded), 2), "{lost:?}");
        }
    }
}

#[test]
fn a_missing_source_or_artifact_repository_is_found_before_anything_is_written() {
    let Some(mut stage) = Stage::new() else { return };
    for lost in [Lost::NO_SUCH_REVISION, Lost::NOT_STORED] {
        stage.cluster.lost.insert(("publish-plan", 0), lost);
        let ran = stage.publish("1.0.3", &[PROMOTE]);
        assert_eq!(ran.root.is(Error).task("plan").is(Error).message, lost.message);
        ran.root.task("publish").is(Omitted);
        ran.root.task("promotion").is(Omitted);
        assert_eq!(writes(&stage.registry), 0);
    }
}

#[test]
fn a_report_that_could_not_be_stored_is_an_error_and_the_publication_is_not_repeated() {
    let Some(mut stage) = Stage::new() else { return };
    stage.cluster.lost.insert(("publish", 0), Lost::NOT_STORED);
    let ran = stage.publish("1.0.3", &[]);
    let publish = ran.root.is(Error).task("publish").is(Error);
    assert_eq!((publish.codes.as_slice(), publish.message.as_str()), (&[Some(0)][..], Lost::NOT_STORED.message));
    assert_eq!(served(&stage.registry, "nightly")["version"], "1.0.3");
}

#[test]
fn a_value_outside_of_the_form_is_an_error_that_names_its_parameter() {
    let Some(stage) = Stage::new() else { return };
    let gates = ["publish-appliance-release", "promote-release", "dry-run"];
    let gates = gates.into_iter().flat_map(|gate| ["True", "yes", "1", ""].map(|value| (gate, value)));
    let channels = [("appliance-release-channel", "beta"), ("promote-to", "beta")];
    for (name, value) in gates.chain(channels) {
        let ran = stage.run(&[("publish-appliance-release", "true"), (name, value)]);
        let message = &ran.root.is(Error).task("plan").is(Error).message;
        assert!(message.contains(&format!("{name} must be ")), "{name}={value}: {message}");
        ran.root.task("publish").is(Omitted);
        ran.root.task("preview").is(Omitted);
        ran.root.task("promotion").is(Omitted);
    }
    let ran = stage.try_run("alga-appliance-promote", &[("to", "beta")]).expect("inside of the model");
    let message = &ran.root.is(Error).task("promotion").is(Error).message;
    assert!(message.contains("to must be nightly or stable"), "{message}");
    assert!(stage.registry.log().is_empty() && stage.cluster.locks.lock().expect("a lock").is_empty());
}

#[test]
fn the_title_of_a_workflow_names_version_and_channels() {
    let Some(stage) = Stage::new() else { return };
    let ran = stage.run(&[("appliance-release-version", "1.0.4")]);
    assert_eq!(ran.annotations["workflows.argoproj.io/title"], "Appliance release 1.0.4");
    let description = "Publish to nightly: false; promote to stable: false";
    assert_eq!(ran.annotations["workflows.argoproj.io/description"], description);
    let ran = stage.try_run(NIGHTLY, &[]).expect("inside of the model");
    assert_eq!(ran.annotations["workflows.argoproj.io/title"], "Nightly 1.0.4-nightly.20261123");
}

#[test]
fn two_workflows_at_once_make_one_publication() {
    let Some(stage) = Stage::new() else { return };
    let store = store(&stage.registry);
    let locks = Locks::default();
    let (source, locks, store) = (&stage.source.path(""), &locks, store.as_str());
    let run = || {
        let mut cluster = Cluster::new(manifests::shipped());
        cluster.locks = locks.clone();
        cluster.sources.insert("main".to_owned(), source.clone());
        let version = ("appliance-release-version", "1.0.3");
        cluster.run(RELEASE, &[("publish-appliance-release", "true"), version, ("appliance-release-store", store)])
    };
    let changes = std::thread::scope(|scope| {
        let threads = [scope.spawn(run), scope.spawn(run)];
        threads.map(|thread| {
            let ran = thread.join().expect("no panic").expect("inside of the model");
            ran.root.is(Succeeded).task("publish").outputs["has-changes"].clone()
        })
    });
    assert!(changes.contains(&"true".to_owned()) && changes.contains(&"false".to_owned()), "{changes:?}");
    assert_eq!(record(&stage.registry, "nightly", "sequence").as_deref(), Some("1"));
    let locks: Vec<String> = locks.lock().expect("the locks").keys().cloned().collect();
    assert_eq!(locks, [format!("alga-release-{store}-nightly")]);
}

#[test]
fn the_version_of_a_nightly_contains_its_date() {
    let Some(stage) = Stage::new() else { return };
    let ran = stage.try_run(NIGHTLY, &[]).expect("inside of the model");
    let publish = ran.root.task("publish").is(Succeeded);
    assert_eq!(publish.outputs["version"], "1.0.4-nightly.20261123");
    assert_eq!(served(&stage.registry, "nightly")["version"], "1.0.4-nightly.20261123");
    assert!(stage.registry.tags(RELEASES).keys().all(|tag| !tag.starts_with("stable")));
}

#[test]
fn a_workflow_keeps_no_secret() {
    let Some(stage) = Stage::new() else { return };
    let ran = stage.publish("1.0.3", &[]);
    assert!(!format!("{:?}", ran.root).contains("for-registry"));
    let publish = ran.root.task("publish");
    assert!(publish.artifacts.values().all(|content| !content.contains("for-registry")));
}

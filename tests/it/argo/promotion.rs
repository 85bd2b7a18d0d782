//! Promotions by workflows: only the approved plan is carried out.

use std::path::Path;
use std::process::Command;

use super::attempts::Lost;
use super::model::Phase::{Failed, Omitted, Skipped, Succeeded};
use super::model::Ran;
use super::stage::{NIGHTLY, RELEASE, Stage};
use super::suspended::{Decision, End};
use crate::support::programs::{release, run};
use crate::support::published::{record, served, store, writes};
use crate::support::root;

const PROMOTE: &str = "alga-appliance-promote";

/// A stage on which nightly serves 1.0.3 and stable nothing.
fn stage() -> Option<Stage> {
    let stage = Stage::new()?;
    stage.publish("1.0.3", &[]).root.is(Succeeded);
    Some(stage)
}

fn decide(stage: &Stage, set: &[(&str, &str)], meanwhile: Option<Box<dyn FnOnce()>>) {
    let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    stage.cluster.decisions.borrow_mut().push_back(Decision { set, meanwhile, end: End::ResumedBySelector });
}

fn promote(stage: &Stage) -> Ran {
    stage.try_run(PROMOTE, &[]).expect("inside of the model")
}

#[test]
fn an_approved_release_is_served() {
    let Some(stage) = stage() else { return };
    decide(&stage, &[("decision", "yes"), ("reason", "a week without complaints")], None);
    let ran = promote(&stage);
    ran.root.is(Succeeded).task("promotion.promote").is(Succeeded);
    assert_eq!(served(&stage.registry, "stable")["version"], "1.0.3");
    assert_eq!(record(&stage.registry, "stable", "reason").as_deref(), Some("a week without complaints"));
    let summary = &ran.root.task("promotion.approve").inputs["summary"];
    assert!(summary.contains("stable will serve 1.0.3"), "{summary}");
}

#[test]
fn a_workflow_ends_after_every_kind_of_decision() {
    let Some(mut stage) = stage() else { return };
    let decisions = [None, Some("yes"), Some("no"), Some("Yes")];
    let ends = [End::Resumed, End::ResumedBySelector, End::TimedOut, End::Stopped];
    for (decision, reason) in decisions.into_iter().flat_map(|decision| [(decision, None), (decision, Some("why"))]) {
        for end in ends {
            let set = [("decision", decision), ("reason", reason)];
            let set = set.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
            let case = format!("{decision:?} {reason:?} {end:?}");
            let before = writes(&stage.registry);
            stage.cluster.decisions.borrow_mut().push_back(Decision { set, end, meanwhile: None });
            let ran = stage.try_run(PROMOTE, &[]).unwrap_or_else(|hangs| panic!("{case}: {hangs}"));
            let promote = ran.root.task("promotion.promote").phase;
            if decision == Some("yes") && end != End::Stopped {
                assert_eq!((ran.root.phase, promote), (Some(Succeeded), Some(Succeeded)), "{case}");
                let why = record(&stage.registry, "stable", "reason");
                assert_eq!(why.as_deref(), Some(reason.unwrap_or("approved")), "{case}");
                stage = self::stage().expect("git was available before");
            } else {
                let expected = if end == End::Stopped { (Failed, Omitted) } else { (Succeeded, Skipped) };
                assert_eq!((ran.root.phase, promote), (Some(expected.0), Some(expected.1)), "{case}");
                assert_eq!((stage.tag("stable"), writes(&stage.registry)), (None, before), "{case}");
            }
            assert_eq!(ran.notified["status"], format!("{:?}", ran.root.phase.expect("an end")), "{case}");
        }
    }
}

#[test]
fn no_approval_is_needed_when_nothing_changes() {
    let Some(stage) = stage() else { return };
    decide(&stage, &[("decision", "yes")], None);
    promote(&stage).root.is(Succeeded);
    let before = writes(&stage.registry);
    let ran = promote(&stage);
    ran.root.is(Succeeded).task("promotion.approve").is(Skipped);
    ran.root.task("promotion.promote").is(Omitted);
    assert_eq!(writes(&stage.registry), before);
}

#[test]
fn a_channel_that_moved_since_the_approval_does_not_move() {
    let Some(stage) = stage() else { return };
    stage.publish("1.0.4", &[]).root.is(Succeeded);
    let store = store(&stage.registry);
    let other_publisher = move || {
        let arguments = ["promote", "--from", "1.0.3", "--to", "stable", "--store", &store];
        run(release().args(arguments)).ends(0);
    };
    decide(&stage, &[("decision", "yes")], Some(Box::new(other_publisher)));
    let ran = promote(&stage);
    let promote = ran.root.is(Failed).task("promotion.promote").is(Failed);
    assert_eq!((promote.codes.as_slice(), promote.waited), (&[Some(3)][..], 0));
    assert!(promote.message.starts_with("main: Error (exit code 3): "), "{}", promote.message);
    assert!(promote.message.contains("hint: "), "{}", promote.message);
    assert!(promote.artifacts["report"].contains("exit code 3"));
    assert_eq!(served(&stage.registry, "stable")["version"], "1.0.3");
    assert_eq!(ran.notified["status"], "Failed");
}

#[test]
fn a_move_of_nightly_after_the_approval_does_not_change_the_promotion() {
    let Some(stage) = stage() else { return };
    let (store, source) = (store(&stage.registry), stage.source.path(""));
    let another_night = move || {
        let arguments = ["--version", "1.0.4", "--channel", "nightly", "--store", &store];
        run(release().arg("publish").arg(source).args(arguments)).ends(0);
    };
    decide(&stage, &[("decision", "yes")], Some(Box::new(another_night)));
    promote(&stage).root.is(Succeeded);
    assert_eq!(served(&stage.registry, "stable")["version"], "1.0.3");
    assert_eq!(served(&stage.registry, "nightly")["version"], "1.0.4");
}

#[test]
fn one_run_with_both_gates_publishes_and_promotes() {
    let Some(stage) = stage() else { return };
    decide(&stage, &[("decision", "yes")], None);
    let ran = stage.publish("1.0.4", &[("promote-release", "true")]);
    ran.root.is(Succeeded).task("promotion.promote").is(Succeeded);
    assert_eq!(served(&stage.registry, "stable")["version"], "1.0.4");
}

#[test]
fn a_dry_run_shows_the_promotion_and_needs_no_approval() {
    let Some(stage) = stage() else { return };
    let set = [("promote-release", "true"), ("dry-run", "true"), ("appliance-release-version", "1.0.3")];
    let before = writes(&stage.registry);
    let ran = stage.run(&set);
    let preview = ran.root.is(Succeeded).task("preview").is(Succeeded);
    assert_eq!((preview.outputs["has-changes"].as_str(), preview.outputs["channel-digest"].as_str()), ("true", "none"));
    assert_eq!((stage.tag("stable"), writes(&stage.registry)), (None, before));
}

#[test]
fn a_rollback_goes_to_the_previous_release_and_records_the_reason() {
    let Some(stage) = stage() else { return };
    stage.publish("1.0.4", &[]).root.is(Succeeded);
    let store = store(&stage.registry);
    let set = [("channel", "nightly"), ("reason", "-login fails"), ("store", store.as_str()), ("retry-for", "0")];
    let node = stage.cluster.call(RELEASE, "rollback", &set).expect("inside of the model");
    assert_eq!(node.is(Succeeded).outputs["version"], "1.0.3");
    assert_eq!(served(&stage.registry, "nightly")["version"], "1.0.3");
    assert_eq!(record(&stage.registry, "nightly", "reason").as_deref(), Some("-login fails"));
}

#[test]
fn a_publication_is_promoted_after_its_pod_was_lost() {
    let Some(mut stage) = stage() else { return };
    // The second attempt finds nothing to do and reports that. So the approval and the promotion depend on the releases
    // that the channels serve.
    stage.cluster.lost.insert(("publish", 0), Lost::DELETED);
    decide(&stage, &[("decision", "yes")], None);
    let ran = stage.publish("1.0.4", &[("promote-release", "true")]);
    assert_eq!(ran.root.is(Succeeded).task("publish").outputs["has-changes"], "false");
    assert_eq!(ran.root.task("promotion.diff").outputs["has-changes"], "true");
    ran.root.task("promotion.promote").is(Succeeded);
    assert_eq!(served(&stage.registry, "stable")["version"], "1.0.4");
}

#[test]
fn a_promotion_whose_pods_were_lost_is_made_once() {
    let Some(mut stage) = stage() else { return };
    stage.cluster.lost.extend([
        (("diff", 0), Lost::EVICTED),
        (("promote", 0), Lost::DELETED),
        (("promote", 1), Lost::KILLED),
    ]);
    decide(&stage, &[("decision", "yes")], None);
    let ran = promote(&stage);
    let promote = ran.root.is(Succeeded).task("promotion.promote").is(Succeeded);
    assert_eq!(promote.codes, [None, Some(137), Some(0)]);
    assert_eq!(promote.outputs["channel-digest"], stage.tag("stable").expect("the channel"));
    assert!(promote.artifacts["report"].contains("1.0.3"));
    assert_eq!(record(&stage.registry, "stable", "sequence").as_deref(), Some("1"));
}

#[test]
fn a_rollback_whose_pod_was_lost_is_not_rolled_back_itself() {
    let Some(mut stage) = stage() else { return };
    stage.publish("1.0.4", &[]).root.is(Succeeded);
    stage.cluster.lost.extend([(("rollback-plan", 0), Lost::DELETED), (("rollback-move", 0), Lost::SHUT_DOWN)]);
    let store = store(&stage.registry);
    let set = [("channel", "nightly"), ("reason", "login fails"), ("store", store.as_str()), ("retry-for", "0")];
    let node = stage.cluster.call(RELEASE, "rollback", &set).expect("inside of the model");
    assert_eq!(node.is(Succeeded).task("move").codes, [Some(143), Some(0)]);
    assert_eq!(node.outputs["channel-digest"], stage.tag("nightly").expect("the channel"));
    // After the rollback, `previous` is the release that the rollback left.
    assert_eq!(served(&stage.registry, "nightly")["version"], "1.0.3");
    assert_eq!(record(&stage.registry, "nightly", "sequence").as_deref(), Some("3"));
}

#[test]
fn a_promotion_from_a_workstation_asks_and_carries_out_the_shown_plan() {
    let Some(stage) = stage() else { return };
    stage.source.write("alga-release.yaml", &format!("prefix: {}\n", store(&stage.registry)));
    let program = Path::new(release().get_program()).parent().expect("a directory").display().to_string();
    for (answer, expected) in [("no", None), ("yes", Some("1.0.3"))] {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("echo {answer} | sh \"$0\" nightly stable")]);
        shell.arg(root("argo/examples/promote-from-workstation.sh")).current_dir(stage.source.path(""));
        run(shell.env_clear().env("PATH", format!("{program}:/usr/bin:/bin"))).ends(0);
        let version = stage.tag("stable").map(|_| served(&stage.registry, "stable"));
        assert_eq!(version.map(|json| json["version"].clone()), expected.map(Into::into), "{answer}");
    }
}

#[test]
fn the_nightly_verifies_its_release() {
    let Some(stage) = stage() else { return };
    stage.try_run(NIGHTLY, &[]).expect("inside of the model").root.is(Succeeded).task("verify").is(Succeeded);
}

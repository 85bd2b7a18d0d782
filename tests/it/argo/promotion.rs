//! Promoting by workflows: what was approved, and nothing else, moves.

use std::path::Path;
use std::process::Command;

use super::model::Phase::{Failed, Omitted, Skipped, Succeeded};
use super::model::{Decision, Ran};
use super::stage::{NIGHTLY, RELEASE, Stage};
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
    stage.cluster.decisions.borrow_mut().push_back(Decision { set, meanwhile });
}

fn promote(stage: &Stage) -> Ran {
    stage.try_run(PROMOTE, &[]).expect("inside of the model")
}

#[test]
fn what_was_approved_is_served() {
    let Some(stage) = stage() else { return };
    decide(&stage, &[("decision", "yes"), ("reason", "a week without complaints")], None);
    let ran = promote(&stage);
    ran.root.is(Succeeded).task("promotion.promote").is(Succeeded);
    assert_eq!(served(&stage.registry, "stable")["version"], "1.0.3");
    assert_eq!(record(&stage.registry, "stable", "reason").as_deref(), Some("a week without complaints"));
    let summary = &ran.root.task("promotion.approve").inputs["summary"];
    assert!(summary.contains("stable shall serve 1.0.3"), "{summary}");
}

#[test]
fn what_was_rejected_or_never_decided_is_not() {
    let Some(stage) = stage() else { return };
    let before = writes(&stage.registry);
    // No; not a word; resumed by somebody who set nothing, which is what time does as well.
    for set in [&[("decision", "no")][..], &[("decision", "Yes")], &[]] {
        decide(&stage, set, None);
        let ran = promote(&stage);
        ran.root.is(Succeeded).task("promotion.promote").is(Skipped);
    }
    assert_eq!((stage.tag("stable"), writes(&stage.registry)), (None, before));
}

#[test]
fn nobody_is_asked_when_there_is_nothing_to_change() {
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
fn a_channel_that_moved_since_the_approval_stays_where_it_is() {
    let Some(stage) = stage() else { return };
    stage.publish("1.0.4", &[]).root.is(Succeeded);
    let store = store(&stage.registry);
    let somebody_else = move || {
        let arguments = ["promote", "--from", "1.0.3", "--to", "stable", "--store", &store];
        run(release().args(arguments)).ends(0);
    };
    decide(&stage, &[("decision", "yes")], Some(Box::new(somebody_else)));
    let ran = promote(&stage);
    let promote = ran.root.is(Failed).task("promotion.promote").is(Failed);
    assert_eq!(promote.codes, [Some(3)]);
    assert!(promote.artifacts["report"].contains("exit code 3"));
    assert_eq!(served(&stage.registry, "stable")["version"], "1.0.3");
    assert_eq!(ran.notified["status"], "Failed");
}

#[test]
fn a_nightly_that_moved_since_the_approval_is_not_what_is_promoted() {
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
fn both_gates_publish_ask_and_promote_in_one_run() {
    let Some(stage) = stage() else { return };
    decide(&stage, &[("decision", "yes")], None);
    let ran = stage.publish("1.0.4", &[("promote-release", "true")]);
    ran.root.is(Succeeded).task("promotion.promote").is(Succeeded);
    assert_eq!(served(&stage.registry, "stable")["version"], "1.0.4");
}

#[test]
fn a_dry_run_shows_the_promotion_of_what_is_there_and_asks_nobody() {
    let Some(stage) = stage() else { return };
    let set = [("promote-release", "true"), ("dry-run", "true"), ("appliance-release-version", "1.0.3")];
    let before = writes(&stage.registry);
    let ran = stage.run(&set);
    let preview = ran.root.is(Succeeded).task("preview").is(Succeeded);
    assert_eq!((preview.outputs["has-changes"].as_str(), preview.outputs["channel-digest"].as_str()), ("true", "none"));
    assert_eq!((stage.tag("stable"), writes(&stage.registry)), (None, before));
}

#[test]
fn a_roll_back_goes_to_what_was_served_before_and_says_why() {
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
fn a_publication_whose_pod_was_lost_is_promoted_all_the_same() {
    let Some(mut stage) = stage() else { return };
    // The second attempt finds nothing to do, and says so: what is asked and promoted hangs on what the channels serve.
    stage.cluster.lost.insert(("publish", 0));
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
    stage.cluster.lost.extend([("diff", 0), ("promote", 0), ("promote", 1)]);
    decide(&stage, &[("decision", "yes")], None);
    let ran = promote(&stage);
    let promote = ran.root.is(Succeeded).task("promotion.promote").is(Succeeded);
    assert_eq!(promote.codes, [None, None, Some(0)]);
    assert_eq!(promote.outputs["channel-digest"], stage.tag("stable").expect("the channel"));
    assert!(promote.artifacts["report"].contains("1.0.3"));
    assert_eq!(record(&stage.registry, "stable", "sequence").as_deref(), Some("1"));
}

#[test]
fn a_roll_back_whose_pod_was_lost_is_not_taken_back_itself() {
    let Some(mut stage) = stage() else { return };
    stage.publish("1.0.4", &[]).root.is(Succeeded);
    stage.cluster.lost.extend([("rollback-plan", 0), ("rollback-move", 0)]);
    let store = store(&stage.registry);
    let set = [("channel", "nightly"), ("reason", "login fails"), ("store", store.as_str()), ("retry-for", "0")];
    let node = stage.cluster.call(RELEASE, "rollback", &set).expect("inside of the model");
    assert_eq!(node.is(Succeeded).task("move").codes, [None, Some(0)]);
    assert_eq!(node.outputs["channel-digest"], stage.tag("nightly").expect("the channel"));
    // What is previous to the roll-back is what it was made for to leave.
    assert_eq!(served(&stage.registry, "nightly")["version"], "1.0.3");
    assert_eq!(record(&stage.registry, "nightly", "sequence").as_deref(), Some("3"));
}

#[test]
fn a_promotion_from_a_workstation_asks_and_moves_what_was_shown() {
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
fn the_nightly_reads_back_what_it_published() {
    let Some(stage) = stage() else { return };
    stage.try_run(NIGHTLY, &[]).expect("inside of the model").root.is(Succeeded).task("verify").is(Succeeded);
}

//! An approval binds the state after a plan, not the writes that are left. A run that was killed, or whose result was
//! lost, can be repeated under the same approval. It completes the work or finds nothing to do.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::killed::walk::{kept_alive, served};
use crate::killed::{for_each, kill_at, say};
use crate::support::planted::plant;
use crate::support::programs::{Run, release, run};
use crate::support::published::{RELEASES, record, state, store, writes};
use crate::support::registry::{Action, Fault, Gate, Registry, Setup};

/// The prefix of every registry in these tests, so that digests and approvals do not depend on the port of the
/// registry.
const PREFIX: [&str; 2] = ["--prefix", "registry.example.com/org"];

/// Returns a command that reads the configuration of `tree` and does not retry.
fn command(tree: &Path, arguments: &[&str]) -> Command {
    let mut command = release();
    command.current_dir(tree).args(arguments).args(["--retry-for", "0"]).stdin(Stdio::null());
    command
}

fn publishing(tree: &Path, store: &str, version: &str, more: &[&str]) -> Command {
    let mut command = command(tree, &["publish"]);
    command.arg(tree).args(["--version", version, "--store", store, "--image-check", "off"]).args(PREFIX);
    command.args(["--source-commit", &"a".repeat(40), "--epoch", "1700000000"]).args(more);
    command
}

/// A source tree, and a registry whose nightly serves 1.0.4 of the tree and whose stable serves 1.0.3.
fn with_two_channels() -> (tempfile::TempDir, Registry) {
    let (directory, registry) = (tempfile::tempdir().expect("a temporary directory"), Registry::start());
    plant(directory.path(), ["chart-1", "chart-2"]);
    let at = store(&registry);
    for version in ["1.0.3", "1.0.4"] {
        run(&mut publishing(directory.path(), &at, version, &["--channel", "nightly"])).ends(0);
        if version == "1.0.3" {
            run(&mut promoting(directory.path(), &at, &[])).ends(0);
        }
    }
    (directory, registry)
}

fn promoting(tree: &Path, store: &str, more: &[&str]) -> Command {
    let mut command = command(tree, &["promote", "--from", "nightly", "--to", "stable", "--store", store]);
    command.args(PREFIX).args(more);
    command
}

fn rolling_back(tree: &Path, store: &str, more: &[&str]) -> Command {
    let mut command =
        command(tree, &["rollback", "nightly", "--to", "1.0.3", "--reason", "it fails", "--store", store]);
    command.args(PREFIX).args(more);
    command
}

/// Returns the report of a dry run, and the flags that bind the real run to it.
fn approve(mut command: Command) -> (Value, Vec<String>) {
    let report = run(command.args(["--dry-run", "--output", "json"])).ends(0).json();
    let plan = report["planDigest"].as_str().expect("a digest").to_owned();
    (report, vec!["--if-plan".to_owned(), plan])
}

fn words(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

#[track_caller]
fn has_nothing_to_do(run: Run) {
    let run = run.ends(0);
    assert!(run.stdout.starts_with("nothing to do"), "{}", run.stdout);
}

/// Kills `command` at each request to `registry`, before and after its execution, and repeats the command each time
/// under its approval.
fn killed_and_repeated(registry: &Registry, channel: &str, command: impl Fn(&str, &[&str]) -> Command + Sync) {
    let (_, flags) = approve(command(&store(registry), &[]));
    let approved = words(&flags);
    let undisturbed = Registry::copy_of(registry, Setup::default());
    let before = Some(registry.tags(RELEASES)).filter(|tags| tags.contains_key(channel));
    let chain_before = before.map(|_| served(registry, channel).chain).unwrap_or_default();
    run(&mut command(&store(&undisturbed), &approved)).ends(0);
    let (requests, after) = (undisturbed.log().len(), served(&undisturbed, channel));
    for_each(2 * requests, |number| {
        let (index, later) = (number / 2, number % 2 == 1);
        let what = format!("killed {} request {index}", if later { "after" } else { "before" });
        let registry = Registry::copy_of(registry, Setup::default());
        let at = store(&registry);
        kill_at(command(&at, &approved), &registry, later, |action| Fault::after(index, action));
        run(&mut command(&at, &approved)).ends(0);
        let now = served(&registry, channel);
        assert_eq!((&now.version, &now.release), (&after.version, &after.release), "{what}");
        assert_eq!(now.chain[1..], chain_before[..], "{what}: one move");
        assert_eq!(now.chain[0].1, after.chain[0].1, "{what}: the interrupted move keeps its sequence number");
        assert_eq!(kept_alive(&registry, channel), kept_alive(&undisturbed, channel), "{what}: one announcement");
        has_nothing_to_do(run(&mut command(&at, &approved)));
    });
    say(&format!("killed {} times under an approval, before and after each of {requests} requests", 2 * requests));
}

#[test]
fn a_promotion_killed_at_any_request_finishes_under_the_same_approval() {
    let (tree, registry) = with_two_channels();
    killed_and_repeated(&registry, "stable", |store, more| promoting(tree.path(), store, more));
}

#[test]
fn a_rollback_killed_at_any_request_finishes_under_the_same_approval() {
    let (tree, registry) = with_two_channels();
    killed_and_repeated(&registry, "nightly", |store, more| rolling_back(tree.path(), store, more));
}

#[test]
fn a_publication_killed_at_any_request_finishes_under_the_same_approval() {
    let (tree, registry) = with_two_channels();
    let publishing = |store: &str, more: &[&str]| {
        publishing(tree.path(), store, "1.0.5", &[&["--channel", "nightly"], more].concat())
    };
    killed_and_repeated(&registry, "nightly", publishing);
}

#[test]
fn a_promotion_across_stores_killed_at_any_request_finishes_under_the_same_approval() {
    let (tree, origin) = with_two_channels();
    let from = store(&origin);
    let promoting = |to: &str, more: &[&str]| {
        let rewritten = ["--to-store", to, "--rewrite-prefix=mirror.example.com/org"];
        promoting(tree.path(), &from, &[&rewritten[..], more].concat())
    };
    killed_and_repeated(&Registry::start(), "stable", promoting);
}

#[test]
fn a_copy_with_a_channel_killed_at_any_request_finishes_under_the_same_approval() {
    let (tree, origin) = with_two_channels();
    let from = store(&origin);
    let copying = |to: &str, more: &[&str]| {
        let mut command = command(tree.path(), &["copy", "1.0.4", to, "--store", &from, "--channel", "nightly"]);
        command.arg("--rewrite-prefix=mirror.example.com/org").args(PREFIX).args(more);
        command
    };
    killed_and_repeated(&Registry::start(), "nightly", copying);
}

#[test]
fn an_approval_of_another_move_is_refused_even_if_the_channel_serves_the_release() {
    let (tree, registry) = with_two_channels();
    let at = store(&registry);
    let (_, flags) = approve(promoting(tree.path(), &at, &[]));
    run(&mut promoting(tree.path(), &at, &words(&flags))).ends(0);
    // The channel leaves the release and returns to it, which is another move than the approved one.
    let back = ["rollback", "stable", "--to", "1.0.3", "--reason", "it fails", "--store", &at];
    run(command(tree.path(), &back).args(PREFIX)).ends(0);
    run(&mut promoting(tree.path(), &at, &words(&flags))).ends(3).says(&["changed since it was approved"]);
    run(&mut promoting(tree.path(), &at, &[])).ends(0);
    let before = state(&registry);
    run(&mut promoting(tree.path(), &at, &words(&flags))).ends(3).says(&["changed since it was approved"]);
    assert_eq!(state(&registry), before);
}

#[test]
fn a_refused_plan_lists_the_differences_from_the_approved_one() {
    let (tree, registry) = with_two_channels();
    let at = store(&registry);
    let (report, flags) = approve(promoting(tree.path(), &at, &[]));
    let file = tree.path().join("approved.json");
    std::fs::write(&file, report.to_string()).expect("written");
    let file = file.display().to_string();
    let before = registry.tags(RELEASES);
    // Nightly moves to another release with another chart.
    std::fs::write(tree.path().join("charts/chart-1/values.yaml"), "another: value\n").expect("written");
    let more = ["--channel", "nightly", "--chart-version", "stamped"];
    run(&mut publishing(tree.path(), &at, "1.0.5", &more)).ends(0);
    let after = registry.tags(RELEASES);
    let refused = run(&mut promoting(tree.path(), &at, &["--approved", &file])).ends(3);
    refused.says(&[
        "changed since it was approved",
        &format!("release: approved {}, now {}", before["1.0.4"], after["1.0.5"]),
        "reference registry.example.com/org/charts/chart-1: approved sha256:",
    ]);
    // With only the digest, the error describes this plan.
    let refused = run(&mut promoting(tree.path(), &at, &words(&flags))).ends(3);
    refused.says(&[&format!("serves release {}", after["1.0.5"]), &before["stable"], "--approved"]);
    // Another publisher moves the channel itself.
    run(&mut promoting(tree.path(), &at, &[])).ends(0);
    let now = registry.tags(RELEASES)["stable"].clone();
    let mut again = command(tree.path(), &["promote", "--from", "1.0.4", "--to", "stable", "--store", &at]);
    let refused = run(again.args(PREFIX).args(["--approved", &file, "--allow-unordered"])).ends(3);
    refused.says(&["newer than 1.0.4"]);
    let (report, _) = approve(rolling_back(tree.path(), &at, &[]));
    std::fs::write(&file, report.to_string()).expect("written");
    run(&mut rolling_back(tree.path(), &at, &[])).ends(0);
    run(&mut publishing(tree.path(), &at, "1.0.5", &more)).ends(0);
    let refused = run(&mut rolling_back(tree.path(), &at, &["--approved", &file])).ends(3);
    refused.says(&["replaced channel manifest: approved", "sequence of the move: approved 4, now 6"]);
    assert_eq!(registry.tags(RELEASES)["stable"], now);
}

#[test]
fn a_file_that_is_not_the_report_of_a_dry_run_is_not_an_approval() {
    let (tree, registry) = with_two_channels();
    let at = store(&registry);
    let (report, _) = approve(promoting(tree.path(), &at, &[]));
    let file = tree.path().join("approved.json");
    let mut forged = report.clone();
    forged["approval"]["release"] = format!("sha256:{}", "0".repeat(64)).into();
    for (text, says) in
        [("{}".to_owned(), "planDigest"), (forged.to_string(), "expected sha256:"), (String::new(), "EOF")]
    {
        std::fs::write(&file, text).expect("written");
        let refused = run(&mut promoting(tree.path(), &at, &["--approved", &file.display().to_string()])).ends(9);
        refused.says(&["--approved", says]);
    }
    let both = ["--approved", "a.json", "--if-plan", "sha256:0"];
    run(&mut promoting(tree.path(), &at, &both)).ends(9).says(&["cannot be used with"]);
}

/// The approval matches the final state of the store and the channel.
#[test]
fn an_approval_contains_the_release_the_move_and_all_artifacts() {
    let (tree, registry) = with_two_channels();
    let at = store(&registry);
    let (report, flags) = approve(promoting(tree.path(), &at, &[]));
    let approval = &report["approval"];
    let tags = registry.tags(RELEASES);
    assert_eq!(approval["release"], tags["1.0.4"]);
    assert_eq!(approval["moves"]["replaces"], tags["stable"]);
    assert_eq!((&approval["moves"]["kind"], &approval["moves"]["channel"]), (&"promote".into(), &"stable".into()));
    let named: Vec<&str> =
        approval["artifacts"].as_array().expect("references").iter().filter_map(Value::as_str).collect();
    for chart in ["chart-1", "chart-2"] {
        let digest = &registry.tags(&format!("org/charts/{chart}"))["1.0.0"];
        assert!(named.contains(&&*format!("registry.example.com/org/charts/{chart}@{digest}")), "{named:?}");
    }
    assert!(named.iter().any(|one| one.starts_with("registry.example.com/org/alga-appliance-config@")), "{named:?}");
    run(&mut promoting(tree.path(), &at, &words(&flags))).ends(0);
    assert_eq!(record(&registry, "stable", "previous"), approval["moves"]["replaces"].as_str().map(ToOwned::to_owned));
}

#[test]
fn a_refused_promotion_writes_nothing_and_leaves_no_upload() {
    let (tree, registry) = with_two_channels();
    let digest = registry.tags("org/charts/chart-1")["1.0.0"].clone();
    registry.remove_manifest("org/charts/chart-1", &digest);
    registry.clear_log();
    let before = state(&registry);
    run(&mut promoting(tree.path(), &store(&registry), &[])).ends(3).says(&["chart chart-1"]);
    let lines = registry.lines();
    let written = lines.iter().filter(|line| line.starts_with("PUT") || line.starts_with("PATCH")).count();
    assert_eq!((written, registry.uploads(), state(&registry)), (0, 0, before), "{lines:#?}");
}

/// The first run was not killed and is still running when the second one starts.
#[test]
fn two_runs_under_one_approval_make_one_move() {
    let (tree, registry) = with_two_channels();
    let at = store(&registry);
    let (_, flags) = approve(promoting(tree.path(), &at, &[]));
    let gate = Gate::default();
    registry.fail(Fault::first("PUT", "/manifests/stable?", Action::Hold(gate.clone())));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| run(&mut promoting(tree.path(), &at, &words(&flags))));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(gate.arrived(1));
        run(&mut promoting(tree.path(), &at, &words(&flags))).ends(0);
        gate.release();
        first.join().expect("the first run").ends(0);
    });
    assert_eq!(served(&registry, "stable").chain.len(), 2);
    assert_eq!(kept_alive(&registry, "stable"), [1, 2]);
    registry.clear_log();
    has_nothing_to_do(run(&mut promoting(tree.path(), &at, &words(&flags))));
    assert_eq!(writes(&registry), 0);
}

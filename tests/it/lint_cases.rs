//! Each directory of `tests/cases/lint`, except `base`, belongs to one rule. Each case is a small tree: the files of `base/`, overlaid by
//! the files of the case. The files in `triggers/` cause exactly one finding of the rule; the files in `near/` cause none.
//!
//! A file named `REMOVED` lists paths that are deleted, one per line. If there is a directory `against/`, its tree is published first, and
//! the other two trees are checked as upgrades from that release. A file named `judges` lists the programs that the rule needs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alga_release::config::{Config, FILE_NAME};
use alga_release::lint::{self, Report, Settings};
use alga_release::ops::{self, Clock, Context, LintRequest};
use jiff::Timestamp;

use crate::support::programs::{alga, release, run};
use crate::support::{files_below, require};

/// A clock that never moves, because the checks do not need the time.
#[derive(Debug)]
pub struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn sleep(&self, _: Duration) -> futures_util::future::BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/lint")
}

/// Creates the small tree, overlaid by the files of a case.
fn tree(over: &Path) -> tempfile::TempDir {
    let tree = tempfile::tempdir().expect("a directory");
    for from in [cases().join("base"), over.to_path_buf()] {
        for (path, bytes) in files_below(&from) {
            let target = tree.path().join(path);
            fs::create_dir_all(target.parent().expect("below the tree")).expect("created");
            fs::write(target, bytes).expect("written");
        }
    }
    let removed = tree.path().join("REMOVED");
    for path in fs::read_to_string(&removed).unwrap_or_default().lines() {
        fs::remove_file(tree.path().join(path)).expect("removed");
    }
    fs::remove_file(removed).ok();
    tree
}

/// Checks a tree with its own configuration.
fn report(tree: &Path) -> Report {
    let config = fs::read_to_string(tree.join(FILE_NAME)).expect("a configuration");
    let config = Config::parse(&config, FILE_NAME).expect("valid");
    let settings = Settings::of(&config).expect("valid settings");
    futures_util::FutureExt::now_or_never(ops::lint(
        &LintRequest::tree(tree, settings),
        &config,
        None,
        &Context::silent(Still),
    ))
    .expect("a tree is checked without a request")
    .expect("checked")
}

/// Returns the places and messages of a rule's findings. Every message and hint is in the form of all messages and hints.
fn found(report: &Report, rule: &str) -> Vec<String> {
    for finding in &report.findings {
        let (message, help) = (&finding.message, &finding.help);
        assert!(!message.ends_with('.') && !help.ends_with('.'), "{rule}: {message}: {help}");
        assert!(help.starts_with(|first: char| first.is_ascii_lowercase()), "{rule}: {message}: {help}");
    }
    let of_rule = report.findings.iter().filter(|finding| finding.rule.id == rule);
    of_rule.map(|finding| format!("{}:{}: {}", finding.file, finding.line, finding.message)).collect()
}

/// Returns the findings of a rule that needs external programs, or `None` if the programs are missing.
fn found_by_judges(tree: &Path, rule: &str, judges: &str) -> Option<Vec<String>> {
    let programs: Vec<PathBuf> = judges.lines().map(require).collect::<Option<_>>()?;
    let directories = programs.iter().filter_map(|program| program.parent()).map(Path::to_path_buf);
    let path = std::env::join_paths(directories).expect("paths");
    let mut command = release();
    command.arg("lint").arg(tree).args(["--render", "auto", "--output", "json"]).env("PATH", path);
    let report = run(&mut command).json();
    let findings = report["findings"].as_array().expect("a list").iter();
    Some(findings.filter(|finding| finding["rule"] == rule).map(ToString::to_string).collect())
}

/// Publishes an older tree, and returns the findings of a rule about the upgrade from it to another tree.
fn found_against(tree: &Path, old: &Path, rule: &str) -> Vec<String> {
    let directory = tempfile::tempdir().expect("a directory");
    let store = format!("oci-layout:{}", directory.path().join("store").display());
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let [old_config, config] = [old, tree].map(|tree| text(&tree.join(FILE_NAME)));
    let publish = ["publish", &text(old), "--config", &old_config, "--store", &store, "--image", "web=1.0.0"];
    let flags = ["--version", "1.0.0", "--channel", "stable", "--image-check", "off"];
    let commit = ["--source-commit", &"a".repeat(40), "--epoch", "1700000000"];
    alga(&[&publish[..], &flags, &commit].concat()).ends(0);
    let lint = ["lint", &text(tree), "--config", &config, "--store", &store, "--against", "1.0.0"];
    let report = alga(&[&lint[..], &["--render", "off", "--output", "json"]].concat()).json();
    let findings = report["findings"].as_array().expect("findings");
    let of_rule = findings.iter().filter(|finding| finding["rule"] == rule);
    of_rule.map(ToString::to_string).collect()
}

#[test]
fn every_rule_has_a_case_with_one_finding_and_a_near_case_without_one() {
    let mut wrong = Vec::new();
    let rules: BTreeSet<&str> = lint::rules().map(|rule| rule.id).collect();
    for rule in &rules {
        let case = cases().join(rule);
        for (kind, count) in [("triggers", 1), ("near", 0)] {
            if !case.join(kind).is_dir() {
                wrong.push(format!("{rule}: missing {kind}"));
                continue;
            }
            let now = tree(&case.join(kind));
            let (judges, against) = (fs::read_to_string(case.join("judges")), case.join("against"));
            let found = match judges {
                Ok(judges) => match found_by_judges(now.path(), rule, &judges) {
                    Some(found) => found,
                    None => continue,
                },
                Err(_) if against.is_dir() => found_against(now.path(), tree(&against).path(), rule),
                Err(_) => found(&report(now.path()), rule),
            };
            if found.len() != count {
                wrong.push(format!("{rule}: {kind}: expected {count}, found {found:#?}"));
            }
        }
    }
    for entry in fs::read_dir(cases()).expect("the cases") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        if name != "base" && !rules.contains(name.as_str()) {
            wrong.push(format!("{name}: no rule has this name"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_small_tree_has_no_findings() {
    let report = report(&cases().join("base"));
    assert_eq!(report.findings, []);
}

#[test]
fn a_digest_in_a_label_is_found_at_its_line_and_only_in_a_signed_release() {
    let rule = "image-digest-refused";
    let signed = tree(&cases().join(rule).join("triggers"));
    let expected = "charts/web/templates/extra.yaml:7: the label `app.kubernetes.io/version` contains the digest of the image \
                    `web`: expected at most 63 letters, digits, `-`, `_` and `.`";
    assert_eq!(found(&report(signed.path()), rule), [expected]);
    for rule in [rule, "image-digest-missing"] {
        let unsigned = tree(&cases().join(rule).join("triggers"));
        fs::copy(cases().join("base").join(FILE_NAME), unsigned.path().join(FILE_NAME)).expect("copied");
        assert_eq!(found(&report(unsigned.path()), rule), [""; 0]);
    }
}

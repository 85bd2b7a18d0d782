//! What a command leaves for the next step of a workflow, in Argo and in GitHub Actions.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::files_below;
use crate::support::programs::{Run, Source};
use crate::support::published::{RELEASES, publish, with_images};
use crate::support::registry::{Auth, Registry, Setup};

const VALUES: [&str; 5] = ["digest", "version", "has-changes", "plan-digest", "channel-digest"];
const REPORTS: [&str; 3] = ["changes.json", "report.html", "report.md"];

struct Step {
    source: Source,
    registry: Registry,
}

impl Step {
    fn new() -> Self {
        Self { source: Source::new(), registry: Registry::start() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.source.path("..").join(name)
    }

    fn publish(&self, version: &str, more: &[&str]) -> Run {
        let out = self.path("out").display().to_string();
        publish(&self.source, &self.registry, version, "nightly", &[&["--output-dir", &out], more].concat())
    }

    fn value(&self, name: &str) -> String {
        fs::read_to_string(self.path("out").join(name))
            .unwrap_or_else(|cause| panic!("{name}: {cause}"))
            .trim()
            .to_owned()
    }

    fn files(&self) -> Vec<String> {
        files_below(&self.path("out")).into_keys().collect()
    }
}

#[test]
fn every_value_and_report_is_a_file_and_nothing_else_is_left() {
    let step = Step::new();
    step.publish("1.0.3", &[]).ends(0);
    let mut all = [&VALUES[..], &REPORTS].concat();
    all.sort_unstable();
    assert_eq!(step.files(), all);
    let tags = step.registry.tags(RELEASES);
    let report: Value = serde_json::from_str(&step.value("changes.json")).expect("JSON");
    assert_eq!(step.value("digest"), tags["1.0.3"]);
    assert_eq!(step.value("channel-digest"), tags["nightly"]);
    assert_eq!(step.value("version"), "1.0.3");
    assert_eq!(step.value("has-changes"), "true");
    assert_eq!(report["planDigest"], step.value("plan-digest"));
    for report in ["report.md", "report.html"] {
        assert!(step.value(report).contains("published 1.0.3"), "{}", step.value(report));
    }
    step.publish("1.0.3", &[]).ends(0);
    assert_eq!((step.value("has-changes").as_str(), &step.value("digest")), ("false", &tags["1.0.3"]));
}

#[test]
fn a_dry_run_says_what_the_channel_serves_now() {
    let step = Step::new();
    with_images(&step.source, &["1.0.4"]);
    step.publish("1.0.3", &["--dry-run"]).ends(0);
    assert_eq!(step.value("channel-digest"), "none");
    step.publish("1.0.3", &[]).ends(0);
    step.publish("1.0.4", &["--dry-run"]).ends(0);
    assert_eq!(step.value("channel-digest"), step.registry.tags(RELEASES)["nightly"]);
    assert_eq!(step.value("has-changes"), "true");
    step.publish("1.0.4", &["--dry-run", "--no-channel"]).ends(0);
    assert!(!step.files().contains(&"channel-digest".to_owned()));
}

#[test]
fn a_failure_leaves_its_report_and_no_value_of_the_run_before() {
    let step = Step::new();
    step.publish("1.0.3", &[]).ends(0);
    step.source.append("helm/values.yaml", "\nother: content\n");
    step.publish("1.0.3", &[]).ends(3);
    assert_eq!(step.files(), ["report.html", "report.md"]);
    for report in ["report.md", "report.html"] {
        let report = step.value(report);
        assert!(report.contains("exit code 3") && report.contains("hint: "), "{report}");
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_known_before_anything_is_sent() {
    let step = Step::new();
    fs::write(step.path("out"), "a file").expect("written");
    step.publish("1.0.3", &[]).ends(1).says(&["--output-dir", "out"]);
    assert!(step.registry.log().is_empty());
}

#[test]
fn github_gets_its_outputs_its_summary_and_its_annotations() {
    let source = Source::new();
    let [output, summary] = ["output", "summary"].map(|name| source.path("..").join(name).display().to_string());
    fs::write(&output, "before=1\n").expect("written");
    let environment = [("GITHUB_ACTIONS", "true"), ("GITHUB_OUTPUT", &output), ("GITHUB_STEP_SUMMARY", &summary)];
    let layout = source.layout();
    let arguments = ["--version", "1.0.3", "--channel", "nightly", "--store", &layout];
    let report = source.publish_in(&[&arguments[..], &["--output", "json"]].concat(), &environment).ends(0).json();
    let written = fs::read_to_string(&output).expect("outputs");
    let expected = format!(
        "before=1\ndigest={}\nversion=1.0.3\nhas-changes=true\nplan-digest={}\nchannel-digest={}\n",
        report["digest"].as_str().expect("text"),
        report["planDigest"].as_str().expect("text"),
        report["channel"]["manifest"].as_str().expect("text"),
    );
    assert_eq!(written, expected);
    assert!(fs::read_to_string(&summary).expect("a summary").contains("published 1.0.3"));
    source.append("helm/values.yaml", "\nother: content\n");
    let failed = source.publish_in(&arguments, &environment).ends(3);
    let annotations: Vec<&str> = failed.stderr.lines().filter(|line| line.starts_with("::error ")).collect();
    assert!(annotations.len() == 1 && annotations[0].contains("%0Ahint: "), "{}", failed.stderr);
    assert!(fs::read_to_string(&summary).expect("a summary").contains("exit code 3"));
    assert_eq!(fs::read_to_string(&output).expect("outputs"), expected);
}

#[test]
fn no_secret_reaches_a_file() {
    let source = Source::new();
    source.append("alga-release.yaml", "\npublicRead: false\n");
    let auth = Auth::Basic { username: "alice".to_owned(), password: "canary-token".to_owned() };
    let registry = Registry::with(Setup { auth, ..Setup::default() });
    let [out, output, summary] =
        ["out", "output", "summary"].map(|name| source.path("..").join(name).display().to_string());
    let store = format!("{}/org", registry.address());
    let arguments = ["--version", "1.0.3", "--channel", "nightly", "--store", &store, "--output-dir", &out];
    for (token, code) in [("canary-token", 0), ("canary-token-wrong", 4)] {
        let environment = [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_OUTPUT", output.as_str()),
            ("GITHUB_STEP_SUMMARY", summary.as_str()),
            ("ALGA_REGISTRY_USERNAME", "alice"),
            ("ALGA_REGISTRY_TOKEN", token),
        ];
        let run = source.publish_in(&arguments, &environment).ends(code);
        let mut said = files_below(out.as_ref());
        said.extend([&output, &summary].map(|path| (path.clone(), fs::read(path).expect("a file"))));
        said.insert("streams".to_owned(), (run.stdout + &run.stderr).into_bytes());
        for (name, bytes) in said {
            assert!(!String::from_utf8_lossy(&bytes).contains("canary"), "{name}");
        }
    }
}

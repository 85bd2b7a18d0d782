//! The files and variables that a command writes for the next step of a workflow, in Argo and in GitHub Actions.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use alga_release::yaml;
use serde_json::Value;

use crate::argo::stage::Stage;
use crate::support::definitions::json_of;
use crate::support::programs::{Run, Source, alga, release, run};
use crate::support::published::{RELEASES, publish, put_release, release_json, served, store, with_images};
use crate::support::registry::{Auth, Registry, Setup};
use crate::support::{files_below, root};

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
fn every_value_and_report_is_a_file_and_there_are_no_others() {
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
fn a_dry_run_writes_the_digest_that_the_channel_points_to_now() {
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
fn a_failure_writes_its_report_and_removes_the_values_of_the_run_before() {
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
fn a_directory_that_cannot_be_written_fails_before_the_first_request() {
    let step = Step::new();
    fs::write(step.path("out"), "a file").expect("written");
    step.publish("1.0.3", &[]).ends(1).says(&["--output-dir", "out"]);
    assert!(step.registry.log().is_empty());
}

#[test]
fn github_gets_outputs_a_summary_and_annotations() {
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
fn a_comparison_writes_the_same_files_as_a_publication() {
    let (step, out) = (Step::new(), "out");
    with_images(&step.source, &["1.0.4"]);
    step.publish("1.0.3", &[]).ends(0);
    publish(&step.source, &step.registry, "1.0.4", "nightly", &[]).ends(0);
    let path = |name: &str| step.path(name).display().to_string();
    let diff = |to: &str| {
        let mut command = release();
        command.args(["diff", "1.0.3", to, "--store", &store(&step.registry), "--output-dir", &path(out)]);
        run(command
            .args(["--retry-for", "0"])
            .env("GITHUB_OUTPUT", path("output"))
            .env("GITHUB_STEP_SUMMARY", path("summary")))
    };
    diff("nightly").ends(0);
    let tags = step.registry.tags(RELEASES);
    let expected = format!("digest={}\nversion=1.0.4\nhas-changes=true\n", tags["1.0.4"]);
    assert_eq!(fs::read_to_string(path("output")).expect("outputs"), expected);
    assert_eq!(fs::read_to_string(path("summary")).expect("a summary").trim(), step.value("report.md"));
    let files = ["changes.json", "digest", "has-changes", "report.html", "report.md", "version"];
    assert_eq!(step.files(), files, "the values of the publication before are removed");
    diff("9.9.9").ends(9);
    assert_eq!(step.files(), ["report.html", "report.md"]);
    assert!(step.value("report.md").contains("exit code 9"));
    // A version of several lines must not add a line to the outputs.
    let mut evil = served(&step.registry, "1.0.4");
    evil["version"] = "1.0.4\nhas-changes=false".into();
    put_release(&step.registry, "evil", &evil, &serde_json::json!({}));
    diff("evil").ends(0);
    let written = fs::read_to_string(path("output")).expect("outputs");
    assert!(!written.contains("\nhas-changes=false"), "{written}");
}

#[test]
fn a_refused_dry_run_shows_the_comparison_after_the_refusal() {
    let step = Step::new();
    with_images(&step.source, &["1.0.2"]);
    step.publish("1.0.3", &[]).ends(0);
    step.source.append("ee/appliance/flux/profiles/single-node/values/temporal.single-node.yaml", "older: true\n");
    let refused = step.publish("1.0.2", &["--dry-run"]).ends(3).says(&["newer than 1.0.2"]);
    assert!(refused.stdout.contains("+older: true"), "{}", refused.stdout);
    assert_eq!(step.files(), ["report.html", "report.md"], "a next step finds no value to act on");
    for report in ["report.md", "report.html"] {
        let report = step.value(report);
        let (why, what) = (report.find("exit code 3"), report.find("+older: true"));
        assert!(why.is_some() && why < what, "the refusal comes before the comparison: {report}");
    }
    assert_eq!(step.publish("1.0.2", &["--dry-run", "--output", "json"]).ends(3).stdout, "");
    publish(&step.source, &step.registry, "1.0.2", "nightly", &["--no-channel"]).ends(0);
    let store = store(&step.registry);
    let promote = |more: &[&str]| {
        alga(&[&["promote", "--from", "1.0.2", "--to", "nightly", "--store", &store], more].concat()).ends(3)
    };
    assert!(promote(&["--dry-run"]).says(&["newer than 1.0.2"]).stdout.contains("+older: true"));
    assert!(promote(&["--dry-run", "--if-current", "none"]).stdout.contains("+older: true"));
    assert_eq!(promote(&[]).stdout, "", "without `--dry-run`, only the refusal is printed");
    let temporal = step.registry.tags("org/charts/temporal")["0.1.0"].clone();
    step.registry.remove_manifest("org/charts/temporal", &temporal);
    let back = ["rollback", "nightly", "--to", "1.0.2", "--reason", "x", "--store", &store, "--dry-run"];
    assert!(alga(&back).ends(3).says(&["not complete"]).stdout.contains("+older: true"));
}

#[test]
fn text_from_outside_is_not_a_command_to_the_runner_of_a_job() {
    let step = Step::new();
    with_images(&step.source, &["1.0.4"]);
    let commands = "a: 1\n::set-output name=digest::evil\nb: ##[set-output name=digest]evil\n";
    let file = "ee/helm/temporal/files/commands.yaml";
    step.source.write(file, commands);
    step.publish("1.0.3", &[]).ends(0);
    step.source.write(file, &commands.replace("a: 1", "a: 2"));
    let chart = fs::read_to_string(step.source.path("ee/helm/temporal/Chart.yaml")).expect("a chart");
    step.source.write("ee/helm/temporal/Chart.yaml", &chart.replace("0.1.0", "0.1.1"));
    step.publish("1.0.4", &[]).ends(0);
    let mut evil = served(&step.registry, "1.0.4");
    evil["images"]["x\n::error::y"] = "1\n::error::z".into();
    evil["version"] = "1.0.4\n::error::w".into();
    put_release(&step.registry, "nightly", &evil, &serde_json::json!({}));
    let store = store(&step.registry);
    let say = |arguments: &[&str], job: &str| {
        let mut command = release();
        command.args(arguments).args(["--store", &store, "--retry-for", "0"]).env("GITHUB_ACTIONS", job);
        run(&mut command)
    };
    let mine = ["::error title=alga-release::", "::warning title=alga-release::"];
    for format in ["text", "markdown", "html", "json"] {
        let plain = say(&["diff", "1.0.3", "1.0.4", "--output", format], "");
        let run = say(&["diff", "1.0.3", "1.0.4", "--output", format], "true");
        assert!(plain.stdout.contains("::set-output name=digest::evil"), "{}", plain.stdout);
        assert!(run.stdout.contains("evil") && !run.stdout.contains("##["), "{}", run.stdout);
        let command = run.stdout.lines().find(|line| line.trim_start().starts_with("::"));
        assert_eq!(command, None, "{format}");
    }
    for arguments in [&["diff", "1.0.3", "nightly"][..], &["verify", "nightly"], &["in-use"], &["history", "nightly"]] {
        let run = say(arguments, "true");
        let lines = run.stdout.lines().chain(run.stderr.lines());
        let command = lines
            .map(str::trim_start)
            .find(|line| line.starts_with("::") && !mine.iter().any(|own| line.starts_with(own)));
        assert_eq!(command, None, "{arguments:?}");
    }
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

/// Returns the example in `docs/ci.md` that is written in a language.
fn example(language: &str) -> String {
    let text = fs::read_to_string(root("docs/ci.md")).expect("the page");
    let (_, rest) = text.split_once(&format!("```{language}\n")).expect("an example");
    rest.split_once("```").expect("its end").0.to_owned()
}

/// Starts a shell in the source of a stage, with the program on the path and the registry of the stage in the configuration.
fn shell(stage: &Stage, script: &str) -> Command {
    let prefix = format!("prefix: {}\n", store(&stage.registry));
    stage.source.write("alga-release.yaml", &prefix);
    stage.source.commit();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_alga-release"));
    let path = format!("{}:/usr/bin:/bin", program.parent().expect("a directory").display());
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).current_dir(stage.source.path("")).env_clear().env("PATH", path);
    shell
}

#[test]
fn the_script_for_any_ci_publishes_and_returns_the_exit_code() {
    let Some(stage) = Stage::new() else { return };
    let script = example("sh");
    let ran = run(shell(&stage, &script).env("VERSION", "1.0.3")).ends(0);
    let digest = &stage.registry.tags(RELEASES)["1.0.3"];
    assert!(ran.stdout.contains(&format!("release {digest}, changed: true")), "{}", ran.stdout);
    run(shell(&stage, &script).env("VERSION", "nightly-1")).ends(9);
    // The report of the run before must not be taken for the report of this run.
    stage.source.append("helm/values.yaml", "\nother: content\n");
    run(shell(&stage, &script).env("VERSION", "1.0.3")).ends(3).says(&["refused by a rule"]);
}

#[test]
fn the_job_for_github_actions_publishes() {
    let Some(stage) = Stage::new() else { return };
    let documents = yaml::parse(&example("yaml")).expect("YAML");
    let job = json_of(documents[0].root.as_ref().expect("a job"));
    let steps = job["jobs"]["publish"]["steps"].as_array().expect("steps");
    let step = steps.iter().find(|step| step["id"] == "publish").expect("the step");
    let images: Value = serde_json::from_str(&release_json(&stage.source)).expect("JSON");
    stage.source.write("images.json", &images["app"]["images"].to_string());
    let [output, summary] = ["../output", "../summary"].map(|name| stage.source.path(name));
    let mut shell = shell(&stage, step["run"].as_str().expect("a script"));
    shell.env("GITHUB_OUTPUT", &output).env("GITHUB_STEP_SUMMARY", &summary).env("GITHUB_ACTIONS", "true");
    shell.env("VERSION", "1.0.4-nightly.7").env("ALGA_REGISTRY_TOKEN", "s3cret");
    run(shell.env("ALGA_REGISTRY_USERNAME", "robertisaacs")).ends(0);
    let said = || fs::read_to_string(&summary).expect("a summary");
    assert!(said().contains("published 1.0.4-nightly.7"), "{}", said());
    // The job uploads the directory that the reports are in.
    let upload = steps.iter().find(|step| step["uses"].as_str().is_some_and(|uses| uses.contains("upload")));
    let reports = stage.source.path(upload.expect("the step")["with"]["path"].as_str().expect("a path"));
    assert!(reports.join("report.html").is_file());
    let failed = run(shell.env("VERSION", "nightly")).ends(9);
    assert!(failed.stderr.lines().any(|line| line.starts_with("::error title=alga-release::")), "{}", failed.stderr);
    assert!(said().contains("exit code 9"), "{}", said());
    let written = fs::read_to_string(&output).expect("outputs");
    for (name, expression) in job["jobs"]["publish"]["outputs"].as_object().expect("outputs") {
        assert_eq!(expression.as_str(), Some(format!("${{{{ steps.publish.outputs.{name} }}}}").as_str()));
        assert!(written.contains(&format!("{name}=")), "{name}: {written}");
    }
    assert!(stage.registry.tags(RELEASES).contains_key("1.0.4-nightly.7"));
}

#[test]
fn a_publication_goes_on_when_its_standard_error_cannot_be_written() {
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").expect("a full device");
    let gone = || std::io::pipe().expect("a pipe").1;
    let ends = |command: &mut Command, code: i32| {
        let status = command.stdout(std::process::Stdio::null()).status().expect("it starts");
        assert_eq!(status.code(), Some(code), "{status}");
    };
    for (store, stderr) in [("full", std::process::Stdio::from(full())), ("gone", std::process::Stdio::from(gone()))] {
        let source = Source::new();
        let layout = format!("{}-{store}", source.layout());
        let arguments = ["--version", "1.0.3", "--channel", "nightly", "--store", &layout];
        ends(source.publishing(&arguments).stderr(stderr), 0);
        alga(&["verify", "nightly", "--offline", "--store", &layout]).ends(0);
    }
    // A failure keeps its exit code.
    let failing = ["verify", "nightly", "--store", "oci-layout:/nonexistent"];
    let code = alga(&failing).code.filter(|code| *code != 0).expect("a failure");
    ends(release().args(failing).stderr(full()), code);
    ends(release().args(failing).stderr(gone()), code);
}

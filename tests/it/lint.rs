//! Findings of `lint` stop a publication before the first request, and a promotion before the first write.

use serde_json::Value;

use crate::schemas::valid;
use crate::support::programs::{Source, alga, release, stdout};
use crate::support::published::store;
use crate::support::registry::Registry;

const VALUES: &str = "ee/appliance/flux/profiles/single-node/values/email-service.single-node.yaml";
const RELEASE: &str = "ee/appliance/flux/base/releases/email-service.yaml";
const TEMPLATE: &str = "ee/helm/email-service/templates/service.yaml";

fn publish<'a>(registry: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--version", "1.0.3", "--channel", "nightly", "--store", registry][..], more].concat()
}

fn read(source: &Source, path: &str) -> String {
    std::fs::read_to_string(source.path(path)).expect("a file")
}

/// Replaces a text in a file of the tree.
#[track_caller]
fn change(source: &Source, path: &str, from: &str, to: &str) {
    let text = read(source, path);
    assert!(text.contains(from), "{path}: {text}");
    source.write(path, &text.replacen(from, to, 1));
}

#[test]
fn a_tree_that_an_appliance_would_refuse_is_not_published_and_no_request_is_sent() {
    let broken: [(&str, &str, &str, &str, &str); 3] = [
        ("values-broken", VALUES, "image:", "image: [", VALUES),
        ("values-from-key", RELEASE, "single-node.yaml", "singel-node.yaml", RELEASE),
        ("template-invalid", TEMPLATE, "{{ .Release.Name", "{{ .Release.Name (", TEMPLATE),
    ];
    for (rule, path, from, to, named) in broken {
        let (source, registry) = (Source::new(), Registry::start());
        change(&source, path, from, to);
        let address = store(&registry);
        let run = source.publish(&publish(&address, &[])).ends(3);
        run.says(&[rule, named, "--no-lint"]);
        assert_eq!(registry.lines(), [""; 0], "{rule}");
        source.publish(&publish(&address, &["--dry-run"])).ends(3).says(&[rule]);
        assert_eq!(registry.lines(), [""; 0], "{rule}");
        let root = source.path("").display().to_string();
        alga(&["lint", &root]).ends(3).says(&["cannot be installed"]);
    }
}

#[test]
fn all_errors_are_reported_in_one_run() {
    let source = Source::new();
    change(&source, VALUES, "image:", "image: [");
    change(&source, RELEASE, "single-node.yaml", "singel-node.yaml");
    change(&source, TEMPLATE, "{{ .Release.Name", "{{ .Release.Name (");
    let run = source.publish(&publish(&source.layout(), &[])).ends(3);
    run.says(&["values-broken", "values-from-key", "template-invalid"]);
}

#[test]
fn a_release_published_despite_errors_records_the_reason_and_is_neither_verified_nor_promoted() {
    let (source, registry) = (Source::new(), Registry::start());
    change(&source, RELEASE, "single-node.yaml", "singel-node.yaml");
    let address = store(&registry);
    let more = ["--no-lint", "the lab has the key", "--output", "json"];
    let report = source.publish(&publish(&address, &more)).ends(0).json();
    valid("report.json", &report);
    valid("lint.json", &report["lint"]);
    assert_eq!(report["lint"]["ignoredBecause"], "the lab has the key");
    assert_eq!(report["lint"]["findings"][0]["rule"], "values-from-key");
    let verified = alga(&["verify", "nightly", "--store", &address]).ends(3);
    verified.says(&["values-from-key", "bundle/base/releases/email-service.yaml"]);
    let promote = ["promote", "--from", "nightly", "--to", "stable", "--store", &address];
    let before = registry.tags("org/alga-appliance-release");
    alga(&promote).ends(3).says(&["values-from-key", "cannot be installed"]);
    assert_eq!(registry.tags("org/alga-appliance-release"), before, "nothing was written");
    alga(&[&promote[..], &["--allow", "values-from-kye", "--reason", "x"]].concat()).ends(9).says(&["values-from-key"]);
    let allowed =
        [&promote[..], &["--allow", "values-from-key", "--reason", "the lab has the key", "--output", "json"]];
    let moved = alga(&allowed.concat()).ends(0).json();
    valid("move.json", &moved);
    assert_eq!(moved["lint"]["allowed"][0]["reason"], "the lab has the key");
}

#[test]
fn findings_are_risks_in_a_comparison() {
    let (source, registry) = (Source::new(), Registry::start());
    let address = store(&registry);
    source.publish(&publish(&address, &[])).ends(0);
    change(&source, RELEASE, "single-node.yaml", "singel-node.yaml");
    let root = source.path("").display().to_string();
    let arguments = ["diff", "1.0.3", &root, "--version", "1.0.3", "--store", &address, "--output", "json"];
    let more = ["--source-commit", &"a".repeat(40), "--epoch", "1700000000"];
    let diff = alga(&[&arguments[..], &more[..]].concat()).ends(0).json();
    valid("diff.json", &diff);
    let risk = diff["risks"].as_array().expect("risks").iter().find(|risk| risk["kind"] == "lint").expect("a risk");
    assert_eq!(risk["level"], "danger");
    let text = risk["text"].as_str().expect("text");
    assert!(text.starts_with(RELEASE) && text.ends_with("(values-from-key)"), "{risk}");
}

fn rules(report: &Value, of: &str) -> Vec<String> {
    let findings = report[of].as_array().expect("a list").iter();
    findings.map(|finding| finding["rule"].as_str().expect("a rule").to_owned()).collect()
}

#[test]
fn a_finding_is_allowed_by_a_comment_or_by_the_configuration_with_a_reason() {
    let source = Source::new();
    change(&source, RELEASE, "single-node.yaml", "singel-node.yaml");
    let root = source.path("").display().to_string();
    let lint = |code| alga(&["lint", &root, "--output", "json"]).ends(code).json();
    let report = lint(3);
    valid("lint.json", &report);
    assert_eq!(rules(&report, "findings"), ["values-from-key"]);
    let entry = |severity: &str| {
        format!("lint: {{rules: [{{rule: values-from-key, path: 'ee/**', severity: '{severity}', reason: a test}}]}}\n")
    };
    source.write("alga-release.yaml", &entry("off"));
    let report = lint(0);
    assert_eq!((rules(&report, "findings"), rules(&report, "allowed")), (vec![], vec!["values-from-key".to_owned()]));
    source.write("alga-release.yaml", &entry("warning"));
    assert_eq!(lint(0)["findings"][0]["severity"], "warning");
    source.write("alga-release.yaml", "");
    change(&source, RELEASE, "singel-node.yaml", "singel-node.yaml # alga-lint: allow values-from-key a test");
    let report = lint(0);
    assert_eq!((rules(&report, "findings"), rules(&report, "allowed")), (vec![], vec!["values-from-key".to_owned()]));
    change(&source, RELEASE, "singel-node.yaml", "single-node.yaml");
    assert_eq!(rules(&lint(0), "findings"), ["allowance-unused"]);
}

#[test]
fn the_first_finding_of_a_rule_says_what_happens_on_the_appliance() {
    let source = Source::new();
    let entry =
        |release: &str, path: &str| format!("    - {{release: {release}, path: {path}, from: 'image:algaCroe'}}\n");
    let (one, other) = (entry("alga-core", "server.image.tag"), entry("email-service", "image.tag"));
    source.write("alga-release.yaml", &format!("appliance:\n  values:\n{one}{other}"));
    let run = alga(&["lint", &source.path("").display().to_string(), "--render", "off"]).ends(3);
    let count = |text: &str| run.stdout.matches(text).count();
    assert_eq!(
        count("error[injection-source-unknown]: unknown source `image:algaCroe` of a value"),
        2,
        "{}",
        run.stdout
    );
    assert_eq!(count("note: Nothing fails: every appliance uses the misspelt word"), 1, "{}", run.stdout);
    assert_eq!(count("help: did you mean `image:algaCore`?"), 2, "{}", run.stdout);
}

#[test]
fn the_log_names_the_severity_of_a_finding_once_before_its_rule_and_place() {
    let source = Source::new();
    change(&source, RELEASE, "single-node.yaml", "singel-node.yaml");
    source.write(
        "alga-release.yaml",
        "lint: {rules: [{rule: values-from-key, path: 'ee/**', severity: warning, reason: a test}]}\n",
    );
    let run = source.publish(&publish(&source.layout(), &["--dry-run"])).ends(0);
    let named: Vec<&str> = run.stderr.lines().filter(|line| line.contains("[values-from-key]")).collect();
    assert_eq!(named.len(), 1, "{}", run.stderr);
    assert!(named[0].starts_with(&format!("warning[values-from-key]: {RELEASE}:")), "{named:?}");
}

fn explained(rule: &str) -> String {
    String::from_utf8(stdout(release().args(["lint", "--explain", rule]))).expect("text")
}

#[test]
fn the_page_of_the_catalogue_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/lint.md");
    let page = explained("all");
    if std::env::vars().any(|(key, _)| key == "ALGA_UPDATE") {
        std::fs::write(path, &page).expect("written");
    }
    let current = std::fs::read_to_string(path).unwrap_or_default();
    assert!(page == current, "docs/lint.md is out of date: run this test with ALGA_UPDATE=1");
    let mut in_code = false;
    for line in page.lines() {
        in_code ^= line.starts_with("```");
        assert!(in_code || line.chars().count() < 120, "a line of prose has 120 columns or more: {line}");
    }
}

#[test]
fn every_rule_is_explained_in_whole_sentences_and_has_a_hint() {
    for rule in alga_release::lint::rules() {
        let id = rule.id;
        assert!(id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{id}");
        let hint = rule.way_out;
        assert!(!hint.ends_with('.') && hint.starts_with(|first: char| first.is_ascii_lowercase()), "{id}: {hint}");
        assert!(rule.verdict.ends_with('.'), "{id}: {}", rule.verdict);
        assert!(!rule.title.ends_with('.') && !rule.example.is_empty(), "{id}");
        assert!(explained(id).contains(&hint[1..]), "{id}");
    }
}

#[test]
fn the_formats_for_other_programs_name_file_line_and_rule() {
    let source = Source::new();
    change(&source, RELEASE, "single-node.yaml", "singel-node.yaml");
    let root = source.path("").display().to_string();
    // The identifiers of rules contain words that the shared helper forbids in any other output.
    let output = release().args(["lint", &root, "--output", "sarif"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(3));
    let sarif: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&"values-from-key".into(), &"error".into()));
    let location = &result["locations"][0]["physicalLocation"];
    assert_eq!(location["artifactLocation"]["uri"], RELEASE);
    let line = location["region"]["startLine"].as_u64().expect("a line");
    let text = read(&source, RELEASE);
    let index = usize::try_from(line).expect("small") - 1;
    assert!(text.lines().nth(index).is_some_and(|line| line.contains("singel")), "{line}: the author's own line");
    let github = alga(&["lint", &root, "--output", "github"]).ends(3);
    assert!(github.stdout.starts_with(&format!("::error file={RELEASE},line={line},col=")), "{}", github.stdout);
    assert_eq!(github.stdout.lines().count(), 1, "one line is one command: {}", github.stdout);
}

#[test]
fn automatic_fixes_are_shown_by_a_dry_run_and_then_written() {
    let source = Source::new();
    let before = read(&source, RELEASE);
    change(&source, RELEASE, "single-node.yaml", "singel-node.yaml");
    let wrong = read(&source, RELEASE);
    let root = source.path("").display().to_string();
    let shown = alga(&["lint", &root, "--fix", "--dry-run"]).ends(3);
    shown.says(&[
        "-         valuesKey: email-service.singel-node.yaml",
        "+         valuesKey: email-service.single-node.yaml",
    ]);
    assert_eq!(read(&source, RELEASE), wrong, "a dry run changes nothing");
    alga(&["lint", &root, "--fix"]).ends(0);
    assert_eq!(read(&source, RELEASE), before);
    alga(&["lint", "1.0.3", "--store", &source.layout(), "--dry-run"]).ends(9);
}

/// Returns YAML aliases that expand to more nodes than fit into memory. Each line begins with `indent`.
fn bomb(indent: &str) -> String {
    let line = |depth: usize| match depth {
        0 => format!("{indent}a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"),
        depth => {
            let below = vec![format!("*a{}", depth - 1); 10].join(", ");
            format!("{indent}a{depth}: &a{depth} [{below}]\n")
        }
    };
    (0..12).map(line).collect()
}

#[test]
fn hostile_files_cause_findings_but_no_crash_and_no_endless_run() {
    let million = (0..1_000_000).fold(String::from("image: {}\nlines:\n"), |text, line| text + &format!("- {line}\n"));
    let deep = format!("image: {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let template = "ee/helm/email-service/templates/service.yaml";
    let cases: [(&str, Vec<u8>, i32); 8] = [
        (VALUES, bomb("").into_bytes(), 0),
        (VALUES, b"image: {tag: \xff}\n".to_vec(), 3),
        (VALUES, million.into_bytes(), 0),
        (VALUES, deep.into_bytes(), 3),
        ("ee/helm/email-service/values.yaml", bomb("").into_bytes(), 0),
        (template, b"a: {{ .Values.x }}\xff\n".to_vec(), 0),
        (template, format!("a: {{{{ {}1{} }}}}\n", "(".repeat(50_000), ")".repeat(50_000)).into_bytes(), 0),
        (
            "ee/appliance/flux/base/namespaces.yaml",
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata:\n{}", bomb("  ")).into_bytes(),
            0,
        ),
    ];
    for (at, (path, bytes, code)) in cases.into_iter().enumerate() {
        let source = Source::new();
        std::fs::write(source.path(path), bytes).expect("written");
        let root = source.path("").display().to_string();
        let run = alga(&["lint", &root, "--render", "off", "--output", "json"]);
        assert!(matches!(run.code, Some(0 | 3)), "{at} {path}: {run:?}");
        assert!(code == 0 || run.code == Some(code), "{at} {path}: {run:?}");
    }
}

#[test]
fn the_report_of_a_refused_publication_names_the_findings() {
    let source = Source::new();
    change(&source, RELEASE, "single-node.yaml", "singel-node.yaml");
    let out = source.path("out").display().to_string();
    source.publish(&publish(&source.layout(), &["--output-dir", &out])).ends(3);
    for name in ["report.md", "report.html"] {
        let report = std::fs::read_to_string(source.path("out").join(name)).expect("a report");
        assert!(report.contains("values-from-key") && report.contains(RELEASE), "{name}: {report}");
    }
}

#[test]
fn an_unknown_image_in_the_appliance_values_is_reported_with_its_line_and_can_be_fixed() {
    let source = Source::new();
    source.write(
        "alga-release.yaml",
        "appliance:\n  values:\n    - {release: alga-core, path: server.image.tag, from: 'image:algaCroe'}\n",
    );
    let root = source.path("").display().to_string();
    let run = alga(&["lint", &root]).ends(3);
    assert!(run.stdout.contains("alga-release.yaml:3:") && run.stdout.contains("image:algaCore"), "{}", run.stdout);
    alga(&["lint", &root, "--fix"]).ends(0);
    assert!(read(&source, "alga-release.yaml").contains("'image:algaCore'"));
}

#[test]
fn values_are_checked_against_the_schema_even_if_the_named_configuration_has_another_prefix_than_the_store() {
    let (source, registry) = (Source::new(), Registry::start());
    let values = "ee/appliance/flux/profiles/single-node/values/alga-core.single-node.yaml";
    source.append(values, "pgbouncer: 7\n");
    source.write("named.yaml", "prefix: registry.example.com/other\n");
    let (address, config) = (store(&registry), source.path("named.yaml").display().to_string());
    let run = source.publish(&publish(&address, &["--config", &config, "--dry-run"])).ends(3);
    run.says(&["values-schema", values]);
}

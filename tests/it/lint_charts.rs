//! Checks of charts: ordinary charts have no findings, and values are merged in the same way as in Helm.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::support::judge::judge;
use crate::support::programs::alga;
use crate::support::{missing, root};

/// Number of generated charts, each with other values.
const SEEDS: u64 = 120;

/// Returns the findings for a tree.
fn findings(tree: &Path, more: &[&str]) -> Vec<Json> {
    let tree = tree.display().to_string();
    let arguments = ["lint", &tree, "--render", "off", "--output", "json"];
    let report = alga(&arguments.iter().chain(more).copied().collect::<Vec<_>>()).json();
    report["findings"].as_array().expect("findings").clone()
}

/// Returns the rule, place and message of each finding with one of the given severities.
fn shown(findings: &[Json], severities: &[&str]) -> Vec<String> {
    let of = findings.iter().filter(|finding| severities.contains(&finding["severity"].as_str().unwrap_or_default()));
    of.map(|finding| format!("{} {}:{} {}", finding["rule"], finding["file"], finding["line"], finding["message"]))
        .collect()
}

#[test]
fn ordinary_charts_have_no_errors_and_at_most_two_warnings_per_tree() {
    let mut trees = vec![(root("charts-fixtures"), None), (root("tests/trees/ordinary"), None)];
    #[expect(clippy::disallowed_methods, reason = "tests find their data through the environment")]
    match std::env::var_os("ALGA_TREES").map(PathBuf::from) {
        Some(more) => trees.push((more.join("monitoring"), Some(root("tests/trees/monitoring.yaml")))),
        None => missing("public charts are missing: ALGA_TREES names a directory with the tree `monitoring`"),
    }
    for (tree, configuration) in trees {
        let configuration = configuration.map(|path| path.display().to_string());
        let more: Vec<&str> = configuration.iter().flat_map(|path| ["--config", path]).collect();
        let found = findings(&tree, &more);
        assert_eq!(shown(&found, &["error"]), [""; 0], "{}", tree.display());
        let warnings = shown(&found, &["warning"]);
        assert!(warnings.len() <= 2, "{}: {warnings:#?}", tree.display());
    }
}

#[test]
fn helm_renders_each_of_the_ordinary_charts_with_its_values() {
    let tree = root("tests/trees/ordinary");
    let values = tree.join("flux/profiles/lab/values");
    let names: Vec<String> = fs::read_dir(&values)
        .expect("values")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    let question = |name: &String| {
        let chart = name.split('.').next().expect("a name");
        let texts = [fs::read_to_string(values.join(name)).expect("values")];
        json!({ "chart": tree.join("charts").join(chart), "values": texts, "name": chart, "namespace": "apps" })
    };
    let questions: Vec<Json> = names.iter().map(question).collect();
    let Some(answers) = judge(&questions) else { return };
    assert_eq!(answers.len(), 10);
    for (name, answer) in names.iter().zip(answers) {
        assert_eq!(answer["ok"], true, "{name}: {answer}");
    }
}

/// A generator of the same numbers for the same seed on every machine (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % limit).expect("small")
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len() as u64)]
    }

    fn value(&mut self, depth: usize) -> String {
        match self.below(if depth >= 2 { 6 } else { 9 }) {
            0 => "null".to_owned(),
            1 => "true".to_owned(),
            2 => "false".to_owned(),
            3 => self.below(10).to_string(),
            4 => "[1, {a: null}]".to_owned(),
            5 => "010".to_owned(),
            _ => self.table(depth + 1),
        }
    }

    /// Generates values with keys that Helm treats specially: names of subcharts, `global`, `tags`, `enabled`, `exports`.
    fn table(&mut self, depth: usize) -> String {
        let keys = ["a", "b", "global", "one", "two", "exports", if depth == 0 { "tags" } else { "enabled" }];
        let mut entries = vec![format!("z: {}", self.below(3))];
        for key in keys {
            if self.below(5) > 2 {
                continue;
            }
            let is_table = matches!(key, "global" | "exports" | "one" | "two") && depth < 2 && self.below(10) > 0;
            let value = match key {
                "enabled" => self.one(&["true", "false", "null"]).to_owned(),
                _ if is_table => self.table(depth + 1),
                _ => self.value(depth),
            };
            entries.push(format!("{key}: {value}"));
        }
        format!("{{{}}}", entries.join(", "))
    }
}

/// A tree of generated charts with subcharts under names and aliases, with conditions, tags and imports.
struct Generated {
    directory: tempfile::TempDir,
    texts: Vec<[String; 2]>,
}

impl Generated {
    fn new() -> Self {
        let mut tree = Self { directory: tempfile::tempdir().expect("a directory"), texts: Vec::new() };
        let appliance = "appliance: {sourceName: source, values: []}\n";
        let head = "prefix: registry.example.com/generated\noverlay: flux\nprofile: lab\nimages: {web: web}\n";
        tree.write("alga-release.yaml", &format!("{head}source: https://git.example.com/generated\n{appliance}"));
        let mut resources = String::new();
        for seed in 0..SEEDS {
            tree.release(seed);
            writeln!(resources, "  - c{seed}.yaml").expect("written");
        }
        let kind = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
        tree.write("flux/base/kustomization.yaml", &format!("{kind}resources:\n{resources}"));
        tree
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.directory.path().join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("created");
        fs::write(path, text).expect("written");
    }

    fn release(&mut self, seed: u64) {
        let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ (seed + 1).wrapping_mul(7919));
        let random = &mut random;
        random.below(2);
        let chart = format!("charts/c{seed}");
        let condition = random.one(&["", ", condition: one.enabled", ", condition: 'two.enabled,one.enabled'"]);
        let tags = random.one(&["", ", tags: [a]"]);
        let imports = random.one(&["", ", import-values: [a]", ", import-values: [{child: a, parent: b}]"]);
        let alias = random.one(&["", "  - {name: one, version: 1.0.0, alias: two, import-values: [global]}\n"]);
        let one = format!("dependencies:\n  - {{name: one, version: 1.0.0{condition}{tags}{imports}}}\n{alias}");
        let two = "dependencies:\n  - {name: two, version: 1.0.0, condition: two.enabled}\n";
        for (directory, name, dependencies) in [
            (chart.clone(), format!("c{seed}"), one.as_str()),
            (format!("{chart}/charts/one"), "one".to_owned(), two),
            (format!("{chart}/charts/one/charts/two"), "two".to_owned(), ""),
        ] {
            let metadata = format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n{dependencies}");
            self.write(&format!("{directory}/Chart.yaml"), &metadata);
            self.write(&format!("{directory}/values.yaml"), &random.table(0));
        }
        self.write(&format!("{chart}/templates/values.yaml"), "values: {{ toJson .Values }}\n");
        let [profile, inline] = [random.table(0), random.table(0)];
        self.write(&format!("flux/profiles/lab/values/c{seed}.lab.yaml"), &profile);
        let source = "sourceRef: {kind: GitRepository, name: source, namespace: flux-system}";
        let release = format!(
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: c{seed}, namespace: apps}}\nspec:\n  \
             interval: 10m\n  chart: {{spec: {{chart: ./{chart}, {source}}}}}\n  valuesFrom:\n    - {{kind: ConfigMap, name: \
             appliance-values-c{seed}, valuesKey: c{seed}.lab.yaml}}\n  values: {inline}\n"
        );
        self.write(&format!("flux/base/c{seed}.yaml"), &release);
        self.texts.push([profile, inline]);
    }
}

#[test]
fn values_are_merged_as_helm_merges_them() {
    let tree = Generated::new();
    let chart = |seed: usize| tree.directory.path().join(format!("charts/c{seed}"));
    let question = |(seed, texts): (usize, &[String; 2])| json!({ "chart": chart(seed), "values": texts });
    let questions: Vec<Json> = tree.texts.iter().enumerate().map(question).collect();
    let Some(answers) = judge(&questions) else { return };
    let mut mismatches = 0;
    for (seed, answer) in answers.iter().enumerate() {
        if answer["ok"] != true {
            assert!(answer["error"].as_str().expect("a reason").contains("type mismatch on"), "{answer}");
            mismatches += 1;
            continue;
        }
        let objects = answer["objects"].as_str().expect("objects");
        let values = objects.lines().find_map(|line| line.strip_prefix("values: ")).expect("the values");
        let values: Json = serde_json::from_str(values).expect("JSON");
        // This schema accepts exactly the values that Helm computed.
        let schema = json!({ "const": values }).to_string();
        tree.write(&format!("charts/c{seed}/values.schema.json"), &schema);
    }
    assert!(mismatches > 0 && mismatches < SEEDS / 2, "{mismatches}");
    let found = findings(tree.directory.path(), &[]);
    let of = |rule: &str| found.iter().filter(|finding| finding["rule"] == rule).cloned().collect::<Vec<_>>();
    let refused = of("values-schema");
    assert!(refused.is_empty(), "{} of {SEEDS}: {:#?}", refused.len(), shown(&refused, &["error"]));
    assert_eq!(of("subchart-values").len() as u64, mismatches, "{:#?}", shown(&found, &["error"]));
}

//! `lint` of a tree with 100 charts and 300 HelmReleases, beside `helm lint` of the same charts in the same run. Judges nothing.
//!
//! `cargo bench --bench lint`; needs helm, which `tests/peers/install --system` brings.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench talks to people")]

mod memory;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use memory::measured;

/// Rounds of each; the median is printed.
const ROUNDS: usize = 5;
const CHARTS: usize = 100;
const RELEASES: usize = 300;
/// Templates of a chart beside its helpers.
const TEMPLATES: usize = 6;

fn main() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let tree = directory.path();
    plant(tree);
    let mut own = Command::new(env!("CARGO_BIN_EXE_alga-release"));
    own.arg("lint").arg(tree).args(["--render", "off", "--output", "json"]).stdout(Stdio::null()).stderr(Stdio::null());
    println!("{:<12} {:>9} {:>9}", "", "seconds", "MiB");
    let ours = median("lint", &mut own);
    let mut helm = Command::new("helm");
    helm.arg("lint").arg("--quiet").stdout(Stdio::null()).stderr(Stdio::null());
    helm.args((0..CHARTS).map(|number| tree.join(format!("charts/chart-{number:03}"))));
    let found = Command::new("helm").arg("version").stdout(Stdio::null()).status().is_ok();
    if !found {
        println!("skipped: helm is missing: tests/peers/install --system");
        return;
    }
    let theirs = median("helm lint", &mut helm);
    println!("{:<12} {:>9.2}", "ratio", theirs / ours);
}

/// Prints the median time of a command, and the memory of that round.
fn median(name: &str, command: &mut Command) -> f64 {
    let mut rounds: Vec<_> = (0..ROUNDS).map(|_| measured(command)).collect();
    rounds.sort_by_key(|(time, _)| *time);
    let (time, memory) = rounds[ROUNDS / 2];
    println!("{name:<12} {:>9.3} {memory:>9.1}", time.as_secs_f64());
    time.as_secs_f64()
}

/// Writes the tree: charts of some size, three releases of each, and values for every release.
fn plant(tree: &Path) {
    let write = |path: String, text: String| {
        let path = tree.join(path);
        std::fs::create_dir_all(path.parent().expect("below the tree")).expect("a directory");
        std::fs::write(path, text).expect("the scratch directory is writable");
    };
    for number in 0..CHARTS {
        let chart = format!("charts/chart-{number:03}");
        write(
            format!("{chart}/Chart.yaml"),
            format!("apiVersion: v2\nname: chart-{number:03}\nversion: 1.0.0\nicon: https://example.com/icon.png\n"),
        );
        write(format!("{chart}/values.yaml"), values(number));
        write(format!("{chart}/templates/_helpers.tpl"), HELPERS.to_owned());
        for at in 0..TEMPLATES {
            write(format!("{chart}/templates/deployment-{at}.yaml"), DEPLOYMENT.replace("NUMBER", &at.to_string()));
        }
        write(format!("{chart}/values.schema.json"), SCHEMA.to_owned());
    }
    let mut listed = String::new();
    for number in 0..RELEASES {
        let (name, chart) = (format!("release-{number:03}"), number % CHARTS);
        write(format!("flux/base/releases/{name}.yaml"), release(&name, chart));
        write(
            format!("flux/profiles/lab/values/{name}.lab.yaml"),
            format!("replicas: {}\nimage: {{tag: \"1.{number}\"}}\n", number % 5),
        );
        let _ = writeln!(listed, "  - releases/{name}.yaml");
    }
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: apps\n".to_owned();
    write("flux/base/namespace.yaml".to_owned(), namespace);
    let head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n  - namespace.yaml\n";
    write("flux/base/kustomization.yaml".to_owned(), format!("{head}{listed}"));
    let config = "overlay: flux\nprofile: lab\nimages: {}\nappliance: {sourceName: source, values: []}\n";
    write("alga-release.yaml".to_owned(), config.to_owned());
}

fn values(number: usize) -> String {
    let mut text =
        String::from("replicas: 1\nimage:\n  repository: registry.example.com/web\n  tag: \"1.0\"\nsettings:\n");
    for line in 0..60 {
        let _ = writeln!(text, "  key{line}: value {number} of {line} # what it is for");
    }
    text
}

fn release(name: &str, chart: usize) -> String {
    format!(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: {name}\n  namespace: apps\nspec:\n  \
         interval: 10m\n  chart:\n    spec:\n      chart: ./charts/chart-{chart:03}\n      sourceRef:\n        \
         kind: GitRepository\n        name: source\n        namespace: flux-system\n  valuesFrom:\n    - kind: ConfigMap\n      \
         name: appliance-values-{name}\n      valuesKey: {name}.lab.yaml\n"
    )
}

const HELPERS: &str = "{{- define \"labels\" -}}\napp.kubernetes.io/name: {{ .Chart.Name }}\napp.kubernetes.io/instance: {{ .Release.Name }}\n{{- end }}\n";

const DEPLOYMENT: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-NUMBER
  labels:
    {{- include "labels" . | nindent 4 }}
spec:
  replicas: {{ .Values.replicas }}
  selector:
    matchLabels:
      {{- include "labels" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "labels" . | nindent 8 }}
    spec:
      containers:
        - name: web
          image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
          env:
            {{- range $key, $value := .Values.settings }}
            - name: {{ $key | upper | quote }}
              value: {{ $value | quote }}
            {{- end }}
          {{- with .Values.resources }}
          resources:
            {{- toYaml . | nindent 12 }}
          {{- end }}
"#;

const SCHEMA: &str = r#"{
  "$schema": "http://json-schema.org/draft-07/schema#",
  "type": "object",
  "required": ["replicas", "image"],
  "properties": {
    "replicas": { "type": "integer", "minimum": 0 },
    "image": { "type": "object", "properties": { "repository": { "type": "string" }, "tag": { "type": "string" } } },
    "settings": { "type": "object", "additionalProperties": { "type": "string" } }
  }
}
"#;

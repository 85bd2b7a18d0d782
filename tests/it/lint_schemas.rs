//! Compares the validation of values against schemas with Helm, for each draft and keyword.

use std::fmt::Write as _;
use std::fs;

use serde_json::{Value as Json, json};

use crate::support::judge::judge;
use crate::support::programs::alga;

/// Values of the key `v`, in YAML.
const VALUES: [&str; 22] = [
    "null",
    "true",
    "0",
    "1",
    "-1",
    "2.5",
    "1.0",
    "70000",
    "\"\"",
    "\"abc\"",
    "\"a b\"",
    "\"10\"",
    "[]",
    "[1, 2]",
    "[1, 1]",
    "[a, {b: 1}]",
    "{}",
    "{a: 1}",
    "{a: x, b: 2}",
    "{b: {c: [1]}}",
    "{x-y: 1}",
    "\"2026-01-01\"",
];

/// Returns schemas for the key `v`, some of which are invalid themselves.
fn schemas() -> Vec<Json> {
    vec![
        json!({"type": "integer"}),
        json!({"type": ["string", "null"]}),
        json!({"type": "number", "minimum": 0, "exclusiveMaximum": 70000}),
        json!({"type": "string", "minLength": 1, "maxLength": 3}),
        json!({"pattern": "^[a-z]+$"}),
        json!({"pattern": "^(?!a).*$"}),
        json!({"enum": [1, "abc", null, {"a": 1}]}),
        json!({"const": [1, 2]}),
        json!({"const": 1}),
        json!({"multipleOf": 0.5}),
        json!({"items": {"type": "integer"}, "uniqueItems": true, "minItems": 1, "maxItems": 2}),
        json!({"prefixItems": [{"type": "integer"}], "items": false}),
        json!({"contains": {"const": 1}, "minContains": 2}),
        json!({"properties": {"a": {"type": "integer"}}, "additionalProperties": false}),
        json!({"patternProperties": {"^x-": {"type": "integer"}}, "additionalProperties": {"type": "string"}}),
        json!({"required": ["a"], "minProperties": 2}),
        json!({"type": "object", "propertyNames": {"pattern": "^[a-z]$"}}),
        json!({"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"b": {"required": ["a"]}}}),
        json!({"dependencies": {"a": ["b"]}}),
        json!({"anyOf": [{"type": "string"}, {"type": "array"}], "not": {"const": "abc"}}),
        json!({"oneOf": [{"type": "integer"}, {"minimum": 1}]}),
        json!({"if": {"type": "string"}, "then": {"minLength": 2}, "else": {"type": ["integer", "object"]}}),
        json!({"allOf": [{"properties": {"a": true}}], "unevaluatedProperties": false}),
        json!({"$ref": "#/definitions/text", "type": "string"}),
        json!({"$ref": "#/definitions/missing"}),
        json!({"type": "int"}),
        json!({"minimum": 0, "exclusiveMinimum": true}),
        json!({"pattern": "("}),
        json!({"required": "a"}),
        json!(false),
        json!(true),
    ]
}

const DRAFTS: [Option<&str>; 5] = [
    None,
    Some("http://json-schema.org/draft-04/schema#"),
    Some("http://json-schema.org/draft-07/schema#"),
    Some("https://json-schema.org/draft/2019-09/schema"),
    Some("https://json-schema.org/draft/2020-12/schema"),
];

/// A chart for one schema. The tree contains a HelmRelease of the chart for each value.
struct Case {
    chart: String,
    schema: Json,
}

fn cases() -> Vec<Case> {
    let mut found = Vec::new();
    for (at, draft) in DRAFTS.iter().enumerate() {
        for (index, schema) in schemas().into_iter().enumerate() {
            let mut whole = json!({"properties": {"v": schema}, "definitions": {"text": {"maxLength": 4}}});
            if let Some(draft) = draft {
                whole["$schema"] = json!(draft);
            }
            found.push(Case { chart: format!("c{at}-{index}"), schema: whole });
        }
    }
    found
}

#[test]
fn values_get_the_same_verdict_from_a_schema_as_in_helm() {
    let tree = tempfile::tempdir().expect("a directory");
    let write = |path: &str, text: &str| {
        let path = tree.path().join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("created");
        fs::write(path, text).expect("written");
    };
    let head = "prefix: registry.example.com/generated\noverlay: flux\nprofile: lab\nimages: {web: web}\n";
    write(
        "alga-release.yaml",
        &format!("{head}source: https://git.example.com/generated\nappliance: {{sourceName: source, values: []}}\n"),
    );
    let (cases, mut questions, mut resources) = (cases(), Vec::new(), String::new());
    for Case { chart, schema } in &cases {
        write(&format!("charts/{chart}/Chart.yaml"), &format!("apiVersion: v2\nname: {chart}\nversion: 1.0.0\n"));
        write(&format!("charts/{chart}/values.schema.json"), &schema.to_string());
        write(&format!("charts/{chart}/templates/v.yaml"), "v: {{ toJson .Values.v }}\n");
        for (index, value) in VALUES.iter().enumerate() {
            let source = "sourceRef: {kind: GitRepository, name: source, namespace: flux-system}";
            let release = format!(
                "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: {chart}-{index}, namespace: apps}}\nspec:\n  \
                 interval: 10m\n  chart: {{spec: {{chart: ./charts/{chart}, {source}}}}}\n  values:\n    v: {value}\n"
            );
            write(&format!("flux/base/{chart}-{index}.yaml"), &release);
            writeln!(resources, "  - {chart}-{index}.yaml").expect("written");
            questions
                .push(json!({"chart": tree.path().join("charts").join(chart), "values": [format!("v: {value}\n")]}));
        }
    }
    let kind = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
    write("flux/base/kustomization.yaml", &format!("{kind}resources:\n{resources}"));
    let Some(answers) = judge(&questions) else { return };
    let path = tree.path().display().to_string();
    let report = alga(&["lint", &path, "--render", "off", "--output", "json"]).json();
    let found = report["findings"].as_array().expect("findings");
    let is_refused = |chart: &str, index: usize| {
        found.iter().filter(|finding| finding["severity"] == "error").any(|finding| {
            let file = finding["file"].as_str().expect("a file");
            match finding["rule"].as_str() {
                Some("values-schema") => file.ends_with(&format!("/{chart}-{index}.yaml")),
                Some("schema-invalid") => file == format!("charts/{chart}/values.schema.json"),
                _ => false,
            }
        })
    };
    let (mut wrong, mut refused) = (Vec::new(), 0);
    for (at, answer) in answers.iter().enumerate() {
        let (case, index) = (&cases[at / VALUES.len()], at % VALUES.len());
        let by_helm = answer["ok"] != true;
        refused += usize::from(by_helm);
        if by_helm != is_refused(&case.chart, index) {
            let schema = case.schema["properties"]["v"].to_string();
            let draft = case.schema["$schema"].as_str().unwrap_or("none");
            wrong.push(format!("{draft} {schema} {}: helm: {}", VALUES[index], answer["error"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), answers.len());
    assert!(refused > 1000, "{refused}");
}

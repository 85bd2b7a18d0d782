//! The table of the fields of Flux's objects agrees with Flux's own resource definitions.
//!
//! With `ALGA_UPDATE=1` in the environment, the table is written instead of compared.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use alga_release::yaml;
use serde_json::{Value, json};

use crate::support::definitions::{errors, json_of, validator};
use crate::support::missing;
use crate::support::programs::alga;

/// Facts that a line of the table contains besides name and type.
const NUMBERS: [&str; 6] = ["minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"];

#[test]
#[expect(clippy::disallowed_methods, reason = "tests find their data by the environment")]
fn the_table_of_fields_agrees_with_fluxs_resource_definitions() {
    let Some(crds) = std::env::var_os("ALGA_CRDS") else {
        return missing("Flux's resource definitions are missing: ALGA_CRDS names a directory with flux/*.yaml");
    };
    let table = table(&PathBuf::from(crds).join("flux"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lint/flux/fields.txt");
    if std::env::vars().any(|(key, _)| key == "ALGA_UPDATE") {
        fs::write(&path, &table).expect("the table is written");
    }
    let current = fs::read_to_string(&path).unwrap_or_default();
    let differs = current.lines().zip(table.lines()).find(|(old, new)| old != new);
    assert!(current == table, "the table is stale (run this test with ALGA_UPDATE=1): {differs:?}");
}

/// Returns the table of all definitions in a directory: one line for each field, indented below the field that contains it.
fn table(directory: &Path) -> String {
    let files = fs::read_dir(directory).expect("resource definitions");
    let mut files: Vec<PathBuf> = files.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let mut out = String::new();
    for file in files {
        let text = fs::read_to_string(file).expect("a definition");
        let documents = yaml::parse(&text).expect("YAML");
        for definition in documents.iter().filter_map(|document| document.root.as_ref()).map(json_of) {
            object(&definition["spec"], &mut out);
        }
    }
    out
}

fn object(spec: &Value, out: &mut String) {
    for version in spec["versions"].as_array().expect("versions") {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let [group, version_name, kind] = [&spec["group"], &version["name"], &spec["names"]["kind"]].map(text);
        let _ = writeln!(out, "{group}/{version_name} {kind}");
        let schema = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
        field("spec", schema, false, 1, out);
    }
}

fn field(name: &str, schema: &Value, required: bool, depth: usize, out: &mut String) {
    let open = schema["x-kubernetes-preserve-unknown-fields"] == true;
    let kind = schema["type"].as_str().unwrap_or("any");
    let kind = if open { "any" } else { kind };
    let mark = if required && schema.get("default").is_none() { "!" } else { "" };
    let _ = write!(out, "{}{name}{mark} {kind}", " ".repeat(depth));
    for key in NUMBERS {
        if let Some(number) = schema.get(key) {
            let _ = write!(out, " {key}={number}");
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<&str> = values.iter().map(|value| value.as_str().expect("a text")).collect();
        let _ = write!(out, " enum={}", values.join("|"));
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        let _ = write!(out, " pattern={pattern}");
    }
    out.push('\n');
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        field(name, inner, required.contains(&name.as_str()), depth + 1, out);
    }
    if schema["items"].is_object() {
        field("[]", &schema["items"], false, depth + 1, out);
    }
    if schema["additionalProperties"].is_object() {
        field("{}", &schema["additionalProperties"], false, depth + 1, out);
    }
}

/// Returns objects with fields of every type in the definitions.
fn samples() -> Vec<Value> {
    let interval = "10m";
    vec![
        json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "spec": {
            "interval": interval, "timeout": "5m", "releaseName": "web", "targetNamespace": "apps", "maxHistory": 5,
            "chart": {"spec": {"chart": "web", "version": "1.0.0", "reconcileStrategy": "ChartVersion", "interval": "5m",
                "sourceRef": {"kind": "HelmRepository", "name": "other", "namespace": "flux-system"}}},
            "install": {"crds": "Create", "createNamespace": true, "remediation": {"retries": 3}},
            "upgrade": {"remediation": {"strategy": "rollback"}}, "driftDetection": {"mode": "warn", "ignore": [{"paths": ["/a"]}]},
            "valuesFrom": [{"kind": "ConfigMap", "name": "web", "valuesKey": "a.yaml", "targetPath": "a.b[0]", "optional": true}],
            "values": {"a": 1}, "postRenderers": [{"kustomize": {"patches": [{"patch": "a: b"}]}}],
            "dependsOn": [{"name": "other", "readyExpr": "true"}], "test": {"filters": [{"name": "a", "exclude": true}]}}}),
        json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "spec": {
            "interval": interval, "retryInterval": "1m30s", "prune": true, "wait": false, "path": "./base/none",
            "sourceRef": {"kind": "GitRepository", "name": "other", "namespace": "flux-system"},
            "dependsOn": [{"name": "apps"}], "targetNamespace": "apps", "components": ["a"], "buildMetadata": ["originAnnotations"],
            "commonMetadata": {"labels": {"a": "b"}}, "images": [{"name": "web", "newTag": "1.0.0"}],
            "healthChecks": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "namespace": "apps"}],
            "deletionPolicy": "Orphan", "patches": [{"patch": "a: b", "target": {"kind": "Ingress"}}]}}),
        json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository", "spec": {
            "interval": interval, "timeout": "30s", "url": "oci://registry.example.com/other", "insecure": false,
            "ref": {"tag": "1.0.0"}, "layerSelector": {"mediaType": "application/octet-stream", "operation": "copy"},
            "provider": "generic", "secretRef": {"name": "pull"},
            "verify": {"provider": "cosign", "matchOIDCIdentity": [{"issuer": "^a$", "subject": "^b$"}]}}}),
        json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository", "spec": {
            "interval": interval, "url": "https://charts.example.com", "type": "default", "passCredentials": true,
            "accessFrom": {"namespaceSelectors": [{"matchLabels": {"a": "b"}}]}}}),
    ]
}

/// Returns copies of a value with one change each: every key is misspelt and left out, and every value is replaced.
fn broken(value: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                let with = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
                    let mut fields = fields.clone();
                    change(&mut fields);
                    Value::Object(fields)
                };
                found.push(with(&|fields| drop(fields.remove(key))));
                found.push(with(&|fields| {
                    let inner = fields.remove(key).expect("the key");
                    fields.insert(format!("{key}x"), inner);
                }));
                found.extend(broken(inner).into_iter().map(|other| {
                    with(&|fields| {
                        fields.insert(key.clone(), other.clone());
                    })
                }));
            }
        }
        Value::Array(items) => {
            let first = items.first().expect("an item");
            found.extend(broken(first).into_iter().map(|other| json!([other])));
        }
        _ => {}
    }
    let others =
        [json!(7), json!("7"), json!("5d"), json!(""), json!(true), json!([]), json!({}), json!("x".repeat(300))];
    found.extend(others);
    found
}

#[test]
#[expect(clippy::disallowed_methods, reason = "tests find their data by the environment")]
fn an_object_is_refused_exactly_where_fluxs_definitions_refuse_it() {
    let Some(crds) = std::env::var_os("ALGA_CRDS") else {
        return missing("Flux's resource definitions are missing: ALGA_CRDS names a directory with flux/*.yaml");
    };
    let tree = tempfile::tempdir().expect("a directory");
    let base = tree.path().join("flux/base");
    fs::create_dir_all(&base).expect("created");
    fs::write(tree.path().join("alga-release.yaml"), "overlay: flux\nprofile: lab\nappliance: {sourceName: source}\n")
        .expect("written");
    let (mut expected, mut files) = (BTreeSet::new(), Vec::new());
    for sample in samples() {
        let kind = sample["kind"].as_str().expect("a kind");
        let version = if kind == "HelmRelease" { "v2" } else { "v1" };
        let validator = validator(&PathBuf::from(&crds).join("flux"), kind, version);
        assert_eq!(errors(&validator, &sample), Vec::<String>::new());
        for spec in broken(&sample["spec"]).into_iter().filter(Value::is_object) {
            let mut object = sample.clone();
            object["spec"] = spec;
            object["metadata"] = json!({"name": format!("object-{}", files.len()), "namespace": "flux-system"});
            let file = format!("object-{}.yaml", files.len());
            fs::write(base.join(&file), object.to_string()).expect("written");
            if !errors(&validator, &object).is_empty() {
                expected.insert(format!("flux/base/{file}"));
            }
            files.push(file);
        }
    }
    fs::write(base.join("kustomization.yaml"), json!({"resources": files}).to_string()).expect("written");
    let path = tree.path().to_str().expect("text");
    let report = alga(&["lint", path, "--render", "off", "--output", "json"]).json();
    let findings = report["findings"].as_array().expect("findings").iter();
    let rules = ["flux-unknown-field", "flux-wrong-type", "flux-missing-field", "flux-bad-value"];
    let of_fields = findings.filter(|finding| rules.contains(&finding["rule"].as_str().expect("a rule")));
    let found: BTreeSet<String> =
        of_fields.map(|finding| finding["file"].as_str().expect("a file").to_owned()).collect();
    let text = |file: &String| format!("{file}: {}", fs::read_to_string(tree.path().join(file)).unwrap_or_default());
    let missed: Vec<String> = expected.difference(&found).map(text).collect();
    let false_alarms: Vec<String> = found.difference(&expected).map(text).collect();
    assert!(files.len() > 400 && expected.len() > 200, "{} of {}", expected.len(), files.len());
    assert!(missed.is_empty() && false_alarms.is_empty(), "missed: {missed:#?}\nfalse alarms: {false_alarms:#?}");
}

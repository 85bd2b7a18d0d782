//! The table of the fields of Flux's objects is what Flux's own resource definitions say.
//!
//! With `ALGA_UPDATE=1` in the environment, the table is written instead of compared.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use alga_release::yaml;
use serde_json::Value;

use crate::support::definitions::json_of;
use crate::support::missing;

/// Facts that a line of the table carries beside name and type.
const NUMBERS: [&str; 6] = ["minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"];

#[test]
#[expect(clippy::disallowed_methods, reason = "tests find their data by the environment")]
fn the_table_of_fields_is_the_one_that_fluxs_resource_definitions_give() {
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

/// Returns the table of all definitions in a directory: one line a field, indented below the field that has it.
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

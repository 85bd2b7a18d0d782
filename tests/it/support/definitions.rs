//! Strict validation of Kubernetes objects against the definitions of their kinds.

use std::fs;
use std::path::Path;

use alga_release::yaml::{self, Node};
use serde_json::Value;

/// Converts a node to JSON.
pub fn json_of(node: &Node) -> Value {
    let node = node.resolved();
    if !node.entries().is_empty() {
        let entry = |entry: &yaml::Entry| (entry.key.as_str().expect("a key").to_owned(), json_of(&entry.value));
        return Value::Object(node.entries().iter().map(entry).collect());
    }
    if !node.items().is_empty() {
        return Value::Array(node.items().iter().map(json_of).collect());
    }
    let Some(text) = node.as_str() else { return Value::Object(serde_json::Map::new()) };
    if node.is_string() { text.into() } else { serde_json::from_str(text).unwrap_or_else(|_| text.into()) }
}

/// Returns the strict schema of a kind, from the resource definitions in a directory.
pub fn validator(crds: &Path, kind: &str, version: &str) -> jsonschema::Validator {
    let plural = if kind.ends_with('y') { format!("{}ies", kind.trim_end_matches('y')) } else { format!("{kind}s") };
    let plural = plural.to_lowercase();
    let mut files = fs::read_dir(crds).expect("resource definitions").map(|entry| entry.expect("an entry").path());
    let named =
        |path: &Path| path.file_stem().is_some_and(|stem| stem.to_string_lossy().rsplit('_').next() == Some(&plural));
    let file = files.find(|path| named(path)).unwrap_or_else(|| panic!("{kind}"));
    let text = fs::read_to_string(file).expect("a definition");
    let definition = yaml::parse(&text).expect("YAML").iter().find_map(|document| document.root.as_ref().map(json_of));
    let definition = definition.expect("a definition");
    let versions = definition["spec"]["versions"].as_array().expect("versions");
    let version = versions.iter().find(|one| one["name"] == version).expect("a version that is served");
    let mut schema = version["schema"]["openAPIV3Schema"].clone();
    strict(&mut schema);
    schema["properties"]["metadata"] = serde_json::json!({ "type": "object" });
    jsonschema::validator_for(&schema).expect("a schema")
}

/// Validates an object against its resource definition, and refuses unknown fields. Returns the errors.
pub fn schema_errors(crds: &Path, kind: &str, object: &Value) -> Vec<String> {
    let version = object["apiVersion"].as_str().and_then(|api| api.split('/').nth(1)).expect("a version");
    errors(&validator(crds, kind, version), object)
}

/// Validates an object with a schema that is already built. Returns the errors.
pub fn errors(validator: &jsonschema::Validator, object: &Value) -> Vec<String> {
    validator.iter_errors(object).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn strict(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    fields.remove("description");
    let open =
        fields.contains_key("additionalProperties") || fields.contains_key("x-kubernetes-preserve-unknown-fields");
    if fields.get("properties").is_some_and(Value::is_object) && !open {
        fields.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    if fields.contains_key("x-kubernetes-int-or-string") {
        fields.insert("type".to_owned(), serde_json::json!(["integer", "string"]));
    }
    // The API server sets defaults before it validates.
    let defaults = fields.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    if let Some(Value::Array(required)) = fields.get_mut("required") {
        required.retain(|name| {
            name.as_str().is_none_or(|name| defaults.get(name).is_none_or(|one| one.get("default").is_none()))
        });
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(key) {
            strict(inner);
        }
    }
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(strict);
    }
}

//! Reads the objects of `argo/` as JSON.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use alga_release::yaml;
use serde_json::Value;

use crate::support::definitions::json_of;
use crate::support::{files_below, root};

/// One object, and the file that it is in.
#[derive(Clone, Debug)]
pub struct Object {
    pub file: String,
    pub json: Value,
}

impl Object {
    pub fn kind(&self) -> &str {
        text(&self.json["kind"])
    }

    pub fn name(&self) -> &str {
        text(&self.json["metadata"]["name"])
    }

    /// Returns the workflow in the object.
    pub fn spec(&self) -> &Value {
        if self.kind() == "CronWorkflow" { &self.json["spec"]["workflowSpec"] } else { &self.json["spec"] }
    }

    pub fn templates(&self) -> &[Value] {
        list(&self.spec()["templates"])
    }

    pub fn is_argo(&self) -> bool {
        text(&self.json["apiVersion"]).starts_with("argoproj.io/")
    }
}

/// Returns every object below `argo/` including the examples, except for kustomize's own files.
pub fn all() -> Vec<Object> {
    let files = files_below(&root("argo"));
    let files = files
        .into_keys()
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "yaml") && !name.contains("kustomiz"));
    let objects: Vec<Object> = files.flat_map(|file| in_file(&file)).collect();
    assert!(objects.iter().filter(|object| object.is_argo()).count() >= 6, "cannot find the manifests");
    objects
}

/// Returns every object except the examples.
pub fn shipped() -> Vec<Object> {
    all().into_iter().filter(|object| !object.file.starts_with("examples/")).collect()
}

fn in_file(file: &str) -> Vec<Object> {
    let text = fs::read_to_string(root("argo").join(file)).expect("a manifest");
    let documents = yaml::parse(&text).unwrap_or_else(|cause| panic!("{file}: {cause}"));
    let roots = documents.iter().filter_map(|document| document.root.as_ref());
    let object = |node: &yaml::Node| {
        assert!(node.walk().iter().all(|node| node.duplicate_key().is_none()), "{file}: a key appears twice");
        Object { file: file.to_owned(), json: json_of(node) }
    };
    roots.map(object).collect()
}

/// Returns the items of a list, or no items if the value is not a list.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Returns a string, or an empty string if the value is not a string.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Returns the entries of a list by their `name`.
pub fn by_name(value: &Value) -> BTreeMap<&str, &Value> {
    list(value).iter().map(|entry| (text(&entry["name"]), entry)).collect()
}

/// Returns the texts between `{{` and `}}`.
pub fn tags(text: &str) -> Vec<&str> {
    text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(tag, _)| tag.trim()).collect()
}

/// Returns every string in a value.
pub fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

//! The Kubernetes objects of two trees, by kind, namespace and name: in which file one stands is no part of what it is.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::fields::{self, FieldChange, value_of};
use super::lines::{Budget, Change};
use crate::yaml;

/// Largest file whose objects are read.
const FILE_LIMIT: usize = 4 << 20;

/// What an object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Id {
    /// `Deployment`.
    pub kind: String,
    /// Empty for what has none, or says none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// API group, without the version; empty for the core.
    pub group: String,
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let separator = if self.namespace.is_empty() { "" } else { "/" };
        write!(f, "{} {}{separator}{}", self.kind, self.namespace, self.name)
    }
}

/// An object and where it stands.
#[derive(Clone, Debug)]
pub struct Object {
    /// What it is.
    pub id: Id,
    /// The file that it was read from.
    pub file: String,
    /// All that it says.
    pub value: Value,
}

impl Object {
    /// The text at a path of keys.
    pub fn text(&self, path: &[&str]) -> Option<&str> {
        path.iter().try_fold(&self.value, |value, key| value.get(key))?.as_str()
    }

    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.text(&["metadata", "annotations", key])
    }
}

/// An object that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ObjectChange {
    /// What it is.
    #[serde(flatten)]
    pub id: Id,
    /// What became of it.
    pub change: Change,
    /// The file that it stands in; before, when it is gone.
    pub file: String,
    /// Is all that differs the publisher's own writing?
    pub pin: bool,
    /// The fields that differ; none when it is new or gone.
    pub fields: Vec<FieldChange>,
}

/// What the publisher wrote into an overlay: it is told from what the author changed.
#[derive(Clone, Debug, Default)]
pub struct Pins {
    /// Names of the charts that are published with the release.
    pub charts: BTreeSet<String>,
    /// Below which repository they lie.
    pub repository: String,
    /// Names of the values' `ConfigMap`s that carry a hash.
    pub values: BTreeSet<String>,
}

/// Reads every object of the YAML files; files that cannot be read are named with the reason.
pub fn read<'a>(files: impl IntoIterator<Item = (&'a String, &'a Vec<u8>)>, notes: &mut Vec<String>) -> Vec<Object> {
    let mut objects = Vec::new();
    for (path, bytes) in files {
        let is_yaml = [".yaml", ".yml"].iter().any(|extension| path.ends_with(extension));
        let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| is_yaml && text.len() <= FILE_LIMIT) else {
            continue;
        };
        match yaml::parse(text) {
            Ok(documents) => {
                let roots = documents.iter().filter_map(|document| document.root.as_ref());
                objects.extend(roots.flat_map(|root| of_document(path, value_of(root))));
            }
            Err(cause) => {
                let (file, cause) = (super::name(path), super::name(&cause.to_string()));
                notes.push(format!("{file} was not compared by object: {cause}"));
            }
        }
    }
    objects
}

/// The object of a document, or those of a list.
fn of_document(file: &str, value: Value) -> Vec<Object> {
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    if let (true, Some(Value::Array(items))) = (is_list, value.get("items")) {
        return items.iter().filter_map(|item| object(file, item.clone())).collect();
    }
    object(file, value).into_iter().collect()
}

fn object(file: &str, value: Value) -> Option<Object> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let kind = text(value.get("kind"));
    let api_version = text(value.get("apiVersion"));
    // Instructions of kustomize are no objects of a cluster.
    if kind.is_empty() || api_version.is_empty() || api_version.starts_with("kustomize.config.k8s.io/") {
        return None;
    }
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group).to_owned();
    let metadata = value.get("metadata");
    let (namespace, name) =
        (text(metadata.and_then(|m| m.get("namespace"))), text(metadata.and_then(|m| m.get("name"))));
    Some(Object { id: Id { kind, namespace, name, group }, file: file.to_owned(), value })
}

/// Every object that differs, sorted by kind, namespace and name.
pub fn compare(from: &[Object], to: &[Object], pins: &Pins, budget: &mut Budget) -> Vec<ObjectChange> {
    let (old, new) = (by_id(from), by_id(to));
    let ids: BTreeSet<&Id> = old.keys().chain(new.keys()).copied().collect();
    let mut changes = Vec::new();
    for id in ids {
        let none = Vec::new();
        for (old, new) in pairs(old.get(id).unwrap_or(&none), new.get(id).unwrap_or(&none)) {
            changes.extend(change(old, new, pins, budget));
        }
    }
    changes
}

fn by_id(objects: &[Object]) -> BTreeMap<&Id, Vec<&Object>> {
    let mut map: BTreeMap<&Id, Vec<&Object>> = BTreeMap::new();
    for object in objects {
        map.entry(&object.id).or_default().push(object);
    }
    map
}

/// Patches carry the name of what they patch: those of one name are matched by what they say, then by file, then in order.
fn pairs<'o>(old: &[&'o Object], new: &[&'o Object]) -> Vec<(Option<&'o Object>, Option<&'o Object>)> {
    let (mut old, mut new) = (old.to_vec(), new.to_vec());
    let mut pairs = Vec::new();
    let same_value = |a: &Object, b: &Object| a.value == b.value;
    let same_file = |a: &Object, b: &Object| a.file == b.file;
    for same in [&same_value as &dyn Fn(&Object, &Object) -> bool, &same_file] {
        old.retain(|a| {
            let found = new.iter().position(|b| same(a, b));
            found.is_none_or(|at| {
                pairs.push((Some(*a), Some(new.remove(at))));
                false
            })
        });
    }
    let rest = old.len().max(new.len());
    pairs.extend((0..rest).map(|at| (old.get(at).copied(), new.get(at).copied())));
    pairs
}

fn change(old: Option<&Object>, new: Option<&Object>, pins: &Pins, budget: &mut Budget) -> Option<ObjectChange> {
    let object = new.or(old)?;
    let (mut fields, mut pin) = (Vec::new(), false);
    match (old, new) {
        (Some(old), Some(new)) => {
            fields = fields::compare(&old.value, &new.value, budget);
            if fields.is_empty() {
                return None;
            }
            for field in &mut fields {
                field.pin = pins.is_pin(old, new, field);
            }
            pin = fields.iter().all(|field| field.pin);
        }
        _ => pin |= pins.is_source(object),
    }
    let change = Change::of(old, new);
    Some(ObjectChange { id: object.id.clone(), change, file: object.file.clone(), pin, fields })
}

impl Pins {
    /// Is it the source of a chart that is published with the release?
    pub(super) fn is_source(&self, object: &Object) -> bool {
        let url = object.text(&["spec", "url"]).unwrap_or_default();
        let below = url.rsplit_once('/').filter(|(above, _)| above.ends_with(&format!("/{}", self.repository)));
        match object.id.kind.as_str() {
            "OCIRepository" => below.is_some_and(|(_, name)| self.charts.contains(name)),
            "HelmRepository" => url.ends_with(&format!("/{}", self.repository)),
            _ => false,
        }
    }

    fn is_pin(&self, old: &Object, new: &Object, field: &FieldChange) -> bool {
        let path = field.path.as_str();
        match new.id.kind.as_str() {
            "OCIRepository" => path.starts_with("spec.ref") && self.is_source(old) && self.is_source(new),
            "HelmRelease" => {
                let (before, after) = (self.chart(old), self.chart(new));
                let same = before.is_some() && before == after;
                let values = path.starts_with("spec.valuesFrom[") && path.ends_with("].name");
                (same && matches!(path, "spec.chart.spec.version" | "spec.chart" | "spec.chartRef"))
                    || (values && self.is_values(field.from.as_deref()) && self.is_values(field.to.as_deref()))
            }
            _ => false,
        }
    }

    /// The published chart that a release uses.
    fn chart<'o>(&self, release: &'o Object) -> Option<&'o str> {
        let name = release
            .text(&["spec", "chartRef", "name"])
            .or_else(|| release.text(&["spec", "chart", "spec", "chart"]))?;
        self.charts.contains(name).then_some(name)
    }

    fn is_values(&self, shown: Option<&str>) -> bool {
        shown.is_some_and(|shown| self.values.contains(shown.trim_matches('"')))
    }
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;

//! Compares the Kubernetes objects of two trees. An object is known by its kind, namespace and name, whichever file it is in.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::fields::{self, FieldChange, value_of};
use super::lines::{Budget, Change};
use crate::contents::Bundle;
use crate::flux::{self, HelmRelease, Kustomization, Source, SourceKind};
use crate::path::has_extension;
use crate::yaml::{self, Document};

/// Largest file, in bytes, whose objects are read.
const FILE_LIMIT: usize = 4 << 20;

/// Kind, group, namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Id {
    /// Kind of the object, for example `Deployment`.
    pub kind: String,
    /// Namespace; empty where the object does not say one.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// API group without the version; empty for the core group.
    pub group: String,
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let separator = if self.namespace.is_empty() { "" } else { "/" };
        write!(f, "{} {}{separator}{}", self.kind, self.namespace, self.name)
    }
}

/// An object that was read from a file.
#[derive(Clone, Debug)]
pub(super) struct ComparedObject {
    /// Kind, group, namespace and name.
    pub id: Id,
    /// The file that the object was read from, or the program that rendered it.
    pub file: String,
    /// All fields of the object.
    pub value: Value,
    /// What Flux does with the object.
    pub role: Role,
}

/// What Flux does with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Flux installs a chart.
    HelmRelease {
        /// Name of the chart's source, or of the chart itself where the HelmRelease names the chart.
        chart: Option<String>,
    },
    /// Flux applies a directory.
    Kustomization {
        /// Whether Flux deletes objects that it applied and no longer finds.
        prunes: bool,
    },
    /// Flux fetches charts or files.
    Source {
        /// Kind of the source.
        kind: SourceKind,
        /// URL of the source, without slashes at the end.
        address: String,
    },
    /// Flux only applies the object.
    Other,
}

impl ComparedObject {
    /// Returns the text at a path of keys.
    pub(super) fn text(&self, path: &[&str]) -> Option<&str> {
        path.iter().try_fold(&self.value, |value, key| value.get(key))?.as_str()
    }

    /// Returns the value of an annotation.
    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        self.text(&["metadata", "annotations", key])
    }
}

/// An object that differs between two releases.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ObjectChange {
    /// Kind, group, namespace and name.
    #[serde(flatten)]
    pub id: Id,
    /// Whether the object is new, gone, or another.
    pub change: Change,
    /// File that the object is in, or was in when it is gone.
    pub file: String,
    /// Whether only fields that the publisher wrote differ.
    pub pin: bool,
    /// Fields that differ; none when the object is new or gone.
    pub fields: Vec<FieldChange>,
}

/// What the publisher writes into an overlay, by which pins are told from the changes of the author.
#[derive(Clone, Debug, Default)]
pub(super) struct Pins {
    /// Names of the charts that are published with the release.
    pub charts: BTreeSet<String>,
    /// Repository below which the charts are published.
    pub repository: String,
    /// Names of the `ConfigMap`s of values, which may contain a hash.
    pub values: BTreeSet<String>,
    /// The published chart of each source, by the name of the source, which may contain a hash.
    pub sources: BTreeMap<String, String>,
}

/// Reads every object of the YAML files, and notes the files that cannot be read.
pub(super) fn read<'a>(
    files: impl IntoIterator<Item = (&'a String, &'a Vec<u8>)>,
    notes: &mut Vec<String>,
) -> Vec<ComparedObject> {
    let mut objects = Vec::new();
    for (path, text) in files.into_iter().filter_map(|(path, bytes)| Some((path, text_of(path, bytes)?))) {
        match yaml::parse(text) {
            Ok(documents) => objects.extend(of_documents(path, &documents)),
            Err(cause) => notes.push(not_compared(path, &cause.to_string())),
        }
    }
    objects
}

/// Reads every object of a bundle, those in the values of profiles too, and notes the files that cannot be read.
pub(crate) fn of_bundle(bundle: &Bundle, notes: &mut Vec<String>) -> Vec<ComparedObject> {
    let parsed = bundle.files().parsed();
    let mut objects = Vec::new();
    for (path, bytes) in bundle.bytes() {
        match parsed.get(path).filter(|_| text_of(path, bytes).is_some()) {
            Some(file) => objects.extend(of_documents(path, &file.documents)),
            None => objects.extend(read([(path, bytes)], notes)),
        }
    }
    objects
}

fn text_of<'b>(path: &str, bytes: &'b [u8]) -> Option<&'b str> {
    let is_read = has_extension(path, &["yaml", "yml"]) && bytes.len() <= FILE_LIMIT;
    std::str::from_utf8(bytes).ok().filter(|_| is_read)
}

pub(super) fn not_compared(path: &str, cause: &str) -> String {
    format!("objects of {} were not compared: {}", super::name(path), super::name(cause))
}

fn of_documents(path: &str, documents: &[Document]) -> Vec<ComparedObject> {
    flux::Object::of_documents(path, documents).iter().filter_map(object).collect()
}

fn object(object: &flux::Object<'_>) -> Option<ComparedObject> {
    let api_version = object.node.text_at(&["apiVersion"]).unwrap_or_default();
    // kustomize reads its own files, and the cluster never gets them.
    if api_version.is_empty() || api_version.starts_with("kustomize.config.k8s.io/") {
        return None;
    }
    let id = Id {
        kind: object.kind().to_owned(),
        namespace: object.namespace().unwrap_or_default().to_owned(),
        name: object.name().to_owned(),
        group: object.group().to_owned(),
    };
    Some(ComparedObject { id, file: object.file.to_owned(), value: value_of(object.node), role: Role::of(object) })
}

impl Role {
    fn of(object: &flux::Object<'_>) -> Self {
        if let Some(release) = HelmRelease::of(object) {
            let reference = release.chart_ref.and_then(|reference| reference.name);
            let chart = reference.or_else(|| release.chart?.chart).map(|name| name.text.to_owned());
            return Self::HelmRelease { chart };
        }
        if let Some(kustomization) = Kustomization::of(object) {
            return Self::Kustomization { prunes: kustomization.prune };
        }
        Source::of(object).map_or(Self::Other, |source| {
            let address = source.address().to_owned();
            Self::Source { kind: source.kind, address }
        })
    }
}

/// Returns every object that differs, sorted by kind, namespace and name.
pub(super) fn compare(
    from: &[ComparedObject],
    to: &[ComparedObject],
    pins: &Pins,
    budget: &mut Budget,
) -> Vec<ObjectChange> {
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

fn by_id(objects: &[ComparedObject]) -> BTreeMap<&Id, Vec<&ComparedObject>> {
    let mut map: BTreeMap<&Id, Vec<&ComparedObject>> = BTreeMap::new();
    for object in objects {
        map.entry(&object.id).or_default().push(object);
    }
    map
}

/// Pairs objects of one id. A patch has the id of the object that it patches, so there may be several: they are paired by content, then
/// by file, then in order.
fn pairs<'o>(
    old: &[&'o ComparedObject],
    new: &[&'o ComparedObject],
) -> Vec<(Option<&'o ComparedObject>, Option<&'o ComparedObject>)> {
    let (mut old, mut new) = (old.to_vec(), new.to_vec());
    let mut pairs = Vec::new();
    let same_value = |a: &ComparedObject, b: &ComparedObject| a.value == b.value;
    let same_file = |a: &ComparedObject, b: &ComparedObject| a.file == b.file;
    for same in [&same_value as &dyn Fn(&ComparedObject, &ComparedObject) -> bool, &same_file] {
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

fn change(
    old: Option<&ComparedObject>,
    new: Option<&ComparedObject>,
    pins: &Pins,
    budget: &mut Budget,
) -> Option<ObjectChange> {
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
    /// Adds the sources of published charts among the objects of a release.
    pub(super) fn add_sources(&mut self, objects: &[ComparedObject]) {
        for object in objects {
            if let Some(chart) = self.chart_of_source(object).map(ToOwned::to_owned) {
                self.sources.insert(object.id.name.clone(), chart);
            }
        }
    }

    /// Reports whether an object is the source of a chart that is published with the release.
    pub(super) fn is_source(&self, object: &ComparedObject) -> bool {
        let is_repository = matches!(&object.role, Role::Source { kind: SourceKind::HelmRepository, address }
            if address.ends_with(&format!("/{}", self.repository)));
        is_repository || self.chart_of_source(object).is_some()
    }

    /// Returns the published chart that an OCIRepository fetches.
    fn chart_of_source<'o>(&self, object: &'o ComparedObject) -> Option<&'o str> {
        let Role::Source { kind: SourceKind::OciRepository, address } = &object.role else { return None };
        let (above, name) = address.rsplit_once('/')?;
        (above.ends_with(&format!("/{}", self.repository)) && self.charts.contains(name)).then_some(name)
    }

    fn is_pin(&self, old: &ComparedObject, new: &ComparedObject, field: &FieldChange) -> bool {
        let path = field.path.as_str();
        match &new.role {
            Role::Source { kind: SourceKind::OciRepository, .. } => {
                path.starts_with("spec.ref") && self.is_source(old) && self.is_source(new)
            }
            Role::HelmRelease { .. } => {
                let (before, after) = (self.chart(old), self.chart(new));
                let same = before.is_some() && before == after;
                let values = path.starts_with("spec.valuesFrom[") && path.ends_with("].name");
                (same
                    && matches!(
                        path,
                        "spec.chart.spec.version" | "spec.chart" | "spec.chartRef" | "spec.chartRef.name"
                    ))
                    || (values && self.is_values(field.from.as_deref()) && self.is_values(field.to.as_deref()))
            }
            _ => false,
        }
    }

    /// Returns the chart that a HelmRelease uses, if it is published with the release.
    fn chart<'o>(&'o self, release: &'o ComparedObject) -> Option<&'o str> {
        let Role::HelmRelease { chart: Some(name) } = &release.role else { return None };
        let of_source = || self.sources.get(name).map(String::as_str);
        self.charts.contains(name).then_some(name.as_str()).or_else(of_source)
    }

    fn is_values(&self, shown: Option<&str>) -> bool {
        shown.is_some_and(|shown| self.values.contains(shown.trim_matches('"')))
    }
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;

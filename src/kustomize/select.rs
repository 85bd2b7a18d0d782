//! Selects the objects that a patch or replacement changes.

use std::collections::BTreeMap;

use regex::Regex;

use crate::yaml::Node;

use super::resource::{Id, Resource};
use super::shape::text;

/// The `target` of a patch, or the `select` of a replacement.
#[derive(Debug)]
pub(super) struct Selector {
    group: Option<Regex>,
    version: Option<Regex>,
    kind: Option<Regex>,
    name: Option<Regex>,
    namespace: Option<Regex>,
    labels: Vec<Requirement>,
    annotations: Vec<Requirement>,
}

/// The reason why a selector cannot be used.
#[derive(Debug)]
pub(super) enum Unusable {
    /// kustomize refuses the selector.
    Invalid(String),
    /// This program does not support the selector.
    Unknown(String),
}

/// A condition on a label or annotation.
#[derive(Debug)]
enum Requirement {
    Present(String),
    Absent(String),
    Is(String, String),
    Not(String, String),
}

impl Selector {
    pub(super) fn of(node: &Node) -> Result<Self, Unusable> {
        let pattern = |key: &str| text(node, key).map(|pattern| anchored(key, pattern)).transpose();
        let requirements = |key: &str| text(node, key).map_or(Ok(Vec::new()), requirements);
        Ok(Self {
            group: pattern("group")?,
            version: pattern("version")?,
            kind: pattern("kind")?,
            name: pattern("name")?,
            namespace: pattern("namespace")?,
            labels: requirements("labelSelector")?,
            annotations: requirements("annotationSelector")?,
        })
    }

    /// Reports whether a patch with this target changes the object.
    pub(super) fn selects(&self, resource: &Resource) -> bool {
        let (original, now) = (resource.original(), resource.id());
        let either =
            |of: fn(&Id) -> &str, pattern: Option<&Regex>| fits(pattern, of(&original)) || fits(pattern, of(&now));
        either(|id| id.namespace.as_deref().unwrap_or("_non_namespaceable_"), self.namespace.as_ref())
            && either(|id| &id.name, self.name.as_ref())
            && self.is_of_kind(&now)
            && self.fits_metadata(resource)
    }

    /// Reports whether a replacement selects the object.
    pub(super) fn selects_any(&self, resource: &Resource) -> bool {
        let by_id = |id: Id| {
            self.is_of_kind(&id)
                && fits(self.name.as_ref(), &id.name)
                && fits(self.namespace.as_ref(), id.namespace.as_deref().unwrap_or_default())
        };
        resource.ids().any(by_id) && self.fits_metadata(resource)
    }

    fn is_of_kind(&self, id: &Id) -> bool {
        fits(self.group.as_ref(), &id.group)
            && fits(self.version.as_ref(), &id.version)
            && fits(self.kind.as_ref(), &id.kind)
    }

    fn fits_metadata(&self, resource: &Resource) -> bool {
        let all = |requirements: &[Requirement], key: &str| {
            let entries = resource.node.get(&["metadata", key]).map(Node::entries).unwrap_or_default();
            let pair = |entry: &crate::yaml::Entry| {
                Some((entry.key.as_str()?.to_owned(), entry.value.as_str().unwrap_or_default().to_owned()))
            };
            let found: BTreeMap<String, String> = entries.iter().filter_map(pair).collect();
            requirements.iter().all(|requirement| requirement.holds(&found))
        };
        all(&self.labels, "labels") && all(&self.annotations, "annotations")
    }
}

impl Requirement {
    fn holds(&self, found: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Present(key) => found.contains_key(key),
            Self::Absent(key) => !found.contains_key(key),
            Self::Is(key, value) => found.get(key) == Some(value),
            Self::Not(key, value) => found.get(key) != Some(value),
        }
    }
}

fn fits(pattern: Option<&Regex>, text: &str) -> bool {
    pattern.is_none_or(|pattern| pattern.is_match(text))
}

fn anchored(key: &str, pattern: &str) -> Result<Regex, Unusable> {
    let invalid = |_| format!("invalid regular expression `{}` in `{key}`", pattern.escape_debug());
    Regex::new(&format!("^(?:{pattern})$")).map_err(invalid).map_err(Unusable::Invalid)
}

fn requirements(selector: &str) -> Result<Vec<Requirement>, Unusable> {
    selector.split(',').map(|one| requirement(one.trim(), selector)).collect()
}

fn requirement(one: &str, selector: &str) -> Result<Requirement, Unusable> {
    let unknown = || Unusable::Unknown(format!("the selector `{}`", selector.escape_debug()));
    let word = |text: &str| {
        let text = text.trim();
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        text.chars().all(valid).then(|| text.to_owned()).ok_or_else(unknown)
    };
    let key = |text: &str| word(text).and_then(|key| if key.is_empty() { Err(unknown()) } else { Ok(key) });
    if let Some(absent) = one.strip_prefix('!') {
        return Ok(Requirement::Absent(key(absent)?));
    }
    if let Some((before, value)) = one.split_once("!=") {
        return Ok(Requirement::Not(key(before)?, word(value)?));
    }
    match one.split_once('=') {
        Some((before, value)) => Ok(Requirement::Is(key(before)?, word(value.strip_prefix('=').unwrap_or(value))?)),
        None => Ok(Requirement::Present(key(one)?)),
    }
}

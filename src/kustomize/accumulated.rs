//! The objects that a build has collected so far.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::yaml::Node;

use super::build::Builder;
use super::problem::{Kind, Place};
use super::resource::{Behavior, Id, Resource};
use super::settings::{NameReference, Variable};

/// Annotation of objects that kustomize uses in the build and leaves out of the result.
const LOCAL: &str = "config.kubernetes.io/local-config";

#[derive(Debug)]
pub(super) struct Accumulated {
    pub(super) resources: Vec<Resource>,
    /// Indices into `resources`, by current id.
    index: BTreeMap<Id, usize>,
    /// Whether everything so far was valid and supported.
    pub(super) complete: bool,
    pub(super) references: Vec<NameReference>,
    pub(super) variables: Vec<Variable>,
}

impl Default for Accumulated {
    fn default() -> Self {
        let (references, variables) = (Vec::new(), Vec::new());
        Self { resources: Vec::new(), index: BTreeMap::new(), complete: true, references, variables }
    }
}

impl Accumulated {
    /// Adds an object that is listed at `at`.
    pub(super) fn append(&mut self, resource: Resource, at: &Place, builder: &mut Builder<'_>) {
        let id = resource.id();
        if let Some(first) = self.index.get(&id).and_then(|at| self.resources.get(*at)) {
            let (place, reason) = if first.place == resource.place {
                (at, format!("duplicate object: {} is listed twice", id.described()))
            } else {
                let first = &first.place;
                let reason = format!(
                    "duplicate object: {} is also in {}:{}",
                    id.described(),
                    first.file.escape_debug(),
                    first.line
                );
                (&resource.place, reason)
            };
            return builder.problem(Kind::DuplicateId, place.clone(), reason, "remove or rename one of the two");
        }
        self.index.insert(id, self.resources.len());
        self.resources.push(resource);
    }

    /// Adds the objects of a directory.
    pub(super) fn absorb(&mut self, other: Self, at: &Place, builder: &mut Builder<'_>) {
        self.complete &= other.complete;
        for resource in other.resources {
            self.append(resource, at, builder);
        }
        self.references.extend(other.references);
        for variable in other.variables {
            super::settings::add(&mut self.variables, variable, builder);
        }
    }

    /// Adds the object of a generator.
    pub(super) fn absorb_generated(&mut self, made: Resource, behavior: Option<Behavior>, builder: &mut Builder<'_>) {
        let id = made.id();
        let matches: Vec<usize> = self.matching(&id);
        let place = made.place.clone();
        match (matches.as_slice(), behavior) {
            ([], Some(Behavior::Merge | Behavior::Replace)) => {
                if self.complete {
                    let reason = format!("cannot merge into or replace {}, which does not exist", id.described());
                    let way_out = "remove `behavior`, or correct the name or the namespace";
                    builder.problem(Kind::GeneratorClash, place, reason, way_out);
                }
            }
            ([], _) => self.append(made, &place, builder),
            ([at], Some(Behavior::Merge)) => self.replaced(*at, made, true),
            ([at], Some(Behavior::Replace)) => self.replaced(*at, made, false),
            ([at, ..], _) => {
                let first = &self.resources[*at].place;
                let reason = format!(
                    "cannot generate {}, which exists in {}:{}",
                    id.described(),
                    first.file.escape_debug(),
                    first.line
                );
                let way_out = "rename the generator, or set `behavior: merge` or `behavior: replace`";
                builder.problem(Kind::GeneratorClash, place, reason, way_out);
            }
        }
    }

    /// Returns the indices of the objects that have or had the id.
    pub(super) fn matching(&self, id: &Id) -> Vec<usize> {
        let has = |resource: &Resource| resource.ids().any(|one| one == *id);
        self.resources.iter().enumerate().filter(|(_, resource)| has(resource)).map(|(at, _)| at).collect()
    }

    fn replaced(&mut self, at: usize, mut made: Resource, merge: bool) {
        let old = &self.resources[at];
        let now = old.id();
        if merge {
            for key in ["data", "binaryData"] {
                let entries = old.node.get(&[key]).map(Node::entries).unwrap_or_default().to_vec();
                super::generate::keep(&mut made.node, key, entries);
            }
        }
        made.hashed &= old.hashed;
        made.previous.clone_from(&old.previous);
        made.set(&["metadata", "name"], &now.name);
        if let Some(namespace) = old.node.text_at(&["metadata", "namespace"]) {
            let namespace = namespace.to_owned();
            made.set(&["metadata", "namespace"], &namespace);
        }
        self.resources[at] = made;
        self.reindex();
    }

    /// Updates the index after ids have changed.
    pub(super) fn reindex(&mut self) {
        self.index = self.resources.iter().enumerate().map(|(at, resource)| (resource.id(), at)).collect();
    }

    /// Reports objects that have the same id after a change.
    pub(super) fn refuse_doubles(&mut self, at: &Place, builder: &mut Builder<'_>) {
        let mut seen: BTreeMap<Id, &Place> = BTreeMap::new();
        for resource in &self.resources {
            let id = resource.id();
            if let Some(first) = seen.get(&id) {
                let second = &resource.place;
                let reason = format!(
                    "duplicate object: {} and the object in {}:{} have the same id after the build",
                    id.described(),
                    first.file.escape_debug(),
                    first.line
                );
                let place = if second.file.is_empty() { at } else { second };
                builder.problem(Kind::DuplicateId, place.clone(), reason, "remove or rename one of the two");
            } else {
                seen.insert(id, &resource.place);
            }
        }
        self.reindex();
    }

    /// Finishes the build as kustomize does: appends hashes to names, updates references to names, and removes local objects.
    pub(super) fn finish(&mut self, builder: &mut Builder<'_>) {
        for resource in self.resources.iter_mut().filter(|resource| resource.hashed) {
            resource.remember();
            let name = format!("{}-{}", resource.id().name, hash(&resource.node));
            resource.set(&["metadata", "name"], &name);
        }
        super::settings::follow(self);
        self.refuse_doubles(&Place::new("", 1), builder);
        super::settings::unresolved(self, builder);
        let local = |resource: &Resource| {
            resource.node.text_at(&["metadata", "annotations", LOCAL]).is_some_and(|text| text != "false")
        };
        self.resources.retain(|resource| !local(resource));
        for resource in &self.resources {
            if let Some(key) = resource.node.duplicate_key() {
                let key_text = key.as_str().unwrap_or_default().escape_debug();
                let reason = format!("duplicate key `{key_text}` in {}", resource.id().described());
                let place = Place::new(&resource.place.file, key.line);
                builder.problem(Kind::DuplicateKey, place, reason, "remove one of the two");
            }
        }
        self.reindex();
    }
}

/// Returns the hash that kustomize appends to the name of a generated ConfigMap or Secret.
fn hash(node: &Node) -> String {
    let texts = |key: &str| -> BTreeMap<String, String> {
        let entries = node.get(&[key]).map(Node::entries).unwrap_or_default();
        let pair =
            |entry: &crate::yaml::Entry| Some((entry.key.as_str()?.to_owned(), entry.value.as_str()?.to_owned()));
        entries.iter().filter_map(pair).collect()
    };
    let text = |path: &[&str]| node.text_at(path).unwrap_or_default();
    let mut fields = BTreeMap::from([
        ("kind", serde_json::json!(text(&["kind"]))),
        ("name", serde_json::json!("")), // kustomize reads the name from a key that no object has, so the name is always empty.
        ("data", serde_json::json!(texts("data"))),
    ]);
    if node.get(&["data"]).is_none() {
        fields.insert("data", serde_json::json!(""));
    }
    if text(&["kind"]) == "Secret" {
        fields.insert("type", serde_json::json!(text(&["type"])));
    } else if node.get(&["binaryData"]).is_some() {
        fields.insert("binaryData", serde_json::json!(texts("binaryData")));
    }
    let json = serde_json::json!(fields).to_string();
    let json = json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let json = json.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    let digits = Sha256::digest(json);
    let digits =
        digits.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).filter_map(|half| char::from_digit(half.into(), 16));
    let letter = |digit| match digit {
        '0' => 'g',
        '1' => 'h',
        '3' => 'k',
        'a' => 'm',
        'e' => 't',
        other => other,
    };
    digits.take(10).map(letter).collect()
}

//! Applies replacements, which copy a value of one object into others. This module checks that the source and the fields exist,
//! and skips the forms of paths that it does not support.

use crate::yaml::{self, Node, Value};

use super::accumulated::Accumulated;
use super::build::{Builder, Layer};
use super::problem::{Kind, Place};
use super::resource::{Id, Resource, moved};
use super::select::{Selector, Unusable};
use super::shape::{field, items, text};

const BROKEN: Kind = Kind::InvalidReplacement;
const NAME: &str = "metadata.name";

/// The value at a field path.
enum Found {
    Node(Node),
    Missing,
    /// The path has a form that this module does not support.
    Unknown,
}

impl Builder<'_> {
    pub(super) fn replacements(&mut self, layer: &Layer<'_>, into: &mut Accumulated) {
        for (file, item) in layer.items("replacements") {
            let at = Place::new(file, item.line);
            let Some(path) = text(item, "path") else {
                self.replacement(&at, item, into);
                continue;
            };
            if field(item, "source").is_some() || field(item, "targets").is_some() {
                let reason = "the replacement has `path` as well as a source or targets";
                self.problem(BROKEN, at, reason, "keep either `path`, or `source` and `targets`");
                continue;
            }
            let Some(path) = self.loaded(layer.directory, path, &at, into) else { continue };
            let Some(text) = self.text(&path, &at, into) else { continue };
            match yaml::parse(&text).map(|documents| documents.into_iter().next().and_then(|one| one.root)) {
                Ok(Some(root)) if root.is_mapping() => self.replacement(&Place::new(&path, root.line), &root, into),
                Ok(Some(root)) if root.is_sequence() => {
                    for item in root.items() {
                        self.replacement(&Place::new(&path, item.line), item, into);
                    }
                }
                Ok(_) => {
                    let reason = "expected a replacement or a list of replacements in the file";
                    self.problem(BROKEN, Place::new(&path, 1), reason, "write `source` and `targets`");
                }
                Err(error) => {
                    let reason = format!("invalid YAML in column {}: {}", error.column, error.reason);
                    self.problem(Kind::BrokenYaml, Place::new(&path, error.line), reason, "correct the YAML");
                }
            }
        }
    }

    fn replacement(&mut self, at: &Place, item: &Node, into: &mut Accumulated) {
        let source = field(item, "source").filter(|node| !node.is_null());
        let literal = field(item, "sourceValue").filter(|node| !node.is_null());
        let reason = match (source, literal, field(item, "targets").filter(|node| !node.is_null())) {
            (Some(_), Some(_), _) => "the replacement has both `source` and `sourceValue`",
            (None, None, _) => "missing `source` of the replacement",
            (_, _, None) => "missing `targets` of the replacement",
            (Some(source), None, Some(_)) => {
                let value = self.value(at, source, into);
                return self.targets(at, item, value.as_ref(), into);
            }
            (None, literal, Some(_)) => return self.targets(at, item, literal, into),
        };
        self.problem(BROKEN, at.clone(), reason, "write `source` and `targets`");
    }

    /// Returns the value to copy, or `None` where the source is refused or not supported.
    fn value(&mut self, at: &Place, source: &Node, into: &mut Accumulated) -> Option<Node> {
        let part = |key: &str| text(source, key).unwrap_or_default();
        let fits = |text: &str, pattern: &str| pattern.is_empty() || text == pattern;
        let selected = |id: Id| {
            fits(&id.group, part("group"))
                && fits(&id.version, part("version"))
                && fits(&id.kind, part("kind"))
                && fits(&id.name, part("name"))
                && fits(id.namespace.as_deref().unwrap_or_default(), part("namespace"))
        };
        let matches: Vec<&Resource> = into.resources.iter().filter(|one| one.ids().any(selected)).collect();
        let place = Place::new(&at.file, source.line);
        let [only] = matches.as_slice() else {
            if into.complete || matches.len() > 1 {
                let reason = match matches.len() {
                    0 => "the source of the replacement selects no object, expected one".to_owned(),
                    count => format!("the source of the replacement selects {count} objects, expected one"),
                };
                self.problem(BROKEN, place, reason, "give the kind, name and namespace of one object");
            }
            into.complete = false;
            return None;
        };
        let path = text(source, "fieldPath").unwrap_or(NAME);
        match find(&only.node, path) {
            Found::Node(node) if field(source, "options").is_none() => Some(node),
            Found::Node(_) | Found::Unknown => {
                into.complete = false;
                self.unchecked(place, "not checked: this program does not support the source of the replacement");
                None
            }
            Found::Missing => {
                let reason = format!("missing field in {}: `{}`", only.id().described(), path.escape_debug());
                self.problem(BROKEN, place, reason, "correct `fieldPath`");
                into.complete = false;
                None
            }
        }
    }

    fn targets(&mut self, at: &Place, item: &Node, value: Option<&Node>, into: &mut Accumulated) {
        for target in items(item, "targets") {
            let place = Place::new(&at.file, target.line);
            let Some(select) = field(target, "select").filter(|node| !node.is_null()) else {
                self.problem(
                    BROKEN,
                    place,
                    "missing `select` in the target of the replacement",
                    "write `select` with a kind and a name",
                );
                continue;
            };
            let selector = match Selector::of(select) {
                Ok(selector) => selector,
                Err(Unusable::Invalid(reason)) => {
                    self.problem(BROKEN, place, reason, "correct the regular expression");
                    continue;
                }
                Err(Unusable::Unknown(what)) => {
                    self.unchecked(place, format!("not checked: this program does not support {what}"));
                    into.complete = false;
                    continue;
                }
            };
            if !items(target, "reject").is_empty() {
                self.unchecked(place, "not checked: this program does not support a target with `reject`");
                into.complete = false;
                continue;
            }
            self.copied(&place, target, &selector, value, into);
        }
    }

    fn copied(&mut self, at: &Place, target: &Node, selector: &Selector, value: Option<&Node>, into: &mut Accumulated) {
        let option = |key: &str| field(target, "options").and_then(|options| text(options, key));
        let creates = option("create").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let paths = items(target, "fieldPaths").iter().filter_map(Node::as_str);
        let paths: Vec<&str> = if items(target, "fieldPaths").is_empty() { vec![NAME] } else { paths.collect() };
        let mut unknown = option("delimiter").is_some() || value.is_none();
        for resource in &mut into.resources {
            if !selector.selects_any(resource) {
                continue;
            }
            for path in &paths {
                match find(&resource.node, path) {
                    Found::Missing if !creates => {
                        let reason =
                            format!("missing field in {}: `{}`", resource.id().described(), path.escape_debug());
                        let way_out = "correct the path, or set `options: {create: true}`";
                        self.problem(BROKEN, at.clone(), reason, way_out);
                    }
                    Found::Node(_) if !unknown => put(&mut resource.node, path, value),
                    Found::Node(_) | Found::Missing => {}
                    Found::Unknown => unknown = true,
                }
            }
        }
        if unknown && value.is_some() {
            into.complete = false;
            self.unchecked(at.clone(), "not checked: this program does not support the targets of the replacement");
        }
    }
}

/// Returns the parts of a path, or `None` unless all of them are plain keys.
fn parts(path: &str) -> Option<Vec<&str>> {
    let plain = |part: &&str| !part.is_empty() && !part.contains(['[', ']', '*', '\\']);
    path.split('.').map(|part| Some(part).filter(plain)).collect()
}

fn find(node: &Node, path: &str) -> Found {
    let Some(parts) = parts(path) else { return Found::Unknown };
    let mut node = node;
    for part in parts {
        if !node.is_mapping() {
            return Found::Unknown;
        }
        match node.value_of(part) {
            Some(value) => node = value,
            None => return Found::Missing,
        }
    }
    if node.is_null() { Found::Missing } else { Found::Node(node.clone()) }
}

fn put(node: &mut Node, path: &str, value: Option<&Node>) {
    let (Some(parts), Some(value)) = (parts(path), value) else { return };
    let mut node = node;
    for part in parts {
        let entries = super::resource::entries_mut(node).into_iter().flatten();
        let Some(entry) = entries.into_iter().find(|entry| entry.key.as_str() == Some(part)) else { return };
        node = &mut entry.value;
    }
    let line = node.line;
    if let (Value::Scalar { text, .. }, Some(new)) = (&mut node.value, value.as_str()) {
        new.clone_into(text);
    } else {
        *node = moved(value, line);
    }
}

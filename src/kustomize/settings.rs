//! Reads the fields of a kustomization file that configure kustomize itself: configurations, definitions, variables, and the
//! fields that hold names of other objects.

use crate::yaml::{self, Node, Value};

use super::accumulated::Accumulated;
use super::build::{Builder, Layer};
use super::problem::{Kind, Place};
use super::resource::Id;
use super::shape::{configuration_misfits, field, items, text};
use super::strict::strict;

/// Versions of the Kubernetes API that are built into kustomize.
const OPENAPI_VERSIONS: [&str; 3] = ["v1.21.2", "v1.20.4", "v1212"];

/// A field that holds the name of another object.
#[derive(Clone, Debug)]
pub(super) struct NameReference {
    /// Kind of the named object.
    named: String,
    /// Kind of the object that has the field. An empty text means any kind.
    kind: String,
    /// Keys of the path to the field.
    path: Vec<String>,
}

/// An item of the list `vars`.
#[derive(Clone, Debug)]
pub(super) struct Variable {
    name: String,
    place: Place,
    matched: bool,
}

impl Builder<'_> {
    pub(super) fn settings(&mut self, layer: &Layer<'_>, into: &mut Accumulated) {
        for (file, item) in layer.items("configurations") {
            self.configuration(layer.directory, &Place::new(file, item.line), item, into);
        }
        for (file, item) in layer.items("crds") {
            let at = Place::new(file, item.line);
            if self.loaded(layer.directory, item.as_str().unwrap_or_default(), &at, into).is_some() {
                self.unchecked(at, "not checked: this program does not read `crds`");
            }
        }
        let Some(openapi) = layer.root.and_then(|root| field(root, "openapi")) else { return };
        let at = layer.place("openapi");
        if let Some(path) = text(openapi, "path") {
            if self.loaded(layer.directory, path, &at, into).is_some() {
                self.unchecked(at, "not checked: this program does not read `openapi`");
            }
        } else if let Some(version) = text(openapi, "version").filter(|one| !OPENAPI_VERSIONS.contains(one)) {
            self.unchecked(
                at,
                format!("not checked: the version `{}` may not be built into kustomize", version.escape_debug()),
            );
        }
    }

    fn configuration(&mut self, directory: &str, at: &Place, item: &Node, into: &mut Accumulated) {
        let Some(path) = self.loaded(directory, item.as_str().unwrap_or_default(), at, into) else { return };
        let Some(text) = self.text(&path, at, into) else { return };
        let parsed = yaml::parse(&text).map_err(|error| (error.line, error.reason));
        let documents = match parsed.and_then(|documents| strict(&text, &documents).map(|()| documents)) {
            Ok(documents) => documents,
            Err((line, reason)) => {
                let reason = format!("invalid YAML: {reason}");
                return self.problem(Kind::BrokenYaml, Place::new(&path, line), reason, "correct the YAML");
            }
        };
        let Some(root) = documents.first().and_then(|document| document.root.as_ref()) else { return };
        if let Some(key) = root.duplicate_key() {
            let reason = format!("duplicate key `{}`", key.as_str().unwrap_or_default().escape_debug());
            self.problem(Kind::DuplicateKey, Place::new(&path, key.line), reason, "remove one of the two");
        }
        for one in configuration_misfits(root) {
            self.problem(one.kind, Place::new(&path, one.node.line), one.reason, one.way_out);
        }
        for key in ["namePrefix", "nameSuffix", "namespace"] {
            if let Some(node) = field(root, key) {
                into.complete = false;
                let what = format!("not checked: this program does not read `{key}` of a configuration");
                self.unchecked(Place::new(&path, node.line), what);
            }
        }
        for reference in items(root, "nameReference") {
            let named = super::shape::text(reference, "kind").unwrap_or_default();
            for spec in items(reference, "fieldSpecs") {
                let Some(path) = super::shape::text(spec, "path") else {
                    let place = Place::new(&path, spec.line);
                    self.problem(Kind::FieldType, place, "missing `path` of the field", "write the path of the field");
                    continue;
                };
                into.references.push(NameReference {
                    named: named.to_owned(),
                    kind: super::shape::text(spec, "kind").unwrap_or_default().to_owned(),
                    path: path.split('/').map(ToOwned::to_owned).collect(),
                });
            }
        }
    }

    /// Records whether the objects that the variables name exist.
    pub(super) fn variables(&mut self, layer: &Layer<'_>, into: &mut Accumulated) {
        for (file, item) in layer.items("vars") {
            let place = Place::new(file, item.line);
            let name = text(item, "name").unwrap_or_default().to_owned();
            let reference = field(item, "objref");
            let part = |key: &str| reference.and_then(|node| text(node, key)).unwrap_or_default();
            let fits = |id: &Id| {
                let version =
                    if id.group.is_empty() { id.version.clone() } else { format!("{}/{}", id.group, id.version) };
                let namespace = part("namespace").is_empty() || id.namespace.as_deref() == Some(part("namespace"));
                id.kind == part("kind")
                    && id.name == part("name")
                    && (part("apiVersion").is_empty() || version == part("apiVersion"))
                    && namespace
            };
            let matched = into.resources.iter().any(|resource| resource.ids().any(|id| fits(&id)));
            add(&mut into.variables, Variable { name, place, matched }, self);
        }
    }
}

/// Adds a variable to those of a build.
pub(super) fn add(variables: &mut Vec<Variable>, variable: Variable, builder: &mut Builder<'_>) {
    if variables.iter().any(|one| one.name == variable.name) {
        let reason = format!("duplicate variable `{}`", variable.name.escape_debug());
        builder.problem(Kind::InvalidReplacement, variable.place, reason, "rename one of the two");
    } else {
        variables.push(variable);
    }
}

/// Reports the variables whose object does not exist.
pub(super) fn unresolved(accumulated: &Accumulated, builder: &mut Builder<'_>) {
    if !accumulated.complete {
        return;
    }
    for variable in accumulated.variables.iter().filter(|variable| !variable.matched) {
        let reason =
            format!("the variable `{}` names an object that is not in the build", variable.name.escape_debug());
        let way_out = "correct the kind, version, name and namespace in `objref`";
        builder.problem(Kind::InvalidReplacement, variable.place.clone(), reason, way_out);
    }
}

/// Updates renamed objects' names in the fields that configurations declare as references.
pub(super) fn follow(accumulated: &mut Accumulated) {
    let mut renamed: Vec<(Id, String)> = Vec::new();
    for resource in &accumulated.resources {
        let now = resource.id();
        let earlier = resource.previous.iter().filter(|id| id.name != now.name);
        renamed.extend(earlier.map(|id| (Id { namespace: now.namespace.clone(), ..id.clone() }, now.name.clone())));
    }
    let references = accumulated.references.clone();
    for resource in &mut accumulated.resources {
        let id = resource.id();
        for reference in references.iter().filter(|one| one.kind.is_empty() || one.kind == id.kind) {
            let new = |name: &str| {
                let fits = |(of, _): &&(Id, String)| {
                    of.kind == reference.named && of.name == name && of.namespace == id.namespace
                };
                renamed.iter().find(fits).map(|(_, new)| new.clone())
            };
            rename(&mut resource.node, &reference.path, &new);
        }
    }
}

/// Renames the values at a path. The recursion is at most as deep as the path is long.
fn rename(node: &mut Node, path: &[String], new: &dyn Fn(&str) -> Option<String>) {
    if let Value::Sequence { items, .. } = &mut node.value {
        for item in items.iter_mut().filter(|item| !item.is_sequence()) {
            rename(item, path, new);
        }
        return;
    }
    let Some((key, rest)) = path.split_first() else {
        let name = node.as_str().and_then(new);
        if let (Value::Scalar { text, .. }, Some(name)) = (&mut node.value, name) {
            *text = name;
        }
        return;
    };
    let entries = super::resource::entries_mut(node).map(|entries| entries.iter_mut()).into_iter().flatten();
    for entry in entries.filter(|entry| entry.key.as_str() == Some(key.as_str())) {
        rename(&mut entry.value, rest, new);
    }
}

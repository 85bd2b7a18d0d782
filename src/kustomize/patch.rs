//! Reads and applies patches as kustomize does.

use crate::yaml::{self, Node};

use super::accumulated::Accumulated;
use super::build::{Builder, Layer};
use super::json_patch::{self, Failure};
use super::merge::merge;
use super::problem::{Kind, Place};
use super::read::{Read, Unread, objects};
use super::resource::{Id, resolved};
use super::select::{Selector, Unusable};
use super::shape::{field, text};
use super::strict::strict;

/// The text of a patch and the place of its lines.
struct Source {
    text: String,
    /// File that holds the text.
    file: String,
    /// Number that is added to a line of the text to get the line of the file. Absent where the text's lines are not lines of
    /// the file.
    before: Option<usize>,
    /// The item that names or holds the patch.
    at: Place,
}

impl Source {
    fn inline(node: &Node, file: &str) -> Self {
        let text = node.as_str().unwrap_or_default().trim().to_owned();
        let literal = matches!(&node.resolved().value, yaml::Value::Scalar { style: yaml::Style::Literal, .. });
        let at = Place::new(file, node.line);
        Self { text, file: file.to_owned(), before: literal.then_some(node.line), at }
    }

    fn place(&self, line: usize) -> Place {
        self.before.map_or_else(|| self.at.clone(), |before| Place::new(&self.file, before + line))
    }
}

/// The two forms of patches.
enum Patch {
    /// Strategic merge patches, one for each document.
    Merge(Vec<Read>),
    /// Operations of a JSON Patch.
    Operations(Vec<Node>),
}

impl Builder<'_> {
    /// Applies the list `patchesStrategicMerge`.
    pub(super) fn strategic_merge(&mut self, layer: &Layer<'_>, into: &mut Accumulated) {
        let listed = layer.items("patchesStrategicMerge");
        let mut found = false;
        for (file, item) in &listed {
            let at = Place::new(file, item.line);
            let inline = Source::inline(item, file);
            let (source, read) = match objects(&inline.text) {
                Ok(read) if !inline.text.is_empty() => (inline, Ok(read)),
                _ => {
                    let Some(source) = self.source(layer.directory, &inline.text, &at, into) else { return };
                    let read = objects(&source.text);
                    (source, read)
                }
            };
            match read {
                Ok(patches) => {
                    found |= !patches.is_empty();
                    for patch in patches {
                        self.merge_by_id(&source, &patch, into);
                    }
                }
                Err(unread) => return self.unread_patch(&source, unread, into),
            }
        }
        if let Some((file, item)) = listed.first().filter(|_| !found) {
            let at = Place::new(file, item.line);
            self.problem(
                Kind::InvalidPatch,
                at,
                "the list `patchesStrategicMerge` has only empty patches",
                "remove `patchesStrategicMerge`",
            );
        }
    }

    /// Applies the list `patches`.
    pub(super) fn patches(&mut self, layer: &Layer<'_>, into: &mut Accumulated) {
        for (file, item) in layer.items("patches") {
            self.patch(layer.directory, &Place::new(file, item.line), item, into);
        }
    }

    /// Applies the list `patchesJson6902`.
    pub(super) fn json_patches(&mut self, layer: &Layer<'_>, into: &mut Accumulated) {
        for (file, item) in layer.items("patchesJson6902") {
            let at = Place::new(file, item.line);
            let target = field(item, "target").filter(|target| !target.is_null());
            if target.and_then(|target| text(target, "name")).is_none() {
                let way_out = "write `target:` with the kind and the name of the object";
                self.problem(Kind::InvalidPatch, at, "missing `target` with a `name` in the patch", way_out);
                continue;
            }
            let Some(source) = self.only_source(layer.directory, &at, item, into) else { continue };
            match operations(&source.text) {
                Some(found) if !found.is_empty() => self.operate(&source, target, &found, into),
                _ => {
                    let way_out = "write a list of operations, each with `op` and `path`";
                    self.problem(
                        Kind::InvalidPatch,
                        source.at,
                        "invalid JSON patch: expected a list of operations",
                        way_out,
                    );
                }
            }
        }
    }

    fn patch(&mut self, directory: &str, at: &Place, item: &Node, into: &mut Accumulated) {
        let Some(source) = self.only_source(directory, at, item, into) else {
            into.complete = false;
            return;
        };
        let target = field(item, "target").filter(|target| !target.is_null());
        match self.read_patch(&source) {
            Some(Patch::Merge(patches)) => match target {
                Some(_) if patches.len() > 1 => {
                    let reason = "a patch with several documents cannot have a `target`";
                    let way_out = "remove `target`, or write each document as a patch of its own";
                    self.problem(Kind::InvalidPatch, at.clone(), reason, way_out);
                }
                Some(target) => {
                    if let Some(patch) = patches.first() {
                        let options = field(item, "options");
                        self.merge_by_target(&source, target, patch, options, into);
                    }
                }
                None => {
                    for patch in &patches {
                        self.merge_by_id(&source, patch, into);
                    }
                }
            },
            Some(Patch::Operations(found)) if target.is_none() => {
                if !found.is_empty() {
                    let way_out = "write `target:` with the kind and the name of the object";
                    self.problem(Kind::InvalidPatch, at.clone(), "missing `target` of the JSON patch", way_out);
                }
            }
            Some(Patch::Operations(found)) => self.operate(&source, target, &found, into),
            None => into.complete = false,
        }
    }

    /// Returns the text of a patch, which must have exactly one of `patch` and `path`.
    fn only_source(&mut self, directory: &str, at: &Place, item: &Node, into: &mut Accumulated) -> Option<Source> {
        let inline = field(item, "patch").filter(|node| node.as_str().is_some_and(|text| !text.trim().is_empty()));
        let reason = match (inline, text(item, "path")) {
            (Some(node), None) => return Some(Source::inline(node, &at.file)),
            (None, Some(path)) => {
                let line = field(item, "path").map_or(at.line, |node| node.line);
                return self.source(directory, path, &Place::new(&at.file, line), into);
            }
            (Some(_), Some(_)) => "the patch has both `patch` and `path`",
            (None, None) => "missing `patch` or `path` in the patch",
        };
        self.problem(Kind::InvalidPatch, at.clone(), reason, "write either the patch itself or the path of its file");
        None
    }

    fn source(&mut self, directory: &str, path: &str, at: &Place, into: &mut Accumulated) -> Option<Source> {
        let path = self.loaded(directory, path, at, into)?;
        let text = self.text(&path, at, into)?;
        Some(Source { text, file: path, before: Some(0), at: at.clone() })
    }

    fn read_patch(&mut self, source: &Source) -> Option<Patch> {
        let unread = match objects(&source.text) {
            Ok(patches) => return Some(Patch::Merge(patches)),
            Err(unread) => unread,
        };
        if let Some(found) = operations(&source.text) {
            return Some(Patch::Operations(found));
        }
        let Unread { line, reason, .. } = unread;
        let reason = format!("invalid patch: expected an object or a list of operations: {reason}");
        let way_out = "write an object with `kind` and `metadata.name`, or a list of operations with `op` and `path`";
        self.problem(Kind::InvalidPatch, source.place(line), reason, way_out);
        None
    }

    fn unread_patch(&mut self, source: &Source, unread: Unread, into: &mut Accumulated) {
        into.complete = false;
        self.problem(Kind::InvalidPatch, source.place(unread.line), unread.reason, unread.way_out);
    }

    fn merge_by_id(&mut self, source: &Source, patch: &Read, into: &mut Accumulated) {
        let id = Id::of(&patch.node);
        match into.matching(&id).as_slice() {
            [at] => self.merge_into(source, patch, *at, (false, false), into),
            [] if into.complete => {
                let reason = format!("the patch is for {}, which is not in the build", id.described());
                let way_out = near(&id, into).unwrap_or_else(|| "correct the patch, or remove it".to_owned());
                self.problem(Kind::PatchWithoutObject, source.place(patch.line), reason, way_out);
            }
            [] => {}
            _ => {
                let reason = format!("the patch is for {}, and several objects have or had this id", id.described());
                let way_out = "select the object with a `target`";
                self.problem(Kind::PatchWithoutObject, source.place(patch.line), reason, way_out);
            }
        }
        drop_deleted(into);
    }

    fn merge_by_target(
        &mut self,
        source: &Source,
        target: &Node,
        patch: &Read,
        options: Option<&Node>,
        into: &mut Accumulated,
    ) {
        let allows = |key: &str| options.and_then(|options| text(options, key)) == Some("true");
        let allowed = (allows("allowNameChange"), allows("allowKindChange"));
        for at in self.selected(source, target, into) {
            self.merge_into(source, patch, at, allowed, into);
        }
        drop_deleted(into);
        into.refuse_doubles(&source.at, self);
    }

    fn merge_into(
        &mut self,
        source: &Source,
        patch: &Read,
        at: usize,
        (name, kind): (bool, bool),
        into: &mut Accumulated,
    ) {
        let resource = &mut into.resources[at];
        let before = resource.node.clone();
        match merge(&before, &patch.node) {
            Ok(Some(node)) => {
                if name || kind {
                    resource.remember();
                }
                resource.node = node;
                let name = (["metadata", "name"], name);
                for (path, free) in
                    [(["apiVersion", ""], false), (["kind", ""], kind), name, (["metadata", "namespace"], false)]
                {
                    if !free {
                        resource.restore(&before, path);
                    }
                }
            }
            Ok(None) => resource.node = super::resource::mapping(Vec::new(), before.line),
            Err(reason) => {
                into.complete = false;
                let reason = format!("cannot patch {}: {reason}", Id::of(&before).described());
                let way_out = "write a value of the same type as in the object";
                self.problem(Kind::PatchDoesNotFit, source.place(patch.line), reason, way_out);
            }
        }
    }

    /// Returns the indices of the objects that a target selects.
    fn selected(&mut self, source: &Source, target: &Node, into: &mut Accumulated) -> Vec<usize> {
        let place = Place::new(&source.at.file, target.line);
        let selector = match Selector::of(target) {
            Ok(selector) => selector,
            Err(Unusable::Invalid(reason)) => {
                into.complete = false;
                self.problem(Kind::InvalidPatch, place, reason, "correct the regular expression");
                return Vec::new();
            }
            Err(Unusable::Unknown(what)) => {
                into.complete = false;
                self.unchecked(place, format!("not checked: this program does not support {what}"));
                return Vec::new();
            }
        };
        let selects = |(at, resource): (usize, &super::resource::Resource)| selector.selects(resource).then_some(at);
        let found: Vec<usize> = into.resources.iter().enumerate().filter_map(selects).collect();
        if found.is_empty() && into.complete {
            let reason = "the target of the patch selects no object, so kustomize silently ignores the patch";
            self.problem(Kind::PatchSelectsNothing, place, reason, "correct the target, or remove the patch");
        }
        found
    }

    fn operate(&mut self, source: &Source, target: Option<&Node>, operations: &[Node], into: &mut Accumulated) {
        let Some(target) = target else { return };
        for at in self.selected(source, target, into) {
            let resource = &mut into.resources[at];
            let id = resource.id();
            resource.remember();
            for operation in operations {
                let place = source.place(operation.line);
                match json_patch::apply(&mut resource.node, operation) {
                    Ok(()) => {}
                    Err(Failure::Refused(reason)) => {
                        into.complete = false;
                        let reason = format!("cannot patch {}: {reason}", id.described());
                        let way_out = "correct the path, or add the missing field to the object";
                        self.problem(Kind::PatchDoesNotFit, place, reason, way_out);
                        break;
                    }
                    Err(Failure::TooLarge) => {
                        into.complete = false;
                        self.unchecked(place, "not checked: the patched object is larger than this program supports");
                        break;
                    }
                }
            }
            self.still_an_object(source, &into.resources[at].node, &id);
        }
        into.reindex();
    }

    fn still_an_object(&mut self, source: &Source, node: &Node, id: &Id) {
        let filled = |path: &[&str]| node.text_at(path).is_some_and(|text| !text.is_empty());
        if !filled(&["kind"]) || !filled(&["metadata", "name"]) {
            let reason = format!("the patch removes the kind or the name of {}", id.described());
            self.problem(Kind::PatchDoesNotFit, source.at.clone(), reason, "keep `kind` and `metadata.name`");
        }
    }
}

/// Reads the operations of a JSON Patch, or returns `None` for a text of another form.
fn operations(text: &str) -> Option<Vec<Node>> {
    let documents = yaml::parse(text).ok()?;
    strict(text, &documents).is_ok().then_some(())?;
    let root = documents.first()?.root.as_ref()?;
    let valid = root.is_sequence() && root.items().iter().all(|item| item.is_mapping() || item.is_null());
    valid.then(|| root.items().iter().map(resolved).collect())
}

/// Removes the objects that a patch has deleted.
fn drop_deleted(into: &mut Accumulated) {
    let empty = |node: &Node| node.is_mapping() && node.entries().is_empty();
    into.resources.retain(|resource| !empty(&resource.node));
    into.reindex();
}

/// Returns the correction where an object differs from the id in a patch only by its version or only by its namespace.
fn near(id: &Id, into: &Accumulated) -> Option<String> {
    let same = |other: &&Id| other.kind == id.kind && other.name == id.name;
    let ids: Vec<Id> = into.resources.iter().map(super::resource::Resource::original).collect();
    let other = ids.iter().find(same)?;
    let version =
        |id: &Id| if id.group.is_empty() { id.version.clone() } else { format!("{}/{}", id.group, id.version) };
    let text = if other.namespace == id.namespace {
        format!("write `apiVersion: {}`, as the object does", version(other))
    } else {
        format!("write `namespace: {}`, as the object does", other.namespace.as_deref().unwrap_or_default())
    };
    Some(text.escape_debug().to_string())
}

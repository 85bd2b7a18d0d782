//! Refuses patches that would change, in the cluster, the fields that publishing pins.

use crate::flux::{File, Kustomization, Object, Patch, PatchContent};
use crate::path::{below, parent};
use crate::source::{Error, Place};
use crate::yaml::{Node, Style, Value, parse};

use super::Overlay;

/// Refuses every patch that changes a release's chart, the source of a chart, or a child's source and path.
pub(super) fn refuse(overlay: &Overlay, objects: &[Object<'_>]) -> Result<(), Error> {
    for file in overlay.files.kustomization_files() {
        Patched { overlay, file: file.file }.all(file.patches())?;
    }
    for child in Kustomization::all(objects) {
        Patched { overlay, file: child.object.file }.all(child.patches())?;
    }
    Ok(())
}

struct Patched<'a> {
    overlay: &'a Overlay,
    file: &'a str,
}

/// The kind of object that a patch changes, or `None` when the patch may change any kind.
type Kind<'a> = Option<&'a str>;

impl Patched<'_> {
    fn all(&self, patches: Vec<Patch<'_>>) -> Result<(), Error> {
        for Patch { target_kind, content } in patches {
            match content {
                PatchContent::Inline(patch) => self.patch(patch, plain_kind(target_kind))?,
                PatchContent::File(path) => self.patch_file(path, plain_kind(target_kind))?,
                PatchContent::Replacement(item) => self.replacements(item)?,
            }
        }
        Ok(())
    }

    /// Checks an item of `replacements` and the file of replacements that it names.
    fn replacements(&self, item: &Node) -> Result<(), Error> {
        self.replacement(item, self.file)?;
        let Some(path) = item.text_at(&["path"]).and_then(|path| below(parent(self.file), path)) else { return Ok(()) };
        for node in self.overlay.files.parsed().get(&path).into_iter().flat_map(File::roots) {
            let list = if node.is_sequence() { node.items() } else { std::slice::from_ref(node) };
            list.iter().try_for_each(|item| self.replacement(item, &path))?;
        }
        Ok(())
    }

    fn patch(&self, patch: &Node, kind: Kind<'_>) -> Result<(), Error> {
        let inner = |line: usize| match &patch.value {
            Value::Scalar { style: Style::Literal, .. } => patch.line + line,
            _ => patch.line,
        };
        if patch.is_mapping() || patch.is_sequence() {
            return Self::one(patch, kind, &|node| self.overlay.place(self.file, node.line));
        }
        let documents = parse(patch.as_str().unwrap_or_default()).map_err(|error| {
            Error::invalid(
                self.overlay.place(self.file, inner(error.line)),
                format!("invalid YAML in a patch: {}", error.reason),
            )
        })?;
        for node in documents.iter().filter_map(|document| document.root.as_ref()) {
            Self::one(node, kind, &|node| self.overlay.place(self.file, inner(node.line)))?;
        }
        Ok(())
    }

    fn patch_file(&self, path: &str, kind: Kind<'_>) -> Result<(), Error> {
        let Some(path) = below(parent(self.file), path) else { return Ok(()) };
        let documents = match (self.overlay.files.parsed().get(&path), self.overlay.files().get(&path)) {
            (Some(parsed), _) => parsed.documents.clone(),
            // JSON is YAML, so the same parser reads it.
            (None, Some(bytes)) => parse(&String::from_utf8_lossy(bytes)).unwrap_or_default(),
            (None, None) => return Ok(()),
        };
        for node in documents.iter().filter_map(|document| document.root.as_ref()) {
            Self::one(node, kind, &|node| self.overlay.place(&path, node.line))?;
        }
        Ok(())
    }

    fn one(patch: &Node, kind: Kind<'_>, place: &dyn Fn(&Node) -> Place) -> Result<(), Error> {
        if !patch.is_sequence() {
            return Self::merge(patch, kind, place);
        }
        for operation in patch.items() {
            for key in ["path", "from"] {
                let pointer = operation.text_at(&[key]).unwrap_or_default();
                if (key == "path" || operation.text_at(&["op"]) == Some("move"))
                    && let Some(what) = reaches(kind, &pointer.split('/').skip(1).collect::<Vec<_>>())
                {
                    return Err(refused(place(operation), what));
                }
            }
        }
        Ok(())
    }

    fn merge(patch: &Node, kind: Kind<'_>, place: &dyn Fn(&Node) -> Place) -> Result<(), Error> {
        let kind = kind.or(patch.text_at(&["kind"]));
        let Some(spec) = patch.get(&["spec"]) else { return Ok(()) };
        for entry in spec.entries() {
            let key = entry.key.as_str().unwrap_or_default();
            let whole = key == "$patch" && entry.value.as_str() != Some("merge");
            let found = if whole { reaches(kind, &["spec"]) } else { reaches(kind, &["spec", key]) };
            if let Some(what) = found {
                return Err(refused(place(&entry.key), what));
            }
        }
        Ok(())
    }

    fn replacement(&self, item: &Node, file: &str) -> Result<(), Error> {
        for target in item.get(&["targets"]).map(Node::items).unwrap_or_default() {
            let kind = plain_kind(target.text_at(&["select", "kind"]));
            for field in target.get(&["fieldPaths"]).map(Node::items).unwrap_or_default() {
                let path: Vec<&str> = field.as_str().unwrap_or_default().split('.').collect();
                if let Some(what) = reaches(kind, &path) {
                    return Err(refused(self.overlay.place(file, field.line), what));
                }
            }
        }
        Ok(())
    }
}

/// Returns the kind of a target unless it may be a pattern, because kustomize reads the kind as a regular expression.
fn plain_kind(kind: Option<&str>) -> Kind<'_> {
    kind.filter(|kind| !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn reaches(kind: Kind<'_>, path: &[&str]) -> Option<&'static str> {
    let release = kind.is_none_or(|kind| kind == "HelmRelease");
    let child = kind.is_none_or(|kind| kind == "Kustomization");
    let source = kind.is_none_or(|kind| matches!(kind, "OCIRepository" | "HelmRepository"));
    let whole = matches!(path, [] | ["" | "spec"]);
    let below = |keys: [&str; 2]| whole || matches!(path, ["spec", key, ..] if keys.contains(key));
    if release && below(["chart", "chartRef"]) {
        Some("the chart of a HelmRelease")
    } else if child && below(["sourceRef", "path"]) {
        Some("the source of a Kustomization")
    } else if source && below(["url", "ref"]) {
        Some("the source of a chart")
    } else {
        None
    }
}

fn refused(place: Place, what: &str) -> Error {
    Error::refused(place, format!("a patch changes {what}, which publishing pins"))
        .hint("write the value in the object itself")
}

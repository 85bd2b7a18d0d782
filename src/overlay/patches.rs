//! Patches that would change, in the cluster, what the rewriting pins.

use crate::source::{Error, Place, below};
use crate::yaml::{Node, Style, Value, parse};

use super::kustomization::is_file_name;
use super::load::Object;
use super::{KUSTOMIZE, Overlay};

/// Refuses every patch that reaches into a release's chart, the source of a chart, or a child's source and path.
pub(super) fn refuse(overlay: &Overlay, objects: &[Object<'_>]) -> Result<(), Error> {
    for file in overlay.parsed.keys().filter(|file| is_file_name(file)) {
        if let Some(root) = overlay.root_of(file) {
            Patched { overlay, file }.all(root)?;
        }
    }
    for object in objects.iter().filter(|object| object.is(KUSTOMIZE, "Kustomization")) {
        if let Some(spec) = object.node.get(&["spec"]) {
            Patched { overlay, file: object.file }.all(spec)?;
        }
    }
    Ok(())
}

struct Patched<'a> {
    overlay: &'a Overlay,
    file: &'a str,
}

/// The kinds that a patch may be about; nothing: any.
type Kind<'a> = Option<&'a str>;

impl Patched<'_> {
    fn all(&self, root: &Node) -> Result<(), Error> {
        let items = |key: &str| root.get(&[key]).map(Node::items).unwrap_or_default();
        for item in items("patches").iter().chain(items("patchesJson6902")) {
            let kind = plain_kind(item.text_at(&["target", "kind"]));
            if let Some(patch) = item.get(&["patch"]) {
                self.patch(patch, kind)?;
            } else if let Some(path) = item.text_at(&["path"]) {
                self.patch_file(path, kind)?;
            }
        }
        for item in items("patchesStrategicMerge") {
            let text = item.as_str().unwrap_or_default();
            if item.is_mapping() {
                Self::merge(item, None, &|node| self.overlay.place(self.file, node.line))?;
            } else if text.contains('\n') || text.contains('{') {
                self.patch(item, None)?;
            } else {
                self.patch_file(text, None)?;
            }
        }
        for item in items("replacements") {
            self.replacement(item, self.file)?;
            if let Some(path) = item.text_at(&["path"]).and_then(|path| below(self.directory(), path))
                && let Some(parsed) = self.overlay.parsed.get(&path)
            {
                for node in parsed.documents.iter().filter_map(|document| document.root.as_ref()) {
                    let list = if node.is_sequence() { node.items() } else { std::slice::from_ref(node) };
                    list.iter().try_for_each(|item| self.replacement(item, &path))?;
                }
            }
        }
        Ok(())
    }

    fn directory(&self) -> &str {
        self.file.rsplit_once('/').map_or("", |(directory, _)| directory)
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
                format!("broken YAML in a patch: {}", error.reason),
            )
        })?;
        for node in documents.iter().filter_map(|document| document.root.as_ref()) {
            Self::one(node, kind, &|node| self.overlay.place(self.file, inner(node.line)))?;
        }
        Ok(())
    }

    fn patch_file(&self, path: &str, kind: Kind<'_>) -> Result<(), Error> {
        let Some(path) = below(self.directory(), path) else { return Ok(()) };
        let documents = match (self.overlay.parsed.get(&path), self.overlay.files.get(&path)) {
            (Some(parsed), _) => parsed.documents.clone(),
            // JSON is YAML
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

/// kustomize reads a target's kind as a pattern; one that is no plain word may mean anything.
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
    Error::refused(place, format!("a patch reaches into {what}, which is pinned when it is published"))
        .hint("write the value into the object itself")
}

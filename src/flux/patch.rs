//! Reads the patches and replacements of kustomization files and Flux Kustomizations.

use crate::yaml::Node;

/// A change that kustomize makes to objects during a build.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patch<'a> {
    /// `target.kind`, a regular expression. Absent where the patch itself names its object.
    pub target_kind: Option<&'a str>,
    /// The text of the change, or the file that holds the text.
    pub content: PatchContent<'a>,
}

/// The form in which a patch is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PatchContent<'a> {
    /// Inline: a mapping, a list of JSON Patch operations, or a text that holds one of these.
    Inline(&'a Node),
    /// In a file. The path is relative to the directory of the kustomization file.
    File(&'a str),
    /// An item of the list `replacements`.
    Replacement(&'a Node),
}

/// Returns the patches under the keys of a kustomization file or of a Flux Kustomization's `spec`.
pub(super) fn patches(root: &Node) -> Vec<Patch<'_>> {
    let items = |key: &str| root.get(&[key]).map(Node::items).unwrap_or_default();
    let mut found = Vec::new();
    for item in items("patches").iter().chain(items("patchesJson6902")) {
        let target_kind = item.text_at(&["target", "kind"]);
        let file = || item.text_at(&["path"]).map(PatchContent::File);
        let content = item.get(&["patch"]).map(PatchContent::Inline).or_else(file);
        found.extend(content.map(|content| Patch { target_kind, content }));
    }
    for item in items("patchesStrategicMerge") {
        let text = item.as_str().unwrap_or_default();
        let inline = item.is_mapping() || text.contains('\n') || text.contains('{');
        let content = if inline { PatchContent::Inline(item) } else { PatchContent::File(text) };
        found.push(Patch { target_kind: None, content });
    }
    let replacements = items("replacements").iter().map(PatchContent::Replacement);
    found.extend(replacements.map(|content| Patch { target_kind: None, content }));
    found
}

//! Reads the Kubernetes objects in files: separate documents, and the items of a `List`.

use std::collections::BTreeMap;

use crate::yaml::{Document, Node};

use super::file::File;

/// API group of Flux's Kustomizations.
pub(crate) const KUSTOMIZE: &str = "kustomize.toolkit.fluxcd.io";
/// API group of Flux's HelmReleases.
pub(crate) const HELM: &str = "helm.toolkit.fluxcd.io";
/// API group of Flux's sources.
pub(crate) const SOURCE: &str = "source.toolkit.fluxcd.io";

/// A scalar that is not null, and the node that holds it.
#[derive(Clone, Copy, Debug)]
pub struct Scalar<'a> {
    /// The text, unescaped and unfolded. Aliases are resolved.
    pub text: &'a str,
    /// The node under the key, an alias where one is written.
    pub node: &'a Node,
}

impl<'a> Scalar<'a> {
    pub(super) fn of(node: &'a Node) -> Option<Self> {
        Some(Self { text: node.as_str()?, node })
    }

    pub(super) fn at(node: &'a Node, path: &[&str]) -> Option<Self> {
        Self::of(node.get(path)?)
    }

    /// Reads a scalar that counts as absent when it is empty, as Go's `omitempty` fields do.
    pub(super) fn filled(node: &'a Node, path: &[&str]) -> Option<Self> {
        Self::at(node, path).filter(|scalar| !scalar.text.is_empty())
    }
}

/// A Kubernetes object: a document of a file, or an item of a `List`.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    /// Path of the file below the root that Flux unpacks.
    pub file: &'a str,
    /// Index of the document in its file, from 0.
    pub document: usize,
    /// Path of the object within the document, with a dot at its end: `items[0].` in a `List`, else empty.
    pub path: String,
    /// The mapping that is the object.
    pub node: &'a Node,
}

impl<'a> Object<'a> {
    /// Returns every object of the files, in the order of paths and then of the text.
    pub fn all(files: &'a BTreeMap<String, File>) -> Vec<Self> {
        files.iter().flat_map(|(path, file)| Self::of_documents(path, &file.documents)).collect()
    }

    /// Returns every object of one file, in the order of the text.
    pub(crate) fn of_documents(path: &'a str, documents: &'a [Document]) -> Vec<Self> {
        let mut objects = Vec::new();
        for (document, root) in documents.iter().enumerate() {
            if let Some(node) = &root.root {
                Self { file: path, document, path: String::new(), node }.collect(&mut objects);
            }
        }
        objects
    }

    fn collect(self, objects: &mut Vec<Self>) {
        if self.kind().ends_with("List") && self.node.get(&["items"]).is_some_and(Node::is_sequence) {
            for (at, item) in self.node.get(&["items"]).map(Node::items).unwrap_or_default().iter().enumerate() {
                let path = format!("{}items[{at}].", self.path);
                Self { node: item.resolved(), path, ..self }.collect(objects);
            }
        } else if !self.kind().is_empty() {
            objects.push(self);
        }
    }

    /// Returns `kind`, or an empty text where the object has none.
    pub fn kind(&self) -> &'a str {
        self.node.text_at(&["kind"]).unwrap_or_default()
    }

    /// Returns the API group without the version, or an empty text for the core group.
    pub fn group(&self) -> &'a str {
        self.node.text_at(&["apiVersion"]).and_then(|version| version.split_once('/')).map_or("", |(group, _)| group)
    }

    /// Reports whether the object has this group and kind, in any version.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group() == group && self.kind() == kind
    }

    /// Returns `metadata.name`, or an empty text where the object has none.
    pub fn name(&self) -> &'a str {
        self.node.text_at(&["metadata", "name"]).unwrap_or_default()
    }

    /// Returns every `sourceRef` and `chartRef` that is written in the object. Those behind an alias are left out.
    pub fn references(&self) -> Vec<Reference<'a>> {
        let mappings = self.node.walk().into_iter().filter(|node| !node.is_alias());
        let entries = mappings.flat_map(Node::entries);
        let named = entries.filter(|entry| matches!(entry.key.as_str(), Some("sourceRef" | "chartRef")));
        named.map(|entry| Reference::of(&entry.value)).collect()
    }

    /// Returns `metadata.namespace`, where the object has one.
    pub fn namespace(&self) -> Option<&'a str> {
        self.node.text_at(&["metadata", "namespace"])
    }
}

/// A `sourceRef`, `chartRef` or item of `dependsOn`: the name of another object, and its kind and namespace where given.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'a> {
    /// The mapping that is the reference.
    pub node: &'a Node,
    /// Kind of the object. Absent in `dependsOn`, where the kind is that of the object with the `dependsOn`.
    pub kind: Option<Scalar<'a>>,
    /// Name of the object.
    pub name: Option<Scalar<'a>>,
    /// Namespace of the object. Where absent, the namespace of the referring object applies.
    pub namespace: Option<Scalar<'a>>,
}

impl<'a> Reference<'a> {
    pub(super) fn of(node: &'a Node) -> Self {
        let at = |key| Scalar::at(node, &[key]);
        Self { node, kind: at("kind"), name: at("name"), namespace: at("namespace") }
    }

    /// Reads the list under a key of `spec`.
    pub(super) fn list(object: &'a Node, key: &str) -> Vec<Self> {
        object.get(&["spec", key]).map(Node::items).unwrap_or_default().iter().map(Self::of).collect()
    }

    /// Reports whether the reference is to an object of this kind.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.is_some_and(|found| found.text == kind)
    }

    /// Returns the texts that the reference consists of, in the order kind, name, namespace.
    pub fn scalars(self) -> impl Iterator<Item = Scalar<'a>> {
        [self.kind, self.name, self.namespace].into_iter().flatten()
    }
}

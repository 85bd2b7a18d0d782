//! The Kubernetes objects in files: separate documents, and the items of a `List`.

use std::collections::BTreeMap;

use crate::yaml::{Document, Node};

use super::file::File;

/// API group of Flux's Kustomization.
pub(crate) const KUSTOMIZE: &str = "kustomize.toolkit.fluxcd.io";
/// API group of HelmRelease.
pub(crate) const HELM: &str = "helm.toolkit.fluxcd.io";
/// API group of the sources.
pub(crate) const SOURCE: &str = "source.toolkit.fluxcd.io";

/// A scalar that is not null, and the node that holds it.
#[derive(Clone, Copy, Debug)]
pub struct Scalar<'a> {
    /// The text, unescaped and unfolded; aliases are followed.
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

/// A Kubernetes object; it may be an item of a `List`.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    /// Path of the file below the root that Flux unpacks.
    pub file: &'a str,
    /// Index of the document in its file, from 0.
    pub document: usize,
    /// Path of the object within the document, with a dot at its end: `items[0].` in a `List`, else empty.
    pub path: String,
    /// The object's mapping.
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

    /// Returns `kind`; empty where the object says none.
    pub fn kind(&self) -> &'a str {
        self.node.text_at(&["kind"]).unwrap_or_default()
    }

    /// Returns the API group without its version; empty for the core group.
    pub fn group(&self) -> &'a str {
        self.node.text_at(&["apiVersion"]).and_then(|version| version.split_once('/')).map_or("", |(group, _)| group)
    }

    /// Tells whether the object has this group and kind, in whatever version.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group() == group && self.kind() == kind
    }

    /// Returns `metadata.name`; empty where the object says none.
    pub fn name(&self) -> &'a str {
        self.node.text_at(&["metadata", "name"]).unwrap_or_default()
    }

    /// Returns every `sourceRef` and `chartRef`, wherever the object has one, as written: aliases are not followed to them.
    pub fn references(&self) -> Vec<Reference<'a>> {
        let mappings = self.node.walk().into_iter().filter(|node| !node.is_alias());
        let entries = mappings.flat_map(Node::entries);
        let named = entries.filter(|entry| matches!(entry.key.as_str(), Some("sourceRef" | "chartRef")));
        named.map(|entry| Reference::of(&entry.value)).collect()
    }

    /// Returns `metadata.namespace`.
    pub fn namespace(&self) -> Option<&'a str> {
        self.node.text_at(&["metadata", "namespace"])
    }
}

/// A `sourceRef`, `chartRef` or item of `dependsOn`: another object's name, with its kind and namespace where they are written.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'a> {
    /// The mapping.
    pub node: &'a Node,
    /// Kind of the object; absent in `dependsOn`, where it is the kind of the object that depends.
    pub kind: Option<Scalar<'a>>,
    /// Name of the object.
    pub name: Option<Scalar<'a>>,
    /// Namespace of the object; without one, it is the namespace of the object that refers to it.
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

    /// Tells whether the reference is to an object of this kind.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.is_some_and(|found| found.text == kind)
    }

    /// Returns the texts that the reference consists of, in the order kind, name, namespace.
    pub fn scalars(self) -> impl Iterator<Item = Scalar<'a>> {
        [self.kind, self.name, self.namespace].into_iter().flatten()
    }
}

//! Flux's Kustomization: a directory of a source that Flux builds and applies.
//!
//! <https://fluxcd.io/flux/components/kustomize/kustomizations/>

use crate::yaml::Node;

use super::object::{KUSTOMIZE, Object, Reference, Scalar};
use super::patch::{Patch, patches};

/// A Flux Kustomization, of whatever version of its API. kustomize's own file is a [`super::KustomizationFile`].
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent settings of one object")]
pub struct Kustomization<'a> {
    /// The object itself.
    pub object: Object<'a>,
    /// `spec.sourceRef`.
    pub source: Option<Reference<'a>>,
    /// `spec.path`: the directory of the source; without one, its root.
    pub path: Option<Scalar<'a>>,
    /// `spec.targetNamespace`: the namespace that everything is moved to.
    pub target_namespace: Option<Scalar<'a>>,
    /// `spec.namePrefix` or `spec.nameSuffix`, where one is set.
    pub renames: Option<Scalar<'a>>,
    /// `spec.dependsOn`.
    pub depends_on: Vec<Reference<'a>>,
    /// `spec.components`: directories that Flux adds to the kustomization file.
    pub components: &'a [Node],
    /// `spec.ignoreMissingComponents`: whether Flux leaves out components that do not exist.
    pub ignores_missing_components: bool,
    /// `spec.prune`: whether Flux deletes what it applied and no longer finds.
    pub prune: bool,
    /// `spec.wait`: whether the Kustomization is ready only when everything that it applies is.
    pub wait: bool,
    /// `spec.healthChecks`: the objects that must be ready before the Kustomization is; without effect where it waits for all.
    pub health_checks: Vec<Reference<'a>>,
    /// `spec.postBuild`, where Flux replaces variables.
    pub post_build: Option<PostBuild<'a>>,
    /// Whether Flux decrypts Secrets.
    pub decrypts: bool,
}

/// `spec.postBuild` of a Kustomization: the variables that Flux replaces in what it built.
#[derive(Clone, Debug)]
pub struct PostBuild<'a> {
    /// Names of the variables that the Kustomization itself sets.
    pub substitute: Vec<&'a str>,
    /// Whether further variables come from ConfigMaps and Secrets.
    pub has_more: bool,
}

impl<'a> PostBuild<'a> {
    /// Reads `postBuild`; returns nothing where Flux replaces nothing, because there are no variables.
    fn of(node: &'a Node) -> Option<Self> {
        let entries = node.get(&["substitute"]).map(Node::entries).unwrap_or_default();
        let substitute: Vec<&str> = entries.iter().filter_map(|entry| entry.key.as_str()).collect();
        let has_more = node.get(&["substituteFrom"]).is_some_and(|from| !from.items().is_empty());
        let always = node.text_at(&["substituteStrategy"]) == Some("Always");
        (always || has_more || !substitute.is_empty()).then_some(Self { substitute, has_more })
    }
}

impl<'a> Kustomization<'a> {
    /// Reads an object; returns nothing for an object of another group or kind.
    pub fn of(object: &Object<'a>) -> Option<Self> {
        object.is(KUSTOMIZE, "Kustomization").then(|| Self::read(object.clone()))
    }

    /// Returns every Kustomization among the objects, in their order.
    pub fn all(objects: &[Object<'a>]) -> Vec<Self> {
        objects.iter().filter_map(Self::of).collect()
    }

    fn read(object: Object<'a>) -> Self {
        let node = object.node;
        let list = |key| node.get(&["spec", key]).map(Node::items).unwrap_or_default();
        let filled = |key| Scalar::filled(node, &["spec", key]);
        Self {
            source: node.get(&["spec", "sourceRef"]).map(Reference::of),
            path: Scalar::at(node, &["spec", "path"]),
            target_namespace: filled("targetNamespace"),
            renames: filled("namePrefix").or_else(|| filled("nameSuffix")),
            depends_on: Reference::list(node, "dependsOn"),
            wait: node.text_at(&["spec", "wait"]) == Some("true"),
            health_checks: Reference::list(node, "healthChecks"),
            post_build: node.get(&["spec", "postBuild"]).and_then(PostBuild::of),
            decrypts: node.get(&["spec", "decryption"]).is_some_and(|node| !node.is_null()),
            components: list("components"),
            ignores_missing_components: node.text_at(&["spec", "ignoreMissingComponents"]) == Some("true"),
            prune: node.text_at(&["spec", "prune"]) == Some("true"),
            object,
        }
    }

    /// Tells whether the directory is one of a source of this kind.
    pub(crate) fn is_from(&self, kind: &str) -> bool {
        self.source.is_some_and(|source| source.is(kind))
    }

    /// Returns the kind of the source; empty where none is written.
    pub(crate) fn source_kind(&self) -> &'a str {
        self.source.and_then(|source| source.kind).map_or("", |kind| kind.text)
    }

    /// Returns the name of the source; empty where none is written.
    pub fn source_name(&self) -> &'a str {
        self.source.and_then(|source| source.name).map_or("", |name| name.text)
    }

    /// Returns the directory without `.`, `..` and slashes around it; nothing for a path that leads above the root.
    pub fn directory(&self) -> Option<String> {
        crate::path::below("", self.path.map_or("", |path| path.text).trim_start_matches('/'))
    }

    /// Returns the patches that Flux applies to what it built.
    pub(crate) fn patches(&self) -> Vec<Patch<'a>> {
        self.object.node.get(&["spec"]).map(patches).unwrap_or_default()
    }

    /// Returns the line of a field of `spec`, or else that of the object.
    pub(crate) fn line_of(&self, path: &[&str]) -> usize {
        let node = self.object.node.get(&["spec"]).and_then(|spec| spec.get(path));
        node.map_or(self.object.node.line, |node| node.line)
    }
}

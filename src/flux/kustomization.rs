//! Reads Flux's Kustomizations. Each names a directory of a source that Flux builds and applies.
//!
//! <https://fluxcd.io/flux/components/kustomize/kustomizations/>

use crate::yaml::Node;

use super::object::{KUSTOMIZE, Object, Reference, Scalar};
use super::patch::{Patch, patches};

/// A Flux Kustomization of any API version. The file of kustomize itself is a [`super::KustomizationFile`].
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the object has independent settings")]
pub struct Kustomization<'a> {
    /// The object that is read.
    pub object: Object<'a>,
    /// `spec.sourceRef`: the source that holds the directory.
    pub source: Option<Reference<'a>>,
    /// `spec.path`: the directory in the source. Where absent, the source's root applies.
    pub path: Option<Scalar<'a>>,
    /// `spec.targetNamespace`: the namespace that all objects get.
    pub target_namespace: Option<Scalar<'a>>,
    /// `spec.namePrefix` or `spec.nameSuffix`, where one is set.
    pub renames: Option<Scalar<'a>>,
    /// `spec.dependsOn`: Kustomizations that must be ready before this one is applied.
    pub depends_on: Vec<Reference<'a>>,
    /// `spec.components`: directories that Flux adds to the kustomization file.
    pub components: &'a [Node],
    /// `spec.ignoreMissingComponents`: whether Flux leaves out components that do not exist.
    pub ignores_missing_components: bool,
    /// `spec.prune`: whether Flux deletes applied objects that are no longer in the source.
    pub prune: bool,
    /// `spec.wait`: whether the Kustomization becomes ready only after all objects that it applies are ready.
    pub wait: bool,
    /// `spec.healthChecks`: objects that must be ready before the Kustomization is. Ignored with `spec.wait`.
    pub health_checks: Vec<Reference<'a>>,
    /// `spec.postBuild`, where Flux replaces variables.
    pub post_build: Option<PostBuild<'a>>,
    /// Whether Flux decrypts Secrets: `spec.decryption` is set.
    pub decrypts: bool,
}

/// `spec.postBuild` of a Kustomization: the variables that Flux substitutes after the build.
#[derive(Clone, Debug)]
pub struct PostBuild<'a> {
    /// Names of the variables that the Kustomization itself sets.
    pub substitute: Vec<&'a str>,
    /// Whether further variables come from ConfigMaps and Secrets.
    pub has_more: bool,
}

impl<'a> PostBuild<'a> {
    /// Reads `postBuild`, or returns `None` where Flux substitutes nothing because no variable is set.
    fn of(node: &'a Node) -> Option<Self> {
        let entries = node.get(&["substitute"]).map(Node::entries).unwrap_or_default();
        let substitute: Vec<&str> = entries.iter().filter_map(|entry| entry.key.as_str()).collect();
        let has_more = node.get(&["substituteFrom"]).is_some_and(|from| !from.items().is_empty());
        let always = node.text_at(&["substituteStrategy"]) == Some("Always");
        (always || has_more || !substitute.is_empty()).then_some(Self { substitute, has_more })
    }
}

impl<'a> Kustomization<'a> {
    /// Reads an object, or returns `None` for an object of another group or kind.
    pub fn of(object: &Object<'a>) -> Option<Self> {
        object.is(KUSTOMIZE, "Kustomization").then(|| Self::read(object.clone()))
    }

    /// Returns every Kustomization among the objects, in the same order.
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

    /// Reports whether the Kustomization has a source of this kind.
    pub(crate) fn is_from(&self, kind: &str) -> bool {
        self.source.is_some_and(|source| source.is(kind))
    }

    /// Returns the kind of the source, or an empty text where it is absent.
    pub(crate) fn source_kind(&self) -> &'a str {
        self.source.and_then(|source| source.kind).map_or("", |kind| kind.text)
    }

    /// Returns the name of the source, or an empty text where it is absent.
    pub fn source_name(&self) -> &'a str {
        self.source.and_then(|source| source.name).map_or("", |name| name.text)
    }

    /// Returns the directory without `.`, `..` and outer slashes, or `None` for a path that leads out of the source.
    pub fn directory(&self) -> Option<String> {
        crate::path::below("", self.path.map_or("", |path| path.text).trim_start_matches('/'))
    }

    /// Returns the patches that Flux applies after the build.
    pub(crate) fn patches(&self) -> Vec<Patch<'a>> {
        self.object.node.get(&["spec"]).map(patches).unwrap_or_default()
    }

    /// Returns the line of a field of `spec`, or the line of the object where the field is absent.
    pub(crate) fn line_of(&self, path: &[&str]) -> usize {
        let node = self.object.node.get(&["spec"]).and_then(|spec| spec.get(path));
        node.map_or(self.object.node.line, |node| node.line)
    }
}

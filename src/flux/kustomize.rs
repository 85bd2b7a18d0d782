//! kustomize's own file: what it lists, loads, renames and patches.
//!
//! <https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/>

use crate::path::parent;
use crate::yaml::{Entry, Node};

use super::file::File;
use super::object::Scalar;
use super::patch::{Patch, patches};

/// Names of the file, in the order in which kustomize looks for them.
pub(super) const KUSTOMIZATION_FILE_NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Keys with lists of paths whose files kustomize reads as YAML of its own or of Kubernetes, each key at most once.
const STRICT: [&str; 7] =
    ["resources", "components", "bases", "generators", "transformers", "validators", "configurations"];
/// Keys with lists of mappings that name one file.
const FILES: [&str; 3] = ["patches", "patchesJson6902", "replacements"];

/// Tells whether kustomize reads a file of this name as the kustomization file of its directory.
pub(crate) fn is_kustomization_file_name(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| KUSTOMIZATION_FILE_NAMES.contains(&name))
}

/// The kustomization file of a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KustomizationFile<'a> {
    /// Path of the file below the root that Flux unpacks.
    pub file: &'a str,
    /// The mapping.
    pub root: &'a Node,
}

/// An item of `configMapGenerator` or `secretGenerator`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generator<'a> {
    /// `name`: kustomize appends a hash to it unless the options say otherwise.
    pub name: Option<Scalar<'a>>,
}

impl<'a> KustomizationFile<'a> {
    /// Reads the first document that has content.
    pub(super) fn of(path: &'a str, file: &'a File) -> Option<Self> {
        Some(Self { file: path, root: file.roots().next()? })
    }

    /// Returns the directory that the paths in the file start from.
    pub(crate) fn directory(&self) -> &'a str {
        parent(self.file)
    }

    fn list(&self, key: &str) -> &'a [Node] {
        self.root.get(&[key]).map(Node::items).unwrap_or_default()
    }

    fn lists(&self, keys: &'static [&'static str]) -> impl Iterator<Item = &'a Node> {
        let root = self.root;
        keys.iter().flat_map(move |key| root.get(&[key]).map(Node::items).unwrap_or_default())
    }

    /// Returns the files and directories whose objects are built, `bases` after `resources`, as kustomize reads that old key.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &'a Node> {
        self.lists(&["resources", "bases"])
    }

    /// Returns the components, which change what `resources` and the components before them brought.
    pub(crate) fn components(&self) -> &'a [Node] {
        self.list("components")
    }

    /// Returns the namespace that all objects are moved to.
    pub(crate) fn namespace(&self) -> Option<Scalar<'a>> {
        Scalar::filled(self.root, &["namespace"])
    }

    /// Returns the entry of `namePrefix` or `nameSuffix`, where one is set in this very mapping.
    pub(crate) fn renames(&self) -> Option<&'a Entry> {
        let root = self.root;
        let mut entries = ["namePrefix", "nameSuffix"].into_iter().filter_map(move |key| root.entry(key));
        entries.find(|entry| entry.value.as_str().is_some_and(|text| !text.is_empty()))
    }

    /// Returns the patches and replacements.
    pub(crate) fn patches(&self) -> Vec<Patch<'a>> {
        patches(self.root)
    }

    /// Returns the generators of ConfigMaps.
    pub(crate) fn config_map_generators(&self) -> impl Iterator<Item = Generator<'a>> {
        self.list("configMapGenerator").iter().map(|node| Generator { name: Scalar::at(node, &["name"]) })
    }

    /// Returns the paths of files that kustomize reads as YAML in which no mapping may have a key twice.
    pub(crate) fn strict(&self) -> impl Iterator<Item = &'a Node> {
        self.lists(&STRICT)
    }

    /// Returns everything that names what is to be loaded: files, directories, URLs, and `KEY=PATH` of generators.
    pub(crate) fn loaded(&self) -> Vec<&'a Node> {
        let mut found: Vec<&Node> = self.strict().collect();
        found.extend(self.lists(&["crds", "patchesStrategicMerge"]));
        found.extend(self.root.get(&["openapi", "path"]));
        found.extend(self.lists(&FILES).filter_map(|item| item.get(&["path"])));
        for generator in self.lists(&["configMapGenerator", "secretGenerator"]) {
            for key in ["files", "envs"] {
                found.extend(generator.get(&[key]).map(Node::items).unwrap_or_default());
            }
            found.extend(generator.get(&["env"]));
        }
        found
    }
}

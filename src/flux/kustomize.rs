//! Reads kustomization files: the resources that they list, and the files, names and patches in them.
//!
//! <https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/>

use crate::path::parent;
use crate::yaml::{Entry, Node};

use super::file::File;
use super::object::Scalar;
use super::patch::{Patch, patches};

/// File names that kustomize looks for, in this order.
pub(super) const KUSTOMIZATION_FILE_NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Keys with lists of paths. kustomize refuses duplicate keys in the files that they name.
const STRICT: [&str; 7] =
    ["resources", "components", "bases", "generators", "transformers", "validators", "configurations"];
/// Keys with lists of mappings that name one file.
const FILES: [&str; 3] = ["patches", "patchesJson6902", "replacements"];

/// Reports whether kustomize reads a file of this name as the kustomization file of its directory.
pub(crate) fn is_kustomization_file_name(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| KUSTOMIZATION_FILE_NAMES.contains(&name))
}

/// The kustomization file of a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KustomizationFile<'a> {
    /// Path of the file below the root that Flux unpacks.
    pub file: &'a str,
    /// The mapping at the root of the file.
    pub root: &'a Node,
}

/// An item of `configMapGenerator` or `secretGenerator`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generator<'a> {
    /// `name`, to which kustomize appends a hash unless the options disable that.
    pub name: Option<Scalar<'a>>,
}

impl<'a> KustomizationFile<'a> {
    /// Reads the first document that is not empty.
    pub(super) fn of(path: &'a str, file: &'a File) -> Option<Self> {
        Some(Self { file: path, root: file.roots().next()? })
    }

    /// Returns the directory that the paths in the file are relative to.
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

    /// Returns the files and directories whose objects are built: `resources`, then the older key `bases`.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &'a Node> {
        self.lists(&["resources", "bases"])
    }

    /// Returns the components, which change the objects of `resources` and of the components before them.
    pub(crate) fn components(&self) -> &'a [Node] {
        self.list("components")
    }

    /// Returns the namespace that all objects get.
    pub(crate) fn namespace(&self) -> Option<Scalar<'a>> {
        Scalar::filled(self.root, &["namespace"])
    }

    /// Returns the entry of `namePrefix` or `nameSuffix`, where the mapping itself sets one.
    pub(crate) fn renames(&self) -> Option<&'a Entry> {
        let root = self.root;
        let mut entries = ["namePrefix", "nameSuffix"].into_iter().filter_map(move |key| root.entry(key));
        entries.find(|entry| entry.value.as_str().is_some_and(|text| !text.is_empty()))
    }

    /// Returns the patches and replacements of the file.
    pub(crate) fn patches(&self) -> Vec<Patch<'a>> {
        patches(self.root)
    }

    /// Returns the generators of ConfigMaps.
    pub(crate) fn config_map_generators(&self) -> impl Iterator<Item = Generator<'a>> {
        self.list("configMapGenerator").iter().map(|node| Generator { name: Scalar::at(node, &["name"]) })
    }

    /// Returns the paths of files in which kustomize refuses duplicate keys.
    pub(crate) fn strict(&self) -> impl Iterator<Item = &'a Node> {
        self.lists(&STRICT)
    }

    /// Returns every value that names something to load: files, directories, URLs, and `KEY=PATH` of generators.
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

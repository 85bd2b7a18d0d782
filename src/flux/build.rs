//! Which files a build by kustomize reaches, through which kustomization files, and in which namespace their objects end: the
//! kustomization files on the way move objects, and so does the Flux Kustomization that applies them.

use std::collections::{BTreeMap, BTreeSet};

use crate::path::{below, join};
use crate::yaml::Node;

use super::error::{At, Error};
use super::file::Files;
use super::helm_release::HelmRelease;
use super::kustomization::Kustomization;
use super::kustomize::{KUSTOMIZATION_FILE_NAMES, KustomizationFile};

/// Most directories that are entered: a kustomization file may list a directory that others list too.
const MOST_DIRECTORIES: usize = 100_000;

/// A directory that a Flux Kustomization applies.
#[derive(Clone, Debug)]
pub(crate) struct Root<'a> {
    /// Path of the directory below the root that Flux unpacks.
    pub directory: String,
    /// The Kustomization, where it is one of the bundle's own objects.
    pub kustomization: Option<&'a Kustomization<'a>>,
}

/// What lists a file: a kustomization file, or a directory without one, which Flux reads whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lister {
    /// Path of the directory below the root that Flux unpacks.
    pub directory: String,
    /// Path of the kustomization file, where there is one.
    pub file: Option<String>,
    /// The namespace that the objects of the file are moved to by the time that they are applied.
    pub namespace: Option<String>,
    /// Number of the directory in the order in which the build enters directories.
    pub order: usize,
    /// Where a prefix or suffix for the names of the objects is set.
    pub renames: Option<At>,
}

/// One way in which the build reaches a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reached {
    /// Path of the file below the root that Flux unpacks.
    pub file: String,
    /// Index of the root that the build started from.
    pub root: usize,
    /// What lists the file.
    pub lister: Lister,
}

/// A kustomization file that the build enters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entered {
    /// Path of the kustomization file below the root that Flux unpacks.
    pub file: String,
    /// The namespace that what the file generates is moved to.
    pub namespace: Option<String>,
}

/// Everything that the build reaches, in its order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Build {
    reached: Vec<Reached>,
    entered: Vec<Entered>,
}

/// A HelmRelease as it is in the cluster.
#[derive(Clone, Debug)]
pub(crate) struct AppliedRelease<'a> {
    /// The object as its file has it.
    pub release: HelmRelease<'a>,
    /// The namespace in which Flux creates it; nothing where neither the object nor anything that reaches it says one, which the API
    /// server refuses.
    pub namespace: Option<String>,
}

/// Follows the roots in their order.
///
/// # Errors
/// When a kustomization file lists what is not in the bundle, or what kustomize could not build.
pub(crate) fn build(files: &Files, roots: &[Root<'_>]) -> Result<Build, Error> {
    let (build, errors) = build_what_is_there(files, roots);
    errors.into_iter().next().map_or(Ok(build), Err)
}

/// Follows the roots in their order, past everything that kustomize could not build.
pub(crate) fn build_what_is_there(files: &Files, roots: &[Root<'_>]) -> (Build, Vec<Error>) {
    let build = Build::default();
    let mut walk = Walk { files, build, errors: Vec::new(), root: 0, order: 0, open: BTreeSet::new() };
    for (at, root) in roots.iter().enumerate() {
        walk.root = at;
        let namespace = root.kustomization.and_then(|one| one.target_namespace);
        let renames = root.kustomization.and_then(|one| Some((one.object.file, one.renames?.node.line)));
        let inherited = Inherited {
            namespace: namespace.map(|namespace| namespace.text.to_owned()),
            renames: renames.map(|(file, line)| At { file: file.to_owned(), line }),
        };
        let scope = walk.build.reached.len();
        walk.enter(&root.directory, inherited.clone(), None);
        if let Some(kustomization) = root.kustomization {
            walk.added_components(kustomization, &root.directory, inherited, scope);
        }
    }
    (walk.build, walk.errors)
}

impl Build {
    /// Returns, for each file that is reached, what lists it first.
    pub(crate) fn listers(&self) -> BTreeMap<&str, &Lister> {
        let mut first = BTreeMap::new();
        for reached in &self.reached {
            first.entry(reached.file.as_str()).or_insert(&reached.lister);
        }
        first
    }

    /// Returns, for each file that is reached, the indices of the roots that reach it.
    pub(crate) fn roots(&self) -> BTreeMap<&str, BTreeSet<usize>> {
        let mut roots = BTreeMap::<&str, BTreeSet<usize>>::new();
        for reached in &self.reached {
            roots.entry(&reached.file).or_default().insert(reached.root);
        }
        roots
    }

    /// Returns what lists each file, once for each way in which the file is reached, in the order of the build.
    pub(crate) fn reached(&self) -> impl Iterator<Item = (&str, &Lister)> {
        self.reached.iter().map(|reached| (reached.file.as_str(), &reached.lister))
    }

    /// Returns the kustomization files that the build enters, in its order.
    pub(crate) fn entered(&self) -> &[Entered] {
        &self.entered
    }

    /// Returns the HelmReleases that are applied, in the order of `releases`; one that ends in several namespaces comes once for each.
    pub(crate) fn applied<'a>(&self, releases: &[HelmRelease<'a>]) -> Vec<AppliedRelease<'a>> {
        let mut moved = BTreeMap::<&str, BTreeSet<Option<&str>>>::new();
        for reached in &self.reached {
            moved.entry(&reached.file).or_default().insert(reached.lister.namespace.as_deref());
        }
        let mut applied = Vec::new();
        for release in releases {
            let to = moved.get(release.object.file).into_iter().flatten();
            let namespaces: BTreeSet<Option<&str>> = to.map(|to| to.or(release.object.namespace())).collect();
            applied.extend(namespaces.into_iter().map(|namespace| AppliedRelease {
                release: release.clone(),
                namespace: namespace.map(ToOwned::to_owned),
            }));
        }
        applied
    }
}

/// What the kustomization files above, or the Flux Kustomization, do to the objects of a directory: stronger than its own file.
#[derive(Clone, Debug, Default)]
struct Inherited {
    namespace: Option<String>,
    renames: Option<At>,
}

struct Walk<'a> {
    files: &'a Files,
    build: Build,
    errors: Vec<Error>,
    root: usize,
    order: usize,
    /// The directories on the way from the root to the one that is walked.
    open: BTreeSet<String>,
}

impl Walk<'_> {
    /// Walks a directory; a component's `scope` is the index of the first file that it changes.
    fn enter(&mut self, directory: &str, inherited: Inherited, scope: Option<usize>) {
        if self.order > MOST_DIRECTORIES || !self.open.insert(directory.to_owned()) {
            return; // kustomize refuses the circle when it builds
        }
        self.order += 1;
        if self.order > MOST_DIRECTORIES {
            let reason = format!("the build enters more than {MOST_DIRECTORIES} directories, which is the limit");
            self.errors.push(Error::new(directory, 1, reason));
            return;
        }
        match self.files.kustomization_file_of(directory) {
            Some(path) => {
                if let Some(file) = self.files.kustomization_file(&path) {
                    self.listed(&file, inherited, scope.unwrap_or(self.build.reached.len()));
                }
            }
            None => self.everything(directory, &inherited),
        }
        self.open.remove(directory);
    }

    /// Walks what a kustomization file lists. Its own namespace is stronger than those below it, and weaker than those above it; that
    /// of a component is the namespace of everything that was listed before it, too.
    fn listed(&mut self, file: &KustomizationFile<'_>, above: Inherited, scope: usize) {
        let own = file.namespace().filter(|_| above.namespace.is_none()).map(|namespace| namespace.text.to_owned());
        let renames = file.renames().map(|entry| At { file: file.file.to_owned(), line: entry.key.line });
        let inherited =
            Inherited { namespace: above.namespace.or_else(|| own.clone()), renames: above.renames.or(renames) };
        let lister = self.lister(file.directory(), Some(file.file), &inherited);
        self.build.entered.push(Entered { file: file.file.to_owned(), namespace: inherited.namespace.clone() });
        for item in file.resources() {
            self.item(file, item, &lister, &inherited, None);
        }
        for item in file.components() {
            self.item(file, item, &lister, &inherited, Some(scope));
        }
        if own.is_some() {
            for reached in &mut self.build.reached[scope..] {
                reached.lister.namespace.clone_from(&own);
            }
        }
    }

    fn item(
        &mut self,
        file: &KustomizationFile<'_>,
        item: &Node,
        lister: &Lister,
        inherited: &Inherited,
        scope: Option<usize>,
    ) {
        match self.path_of(file.file, file.directory(), item) {
            Ok(path) if self.files.bytes().contains_key(&path) => self.reach(path, lister),
            Ok(path) => self.enter(&path, inherited.clone(), scope),
            Err(error) => self.errors.push(error),
        }
    }

    /// Walks `spec.components` of a Flux Kustomization, which Flux adds to the kustomization file of its directory.
    fn added_components(
        &mut self,
        kustomization: &Kustomization<'_>,
        directory: &str,
        mut above: Inherited,
        scope: usize,
    ) {
        let files = self.files;
        let path = files.kustomization_file_of(directory);
        let own = path.and_then(|path| files.kustomization_file(&path)?.namespace());
        above.namespace = above.namespace.or_else(|| own.map(|namespace| namespace.text.to_owned()));
        for item in kustomization.components {
            match self.path_of(kustomization.object.file, directory, item) {
                Ok(path) => self.enter(&path, above.clone(), Some(scope)),
                Err(_) if kustomization.ignores_missing_components => {}
                Err(error) => self.errors.push(error),
            }
        }
    }

    fn lister(&self, directory: &str, file: Option<&str>, inherited: &Inherited) -> Lister {
        Lister {
            directory: directory.to_owned(),
            file: file.map(ToOwned::to_owned),
            namespace: inherited.namespace.clone(),
            order: self.order,
            renames: inherited.renames.clone(),
        }
    }

    fn reach(&mut self, file: String, lister: &Lister) {
        self.build.reached.push(Reached { file, root: self.root, lister: lister.clone() });
    }

    /// Returns the file or directory of the bundle that an item of a kustomization file names.
    fn path_of(&self, file: &str, directory: &str, item: &Node) -> Result<String, Error> {
        let text = item.as_str().unwrap_or_default();
        let invalid = |reason: String| Error::new(file, item.line, reason);
        let Some(path) = below(directory, text) else {
            let reason = format!("`{}` is listed here and is outside of the overlay", text.escape_debug());
            return Err(invalid(reason).hint("move it into the overlay: the bundle holds nothing else"));
        };
        let files = self.files.bytes();
        if files.contains_key(&path)
            || KUSTOMIZATION_FILE_NAMES.iter().any(|name| files.contains_key(&join(&path, name)))
        {
            return Ok(path);
        }
        if self.files.has_directory(&path) {
            let reason =
                format!("the directory `{}` is listed here and has no kustomization file", path.escape_debug());
            return Err(invalid(reason).hint(
                "list its files, or add a kustomization.yaml to the directory: kustomize cannot build it without one",
            ));
        }
        let reason = format!("`{}` is listed here and is not in the bundle", path.escape_debug());
        Err(invalid(reason).hint(
            "add it, or remove the ignore rule that leaves it out: kustomize cannot build the directory without it",
        ))
    }

    /// Walks a directory without a kustomization file, as Flux lists it.
    fn everything(&mut self, directory: &str, inherited: &Inherited) {
        let lister = self.lister(directory, None, inherited);
        let (files, directories): (Vec<String>, Vec<String>) = self
            .files
            .generated_resources(directory)
            .into_iter()
            .partition(|path| self.files.bytes().contains_key(path));
        for file in files {
            self.reach(file, &lister);
        }
        for directory in directories {
            self.enter(&directory, inherited.clone(), None);
        }
    }
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;

//! Follows a build of kustomize: the files that it reaches, the kustomization files that list them, and the namespace that
//! their objects get, from kustomization files or from the Flux Kustomization that applies them.

use std::collections::{BTreeMap, BTreeSet};

use crate::path::{below, join};
use crate::yaml::Node;

use super::error::{At, Error};
use super::file::Files;
use super::helm_release::HelmRelease;
use super::kustomization::Kustomization;
use super::kustomize::{KUSTOMIZATION_FILE_NAMES, KustomizationFile};
use super::object::Object;

/// Largest number of directories that a build enters. Several kustomization files may list the same directory.
const MOST_DIRECTORIES: usize = 100_000;

/// A directory that a Flux Kustomization applies.
#[derive(Clone, Debug)]
pub(crate) struct Root<'a> {
    /// Path of the directory below the root that Flux unpacks.
    pub directory: String,
    /// The Kustomization, where it is an object of the bundle.
    pub kustomization: Option<&'a Kustomization<'a>>,
}

/// The kustomization file that lists a file, or the directory without a kustomization file, which Flux reads as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lister {
    /// Path of the directory below the root that Flux unpacks.
    pub directory: String,
    /// Path of the kustomization file. Absent for a directory without one.
    pub file: Option<String>,
    /// Namespace that the objects of the file get in the build, if one is set.
    pub namespace: Option<String>,
    /// Number of the directory in the order in which the build enters directories.
    pub order: usize,
    /// Place at which a prefix or suffix for the names of the objects is set.
    pub renames: Option<At>,
}

/// One way in which the build reaches a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reached {
    /// Path of the file below the root that Flux unpacks.
    pub file: String,
    /// Index of the root that the build started from.
    pub root: usize,
    /// The directory or kustomization file that lists the file.
    pub lister: Lister,
}

/// A kustomization file that the build enters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entered {
    /// Path of the kustomization file below the root that Flux unpacks.
    pub file: String,
    /// Namespace that the generated objects of the file get, if one is set.
    pub namespace: Option<String>,
}

/// The result of a build: all reached files, in the order of the build.
#[derive(Clone, Debug, Default)]
pub(crate) struct Build {
    reached: Vec<Reached>,
    entered: Vec<Entered>,
}

/// A HelmRelease with the namespace that it has in the cluster.
#[derive(Clone, Debug)]
pub(crate) struct AppliedRelease<'a> {
    /// The object as written in its file.
    pub release: HelmRelease<'a>,
    /// Namespace in which Flux creates the object. Absent where neither the object nor the build sets one, which the API server
    /// refuses.
    pub namespace: Option<String>,
}

/// Builds the roots in their order.
///
/// # Errors
/// When a kustomization file lists something that is not in the bundle or that kustomize could not build.
pub(crate) fn build(files: &Files, roots: &[Root<'_>]) -> Result<Build, Error> {
    let (build, errors) = build_what_is_there(files, roots);
    errors.into_iter().next().map_or(Ok(build), Err)
}

/// Builds the roots in their order, and collects the errors of everything that kustomize could not build.
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
    /// Returns the first lister of each reached file.
    pub(crate) fn listers(&self) -> BTreeMap<&str, &Lister> {
        let mut first = BTreeMap::new();
        for reached in &self.reached {
            first.entry(reached.file.as_str()).or_insert(&reached.lister);
        }
        first
    }

    /// Returns the indices of the roots that reach each file.
    pub(crate) fn roots(&self) -> BTreeMap<&str, BTreeSet<usize>> {
        let mut roots = BTreeMap::<&str, BTreeSet<usize>>::new();
        for reached in &self.reached {
            roots.entry(&reached.file).or_default().insert(reached.root);
        }
        roots
    }

    /// Returns each reached file with its lister, in the order of the build. A file that is reached several times is listed
    /// several times.
    pub(crate) fn reached(&self) -> impl Iterator<Item = (&str, &Lister)> {
        self.reached.iter().map(|reached| (reached.file.as_str(), &reached.lister))
    }

    /// Returns the kustomization files that the build enters, in its order.
    pub(crate) fn entered(&self) -> &[Entered] {
        &self.entered
    }

    /// Returns the namespaces in which Flux creates an object: none for an object that no build reaches, and `None` where
    /// neither the object nor the build sets one.
    pub(crate) fn namespaces<'s>(&'s self, object: &'s Object<'_>) -> BTreeSet<Option<&'s str>> {
        let reached = self.reached.iter().filter(|reached| reached.file == object.file);
        reached.map(|reached| reached.lister.namespace.as_deref().or(object.namespace())).collect()
    }

    /// Returns the HelmReleases that are applied, in the order of `releases`. A HelmRelease that is applied in several namespaces
    /// is listed once for each.
    pub(crate) fn applied<'a>(&self, releases: &[HelmRelease<'a>]) -> Vec<AppliedRelease<'a>> {
        let mut applied = Vec::new();
        for release in releases {
            applied.extend(self.namespaces(&release.object).into_iter().map(|namespace| AppliedRelease {
                release: release.clone(),
                namespace: namespace.map(ToOwned::to_owned),
            }));
        }
        applied
    }
}

/// Settings of the outer kustomization files and of the Flux Kustomization, which override those of the directory's own file.
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
    /// The directories on the path from the root to the current directory.
    open: BTreeSet<String>,
}

impl Walk<'_> {
    /// Walks a directory. For a component, `scope` is the index of the first reached file that the component changes.
    fn enter(&mut self, directory: &str, inherited: Inherited, scope: Option<usize>) {
        if self.order > MOST_DIRECTORIES || !self.open.insert(directory.to_owned()) {
            return; // kustomize itself refuses directories that include each other in a circle.
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

    /// Walks the resources and components of a kustomization file. Its namespace overrides those of inner files, and is overridden
    /// by those of outer files. The namespace of a component also applies to everything that was listed before the component.
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
            let reason =
                format!("cannot build `{}`, which is listed here but is outside of the overlay", text.escape_debug());
            return Err(
                invalid(reason).hint("move the file or directory into the overlay: the bundle holds only the overlay")
            );
        };
        let files = self.files.bytes();
        if files.contains_key(&path)
            || KUSTOMIZATION_FILE_NAMES.iter().any(|name| files.contains_key(&join(&path, name)))
        {
            return Ok(path);
        }
        if self.files.has_directory(&path) {
            let reason = format!(
                "cannot build the directory `{}`, which is listed here but has no kustomization file",
                path.escape_debug()
            );
            return Err(
                invalid(reason).hint("list the directory's files, or add a kustomization.yaml to the directory")
            );
        }
        let reason = format!("cannot build `{}`, which is listed here but is not in the bundle", path.escape_debug());
        Err(invalid(reason).hint("add the file or directory, or remove the ignore rule that leaves it out"))
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

//! The objects that Flux applies: those of the appliance's own Kustomization, and those of each Kustomization of the overlay that is
//! itself applied. Neither Flux nor the API server sees an object that no Kustomization applies.

use std::collections::{BTreeMap, BTreeSet};

use crate::flux::{Build, HelmRelease, Kustomization, Object, Patch, PatchContent, Root, Source, build_what_is_there};
use crate::lint::{Contents, Settings};
use crate::path::{below, parent};
use crate::release::{Installation, ValuesReader};
use crate::text::nearest;

/// Directory that the appliance's own Kustomization applies, below the overlay's root.
const BASE: &str = "base";
/// Limit of the objects that are followed. An object that several Kustomizations apply counts several times.
const MOST_OBJECTS: usize = 100_000;
/// Limit of the Kustomizations that are followed.
const MOST_APPLIERS: usize = 1_000;
/// Limit of the objects among which a similar name is searched.
const MOST_SIMILAR: usize = 5_000;

/// A Kustomization and the build of its directory.
#[derive(Debug)]
pub(in crate::lint) struct Applier<'a> {
    /// The object in the overlay; `None` for the appliance's own Kustomization.
    pub kustomization: Option<&'a Kustomization<'a>>,
    /// Name of the Kustomization in the cluster.
    pub name: String,
    /// Namespace of the Kustomization, if it is known.
    pub namespace: Option<String>,
    /// Index of the Kustomization that applies this object; `None` for the appliance's own Kustomization.
    pub parent: Option<usize>,
    /// The files and kustomization files that the build of the directory uses.
    pub build: Build,
}

/// An object as one Kustomization applies it.
#[derive(Clone, Debug)]
pub(in crate::lint) struct AppliedObject<'a> {
    /// The object as written in its file.
    pub object: Object<'a>,
    /// The object's namespace after the build, if the object or a kustomization file sets one.
    pub namespace: Option<String>,
    /// Index of the Kustomization that applies the object.
    pub by: usize,
}

/// All objects that Flux applies.
#[derive(Debug)]
pub(in crate::lint) struct Applied<'a> {
    /// The contents that contain the objects.
    pub contents: &'a Contents<'a>,
    /// The Kustomizations. Each one comes after the one that applies it.
    pub appliers: Vec<Applier<'a>>,
    /// The objects in the order of the Kustomizations and of their builds.
    pub objects: Vec<AppliedObject<'a>>,
    /// How an appliance installs the release; `None` if the release could not be packed.
    pub installation: Option<Installation>,
    /// File and line of a setting that changes names, so that the names in the files differ from those in the cluster.
    pub renamed: Option<(String, usize)>,
    /// Whether all objects are known. A Kustomization with a source other than the bundle applies objects that are not in the overlay.
    pub complete: bool,
    /// Objects that exist in the cluster without the overlay, as `KIND/NAMESPACE/NAME` or `KIND/NAME`.
    external: Vec<String>,
    /// Indices of the objects by kind and name.
    named: BTreeMap<(&'a str, &'a str), Vec<usize>>,
    /// For each Kustomization, the texts or target kinds of its patches.
    patches: Vec<Vec<String>>,
}

impl<'a> Applied<'a> {
    /// Follows the Kustomizations, starting with the appliance's own.
    pub(in crate::lint) fn of(contents: &'a Contents<'a>) -> Self {
        let described = contents.described();
        let mut applied = Self {
            contents,
            appliers: Vec::new(),
            objects: Vec::new(),
            installation: described.map(|described| described.installation),
            renamed: None,
            complete: true,
            external: Settings::of(contents.config).map(|settings| settings.external).unwrap_or_default(),
            named: BTreeMap::new(),
            patches: Vec::new(),
        };
        applied.follow();
        for (at, one) in applied.objects.iter().enumerate() {
            applied.named.entry((one.object.kind(), one.object.name())).or_default().push(at);
        }
        applied.collect_patches();
        applied
    }

    /// Returns the name of the bundle's `OCIRepository` and Kustomization.
    pub(in crate::lint) fn source_name(&self) -> &str {
        let configured = self.contents.config.appliance.source_name.as_str();
        self.installation.as_ref().map_or(configured, |installation| &installation.source_name)
    }

    /// Returns the namespace of the bundle's `OCIRepository` and Kustomization.
    pub(in crate::lint) fn flux_namespace(&self) -> &str {
        let configured = self.contents.config.appliance.flux_namespace.as_str();
        self.installation.as_ref().map_or(configured, |installation| &installation.flux_namespace)
    }

    /// Returns the values that the release provides to HelmReleases.
    pub(in crate::lint) fn values(&self) -> &[ValuesReader] {
        self.installation.as_ref().map_or(&[], |installation| &installation.values)
    }

    /// Returns each object once, even if several Kustomizations apply it.
    pub(in crate::lint) fn each_object(&self) -> Vec<&AppliedObject<'a>> {
        let mut seen = BTreeSet::new();
        self.objects.iter().filter(|one| seen.insert(place(&one.object))).collect()
    }

    /// Returns the HelmReleases, once for each namespace and Kustomization.
    pub(in crate::lint) fn releases(&self) -> impl Iterator<Item = (&AppliedObject<'a>, &'a HelmRelease<'a>)> {
        let mut typed = BTreeMap::new();
        typed.extend(self.contents.parts.releases.iter().map(|release| (place(&release.object), release)));
        self.objects.iter().filter_map(move |one| Some((one, *typed.get(&place(&one.object))?)))
    }

    /// Returns the sources, once for each namespace and Kustomization.
    pub(in crate::lint) fn sources(&self) -> impl Iterator<Item = (&AppliedObject<'a>, &'a Source<'a>)> {
        let mut typed = BTreeMap::new();
        typed.extend(self.contents.parts.sources.iter().map(|source| (place(&source.object), source)));
        self.objects.iter().filter_map(move |one| Some((one, *typed.get(&place(&one.object))?)))
    }

    /// Reports whether the configuration declares that the cluster has an object without the overlay.
    pub(in crate::lint) fn is_external(&self, kind: &str, namespace: Option<&str>, name: &str) -> bool {
        let namespace = namespace.unwrap_or_default();
        let fits = |pattern: &str, text: &str| pattern == "*" || pattern == text;
        self.external.iter().any(|external| {
            let parts: Vec<&str> = external.split('/').collect();
            let (of_kind, of_namespace, of_name) = match parts.as_slice() {
                [kind, name] => (*kind, "", *name),
                [kind, namespace, name] => (*kind, *namespace, *name),
                _ => return false,
            };
            fits(of_kind, kind) && fits(of_namespace, namespace) && fits(of_name, name)
        })
    }

    /// Finds an applied object. A namespace that is missing on either side matches every namespace.
    pub(in crate::lint) fn find(&self, kind: &str, namespace: Option<&str>, name: &str) -> Option<&AppliedObject<'a>> {
        let indices = self.named.get(&(kind, name))?;
        indices.iter().map(|at| &self.objects[*at]).find(|one| {
            let own = one.namespace.as_deref();
            own.is_none() || namespace.is_none() || own == namespace
        })
    }

    /// Returns the name of an object of the given kind that is similar to a name.
    pub(in crate::lint) fn similar(&self, kind: &str, name: &str) -> Option<String> {
        let of_kind = self.objects.iter().take(MOST_SIMILAR).filter(|one| one.object.kind() == kind);
        nearest(name, of_kind.map(|one| one.object.name()))
    }

    /// Reports whether a patch may change an object.
    pub(in crate::lint) fn may_be_patched(&self, one: &AppliedObject<'a>) -> bool {
        let kind = one.object.kind();
        let pattern = |text: &str| text.contains(['*', '|', '.', '[', '(']) && !text.contains('\n');
        let mut patches = self.patches[one.by].iter();
        patches.any(|text| text.is_empty() || text.contains(kind) || pattern(text))
    }

    /// Reports whether Flux replaces variables in an object.
    pub(in crate::lint) fn substitutes(&self, one: &AppliedObject<'a>) -> bool {
        let post_build = self.appliers[one.by].kustomization.and_then(|one| one.post_build.as_ref());
        let marks = ["labels", "annotations"];
        let disabled = marks.iter().any(|mark| {
            one.object.node.text_at(&["metadata", mark, "kustomize.toolkit.fluxcd.io/substitute"]) == Some("disabled")
        });
        post_build.is_some() && !disabled
    }

    /// Reports whether a source is the bundle. A tree that could not be packed is not rewritten, so its source is still the git repository.
    pub(in crate::lint) fn is_bundle(&self, kind: &str, name: &str) -> bool {
        name == self.source_name() && (kind == "OCIRepository" || self.contents.release.is_none())
    }

    /// Returns the directory of the bundle that a Kustomization applies. Returns `None` for another source, and for a path outside of
    /// the bundle.
    pub(in crate::lint) fn directory_of(&self, one: &Kustomization<'_>) -> Option<String> {
        let directory = one.directory().filter(|_| self.is_bundle(one.source_kind(), one.source_name()))?;
        if self.contents.release.is_some() {
            return Some(directory);
        }
        let overlay = self.contents.config.overlay.trim_matches('/');
        let below = directory.strip_prefix(overlay)?;
        Some(below.trim_start_matches('/').to_owned())
    }

    /// Returns the directories that Flux builds, each with its Kustomization.
    pub(super) fn roots(&self) -> Vec<(Option<&'a Kustomization<'a>>, String)> {
        let root = |applier: &Applier<'a>| match applier.kustomization {
            Some(one) => Some((Some(one), self.directory_of(one)?)),
            None => Some((None, BASE.to_owned())),
        };
        self.appliers.iter().filter_map(root).collect()
    }

    fn follow(&mut self) {
        let base = Root { directory: BASE.to_owned(), kustomization: None };
        let (name, namespace) = (self.source_name().to_owned(), self.flux_namespace().to_owned());
        let build = build_what_is_there(self.contents.files, &[base]).0;
        self.appliers.push(Applier { kustomization: None, name, namespace: Some(namespace), parent: None, build });
        let mut children = BTreeMap::new();
        children.extend(self.contents.parts.kustomizations.iter().map(|one| (place(&one.object), one)));
        let mut at = 0;
        while at < self.appliers.len() {
            let first = self.objects.len();
            self.take_objects(at);
            for index in first..self.objects.len() {
                let one = &self.objects[index];
                // A Kustomization that two others apply is followed only once.
                let Some(child) = children.remove(&place(&one.object)) else { continue };
                let namespace = one.namespace.clone();
                self.push_child(child, namespace, at);
            }
            at += 1;
        }
    }

    /// Adds a Kustomization. Its directory is built only if its source is the bundle.
    fn push_child(&mut self, child: &'a Kustomization<'a>, namespace: Option<String>, parent: usize) {
        if self.appliers.len() >= MOST_APPLIERS {
            return;
        }
        let root = self.directory_of(child).map(|directory| Root { directory, kustomization: Some(child) });
        self.complete &= root.is_some() || self.is_bundle(child.source_kind(), child.source_name());
        let build = root.map(|root| build_what_is_there(self.contents.files, &[root]).0).unwrap_or_default();
        let name = child.object.name().to_owned();
        self.appliers.push(Applier { kustomization: Some(child), name, namespace, parent: Some(parent), build });
    }

    fn take_objects(&mut self, by: usize) {
        let mut objects = Vec::new();
        for (file, lister) in self.appliers[by].build.reached() {
            let renames = lister.renames.as_ref().map(|at| (at.file.clone(), at.line));
            self.renamed = self.renamed.take().or(renames);
            let Some((path, parsed)) = self.contents.files.parsed().get_key_value(file) else { continue };
            for object in Object::of_documents(path, &parsed.documents) {
                let namespace = lister.namespace.as_deref().or(object.namespace()).map(ToOwned::to_owned);
                objects.push(AppliedObject { object, namespace, by });
            }
            if self.objects.len() + objects.len() > MOST_OBJECTS {
                break;
            }
        }
        self.objects.extend(objects);
    }

    fn collect_patches(&mut self) {
        self.patches = self.appliers.iter().map(|applier| self.patches_of(applier)).collect();
    }

    fn patches_of(&self, applier: &Applier<'a>) -> Vec<String> {
        let own = applier.kustomization.map(Kustomization::patches).unwrap_or_default();
        let mut patches: Vec<String> = own.iter().map(|patch| self.text_of(patch, "")).collect();
        let entered = applier.build.entered().iter();
        for file in entered.filter_map(|entered| self.contents.files.kustomization_file(&entered.file)) {
            patches.extend(file.patches().iter().map(|patch| self.text_of(patch, parent(file.file))));
        }
        patches
    }

    /// Returns a text that tells which kinds a patch changes: the kind of its target, or the whole patch. An empty text means any kind.
    fn text_of(&self, patch: &Patch<'_>, directory: &str) -> String {
        if let Some(kind) = patch.target_kind {
            return kind.to_owned();
        }
        match patch.content {
            PatchContent::Replacement(_) => String::new(),
            PatchContent::Inline(node) => {
                let texts = node.walk().into_iter().filter_map(|node| node.as_str());
                texts.flat_map(|text| [text, "\n"]).collect()
            }
            PatchContent::File(named) => {
                let file = below(directory, named).unwrap_or_default();
                self.contents.text(&file).unwrap_or_default().to_owned()
            }
        }
    }
}

/// Returns the file, document and path that identify an object in the bundle.
fn place<'a>(object: &Object<'a>) -> (&'a str, usize, String) {
    (object.file, object.document, object.path.clone())
}

//! A Flux overlay: the charts that it uses, its rewriting from git sources to artifacts, and its packing into a bundle.
//!
//! All paths are relative to the overlay's directory, except those in a [`Place`], which are relative to the tree's root.

use std::collections::BTreeMap;

use crate::flux::{self, AppliedRelease, HelmRelease, Object};
use crate::path::join;
use crate::source::{Error, Place};
use crate::yaml::Node;

mod bundle;
mod check;
mod children;
mod discover;
mod ignore;
mod image_names;
mod load;
mod own_source;
mod patches;
mod profile;
mod references;
mod release;
mod relocate;
mod rewrite;
mod sources;

pub use bundle::{BundleMeta, bundle, unpack};
pub(crate) use bundle::{CONFIG_MEDIA_TYPE, LAYER_MEDIA_TYPE};
pub(crate) use check::git_references;
pub(crate) use discover::ChartUse;
pub use discover::Discovered;
pub use discover::{ChartSource, External};
pub(crate) use load::{Readable, read, unusable};
pub use load::{Settings, load};
pub(crate) use profile::{is_values, profile_values};
pub use relocate::relocate;
pub(crate) use relocate::{RelocatedFiles, rename_values};
pub use rewrite::{Pin, PinStyle, Pins, Rewritten, rewrite};

/// An overlay whose files are read and parsed.
#[derive(Clone, Debug)]
pub struct Overlay {
    settings: load::Owned,
    files: flux::Files,
    ignore: ignore::Ignore,
}

impl Overlay {
    /// Returns all files of the overlay, by path.
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        self.files.bytes()
    }

    /// Returns all files. The files that Flux and kustomize read are parsed.
    pub(crate) fn parsed(&self) -> &flux::Files {
        &self.files
    }

    /// Reports whether a file at this path, relative to the tree's root, would enter the bundle.
    pub fn would_keep(&self, path: &str) -> bool {
        let directory = &self.settings.directory;
        let below = if directory.is_empty() { Some(path) } else { path.strip_prefix(&format!("{directory}/")) };
        below.is_some_and(|path| !path.is_empty() && self.ignore.keeps(path))
    }

    /// Returns the unchanged values files of a profile, by name.
    ///
    /// # Errors
    /// When the profile does not exist.
    pub fn profile_values(&self, profile: &str) -> Result<BTreeMap<String, String>, Error> {
        let start = format!("profiles/{profile}/");
        if profile.is_empty() || profile.contains('/') || !self.files().keys().any(|path| path.starts_with(&start)) {
            return Err(self.no_profile(profile));
        }
        let values = profile_values(self.files(), profile).into_iter();
        Ok(values.map(|(name, bytes)| (name.to_owned(), String::from_utf8_lossy(bytes).into_owned())).collect())
    }

    fn no_profile(&self, profile: &str) -> Error {
        let names = self.files().keys().filter_map(|path| path.strip_prefix("profiles/")?.split_once('/'));
        let mut names: Vec<&str> = names.map(|(name, _)| name).collect();
        names.dedup();
        let place = Place::file(join(&self.settings.directory, "profiles"));
        let known = if names.is_empty() {
            "add `profiles/NAME/` to the overlay: it has no profiles".to_owned()
        } else {
            format!("choose one of: {}", names.join(", "))
        };
        Error::usage(place, format!("the profile `{}` does not exist", profile.escape_debug())).hint(known)
    }

    fn place(&self, file: &str, line: usize) -> Place {
        Place::line(join(&self.settings.directory, file), line)
    }

    fn objects(&self) -> Vec<Object<'_>> {
        self.files.objects()
    }

    /// Returns the HelmReleases that Flux applies, each with the namespace in which Flux creates it. A HelmRelease that is
    /// applied in several namespaces is listed once for each; a HelmRelease that no kustomization file lists is left out.
    ///
    /// # Errors
    /// When kustomize could not build the overlay, or when its Kustomizations depend on each other in a circle.
    pub(crate) fn applied_releases(&self) -> Result<Vec<AppliedRelease<'_>>, Error> {
        let objects = self.objects();
        let children = children::children(self, &objects)?;
        let build = children::build(self, &children::roots(&children))?;
        Ok(build.applied(&HelmRelease::all(&objects)))
    }

    /// Converts an error about a file that Flux could not use, and makes its place relative to the tree's root.
    fn unusable(&self, error: flux::Error) -> Error {
        unusable(&self.settings.directory, error)
    }

    /// Refuses a variable, because Flux substitutes `${…}` in the cluster, after the rewriting.
    fn refuse_variable(&self, file: &str, node: &Node, what: &str) -> Result<(), Error> {
        if node.as_str().is_some_and(|text| text.contains("${")) {
            let reason = format!("cannot publish a variable in {what}");
            return Err(
                Error::refused(self.place(file, node.line), reason).hint("write the value instead of the variable")
            );
        }
        Ok(())
    }
}

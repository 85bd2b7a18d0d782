//! The config bundle: the files that Flux unpacks, those that it reads as objects parsed.

use std::collections::BTreeMap;

use crate::flux::{Error, Files, HelmRelease, Kustomization, Object, Source, SourceKind};
use crate::overlay::{is_values, profile_values};
use crate::path::has_extension;

/// A bundle that was unpacked.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    files: Files,
    broken: Vec<Error>,
}

/// The objects of a bundle that Flux itself acts on, in the order of paths and then of the text.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    /// All objects, those of other API groups too.
    pub objects: Vec<Object<'a>>,
    /// The HelmReleases.
    pub releases: Vec<HelmRelease<'a>>,
    /// The sources of charts and of files.
    pub sources: Vec<Source<'a>>,
    /// Flux's Kustomizations.
    pub kustomizations: Vec<Kustomization<'a>>,
}

impl Bundle {
    /// Reads the files of a bundle. Files that Flux could not read are kept as bytes, and listed by [`Bundle::broken`].
    pub fn open(files: BTreeMap<String, Vec<u8>>) -> Self {
        let mut bundle = Self::default();
        for (path, bytes) in files {
            if is_values(&path) {
                bundle.files.insert_unread(path, bytes);
                continue;
            }
            if has_extension(&path, &["yaml", "yml"]) && std::str::from_utf8(&bytes).is_err() {
                bundle.broken.push(Error::new(&path, 1, "the file is not UTF-8"));
            }
            bundle.broken.extend(bundle.files.insert(path, bytes).err());
        }
        bundle
    }

    /// Returns all files, by their paths, given up.
    pub fn into_bytes(self) -> BTreeMap<String, Vec<u8>> {
        self.files.into_bytes()
    }

    /// Returns all files, by their paths.
    pub fn bytes(&self) -> &BTreeMap<String, Vec<u8>> {
        self.files.bytes()
    }

    /// Returns all files, those that Flux and kustomize read parsed.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Returns the files that Flux could not read, in the order of paths.
    pub fn broken(&self) -> &[Error] {
        &self.broken
    }

    /// Returns the values files of a profile, by their names.
    pub fn profile_values(&self, profile: &str) -> BTreeMap<&str, &[u8]> {
        profile_values(self.bytes(), profile)
    }

    /// Returns the objects that Flux acts on.
    pub fn parts(&self) -> Parts<'_> {
        let objects = self.files.objects();
        Parts {
            releases: HelmRelease::all(&objects),
            sources: Source::all(&objects),
            kustomizations: Kustomization::all(&objects),
            objects,
        }
    }
}

impl<'a> Parts<'a> {
    /// Returns the name of the chart that a HelmRelease installs: the last part of its source's URL, because the source may have another
    /// name, or the name that the HelmRelease itself writes.
    pub fn chart_of(&self, release: &HelmRelease<'a>) -> Option<&'a str> {
        let Some(reference) = release.chart_ref else { return Some(release.chart?.chart?.text) };
        let source = Source::referred(&self.sources, SourceKind::OciRepository, &reference, &release.object);
        let address = source.map(Source::last_part).filter(|part| !part.is_empty());
        address.or_else(|| Some(reference.name?.text))
    }
}

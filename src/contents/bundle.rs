//! The config bundle: the files that Flux unpacks. Files that Flux reads as objects are parsed.

use std::collections::BTreeMap;

use crate::flux::{Error, Files, HelmRelease, Kustomization, Object, Source, SourceKind};
use crate::overlay::{is_values, profile_values};
use crate::path::has_extension;

/// An unpacked bundle with its parsed files.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    files: Files,
    broken: Vec<Error>,
}

/// The objects of a bundle that Flux itself acts on, in the order of paths and then of the text.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    /// All objects, including those of other API groups.
    pub objects: Vec<Object<'a>>,
    /// The HelmReleases of the bundle.
    pub releases: Vec<HelmRelease<'a>>,
    /// The sources of charts and of files.
    pub sources: Vec<Source<'a>>,
    /// The Flux Kustomizations of the bundle.
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

    /// Returns the bytes of all files by path and consumes the bundle.
    pub fn into_bytes(self) -> BTreeMap<String, Vec<u8>> {
        self.files.into_bytes()
    }

    /// Returns the bytes of all files by path.
    pub fn bytes(&self) -> &BTreeMap<String, Vec<u8>> {
        self.files.bytes()
    }

    /// Returns all files. The files that Flux and kustomize read are parsed.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Returns the files that Flux could not read, in the order of paths.
    pub fn broken(&self) -> &[Error] {
        &self.broken
    }

    /// Returns the values files of a profile by name.
    pub fn profile_values(&self, profile: &str) -> BTreeMap<&str, &[u8]> {
        profile_values(self.bytes(), profile)
    }

    /// Returns the objects that Flux acts on.
    pub fn parts(&self) -> Parts<'_> {
        Parts::of(&self.files)
    }
}

impl<'a> Parts<'a> {
    /// Reads the objects from parsed files.
    pub(crate) fn of(files: &'a Files) -> Self {
        let objects = files.objects();
        Self {
            releases: HelmRelease::all(&objects),
            sources: Source::all(&objects),
            kustomizations: Kustomization::all(&objects),
            objects,
        }
    }

    /// Returns the name of the chart that a HelmRelease installs: the last part of its source's URL, because the source object may
    /// have another name, or the name that the HelmRelease itself gives.
    pub(crate) fn chart_of(&self, release: &HelmRelease<'a>) -> Option<&'a str> {
        let Some(reference) = release.chart_ref else { return Some(release.chart?.chart?.text) };
        let source = Source::referred(&self.sources, SourceKind::OciRepository, &reference, &release.object);
        let address = source.map(Source::last_part).filter(|part| !part.is_empty());
        address.or_else(|| Some(reference.name?.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(files: &[(&str, &str)]) -> Bundle {
        Bundle::open(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect())
    }

    #[test]
    fn values_are_not_read_as_objects_and_files_that_flux_cannot_read_are_listed() {
        let object = "apiVersion: v1\nkind: ConfigMap\n";
        let mut files = bundle(&[
            ("base/a.yaml", object),
            ("base/b.yaml", "kind: ["),
            ("base/c.yaml", "apiVersion: v1\nkind: A\nkind: B\n"),
            ("profiles/p/values/web.p.yaml", object),
            ("profiles/p/values/more/web.p.yaml", object),
            ("profiles/p/values/notes.txt", ""),
        ])
        .into_bytes();
        files.insert("base/d.yaml".to_owned(), vec![0xff]);
        files.insert("base/d.png".to_owned(), vec![0xff]);
        let bundle = Bundle::open(files);
        let broken: Vec<&str> = bundle.broken().iter().map(|error| error.at.file.as_str()).collect();
        assert_eq!(broken, ["base/b.yaml", "base/c.yaml", "base/d.yaml"]);
        let objects: Vec<&str> = bundle.parts().objects.iter().map(|object| object.file).collect();
        assert_eq!(objects, ["base/a.yaml"]);
        assert_eq!(bundle.profile_values("p").into_keys().collect::<Vec<_>>(), ["web.p.yaml"]);
        assert_eq!(bundle.bytes().len(), 8, "every file is kept");
    }

    #[test]
    fn the_chart_of_a_release_is_the_last_part_of_its_sources_url() {
        let release = |spec: &str| {
            format!(
                "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: r, namespace: a}}\nspec: {spec}\n"
            )
        };
        let source = |namespace: &str| {
            format!(
                "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {{name: s{namespace}}}\n\
                 spec: {{url: oci://r.io/x/charts/web/}}\n"
            )
        };
        let by_reference = release("{chartRef: {kind: OCIRepository, name: s}}");
        let chart = |release: &str, source: &str| {
            let bundle = bundle(&[("base/r.yaml", release), ("base/s.yaml", source)]);
            let parts = bundle.parts();
            parts.chart_of(&parts.releases[0]).map(ToOwned::to_owned)
        };
        assert_eq!(chart(&by_reference, &source("")).as_deref(), Some("web"));
        assert_eq!(chart(&by_reference, &source(", namespace: a")).as_deref(), Some("web"));
        assert_eq!(chart(&by_reference, &source(", namespace: b")).as_deref(), Some("s"), "of another namespace");
        assert_eq!(chart(&release("{chart: {spec: {chart: web}}}"), "").as_deref(), Some("web"));
        assert_eq!(chart(&release("{}"), ""), None);
    }
}

//! Flux's sources, from which Flux fetches charts and trees of files.
//!
//! <https://fluxcd.io/flux/components/source/>

use crate::yaml::Node;

use super::object::{Object, Reference, SOURCE, Scalar};

/// The kinds of Flux's sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceKind {
    /// One artifact of an OCI repository.
    OciRepository,
    /// A chart repository, either a classic one with an index or an OCI registry.
    HelmRepository,
    /// A repository that is read with git.
    GitRepository,
    /// A bucket of an object store.
    Bucket,
    /// A chart that source-controller fetches.
    HelmChart,
}

impl SourceKind {
    const ALL: [Self; 5] =
        [Self::OciRepository, Self::HelmRepository, Self::GitRepository, Self::Bucket, Self::HelmChart];

    /// Returns the kind as objects write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OciRepository => "OCIRepository",
            Self::HelmRepository => "HelmRepository",
            Self::GitRepository => "GitRepository",
            Self::Bucket => "Bucket",
            Self::HelmChart => "HelmChart",
        }
    }
}

/// A source of any kind and API version.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// The object that is read.
    pub object: Object<'a>,
    /// Kind of the source.
    pub kind: SourceKind,
    /// `spec.url`: the address of the source.
    pub url: Option<Scalar<'a>>,
    /// `spec.ref.tag`, which `semver` and `digest` override.
    pub tag: Option<Scalar<'a>>,
    /// `spec.ref.semver`, a range of versions, which `digest` overrides.
    pub semver: Option<Scalar<'a>>,
    /// `spec.ref.digest`, which overrides `semver` and `tag`.
    pub digest: Option<Scalar<'a>>,
    /// `spec.insecure`: whether the registry is reached over plain HTTP.
    pub insecure: bool,
}

impl<'a> Source<'a> {
    /// Reads an object, or returns `None` for an object that is not a source.
    pub fn of(object: &Object<'a>) -> Option<Self> {
        let kind = SourceKind::ALL.into_iter().find(|kind| object.is(SOURCE, kind.as_str()))?;
        let at = |path: &[&str]| Scalar::at(object.node, path);
        Some(Self {
            kind,
            url: at(&["spec", "url"]),
            tag: at(&["spec", "ref", "tag"]),
            semver: at(&["spec", "ref", "semver"]),
            digest: at(&["spec", "ref", "digest"]),
            insecure: object.node.text_at(&["spec", "insecure"]) == Some("true"),
            object: object.clone(),
        })
    }

    /// Returns every source among the objects, in the same order.
    pub fn all(objects: &[Object<'a>]) -> Vec<Self> {
        objects.iter().filter_map(Self::of).collect()
    }

    /// Finds the source of a kind that an object refers to. A source without a namespace matches every reference, because a
    /// kustomization file may set its namespace. A reference without a namespace, in an object without one, matches too.
    pub(crate) fn referred<'s>(
        sources: &'s [Self],
        kind: SourceKind,
        reference: &Reference<'_>,
        from: &Object<'_>,
    ) -> Option<&'s Self> {
        let namespace = reference.namespace.map(|namespace| namespace.text).or(from.namespace());
        Self::named(sources, kind, reference.name?.text, namespace)
    }

    /// Finds the first source with this kind, name and namespace. A namespace that is absent on either side matches.
    pub fn named<'s>(sources: &'s [Self], kind: SourceKind, name: &str, namespace: Option<&str>) -> Option<&'s Self> {
        sources.iter().find(|source| {
            let own = source.object.namespace();
            let same = own.is_none() || namespace.is_none() || own == namespace;
            source.kind == kind && source.object.name() == name && same
        })
    }

    /// Returns the URL without slashes at its end, or an empty text where the source has no URL.
    pub fn address(&self) -> &'a str {
        self.url.map_or("", |url| url.text.trim_end_matches('/'))
    }

    /// Returns the last part of the URL's path, which is the chart's name in the source of a chart.
    pub(crate) fn last_part(&self) -> &'a str {
        self.address().rsplit('/').next().unwrap_or_default()
    }

    /// Returns the value of a key of `spec`.
    pub fn field(&self, key: &str) -> Option<&'a Node> {
        self.object.node.get(&["spec", key])
    }
}

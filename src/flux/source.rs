//! Flux's sources: where a chart or a tree of files is fetched from.
//!
//! <https://fluxcd.io/flux/components/source/>

use crate::yaml::Node;

use super::object::{Object, Reference, SOURCE, Scalar};

/// Kinds of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceKind {
    /// One artifact of an OCI repository.
    OciRepository,
    /// A repository of charts, of the classic kind or of OCI.
    HelmRepository,
    /// A git repository.
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

/// A source, of whatever version of its API.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// The object itself.
    pub object: Object<'a>,
    /// Its kind.
    pub kind: SourceKind,
    /// `spec.url`.
    pub url: Option<Scalar<'a>>,
    /// `spec.ref.tag`.
    pub tag: Option<Scalar<'a>>,
    /// `spec.ref.semver`.
    pub semver: Option<Scalar<'a>>,
    /// `spec.ref.digest`, which is stronger than `semver`, which is stronger than `tag`.
    pub digest: Option<Scalar<'a>>,
    /// `spec.insecure`: whether the registry is asked over plain HTTP.
    pub insecure: bool,
}

impl<'a> Source<'a> {
    /// Reads an object; returns nothing for an object that is not a source.
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

    /// Returns every source among the objects, in their order.
    pub fn all(objects: &[Object<'a>]) -> Vec<Self> {
        objects.iter().filter_map(Self::of).collect()
    }

    /// Finds the source of a kind that an object refers to. A source without a namespace fits any, because a kustomization file may
    /// move it; so does a reference without a namespace from an object that has none.
    pub(crate) fn referred<'s>(
        sources: &'s [Self],
        kind: SourceKind,
        reference: &Reference<'_>,
        from: &Object<'_>,
    ) -> Option<&'s Self> {
        let namespace = reference.namespace.map(|namespace| namespace.text).or(from.namespace());
        Self::named(sources, kind, reference.name?.text, namespace)
    }

    /// Finds the first source with this kind, name and namespace; a namespace that is absent on either side fits.
    pub fn named<'s>(sources: &'s [Self], kind: SourceKind, name: &str, namespace: Option<&str>) -> Option<&'s Self> {
        sources.iter().find(|source| {
            let own = source.object.namespace();
            let same = own.is_none() || namespace.is_none() || own == namespace;
            source.kind == kind && source.object.name() == name && same
        })
    }

    /// Returns the URL without slashes at its end; empty where the source says none.
    pub fn address(&self) -> &'a str {
        self.url.map_or("", |url| url.text.trim_end_matches('/'))
    }

    /// Returns the last part of the URL's path: the chart's name, where the source is a chart's.
    pub(crate) fn last_part(&self) -> &'a str {
        self.address().rsplit('/').next().unwrap_or_default()
    }

    /// Returns the node under a key of `spec`.
    pub fn field(&self, key: &str) -> Option<&'a Node> {
        self.object.node.get(&["spec", key])
    }
}

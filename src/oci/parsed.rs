//! A manifest or an index, for code that does not know beforehand which of them it reads.

use super::{Descriptor, Digest, Index, Manifest, media_type};

/// A parsed manifest or index.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// An image manifest, which names a config and layers.
    Manifest(Manifest),
    /// An index, which names manifests.
    Index(Index),
}

impl Parsed {
    /// Parses the bytes according to `media_type`.
    ///
    /// # Errors
    /// In the same cases as [`Manifest::parse`] and [`Index::parse`].
    pub(crate) fn parse(media_type: &str, bytes: &[u8]) -> Result<Self, serde_json::Error> {
        if media_type::is_index(media_type) {
            return Index::parse(media_type, bytes).map(Self::Index);
        }
        Manifest::parse(media_type, bytes).map(Self::Manifest)
    }

    /// Returns what the manifest names: its config and layers, or the manifests of an index.
    pub(crate) fn names(&self) -> Vec<&Descriptor> {
        match self {
            Self::Manifest(manifest) => manifest.blobs().collect(),
            Self::Index(index) => index.manifests.iter().collect(),
        }
    }

    /// Returns the artifact type that the manifest states.
    pub(crate) fn artifact_type(&self) -> Option<&str> {
        match self {
            Self::Manifest(manifest) => manifest.artifact_type.as_deref(),
            Self::Index(index) => index.artifact_type.as_deref(),
        }
    }
}

impl Descriptor {
    /// Describes a manifest as a list of referrers does, with its artifact type and annotations. Returns `None` when
    /// the manifest does not refer to `subject`.
    ///
    /// <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers>
    pub(crate) fn referring(media_type: &str, bytes: &[u8], subject: &Digest) -> Option<Self> {
        let (artifact_type, named, annotations) = match Parsed::parse(media_type, bytes).ok()? {
            Parsed::Manifest(Manifest { artifact_type, config, subject, annotations, .. }) => {
                (artifact_type.or(Some(config.media_type)), subject, annotations)
            }
            Parsed::Index(Index { artifact_type, subject, annotations, .. }) => (artifact_type, subject, annotations),
        };
        (named?.digest == *subject).then(|| Self { artifact_type, annotations, ..Self::of(media_type, bytes) })
    }
}

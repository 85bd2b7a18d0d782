//! What a piece of content is, without its bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Digest;

/// Media type, digest and size in bytes of some content.
///
/// <https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// RFC 6838 media type.
    pub media_type: String,
    /// Digest of the bytes.
    pub digest: Digest,
    /// Count of bytes.
    pub size: u64,
    /// Media type of the artifact, where a manifest is described.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Annotations on the descriptor itself, not on what it names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Any further field, kept as it is.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

impl Descriptor {
    /// Describes `bytes`.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            artifact_type: None,
            annotations: BTreeMap::new(),
            other: BTreeMap::new(),
        }
    }

    /// Describes a manifest that refers to `subject`, as a list of referrers does: with its artifact type and its annotations.
    /// Nothing when it does not refer to that.
    ///
    /// <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers>
    #[cfg(feature = "publish")]
    pub fn referring(media_type: &str, manifest: &[u8], subject: &Digest) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Referrer {
            subject: Descriptor,
            artifact_type: Option<String>,
            config: Option<Descriptor>,
            #[serde(default)]
            annotations: BTreeMap<String, String>,
        }
        let Referrer { subject: named, artifact_type, config, annotations } = serde_json::from_slice(manifest).ok()?;
        let artifact_type = artifact_type.or(config.map(|config| config.media_type));
        (named.digest == *subject).then(|| Self { artifact_type, annotations, ..Self::of(media_type, manifest) })
    }

    /// The same with one annotation more.
    #[must_use]
    pub fn annotated(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }
}

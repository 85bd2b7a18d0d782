//! The descriptor of content, without its bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Digest;
use super::json::Shape;

/// Media type, digest and size of some content.
///
/// <https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the content (RFC 6838).
    pub media_type: String,
    /// SHA-256 digest of the bytes.
    pub digest: Digest,
    /// Length of the content in bytes.
    pub size: u64,
    /// Media type of the artifact, when the content is a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Annotations of the descriptor itself, not of the content.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// All other fields, kept unchanged.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

pub(super) static SHAPE: Shape = Shape {
    fields: &[
        ("mediaType", None),
        ("digest", None),
        ("size", None),
        ("urls", None),
        ("annotations", None),
        ("data", None),
        ("platform", Some(&PLATFORM)),
        ("artifactType", None),
    ],
    foreign: &[],
};

/// The platform of a descriptor. The field `features` is Docker's.
static PLATFORM: Shape = Shape {
    fields: &[
        ("architecture", None),
        ("os", None),
        ("os.version", None),
        ("os.features", None),
        ("variant", None),
        ("features", None),
    ],
    foreign: &[],
};

impl Descriptor {
    /// Computes the descriptor of `bytes`.
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

    /// Adds one annotation to the descriptor.
    #[must_use]
    pub(crate) fn annotated(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }
}

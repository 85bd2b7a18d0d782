//! What a piece of content is, without its bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Digest;
use super::json::Shape;

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

/// `features` is Docker's.
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

    /// The same with one annotation more.
    #[must_use]
    pub(crate) fn annotated(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }
}

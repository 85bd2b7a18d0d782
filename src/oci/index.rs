//! The OCI image index, and the only function that parses one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::json::{self, Shape};
use super::{Descriptor, descriptor, media_type};

/// An index of manifests. The order of the fields is their order in the written bytes.
///
/// <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md>
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Version of the format, always 2.
    pub schema_version: u32,
    /// Media type of the index. Some registries refuse an index without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Media type of the artifact, when it is not a container image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifests, in the order of the document.
    pub manifests: Vec<Descriptor>,
    /// The manifest that this index refers to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<Descriptor>>,
    /// Annotations, written in the order of their keys.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// All other fields, kept unchanged.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

static SHAPE: Shape = Shape {
    fields: &[
        ("schemaVersion", None),
        ("mediaType", None),
        ("artifactType", None),
        ("manifests", Some(&descriptor::SHAPE)),
        ("subject", Some(&descriptor::SHAPE)),
        ("annotations", None),
    ],
    foreign: &["config", "layers"],
};

/// The fields of the document. An [`Index`] itself cannot be deserialized, so that every index goes through
/// [`Index::parse`].
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
    subject: Option<Box<Descriptor>>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(flatten)]
    other: BTreeMap<String, serde_json::Value>,
}

impl Index {
    /// Returns an index that this program writes.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media_type::IMAGE_INDEX.to_owned()),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
            other: BTreeMap::new(),
        }
    }

    /// Parses an index. `media_type` is what the store, or a descriptor, states for it.
    ///
    /// # Errors
    /// In the same cases as [`super::Manifest::parse`].
    pub fn parse(media_type: &str, bytes: &[u8]) -> Result<Self, serde_json::Error> {
        media_type::expect(media_type, media_type::INDEXES, "an image index")?;
        let fields: Fields = json::read(bytes, &SHAPE)?;
        media_type::agree(media_type, fields.media_type.as_deref())?;
        let Fields { schema_version, media_type, artifact_type, manifests, subject, annotations, other } = fields;
        Ok(Self { schema_version, media_type, artifact_type, manifests, subject, annotations, other })
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;

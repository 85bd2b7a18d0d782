//! The OCI image manifest, and the only function that parses one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::json::{self, Shape};
use super::{Descriptor, descriptor, media_type};

/// An image manifest. The order of the fields is their order in the written bytes.
///
/// <https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md>
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Version of the format, always 2.
    pub schema_version: u32,
    /// Media type of the manifest. This program always writes it, since some registries refuse a manifest without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Media type of the artifact, when it is not a container image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Descriptor of the config blob.
    pub config: Descriptor,
    /// Descriptors of the layers, in order.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one refers to, for example the image that a signature signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<Descriptor>>,
    /// Annotations, written in the order of their keys.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

static SHAPE: Shape = Shape {
    fields: &[
        ("schemaVersion", None),
        ("mediaType", None),
        ("artifactType", None),
        ("config", Some(&descriptor::SHAPE)),
        ("layers", Some(&descriptor::SHAPE)),
        ("subject", Some(&descriptor::SHAPE)),
        ("annotations", None),
    ],
    foreign: &["manifests"],
};

/// The fields of the document. A [`Manifest`] itself cannot be deserialized, so that every manifest goes through
/// [`Manifest::parse`].
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Descriptor,
    #[serde(default)]
    layers: Vec<Descriptor>,
    subject: Option<Box<Descriptor>>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Returns a manifest that this program writes.
    pub fn new(config: Descriptor, layers: Vec<Descriptor>, annotations: BTreeMap<String, String>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media_type::IMAGE_MANIFEST.to_owned()),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations,
        }
    }

    /// Parses a manifest. `media_type` is what the store, or a descriptor, states for it.
    ///
    /// # Errors
    /// When other programs may understand the bytes differently: an object has a duplicate key or a key that differs
    /// from a known field in case only, the manifest is also an index (CVE-2021-41190), or its own media type is not
    /// `media_type`. Also when the bytes are not an image manifest.
    pub fn parse(media_type: &str, bytes: &[u8]) -> Result<Self, serde_json::Error> {
        media_type::expect(media_type, media_type::IMAGE_MANIFESTS, "an image manifest")?;
        let fields: Fields = json::read(bytes, &SHAPE)?;
        media_type::agree(media_type, fields.media_type.as_deref())?;
        let Fields { schema_version, media_type, artifact_type, config, layers, subject, annotations } = fields;
        Ok(Self { schema_version, media_type, artifact_type, config, layers, subject, annotations })
    }

    /// Returns every blob that the manifest names: the config first, then the layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;

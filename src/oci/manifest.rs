//! The OCI image manifest: its bytes, and the one function that reads them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::json::{self, Shape};
use super::{Descriptor, descriptor, media_type};

/// An image manifest. Field order is the order of the written bytes.
///
/// <https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md>
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Always written, since some registries refuse a manifest without it. Other programs leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Media type of the artifact, when it is not a container image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The config blob.
    pub config: Descriptor,
    /// The layers, in order.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one refers to: the image that a signature signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<Descriptor>>,
    /// Sorted by key.
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

/// What is read from the bytes. A [`Manifest`] itself cannot be deserialized, so that nothing reads one past [`Manifest::parse`].
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
    /// A manifest of this program's own making.
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

    /// Parses a manifest that the store, or the descriptor of the manifest, calls a `media_type`.
    ///
    /// # Errors
    /// When other readers may understand the bytes differently: an object has a duplicate key, or one that differs from a known
    /// field in case only; the manifest is an index as well (CVE-2021-41190); its own media type is not `media_type`. Also when
    /// it is not an image manifest.
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

//! The OCI image manifest, as it is written and as it is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Descriptor, each_key_once, media_type};

/// An image manifest. Field order is the order of the written bytes.
///
/// <https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Written always: some registries refuse a manifest without it. Absent in what Helm writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What the artifact is, where it is no container image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The config blob.
    pub config: Descriptor,
    /// The layers, in order.
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    /// Sorted by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
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
            annotations,
        }
    }

    /// Reads one that somebody else wrote.
    ///
    /// # Errors
    /// When it is no image manifest, an index at once (readers differ in which of both they see, CVE-2021-41190), or has a key twice.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Index {
            #[serde(default)]
            manifests: Option<serde::de::IgnoredAny>,
        }
        each_key_once(bytes)?;
        if serde_json::from_slice::<Index>(bytes)?.manifests.is_some() {
            return Err(serde::de::Error::custom("it is an index as well, or instead"));
        }
        serde_json::from_slice(bytes)
    }

    /// Every blob that the manifest names: config first, then the layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

//! The OCI image index, as it is written and as it is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[cfg(feature = "publish")]
use super::media_type;
use super::{Descriptor, each_key_once};

/// An index of manifests.
///
/// <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// Some registries refuse an index without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// In order.
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
    /// Sorted by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Any further field, kept as it is.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

impl Index {
    /// An index of this program's own making.
    #[cfg(feature = "publish")]
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        let media_type = Some(media_type::IMAGE_INDEX.to_owned());
        Self { schema_version: 2, media_type, manifests, annotations: BTreeMap::new(), other: BTreeMap::new() }
    }

    /// Reads one that somebody else wrote.
    ///
    /// # Errors
    /// When it is none, or has a key twice.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        each_key_once(bytes)?;
        serde_json::from_slice(bytes)
    }
}

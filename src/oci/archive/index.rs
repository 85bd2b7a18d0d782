//! The index of an archive: `index.json`, and how a manifest is named in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::oci::{Descriptor, Selector, each_key_once, media_type};

/// On the index: the prefix that the names of the store's own repositories are below.
pub(super) const PREFIX: &str = "vnd.alga.appliance.prefix";
/// Where containerd looks for the whole name.
pub(super) const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// `index.json`. Field order is the order of the written bytes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    pub manifests: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// Reads one.
    ///
    /// # Errors
    /// When it is none, or has a key twice.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        each_key_once(bytes)?;
        serde_json::from_slice(bytes)
    }
}

/// `HOST/PATH:TAG` or `HOST/PATH@DIGEST`.
pub(super) fn full_name(repository: &str, selector: &Selector) -> String {
    let separator = if matches!(selector, Selector::Tag(_)) { ':' } else { '@' };
    format!("{repository}{separator}{selector}")
}

/// The repository and which of its manifests an entry is, when it has such a name.
pub(super) fn names(entry: &Descriptor) -> Option<(&str, Selector)> {
    let name = entry.annotations.get(media_type::REF_NAME)?;
    if let Some((repository, digest)) = name.split_once('@') {
        return Some((repository, Selector::Digest(digest.parse().ok()?)));
    }
    let (repository, tag) = name.rsplit_once(':')?;
    Some((repository, Selector::Tag(tag.parse().ok()?)))
}

/// What a manifest names: its config and layers, or the manifests of an index.
///
/// # Errors
/// When it is neither.
pub(super) fn named_by(manifest: &[u8]) -> Result<Vec<Descriptor>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Named {
        config: Option<Descriptor>,
        layers: Option<Vec<Descriptor>>,
        manifests: Option<Vec<Descriptor>>,
    }
    let Named { config, layers, manifests } = serde_json::from_slice(manifest)?;
    Ok(config.into_iter().chain(layers.into_iter().flatten()).chain(manifests.into_iter().flatten()).collect())
}

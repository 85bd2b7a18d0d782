//! Builds the artifacts of a release's JSON: the release manifest and the channel manifest.

use std::collections::BTreeMap;

use super::{
    ARTIFACT_TYPE, CONFIG_MEDIA_TYPE, FILE_NAME, Record, Release, Resolved, equal_but_for_channel, with_channel,
};
use crate::oci::{Artifact, Content, media_type};

impl Release {
    /// Packs the artifact of a release's JSON. Config and single layer are the same bytes.
    pub fn artifact(json: Vec<u8>) -> Artifact {
        pack(Content::new(CONFIG_MEDIA_TYPE, json), &[], BTreeMap::new())
    }
}

impl Resolved {
    /// Returns the JSON as the blob that was read.
    pub(crate) fn content(&self) -> Content {
        Content::new(CONFIG_MEDIA_TYPE, self.json.clone())
    }
}

/// Returns the JSON of a published release with the channel of `json`, if the two differ only in the channel and in the
/// description, which older publishers did not write.
pub(crate) fn without_description(published: &[u8], json: &[u8]) -> Option<Vec<u8>> {
    let (before, mut after) = (Release::parse(published).ok()?, Release::parse(json).ok()?);
    let described = before.description.is_none() && after.description.take().is_some();
    let same = described && equal_but_for_channel(published, &after.to_json());
    same.then(|| with_channel(published, &after.channel.parse().ok()?).ok())?
}

/// Builds the channel manifest for the release `json`, which already has the name of the channel. The signed statements
/// follow the JSON as further layers, so that one write moves the channel and its proof.
pub(crate) fn channel_artifact(json: Content, record: &Record, signatures: &[Content]) -> Artifact {
    pack(json, signatures, record.to_annotations())
}

fn pack(config: Content, further: &[Content], annotations: BTreeMap<String, String>) -> Artifact {
    let json = config.clone().annotated(media_type::TITLE, FILE_NAME);
    let layers = std::iter::once(json).chain(further.iter().cloned()).collect();
    Artifact::pack(Some(ARTIFACT_TYPE), config, layers, annotations)
}

//! Building a release: a pure function of what was packed and pinned.

use std::collections::BTreeMap;

use super::{
    ARTIFACT_TYPE, CONFIG_MEDIA_TYPE, ConfigReference, Description, FILE_NAME, Installation, ObjectName, Record,
    Release, SCHEMA, ValuesReader, equal_but_for_channel, with_channel,
};
use crate::config::Config;
use crate::image::PinnedImages;
use crate::oci::{Artifact, Content, Digest, Prefix, Tag, media_type};

/// What a release is built from.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Under which name the appliance reads.
    pub prefix: &'a Prefix,
    /// The release's version.
    pub version: &'a Tag,
    /// The channel that it is published for.
    pub channel: &'a Tag,
    /// Digest of the config bundle.
    pub bundle: &'a Digest,
    /// Every chart: name → version.
    pub charts: BTreeMap<String, String>,
    /// The charts that are published with it: name → digest.
    pub chart_digests: BTreeMap<String, Digest>,
    /// The application images and the control plane.
    pub images: &'a PinnedImages,
    /// Values of the profile: file name → text.
    pub profile_values: BTreeMap<String, String>,
    /// Hashed names: release → `ConfigMap`.
    pub values_config_maps: BTreeMap<String, String>,
    /// Which HelmRelease reads which values.
    pub readers: Vec<ValuesReader>,
}

/// The release as its JSON.
pub fn build(inputs: Inputs<'_>) -> Release {
    let description = describe(&inputs);
    Release {
        schema: SCHEMA.to_owned(),
        version: inputs.version.to_string(),
        channel: inputs.channel.to_string(),
        values_profile: inputs.config.profile.clone(),
        images: inputs.images.tags.iter().map(|(key, tag)| (key.clone(), tag.to_string())).collect(),
        control_plane: inputs.images.control_plane.as_ref().map(ToString::to_string),
        config: ConfigReference {
            repository: inputs.prefix.name_of(&inputs.config.repositories.config),
            version: inputs.version.to_string(),
            tag: Some(inputs.version.to_string()),
            digest: inputs.bundle.clone(),
        },
        charts: inputs.charts,
        chart_digests: inputs.chart_digests,
        image_digests: inputs.images.digests.clone(),
        profile_values: inputs.profile_values,
        values_config_maps: inputs.values_config_maps,
        extra_images: inputs.config.extra_images.clone(),
        description: Some(description),
        copied_from: None,
        extra: inputs.config.manifest.extra.clone(),
    }
}

/// Returns what the release says of itself.
fn describe(inputs: &Inputs<'_>) -> Description {
    let (config, appliance) = (inputs.config, &inputs.config.appliance);
    let selection = (appliance.namespace.clone(), appliance.selection_name.clone());
    Description {
        product: Some(config.product.clone()),
        prefix: inputs.prefix.to_string(),
        chart_repository: config.repositories.charts.clone(),
        appliance: Installation {
            flux_namespace: appliance.flux_namespace.clone(),
            source_name: appliance.source_name.clone(),
            selection: ObjectName { namespace: selection.0, name: selection.1, extra: BTreeMap::new() },
            required_images: config.images.keys().cloned().collect(),
            values: inputs.readers.clone(),
            extra: BTreeMap::new(),
        },
    }
}

impl Release {
    /// The artifact of a release's JSON: config and single layer are the same bytes.
    pub fn artifact(json: Vec<u8>) -> Artifact {
        pack(Content::new(CONFIG_MEDIA_TYPE, json), BTreeMap::new())
    }
}

/// Returns the JSON of a published release, in the channel that `json` is for, when the two differ by the description alone, which
/// publishers before did not write, and by the channel.
pub(crate) fn without_description(published: &[u8], json: &[u8]) -> Option<Vec<u8>> {
    let (before, mut after) = (Release::parse(published).ok()?, Release::parse(json).ok()?);
    let described = before.description.is_none() && after.description.take().is_some();
    let same = described && equal_but_for_channel(published, &after.to_json());
    same.then(|| with_channel(published, &after.channel.parse().ok()?).ok())?
}

/// Builds the manifest of a channel that serves the release `json`, whose `channel` is spliced already.
pub(crate) fn channel_artifact(json: Content, record: &Record) -> Artifact {
    pack(json, record.to_annotations())
}

fn pack(config: Content, annotations: BTreeMap<String, String>) -> Artifact {
    let layer = config.clone().annotated(media_type::TITLE, FILE_NAME);
    Artifact::pack(Some(ARTIFACT_TYPE), config, vec![layer], annotations)
}

//! Builds a release manifest. This is a pure function of the packed charts and the pinned images.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::Config;
use crate::image::PinnedImages;
use crate::oci::{Digest, Prefix, Tag};
use crate::release::{
    self, ConfigReference, Description, Installation, ObjectName, Release, SourceVerification, ValuesReader,
};

/// The inputs of a release manifest.
#[derive(Debug)]
pub(super) struct ReleaseInputs<'a> {
    /// Configuration of the product.
    pub config: &'a Config,
    /// Prefix below which the appliance reads the release.
    pub prefix: &'a Prefix,
    /// Version of the release.
    pub version: &'a Tag,
    /// Channel in the release's JSON.
    pub channel: &'a Tag,
    /// Digest of the config bundle.
    pub bundle: &'a Digest,
    /// Version of every chart, by its name.
    pub charts: BTreeMap<String, String>,
    /// Digest of each chart that is published with the release, by its name.
    pub chart_digests: BTreeMap<String, Digest>,
    /// The application images and the control plane.
    pub images: &'a PinnedImages,
    /// Values of the profile: text by file name.
    pub profile_values: BTreeMap<String, String>,
    /// Hashed `ConfigMap` names by the name of the values; empty when names are plain.
    pub values_config_maps: BTreeMap<String, String>,
    /// The HelmReleases that read values of the release.
    pub readers: Vec<ValuesReader>,
    /// Namespaces of the chart sources that Flux verifies.
    pub verifying: &'a BTreeSet<String>,
}

/// Builds the release manifest from its inputs.
pub(super) fn build(inputs: ReleaseInputs<'_>) -> Release {
    let description = describe(&inputs);
    Release {
        schema: release::SCHEMA.to_owned(),
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

/// Returns the release's description of itself, from which an appliance needs no configuration file.
fn describe(inputs: &ReleaseInputs<'_>) -> Description {
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
            pinned: config.is_signed(),
            verify: config.signing.flux.then(|| SourceVerification {
                secret_name: config.signing.secret_name.clone(),
                namespaces: inputs.verifying.iter().cloned().collect(),
            }),
            extra: BTreeMap::new(),
        },
    }
}

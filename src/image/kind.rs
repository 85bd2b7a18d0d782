//! Tells the manifest of a container image from those of charts, signatures and attestations, which have the same form.

use crate::oci::Manifest;

/// Prefixes of the media types of layers that a container runtime unpacks.
const LAYERS: [&str; 2] = ["application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs."];

/// Returns the reason why a manifest cannot be run as a container, or `None` for the manifest of a container image.
pub(crate) fn unlike_image(manifest: &Manifest) -> Option<String> {
    let config = &manifest.config.media_type;
    if !super::archive::is_of_image(config) {
        return Some(format!(
            "expected a container image, found an artifact with a config of `{}`",
            config.escape_debug()
        ));
    }
    let other = |media_type: &&str| !LAYERS.iter().any(|layer| media_type.starts_with(layer));
    let other = manifest.layers.iter().map(|layer| layer.media_type.as_str()).find(other)?;
    Some(format!(
        "expected a container image, found a signature, an attestation or another artifact: a layer is `{}`",
        other.escape_debug()
    ))
}

//! The parts of an image's config that this program reads.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md>

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Error;
use crate::image::Platform;
use crate::oci::{Digest, each_key_once, media_type};

/// Media type of an OCI image config. Docker's config has the same form.
pub(super) const MEDIA_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_MEDIA_TYPE: &str = "application/vnd.docker.container.image.v1+json";

/// Reports whether a media type is that of a container image's config.
pub(in crate::image) fn is_of_image(media_type: &str) -> bool {
    matches!(media_type, MEDIA_TYPE | DOCKER_MEDIA_TYPE)
}

/// The fields of a config that are used.
#[derive(Debug)]
pub(super) struct Config {
    pub platform: Platform,
    pub diff_ids: Vec<Digest>,
    pub revision: Option<String>,
}

#[derive(Deserialize)]
struct Json {
    #[serde(flatten)]
    platform: Platform,
    rootfs: RootFs,
    #[serde(default)]
    config: Option<Runtime>,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Option<Vec<Digest>>,
}

#[derive(Deserialize)]
struct Runtime {
    #[serde(default, rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

impl Config {
    /// Parses the config of an image that has `layers` layers.
    ///
    /// # Errors
    /// When the bytes are not an image config, or the config lists another number of layers.
    pub(super) fn parse(bytes: &[u8], layers: usize) -> Result<Self, Error> {
        let broken = |cause: serde_json::Error| Error::damaged(format!("invalid image config: {cause}"));
        each_key_once(bytes).map_err(broken)?;
        let Json { platform, rootfs, config } = serde_json::from_slice(bytes).map_err(broken)?;
        let diff_ids = rootfs.diff_ids.unwrap_or_default();
        if diff_ids.len() != layers {
            let reason = format!("the image has {layers} layers, but its config lists {}", diff_ids.len());
            return Err(Error::damaged(reason));
        }
        let labels = config.and_then(|config| config.labels).unwrap_or_default();
        Ok(Self { platform, diff_ids, revision: labels.get(media_type::REVISION).cloned() })
    }
}

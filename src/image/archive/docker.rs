//! Reads the archives of `docker save`: `manifest.json` names a config and its layers. Such an archive has no manifest for a
//! registry, so this module builds one.
//!
//! <https://github.com/moby/docker-image-spec/blob/v1.3.1/spec.md#combined-image-json--filesystem-changeset-format>

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;

use super::config::{self, Config};
use super::layer::Done;
use super::members::{Members, whole};
use super::{Error, Image, Settings};
use crate::oci::{Artifact, Content, each_key_once};

/// An entry of `manifest.json`: one image.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// Reads the image of an archive whose `manifest.json` is `manifest`.
pub(super) fn read(members: &Members, manifest: &[u8], settings: &Settings<'_>) -> Result<Image, Error> {
    let broken = |cause: serde_json::Error| Error::damaged(format!("invalid `manifest.json`: {cause}"));
    each_key_once(manifest).map_err(broken)?;
    let saved: Vec<Saved> = serde_json::from_slice(manifest).map_err(broken)?;
    let [image] = &saved[..] else {
        let names = saved.iter().flat_map(|image| image.repo_tags.iter().flatten()).map(String::as_str);
        let names: Vec<_> = names.collect();
        if saved.is_empty() {
            return Err(Error::damaged("expected one image, found none"));
        }
        return Err(Error::refused(format!("expected one image, found {}: {}", saved.len(), names.join(", "))));
    };
    let file = |name: &str| {
        let absent = || Error::damaged(format!("missing file `{}`", name.escape_debug()));
        members.file(name)?.ok_or_else(absent)
    };
    let names = image.layers.as_deref().unwrap_or_default();
    let json = Bytes::from(whole(&file(&image.config)?, &image.config)?);
    let content = Content::new(config::MEDIA_TYPE, json.clone());
    is_named(&image.config, &content)?;
    let config = Config::parse(&json, names.len())?;
    if !config.platform.fits(settings.platform) {
        return Err(Error::refused(format!(
            "expected an image for {}, found one for {}",
            settings.platform, config.platform
        )));
    }
    // Missing layers are reported before any layer is compressed, which takes time.
    let layers = names.iter().map(|name| file(name)).collect::<Result<Vec<_>, _>>()?;
    let mut done = Done::default();
    let layers = layers.iter().zip(&config.diff_ids).map(|(layer, diff_id)| done.found(layer, diff_id, settings));
    let artifact = Artifact::pack(None, content, layers.collect::<Result<_, _>>()?, BTreeMap::new());
    Ok(Image {
        artifact,
        names: image.repo_tags.iter().flatten().cloned().collect(),
        revision: config.revision,
        platforms: vec![config.platform],
        warnings: Vec::new(),
    })
}

/// Checks the digest in the name of a config: `<hex>.json`, `sha256:<hex>` or `blobs/sha256/<hex>`.
fn is_named(name: &str, config: &Content) -> Result<(), Error> {
    let base = name.rsplit(['/', ':']).next().unwrap_or_default();
    let hex = base.strip_suffix(".json").unwrap_or(base);
    let found = &config.descriptor().digest;
    if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) && hex != found.hex() {
        return Err(Error::damaged(format!(
            "the config `{}` has the digest {found}, not the one in its name",
            name.escape_debug()
        )));
    }
    Ok(())
}

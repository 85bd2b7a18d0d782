//! For which platforms an image in a store says that it is: an index in itself, a single image in its config.

use serde::Deserialize;

use super::Platform;
use crate::oci::{self, Descriptor, Manifest, ReadStore, Repository, media_type};

/// No config of an image is larger.
const CONFIG_LIMIT: u64 = 4 << 20;

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Child>,
}

#[derive(Deserialize)]
struct Child {
    #[serde(default)]
    platform: Option<Platform>,
}

/// All of them; none where nothing is said, and where it is no image.
///
/// # Errors
/// When the config cannot be read.
pub(super) async fn stated(
    store: &ReadStore,
    repository: &Repository,
    manifest: &Descriptor,
    bytes: &[u8],
) -> Result<Vec<Platform>, oci::Error> {
    let platforms = match manifest.media_type.as_str() {
        media_type::IMAGE_INDEX | media_type::DOCKER_MANIFEST_LIST => of_index(bytes),
        _ => of_single(store, repository, bytes).await?.into_iter().collect(),
    };
    // What builders say about an image stands beside it, for `unknown/unknown`.
    let known = |platform: &Platform| !matches!(platform.os.as_str(), "" | "unknown");
    Ok(platforms.into_iter().filter(known).collect())
}

fn of_index(bytes: &[u8]) -> Vec<Platform> {
    let children = serde_json::from_slice::<Index>(bytes).map(|index| index.manifests).unwrap_or_default();
    children.into_iter().filter_map(|child| child.platform).collect()
}

async fn of_single(store: &ReadStore, repository: &Repository, bytes: &[u8]) -> Result<Option<Platform>, oci::Error> {
    let Ok(manifest) = Manifest::parse(bytes) else { return Ok(None) };
    if !super::archive::is_of_image(&manifest.config.media_type) {
        return Ok(None);
    }
    let config = store.fetch_verified(repository, &manifest.config, CONFIG_LIMIT).await?;
    Ok(serde_json::from_slice(&config).ok())
}

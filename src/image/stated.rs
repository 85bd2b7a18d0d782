//! Reads the platforms that an image in a store states: an index states them itself, a single image in its config.

use super::Platform;
use crate::oci::{self, Descriptor, Kind, Manifest, Parsed, ReadStore, Repository, media_type};

/// Size of the largest image config that is read, in bytes.
const CONFIG_LIMIT: u64 = 4 << 20;

/// Field of a manifest's descriptor that holds the platform.
const PLATFORM: &str = "platform";

/// Returns the platforms that a manifest states. The list is empty for a manifest that states no platform, or that is not
/// the manifest of a container image.
///
/// # Errors
/// When the manifest is invalid, or the config cannot be read.
pub(super) async fn stated(
    store: &ReadStore,
    repository: &Repository,
    manifest: &Descriptor,
    bytes: &[u8],
) -> Result<Vec<Platform>, oci::Error> {
    if !media_type::is_manifest(&manifest.media_type) {
        return Ok(Vec::new());
    }
    let parsed = Parsed::parse(&manifest.media_type, bytes).map_err(|cause| {
        let reason = format!("invalid manifest: {cause}");
        oci::Error::new(Kind::Malformed, "read", format!("{repository}@{}", manifest.digest), reason)
    })?;
    let platforms: Vec<Platform> = match parsed {
        Parsed::Index(index) => index.manifests.iter().filter_map(of_child).collect(),
        Parsed::Manifest(manifest) => of_single(store, repository, &manifest).await?.into_iter().collect(),
    };
    // Builders put attestations into the index of an image, with the platform `unknown/unknown`.
    let known = |platform: &Platform| !matches!(platform.os.as_str(), "" | "unknown");
    Ok(platforms.into_iter().filter(known).collect())
}

fn of_child(child: &Descriptor) -> Option<Platform> {
    serde_json::from_value(child.other.get(PLATFORM)?.clone()).ok()
}

async fn of_single(
    store: &ReadStore,
    repository: &Repository,
    manifest: &Manifest,
) -> Result<Option<Platform>, oci::Error> {
    if !super::archive::is_of_image(&manifest.config.media_type) {
        return Ok(None);
    }
    let config = store.fetch_verified(repository, &manifest.config, CONFIG_LIMIT).await?;
    Ok(serde_json::from_slice(&config).ok())
}

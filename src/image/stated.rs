//! For which platforms an image in a store says that it is: an index in itself, a single image in its config.

use super::Platform;
use crate::oci::{self, Descriptor, Kind, Manifest, Parsed, ReadStore, Repository, media_type};

/// No config of an image is larger.
const CONFIG_LIMIT: u64 = 4 << 20;

/// The platform in the descriptor of a manifest.
const PLATFORM: &str = "platform";

/// Returns all of them; none when the manifest states none, and when it is not that of a container image.
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
    // What builders say about an image stands beside it, for `unknown/unknown`.
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

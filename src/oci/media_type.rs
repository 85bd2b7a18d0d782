//! Media types and annotation keys of the OCI image specification.

use serde::de::Error as _;
use serde_json::Error;

/// OCI image manifest.
pub const IMAGE_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const IMAGE_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's image manifest, schema 2.
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub(crate) const DOCKER_MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Every manifest type that a reader accepts, in an `Accept` header.
pub(crate) const MANIFESTS: [&str; 4] = [IMAGE_MANIFEST, IMAGE_INDEX, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST];
/// Those of a manifest with a config and layers.
pub(super) const IMAGE_MANIFESTS: &[&str] = &[IMAGE_MANIFEST, DOCKER_MANIFEST];
/// Those of a manifest that names others.
pub(super) const INDEXES: &[&str] = &[IMAGE_INDEX, DOCKER_MANIFEST_LIST];

/// Checks that a document of the type `found` can be read as `wanted`, whose types are `known`.
pub(super) fn expect(found: &str, known: &[&str], wanted: &str) -> Result<(), serde_json::Error> {
    if known.contains(&found) {
        return Ok(());
    }
    Err(Error::custom(format_args!("invalid media type `{}`: expected that of {wanted}", found.escape_debug())))
}

/// Checks that a document which was read as `outer` does not call itself something else.
pub(super) fn agree(outer: &str, own: Option<&str>) -> Result<(), serde_json::Error> {
    match own {
        Some(own) if own != outer => {
            let own = own.escape_debug();
            Err(Error::custom(format_args!("invalid `mediaType`: expected `{outer}`, as it is served, found `{own}`")))
        }
        _ => Ok(()),
    }
}

/// Returns the media type that a manifest states of itself, before it is parsed as that.
pub(super) fn own(bytes: &[u8]) -> Option<String> {
    let manifest = serde_json::from_slice::<serde_json::Value>(bytes).ok()?;
    manifest.get("mediaType")?.as_str().map(ToOwned::to_owned)
}

/// As [`own`]; an image manifest's media type where the manifest states none.
pub(super) fn of_manifest(bytes: &[u8]) -> String {
    own(bytes).unwrap_or_else(|| IMAGE_MANIFEST.to_owned())
}

/// Is `media_type` one of [`MANIFESTS`]?
pub fn is_manifest(media_type: &str) -> bool {
    MANIFESTS.contains(&media_type)
}

/// Is `media_type` that of a manifest that names others?
pub(crate) fn is_index(media_type: &str) -> bool {
    INDEXES.contains(&media_type)
}

/// Layers that their author's licence keeps where they are: `urls` of the descriptor say where. Registries do not want them.
///
/// <https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#non-distributable-layers>
pub(crate) fn is_foreign(media_type: &str) -> bool {
    media_type.contains(".nondistributable.") || media_type.contains(".foreign.")
}

/// When the content was made, RFC 3339.
pub const CREATED: &str = "org.opencontainers.image.created";
/// Where the source is, a URL.
pub const SOURCE: &str = "org.opencontainers.image.source";
/// Which state of the source.
pub const REVISION: &str = "org.opencontainers.image.revision";
/// A title for people; for a layer, its file name.
pub(crate) const TITLE: &str = "org.opencontainers.image.title";
/// The tag of an entry of a layout's index.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

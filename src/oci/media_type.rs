//! Media types and annotation keys of the OCI image specification.

/// OCI image manifest.
pub const IMAGE_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const IMAGE_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's image manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub const DOCKER_MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Every manifest type that a reader accepts, in an `Accept` header.
pub const MANIFESTS: [&str; 4] = [IMAGE_MANIFEST, IMAGE_INDEX, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST];

/// What a manifest says that it is; an image manifest where it does not say.
pub(super) fn of_manifest(bytes: &[u8]) -> String {
    let own = serde_json::from_slice::<serde_json::Value>(bytes).ok();
    let own = own.as_ref().and_then(|manifest| manifest.get("mediaType")?.as_str());
    own.unwrap_or(IMAGE_MANIFEST).to_owned()
}

/// Is `media_type` one of [`MANIFESTS`]?
pub fn is_manifest(media_type: &str) -> bool {
    MANIFESTS.contains(&media_type)
}

/// Is `media_type` that of a manifest that names others?
#[cfg(feature = "publish")]
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, IMAGE_INDEX | DOCKER_MANIFEST_LIST)
}

/// Layers that their author's licence keeps where they are: `urls` of the descriptor say where. Registries do not want them.
///
/// <https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#non-distributable-layers>
#[cfg(feature = "publish")]
pub fn is_foreign(media_type: &str) -> bool {
    media_type.contains(".nondistributable.") || media_type.contains(".foreign.")
}

/// When the content was made, RFC 3339.
pub const CREATED: &str = "org.opencontainers.image.created";
/// Where the source is, a URL.
pub const SOURCE: &str = "org.opencontainers.image.source";
/// Which state of the source.
pub const REVISION: &str = "org.opencontainers.image.revision";
/// A title for people; for a layer, its file name.
pub const TITLE: &str = "org.opencontainers.image.title";
/// The tag of an entry of a layout's index.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

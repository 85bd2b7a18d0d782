//! Media types and annotation keys of the OCI image specification.

use serde::de::Error as _;
use serde_json::Error;

/// Media type of an OCI image manifest.
pub const IMAGE_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an OCI image index.
pub const IMAGE_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The config of an artifact that needs none: the two bytes `{}`.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Claim about a digest, in the older form of a signature.
pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Annotation of a layer with such a claim: its signature, base64 of ASN.1 DER.
pub const COSIGN_SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// Sigstore bundle, version 0.3: a signed statement, as a layer.
pub const SIGSTORE_BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// Media type of Docker's image manifest, schema 2.
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Media type of Docker's manifest list.
pub(crate) const DOCKER_MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Every manifest type that this program accepts, as sent in an `Accept` header.
pub(crate) const MANIFESTS: [&str; 4] = [IMAGE_MANIFEST, IMAGE_INDEX, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST];
/// Media types of a manifest with a config and layers.
pub(super) const IMAGE_MANIFESTS: &[&str] = &[IMAGE_MANIFEST, DOCKER_MANIFEST];
/// Media types of a manifest that names other manifests.
pub(super) const INDEXES: &[&str] = &[IMAGE_INDEX, DOCKER_MANIFEST_LIST];

/// Checks that `found` is one of the `known` media types. `wanted` describes them in the error.
pub(super) fn expect(found: &str, known: &[&str], wanted: &str) -> Result<(), serde_json::Error> {
    if known.contains(&found) {
        return Ok(());
    }
    Err(Error::custom(format_args!("invalid media type `{}`: expected that of {wanted}", found.escape_debug())))
}

/// Checks that a document that was served as `outer` does not state another media type.
pub(super) fn agree(outer: &str, own: Option<&str>) -> Result<(), serde_json::Error> {
    match own {
        Some(own) if own != outer => {
            let own = own.escape_debug();
            Err(Error::custom(format_args!(
                "invalid `mediaType`: expected `{outer}`, as the manifest is served, found `{own}`"
            )))
        }
        _ => Ok(()),
    }
}

/// Returns the `mediaType` of a manifest without parsing the rest.
pub(super) fn own(bytes: &[u8]) -> Option<String> {
    let manifest = serde_json::from_slice::<serde_json::Value>(bytes).ok()?;
    manifest.get("mediaType")?.as_str().map(ToOwned::to_owned)
}

/// Returns the `mediaType` of a manifest, or that of an image manifest when there is none.
pub(super) fn of_manifest(bytes: &[u8]) -> String {
    own(bytes).unwrap_or_else(|| IMAGE_MANIFEST.to_owned())
}

/// Returns whether `media_type` is one of [`MANIFESTS`].
pub fn is_manifest(media_type: &str) -> bool {
    MANIFESTS.contains(&media_type)
}

/// Returns whether `media_type` is that of an index.
pub(crate) fn is_index(media_type: &str) -> bool {
    INDEXES.contains(&media_type)
}

/// Returns whether `media_type` is that of a layer whose licence forbids distribution. The `urls` of its descriptor say
/// where it is. Registries do not accept such layers.
///
/// <https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#non-distributable-layers>
pub(crate) fn is_foreign(media_type: &str) -> bool {
    media_type.contains(".nondistributable.") || media_type.contains(".foreign.")
}

/// Annotation: the time at which the content was created, RFC 3339.
pub const CREATED: &str = "org.opencontainers.image.created";
/// Annotation: the URL of the source.
pub const SOURCE: &str = "org.opencontainers.image.source";
/// Annotation: the revision of the source.
pub const REVISION: &str = "org.opencontainers.image.revision";
/// Annotation: a title for people; for a layer, its file name.
pub(crate) const TITLE: &str = "org.opencontainers.image.title";
/// Annotation: the tag of an entry in a layout's index.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

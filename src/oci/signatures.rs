//! Reads the signatures that are stored beside an artifact, in both forms that cosign writes. None of them is verified.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::try_join_all;

use super::{Descriptor, Digest, Error, Manifest, ReadStore, Repository, Selector, Tag, media_type};

/// Start of every tag that attaches content to a manifest.
pub(crate) const ATTACHED_PREFIX: &str = "sha256-";
/// Most signatures of one artifact that are read in each form.
const SIGNATURES: usize = 64;
/// Largest claim or bundle that is read, in bytes.
pub(crate) const SIGNATURE_LIMIT: u64 = 32 << 10;

/// A signature of the older form: a layer under the tag `sha256-<hex>.sig`, with the signature in its annotation.
///
/// <https://github.com/sigstore/cosign/blob/v2.6.1/specs/SIGNATURE_SPEC.md>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredClaim {
    /// Descriptor of the layer, with its annotations.
    pub layer: Descriptor,
    /// Bytes of the layer, which are signed.
    pub payload: Vec<u8>,
    /// Signature of the payload in ASN.1 DER.
    pub signature: Vec<u8>,
}

/// Returns the tag under which the older form of the signatures of a manifest is stored.
pub(crate) fn signature_tag(subject: &Digest) -> Tag {
    format!("{ATTACHED_PREFIX}{}.sig", subject.hex()).parse().expect("a digest makes a tag")
}

impl ReadStore {
    /// Reads the first 64 signatures of the older form. Layers that are missing, damaged or without a signature are left
    /// out.
    ///
    /// # Errors
    /// When the server of the store fails.
    pub async fn claims(&self, repository: &Repository, subject: &Digest) -> Result<Vec<StoredClaim>, Error> {
        let Some(manifest) = self.signature_manifest(repository, subject).await? else { return Ok(Vec::new()) };
        let layers = manifest.layers.into_iter().filter(|layer| layer.media_type == media_type::SIMPLE_SIGNING);
        let reads = layers.take(SIGNATURES).map(|layer| async move {
            let signature =
                layer.annotations.get(media_type::COSIGN_SIGNATURE).and_then(|text| STANDARD.decode(text).ok());
            let Some(signature) = signature else { return Ok(None) };
            let payload = present(self.fetch_verified(repository, &layer, SIGNATURE_LIMIT).await)?;
            Ok(payload.map(|payload| StoredClaim { layer, payload: payload.to_vec(), signature }))
        });
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    /// Reads the image whose layers are claims. Returns `None` when there is none, or another kind of manifest.
    async fn signature_manifest(&self, repository: &Repository, subject: &Digest) -> Result<Option<Manifest>, Error> {
        let selector = Selector::Tag(signature_tag(subject));
        let found = present(self.manifest(repository, &selector).await)?;
        Ok(found.and_then(|(descriptor, bytes)| Manifest::parse(&descriptor.media_type, &bytes).ok()))
    }
}

#[cfg(feature = "publish")]
impl ReadStore {
    /// Reads the first 64 Sigstore bundles that refer to a manifest. Bundles that are missing or damaged are left out.
    ///
    /// # Errors
    /// When the server of the store fails, or the list of referrers is too long.
    pub async fn bundles(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Vec<u8>>, Error> {
        let referrers = match self.listed(repository, subject).await? {
            Some(listed) => listed,
            None => self.index(repository, &super::referrers_tag(subject)).await?.manifests,
        };
        let bundles =
            referrers.into_iter().filter(|one| one.artifact_type.as_deref() == Some(media_type::SIGSTORE_BUNDLE));
        let reads = bundles.take(SIGNATURES).map(|referrer| async move {
            let selector = Selector::Digest(referrer.digest);
            let Some((descriptor, bytes)) = present(self.manifest(repository, &selector).await)? else {
                return Ok(None);
            };
            let Ok(manifest) = Manifest::parse(&descriptor.media_type, &bytes) else { return Ok(None) };
            let layer = manifest.layers.into_iter().find(|layer| layer.media_type == media_type::SIGSTORE_BUNDLE);
            let Some(layer) = layer else { return Ok(None) };
            let bundle = present(self.fetch_verified(repository, &layer, SIGNATURE_LIMIT).await)?;
            Ok(bundle.map(|bundle| bundle.to_vec()))
        });
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }
}

/// Returns `None` for content that is missing or damaged, which proves nothing.
fn present<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Err(error) if error.kind().is_of_server() || error.kind() == super::Kind::Denied => Err(error),
        Err(_) => Ok(None),
        Ok(read) => Ok(Some(read)),
    }
}

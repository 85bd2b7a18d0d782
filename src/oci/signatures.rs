//! Reads the signatures that are stored beside an artifact, in both forms that cosign writes. None of them is verified.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::try_join_all;

use super::{Descriptor, Digest, Error, Manifest, ReadStore, Repository, Selector, Tag, media_type};

/// Start of every tag that attaches content to a manifest.
pub(crate) const ATTACHED_PREFIX: &str = "sha256-";
/// Most signatures of one artifact that are read in each form.
pub(super) const SIGNATURES: usize = 64;
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
        let manifest = self.signature_manifest(repository, subject).await?;
        self.claims_in(repository, manifest.map(|manifest| manifest.layers).unwrap_or_default()).await
    }

    pub(super) async fn claims_in(
        &self,
        repository: &Repository,
        layers: Vec<Descriptor>,
    ) -> Result<Vec<StoredClaim>, Error> {
        let layers = layers.into_iter().filter(|layer| layer.media_type == media_type::SIMPLE_SIGNING);
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
    pub(super) async fn signature_manifest(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Option<Manifest>, Error> {
        let selector = Selector::Tag(signature_tag(subject));
        let found = present(self.manifest(repository, &selector).await)?;
        Ok(found.and_then(|(descriptor, bytes)| Manifest::parse(&descriptor.media_type, &bytes).ok()))
    }
}

/// Returns `None` for content that is missing or damaged, which proves nothing.
pub(super) fn present<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Err(error) if error.kind().is_of_server() || error.kind() == super::Kind::Denied => Err(error),
        Err(_) => Ok(None),
        Ok(read) => Ok(Some(read)),
    }
}

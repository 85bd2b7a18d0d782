//! Reads all that verifiers may take for a signature of a manifest: the older form, and the Sigstore bundles that refer to
//! the manifest. None of them is verified.

use futures_util::future::{try_join, try_join_all};

use super::signatures::{ATTACHED_PREFIX, SIGNATURES, present};
use super::store::Backing;
use super::{
    Descriptor, Digest, Error, Index, Kind, Manifest, ReadStore, Repository, SIGNATURE_LIMIT, Selector, StoredClaim,
    Tag, media_type, optional,
};

/// What verifiers may take for signatures of one manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredSignatures {
    /// Number of layers under the tag of the older form, of which the first 64 claims are read.
    pub layers: usize,
    /// Signatures of the older form, in the order of the layers.
    pub claims: Vec<StoredClaim>,
    /// Sigstore bundles that refer to the manifest.
    pub bundles: Vec<StoredStatement>,
}

/// A Sigstore bundle from a referrer of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredStatement {
    /// Bytes of the bundle, which are not parsed.
    pub bytes: Vec<u8>,
    /// Whether the list of referrers gives the type of the referrer. Newer clients do not find one without.
    pub is_listed: bool,
}

impl ReadStore {
    /// Reads the first 64 Sigstore bundles that refer to a manifest. Bundles that are missing or damaged are left out.
    ///
    /// # Errors
    /// When the server of the store fails, or the list of referrers is too long.
    pub async fn bundles(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Vec<u8>>, Error> {
        let bundles = self.stored_bundles(repository, subject).await?;
        Ok(bundles.into_iter().map(|bundle| bundle.bytes).collect())
    }

    /// Reads all that verifiers may take for a signature of a manifest, in both forms.
    ///
    /// # Errors
    /// When the server of the store fails, or the list of referrers is too long.
    pub async fn stored_signatures(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<StoredSignatures, Error> {
        let claims = async {
            let manifest = self.signature_manifest(repository, subject).await?;
            let layers = manifest.map(|manifest| manifest.layers).unwrap_or_default();
            let count = layers.len();
            Ok((count, self.claims_in(repository, layers).await?))
        };
        let bundles = self.stored_bundles(repository, subject);
        let ((layers, claims), bundles) = try_join(claims, bundles).await?;
        Ok(StoredSignatures { layers, claims, bundles })
    }

    /// Reads the bundles that a list of referrers names, all at once.
    async fn stored_bundles(&self, repository: &Repository, subject: &Digest) -> Result<Vec<StoredStatement>, Error> {
        let referrers = self.bundle_referrers(repository, subject).await?;
        let reads = referrers.iter().map(|referrer| self.bundle(repository, referrer));
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    /// Returns the first 64 referrers of a manifest that are Sigstore bundles, with or without their type.
    ///
    /// # Errors
    /// When the server of the store fails, or the list of referrers is too long.
    pub async fn bundle_referrers(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let mut referrers = if let Some(listed) = self.listed(repository, subject).await? {
            listed
        } else {
            let index = self.index(repository, &referrers_tag(subject)).await?;
            index.map(|(_, index)| index.manifests).unwrap_or_default()
        };
        referrers.retain(|one| is_untyped(one) || is_bundle(one.artifact_type.as_deref()));
        referrers.truncate(SIGNATURES);
        Ok(referrers)
    }

    /// Reads the bundle of a referrer. Returns `None` for another artifact, and for a bundle that is missing or damaged.
    ///
    /// # Errors
    /// When the server of the store fails.
    pub async fn bundle(
        &self,
        repository: &Repository,
        referrer: &Descriptor,
    ) -> Result<Option<StoredStatement>, Error> {
        let is_listed = !is_untyped(referrer);
        let selector = Selector::Digest(referrer.digest.clone());
        let Some((descriptor, bytes)) = present(self.manifest(repository, &selector).await)? else { return Ok(None) };
        let Ok(manifest) = Manifest::parse(&descriptor.media_type, &bytes) else { return Ok(None) };
        if !is_listed && !is_bundle(manifest.artifact_type.as_deref()) {
            return Ok(None);
        }
        let layer = manifest.layers.into_iter().find(|layer| layer.media_type == media_type::SIGSTORE_BUNDLE);
        let Some(layer) = layer else { return Ok(None) };
        let bundle = present(self.fetch_verified(repository, &layer, SIGNATURE_LIMIT).await)?;
        Ok(bundle.map(|bundle| StoredStatement { bytes: bundle.to_vec(), is_listed }))
    }

    /// Returns the referrers that the store itself lists. `None` means that the store keeps no such lists.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn listed(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Option<Vec<Descriptor>>, Error> {
        match &self.backing {
            Backing::Registry(registry) => registry.referrers(repository, subject).await,
            Backing::Layout(layout) => layout.referrers(repository, subject).map(Some),
            Backing::Archive(archive) => archive.referrers(repository, subject).map(Some),
        }
    }

    /// Reads the index under a tag, and its digest. Returns `None` when the tag is missing.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn index(&self, repository: &Repository, tag: &Tag) -> Result<Option<(Digest, Index)>, Error> {
        let found = optional(self.manifest(repository, &Selector::Tag(tag.clone())).await)?;
        let Some((descriptor, bytes)) = found else { return Ok(None) };
        let index = Index::parse(&descriptor.media_type, &bytes).map_err(|cause| {
            let reason = format!("invalid index: {cause}");
            Error::new(Kind::Malformed, "read", format!("{repository}:{tag}"), reason)
        })?;
        Ok(Some((descriptor.digest, index)))
    }
}

fn is_bundle(artifact_type: Option<&str>) -> bool {
    artifact_type == Some(media_type::SIGSTORE_BUNDLE)
}

/// Reports whether a list of referrers says nothing about an artifact. Artifactory lists the media type of the config in
/// place of the artifact type.
fn is_untyped(referrer: &Descriptor) -> bool {
    matches!(referrer.artifact_type.as_deref(), None | Some(media_type::EMPTY))
}

/// Returns the tag that lists the referrers of `subject` in a registry that does not list them itself.
///
/// <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#referrers-tag-schema>
pub(crate) fn referrers_tag(subject: &Digest) -> Tag {
    format!("{ATTACHED_PREFIX}{}", subject.hex()).parse().expect("a digest makes a tag")
}

//! Trust documents in a store: each version under its tag `trust-<version>` of the repository of releases. This is the
//! only part of the module that reads a store.

use bytes::Bytes;

use super::{
    DOCUMENT_ARTIFACT_TYPE, DOCUMENT_LIMIT, DOCUMENT_MEDIA_TYPE, InvalidTrust, STEPS, SignedDocument, TAG_PREFIX,
};
use crate::oci::{self, Descriptor, Digest, Manifest, ReadStore, Repository, Selector, Tag, optional};

/// Why a published trust document cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// The store failed, or lacks the layer of the document.
    #[error(transparent)]
    Store(#[from] oci::Error),
    /// The tag points to something else.
    #[error("{tag} is not a trust document: {reason}")]
    NotADocument {
        /// Tag that was read.
        tag: Tag,
        /// Reason why the manifest is not a trust document.
        reason: String,
    },
    /// The document breaks a rule, or does not follow the one before.
    #[error("{tag} is not accepted: {cause}")]
    Invalid {
        /// Tag that was read.
        tag: Tag,
        /// The rule that does not hold.
        cause: InvalidTrust,
    },
}

impl SignedDocument {
    /// Reads the next version of the document from a store. Returns `None` when the store has none.
    ///
    /// # Errors
    /// When the store fails in any other way, and when the document does not follow this one.
    pub async fn next_in(&self, store: &ReadStore, repository: &Repository) -> Result<Option<Self>, PublishedError> {
        let tag = document_tag(self.document().version + 1);
        let Some(envelope) = envelope(store, repository, &tag).await? else { return Ok(None) };
        let next = self.next(&envelope).map_err(|cause| PublishedError::Invalid { tag, cause })?;
        Ok(Some(next))
    }

    /// Reads one version of the document from a store. Returns `None` when the store does not have it. As with
    /// [`SignedDocument::open`], nothing is proven about who made it.
    ///
    /// # Errors
    /// When the store fails in any other way, and when the document is not valid by itself.
    pub async fn version_in(
        version: u64,
        store: &ReadStore,
        repository: &Repository,
    ) -> Result<Option<Self>, PublishedError> {
        let tag = document_tag(version);
        let Some(envelope) = envelope(store, repository, &tag).await? else { return Ok(None) };
        let document = Self::open(&envelope).map_err(|cause| PublishedError::Invalid { tag: tag.clone(), cause })?;
        let found = document.document().version;
        if found != version {
            let cause = InvalidTrust::Version { expected: version, found };
            return Err(PublishedError::Invalid { tag, cause });
        }
        Ok(Some(document))
    }

    /// Reports whether a store has a trust document under the tag of a version: something else may have the same tag.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_in(version: u64, store: &ReadStore, repository: &Repository) -> Result<bool, oci::Error> {
        match layer(store, repository, &document_tag(version)).await {
            Ok(layer) => Ok(layer.is_some()),
            Err(PublishedError::Store(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Reports whether the chain of documents in a store leads from this one to a later one.
    ///
    /// # Errors
    /// When the store fails. A chain that ends or that breaks a rule leads nowhere.
    pub async fn leads_to(&self, later: &Self, store: &ReadStore, repository: &Repository) -> Result<bool, oci::Error> {
        let mut reached = self.clone();
        for _ in 0..STEPS {
            if reached.adjoins(later) {
                return Ok(true);
            }
            if reached.document().version >= later.document().version {
                return Ok(false);
            }
            reached = match reached.next_in(store, repository).await {
                Ok(Some(next)) => next,
                Err(PublishedError::Store(cause)) => return Err(cause),
                Ok(None) | Err(_) => return Ok(false),
            };
        }
        Ok(false)
    }

    /// Reports whether a store serves another document under the version of this one. A document that is missing or
    /// cannot be read is not another one.
    pub async fn differs_in(&self, store: &ReadStore, repository: &Repository) -> bool {
        let layer = match layer(store, repository, &document_tag(self.document().version)).await {
            Ok(Some(layer)) if layer.digest == Digest::of(self.envelope()) => return false,
            Ok(Some(layer)) => layer,
            Ok(None) | Err(PublishedError::Store(_)) => return false,
            Err(_) => return true,
        };
        let Ok(envelope) = store.fetch_verified(repository, &layer, DOCUMENT_LIMIT as u64).await else { return false };
        // The same document may have been signed by further keys since.
        Self::open(&envelope).map_or(true, |other| other.payload_digest() != self.payload_digest())
    }
}

/// Returns the tag of a version of the trust document.
pub fn document_tag(version: u64) -> Tag {
    format!("{TAG_PREFIX}{version}").parse().expect("a number makes a tag")
}

/// Reads the envelope of a trust document under a tag.
async fn envelope(store: &ReadStore, repository: &Repository, tag: &Tag) -> Result<Option<Bytes>, PublishedError> {
    let Some(layer) = layer(store, repository, tag).await? else { return Ok(None) };
    Ok(Some(store.fetch_verified(repository, &layer, DOCUMENT_LIMIT as u64).await?))
}

/// Reads the manifest of a trust document, and returns its only layer.
async fn layer(store: &ReadStore, repository: &Repository, tag: &Tag) -> Result<Option<Descriptor>, PublishedError> {
    let not_a_document = |reason: String| PublishedError::NotADocument { tag: tag.clone(), reason };
    let found = optional(store.manifest(repository, &Selector::Tag(tag.clone())).await)?;
    let Some((descriptor, bytes)) = found else { return Ok(None) };
    let manifest = Manifest::parse(&descriptor.media_type, &bytes)
        .map_err(|cause| not_a_document(format!("invalid image manifest: {}", cause.to_string().escape_debug())))?;
    let artifact_type = manifest.artifact_type.as_deref().unwrap_or_default();
    if artifact_type != DOCUMENT_ARTIFACT_TYPE {
        return Err(not_a_document(format!("the artifact type is `{}`", artifact_type.escape_debug())));
    }
    match <[Descriptor; 1]>::try_from(manifest.layers) {
        Ok([layer]) if layer.media_type == DOCUMENT_MEDIA_TYPE => Ok(Some(layer)),
        _ => Err(not_a_document(format!("expected one layer of the type `{DOCUMENT_MEDIA_TYPE}`"))),
    }
}

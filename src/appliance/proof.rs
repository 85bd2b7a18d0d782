//! Reads a release from a store together with everything that proves it. Nothing is judged here.

use futures_util::future::OptionFuture;

use crate::oci::{Digest, ReadStore, Repository, Selector, StoredClaim};
use crate::release::{self, ReadSignatures, ResolveError, Resolved, UnreadRelease};
use crate::trust::Candidate;

/// A release as a store serves it, and its proof.
#[derive(Debug)]
pub struct Proof {
    /// The release under the reference that was asked for.
    pub resolved: Resolved,
    /// JSON of the release that the record of a channel manifest names, read by its digest. Absent when the manifest is
    /// the release itself, or was accepted before.
    pub named: Option<Vec<u8>>,
    /// Bundles in the layers of the manifest, at most 65.
    pub bundles: Vec<Vec<u8>>,
    /// Why a layer with a bundle cannot be read. The other layers may suffice.
    pub unread: Option<ResolveError>,
    /// Signatures of the older form. They are read when the manifest has no bundles, as a release manifest.
    pub claims: Vec<StoredClaim>,
}

impl Proof {
    /// Reads what proves a release: everything that its manifest names. `accepted` is the manifest that was accepted last
    /// for this reference: the release that it names was compared with it at that time.
    ///
    /// # Errors
    /// See [`ResolveError::kind`].
    pub async fn read(
        store: &ReadStore,
        repository: &Repository,
        selector: &Selector,
        manifest: &UnreadRelease,
        accepted: Option<&Digest>,
    ) -> Result<Self, ResolveError> {
        let named = manifest.record.as_ref().filter(|_| accepted != Some(&manifest.digest));
        let named = named.map(|record| release::named_release(store, repository, &manifest.digest, &record.release));
        let signatures = async { Ok(release::readable_signatures(store, repository, &manifest.signatures).await?) };
        let claims = async {
            let none = manifest.record.is_some() && matches!(selector, Selector::Tag(_));
            if none { Ok(Vec::new()) } else { Ok(store.claims(repository, &manifest.release_digest).await?) }
        };
        let read = manifest.read(store, repository);
        let named = async { OptionFuture::from(named).await.transpose() };
        let (resolved, named, signatures, claims) = futures_util::try_join!(read, named, signatures, claims)?;
        let (ReadSignatures { bundles, unread }, named) = (signatures, named.map(|named| named.json));
        Ok(Self { resolved, named, bundles, unread: unread.map(ResolveError::Store), claims })
    }

    /// Returns what may be a signature of the release.
    pub fn candidates(&self) -> impl Iterator<Item = Candidate<'_>> {
        let claims = self.claims.iter();
        let claims = claims.map(|claim| Candidate::Claim { payload: &claim.payload, signature: &claim.signature });
        claims.chain(self.bundles.iter().map(|bundle| Candidate::Bundle(bundle)))
    }
}

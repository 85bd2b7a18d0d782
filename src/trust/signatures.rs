//! Signatures of artifacts: which of the candidates that a store serves are the vendor's signatures of a digest.

use std::collections::BTreeSet;

use super::{Claim, KeyId, SignatureBundle, Statement, TrustDocument, Untrusted};
use crate::oci::Digest;

/// Most candidates that are tried as signatures of one artifact.
pub const CANDIDATES: usize = 64;

/// Bytes that may be a signature of an artifact.
#[derive(Clone, Copy, Debug)]
pub enum Candidate<'a> {
    /// A Sigstore bundle, from a referrer of the artifact or a layer of a channel manifest.
    Bundle(&'a [u8]),
    /// A claim from the tag `sha256-<hex>.sig`, with the signature in ASN.1 DER.
    Claim {
        /// Bytes of the layer, which are signed.
        payload: &'a [u8],
        /// Signature from the layer's annotation, decoded.
        signature: &'a [u8],
    },
}

/// Returns the keys of the role `release` that signed the artifact with the given digest. At most 64 candidates are tried.
pub fn artifact_signers<'a>(
    document: &TrustDocument,
    digest: &Digest,
    candidates: impl IntoIterator<Item = Candidate<'a>>,
) -> BTreeSet<KeyId> {
    let candidates = candidates.into_iter().take(CANDIDATES);
    candidates.filter_map(|candidate| candidate.signer(document, digest)).collect()
}

impl Candidate<'_> {
    /// Returns the key of the role `release` whose signature of the artifact this is.
    pub fn signer(&self, document: &TrustDocument, digest: &Digest) -> Option<KeyId> {
        let mut keys = document.keys_of(&document.release);
        match self {
            Self::Bundle(bytes) => {
                let bundle = SignatureBundle::parse(bytes).ok()?;
                // Another predicate over the same digest says something else about the artifact.
                let signs = Statement::parse(bundle.payload()).ok()? == Statement::Artifact(digest.clone());
                signs.then(|| bundle.signer(keys))?
            }
            Self::Claim { payload, signature } => {
                let signs = Claim::parse(payload).ok()?.digest == *digest;
                let signer = signs.then(|| keys.find(|(_, key)| key.verify(payload, signature)))?;
                signer.map(|(id, _)| *id)
            }
        }
    }
}

/// Verifies a release that was asked for by version or digest: it is signed and not withdrawn. Says nothing about
/// whether a channel serves it, or whether it is recent.
///
/// # Errors
/// [`Untrusted::Withdrawn`] and [`Untrusted::ReleaseUnsigned`].
pub fn accept_release<'a>(
    document: &TrustDocument,
    release: &Digest,
    candidates: impl IntoIterator<Item = Candidate<'a>>,
) -> Result<BTreeSet<KeyId>, Untrusted> {
    if document.withdrawn.contains(release) {
        return Err(Untrusted::Withdrawn(release.clone()));
    }
    let signers = artifact_signers(document, release, candidates);
    if signers.is_empty() { Err(Untrusted::ReleaseUnsigned(release.clone())) } else { Ok(signers) }
}

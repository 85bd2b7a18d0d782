//! The chain of trust documents: each version is signed by the root keys of the version before and by its own.

use std::collections::BTreeSet;

use super::document::DOCUMENT_LIMIT;
use super::fields::Malformed;
use super::{Envelope, KeyId, Time, TrustDocument};
use crate::oci::Digest;

/// Type of a trust document in its envelope.
pub const DOCUMENT_TYPE: &str = "application/vnd.alga.appliance.trust.v1+json";
/// Artifact type of the manifest of a published trust document.
pub const DOCUMENT_ARTIFACT_TYPE: &str = "application/vnd.alga.appliance.trust.v1";
/// Media type of the layer of a published trust document, which is the envelope.
pub const DOCUMENT_MEDIA_TYPE: &str = "application/vnd.alga.appliance.trust.v1+json.dsse";
/// Most versions that a reader follows in one run.
pub const STEPS: u64 = 1000;

/// A trust document that enough of its own root keys signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedDocument {
    document: TrustDocument,
    envelope: Vec<u8>,
    payload: Digest,
    signers: BTreeSet<KeyId>,
}

/// The reason why a trust document is not accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTrust {
    /// The envelope or the document in it breaks a rule.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Too few root keys signed.
    #[error(
        "trust document version {version}: expected signatures by {threshold} root keys of version {of}, found {found}"
    )]
    Threshold {
        /// Version of the document that was offered.
        version: u64,
        /// Version whose root keys are counted.
        of: u64,
        /// Number of keys that must sign.
        threshold: usize,
        /// Number of keys that signed.
        found: usize,
    },
    /// The version is not the next one.
    #[error("trust document: expected version {expected}, found version {found}")]
    Version {
        /// Version after the one that is held.
        expected: u64,
        /// Version of the document that was offered.
        found: u64,
    },
    /// The document is for another product.
    #[error("trust document version {version}: expected the product `{expected}`, found `{found}`")]
    Product {
        /// Version of the document that was offered.
        version: u64,
        /// Product of the document that is held.
        expected: String,
        /// Product of the document that was offered.
        found: String,
    },
    /// The epoch of a channel falls, which would make old statements count again.
    #[error("trust document version {version}: the epoch of the channel {channel} falls from {from} to {to}")]
    Epoch {
        /// Version of the document that was offered.
        version: u64,
        /// Name of the channel.
        channel: String,
        /// Epoch in the document that is held.
        from: u64,
        /// Epoch in the document that was offered.
        to: u64,
    },
}

impl SignedDocument {
    /// Reads a trust document in its envelope, and verifies that enough of its own root keys signed it. That proves
    /// nothing about who made it: the caller knows these bytes already, or uses [`SignedDocument::next`].
    ///
    /// # Errors
    /// See [`InvalidTrust`]. Expiry is not checked here: only the last document of a chain has to be current.
    pub fn open(envelope: &[u8]) -> Result<Self, InvalidTrust> {
        Ok(Self::read(envelope)?.0)
    }

    fn read(bytes: &[u8]) -> Result<(Self, Envelope), InvalidTrust> {
        let envelope = Envelope::parse(bytes, DOCUMENT_TYPE, DOCUMENT_LIMIT)?;
        let document = TrustDocument::parse(&envelope.payload)?;
        let signers = signers(&envelope, &document, document.version)?;
        let payload = Digest::of(&envelope.payload);
        Ok((Self { document, envelope: bytes.to_vec(), payload, signers }, envelope))
    }

    /// Reads the document after this one.
    ///
    /// # Errors
    /// When the version is not the next one, the product is another one, an epoch falls, or too few root keys of this
    /// document or of the next one signed. Also in the cases of [`SignedDocument::open`].
    pub fn next(&self, envelope: &[u8]) -> Result<Self, InvalidTrust> {
        let (mut next, envelope) = Self::read(envelope)?;
        next.document.follows(&self.document)?;
        let (held, version) = (&self.document, next.document.version);
        next.signers.extend(signers(&envelope, held, version)?);
        Ok(next)
    }

    /// Reports whether enough root keys of another version signed this one. An earlier version for which that holds is
    /// one of the same vendor, though nothing else leads back to it.
    pub fn is_signed_by(&self, other: &TrustDocument) -> bool {
        let envelope = Envelope::parse(&self.envelope, DOCUMENT_TYPE, DOCUMENT_LIMIT);
        envelope.is_ok_and(|envelope| signers(&envelope, other, self.document.version).is_ok())
    }

    /// Reports whether another document is the same version of this chain, the next one or the one before.
    pub fn adjoins(&self, other: &Self) -> bool {
        self.payload == other.payload || self.next(&other.envelope).is_ok() || other.next(&self.envelope).is_ok()
    }

    /// Returns the document that the envelope contains.
    pub fn document(&self) -> &TrustDocument {
        &self.document
    }

    /// Returns the bytes of the envelope, as they were read.
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }

    /// Returns the digest of the document without its signatures. Two documents of one version that differ in it are
    /// two histories.
    pub fn payload_digest(&self) -> &Digest {
        &self.payload
    }

    /// Returns the root keys that signed: of this document, and of the one before when it was followed.
    pub fn signers(&self) -> &BTreeSet<KeyId> {
        &self.signers
    }
}

/// Returns the root keys of `document` that signed, if they are enough.
fn signers(envelope: &Envelope, document: &TrustDocument, version: u64) -> Result<BTreeSet<KeyId>, InvalidTrust> {
    let signers = envelope.signers(document.keys_of(&document.root));
    let (threshold, found) = (document.root.threshold, signers.len());
    if found < threshold {
        return Err(InvalidTrust::Threshold { version, of: document.version, threshold, found });
    }
    Ok(signers)
}

impl TrustDocument {
    /// Checks that the document may be the one after `held`, apart from the signatures.
    ///
    /// # Errors
    /// When the version is not the next one, the product is another one, or an epoch falls.
    pub fn follows(&self, held: &Self) -> Result<(), InvalidTrust> {
        let version = self.version;
        if version != held.version + 1 {
            return Err(InvalidTrust::Version { expected: held.version + 1, found: version });
        }
        if self.product != held.product {
            let (expected, found) = (held.product.clone(), self.product.clone());
            return Err(InvalidTrust::Product { version, expected, found });
        }
        for (channel, role) in &held.channels {
            let (from, to) = (role.epoch, self.channels.get(channel).map_or(u64::MAX, |role| role.epoch));
            if to < from {
                return Err(InvalidTrust::Epoch { version, channel: channel.clone(), from, to });
            }
        }
        Ok(())
    }

    /// Reports whether the document counts at a time.
    pub fn is_current(&self, now: Time) -> bool {
        now < self.expires
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;

//! A trust document on its way: it may lack signatures, so nothing is proven by it yet.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::signing::{KeySignature, check_point};
use crate::trust::{DOCUMENT_LIMIT, DOCUMENT_TYPE, Envelope, InvalidTrust, Key, KeyId, Signature, TrustDocument};

/// Key of the file with the reasons of changes. It is outside of what is signed, so readers of documents ignore it.
const REASONS: &str = "reasons";

/// A trust document with the signatures that it has so far.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) document: TrustDocument,
    envelope: Envelope,
    /// Why the document changes, for those who sign it and for the published artifact.
    pub(super) reasons: Vec<String>,
}

impl Draft {
    /// Returns a document without signatures.
    pub(super) fn new(document: TrustDocument, reasons: Vec<String>) -> Self {
        let envelope = Envelope::new(DOCUMENT_TYPE, document.to_bytes());
        Self { document, envelope, reasons }
    }

    /// Reads a document from the bytes of a file. Its signatures may be too few.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, InvalidTrust> {
        let envelope = Envelope::parse(bytes, DOCUMENT_TYPE, DOCUMENT_LIMIT)?;
        let document = TrustDocument::parse(&envelope.payload)?;
        let reasons =
            match serde_json::from_slice::<Map<String, Value>>(bytes).ok().and_then(|mut map| map.remove(REASONS)) {
                Some(Value::Array(reasons)) => reasons.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                _ => Vec::new(),
            };
        Ok(Self { document, envelope, reasons })
    }

    /// Returns the bytes of the file: the envelope, and beside it the reasons.
    pub(super) fn to_file(&self) -> Vec<u8> {
        let mut map: Map<String, Value> = serde_json::from_slice(&self.to_envelope()).expect("an object");
        if self.reasons.is_empty() {
            return self.to_envelope();
        }
        map.insert(REASONS.to_owned(), self.reasons.clone().into());
        serde_json::to_vec(&map).expect("text keys")
    }

    /// Returns the bytes of the envelope, as they are published.
    pub(super) fn to_envelope(&self) -> Vec<u8> {
        self.envelope.to_bytes()
    }

    /// Returns the bytes that are signed, without their type.
    pub(super) fn payload(&self) -> &[u8] {
        &self.envelope.payload
    }

    /// Returns the message that a signature signs.
    pub(super) fn message(&self) -> Vec<u8> {
        self.envelope.message()
    }

    /// Returns whether the envelope has signatures, of whatever keys.
    pub(super) fn has_signatures(&self) -> bool {
        !self.envelope.signatures.is_empty()
    }

    /// Returns the root keys of a document that signed this one.
    pub(super) fn signers(&self, of: &TrustDocument) -> BTreeSet<KeyId> {
        self.envelope.signers(of.keys_of(&of.root))
    }

    /// Adds signatures by keys that have not signed yet, and removes those that no root key made.
    pub(super) fn add(&mut self, new: Vec<KeySignature>, admissible: &[Key]) -> BTreeSet<KeyId> {
        let by = admissible.iter().map(|key| (key.id(), *key)).collect::<Vec<_>>();
        let message = self.message();
        let mut signed = BTreeSet::new();
        let mut kept = Vec::new();
        for Signature { signature, .. } in std::mem::take(&mut self.envelope.signatures) {
            let maker = by.iter().find(|(id, key)| !signed.contains(id) && key.verify(&message, &signature));
            if let Some((id, _)) = maker {
                signed.insert(*id);
                kept.push(Signature { key: Some(*id), signature });
            }
        }
        let mut added = BTreeSet::new();
        for KeySignature { key, der } in new {
            if signed.insert(key.id()) {
                added.insert(key.id());
                kept.push(Signature { key: Some(key.id()), signature: der });
            }
        }
        self.envelope.signatures = kept;
        added
    }

    /// Returns the document without the reasons of its changes.
    pub(super) fn without_reasons(self) -> Self {
        Self { reasons: Vec::new(), ..self }
    }

    /// Returns the first key of the document whose point is not on the curve. Verifiers differ in what they make of it.
    pub(super) fn key_off_the_curve(&self) -> Option<KeyId> {
        self.document.keys.iter().find(|(_, key)| check_point(key).is_err()).map(|(id, _)| *id)
    }
}

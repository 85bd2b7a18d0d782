//! Private keys for unit tests, and what they sign.

use std::collections::BTreeSet;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

use super::{
    ChannelRole, Envelope, Key, RefreshRole, Role, Signature, SignatureBundle, TrustDocument, statement_message,
};

/// A private key of a test.
#[derive(Debug)]
pub(crate) struct SigningKey(EcdsaKeyPair);

impl SigningKey {
    /// Makes a new random key.
    pub(crate) fn generate() -> Self {
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("random bytes");
        Self(EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).expect("a key"))
    }

    /// Returns the public half of the key.
    pub(crate) fn key(&self) -> Key {
        let start = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
        let mut der: Vec<u8> =
            (0..start.len()).step_by(2).map(|at| u8::from_str_radix(&start[at..at + 2], 16).expect("hex")).collect();
        der.extend(self.0.public_key().as_ref());
        Key::from_der(&der).expect("a public key")
    }

    /// Signs a message. Each signature is another one, although all of them verify.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(&SystemRandom::new(), message).expect("a signature").as_ref().to_vec()
    }
}

/// Signs a payload with each of the keys.
pub(crate) fn envelope(payload_type: &str, payload: Vec<u8>, keys: &[&SigningKey]) -> Envelope {
    let mut envelope = Envelope::new(payload_type, payload);
    let message = envelope.message();
    let signatures = keys.iter().map(|key| Signature { key: Some(key.key().id()), signature: key.sign(&message) });
    envelope.signatures = signatures.collect();
    envelope
}

/// The private keys of a vendor with two channels: `stable` needs two of three keys and has a refresh role, `nightly`
/// needs one key.
#[derive(Debug)]
pub(crate) struct Vendor {
    pub(crate) root: Vec<SigningKey>,
    pub(crate) release: SigningKey,
    pub(crate) stable: Vec<SigningKey>,
    pub(crate) refresh: SigningKey,
    pub(crate) nightly: SigningKey,
}

impl Vendor {
    /// Makes random keys for every role.
    pub(crate) fn new() -> Self {
        let several = |count: usize| (0..count).map(|_| SigningKey::generate()).collect();
        Self {
            root: several(2),
            release: SigningKey::generate(),
            stable: several(3),
            refresh: SigningKey::generate(),
            nightly: SigningKey::generate(),
        }
    }

    /// Returns the root keys.
    pub(crate) fn root(&self) -> Vec<&SigningKey> {
        self.root.iter().collect()
    }

    /// Returns version 1 of the vendor's trust document.
    pub(crate) fn document(&self) -> TrustDocument {
        let role =
            |keys: &[&SigningKey], threshold| Role { keys: keys.iter().map(|key| key.key().id()).collect(), threshold };
        let stable: Vec<&SigningKey> = self.stable.iter().collect();
        let all = self.root.iter().chain(&self.stable).chain([&self.release, &self.refresh, &self.nightly]);
        let refresh = RefreshRole { role: role(&[&self.refresh], 1), max_lifetime_days: 14 };
        let stable = ChannelRole { epoch: 1, role: role(&stable, 2), max_lifetime_days: 180, refresh: Some(refresh) };
        let nightly = ChannelRole { epoch: 1, role: role(&[&self.nightly], 1), max_lifetime_days: 30, refresh: None };
        TrustDocument {
            product: "alga-appliance".to_owned(),
            version: 1,
            issued: "2026-11-01T00:00:00Z".parse().expect("a time"),
            expires: "2028-11-01T00:00:00Z".parse().expect("a time"),
            keys: all.map(|key| (key.key().id(), key.key())).collect(),
            root: role(&self.root(), 2),
            release: role(&[&self.release], 1),
            channels: [("stable".to_owned(), stable), ("nightly".to_owned(), nightly)].into(),
            withdrawn: BTreeSet::new(),
        }
    }
}

/// Returns the bundle of a statement that a key signed.
pub(crate) fn bundle(payload: &[u8], key: &SigningKey) -> Vec<u8> {
    let signature = key.sign(&statement_message(payload));
    SignatureBundle::new(payload.to_vec(), &key.key().id(), signature).to_bytes()
}

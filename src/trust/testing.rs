//! Private keys for unit tests.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

use super::Key;

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

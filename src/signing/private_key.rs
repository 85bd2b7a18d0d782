//! Private keys for ECDSA on P-256. Signatures are deterministic, so that the same message has the same signature in
//! every run.
//!
//! <https://www.rfc-editor.org/rfc/rfc6979>

use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::ALGORITHM_OID;
use p256::pkcs8::{DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _, PrivateKeyInfoRef};
use p256::{PublicKey, SecretKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};

use super::encrypted::EncryptedKey;
use super::{InvalidKeyFile, pem};
use crate::trust::{InvalidKey, Key};

/// Labels of PEM blocks with a private key. The first is PKCS#8; the second is that of cosign's encrypted keys.
pub(super) const PLAIN: &str = "PRIVATE KEY";
pub(super) const ENCRYPTED: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";

/// Object identifiers of algorithms and curves that are not supported.
const ALGORITHMS: [(&str, &str); 5] = [
    ("1.2.840.113549.1.1.1", "RSA"),
    ("1.2.840.113549.1.1.10", "RSA-PSS"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
    ("1.3.101.110", "X25519"),
];
const CURVES: [(&str, &str); 3] =
    [("1.3.132.0.34", "ECDSA P-384"), ("1.3.132.0.35", "ECDSA P-521"), ("1.3.132.0.10", "ECDSA secp256k1")];

/// Checks that the point of a public key is on the curve.
///
/// # Errors
/// [`InvalidKey::Point`].
pub fn check_point(key: &Key) -> Result<(), InvalidKey> {
    PublicKey::from_public_key_der(key.der()).map(drop).map_err(|_| InvalidKey::Point)
}

/// A private key. Its memory is wiped, and no message shows it.
#[derive(Clone)]
pub struct PrivateKey {
    secret: SigningKey,
    key: Key,
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivateKey").field("key", &self.key).finish_non_exhaustive()
    }
}

impl PrivateKey {
    /// Makes a new random key.
    pub fn generate() -> Self {
        loop {
            let bytes = SecretBox::init_with_mut(|bytes: &mut [u8; 32]| {
                SystemRandom::new().fill(bytes).expect("the kernel gives random bytes");
            });
            // A number that is not below the order of the curve is not a key, which is as rare as 1 in 2^32.
            if let Ok(secret) = SecretKey::from_slice(bytes.expose_secret()) {
                return Self::of(&secret);
            }
        }
    }

    /// Reads a key from PKCS#8.
    ///
    /// # Errors
    /// Names the algorithm or the curve that is not supported.
    pub(super) fn from_pkcs8(der: &[u8]) -> Result<Self, InvalidKeyFile> {
        let found = PrivateKeyInfoRef::try_from(der).map_err(|_| InvalidKeyFile::Der)?;
        let name_of = |identifier: String, known: &[(&str, &str)]| {
            let known = known.iter().find(|(number, _)| *number == identifier);
            known.map_or_else(|| format!("one with the object identifier {identifier}"), |(_, name)| (*name).to_owned())
        };
        let algorithm = found.algorithm;
        if algorithm.oid != ALGORITHM_OID {
            return Err(InvalidKeyFile::Algorithm(name_of(algorithm.oid.to_string(), &ALGORITHMS)));
        }
        let curve = algorithm.parameters_oid().map_err(|_| InvalidKeyFile::Der)?;
        if curve != <p256::NistP256 as p256::pkcs8::AssociatedOid>::OID {
            return Err(InvalidKeyFile::Algorithm(name_of(curve.to_string(), &CURVES)));
        }
        SecretKey::try_from(found).map(|secret| Self::of(&secret)).map_err(|_| InvalidKeyFile::Der)
    }

    fn of(secret: &SecretKey) -> Self {
        let public = secret.public_key().to_public_key_der().expect("a point on the curve has an encoding");
        let key = Key::from_der(public.as_bytes()).expect("the encoding is uncompressed, with a named curve");
        Self { secret: SigningKey::from(secret), key }
    }

    /// Returns the public half of the key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Signs a message. Returns the signature as ASN.1 DER, which is always the same for a message.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.secret.sign(message);
        signature.to_der().as_bytes().to_vec()
    }

    /// Returns the file of the key without a password: PKCS#8 in PEM.
    pub fn to_pem(&self) -> SecretString {
        pem::write(PLAIN, self.pkcs8().as_bytes())
    }

    /// Returns the file of the key with a password, as cosign reads and writes it.
    pub fn to_encrypted_pem(&self, password: &SecretString) -> SecretString {
        let encrypted = EncryptedKey::seal(self.pkcs8().as_bytes(), password.expose_secret().as_bytes());
        pem::write(ENCRYPTED, &encrypted.to_json())
    }

    fn pkcs8(&self) -> p256::pkcs8::SecretDocument {
        SecretKey::from(&self.secret).to_pkcs8_der().expect("a key has an encoding")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::KeyFile;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
    }

    /// RFC 6979, A.2.5: the signature of "sample" with SHA-256.
    #[test]
    fn signatures_are_those_of_rfc_6979() {
        let secret = bytes("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
        let key = PrivateKey::of(&SecretKey::from_slice(&secret).expect("a key"));
        let signature = Signature::from_slice(&bytes(
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
             f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
        ));
        assert_eq!(key.sign(b"sample"), signature.expect("a signature").to_der().as_bytes());
        assert!(key.key().verify(b"sample", &key.sign(b"sample")));
        assert!(!key.key().verify(b"other", &key.sign(b"sample")));
    }

    #[test]
    fn a_new_key_is_read_back_from_both_of_its_files() {
        let (key, password) = (PrivateKey::generate(), SecretString::from("word"));
        assert_ne!(key.key(), PrivateKey::generate().key());
        for (file, is_encrypted) in [(key.to_pem(), false), (key.to_encrypted_pem(&password), true)] {
            let file = KeyFile::parse(file.expose_secret().as_bytes()).expect("a key file");
            assert_eq!(file.is_encrypted(), is_encrypted);
            assert_eq!(file.unlock(&password).expect("a key").key(), key.key());
        }
    }

    #[test]
    fn no_message_shows_a_private_key() {
        let key = PrivateKey::generate();
        let number: Vec<String> = key.secret.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = format!("{key:?} {:?} {:?}", KeyFile::Plain(key.clone()), key.to_pem());
        assert!(!shown.contains(&number.concat()) && !shown.contains(&number[..4].join(", ")), "{shown}");
        assert!(!shown.contains(&key.to_pem().expose_secret()[30..60]), "{shown}");
    }
}

//! The encrypted key files of cosign: scrypt makes a key of the password, and a secret box of `NaCl` holds the PKCS#8 bytes.
//!
//! <https://pkg.go.dev/github.com/secure-systems-lab/go-securesystemslib/encrypted>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit as _;
use ring::rand::{SecureRandom as _, SystemRandom};
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit as _, StreamCipher as _};
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox};
use serde::{Deserialize, Serialize};

use super::InvalidKeyFile;
use crate::system::SecretBytes;

/// Most work that a password costs, as the exponent of N. The memory that scrypt needs is 1 KiB times N: 128 MiB.
const MOST_WORK: u32 = 17;
/// The work for a key that this program encrypts, which is that of cosign: N is 65,536.
const WORK: u32 = 16;
/// The other parameters of scrypt, which cosign never varies.
const BLOCK_SIZE: u32 = 8;
const PARALLEL: u32 = 1;

const KDF: &str = "scrypt";
const CIPHER: &str = "nacl/secretbox";
const SALT: usize = 32;
const NONCE: usize = 24;
/// Length of the authenticator before the encrypted bytes.
const TAG: usize = 16;

/// An encrypted private key.
#[derive(Clone)]
pub struct EncryptedKey {
    /// Exponent of scrypt's N.
    work: u32,
    salt: Vec<u8>,
    nonce: [u8; NONCE],
    /// The authenticator, then the encrypted bytes.
    sealed: Vec<u8>,
}

impl std::fmt::Debug for EncryptedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncryptedKey").field("work", &self.work).finish_non_exhaustive()
    }
}

/// The JSON in the PEM block of an encrypted key. Bytes are in base64.
#[derive(Deserialize, Serialize)]
struct Document {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize, Serialize)]
struct Kdf {
    name: String,
    params: Parameters,
    salt: String,
}

#[derive(Deserialize, Serialize)]
struct Parameters {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Deserialize, Serialize)]
struct Cipher {
    name: String,
    nonce: String,
}

type DerivedKey = SecretBox<[u8; 32]>;

impl EncryptedKey {
    /// Reads what a PEM block with the label of an encrypted key holds. Everything is checked that needs no password.
    pub(super) fn parse(json: &[u8]) -> Result<Self, InvalidKeyFile> {
        let unlike = InvalidKeyFile::Encrypted;
        let decode = |text| STANDARD.decode(text).map_err(|_| unlike("invalid base64"));
        let Ok(Document { kdf, cipher, ciphertext }) = serde_json::from_slice(json) else {
            return Err(unlike("invalid JSON"));
        };
        if kdf.name != KDF {
            return Err(unlike("a key derivation other than scrypt"));
        }
        if cipher.name != CIPHER {
            return Err(unlike("a cipher other than nacl/secretbox"));
        }
        let (salt, sealed) = (decode(&kdf.salt)?, decode(&ciphertext)?);
        let nonce = decode(&cipher.nonce)?.try_into().map_err(|_| unlike("a nonce that is not 24 bytes long"))?;
        if sealed.len() <= TAG {
            return Err(unlike("too few encrypted bytes"));
        }
        Ok(Self { work: kdf.params.work()?, salt, nonce, sealed })
    }

    /// Returns the JSON that [`Self::parse`] reads.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let encode = |bytes: &[u8]| STANDARD.encode(bytes);
        let params = Parameters { n: 1 << self.work, r: BLOCK_SIZE, p: PARALLEL };
        let document = Document {
            kdf: Kdf { name: KDF.to_owned(), params, salt: encode(&self.salt) },
            cipher: Cipher { name: CIPHER.to_owned(), nonce: encode(&self.nonce) },
            ciphertext: encode(&self.sealed),
        };
        serde_json::to_vec(&document).expect("a document has text keys alone")
    }

    /// Encrypts bytes with a password and random numbers.
    pub(super) fn seal(bytes: &[u8], password: &[u8]) -> Self {
        let (mut salt, mut nonce, random) = (vec![0; SALT], [0; NONCE], SystemRandom::new());
        random.fill(&mut salt).and_then(|()| random.fill(&mut nonce)).expect("the kernel gives random bytes");
        let (mut cipher, mac) = secret_box(&derive(password, &salt, WORK), nonce);
        let mut sealed = [&[0; TAG][..], bytes].concat();
        cipher.apply_keystream(&mut sealed[TAG..]);
        let tag = mac.compute_unpadded(&sealed[TAG..]);
        sealed[..TAG].copy_from_slice(&tag);
        Self { work: WORK, salt, nonce, sealed }
    }

    /// Decrypts the bytes.
    ///
    /// # Errors
    /// [`InvalidKeyFile::Password`] when the password is another one.
    pub(super) fn open(&self, password: &[u8]) -> Result<SecretBytes, InvalidKeyFile> {
        let (tag, sealed) = self.sealed.split_at(TAG);
        let (mut cipher, mac) = secret_box(&derive(password, &self.salt, self.work), self.nonce);
        // Whoever could learn something from the time of this comparison has the file already.
        if mac.compute_unpadded(sealed).as_slice() != tag {
            return Err(InvalidKeyFile::Password);
        }
        let mut bytes: SecretBytes = SecretBox::new(Box::new(sealed.to_vec()));
        cipher.apply_keystream(bytes.expose_secret_mut());
        Ok(bytes)
    }
}

impl Parameters {
    /// Returns the exponent of N.
    fn work(&self) -> Result<u32, InvalidKeyFile> {
        let Self { n, r, p } = *self;
        let work = n.is_power_of_two().then(|| n.trailing_zeros()).filter(|work| (1..=MOST_WORK).contains(work));
        let work = work.filter(|_| r == BLOCK_SIZE && p == PARALLEL);
        work.ok_or(InvalidKeyFile::Work { n, r, p })
    }
}

fn derive(password: &[u8], salt: &[u8], work: u32) -> DerivedKey {
    let work = u8::try_from(work).expect("an exponent of at most 17");
    let parameters = scrypt::Params::new(work, BLOCK_SIZE, PARALLEL).expect("parameters that scrypt allows");
    SecretBox::init_with_mut(|key: &mut [u8; 32]| {
        scrypt::scrypt(password, salt, &parameters, key).expect("32 bytes are a length that scrypt allows");
    })
}

/// Returns the cipher and the authenticator of a secret box: the first 32 bytes of the key stream are the key of
/// the authenticator, which is computed over the encrypted bytes.
///
/// <https://nacl.cr.yp.to/secretbox.html>
fn secret_box(key: &DerivedKey, nonce: [u8; NONCE]) -> (XSalsa20, Poly1305) {
    let mut cipher = XSalsa20::new(key.expose_secret().into(), &nonce.into());
    let key: DerivedKey = SecretBox::init_with_mut(|key: &mut [u8; 32]| cipher.apply_keystream(key));
    (cipher, Poly1305::new(key.expose_secret().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let hex: String = hex.split_whitespace().collect();
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
    }

    /// The example of "Cryptography in `NaCl`", section 10: key, nonce, message and box.
    #[test]
    fn the_secret_box_is_that_of_nacl() {
        let key = bytes("1b27556473e985d462cd51197a9a46c7 6009549eac6474f206c4ee0844f68389");
        let nonce = bytes("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37");
        let mut message = bytes(
            "be075fc53c81f2d5cf141316ebeb0c7b 5228c52a4c62cbd44b66849b64244ffc e5ecbaaf33bd751a1ac728d45e6c6129 \
             6cdc3c01233561f41db66cce314adb31 0e3be8250c46f06dceea3a7fa1348057 e2f6556ad6b1318a024a838f21af1fde \
             048977eb48f59ffd4924ca1c60902e52 f0a089bc76897040e082f93776384864 5e0705",
        );
        let expected = bytes(
            "f3ffc7703f9400e52a7dfb4b3d3305d9 8e993b9f48681273c29650ba32fc76ce 48332ea7164d96a4476fb8c531a1186a \
             c0dfc17c98dce87b4da7f011ec48c972 71d2c20f9b928fe2270d6fb863d51738 b48eeee314a7cc8ab932164548e526ae \
             90224368517acfeabd6bb3732bc0e9da 99832b61ca01b6de56244a9e88d5f9b3 7973f622a43d14a6599b1f654cb45a74 \
             e355a5",
        );
        let key = SecretBox::init_with_mut(|own: &mut [u8; 32]| own.copy_from_slice(&key));
        let (mut cipher, mac) = secret_box(&key, nonce.try_into().expect("24 bytes"));
        cipher.apply_keystream(&mut message);
        assert_eq!([mac.compute_unpadded(&message).as_slice(), &message].concat(), expected);
    }

    #[test]
    fn what_is_encrypted_is_read_with_its_password_alone() {
        let key = EncryptedKey::seal(b"bytes", b"word");
        let again = EncryptedKey::parse(&key.to_json()).expect("a key");
        assert_eq!(again.open(b"word").expect("bytes").expose_secret(), b"bytes");
        for other in [&b"Word"[..], b"", b"word "] {
            assert_eq!(again.open(other).expect_err("another password"), InvalidKeyFile::Password);
        }
    }

    #[test]
    fn work_memory_and_lengths_are_bounded_before_a_password_is_needed() {
        let key = EncryptedKey::seal(b"bytes", b"word").to_json();
        let key: serde_json::Value = serde_json::from_slice(&key).expect("JSON");
        let with = |pointer: &str, value: serde_json::Value| {
            let mut key = key.clone();
            *key.pointer_mut(pointer).expect("a field") = value;
            EncryptedKey::parse(key.to_string().as_bytes()).expect_err(pointer).to_string()
        };
        for n in [0, 1, 3, 65_535, 1 << 18, u64::MAX] {
            assert!(with("/kdf/params/N", n.into()).contains(&format!("N={n}, r=8, p=1")), "{n}");
        }
        for name in ["r", "p"] {
            assert!(with(&format!("/kdf/params/{name}"), 1_000_000.into()).contains("=1000000"), "{name}");
        }
        assert!(with("/kdf/name", "pbkdf2".into()).contains("other than scrypt"));
        assert!(with("/cipher/name", "aes".into()).contains("other than nacl/secretbox"));
        assert!(with("/cipher/nonce", "AAAA".into()).contains("24 bytes"));
        assert!(with("/ciphertext", "AAAA".into()).contains("too few encrypted bytes"));
        assert!(with("/ciphertext", "?".into()).contains("invalid base64"));
        assert!(with("/kdf", 1.into()).contains("invalid JSON"));
    }
}

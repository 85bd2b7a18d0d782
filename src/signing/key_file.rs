//! Files with a private key: PKCS#8, or encrypted with a password as cosign writes them.

use secrecy::{ExposeSecret as _, SecretString};

use super::encrypted::EncryptedKey;
use super::pem;
use super::private_key::{ENCRYPTED, PLAIN, PrivateKey};

/// Largest key file that is read, in bytes. The file of an encrypted key has about 650.
pub(super) const LIMIT: usize = 16 << 10;

/// Label that cosign gave to encrypted keys before version 2.
const ENCRYPTED_BEFORE: &str = "ENCRYPTED COSIGN PRIVATE KEY";

/// The reason why a file is not a private key that signs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyFile {
    /// The file is larger than any key.
    #[error("expected at most {LIMIT} bytes, found more")]
    Size,
    /// The file has no PEM block.
    #[error("expected a PEM block with the label `{PLAIN}` or `{ENCRYPTED}`, found none")]
    NotPem,
    /// A PEM block begins and does not end.
    #[error("expected the end of the PEM block, found none")]
    NoEnd,
    /// The body of the PEM block is not base64.
    #[error("expected base64 in the PEM block, found other characters")]
    Base64,
    /// The file holds a public key.
    #[error("expected a private key, found a public key")]
    PublicKey,
    /// A PEM block of another kind.
    #[error("expected a PEM block with the label `{PLAIN}` or `{ENCRYPTED}`, found `{}`", .0.escape_debug())]
    Label(String),
    /// A private key in a form that has to be converted first.
    #[error("unsupported form of a private key, `{0}`: expected `{PLAIN}` or `{ENCRYPTED}`")]
    Form(&'static str),
    /// The bytes are not a private key in PKCS#8.
    #[error("expected a private key in PKCS#8, found other bytes")]
    Der,
    /// A key of another algorithm or curve.
    #[error("unsupported key for signing: expected ECDSA P-256, found {0}")]
    Algorithm(String),
    /// An encrypted key whose structure is not that of cosign.
    #[error("unsupported encryption: expected scrypt and nacl/secretbox as cosign writes them, found {0}")]
    Encrypted(&'static str),
    /// An encrypted key whose password would cost too much work.
    #[error(
        "unsupported scrypt parameters: expected N to be a power of 2 up to 131072, r=8 and p=1, found N={n}, r={r}, p={p}"
    )]
    Work {
        /// Factor of processor time and memory.
        n: u64,
        /// Size of a block.
        r: u32,
        /// Number of independent computations.
        p: u32,
    },
    /// The password is not that of the key.
    #[error("wrong password")]
    Password,
}

impl InvalidKeyFile {
    /// Returns what a person can do, as an instruction.
    pub(super) fn way_out(&self) -> Option<&'static str> {
        match self {
            Self::PublicKey => {
                Some("pass the file of the private key, which `alga-release key generate` names `PREFIX.key`")
            }
            Self::Algorithm(_) | Self::Form("OPENSSH PRIVATE KEY") => {
                Some("make a key with `alga-release key generate`")
            }
            Self::Form(_) => Some("convert the key with `openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW`"),
            _ => None,
        }
    }
}

/// The content of a key file.
#[derive(Debug)]
pub enum KeyFile {
    /// The key, which has no password.
    Plain(PrivateKey),
    /// The key, encrypted with a password.
    Encrypted(EncryptedKey),
}

impl KeyFile {
    /// Reads the text of a key file.
    ///
    /// # Errors
    /// Says what the text is instead of a private key.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidKeyFile> {
        if text.len() > LIMIT {
            return Err(InvalidKeyFile::Size);
        }
        let block = pem::read(text)?;
        let bytes = block.bytes.expose_secret();
        match block.label {
            PLAIN => PrivateKey::from_pkcs8(bytes).map(Self::Plain),
            ENCRYPTED | ENCRYPTED_BEFORE => EncryptedKey::parse(bytes).map(Self::Encrypted),
            "PUBLIC KEY" | "RSA PUBLIC KEY" => Err(InvalidKeyFile::PublicKey),
            "RSA PRIVATE KEY" => Err(InvalidKeyFile::Algorithm("RSA".to_owned())),
            "EC PRIVATE KEY" => Err(InvalidKeyFile::Form("EC PRIVATE KEY")),
            "ENCRYPTED PRIVATE KEY" => Err(InvalidKeyFile::Form("ENCRYPTED PRIVATE KEY")),
            "OPENSSH PRIVATE KEY" => Err(InvalidKeyFile::Form("OPENSSH PRIVATE KEY")),
            other => Err(InvalidKeyFile::Label(other.to_owned())),
        }
    }

    /// Returns whether the key needs a password.
    pub fn is_encrypted(&self) -> bool {
        matches!(self, Self::Encrypted(_))
    }

    /// Returns the key. A key without a password ignores `password`.
    ///
    /// # Errors
    /// [`InvalidKeyFile::Password`] when the password is not that of the key.
    pub fn unlock(self, password: &SecretString) -> Result<PrivateKey, InvalidKeyFile> {
        match self {
            Self::Plain(key) => Ok(key),
            Self::Encrypted(encrypted) => {
                let bytes = encrypted.open(password.expose_secret().as_bytes())?;
                PrivateKey::from_pkcs8(bytes.expose_secret())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(label: &str, body: &str) -> Vec<u8> {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n").into_bytes()
    }

    #[test]
    fn a_file_that_is_not_a_private_key_is_named() {
        let cases = [
            (Vec::new(), InvalidKeyFile::NotPem),
            (b"\xff\xfe".to_vec(), InvalidKeyFile::NotPem),
            (b"-----BEGIN PRIVATE KEY-----\nAAAA\n".to_vec(), InvalidKeyFile::NoEnd),
            (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PUBLIC KEY-----\n".to_vec(), InvalidKeyFile::NoEnd),
            (file(PLAIN, "?"), InvalidKeyFile::Base64),
            (file(PLAIN, "AAAA"), InvalidKeyFile::Der),
            (file(PLAIN, ""), InvalidKeyFile::Der),
            (file("PUBLIC KEY", "AAAA"), InvalidKeyFile::PublicKey),
            (file("CERTIFICATE", "AAAA"), InvalidKeyFile::Label("CERTIFICATE".to_owned())),
            (file("RSA PRIVATE KEY", "AAAA"), InvalidKeyFile::Algorithm("RSA".to_owned())),
            (file("EC PRIVATE KEY", "AAAA"), InvalidKeyFile::Form("EC PRIVATE KEY")),
            (file("ENCRYPTED PRIVATE KEY", "AAAA"), InvalidKeyFile::Form("ENCRYPTED PRIVATE KEY")),
            (file(ENCRYPTED, "AAAA"), InvalidKeyFile::Encrypted("invalid JSON")),
            (vec![b'a'; LIMIT + 1], InvalidKeyFile::Size),
        ];
        for (text, expected) in cases {
            let found = KeyFile::parse(&text).expect_err(&expected.to_string());
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn a_changed_byte_of_a_key_is_noticed_or_gives_another_key() {
        let key = PrivateKey::generate();
        let text = key.to_pem();
        let text = text.expose_secret().as_bytes();
        for at in 0..text.len() {
            let mut changed = text.to_vec();
            changed[at] ^= 1;
            if let Ok(KeyFile::Plain(other)) = KeyFile::parse(&changed) {
                // White space between lines, and the bits after the last byte, are not part of the key.
                assert!(other.key().verify(b"message", &other.sign(b"message")), "{at}");
            }
        }
    }

    #[test]
    fn lines_around_a_key_and_windows_line_ends_are_accepted() {
        let key = PrivateKey::generate();
        let text = key.to_pem();
        let text = text.expose_secret();
        let parameters = String::from_utf8(file("EC PARAMETERS", "BggqhkjOPQMBBw==")).expect("text");
        for text in [format!("Bag Attributes\n{text}\n\n"), text.replace('\n', "\r\n"), parameters + text] {
            let found = KeyFile::parse(text.as_bytes()).expect("a key").unlock(&SecretString::default());
            assert_eq!(found.expect("a key").key(), key.key());
        }
    }
}

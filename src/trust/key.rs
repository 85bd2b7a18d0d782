//! Public keys. Whoever counts keys toward a threshold counts their IDs, so one key must have one ID: of the many
//! encodings of a P-256 key, one alone is accepted.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

/// The start of every key: `id-ecPublicKey`, the named curve P-256, and a bit string that begins with the mark of an
/// uncompressed point.
///
/// <https://www.rfc-editor.org/rfc/rfc5480#section-2>
const START: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
/// Length of a key: [`START`] and the two coordinates of the point.
const LENGTH: usize = START.len() + 64;
/// Largest PEM file that is read as a key, in bytes. A P-256 key has 178.
const PEM_LIMIT: usize = 16 * 1024;

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// Object identifiers of algorithms and curves that a person may try to use, with their tag and length.
const OTHERS: [(&[u8], &str); 8] = [
    (&[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01], "RSA"),
    (&[0x06, 0x03, 0x2b, 0x65, 0x70], "Ed25519"),
    (&[0x06, 0x03, 0x2b, 0x65, 0x71], "Ed448"),
    (&[0x06, 0x03, 0x2b, 0x65, 0x6e], "X25519"),
    (&[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01], "DSA"),
    (&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22], "ECDSA P-384"),
    (&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23], "ECDSA P-521"),
    (&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a], "ECDSA secp256k1"),
];
/// Object identifiers of `id-ecPublicKey` and of the named curve P-256.
const EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// A public key for ECDSA on P-256 with SHA-256: its `SubjectPublicKeyInfo` with the named curve and an uncompressed
/// point, always 91 bytes of DER.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key([u8; LENGTH]);

/// The identity of a key: the SHA-256 of its 91 bytes, written as 64 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; 32]);

/// The reason why something is not a public key that this program accepts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// The text is longer than any PEM file of a key.
    #[error("invalid public key: expected at most {PEM_LIMIT} bytes of PEM, found {0}")]
    Size(usize),
    /// The text is not PEM with the label of a public key.
    #[error("invalid public key: expected one PEM block that begins with `{BEGIN}`, found {0}")]
    Pem(&'static str),
    /// A key of an algorithm or on a curve that is not supported.
    #[error("unsupported public key: expected ECDSA P-256, found {0}")]
    Algorithm(&'static str),
    /// A P-256 key in an encoding that would give one key a second ID.
    #[error(
        "unsupported encoding of a P-256 public key: expected 91 bytes with a named curve and an uncompressed point, \
         found {0}"
    )]
    Encoding(&'static str),
    /// A point that is not on the curve. Only the publisher looks for that; readers find that nothing verifies.
    #[error("invalid public key: the point is not on the curve P-256")]
    Point,
    /// Bytes that are not a public key at all.
    #[error("invalid public key: expected 91 bytes of DER (SubjectPublicKeyInfo), found {0} other bytes")]
    Der(usize),
}

/// A text that is not the ID of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid key ID `{0}`: expected 64 lowercase hex digits")]
pub struct InvalidKeyId(String);

impl Key {
    /// Reads a key from DER.
    ///
    /// # Errors
    /// Names the algorithm or the encoding that was found instead.
    pub fn from_der(der: &[u8]) -> Result<Self, InvalidKey> {
        match <[u8; LENGTH]>::try_from(der) {
            Ok(key) if key.starts_with(&START) => Ok(Self(key)),
            _ => Err(why_not(der)),
        }
    }

    /// Reads a key from a file with one PEM block and nothing else but white space.
    ///
    /// <https://www.rfc-editor.org/rfc/rfc7468#section-13>
    ///
    /// # Errors
    /// Names the kind of PEM block that was found instead. Also in the cases of [`Key::from_der`].
    pub fn from_pem(text: &[u8]) -> Result<Self, InvalidKey> {
        if text.len() > PEM_LIMIT {
            return Err(InvalidKey::Size(text.len()));
        }
        let text = str::from_utf8(text).map_err(|_| InvalidKey::Pem("bytes that are not text"))?.trim();
        let Some(rest) = text.strip_prefix(BEGIN) else { return Err(InvalidKey::Pem(other_block(text))) };
        let Some(body) = rest.strip_suffix(END) else {
            let several = rest.contains(END);
            return Err(InvalidKey::Pem(if several { "text after the block" } else { "a block without its end" }));
        };
        if body.contains("-----") {
            return Err(InvalidKey::Pem("several blocks"));
        }
        let body: String = body.split_ascii_whitespace().collect();
        Self::from_der(&STANDARD.decode(body).map_err(|_| InvalidKey::Pem("invalid base64 in the block"))?)
    }

    /// Returns the key as DER, always 91 bytes.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// Returns the key as a PEM file, with the line end of the last line.
    pub fn to_pem(&self) -> String {
        let body = STANDARD.encode(self.0);
        let (first, second) = body.split_at(64);
        format!("{BEGIN}\n{first}\n{second}\n{END}\n")
    }

    /// Returns the ID of the key.
    pub fn id(&self) -> KeyId {
        KeyId(Sha256::digest(self.0).into())
    }

    /// Reports whether `signature`, in ASN.1 DER, is this key's signature of `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        // The algorithm takes the point with its mark: everything after the unused bits of the bit string.
        let point = &self.0[START.len() - 1..];
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature).is_ok()
    }
}

/// Says what `der` is instead of a key.
fn why_not(der: &[u8]) -> InvalidKey {
    let has = |identifier: &[u8]| der.windows(identifier.len()).take(64).any(|window| window == identifier);
    if der.first() != Some(&0x30) {
        return InvalidKey::Der(der.len());
    }
    if let Some((_, name)) = OTHERS.iter().find(|(identifier, _)| has(identifier)) {
        return InvalidKey::Algorithm(name);
    }
    match (has(EC), has(P256)) {
        (true, true) if der.len() < LENGTH => InvalidKey::Encoding("a compressed point"),
        (true, true) => InvalidKey::Encoding("other bytes around the point"),
        (true, false) => InvalidKey::Encoding("a curve that is given by its parameters, or an unknown curve"),
        _ => InvalidKey::Der(der.len()),
    }
}

/// Says what a text is that does not begin as the PEM of a public key.
fn other_block(text: &str) -> &'static str {
    let Some((_, rest)) = text.split_once("-----BEGIN ") else { return "text without a PEM block" };
    match rest.split_once("-----").map_or("", |(label, _)| label) {
        "PUBLIC KEY" => "text before the block",
        "CERTIFICATE" | "TRUSTED CERTIFICATE" => "a certificate",
        "RSA PUBLIC KEY" => "an RSA key",
        label if label.ends_with("PRIVATE KEY") => "a private key",
        _ => "another kind of PEM block",
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id())
    }
}

impl KeyId {
    /// Returns the first 12 hex digits, the form of an ID in texts that a person reads but does not copy.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(12);
        text
    }

    /// Returns the ID that a hint in a Sigstore bundle gives.
    pub fn from_hint(hint: &str) -> Option<Self> {
        STANDARD.decode(hint).ok()?.try_into().ok().map(Self)
    }

    /// Returns the ID as base64, the form of a hint in a Sigstore bundle.
    pub fn to_hint(&self) -> String {
        STANDARD.encode(self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl serde::Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for KeyId {
    type Err = InvalidKeyId;

    fn from_str(text: &str) -> Result<Self, InvalidKeyId> {
        let invalid = || InvalidKeyId(text.chars().take(80).collect());
        let digits: &[u8; 64] = text.as_bytes().try_into().map_err(|_| invalid())?;
        let mut id = [0; 32];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0]).zip(digit(pair[1])).map(|(high, low)| high << 4 | low).ok_or_else(invalid)?;
        }
        Ok(Self(id))
    }
}

/// Returns the value of a lowercase hex digit.
fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::testing::SigningKey;

    /// A key that `openssl ec -pubout` wrote, with its ID as `sha256sum` of the DER gives it.
    const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE1vZ91lUbVAh5vhVD8MlKDqBwZFsh\n\
        MfiyTJXrpKoMvu2DWyVXUheU7ST++zsbv9XBj96qn+2RMPsp+5S9rHFFoA==\n\
        -----END PUBLIC KEY-----\n";
    const ID: &str = "d81b0e2eac659237f997598cac53fe3b978f3472d47627618934c924cf5d19ff";

    /// Other encodings of the same key, by `openssl ec -conv_form compressed` and `-param_enc explicit`.
    const COMPRESSED: &str = "MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgAC1vZ91lUbVAh5vhVD8MlKDqBwZFshMfiyTJXrpKoMvu0=";
    const EXPLICIT: &str = "MIIBSzCCAQMGByqGSM49AgEwgfcCAQEwLAYHKoZIzj0BAQIhAP////8AAAABAAAAAAAAAAAAAAAA//////////////\
         //MFsEIP////8AAAABAAAAAAAAAAAAAAAA///////////////8BCBaxjXYqjqT57PrvVV2mIa8ZR0GsMxTsPY7zjw+\
         J9JgSwMVAMSdNgiG5wSTamZ44ROdJreBn36QBEEEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/h\
         p/m47n60p8D54WK84zV2sxXs7LtkBoN79R9QIhAP////8AAAAA//////////+85vqtpxeehPO5ysL8YyVRAgEBA0IA\
         BNb2fdZVG1QIeb4VQ/DJSg6gcGRbITH4skyV66SqDL7tg1slV1IXlO0k/vs7G7/VwY/eqp/tkTD7KfuUvaxxRaA=";

    fn pem(body: &str) -> String {
        format!("{BEGIN}\n{body}\n{END}\n")
    }

    #[test]
    fn a_key_of_openssl_has_the_id_that_sha256sum_gives() {
        let key = Key::from_pem(PEM.as_bytes()).unwrap();
        assert_eq!(key.id().to_string(), ID);
        assert_eq!(ID.parse::<KeyId>().unwrap(), key.id());
        assert_eq!(key.to_pem(), PEM);
        assert_eq!(key.der().len(), 91);
        assert_eq!(Key::from_der(key.der()).unwrap(), key);
        assert_eq!(key.id().short(), ID[..12]);
        assert_eq!(STANDARD.decode(key.id().to_hint()).unwrap(), key.id().0);
        let windows = format!("\r\n  {}\r\n", PEM.replace('\n', "\r\n"));
        assert_eq!(Key::from_pem(windows.as_bytes()).unwrap(), key);
    }

    #[test]
    fn one_key_has_one_encoding() {
        for (body, found) in [(COMPRESSED, "a compressed point"), (EXPLICIT, "a curve that is given by its parameters")]
        {
            let error = Key::from_pem(pem(body).as_bytes()).unwrap_err();
            assert!(error.to_string().contains(found), "{error}");
        }
        let der = Key::from_pem(PEM.as_bytes()).unwrap().der().to_vec();
        for at in 0..START.len() {
            let mut other = der.clone();
            other[at] ^= 1;
            assert!(Key::from_der(&other).is_err(), "byte {at}");
        }
        for other in [&der[..90], &[&der[..], &[0]].concat(), &[]] {
            assert!(Key::from_der(other).is_err());
        }
    }

    #[test]
    fn a_key_of_another_kind_is_named() {
        let cases = [
            (
                "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAtZugN6k/IORZOB1Utj5e9cl1SAdf6hEwGcnD01hYKUO6qt\
         Hkwl3GVWV0HSsP6y/RVU2sjh+3o9Sc5ZPiyo8h9EBh8T/9J2bL0E9xVZLtzA/Aauu2VT2wpTM0Dgi6kv0UPVZID+2b\
         w16/e8TGo171T0Tdjq7L3tfVa11Y4SI+dS6FyiYJVQJVBILXU2XB8Oz5rbDjJ4PL/x14240afpFs4IxabKGYH6vGAm\
         zN419y0TNqjwy2ceqgek76wDPefegfnnzF5twdOkozHRqsKB5AOAIWT5pY+Uxd5RekFcJuP8GzDpupTwxLYcd3kyd3\
         awN6ujhwqabvAr1lAJW9GzHiNQIDAQAB",
                "found RSA",
            ),
            ("MCowBQYDK2VwAyEAFKMA+X32vgdPH10qZD4qOyHzbcAdCHd+DaDpQeFSoAI=", "found Ed25519"),
            (
                "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEMP5Pyiytzbb7Y7rp5Vl8bZGbBRkZpTOnN49iCoZkfAWppJSUp3mjPtvRC0\
         0wpUKoq1EGH0UsCyY5wqs7X7nzBBmPLIBOd41ChMIstflOUml3jHYAka7iD9GhkhlvtTne",
                "found ECDSA P-384",
            ),
        ];
        for (body, found) in cases {
            let error = Key::from_pem(pem(body).as_bytes()).unwrap_err();
            assert!(error.to_string().ends_with(found), "{error}");
        }
        let cases: [(&[u8], &str); 8] = [
            (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "a private key"),
            (b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n", "a private key"),
            (b"-----BEGIN CERTIFICATE-----\n", "a certificate"),
            (b"-----BEGIN RSA PUBLIC KEY-----\n", "an RSA key"),
            (b"ssh-ed25519 AAAA", "text without a PEM block"),
            (b"\xff", "bytes that are not text"),
            (b"-----BEGIN PUBLIC KEY-----\nAAAA", "a block without its end"),
            (b"-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----", "invalid base64 in the block"),
        ];
        for (text, found) in cases {
            let error = Key::from_pem(text).unwrap_err();
            assert!(error.to_string().ends_with(found), "{error}");
        }
        let twice = Key::from_pem(format!("{PEM}{PEM}").as_bytes()).unwrap_err();
        assert!(twice.to_string().ends_with("several blocks"), "{twice}");
        let after = Key::from_pem(format!("{PEM}x").as_bytes()).unwrap_err();
        assert!(after.to_string().ends_with("text after the block"), "{after}");
        assert_eq!(Key::from_pem(&vec![b'-'; PEM_LIMIT + 1]), Err(InvalidKey::Size(PEM_LIMIT + 1)));
    }

    #[test]
    fn every_other_form_of_an_id_is_refused() {
        for text in ["", &ID[1..], &ID.to_uppercase(), &format!("{ID}0"), &format!("sha256:{ID}"), &"é".repeat(32)] {
            assert!(text.parse::<KeyId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_signature_verifies_over_its_own_message_by_its_own_key_alone() {
        let (one, other) = (SigningKey::generate(), SigningKey::generate());
        let signature = one.sign(b"message");
        assert!(one.key().verify(b"message", &signature));
        assert!(!one.key().verify(b"messages", &signature));
        assert!(!other.key().verify(b"message", &signature));
        for length in 0..signature.len() {
            assert!(!one.key().verify(b"message", &signature[..length]), "{length} bytes");
        }
        assert!(!one.key().verify(b"message", &[&signature[..], &[0]].concat()));
        assert!(!one.key().verify(b"message", &[0x30, 6, 2, 1, 0, 2, 1, 0]), "r and s are zero");
    }

    /// Order of the group of P-256.
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];

    /// Returns the signature with the order minus s, which is another valid signature of the same message.
    fn flipped(signature: &[u8]) -> Vec<u8> {
        let r = &signature[2..4 + usize::from(signature[3])];
        let s = &signature[r.len() + 4..];
        let s: Vec<u8> = s.iter().copied().skip_while(|byte| *byte == 0).collect();
        let s = [vec![0; 32 - s.len()], s].concat();
        let (mut other, mut borrow) = (vec![0; 32], 0);
        for at in (0..32).rev() {
            let difference = i32::from(ORDER[at]) - i32::from(s[at]) - borrow;
            borrow = i32::from(difference < 0);
            other[at] = u8::try_from(difference + 256 * borrow).unwrap();
        }
        let start = other.iter().take_while(|byte| **byte == 0).count();
        let mut other = other.split_off(start);
        if other[0] >= 0x80 {
            other.insert(0, 0);
        }
        let body = [r, &[2, u8::try_from(other.len()).unwrap()], &other].concat();
        [&[0x30, u8::try_from(body.len()).unwrap()], &body[..]].concat()
    }

    #[test]
    fn a_low_and_a_high_s_both_verify() {
        let key = SigningKey::generate();
        let signature = key.sign(b"message");
        let other = flipped(&signature);
        assert_ne!(other, signature);
        assert!(key.key().verify(b"message", &other));
    }
}

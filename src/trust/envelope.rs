//! Signatures around a payload: DSSE. The payload's type is signed with it, so that no payload is taken for one of
//! another type.
//!
//! <https://github.com/secure-systems-lab/dsse/blob/v1.0.2/envelope.md>

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use serde::Serialize;

use super::fields::{self, Malformed, Object};
use super::{Key, KeyId};

/// Most signatures of an envelope that are read.
pub(super) const SIGNATURES: usize = 32;
/// Longest base64 text of a signature. A P-256 signature has at most 72 bytes.
const SIGNATURE_TEXT: usize = 128;

/// A payload with its type and signatures, none of them verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Type of the payload.
    pub payload_type: String,
    /// Bytes that are signed together with the type.
    pub payload: Vec<u8>,
    /// Signatures in the order of the envelope.
    pub signatures: Vec<Signature>,
}

/// One signature in an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// ID of the key, as the envelope claims. It only says which key is tried.
    pub key: Option<KeyId>,
    /// Signature in ASN.1 DER.
    pub signature: Vec<u8>,
}

/// Returns the message that a signature of an envelope signs: the payload and its type, each with its length.
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let start = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [start.as_bytes(), payload].concat()
}

/// Decodes base64 as verifiers in the field do: of either alphabet, with padding or without.
fn decode(text: &str) -> Option<Vec<u8>> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let url_safe = text.contains(['-', '_']);
    let alphabet = if url_safe { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    GeneralPurpose::new(alphabet, CONFIG).decode(text).ok()
}

/// Returns a signature as text, the form of the annotation of a claim's layer.
pub fn encode_signature(signature: &[u8]) -> String {
    STANDARD.encode(signature)
}

/// Reads a signature from text. Returns `None` for text that is not base64 or that has more than 128 characters.
pub fn decode_signature(text: &str) -> Option<Vec<u8>> {
    if text.len() > SIGNATURE_TEXT { None } else { decode(text) }
}

impl Envelope {
    /// Returns an envelope without signatures.
    pub fn new(payload_type: &str, payload: Vec<u8>) -> Self {
        Self { payload_type: payload_type.to_owned(), payload, signatures: Vec::new() }
    }

    /// Reads an envelope with a payload of the given type and with at most 32 signatures.
    ///
    /// # Errors
    /// Names every problem. Also when the JSON has more than `limit` bytes.
    pub fn parse(json: &[u8], payload_type: &str, limit: usize) -> Result<Self, Malformed> {
        fields::read("signature envelope", json, limit, |object| Self::read(object, payload_type))
    }

    /// Reads the envelope in an object.
    pub(super) fn read(object: &Object<'_>, payload_type: &str) -> Option<Self> {
        object.known(&["payload", "payloadType", "signatures"]);
        let type_agrees = object.exactly("payloadType", payload_type);
        let payload = base64_of(object, "payload");
        let entries = object.objects("signatures");
        if let Some(entries) = &entries
            && entries.len() > SIGNATURES
        {
            object.problem("signatures", format!("expected at most {SIGNATURES} signatures, found {}", entries.len()));
            return None;
        }
        let signatures = entries?.iter().map(Signature::read).collect::<Option<Vec<_>>>()?;
        type_agrees?;
        Some(Self { payload_type: payload_type.to_owned(), payload: payload?, signatures })
    }

    /// Returns the message that each signature signs.
    pub fn message(&self) -> Vec<u8> {
        pre_authentication_encoding(&self.payload_type, &self.payload)
    }

    /// Returns the keys among `keys` that signed, each once, however many signatures are by it.
    pub fn signers<'k>(&self, keys: impl Iterator<Item = (&'k KeyId, &'k Key)>) -> BTreeSet<KeyId> {
        let message = self.message();
        let keys: Vec<(&KeyId, &Key)> = keys.collect();
        let mut signers = BTreeSet::new();
        for Signature { key: claimed, signature } in self.signatures.iter().take(SIGNATURES) {
            let tried = keys.iter().filter(|(id, _)| claimed.is_none_or(|claimed| claimed == **id));
            let mut tried = tried.filter(|(id, _)| !signers.contains(*id));
            let signer = tried.find(|(_, key)| key.verify(&message, signature)).map(|(id, _)| **id);
            signers.extend(signer);
        }
        signers
    }

    /// Returns the bytes of the envelope. The signatures are in the order of their keys, so that the same signatures
    /// give the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.written()).expect("text keys")
    }

    /// Returns the envelope in the order of its keys.
    pub(super) fn written(&self) -> WrittenEnvelope<'_> {
        let mut signatures: Vec<&Signature> = self.signatures.iter().collect();
        signatures.sort_by_key(|signature| signature.key);
        let signatures = signatures.into_iter().map(|one| WrittenSignature {
            keyid: one.key.map(|key| key.to_string()),
            sig: encode_signature(&one.signature),
        });
        WrittenEnvelope {
            payload: STANDARD.encode(&self.payload),
            payload_type: &self.payload_type,
            signatures: signatures.collect(),
        }
    }
}

impl Signature {
    fn read(object: &Object<'_>) -> Option<Self> {
        object.known(&["keyid", "sig"]);
        let key = object.optional_text("keyid").unwrap_or_default();
        let length = object.text("sig")?.len();
        if length > SIGNATURE_TEXT {
            object.problem("sig", format!("expected at most {SIGNATURE_TEXT} characters, found {length}"));
            return None;
        }
        Some(Self { key: key.parse().ok(), signature: base64_of(object, "sig")? })
    }
}

/// Returns the bytes that the base64 text under a key encodes.
pub(super) fn base64_of(object: &Object<'_>, key: &str) -> Option<Vec<u8>> {
    let decoded = decode(object.text(key)?);
    if decoded.is_none() {
        object.problem(key, "invalid base64");
    }
    decoded
}

/// An envelope in the order of its keys.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WrittenEnvelope<'a> {
    payload: String,
    payload_type: &'a str,
    signatures: Vec<WrittenSignature>,
}

#[derive(Serialize)]
struct WrittenSignature {
    #[serde(skip_serializing_if = "Option::is_none")]
    keyid: Option<String>,
    sig: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::testing::SigningKey;

    const TYPE: &str = "application/vnd.example+json";

    fn signed(keys: &[&SigningKey], named: bool) -> Envelope {
        let mut envelope = Envelope::new(TYPE, b"{}".to_vec());
        let message = envelope.message();
        let signatures =
            keys.iter().map(|key| Signature { key: named.then(|| key.key().id()), signature: key.sign(&message) });
        envelope.signatures = signatures.collect();
        envelope
    }

    fn signers(envelope: &Envelope, keys: &[&SigningKey]) -> BTreeSet<KeyId> {
        let keys: Vec<(KeyId, Key)> = keys.iter().map(|key| (key.key().id(), key.key())).collect();
        envelope.signers(keys.iter().map(|(id, key)| (id, key)))
    }

    #[test]
    fn the_encoding_is_the_one_of_the_specification() {
        let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn an_envelope_is_the_same_after_it_was_written_and_read() {
        let (one, two) = (SigningKey::generate(), SigningKey::generate());
        let envelope = signed(&[&one, &two], true);
        let bytes = envelope.to_bytes();
        let read = Envelope::parse(&bytes, TYPE, 4096).unwrap();
        assert_eq!(read.to_bytes(), bytes);
        assert_eq!(signers(&read, &[&one, &two]).len(), 2);
        let mut turned = envelope;
        turned.signatures.reverse();
        assert_eq!(turned.to_bytes(), bytes, "the order of signing does not matter");
    }

    #[test]
    fn a_key_counts_once_however_often_it_signs() {
        let (one, two) = (SigningKey::generate(), SigningKey::generate());
        for named in [true, false] {
            let envelope = signed(&[&one, &one, &one], named);
            assert_eq!(signers(&envelope, &[&one, &two]), BTreeSet::from([one.key().id()]));
        }
    }

    #[test]
    fn a_key_id_says_only_which_key_is_tried() {
        let (one, two) = (SigningKey::generate(), SigningKey::generate());
        let mut envelope = signed(&[&one], false);
        envelope.signatures[0].key = Some(two.key().id());
        assert!(signers(&envelope, &[&one, &two]).is_empty(), "signed by one, claims two");
        envelope.signatures[0].key = None;
        assert_eq!(signers(&envelope, &[&two, &one]), BTreeSet::from([one.key().id()]));
        let other = br#"{"payload":"e30=","payloadType":"application/vnd.example+json","signatures":[{"keyid":"me","sig":"AA=="}]}"#;
        assert_eq!(Envelope::parse(other, TYPE, 4096).unwrap().signatures[0].key, None);
    }

    #[test]
    fn the_type_of_the_payload_is_signed() {
        let one = SigningKey::generate();
        let mut envelope = signed(&[&one], false);
        "application/vnd.other+json".clone_into(&mut envelope.payload_type);
        assert!(signers(&envelope, &[&one]).is_empty());
        let error = Envelope::parse(&envelope.to_bytes(), TYPE, 4096).unwrap_err();
        assert!(error.to_string().contains("payloadType: expected `application/vnd.example+json`"), "{error}");
    }

    #[test]
    fn base64_is_read_in_every_form_that_verifiers_read() {
        for (text, bytes) in [("-_8=", &b"\xfb\xff"[..]), ("+/8=", b"\xfb\xff"), ("+/8", b"\xfb\xff"), ("", b"")] {
            assert_eq!(decode(text).as_deref(), Some(bytes), "{text}");
        }
        for text in ["+_8=", "e30\n", "e3 0=", "e31", "e30=="] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }

    #[test]
    fn bad_envelopes_are_refused_with_their_reason() {
        let many = vec![r#"{"sig":""}"#; SIGNATURES + 1].join(",");
        let long = "A".repeat(SIGNATURE_TEXT + 4);
        let cases = [
            ("{}", "payloadType: missing; payload: missing; signatures: missing"),
            ("[]", "expected an object, found a list"),
            ("{", "invalid JSON"),
            (r#"{"payload":"","payload":""}"#, "duplicate key `payload`"),
            (r#"{"payload":"!","payloadType":"t","signatures":[]}"#, "payload: invalid base64"),
            (r#"{"payload":"","payloadType":"t","signatures":[{"sig":7}]}"#, "signatures[0].sig: expected text"),
            (
                r#"{"payload":"","payloadType":"t","signatures":[{"keyid":null,"sig":""}]}"#,
                "signatures[0].keyid: expected text",
            ),
            (r#"{"Payload":"","payloadType":"t","signatures":[]}"#, "Payload: expected the key `payload`"),
            (
                &format!(r#"{{"payload":"","payloadType":"t","signatures":[{many}]}}"#),
                "expected at most 32 signatures, found 33",
            ),
            (
                &format!(r#"{{"payload":"","payloadType":"t","signatures":[{{"sig":"{long}"}}]}}"#),
                "sig: expected at most 128 characters",
            ),
        ];
        for (json, reason) in cases {
            let error = Envelope::parse(json.as_bytes(), "t", 8192).unwrap_err().to_string();
            assert!(error.contains(reason), "{json}: {error}");
        }
        let error = Envelope::parse(&[b' '; 100], "t", 99).unwrap_err().to_string();
        assert_eq!(error, "invalid signature envelope: expected at most 99 bytes, found 100");
        assert!(Envelope::parse(b"\xef\xbb\xbf{}", "t", 99).is_err(), "a byte order mark");
        assert!(Envelope::parse(b"{\"payload\":\"\xff\"}", "t", 99).is_err(), "invalid UTF-8");
        assert!(Envelope::parse("[".repeat(4000).as_bytes(), "t", 8192).is_err(), "nesting");
    }
}

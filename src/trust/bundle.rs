//! Sigstore bundles: a statement with one signature, in the file format that cosign and Flux read.
//!
//! <https://github.com/sigstore/protobuf-specs/blob/v0.5.0/protos/sigstore_bundle.proto>

use serde::Serialize;

use super::envelope::{Envelope, Signature, WrittenEnvelope};
use super::fields::{self, Malformed, Object};
use super::statement::STATEMENT_TYPE;
use super::{Key, KeyId};
use crate::oci::Digest;
use crate::oci::media_type::SIGSTORE_BUNDLE;

/// Annotation of the manifest with a bundle: the kind of signature in it.
pub const BUNDLE_CONTENT: (&str, &str) = ("dev.sigstore.bundle.content", "dsse-envelope");
/// Annotation of the manifest with a bundle: the predicate type of the statement.
pub const BUNDLE_PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
/// Largest bundle that is read, in bytes.
pub const BUNDLE_LIMIT: usize = 32 * 1024;

/// A statement with one signature, which is not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureBundle {
    envelope: Envelope,
    hint: Option<String>,
}

impl SignatureBundle {
    /// Returns the bundle of a payload that a key signed. The signature is of [`statement_message`].
    pub fn new(payload: Vec<u8>, key: &KeyId, signature: Vec<u8>) -> Self {
        let mut envelope = Envelope::new(STATEMENT_TYPE, payload);
        // A key ID in the envelope would make other verifiers skip the signature.
        envelope.signatures = vec![Signature { key: None, signature }];
        Self { envelope, hint: Some(key.to_hint()) }
    }

    /// Reads a bundle with a statement and one signature by a key. The proofs of transparency logs and time stamps that
    /// it may contain are ignored.
    ///
    /// # Errors
    /// Names every problem. Also when the bundle has more than 32 KiB, or is of a signature by a certificate.
    pub fn parse(json: &[u8]) -> Result<Self, Malformed> {
        fields::read("signature bundle", json, BUNDLE_LIMIT, |object| {
            object.known(&["mediaType", "verificationMaterial", "dsseEnvelope", "messageSignature"]);
            let media_type = object.exactly("mediaType", SIGSTORE_BUNDLE);
            let hint = hint(object);
            let inner = object.object("dsseEnvelope")?;
            one_unnamed(&inner);
            let envelope = Envelope::read(&inner, STATEMENT_TYPE);
            media_type?;
            Some(Self { hint: hint?, envelope: envelope? })
        })
    }

    /// Returns the bytes of the bundle. The same statement and signature always give the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let written = Written {
            media_type: SIGSTORE_BUNDLE,
            verification_material: Material { public_key: Hint { hint: self.hint.as_deref() } },
            dsse_envelope: self.envelope.written(),
        };
        serde_json::to_vec(&written).expect("text keys")
    }

    /// Returns the bytes of the statement.
    pub fn payload(&self) -> &[u8] {
        &self.envelope.payload
    }

    /// Returns the signature in ASN.1 DER.
    pub fn signature(&self) -> Option<&[u8]> {
        self.envelope.signatures.first().map(|one| &one.signature[..])
    }

    /// Returns the digest of the bytes of the statement.
    pub fn payload_digest(&self) -> Digest {
        Digest::of(&self.envelope.payload)
    }

    /// Returns the ID of the key that the bundle names, which is not verified.
    pub fn claimed_key(&self) -> Option<KeyId> {
        KeyId::from_hint(self.hint.as_ref()?)
    }

    /// Returns the key among `keys` that signed the statement. The key that the bundle claims is tried first.
    pub fn signer<'k>(&self, keys: impl Iterator<Item = (&'k KeyId, &'k Key)>) -> Option<KeyId> {
        // The resolver does without the code of a sort.
        let (hinted, others): (Vec<_>, Vec<_>) = keys.partition(|(id, _)| Some(id.to_hint()) == self.hint);
        let message = self.envelope.message();
        let signature = &self.envelope.signatures.first()?.signature;
        hinted.into_iter().chain(others).find(|(_, key)| key.verify(&message, signature)).map(|(id, _)| *id)
    }
}

/// Returns the message that the signature of a statement signs.
pub fn statement_message(payload: &[u8]) -> Vec<u8> {
    super::envelope::pre_authentication_encoding(STATEMENT_TYPE, payload)
}

/// Reads the hint, which other programs may omit.
#[expect(clippy::option_option, reason = "the outer one says that there was a problem")]
fn hint(object: &Object<'_>) -> Option<Option<String>> {
    let material = object.object("verificationMaterial")?;
    material.known(&["publicKey", "certificate", "x509CertificateChain", "tlogEntries", "timestampVerificationData"]);
    if let Some(other) = material.keys().find(|key| matches!(*key, "certificate" | "x509CertificateChain")) {
        material.problem(other, "expected the signature of a key, found the signature of a certificate");
        return None;
    }
    let Some(key) = material.optional_object("publicKey") else { return Some(None) };
    key.known(&["hint"]);
    Some(key.optional_text("hint").map(str::to_owned))
}

/// Refuses what other verifiers refuse: several signatures, and a signature with the ID of a key.
fn one_unnamed(envelope: &Object<'_>) {
    let Some(signatures) = envelope.objects("signatures") else { return };
    if signatures.len() != 1 {
        envelope.problem("signatures", format!("expected one signature, found {}", signatures.len()));
    }
    for signature in signatures.iter().take(1).filter(|one| one.optional_text("keyid").is_some_and(|id| !id.is_empty()))
    {
        signature.problem("keyid", "expected no ID of a key, since other verifiers skip a signature with one");
    }
}

/// A bundle in the order of its keys.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    media_type: &'static str,
    verification_material: Material<'a>,
    dsse_envelope: WrittenEnvelope<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Material<'a> {
    public_key: Hint<'a>,
}

#[derive(Serialize)]
struct Hint<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::Statement;
    use crate::trust::testing::SigningKey;

    fn bundle(key: &SigningKey) -> SignatureBundle {
        let payload = Statement::Artifact(Digest::of(b"")).to_payload();
        let signature = key.sign(&statement_message(&payload));
        SignatureBundle::new(payload, &key.key().id(), signature)
    }

    fn signer(bundle: &SignatureBundle, keys: &[&SigningKey]) -> Option<KeyId> {
        let keys: Vec<(KeyId, Key)> = keys.iter().map(|key| (key.key().id(), key.key())).collect();
        bundle.signer(keys.iter().map(|(id, key)| (id, key)))
    }

    #[test]
    fn a_bundle_has_the_bytes_of_the_contract() {
        let bundle = SignatureBundle::new(b"{}".to_vec(), &SigningKey::generate().key().id(), vec![0x30, 0]);
        let hint = bundle.hint.clone().unwrap();
        assert_eq!(
            String::from_utf8(bundle.to_bytes()).unwrap(),
            format!(
                r#"{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{{"publicKey":{{"hint":"{hint}"}}}},"dsseEnvelope":{{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{{"sig":"MAA="}}]}}}}"#
            )
        );
        assert_eq!(SignatureBundle::parse(&bundle.to_bytes()).unwrap(), bundle);
    }

    #[test]
    fn the_hint_only_orders_the_keys_that_are_tried() {
        let (one, two) = (SigningKey::generate(), SigningKey::generate());
        let mut bundle = bundle(&one);
        assert_eq!(signer(&bundle, &[&two, &one]), Some(one.key().id()));
        assert_eq!(signer(&bundle, &[&two]), None);
        for hint in [None, Some(String::new()), Some("x".to_owned()), Some(two.key().id().to_hint())] {
            bundle.hint = hint;
            let read = SignatureBundle::parse(&bundle.to_bytes()).unwrap();
            assert_eq!(signer(&read, &[&two, &one]), Some(one.key().id()));
        }
        let claimed = |hint: Option<String>| SignatureBundle { hint, ..bundle.clone() }.claimed_key();
        assert_eq!(claimed(Some(two.key().id().to_hint())), Some(two.key().id()));
        assert_eq!([None, Some("AAAA".to_owned()), Some("!".to_owned())].map(claimed), [None; 3]);
    }

    #[test]
    fn what_cosign_and_its_clients_write_is_read() {
        let key = SigningKey::generate();
        let text = String::from_utf8(bundle(&key).to_bytes()).unwrap();
        let hint = key.key().id().to_hint();
        let payload = text.split("\"payload\":\"").nth(1).unwrap().split('"').next().unwrap();
        let url_safe = payload.trim_end_matches('=').replace('+', "-").replace('/', "_");
        let cases = [
            text.replace("\"publicKey\"", "\"tlogEntries\":[],\"publicKey\""),
            text.replace(
                "}},\"dsse",
                "},\"tlogEntries\":[{\"logIndex\":\"1\"}],\"timestampVerificationData\":{}},\"dsse",
            ),
            text.replace(&format!("\"hint\":\"{hint}\""), ""),
            text.replace(&format!("{{\"publicKey\":{{\"hint\":\"{hint}\"}}}}"), "{}"),
            text.replace("{\"sig\"", "{\"keyid\":\"\",\"sig\""),
            text.replace(payload, &url_safe),
            format!("\n {text}\n"),
        ];
        for case in cases {
            let read = SignatureBundle::parse(case.as_bytes()).unwrap_or_else(|cause| panic!("{case}: {cause}"));
            assert_eq!(signer(&read, &[&key]), Some(key.key().id()), "{case}");
        }
    }

    #[test]
    fn every_other_bundle_is_refused_with_its_reason() {
        let key = SigningKey::generate();
        let text = String::from_utf8(bundle(&key).to_bytes()).unwrap();
        let id = key.key().id();
        let signature = format!("{{{}", text.split("\"signatures\":[{").nth(1).unwrap().split(']').next().unwrap());
        let cases = [
            (
                text.replace("v0.3+json", "v0.2+json"),
                "mediaType: expected `application/vnd.dev.sigstore.bundle.v0.3+json`",
            ),
            (
                text.replace("{\"sig\"", &format!("{{\"keyid\":\"{id}\",\"sig\"")),
                "signatures[0].keyid: expected no ID of a key",
            ),
            (
                text.replace(&signature, &format!("{signature},{signature}")),
                "signatures: expected one signature, found 2",
            ),
            (text.replace(&signature, ""), "signatures: expected one signature, found 0"),
            (text.replace("in-toto", "other"), "payloadType: expected `application/vnd.in-toto+json`"),
            (
                text.replace("publicKey", "certificate"),
                "verificationMaterial.certificate: expected the signature of a key",
            ),
            (text.replace("dsseEnvelope", "messageSignature"), "dsseEnvelope: missing"),
            (text.replace("dsseEnvelope", "DsseEnvelope"), "expected the key `dsseEnvelope`"),
            (text.replace("\"payload\"", "\"payload\":\"\",\"payload\""), "duplicate key `payload`"),
            (format!("{text}{}", " ".repeat(BUNDLE_LIMIT)), "expected at most 32768 bytes"),
            ("[".repeat(BUNDLE_LIMIT), "recursion limit exceeded"),
            ("null".to_owned(), "expected an object, found null"),
        ];
        for (json, reason) in cases {
            let error = SignatureBundle::parse(json.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("invalid signature bundle: ") && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_changed_byte_of_the_payload_or_the_signature_is_not_verified() {
        let key = SigningKey::generate();
        let bundle = bundle(&key);
        for at in 0..bundle.envelope.payload.len() {
            let mut changed = bundle.clone();
            changed.envelope.payload[at] ^= 1;
            assert_eq!(signer(&changed, &[&key]), None, "byte {at} of the payload");
        }
        for at in 0..bundle.envelope.signatures[0].signature.len() {
            let mut changed = bundle.clone();
            changed.envelope.signatures[0].signature[at] ^= 1;
            assert_eq!(signer(&changed, &[&key]), None, "byte {at} of the signature");
        }
        let mut moved = bundle;
        "application/vnd.other+json".clone_into(&mut moved.envelope.payload_type);
        assert_eq!(signer(&moved, &[&key]), None, "another type of payload");
    }
}

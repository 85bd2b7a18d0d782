//! Signatures of artifacts: which of the candidates that a store serves are the vendor's signatures of a digest.

use std::collections::BTreeSet;

use super::{Claim, KeyId, SignatureBundle, Statement, TrustDocument, Untrusted};
use crate::oci::Digest;

/// Most candidates that are tried as signatures of one artifact.
pub const CANDIDATES: usize = 64;

/// Bytes that may be a signature of an artifact.
#[derive(Clone, Copy, Debug)]
pub enum Candidate<'a> {
    /// A Sigstore bundle, from a referrer of the artifact or a layer of a channel manifest.
    Bundle(&'a [u8]),
    /// A claim from the tag `sha256-<hex>.sig`, with the signature in ASN.1 DER.
    Claim {
        /// Bytes of the layer, which are signed.
        payload: &'a [u8],
        /// Signature from the layer's annotation, decoded.
        signature: &'a [u8],
    },
}

/// Returns the keys of the role `release` that signed the artifact with the given digest. At most 64 candidates are tried.
pub fn artifact_signers<'a>(
    document: &TrustDocument,
    digest: &Digest,
    candidates: impl IntoIterator<Item = Candidate<'a>>,
) -> BTreeSet<KeyId> {
    // Without `collect`, which sorts: the code for that would make the resolver larger. The same holds for other sets and
    // maps in what the resolver is built from.
    let mut signers = BTreeSet::new();
    for candidate in candidates.into_iter().take(CANDIDATES) {
        signers.extend(candidate.signer(document, digest));
    }
    signers
}

impl Candidate<'_> {
    /// Returns the key of the role `release` whose signature of the artifact this is.
    pub fn signer(&self, document: &TrustDocument, digest: &Digest) -> Option<KeyId> {
        let mut keys = document.keys_of(&document.release);
        match self {
            Self::Bundle(bytes) => {
                let bundle = SignatureBundle::parse(bytes).ok()?;
                // Another predicate over the same digest says something else about the artifact.
                let signs = Statement::parse(bundle.payload()).ok()? == Statement::Artifact(digest.clone());
                signs.then(|| bundle.signer(keys))?
            }
            Self::Claim { payload, signature } => {
                let signs = Claim::parse(payload).ok()?.digest == *digest;
                let signer = signs.then(|| keys.find(|(_, key)| key.verify(payload, signature)))?;
                signer.map(|(id, _)| *id)
            }
        }
    }
}

/// Verifies a release that was asked for by version or digest: it is signed and not withdrawn. Says nothing about
/// whether a channel serves it, or whether it is recent. The caller checks the trust document with
/// [`check_clock`](super::check_clock) and [`check_current`](super::check_current).
///
/// # Errors
/// [`Untrusted::Withdrawn`] and [`Untrusted::ReleaseUnsigned`].
pub fn accept_release<'a>(
    document: &TrustDocument,
    release: &Digest,
    candidates: impl IntoIterator<Item = Candidate<'a>>,
) -> Result<BTreeSet<KeyId>, Untrusted> {
    if document.withdrawn.contains(release) {
        return Err(Untrusted::Withdrawn(release.clone()));
    }
    let signers = artifact_signers(document, release, candidates);
    if signers.is_empty() { Err(Untrusted::ReleaseUnsigned(release.clone())) } else { Ok(signers) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::testing::Vendor;
    use crate::trust::{Key, decode_signature, encode_signature};

    /// Key, bundle by cosign 3.1.3, and claim with its signature by cosign 2.6.5, all for one image.
    const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqZiM7tjDGc+3xO3u72t6cggg3b8c\n70/ID52a+2385RtFvd/8NbWoyI6TbYFGEMQg4PMprbVMBf9ybjNPIp16Cw==\n-----END PUBLIC KEY-----\n";
    const DIGEST: &str = "sha256:7b6209fc2950dcbb77e927396d61aacaab929885fc344c3e88bfedfd2922699a";
    const BUNDLE: &str = r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json", "verificationMaterial":{"publicKey":{"hint":"vAEPk/4YY+NnU69u2Zer69FD2umMLwGWxDKZcNvgbCc="}}, "dsseEnvelope":{"payload":"eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCAic3ViamVjdCI6W3siZGlnZXN0Ijp7InNoYTI1NiI6IjdiNjIwOWZjMjk1MGRjYmI3N2U5MjczOTZkNjFhYWNhYWI5Mjk4ODVmYzM0NGMzZTg4YmZlZGZkMjkyMjY5OWEifSwgImFubm90YXRpb25zIjp7fX1dLCAicHJlZGljYXRlVHlwZSI6Imh0dHBzOi8vc2lnc3RvcmUuZGV2L2Nvc2lnbi9zaWduL3YxIiwgInByZWRpY2F0ZSI6e319", "payloadType":"application/vnd.in-toto+json", "signatures":[{"sig":"MEUCIQCX2Krf42oGUljBr9aww7GAZ4JemqLLK2UTqR/R+4FQ5wIgZBL8a3txGjSa0VpuaXWs+NROf1NltcKMpVlbGf9RuhI="}]}}"#;
    const CLAIM: &str = r#"{"critical":{"identity":{"docker-reference":"localhost:15077/a/b"},"image":{"docker-manifest-digest":"sha256:7b6209fc2950dcbb77e927396d61aacaab929885fc344c3e88bfedfd2922699a"},"type":"cosign container image signature"},"optional":null}"#;
    const SIGNATURE: &str =
        "MEUCIQCK8xAKTO6gUplOSXRk64A5ixG4u0M4rQLsxP6PF1/q3QIgH7xOY2Qg+Gx+X5rbIPlSLL4Vjuh6xYIlBxGPTUEOuvc=";

    #[test]
    fn signatures_by_cosign_count() {
        let key = Key::from_pem(KEY.as_bytes()).unwrap();
        let mut document = Vendor::new().document();
        let digest: Digest = DIGEST.parse().unwrap();
        let signature = decode_signature(SIGNATURE).unwrap();
        assert_eq!(encode_signature(&signature), SIGNATURE);
        let candidates = [
            Candidate::Bundle(BUNDLE.as_bytes()),
            Candidate::Claim { payload: CLAIM.as_bytes(), signature: &signature },
        ];
        for candidate in candidates {
            assert_eq!(candidate.signer(&document, &digest), None, "the key has no role yet");
        }
        document.release.keys.insert(key.id());
        document.keys.insert(key.id(), key);
        for candidate in candidates {
            assert_eq!(candidate.signer(&document, &digest), Some(key.id()));
            assert_eq!(candidate.signer(&document, &Digest::of(b"")), None);
        }
        assert!(BUNDLE.contains(&format!("\"hint\":\"{}\"", key.id().to_hint())));
    }

    #[test]
    fn the_signature_in_an_annotation_is_bounded() {
        for text in ["!", "A", &"A".repeat(132)] {
            assert_eq!(decode_signature(text), None, "{text}");
        }
    }
}

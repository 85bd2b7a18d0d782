//! What is attached to an artifact as a signature, and which key of the role `release` made it.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::oci::{Digest, StoredClaim, StoredSignatures, StoredStatement};
use crate::trust::{
    ARTIFACT_PREDICATE, CANDIDATES, Candidate, Claim, KeyId, SignatureBundle, Statement, TrustDocument,
};

/// The signatures of one artifact in both forms, with their signers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FoundSignatures {
    /// Number of layers under the tag `sha256-<hex>.sig`.
    pub layers: usize,
    /// Signatures of the older form, at most 64.
    pub claims: Vec<FoundClaim>,
    /// Sigstore bundles from referrers, at most 64.
    pub bundles: Vec<FoundBundle>,
}

/// A signature of the older form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundClaim {
    /// Key of the role `release` that signed the claim.
    pub signer: Option<KeyId>,
    /// Digest that the claim is about; absent when the claim cannot be read.
    pub digest: Option<Digest>,
    /// Repository that the claim names, `HOST/PATH`; empty when the claim cannot be read.
    pub reference: String,
}

/// A Sigstore bundle that refers to the artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundBundle {
    /// Key of the role `release` that signed what is in the bundle.
    pub signer: Option<KeyId>,
    /// What the bundle states.
    pub content: BundleContent,
    /// Whether the list of referrers gives the type of the bundle.
    pub is_listed: bool,
}

/// What a bundle states, as other programs read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BundleContent {
    /// The artifact is signed: one subject, the predicate type of a signature.
    Signature,
    /// A statement of another predicate type about the artifact.
    Attestation(String),
    /// A signature of the artifact and of other subjects.
    SeveralSubjects,
    /// A statement about something else.
    OtherSubject,
    /// A bundle that no program verifies by a key, such as one with two signatures; with the reason.
    NotVerifiable(String),
    /// Not a bundle: other programs ignore it.
    NotABundle,
}

impl FoundBundle {
    /// Reports whether Flux and cosign take the bundle for a signature by a release key. They compare neither the
    /// predicate type nor the number of subjects.
    pub(super) fn passes_elsewhere(&self) -> bool {
        let about = matches!(
            self.content,
            BundleContent::Signature | BundleContent::Attestation(_) | BundleContent::SeveralSubjects
        );
        self.signer.is_some() && about
    }

    fn of(bundle: &StoredStatement, document: &TrustDocument, digest: &Digest) -> Self {
        let StoredStatement { bytes, is_listed } = bundle;
        let parsed = match SignatureBundle::parse(bytes) {
            Ok(parsed) => parsed,
            Err(cause) => {
                let content = if is_bundle(bytes) {
                    BundleContent::NotVerifiable(cause.to_string())
                } else {
                    BundleContent::NotABundle
                };
                return Self { signer: None, content, is_listed: *is_listed };
            }
        };
        let signer = parsed.signer(document.keys_of(&document.release));
        let content = match Statement::parse(parsed.payload()) {
            Ok(Statement::Artifact(subject)) if subject == *digest => BundleContent::Signature,
            _ => content(parsed.payload(), digest),
        };
        Self { signer, content, is_listed: *is_listed }
    }
}

impl FoundClaim {
    fn of(stored: &StoredClaim, document: &TrustDocument) -> Self {
        let StoredClaim { payload, signature, .. } = stored;
        match Claim::parse(payload) {
            Ok(Claim { reference, digest }) => {
                let signer = Candidate::Claim { payload, signature }.signer(document, &digest);
                Self { signer, digest: Some(digest), reference }
            }
            Err(_) => Self { signer: None, digest: None, reference: String::new() },
        }
    }

    fn signs(&self, digest: &Digest) -> Option<KeyId> {
        self.signer.filter(|_| self.digest.as_ref() == Some(digest))
    }
}

impl FoundSignatures {
    /// Finds out who signed what a store has attached to an artifact.
    pub(super) fn of(stored: &StoredSignatures, document: &TrustDocument, digest: &Digest) -> Self {
        Self {
            layers: stored.layers,
            claims: stored.claims.iter().take(CANDIDATES).map(|claim| FoundClaim::of(claim, document)).collect(),
            bundles: stored
                .bundles
                .iter()
                .take(CANDIDATES)
                .map(|bundle| FoundBundle::of(bundle, document, digest))
                .collect(),
        }
    }

    /// Returns the release keys that signed the artifact under the tag `sha256-<hex>.sig`.
    pub(super) fn of_claims(&self, digest: &Digest) -> BTreeSet<KeyId> {
        self.claims.iter().filter_map(|claim| claim.signs(digest)).collect()
    }

    /// Returns the release keys that signed the artifact in a Sigstore bundle.
    pub(super) fn of_bundles(&self) -> BTreeSet<KeyId> {
        let ours = self.bundles.iter().filter(|bundle| bundle.content == BundleContent::Signature);
        ours.filter_map(|bundle| bundle.signer).collect()
    }

    /// Returns the digests of other artifacts that the claims of release keys name.
    pub(super) fn misplaced(&self, digest: &Digest) -> BTreeSet<&Digest> {
        let ours = self.claims.iter().filter(|claim| claim.signer.is_some());
        ours.filter_map(|claim| claim.digest.as_ref()).filter(|other| *other != digest).collect()
    }

    /// Reports whether nothing is attached that could be a signature.
    pub(super) fn is_empty(&self) -> bool {
        self.layers == 0 && self.bundles.is_empty()
    }
}

/// Reports whether other programs read the bytes as a Sigstore bundle.
fn is_bundle(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Any {
        media_type: String,
    }
    let any: Option<Any> = serde_json::from_slice(bytes).ok();
    any.is_some_and(|any| any.media_type.starts_with("application/vnd.dev.sigstore.bundle"))
}

/// Returns what a statement that is not a signature of the artifact alone says about it.
fn content(payload: &[u8], digest: &Digest) -> BundleContent {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Any {
        predicate_type: String,
        subject: Vec<Subject>,
    }
    #[derive(Deserialize)]
    struct Subject {
        digest: std::collections::BTreeMap<String, String>,
    }
    let Ok(any) = serde_json::from_slice::<Any>(payload) else {
        return BundleContent::NotVerifiable("the bundle does not hold an in-toto statement".to_owned());
    };
    let names = |subject: &Subject| subject.digest.get("sha256").is_some_and(|hex| hex == digest.hex());
    if !any.subject.iter().any(names) {
        return BundleContent::OtherSubject;
    }
    if any.predicate_type == ARTIFACT_PREDICATE {
        BundleContent::SeveralSubjects
    } else {
        BundleContent::Attestation(any.predicate_type)
    }
}

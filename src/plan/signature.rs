//! The two forms of an artifact's signature as artifacts of their own: the tag `sha256-<hex>.sig`, and a referrer.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::desired::DesiredArtifact;
use crate::oci::{
    Artifact, Attached, Content, Descriptor, Digest, Document, Manifest, Prefix, Repository, Tag, media_type,
    signature_tag,
};
use crate::trust::{
    ARTIFACT_PREDICATE, BUNDLE_CONTENT, BUNDLE_PREDICATE_TYPE, CLAIM_CONFIG_MEDIA_TYPE, Claim, KeyId, SignatureBundle,
    Statement, claim_config,
};

/// An artifact that is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Repository of the artifact, below the store's prefix.
    pub repository: Repository,
    /// Name under which others read the repository, `HOST/PATH`.
    pub name: String,
    /// Descriptor of the artifact's manifest: media type, digest and size alone.
    pub descriptor: Descriptor,
}

/// Signatures of one artifact by one key, in ASN.1 DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactSignature {
    /// The key that signed both forms.
    pub key: KeyId,
    /// Signature of the bytes of the claim.
    pub of_claim: Vec<u8>,
    /// Signature of the message of the statement.
    pub of_statement: Vec<u8>,
}

impl Subject {
    /// Returns the claim that the older form signs.
    pub fn claim(&self) -> Claim {
        Claim { reference: self.name.clone(), digest: self.descriptor.digest.clone() }
    }

    /// Returns the statement that the bundle signs.
    pub fn statement(&self) -> Statement {
        Statement::Artifact(self.descriptor.digest.clone())
    }

    /// Returns the bundle of a signature.
    pub fn bundle(&self, signature: &ArtifactSignature) -> Vec<u8> {
        SignatureBundle::new(self.statement().to_payload(), &signature.key, signature.of_statement.clone()).to_bytes()
    }

    /// Returns the tag of the older form.
    pub fn tag(&self) -> Tag {
        signature_tag(&self.descriptor.digest)
    }

    /// Returns both forms of the signatures.
    pub fn attached(&self, signatures: &[ArtifactSignature]) -> Attached {
        let claims = signatures.iter().map(|one| {
            let signature = STANDARD.encode(&one.of_claim);
            Content::new(media_type::SIMPLE_SIGNING, self.claim().to_bytes())
                .annotated(media_type::COSIGN_SIGNATURE, &signature)
        });
        let claims: Vec<Content> = claims.collect();
        let layers: Vec<Descriptor> = claims.iter().map(|claim| claim.descriptor().clone()).collect();
        let referrers = signatures.iter().map(|one| {
            let artifact = self.referrer(self.bundle(one));
            (self.descriptor.digest.clone(), artifact.descriptor().clone(), artifact)
        });
        Attached { referrers: referrers.collect(), tagged: vec![(self.tag(), claims_image(&layers, &claims))] }
    }

    /// Returns the subject that an artifact is, under the name by which appliances read it.
    pub fn of(desired: &DesiredArtifact, prefix: &Prefix) -> Self {
        let full = desired.artifact.descriptor();
        // The subject of a referrer has no artifact type and no annotations, so that the bytes are always the same.
        let descriptor = Descriptor { artifact_type: None, annotations: BTreeMap::new(), ..full.clone() };
        Self { repository: desired.repository.clone(), name: prefix.name_of(&desired.repository), descriptor }
    }

    /// Returns the subject that a manifest in a store is, under the name by which appliances read it.
    pub fn stored(repository: Repository, prefix: &Prefix, descriptor: Descriptor) -> Self {
        let descriptor = Descriptor { artifact_type: None, annotations: BTreeMap::new(), ..descriptor };
        Self { name: prefix.name_of(&repository), repository, descriptor }
    }

    fn referrer(&self, bundle: Vec<u8>) -> Artifact {
        let annotations = [BUNDLE_CONTENT, (BUNDLE_PREDICATE_TYPE, ARTIFACT_PREDICATE)];
        let annotations: BTreeMap<String, String> =
            annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let layer = Content::new(media_type::SIGSTORE_BUNDLE, bundle);
        Artifact::pack_referrer(media_type::SIGSTORE_BUNDLE, vec![layer], self.descriptor.clone(), annotations)
    }
}

/// Returns the image whose layers are claims. `blobs` are those layers that are not in the store yet.
pub(super) fn claims_image(layers: &[Descriptor], blobs: &[Content]) -> Artifact {
    let digests: Vec<Digest> = layers.iter().map(|layer| layer.digest.clone()).collect();
    let config = Content::new(CLAIM_CONFIG_MEDIA_TYPE, claim_config(&digests));
    let manifest = Manifest::new(config.descriptor().clone(), layers.to_vec(), BTreeMap::new());
    let bytes = serde_json::to_vec(&manifest).expect("a manifest has only text keys");
    let new = blobs.iter().filter(|blob| digests.contains(&blob.descriptor().digest)).cloned();
    let blobs = std::iter::once(config).chain(new).collect();
    Artifact::of(Document::new(media_type::IMAGE_MANIFEST, bytes), Vec::new(), blobs)
}

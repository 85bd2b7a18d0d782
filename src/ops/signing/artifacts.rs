//! Signs artifacts in both forms. What a key has signed already is not signed again.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;

use super::{Signing, TrustError};
use crate::oci::{Attached, Digest, ReadStore, Repository};
use crate::ops::Error;
use crate::plan::{ArtifactKind, ArtifactSignature, Desired, DesiredArtifact, Subject};
use crate::signing::{KeySignature, Message, SignerRole};
use crate::trust::{Candidate, Key, KeyId, Role};

impl Signing {
    /// Signs everything that a publication writes, and `images` of the store. Returns the signatures for the store.
    pub(in crate::ops) async fn sign_all(
        &self,
        desired: &Desired,
        images: &[Subject],
        store: &ReadStore,
    ) -> Result<Vec<(Repository, Attached)>, Error> {
        let written = desired.all().map(|one| Subject::of(one, &desired.prefix));
        let subjects: Vec<Subject> = written.chain(images.iter().cloned()).collect();
        self.sign_subjects(&subjects, store).await
    }

    /// Reports whether a key or a program can sign for the role `release`.
    pub(in crate::ops) fn can_sign_artifacts(&self) -> bool {
        let keys = self.keys(&self.document().release);
        self.is_preparing() || self.signers.has_given() || self.signers.most(SignerRole::Release, &keys, &[]) > 0
    }

    /// Signs the artifacts of a copy, under the names by which the copy is read: charts, bundle, release and the control
    /// plane with the given digest. Other images are signed by their builders.
    pub(in crate::ops) async fn sign_copy(
        &self,
        desired: &Desired,
        control_plane: Option<&Digest>,
        store: &ReadStore,
    ) -> Result<Vec<(Repository, Attached)>, Error> {
        let ours =
            |one: &&DesiredArtifact| one.kind != ArtifactKind::Image || control_plane == Some(one.artifact.digest());
        let subjects: Vec<Subject> = desired.all().filter(ours).map(|one| Subject::of(one, &desired.prefix)).collect();
        self.sign_subjects(&subjects, store).await
    }

    /// Signs artifacts, and returns the signatures for the store. Where messages are prepared, there are none yet.
    pub(in crate::ops) async fn sign_subjects(
        &self,
        subjects: &[Subject],
        store: &ReadStore,
    ) -> Result<Vec<(Repository, Attached)>, Error> {
        let signed = try_join_all(subjects.iter().map(|subject| self.sign_artifact(subject, store))).await?;
        Ok(signed.into_iter().flatten().collect())
    }

    async fn sign_artifact(
        &self,
        subject: &Subject,
        store: &ReadStore,
    ) -> Result<Option<(Repository, Attached)>, Error> {
        let role = &self.document().release;
        let mut signatures = self.known(subject, store).await?;
        let signed: BTreeSet<KeyId> = signatures.iter().map(|one| one.key).collect();
        let (keys, message) = (self.keys(role), Message::of_claim(&subject.claim()).to_be_signed());
        let left = if self.signers.has_programs(SignerRole::Release) && !self.is_preparing() {
            self.signers.unsigned(SignerRole::Release, &keys, &signed, &message)
        } else {
            keys.into_iter().filter(|key| !signed.contains(&key.id())).collect()
        };
        if !left.is_empty() {
            signatures.extend(self.signatures(subject, &left).await?);
        }
        if signatures.is_empty() && !self.is_preparing() {
            let what = format!("the artifact {}", subject.name);
            return Err(TrustError::threshold(what, SignerRole::Release, role, &[]).into());
        }
        let is_signed = !self.is_preparing();
        Ok(is_signed.then(|| (subject.repository.clone(), subject.attached(&signatures))))
    }

    /// Signs both forms by keys of the role `release`, as far as they are at hand.
    async fn signatures(&self, subject: &Subject, keys: &[Key]) -> Result<Vec<ArtifactSignature>, Error> {
        let role = Role { keys: keys.iter().map(Key::id).collect(), threshold: 1 };
        let of_claim = self.sign(Message::of_claim(&subject.claim()), &role).await?;
        let of_statement = self.sign(Message::of_statement(&subject.statement()), &role).await?;
        let pairs = of_claim.into_iter().filter_map(|KeySignature { key, der }| {
            let other = of_statement.iter().find(|other| other.key == key)?;
            Some(ArtifactSignature { key: key.id(), of_claim: der, of_statement: other.der.clone() })
        });
        Ok(pairs.collect())
    }

    /// Returns signatures that the store has in both forms. A key file always makes the same signature, so nothing is
    /// read for it. A program may make another one each time, and each use of it may cost money. Where nothing at hand
    /// signs, what was signed before counts.
    async fn known(&self, subject: &Subject, store: &ReadStore) -> Result<Vec<ArtifactSignature>, Error> {
        let (role, keys) = (SignerRole::Release, self.keys(&self.document().release));
        let message = Message::of_claim(&subject.claim()).to_be_signed();
        let asks = self.signers.has_programs(role) || self.is_preparing();
        if !asks && self.signers.most(role, &keys, &message) > 0 {
            return Ok(Vec::new());
        }
        let (repository, digest) = (&subject.repository, &subject.descriptor.digest);
        let (claims, bundles) =
            futures_util::try_join!(store.claims(repository, digest), store.bundles(repository, digest))?;
        let document = self.document();
        let of_statements: Vec<(KeyId, Vec<u8>)> = bundles
            .iter()
            .filter_map(|bundle| Some((Candidate::Bundle(bundle).signer(document, digest)?, bundle)))
            .filter_map(|(key, bundle)| {
                Some((key, crate::trust::SignatureBundle::parse(bundle).ok()?.signature()?.to_vec()))
            })
            .collect();
        let both = claims.into_iter().filter_map(|claim| {
            let candidate = Candidate::Claim { payload: &claim.payload, signature: &claim.signature };
            // A claim of another name, from before the artifact was copied, is not ours.
            let key = candidate.signer(document, digest).filter(|_| claim.payload == subject.claim().to_bytes())?;
            let (_, of_statement) = of_statements.iter().find(|(other, _)| *other == key)?;
            Some(ArtifactSignature { key, of_claim: claim.signature, of_statement: of_statement.clone() })
        });
        Ok(both.collect())
    }
}

//! Signs artifacts in both forms. What a key has signed already is not signed again.

use futures_util::future::try_join_all;

use super::Signing;
use crate::oci::{Attached, ReadStore, Repository};
use crate::ops::Error;
use crate::plan::{ArtifactSignature, Desired, Subject};
use crate::signing::{KeySignature, SignerRole};
use crate::trust::{Candidate, KeyId, statement_message};

impl Signing {
    /// Signs everything that a publication writes, and returns the signatures for the store.
    pub(in crate::ops) async fn sign_all(
        &self,
        desired: &Desired,
        store: &ReadStore,
    ) -> Result<Vec<(Repository, Attached)>, Error> {
        let subjects: Vec<Subject> = desired.all().map(|one| Subject::of(one, &desired.prefix)).collect();
        try_join_all(subjects.iter().map(|subject| self.sign_artifact(subject, store))).await
    }

    async fn sign_artifact(&self, subject: &Subject, store: &ReadStore) -> Result<(Repository, Attached), Error> {
        let signatures = match self.known(subject, store).await? {
            Some(known) => known,
            None => self.signatures(subject).await?,
        };
        Ok((subject.repository.clone(), subject.attached(&signatures)))
    }

    async fn signatures(&self, subject: &Subject) -> Result<Vec<ArtifactSignature>, Error> {
        let keys = self.keys(&self.document().release);
        let (claim, statement) = (subject.claim(), statement_message(&subject.statement()));
        let of_claim = self.signers.sign(SignerRole::Release, &keys, &claim).await?;
        let of_statement = self.signers.sign(SignerRole::Release, &keys, &statement).await?;
        let pairs = of_claim.into_iter().filter_map(|KeySignature { key, der }| {
            let other = of_statement.iter().find(|other| other.key == key)?;
            Some(ArtifactSignature { key: key.id(), of_claim: der, of_statement: other.der.clone() })
        });
        let signatures: Vec<ArtifactSignature> = pairs.collect();
        if signatures.is_empty() {
            let what = format!("the artifact {}", subject.name);
            let role = SignerRole::Release;
            return Err(super::TrustError::Threshold { what, role, threshold: 1, found: 0 }.into());
        }
        Ok(signatures)
    }

    /// Returns signatures that the store has in both forms. A key file always makes the same signature, so nothing is
    /// read for it. A program may make another one each time, and each use of it may cost money.
    async fn known(&self, subject: &Subject, store: &ReadStore) -> Result<Option<Vec<ArtifactSignature>>, Error> {
        if !self.signers.has_programs(SignerRole::Release) {
            return Ok(None);
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
            let key = candidate.signer(document, digest).filter(|_| claim.payload == subject.claim())?;
            let (_, of_statement) = of_statements.iter().find(|(other, _)| *other == key)?;
            Some(ArtifactSignature { key, of_claim: claim.signature, of_statement: of_statement.clone() })
        });
        let both: Vec<ArtifactSignature> = both.collect();
        Ok((!both.is_empty()).then_some(both))
    }
}

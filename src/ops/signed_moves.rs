//! The signatures of the moves of a channel: who signed each of them, and what is missing between their statements.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use serde::Serialize;

use crate::oci::{self, ReadStore, Repository, Tag};
use crate::release::{self, Move};
use crate::text::counted;
use crate::trust::{self, KeyId, Offer, Proven, TrustDocument};

/// The signatures in the manifest of one move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MoveSignatures {
    /// Number of the signatures in the channel manifest: of the statement, of its refresh and of the release.
    pub count: usize,
    /// Whether the statement was verified, and enough keys of the channel signed it.
    pub verified: bool,
    /// Keys of the channel's role that signed; empty when the statement was not verified.
    pub signers: BTreeSet<KeyId>,
    /// Epoch of the statement; absent when it was not verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Sequence number of the statement; absent when it was not verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Reason why the signatures do not count by the trust document in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl MoveSignatures {
    /// Returns the signatures that a manifest carries, of which none is verified.
    pub(super) fn unverified(one: &Move) -> Self {
        let (count, signers) = (one.signatures.len(), BTreeSet::new());
        Self { count, verified: false, signers, epoch: None, sequence: None, problem: None }
    }

    fn of(one: &Move, proven: Result<&Proven, &String>) -> Self {
        let unverified = Self::unverified(one);
        match proven {
            Ok(Proven { statement, signers, .. }) => Self {
                verified: true,
                signers: signers.clone(),
                epoch: Some(statement.epoch),
                sequence: Some(statement.sequence),
                ..unverified
            },
            Err(problem) => Self { problem: Some(problem.clone()), ..unverified },
        }
    }

    /// Returns the signatures in a few words.
    pub(super) fn words(&self) -> String {
        if self.verified {
            let keys = self.signers.iter().map(KeyId::short).collect::<Vec<_>>().join(", ");
            return format!("signed by {keys}");
        }
        if self.count == 0 {
            return "not signed".to_owned();
        }
        match &self.problem {
            Some(problem) => format!("signatures do not count: {}", crate::text::shown(problem)),
            None => format!("{}, not verified", counted(self.count, "signature", "signatures")),
        }
    }
}

/// The signatures of several moves, newest first, and what is missing between them.
#[derive(Debug)]
pub(super) struct SignedMoves {
    pub of: Vec<MoveSignatures>,
    pub gaps: Vec<String>,
}

/// Verifies the statement of each move. Keys count as the trust document in force has them.
pub(super) async fn verify(
    store: &ReadStore,
    repository: &Repository,
    channel: &Tag,
    moves: &[Move],
    document: &TrustDocument,
) -> Result<SignedMoves, oci::Error> {
    let reads = moves.iter().map(|one| async move {
        match release::signatures(store, repository, &one.signatures).await {
            Err(error) if error.kind().is_of_server() || error.kind() == oci::Kind::Denied => Err(error),
            Err(error) => Ok(Err(error.to_string())),
            Ok(layers) => {
                let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
                let proven = trust::proven(&Offer { record: one.record.as_ref(), layers: &layers }, document, channel);
                Ok(proven.map_err(|cause| cause.to_string()))
            }
        }
    });
    let proven = try_join_all(reads).await?;
    let of = moves.iter().zip(&proven).map(|(one, proven)| MoveSignatures::of(one, proven.as_ref())).collect();
    let pairs = proven.windows(2).zip(moves);
    let gaps = pairs.filter_map(|(pair, newer)| gap(pair[0].as_ref().ok(), pair[1].as_ref().ok(), newer));
    Ok(SignedMoves { of, gaps: gaps.collect() })
}

/// Returns what is wrong between the statements of a move and the move before it.
fn gap(newer: Option<&Proven>, older: Option<&Proven>, of: &Move) -> Option<String> {
    let older = older?;
    let Some(newer) = newer else {
        let number = of.sequence().map(|number| format!(" {number}")).unwrap_or_default();
        return Some(format!("move{number} has no statement that counts, and the move before it has one"));
    };
    let (after, before) = (&newer.statement, &older.statement);
    if after.epoch > before.epoch {
        return None;
    }
    if after.epoch < before.epoch || after.sequence <= before.sequence {
        return Some(format!(
            "statement {} of epoch {} follows statement {} of epoch {}",
            after.sequence, after.epoch, before.sequence, before.epoch
        ));
    }
    if after.sequence > before.sequence + 1 {
        let (first, last) = (before.sequence + 1, after.sequence - 1);
        let missing =
            if first == last { format!("statement {first} is") } else { format!("statements {first} to {last} are") };
        return Some(format!("{missing} missing between {} and {}", before.sequence, after.sequence));
    }
    let names = after.previous.as_ref() == Some(&older.payload);
    (!names).then(|| {
        format!("statement {} names another statement before it than statement {}", after.sequence, before.sequence)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;
    use crate::release::MoveKind;
    use crate::trust::{ChannelStatement, Time};

    fn proven(epoch: u64, sequence: u64, previous: Option<&Proven>) -> Proven {
        let time = Time::from_seconds(1_700_000_000);
        let statement = ChannelStatement {
            release: Digest::of(b"release"),
            product: "alga-psa".to_owned(),
            channel: "stable".parse().unwrap(),
            epoch,
            trust_version: 1,
            sequence,
            previous: previous.map(|previous| previous.payload.clone()),
            issued: time,
            expires: time.plus(1),
            kind: MoveKind::Promote,
            by: None,
            from: None,
            reason: None,
        };
        let payload = Digest::of(&statement.to_payload());
        Proven { statement, payload, signers: BTreeSet::new() }
    }

    fn one() -> Move {
        let (manifest, release) = (Digest::of(b"m"), Digest::of(b"r"));
        Move {
            manifest,
            release,
            record: None,
            content: None,
            kept_by: None,
            signatures: Vec::new(),
            begins_epoch: None,
        }
    }

    #[test]
    fn what_is_missing_between_two_statements_is_said() {
        let first = proven(1, 1, None);
        let second = proven(1, 2, Some(&first));
        let says = |newer: Option<&Proven>, older: Option<&Proven>| gap(newer, older, &one()).unwrap_or_default();
        assert_eq!(says(Some(&second), Some(&first)), "");
        assert_eq!(says(Some(&first), None), "");
        assert_eq!(says(Some(&proven(2, 1, Some(&first))), Some(&second)), "", "a new epoch begins anew");
        let cases = [
            (Some(proven(1, 3, Some(&first))), &first, "statement 2 is missing between 1 and 3"),
            (Some(proven(1, 9, Some(&second))), &second, "statements 3 to 8 are missing between 2 and 9"),
            (Some(proven(1, 2, None)), &first, "statement 2 names another statement before it than statement 1"),
            (Some(first.clone()), &second, "statement 1 of epoch 1 follows statement 2 of epoch 1"),
            (None, &first, "move has no statement that counts, and the move before it has one"),
        ];
        for (newer, older, reason) in cases {
            assert_eq!(says(newer.as_ref(), Some(older)), reason);
        }
    }
}

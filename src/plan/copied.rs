//! A signed channel that is copied as it is: the very manifest of the source, with the proof in it. A copy makes no
//! statement of its own, so it needs no key and appliances cannot tell the copy from its source.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::approval::ApprovedMove;
use super::observe::{ChannelState, Observed};
use super::planner::{Move, Moving};
use super::refusal::Refusal;
use super::signed::{bundles_of, refreshed_at, statement_of};
use crate::oci::{Artifact, Content, Digest, Repository, Tag};
use crate::release::{self, Record};
use crate::trust::{self, Candidate, ChannelStatement, Offer, Position, Statement, Time, TrustDocument, Untrusted};

/// A channel manifest of another store that is written byte for byte.
#[derive(Clone, Debug)]
pub struct CopiedChannel<'a> {
    /// The channel manifest with its JSON and its proof.
    pub artifact: Artifact,
    /// Layers of the manifest with its proof, which were read.
    pub signatures: Vec<Content>,
    /// Record of the move that the manifest describes.
    pub record: Record,
    /// Place of the statement in the history of the channel.
    pub place: StatementPlace,
    /// Trust document by which the statement of the target is verified; `None` takes it as it is.
    pub document: Option<&'a TrustDocument>,
}

/// The place of a channel's statement in the history of the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementPlace {
    /// Epoch and sequence number, with the digest of the payload.
    pub position: Position,
    /// Time of the last refresh, not verified; absent without a refresh.
    pub refreshed: Option<Time>,
}

impl StatementPlace {
    /// Returns the place of the statement in a channel manifest. Without a trust document, no signature is verified, and
    /// the manifest must hold exactly one statement that agrees with its record.
    ///
    /// # Errors
    /// The first rule about the statement that does not hold.
    pub fn read(
        channel: &Tag,
        record: Option<&Record>,
        layers: &[Content],
        document: Option<&TrustDocument>,
    ) -> Result<Self, Untrusted> {
        let position = match document {
            Some(document) => {
                let proven = trust::proven(&Offer { record, layers: &bundles_of(layers) }, document, channel)?;
                let (epoch, sequence) = (proven.statement.epoch, proven.statement.sequence);
                Position { epoch, sequence, payload: Some(proven.payload) }
            }
            None => stated(channel, record, layers)?,
        };
        Ok(Self { position, refreshed: refreshed_at(layers) })
    }

    /// Reports whether this is the place of a statement.
    fn is_of(&self, statement: &ChannelStatement) -> bool {
        self.position.payload.as_ref() == Some(&Digest::of(&statement.to_payload()))
    }
}

/// Returns the position of the only statement that agrees with the record of a channel manifest.
fn stated(channel: &Tag, record: Option<&Record>, layers: &[Content]) -> Result<Position, Untrusted> {
    let (mut payloads, mut refused) = (BTreeSet::new(), Untrusted::Unsigned { unreadable: None });
    for layer in layers {
        let Some(Statement::Channel(statement)) = statement_of(layer) else { continue };
        if statement.channel != *channel {
            refused = Untrusted::OtherChannel { expected: channel.clone(), found: statement.channel };
            continue;
        }
        match trust::check_record(&statement, record) {
            Ok(()) => drop(payloads.insert((statement.epoch, statement.sequence, Digest::of(&statement.to_payload())))),
            Err(cause) => refused = cause,
        }
    }
    match (payloads.len(), payloads.pop_first()) {
        (1, Some((epoch, sequence, payload))) => Ok(Position { epoch, sequence, payload: Some(payload) }),
        (0, _) => Err(refused),
        (several, _) => Err(Untrusted::SeveralStatements(several)),
    }
}

impl CopiedChannel<'_> {
    /// Plans the move of the target to the copied manifest. Nothing moves when the target has the same statement with a
    /// refresh that is as late.
    pub(super) fn moved(
        &self,
        json: &[u8],
        (observed, release): (&Observed, &Digest),
        moving: &Moving<'_>,
        repository: &Repository,
    ) -> Result<(Option<Move>, ApprovedMove), Refusal> {
        let (channel, record) = (moving.channel, &self.record);
        let serves = observed.channel.serves.as_ref();
        let approved = ApprovedMove { channel: channel.clone(), replaces: record.previous.clone(), kind: record.kind };
        if !self.is_newer(channel, serves)? {
            return Ok((None, approved));
        }
        moving.untouched(serves)?;
        let json = Content::new(release::CONFIG_MEDIA_TYPE, release::with_channel(json, channel)?);
        let from = serves.map(|serves| serves.manifest.clone());
        let moves = Move {
            repository: repository.clone(),
            channel: channel.clone(),
            release: release.clone(),
            config: json.descriptor().clone(),
            goes_on_from: observed.channel.newest.clone().filter(|_| from.is_none()),
            from,
            sequence: record.sequence,
            kind: record.kind,
            adopts: Some(self.artifact.digest().clone()),
            refreshes: None,
        };
        Ok((Some(moves), approved))
    }

    /// Reports whether the copied statement comes after that of the target. An unsigned channel, and one whose statement
    /// does not count, are replaced. A statement by a later trust document than the one at hand cannot be verified, and
    /// counts as it is.
    fn is_newer(&self, channel: &Tag, serves: Option<&ChannelState>) -> Result<bool, Refusal> {
        let Some(serves) = serves else { return Ok(true) };
        if serves.manifest == *self.artifact.digest() {
            return Ok(false);
        }
        let record = serves.record.as_ref();
        let (held, later) = match StatementPlace::read(channel, record, &serves.signatures, self.document) {
            Ok(held) => (held, None),
            Err(_) => match self.later(channel, serves) {
                Some((held, versions)) => (held, Some(versions)),
                None => return Ok(true),
            },
        };
        let place = |position: &Position| (position.epoch, position.sequence);
        let (offered, has) = (place(&self.place.position), place(&held.position));
        match offered.cmp(&has) {
            Ordering::Greater => Ok(true),
            Ordering::Less => match later {
                None => Err(Refusal::Ahead { channel: channel.clone(), offered, held: has }),
                Some((version, known)) => {
                    let (channel, held) = (channel.clone(), has);
                    Err(Refusal::LaterTrust { channel, offered, held, version, known })
                }
            },
            Ordering::Equal if self.place.position.payload != held.position.payload => {
                let (epoch, sequence) = has;
                Err(Refusal::OtherStatement { channel: channel.clone(), epoch, sequence })
            }
            Ordering::Equal => Ok(match self.place.refreshed.cmp(&held.refreshed) {
                Ordering::Equal => self.adds_signers(serves),
                order => order.is_gt(),
            }),
        }
    }

    /// Reports whether the release is signed by a key that the target does not have a signature of. The statement does not
    /// cover these signatures, so they change without a move when a release key is exchanged.
    fn adds_signers(&self, serves: &ChannelState) -> bool {
        let of_release = |layers: &[Content]| -> BTreeSet<Digest> {
            let signs = |one: &&Content| matches!(statement_of(one), Some(Statement::Artifact(_)));
            layers.iter().filter(signs).map(|one| one.descriptor().digest.clone()).collect()
        };
        let Some(document) = self.document else {
            // Without a trust document, a signature that is missing may be one of a key that was removed.
            let (offered, held) = (of_release(&self.signatures), of_release(&serves.signatures));
            return offered.is_superset(&held) && offered != held;
        };
        let signers = |layers: &[Content]| {
            let candidates = bundles_of(layers).into_iter().map(Candidate::Bundle);
            trust::artifact_signers(document, &self.record.release, candidates)
        };
        !signers(&self.signatures).is_subset(&signers(&serves.signatures))
    }

    /// Returns the place of a statement of the target that names a later trust document, or a later epoch, than the one
    /// at hand, with the versions of both documents.
    fn later(&self, channel: &Tag, serves: &ChannelState) -> Option<(StatementPlace, (u64, u64))> {
        let (document, layers) = (self.document?, &serves.signatures);
        let held = StatementPlace::read(channel, serves.record.as_ref(), layers, None).ok()?;
        let mut versions = layers.iter().filter_map(|layer| match statement_of(layer)? {
            Statement::Channel(statement) if held.is_of(&statement) => Some(statement.trust_version),
            _ => None,
        });
        let (version, epoch) = (versions.next()?, document.channels.get(channel.as_str())?.epoch);
        let known = document.version;
        (version > known || held.position.epoch > epoch).then_some((held, (version, known)))
    }
}

#[cfg(test)]
#[path = "copied_tests.rs"]
mod tests;

//! What the signed statements of a channel say, from which the next one goes on.

use std::collections::{BTreeMap, BTreeSet};

use super::observe::ObservedChannel;
use super::planner::Move;
use super::record::MoveRecord;
use crate::oci::{Content, Digest, Tag};
use crate::trust::{
    self, Accepted, ChannelRole, ChannelStatement, Offer, Position, Proven, ReadFrom, SignatureBundle, Statement,
    Terms, Time, TrustDocument,
};

/// Largest number that counts although no key in force and no record of this publisher proves it. A channel that moves
/// every second reaches it after 136 years, and a forged number up to here leaves room for every later move.
pub const UNPROVEN: u64 = 1 << 32;

/// The verified statements of a channel. The next sequence number of a signed move follows them: whoever can write tags
/// could otherwise make the number jump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignedChannel {
    /// Number from which the next statement goes on; absent where no number of the channel counts, because each is
    /// above [`UNPROVEN`] and has no proof.
    pub sequence: Option<u64>,
    /// Digest of the payload of the last verified statement.
    pub previous: Option<Digest>,
    /// Time until which a reader accepts the statement that the channel carries now; absent when no reader does.
    pub current_until: Option<Time>,
    /// Expiry of that statement itself, without its refresh.
    pub statement_until: Option<Time>,
    /// Whether the keys of the channel made it serve what it serves now, even if the statement has expired. An unsigned
    /// channel has no other proof before it is signed for the first time.
    pub is_proven: bool,
    /// Digests of the channel manifests of announced moves whose statements a reader accepts.
    pub verified: BTreeSet<Digest>,
}

/// What statements are verified against.
#[derive(Clone, Copy, Debug)]
pub struct Verifying<'a> {
    /// Trust document in force.
    pub document: &'a TrustDocument,
    /// Versions before that document, the newest first. A statement by a key of theirs counts for the next sequence
    /// number alone: no reader accepts it.
    pub earlier: &'a [TrustDocument],
    /// Name of the channel.
    pub channel: &'a Tag,
    /// Present time, by which statements expire.
    pub now: Time,
    /// Highest position that this publisher signed, from its own state.
    pub signed: Option<&'a Position>,
    /// Highest number that a person declared as used.
    pub accepted: Option<u64>,
    /// Kind of the store that readers read the channel from. In a directory nothing has to be fresh.
    pub source: ReadFrom<'a>,
}

impl SignedChannel {
    /// Verifies the statements of what a channel serves and of the moves that were announced beyond.
    pub fn read(observed: &ObservedChannel, verifying: &Verifying<'_>) -> Self {
        let served = observed.serves.as_ref();
        let served = served.and_then(|one| Some((one.record.as_ref()?, &one.manifest, &one.signatures[..])));
        let announced = observed.announced.iter().map(|one| (&one.record, &one.manifest, &one.signatures[..]));
        let (mut last, mut is_proven): (Option<(bool, Proven)>, bool) = (None, false);
        let mut accepted: BTreeMap<Digest, Accepted> = BTreeMap::new();
        for (record, manifest, signatures) in served.into_iter().chain(announced) {
            let layers = bundles_of(signatures);
            let offer = Offer { record: Some(record), layers: &layers };
            let Some((in_force, proven)) = verifying.proven(&offer) else { continue };
            is_proven |= served.is_some_and(|(_, served, _)| served == manifest);
            if let Some(one) = verifying.accepts(&offer) {
                accepted.insert(manifest.clone(), one);
            }
            let counts = in_force || proven.statement.sequence <= UNPROVEN;
            let rank = |(counts, proven): &(bool, Proven)| (*counts, proven.statement.sequence);
            if last.as_ref().is_none_or(|last| rank(last) < (counts, proven.statement.sequence)) {
                last = Some((counts, proven));
            }
        }
        let is_signed = observed.serves.as_ref().is_some_and(|serves| !serves.signatures.is_empty());
        let is_new = last.is_none() && verifying.signed.is_none() && !is_signed;
        let current = served.and_then(|(_, manifest, _)| accepted.get(manifest));
        let (current_until, statement_until) =
            current.map(|current| (current.expires, current.statement.expires)).unzip();
        let verified = accepted.into_keys().filter(|digest| served.is_none_or(|(_, served, _)| digest != served));
        Self {
            sequence: verifying.last(last.as_ref().filter(|(counts, _)| *counts).map(sequence_of), observed.sequence),
            previous: last.map(|(_, last)| last.payload),
            current_until,
            statement_until,
            is_proven: is_proven || is_new,
            verified: verified.collect(),
        }
    }

    /// Returns the statement that a move makes. It expires as late as the role of the channel allows.
    pub fn statement(
        &self,
        moves: &Move,
        record: &MoveRecord,
        document: &TrustDocument,
        role: &ChannelRole,
        issued: Time,
    ) -> ChannelStatement {
        ChannelStatement {
            release: moves.release.clone(),
            product: document.product.clone(),
            channel: moves.channel.clone(),
            epoch: role.epoch,
            trust_version: document.version,
            sequence: moves.sequence,
            previous: self.previous.clone(),
            issued,
            expires: issued.plus(role.max_lifetime_days.saturating_mul(trust::DAY)),
            kind: moves.kind,
            by: record.by.clone(),
            from: record.from.clone(),
            reason: record.reason.clone(),
        }
    }
}

impl Verifying<'_> {
    /// Returns the statement of the present epoch that enough keys signed, of this version of the trust document or of
    /// an earlier one, and whether the keys are in force.
    fn proven(&self, offer: &Offer<'_>) -> Option<(bool, Proven)> {
        let epoch = self.document.channels.get(self.channel.as_str())?.epoch;
        let documents = std::iter::once((true, self.document)).chain(self.earlier.iter().map(|one| (false, one)));
        let mut proven = documents
            .filter_map(|(in_force, document)| Some((in_force, trust::proven(offer, document, self.channel).ok()?)));
        proven.find(|(_, proven)| proven.statement.epoch == epoch)
    }

    /// Returns a statement as a reader without a memory accepts it, with a current refresh where the
    /// role has one and readers ask for it.
    fn accepts(&self, offer: &Offer<'_>) -> Option<Accepted> {
        let Self { document, channel, now, source, .. } = *self;
        trust::accept(offer, &Terms::without_memory(document, channel, now, source)).ok()
    }

    /// Returns the number after which the next statement goes on: the highest that was verified on the store, signed by
    /// this publisher, or declared as used. Before the first statement of an epoch, the number of the last move counts
    /// too, whoever wrote it, and the last own number of an earlier epoch, so that appliances without a trust document see
    /// a later move. Above [`UNPROVEN`] neither counts, and a new epoch may then begin with 1.
    fn last(&self, verified: Option<u64>, moved: u64) -> Option<u64> {
        let epoch = self.document.channels.get(self.channel.as_str()).map_or(1, |role| role.epoch);
        let own = self.signed.filter(|position| position.epoch == epoch).map(|position| position.sequence);
        let proven = verified.max(own);
        let earlier = self.signed.filter(|position| position.epoch < epoch).map(|position| position.sequence);
        let before = [Some(moved), earlier].into_iter().flatten().filter(|last| *last <= UNPROVEN).max();
        let moved = before.filter(|_| proven.is_none());
        let begins = (epoch > 1).then_some(0);
        [proven, moved, begins, self.accepted].into_iter().flatten().max()
    }
}

fn sequence_of((_, proven): &(bool, Proven)) -> u64 {
    proven.statement.sequence
}

impl ObservedChannel {
    /// Returns the highest number of a statement of an epoch that the channel carries or announces. No signature is
    /// verified.
    pub(crate) fn stated(&self, epoch: u64) -> Option<u64> {
        let served = self.serves.iter().flat_map(|serves| &serves.signatures);
        let announced = self.announced.iter().flat_map(|one| &one.signatures);
        let sequence = |layer: &Content| match statement_of(layer)? {
            Statement::Channel(statement) if statement.epoch == epoch => Some(statement.sequence),
            _ => None,
        };
        served.chain(announced).filter_map(sequence).max()
    }
}

/// Returns the latest time of a refresh among the layers of a channel manifest. No signature is verified: the time only
/// orders the manifests of one move.
pub(super) fn refreshed_at(layers: &[Content]) -> Option<Time> {
    let issued = |layer: &Content| match statement_of(layer)? {
        Statement::Refresh(refresh) => Some(refresh.issued),
        _ => None,
    };
    layers.iter().filter_map(issued).max()
}

/// Returns the bytes of the layers of a channel manifest that were read.
pub(crate) fn bundles_of(layers: &[Content]) -> Vec<&[u8]> {
    layers.iter().filter_map(Content::bytes).map(|bytes| &bytes[..]).collect()
}

/// Reports whether a layer of a channel manifest holds a statement about the channel or its refresh. The others are
/// signatures of the release.
pub(crate) fn is_about_channel(layer: &Content) -> bool {
    matches!(statement_of(layer), Some(Statement::Channel(_) | Statement::Refresh(_)))
}

/// Returns the statement in a layer of a channel manifest, not verified.
pub(crate) fn statement_of(layer: &Content) -> Option<Statement> {
    let bundle = SignatureBundle::parse(layer.bytes()?).ok()?;
    Statement::parse(bundle.payload()).ok()
}

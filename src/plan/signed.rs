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

/// The verified statements of a channel. Only they count for the next sequence number of a signed move: whoever can
/// write tags could otherwise make the number jump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignedChannel {
    /// Highest sequence number of the epoch that was signed; absent where an unsigned channel is signed for the first
    /// time.
    pub sequence: Option<u64>,
    /// Digest of the payload of the last verified statement.
    pub previous: Option<Digest>,
    /// Time until which a reader accepts the statement that the channel carries now; absent when no reader does.
    pub current_until: Option<Time>,
    /// Expiry of that statement itself, without its refresh.
    pub statement_until: Option<Time>,
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
        let mut last: Option<Proven> = None;
        let mut accepted: BTreeMap<Digest, Accepted> = BTreeMap::new();
        for (record, manifest, signatures) in served.into_iter().chain(announced) {
            let layers = bundles_of(signatures);
            let offer = Offer { record: Some(record), layers: &layers };
            let Some(proven) = verifying.proven(&offer) else { continue };
            if let Some(one) = verifying.accepts(&offer) {
                accepted.insert(manifest.clone(), one);
            }
            if last.as_ref().is_none_or(|last| last.statement.sequence < proven.statement.sequence) {
                last = Some(proven);
            }
        }
        let current = served.and_then(|(_, manifest, _)| accepted.get(manifest));
        let (current_until, statement_until) =
            current.map(|current| (current.expires, current.statement.expires)).unzip();
        let verified = accepted.into_keys().filter(|digest| served.is_none_or(|(_, served, _)| digest != served));
        Self {
            sequence: verifying.last(last.as_ref().map(|last| last.statement.sequence)),
            previous: last.map(|last| last.payload),
            current_until,
            statement_until,
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
    /// an earlier one.
    fn proven(&self, offer: &Offer<'_>) -> Option<Proven> {
        let epoch = self.document.channels.get(self.channel.as_str())?.epoch;
        let documents = std::iter::once(self.document).chain(self.earlier);
        let mut proven = documents.filter_map(|document| trust::proven(offer, document, self.channel).ok());
        proven.find(|proven| proven.statement.epoch == epoch)
    }

    /// Returns a statement as a reader without a memory accepts it, with a current refresh where the
    /// role has one and readers ask for it.
    fn accepts(&self, offer: &Offer<'_>) -> Option<Accepted> {
        let Self { document, channel, now, source, .. } = *self;
        trust::accept(offer, &Terms::without_memory(document, channel, now, source)).ok()
    }

    /// Returns the number after which the next statement goes on: the highest that was verified on the store or signed
    /// by this publisher. In the first epoch, a channel without either goes on from its unsigned moves.
    fn last(&self, verified: Option<u64>) -> Option<u64> {
        let epoch = self.document.channels.get(self.channel.as_str()).map_or(1, |role| role.epoch);
        let own = self.signed.filter(|position| position.epoch == epoch).map(|position| position.sequence);
        let later = (epoch > 1).then_some(0);
        [verified, own, later, self.accepted].into_iter().flatten().max()
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

/// Returns the statement in a layer of a channel manifest, not verified.
pub(crate) fn statement_of(layer: &Content) -> Option<Statement> {
    let bundle = SignatureBundle::parse(layer.bytes()?).ok()?;
    Statement::parse(bundle.payload()).ok()
}

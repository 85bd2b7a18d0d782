//! Whether an appliance follows what a channel serves. All rules are here, and none of them reads a clock or a store.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::signatures::{CANDIDATES, Candidate, accept_release};
use super::statement::{ChannelStatement, RefreshStatement};
use super::time::DAY;
use super::{ChannelRole, KeyId, RefreshRole, Role, SignatureBundle, Statement, Time, TrustDocument, Untrusted};
use crate::oci::{Digest, Tag};
use crate::release::{Record, with_channel};

/// Most layers of a channel manifest with statements about the channel.
pub const STATEMENT_LAYERS: usize = 16;
/// How far the clock of this machine may be behind what is signed and behind the time floor, in seconds. A clock that is
/// corrected steps back by less.
pub const CLOCK_TOLERANCE: u64 = 3600;

/// What a channel serves.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Record of the move in the annotations of the channel manifest.
    pub record: Option<&'a Record>,
    /// Bytes of each layer that is a Sigstore bundle, in any order.
    pub layers: &'a [&'a [u8]],
}

/// What the reader of a channel knows, and what it asks for.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Trust document in force.
    pub document: &'a TrustDocument,
    /// Name of the channel that was asked for.
    pub channel: &'a Tag,
    /// Highest position that was accepted before, or a seed.
    pub highest: Option<&'a Position>,
    /// Highest time that is known to have passed.
    pub floor: Option<Time>,
    /// Time at the start of the run.
    pub now: Time,
    /// Where the channel is read from.
    pub source: ReadFrom<'a>,
}

impl<'a> Terms<'a> {
    /// Returns the terms of a reader that has accepted nothing before: all that a store serves can be judged by them.
    pub fn without_memory(document: &'a TrustDocument, channel: &'a Tag, now: Time, source: ReadFrom<'a>) -> Self {
        Self { document, channel, highest: None, floor: None, now, source }
    }
}

/// Where a channel is read from. Media are as old as they are, so nothing on them has to be fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom<'a> {
    /// A registry, in which the channel's refresh must be present and current.
    Registry,
    /// An archive or a layout, in which the statement alone must be current.
    Media {
        /// Digest of the release that an operator accepts although its statement or the trust document has expired.
        accept_expired: Option<&'a Digest>,
    },
}

impl ReadFrom<'_> {
    /// Reports whether an operator accepts a release although something that proves it has expired.
    fn accepts_expired(self, release: &Digest) -> bool {
        matches!(self, ReadFrom::Media { accept_expired: Some(digest) } if digest == release)
    }
}

/// A place in the history of a channel. The epoch counts before the sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Epoch of the channel in the trust document.
    pub epoch: u64,
    /// Number of the move within the epoch.
    pub sequence: u64,
    /// Digest of the payload of the statement; absent in a seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Digest>,
}

/// An accepted statement, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Statement that the channel serves a release.
    pub statement: ChannelStatement,
    /// Digest of the payload of the statement.
    pub payload: Digest,
    /// Keys of the channel's role that signed the statement.
    pub signers: BTreeSet<KeyId>,
    /// Keys of the refresh role that signed the refresh in use; empty without one.
    pub refreshed_by: BTreeSet<KeyId>,
    /// Keys of the role `release` that signed the release.
    pub release_signers: BTreeSet<KeyId>,
    /// Time at which the statement or the refresh in use was issued, whichever is later.
    pub issued: Time,
    /// Time from which the acceptance does not hold any more: the earlier expiry of statement and refresh.
    pub expires: Time,
    /// Time floor after the acceptance.
    pub floor: Time,
    /// Whether the position is above the highest one before. An equal position is the same statement again.
    pub newer: bool,
    /// Whether the statement or the trust document has expired and an operator accepts the release nevertheless.
    pub expired: bool,
}

impl Accepted {
    /// Returns the position that counts from now on.
    pub fn position(&self) -> Position {
        let ChannelStatement { epoch, sequence, .. } = self.statement;
        Position { epoch, sequence, payload: Some(self.payload.clone()) }
    }
}

/// Decides whether what a channel serves is followed.
///
/// # Errors
/// The first rule that does not hold, see [`Untrusted`]. A refusal changes nothing: not the position, not the floor.
pub fn accept(offer: &Offer<'_>, terms: &Terms<'_>) -> Result<Accepted, Untrusted> {
    let document = terms.document;
    check_clock(document, terms.floor, terms.now)?;
    // The record names the release of the statement, else the statement is refused below.
    let document_expired =
        check_current(document, offer.record.map(|record| &record.release), terms.now, terms.source)?;
    let layers = Layers::read(offer.layers)?;
    let (role, Proven { statement, payload, signers }) = layers.proven(offer.record, terms.document, terms.channel)?;
    let newer = check_position(&statement, &payload, terms.highest)?;
    check_issued(statement.issued, terms.now)?;
    check_lifetime(statement.issued, statement.expires, role.max_lifetime_days)?;
    let expired = check_expiry(&statement, terms)?;
    let refresh = match (&role.refresh, terms.source) {
        (Some(refresh), ReadFrom::Registry) => Some(layers.refresh(&statement, &payload, refresh, terms)?),
        _ => None,
    };
    let candidates = offer.layers.iter().map(|bytes| Candidate::Bundle(bytes));
    let release_signers = accept_release(document, &statement.release, candidates)?;
    // Not of the refresh: whoever stole its key could keep the floor ahead of the clock, and so stop every update.
    let floor = [Some(terms.now), terms.floor, Some(statement.issued)];
    let times = refresh.as_ref().map(|(refresh, _)| (refresh.issued, refresh.expires));
    let (last_issued, first_expiry) = times.unwrap_or((statement.issued, statement.expires));
    Ok(Accepted {
        payload,
        signers,
        release_signers,
        issued: last_issued.max(statement.issued),
        expires: first_expiry.min(statement.expires),
        refreshed_by: refresh.map(|(_, signers)| signers).unwrap_or_default(),
        floor: floor.into_iter().flatten().max().unwrap_or(terms.now),
        newer,
        expired: expired || document_expired,
        statement,
    })
}

/// A statement about a channel that enough keys of its role signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Statement that the channel serves a release.
    pub statement: ChannelStatement,
    /// Digest of the payload of the statement.
    pub payload: Digest,
    /// Keys of the channel's role that signed the statement.
    pub signers: BTreeSet<KeyId>,
}

/// Returns the statement of a channel that enough keys signed. The time does not count, nor what became of the release:
/// also an expired statement is a step in the history of the channel.
///
/// # Errors
/// The first rule about signatures, place and annotations that does not hold.
pub fn proven(offer: &Offer<'_>, document: &TrustDocument, channel: &Tag) -> Result<Proven, Untrusted> {
    Layers::read(offer.layers)?.proven(offer.record, document, channel).map(|(_, proven)| proven)
}

/// Checks that the JSON of a channel manifest is the release's own except for the value of `channel`, byte for byte.
///
/// # Errors
/// [`Untrusted::OtherJson`], also when either of them is not a release.
pub fn check_json(release: &[u8], served: &[u8], channel: &Tag) -> Result<(), Untrusted> {
    match with_channel(release, channel) {
        Ok(expected) if expected == served => Ok(()),
        _ => Err(Untrusted::OtherJson),
    }
}

/// Checks that the clock can be right: it is behind neither the time floor nor the issue of the trust document by more
/// than [`CLOCK_TOLERANCE`].
///
/// # Errors
/// [`Untrusted::BeforeFloor`] and [`Untrusted::Ahead`].
pub fn check_clock(document: &TrustDocument, floor: Option<Time>, now: Time) -> Result<(), Untrusted> {
    if let Some(floor) = floor.filter(|floor| now.plus(CLOCK_TOLERANCE) < *floor) {
        return Err(Untrusted::BeforeFloor { now, floor });
    }
    check_issued(document.issued, now)
}

/// Reports whether the trust document has expired and an operator accepts that for the release.
///
/// # Errors
/// [`Untrusted::DocumentExpired`] when the document has expired and no operator accepts that.
pub fn check_current(
    document: &TrustDocument,
    release: Option<&Digest>,
    now: Time,
    source: ReadFrom<'_>,
) -> Result<bool, Untrusted> {
    let expired = !document.is_current(now);
    if expired && !release.is_some_and(|release| source.accepts_expired(release)) {
        return Err(Untrusted::DocumentExpired { version: document.version, expires: document.expires, now });
    }
    Ok(expired)
}

/// The bundles in the layers of a channel manifest, by the kind of their statement.
#[derive(Debug, Default)]
struct Layers {
    statements: Vec<(ChannelStatement, SignatureBundle)>,
    refreshes: Vec<(RefreshStatement, SignatureBundle)>,
    /// Why the first unreadable layer is not a statement.
    unreadable: Option<String>,
}

/// The statement that most keys of the role signed.
struct Leading<'a> {
    statement: &'a ChannelStatement,
    payload: Digest,
    signers: BTreeSet<KeyId>,
}

impl Layers {
    fn read(layers: &[&[u8]]) -> Result<Self, Untrusted> {
        if layers.len() > CANDIDATES {
            return Err(Untrusted::TooManyLayers { found: layers.len(), limit: CANDIDATES });
        }
        let mut read = Self::default();
        for bytes in layers {
            let bundle = SignatureBundle::parse(bytes);
            let statement = bundle.and_then(|bundle| Ok((Statement::parse(bundle.payload())?, bundle)));
            match statement {
                Ok((Statement::Channel(statement), bundle)) => read.statements.push((*statement, bundle)),
                Ok((Statement::Refresh(refresh), bundle)) => read.refreshes.push((refresh, bundle)),
                Ok((Statement::Artifact(_), _)) => {}
                // Whoever can write to the store could stop every update with one more layer, if it was an error.
                Err(cause) => drop(read.unreadable.get_or_insert(cause.to_string())),
            }
        }
        let found = read.statements.len() + read.refreshes.len();
        if found > STATEMENT_LAYERS {
            return Err(Untrusted::TooManyLayers { found, limit: STATEMENT_LAYERS });
        }
        Ok(read)
    }

    /// Returns the statement that enough keys signed, with the role.
    fn proven<'d>(
        &self,
        record: Option<&Record>,
        document: &'d TrustDocument,
        channel: &Tag,
    ) -> Result<(&'d ChannelRole, Proven), Untrusted> {
        let role = document.channels.get(channel.as_str());
        let role = role.ok_or_else(|| Untrusted::UnknownChannel(channel.clone()))?;
        let leading = self.statement(document, role)?;
        let statement = leading.statement.clone();
        check_place(&statement, document, channel, role.epoch)?;
        let signers = leading.signers(&role.role)?;
        check_record(&statement, record)?;
        Ok((role, Proven { statement, payload: leading.payload, signers }))
    }

    /// Returns the statement that most keys of the role signed.
    fn statement(&self, document: &TrustDocument, role: &ChannelRole) -> Result<Leading<'_>, Untrusted> {
        let counted = count(&self.statements, document, &role.role);
        let enough = counted.values().filter(|one| one.signers.len() >= role.role.threshold).count();
        if enough > 1 {
            return Err(Untrusted::SeveralStatements(enough));
        }
        let most = counted.into_values().max_by_key(|one| one.signers.len());
        let Counted { statement, payload, signers } =
            most.ok_or_else(|| Untrusted::Unsigned { unreadable: self.unreadable.clone() })?;
        Ok(Leading { statement, payload, signers })
    }

    /// Returns the refresh of a statement with the latest expiry of those that count, and the keys that signed it.
    fn refresh(
        &self,
        statement: &ChannelStatement,
        payload: &Digest,
        role: &RefreshRole,
        terms: &Terms<'_>,
    ) -> Result<(RefreshStatement, BTreeSet<KeyId>), Untrusted> {
        let counted = count(&self.refreshes, terms.document, &role.role);
        let about = |one: &Counted<'_, RefreshStatement>| one.statement.is_about(statement, payload);
        let counted: Vec<_> = counted.into_values().filter(about).collect();
        let order =
            |one: &&Counted<'_, RefreshStatement>| (one.signers.len() >= role.role.threshold, one.statement.expires);
        let check = |one: &Counted<'_, RefreshStatement>| check_refresh(one.statement, one.signers.len(), role, terms);
        if let Some(one) = counted.iter().filter(|one| check(one).is_ok()).max_by_key(order) {
            return Ok((one.statement.clone(), one.signers.clone()));
        }
        let refused = counted.iter().max_by_key(order).and_then(|one| check(one).err());
        Err(refused.unwrap_or(Untrusted::NoRefresh))
    }
}

/// Checks a refresh that the given number of keys of its role signed.
fn check_refresh(
    refresh: &RefreshStatement,
    found: usize,
    role: &RefreshRole,
    terms: &Terms<'_>,
) -> Result<(), Untrusted> {
    let threshold = role.role.threshold;
    if found < threshold {
        return Err(Untrusted::RefreshThreshold { threshold, found });
    }
    check_trust_version(refresh.trust_version, terms.document)?;
    check_issued(refresh.issued, terms.now)?;
    check_lifetime(refresh.issued, refresh.expires, role.max_lifetime_days)?;
    if terms.now >= refresh.expires {
        return Err(Untrusted::RefreshExpired { expires: refresh.expires, now: terms.now });
    }
    Ok(())
}

/// One payload with the keys that signed it.
struct Counted<'a, T> {
    statement: &'a T,
    payload: Digest,
    signers: BTreeSet<KeyId>,
}

/// Counts the keys of a role that signed each of the payloads.
fn count<'a, T>(
    bundles: &'a [(T, SignatureBundle)],
    document: &TrustDocument,
    role: &Role,
) -> BTreeMap<&'a [u8], Counted<'a, T>> {
    let mut counted = BTreeMap::new();
    for (statement, bundle) in bundles {
        let one = counted.entry(bundle.payload()).or_insert_with(|| Counted {
            statement,
            payload: bundle.payload_digest(),
            signers: BTreeSet::new(),
        });
        one.signers.extend(bundle.signer(document.keys_of(role)));
    }
    counted
}

impl RefreshStatement {
    /// Reports whether the refresh is of a statement.
    fn is_about(&self, statement: &ChannelStatement, payload: &Digest) -> bool {
        let same = (&self.release, &self.product, &self.channel, self.epoch);
        self.statement == *payload
            && same == (&statement.release, &statement.product, &statement.channel, statement.epoch)
    }
}

impl Leading<'_> {
    /// Returns the keys that signed the statement, if they are enough.
    fn signers(&self, role: &Role) -> Result<BTreeSet<KeyId>, Untrusted> {
        let (threshold, found) = (role.threshold, self.signers.len());
        match found {
            0 => Err(Untrusted::UnknownKey),
            _ if found < threshold => Err(Untrusted::Threshold { threshold, found }),
            _ => Ok(self.signers.clone()),
        }
    }
}

/// Checks that a statement is about the product, the channel and the epoch that were asked for.
fn check_place(
    statement: &ChannelStatement,
    document: &TrustDocument,
    channel: &Tag,
    epoch: u64,
) -> Result<(), Untrusted> {
    if statement.product != document.product {
        let (expected, found) = (document.product.clone(), statement.product.clone());
        return Err(Untrusted::OtherProduct { expected, found });
    }
    if statement.channel != *channel {
        let (expected, found) = (channel.clone(), statement.channel.clone());
        return Err(Untrusted::OtherChannel { expected, found });
    }
    check_trust_version(statement.trust_version, document)?;
    if statement.epoch != epoch {
        return Err(Untrusted::OtherEpoch { expected: epoch, found: statement.epoch });
    }
    Ok(())
}

/// Checks that the trust document is not older than the one that the signers used.
fn check_trust_version(needed: u64, document: &TrustDocument) -> Result<(), Untrusted> {
    let held = document.version;
    if needed > held { Err(Untrusted::TrustVersion { needed, held }) } else { Ok(()) }
}

/// Checks that the annotations of the channel manifest, which other programs show, say what the statement says.
///
/// # Errors
/// [`Untrusted::Disagrees`] with the first annotation that differs.
pub fn check_record(statement: &ChannelStatement, record: Option<&Record>) -> Result<(), Untrusted> {
    let record = record.ok_or(Untrusted::Disagrees("release"))?;
    let pairs = [
        ("release", record.release == statement.release),
        ("name", record.name == statement.channel.as_str()),
        ("sequence", record.sequence == statement.sequence),
        ("kind", record.kind == statement.kind),
        ("moved", record.moved.parse() == Ok(statement.issued)),
        ("by", record.by == statement.by),
        ("from", record.from == statement.from),
        ("reason", record.reason == statement.reason),
    ];
    let different = pairs.iter().find(|(_, agrees)| !agrees);
    different.map_or(Ok(()), |(name, _)| Err(Untrusted::Disagrees(name)))
}

/// Reports whether a statement is above the highest position.
fn check_position(
    statement: &ChannelStatement,
    payload: &Digest,
    highest: Option<&Position>,
) -> Result<bool, Untrusted> {
    let Some(highest) = highest else { return Ok(true) };
    let (offered, held) = ((statement.epoch, statement.sequence), (highest.epoch, highest.sequence));
    if offered < held {
        return Err(Untrusted::Lower { offered, held });
    }
    if offered > held {
        return Ok(true);
    }
    match &highest.payload {
        Some(known) if known != payload => {
            let (epoch, sequence) = held;
            Err(Untrusted::Equivocation { epoch, sequence, known: known.clone(), offered: payload.clone() })
        }
        Some(_) => Ok(false),
        None => Ok(true),
    }
}

/// Checks that a time of issue is not ahead of the clock by more than [`CLOCK_TOLERANCE`].
///
/// # Errors
/// [`Untrusted::Ahead`] when it is.
pub fn check_issued(issued: Time, now: Time) -> Result<(), Untrusted> {
    if issued > now.plus(CLOCK_TOLERANCE) { Err(Untrusted::Ahead { issued, now }) } else { Ok(()) }
}

/// Checks that a lifetime is not longer than the role allows.
fn check_lifetime(issued: Time, expires: Time, days: u64) -> Result<(), Untrusted> {
    if expires > issued.plus(days * DAY) { Err(Untrusted::Lifetime { issued, expires, days }) } else { Ok(()) }
}

/// Reports whether a statement has expired and an operator accepts that.
fn check_expiry(statement: &ChannelStatement, terms: &Terms<'_>) -> Result<bool, Untrusted> {
    let expired = terms.now >= statement.expires;
    if expired && !terms.source.accepts_expired(&statement.release) {
        return Err(Untrusted::Expired { expires: statement.expires, now: terms.now });
    }
    Ok(expired)
}

#[cfg(test)]
#[path = "accept_tests.rs"]
mod tests;

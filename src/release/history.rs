//! Reads the history of a channel: its manifests form a chain of digests, newest first. Another tool, or a registry
//! that deletes too much, can break the chain. The history then reports where and why the chain ends, and which moves
//! the keep-alive tags still name.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::{join, join_all};
use serde_json::Value;

use super::{Record, Release, keep_alive_prefix, keep_alive_sequence, keep_alive_tag, signature_layers, signatures};
use crate::oci::{Descriptor, Digest, Error, Kind, Manifest, ReadStore, Repository, Selector, Tag};

/// Largest release JSON that is read, in bytes.
const CONFIG_LIMIT: u64 = 4 << 20;
/// Number of keep-alive tags that are read in addition to the requested moves. Announced moves that never happened have
/// such tags, too.
const RIVALS: usize = 64;

/// The moves of a channel.
#[derive(Clone, Debug)]
pub struct History {
    /// Moves from the newest to the oldest. Each move is the predecessor of the one before it in the list.
    pub moves: Vec<Move>,
    /// Reason why the list of moves ends.
    pub end: End,
    /// Moves that only keep-alive tags name, the highest sequence number first.
    pub apart: Vec<Apart>,
}

impl History {
    /// Returns the move before the present one.
    pub fn previous(&self) -> Option<&Move> {
        let now = self.moves.first()?;
        self.moves.iter().find(|earlier| earlier.release != now.release)
    }

    /// Returns why the present move is not known, where it is not: the channel tag is missing, or its manifest cannot be read.
    pub fn no_present_move(&self) -> Option<&End> {
        self.moves.is_empty().then_some(&self.end)
    }
}

/// One manifest that the channel tag named.
#[derive(Clone, Debug)]
pub struct Move {
    /// Digest of the channel manifest.
    pub manifest: Digest,
    /// Digest of the release that the manifest serves.
    pub release: Digest,
    /// Record of the move; absent when another tool moved the channel.
    pub record: Option<Record>,
    /// The release that the manifest serves; absent when it cannot be read any more.
    pub content: Option<Box<Release>>,
    /// Keep-alive tag of the manifest, if it exists.
    pub kept_by: Option<Tag>,
    /// Layers of the manifest with signed statements, in order. They are not read yet.
    pub signatures: Vec<Descriptor>,
    /// Epoch of the channel that begins with this move, as its statement says. Set where the sequence numbers begin again.
    pub begins_epoch: Option<u64>,
}

impl Move {
    /// Returns the version that the manifest serves, if it is known.
    pub fn version(&self) -> Option<&str> {
        self.content.as_ref().map(|release| release.version.as_str())
    }

    /// Returns the sequence number of the move, if it is recorded.
    pub fn sequence(&self) -> Option<u64> {
        self.record.as_ref().map(|record| record.sequence)
    }
}

/// The reason why a chain of moves ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The channel had no earlier move.
    #[error("this was the channel's first move")]
    Beginning,
    /// The requested number of moves was reached.
    #[error("there are earlier moves, which were not requested")]
    Limit,
    /// The manifest of the previous move is missing.
    #[error("the store does not have the previous manifest, {0}, any more")]
    Missing(Digest),
    /// The manifest of the previous move, or the channel manifest, cannot be read.
    #[error("cannot read {reference} as a channel manifest: {reason}")]
    Unreadable {
        /// Digest of the manifest, or name of the channel.
        reference: String,
        /// Reason why the manifest cannot be read.
        reason: String,
    },
    /// The channel tag is missing, so the moves that keep-alive tags name have no present move.
    #[error("the channel has no tag")]
    Gone,
    /// The channel tag points to a manifest that the store lost.
    #[error("the tag of {channel} points to {manifest}, which the store does not have")]
    Lost {
        /// Name of the channel.
        channel: Tag,
        /// Digest that the tag points to.
        manifest: Digest,
    },
    /// The manifest has no record of its move.
    #[error("this manifest has no record of a move: another tool or an older publisher wrote it")]
    NoRecord,
    /// The record of a later move names no predecessor.
    #[error("move {0} is not the first but records no predecessor: the channel tag was missing at the time")]
    NoPrevious(u64),
    /// The sequence number does not fall from a move to its predecessor.
    #[error(
        "move {newer} names move {older} as its predecessor, which is not older: these records were written by hand"
    )]
    NotFalling {
        /// Sequence number of the newer move.
        newer: u64,
        /// Sequence number of the predecessor that it names.
        older: u64,
    },
}

/// A keep-alive tag that the chain does not lead to.
#[derive(Clone, Debug)]
pub struct Apart {
    /// The keep-alive tag itself.
    pub tag: Tag,
    /// Sequence number in the tag.
    pub sequence: u64,
    /// The move that the tag names, or the reason why it cannot be read.
    pub found: Result<Move, String>,
    /// Likely reason why the chain does not lead to the move.
    pub why: Why,
}

/// The reason why the chain does not lead to a manifest with a keep-alive tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Another move has the sequence number: this move was overwritten at once, or interrupted before the channel
    /// moved.
    Lost,
    /// The manifest is a move of the chain before a later refresh of the move replaced the manifest.
    Refreshed,
    /// The move is older than the end of the chain.
    BeforeTheEnd,
    /// The move is newer than the present one: it was interrupted, or another tool set the channel back.
    AfterTheChannel,
}

impl Why {
    /// Returns the reason in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost: another move overwrote it at once, or it was interrupted before the channel moved",
            Self::Refreshed => "the same move before it was refreshed",
            Self::BeforeTheEnd => "older than the end of the chain",
            Self::AfterTheChannel => "newer than the present move: interrupted, or the channel was set back",
        }
    }
}

/// Reads the last `limit` moves of a channel. With the keep-alive tags, the moves are read concurrently and not one
/// after the other.
///
/// # Errors
/// Returns an error when the store fails, and [`Kind::NotFound`] when the channel never existed. A broken chain is not
/// an error.
pub async fn history(
    store: &ReadStore,
    repository: &Repository,
    channel: &Tag,
    limit: usize,
) -> Result<History, Error> {
    let head = read(store, repository, Selector::Tag(channel.clone()));
    let (head, tags) = join(head, store.tags_with_prefix(repository, &keep_alive_prefix(channel))).await;
    // Some registries do not list their tags to anonymous readers. The chain is then read one move at a time.
    let kept = match tags {
        Err(error) if error.kind() == Kind::Unavailable => return Err(error),
        tags => kept(channel, tags.unwrap_or_default()),
    };
    let first = match passing(head)? {
        Ok(first) => Ok(first),
        Err(error) if error.is_not_found() => match (lost(channel, &error), kept.is_empty()) {
            (Some(end), _) => Err(end),
            (None, true) => return Err(error),
            (None, false) => Err(End::Gone),
        },
        Err(error) => Err(unreadable(channel.to_string(), &error)),
    };
    let newest = first.as_ref().ok().and_then(Move::sequence);
    let newest = newest.or(kept.first().map(|(sequence, _)| *sequence)).unwrap_or(0);
    let oldest = newest.saturating_sub(limit as u64);
    let wanted = kept.into_iter().filter(|(sequence, _)| *sequence > oldest).take(limit.saturating_add(RIVALS));
    let reads = wanted.map(|(sequence, tag)| async move {
        let found = read(store, repository, Selector::Tag(tag.clone())).await;
        passing(found).map(|found| (sequence, tag, found))
    });
    let reads: Result<Vec<_>, Error> = join_all(reads).await.into_iter().collect();
    let mut known = Known { channel, fetched: BTreeMap::new(), broken: Vec::new() };
    reads?.into_iter().for_each(|(sequence, tag, found)| known.take(sequence, tag, found));
    let (moves, end) = follow(store, repository, first, &mut known, limit).await?;
    let apart = known.apart(&moves, &end);
    Ok(History { moves, end, apart })
}

/// Returns the end of a history whose channel has a tag without a manifest: the store missed the digest, not the tag.
fn lost(channel: &Tag, error: &Error) -> Option<End> {
    let (_, digest) = error.reference().rsplit_once('@')?;
    Some(End::Lost { channel: channel.clone(), manifest: digest.parse().ok()? })
}

/// Returns the keep-alive tags of a channel, the highest sequence number first.
fn kept(channel: &Tag, tags: Vec<Tag>) -> Vec<(u64, Tag)> {
    let sequence = |tag: Tag| keep_alive_sequence(channel, &tag).map(|sequence| (sequence, tag));
    let mut kept: Vec<_> = tags.into_iter().filter_map(sequence).collect();
    kept.sort_by(|a, b| b.cmp(a));
    kept
}

/// The moves that keep-alive tags gave.
struct Known<'a> {
    channel: &'a Tag,
    fetched: BTreeMap<Digest, (u64, Tag, Move)>,
    broken: Vec<(u64, Tag, String)>,
}

impl Known<'_> {
    fn take(&mut self, sequence: u64, tag: Tag, found: Result<Move, Error>) {
        match found {
            Ok(found) if keep_alive_tag(self.channel, sequence, &found.manifest) != tag => {
                self.broken.push((sequence, tag, format!("the tag was moved: it now names {}", found.manifest)));
            }
            Ok(found) => drop(self.fetched.insert(found.manifest.clone(), (sequence, tag, found))),
            Err(error) => self.broken.push((sequence, tag, error.to_string())),
        }
    }

    /// Returns the moves that the chain does not contain.
    fn apart(self, moves: &[Move], end: &End) -> Vec<Apart> {
        let numbers = || moves.iter().filter_map(Move::sequence);
        let (newest, oldest) = (numbers().max(), numbers().min());
        let why = |sequence: u64| match (newest, oldest) {
            (Some(newest), _) if sequence > newest => Why::AfterTheChannel,
            (_, Some(oldest)) if sequence >= oldest => Why::Lost,
            _ => Why::BeforeTheEnd,
        };
        let fetched = self.fetched.into_values().map(|(sequence, tag, found)| (sequence, tag, Ok(found)));
        let broken = self.broken.into_iter().map(|(sequence, tag, reason)| (sequence, tag, Err(reason)));
        // A refresh keeps the record of a move, and writes another manifest.
        let is_refreshed = |found: &Result<Move, String>| {
            let record = found.as_ref().ok().and_then(|found| found.record.as_ref());
            record.is_some() && moves.iter().any(|one| one.record.as_ref() == record)
        };
        let apart = fetched.chain(broken).map(|(sequence, tag, found)| {
            let kept_by = Some(tag.clone());
            let why = if is_refreshed(&found) { Why::Refreshed } else { why(sequence) };
            Apart { tag, sequence, found: found.map(|found| Move { kept_by, ..found }), why }
        });
        // A move of the chain whose own keep-alive tag was moved is not a second move. Moves that were not requested
        // are not shown.
        let in_chain = |apart: &Apart| numbers().any(|sequence| sequence == apart.sequence) && apart.found.is_err();
        let beyond = |apart: &Apart| *end == End::Limit && apart.why == Why::BeforeTheEnd;
        let mut apart: Vec<Apart> = apart.filter(|apart| !in_chain(apart) && !beyond(apart)).collect();
        apart.sort_by(|a, b| (b.sequence, &b.tag).cmp(&(a.sequence, &a.tag)));
        apart
    }
}

/// Follows the chain back from the channel, from each move to its predecessor.
async fn follow(
    store: &ReadStore,
    repository: &Repository,
    first: Result<Move, End>,
    known: &mut Known<'_>,
    limit: usize,
) -> Result<(Vec<Move>, End), Error> {
    let mut moves: Vec<Move> = Vec::new();
    let mut next = match first {
        Ok(first) => first,
        Err(end) => return Ok((moves, end)),
    };
    loop {
        if let Some((_, tag, _)) = known.fetched.remove(&next.manifest) {
            next.kept_by = Some(tag);
        }
        if let (Some(newer), Some(older)) = (moves.last().and_then(Move::sequence), next.sequence())
            && older >= newer
        {
            let begins = match moves.last() {
                Some(last) => begun(store, repository, last, &next).await?,
                None => None,
            };
            match (moves.last_mut(), begins) {
                (Some(last), Some(epoch)) => last.begins_epoch = Some(epoch),
                _ => return Ok((moves, End::NotFalling { newer, older })),
            }
        }
        let record = next.record.clone();
        moves.push(next);
        let digest = match record {
            None => return Ok((moves, End::NoRecord)),
            Some(Record { previous: None, sequence: 0 | 1, .. }) => return Ok((moves, End::Beginning)),
            Some(Record { previous: None, sequence, .. }) => return Ok((moves, End::NoPrevious(sequence))),
            Some(Record { previous: Some(digest), .. }) => digest,
        };
        if moves.len() >= limit {
            return Ok((moves, End::Limit));
        }
        next = match known.fetched.get(&digest) {
            Some((.., found)) => found.clone(),
            None => match passing(read(store, repository, Selector::Digest(digest.clone())).await)? {
                Ok(found) => found,
                Err(error) if error.is_not_found() => return Ok((moves, End::Missing(digest))),
                Err(error) => return Ok((moves, unreadable(digest.to_string(), &error))),
            },
        };
    }
}

/// Returns the epoch of a move, if it is later than the epoch of the move before. Only then may its number be lower.
async fn begun(store: &ReadStore, repository: &Repository, newer: &Move, older: &Move) -> Result<Option<u64>, Error> {
    let (newer, older) = join(epoch(store, repository, newer), epoch(store, repository, older)).await;
    let (newer, older) = (newer?, older?);
    Ok(newer.filter(|newer| older.is_some_and(|older| *newer > older)))
}

/// Returns the epoch that the statement of a move states. Nothing is verified: a history shows what is recorded.
async fn epoch(store: &ReadStore, repository: &Repository, one: &Move) -> Result<Option<u64>, Error> {
    let layers = passing(signatures(store, repository, &one.signatures).await)?;
    Ok(layers.unwrap_or_default().iter().find_map(|layer| stated_epoch(layer)))
}

fn stated_epoch(bundle: &[u8]) -> Option<u64> {
    let bundle: Value = serde_json::from_slice(bundle).ok()?;
    let payload = STANDARD.decode(bundle["dsseEnvelope"]["payload"].as_str()?).ok()?;
    let statement: Value = serde_json::from_slice(&payload).ok()?;
    statement["predicate"]["sequence"].as_u64()?;
    statement["predicate"]["epoch"].as_u64()
}

fn unreadable(reference: String, error: &Error) -> End {
    End::Unreadable { reference, reason: error.to_string() }
}

/// Returns a temporary failure of the store as an error. Every other result is an answer.
fn passing<T>(result: Result<T, Error>) -> Result<Result<T, Error>, Error> {
    match result {
        Err(error) if error.kind().is_of_server() || error.kind() == Kind::Denied => Err(error),
        answer => Ok(answer),
    }
}

/// Reads a channel manifest. A missing JSON does not break the chain, because the record is in the manifest.
async fn read(store: &ReadStore, repository: &Repository, selector: Selector) -> Result<Move, Error> {
    let (descriptor, bytes) = store.manifest(repository, &selector).await?;
    let malformed = |reason: String| Error::new(Kind::Malformed, "read", format!("{repository} {selector}"), reason);
    let manifest = Manifest::parse(&descriptor.media_type, &bytes)
        .map_err(|cause| malformed(format!("invalid image manifest: {cause}")))?;
    if manifest.config.media_type != super::CONFIG_MEDIA_TYPE {
        return Err(malformed("the manifest is not a release".to_owned()));
    }
    let json = passing(store.fetch_verified(repository, &manifest.config, CONFIG_LIMIT).await)?;
    let content = json.ok().and_then(|json| Release::parse(&json).ok()).map(Box::new);
    let record = Record::from_annotations(&manifest.annotations);
    let release = record.as_ref().map_or(&descriptor.digest, |record| &record.release).clone();
    let signatures = signature_layers(manifest);
    Ok(Move { manifest: descriptor.digest, release, record, content, kept_by: None, signatures, begins_epoch: None })
}

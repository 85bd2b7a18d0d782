//! What a channel has served: its manifests are a chain of digests, newest first. The chain may be broken, by another tool or
//! by a registry that collected too much; then it is said where it ends and why, and what its keep-alive tags still know.

use std::collections::BTreeMap;

use futures_util::future::{join, join_all};

use super::{Record, Release, keep_alive_prefix, keep_alive_sequence, keep_alive_tag};
use crate::oci::{Digest, Error, Kind, Manifest, ReadStore, Repository, Selector, Tag};

/// Largest release JSON that is read.
const CONFIG_LIMIT: u64 = 4 << 20;
/// Keep-alive tags that are read beyond those of the moves that were asked for: announced moves that never were.
const RIVALS: usize = 64;

/// The moves of a channel.
#[derive(Clone, Debug)]
pub struct History {
    /// From the newest on, each the predecessor of the one before it.
    pub moves: Vec<Move>,
    /// Why there are no more.
    pub end: End,
    /// What keep-alive tags name and the chain does not, the highest sequence first.
    pub apart: Vec<Apart>,
}

impl History {
    /// What the channel served before what it serves now.
    pub fn previous(&self) -> Option<&Move> {
        let now = self.moves.first()?;
        self.moves.iter().find(|earlier| earlier.release != now.release)
    }
}

/// One manifest that a channel's tag named.
#[derive(Clone, Debug)]
pub struct Move {
    /// Its digest.
    pub manifest: Digest,
    /// Of the release that it serves.
    pub release: Digest,
    /// How the channel came to it; absent when another tool moved it.
    pub record: Option<Record>,
    /// What it serves; absent when that cannot be read any more.
    pub content: Option<Box<Release>>,
    /// The tag that keeps it, when there is one.
    pub kept_by: Option<Tag>,
}

impl Move {
    /// The version that it serves, as far as it is known.
    pub fn version(&self) -> Option<&str> {
        self.content.as_ref().map(|release| release.version.as_str())
    }

    /// Of the move, where it is recorded.
    pub fn sequence(&self) -> Option<u64> {
        self.record.as_ref().map(|record| record.sequence)
    }
}

/// Why a chain goes no further back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// There was nothing before.
    #[error("this was the channel's first move")]
    Beginning,
    /// So many moves were asked for.
    #[error("there are earlier moves, which were not asked for")]
    Limit,
    /// A predecessor is gone.
    #[error("the manifest before it, {0}, is not in the store any more")]
    Missing(Digest),
    /// A predecessor, or the channel itself, cannot be read.
    #[error("the manifest {reference} cannot be read as a channel's: {reason}")]
    Unreadable {
        /// Its digest, or the channel.
        reference: String,
        /// Why not.
        reason: String,
    },
    /// The channel's own tag is gone: the moves that keep-alive tags know lead nowhere.
    #[error("the tag of the channel is gone: it serves nothing")]
    Gone,
    /// Written by something that keeps no records.
    #[error("this manifest has no record of a move: another tool, or an older publisher, wrote it")]
    NoRecord,
    /// It has a number, and still nothing before it.
    #[error("move {0} records nothing before it, though it is not the first: the channel's tag was gone then")]
    NoPrevious(u64),
    /// Sequences must fall on the way back.
    #[error(
        "move {newer} names move {older} as its predecessor, which is not older: somebody wrote these records by hand"
    )]
    NotFalling {
        /// The newer one.
        newer: u64,
        /// What it names.
        older: u64,
    },
}

/// A keep-alive tag that the chain does not lead to.
#[derive(Clone, Debug)]
pub struct Apart {
    /// The tag.
    pub tag: Tag,
    /// The sequence in it.
    pub sequence: u64,
    /// What it names, or why that cannot be read.
    pub found: Result<Move, String>,
    /// Why the chain may not lead there.
    pub why: Why,
}

/// Why the chain does not lead to a kept manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Another move has its place: it was overwritten within a moment, or interrupted before the channel moved.
    Lost,
    /// It is before the place where the chain ends.
    BeforeTheEnd,
    /// It is after the channel's own: interrupted, or the channel was set back by another tool.
    AfterTheChannel,
}

impl Why {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost: overwritten at once by another move, or interrupted before the channel moved",
            Self::BeforeTheEnd => "earlier than where the chain ends",
            Self::AfterTheChannel => "after what the channel serves: interrupted, or the channel was set back",
        }
    }
}

/// Reads the last `limit` moves of a channel. The keep-alive tags let them be read at once, instead of one after the other.
///
/// # Errors
/// When the store fails, and [`Kind::NotFound`] when the channel was never there. A broken chain is none.
pub async fn history(
    store: &ReadStore,
    repository: &Repository,
    channel: &Tag,
    limit: usize,
) -> Result<History, Error> {
    let head = read(store, repository, Selector::Tag(channel.clone()));
    let (head, tags) = join(head, store.tags_with_prefix(repository, &keep_alive_prefix(channel))).await;
    // Not every registry lists its tags to everybody: then the chain is read one by one.
    let kept = match tags {
        Err(error) if error.kind() == Kind::Unavailable => return Err(error),
        tags => kept(channel, tags.unwrap_or_default()),
    };
    let first = match passing(head)? {
        Err(error) if error.is_not_found() && kept.is_empty() => return Err(error),
        head => head,
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

/// The keep-alive tags of a channel, the highest sequence first.
fn kept(channel: &Tag, tags: Vec<Tag>) -> Vec<(u64, Tag)> {
    let sequence = |tag: Tag| keep_alive_sequence(channel, &tag).map(|sequence| (sequence, tag));
    let mut kept: Vec<_> = tags.into_iter().filter_map(sequence).collect();
    kept.sort_by(|a, b| b.cmp(a));
    kept
}

/// What keep-alive tags gave.
struct Known<'a> {
    channel: &'a Tag,
    fetched: BTreeMap<Digest, (u64, Tag, Move)>,
    broken: Vec<(u64, Tag, String)>,
}

impl Known<'_> {
    fn take(&mut self, sequence: u64, tag: Tag, found: Result<Move, Error>) {
        match found {
            Ok(found) if keep_alive_tag(self.channel, sequence, &found.manifest) != tag => {
                self.broken.push((sequence, tag, format!("it names {} by now: it was moved", found.manifest)));
            }
            Ok(found) => drop(self.fetched.insert(found.manifest.clone(), (sequence, tag, found))),
            Err(error) => self.broken.push((sequence, tag, error.to_string())),
        }
    }

    /// What is left when the chain was followed.
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
        let apart = fetched.chain(broken).map(|(sequence, tag, found)| {
            let kept_by = Some(tag.clone());
            Apart { tag, sequence, found: found.map(|found| Move { kept_by, ..found }), why: why(sequence) }
        });
        // A kept manifest of the chain whose own tag was moved is no move of its own; and what was not asked for is not shown.
        let in_chain = |apart: &Apart| numbers().any(|sequence| sequence == apart.sequence) && apart.found.is_err();
        let beyond = |apart: &Apart| *end == End::Limit && apart.why == Why::BeforeTheEnd;
        let mut apart: Vec<Apart> = apart.filter(|apart| !in_chain(apart) && !beyond(apart)).collect();
        apart.sort_by(|a, b| (b.sequence, &b.tag).cmp(&(a.sequence, &a.tag)));
        apart
    }
}

/// From the channel back, by what each move says was before it.
async fn follow(
    store: &ReadStore,
    repository: &Repository,
    first: Result<Move, Error>,
    known: &mut Known<'_>,
    limit: usize,
) -> Result<(Vec<Move>, End), Error> {
    let mut moves: Vec<Move> = Vec::new();
    let mut next = match first {
        Ok(first) => first,
        Err(error) if error.is_not_found() => return Ok((moves, End::Gone)),
        Err(error) => return Ok((moves, unreadable(known.channel.to_string(), &error))),
    };
    loop {
        if let Some((_, tag, _)) = known.fetched.remove(&next.manifest) {
            next.kept_by = Some(tag);
        }
        if let (Some(newer), Some(older)) = (moves.last().and_then(Move::sequence), next.sequence())
            && older >= newer
        {
            return Ok((moves, End::NotFalling { newer, older }));
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

fn unreadable(reference: String, error: &Error) -> End {
    End::Unreadable { reference, reason: error.to_string() }
}

/// A store that may be back later is no answer; everything else is one.
fn passing<T>(result: Result<T, Error>) -> Result<Result<T, Error>, Error> {
    match result {
        Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Untrusted | Kind::Denied) => Err(error),
        answer => Ok(answer),
    }
}

/// A manifest of a channel. That the JSON is gone does not break the chain: the record stands in the manifest.
async fn read(store: &ReadStore, repository: &Repository, selector: Selector) -> Result<Move, Error> {
    let (descriptor, bytes) = store.manifest(repository, &selector).await?;
    let malformed = |reason: String| Error::new(Kind::Malformed, "read", format!("{repository} {selector}"), reason);
    let manifest = Manifest::parse(&descriptor.media_type, &bytes)
        .map_err(|cause| malformed(format!("invalid image manifest: {cause}")))?;
    if manifest.config.media_type != super::CONFIG_MEDIA_TYPE {
        return Err(malformed("it is no release".to_owned()));
    }
    let json = passing(store.fetch_verified(repository, &manifest.config, CONFIG_LIMIT).await)?;
    let content = json.ok().and_then(|json| Release::parse(&json).ok()).map(Box::new);
    let record = Record::from_annotations(&manifest.annotations);
    let release = record.as_ref().map_or(&descriptor.digest, |record| &record.release).clone();
    Ok(Move { manifest: descriptor.digest, release, record, content, kept_by: None })
}

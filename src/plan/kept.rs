//! Reads the keep-alive tags of a channel, which announce moves beyond the one that the channel serves.
//!
//! Everyone who can push can write a tag of this form. So a tag only counts when it names a manifest of this channel,
//! when the manifest has the sequence number in the tag, and when the manifest continues from a known move.

use futures_util::future::join_all;

use super::observe::{Announced, signatures};
use crate::oci::{Digest, Error, Manifest, ReadStore, Repository, Selector, Tag};
use crate::release::{self, Record};

/// Largest step between a sequence number and the last known one.
const JUMP: u64 = 1000;
/// Largest sequence number that another move can follow. JSON numbers are exact up to 2^53 - 1.
const LARGEST: u64 = (1 << 53) - 2;
/// Largest number of tags of later moves whose manifests are read.
const LATER: usize = 256;
/// Number of tags that are read at once, newest first, when the channel's own move is unknown.
const BATCH: usize = 16;

/// The move that a channel serves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served<'a> {
    pub manifest: &'a Digest,
    pub sequence: u64,
}

/// The moves that keep-alive tags announce.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Moves beyond the one that the channel serves, lowest sequence number first. If the channel's own move is
    /// unknown, the moves with the highest number.
    pub counted: Vec<Announced>,
    /// Tags of later moves that do not count.
    pub ignored: Vec<Tag>,
}

/// Reads the moves that the keep-alive tags among `tags` announce beyond `served`. The sequence number `accepted`
/// always counts, however large it is.
///
/// # Errors
/// Returns an error when the store fails. A tag that is missing or names something else is ignored.
pub(super) async fn kept(
    store: &ReadStore,
    repository: &Repository,
    channel: &Tag,
    tags: Vec<Tag>,
    served: Option<Served<'_>>,
    accepted: Option<u64>,
) -> Result<Kept, Error> {
    let sequence = |tag: Tag| release::keep_alive_sequence(channel, &tag).map(|sequence| (sequence, tag));
    let mut later: Vec<(u64, Tag)> = tags.into_iter().filter_map(sequence).collect();
    later.retain(|(sequence, _)| served.is_none_or(|served| *sequence > served.sequence));
    later.sort();
    let mut last = served.map(|served| served.sequence);
    let (near, far): (Vec<_>, Vec<_>) = later.into_iter().partition(|(sequence, _)| {
        let near = last.is_none_or(|last| sequence - last <= JUMP) && *sequence <= LARGEST;
        let counts = near || accepted == Some(*sequence);
        if counts {
            last = Some(*sequence);
        }
        counts
    });
    let reading = Reading { store, repository, channel };
    let mut kept = match served {
        Some(served) => reading.beyond(served, near, accepted).await?,
        None => reading.newest(near).await?,
    };
    kept.ignored.extend(far.into_iter().map(|(_, tag)| tag));
    Ok(kept)
}

/// Returns the recorded moves of a channel after the one that the channel serves, the lowest sequence number first. The channel never
/// served them, because their runs were interrupted, or another tool has moved the channel back.
///
/// # Errors
/// When the store fails. A store that does not list its tags gives no moves.
pub(crate) async fn later_moves(
    store: &ReadStore,
    repository: &Repository,
    channel: &Tag,
    manifest: &Digest,
    sequence: u64,
) -> Result<Vec<Announced>, Error> {
    let tags = match store.tags_with_prefix(repository, &release::keep_alive_prefix(channel)).await {
        Err(error) if error.kind().is_of_server() => return Err(error),
        tags => tags.unwrap_or_default(),
    };
    Ok(kept(store, repository, channel, tags, Some(Served { manifest, sequence }), None).await?.counted)
}

struct Reading<'a> {
    store: &'a ReadStore,
    repository: &'a Repository,
    channel: &'a Tag,
}

impl Reading<'_> {
    /// Returns the moves that follow `served`, directly or through other moves. A move that follows an earlier move was
    /// overtaken and is left out.
    async fn beyond(
        &self,
        served: Served<'_>,
        mut tags: Vec<(u64, Tag)>,
        accepted: Option<u64>,
    ) -> Result<Kept, Error> {
        let unread = tags.split_off(tags.len().min(LATER));
        let mut kept = Kept { counted: Vec::new(), ignored: unread.into_iter().map(|(_, tag)| tag).collect() };
        let mut known = vec![(served.manifest.clone(), served.sequence)];
        for (tag, found) in self.all(tags).await? {
            let Some(announced) = found else {
                kept.ignored.push(tag);
                continue;
            };
            let sequence = announced.record.sequence;
            let follows = |(manifest, before): &(Digest, u64)| {
                announced.record.previous.as_ref() == Some(manifest) && sequence.saturating_sub(*before) <= JUMP
            };
            if accepted == Some(sequence) || known.iter().any(follows) {
                known.push((announced.manifest.clone(), sequence));
                kept.counted.push(announced);
            }
        }
        Ok(kept)
    }

    /// Returns the announced moves with the highest sequence number that counts.
    async fn newest(&self, tags: Vec<(u64, Tag)>) -> Result<Kept, Error> {
        let mut kept = Kept::default();
        for batch in tags.rchunks(BATCH) {
            for (tag, found) in self.all(batch.to_vec()).await? {
                match found {
                    Some(announced) => kept.counted.push(announced),
                    None => kept.ignored.push(tag),
                }
            }
            if let Some(highest) = kept.counted.iter().map(|one| one.record.sequence).max() {
                kept.counted.retain(|one| one.record.sequence == highest);
                break;
            }
        }
        Ok(kept)
    }

    async fn all(&self, tags: Vec<(u64, Tag)>) -> Result<Vec<(Tag, Option<Announced>)>, Error> {
        let reads = tags.into_iter().map(|(sequence, tag)| async move {
            let found = self.one(sequence, &tag).await?;
            Ok((tag, found))
        });
        join_all(reads).await.into_iter().collect()
    }

    /// Reads the channel manifest under a keep-alive tag. Returns `None` when the tag is missing or names something
    /// else.
    async fn one(&self, sequence: u64, tag: &Tag) -> Result<Option<Announced>, Error> {
        let (descriptor, bytes) = match self.store.manifest(self.repository, &Selector::Tag(tag.clone())).await {
            Ok(read) => read,
            Err(error) if error.kind().is_of_server() => return Err(error),
            Err(_) => return Ok(None),
        };
        let Ok(manifest) = Manifest::parse(&descriptor.media_type, &bytes) else { return Ok(None) };
        let own = |record: &Record| {
            record.name == self.channel.as_str()
                && record.sequence == sequence
                && release::keep_alive_tag(self.channel, sequence, &descriptor.digest) == *tag
        };
        let Some(record) = Record::from_annotations(&manifest.annotations).filter(own) else { return Ok(None) };
        let layers = release::signature_layers(manifest);
        let signatures = signatures(self.store, self.repository, &layers).await?;
        Ok(Some(Announced { manifest: descriptor.digest, record, signatures }))
    }
}

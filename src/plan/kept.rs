//! Reads the keep-alive tags of a channel, which announce moves beyond the one that the channel serves.
//!
//! Everyone who can push can write a tag of this form. So a tag only counts when it names a manifest of this channel,
//! when the manifest has the sequence number in the tag, and when the manifest continues from a known move.

use futures_util::future::join_all;

use super::observe::{Announced, signatures};
use super::signed::refreshed_at;
use crate::oci::{Content, Descriptor, Digest, Error, Manifest, ReadStore, Repository, Selector, Tag};
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
    /// Signed statements of the move; empty where refreshes do not count.
    pub signatures: &'a [Content],
}

/// The moves that keep-alive tags announce.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Moves beyond the one that the channel serves, lowest sequence number first. If the channel's own move is
    /// unknown, the moves with the highest number.
    pub counted: Vec<Announced>,
    /// Refreshes of the served move that are later than the refresh that it has. They have its sequence number.
    pub refreshes: Vec<Announced>,
    /// Tags of the served move with an earlier refresh, or with none.
    pub superseded: Vec<Tag>,
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
    let same: Vec<(u64, Tag)> = later.iter().filter(|(sequence, _)| is_served(*sequence, served)).cloned().collect();
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
    let known = served.map(|served| served.signatures).unwrap_or_default();
    let reading = Reading { store, repository, channel, known };
    let mut kept = match served {
        Some(served) => reading.beyond(served, near, accepted).await?,
        None => reading.newest(near).await?,
    };
    if let Some(served) = served {
        reading.refreshes(served, same, &mut kept).await?;
    }
    kept.ignored.extend(far.into_iter().map(|(_, tag)| tag));
    Ok(kept)
}

/// Reports whether a sequence number is that of the served move, and the move is signed, so that it may be refreshed.
fn is_served(sequence: u64, served: Option<Served<'_>>) -> bool {
    served.is_some_and(|served| sequence == served.sequence && !served.signatures.is_empty())
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
    let served = Served { manifest, sequence, signatures: &[] };
    Ok(kept(store, repository, channel, tags, Some(served), None).await?.counted)
}

struct Reading<'a> {
    store: &'a ReadStore,
    repository: &'a Repository,
    channel: &'a Tag,
    /// Layers that need not be read again.
    known: &'a [Content],
}

impl Reading<'_> {
    /// Sorts the other manifests of the served move into those with a later refresh and those that are superseded.
    async fn refreshes(&self, served: Served<'_>, mut tags: Vec<(u64, Tag)>, kept: &mut Kept) -> Result<(), Error> {
        tags.retain(|(sequence, tag)| *tag != release::keep_alive_tag(self.channel, *sequence, served.manifest));
        tags.truncate(LATER);
        let last = refreshed_at(served.signatures);
        for (tag, found) in self.all(tags).await? {
            match found {
                Some(one) if refreshed_at(&one.signatures) > last => kept.refreshes.push(one),
                _ => kept.superseded.push(tag),
            }
        }
        Ok(())
    }

    /// Returns the moves that follow `served`, directly or through other moves. A move that follows an earlier move was
    /// overtaken and is left out.
    async fn beyond(
        &self,
        served: Served<'_>,
        mut tags: Vec<(u64, Tag)>,
        accepted: Option<u64>,
    ) -> Result<Kept, Error> {
        let unread = tags.split_off(tags.len().min(LATER));
        let mut kept = Kept { ignored: unread.into_iter().map(|(_, tag)| tag).collect(), ..Kept::default() };
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
        let signatures = self.signatures(&layers).await?;
        Ok(Some(Announced { manifest: descriptor.digest, record, signatures }))
    }

    /// Reads layers in their order. A layer that the served move has too is not read again.
    async fn signatures(&self, layers: &[Descriptor]) -> Result<Vec<Content>, Error> {
        let is_known = |layer: &&Descriptor| self.known.iter().any(|known| known.descriptor().digest == layer.digest);
        let new: Vec<Descriptor> = layers.iter().filter(|layer| !is_known(layer)).cloned().collect();
        let read = signatures(self.store, self.repository, &new).await?;
        let all = || read.iter().chain(self.known);
        let found = |layer: &Descriptor| all().find(|one| one.descriptor().digest == layer.digest).cloned();
        Ok(layers.iter().filter_map(found).collect())
    }
}

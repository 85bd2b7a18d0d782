//! What the keep-alive tags of a channel tell: which moves were announced beyond the one that the channel serves.
//!
//! Whoever may push can write a tag that looks like one. So a tag counts only when the manifest under it is the channel's own, has the
//! sequence number of the tag, and goes on from what is known of the channel.

use futures_util::future::join_all;

use super::observe::Announced;
use crate::oci::{Digest, Error, Kind, Manifest, ReadStore, Repository, Selector, Tag};
use crate::release::{self, Record};

/// How far a sequence number may be beyond the last one that is known.
const JUMP: u64 = 1000;
/// The largest sequence number that a later move can follow: what comes after it must still be an exact number in JSON.
const LARGEST: u64 = (1 << 53) - 2;
/// Tags of later moves whose manifests are read.
const LATER: usize = 256;
/// Tags that are read at once where the channel does not say which move it serves: the newest ones first.
const BATCH: usize = 16;

/// The move that a channel serves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served<'a> {
    pub manifest: &'a Digest,
    pub sequence: u64,
}

/// Moves that keep-alive tags announce.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Moves beyond the one that the channel serves, the lowest sequence number first. Where the channel does not say which one it serves:
    /// those with the highest number.
    pub counted: Vec<Announced>,
    /// Tags of later moves that do not count.
    pub ignored: Vec<Tag>,
}

/// Reads what the keep-alive tags among `tags` announce beyond `served`. The sequence number `accepted` counts however far away it is.
///
/// # Errors
/// When the store fails. A tag that names something else, or nothing, is ignored.
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

struct Reading<'a> {
    store: &'a ReadStore,
    repository: &'a Repository,
    channel: &'a Tag,
}

impl Reading<'_> {
    /// The moves that follow what is served, directly or one after the other. What goes on from an earlier move was overtaken.
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

    /// The announced moves with the highest sequence number that counts.
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

    /// The channel manifest under a keep-alive tag; nothing when the tag names something else or is gone.
    async fn one(&self, sequence: u64, tag: &Tag) -> Result<Option<Announced>, Error> {
        let (descriptor, bytes) = match self.store.manifest(self.repository, &Selector::Tag(tag.clone())).await {
            Ok(read) => read,
            Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Untrusted) => return Err(error),
            Err(_) => return Ok(None),
        };
        let Ok(manifest) = Manifest::parse(&descriptor.media_type, &bytes) else { return Ok(None) };
        let own = |record: &Record| {
            record.name == self.channel.as_str()
                && record.sequence == sequence
                && release::keep_alive_tag(self.channel, sequence, &descriptor.digest) == *tag
        };
        let record = Record::from_annotations(&manifest.annotations).filter(own);
        Ok(record.map(|record| Announced { manifest: descriptor.digest.clone(), record }))
    }
}

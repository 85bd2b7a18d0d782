//! The last step of a plan: the channel manifest, its keep-alive tag, and the channel tag.
//!
//! A registry has no compare-and-swap. So each publisher first announces its move with the keep-alive tag. Then it
//! reads the channel and the announcements of other publishers. Of two publishers at the same time, the one that reads
//! later sees the announcement of the other. It does not move the channel, and its announcement remains until the run
//! ends, so that no number is announced twice. An older announcement may belong to a publisher that is about to move the
//! channel. After [`GRACE`], that publisher has moved the channel or never will.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::try_join;
use tokio::time::Instant;

use super::execute::{Inputs, Run, unknown};
use super::execute_error::ExecuteError;
use super::kept::{Kept, Served, kept};
use super::late::{LATEST, Seen, late};
use super::observe::{Announced, ChannelState};
use super::planner::Move;
use super::progress::Event;
use super::signed::refreshed_at;
use crate::oci::{self, Artifact, Content, Digest, Manifest, Repository, Selector, Store, Tag};
use crate::release::{self, Record};
use crate::text::shown;

/// Longest time from a publisher's last read of the channel to the end of its move.
pub(crate) const GRACE: Duration = Duration::from_secs(2);
/// Age from which an announcement is ignored. Publishers do not wait for an older one.
const OLD: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// The channel manifest that a plan's move writes.
pub(super) struct Channel<'a> {
    pub repository: &'a Repository,
    moves: &'a Move,
    /// Sequence number of the move that the channel serves, if a record gives it.
    before: Option<u64>,
    /// Signed statements of the move that the channel serves.
    signatures: &'a [Content],
    keep_alive: Tag,
    /// Announcements that existed when the plan was made and whose moves may still happen.
    under_way: BTreeSet<Tag>,
    /// Announcements whose moves will not happen any more.
    given_up: BTreeSet<Tag>,
    pub artifact: Artifact,
}

impl<'a> Channel<'a> {
    /// Returns the digest of the JSON that the channel serves.
    pub(super) fn json(&self) -> &Digest {
        &self.moves.config.digest
    }

    /// Returns the manifest that this run announces; absent when another run announced it.
    fn announcement(&self) -> Option<Digest> {
        self.moves.adopts.is_none().then(|| self.artifact.digest().clone())
    }

    fn served(&self) -> Option<Served<'a>> {
        let manifest = self.moves.from.as_ref()?;
        Some(Served { manifest, sequence: self.before?, signatures: self.signatures })
    }
}

/// Deletes announcements of moves that will not happen, so that no second statement of one number stays in the store. A
/// manifest that the channel serves, or that it went on from, stays. Failures are ignored: many registries do not delete.
pub(crate) async fn withdraw(store: &Store, (repository, channel): (&Repository, &Tag), lost: &BTreeSet<Digest>) {
    if lost.is_empty() {
        return;
    }
    let served = oci::optional(store.read().manifest(repository, &Selector::Tag(channel.clone())).await);
    let Ok(served) = served else { return };
    let record = served.as_ref().and_then(|(descriptor, bytes)| {
        let manifest = Manifest::parse(&descriptor.media_type, bytes).ok()?;
        Record::from_annotations(&manifest.annotations)
    });
    let before = record.and_then(|record| record.previous);
    let kept = [served.map(|(descriptor, _)| descriptor.digest), before];
    for digest in lost.iter().filter(|digest| !kept.iter().flatten().any(|kept| kept == *digest)) {
        store.delete_manifest(repository, digest).await;
    }
}

impl<'a> Run<'a> {
    /// Builds the channel manifest that the plan's move writes. For a move that was announced before, the bytes are the
    /// same.
    pub(super) fn channel(&self, inputs: &Inputs<'a>) -> Result<Option<Channel<'a>>, ExecuteError> {
        let Some(moves) = &inputs.plan.moves else { return Ok(None) };
        let Move { repository, channel: name, config, sequence, .. } = moves;
        let json = release::with_channel(&inputs.desired.release.json, name);
        let json = json.ok().map(|json| Content::new(release::CONFIG_MEDIA_TYPE, json));
        let json = json.filter(|json| json.descriptor().digest == config.digest);
        let json = json.ok_or_else(|| self.stopped(unknown(repository, &config.digest)))?;
        let observed = &inputs.observed.channel;
        let adopted = observed.announced.iter().find(|one| moves.adopts.as_ref() == Some(&one.manifest));
        let serves = observed.serves.as_ref();
        let kept = serves.filter(|serves| moves.refreshes.as_ref() == Some(&serves.manifest));
        let kept = kept.and_then(|serves| serves.record.clone());
        let (record, signatures) = match adopted {
            Some(announced) => (announced.record.clone(), &announced.signatures[..]),
            None => (kept.unwrap_or_else(|| inputs.record.of(moves)), inputs.signatures),
        };
        let built = || release::channel_artifact(json, &record, signatures);
        let artifact = inputs.copied.cloned().unwrap_or_else(built);
        let keep_alive = release::keep_alive_tag(name, *sequence, artifact.digest());
        let announced = observed.announced.iter().map(|one| (one.tag(), self.is_old(one.record.moved.parse().ok())));
        let refreshes = observed.refreshes.iter().map(|one| {
            let issued = refreshed_at(&one.signatures).and_then(|issued| i64::try_from(issued.seconds()).ok());
            (one.tag(), self.is_old(issued.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())))
        });
        let others = announced.chain(refreshes).filter(|(tag, _)| *tag != keep_alive);
        let (old, recent): (Vec<_>, Vec<_>) =
            others.partition(|(tag, old)| *old || self.executor.given_up.contains(tag));
        let superseded = observed.superseded.iter().chain(&self.executor.given_up).cloned();
        let given_up = old.into_iter().map(|(tag, _)| tag).chain(superseded).collect();
        let under_way = recent.into_iter().map(|(tag, _)| tag).collect();
        let before = serves.and_then(|serves| Some(serves.record.as_ref()?.sequence));
        let signatures = serves.map(|serves| &serves.signatures[..]).unwrap_or_default();
        Ok(Some(Channel { repository, moves, before, signatures, keep_alive, under_way, given_up, artifact }))
    }

    /// Reports whether the move was announced more than a day ago. The limit is long because the two times come from
    /// different machines.
    fn is_old(&self, moved: Option<jiff::Timestamp>) -> bool {
        moved.is_some_and(|moved| self.executor.clock.now().duration_since(moved) > OLD)
    }

    /// Pushes the channel manifest under its keep-alive tag, which announces the move to other publishers.
    pub(super) async fn keep_alive(&self, channel: Option<&Channel<'_>>) -> Result<(), oci::Error> {
        let Some(channel) = channel else { return Ok(()) };
        self.put(channel.repository, &channel.artifact, Some((&channel.keep_alive, None))).await
    }

    /// Moves the channel and reads it back. `looked` is the time of the last read before the move.
    pub(super) async fn move_channel(&self, channel: &Channel<'_>, looked: Instant) -> Result<Digest, ExecuteError> {
        let (manifest, moves) = (channel.artifact.manifest(), channel.moves);
        let store = self.executor.store;
        let written = store.move_tag(channel.repository, manifest, &moves.channel, moves.from.as_ref()).await;
        // The move that was only announced when the plan was made, and from which this one goes on, is done meanwhile.
        let written = match (written, &moves.goes_on_from) {
            (Err(error), Some(before)) if error.kind() == oci::Kind::Conflict => {
                store.move_tag(channel.repository, manifest, &moves.channel, Some(before)).await
            }
            (written, _) => written,
        };
        match written {
            // `is_moved` reads the channel and names the publisher that moved it.
            Err(error) if error.kind() == oci::Kind::Conflict => {}
            Err(error) if is_an_answer(&error) => {
                self.withdraw(channel).await;
                return Err(self.stopped(error));
            }
            written => written.map_err(|source| unconfirmed(channel, source))?,
        }
        self.is_moved(channel).await?;
        if looked.elapsed() > GRACE {
            self.nothing_overwritten(channel).await?;
        }
        self.progress.event(&Event::Moved { repository: &moves.repository, channel: &moves.channel });
        Ok(channel.artifact.digest().clone())
    }

    /// Reads the channel right before its move. Fails if the channel differs from the plan, or if another publisher is
    /// about to move it. Returns the time of the last read.
    pub(super) async fn look(&self, channel: &Channel<'_>) -> Result<Instant, ExecuteError> {
        let looked = Instant::now();
        self.look_once(channel).await?;
        if channel.under_way.is_empty() {
            return Ok(looked);
        }
        let tags: Vec<&str> = channel.under_way.iter().map(Tag::as_str).collect();
        let text = format!("waiting to see whether an earlier move completes: {}", tags.join(", "));
        self.progress.event(&Event::Note { text: &text });
        self.executor.clock.sleep(GRACE).await;
        let looked = Instant::now();
        self.look_once(channel).await.map(|()| looked)
    }

    /// Reads the channel once. Fails if a move was announced after the plan was made.
    pub(super) async fn look_once(&self, channel: &Channel<'_>) -> Result<(), ExecuteError> {
        let (others, ()) = try_join(self.others(channel), self.is_as_planned(channel)).await?;
        let tags: Vec<Tag> = others.iter().map(Announced::tag).collect();
        let Some(new) = tags.iter().position(|tag| !channel.under_way.contains(tag)) else { return Ok(()) };
        let seen = tags.iter().chain(&channel.under_way).chain(&channel.given_up).chain([&channel.keep_alive]);
        Err(ExecuteError::Rival {
            channel: channel.moves.channel.clone(),
            tag: tags[new].clone(),
            who: who(None, &others[new].record),
            seen: seen.cloned().collect(),
            own: channel.announcement(),
            moved: false,
        })
    }

    /// Returns the announcements of other moves that continue from the same channel manifest as this move. For a
    /// directory, the result is empty: a directory has a real compare-and-swap. It is also empty for a registry that
    /// does not list its tags. A list without this run's own announcement is out of date.
    async fn others(&self, channel: &Channel<'_>) -> Result<Vec<Announced>, ExecuteError> {
        let Move { channel: name, .. } = channel.moves;
        let store = self.executor.store.read();
        if store.path().is_some() {
            return Ok(Vec::new());
        }
        let list = || async {
            match store.tags_with_prefix(channel.repository, &release::keep_alive_prefix(name)).await {
                Err(source) if source.kind() == oci::Kind::Unavailable => Err(self.stopped(source)),
                Err(_) => Ok(Seen::Now(Vec::new())),
                Ok(tags) if tags.contains(&channel.keep_alive) => Ok(Seen::Now(tags)),
                Ok(_) => {
                    let reference = format!("{}:{}", channel.repository, channel.keep_alive);
                    Ok(Seen::Earlier(self.stopped(late(reference, "the list of tags does not contain it yet"))))
                }
            }
        };
        let what = format!("the tag {} in the list of tags", channel.keep_alive);
        let mut tags = self.executor.wait_for(&what, LATEST, self.progress, list).await?;
        tags.retain(|tag| !channel.given_up.contains(tag));
        let kept = kept(store, channel.repository, name, tags, channel.served(), None).await;
        let Kept { counted, refreshes, .. } = kept.map_err(|source| self.stopped(source))?;
        let own = channel.artifact.digest();
        let rival = |one: &Announced| one.manifest != *own && one.record.previous.as_ref() != Some(own);
        Ok(counted.into_iter().chain(refreshes).filter(rival).collect())
    }

    /// Checks that the channel still serves the manifest in the plan. A manifest from before that one means that the
    /// registry answers late.
    async fn is_as_planned(&self, channel: &Channel<'_>) -> Result<(), ExecuteError> {
        let Move { from, goes_on_from, .. } = channel.moves;
        let look = || async {
            let found = self.served(channel).await.map_err(|source| self.stopped(source))?;
            if found == *from || (found.is_some() && found == *goes_on_from) {
                return Ok(Seen::Now(()));
            }
            let serves = self.serves(channel, found.as_ref()).await;
            let sequence = serves.as_ref().and_then(|(_, record)| Some(record.as_ref()?.sequence));
            let earlier = found.is_none() || sequence.zip(channel.before).is_some_and(|(found, before)| found < before);
            let mut error = moved(channel, from.as_ref(), found.as_ref(), serves.as_ref());
            if earlier {
                return Ok(Seen::Earlier(error));
            }
            if let ExecuteError::Moved { own, .. } = &mut error {
                *own = channel.announcement();
            }
            Err(error)
        };
        let what = format!("what {} served", channel.moves.channel);
        self.executor.wait_for(&what, LATEST, self.progress, look).await
    }

    /// Checks that the channel serves the new manifest, or a later one that continues from it.
    async fn is_moved(&self, channel: &Channel<'_>) -> Result<(), ExecuteError> {
        let own = channel.artifact.digest();
        let look = || async {
            let found = self.served(channel).await.map_err(|source| unconfirmed(channel, source))?;
            if found.as_ref() == Some(own) {
                return Ok(Seen::Now(()));
            }
            let serves = self.serves(channel, found.as_ref()).await;
            let record = serves.as_ref().and_then(|(_, record)| record.as_ref());
            if record.is_some_and(|record| record.previous.as_ref() == Some(own)) {
                return Ok(Seen::Now(()));
            }
            let is_before = found == channel.moves.from;
            if is_before || found.is_none() || record.is_some_and(|record| record.sequence < channel.moves.sequence) {
                let reason = "the tag was written, but the registry still shows its previous digest";
                let reference = format!("{}:{}", channel.repository, channel.moves.channel);
                return Ok(Seen::Earlier(unconfirmed(channel, late(reference, reason))));
            }
            Err(moved(channel, Some(own), found.as_ref(), serves.as_ref()))
        };
        let what = format!("the move of {}", channel.moves.channel);
        self.executor.wait_for(&what, LATEST, self.progress, look).await
    }

    /// Checks for moves that this move overwrote. Other publishers wait only for [`GRACE`], and this move took longer.
    async fn nothing_overwritten(&self, channel: &Channel<'_>) -> Result<(), ExecuteError> {
        let others = self.others(channel).await?;
        let Some(rival) = others.iter().find(|one| one.record.sequence >= channel.moves.sequence) else {
            return Ok(());
        };
        Err(ExecuteError::Rival {
            channel: channel.moves.channel.clone(),
            tag: rival.tag(),
            who: who(None, &rival.record),
            seen: BTreeSet::new(),
            own: None,
            moved: true,
        })
    }

    /// Deletes the announcement of a move that the store rejected for good.
    async fn withdraw(&self, channel: &Channel<'_>) {
        let lost = channel.announcement().into_iter().collect();
        withdraw(self.executor.store, (channel.repository, &channel.moves.channel), &lost).await;
    }

    async fn served(&self, channel: &Channel<'_>) -> Result<Option<Digest>, oci::Error> {
        let store = self.executor.store.read();
        oci::optional(store.resolve(channel.repository, &channel.moves.channel).await)
    }

    /// Returns the version and the record of a channel manifest. A failure is ignored, because the result only adds
    /// detail to another error.
    async fn serves(&self, channel: &Channel<'_>, found: Option<&Digest>) -> Option<(String, Option<Record>)> {
        let selector = Selector::Digest(found?.clone());
        let resolved = release::resolve(self.executor.store.read(), channel.repository, &selector).await.ok()?;
        Some((resolved.release.version, resolved.record))
    }
}

/// Reports whether a failed write is certain to have written nothing. After other errors, only the answer may have been
/// lost.
fn is_an_answer(error: &oci::Error) -> bool {
    matches!(
        error.kind(),
        oci::Kind::NotFound
            | oci::Kind::Refused
            | oci::Kind::Blocked(_)
            | oci::Kind::Denied
            | oci::Kind::Malformed
            | oci::Kind::NotRegistry
            | oci::Kind::Io
    )
}

fn unconfirmed(channel: &Channel<'_>, source: oci::Error) -> ExecuteError {
    let (repository, channel) = (channel.repository.clone(), channel.moves.channel.clone());
    ExecuteError::Unconfirmed { repository, channel, source }
}

fn moved(
    channel: &Channel<'_>,
    expected: Option<&Digest>,
    found: Option<&Digest>,
    serves: Option<&(String, Option<Record>)>,
) -> ExecuteError {
    let record = serves.and_then(|(version, record)| Some((version, record.as_ref()?)));
    let who = record.map_or_else(String::new, |(version, record)| who(Some(version), record));
    ExecuteError::moved(channel.repository, &channel.moves.channel, expected, found, who)
}

/// Returns the error for a channel that another publisher moved from `first` to what it `serves` now.
pub(crate) fn overtaken(
    repository: &Repository,
    channel: &Tag,
    first: Option<&Digest>,
    serves: &ChannelState,
) -> ExecuteError {
    let who = serves.record.as_ref().map_or_else(String::new, |record| who(Some(&serves.version), record));
    ExecuteError::moved(repository, channel, first, Some(&serves.manifest), who)
}

/// Formats who moved a channel, for example `, to 1.0.4 by alice on 2026-11-23T12:00:00Z`.
pub(super) fn who(version: Option<&str>, record: &Record) -> String {
    let to = version.map_or_else(String::new, |version| format!(" to {}", shown(version)));
    let by = record.by.as_ref().map_or_else(String::new, |by| format!(" by {}", shown(by)));
    format!(",{to}{by} on {}", shown(&record.moved))
}

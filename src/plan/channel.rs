//! The last step of a plan: the channel's manifest, its keep-alive tag, and the pointer itself.

use futures_util::future::try_join;

use super::execute::{ExecuteError, Inputs, Run, unknown};
use super::planner::Move;
use super::progress::Event;
use crate::oci::{self, Artifact, Content, Digest, Repository, Selector, Tag};
use crate::release::{self, Record};
use crate::text::shown;

/// The channel manifest that a plan's move writes.
pub(super) struct Channel<'a> {
    pub repository: &'a Repository,
    name: &'a Tag,
    from: Option<&'a Digest>,
    sequence: u64,
    keep_alive: Tag,
    pub artifact: Artifact,
}

impl<'a> Run<'a> {
    /// Builds the channel manifest that the plan's move writes; of a move that was announced already, the same bytes again.
    pub(super) fn channel(&self, inputs: &Inputs<'a>) -> Result<Option<Channel<'a>>, ExecuteError> {
        let Some(moves) = &inputs.plan.moves else { return Ok(None) };
        let Move { repository, channel: name, config, from, sequence, .. } = moves;
        let json = release::with_channel(&inputs.desired.release.json, name);
        let json = json.ok().map(|json| Content::new(release::CONFIG_MEDIA_TYPE, json));
        let json = json.filter(|json| json.descriptor().digest == config.digest);
        let json = json.ok_or_else(|| self.stopped(unknown(repository, &config.digest)))?;
        let adopted = inputs.observed.channel.announced.as_ref().filter(|_| moves.adopts.is_some());
        let record = adopted.map_or_else(|| record(moves, inputs), |announced| announced.record.clone());
        let artifact = release::channel_artifact(json, &record);
        let keep_alive = release::keep_alive_tag(name, *sequence, artifact.digest());
        Ok(Some(Channel { repository, name, from: from.as_ref(), sequence: *sequence, keep_alive, artifact }))
    }

    /// The channel's manifest under its keep-alive tag, which also tells other publishers that this one is about to move it.
    pub(super) async fn keep_alive(&self, channel: Option<&Channel<'_>>) -> Result<(), oci::Error> {
        let Some(channel) = channel else { return Ok(()) };
        self.put(channel.repository, &channel.artifact, Some((&channel.keep_alive, None))).await
    }

    /// The channel was looked at right before; it is looked at right after. A registry has no compare-and-swap, but each
    /// publisher announces its move by the keep-alive tag before it looks for those of others: of two at once, one sees the other
    /// at least. What is still overwritten within one round trip is kept by its own tag, and said here.
    pub(super) async fn move_channel(&self, channel: &Channel<'_>) -> Result<Digest, ExecuteError> {
        let manifest = channel.artifact.manifest();
        let written = self.executor.store.move_tag(channel.repository, manifest, channel.name, channel.from).await;
        match written {
            // Who it was is said below.
            Err(error) if error.kind() == oci::Kind::Conflict => {}
            written => written.map_err(|source| self.failed(channel, !is_an_answer(&source), source))?,
        }
        let own = self.channel_is(channel, Some(channel.artifact.digest()), true);
        try_join(own, self.no_rival(channel, true)).await?;
        self.progress.event(&Event::Moved { channel: channel.name });
        Ok(channel.artifact.digest().clone())
    }

    /// The channel as the plan found it, and nobody else about to move it.
    pub(super) async fn look(&self, channel: &Channel<'_>) -> Result<(), ExecuteError> {
        try_join(self.channel_is(channel, channel.from, false), self.no_rival(channel, false)).await.map(drop)
    }

    /// Has anybody announced the same or a later move since the plan was made? A store that does not list its tags cannot say.
    async fn no_rival(&self, channel: &Channel<'_>, written: bool) -> Result<(), ExecuteError> {
        let store = self.executor.store.read();
        let tags = match store.tags(channel.repository).await {
            Err(source) if source.kind() == oci::Kind::Unavailable => {
                return Err(self.failed(channel, written, source));
            }
            tags => tags.unwrap_or_default(),
        };
        let rival = tags.into_iter().find(|tag| {
            let sequence = release::keep_alive_sequence(channel.name, tag);
            *tag != channel.keep_alive && sequence.is_some_and(|sequence| sequence >= channel.sequence)
        });
        let Some(tag) = rival else { return Ok(()) };
        let record = self.record_of(channel, Selector::Tag(tag.clone())).await;
        Err(ExecuteError::Rival {
            channel: channel.name.clone(),
            tag,
            who: record.as_ref().map(who).unwrap_or_default(),
            outcome: if written {
                "the channel serves this release, and theirs is lost from it"
            } else {
                "nothing moved here"
            },
        })
    }

    /// The store failed before the channel was `written`, or after it may have been.
    fn failed(&self, channel: &Channel<'_>, written: bool, source: oci::Error) -> ExecuteError {
        if !written {
            return self.stopped(source);
        }
        let (repository, channel) = (channel.repository.clone(), channel.name.clone());
        ExecuteError::Unconfirmed { repository, channel, source }
    }

    async fn channel_is(
        &self,
        channel: &Channel<'_>,
        expected: Option<&Digest>,
        written: bool,
    ) -> Result<(), ExecuteError> {
        let store = self.executor.store.read();
        let found = oci::optional(store.resolve(channel.repository, channel.name).await);
        let found = found.map_err(|source| self.failed(channel, written, source))?;
        if found.as_ref() == expected {
            return Ok(());
        }
        let record = match &found {
            Some(digest) => self.record_of(channel, Selector::Digest(digest.clone())).await,
            None => None,
        };
        Err(moved(channel.repository, channel.name, expected, found.as_ref(), record.as_ref()))
    }

    /// Who moved it helps, but is not worth another failure.
    async fn record_of(&self, channel: &Channel<'_>, selector: Selector) -> Option<Record> {
        release::resolve(self.executor.store.read(), channel.repository, &selector).await.ok()?.record
    }
}

fn record(moves: &Move, inputs: &Inputs<'_>) -> Record {
    let record = inputs.record;
    Record {
        name: moves.channel.to_string(),
        release: moves.release.clone(),
        sequence: moves.sequence,
        previous: moves.from.clone(),
        kind: moves.kind,
        moved: record.moved.clone(),
        by: record.by.clone(),
        from: record.from.clone(),
        reason: record.reason.clone(),
    }
}

/// Does a failed write say that nothing was written? Otherwise it may be that only the answer was lost.
fn is_an_answer(error: &oci::Error) -> bool {
    matches!(
        error.kind(),
        oci::Kind::NotFound | oci::Kind::Refused | oci::Kind::Denied | oci::Kind::Malformed | oci::Kind::Io
    )
}

pub(super) fn moved(
    repository: &Repository,
    tag: &Tag,
    expected: Option<&Digest>,
    found: Option<&Digest>,
    record: Option<&Record>,
) -> ExecuteError {
    let text = |digest: Option<&Digest>| digest.map_or_else(|| "nothing".to_owned(), ToString::to_string);
    ExecuteError::Moved {
        repository: repository.clone(),
        tag: tag.clone(),
        expected: text(expected),
        found: text(found),
        who: record.map(who).unwrap_or_default(),
    }
}

/// `, by alice on 2026-11-23T12:00:00Z`
fn who(record: &Record) -> String {
    let by = record.by.as_ref().map_or_else(String::new, |by| format!(" by {}", shown(by)));
    format!(",{by} on {}", shown(&record.moved))
}

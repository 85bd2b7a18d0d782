//! What a store holds now of what it shall hold: reads alone, all repositories at once.

use futures_util::future::{join, try_join_all};

use super::attach::{Attachment, attachments};
use super::desired::{Desired, DesiredArtifact};
use super::kept::{Kept, Served, kept};
use crate::oci::{Digest, Error, Kind, ReadStore, Repository, Selector, Tag, optional};
use crate::release::{self, Record, Release, ResolveError, Resolved};

/// What a store holds.
#[derive(Clone, Debug)]
pub struct Observed {
    /// For each desired artifact, in order: the digest under its tag.
    pub artifacts: Vec<Option<Digest>>,
    /// The release under the version's tag; its JSON where it is another one than the desired.
    pub release: Option<Existing>,
    /// What refers to the artifacts and the store lacks.
    pub attachments: Vec<Attachment>,
    /// The channel, where one is to move.
    pub channel: ObservedChannel,
}

/// What a channel serves, and which moves of it were announced.
#[derive(Clone, Debug, Default)]
pub struct ObservedChannel {
    /// What the channel serves; absent when it serves nothing yet.
    pub serves: Option<ChannelState>,
    /// Digest of the channel's newest manifest that is known: what the channel serves, or where its tag is missing, what the newest
    /// keep-alive tag names.
    pub newest: Option<Digest>,
    /// The highest sequence number that counts, in the channel's record and in its keep-alive tags.
    pub sequence: u64,
    /// Moves beyond the one that the channel serves, as keep-alive tags announce them: interrupted, under way, or made and not yet
    /// shown by the registry. The lowest sequence number first.
    pub announced: Vec<Announced>,
    /// Keep-alive tags of later moves that do not count: others wrote them, or their number is too far away.
    pub ignored: Vec<Tag>,
}

/// A channel manifest under its keep-alive tag, to which the channel never moved.
#[derive(Clone, Debug)]
pub struct Announced {
    /// Digest of the manifest.
    pub manifest: Digest,
    /// Record of the move.
    pub record: Record,
}

/// A release that is published already.
#[derive(Clone, Debug)]
pub struct Existing {
    /// Its digest.
    pub digest: Digest,
    /// Its JSON, when the digest is not the desired one and it is a release.
    pub json: Option<Vec<u8>>,
}

/// What a channel serves.
#[derive(Clone, Debug)]
pub struct ChannelState {
    /// Digest of the channel's manifest.
    pub manifest: Digest,
    /// The release that it serves, as it is written there.
    pub release: Digest,
    /// That release's version.
    pub version: String,
    /// Its JSON.
    pub json: Vec<u8>,
    /// How the channel came to it; absent when another tool moved it.
    pub record: Option<Record>,
}

impl ChannelState {
    /// Does the channel serve the release of this digest? Where there is no record, the JSON tells.
    pub fn serves(&self, release: &Digest, json: &[u8]) -> bool {
        match &self.record {
            Some(record) => record.release == *release,
            None => release::equal_but_for_channel(&self.json, json),
        }
    }
}

impl Observed {
    /// Returns the observation of a store that holds nothing of `desired`.
    pub fn nothing(desired: &Desired) -> Self {
        Self {
            artifacts: vec![None; desired.artifacts.len()],
            release: None,
            attachments: Vec::new(),
            channel: ObservedChannel::default(),
        }
    }
}

/// Reads what a store holds of everything that `desired` may write. The channel is observed by [`observe_channel`], which needs
/// no release and so may have run before; otherwise it runs beside.
///
/// # Errors
/// When the store fails. Content that is absent is no failure.
pub(crate) async fn observe(
    store: &ReadStore,
    desired: &Desired,
    channel: impl Future<Output = Result<ObservedChannel, ResolveError>>,
) -> Result<Observed, ResolveError> {
    let artifacts = try_join_all(desired.artifacts.iter().map(|artifact| present(store, artifact)));
    let release = async {
        match &desired.release.written {
            Some(release) => existing(store, release).await,
            None => Ok(None),
        }
    };
    let attached = desired.attached.iter().map(|(repository, attached)| attachments(store, repository, attached));
    let attached = async { try_join_all(attached).await.map_err(ResolveError::from) };
    let artifacts = async { artifacts.await.map_err(ResolveError::from) };
    let (artifacts, release, attached, channel) = futures_util::try_join!(artifacts, release, attached, channel)?;
    Ok(Observed { artifacts, release, attachments: attached.into_iter().flatten().collect(), channel })
}

/// The manifest under the artifact's tag. On a disk nobody vouches for the files: there all blobs are looked at too, and a
/// manifest without its blobs counts as absent.
///
/// # Errors
/// When the store fails.
pub async fn present(store: &ReadStore, desired: &DesiredArtifact) -> Result<Option<Digest>, Error> {
    let found = optional(store.resolve(&desired.repository, &desired.tag).await)?;
    if store.path().is_some() && found.as_ref() == Some(desired.artifact.digest()) {
        for content in desired.artifact.contents() {
            if !store.has(&desired.repository, content.descriptor()).await? {
                return Ok(None);
            }
        }
    }
    Ok(found)
}

async fn existing(store: &ReadStore, desired: &DesiredArtifact) -> Result<Option<Existing>, ResolveError> {
    let Some(digest) = present(store, desired).await? else { return Ok(None) };
    if digest == *desired.artifact.digest() {
        return Ok(Some(Existing { digest, json: None }));
    }
    match release::resolve(store, &desired.repository, &Selector::Digest(digest.clone())).await {
        Ok(resolved) => Ok(Some(Existing { digest, json: Some(resolved.json) })),
        Err(ResolveError::Store(error)) if error.kind() != Kind::NotFound => Err(error.into()),
        Err(_) => Ok(Some(Existing { digest, json: None })),
    }
}

/// Reads what a channel serves, and which moves of it were announced beyond that. The sequence number `accepted` counts however far
/// away it is.
///
/// # Errors
/// When the store fails, and when the channel serves something else than a release.
pub(crate) async fn observe_channel(
    store: &ReadStore,
    repository: &Repository,
    channel: &Tag,
    accepted: Option<u64>,
) -> Result<ObservedChannel, ResolveError> {
    let selector = Selector::Tag(channel.clone());
    let (resolved, tags) = join(
        release::resolve(store, repository, &selector),
        store.tags_with_prefix(repository, &release::keep_alive_prefix(channel)),
    )
    .await;
    let serves = match resolved {
        Ok(Resolved { manifest, release_digest: release, json, release: Release { version, .. }, record }) => {
            Some(ChannelState { manifest, release, version, json, record })
        }
        Err(ResolveError::Store(error)) if error.is_not_found() => None,
        Err(error) => return Err(error),
    };
    let recorded = serves.as_ref().and_then(|serves| {
        let sequence = serves.record.as_ref()?.sequence;
        Some(Served { manifest: &serves.manifest, sequence })
    });
    let tags = match tags {
        Err(error) if recorded.is_none() && !error.is_not_found() => return Err(error.into()),
        tags => tags.unwrap_or_default(),
    };
    let Kept { counted: announced, ignored } = kept(store, repository, channel, tags, recorded, accepted).await?;
    let newest = serves.as_ref().map(|serves| &serves.manifest).or(announced.last().map(|one| &one.manifest)).cloned();
    let sequence = announced.last().map(|one| one.record.sequence).or(recorded.map(|served| served.sequence));
    Ok(ObservedChannel { newest, sequence: sequence.unwrap_or(0), announced, ignored, serves })
}

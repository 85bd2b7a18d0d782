//! What a store holds now of what it shall hold: reads alone, all repositories at once.

use futures_util::future::{join, try_join_all};

use super::attach::{Attachment, attachments};
use super::desired::{Desired, DesiredArtifact};
use crate::oci::{Digest, Error, Kind, Manifest, ReadStore, Repository, Selector, Tag, optional};
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
    /// The highest sequence number in its record and its keep-alive tags, also where the channel's own tag is missing.
    pub sequence: u64,
    /// The move of that number that was announced by a keep-alive tag and never made. Where several were announced, none of them
    /// can be completed without breaking a rule of the others: absent.
    pub announced: Option<Announced>,
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

/// Reads what a channel serves, the highest sequence number that is known of it, and the moves of that number that were
/// announced and never made.
///
/// # Errors
/// When the store fails, and when the channel serves something else than a release.
pub(crate) async fn observe_channel(
    store: &ReadStore,
    repository: &Repository,
    channel: &Tag,
) -> Result<ObservedChannel, ResolveError> {
    let selector = Selector::Tag(channel.clone());
    let (resolved, tags) = join(release::resolve(store, repository, &selector), store.tags(repository)).await;
    let serves = match resolved {
        Ok(Resolved { manifest, release_digest: release, json, release: Release { version, .. }, record }) => {
            Some(ChannelState { manifest, release, version, json, record })
        }
        Err(ResolveError::Store(error)) if error.is_not_found() => None,
        Err(error) => return Err(error),
    };
    let recorded = serves.as_ref().and_then(|serves| serves.record.as_ref()).map(|record| record.sequence);
    let tags = match tags {
        Err(error) if recorded.is_none() && !error.is_not_found() => return Err(error.into()),
        tags => tags.unwrap_or_default(),
    };
    let kept = tags.iter().filter_map(|tag| Some((release::keep_alive_sequence(channel, tag)?, tag)));
    let kept: Vec<_> = kept.filter(|(sequence, _)| Some(*sequence) > recorded).collect();
    let highest = kept.iter().map(|(sequence, _)| *sequence).max();
    let last: Vec<&Tag> = kept.iter().filter(|(sequence, _)| Some(*sequence) == highest).map(|(_, tag)| *tag).collect();
    let announced = match &last[..] {
        [tag] => announced(store, repository, tag).await?,
        _ => None,
    };
    Ok(ObservedChannel { serves, sequence: highest.or(recorded).unwrap_or(0), announced })
}

/// The channel manifest under a keep-alive tag; nothing when the tag names something else or is gone.
async fn announced(store: &ReadStore, repository: &Repository, tag: &Tag) -> Result<Option<Announced>, Error> {
    let (descriptor, bytes) = match store.manifest(repository, &Selector::Tag(tag.clone())).await {
        Ok(read) => read,
        Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Untrusted) => return Err(error),
        Err(_) => return Ok(None),
    };
    let Ok(manifest) = Manifest::parse(&descriptor.media_type, &bytes) else { return Ok(None) };
    let record = Record::from_annotations(&manifest.annotations);
    Ok(record.map(|record| Announced { manifest: descriptor.digest, record }))
}

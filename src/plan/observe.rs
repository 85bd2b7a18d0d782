//! What a store holds now of what it shall hold: reads alone, all repositories at once.

use futures_util::future::{join, try_join_all};

use super::desired::{Desired, DesiredArtifact};
use crate::oci::{Digest, Error, Kind, ReadStore, Repository, Selector, Tag, optional};
use crate::release::{self, Record, Release, ResolveError, Resolved};

/// What a store holds.
#[derive(Clone, Debug)]
pub struct Observed {
    /// For each desired artifact, in order: the manifest under its tag.
    pub artifacts: Vec<Option<Digest>>,
    /// The release under the version's tag, and its JSON where it is another one.
    pub release: Option<Existing>,
    /// The channel, when one is asked for and there is one.
    pub channel: Option<ChannelState>,
    /// The highest sequence that its record and its keep-alive tags know, also where its own tag is not there.
    pub sequence: u64,
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
    /// A store that holds nothing of `desired`.
    pub fn nothing(desired: &Desired) -> Self {
        Self { artifacts: vec![None; desired.artifacts.len()], release: None, channel: None, sequence: 0 }
    }
}

/// Looks at everything that `desired` names.
///
/// # Errors
/// When the store fails. Absent is no failure; a channel that serves something else than a release is.
pub async fn observe(store: &ReadStore, desired: &Desired) -> Result<Observed, ResolveError> {
    let artifacts = try_join_all(desired.artifacts.iter().map(|artifact| present(store, artifact)));
    let release = existing(store, &desired.release);
    let channel = async {
        let Some(channel) = &desired.channel else { return Ok((None, 0)) };
        observe_channel(store, &desired.release.repository, channel).await
    };
    let (artifacts, release, (channel, sequence)) =
        futures_util::try_join!(async { artifacts.await.map_err(ResolveError::from) }, release, channel)?;
    Ok(Observed { artifacts, release, channel, sequence })
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

/// What a channel serves, nothing when it serves nothing yet, and the highest sequence that is known of it.
///
/// # Errors
/// When the store fails, and when the channel serves something else than a release.
pub async fn observe_channel(
    store: &ReadStore,
    repository: &Repository,
    channel: &Tag,
) -> Result<(Option<ChannelState>, u64), ResolveError> {
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
    // A move that was interrupted has left its keep-alive tag: its number is used up.
    let kept = tags.iter().filter_map(|tag| release::keep_alive_sequence(channel, tag));
    Ok((serves, kept.chain(recorded).max().unwrap_or(0)))
}

//! What a store holds now of what it shall hold: reads alone, all repositories at once.

use futures_util::future::{join, try_join_all};

use super::attach::{Attachment, attachments};
use super::damaged::{Damaged, damaged};
use super::desired::{Desired, DesiredArtifact};
use super::kept::{Kept, Served, kept};
use crate::oci::{
    Artifact, Content, Digest, Document, Error, Kind, Manifest, ReadStore, Repository, Selector, Tag, optional,
};
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
    /// What of the artifacts is missing or wrong, where it was asked for.
    pub damaged: Vec<Damaged>,
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
    /// The channel with its JSON, where the store lost that and it could be made again of the release.
    pub damaged: Option<Damaged>,
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

impl Announced {
    /// Returns the keep-alive tag of the move.
    ///
    /// # Panics
    /// When the record is of no channel, which no announced move's is.
    pub(crate) fn tag(&self) -> Tag {
        let channel: Tag = self.record.name.parse().expect("it was read under a tag of the channel");
        release::keep_alive_tag(&channel, self.record.sequence, &self.manifest)
    }
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
            damaged: Vec::new(),
            channel: ObservedChannel::default(),
        }
    }
}

/// How closely artifacts are observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// By their tags; on a disk, where no server verifies the files, by their bytes too.
    Tags,
    /// Every byte, so that what is missing or wrong is sent again.
    Bytes,
}

/// Reads what a store holds of everything that `desired` may write. The channel is observed by [`observe_channel`], which needs
/// no release and so may have run before; otherwise it runs beside.
///
/// # Errors
/// When the store fails. Content that is absent is no failure.
pub(crate) async fn observe(
    store: &ReadStore,
    desired: &Desired,
    depth: Depth,
    channel: impl Future<Output = Result<ObservedChannel, ResolveError>>,
) -> Result<Observed, ResolveError> {
    let mut observed = observe_tags(store, desired, depth, channel).await?;
    if depth == Depth::Bytes {
        observed.damaged = damaged(store, desired, &observed).await?;
        observed.damaged.extend(observed.channel.damaged.take());
    }
    Ok(observed)
}

async fn observe_tags(
    store: &ReadStore,
    desired: &Desired,
    depth: Depth,
    channel: impl Future<Output = Result<ObservedChannel, ResolveError>>,
) -> Result<Observed, ResolveError> {
    let artifacts = try_join_all(desired.artifacts.iter().map(|artifact| found(store, artifact, depth)));
    let release = async {
        match &desired.release.written {
            Some(release) => existing(store, release, depth).await,
            None => Ok(None),
        }
    };
    let attached = desired.attached.iter().map(|(repository, attached)| attachments(store, repository, attached));
    let attached = async { try_join_all(attached).await.map_err(ResolveError::from) };
    let artifacts = async { artifacts.await.map_err(ResolveError::from) };
    let (artifacts, release, attached, channel) = futures_util::try_join!(artifacts, release, attached, channel)?;
    let attachments = attached.into_iter().flatten().collect();
    Ok(Observed { artifacts, release, attachments, damaged: Vec::new(), channel })
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

async fn found(store: &ReadStore, desired: &DesiredArtifact, depth: Depth) -> Result<Option<Digest>, Error> {
    match depth {
        Depth::Tags => present(store, desired).await,
        Depth::Bytes => optional(store.resolve(&desired.repository, &desired.tag).await),
    }
}

async fn existing(
    store: &ReadStore,
    desired: &DesiredArtifact,
    depth: Depth,
) -> Result<Option<Existing>, ResolveError> {
    let Some(digest) = found(store, desired, depth).await? else { return Ok(None) };
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
/// away it is. Where the JSON of the channel is missing or wrong, that of the release `ours` is taken, when that is what the channel serves.
///
/// # Errors
/// When the store fails, and when the channel serves something else than a release.
pub(crate) async fn observe_channel(
    store: &ReadStore,
    repository: &Repository,
    channel: &Tag,
    accepted: Option<u64>,
    ours: Option<&[u8]>,
) -> Result<ObservedChannel, ResolveError> {
    let selector = Selector::Tag(channel.clone());
    let (resolved, tags) = join(
        release::resolve(store, repository, &selector),
        store.tags_with_prefix(repository, &release::keep_alive_prefix(channel)),
    )
    .await;
    let (serves, damaged) = match resolved {
        Ok(resolved) => (Some(ChannelState::from(resolved)), None),
        // A manifest that is missing is named by its tag, a JSON that is missing by its digest.
        Err(ResolveError::Store(error)) if error.is_not_found() && !error.reference().contains('@') => (None, None),
        Err(ResolveError::Store(error)) if matches!(error.kind(), Kind::NotFound | Kind::Mismatch) => {
            match rescued(store, repository, channel, ours).await? {
                Some((serves, damaged)) => (Some(serves), Some(damaged)),
                None => return Err(error.into()),
            }
        }
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
    // A number that is accepted counts also when no manifest says it any more.
    let sequence = sequence.unwrap_or(0).max(accepted.unwrap_or(0));
    Ok(ObservedChannel { serves, newest, sequence, announced, damaged, ignored })
}

impl From<Resolved> for ChannelState {
    fn from(resolved: Resolved) -> Self {
        let Resolved { manifest, release_digest: release, json, release: Release { version, .. }, record } = resolved;
        Self { manifest, release, version, json, record }
    }
}

/// Reads the manifest of a channel whose JSON is missing or wrong, and makes the JSON again: of the release `ours`, or else of the one that the
/// record names. Nothing when that does not give the bytes that the manifest names.
async fn rescued(
    store: &ReadStore,
    repository: &Repository,
    channel: &Tag,
    ours: Option<&[u8]>,
) -> Result<Option<(ChannelState, Damaged)>, ResolveError> {
    let (descriptor, bytes) = store.manifest(repository, &Selector::Tag(channel.clone())).await?;
    let Ok(manifest) = Manifest::parse(&descriptor.media_type, &bytes) else { return Ok(None) };
    let record = Record::from_annotations(&manifest.annotations);
    let of_release = match (ours, &record) {
        (Some(ours), _) => ours.to_vec(),
        (None, Some(record)) => {
            match release::resolve(store, repository, &Selector::Digest(record.release.clone())).await {
                Ok(named) => named.json,
                Err(_) => return Ok(None),
            }
        }
        (None, None) => return Ok(None),
    };
    let json = release::with_channel(&of_release, channel).ok();
    let Some(json) = json.filter(|json| Digest::of(json) == manifest.config.digest) else { return Ok(None) };
    let Ok(Release { version, .. }) = Release::parse(&json) else { return Ok(None) };
    let release = record.as_ref().map_or(&descriptor.digest, |record| &record.release).clone();
    let blob = Content::new(release::CONFIG_MEDIA_TYPE, json.clone());
    let content = vec![(blob.descriptor().digest.clone(), "it is missing or wrong".to_owned())];
    let artifact = Artifact::of(Document::new(&descriptor.media_type, bytes), Vec::new(), vec![blob]);
    let damaged = Damaged { repository: repository.clone(), artifact, tag: channel.clone(), content };
    Ok(Some((ChannelState { manifest: descriptor.digest, release, version, json, record }, damaged)))
}

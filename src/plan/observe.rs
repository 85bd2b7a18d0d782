//! Reads the present state of a store. The module only reads, and reads all repositories concurrently.

use futures_util::future::{join, try_join_all};

use super::attach::{Attachment, attachments};
use super::damaged::{Damaged, damaged};
use super::desired::{Desired, DesiredArtifact};
use super::kept::{Kept, Served, kept};
use super::signed::SignedChannel;
use crate::oci::{
    Artifact, Content, Descriptor, Digest, Document, Error, Kind, Manifest, ReadStore, Repository, Selector, Tag,
    optional,
};
use crate::release::{self, Record, Release, ResolveError, Resolved};

/// The present state of a store, as far as a plan needs it.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Digest under the tag of each desired artifact, in the same order.
    pub artifacts: Vec<Option<Digest>>,
    /// The release under the version's tag. The JSON is present when the digest differs from the desired one.
    pub release: Option<Existing>,
    /// Referrers of the artifacts that the store lacks.
    pub attachments: Vec<Attachment>,
    /// Artifacts with missing or corrupt content. Filled only at [`Depth::Bytes`].
    pub damaged: Vec<Damaged>,
    /// State of the channel, if one is to move.
    pub channel: ObservedChannel,
}

/// The release that a channel serves, and the announced moves of the channel.
#[derive(Clone, Debug, Default)]
pub struct ObservedChannel {
    /// State of the channel tag; absent when the channel serves nothing yet.
    pub serves: Option<ChannelState>,
    /// Digest of the newest known channel manifest: the one that the channel serves, or the one under the newest
    /// keep-alive tag when the channel tag is missing.
    pub newest: Option<Digest>,
    /// Highest sequence number that counts, from the channel's record and its keep-alive tags.
    pub sequence: u64,
    /// Moves beyond the one that the channel serves, from keep-alive tags. Such a move was interrupted, is still
    /// running, or is done but not yet visible in the registry. The lowest sequence number is first.
    pub announced: Vec<Announced>,
    /// Later refreshes of the move that the channel serves, from keep-alive tags with the same sequence number. Such a
    /// refresh was interrupted, or is still running.
    pub refreshes: Vec<Announced>,
    /// Keep-alive tags of the move that the channel serves, from before its last refresh.
    pub superseded: Vec<Tag>,
    /// The channel manifest with its JSON, if the store lost the JSON and the JSON can be rebuilt from the release.
    pub damaged: Option<Damaged>,
    /// Keep-alive tags of later moves that do not count, because another tool wrote them or their number is too large.
    pub ignored: Vec<Tag>,
    /// What the verified statements of the channel say; absent where the publisher does not sign.
    pub signed: Option<SignedChannel>,
}

/// A channel manifest that only its keep-alive tag names.
#[derive(Clone, Debug)]
pub struct Announced {
    /// Digest of the channel manifest.
    pub manifest: Digest,
    /// Record of the announced move.
    pub record: Record,
    /// Signed statements of the announced move, not verified yet.
    pub signatures: Vec<Content>,
}

impl Announced {
    /// Returns the keep-alive tag of the move.
    ///
    /// # Panics
    /// Panics when the record has no valid channel name. A record that [`observe_channel`] returns always has one.
    pub(crate) fn tag(&self) -> Tag {
        let channel: Tag =
            self.record.name.parse().expect("the record was read under a keep-alive tag of this channel");
        release::keep_alive_tag(&channel, self.record.sequence, &self.manifest)
    }
}

/// A release that is already published.
#[derive(Clone, Debug)]
pub struct Existing {
    /// Digest of the release manifest.
    pub digest: Digest,
    /// JSON of the release. Absent when the digest is the desired one, or when the manifest is not a release.
    pub json: Option<Vec<u8>>,
}

/// The release that a channel serves.
#[derive(Clone, Debug)]
pub struct ChannelState {
    /// Digest of the channel manifest.
    pub manifest: Digest,
    /// Digest of the release manifest, from the record of the move.
    pub release: Digest,
    /// Version of the release.
    pub version: String,
    /// JSON of the release with the name of this channel.
    pub json: Vec<u8>,
    /// Record of the last move; absent when another tool moved the channel.
    pub record: Option<Record>,
    /// Signed statements about the channel, not verified yet.
    pub signatures: Vec<Content>,
}

impl ChannelState {
    /// Reports whether the channel serves the release with this digest. Without a record, the JSON is compared.
    pub fn serves(&self, release: &Digest, json: &[u8]) -> bool {
        match &self.record {
            Some(record) => record.release == *release,
            None => release::equal_but_for_channel(&self.json, json),
        }
    }
}

impl Observed {
    /// Returns the observation of a store that holds all of `desired` and has no channel.
    pub fn everything(desired: &Desired) -> Self {
        let artifacts = desired.artifacts.iter().map(|one| Some(one.artifact.digest().clone())).collect();
        let release = Some(Existing { digest: desired.release.digest.clone(), json: None });
        Self { artifacts, release, ..Self::nothing(desired) }
    }

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

/// How thoroughly artifacts are observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Reads tags only. In a directory, also checks the files, because no server verifies them.
    Tags,
    /// Reads every byte, so that missing and corrupt content is pushed again.
    Bytes,
}

/// Reads the store's present state of everything that `desired` may write. [`observe_channel`] observes the channel. It
/// needs no release, so it may run earlier; otherwise it runs concurrently.
///
/// # Errors
/// Returns an error when the store fails. Missing content is not an error.
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

/// Returns the digest of the manifest under the artifact's tag. In a directory, no server verifies the files, so all
/// blobs are read too, and a manifest without its blobs counts as absent.
///
/// # Errors
/// Returns an error when the store fails.
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

/// Reads the release that a channel serves, and the moves that were announced beyond that release. The sequence number
/// `accepted` always counts, however large it is. If the JSON of the channel is missing or corrupt, the JSON of the
/// release `ours` replaces it, provided that the channel serves that release.
///
/// # Errors
/// Returns an error when the store fails, or when the channel tag names something other than a release.
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
        Ok(resolved) => {
            let signatures = signatures(store, repository, &resolved.signatures).await?;
            (Some(ChannelState { signatures, ..ChannelState::from(resolved) }), None)
        }
        // The reference of a missing manifest has a tag. The reference of a missing JSON has a digest.
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
        Some(Served { manifest: &serves.manifest, sequence, signatures: &serves.signatures })
    });
    let tags = match tags {
        Err(error) if recorded.is_none() && !error.is_not_found() => return Err(error.into()),
        tags => tags.unwrap_or_default(),
    };
    let Kept { counted: announced, refreshes, superseded, ignored } =
        kept(store, repository, channel, tags, recorded, accepted).await?;
    let newest = serves.as_ref().map(|serves| &serves.manifest).or(announced.last().map(|one| &one.manifest)).cloned();
    let sequence = announced.last().map(|one| one.record.sequence).or(recorded.map(|served| served.sequence));
    // An accepted number counts even when no manifest with that number is left.
    let sequence = sequence.unwrap_or(0).max(accepted.unwrap_or(0));
    let signed = None;
    Ok(ObservedChannel { serves, newest, sequence, announced, refreshes, superseded, damaged, ignored, signed })
}

impl From<Resolved> for ChannelState {
    fn from(resolved: Resolved) -> Self {
        let Resolved { manifest, release_digest: release, json, release: Release { version, .. }, record, .. } =
            resolved;
        Self { manifest, release, version, json, record, signatures: Vec::new() }
    }
}

/// Reads the manifest of a channel whose JSON is missing or corrupt, and rebuilds the JSON from the release `ours`, or
/// else from the release that the record names. Returns `None` when the result differs from the digest in the manifest.
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
    let content = vec![(blob.descriptor().digest.clone(), "the content is missing or corrupt".to_owned())];
    let artifact = Artifact::of(Document::new(&descriptor.media_type, bytes), Vec::new(), vec![blob]);
    let damaged = Damaged { repository: repository.clone(), artifact, tag: channel.clone(), content };
    let signatures = signatures(store, repository, &release::signature_layers(manifest)).await?;
    let serves = ChannelState { manifest: descriptor.digest, release, version, json, record, signatures };
    Ok(Some((serves, damaged)))
}

/// Reads the signed statements of a channel manifest. One that is missing or damaged proves nothing, and is left out.
///
/// # Errors
/// Returns an error when the server of the store fails.
pub(super) async fn signatures(
    store: &ReadStore,
    repository: &Repository,
    layers: &[Descriptor],
) -> Result<Vec<Content>, Error> {
    let reads = layers.iter().map(|layer| async move {
        match release::signatures(store, repository, std::slice::from_ref(layer)).await {
            Ok(mut read) => Ok(read.pop().map(|bytes| Content::new(&layer.media_type, bytes))),
            Err(error) if error.kind().is_of_server() => Err(error),
            Err(_) => Ok(None),
        }
    });
    Ok(try_join_all(reads).await?.into_iter().flatten().collect())
}

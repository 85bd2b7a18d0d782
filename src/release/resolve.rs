//! Reads a release: the manifest by tag once, everything else by digest, and verifies all of it.

use futures_util::future::try_join_all;

use super::{ARTIFACT_TYPE, CONFIG_MEDIA_TYPE, InvalidRelease, Record, Release};
use crate::oci::{self, Descriptor, Digest, Manifest, ReadStore, Repository, Selector, media_type};

/// Largest release manifest that is read, in bytes. It names one blob and has a few annotations.
const MANIFEST_LIMIT: usize = 1 << 20;
/// Largest JSON of a release that is read or published, in bytes.
pub const CONFIG_LIMIT: u64 = 4 << 20;

/// Most layers with signed statements that are read; a channel manifest has a few. A reader refuses 65 of them.
const SIGNATURES: usize = 65;

/// A release as a store serves it.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Digest of the manifest that was read: the channel manifest or the release manifest.
    pub manifest: Digest,
    /// Digest of the release manifest.
    pub release_digest: Digest,
    /// JSON of the release, byte for byte.
    pub json: Vec<u8>,
    /// Content of the release manifest.
    pub release: Release,
    /// Record of the last move, if the manifest is a channel manifest.
    pub record: Option<Record>,
    /// Layers of the manifest with signed statements, in order. They are not read yet: see [`signatures`].
    pub signatures: Vec<Descriptor>,
}

/// The kind of a [`ResolveError`], on which callers decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveKind {
    /// The store failed, or does not have the requested manifest.
    Store(oci::Kind),
    /// The manifest exists, but it is not a release.
    NotARelease,
    /// The release has a schema that this program does not know.
    Schema,
    /// The JSON of the release is invalid.
    Invalid,
    /// The channel serves another release than its record names.
    Disagrees,
}

/// An error while a release is read.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The store failed, or does not have the manifest.
    #[error(transparent)]
    Store(#[from] oci::Error),
    /// The manifest exists, but it is not a release.
    #[error("{reference} is not a release: {reason}")]
    NotARelease {
        /// Reference of the manifest that was read.
        reference: String,
        /// Reason why the manifest is not a release.
        reason: String,
    },
    /// The JSON of the release is invalid.
    #[error("the release {reference} is not valid: {cause}")]
    Invalid {
        /// Reference of the release that was read.
        reference: String,
        /// Path and reason of the first problem.
        cause: InvalidRelease,
    },
    /// The record of a channel names another release than the channel serves.
    #[error("the channel manifest {channel} records the release {release}, but {reason}")]
    Disagrees {
        /// Digest of the channel manifest.
        channel: Digest,
        /// Digest of the release that the record names.
        release: Digest,
        /// Difference between the two releases.
        reason: String,
    },
}

impl ResolveError {
    /// Returns the kind of the error, on which callers decide.
    pub fn kind(&self) -> ResolveKind {
        match self {
            Self::Store(error) => ResolveKind::Store(error.kind()),
            Self::NotARelease { .. } => ResolveKind::NotARelease,
            Self::Invalid { cause, .. } if cause.is_schema() => ResolveKind::Schema,
            Self::Invalid { .. } => ResolveKind::Invalid,
            Self::Disagrees { .. } => ResolveKind::Disagrees,
        }
    }
}

/// A manifest that is a release by its types. Its JSON is not read yet.
#[derive(Clone, Debug)]
pub struct UnreadRelease {
    reference: String,
    /// Digest of the manifest that was read.
    pub digest: Digest,
    /// Digest of the release manifest: from the record of a channel manifest, else of the manifest itself.
    pub release_digest: Digest,
    /// Record of the last move, if the manifest is a channel manifest.
    pub record: Option<Record>,
    /// Layers of the manifest with signed statements, in order.
    pub signatures: Vec<Descriptor>,
    config: Descriptor,
}

/// Reads the manifest of a release under a channel's tag, a version or a digest.
///
/// # Errors
/// See [`ResolveError::kind`]. A missing manifest is a [`ResolveError::Store`].
pub async fn open(
    store: &ReadStore,
    repository: &Repository,
    selector: &Selector,
) -> Result<UnreadRelease, ResolveError> {
    let reference = match selector {
        Selector::Tag(tag) => format!("{repository}:{tag}"),
        Selector::Digest(digest) => format!("{repository}@{digest}"),
    };
    let not_a_release = |reason: String| ResolveError::NotARelease { reference: reference.clone(), reason };
    let (descriptor, bytes) = store.manifest(repository, selector).await?;
    if bytes.len() > MANIFEST_LIMIT {
        return Err(not_a_release(format!(
            "the manifest has {} bytes, and the limit is {MANIFEST_LIMIT}",
            bytes.len()
        )));
    }
    let manifest = Manifest::parse(&descriptor.media_type, &bytes)
        .map_err(|cause| not_a_release(format!("invalid image manifest: {}", cause.to_string().escape_debug())))?;
    // Older publishers wrote no artifact type, but the config's media type has the same information. None of them wrote
    // a Docker manifest.
    let artifact_type = manifest.artifact_type.as_deref().unwrap_or(ARTIFACT_TYPE);
    let found = [&*descriptor.media_type, artifact_type, &manifest.config.media_type];
    if found != [media_type::IMAGE_MANIFEST, ARTIFACT_TYPE, CONFIG_MEDIA_TYPE] {
        return Err(not_a_release(format!(
            "the manifest is {}",
            found.map(|part| format!("`{}`", part.escape_debug())).join(", ")
        )));
    }
    let record = Record::from_annotations(&manifest.annotations);
    let release_digest = record.as_ref().map_or(&descriptor.digest, |record| &record.release).clone();
    let (digest, config) = (descriptor.digest, manifest.config.clone());
    Ok(UnreadRelease { reference, digest, release_digest, record, config, signatures: signature_layers(manifest) })
}

impl UnreadRelease {
    /// Reads the JSON of the release.
    ///
    /// # Errors
    /// See [`ResolveError::kind`].
    pub async fn read(&self, store: &ReadStore, repository: &Repository) -> Result<Resolved, ResolveError> {
        let json = store.fetch_verified(repository, &self.config, CONFIG_LIMIT).await?;
        self.with(json.to_vec())
    }

    /// Returns the release with the JSON that an earlier run read. Returns `None` when the manifest names another JSON.
    pub fn with_json(&self, json: &[u8]) -> Option<Resolved> {
        if Digest::of(json) == self.config.digest { self.with(json.to_vec()).ok() } else { None }
    }

    fn with(&self, json: Vec<u8>) -> Result<Resolved, ResolveError> {
        let invalid = |cause| ResolveError::Invalid { reference: self.reference.clone(), cause };
        Ok(Resolved {
            manifest: self.digest.clone(),
            release_digest: self.release_digest.clone(),
            release: Release::parse(&json).map_err(invalid)?,
            json,
            record: self.record.clone(),
            signatures: self.signatures.clone(),
        })
    }
}

/// Reads the release under a channel's tag, a version or a digest.
///
/// # Errors
/// See [`ResolveError::kind`]. A missing manifest is a [`ResolveError::Store`].
pub async fn resolve(
    store: &ReadStore,
    repository: &Repository,
    selector: &Selector,
) -> Result<Resolved, ResolveError> {
    open(store, repository, selector).await?.read(store, repository).await
}

/// Returns the layers of a manifest that hold signed statements.
pub(crate) fn signature_layers(manifest: Manifest) -> Vec<Descriptor> {
    let bundles = manifest.layers.into_iter().filter(|layer| layer.media_type == media_type::SIGSTORE_BUNDLE);
    bundles.take(SIGNATURES).collect()
}

/// Reads the signed statements of a channel manifest, all at once.
///
/// # Errors
/// Returns an error when the store fails, and when a layer is missing, is too large or has other bytes than its digest.
pub async fn signatures(
    store: &ReadStore,
    repository: &Repository,
    layers: &[Descriptor],
) -> Result<Vec<Vec<u8>>, oci::Error> {
    try_join_all(layers.iter().map(|layer| async {
        let bytes = store.fetch_verified(repository, layer, oci::SIGNATURE_LIMIT).await?;
        Ok(bytes.to_vec())
    }))
    .await
}

/// The signed statements of a channel manifest, as far as they can be read.
#[derive(Debug)]
pub struct ReadSignatures {
    /// Bundles in the order of their layers.
    pub bundles: Vec<Vec<u8>>,
    /// Why the first layer that is left out cannot be read.
    pub unread: Option<oci::Error>,
}

/// Reads the signed statements of a channel manifest, all at once. A layer that is missing, is too large or has other bytes
/// than its digest is left out: it proves nothing, and the others may suffice.
///
/// # Errors
/// Returns an error when the server of the store fails or refuses access.
pub async fn readable_signatures(
    store: &ReadStore,
    repository: &Repository,
    layers: &[Descriptor],
) -> Result<ReadSignatures, oci::Error> {
    let reads = layers.iter().map(|layer| async {
        match store.fetch_verified(repository, layer, oci::SIGNATURE_LIMIT).await {
            Err(error) if error.kind().is_of_server() || error.kind() == oci::Kind::Denied => Err(error),
            read => Ok(read),
        }
    });
    let mut signatures = ReadSignatures { bundles: Vec::new(), unread: None };
    for read in try_join_all(reads).await? {
        match read {
            Ok(bytes) => signatures.bundles.push(bytes.to_vec()),
            Err(error) => drop(signatures.unread.get_or_insert(error)),
        }
    }
    Ok(signatures)
}

/// Checks that the record of a channel names the release that the channel serves. The release is read by the digest in
/// the record, and its JSON must equal the channel's JSON except for `channel`. Sends no request for a manifest without
/// a record.
///
/// # Errors
/// Returns [`ResolveError::Disagrees`] also when the named release is missing or is not a release.
pub async fn confirm(store: &ReadStore, repository: &Repository, served: &Resolved) -> Result<(), ResolveError> {
    let Some(record) = &served.record else { return Ok(()) };
    let named = named_release(store, repository, &served.manifest, &record.release).await?;
    if agree(&named.json, &served.json) {
        return Ok(());
    }
    let (channel, release) = (served.manifest.clone(), record.release.clone());
    Err(ResolveError::Disagrees { channel, release, reason: "the channel's JSON differs from that release".to_owned() })
}

/// Reads the release that the record of a channel manifest names, by its digest.
///
/// # Errors
/// Returns [`ResolveError::Disagrees`] when the release is missing or is not a release.
pub async fn named_release(
    store: &ReadStore,
    repository: &Repository,
    channel: &Digest,
    release: &Digest,
) -> Result<Resolved, ResolveError> {
    let reason = match resolve(store, repository, &Selector::Digest(release.clone())).await {
        Ok(named) if named.record.is_some() => "that digest is a channel manifest".to_owned(),
        Ok(named) => return Ok(named),
        Err(ResolveError::Store(cause)) if !cause.is_not_found() => return Err(cause.into()),
        Err(cause) => cause.to_string(),
    };
    Err(ResolveError::Disagrees { channel: channel.clone(), release: release.clone(), reason })
}

/// Compares two releases by value, as an appliance reads them, except for `channel`.
fn agree(a: &[u8], b: &[u8]) -> bool {
    let without_channel = |json: &[u8]| {
        let mut value: serde_json::Value = serde_json::from_slice(json).ok()?;
        value.as_object_mut()?.remove("channel").map(|_| value)
    };
    let a = without_channel(a);
    a.is_some() && a == without_channel(b)
}

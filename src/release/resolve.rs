//! Reading a release: the manifest by tag once, everything else by digest, all of it verified.

use super::{ARTIFACT_TYPE, CONFIG_MEDIA_TYPE, InvalidRelease, Record, Release};
use crate::oci::{self, Digest, Manifest, ReadStore, Repository, Selector, media_type};

/// Largest manifest of a release: it names one blob and has some annotations.
const MANIFEST_LIMIT: usize = 1 << 20;
/// Largest JSON of a release that is read, and so the largest that is published.
pub const CONFIG_LIMIT: u64 = 4 << 20;

/// A release as a store serves it.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Digest of the manifest that was read: a channel's own, or the release's.
    pub manifest: Digest,
    /// Digest of the release itself.
    pub release_digest: Digest,
    /// The JSON, byte for byte.
    pub json: Vec<u8>,
    /// What it says.
    pub release: Release,
    /// How the channel came to it, where the manifest is a channel's.
    pub record: Option<Record>,
}

/// What a [`ResolveError`] means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveKind {
    /// The store failed, or what was asked for is not there.
    Store(oci::Kind),
    /// There is something, but it is no release.
    NotARelease,
    /// It is a release of another schema.
    Schema,
    /// It is a release, and something is wrong with it.
    Invalid,
    /// A channel serves something else than the release that its record names.
    Disagrees,
}

/// A release that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The store said no.
    #[error(transparent)]
    Store(#[from] oci::Error),
    /// It is something else.
    #[error("{reference} is not a release: {reason}")]
    NotARelease {
        /// What was read.
        reference: String,
        /// Why it is none.
        reason: String,
    },
    /// Its JSON is not valid.
    #[error("the release {reference} is not valid: {cause}")]
    Invalid {
        /// What was read.
        reference: String,
        /// What is wrong with it.
        cause: InvalidRelease,
    },
    /// The record of a channel names another release than the channel serves.
    #[error("the channel manifest {channel} records the release {release}, but {reason}")]
    Disagrees {
        /// Digest of the channel's manifest.
        channel: Digest,
        /// Digest of the release that the record names.
        release: Digest,
        /// How the two differ.
        reason: String,
    },
}

impl ResolveError {
    /// For decisions.
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

/// Reads the release under a channel's tag, a version or a digest.
///
/// # Errors
/// [`ResolveError::Store`] also when it is not there; see [`ResolveError::kind`].
pub async fn resolve(
    store: &ReadStore,
    repository: &Repository,
    selector: &Selector,
) -> Result<Resolved, ResolveError> {
    let reference = match selector {
        Selector::Tag(tag) => format!("{repository}:{tag}"),
        Selector::Digest(digest) => format!("{repository}@{digest}"),
    };
    let not_a_release = |reason: String| ResolveError::NotARelease { reference: reference.clone(), reason };
    let (descriptor, bytes) = store.manifest(repository, selector).await?;
    if bytes.len() > MANIFEST_LIMIT {
        return Err(not_a_release(format!("its manifest has {} bytes, more than {MANIFEST_LIMIT}", bytes.len())));
    }
    let manifest = Manifest::parse(&descriptor.media_type, &bytes)
        .map_err(|cause| not_a_release(format!("invalid image manifest: {}", cause.to_string().escape_debug())))?;
    // Older publishers wrote no artifact type: the config's media type says it too. None wrote one of Docker's manifests.
    let artifact_type = manifest.artifact_type.as_deref().unwrap_or(ARTIFACT_TYPE);
    let found = [&*descriptor.media_type, artifact_type, &manifest.config.media_type];
    if found != [media_type::IMAGE_MANIFEST, ARTIFACT_TYPE, CONFIG_MEDIA_TYPE] {
        return Err(not_a_release(format!(
            "it is {}",
            found.map(|part| format!("`{}`", part.escape_debug())).join(", ")
        )));
    }
    let json = store.fetch_verified(repository, &manifest.config, CONFIG_LIMIT).await?;
    let release = Release::parse(&json).map_err(|cause| ResolveError::Invalid { reference, cause })?;
    let record = Record::from_annotations(&manifest.annotations);
    let release_digest = record.as_ref().map_or(&descriptor.digest, |record| &record.release).clone();
    Ok(Resolved { manifest: descriptor.digest, release_digest, json: json.to_vec(), release, record })
}

/// Checks that the record of a channel names the release that the channel serves: the release is read by the digest in the record,
/// and its JSON must be that of the channel but for `channel`. Sends nothing for a manifest without a record.
///
/// # Errors
/// [`ResolveError::Disagrees`] also when the named release is absent or is not a release.
pub async fn confirm(store: &ReadStore, repository: &Repository, served: &Resolved) -> Result<(), ResolveError> {
    let Some(record) = &served.record else { return Ok(()) };
    let reason = match resolve(store, repository, &Selector::Digest(record.release.clone())).await {
        Ok(named) if named.record.is_some() => "that is the manifest of a channel".to_owned(),
        Ok(named) if agree(&named.json, &served.json) => return Ok(()),
        Ok(_) => "the channel serves another JSON than that release".to_owned(),
        Err(ResolveError::Store(cause)) if !cause.is_not_found() => return Err(cause.into()),
        Err(cause) => cause.to_string(),
    };
    Err(ResolveError::Disagrees { channel: served.manifest.clone(), release: record.release.clone(), reason })
}

/// Compares the JSON of two releases by value, as an appliance reads them, but for `channel`.
fn agree(a: &[u8], b: &[u8]) -> bool {
    let without_channel = |json: &[u8]| {
        let mut value: serde_json::Value = serde_json::from_slice(json).ok()?;
        value.as_object_mut()?.remove("channel").map(|_| value)
    };
    let a = without_channel(a);
    a.is_some() && a == without_channel(b)
}

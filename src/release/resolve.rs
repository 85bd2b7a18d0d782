//! Reading a release: the manifest by tag once, everything else by digest, all of it verified.

use super::{ARTIFACT_TYPE, CONFIG_MEDIA_TYPE, InvalidRelease, Record, Release, equal_but_for_channel};
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
    let reference = reference_of(repository, selector);
    let (digest, manifest) = manifest(store, repository, selector).await?;
    let json = store.fetch_verified(repository, &manifest.config, CONFIG_LIMIT).await?;
    let release = Release::parse(&json).map_err(|cause| ResolveError::Invalid { reference, cause })?;
    let record = Record::from_annotations(&manifest.annotations);
    let release_digest = record.as_ref().map_or(&digest, |record| &record.release).clone();
    Ok(Resolved { manifest: digest, release_digest, json: json.to_vec(), release, record })
}

/// Checks that the record of a channel names the release that the channel serves: the release is read by the digest in the record,
/// and its JSON must be that of the channel but for `channel`. Sends nothing for a manifest without a record.
///
/// # Errors
/// [`ResolveError::Disagrees`] also when the named release is absent or is not a release.
pub async fn confirm(store: &ReadStore, repository: &Repository, served: &Resolved) -> Result<(), ResolveError> {
    let Some(record) = &served.record else { return Ok(()) };
    let disagrees = |reason: String| ResolveError::Disagrees {
        channel: served.manifest.clone(),
        release: record.release.clone(),
        reason,
    };
    let unusable = |cause: ResolveError| match cause {
        ResolveError::Store(cause) if !cause.is_not_found() => cause.into(),
        cause => disagrees(cause.to_string()),
    };
    let selector = Selector::Digest(record.release.clone());
    let (_, named) = manifest(store, repository, &selector).await.map_err(unusable)?;
    if Record::from_annotations(&named.annotations).is_some() {
        return Err(disagrees("that is the manifest of a channel".to_owned()));
    }
    // The same digest is the same JSON.
    if named.config.digest == Digest::of(&served.json) {
        return Ok(());
    }
    let json = store.fetch_verified(repository, &named.config, CONFIG_LIMIT).await;
    let json = json.map_err(|cause| unusable(cause.into()))?;
    if equal_but_for_channel(&json, &served.json) {
        Ok(())
    } else {
        Err(disagrees("the channel serves another JSON than that release".to_owned()))
    }
}

fn reference_of(repository: &Repository, selector: &Selector) -> String {
    match selector {
        Selector::Tag(tag) => format!("{repository}:{tag}"),
        Selector::Digest(digest) => format!("{repository}@{digest}"),
    }
}

/// Reads the manifest of a release or a channel. No publisher of releases writes Docker's manifests or indexes, so an answer of
/// another media type is not a release, whatever is in it.
async fn manifest(
    store: &ReadStore,
    repository: &Repository,
    selector: &Selector,
) -> Result<(Digest, Manifest), ResolveError> {
    let not_a_release =
        |reason: String| ResolveError::NotARelease { reference: reference_of(repository, selector), reason };
    let (descriptor, bytes) = store.manifest(repository, selector).await?;
    if bytes.len() > MANIFEST_LIMIT {
        return Err(not_a_release(format!("its manifest has {} bytes, more than {MANIFEST_LIMIT}", bytes.len())));
    }
    let manifest = Manifest::parse(&descriptor.media_type, &bytes)
        .map_err(|cause| not_a_release(format!("invalid image manifest: {}", cause.to_string().escape_debug())))?;
    // Older publishers wrote no artifact type: the config's media type says it too.
    let artifact_type = manifest.artifact_type.as_deref().unwrap_or(ARTIFACT_TYPE);
    if descriptor.media_type != media_type::IMAGE_MANIFEST
        || artifact_type != ARTIFACT_TYPE
        || manifest.config.media_type != CONFIG_MEDIA_TYPE
    {
        let found = format!(
            "`{artifact_type}` in a `{}` with a config of `{}`",
            descriptor.media_type, manifest.config.media_type
        );
        return Err(not_a_release(format!("it is {}", found.escape_debug())));
    }
    Ok((descriptor.digest, manifest))
}

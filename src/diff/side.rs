//! One release of a comparison: what its JSON says, and where the rest of it can be read. A store and a release that is packed
//! in memory are read the same way, and nothing is read before it is known to differ.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use crate::archive::{self, Limits};
use crate::chart::LAYER_MEDIA_TYPE;
use crate::config::Config;
use crate::oci::{AnyRepository, Descriptor, Digest, Error, Kind, Manifest, Prefix, ReadStore, Repository, Selector};
use crate::plan::{ChannelState, Desired};
use crate::release::{InvalidRelease, Named, NamedKind, Record, Release, Resolved, Target};

/// Files by their paths.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Largest archive that is fetched.
const ARCHIVE_LIMIT: u64 = 100 << 20;
/// What is unpacked of one archive at most.
const LIMITS: Limits = Limits { total: 256 << 20, file: 64 << 20 };

/// What a side of a comparison is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// What was asked for: a channel, a version, a digest, a directory.
    pub reference: String,
    /// The release's version.
    pub version: String,
    /// The release's digest.
    pub digest: Digest,
    /// How the channel came to it, where a channel was asked for.
    pub moved: Option<Moved>,
}

/// The last move of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Its number.
    pub sequence: u64,
    /// Its kind.
    pub kind: &'static str,
    /// When, RFC 3339.
    pub at: String,
    /// By whom.
    pub by: Option<String>,
    /// Why, in words.
    pub reason: Option<String>,
}

impl From<&Record> for Moved {
    fn from(record: &Record) -> Self {
        Self {
            sequence: record.sequence,
            kind: record.kind.as_str(),
            at: record.moved.clone(),
            by: record.by.clone(),
            reason: record.reason.clone(),
        }
    }
}

/// Where the artifacts of a release are.
#[derive(Clone, Copy, Debug)]
enum Origin<'a> {
    Store(&'a ReadStore),
    Packed(&'a Desired),
}

/// One release.
#[derive(Debug)]
pub struct Side<'a> {
    origin: Origin<'a>,
    config: &'a Config,
    /// What it is called.
    pub identity: Identity,
    /// What it says.
    pub release: Release,
    prefix: Option<Prefix>,
    /// Everything that the release names.
    pub(super) named: Vec<Named>,
}

/// Why a part of a release is not compared: it is absent or broken. What may pass by itself is an error instead.
pub(super) type Read<T> = Result<Result<T, String>, Error>;

/// An artifact whose manifest was read.
#[derive(Clone, Debug)]
pub(super) struct Found {
    repository: Repository,
    pub digest: Digest,
    pub layer: Descriptor,
}

impl<'a> Side<'a> {
    /// A release that a store serves; `reference` is what was asked for.
    pub fn read(store: &'a ReadStore, config: &'a Config, reference: &str, resolved: Resolved) -> Self {
        let identity = Identity {
            reference: reference.to_owned(),
            version: resolved.release.version.clone(),
            digest: resolved.release_digest,
            moved: resolved.record.as_ref().map(Moved::from),
        };
        Self::of_release(Origin::Store(store), config, identity, resolved.release)
    }

    /// What a channel serves, as it was observed for a plan.
    ///
    /// # Errors
    /// Never for what was observed: its JSON was read before.
    pub fn served(
        store: &'a ReadStore,
        config: &'a Config,
        channel: &str,
        serves: &ChannelState,
    ) -> Result<Self, InvalidRelease> {
        let identity = Identity {
            reference: channel.to_owned(),
            version: serves.version.clone(),
            digest: serves.release.clone(),
            moved: serves.record.as_ref().map(Moved::from),
        };
        Ok(Self::of_release(Origin::Store(store), config, identity, Release::parse(&serves.json)?))
    }

    /// A release that is packed and not published.
    ///
    /// # Errors
    /// When its JSON is no release.
    pub fn of(desired: &'a Desired, config: &'a Config, reference: &str) -> Result<Self, InvalidRelease> {
        let identity = Identity {
            reference: reference.to_owned(),
            version: desired.release.version.clone(),
            digest: desired.release.artifact.digest().clone(),
            moved: None,
        };
        Ok(Self::of_release(Origin::Packed(desired), config, identity, Release::parse(&desired.json)?))
    }

    /// Returns the configuration that the release's repositories are named in.
    pub(super) fn config(&self) -> &'a Config {
        self.config
    }

    fn of_release(origin: Origin<'a>, config: &'a Config, identity: Identity, release: Release) -> Self {
        let prefix = release.prefix_or_configured(config).ok();
        let named = prefix.as_ref().map(|prefix| release.named(prefix, config)).unwrap_or_default();
        Self { origin, config, identity, release, prefix, named }
    }

    /// Returns `HOST/PATH` of a repository, as the release is read.
    pub(super) fn name_of(&self, repository: &AnyRepository) -> Option<String> {
        Some(repository.name(self.prefix.as_ref()?))
    }

    /// Reads the manifest of a chart.
    pub(super) async fn chart(&self, name: &str) -> Read<Found> {
        self.part(NamedKind::Chart, Some(name), |layer| layer.media_type == LAYER_MEDIA_TYPE).await
    }

    /// Reads the manifest of the config bundle.
    pub(super) async fn bundle(&self) -> Read<Found> {
        self.part(NamedKind::Bundle, None, |_| true).await
    }

    /// Reads the manifest of one of the artifacts that the release names.
    async fn part(&self, kind: NamedKind, name: Option<&str>, is: impl Fn(&Descriptor) -> bool) -> Read<Found> {
        let is_it = |named: &Named| named.kind == kind && name.is_none_or(|name| named.name == name);
        match self.named.iter().find(|named| is_it(named)).map(|named| &named.target) {
            Some(Target::At { repository: AnyRepository::Own(repository), selector }) => {
                self.find(repository, selector, is).await
            }
            Some(Target::At { repository, .. }) => Ok(Err(format!("{repository} is in another registry"))),
            Some(Target::Unplaced(reason) | Target::Invalid(reason)) => Ok(Err(reason.clone())),
            None => Ok(Err("the release does not name it".to_owned())),
        }
    }

    async fn find(
        &self,
        repository: &Repository,
        selector: &Selector,
        is: impl Fn(&Descriptor) -> bool,
    ) -> Read<Found> {
        let (descriptor, bytes) = match self.origin {
            Origin::Store(store) => match said(store.manifest(repository, selector).await)? {
                Ok(read) => read,
                Err(reason) => return Ok(Err(reason)),
            },
            Origin::Packed(desired) => match desired.all().find(|artifact| artifact.repository == *repository) {
                Some(packed) => (packed.artifact.descriptor().clone(), packed.artifact.manifest().bytes().clone()),
                None => return Ok(Err(format!("{repository} is not packed"))),
            },
        };
        let digest = descriptor.digest;
        let manifest = match Manifest::parse(&descriptor.media_type, &bytes) {
            Ok(manifest) => manifest,
            Err(cause) => return Ok(Err(format!("invalid image manifest {repository}@{digest}: {cause}"))),
        };
        let layer = manifest.layers.into_iter().find(is);
        let reason = || format!("the manifest {repository}@{digest} names no archive");
        Ok(layer.ok_or_else(reason).map(|layer| Found { repository: repository.clone(), digest, layer }))
    }

    /// The archive of what was found.
    pub(super) async fn archive(&self, found: &Found) -> Read<Bytes> {
        match self.origin {
            Origin::Store(store) => said(store.fetch_verified(&found.repository, &found.layer, ARCHIVE_LIMIT).await),
            Origin::Packed(desired) => {
                let mut blobs = desired.all().flat_map(|artifact| artifact.artifact.blobs());
                let blob = blobs.find(|blob| blob.descriptor().digest == found.layer.digest);
                Ok(blob.map(|blob| blob.bytes().clone()).ok_or_else(|| format!("{} is not packed", found.layer.digest)))
            }
        }
    }
}

/// Unpacks an archive; `below` drops the directory that Helm puts around a chart.
pub(super) fn unpack(archive: &[u8], below: bool) -> Result<Files, String> {
    let files = archive::read(archive, LIMITS).map_err(|refused| refused.to_string())?;
    let name = |path: String| match path.split_once('/') {
        Some((_, rest)) if below => rest.to_owned(),
        _ => path.strip_prefix("./").map_or(path.clone(), ToOwned::to_owned),
    };
    Ok(files.into_iter().map(|(path, bytes)| (name(path), bytes)).collect())
}

/// What is absent or broken is said; what may pass by itself, or is wrong with the store as a whole, fails.
fn said<T>(result: Result<T, Error>) -> Read<T> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Untrusted | Kind::Io) => Err(error),
        Err(error) => Ok(Err(error.to_string())),
    }
}

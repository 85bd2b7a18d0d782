//! An opened release: its JSON, and its charts and bundle, which are read when they are needed. A release in a store and a
//! packed release that is not published yet are read in the same way.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::bundle::Bundle;
use super::{ReadOnce, Unread};
use crate::archive::{self, Limits};
use crate::chart::LAYER_MEDIA_TYPE;
use crate::config::Config;
use crate::oci::{AnyRepository, Artifact, Descriptor, Digest, Error, Kind, Manifest, Prefix, Repository, Selector};
use crate::overlay;
use crate::release::{Named, NamedKind, Release, Target};

/// Size of the largest archive that is fetched, in bytes.
const ARCHIVE_LIMIT: u64 = 100 << 20;
/// Size limits for one unpacked chart, in bytes.
const CHART_LIMITS: Limits = Limits { total: 256 << 20, file: 64 << 20 };

/// The place of a release's artifacts.
#[derive(Clone, Debug)]
enum Origin<'a> {
    Store(ReadOnce<'a>),
    Packed(Vec<(&'a Repository, &'a Artifact)>),
}

/// A release with access to its artifacts.
#[derive(Debug)]
pub struct Opened<'a> {
    origin: Origin<'a>,
    config: Config,
    /// The release manifest, parsed.
    pub release: Release,
    prefix: Option<Prefix>,
    /// All artifacts that the release names.
    pub named: Vec<Named>,
}

/// A part of a release, or the reason why the part is missing or invalid. A transient error, or an error of the store as a
/// whole, is an [`Error`].
pub(crate) type Fetched<T> = Result<Result<T, String>, Error>;

/// An artifact whose manifest was read.
#[derive(Clone, Debug)]
pub struct Found {
    repository: Repository,
    /// Digest of the manifest.
    pub digest: Digest,
    /// The archive of the chart or bundle.
    pub layer: Descriptor,
}

impl<'a> Opened<'a> {
    /// Opens a release that a store serves.
    pub(crate) fn in_store(store: impl Into<ReadOnce<'a>>, config: &Config, release: Release) -> Self {
        Self::of(Origin::Store(store.into()), config, release)
    }

    /// Opens a packed release from its artifacts and the repositories that they are pushed to.
    pub fn packed(
        artifacts: impl IntoIterator<Item = (&'a Repository, &'a Artifact)>,
        config: &Config,
        release: Release,
    ) -> Self {
        Self::of(Origin::Packed(artifacts.into_iter().collect()), config, release)
    }

    fn of(origin: Origin<'a>, config: &Config, release: Release) -> Self {
        // A configuration that disagrees with the release was refused when the release was resolved.
        let config = release.described(config).map_or_else(|_| config.clone(), |described| described.config);
        let prefix = release.prefix_or_configured(&config).ok();
        let named = prefix.as_ref().map(|prefix| release.named(prefix, &config)).unwrap_or_default();
        Self { origin, config, release, prefix, named }
    }

    /// Returns the configuration with the repositories that the release names.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns `HOST/PATH` of a repository under the release's prefix.
    pub fn name_of(&self, repository: &AnyRepository) -> Option<String> {
        Some(repository.name(self.prefix.as_ref()?))
    }

    /// Reads the manifest of a chart.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn chart(&self, name: &str) -> Fetched<Found> {
        self.part(NamedKind::Chart, Some(name), |layer| layer.media_type == LAYER_MEDIA_TYPE).await
    }

    /// Reads the manifest of the config bundle.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn bundle(&self) -> Fetched<Found> {
        self.part(NamedKind::Bundle, None, |_| true).await
    }

    /// Reads the manifest of one of the artifacts that the release names.
    async fn part(&self, kind: NamedKind, name: Option<&str>, is: impl Fn(&Descriptor) -> bool) -> Fetched<Found> {
        let is_it = |named: &Named| named.kind == kind && name.is_none_or(|name| named.name == name);
        match self.named.iter().find(|named| is_it(named)).map(|named| &named.target) {
            Some(Target::At { repository: AnyRepository::Own(repository), selector }) => {
                self.find(repository, selector, is).await
            }
            Some(Target::At { repository, .. }) => Ok(Err(format!("{repository} is in another registry"))),
            Some(Target::Unplaced(reason) | Target::Invalid(reason)) => Ok(Err(reason.clone())),
            None => Ok(Err("the release does not name this artifact".to_owned())),
        }
    }

    async fn find(
        &self,
        repository: &Repository,
        selector: &Selector,
        is: impl Fn(&Descriptor) -> bool,
    ) -> Fetched<Found> {
        let (descriptor, bytes) = match &self.origin {
            Origin::Store(store) => match absent(store.manifest(repository, selector).await)? {
                Ok(read) => read,
                Err(reason) => return Ok(Err(reason)),
            },
            Origin::Packed(artifacts) => match artifacts.iter().find(|(of, _)| *of == repository) {
                Some((_, artifact)) => (artifact.descriptor().clone(), artifact.manifest().bytes().clone()),
                None => return Ok(Err(format!("{repository} is not packed"))),
            },
        };
        let digest = descriptor.digest;
        let manifest = match Manifest::parse(&descriptor.media_type, &bytes) {
            Ok(manifest) => manifest,
            Err(cause) => return Ok(Err(format!("invalid image manifest {repository}@{digest}: {cause}"))),
        };
        let layer = manifest.layers.into_iter().find(is);
        let reason = || format!("missing archive in the manifest {repository}@{digest}: no layer holds one");
        Ok(layer.ok_or_else(reason).map(|layer| Found { repository: repository.clone(), digest, layer }))
    }

    /// Reads the archive of a chart or bundle.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn archive(&self, found: &Found) -> Fetched<Bytes> {
        match &self.origin {
            Origin::Store(store) => absent(store.fetch(&found.repository, &found.layer, ARCHIVE_LIMIT).await),
            Origin::Packed(artifacts) => {
                let mut blobs = artifacts.iter().flat_map(|(_, artifact)| artifact.blobs());
                let blob = blobs.find(|blob| blob.descriptor().digest == found.layer.digest);
                Ok(blob
                    .and_then(|blob| blob.bytes().cloned())
                    .ok_or_else(|| format!("{} is not packed", found.layer.digest)))
            }
        }
    }

    /// Reads the archive of the bundle and unpacks it.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn files(&self, bundle: &Found) -> Fetched<Bundle> {
        let archive = self.archive(bundle).await?;
        let files = archive.and_then(|archive| overlay::unpack(&archive).map_err(|refused| refused.to_string()));
        Ok(files.map(Bundle::open))
    }
}

/// Unpacks a chart's archive. Paths are relative to the directory that Helm puts around the files.
///
/// # Errors
/// When the archive is invalid, or unpacks to more than the limit.
pub(crate) fn unpack_chart(archive: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let files = archive::read(archive, CHART_LIMITS).map_err(|refused| refused.to_string())?;
    let name = |path: String| path.split_once('/').map_or(path.clone(), |(_, rest)| rest.to_owned());
    Ok(files.into_iter().map(|(path, bytes)| (name(path), bytes)).collect())
}

/// Separates missing or invalid content from transient errors.
fn absent<T>(result: Result<T, Unread>) -> Fetched<T> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Unread::Store(error)) if error.kind().is_of_server() || error.kind() == Kind::Io => Err(error),
        Err(unread) => Ok(Err(unread.to_string())),
    }
}

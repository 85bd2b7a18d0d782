//! Copies a whole release from one store to another. The manifests give every digest. Blobs are read while they are
//! stored.

mod cost;
mod read;
mod relocate;

pub use cost::{Cost, cost};
pub(crate) use read::attached;
pub use read::{CopyError, CopyExtent, Left, Piece, Whole, read};
pub use relocate::{Origin, Relocated, relocate};

use std::collections::BTreeMap;

use super::desired::{ArtifactKind, Desired, DesiredArtifact, DesiredRelease};
use crate::config::Config;
use crate::oci::{AnyRepository, Artifact, InvalidReference, Prefix, Relocation, Repository, Tag};

/// Repository below which a registry keeps the images of other registries.
const EXTERNAL: &str = "external";

/// Where the target store keeps the artifacts of a release.
#[derive(Clone, Debug)]
pub enum Keeps<'a> {
    /// A registry keeps everything below the release's prefix. Images of other registries stay in their registries.
    Own,
    /// A directory or an archive also keeps the images of other registries, under their full names.
    All,
    /// A registry with another prefix keeps the images of other registries below [`EXTERNAL`].
    Relocated(&'a Prefix),
}

impl Keeps<'_> {
    /// Returns the repository of an artifact in the target; `None` when the artifact is not copied.
    ///
    /// # Errors
    /// Returns an error when the name of the image's registry is not valid in a repository.
    pub fn repository(&self, home: &AnyRepository) -> Result<Option<Repository>, InvalidReference> {
        match (home, self) {
            (AnyRepository::Own(repository), _) => Ok(Some(repository.clone())),
            (AnyRepository::External { .. }, Self::Own) => Ok(None),
            (AnyRepository::External { registry, repository }, Self::All) => {
                Ok(Some(Repository::kept(registry, repository)))
            }
            (AnyRepository::External { registry, repository }, Self::Relocated(_)) => {
                let below: Repository = EXTERNAL.parse()?;
                let host = registry.host().replace(':', "_");
                below.join(&host)?.join(&registry.full_path(repository)).map(Some)
            }
        }
    }
}

/// Returns the repositories that have another name in a registry below `to`.
///
/// # Errors
/// Returns an error when a name is not valid in that registry.
pub fn relocation(whole: &Whole, from: &Prefix, to: &Prefix, config: &Config) -> Result<Relocation, InvalidReference> {
    let keeps = Keeps::Relocated(to);
    let mut names = BTreeMap::new();
    let charts = &config.repositories.charts;
    let parents =
        [charts, &config.repositories.release].map(|repository| (from.name_of(repository), to.name_of(repository)));
    names.extend(parents);
    for piece in &whole.pieces {
        if let Some(repository) = keeps.repository(&piece.home)? {
            names.insert(piece.home.name(from), to.name_of(&repository));
        }
    }
    Relocation::new(&names, from.clone(), to.clone())
}

/// Returns the desired state of the target: the artifacts of `whole` as `keeps` says, below `prefix`, and the release
/// with `json`.
///
/// # Errors
/// Returns an error when a version or a name is not valid in the target.
pub(crate) fn desired(
    whole: &Whole,
    release: &Artifact,
    json: Vec<u8>,
    (keeps, prefix): (&Keeps<'_>, &Prefix),
    config: &Config,
) -> Result<Desired, InvalidReference> {
    let mut artifacts: Vec<DesiredArtifact> = Vec::new();
    for piece in &whole.pieces {
        let Some(repository) = keeps.repository(&piece.home)? else { continue };
        let desired = DesiredArtifact {
            kind: piece.kind,
            name: piece.name.clone(),
            version: piece.version.clone(),
            repository,
            tag: piece.tag.clone(),
            artifact: piece.artifact.clone(),
        };
        let same = |other: &DesiredArtifact| other.repository == desired.repository && other.tag == desired.tag;
        if !artifacts.iter().any(|other| same(other) && other.artifact == desired.artifact) {
            artifacts.push(desired);
        }
    }
    let repository = config.repositories.release.clone();
    let tag = Tag::of_version(&whole.version)?;
    let written = DesiredArtifact {
        kind: ArtifactKind::Release,
        name: repository.name().to_owned(),
        version: whole.version.clone(),
        repository: repository.clone(),
        tag,
        artifact: release.clone(),
    };
    let (version, digest) = (whole.version.clone(), release.digest().clone());
    let release = DesiredRelease { repository, version, digest, json, written: Some(written) };
    let (attached, named, unread) = (Vec::new(), Vec::new(), Vec::new());
    Ok(Desired { prefix: prefix.clone(), artifacts, release, attached, named, unread, platform: None })
}

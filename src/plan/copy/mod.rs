//! A whole release out of one store, as another one shall hold it. Every digest is known from the manifests; blobs are read when
//! they are stored.

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

/// Below which repository a registry keeps the images of other registries.
const EXTERNAL: &str = "external";

/// Where pieces of a release go.
#[derive(Clone, Debug)]
pub enum Keeps<'a> {
    /// A registry: what lies below the release's prefix. Images of other registries stay there.
    Own,
    /// A directory or an archive: images of other registries, too, by their names.
    All,
    /// A registry below another prefix: images of other registries lie below [`EXTERNAL`] there.
    Relocated(&'a Prefix),
}

impl Keeps<'_> {
    /// The repository of a piece there; nothing when it stays where it is.
    ///
    /// # Errors
    /// When the name of its registry makes no repository.
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

/// Which repositories have other names in a registry below `to`.
///
/// # Errors
/// When a name is not valid there.
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

/// Returns what a store is to hold of `whole`: its pieces where `keeps` says, below `prefix`, and the release with `json`.
///
/// # Errors
/// When a version or name is none that the store can have.
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

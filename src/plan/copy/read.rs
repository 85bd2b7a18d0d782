//! Reading a release with everything that it names, and what hangs on that.

use futures_util::future::{try_join, try_join_all};

use super::super::desired::ArtifactKind;
use crate::config::Config;
use crate::contents::Stores;
use crate::image::Platform;
use crate::oci::{
    self, AnyRepository, Artifact, Attached, Descriptor, Digest, InvalidReference, Prefix, ReadStore, Repository,
    Selector, Tag, optional,
};
use crate::release::{Named, NamedKind, Resolved, TAG_ALONE, Target};

/// What of a release is copied.
#[derive(Clone, Copy, Debug)]
pub struct CopyExtent<'a> {
    /// With the images?
    pub images: bool,
    /// Of an image for several platforms this one alone.
    pub platform: Option<&'a Platform>,
    /// With what lies in other registries?
    pub external: bool,
}

/// Something that a release names, to be copied.
#[derive(Clone, Debug)]
pub struct Piece {
    /// What it is.
    pub kind: ArtifactKind,
    /// Name for people.
    pub name: String,
    /// Its version, or an image's tag.
    pub version: String,
    /// The tag that keeps it.
    pub tag: Tag,
    /// Repository that it is read from, relative to the release's prefix.
    pub home: AnyRepository,
    /// The manifest and everything that it names.
    pub artifact: Artifact,
    /// What refers to it.
    pub attached: Attached,
}

/// Something that a release names, and that is not copied.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Left {
    /// What it is.
    pub kind: NamedKind,
    /// Its name or key in the release.
    pub name: String,
    /// `HOST/PATH` with its tag or digest.
    pub reference: String,
    /// Why.
    pub reason: String,
}

/// A release with everything that it names.
#[derive(Clone, Debug)]
pub struct Whole {
    /// Its version.
    pub version: String,
    /// The release manifest.
    pub release: Artifact,
    /// What refers to it.
    pub attached: Attached,
    /// Charts, bundle, images, control plane, further images.
    pub pieces: Vec<Piece>,
    /// What is not copied.
    pub left: Vec<Left>,
}

/// A release that cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Not all of it is there.
    #[error("the release {version} is not complete: {} of what it names cannot be had", failed.len())]
    Incomplete {
        /// Of the release.
        version: String,
        /// `KIND NAME REFERENCE: REASON`.
        failed: Vec<String>,
    },
    /// Its version is none that a store can have.
    #[error("the release cannot be copied: {0}")]
    Version(#[from] InvalidReference),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] oci::Error),
}

/// Reads the manifests of everything, all at once, and what refers to them. `release` is the digest of the release itself.
///
/// # Errors
/// See [`CopyError`]; everything that is missing is named at once.
pub async fn read(
    resolved: &Resolved,
    release: &Digest,
    prefix: &Prefix,
    config: &Config,
    stores: &Stores<'_>,
    extent: CopyExtent<'_>,
) -> Result<Whole, CopyError> {
    let named = resolved.release.named(prefix, config);
    let version = &resolved.release.version;
    let tag = resolved.release.tag()?;
    let reading = Reading { tag: &tag, stores, extent };
    let of_release = async {
        let store = stores.own.reader.store;
        let repository = &config.repositories.release;
        let artifact = store.artifact(repository, &Selector::Digest(release.clone()), &|_| true).await?;
        let attached = attached(store, repository, &artifact).await?;
        Ok((artifact, attached))
    };
    let pieces = try_join_all(named.iter().map(|named| reading.one(named)));
    let ((release, attached), found) = try_join(of_release, pieces).await?;
    let (mut pieces, mut left, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for found in found {
        match found {
            Found::Piece(piece) => pieces.push(*piece),
            Found::Left(why) => left.push(why),
            Found::Failed(line) => failed.push(line),
        }
    }
    if failed.is_empty() {
        return Ok(Whole { version: version.clone(), release, attached, pieces, left });
    }
    Err(CopyError::Incomplete { version: version.clone(), failed })
}

/// What hangs on an artifact. The tags of a repository are listed for it; where they cannot be, those that would hang on it are
/// asked for by their names.
///
/// # Errors
/// When the store fails.
pub(crate) async fn attached(
    store: &ReadStore,
    repository: &Repository,
    artifact: &Artifact,
) -> Result<Attached, oci::Error> {
    let tags = match store.tags_with_prefix(repository, oci::ATTACHED_PREFIX).await {
        Ok(tags) => tags,
        Err(error) if may_pass(&error) => return Err(error),
        Err(_) => {
            let names = oci::attached_tags(artifact);
            let looks = names.iter().map(|tag| async { optional(store.resolve(repository, tag).await) });
            let found = try_join_all(looks).await?;
            names.iter().zip(found).filter_map(|(tag, digest)| digest.map(|_| tag.clone())).collect()
        }
    };
    store.attached(repository, artifact, &tags).await
}

/// What became of one thing that the release names.
enum Found {
    Piece(Box<Piece>),
    Left(Left),
    Failed(String),
}

struct Reading<'a> {
    /// Of the release.
    tag: &'a Tag,
    stores: &'a Stores<'a>,
    extent: CopyExtent<'a>,
}

impl Reading<'_> {
    async fn one(&self, named: &Named) -> Result<Found, oci::Error> {
        if named.kind.is_image() && !self.extent.images {
            return Ok(left(named, "it was asked to leave the images"));
        }
        match &named.target {
            Target::Invalid(reason) => Ok(failed(named, reason)),
            Target::Unplaced(reason) => Ok(left(named, reason)),
            Target::At { repository: AnyRepository::Own(repository), selector: Selector::Tag(tag) }
                if named.kind.is_image() =>
            {
                self.by_tag(named, repository, tag).await
            }
            Target::At { repository: AnyRepository::External { .. }, selector: Selector::Tag(_) } => {
                Ok(left(named, TAG_ALONE))
            }
            Target::At { repository: home @ AnyRepository::Own(repository), selector } => {
                self.read(named, home, self.stores.own.reader.store, repository, selector).await
            }
            Target::At { repository: home @ AnyRepository::External { registry, repository }, selector } => {
                if !self.extent.external {
                    let reason = "it is in another registry, and a registry keeps its own alone: --rewrite-prefix takes it along";
                    return Ok(left(named, reason));
                }
                if let Some(kept) = self.stores.own.reader.store.external(registry)?
                    && optional(kept.manifest(repository, selector).await)?.is_some()
                {
                    return self.read(named, home, &kept, repository, selector).await;
                }
                match self.stores.external.get(&registry.name_of(repository)) {
                    Some(external) => self.read(named, home, &external.store, repository, selector).await,
                    None => {
                        Ok(left(named, "it is in another registry, which is not asked, and the store does not keep it"))
                    }
                }
            }
        }
    }

    /// Reads an image of which the release says the tag alone, if the store has it.
    async fn by_tag(&self, named: &Named, repository: &Repository, tag: &Tag) -> Result<Found, oci::Error> {
        let store = self.stores.own.reader.store;
        match optional(store.resolve(repository, tag).await)? {
            None => Ok(left(named, &format!("{TAG_ALONE}, and {repository}:{tag} is not there"))),
            Some(digest) => {
                let home = AnyRepository::Own(repository.clone());
                self.read(named, &home, store, repository, &Selector::Digest(digest)).await
            }
        }
    }

    async fn read(
        &self,
        named: &Named,
        home: &AnyRepository,
        store: &ReadStore,
        repository: &Repository,
        selector: &Selector,
    ) -> Result<Found, oci::Error> {
        let platform = self.extent.platform.filter(|_| named.kind.is_image());
        let keep = |child: &Descriptor| platform.is_none_or(|wanted| Platform::of(child).fits(wanted));
        let artifact = match store.artifact(repository, selector, &keep).await {
            Ok(artifact) => artifact,
            Err(error) if may_pass(&error) => return Err(error),
            Err(error) => return Ok(failed(named, &error.to_string())),
        };
        if let (Some(platform), true, true) =
            (platform, oci::media_type::is_index(&artifact.descriptor().media_type), artifact.manifests().is_empty())
        {
            return Ok(failed(named, &format!("it has no image for {platform}")));
        }
        let attached = attached(store, repository, &artifact).await?;
        // A registry collects what has no tag: the release's own serves where the release says none.
        let tag = named.tag.as_ref().unwrap_or(self.tag).clone();
        let version = named.version.clone().unwrap_or_else(|| tag.to_string());
        let kind = match named.kind {
            NamedKind::Chart => ArtifactKind::Chart,
            NamedKind::Bundle => ArtifactKind::Bundle,
            _ => ArtifactKind::Image,
        };
        let (name, home) = (named.name.clone(), home.clone());
        Ok(Found::Piece(Box::new(Piece { kind, name, version, tag, home, artifact, attached })))
    }
}

/// A store that may answer later has not answered.
fn may_pass(error: &oci::Error) -> bool {
    matches!(error.kind(), oci::Kind::Unavailable | oci::Kind::Untrusted | oci::Kind::Io)
}

fn left(named: &Named, reason: &str) -> Found {
    let (name, reference) = (named.name.clone(), named.reference.clone());
    Found::Left(Left { kind: named.kind, name, reference, reason: reason.to_owned() })
}

fn failed(named: &Named, reason: &str) -> Found {
    Found::Failed(format!("{} {} {}: {reason}", named.kind.as_str(), named.name, named.reference))
}

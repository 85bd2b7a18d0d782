//! Reads a release, everything that it names, and the referrers of these artifacts.

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

/// The part of a release that is copied.
#[derive(Clone, Copy, Debug)]
pub struct CopyExtent<'a> {
    /// Whether images are copied.
    pub images: bool,
    /// Platform that is copied from images for several platforms; all platforms when absent.
    pub platform: Option<&'a Platform>,
    /// Whether images in other registries are copied.
    pub external: bool,
}

/// An artifact that a release names and that is copied.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Role of the artifact in the release.
    pub kind: ArtifactKind,
    /// Name of the artifact for messages.
    pub name: String,
    /// Version of the artifact, or tag of the image.
    pub version: String,
    /// Tag that protects the artifact from the registry's garbage collection.
    pub tag: Tag,
    /// Repository of the artifact in the source, relative to the release's prefix.
    pub home: AnyRepository,
    /// The manifest and everything that it names.
    pub artifact: Artifact,
    /// Referrers of the artifact: signatures, SBOMs.
    pub attached: Attached,
}

/// An artifact that a release names and that is not copied.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Left {
    /// Role of the artifact in the release.
    pub kind: NamedKind,
    /// Name of the artifact, or key of the image, in the release.
    pub name: String,
    /// `HOST/PATH` with a tag or digest.
    pub reference: String,
    /// Reason why the artifact is not copied.
    pub reason: String,
}

/// A release with everything that it names.
#[derive(Clone, Debug)]
pub struct Whole {
    /// Version of the release.
    pub version: String,
    /// Manifest of the release with its JSON.
    pub release: Artifact,
    /// Referrers of the release manifest.
    pub attached: Attached,
    /// Charts, bundle, images, control-plane image and extra images.
    pub pieces: Vec<Piece>,
    /// Artifacts that are not copied.
    pub left: Vec<Left>,
}

/// An error that prevents the copy of a release.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Artifacts that the release names are missing or unreadable.
    #[error("the release {version} is not complete: cannot read {} of the artifacts that it names", failed.len())]
    Incomplete {
        /// Version of the release.
        version: String,
        /// One line `KIND NAME REFERENCE: REASON` for each artifact.
        failed: Vec<String>,
    },
    /// The version or a name is not valid in a store.
    #[error("cannot copy the release: {0}")]
    Version(#[from] InvalidReference),
    /// The source or the target store failed.
    #[error(transparent)]
    Store(#[from] oci::Error),
}

/// Reads the manifests of everything that the release names, concurrently, and their referrers. `release` is the digest
/// of the release manifest.
///
/// # Errors
/// See [`CopyError`]. The error names everything that is missing.
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

/// Returns the referrers of an artifact. Their tags come from the repository's list of tags. If the tags cannot be
/// listed, the possible tags are requested by name.
///
/// # Errors
/// Returns an error when the store fails.
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

/// Result of reading one artifact that the release names.
enum Found {
    Piece(Box<Piece>),
    Left(Left),
    Failed(String),
}

struct Reading<'a> {
    /// Tag of the release.
    tag: &'a Tag,
    stores: &'a Stores<'a>,
    extent: CopyExtent<'a>,
}

impl Reading<'_> {
    async fn one(&self, named: &Named) -> Result<Found, oci::Error> {
        if named.kind.is_image() && !self.extent.images {
            return Ok(left(named, "the copy excludes images (`--without-images`)"));
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
                    let reason = "the image is in another registry, and a registry keeps only its own images: `--rewrite-prefix` copies it";
                    return Ok(left(named, reason));
                }
                if let Some(kept) = self.stores.own.reader.store.external(registry)?
                    && optional(kept.manifest(repository, selector).await)?.is_some()
                {
                    return self.read(named, home, &kept, repository, selector).await;
                }
                match self.stores.external.get(&registry.name_of(repository)) {
                    Some(external) => self.read(named, home, &external.store, repository, selector).await,
                    None => Ok(left(
                        named,
                        "the image is in another registry, which was not asked, and the store does not keep a copy",
                    )),
                }
            }
        }
    }

    /// Reads an image that the release names by tag only, if the store has it.
    async fn by_tag(&self, named: &Named, repository: &Repository, tag: &Tag) -> Result<Found, oci::Error> {
        let store = self.stores.own.reader.store;
        match optional(store.resolve(repository, tag).await)? {
            None => Ok(left(named, &format!("{TAG_ALONE}, and the store does not have {repository}:{tag}"))),
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
            return Ok(failed(named, &format!("the image does not support {platform}")));
        }
        let attached = attached(store, repository, &artifact).await?;
        // A registry deletes manifests without a tag. If the release gives no tag, the release's own tag is used.
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

/// Reports whether the error is temporary.
fn may_pass(error: &oci::Error) -> bool {
    error.kind().is_of_server() || error.kind() == oci::Kind::Io
}

fn left(named: &Named, reason: &str) -> Found {
    let (name, reference) = (named.name.clone(), named.reference.clone());
    Found::Left(Left { kind: named.kind, name, reference, reason: reason.to_owned() })
}

fn failed(named: &Named, reason: &str) -> Found {
    Found::Failed(format!("{} {} {}: {reason}", named.kind.as_str(), named.name, named.reference))
}

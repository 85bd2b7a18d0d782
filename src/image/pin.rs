//! Which manifests the images of a release are. These are the only reads whose answers enter what is published.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::Deserialize;

use super::{Platform, stated::stated};
use crate::oci::{self, AnyRepository, Digest, Kind, Pinned, Prefix, ReadStore, Repository, Selector, Tag};

/// What happens when an image is not there, or is for another platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// The release is refused.
    Require,
    /// It is said, and the image stays known by its tag alone.
    Warn,
    /// No image is looked up.
    Off,
}

/// The images to pin.
#[derive(Debug)]
pub struct PinRequest<'a> {
    /// Under which name the appliance reads.
    pub prefix: &'a Prefix,
    /// Key → where it is and under which tag.
    pub images: BTreeMap<String, (AnyRepository, Tag)>,
    /// The control plane: its repository and the tag or digest.
    pub control_plane: Option<(AnyRepository, Selector)>,
    /// On what they have to run.
    pub platform: Platform,
    /// What happens when one is not there, or does not run.
    pub check: Check,
}

/// The images of a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PinnedImages {
    /// Key → tag.
    pub tags: BTreeMap<String, Tag>,
    /// Key → pinned reference, of those that were checked.
    pub digests: BTreeMap<String, Pinned>,
    /// The control plane.
    pub control_plane: Option<Pinned>,
    /// What was not checked, for people.
    pub warnings: Vec<String>,
}

/// An image that the release cannot do without.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not in its repository.
    #[error("the image {reference} ({key}) is missing: {why}")]
    Missing {
        /// Key in the release manifest.
        key: String,
        /// Its reference.
        reference: String,
        /// Where it was looked for.
        why: Unknown,
    },
    /// Its store failed.
    #[error("cannot check the image {reference} ({key})")]
    Store {
        /// Key in the release manifest.
        key: String,
        /// Its reference.
        reference: String,
        /// Why.
        source: oci::Error,
    },
    /// It does not run where it has to.
    #[error("the image {reference} ({key}) is for {found}, not for {wanted}")]
    Platform {
        /// Key in the release manifest.
        key: String,
        /// Its reference.
        reference: String,
        /// For what it is.
        found: String,
        /// For what it should be.
        wanted: String,
    },
    /// The control plane is known by a tag, and no digest is known for it.
    #[error("the control plane {reference} cannot be pinned: it is known by a tag, and {why}")]
    Unpinned {
        /// Its reference.
        reference: String,
        /// Why no digest is known.
        why: Unknown,
    },
}

/// Why the digest under a tag is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The tag is not there.
    NotFound,
    /// The registry does not let the publisher read the tag, in its words.
    Denied(String),
    /// No image is looked up: [`Check::Off`].
    Off,
    /// The store does not keep the image, which is in another registry, and that is not asked.
    NotKept,
    /// The image is in another registry, which is not asked.
    Elsewhere,
}

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotFound => f.write_str("the tag was not found"),
            Self::Denied(cause) => write!(f, "the tag could not be read: {cause}"),
            Self::Off => f.write_str("the tag was not looked up: `--image-check off`"),
            Self::NotKept => f.write_str("the store does not keep it, and the tag was not looked up in its registry"),
            Self::Elsewhere => f.write_str("the tag was not looked up: the image is in another registry"),
        }
    }
}

/// Looks up every image, all at once. Those below the prefix are read in `store`, and others too where it is a directory;
/// else at their own registry, which `external` opens for that repository of it, or not where external images are not looked
/// at.
///
/// # Errors
/// With [`Check::Require`], when an image is absent, is for another platform, or its store fails; always when the control plane cannot be pinned.
pub async fn pin(
    store: &ReadStore,
    request: &PinRequest<'_>,
    external: impl Fn(&Prefix, &Repository) -> Option<ReadStore>,
) -> Result<PinnedImages, Error> {
    let mut pinned = PinnedImages::default();
    let external = &external;
    let looks = request.images.iter().map(|(key, (repository, tag))| async move {
        let selector = Selector::Tag(tag.clone());
        (key, look(store, request, repository, &selector, external).await)
    });
    let control_plane = async {
        match &request.control_plane {
            Some((repository, selector)) => Some(look(store, request, repository, selector, external).await),
            None => None,
        }
    };
    let (images, control_plane) = futures_util::join!(join_all(looks), control_plane);
    pinned.tags = request.images.iter().map(|(key, (_, tag))| (key.clone(), tag.clone())).collect();
    for (key, look) in images {
        if let Some(found) = look.judge(key, request, &mut pinned.warnings)? {
            pinned.digests.insert(key.clone(), found);
        }
    }
    if let (Some(look), Some((_, selector))) = (control_plane, &request.control_plane) {
        let given = match selector {
            Selector::Digest(digest) => Some(Pinned { repository: look.repository.clone(), digest: digest.clone() }),
            Selector::Tag(_) => None,
        };
        let (reference, why) = (look.reference.clone(), look.unknown(request.check));
        let found = look.judge("controlPlane", request, &mut pinned.warnings)?;
        pinned.control_plane = Some(found.or(given).ok_or(Error::Unpinned { reference, why })?);
    }
    Ok(pinned)
}

/// What looking for one image gave.
struct Look {
    repository: String,
    reference: String,
    answer: Option<Result<Found, oci::Error>>,
    /// Whether a directory was read that keeps images of other registries, and not the image's own registry.
    kept: bool,
}

/// An image that is there.
struct Found {
    digest: Digest,
    platforms: Result<Vec<Platform>, oci::Error>,
}

impl Look {
    /// Returns why no digest is known where none is.
    fn unknown(&self, check: Check) -> Unknown {
        match &self.answer {
            Some(Err(error)) if !error.is_not_found() => Unknown::Denied(error.to_string()),
            Some(_) if self.kept => Unknown::NotKept,
            Some(_) => Unknown::NotFound,
            None if check == Check::Off => Unknown::Off,
            None => Unknown::Elsewhere,
        }
    }

    fn judge(self, key: &str, request: &PinRequest<'_>, warnings: &mut Vec<String>) -> Result<Option<Pinned>, Error> {
        let unknown = self.unknown(request.check);
        let Self { repository, reference, answer, .. } = self;
        let key = key.to_owned();
        match (answer, request.check) {
            (Some(Ok(Found { digest, platforms })), check) => {
                match (unfit(platforms, key, reference, &request.platform), check) {
                    (Some(error @ Error::Platform { .. }), Check::Warn) => warnings.push(error.to_string()),
                    (Some(Error::Store { key, reference, source }), Check::Warn) if lasts(&source) => {
                        warnings.push(format!("image {reference} ({key}): its platform is not known: {source}"));
                    }
                    (Some(error), _) => return Err(error),
                    (None, _) => {}
                }
                return Ok(Some(Pinned { repository, digest }));
            }
            (None, Check::Off) => {}
            (Some(Err(error)), Check::Require) if error.is_not_found() => {
                return Err(Error::Missing { key, reference, why: unknown });
            }
            (Some(Err(source)), Check::Require) => return Err(Error::Store { key, reference, source }),
            // What passes by itself must not decide what a release says.
            (Some(Err(source)), Check::Warn) if !lasts(&source) => {
                return Err(Error::Store { key, reference, source });
            }
            (None | Some(Err(_)), _) => warnings.push(known_by_tag(&reference, &key, &unknown)),
        }
        Ok(None)
    }
}

/// Says that the release names an image by its tag, and why.
fn known_by_tag(reference: &str, key: &str, why: &Unknown) -> String {
    format!("the release names the image {reference} ({key}) by its tag alone: {why}")
}

/// Will it be the same tomorrow?
fn lasts(error: &oci::Error) -> bool {
    matches!(error.kind(), Kind::NotFound | Kind::Denied)
}

/// What is wrong with an image that is there. One that says nothing of a platform is for any.
fn unfit(
    platforms: Result<Vec<Platform>, oci::Error>,
    key: String,
    reference: String,
    wanted: &Platform,
) -> Option<Error> {
    let platforms = match platforms {
        Ok(platforms) => platforms,
        Err(source) => return Some(Error::Store { key, reference, source }),
    };
    if platforms.is_empty() || platforms.iter().any(|platform| platform.fits(wanted)) {
        return None;
    }
    let found: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    Some(Error::Platform { key, reference, found: found.join(", "), wanted: wanted.to_string() })
}

async fn look(
    store: &ReadStore,
    request: &PinRequest<'_>,
    repository: &AnyRepository,
    selector: &Selector,
    external: &impl Fn(&Prefix, &Repository) -> Option<ReadStore>,
) -> Look {
    let separator = if matches!(selector, Selector::Tag(_)) { ':' } else { '@' };
    let name = repository.name(request.prefix);
    let reference = format!("{name}{separator}{selector}");
    let (answer, kept) = match repository {
        _ if request.check == Check::Off => (None, false),
        AnyRepository::Own(repository) => (Some(read(store, repository, selector).await), false),
        AnyRepository::External { registry, repository } => match store.external(registry) {
            Ok(Some(kept)) => (Some(read(&kept, repository, selector).await), true),
            Ok(None) => match external(registry, repository) {
                Some(store) => (Some(read(&store, repository, selector).await), false),
                None => (None, false),
            },
            Err(error) => (Some(Err(error)), true),
        },
    };
    Look { repository: name, reference, answer, kept }
}

async fn read(store: &ReadStore, repository: &Repository, selector: &Selector) -> Result<Found, oci::Error> {
    let (manifest, bytes) = store.manifest(repository, selector).await?;
    let platforms = stated(store, repository, &manifest, &bytes).await;
    Ok(Found { digest: manifest.digest, platforms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{Artifact, Content, Location, Options, Store};

    fn external(name: &str, tag: &str) -> (AnyRepository, Tag) {
        (name.parse().expect("a repository"), tag.parse().expect("a tag"))
    }

    fn layout(directory: &std::path::Path) -> Store {
        Store::open(&Location::Layout(directory.to_owned()), Options::default()).expect("a store")
    }

    async fn pins(directory: &std::path::Path, name: &str, check: Check) -> Result<PinnedImages, Error> {
        let prefix = Prefix::parse("ghcr.io/nine-minds", false).expect("a prefix");
        let images = [("redis".to_owned(), external(name, "7"))].into();
        let platform = "linux/amd64".parse().expect("a platform");
        let request = PinRequest { prefix: &prefix, images, control_plane: Some(plane()), platform, check };
        pin(layout(directory).read(), &request, |_, _| panic!("nobody asks another registry")).await
    }

    fn plane() -> (AnyRepository, Selector) {
        let (repository, tag) = external("localhost:5000/team/plane", "1");
        (repository, Selector::Tag(tag))
    }

    #[tokio::test]
    async fn a_layout_keeps_images_of_other_registries_below_external() {
        let directory = tempfile::tempdir().expect("a directory");
        let image = Artifact::pack(None, Content::new("application/json", "{}"), Vec::new(), BTreeMap::new());
        for (below, repository, tag) in
            [("_external/docker.io", "library/redis", "7"), ("_external/localhost_5000", "team/plane", "1")]
        {
            let store = layout(&directory.path().join(below));
            let (repository, tag) = (repository.parse().expect("a repository"), tag.parse().expect("a tag"));
            store.push_blob(&repository, image.config().expect("a config")).await.expect("pushed");
            store.push_manifest(&repository, image.manifest(), Some(&tag)).await.expect("pushed");
        }
        let found = pins(directory.path(), "docker.io/library/redis", Check::Require).await.expect("there");
        let pinned = |name: &str| Pinned { repository: name.to_owned(), digest: image.digest().clone() };
        assert_eq!(found.digests, [("redis".to_owned(), pinned("docker.io/library/redis"))].into());
        assert_eq!(found.control_plane, Some(pinned("localhost:5000/team/plane")));
        assert_eq!(found.warnings, Vec::<String>::new());

        let absent = pins(directory.path(), "docker.io/library/valkey", Check::Require).await.expect_err("absent");
        assert_eq!(
            absent.to_string(),
            "the image docker.io/library/valkey:7 (redis) is missing: the store does not keep it, and the tag was not looked up in its registry"
        );
        let warned = pins(directory.path(), "docker.io/library/valkey", Check::Warn).await.expect("known by its tag");
        let said = "the release names the image docker.io/library/valkey:7 (redis) by its tag alone: \
             the store does not keep it, and the tag was not looked up in its registry";
        assert_eq!((warned.digests.len(), warned.warnings), (0, vec![said.to_owned()]));
    }
}

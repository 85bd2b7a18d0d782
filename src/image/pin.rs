//! Pins the images of a release to digests. These are the only reads from a store whose answers enter a release.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::Deserialize;

use super::{Platform, stated::stated};
use crate::oci::{self, AnyRepository, Digest, Kind, Pinned, Prefix, ReadStore, Repository, Selector, Tag};
use crate::text::counted;

/// What happens when an image does not exist, or is built for another platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// The release is refused.
    Require,
    /// A warning is printed, and the release names the image by tag only.
    Warn,
    /// No image is looked up in a registry.
    Off,
}

/// Key of the control plane in the release manifest.
const CONTROL_PLANE: &str = "controlPlane";

/// The images that [`pin`] looks up.
#[derive(Debug)]
pub struct PinRequest<'a> {
    /// Prefix under which appliances read the artifacts.
    pub prefix: &'a Prefix,
    /// Repository and tag of each image, by the image's key in the release manifest.
    pub images: BTreeMap<String, (AnyRepository, Tag)>,
    /// Repository of the control plane, with its tag or digest.
    pub control_plane: Option<(AnyRepository, Selector)>,
    /// Platform that the images have to run on.
    pub platform: Platform,
    /// What happens when an image does not exist, or is built for another platform.
    pub check: Check,
    /// Whether an image without a digest is an error, as in a signed release.
    pub needs_digests: bool,
}

/// The images of a release after the lookup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PinnedImages {
    /// Tag of each image, by key.
    pub tags: BTreeMap<String, Tag>,
    /// Pinned reference of each image whose digest is known, by key.
    pub digests: BTreeMap<String, Pinned>,
    /// Pinned reference of the control plane.
    pub control_plane: Option<Pinned>,
    /// Warnings about images that could not be checked.
    pub warnings: Vec<String>,
}

impl PinnedImages {
    /// Returns images that were not looked up: their tags alone.
    pub fn tags(tags: &BTreeMap<String, Tag>) -> Self {
        Self { tags: tags.clone(), ..Self::default() }
    }

    /// Returns images that were not looked up, with an example of its own in place of each digest. Checks then see values in the form
    /// in which an appliance writes them.
    pub fn examples(tags: &BTreeMap<String, Tag>) -> Self {
        let example = |key: &String| Pinned { repository: key.to_lowercase(), digest: Digest::of(key.as_bytes()) };
        let digests = tags.keys().map(|key| (key.clone(), example(key))).collect();
        Self { digests, ..Self::tags(tags) }
    }
}

/// An image that cannot be pinned although the release needs its digest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image does not exist in its repository.
    #[error("missing image {reference} ({key}): {why}")]
    Missing {
        /// Key of the image in the release manifest.
        key: String,
        /// Reference of the image, with tag or digest.
        reference: String,
        /// Reason why the image was not found.
        why: Unknown,
    },
    /// The store or registry failed during the lookup.
    #[error("cannot check the image {reference} ({key})")]
    Store {
        /// Key of the image in the release manifest.
        key: String,
        /// Reference of the image, with tag or digest.
        reference: String,
        /// The error of the store.
        source: oci::Error,
    },
    /// The image is built for another platform.
    #[error("wrong platform of the image {reference} ({key}): expected {wanted}, found {found}")]
    Platform {
        /// Key of the image in the release manifest.
        key: String,
        /// Reference of the image, with tag or digest.
        reference: String,
        /// Platforms that the image states, joined by commas.
        found: String,
        /// Platform that the configuration asks for.
        wanted: String,
    },
    /// The digest of an image of a signed release is not known.
    #[error("cannot pin the image {reference} ({key}) by digest: {why}")]
    NoDigest {
        /// Key of the image in the release manifest.
        key: String,
        /// Reference of the image, with its tag.
        reference: String,
        /// Reason why the digest is not known.
        why: Unknown,
    },
    /// The control plane is given by tag, and the digest of that tag is not known.
    #[error("cannot pin the control plane {reference} by digest: {why}")]
    Unpinned {
        /// Reference of the image, with tag or digest.
        reference: String,
        /// Reason why the digest is not known.
        why: Unknown,
    },
}

/// Reason why the digest of a tag is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The tag does not exist.
    NotFound,
    /// The registry refuses to let the publisher read the tag. Holds the registry's error.
    Denied(String),
    /// Images are not looked up, because of [`Check::Off`].
    Off,
    /// The store does not keep the image, and the image's own registry was not asked.
    NotKept,
    /// The image is in another registry, which was not asked.
    Elsewhere,
}

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotFound => f.write_str("the tag was not found"),
            Self::Denied(cause) => write!(f, "the tag could not be read: {cause}"),
            Self::Off => f.write_str("the tag was not looked up because of `--image-check off`"),
            Self::NotKept => {
                f.write_str("the store does not keep the image, and the tag was not looked up in the image's registry")
            }
            Self::Elsewhere => f.write_str("the tag was not looked up because the image is in another registry"),
        }
    }
}

/// Looks up all images concurrently. Images below the prefix are read in `store`, and so are others when `store` is a
/// directory that keeps images of other registries. Other images are read in their own registry, which `external` opens for
/// one repository; `external` returns `None` where external images are not looked up.
///
/// Returns the images that can be pinned, and an error for each one that the release needs and that cannot: with [`Check::Require`], an
/// image that is absent, is for another platform, or whose store fails; with `needs_digests`, each image without a digest; always a
/// control plane without a digest.
pub async fn pin(
    store: &ReadStore,
    request: &PinRequest<'_>,
    external: impl Fn(&Prefix, &Repository) -> Option<ReadStore>,
) -> (PinnedImages, Vec<Error>) {
    let (mut pinned, mut errors) = (PinnedImages::default(), Vec::new());
    let mut by_tag = BTreeMap::new();
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
        match look.judge(key, request, &mut pinned.warnings, &mut by_tag) {
            Ok(Some(found)) => drop(pinned.digests.insert(key.clone(), found)),
            Ok(None) => {}
            Err(error) => errors.push(error),
        }
    }
    if let (Some(look), Some((_, selector))) = (control_plane, &request.control_plane) {
        let given = match selector {
            Selector::Digest(digest) => Some(Pinned { repository: look.repository.clone(), digest: digest.clone() }),
            Selector::Tag(_) => None,
        };
        let (reference, why) = (look.reference.clone(), look.unknown(request.check));
        let found = look.judge(CONTROL_PLANE, request, &mut pinned.warnings, &mut by_tag);
        match found.and_then(|found| found.or(given).ok_or(Error::Unpinned { reference, why })) {
            Ok(found) => pinned.control_plane = Some(found),
            Err(error) => errors.push(error),
        }
    }
    pinned.warnings.extend(by_tag.iter().map(|(why, images)| known_by_tag(why, images)));
    (pinned, errors)
}

/// The result of the lookup of one image.
struct Look {
    repository: String,
    reference: String,
    answer: Option<Result<Found, oci::Error>>,
    /// Whether a directory that keeps images of other registries was read, instead of the image's own registry.
    kept: bool,
}

/// An image that exists in its repository.
struct Found {
    digest: Digest,
    platforms: Result<Vec<Platform>, oci::Error>,
}

impl Look {
    /// Returns the reason to give where the digest is not known.
    fn unknown(&self, check: Check) -> Unknown {
        match &self.answer {
            Some(Err(error)) if !error.is_not_found() => Unknown::Denied(error.to_string()),
            Some(_) if self.kept => Unknown::NotKept,
            Some(_) => Unknown::NotFound,
            None if check == Check::Off => Unknown::Off,
            None => Unknown::Elsewhere,
        }
    }

    /// Returns the pinned image. An image without a digest goes to `by_tag`, below the reason why its digest is not known.
    fn judge(
        self,
        key: &str,
        request: &PinRequest<'_>,
        warnings: &mut Vec<String>,
        by_tag: &mut BTreeMap<String, Vec<String>>,
    ) -> Result<Option<Pinned>, Error> {
        let unknown = self.unknown(request.check);
        let Self { repository, reference, answer, .. } = self;
        let needs_digest = request.needs_digests && key != CONTROL_PLANE;
        let key = key.to_owned();
        match (answer, request.check) {
            (Some(Ok(Found { digest, platforms })), check) => {
                match (unfit(platforms, key, reference, &request.platform), check) {
                    (Some(error @ Error::Platform { .. }), Check::Warn) => warnings.push(error.to_string()),
                    (Some(Error::Store { key, reference, source }), Check::Warn) if lasts(&source) => {
                        warnings.push(format!("cannot check the platform of the image {reference} ({key}): {source}"));
                    }
                    (Some(error), _) => return Err(error),
                    (None, _) => {}
                }
                return Ok(Some(Pinned { repository, digest }));
            }
            (None, Check::Off) if !needs_digest => {}
            (Some(Err(error)), Check::Require) if error.is_not_found() => {
                return Err(Error::Missing { key, reference, why: unknown });
            }
            (Some(Err(source)), Check::Require) => return Err(Error::Store { key, reference, source }),
            // A transient error (time-out, 429, 5xx) must not change the content of a release.
            (Some(Err(source)), Check::Warn) if !lasts(&source) => {
                return Err(Error::Store { key, reference, source });
            }
            (None | Some(Err(_)), _) if needs_digest => {
                return Err(Error::NoDigest { key, reference, why: unknown });
            }
            (None | Some(Err(_)), _) => {
                by_tag.entry(unknown.to_string()).or_default().push(format!("{reference} ({key})"));
            }
        }
        Ok(None)
    }
}

/// Returns the warning about all images that the release names by tag only for the same reason.
fn known_by_tag(why: &str, images: &[String]) -> String {
    let count = counted(images.len(), "image is", "images are");
    format!("{count} known by tag only ({why}): {}", images.join(", "))
}

/// Reports whether an error is permanent, so that a later run gives the same result.
fn lasts(error: &oci::Error) -> bool {
    matches!(error.kind(), Kind::NotFound | Kind::Denied)
}

/// Returns the error when an image does not run on `wanted`. An image that states no platform runs on every platform.
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
        let request =
            PinRequest { prefix: &prefix, images, control_plane: Some(plane()), platform, check, needs_digests: false };
        let (pinned, mut errors) =
            pin(layout(directory).read(), &request, |_, _| panic!("another registry was asked")).await;
        errors.pop().map_or(Ok(pinned), Err)
    }

    fn plane() -> (AnyRepository, Selector) {
        let (repository, tag) = external("localhost:5000/team/plane", "1");
        (repository, Selector::Tag(tag))
    }

    #[tokio::test]
    async fn a_layout_keeps_images_of_other_registries_below_its_external_directory() {
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
            "missing image docker.io/library/valkey:7 (redis): the store does not keep the image, and the tag was not looked up in the image's registry"
        );
        let warned = pins(directory.path(), "docker.io/library/valkey", Check::Warn).await.expect("known by its tag");
        let said = "1 image is known by tag only (the store does not keep the image, and the tag was not looked up in the \
             image's registry): docker.io/library/valkey:7 (redis)";
        assert_eq!((warned.digests.len(), warned.warnings), (0, vec![said.to_owned()]));
    }
}

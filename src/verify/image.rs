//! Checks the images of a release: that they are container images, that all of their blobs exist, and that they run on
//! one platform.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use super::{Aspect, Check, Subject};
use crate::contents::{Reader, Unread};
use crate::image::{Platform, unlike_image};
use crate::oci::{self, Descriptor, Index, Manifest, Parsed, Repository, Selector, media_type};
use crate::release::NamedKind;

/// Limit for the manifests of an index, including those of nested indexes.
const MANIFESTS: usize = 200;
/// Limit for the blobs of an image that are checked. A container runtime mounts at most 127 layers for each platform.
const BLOBS: usize = 2000;
/// Limit for the depth of nested indexes, the same as for a copy.
const DEPTH: usize = 2;
/// Largest config of an image that is read, in bytes.
const CONFIG_LIMIT: u64 = 4 << 20;

/// The findings about an image whose manifest exists.
pub(super) struct Seen {
    /// Reason why a container cannot run from the image.
    unlike: Option<String>,
    /// State of the blobs; absent when they were not checked.
    blobs: Option<Result<Blobs, String>>,
    /// Platforms that the image states.
    pub platforms: Vec<Platform>,
}

/// The part of an image that exists in the store.
enum Blobs {
    /// Every blob of the image exists.
    All,
    /// All blobs of some platforms exist. The text describes the missing platforms.
    Some(String),
}

/// An image in a repository, and the store that it is read from.
pub(super) struct Image<'a> {
    pub reader: &'a Reader<'a>,
    pub repository: &'a Repository,
    /// Whether each blob is checked. Blobs in other registries are not checked.
    pub blobs: bool,
}

/// Manifests of an index, with their descriptors in the index.
struct Leaves {
    there: Vec<(Descriptor, Manifest)>,
    absent: Vec<Unread>,
}

impl Image<'_> {
    /// Examines an image, starting at its manifest. The inner error is the reason why the image is broken.
    ///
    /// # Errors
    /// Returns an error when the store cannot be reached.
    pub(super) async fn look(&self, manifest: Parsed) -> Result<Result<Seen, String>, oci::Error> {
        match manifest {
            Parsed::Manifest(manifest) => self.single(&manifest).await.map(Ok),
            Parsed::Index(index) if !self.blobs => {
                let stated: Vec<Platform> = index.manifests.iter().map(Platform::of).collect();
                let only_attached = !stated.is_empty() && stated.iter().all(is_unknown);
                let unlike =
                    only_attached.then(|| "the index names no image, only attestations about images".to_owned());
                Ok(Ok(Seen { unlike, blobs: None, platforms: known(stated) }))
            }
            Parsed::Index(index) => self.several(index).await,
        }
    }

    async fn single(&self, manifest: &Manifest) -> Result<Seen, oci::Error> {
        let unlike = unlike_image(manifest);
        let is_image = unlike.is_none();
        let config = async {
            if !is_image {
                return Ok(None);
            }
            let read = self.reader.fetch(self.repository, &manifest.config, CONFIG_LIMIT).await;
            read.map(|config| serde_json::from_slice::<Platform>(&config).ok())
        };
        // The config of an image is read in full, which proves more than its existence.
        let asked = manifest.blobs().skip(usize::from(is_image)).filter(|_| self.blobs);
        let (platform, there) = futures_util::join!(config, self.there(asked));
        let (platform, config) = match platform {
            Ok(platform) => (platform, Ok(Blobs::All)),
            Err(unread) => (None, Err(unread.reason()?)),
        };
        let blobs = [config, there?].into_iter().find(Result::is_err).unwrap_or(Ok(Blobs::All));
        let attached = platform
            .as_ref()
            .is_some_and(is_unknown)
            .then(|| "expected a container image, found an attestation: the platform is `unknown`".to_owned());
        Ok(Seen {
            unlike: unlike.or(attached),
            blobs: Some(blobs).filter(|blobs| self.blobs || blobs.is_err()),
            platforms: known(platform.into_iter().collect()),
        })
    }

    async fn several(&self, index: Index) -> Result<Result<Seen, String>, oci::Error> {
        let Leaves { there, mut absent } = match self.leaves(index).await? {
            Ok(leaves) => leaves,
            Err(reason) => return Ok(Err(reason)),
        };
        let is_image = |(named, manifest): &&(Descriptor, Manifest)| {
            !is_unknown(&Platform::of(named)) && unlike_image(manifest).is_none()
        };
        let platforms: Vec<Platform> = there.iter().filter(is_image).map(|(named, _)| Platform::of(named)).collect();
        let unlike = platforms.is_empty().then(|| {
            let reason = there.iter().find_map(|(_, manifest)| unlike_image(manifest));
            reason.unwrap_or_else(|| "the index names no image, only attestations about images".to_owned())
        });
        let blobs = self.there(there.iter().flat_map(|(_, manifest)| manifest.blobs())).await?;
        let missing = absent.len();
        let blobs = match absent.pop() {
            Some(unread) if there.is_empty() => return unread.reason().map(Err),
            Some(_) => blobs.map(|_| {
                Blobs::Some(format!("{missing} of {} platforms are missing in this store", missing + there.len()))
            }),
            None => blobs,
        };
        Ok(Ok(Seen { unlike, blobs: Some(blobs), platforms: known(platforms) }))
    }

    /// Reads the manifests that an index leads to, one level at a time. In a directory, missing manifests are skipped.
    async fn leaves(&self, index: Index) -> Result<Result<Leaves, String>, oci::Error> {
        let (mut wanted, mut count) = (index.manifests, 0);
        let mut leaves = Leaves { there: Vec::new(), absent: Vec::new() };
        for level in 0.. {
            count += wanted.len();
            if wanted.is_empty() {
                break;
            }
            if level == DEPTH || count > MANIFESTS {
                let reason =
                    format!("the index leads to more than {MANIFESTS} manifests, or has more than {DEPTH} levels");
                return Ok(Err(reason));
            }
            let reads = join_all(wanted.iter().map(async |child| {
                let selector = Selector::Digest(child.digest.clone());
                self.reader.manifest(self.repository, &selector).await
            }))
            .await;
            let mut next = Vec::new();
            for (child, read) in std::mem::take(&mut wanted).into_iter().zip(reads) {
                match read {
                    Ok((descriptor, bytes)) => match parse(&descriptor, &bytes) {
                        Ok(Parsed::Manifest(manifest)) => leaves.there.push((child, manifest)),
                        Ok(Parsed::Index(index)) => next.extend(index.manifests),
                        Err(reason) => return Ok(Err(format!("{}@{}: {reason}", self.repository, child.digest))),
                    },
                    // The directory holds a copy for one platform. A registry would have refused such an index.
                    Err(unread) if self.reader.store.path().is_some() && unread.is_not_found() => {
                        leaves.absent.push(unread);
                    }
                    Err(unread) => return unread.reason().map(Err),
                }
            }
            wanted = next;
        }
        Ok(Ok(leaves))
    }

    /// Checks that blobs exist. A registry is only asked, a directory is read. Foreign layers are skipped, because they
    /// are stored elsewhere.
    async fn there(&self, blobs: impl Iterator<Item = &Descriptor>) -> Result<Result<Blobs, String>, oci::Error> {
        let own: BTreeMap<_, _> =
            blobs.filter(|blob| !media_type::is_foreign(&blob.media_type)).map(|blob| (&blob.digest, blob)).collect();
        if own.len() > BLOBS {
            return Ok(Err(format!("the image names {} blobs, and the limit is {BLOBS}", own.len())));
        }
        for has in join_all(own.values().map(|blob| self.reader.has(self.repository, blob))).await {
            if let Err(unread) = has {
                return unread.reason().map(Err);
            }
        }
        Ok(Ok(Blobs::All))
    }
}

impl Seen {
    /// Returns the checks of the manifest and the blobs.
    pub(super) fn checks(self, subject: &Subject<'_>) -> Vec<Check> {
        // Extra images may be of any kind, because nothing is known about their use.
        let unlike = self.unlike.filter(|_| subject.kind != NamedKind::ExtraImage);
        let manifest =
            unlike.map_or_else(|| subject.ok(Aspect::Manifest), |reason| subject.wrong(Aspect::Manifest, reason));
        let blobs = self.blobs.map(|blobs| match blobs {
            Ok(Blobs::All) => subject.ok(Aspect::Content),
            Ok(Blobs::Some(reason)) => subject.not_checked(Aspect::Content, reason),
            Err(reason) => subject.failed(Aspect::Content, reason),
        });
        std::iter::once(manifest).chain(blobs).collect()
    }
}

/// Parses a manifest. The error is the reason why the manifest is invalid.
pub(super) fn parse(descriptor: &Descriptor, bytes: &[u8]) -> Result<Parsed, String> {
    Parsed::parse(&descriptor.media_type, bytes).map_err(|cause| format!("invalid manifest: {cause}"))
}

/// Reports whether the platform marks an attestation. Builders store attestations beside an image under the platform
/// `unknown`.
fn is_unknown(platform: &Platform) -> bool {
    platform.os == "unknown"
}

fn known(mut platforms: Vec<Platform>) -> Vec<Platform> {
    platforms.retain(|platform| !platform.os.is_empty() && !is_unknown(platform));
    platforms
}

/// Checks that the images of a release run on one platform, which must be a Linux platform. The release does not name
/// the platform. An image that states no platform fits any.
pub(super) fn platforms(images: &[(Subject<'_>, Vec<Platform>)]) -> Vec<Check> {
    let of = |platform: &Platform| format!("{}/{}", platform.os, platform.architecture);
    let stating = || images.iter().filter(|(_, platforms)| !platforms.is_empty());
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (_, platforms) in stating() {
        for name in platforms.iter().map(of).collect::<BTreeSet<String>>() {
            *counts.entry(name).or_default() += 1;
        }
    }
    let linux = counts.iter().filter(|(name, _)| name.starts_with("linux/"));
    let usual = linux.max_by_key(|(name, count)| (**count, name.as_str() == "linux/amd64"));
    let usual = usual.map_or("linux/amd64", |(name, _)| name.as_str());
    let judge = |(subject, platforms): &(Subject<'_>, Vec<Platform>)| {
        let names: Vec<String> = platforms.iter().map(of).collect();
        let fits = names.iter().any(|name| name == usual);
        let reason = || format!("the image is for {}, expected {usual} like the other images", names.join(", "));
        subject.judge(Aspect::Platform, if fits { Ok(()) } else { Err(reason()) })
    };
    stating().map(judge).collect()
}

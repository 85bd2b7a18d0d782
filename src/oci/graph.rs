//! Reads a manifest together with everything that it names and everything that refers to it. Blobs are named, not read.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::try_join_all;

use super::content::unreadable;
use super::signatures::ATTACHED_PREFIX;
use super::store::Backing;
use super::{
    Artifact, Content, Descriptor, Digest, Document, Error, Kind, Parsed, ReadStore, Repository, Selector, Tag,
    media_type, optional, referrers_tag,
};

/// Most manifests that one index may name, and most manifests that may refer to one artifact.
const MANIFESTS: usize = 1000;
/// Most levels of referrers that are followed, for example signatures of signatures.
const DEPTH: usize = 4;
/// Ends of the tags by which cosign attaches signatures, attestations and bills of material to a manifest.
///
/// <https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>
const SUFFIXES: [&str; 3] = [".sig", ".att", ".sbom"];

/// Everything that refers to an artifact or to a manifest that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    /// Manifests with a `subject`: the digest of the subject, the descriptor of the referrer, and the referrer with
    /// everything that it names.
    pub referrers: Vec<(Digest, Descriptor, Artifact)>,
    /// Artifacts attached by tag, such as `sha256-<hex>.sig`.
    pub tagged: Vec<(Tag, Artifact)>,
}

impl ReadStore {
    /// Returns a blob that can be stored elsewhere and is then read piece by piece. Nothing is read yet.
    pub fn content(&self, repository: &Repository, descriptor: &Descriptor) -> Content {
        match &self.backing {
            Backing::Registry(registry) => {
                Content::in_registry(descriptor.clone(), registry.clone(), repository.clone())
            }
            Backing::Layout(layout) => layout.content(repository, descriptor),
            Backing::Archive(archive) => archive.content(repository, descriptor),
        }
    }

    /// Returns whether the store has this blob or manifest.
    ///
    /// # Errors
    /// When the store fails. Missing content is `Ok(false)`.
    pub async fn has(&self, repository: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        on_backing!(self, store => store.has(repository, descriptor))
    }

    /// Checks that a blob or manifest exists.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it does not exist; when the store fails.
    pub(crate) async fn find(&self, repository: &Repository, descriptor: &Descriptor) -> Result<(), Error> {
        if self.has(repository, descriptor).await? {
            return Ok(());
        }
        let reference = format!("{repository}@{}", descriptor.digest);
        Err(Error::new(Kind::NotFound, "look up", reference, "not found"))
    }

    /// Reads a blob to its end, piece by piece, and verifies it against its descriptor.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Mismatch`], and when the store fails.
    pub(crate) async fn read_through(&self, repository: &Repository, descriptor: &Descriptor) -> Result<(), Error> {
        let reference = || format!("{repository}@{}", descriptor.digest);
        let Backing::Registry(registry) = &self.backing else {
            // `find` reads and verifies the bytes of a store on a disk.
            return self.find(repository, descriptor).await;
        };
        let read = async || {
            let mut pieces = self.content(repository, descriptor).stream();
            while let Some(piece) = pieces.next().await {
                if let Err(cause) = piece {
                    let (kind, reason, retry_after) = unreadable(&cause);
                    let error = Error::new(kind, "read", reference(), reason);
                    return Err(if let Some(wait) = retry_after { error.passing(wait) } else { error });
                }
            }
            Ok(())
        };
        registry.persist(read).await
    }

    /// Reads a manifest, and for an index the manifests that it names and that `keep` accepts. A store on a disk may
    /// lack some of them. An index inside an index is followed once.
    ///
    /// # Errors
    /// When the store fails, when content is missing, and when a manifest is invalid.
    pub async fn artifact(
        &self,
        repository: &Repository,
        selector: &Selector,
        keep: &(dyn Fn(&Descriptor) -> bool + Sync),
    ) -> Result<Artifact, Error> {
        let (descriptor, bytes) = self.manifest(repository, selector).await?;
        let (mut manifests, mut blobs) = (Vec::new(), Vec::new());
        let parsed = parse(repository, &descriptor, &bytes)?;
        let artifact_type = parsed.artifact_type().map(ToOwned::to_owned);
        let mut wanted = self.names(repository, parsed, &mut blobs);
        wanted.retain(|child| keep(child));
        for level in 0.. {
            if wanted.is_empty() {
                break;
            }
            if level == 2 || manifests.len() + wanted.len() > MANIFESTS {
                let reason = "the index has more than two levels, or names more than 1,000 manifests";
                return Err(Error::new(Kind::Malformed, "read", format!("{repository}@{}", descriptor.digest), reason));
            }
            let reads = wanted.iter().map(|child| async {
                match self.named_manifest(repository, child).await {
                    // A store on a disk may hold some platforms only.
                    Err(error) if error.is_not_found() && self.path().is_some() => Ok(Err(error)),
                    read => read.map(Ok),
                }
            });
            let (read, absent): (Vec<_>, Vec<_>) = try_join_all(reads).await?.into_iter().partition(Result::is_ok);
            if let (true, Some(Err(error))) = (read.is_empty(), absent.into_iter().next()) {
                return Err(error);
            }
            wanted = Vec::new();
            for (child, bytes) in read.into_iter().flatten() {
                wanted.extend(self.names(repository, parse(repository, &child, &bytes)?, &mut blobs));
                manifests.push(Document::new(&child.media_type, bytes));
            }
        }
        // Image manifests come before indexes, so that each manifest is stored before the index that names it.
        manifests.sort_by_key(|content| media_type::is_index(&content.descriptor().media_type));
        let manifest = Document::new(&descriptor.media_type, bytes).typed(artifact_type.as_deref());
        Ok(Artifact::of(manifest, manifests, blobs))
    }

    /// Reads a manifest that an index names, and checks that store and index agree on its media type.
    async fn named_manifest(&self, repository: &Repository, named: &Descriptor) -> Result<(Descriptor, Bytes), Error> {
        let (descriptor, bytes) = self.manifest(repository, &Selector::Digest(named.digest.clone())).await?;
        if descriptor.media_type == named.media_type {
            return Ok((descriptor, bytes));
        }
        let [expected, found] = [&named.media_type, &descriptor.media_type].map(|text| text.escape_debug());
        let reason =
            format!("invalid media type `{found}`: expected `{expected}`, as in the index that names the manifest");
        Err(Error::new(Kind::Malformed, "read", format!("{repository}@{}", named.digest), reason))
    }

    /// Returns the manifests that an index names, and adds the blobs that an image manifest names to `blobs`.
    fn names(&self, repository: &Repository, parsed: Parsed, blobs: &mut Vec<Content>) -> Vec<Descriptor> {
        match parsed {
            Parsed::Index(index) => index.manifests,
            Parsed::Manifest(manifest) => {
                let own = manifest.blobs().filter(|blob| !media_type::is_foreign(&blob.media_type));
                blobs.extend(own.map(|blob| self.content(repository, blob)));
                Vec::new()
            }
        }
    }

    /// Reads everything that refers to an artifact or to one of its manifests, by `subject` or by one of the
    /// repository's `tags`.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn attached(
        &self,
        repository: &Repository,
        artifact: &Artifact,
        tags: &[Tag],
    ) -> Result<Attached, Error> {
        let mut attached = Attached::default();
        let manifests = artifact.manifests().iter().chain([artifact.manifest()]);
        let mut subjects: Vec<Digest> = manifests.map(|content| content.descriptor().digest.clone()).collect();
        let mut seen: BTreeSet<Digest> = subjects.iter().cloned().collect();
        for _ in 0..DEPTH {
            let looks = subjects.iter().map(|subject| self.referring(repository, subject, tags));
            let found = try_join_all(looks).await?;
            let found = subjects
                .iter()
                .zip(found)
                .flat_map(|(subject, found)| found.into_iter().map(|descriptor| (subject.clone(), descriptor)));
            let new: Vec<_> = found.filter(|(_, descriptor)| seen.insert(descriptor.digest.clone())).collect();
            if attached.referrers.len() + new.len() > MANIFESTS {
                return Err(too_many(repository, artifact.digest()));
            }
            let reads = new.iter().map(|(_, descriptor)| async {
                // A referrer that was removed after it was listed no longer counts.
                optional(self.artifact(repository, &Selector::Digest(descriptor.digest.clone()), &|_| true).await)
            });
            let read = try_join_all(reads).await?;
            subjects = new.iter().map(|(_, descriptor)| descriptor.digest.clone()).collect();
            let there = new.into_iter().zip(read);
            attached
                .referrers
                .extend(there.filter_map(|((subject, descriptor), artifact)| Some((subject, descriptor, artifact?))));
            if subjects.is_empty() {
                break;
            }
        }
        let named = tags.iter().filter(|tag| {
            SUFFIXES.iter().any(|suffix| {
                let subject = tag.as_str().strip_suffix(suffix).and_then(subject_of);
                subject.is_some_and(|subject| seen.contains(&subject))
            })
        });
        let reads = named.map(|tag| async move {
            let artifact = self.artifact(repository, &Selector::Tag(tag.clone()), &|_| true).await?;
            Ok::<_, Error>((tag.clone(), artifact))
        });
        attached.tagged = try_join_all(reads).await?;
        Ok(attached)
    }

    /// Lists the manifests that name `subject`. Where a registry keeps no such list, the tag `sha256-<hex>` holds it.
    ///
    /// <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers>
    async fn referring(
        &self,
        repository: &Repository,
        subject: &Digest,
        tags: &[Tag],
    ) -> Result<Vec<Descriptor>, Error> {
        let mut referring = self.listed(repository, subject).await?.unwrap_or_default();
        if let Some(tag) = tags.iter().find(|tag| **tag == referrers_tag(subject)) {
            referring.extend(self.index(repository, tag).await?.into_iter().flat_map(|(_, index)| index.manifests));
        }
        Ok(referring)
    }
}

fn too_many(repository: &Repository, subject: &Digest) -> Error {
    let reason = format!("more than {MANIFESTS} manifests refer to this manifest, which is the limit");
    Error::new(Kind::TooLarge, "list the referrers of", format!("{repository}@{subject}"), reason)
}

/// Parses a manifest by the media type under which the store gave it.
fn parse(repository: &Repository, manifest: &Descriptor, bytes: &[u8]) -> Result<Parsed, Error> {
    Parsed::parse(&manifest.media_type, bytes).map_err(|cause| {
        let reason = format!("invalid manifest: {cause}");
        Error::new(Kind::Malformed, "read", format!("{repository}@{}", manifest.digest), reason)
    })
}

/// Returns the tags that may attach content to an artifact or to one of its manifests.
pub(crate) fn attached_tags(artifact: &Artifact) -> Vec<Tag> {
    let manifests = artifact.manifests().iter().chain([artifact.manifest()]);
    let tags = manifests.map(|manifest| referrers_tag(&manifest.descriptor().digest)).flat_map(|tag| {
        let suffixed = SUFFIXES.map(|suffix| format!("{tag}{suffix}").parse().expect("a digest makes a tag"));
        suffixed.into_iter().chain([tag])
    });
    tags.collect()
}

fn subject_of(tag: &str) -> Option<Digest> {
    format!("sha256:{}", tag.strip_prefix(ATTACHED_PREFIX)?).parse().ok()
}

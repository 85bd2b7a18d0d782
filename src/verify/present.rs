//! What must be there before a channel moves: every manifest that a release names by digest, read as the appliance will, all at
//! once.

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};

use super::{Aspect, Check, Subject};
use crate::contents::{Reader, Stores, Unread};
use crate::oci::{self, AnyRepository, Descriptor, Index, Parsed, Prefix, Repository, Selector};
use crate::release::{Named, TAG_ALONE, Target};

/// Most manifests of an index that are looked at.
const INDEX_LIMIT: usize = 64;

/// Is everything there? One request each.
///
/// # Errors
/// When a store cannot be reached. Absent, corrupted or not public is a check that failed.
pub async fn present(named: &[Named], stores: &Stores<'_>) -> Result<Vec<Check>, oci::Error> {
    try_join_all(named.iter().map(|named| async move {
        let subject = named.subject();
        match read(named, stores).await? {
            Read::Judged(check) => Ok(check),
            Read::There { reader: At::Own(reader), repository, manifest } if is_on_disk(&reader) => {
                // On a disk nobody vouches for the files.
                let blobs = blobs(&reader, &repository, *manifest).await?;
                Ok(subject.judge_blobs(Aspect::Manifest, blobs))
            }
            Read::There { .. } => Ok(subject.ok(Aspect::Manifest)),
        }
    }))
    .await
}

fn is_on_disk(reader: &Reader<'_>) -> bool {
    reader.store.path().is_some()
}

impl Named {
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject { kind: self.kind, name: &self.name, reference: &self.reference }
    }
}

/// Where something was found.
pub(super) enum At<'a> {
    Own(Reader<'a>),
    Elsewhere,
}

/// What reading a manifest gave.
pub(super) enum Read<'a> {
    There { reader: At<'a>, repository: Repository, manifest: Box<Parsed> },
    Judged(Check),
}

/// The manifest of something that a release names.
pub(super) async fn read<'a>(named: &Named, stores: &Stores<'a>) -> Result<Read<'a>, oci::Error> {
    let subject = named.subject();
    let judged = |check| Ok(Read::Judged(check));
    match &named.target {
        Target::Unplaced(reason) => judged(subject.not_checked(Aspect::Manifest, reason)),
        Target::Invalid(reason) => judged(subject.failed(Aspect::Manifest, reason)),
        // The tag may name another image by now.
        Target::At { selector: Selector::Tag(_), .. } if named.kind.is_image() => {
            judged(subject.not_checked(Aspect::Manifest, TAG_ALONE))
        }
        Target::At { repository: AnyRepository::Own(repository), selector } => {
            match stores.own.manifest(repository, selector).await {
                Ok((descriptor, bytes)) => Ok(there(&subject, At::Own(stores.own), repository, &descriptor, &bytes)),
                Err(unread) => judged(subject.failed(Aspect::Manifest, unread.reason()?)),
            }
        }
        Target::At { repository: AnyRepository::External { registry, repository }, selector } => {
            let found = match kept(stores, registry, repository, selector).await? {
                Some(kept) => Some(kept.map_err(Unread::Store)),
                None => elsewhere(stores, &registry.name_of(repository), repository, selector).await,
            };
            match found {
                None => judged(subject.not_checked(Aspect::Manifest, "it is in another registry, which was not asked")),
                Some(Err(unread)) => judged(subject.failed(Aspect::Manifest, unread.reason()?)),
                Some(Ok((descriptor, bytes))) => Ok(there(&subject, At::Elsewhere, repository, &descriptor, &bytes)),
            }
        }
    }
}

/// Parses a manifest that is there; one that is invalid fails its check.
fn there<'a>(
    subject: &Subject<'_>,
    reader: At<'a>,
    repository: &Repository,
    descriptor: &Descriptor,
    bytes: &[u8],
) -> Read<'a> {
    match parse(descriptor, bytes) {
        Ok(manifest) => Read::There { reader, repository: repository.clone(), manifest: Box::new(manifest) },
        Err(reason) => Read::Judged(subject.failed(Aspect::Manifest, reason)),
    }
}

fn parse(descriptor: &Descriptor, bytes: &[u8]) -> Result<Parsed, String> {
    Parsed::parse(&descriptor.media_type, bytes).map_err(|cause| format!("invalid manifest: {cause}"))
}

type Found<E> = Option<Result<(Descriptor, Bytes), E>>;

/// A directory of layouts may keep images of other registries; nothing when it does not keep this one.
async fn kept(
    stores: &Stores<'_>,
    registry: &Prefix,
    repository: &Repository,
    selector: &Selector,
) -> Result<Found<oci::Error>, oci::Error> {
    let Some(store) = stores.own.store.external(registry)? else { return Ok(None) };
    match store.manifest(repository, selector).await {
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Ok(Some(Err(error))),
        Ok((descriptor, bytes)) => {
            let reader = Reader { store: &store, public: None };
            let blobs = match parse(&descriptor, &bytes) {
                Ok(manifest) => blobs(&reader, repository, manifest).await?,
                Err(reason) => Err(reason),
            };
            let corrupted = |reason| oci::Error::new(oci::Kind::Mismatch, "reading", repository.to_string(), reason);
            Ok(Some(blobs.map(|_| (descriptor, bytes)).map_err(corrupted)))
        }
    }
}

async fn elsewhere(stores: &Stores<'_>, name: &str, repository: &Repository, selector: &Selector) -> Found<Unread> {
    let external = stores.external.get(name)?;
    let reader = Reader { store: &external.store, public: external.public.as_ref() };
    Some(reader.manifest(repository, selector).await)
}

/// Are all blobs of a manifest there, and those of the manifests of an index? Without fetching: by the registry's word, and by
/// the bytes of a directory.
pub(super) async fn blobs(
    reader: &Reader<'_>,
    repository: &Repository,
    manifest: Parsed,
) -> Result<Result<Blobs, String>, oci::Error> {
    let (blobs, there) = match manifest {
        Parsed::Manifest(manifest) => (manifest.blobs().cloned().collect(), Blobs::All),
        Parsed::Index(index) => match of_platforms(reader, repository, index).await? {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        },
    };
    for has in join_all(blobs.iter().map(|blob| reader.has(repository, blob))).await {
        if let Err(unread) = has {
            return unread.reason().map(Err);
        }
    }
    Ok(Ok(there))
}

/// Returns the blobs of the manifests that an index names, as far as they are there.
async fn of_platforms(
    reader: &Reader<'_>,
    repository: &Repository,
    index: Index,
) -> Result<Result<(Vec<Descriptor>, Blobs), String>, oci::Error> {
    let children: Vec<Selector> =
        index.manifests.into_iter().take(INDEX_LIMIT).map(|child| Selector::Digest(child.digest)).collect();
    let reads = join_all(children.iter().map(|child| reader.manifest(repository, child))).await;
    let (mut blobs, mut absent) = (Vec::new(), Vec::new());
    for (child, read) in children.iter().zip(reads) {
        match read {
            Ok((descriptor, bytes)) => match parse(&descriptor, &bytes) {
                Ok(Parsed::Manifest(manifest)) => blobs.extend(manifest.blobs().cloned()),
                Ok(Parsed::Index(_)) => {}
                Err(reason) => return Ok(Err(format!("{repository}@{child}: {reason}"))),
            },
            // A copy of one platform; a registry would have refused the index.
            Err(unread) if reader.store.path().is_some() && unread.is_not_found() => absent.push(unread),
            Err(unread) => return unread.reason().map(Err),
        }
    }
    let Some(unread) = absent.pop() else { return Ok(Ok((blobs, Blobs::All))) };
    let missing = absent.len() + 1;
    if missing == children.len() {
        return unread.reason().map(Err);
    }
    Ok(Ok((blobs, Blobs::Some(format!("{missing} of {} platforms are not here", children.len())))))
}

/// What is there of an image.
pub(super) enum Blobs {
    /// All of it.
    All,
    /// Some of its platforms, whole.
    Some(String),
}

impl Subject<'_> {
    /// Of an image whose blobs were looked for.
    pub(super) fn judge_blobs(&self, aspect: Aspect, blobs: Result<Blobs, String>) -> Check {
        match blobs {
            Ok(Blobs::All) => self.ok(aspect),
            Ok(Blobs::Some(reason)) => self.not_checked(aspect, reason),
            Err(reason) => self.failed(aspect, reason),
        }
    }
}

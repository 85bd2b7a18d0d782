//! Reading as the appliance will: as the public, where a release must be public.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::ReadOnce;
use crate::oci::{self, Descriptor, Digest, ReadStore, Repository, Selector, Tag};

/// A store, and the same store as the public reads it when other credentials are at hand.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The store with the credentials of whoever runs the program.
    pub store: &'a ReadStore,
    /// The store without credentials.
    pub public: Option<&'a ReadStore>,
}

/// The stores that a release is read from.
#[derive(Debug)]
pub struct Stores<'a> {
    /// The store of the release.
    pub own: ReadOnce<'a>,
    /// Other registries, by the repository's `HOST/PATH`; a registry that is missing here is not asked.
    pub external: &'a BTreeMap<String, External>,
}

/// Another registry, for one repository of it.
#[derive(Debug)]
pub struct External {
    /// The registry.
    pub store: ReadStore,
    /// The registry as the public reads it, when other credentials are at hand.
    pub public: Option<ReadStore>,
}

/// Something that was not read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// By nobody.
    #[error("{0}")]
    Store(oci::Error),
    /// It is there, but not for everybody.
    #[error("the public cannot read it: {0}")]
    NotPublic(oci::Error),
}

impl Unread {
    /// Is it simply not there?
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_not_found())
    }

    /// A reason for a check that failed; a store that may answer later is no answer.
    ///
    /// # Errors
    /// The store's own, when it cannot be reached.
    pub(crate) fn reason(self) -> Result<String, oci::Error> {
        match self {
            Self::Store(error) if matches!(error.kind(), oci::Kind::Unavailable | oci::Kind::Untrusted) => Err(error),
            other => Ok(other.to_string()),
        }
    }
}

impl Reader<'_> {
    /// As the public; only what the public does not get is asked for again, to tell what is not public from what is not there.
    async fn read<T>(&self, read: impl AsyncFn(&ReadStore) -> Result<T, oci::Error>) -> Result<T, Unread> {
        let Some(public) = self.public else { return read(self.store).await.map_err(Unread::Store) };
        match read(public).await {
            Ok(value) => Ok(value),
            Err(error) if matches!(error.kind(), oci::Kind::NotFound | oci::Kind::Denied) => {
                match read(self.store).await {
                    Ok(_) => Err(Unread::NotPublic(error)),
                    Err(error) => Err(Unread::Store(error)),
                }
            }
            Err(error) => Err(Unread::Store(error)),
        }
    }

    /// As [`ReadStore::manifest`].
    pub async fn manifest(&self, repository: &Repository, selector: &Selector) -> Result<(Descriptor, Bytes), Unread> {
        self.read(async |store| store.manifest(repository, selector).await).await
    }

    /// As [`ReadStore::fetch_verified`].
    pub async fn fetch(&self, repository: &Repository, descriptor: &Descriptor, limit: u64) -> Result<Bytes, Unread> {
        self.read(async |store| store.fetch_verified(repository, descriptor, limit).await).await
    }

    /// As [`ReadStore::has`]; absent is an error.
    pub async fn has(&self, repository: &Repository, descriptor: &Descriptor) -> Result<(), Unread> {
        self.read(async |store| store.find(repository, descriptor).await).await
    }

    /// Does `tag` name this manifest? Who reads makes no difference here.
    pub(crate) async fn names(
        &self,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<Result<(), String>, oci::Error> {
        match self.store.resolve(repository, tag).await {
            Ok(found) if found == *digest => Ok(Ok(())),
            Ok(found) => Ok(Err(format!("the tag {tag} names {found}, not {digest}, which no tag keeps then"))),
            Err(error) => Unread::Store(error).reason().map(Err),
        }
    }
}

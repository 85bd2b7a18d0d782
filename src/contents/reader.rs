//! Reads a store as appliances do: anonymously, where a release must be public.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::ReadOnce;
use crate::oci::{self, Descriptor, Digest, ReadStore, Repository, Selector, Tag};

/// A store, and the same store without credentials when the publisher has some.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The store with the publisher's credentials.
    pub store: &'a ReadStore,
    /// The store without credentials.
    pub public: Option<&'a ReadStore>,
}

/// The stores that a release is read from.
#[derive(Debug)]
pub struct Stores<'a> {
    /// The store of the release.
    pub own: ReadOnce<'a>,
    /// Other registries, by the repository's `HOST/PATH`. Registries that are not in the map are not asked.
    pub external: &'a BTreeMap<String, External>,
}

/// One repository of another registry.
#[derive(Debug)]
pub struct External {
    /// The registry with the publisher's credentials.
    pub store: ReadStore,
    /// The registry without credentials, when the publisher has some.
    pub public: Option<ReadStore>,
}

/// The reason why content could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// The publisher cannot read the content either.
    #[error("{0}")]
    Store(oci::Error),
    /// The publisher can read the content, but the public cannot.
    #[error("the public cannot read it: {0}")]
    NotPublic(oci::Error),
}

impl Unread {
    /// Reports whether the content does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_not_found())
    }

    /// Returns the reason for a failed check. An unavailable store is an error instead, because it may answer later.
    ///
    /// # Errors
    /// The error of the store, when the store cannot be reached.
    pub(crate) fn reason(self) -> Result<String, oci::Error> {
        match self {
            Self::Store(error) if error.kind().is_of_server() => Err(error),
            other => Ok(other.to_string()),
        }
    }
}

impl Reader<'_> {
    /// Reads anonymously. Content that cannot be read that way is read again with credentials, to tell private content from
    /// missing content.
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

    /// Reads a manifest as [`ReadStore::manifest`] does.
    pub async fn manifest(&self, repository: &Repository, selector: &Selector) -> Result<(Descriptor, Bytes), Unread> {
        self.read(async |store| store.manifest(repository, selector).await).await
    }

    /// Reads a blob as [`ReadStore::fetch_verified`] does.
    pub async fn fetch(&self, repository: &Repository, descriptor: &Descriptor, limit: u64) -> Result<Bytes, Unread> {
        self.read(async |store| store.fetch_verified(repository, descriptor, limit).await).await
    }

    /// Checks that content exists, as [`ReadStore::has`] does. Missing content is an error.
    pub async fn has(&self, repository: &Repository, descriptor: &Descriptor) -> Result<(), Unread> {
        self.read(async |store| store.find(repository, descriptor).await).await
    }

    /// Checks that `tag` names this manifest. The result is the same for the publisher and for the public.
    pub(crate) async fn names(
        &self,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<Result<(), String>, oci::Error> {
        match self.store.resolve(repository, tag).await {
            Ok(found) if found == *digest => Ok(Ok(())),
            Ok(found) => Ok(Err(format!("the tag {tag} names {found}, not {digest}, so no tag keeps {digest}"))),
            Err(error) => Unread::Store(error).reason().map(Err),
        }
    }
}

//! Reading as the appliance will: as the public, where a release must be public.

use bytes::Bytes;

use crate::oci::{self, Descriptor, Digest, ReadStore, Repository, Selector, Tag};

/// A store, and the same store as the public sees it when that is somebody else.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// As whoever runs this program.
    pub store: &'a ReadStore,
    /// As anybody.
    pub public: Option<&'a ReadStore>,
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
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_not_found())
    }

    /// A reason for a check that failed; a store that may answer later is no answer.
    ///
    /// # Errors
    /// The store's own, when it cannot be reached.
    pub(super) fn reason(self) -> Result<String, oci::Error> {
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
        let has = async |store: &ReadStore| match store.has(repository, descriptor).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let reference = format!("{repository}@{}", descriptor.digest);
                Err(oci::Error::new(oci::Kind::NotFound, "looking for", reference, "it is not there"))
            }
            Err(error) => Err(error),
        };
        self.read(has).await
    }

    /// Does `tag` name this manifest? Who reads makes no difference here.
    pub(super) async fn names(
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

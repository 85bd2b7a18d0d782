//! Reads each manifest and each blob of a store only once. Checking, comparing and verifying a release read the same parts,
//! often at the same time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::{Reader, Unread};
use crate::oci::{Content, Descriptor, ReadStore, Repository, Selector};

/// Largest number of bytes of manifests and blobs that are kept for later readers.
const REMEMBERED_LIMIT: usize = 32 << 20;

/// A store that keeps the contents it has read.
#[derive(Clone, Debug)]
pub struct ReadOnce<'a> {
    /// The store that contents are read from.
    pub reader: Reader<'a>,
    read: Arc<Mutex<Remembered>>,
}

type Read = (Descriptor, Bytes);

/// Contents that were read or are being read, up to the limit.
#[derive(Debug, Default)]
struct Remembered {
    /// Contents by repository and request. The same bytes in two repositories are read from both.
    contents: BTreeMap<String, Arc<OnceCell<Read>>>,
    bytes: usize,
}

impl<'a> From<Reader<'a>> for ReadOnce<'a> {
    fn from(reader: Reader<'a>) -> Self {
        Self { reader, read: Arc::default() }
    }
}

impl<'a> From<&'a ReadStore> for ReadOnce<'a> {
    fn from(store: &'a ReadStore) -> Self {
        Reader { store, public: None }.into()
    }
}

impl ReadOnce<'_> {
    /// Reads a manifest as [`Reader::manifest`] does.
    ///
    /// # Errors
    /// When the manifest does not exist or is not public.
    pub async fn manifest(&self, repository: &Repository, selector: &Selector) -> Result<Read, Unread> {
        let key = format!("manifest {repository} {selector}");
        self.once(key, Box::pin(self.reader.manifest(repository, selector))).await
    }

    /// Reads a blob as [`Reader::fetch`] does.
    ///
    /// # Errors
    /// When the blob does not exist, differs from its descriptor, or is not public.
    pub async fn fetch(&self, repository: &Repository, blob: &Descriptor, limit: u64) -> Result<Bytes, Unread> {
        let read = async { Ok((blob.clone(), self.reader.fetch(repository, blob, limit).await?)) };
        let key = format!("blob {repository} {} {}", blob.digest, blob.size);
        let (_, bytes) = self.once(key, Box::pin(read)).await?;
        Ok(bytes)
    }

    /// Keeps a blob that was read and verified elsewhere, unless the blob still has to be read anonymously.
    pub fn know(&self, repository: &Repository, blob: &Content) {
        let Some(bytes) = blob.bytes().filter(|_| self.reader.public.is_none()) else { return };
        let descriptor = blob.descriptor().clone();
        let key = format!("blob {repository} {} {}", descriptor.digest, descriptor.size);
        self.remembered(|all| {
            let cell = all.contents.entry(key).or_default();
            // `set` fails when another reader was first, which has the same bytes.
            drop(cell.set((descriptor, bytes.clone())));
        });
    }

    async fn once(&self, key: String, read: impl Future<Output = Result<Read, Unread>>) -> Result<Read, Unread> {
        let cell = self.remembered(|all| Arc::clone(all.contents.entry(key.clone()).or_default()));
        if let Some(read) = cell.get() {
            return Ok(read.clone());
        }
        let read = async {
            let read = read.await?;
            self.remembered(|all| {
                all.bytes += read.1.len();
                if all.bytes > REMEMBERED_LIMIT {
                    all.bytes -= read.1.len();
                    all.contents.remove(&key);
                }
            });
            Ok(read)
        };
        cell.get_or_try_init(|| read).await.cloned()
    }

    fn remembered<T>(&self, use_it: impl FnOnce(&mut Remembered) -> T) -> T {
        use_it(&mut self.read.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

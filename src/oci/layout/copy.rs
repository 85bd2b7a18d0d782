//! The parts of reading a layout that only the publisher needs: blobs that stay in their files, whether content exists
//! and is undamaged, and the tags.

use std::fs;
use std::io;

use super::read::{Layout, corrupted};
use crate::oci::{Content, Descriptor, Digest, Error, FileRange, Repository, Tag, media_type};

impl Layout {
    /// Returns a blob that is read from its file when it is stored elsewhere.
    pub(crate) fn content(&self, repository: &Repository, descriptor: &Descriptor) -> Content {
        let range = FileRange::at(self.blob_path(repository, &descriptor.digest), descriptor.size);
        Content::in_file(descriptor.clone(), range)
    }

    /// Returns whether the layout holds the content. Unlike a registry, a file on a disk checks no digests, so the
    /// bytes are read and verified.
    pub(crate) async fn has(&self, repository: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        self.holds(repository, &descriptor.digest).await
    }

    pub(super) async fn holds(&self, repository: &Repository, digest: &Digest) -> Result<bool, Error> {
        let path = self.blob_path(repository, digest);
        let same = match fs::metadata(&path) {
            Ok(metadata) => FileRange::at(path.clone(), metadata.len()).has_digest(digest).await,
            Err(cause) => Err(cause),
        };
        match same {
            Ok(true) => Ok(true),
            Ok(false) => Err(corrupted(&path, self.reference(repository, digest.as_str()))),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(cause) => Err(Self::io("read", self.reference(repository, digest.as_str()), cause)),
        }
    }

    #[expect(clippy::unused_async, reason = "the same shape as a registry")]
    pub(crate) async fn tags(&self, repository: &Repository, prefix: &str) -> Result<Vec<Tag>, Error> {
        let index = self.index(repository)?;
        let names = index.manifests.iter().filter_map(|entry| entry.annotations.get(media_type::REF_NAME));
        Ok(names.filter(|name| name.starts_with(prefix)).filter_map(|name| name.parse().ok()).collect())
    }
}

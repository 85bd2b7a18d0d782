//! What a copy reads of a layout beside what everybody reads: blobs that stay in their files, and what refers to a manifest.

use super::Layout;
use crate::oci::{Content, Descriptor, Digest, Error, FileRange, Repository, media_type};

/// Largest manifest that is read to see what it refers to.
const REFERRER_LIMIT: u64 = 4 << 20;

impl Layout {
    /// A blob, which is read from its file when it is stored elsewhere.
    pub fn content(&self, repository: &Repository, descriptor: &Descriptor) -> Content {
        let range = FileRange::at(self.blob_path(repository, &descriptor.digest), descriptor.size);
        Content::in_file(descriptor.clone(), range)
    }

    /// The manifests of the index that name `subject`, described with what they say of themselves.
    pub fn referrers(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let index = self.index(repository)?;
        let mut referring = Vec::new();
        for entry in index.manifests.iter().filter(|entry| media_type::is_manifest(&entry.media_type)) {
            let bytes = self.read_blob(repository, &entry.digest, REFERRER_LIMIT)?;
            if let Some(descriptor) = Descriptor::referring(&entry.media_type, &bytes, subject) {
                referring.push(descriptor);
            }
        }
        Ok(referring)
    }
}

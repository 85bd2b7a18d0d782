//! Lists the manifests that refer to a manifest.

use super::read::Layout;
use crate::oci::{Descriptor, Digest, Error, Repository, media_type};

/// Largest manifest in bytes that is read to find its `subject`.
const REFERRER_LIMIT: u64 = 4 << 20;

impl Layout {
    /// Returns the manifests in the index that name `subject`, each with its own artifact type and annotations.
    pub(crate) fn referrers(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
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

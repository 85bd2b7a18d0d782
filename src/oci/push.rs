//! The writing half of the store interface.

use std::sync::Arc;

use super::archive::written_as_a_whole;
use super::layout::Layout;
use super::registry::{Access, Mounts, Registry, Upload};
use super::store::Backing;
use super::{
    Content, Digest, Document, Error, Kind, Location, Obstacle, Options, Probe, ReadStore, Repository, Selector, Tag,
    media_type,
};

/// A store that can be written to. Every digest is known before the first byte is sent.
#[derive(Debug)]
pub struct Store {
    read: ReadStore,
    target: Target,
}

/// The kinds of store that can be pushed to.
#[derive(Debug)]
enum Target {
    Registry(Arc<Registry>, Mounts),
    Layout(Layout),
}

impl Store {
    /// Opens a store for writing. Nothing is written yet. Every request to a registry asks for the permission to push.
    ///
    /// # Errors
    /// In the same cases as [`ReadStore::open`]; [`Kind::Refused`] for an archive, which [`super::archive::write`]
    /// writes.
    pub fn open(location: &Location, options: Options) -> Result<Self, Error> {
        let (backing, target) = match location {
            Location::Registry(prefix) => {
                let registry = Arc::new(Registry::open(prefix, options, Access::Push)?);
                (Backing::Registry(registry.clone()), Target::Registry(registry, Mounts::default()))
            }
            Location::Layout(directory) => {
                let layout = Layout::open(directory)?;
                (Backing::Layout(layout.clone()), Target::Layout(layout))
            }
            Location::Archive(path) => return Err(written_as_a_whole(path)),
        };
        Ok(Self { read: ReadStore { backing }, target })
    }

    /// Returns the store for reading.
    pub fn read(&self) -> &ReadStore {
        &self.read
    }

    /// Pushes a blob unless the store has it. Pushing the same blob again succeeds. Returns whether the bytes were
    /// sent.
    ///
    /// # Errors
    /// When the store refuses the blob or fails.
    pub async fn push_blob(&self, repository: &Repository, content: &Content) -> Result<bool, Error> {
        match &self.target {
            Target::Registry(registry, mounts) => registry.push_blob(repository, content, mounts).await,
            Target::Layout(layout) => layout.push_blob(repository, content).await.map(|()| true),
        }
    }

    /// Pushes a blob even if the store reports that it has it, and reads it back. If the store still returns other
    /// bytes, the blob is deleted and pushed again.
    ///
    /// # Errors
    /// [`Kind::Blocked`] when the store keeps other bytes under the digest; when the store fails.
    pub(crate) async fn replace_blob(&self, repository: &Repository, content: &Content) -> Result<(), Error> {
        let Target::Registry(registry, mounts) = &self.target else {
            return self.push_blob(repository, content).await.map(drop);
        };
        let digest = &content.descriptor().digest;
        registry.push_blob_anew(repository, content, mounts).await?;
        if self.is_whole(repository, content).await? {
            return Ok(());
        }
        registry.delete_blob(repository, digest).await;
        registry.push_blob_anew(repository, content, mounts).await?;
        if self.is_whole(repository, content).await? { Ok(()) } else { Err(kept(repository, digest)) }
    }

    /// Pushes a manifest under `tag` even if the store reports that it has it, and reads it back. If the store still
    /// returns other bytes, the manifest is deleted with all its tags and pushed again.
    ///
    /// # Errors
    /// [`Kind::Blocked`] when the store keeps other bytes under the digest; when the store fails.
    pub(crate) async fn replace_manifest(
        &self,
        repository: &Repository,
        manifest: &Document,
        tag: Option<&Tag>,
    ) -> Result<(), Error> {
        let digest = &manifest.descriptor().digest;
        self.push_manifest(repository, manifest, tag).await?;
        if self.read.manifest(repository, &Selector::Digest(digest.clone())).await.is_ok() {
            return Ok(());
        }
        self.delete_manifest(repository, digest).await;
        self.push_manifest(repository, manifest, tag).await?;
        match self.read.manifest(repository, &Selector::Digest(digest.clone())).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == Kind::Unavailable => Err(error),
            Err(_) => Err(kept(repository, digest)),
        }
    }

    async fn is_whole(&self, repository: &Repository, content: &Content) -> Result<bool, Error> {
        match self.read.read_through(repository, content.descriptor()).await {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Mismatch | Kind::TooLarge) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens an upload for a blob that [`Self::push_blob_into`] pushes later, which saves a round trip then. Nothing is
    /// written. Returns `None` for a directory, which needs no upload.
    ///
    /// # Errors
    /// When the registry refuses the upload or fails.
    pub(crate) async fn open_upload(&self, repository: &Repository) -> Result<Option<Upload>, Error> {
        match &self.target {
            Target::Registry(registry, _) => registry.open_upload(repository).await.map(Some),
            Target::Layout(_) => Ok(None),
        }
    }

    /// Pushes a blob into an upload that is already open.
    ///
    /// # Errors
    /// When the registry refuses the blob, fails, or has forgotten the upload.
    pub(crate) async fn push_blob_into(&self, upload: &Upload, content: &Content) -> Result<(), Error> {
        match &self.target {
            Target::Registry(registry, mounts) => registry.push_blob_into(upload, content, mounts).await,
            Target::Layout(_) => self.push_blob(upload.repository(), content).await.map(drop),
        }
    }

    /// Cancels an upload that is not needed. A registry that does not receive the request drops the upload after a
    /// while.
    pub(crate) async fn cancel_upload(&self, upload: Upload) {
        if let Target::Registry(registry, _) = &self.target {
            registry.cancel_upload(upload).await;
        }
    }

    /// Pushes a manifest by its digest, or under `tag` in the same request. The tag is not read: registries have no
    /// compare-and-swap for tags, so the caller reads it right before and right after.
    ///
    /// # Errors
    /// [`Kind::Refused`] when the manifest names a blob that is missing.
    pub async fn push_manifest(
        &self,
        repository: &Repository,
        manifest: &Document,
        tag: Option<&Tag>,
    ) -> Result<(), Error> {
        match &self.target {
            Target::Registry(registry, _) => registry.push_manifest(repository, manifest, tag).await,
            Target::Layout(layout) => layout.push_manifest(repository, manifest, tag).await,
        }
    }

    /// Checks whether the store allows reading a repository, and with `push` writing to it. Leaves nothing behind.
    pub(crate) async fn probe(&self, repository: &Repository, push: bool) -> Probe {
        match &self.target {
            Target::Registry(registry, _) => registry.probe(repository, push).await,
            Target::Layout(_) => Probe::local(self.read.tags(repository).await.map(|_| ())),
        }
    }

    /// Pushes a manifest as [`Self::push_manifest`] does, under a tag that other publishers may move and that points to
    /// `from` now. In a directory, this is a compare-and-swap under the layout's lock. A registry has none. After a
    /// failed attempt the tag is therefore read again, so that a retry does not overwrite the move of another
    /// publisher.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when the tag points to another manifest, [`Kind::Refused`] when a blob is missing.
    pub async fn move_tag(
        &self,
        repository: &Repository,
        manifest: &Document,
        tag: &Tag,
        from: Option<&Digest>,
    ) -> Result<(), Error> {
        match &self.target {
            Target::Registry(registry, _) => registry.move_tag(repository, manifest, tag, from).await,
            Target::Layout(layout) => layout.move_tag(repository, manifest, tag, from).await,
        }
    }

    /// Deletes a manifest with all its tags. Failures are ignored, because many registries do not allow it. A directory
    /// keeps the manifest.
    pub(crate) async fn delete_manifest(&self, repository: &Repository, digest: &Digest) {
        if let Target::Registry(registry, _) = &self.target {
            registry.delete_manifest(repository, digest).await;
        }
    }

    /// Makes `tag` point to a manifest that exists.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the manifest does not exist.
    pub async fn tag(&self, repository: &Repository, tag: &Tag, digest: &Digest) -> Result<(), Error> {
        let (descriptor, bytes) = self.read.manifest(repository, &Selector::Digest(digest.clone())).await?;
        if !media_type::is_manifest(&descriptor.media_type) {
            let reason = format!("invalid media type `{}`: expected that of a manifest", descriptor.media_type);
            return Err(Error::new(Kind::Malformed, "tag", format!("{repository}@{digest}"), reason));
        }
        self.push_manifest(repository, &Document::new(&descriptor.media_type, bytes), Some(tag)).await
    }
}

/// Returns the error for a store that keeps other bytes under a digest than were pushed.
fn kept(repository: &Repository, digest: &Digest) -> Error {
    let reason = "the correct bytes were pushed, but the registry still returns other bytes or none";
    let kind = Kind::Blocked(Obstacle::KeepsOtherBytes);
    Error::new(kind, "replace", format!("{repository}@{digest}"), reason)
}

//! The writing half of the seam.

use std::sync::Arc;

use super::archive::written_as_a_whole;
use super::layout::Layout;
use super::registry::{Access, Mounts, Registry, Upload};
use super::store::Backing;
use super::{
    Content, Digest, Document, Error, Kind, Location, Obstacle, Options, Probe, ReadStore, Repository, Selector, Tag,
    media_type,
};

/// A store that can be written. The caller knows every digest before a byte is sent.
#[derive(Debug)]
pub struct Store {
    read: ReadStore,
    target: Target,
}

/// What `read` reads, without the kind of store that is never pushed to.
#[derive(Debug)]
enum Target {
    Registry(Arc<Registry>, Mounts),
    Layout(Layout),
}

impl Store {
    /// Opens a store for writing. Nothing is written yet; a registry is asked for the right to push from the first request on.
    ///
    /// # Errors
    /// As [`ReadStore::open`]; [`Kind::Refused`] for an archive, which [`super::archive::write`] writes.
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

    /// The reading half.
    pub fn read(&self) -> &ReadStore {
        &self.read
    }

    /// Pushes a blob, unless the store has it. Pushing a blob again succeeds. Returns whether the bytes were sent; otherwise the store
    /// says that it has them.
    ///
    /// # Errors
    /// When the store refuses or fails.
    pub async fn push_blob(&self, repository: &Repository, content: &Content) -> Result<bool, Error> {
        match &self.target {
            Target::Registry(registry, mounts) => registry.push_blob(repository, content, mounts).await,
            Target::Layout(layout) => layout.push_blob(repository, content).await.map(|()| true),
        }
    }

    /// Pushes a blob whatever the store says that it has, and reads it back. What the store keeps all the same is deleted and pushed
    /// again.
    ///
    /// # Errors
    /// [`Kind::Refused`] when the store goes on keeping other bytes under the digest; when it fails.
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

    /// Pushes a manifest under `tag`, whatever the store says that it has, and reads it back. What the store keeps all the same is deleted,
    /// with all its tags, and pushed again.
    ///
    /// # Errors
    /// [`Kind::Refused`] when the store goes on keeping other bytes under the digest; when it fails.
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

    /// Opens an upload for a blob that [`Self::push_blob_into`] pushes later, so that its first round trip costs no time then.
    /// Nothing is written by it. A directory needs none: absent.
    ///
    /// # Errors
    /// When the registry refuses or fails.
    pub(crate) async fn open_upload(&self, repository: &Repository) -> Result<Option<Upload>, Error> {
        match &self.target {
            Target::Registry(registry, _) => registry.open_upload(repository).await.map(Some),
            Target::Layout(_) => Ok(None),
        }
    }

    /// Pushes a blob into an upload that was opened for it.
    ///
    /// # Errors
    /// When the registry refuses, fails, or has forgotten the upload.
    pub(crate) async fn push_blob_into(&self, upload: &Upload, content: &Content) -> Result<(), Error> {
        match &self.target {
            Target::Registry(registry, mounts) => registry.push_blob_into(upload, content, mounts).await,
            Target::Layout(_) => self.push_blob(upload.repository(), content).await.map(drop),
        }
    }

    /// Gives up an upload that is not needed. A registry that does not hear it forgets the upload by itself after a while.
    pub(crate) async fn cancel_upload(&self, upload: Upload) {
        if let Target::Registry(registry, _) = &self.target {
            registry.cancel_upload(upload).await;
        }
    }

    /// Pushes a manifest by its digest, or under `tag`, which then names it: one request for both. The tag is neither looked
    /// at before nor after: there is no compare-and-swap on a registry's tags, so the caller reads it right before and right
    /// after.
    ///
    /// # Errors
    /// [`Kind::Refused`] when a blob that it names is absent.
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

    /// What the store lets us do with a repository: read it, and with `push` write to it. Nothing is left behind.
    pub(crate) async fn probe(&self, repository: &Repository, push: bool) -> Probe {
        match &self.target {
            Target::Registry(registry, _) => registry.probe(repository, push).await,
            Target::Layout(_) => Probe::local(self.read.tags(repository).await.map(|_| ())),
        }
    }

    /// Pushes a manifest as [`Self::push_manifest`] does, under a tag that others move too and that names `from` now. In a directory
    /// this is a compare-and-swap under the layout's lock. A registry has none: after an attempt that failed, the tag is read
    /// again before the next attempt, so that a move that somebody else made in between is not overwritten.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when the tag names something else by then, [`Kind::Refused`] when a blob is absent.
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

    /// Deletes a manifest with all its tags. Best effort: many registries do not allow it. A directory keeps it.
    pub(crate) async fn delete_manifest(&self, repository: &Repository, digest: &Digest) {
        if let Target::Registry(registry, _) = &self.target {
            registry.delete_manifest(repository, digest).await;
        }
    }

    /// Lets `tag` name a manifest that is there.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the manifest is absent.
    pub async fn tag(&self, repository: &Repository, tag: &Tag, digest: &Digest) -> Result<(), Error> {
        let (descriptor, bytes) = self.read.manifest(repository, &Selector::Digest(digest.clone())).await?;
        if !media_type::is_manifest(&descriptor.media_type) {
            let reason = format!("`{}` is no manifest", descriptor.media_type);
            return Err(Error::new(Kind::Malformed, "tagging", format!("{repository}@{digest}"), reason));
        }
        self.push_manifest(repository, &Document::new(&descriptor.media_type, bytes), Some(tag)).await
    }
}

/// A store that keeps other bytes under a digest than were pushed under it.
fn kept(repository: &Repository, digest: &Digest) -> Error {
    let reason = "the right bytes were sent, and the registry still gives other bytes or none";
    let kind = Kind::Blocked(Obstacle::KeepsOtherBytes);
    Error::new(kind, "replacing", format!("{repository}@{digest}"), reason)
}

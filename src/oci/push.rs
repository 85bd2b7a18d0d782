//! The writing half of the seam.

use super::archive::written_as_a_whole;
use super::registry::{Access, Mounts, Upload};
use super::store::Backing;
use super::{Content, Digest, Error, Kind, Location, Options, Probe, ReadStore, Repository, Selector, Tag, media_type};

/// A store that can be written. The caller knows every digest before a byte is sent.
#[derive(Debug)]
pub struct Store {
    read: ReadStore,
    mounts: Mounts,
}

impl Store {
    /// Opens a store for writing. Nothing is written yet; a registry is asked for the right to push from the first request on.
    ///
    /// # Errors
    /// As [`ReadStore::open`]; [`Kind::Refused`] for an archive, which [`super::archive::write`] writes.
    pub fn open(location: &Location, options: Options) -> Result<Self, Error> {
        if let Location::Archive(path) = location {
            return Err(written_as_a_whole(path));
        }
        let read = ReadStore::open_for(location, options, Access::Push)?;
        Ok(Self { read, mounts: Mounts::default() })
    }

    /// The reading half.
    pub fn read(&self) -> &ReadStore {
        &self.read
    }

    /// Pushes a blob, unless the store has it. Pushing again is no error.
    ///
    /// # Errors
    /// When the store refuses or fails.
    pub async fn push_blob(&self, repository: &Repository, content: &Content) -> Result<(), Error> {
        match &self.read.backing {
            Backing::Registry(registry) => registry.push_blob(repository, content, &self.mounts).await,
            Backing::Layout(layout) => layout.push_blob(repository, content).await,
            Backing::Archive(archive) => Err(written_as_a_whole(archive.path())),
        }
    }

    /// Opens an upload for a blob that [`Self::push_blob_into`] pushes later, so that its first round trip costs no time then.
    /// Nothing is written by it. A directory needs none: absent.
    ///
    /// # Errors
    /// When the registry refuses or fails.
    pub async fn open_upload(&self, repository: &Repository) -> Result<Option<Upload>, Error> {
        match &self.read.backing {
            Backing::Registry(registry) => registry.open_upload(repository).await.map(Some),
            Backing::Layout(_) | Backing::Archive(_) => Ok(None),
        }
    }

    /// Pushes a blob into an upload that was opened for it.
    ///
    /// # Errors
    /// When the registry refuses, fails, or has forgotten the upload.
    pub async fn push_blob_into(&self, upload: &Upload, content: &Content) -> Result<(), Error> {
        match &self.read.backing {
            Backing::Registry(registry) => registry.push_blob_into(upload, content, &self.mounts).await,
            Backing::Layout(_) | Backing::Archive(_) => self.push_blob(upload.repository(), content).await,
        }
    }

    /// Gives up an upload that is not needed. A registry that does not hear it forgets the upload by itself after a while.
    pub async fn cancel_upload(&self, upload: Upload) {
        if let Backing::Registry(registry) = &self.read.backing {
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
        content: &Content,
        tag: Option<&Tag>,
    ) -> Result<(), Error> {
        match &self.read.backing {
            Backing::Registry(registry) => registry.push_manifest(repository, content, tag).await,
            Backing::Layout(layout) => layout.push_manifest(repository, content, tag).await,
            Backing::Archive(archive) => Err(written_as_a_whole(archive.path())),
        }
    }

    /// What the store lets us do with a repository: read it, and with `push` write to it. Nothing is left behind.
    pub async fn probe(&self, repository: &Repository, push: bool) -> Probe {
        match &self.read.backing {
            Backing::Registry(registry) => registry.probe(repository, push).await,
            Backing::Layout(_) | Backing::Archive(_) => Probe::local(self.read.tags(repository).await.map(|_| ())),
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
        content: &Content,
        tag: &Tag,
        from: Option<&Digest>,
    ) -> Result<(), Error> {
        match &self.read.backing {
            Backing::Registry(registry) => registry.move_tag(repository, content, tag, from).await,
            Backing::Layout(layout) => layout.move_tag(repository, content, tag, from).await,
            Backing::Archive(archive) => Err(written_as_a_whole(archive.path())),
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
        self.push_manifest(repository, &Content::new(&descriptor.media_type, bytes), Some(tag)).await
    }
}

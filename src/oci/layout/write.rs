//! Writes layouts. Each file is written beside its final name and then renamed, so that readers see the whole old or
//! the whole new state.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;
use tokio::task::spawn_blocking;

use super::read::{Layout, is_foreign};
use crate::oci::content::{Source, unreadable};
use crate::oci::{Content, Descriptor, Digest, Document, Error, Index, Kind, Parsed, Repository, Tag, media_type};

/// Content of the `oci-layout` file.
const MARKER: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

impl Layout {
    /// Creates the layout of a repository if it does not exist.
    fn create(&self, repository: &Repository) -> Result<(), Error> {
        match self.index(repository) {
            // The blobs may have been lost without the index.
            Ok(_) => {
                let blobs = self.path(repository).join("blobs/sha256");
                return fs::create_dir_all(blobs).map_err(|cause| self.write_failed(repository, &cause));
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        self.refuse_foreign_directory()?;
        let directory = self.path(repository);
        let create = || -> io::Result<()> {
            fs::create_dir_all(directory.join("blobs/sha256"))?;
            // Another process may create the same layout. A layout with a marker file keeps its content and its locks.
            let lock = fs::File::open(&directory)?;
            lock.lock()?;
            if directory.join("oci-layout").exists() {
                return Ok(());
            }
            let index = serde_json::to_vec(&Index::new(Vec::new())).map_err(io::Error::other)?;
            if !directory.join("index.json").exists() {
                write_atomically(&directory.join("index.json"), &index)?;
            }
            write_atomically(&directory.join("oci-layout"), MARKER.as_bytes())
        };
        create().map_err(|cause| self.write_failed(repository, &cause))
    }

    /// Refuses a directory that holds other files, so that a typing error in the path does not mix layouts into them.
    fn refuse_foreign_directory(&self) -> Result<(), Error> {
        if !is_foreign(self.directory()) {
            return Ok(());
        }
        let reason = "the directory holds files that are not OCI layouts: pass an empty or a new directory";
        Err(Error::new(Kind::Refused, "write", format!("oci-layout:{}", self.directory().display()), reason))
    }

    fn write_failed(&self, repository: &Repository, cause: &io::Error) -> Error {
        Error::new(Kind::Io, "write", format!("{}/{repository}", self.name()), cause.to_string())
    }

    pub(crate) async fn push_blob(&self, repository: &Repository, content: &Content) -> Result<(), Error> {
        self.create(repository)?;
        self.write_blob(repository, content).await
    }

    async fn write_blob(&self, repository: &Repository, content: &Content) -> Result<(), Error> {
        let digest = &content.descriptor().digest;
        // A corrupted blob is replaced, because the correct bytes are available here.
        if self.holds(repository, digest).await.unwrap_or(false) {
            return Ok(());
        }
        let path = self.blob_path(repository, digest);
        match content.source() {
            Source::Memory(bytes) => {
                write_atomically(&path, bytes).map_err(|cause| self.write_failed(repository, &cause))
            }
            Source::File(_) => self.copy_blob(repository, content).await,
            Source::Registry(remote) => {
                remote.registry.persist(async || self.copy_blob(repository, content).await).await
            }
        }
    }

    /// Copies a blob piece by piece and verifies its digest. Each piece is written while the next one is fetched.
    async fn copy_blob(&self, repository: &Repository, content: &Content) -> Result<(), Error> {
        let digest = &content.descriptor().digest;
        let path = self.blob_path(repository, digest);
        let failed = |cause: io::Error| self.write_failed(repository, &cause);
        let (temporary, file) = Temporary::create(&path).map_err(failed)?;
        let mut writing = spawn_blocking(|| Ok(file));
        let mut pieces = content.stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|cause| {
                let (kind, reason, retry_after) = unreadable(&cause);
                let error = Error::new(kind, "write", self.reference(repository, digest.as_str()), reason);
                if let Some(wait) = retry_after { error.passing(wait) } else { error }
            })?;
            let mut file = writing.await.map_err(io::Error::other).flatten().map_err(failed)?;
            writing = spawn_blocking(move || file.write_all(&piece).map(|()| file));
        }
        let _locked = writing.await.map_err(io::Error::other).flatten().map_err(failed)?;
        fs::rename(&temporary.0, &path).map_err(failed)
    }

    pub(crate) async fn push_manifest(
        &self,
        repository: &Repository,
        manifest: &Document,
        tag: Option<&Tag>,
    ) -> Result<(), Error> {
        self.push_manifest_if(repository, manifest, tag, Expected::Anything).await
    }

    /// Sets a tag if it points to `from`, under the lock of the layout, so that no other writer can move it in between.
    pub(crate) async fn move_tag(
        &self,
        repository: &Repository,
        manifest: &Document,
        tag: &Tag,
        from: Option<&Digest>,
    ) -> Result<(), Error> {
        self.push_manifest_if(repository, manifest, Some(tag), Expected::Exactly(from)).await
    }

    async fn push_manifest_if(
        &self,
        repository: &Repository,
        manifest: &Document,
        tag: Option<&Tag>,
        expected: Expected<'_>,
    ) -> Result<(), Error> {
        self.create(repository)?;
        let refused = |kind, reason: String| {
            let reference = self.reference(repository, manifest.descriptor().digest.as_str());
            Error::new(kind, "push", reference, reason)
        };
        let parsed = Parsed::parse(&manifest.descriptor().media_type, manifest.bytes())
            .map_err(|cause| refused(Kind::Malformed, format!("invalid manifest: {cause}")))?;
        let named: Vec<&Digest> = parsed.names().into_iter().map(|named| &named.digest).collect();
        let absent: Vec<&Digest> =
            named.iter().copied().filter(|digest| !self.blob_path(repository, digest).is_file()).collect();
        // An index may name platforms that are absent, but not all of them.
        let enough = media_type::is_index(&manifest.descriptor().media_type) && absent.len() < named.len();
        if let Some(digest) = absent.first().filter(|_| !enough) {
            return Err(refused(Kind::Refused, format!("the manifest names {digest}, which is missing")));
        }
        self.write_blob(repository, manifest.content()).await?;
        let entered = self.enter(repository, manifest.descriptor(), tag, expected);
        let found = entered.map_err(|cause| self.write_failed(repository, &cause))?;
        let Err(found) = found else { return Ok(()) };
        let found = found.map_or_else(|| "nothing".to_owned(), |digest| digest.to_string());
        let reference = self.reference(repository, tag.map(Tag::as_str).unwrap_or_default());
        Err(Error::new(Kind::Conflict, "move", reference, format!("the tag has been moved and now points to {found}")))
    }

    /// Adds a manifest to the index, under the lock of the layout. If the tag points neither to what is `expected` nor
    /// to the manifest, nothing is written and the inner error is the digest that the tag points to.
    fn enter(
        &self,
        repository: &Repository,
        manifest: &Descriptor,
        tag: Option<&Tag>,
        expected: Expected<'_>,
    ) -> io::Result<Result<(), Option<Digest>>> {
        let directory = self.path(repository);
        let lock = fs::File::open(directory.join("oci-layout"))?;
        lock.lock()?;
        let mut index = self.index(repository).map_err(io::Error::other)?;
        let before = index.clone();
        let name_of = |entry: &Descriptor| entry.annotations.get(media_type::REF_NAME).cloned();
        if let (Some(tag), Expected::Exactly(from)) = (tag, expected) {
            let found = index.manifests.iter().find(|entry| name_of(entry).as_deref() == Some(tag.as_str()));
            let found = found.map(|entry| &entry.digest);
            if found != from && found != Some(&manifest.digest) {
                return Ok(Err(found.cloned()));
            }
        }
        match tag {
            Some(tag) => {
                index.manifests.retain(|entry| {
                    let bare = entry.digest == manifest.digest && name_of(entry).is_none();
                    name_of(entry).as_deref() != Some(tag.as_str()) && !bare
                });
                index.manifests.push(manifest.clone().annotated(media_type::REF_NAME, tag.as_str()));
            }
            None if index.manifests.iter().all(|entry| entry.digest != manifest.digest) => {
                index.manifests.push(manifest.clone());
            }
            None => {}
        }
        // Sorted, so that the same manifests and tags give the same index in any order of pushes.
        index.manifests.sort_by(|a, b| (name_of(a), a.digest.as_str()).cmp(&(name_of(b), b.digest.as_str())));
        if index != before {
            write_atomically(&directory.join("index.json"), &serde_json::to_vec(&index).map_err(io::Error::other)?)?;
        }
        Ok(Ok(()))
    }
}

/// The precondition for setting a tag.
#[derive(Clone, Copy, Debug)]
enum Expected<'a> {
    Anything,
    /// The manifest that the tag must point to; `None` for a tag that must not exist.
    Exactly(Option<&'a Digest>),
}

/// A temporary file, which is removed on drop unless it was renamed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Temporary {
    /// Creates a file beside `path` that is locked while it is open, so that several writers of the same blob do not
    /// disturb each other. Removes the files of writers that were killed.
    fn create(path: &Path) -> io::Result<(Self, fs::File)> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        remove_abandoned(path);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let temporary = Self(path.with_file_name(format!(".{name}.{}.{count}", std::process::id())));
            let file = fs::File::create(&temporary.0)?;
            file.lock()?;
            // Before the lock was taken, another process may have removed the file as abandoned.
            let own = file.metadata()?;
            if fs::metadata(&temporary.0).is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino())) {
                return Ok((temporary, file));
            }
        }
    }
}

/// Removes the temporary files beside `path` that are not locked. Each may be as large as an image layer.
fn remove_abandoned(path: &Path) {
    let entries = path.parent().and_then(|directory| fs::read_dir(directory).ok());
    for entry in entries.into_iter().flatten().flatten() {
        if !is_temporary(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let Ok(file) = fs::File::open(entry.path()) else { continue };
        // The lock is held until the file has been removed.
        if file.try_lock().is_ok() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Returns whether a file name has the form `.NAME.PROCESS.NUMBER`.
fn is_temporary(name: &str) -> bool {
    let number = |word: Option<&str>| word.is_some_and(|word| word.parse::<u64>().is_ok());
    let mut words = name.rsplitn(3, '.');
    number(words.next()) && number(words.next()) && words.next().is_some_and(|rest| rest.starts_with('.'))
}

fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (temporary, mut file) = Temporary::create(path)?;
    file.write_all(bytes)?;
    fs::rename(&temporary.0, path)
}

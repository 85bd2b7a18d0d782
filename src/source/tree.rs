//! The user's source tree: files by path below its root.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::path::join;

use super::{Error, Place};

/// What a name in a directory is. Links are not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file and its size in bytes.
    File(u64),
    /// A directory.
    Directory,
    /// A symbolic link and its target as written.
    Link(String),
    /// A pipe, socket or device.
    Other,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, without its directory.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
}

/// A source tree. All paths are relative to its root, UTF-8, with `/`, without `.` or `..`; `""` is the root.
///
/// It remembers the git blob id of every file that [`Tree::read`] gave out: those enter what is published.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    read: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Tree {
    /// Opens the tree at `root`.
    ///
    /// # Errors
    /// When `root` is no directory that can be read.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let place = || Place::file(root.display().to_string());
        let metadata = fs::metadata(root).map_err(|cause| Error::io(place(), "opening the source tree", cause))?;
        if !metadata.is_dir() {
            return Err(Error::usage(place(), "the source tree must be a directory"));
        }
        Ok(Self { root: root.to_owned(), read: Mutex::default() })
    }

    /// A tree without files: what needs one is read from an archive alone.
    pub(crate) fn empty() -> Self {
        Self { root: PathBuf::new(), read: Mutex::default() }
    }

    /// Where it lies on the disk.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn on_disk(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(path) }
    }

    /// What `path` is, or nothing when there is no such name. The last component is not followed when it is a link.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn kind(&self, path: &str) -> Result<Option<EntryKind>, Error> {
        match fs::symlink_metadata(self.on_disk(path)) {
            Ok(metadata) => self.kind_of(path, &metadata).map(Some),
            Err(cause) if matches!(cause.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(cause) => Err(Error::io(Place::file(path), "looking at it", cause)),
        }
    }

    fn kind_of(&self, path: &str, metadata: &fs::Metadata) -> Result<EntryKind, Error> {
        let kind = metadata.file_type();
        Ok(if kind.is_dir() {
            EntryKind::Directory
        } else if kind.is_file() {
            EntryKind::File(metadata.len())
        } else if kind.is_symlink() {
            let target = fs::read_link(self.on_disk(path))
                .map_err(|cause| Error::io(Place::file(path), "reading the link", cause))?;
            let target = target
                .into_os_string()
                .into_string()
                .map_err(|_| Error::invalid(Place::file(path), "the link's target is not UTF-8"))?;
            EntryKind::Link(target)
        } else {
            EntryKind::Other
        })
    }

    /// The entries of a directory, sorted by the bytes of their names.
    ///
    /// # Errors
    /// When it is no directory, cannot be read, or a name in it is not UTF-8.
    pub fn list(&self, directory: &str) -> Result<Vec<Entry>, Error> {
        let failed =
            |cause| Error::io(Place::file(if directory.is_empty() { "." } else { directory }), "listing it", cause);
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.on_disk(directory)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().into_string().map_err(|name| {
                Error::invalid(Place::file(join(directory, &name.to_string_lossy())), "the name is not UTF-8")
                    .hint("rename the file: Helm and Flux read names as UTF-8")
            })?;
            let path = join(directory, &name);
            let metadata = entry.metadata().map_err(|cause| Error::io(Place::file(&path), "looking at it", cause))?;
            let kind = self.kind_of(&path, &metadata)?;
            entries.push(Entry { name, kind });
        }
        entries.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        Ok(entries)
    }

    /// Reads a file that enters what is published: at most `limit` bytes.
    ///
    /// # Errors
    /// When it is no file, cannot be read or is larger than `limit`; larger files are refused before they are read.
    pub fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let bytes = self.peek(path, limit)?;
        if let Ok(mut read) = self.read.lock() {
            read.entry(path.to_owned()).or_insert_with(|| blob_id(&bytes));
        }
        Ok(bytes)
    }

    /// Reads a file that only decides where to look. Otherwise as [`Tree::read`].
    ///
    /// # Errors
    /// As [`Tree::read`].
    pub fn peek(&self, path: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let failed = |cause| Error::io(Place::file(path), "reading it", cause);
        // Before it is opened: opening a pipe waits for somebody who writes into it.
        if !fs::metadata(self.on_disk(path)).map_err(failed)?.is_file() {
            return Err(Error::invalid(
                Place::file(path),
                "it must be a file, and is a directory, pipe, socket or device",
            ));
        }
        let file = fs::File::open(self.on_disk(path)).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let too_large = || {
            Error::invalid(
                Place::file(path),
                format!("the file is larger than {limit} bytes, the most that is read here"),
            )
        };
        if size > limit {
            return Err(too_large());
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
        file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > limit {
            return Err(too_large());
        }
        Ok(bytes)
    }

    /// The files that [`Tree::read`] gave out, each with its git blob id.
    pub fn inputs(&self) -> BTreeMap<String, Vec<u8>> {
        self.read.lock().map(|read| read.clone()).unwrap_or_default()
    }
}

/// The sha1 that git names a file's content by.
fn blob_id(bytes: &[u8]) -> Vec<u8> {
    gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, bytes)
        .map(|id| id.as_slice().to_owned())
        .unwrap_or_default()
}

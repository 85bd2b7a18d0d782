//! Reads files of the user's source tree by path.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::path::join;

use super::{Error, Place};

/// The kind of a directory entry. Links are not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file and its size in bytes.
    File(u64),
    /// A directory of the tree.
    Directory,
    /// A symbolic link and its target as written.
    Link(String),
    /// A pipe, socket or device.
    Other,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, without its directory.
    pub name: String,
    /// Kind of the entry.
    pub kind: EntryKind,
}

/// A source tree. All paths are relative to its root, UTF-8, with `/`, without `.` or `..`; `""` is the root.
///
/// The tree records the git blob id of every file that [`Tree::read`] returns, because these files are published.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    read: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Tree {
    /// Opens the tree at `root`.
    ///
    /// # Errors
    /// When `root` is not a directory or cannot be read.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let place = || Place::file(root.display().to_string());
        let metadata = fs::metadata(root).map_err(|cause| Error::io(place(), "open the source tree", cause))?;
        if !metadata.is_dir() {
            return Err(Error::usage(place(), "expected a directory as the source tree, found a file"));
        }
        Ok(Self { root: root.to_owned(), read: Mutex::default() })
    }

    /// Creates a tree without files, for charts that are read only from an archive.
    pub(crate) fn empty() -> Self {
        Self { root: PathBuf::new(), read: Mutex::default() }
    }

    /// Returns the directory of the tree on disk.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn on_disk(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(path) }
    }

    /// Returns the kind of the entry at `path`, or `None` where it does not exist. A link as the last component is not followed.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn kind(&self, path: &str) -> Result<Option<EntryKind>, Error> {
        match fs::symlink_metadata(self.on_disk(path)) {
            Ok(metadata) => self.kind_of(path, &metadata).map(Some),
            Err(cause) if matches!(cause.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(cause) => Err(Error::io(Place::file(path), "read the metadata", cause)),
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
                .map_err(|cause| Error::io(Place::file(path), "read the link", cause))?;
            let target = target
                .into_os_string()
                .into_string()
                .map_err(|_| Error::invalid(Place::file(path), "the link's target is not UTF-8"))?;
            EntryKind::Link(target)
        } else {
            EntryKind::Other
        })
    }

    /// Lists the entries of a directory, sorted by the bytes of their names.
    ///
    /// # Errors
    /// When the path is not a directory or cannot be read, or a name is not UTF-8.
    pub fn list(&self, directory: &str) -> Result<Vec<Entry>, Error> {
        let failed = |cause| {
            Error::io(Place::file(if directory.is_empty() { "." } else { directory }), "list the directory", cause)
        };
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.on_disk(directory)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().into_string().map_err(|name| {
                Error::invalid(Place::file(join(directory, &name.to_string_lossy())), "the name is not UTF-8")
                    .hint("rename the file: Helm and Flux read names as UTF-8")
            })?;
            let path = join(directory, &name);
            let metadata =
                entry.metadata().map_err(|cause| Error::io(Place::file(&path), "read the metadata", cause))?;
            let kind = self.kind_of(&path, &metadata)?;
            entries.push(Entry { name, kind });
        }
        entries.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        Ok(entries)
    }

    /// Reads a file that is published, of at most `limit` bytes.
    ///
    /// # Errors
    /// When the path is not a file, cannot be read or is larger than `limit`. Larger files are refused before they are read.
    pub fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let bytes = self.peek(path, limit)?;
        if let Ok(mut read) = self.read.lock() {
            read.entry(path.to_owned()).or_insert_with(|| blob_id(&bytes));
        }
        Ok(bytes)
    }

    /// Reads a file that is not published itself, and otherwise works as [`Tree::read`] does.
    ///
    /// # Errors
    /// The errors of [`Tree::read`].
    pub fn peek(&self, path: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let failed = |cause| Error::io(Place::file(path), "read the file", cause);
        // The kind is checked before the file is opened, because opening a pipe blocks until another process writes to it.
        if !fs::metadata(self.on_disk(path)).map_err(failed)?.is_file() {
            return Err(Error::invalid(
                Place::file(path),
                "expected a file, found a directory, pipe, socket or device",
            ));
        }
        let file = fs::File::open(self.on_disk(path)).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let too_large =
            || Error::invalid(Place::file(path), format!("the file is larger than {limit} bytes, which is the limit"));
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

    /// Returns the files that [`Tree::read`] has read, with their git blob ids.
    pub fn inputs(&self) -> BTreeMap<String, Vec<u8>> {
        self.read.lock().map(|read| read.clone()).unwrap_or_default()
    }
}

/// Computes the SHA-1 by which git identifies a file's content.
fn blob_id(bytes: &[u8]) -> Vec<u8> {
    gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, bytes)
        .map(|id| id.as_slice().to_owned())
        .unwrap_or_default()
}

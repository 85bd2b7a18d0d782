//! Gives access to the files of an archive by name, for tar files and directories alike.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use super::Error;
use super::input::Opened;
use crate::oci::FileRange;
use crate::oci::tar::MemberIndex;

/// Size of the largest JSON document that is read, in bytes.
const JSON_LIMIT: u64 = 4 << 20;

/// The files that an archive holds.
#[derive(Debug)]
pub(super) enum Members {
    Tar(MemberIndex),
    Directory(PathBuf),
}

impl Members {
    pub(super) fn of(opened: Opened) -> Result<Self, Error> {
        match opened {
            Opened::Tar(file) => Ok(Self::Tar(MemberIndex::read(file)?)),
            Opened::Directory(path) => Ok(Self::Directory(path)),
        }
    }

    /// Returns the byte range of a file, or `None` where the file does not exist. In a directory, links are refused because
    /// they could lead out of the directory.
    pub(super) fn file(&self, name: &str) -> Result<Option<FileRange>, Error> {
        let directory = match self {
            Self::Tar(index) => return Ok(index.file(name)?),
            Self::Directory(directory) => directory,
        };
        let path = directory.join(name);
        let metadata = match std::fs::symlink_metadata(&path) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(Error::reading)?,
        };
        if !metadata.is_file() {
            return Err(Error::damaged(format!("{} is not a regular file", path.display())));
        }
        let file = File::open(&path).map_err(Error::reading)?;
        Ok(Some(FileRange::new(Arc::new(file), 0, metadata.len())))
    }

    /// Reads a small file as a whole, or returns `None` where the file does not exist.
    pub(super) fn json(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.file(name)?.map(|range| whole(&range, name)).transpose()
    }
}

/// Reads all bytes of a range of at most [`JSON_LIMIT`] bytes.
pub(super) fn whole(range: &FileRange, name: &str) -> Result<Vec<u8>, Error> {
    if range.length() > JSON_LIMIT {
        return Err(Error::damaged(format!(
            "`{}` is larger than {JSON_LIMIT} bytes, which is the limit",
            name.escape_debug()
        )));
    }
    range.read_at(0, JSON_LIMIT).map_err(Error::reading)
}

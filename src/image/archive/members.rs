//! The files of an archive by their names, whether it is a tar or a directory.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use super::Error;
use super::input::Opened;
use crate::oci::FileRange;
use crate::oci::tar::MemberIndex;

/// Largest JSON that is read.
const JSON_LIMIT: u64 = 4 << 20;

/// What an archive holds.
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

    /// Where the bytes of a file are. In a directory, links are not followed: they could lead anywhere.
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
            return Err(Error::damaged(format!("{} is no plain file", path.display())));
        }
        let file = File::open(&path).map_err(Error::reading)?;
        Ok(Some(FileRange::new(Arc::new(file), 0, metadata.len())))
    }

    /// The bytes of a small file.
    pub(super) fn json(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.file(name)?.map(|range| whole(&range, name)).transpose()
    }
}

/// All bytes, of what is meant to be small.
pub(super) fn whole(range: &FileRange, name: &str) -> Result<Vec<u8>, Error> {
    if range.length() > JSON_LIMIT {
        return Err(Error::damaged(format!("`{}` is larger than {JSON_LIMIT} bytes", name.escape_debug())));
    }
    range.read_at(0, JSON_LIMIT).map_err(Error::reading)
}

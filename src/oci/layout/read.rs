//! Reads a directory of layouts.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::task::spawn_blocking;

use crate::oci::{Descriptor, Digest, Error, Index, Kind, Repository, Selector, Tag, media_type};
use crate::text::shown;

/// Largest `index.json` that is read, in bytes.
const INDEX_LIMIT: u64 = 64 << 20;
/// Directory for the images of other registries. No repository name begins with `_`.
const EXTERNAL: &str = "_external";

/// A directory with one layout for each repository.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    directory: PathBuf,
}

impl Layout {
    /// Opens `directory`, which need not exist yet.
    ///
    /// # Errors
    /// [`Kind::NoStore`] when the path is a file, and [`Kind::Refused`] when it is itself a layout.
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        let layout = Self { directory: directory.to_owned() };
        let refused = |kind, reason: &str| Err(Error::new(kind, "open", layout.name(), reason));
        match fs::metadata(directory) {
            Ok(metadata) if !metadata.is_dir() => refused(Kind::NoStore, "expected a directory, found a file"),
            Ok(_) if directory.join("oci-layout").exists() || directory.join("index.json").exists() => refused(
                Kind::Refused,
                "the directory is itself an OCI layout: expected a directory with one layout for each repository, so pass its parent",
            ),
            Ok(_) => Ok(layout),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(layout),
            Err(cause) => Err(Self::io("open", layout.name(), cause)),
        }
    }

    /// Returns the layouts for the images of another registry, `HOST[:PORT]`, in `_external/<host>`. A `_` replaces the
    /// `:`, which some file systems do not allow.
    ///
    /// # Errors
    /// In the same cases as [`Layout::open`].
    pub(crate) fn external(&self, host: &str) -> Result<Self, Error> {
        Self::open(&self.directory.join(EXTERNAL).join(host.replace(':', "_")))
    }

    /// Returns the directory that holds the layouts.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn name(&self) -> String {
        format!("oci-layout:{}", self.directory.display())
    }

    pub(super) fn reference(&self, repository: &Repository, selector: &str) -> String {
        let separator = if selector.starts_with("sha256:") { "@" } else { ":" };
        format!("{}/{repository}{separator}{selector}", self.name())
    }

    pub(super) fn io(attempted: &'static str, reference: String, cause: io::Error) -> Error {
        if cause.kind() == io::ErrorKind::NotFound {
            return Error::new(Kind::NotFound, attempted, reference, "not found");
        }
        Error::new(Kind::Io, attempted, reference, "an I/O error occurred").caused_by(cause)
    }

    pub(super) fn path(&self, repository: &Repository) -> PathBuf {
        self.directory.join(repository.as_str())
    }

    pub(super) fn blob_path(&self, repository: &Repository, digest: &Digest) -> PathBuf {
        self.path(repository).join("blobs/sha256").join(digest.hex())
    }

    /// Reads the `index.json` of a repository.
    pub(super) fn index(&self, repository: &Repository) -> Result<Index, Error> {
        let directory = self.path(repository);
        let reference = || format!("{}/{repository}", self.name());
        let malformed = |reason: String| Error::new(Kind::Malformed, "read", reference(), reason);
        let marker = read_bounded(&directory.join("oci-layout"), 4096).map_err(|cause| {
            if cause.kind() == io::ErrorKind::NotFound && is_foreign(&directory) {
                let reason = "the directory exists but is not an OCI layout: missing `oci-layout` file";
                return Error::new(Kind::Refused, "open", reference(), reason);
            }
            Self::io("read", reference(), cause)
        })?;
        let marker = serde_json::from_slice::<serde_json::Value>(&marker).ok();
        let version = marker.as_ref().and_then(|marker| marker.get("imageLayoutVersion")?.as_str());
        if version != Some("1.0.0") {
            let found = version.map_or_else(|| "none".to_owned(), shown);
            let reason = format!("invalid `oci-layout` file: expected image layout version 1.0.0, found {found}");
            return Err(malformed(reason));
        }
        let bytes = read_bounded(&directory.join("index.json"), INDEX_LIMIT).map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => malformed("missing `index.json`".to_owned()),
            _ => malformed("cannot read `index.json`".to_owned()).caused_by(cause),
        })?;
        Index::parse(media_type::IMAGE_INDEX, &bytes)
            .map_err(|cause| malformed("invalid `index.json`".to_owned()).caused_by(cause))
    }

    fn entry(&self, repository: &Repository, tag: &Tag) -> Result<Descriptor, Error> {
        let index = self.index(repository)?;
        let named =
            |entry: &&Descriptor| entry.annotations.get(media_type::REF_NAME).is_some_and(|name| name == tag.as_str());
        index.manifests.iter().find(named).cloned().ok_or_else(|| {
            Error::new(Kind::NotFound, "read", self.reference(repository, tag.as_str()), "the tag does not exist")
        })
    }

    #[expect(clippy::unused_async, reason = "the same shape as a registry")]
    pub(crate) async fn resolve(&self, repository: &Repository, tag: &Tag) -> Result<Digest, Error> {
        self.entry(repository, tag).map(|entry| entry.digest)
    }

    #[expect(clippy::unused_async, reason = "the same shape as a registry")]
    pub(crate) async fn manifest(
        &self,
        repository: &Repository,
        selector: &Selector,
        limit: u64,
    ) -> Result<(String, Bytes), Error> {
        let (digest, described) = match selector {
            Selector::Tag(tag) => self.entry(repository, tag).map(|entry| (entry.digest, Some(entry.media_type)))?,
            Selector::Digest(digest) => {
                let entry = self.index(repository)?.manifests.into_iter().find(|entry| entry.digest == *digest);
                (digest.clone(), entry.map(|entry| entry.media_type))
            }
        };
        let reference = self.reference(repository, digest.as_str());
        let bytes = self.read_blob(repository, &digest, limit)?;
        if Digest::of(&bytes) != digest {
            return Err(corrupted(&self.blob_path(repository, &digest), reference));
        }
        Ok((described.unwrap_or_else(|| media_type::of_manifest(&bytes)), Bytes::from(bytes)))
    }

    pub(super) fn read_blob(&self, repository: &Repository, digest: &Digest, limit: u64) -> Result<Vec<u8>, Error> {
        self.bounded(repository, digest, limit, read_bounded(&self.blob_path(repository, digest), limit))
    }

    fn bounded(
        &self,
        repository: &Repository,
        digest: &Digest,
        limit: u64,
        read: io::Result<Vec<u8>>,
    ) -> Result<Vec<u8>, Error> {
        let reference = || self.reference(repository, digest.as_str());
        let bytes = read.map_err(|cause| Self::io("read", reference(), cause))?;
        if bytes.len() as u64 > limit {
            let reason = format!("larger than the limit of {limit} bytes");
            return Err(Error::new(Kind::TooLarge, "read", reference(), reason));
        }
        Ok(bytes)
    }

    /// Reads on a thread for blocking work, so that the caller can be cancelled meanwhile.
    pub(crate) async fn blob(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Bytes, Error> {
        self.index(repository)?;
        let Descriptor { digest, size, .. } = descriptor;
        let (path, limit) = (self.blob_path(repository, digest), *size);
        let read = spawn_blocking(move || read_bounded(&path, limit)).await.map_err(io::Error::other).flatten();
        self.bounded(repository, digest, limit, read).map(Bytes::from)
    }
}

pub(super) fn corrupted(path: &Path, reference: String) -> Error {
    let reason = format!("the blob in {} is corrupted: its bytes have another digest", path.display());
    Error::new(Kind::Mismatch, "read", reference, reason)
}

/// Returns whether `directory` holds anything other than the start of a layout and deeper repositories (`team` may hold
/// `team/app`).
pub(super) fn is_foreign(directory: &Path) -> bool {
    let entries = directory.read_dir().into_iter().flatten().flatten();
    entries.into_iter().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Another process may have written the marker file after this one looked for it.
        let begun = matches!(&*name, "blobs" | "index.json" | "oci-layout") || name.starts_with('.');
        let deeper = entry.path().is_dir() && !is_foreign(&entry.path());
        !begun && !entry.path().join("oci-layout").is_file() && !deeper
    })
}

/// Reads at most one byte more than `limit`, by which the caller notices a file that is too large.
fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

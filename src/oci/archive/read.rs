//! Reading archives: one pass over the headers when it is opened, then every content by its position.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::names::{full_name, names};
use super::{member, name_of, tar};
use crate::oci::{
    Content, Descriptor, Digest, Error, FileRange, Index, Kind, Parsed, Prefix, Repository, Selector, Tag, media_type,
};

/// Largest `index.json` that is read: room for some ten thousand manifests.
const INDEX_LIMIT: u64 = 16 << 20;
/// Largest manifest whose contents belong to its repository.
const MANIFEST_LIMIT: u64 = 4 << 20;
const MARKER_LIMIT: u64 = 4096;
/// Where no file has bytes.
const NOWHERE: u64 = 1 << 62;

/// An archive: the repositories below one prefix.
#[derive(Debug)]
pub(crate) struct Archive {
    opened: Arc<Opened>,
    prefix: Prefix,
}

/// An archive whose headers and index were read.
#[derive(Debug)]
struct Opened {
    path: PathBuf,
    file: Arc<File>,
    members: tar::MemberIndex,
    /// By `HOST/PATH`.
    repositories: BTreeMap<String, Entries>,
}

/// What the index says of a repository.
#[derive(Debug, Default)]
struct Entries {
    tags: BTreeMap<Tag, Digest>,
    manifests: Vec<Descriptor>,
    /// Those and all that they name: contents are shared in the file, and yet belong to a repository.
    holds: OnceLock<BTreeSet<Digest>>,
}

impl Archive {
    /// Opens an archive and reads where everything is in it. `prefix_key` is the key of the annotation that has its prefix.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such file, [`Kind::Refused`] when it is compressed or no file, [`Kind::Malformed`]
    /// when it is no such archive, or damaged.
    pub(crate) fn open(path: &Path, prefix_key: &str) -> Result<Self, Error> {
        let file = Arc::new(plain_file(path)?);
        let members = tar::MemberIndex::read(file.clone()).and_then(|members| members.only_files().map(|()| members));
        let members = members.map_err(|error| broken(path, error))?;
        let marker = small(path, &members, "oci-layout", MARKER_LIMIT)?;
        let marker = serde_json::from_slice::<serde_json::Value>(&marker).ok();
        if marker.as_ref().and_then(|marker| marker.get("imageLayoutVersion")?.as_str()) != Some("1.0.0") {
            return Err(malformed(path, "its `oci-layout` file does not say version 1.0.0"));
        }
        let index = Index::parse(media_type::IMAGE_INDEX, &small(path, &members, "index.json", INDEX_LIMIT)?)
            .map_err(|cause| malformed(path, "its `index.json` is broken").caused_by(cause))?;
        let prefix = index.annotations.get(prefix_key).ok_or_else(|| {
            malformed(path, "its `index.json` does not say which prefix its names are below: it was not made by a copy")
        })?;
        let prefix = Prefix::parse(prefix, false)
            .map_err(|cause| malformed(path, "its `index.json` names a prefix that is none").caused_by(cause))?;
        let repositories = repositories(path, &members, index.manifests)?;
        Ok(Self { opened: Arc::new(Opened { path: path.to_owned(), file, members, repositories }), prefix })
    }

    /// The images of another registry.
    ///
    /// # Errors
    /// None: its host is one.
    pub(crate) fn external(&self, registry: &Prefix) -> Result<Self, Error> {
        let prefix = Prefix::parse(registry.host(), registry.plain_http())
            .map_err(|cause| malformed(self.path(), "no registry has such a name").caused_by(cause))?;
        Ok(Self { opened: self.opened.clone(), prefix })
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.opened.path
    }

    fn reference(&self, repository: &Repository, selector: &Selector) -> String {
        format!("{}:{}", name_of(self.path()), full_name(&self.prefix.name_of(repository), selector))
    }

    fn entries(&self, repository: &Repository) -> Result<&Entries, Error> {
        let name = self.prefix.name_of(repository);
        self.opened.repositories.get(&name).ok_or_else(|| {
            let reference = format!("{}:{name}", name_of(self.path()));
            Error::new(Kind::NotFound, "reading", reference, "there is no such repository in it")
        })
    }

    fn not_there(&self, repository: &Repository, selector: &Selector) -> Error {
        Error::new(Kind::NotFound, "reading", self.reference(repository, selector), "it is not in it")
    }

    /// Where the bytes of a manifest or blob of a repository are.
    fn range(&self, repository: &Repository, digest: &Digest) -> Result<FileRange, Error> {
        let not_there = || self.not_there(repository, &Selector::Digest(digest.clone()));
        let entries = self.entries(repository)?;
        let holds = entries.holds.get_or_init(|| held(&self.opened.members, &entries.manifests));
        if !holds.contains(digest) {
            return Err(not_there());
        }
        let found = self.opened.members.file(&member(digest)).map_err(|error| broken(self.path(), error))?;
        found.ok_or_else(not_there)
    }

    /// All of it, of at most `limit` bytes.
    fn read(&self, repository: &Repository, digest: &Digest, limit: u64) -> Result<Vec<u8>, Error> {
        let range = self.range(repository, digest)?;
        self.check_length(repository, digest, &range, limit)?;
        range.read_at(0, limit).map_err(|cause| self.cut_off(repository, digest, cause))
    }

    fn check_length(
        &self,
        repository: &Repository,
        digest: &Digest,
        range: &FileRange,
        limit: u64,
    ) -> Result<(), Error> {
        if range.length() <= limit {
            return Ok(());
        }
        let reference = self.reference(repository, &Selector::Digest(digest.clone()));
        Err(Error::new(Kind::TooLarge, "reading", reference, format!("it is larger than {limit} bytes")))
    }

    fn cut_off(&self, repository: &Repository, digest: &Digest, cause: io::Error) -> Error {
        let reference = self.reference(repository, &Selector::Digest(digest.clone()));
        Error::new(Kind::Io, "reading", reference, "the file system failed, or the file was cut off").caused_by(cause)
    }

    #[expect(clippy::unused_async, reason = "the same shape as a registry")]
    pub(crate) async fn resolve(&self, repository: &Repository, tag: &Tag) -> Result<Digest, Error> {
        self.tagged(repository, tag)
    }

    fn tagged(&self, repository: &Repository, tag: &Tag) -> Result<Digest, Error> {
        let digest = self.entries(repository)?.tags.get(tag).cloned();
        digest.ok_or_else(|| self.not_there(repository, &Selector::Tag(tag.clone())))
    }

    #[expect(clippy::unused_async, reason = "the same shape as a registry")]
    pub(crate) async fn manifest(
        &self,
        repository: &Repository,
        selector: &Selector,
        limit: u64,
    ) -> Result<(String, Bytes), Error> {
        let digest = match selector {
            Selector::Tag(tag) => self.tagged(repository, tag)?,
            Selector::Digest(digest) => digest.clone(),
        };
        let bytes = self.read(repository, &digest, limit)?;
        if Digest::of(&bytes) != digest {
            return Err(self.corrupted(repository, &digest));
        }
        let described = self.entries(repository)?.manifests.iter().find(|entry| entry.digest == digest);
        let media_type = described.map_or_else(|| media_type::of_manifest(&bytes), |entry| entry.media_type.clone());
        Ok((media_type, Bytes::from(bytes)))
    }

    /// Reads on a thread for blocking work, so that the caller can be cancelled meanwhile.
    pub(crate) async fn blob(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Bytes, Error> {
        let Descriptor { digest, size, .. } = descriptor;
        let (range, limit) = (self.range(repository, digest)?, *size);
        self.check_length(repository, digest, &range, limit)?;
        let read = spawn_blocking(move || range.read_at(0, limit)).await.map_err(io::Error::other).flatten();
        read.map(Bytes::from).map_err(|cause| self.cut_off(repository, digest, cause))
    }

    /// A blob, which is read where it lies when it is stored elsewhere.
    pub(crate) fn content(&self, repository: &Repository, descriptor: &Descriptor) -> Content {
        let range = self.range(repository, &descriptor.digest).ok().filter(|range| range.length() == descriptor.size);
        // What is not there is as if it was cut off, for whoever reads it.
        let range = range.unwrap_or_else(|| FileRange::new(self.opened.file.clone(), NOWHERE, descriptor.size));
        Content::in_file(descriptor.clone(), range)
    }

    /// A file on a disk has nobody who vouches for it: its bytes are held against its digest.
    pub(crate) async fn has(&self, repository: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        let digest = &descriptor.digest;
        let range = match self.range(repository, digest) {
            Err(error) if error.is_not_found() => return Ok(false),
            range => range?,
        };
        match range.has_digest(digest).await {
            Ok(true) => Ok(true),
            Ok(false) => Err(self.corrupted(repository, digest)),
            Err(cause) => {
                let reference = self.reference(repository, &Selector::Digest(digest.clone()));
                Err(Error::new(Kind::Io, "reading", reference, "the file system failed").caused_by(cause))
            }
        }
    }

    #[expect(clippy::unused_async, reason = "the same shape as a registry")]
    pub(crate) async fn tags(&self, repository: &Repository, prefix: &str) -> Result<Vec<Tag>, Error> {
        let tags = self.entries(repository)?.tags.keys();
        Ok(tags.filter(|tag| tag.as_str().starts_with(prefix)).cloned().collect())
    }

    /// The manifests of the index that name `subject`, described with what they say of themselves.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn referrers(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let mut referring = Vec::new();
        for entry in &self.entries(repository)?.manifests {
            let bytes = self.read(repository, &entry.digest, MANIFEST_LIMIT)?;
            referring.extend(Descriptor::referring(&entry.media_type, &bytes, subject));
        }
        Ok(referring)
    }

    fn corrupted(&self, repository: &Repository, digest: &Digest) -> Error {
        let reason = format!("`{}` does not hold what its name says: the archive is corrupted", member(digest));
        let reference = self.reference(repository, &Selector::Digest(digest.clone()));
        Error::new(Kind::Mismatch, "reading", reference, reason)
    }
}

/// A file that can be read by position and begins as no compressed one does.
fn plain_file(path: &Path) -> Result<File, Error> {
    let failed = |cause: io::Error| {
        let missing = cause.kind() == io::ErrorKind::NotFound;
        let (kind, reason) =
            if missing { (Kind::NotFound, "there is no such file") } else { (Kind::Io, "it cannot be opened") };
        Error::new(kind, "opening", name_of(path), reason).caused_by(cause)
    };
    let refused = |reason: &str| Err(Error::new(Kind::Refused, "opening", name_of(path), reason));
    // Looked at before: opening a pipe waits for its writer.
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return refused("it is a directory; one of layouts is named as oci-layout:DIR");
    }
    if !metadata.is_file() {
        return refused("it is no plain file, and is read by position: write it to one first");
    }
    let file = File::open(path).map_err(failed)?;
    let start = FileRange::new(Arc::new(file.try_clone().map_err(failed)?), 0, metadata.len()).read_at(0, 4);
    match start.map_err(failed)?.as_slice() {
        [0x1f, 0x8b, ..] => refused("it is compressed by gzip, and is read by position: unpack it by `gzip -d` first"),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            refused("it is compressed by zstd, and is read by position: unpack it by `zstd -d` first")
        }
        _ => Ok(file),
    }
}

/// The bytes of a small file of an archive.
fn small(path: &Path, members: &tar::MemberIndex, name: &str, limit: u64) -> Result<Vec<u8>, Error> {
    let range = members.file(name).map_err(|error| broken(path, error))?;
    let range = range.ok_or_else(|| malformed(path, format!("it is no OCI layout: it has no `{name}`")))?;
    if range.length() > limit {
        return Err(malformed(path, format!("its `{name}` is larger than {limit} bytes")));
    }
    range.read_at(0, limit).map_err(|cause| broken(path, tar::Error::reading(cause)))
}

/// The entries of an index by their repositories. What has no full name is in none of them: somebody else put it there.
fn repositories(
    path: &Path,
    members: &tar::MemberIndex,
    manifests: Vec<Descriptor>,
) -> Result<BTreeMap<String, Entries>, Error> {
    let mut repositories: BTreeMap<String, Entries> = BTreeMap::new();
    for entry in manifests {
        let file = members.file(&member(&entry.digest)).map_err(|error| broken(path, error))?;
        if file.is_none_or(|file| file.length() != entry.size) {
            let reason = format!("its `index.json` names {} of {} bytes, which is not in it", entry.digest, entry.size);
            return Err(malformed(path, reason));
        }
        let Some((repository, selector)) = names(&entry) else { continue };
        let known = repositories.entry(repository.to_owned()).or_default();
        let other = match &selector {
            Selector::Tag(tag) => known.tags.insert(tag.clone(), entry.digest.clone()),
            Selector::Digest(digest) => Some(digest.clone()),
        };
        if other.is_some_and(|other| other != entry.digest) {
            let name = full_name(repository, &selector).escape_debug().to_string();
            return Err(malformed(path, format!("its `index.json` says two things of {name}")));
        }
        known.manifests.push(entry);
    }
    Ok(repositories)
}

/// The digests of manifests and of all that they name. What cannot be read names nothing, and fails when it is read itself.
fn held(members: &tar::MemberIndex, manifests: &[Descriptor]) -> BTreeSet<Digest> {
    let mut held = BTreeSet::new();
    let mut left = manifests.to_vec();
    while let Some(descriptor) = left.pop() {
        let Descriptor { media_type, digest, .. } = descriptor;
        let file = members.file(&member(&digest)).ok().flatten();
        if !held.insert(digest) || !media_type::is_manifest(&media_type) {
            continue;
        }
        let file = file.filter(|file| file.length() <= MANIFEST_LIMIT);
        let bytes = file.and_then(|file| file.read_at(0, MANIFEST_LIMIT).ok());
        let parsed = bytes.and_then(|bytes| Parsed::parse(&media_type, &bytes).ok());
        left.extend(parsed.iter().flat_map(Parsed::names).cloned());
    }
    held
}

fn malformed(path: &Path, reason: impl Into<String>) -> Error {
    Error::new(Kind::Malformed, "opening", name_of(path), reason)
}

fn broken(path: &Path, error: tar::Error) -> Error {
    let kind = if error.damaged { Kind::Malformed } else { Kind::Io };
    let broken = Error::new(kind, "opening", name_of(path), error.reason);
    match error.source {
        Some(source) => broken.caused_by(source),
        None => broken,
    }
}

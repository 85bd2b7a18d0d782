//! Reads archives: opening one reads all headers in one pass, and every content is then read at its position in the
//! file.

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

/// Largest `index.json` in bytes: room for about ten thousand manifests.
const INDEX_LIMIT: u64 = 16 << 20;
/// Largest manifest in bytes whose blobs count as content of its repository.
const MANIFEST_LIMIT: u64 = 4 << 20;
const MARKER_LIMIT: u64 = 4096;
/// An offset at which no file has bytes.
const NOWHERE: u64 = 1 << 62;

/// One archive, seen through one prefix: it gives access to the repositories below that prefix.
#[derive(Debug)]
pub(crate) struct Archive {
    opened: Arc<Opened>,
    prefix: Prefix,
}

/// An open file whose headers and index have been read.
#[derive(Debug)]
struct Opened {
    path: PathBuf,
    file: Arc<File>,
    members: tar::MemberIndex,
    /// Entries of the index, by the `HOST/PATH` of their repository.
    repositories: BTreeMap<String, Entries>,
}

/// The index entries of one repository.
#[derive(Debug, Default)]
struct Entries {
    tags: BTreeMap<Tag, Digest>,
    manifests: Vec<Descriptor>,
    /// Digests of the manifests and of everything that they name. Repositories share blobs in the file, but a blob is
    /// only served from a repository that names it.
    holds: OnceLock<BTreeSet<Digest>>,
}

impl Archive {
    /// Opens an archive and reads its headers and index. `prefix_key` is the key of the annotation that holds its
    /// prefix.
    ///
    /// # Errors
    /// [`Kind::NoStore`] when the file does not exist, [`Kind::Refused`] when it is compressed or not a regular file,
    /// [`Kind::Malformed`] when it is damaged or is not an archive of this kind.
    pub(crate) fn open(path: &Path, prefix_key: &str) -> Result<Self, Error> {
        let file = Arc::new(plain_file(path)?);
        let members = tar::MemberIndex::read(file.clone()).and_then(|members| members.only_files().map(|()| members));
        let members = members.map_err(|error| broken(path, error))?;
        let marker = small(path, &members, "oci-layout", MARKER_LIMIT)?;
        let marker = serde_json::from_slice::<serde_json::Value>(&marker).ok();
        if marker.as_ref().and_then(|marker| marker.get("imageLayoutVersion")?.as_str()) != Some("1.0.0") {
            return Err(malformed(path, "invalid `oci-layout` file: expected image layout version 1.0.0"));
        }
        let index = Index::parse(media_type::IMAGE_INDEX, &small(path, &members, "index.json", INDEX_LIMIT)?)
            .map_err(|cause| malformed(path, "invalid `index.json`").caused_by(cause))?;
        let prefix = index.annotations.get(prefix_key).ok_or_else(|| {
            malformed(
                path,
                "the archive was not written by a copy: its `index.json` does not state the prefix of its names",
            )
        })?;
        let prefix = Prefix::parse(prefix, false)
            .map_err(|cause| malformed(path, "invalid prefix in its `index.json`").caused_by(cause))?;
        let repositories = repositories(path, &members, index.manifests)?;
        Ok(Self { opened: Arc::new(Opened { path: path.to_owned(), file, members, repositories }), prefix })
    }

    /// Returns the same archive with another registry as its prefix.
    ///
    /// # Errors
    /// Never in practice: the host of a [`Prefix`] is a valid prefix.
    pub(crate) fn external(&self, registry: &Prefix) -> Result<Self, Error> {
        let prefix = Prefix::parse(registry.host(), registry.plain_http())
            .map_err(|cause| malformed(self.path(), "invalid registry name").caused_by(cause))?;
        Ok(Self { opened: self.opened.clone(), prefix })
    }

    /// Returns the path of the archive file.
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
            Error::new(Kind::NotFound, "read", reference, "the archive does not contain this repository")
        })
    }

    fn not_there(&self, repository: &Repository, selector: &Selector) -> Error {
        Error::new(Kind::NotFound, "read", self.reference(repository, selector), "not found in the archive")
    }

    /// Returns the position of a manifest or blob of a repository.
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

    /// Reads a whole manifest or blob of at most `limit` bytes.
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
        Err(Error::new(Kind::TooLarge, "read", reference, format!("larger than the limit of {limit} bytes")))
    }

    fn cut_off(&self, repository: &Repository, digest: &Digest, cause: io::Error) -> Error {
        let reference = self.reference(repository, &Selector::Digest(digest.clone()));
        Error::new(Kind::Io, "read", reference, "the file cannot be read, or was truncated").caused_by(cause)
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

    /// Returns a blob that is read from its position in the archive when it is stored elsewhere.
    pub(crate) fn content(&self, repository: &Repository, descriptor: &Descriptor) -> Content {
        let range = self.range(repository, &descriptor.digest).ok().filter(|range| range.length() == descriptor.size);
        // A missing blob fails like a truncated file, when it is read.
        let range = range.unwrap_or_else(|| FileRange::new(self.opened.file.clone(), NOWHERE, descriptor.size));
        Content::in_file(descriptor.clone(), range)
    }

    /// Returns whether the archive holds the content. Unlike a registry, a file on a disk checks no digests, so the
    /// bytes are read and verified.
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
                Err(Error::new(Kind::Io, "read", reference, "an I/O error occurred").caused_by(cause))
            }
        }
    }

    #[expect(clippy::unused_async, reason = "the same shape as a registry")]
    pub(crate) async fn tags(&self, repository: &Repository, prefix: &str) -> Result<Vec<Tag>, Error> {
        let tags = self.entries(repository)?.tags.keys();
        Ok(tags.filter(|tag| tag.as_str().starts_with(prefix)).cloned().collect())
    }

    /// Returns the manifests in the index that name `subject`, each with its own artifact type and annotations.
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
        let reason =
            format!("the bytes of `{}` do not have the digest in its name: the archive is corrupted", member(digest));
        let reference = self.reference(repository, &Selector::Digest(digest.clone()));
        Error::new(Kind::Mismatch, "read", reference, reason)
    }
}

/// Opens a regular file that does not start like a compressed one.
fn plain_file(path: &Path) -> Result<File, Error> {
    let failed = |cause: io::Error| {
        if cause.kind() == io::ErrorKind::NotFound {
            return Error::new(Kind::NoStore, "open", name_of(path), "the file does not exist");
        }
        Error::new(Kind::Io, "open", name_of(path), "the file cannot be opened").caused_by(cause)
    };
    let refused = |reason: &str| Err(Error::new(Kind::Refused, "open", name_of(path), reason));
    // Checked before the file is opened, because opening a pipe waits for its writer.
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Err(super::no_file(path, "open"));
    }
    if !metadata.is_file() {
        return refused("not a regular file: an archive is read by position, so write it to a file first");
    }
    let file = File::open(path).map_err(failed)?;
    let start = FileRange::new(Arc::new(file.try_clone().map_err(failed)?), 0, metadata.len()).read_at(0, 4);
    match start.map_err(failed)?.as_slice() {
        [0x1f, 0x8b, ..] => refused("the file is compressed with gzip: unpack it with `gzip -d` first"),
        [0x28, 0xb5, 0x2f, 0xfd] => refused("the file is compressed with zstd: unpack it with `zstd -d` first"),
        _ => Ok(file),
    }
}

/// Reads a small file of an archive.
fn small(path: &Path, members: &tar::MemberIndex, name: &str, limit: u64) -> Result<Vec<u8>, Error> {
    let range = members.file(name).map_err(|error| broken(path, error))?;
    let range = range.ok_or_else(|| malformed(path, format!("not an OCI image layout: missing `{name}`")))?;
    if range.length() > limit {
        return Err(malformed(path, format!("its `{name}` is larger than the limit of {limit} bytes")));
    }
    range.read_at(0, limit).map_err(|cause| broken(path, tar::Error::reading(cause)))
}

/// Groups the entries of an index by repository. Entries without a full name are left out: another program added them.
fn repositories(
    path: &Path,
    members: &tar::MemberIndex,
    manifests: Vec<Descriptor>,
) -> Result<BTreeMap<String, Entries>, Error> {
    let mut repositories: BTreeMap<String, Entries> = BTreeMap::new();
    for entry in manifests {
        let file = members.file(&member(&entry.digest)).map_err(|error| broken(path, error))?;
        if file.is_none_or(|file| file.length() != entry.size) {
            let reason = format!("its `index.json` names {} of {} bytes, which is missing", entry.digest, entry.size);
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
            return Err(malformed(path, format!("its `index.json` gives two digests for {name}")));
        }
        known.manifests.push(entry);
    }
    Ok(repositories)
}

/// Returns the digests of manifests and of everything that they name. A manifest that cannot be read adds only its own
/// digest; reading it fails later.
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
    Error::new(Kind::Malformed, "open", name_of(path), reason)
}

fn broken(path: &Path, error: tar::Error) -> Error {
    let kind = if error.damaged { Kind::Malformed } else { Kind::Io };
    let broken = Error::new(kind, "open", name_of(path), error.reason);
    match error.source {
        Some(source) => broken.caused_by(source),
        None => broken,
    }
}

//! Writing an archive, from its first byte to its last: what belongs into it is known before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::tar::{EntryType, Header};
use futures_util::StreamExt as _;
use tokio::task::spawn_blocking;

use super::names::{CONTAINERD_NAME, full_name};
use super::{MARKER, member, name_of};
use crate::oci::content::{Source, unreadable};
use crate::oci::{
    Artifact, Content, Descriptor, Digest, Document, Error, Index, Kind, Parsed, Prefix, Selector, Tag, media_type,
};

const BLOCK: u64 = 512;
/// The end of a tar: two empty blocks.
const END: [u8; 1024] = [0; 1024];
/// From here on a size does not fit into the digits that POSIX has for it: GNU's form takes its place.
const LARGE: u64 = 1 << 33;

/// An artifact and its name in an archive. One that has several tags has as many entries.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// `HOST/PATH` of its repository.
    pub name: String,
    /// Without, it is named by its digest.
    pub tag: Option<Tag>,
    /// The manifest and everything that it names.
    pub artifact: &'a Artifact,
}

/// How far the writing is, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// What is being written.
    pub content: &'a Descriptor,
    /// So much of it is.
    pub written: u64,
    /// So much of all contents is.
    pub written_of_all: u64,
    /// Of all contents, each once.
    pub total: u64,
}

/// Writes an archive of `entries` to `path`, which holds the whole old file or nothing until all of it is on the disk. `prefix` is
/// what the names of the store's own repositories are below; its annotation has `prefix_key`, by which the archive is opened
/// again ([`crate::oci::Options::archive_prefix`]). The same entries give the same bytes, in whatever order.
///
/// # Errors
/// [`Kind::Refused`] when two artifacts have one name, when an artifact names what is not given, or when another process writes the
/// same file; [`Kind::Mismatch`] when a content is not what its digest says; [`Kind::Io`].
pub async fn write(
    path: &Path,
    prefix_key: &str,
    prefix: &Prefix,
    entries: &[Entry<'_>],
    progress: &dyn Fn(Progress<'_>),
) -> Result<(), Error> {
    let mut index = index(path, entries)?;
    index.annotations.insert(prefix_key.to_owned(), prefix.to_string());
    let packed = Packed::of(path, &index, entries)?;
    let unfinished = Unfinished::create(path)?;
    let mut writer = Writer { path, file: &unfinished.file, position: 0, written: 0, total: packed.size(), progress };
    writer.small("oci-layout", MARKER.as_bytes())?;
    writer.small("index.json", &packed.index)?;
    for content in packed.contents() {
        writer.content(content).await?;
    }
    writer.bytes(&END)?;
    unfinished.finish(path).await.map_err(|cause| failed(path, cause))
}

/// What goes into an archive, in order.
struct Packed<'a> {
    index: Vec<u8>,
    manifests: BTreeMap<&'a Digest, &'a Document>,
    blobs: BTreeMap<&'a Digest, &'a Content>,
}

impl<'a> Packed<'a> {
    fn of(path: &Path, index: &Index, entries: &[Entry<'a>]) -> Result<Self, Error> {
        let index = serde_json::to_vec(index).expect("an index has text keys alone");
        let (mut manifests, mut blobs) = (BTreeMap::new(), BTreeMap::new());
        let keyed = |content: &'a Content| (&content.descriptor().digest, content);
        for artifact in entries.iter().map(|entry| entry.artifact) {
            let documents = std::iter::once(artifact.manifest()).chain(artifact.manifests());
            manifests.extend(documents.map(|document| (&document.descriptor().digest, document)));
            blobs.extend(artifact.blobs().iter().map(keyed));
        }
        blobs.retain(|digest, _| !manifests.contains_key(digest));
        let packed = Self { index, manifests, blobs };
        packed.check(path)?;
        Ok(packed)
    }

    /// As every store does: a manifest whose contents are absent is refused. Of an index, platforms may be left out, since its
    /// digest stays what it is; foreign layers are to be had elsewhere.
    fn check(&self, path: &Path) -> Result<(), Error> {
        for (digest, manifest) in &self.manifests {
            let refused =
                |kind, reason: String| Error::new(kind, "writing", format!("{}@{digest}", name_of(path)), reason);
            let parsed = Parsed::parse(&manifest.descriptor().media_type, manifest.bytes())
                .map_err(|cause| refused(Kind::Malformed, format!("invalid manifest: {cause}")))?;
            let named = parsed.names();
            let there = |named: &Descriptor| {
                let elsewhere = media_type::is_foreign(&named.media_type);
                elsewhere || self.manifests.contains_key(&named.digest) || self.blobs.contains_key(&named.digest)
            };
            let of_index = named.iter().all(|named| media_type::is_manifest(&named.media_type));
            if of_index && named.iter().any(|named| there(named)) {
                continue;
            }
            if let Some(absent) = named.iter().find(|named| !there(named)) {
                let reason = format!("it names {} ({}), which is not there", absent.digest, absent.media_type);
                return Err(refused(Kind::Refused, reason));
            }
        }
        Ok(())
    }

    /// Of all contents, in bytes.
    fn size(&self) -> u64 {
        self.contents().map(|content| content.descriptor().size).sum()
    }

    /// In the order of writing.
    fn contents(&self) -> impl Iterator<Item = &'a Content> {
        self.manifests.values().map(|document| document.content()).chain(self.blobs.values().copied())
    }
}

/// The index, in the order of the names.
fn index(path: &Path, entries: &[Entry<'_>]) -> Result<Index, Error> {
    let refused =
        |name: &str, reason: &str| Error::new(Kind::Refused, "writing", format!("{}:{name}", name_of(path)), reason);
    let tagged: BTreeSet<(&str, &Digest)> = entries
        .iter()
        .filter(|entry| entry.tag.is_some())
        .map(|entry| (&*entry.name, entry.artifact.digest()))
        .collect();
    let mut manifests = BTreeMap::new();
    for Entry { name, tag, artifact } in entries {
        if !is_name(name) {
            return Err(refused(name, "want a repository's whole name: `HOST/PATH`"));
        }
        let selector = match tag {
            Some(tag) => Selector::Tag(tag.clone()),
            None if tagged.contains(&(name, artifact.digest())) => continue,
            None => Selector::Digest(artifact.digest().clone()),
        };
        let full_name = full_name(name, &selector);
        let described = describe(artifact.manifest(), &full_name, tag.is_some());
        if manifests.get(&full_name).is_some_and(|other| *other != described) {
            return Err(refused(&full_name, "two artifacts have this name"));
        }
        manifests.insert(full_name, described);
    }
    Ok(Index::new(manifests.into_values().collect()))
}

/// `HOST/PATH`, as it will be read.
fn is_name(name: &str) -> bool {
    name.contains('/') && Prefix::parse(name, false).is_ok_and(|parsed| parsed.to_string() == name)
}

/// A manifest as the index describes it: by its own bytes alone, wherever they were read.
fn describe(manifest: &Document, name: &str, tagged: bool) -> Descriptor {
    let Descriptor { media_type, digest, size, .. } = manifest.descriptor().clone();
    let parsed = Parsed::parse(&media_type, manifest.bytes()).ok();
    let artifact_type = parsed.as_ref().and_then(Parsed::artifact_type).map(ToOwned::to_owned);
    let other = BTreeMap::new();
    let described = Descriptor { media_type, digest, size, artifact_type, annotations: BTreeMap::new(), other };
    let described = described.annotated(media_type::REF_NAME, name);
    // By its digest alone, containerd finds it without a name.
    if tagged { described.annotated(CONTAINERD_NAME, name) } else { described }
}

/// Writes members, one after the other.
struct Writer<'a> {
    path: &'a Path,
    file: &'a File,
    /// In the file.
    position: u64,
    /// Of all contents.
    written: u64,
    total: u64,
    progress: &'a dyn Fn(Progress<'_>),
}

impl Writer<'_> {
    fn write_at(&self, bytes: &[u8], position: u64) -> Result<(), Error> {
        self.file.write_all_at(bytes, position).map_err(|cause| failed(self.path, cause))
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.write_at(bytes, self.position)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn small(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.bytes(header(name, bytes.len() as u64).as_bytes())?;
        self.bytes(bytes)?;
        self.pad()
    }

    async fn content(&mut self, content: &Content) -> Result<(), Error> {
        let Descriptor { digest, size, .. } = content.descriptor();
        self.bytes(header(&member(digest), *size).as_bytes())?;
        match content.source() {
            Source::Memory(_) | Source::File(_) => self.copy(content).await?,
            Source::Registry(remote) => remote.registry.persist(async || self.copy(content).await).await?,
        }
        self.position += size;
        self.written += size;
        self.pad()
    }

    /// Piece by piece, held against its digest on the way; always from here on, however often it is attempted.
    async fn copy(&self, content: &Content) -> Result<(), Error> {
        let descriptor = content.descriptor();
        let wrong =
            |kind, reason| Error::new(kind, "writing", format!("{}@{}", name_of(self.path), descriptor.digest), reason);
        let mut written = 0;
        let mut pieces = content.stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|cause| {
                let (kind, reason, retry_after) = unreadable(&cause);
                let error = wrong(kind, reason);
                if let Some(wait) = retry_after { error.passing(wait) } else { error }
            })?;
            let position = self.position + written;
            written += piece.len() as u64;
            if written > descriptor.size {
                break;
            }
            self.write_at(&piece, position)?;
            let written_of_all = self.written + written;
            (self.progress)(Progress { content: descriptor, written, written_of_all, total: self.total });
        }
        if written == descriptor.size {
            return Ok(());
        }
        Err(wrong(Kind::Mismatch, format!("it has other than the {} bytes that are described", descriptor.size)))
    }

    /// Up to the next whole block.
    fn pad(&mut self) -> Result<(), Error> {
        let missing = self.position.next_multiple_of(BLOCK) - self.position;
        self.bytes(&END[..usize::try_from(missing).unwrap_or_default()])
    }
}

/// Of a plain file: no owner, no time.
fn header(name: &str, size: u64) -> Header {
    let mut header = if size < LARGE { Header::new_ustar() } else { Header::new_gnu() };
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_entry_type(EntryType::Regular);
    header.set_cksum();
    header
}

fn failed(path: &Path, cause: io::Error) -> Error {
    Error::new(Kind::Io, "writing", name_of(path), "the file system failed").caused_by(cause)
}

/// The file beside its final name: removed on drop unless it was finished. What a killed process left is written over.
struct Unfinished {
    path: PathBuf,
    /// Locked while this process writes it.
    file: Arc<File>,
    finished: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Unfinished {
    fn create(target: &Path) -> Result<Self, Error> {
        let refused = |reason: &str| Err(Error::new(Kind::Refused, "writing", name_of(target), reason));
        let Some(name) = target.file_name() else { return refused("it is no name of a file") };
        if fs::metadata(target).is_ok_and(|metadata| !metadata.is_file()) {
            return refused("something else than a file is there: an archive is written beside it and takes its name");
        }
        let path = target.with_file_name(format!(".{}.unfinished", name.to_string_lossy()));
        let io = |cause| failed(target, cause);
        loop {
            let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(io)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return refused("another process is writing it"),
                Err(TryLockError::Error(cause)) => return Err(io(cause)),
            }
            // Whoever had the lock may have finished or removed it meanwhile: then it is no longer the file of that name.
            let own = file.metadata().map_err(io)?;
            if fs::metadata(&path).is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino())) {
                let unfinished = Self { path, file: Arc::new(file), finished: false };
                unfinished.file.set_len(0).map_err(io)?;
                return Ok(unfinished);
            }
        }
    }

    /// All of it is on the disk before it has its name.
    async fn finish(mut self, target: &Path) -> io::Result<()> {
        let file = self.file.clone();
        spawn_blocking(move || file.sync_all()).await.map_err(io::Error::other)??;
        fs::rename(&self.path, target)?;
        self.finished = true;
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Some file systems do not know it of directories; the file is whole in any case.
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_posix_has_no_digits_for_is_written_as_gnu_does() {
        for (size, magic) in [(0, b"ustar\0"), (LARGE - 1, b"ustar\0"), (LARGE, b"ustar "), (1 << 40, b"ustar ")] {
            let header = header("blobs/sha256/x", size);
            assert_eq!(header.entry_size().expect("a size"), size);
            assert_eq!(header.as_bytes()[257..263], *magic, "{size}");
        }
    }
}

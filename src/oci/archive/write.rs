//! Writes an archive from its first byte to its last. The complete content is known before writing starts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _};
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
/// Two empty blocks, which mark the end of a tar archive.
const END: [u8; 1024] = [0; 1024];
/// Smallest size in bytes that does not fit into the digits of a POSIX header and is written in GNU's form.
const LARGE: u64 = 1 << 33;

/// An artifact and its name in an archive. An artifact with several tags has one entry for each tag.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Name of the repository, `HOST/PATH`.
    pub name: String,
    /// Tag of the artifact. Without one, the artifact is named by its digest.
    pub tag: Option<Tag>,
    /// The manifest with everything that it names.
    pub artifact: &'a Artifact,
}

/// The progress of writing an archive, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The content that is being written.
    pub content: &'a Descriptor,
    /// Bytes of this content that are written.
    pub written: u64,
    /// Bytes of all contents that are written.
    pub written_of_all: u64,
    /// Bytes of all contents together, each counted once.
    pub total: u64,
}

/// Writes an archive of `entries` to `path`. The file at `path` stays as it was until the whole archive is on disk.
/// `prefix` is the prefix of the store's own repositories. It is stored in an annotation with the key `prefix_key`, by
/// which the archive is opened again ([`crate::oci::Options::archive_prefix`]). The same entries give the same bytes,
/// in any order.
///
/// # Errors
/// [`Kind::Refused`] when two artifacts have one name, when an artifact names content that is missing, or when another
/// process writes the same file; [`Kind::Mismatch`] when content does not have its digest; [`Kind::Io`].
pub async fn write(
    path: &Path,
    prefix_key: &str,
    prefix: &Prefix,
    entries: &[Entry<'_>],
    progress: &dyn Fn(Progress<'_>),
) -> Result<(), Error> {
    let packed = Packed::of(path, &index(path, prefix_key, prefix, entries)?, entries)?;
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

/// The file at the path of an archive that is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// There is no file.
    Nothing,
    /// The file is the archive already.
    Same,
    /// The file is another archive, or something else.
    Other,
}

/// Compares the file at `path` with the archive that [`write`] would write there: by its length and its index, which names every manifest by
/// digest. An archive takes its name only when all of it is on the disk, so its blobs are not read.
///
/// # Errors
/// [`Kind::NoStore`] when the path is a directory, or the directory of the file does not exist; [`Kind::Io`] when the file cannot be read,
/// and [`Kind::Refused`] as in [`write`].
pub fn existing(path: &Path, prefix_key: &str, prefix: &Prefix, entries: &[Entry<'_>]) -> Result<Existing, Error> {
    let unreadable = |cause| Error::new(Kind::Io, "read", name_of(path), "the file system failed").caused_by(cause);
    if path.is_dir() {
        return Err(super::no_file(path, "write"));
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(directory) = directory.filter(|directory| !directory.exists()) {
        let reason = format!("the directory {} does not exist", directory.display());
        return Err(Error::new(Kind::NoStore, "write", name_of(path), reason));
    }
    let mut file = match File::open(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Existing::Nothing),
        file => file.map_err(unreadable)?,
    };
    let packed = Packed::of(path, &index(path, prefix_key, prefix, entries)?, entries)?;
    let head = packed.head();
    let length = head.len() as u64 + packed.contents().map(|content| member_size(content.descriptor())).sum::<u64>();
    if file.metadata().map_err(unreadable)?.len() != length + END.len() as u64 {
        return Ok(Existing::Other);
    }
    let mut found = vec![0; head.len()];
    file.read_exact(&mut found).map_err(unreadable)?;
    Ok(if found == head { Existing::Same } else { Existing::Other })
}

/// Returns the number of bytes that a blob takes in an archive: a header of one block, and the blob in whole blocks.
fn member_size(descriptor: &Descriptor) -> u64 {
    BLOCK + descriptor.size.next_multiple_of(BLOCK)
}

/// The content of an archive, in the order of writing.
struct Packed<'a> {
    index: Vec<u8>,
    manifests: BTreeMap<&'a Digest, &'a Document>,
    blobs: BTreeMap<&'a Digest, &'a Content>,
}

impl<'a> Packed<'a> {
    fn of(path: &Path, index: &Index, entries: &[Entry<'a>]) -> Result<Self, Error> {
        let index = serde_json::to_vec(index).expect("an index has only text keys");
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

    /// Refuses a manifest whose blobs are missing, as every store does. An index may lack platforms, since its digest
    /// does not change, and foreign layers are served elsewhere.
    fn check(&self, path: &Path) -> Result<(), Error> {
        for (digest, manifest) in &self.manifests {
            let refused =
                |kind, reason: String| Error::new(kind, "write", format!("{}@{digest}", name_of(path)), reason);
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
                let reason = format!("the manifest names {} ({}), which is missing", absent.digest, absent.media_type);
                return Err(refused(Kind::Refused, reason));
            }
        }
        Ok(())
    }

    /// Returns the first bytes of the archive: everything before the manifests.
    fn head(&self) -> Vec<u8> {
        let mut head = Vec::new();
        for (name, bytes) in [("oci-layout", MARKER.as_bytes()), ("index.json", &self.index)] {
            head.extend_from_slice(header(name, bytes.len() as u64).as_bytes());
            head.extend_from_slice(bytes);
            head.resize(head.len().next_multiple_of(END.len() / 2), 0);
        }
        head
    }

    /// Returns the size of all contents in bytes.
    fn size(&self) -> u64 {
        self.contents().map(|content| content.descriptor().size).sum()
    }

    /// Returns all contents in the order of writing.
    fn contents(&self) -> impl Iterator<Item = &'a Content> {
        self.manifests.values().map(|document| document.content()).chain(self.blobs.values().copied())
    }
}

/// Builds the index, sorted by name.
fn index(path: &Path, prefix_key: &str, prefix: &Prefix, entries: &[Entry<'_>]) -> Result<Index, Error> {
    let refused =
        |name: &str, reason: &str| Error::new(Kind::Refused, "write", format!("{}:{name}", name_of(path)), reason);
    let tagged: BTreeSet<(&str, &Digest)> = entries
        .iter()
        .filter(|entry| entry.tag.is_some())
        .map(|entry| (&*entry.name, entry.artifact.digest()))
        .collect();
    let mut manifests = BTreeMap::new();
    for Entry { name, tag, artifact } in entries {
        if !is_name(name) {
            return Err(refused(name, "invalid repository name: expected `HOST/PATH`"));
        }
        let selector = match tag {
            Some(tag) => Selector::Tag(tag.clone()),
            None if tagged.contains(&(name, artifact.digest())) => continue,
            None => Selector::Digest(artifact.digest().clone()),
        };
        let full_name = full_name(name, &selector);
        let described = describe(artifact.manifest(), &full_name, tag.is_some());
        if manifests.get(&full_name).is_some_and(|other| *other != described) {
            return Err(refused(&full_name, "two different artifacts have this name"));
        }
        manifests.insert(full_name, described);
    }
    let mut index = Index::new(manifests.into_values().collect());
    index.annotations.insert(prefix_key.to_owned(), prefix.to_string());
    Ok(index)
}

/// Returns whether `name` is `HOST/PATH` in the spelling in which it is read back.
fn is_name(name: &str) -> bool {
    name.contains('/') && Prefix::parse(name, false).is_ok_and(|parsed| parsed.to_string() == name)
}

/// Describes a manifest for the index by its bytes alone, so that its origin does not change the archive.
fn describe(manifest: &Document, name: &str, tagged: bool) -> Descriptor {
    let Descriptor { media_type, digest, size, .. } = manifest.descriptor().clone();
    let parsed = Parsed::parse(&media_type, manifest.bytes()).ok();
    let artifact_type = parsed.as_ref().and_then(Parsed::artifact_type).map(ToOwned::to_owned);
    let other = BTreeMap::new();
    let described = Descriptor { media_type, digest, size, artifact_type, annotations: BTreeMap::new(), other };
    let described = described.annotated(media_type::REF_NAME, name);
    // containerd finds an untagged manifest by its digest, without a name.
    if tagged { described.annotated(CONTAINERD_NAME, name) } else { described }
}

/// Writes the members of an archive one after another.
struct Writer<'a> {
    path: &'a Path,
    file: &'a File,
    /// Position in the file, in bytes.
    position: u64,
    /// Bytes of all contents that are complete.
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

    /// Copies content piece by piece and verifies its digest. A retry starts again at the same position.
    async fn copy(&self, content: &Content) -> Result<(), Error> {
        let descriptor = content.descriptor();
        let wrong =
            |kind, reason| Error::new(kind, "write", format!("{}@{}", name_of(self.path), descriptor.digest), reason);
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
        Err(wrong(
            Kind::Mismatch,
            format!("the content does not have the {} bytes that its descriptor states", descriptor.size),
        ))
    }

    /// Pads the file to a multiple of 512 bytes.
    fn pad(&mut self) -> Result<(), Error> {
        let missing = self.position.next_multiple_of(BLOCK) - self.position;
        self.bytes(&END[..usize::try_from(missing).unwrap_or_default()])
    }
}

/// Returns the header of a regular file, without owner or time.
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
    Error::new(Kind::Io, "write", name_of(path), "an I/O error occurred").caused_by(cause)
}

/// A file beside its final name, which is removed on drop unless it is finished. The next writer overwrites the file of
/// a process that was killed.
struct Unfinished {
    path: PathBuf,
    /// Locked while this process writes.
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
        let refused = |reason: &str| Err(Error::new(Kind::Refused, "write", name_of(target), reason));
        let Some(name) = target.file_name() else { return refused("the path does not end in a file name") };
        if fs::metadata(target).is_ok_and(|metadata| !metadata.is_file()) {
            return refused("the path exists and is not a regular file, so the archive cannot replace it");
        }
        let path = target.with_file_name(format!(".{}.unfinished", name.to_string_lossy()));
        let io = |cause| failed(target, cause);
        loop {
            let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(io)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return refused("another process is writing this archive"),
                Err(TryLockError::Error(cause)) => return Err(io(cause)),
            }
            // The process that held the lock may have renamed or removed the file in the meantime.
            let own = file.metadata().map_err(io)?;
            if fs::metadata(&path).is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino())) {
                let unfinished = Self { path, file: Arc::new(file), finished: false };
                unfinished.file.set_len(0).map_err(io)?;
                return Ok(unfinished);
            }
        }
    }

    /// Renames the file to its final name after all of it is on disk.
    async fn finish(mut self, target: &Path) -> io::Result<()> {
        let file = self.file.clone();
        spawn_blocking(move || file.sync_all()).await.map_err(io::Error::other)??;
        fs::rename(&self.path, target)?;
        self.finished = true;
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Some file systems cannot sync a directory. The file is complete in any case.
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_too_large_for_posix_is_written_in_the_form_of_gnu() {
        for (size, magic) in [(0, b"ustar\0"), (LARGE - 1, b"ustar\0"), (LARGE, b"ustar "), (1 << 40, b"ustar ")] {
            let header = header("blobs/sha256/x", size);
            assert_eq!(header.entry_size().expect("a size"), size);
            assert_eq!(header.as_bytes()[257..263], *magic, "{size}");
        }
    }
}

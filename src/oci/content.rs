//! Bytes together with their descriptor. A digest is known before the first byte moves. Bytes in a file or in another
//! store are verified while they are copied, and are never in memory as a whole.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream, Stream};
use tokio::task::{JoinHandle, spawn_blocking};

use super::registry::Registry;
use super::store::mismatch;
use super::{Descriptor, Digest, Error, Hasher, Kind, Repository};

/// Bytes that are read at once. Many contents are copied at the same time, each with two or three pieces in memory.
const CHUNK: u64 = 128 << 10;

/// Content together with its descriptor.
#[derive(Clone, Debug)]
pub struct Content {
    descriptor: Descriptor,
    source: Source,
}

/// The place that the bytes are read from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Memory(Bytes),
    File(FileRange),
    Registry(Remote),
}

/// Two contents are equal when their descriptors are: the digest identifies the bytes, wherever they are.
impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.descriptor == other.descriptor
    }
}

impl Eq for Content {}

impl Content {
    /// Computes the descriptor of `bytes`, once.
    pub fn new(media_type: &str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { descriptor: Descriptor::of(media_type, &bytes), source: Source::Memory(bytes) }
    }

    /// Returns content that is read from a file and is already described. The digest is verified at the end of every
    /// read, so other bytes are never stored.
    pub fn in_file(descriptor: Descriptor, range: FileRange) -> Self {
        Self { descriptor, source: Source::File(range) }
    }

    /// Returns content that is read from a registry each time it is stored elsewhere.
    pub(super) fn in_registry(descriptor: Descriptor, registry: Arc<Registry>, repository: Repository) -> Self {
        let remote = Remote { registry, repository, taken: Arc::default() };
        Self { descriptor, source: Source::Registry(remote) }
    }

    /// Returns the descriptor of the content.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Returns the bytes, or `None` when they are in a file or a registry. Such content, for example image layers, is
    /// never read as a whole.
    pub fn bytes(&self) -> Option<&Bytes> {
        match &self.source {
            Source::Memory(bytes) => Some(bytes),
            Source::File(_) | Source::Registry(_) => None,
        }
    }

    /// Returns how many bytes the current or last copy has read from the file or registry, and `None` for content in
    /// memory.
    pub fn progress(&self) -> Option<u64> {
        match &self.source {
            Source::Memory(_) => None,
            Source::File(FileRange { taken, .. }) | Source::Registry(Remote { taken, .. }) => {
                Some(taken.load(Ordering::Relaxed))
            }
        }
    }

    /// Returns the bytes from the start, in pieces. The last piece follows only after the digest has been verified, so
    /// that wrong content is never received as a whole.
    pub(super) fn stream(&self) -> BoxStream<'static, io::Result<Bytes>> {
        match &self.source {
            Source::Memory(bytes) => stream::iter([Ok(bytes.clone())]).boxed(),
            Source::File(range) => range.verified(&self.descriptor.digest).boxed(),
            Source::Registry(remote) => remote.verified(&self.descriptor).boxed(),
        }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// Adds an annotation to the descriptor.
    #[must_use]
    pub(crate) fn annotated(mut self, key: &str, value: &str) -> Self {
        self.descriptor = self.descriptor.annotated(key, value);
        self
    }

    /// Sets the artifact type in the descriptor to the one that the manifest states.
    pub(super) fn typed(mut self, artifact_type: Option<&str>) -> Self {
        self.descriptor.artifact_type = artifact_type.map(ToOwned::to_owned);
        self
    }
}

/// A part of a file that is read by position, so that any number of readers can read it at once.
#[derive(Clone, Debug)]
pub struct FileRange {
    file: Place,
    offset: u64,
    length: u64,
    taken: Arc<AtomicU64>,
}

#[derive(Clone, Debug)]
enum Place {
    Open(Arc<File>),
    /// A path that is opened for each read, because a store has more files than a process may have open.
    Closed(Arc<Path>),
}

impl FileRange {
    /// Returns the range of `length` bytes that starts at `offset`.
    pub fn new(file: Arc<File>, offset: u64, length: u64) -> Self {
        Self { file: Place::Open(file), offset, length, taken: Arc::default() }
    }

    /// Returns the range of all `length` bytes of a file.
    pub(super) fn at(path: PathBuf, length: u64) -> Self {
        Self { file: Place::Closed(path.into()), offset: 0, length, taken: Arc::default() }
    }

    /// Returns the length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Reads at most `limit` bytes from `position` on, counted from the start of the range.
    ///
    /// # Errors
    /// When the file cannot be read, or has become shorter than the range.
    pub(crate) fn read_at(&self, position: u64, limit: u64) -> io::Result<Vec<u8>> {
        let length = self.length.saturating_sub(position).min(limit);
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        match &self.file {
            Place::Open(file) => file.read_exact_at(&mut bytes, self.offset + position)?,
            Place::Closed(path) => File::open(path)?.read_exact_at(&mut bytes, self.offset + position)?,
        }
        Ok(bytes)
    }

    /// Reads the whole range and compares it with `digest`. A thread for blocking work reads and hashes one piece at a
    /// time, so that the caller's thread is free and a cancelled call ends soon.
    pub(super) async fn has_digest(&self, digest: &Digest) -> io::Result<bool> {
        let mut pieces = std::pin::pin!(self.verified(digest));
        while let Some(piece) = pieces.next().await {
            match piece {
                Err(cause) if unreadable(&cause).0 == Kind::Mismatch => return Ok(false),
                piece => drop(piece?),
            }
        }
        Ok(true)
    }

    /// Returns the pieces as [`Content::stream`] does.
    fn verified(&self, digest: &Digest) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static + use<> {
        let first = Reading { range: self.clone(), digest: digest.clone(), position: 0, hasher: Hasher::new() };
        stream::unfold(Some(first.ahead()), |reading| async {
            match reading?.await.map_err(io::Error::other).flatten() {
                Ok((piece, next)) => Some((Ok(piece), next.map(Reading::ahead))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

/// The state of reading a range up to a position.
struct Reading {
    range: FileRange,
    digest: Digest,
    position: u64,
    hasher: Hasher,
}

type Piece = (Bytes, Option<Reading>);

impl Reading {
    /// Reads and hashes the next piece while the previous one is being sent.
    fn ahead(self) -> JoinHandle<io::Result<Piece>> {
        spawn_blocking(|| self.next())
    }

    fn next(mut self) -> io::Result<Piece> {
        let bytes = self.range.read_at(self.position, CHUNK)?;
        self.hasher.update(&bytes);
        self.position += bytes.len() as u64;
        self.range.taken.store(self.position, Ordering::Relaxed);
        if self.position < self.range.length {
            return Ok((Bytes::from(bytes), Some(self)));
        }
        let found = self.hasher.finish();
        if found == self.digest { Ok((Bytes::from(bytes), None)) } else { Err(io::Error::other(Changed(found))) }
    }
}

/// A blob in a registry.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    pub registry: Arc<Registry>,
    pub repository: Repository,
    taken: Arc<AtomicU64>,
}

impl Remote {
    /// Returns the pieces as [`Content::stream`] does.
    fn verified(&self, descriptor: &Descriptor) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static + use<> {
        let (remote, descriptor) = (self.clone(), descriptor.clone());
        let opened = async move {
            let blob = remote.registry.open_blob(&remote.repository, &descriptor).await.map_err(io::Error::other)?;
            let download = Download { remote, descriptor, hasher: Hasher::new(), position: 0, held: None };
            Ok::<_, io::Error>(download.pieces(blob))
        };
        stream::once(opened).flat_map(|opened| match opened {
            Ok(pieces) => pieces.boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        })
    }
}

/// A blob that is being downloaded. It gives out each piece only when the next one has arrived.
struct Download {
    remote: Remote,
    descriptor: Descriptor,
    hasher: Hasher,
    position: u64,
    held: Option<Bytes>,
}

impl Download {
    fn pieces(self, blob: BoxStream<'static, Result<Bytes, Error>>) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::unfold(Some((self, blob)), |state| async {
            let (mut download, mut blob) = state?;
            loop {
                match blob.next().await {
                    Some(Ok(piece)) => {
                        if let Some(before) = download.take(piece) {
                            return Some((Ok(before), Some((download, blob))));
                        }
                        if download.position > download.descriptor.size {
                            return download.finish().map(|last| (last, None));
                        }
                    }
                    Some(Err(error)) => return Some((Err(io::Error::other(error)), None)),
                    None => return download.finish().map(|last| (last, None)),
                }
            }
        })
    }

    /// Takes a new piece and returns the one before it. Returns `None` for the first piece, and when there are more
    /// bytes than described.
    fn take(&mut self, piece: Bytes) -> Option<Bytes> {
        self.hasher.update(&piece);
        self.position += piece.len() as u64;
        self.remote.taken.store(self.position, Ordering::Relaxed);
        let before = self.held.replace(piece);
        before.filter(|_| self.position <= self.descriptor.size)
    }

    /// Returns the last piece, or an error when the bytes do not match the descriptor.
    fn finish(self) -> Option<io::Result<Bytes>> {
        let Self { remote, descriptor, hasher, position, held } = self;
        let found = hasher.finish();
        if found == descriptor.digest && position == descriptor.size {
            return held.map(Ok);
        }
        let reference = format!("{}@{}", remote.registry.name_of(&remote.repository), descriptor.digest);
        Some(Err(io::Error::other(mismatch(&reference, &found))))
    }
}

/// A file whose bytes do not have the digest of the descriptor.
#[derive(Debug, thiserror::Error)]
#[error("the bytes have the digest {0}")]
struct Changed(Digest);

/// Classifies a failure to read content for the operation that stores it: kind, reason, and the wait before a retry
/// when a retry may help.
pub(super) fn unreadable(cause: &io::Error) -> (Kind, String, Option<Duration>) {
    let inner = cause.get_ref();
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<Error>()) {
        return (error.kind(), error.to_string(), error.retry_after());
    }
    let changed = inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<Changed>);
    match cause.kind() {
        _ if changed => (Kind::Mismatch, format!("its file has changed: {cause}"), None),
        io::ErrorKind::UnexpectedEof => {
            (Kind::Mismatch, "its file is shorter than its descriptor states".to_owned(), None)
        }
        _ => (Kind::Io, format!("its file cannot be read: {cause}"), None),
    }
}

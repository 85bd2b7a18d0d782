//! Bytes together with what they are. A digest is known before the first byte moves; where the bytes lie in a file, they are
//! held against it on their way, and never are in memory as a whole.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{Descriptor, Digest, Hasher, Kind};

/// What is read at once.
const CHUNK: u64 = 256 << 10;

/// Some content and its descriptor.
#[derive(Clone, Debug)]
pub struct Content {
    descriptor: Descriptor,
    source: Source,
}

/// Where the bytes are.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Memory(Bytes),
    File(FileRange),
}

/// The same bytes under the same description; wherever they are, the digest says which they are.
impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.descriptor == other.descriptor
    }
}

impl Eq for Content {}

impl Content {
    /// Describes `bytes`, once.
    pub fn new(media_type: &str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { descriptor: Descriptor::of(media_type, &bytes), source: Source::Memory(bytes) }
    }

    /// Content that lies in a file and is described already. Whoever stores it stores nothing else: at its end the digest is held
    /// against what was read.
    pub fn in_file(descriptor: Descriptor, range: FileRange) -> Self {
        Self { descriptor, source: Source::File(range) }
    }

    /// What it is.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The bytes that the descriptor describes.
    ///
    /// # Panics
    /// For content in a file, which is not read as a whole: layers of container images.
    pub fn bytes(&self) -> &Bytes {
        match &self.source {
            Source::Memory(bytes) => bytes,
            Source::File(_) => panic!("{} lies in a file", self.descriptor.digest),
        }
    }

    /// How many bytes were taken out of its file by now, the last time that it was sent; nothing for content in memory.
    pub fn progress(&self) -> Option<u64> {
        match &self.source {
            Source::Memory(_) => None,
            Source::File(range) => Some(range.taken.load(Ordering::Relaxed)),
        }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// The same bytes, annotated where a manifest names them.
    #[must_use]
    pub fn annotated(mut self, key: &str, value: &str) -> Self {
        self.descriptor = self.descriptor.annotated(key, value);
        self
    }

    /// The same bytes, with the artifact type that their manifest states.
    pub(super) fn typed(mut self, artifact_type: Option<&str>) -> Self {
        self.descriptor.artifact_type = artifact_type.map(ToOwned::to_owned);
        self
    }
}

/// A part of a file, read by position: any number of readers at once, each from the start.
#[derive(Clone, Debug)]
pub struct FileRange {
    file: Arc<File>,
    offset: u64,
    length: u64,
    taken: Arc<AtomicU64>,
}

impl FileRange {
    /// `length` bytes from `offset` on.
    pub fn new(file: Arc<File>, offset: u64, length: u64) -> Self {
        Self { file, offset, length, taken: Arc::default() }
    }

    /// Count of bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Reads at most `limit` bytes from `position` on, counted from the start of the range.
    ///
    /// # Errors
    /// When the file cannot be read, or has become shorter than the range.
    pub fn read_at(&self, position: u64, limit: u64) -> io::Result<Vec<u8>> {
        let length = self.length.saturating_sub(position).min(limit);
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, self.offset + position)?;
        Ok(bytes)
    }

    /// The bytes from the start, in pieces. The last piece comes only after all of them were found to have the digest, so that
    /// nothing else can arrive as a whole.
    pub(super) fn verified(&self, digest: &Digest) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static + use<> {
        let first = Reading { range: self.clone(), digest: digest.clone(), position: 0, hasher: Hasher::new() };
        stream::unfold(Some(first.ahead()), |reading| async {
            match reading?.await.map_err(io::Error::other).flatten() {
                Ok((piece, next)) => Some((Ok(piece), next.map(Reading::ahead))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

/// A range, read up to a position.
struct Reading {
    range: FileRange,
    digest: Digest,
    position: u64,
    hasher: Hasher,
}

type Piece = (Bytes, Option<Reading>);

impl Reading {
    /// Reads and hashes the next piece while the last one is on its way.
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

/// What a file holds is not what the digest says.
#[derive(Debug, thiserror::Error)]
#[error("its bytes have the digest {0}")]
struct Changed(Digest);

/// What it means for whoever stores the content that its file could not be read to its end.
pub(super) fn unreadable(cause: &io::Error) -> (Kind, String) {
    let changed = cause.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Changed>);
    match cause.kind() {
        _ if changed => (Kind::Mismatch, format!("its file holds something else: {cause}")),
        io::ErrorKind::UnexpectedEof => (Kind::Mismatch, "its file is too short".to_owned()),
        _ => (Kind::Io, format!("its file cannot be read: {cause}")),
    }
}

//! Compresses a layer into one gzip stream. Blocks of a fixed size are compressed independently, on all processors, and then
//! joined. The stream is the same on every machine, whatever the number of processors.
//!
//! <https://www.rfc-editor.org/rfc/rfc1952>, <https://www.rfc-editor.org/rfc/rfc1951>

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use flate2::{Compress, Compression, Crc, FlushCompress};

use super::Error;
use super::input::{no_room, temporary};
use crate::oci::{Digest, FileRange, Hasher};

/// Size of a block in bytes. Another size would change the digests of published layers.
const BLOCK: u64 = 256 << 10;
/// Compression level. Another level would change the digests of published layers. Level 1 is the fastest: levels 2 and 3
/// save a tenth of the bytes, and take two and four times as long.
const LEVEL: u32 = 1;
/// Header of the gzip stream: deflate, no time, no name, unknown operating system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// Largest number of threads. Each thread holds blocks in memory.
const THREADS: usize = 8;

/// A compressed layer in an unnamed temporary file.
#[derive(Debug)]
pub(super) struct Compressed {
    pub digest: Digest,
    pub range: FileRange,
}

/// One compressed block and its checksum.
struct Block {
    deflated: Vec<u8>,
    checksum: Crc,
}

/// Compresses `layer`, whose bytes must have the digest `diff_id`.
///
/// # Errors
/// When the bytes have another digest, or `scratch` cannot hold the compressed layer.
pub(super) fn gzip(layer: &FileRange, diff_id: &Digest, scratch: &Path) -> Result<Compressed, Error> {
    let count = layer.length().div_ceil(BLOCK).max(1);
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get).min(THREADS);
    thread::scope(|scope| {
        let hashing = scope.spawn(|| digest_of(layer));
        let lanes: Vec<Receiver<_>> = (0..threads as u64)
            .map(|lane| {
                let (sender, receiver) = sync_channel(1);
                scope.spawn(move || deflate_each(layer, (lane..count).step_by(threads), count, &sender));
                receiver
            })
            .collect();
        let written = write(&lanes, count, scratch);
        // The threads end when their receivers are dropped.
        drop(lanes);
        let found = hashing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let found = found.map_err(Error::reading)?;
        if found != *diff_id {
            return Err(Error::damaged(format!("wrong digest of a layer: expected {diff_id}, found {found}")));
        }
        written
    })
}

/// Computes the digest of all bytes in the range.
pub(super) fn digest_of(range: &FileRange) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut position = 0;
    while position < range.length() {
        let bytes = range.read_at(position, BLOCK)?;
        hasher.update(&bytes);
        position += bytes.len() as u64;
    }
    Ok(hasher.finish())
}

/// Compresses the given blocks in order, until all are sent or the receiver is dropped.
fn deflate_each(
    layer: &FileRange,
    blocks: impl Iterator<Item = u64>,
    count: u64,
    sender: &SyncSender<io::Result<Block>>,
) {
    let mut deflate = Compress::new(Compression::new(LEVEL), false);
    for block in blocks {
        let bytes = layer.read_at(block * BLOCK, BLOCK);
        let deflated = bytes.and_then(|bytes| deflate_one(&mut deflate, &bytes, block + 1 == count));
        if sender.send(deflated).is_err() {
            return;
        }
    }
}

fn deflate_one(deflate: &mut Compress, bytes: &[u8], last: bool) -> io::Result<Block> {
    deflate.reset();
    let mut checksum = Crc::new();
    checksum.update(bytes);
    // The capacity is an upper bound. Pages that are never written to take no memory.
    let mut deflated = Vec::with_capacity(bytes.len() + bytes.len() / 8 + 1024);
    // A sync flush ends the block at a byte boundary and leaves the stream open for the next block.
    let flush = if last { FlushCompress::Finish } else { FlushCompress::Sync };
    loop {
        let taken = usize::try_from(deflate.total_in()).map_err(io::Error::other)?;
        let status = deflate.compress_vec(&bytes[taken..], &mut deflated, flush).map_err(io::Error::other)?;
        let room = deflated.len() < deflated.capacity();
        let ended = if last { status == flate2::Status::StreamEnd } else { room };
        if ended {
            return Ok(Block { deflated, checksum });
        }
        deflated.reserve(1024);
    }
}

/// Writes the blocks in their order into one stream.
fn write(lanes: &[Receiver<io::Result<Block>>], count: u64, scratch: &Path) -> Result<Compressed, Error> {
    let mut output = Output { file: temporary(scratch)?, hasher: Hasher::new(), length: 0 };
    let mut checksum = Crc::new();
    let full = |cause| no_room(scratch, cause);
    output.write(&HEADER).map_err(full)?;
    for lane in (0..lanes.len()).cycle().take(usize::try_from(count).unwrap_or(usize::MAX)) {
        let block = lanes[lane].recv().map_err(|cause| Error::reading(io::Error::other(cause)))?;
        let block = block.map_err(Error::reading)?;
        checksum.combine(&block.checksum);
        output.write(&block.deflated).map_err(full)?;
    }
    output.write(&checksum.sum().to_le_bytes()).map_err(full)?;
    output.write(&checksum.amount().to_le_bytes()).map_err(full)?;
    let Output { file, hasher, length } = output;
    Ok(Compressed { digest: hasher.finish(), range: FileRange::new(Arc::new(file), 0, length) })
}

struct Output {
    file: File,
    hasher: Hasher,
    length: u64,
}

impl Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        self.file.write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn layer(bytes: &[u8]) -> FileRange {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        FileRange::new(Arc::new(file), 0, bytes.len() as u64)
    }

    /// Returns a mixture of repeated words and noise.
    fn bytes(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..length).map(|at| if at / 1000 % 3 == 0 { next() } else { b"layer of an image"[at % 17] }).collect()
    }

    #[test]
    fn any_number_of_blocks_makes_one_gzip_stream() {
        let scratch = tempfile::tempdir().expect("a directory");
        let block = usize::try_from(BLOCK).expect("small");
        for length in [0, 1, 600, block - 1, block, block + 1, 5 * block + 77] {
            let bytes = bytes(length);
            let compressed = gzip(&layer(&bytes), &Digest::of(&bytes), scratch.path()).expect("compressed");
            let stream = compressed.range.read_at(0, compressed.range.length()).expect("readable");
            assert_eq!(Digest::of(&stream), compressed.digest, "{length}");
            let mut read = Vec::new();
            // The decoder reads a single gzip member: nothing may be left after it.
            let mut decoder = flate2::bufread::GzDecoder::new(&stream[..]);
            decoder.read_to_end(&mut read).expect("gzip");
            assert!(read == bytes && decoder.into_inner().is_empty(), "{length}");
        }
    }

    #[test]
    fn the_same_layer_gives_the_same_stream_everywhere() {
        let scratch = tempfile::tempdir().expect("a directory");
        let bytes = bytes(3 << 20);
        let compressed = gzip(&layer(&bytes), &Digest::of(&bytes), scratch.path()).expect("compressed");
        assert_eq!(
            compressed.digest.as_str(),
            "sha256:ab281613910212cb15527b9777c974c28c3455380f52cbe2a661e6f331aabeee"
        );
    }

    #[test]
    fn a_layer_with_another_digest_than_expected_is_refused() {
        let scratch = tempfile::tempdir().expect("a directory");
        let error = gzip(&layer(b"one"), &Digest::of(b"two"), scratch.path()).expect_err("another digest");
        assert_eq!(error.kind(), super::super::Kind::Damaged, "{error}");
    }
}

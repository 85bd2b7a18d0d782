//! Opens an image archive for reading by position. Pipes and compressed archives are first written to an unnamed temporary
//! file, which disappears however the process ends.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::Error;
use crate::oci::scan::Scan;

/// Number of bytes that are read at once.
const BUFFER: usize = 256 << 10;
/// Largest ratio of unpacked to packed size. Image archives shrink less than this; decompression bombs shrink more.
const RATIO: u64 = 100;
/// Number of unpacked bytes from which on the ratio is checked.
const HARMLESS: u64 = 256 << 20;
/// Number of packed bytes that may be read without any output. Beyond this, packed data may take at most twice the size of
/// what it unpacks to.
const EMPTY: u64 = 16 << 20;

/// The source of an image archive.
pub enum Input {
    /// A file, a directory or a named pipe.
    Path(PathBuf),
    /// Standard input or another stream.
    Pipe(Box<dyn Read + Send>),
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

impl Input {
    /// Returns the name of the archive for messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Pipe(_) => "on standard input".to_owned(),
        }
    }
}

/// An archive that is opened for reading.
pub(super) enum Opened {
    Tar(Arc<File>),
    Directory(PathBuf),
}

/// Opens the archive. `say` gets a message when this needs disk space.
pub(super) fn open(input: Input, scratch: &Path, say: &dyn Fn(&str)) -> Result<Opened, Error> {
    let path = match input {
        Input::Pipe(pipe) => return spool(pipe, scratch, say),
        Input::Path(path) => path,
    };
    let metadata = std::fs::metadata(&path).map_err(|cause| Error::io("failed to open it", cause))?;
    if metadata.is_dir() {
        return Ok(Opened::Directory(path));
    }
    let mut file = File::open(&path).map_err(|cause| Error::io("failed to open it", cause))?;
    if !metadata.is_file() {
        return spool(Box::new(file), scratch, say);
    }
    let start = start_of(&mut file)?;
    if Form::of(&start) == Form::Plain {
        return Ok(Opened::Tar(Arc::new(file)));
    }
    spool(Box::new(io::Cursor::new(start).chain(file)), scratch, say)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Gzip,
    Zstd,
}

impl Form {
    /// Recognises the form by the first bytes (RFC 1952, 2.3.1; RFC 8878, 3.1.1).
    pub(super) fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// Returns a reader of the unpacked bytes of `reader`.
    pub(super) fn decode<'a>(self, reader: impl Read + 'a) -> Box<dyn Read + 'a> {
        match self {
            Self::Plain => Box::new(reader),
            Self::Gzip => Box::new(MultiGzDecoder::new(reader)),
            Self::Zstd => Box::new(Frames { rest: Some(io::BufReader::new(reader)), frame: None }),
        }
    }
}

fn start_of(reader: &mut dyn Read) -> Result<Vec<u8>, Error> {
    let mut start = Vec::new();
    reader.take(4).read_to_end(&mut start).map_err(Error::reading)?;
    Ok(start)
}

fn spool(mut reader: Box<dyn Read + Send>, scratch: &Path, say: &dyn Fn(&str)) -> Result<Opened, Error> {
    let start = start_of(&mut *reader)?;
    let form = Form::of(&start);
    let what = if form == Form::Plain { "writing the pipe" } else { "decompressing the archive" };
    say(&format!("{what} to a temporary file in {}", scratch.display()));
    let mut file = temporary(scratch)?;
    let counted = Counted { inner: io::Cursor::new(start).chain(reader), count: 0, limit: EMPTY };
    let counted = std::cell::RefCell::new(counted);
    let mut decoded = form.decode(Shared(&counted));
    let mut buffer = vec![0; BUFFER];
    let (mut written, mut scan): (u64, _) = (0, Scan::default());
    loop {
        let count = decoded.read(&mut buffer).map_err(Error::reading)?;
        if count == 0 {
            break;
        }
        written += count as u64;
        counted.borrow_mut().limit = EMPTY + 2 * written;
        // The scan fails at the first byte that is not part of a tar, so that endless input cannot fill the disk.
        scan.take(&buffer[..count])?;
        if form != Form::Plain && written > HARMLESS && written / RATIO > counted.borrow().count {
            return Err(Error::damaged(format!("it unpacks to more than {RATIO} times its size, which is the limit")));
        }
        file.write_all(&buffer[..count]).map_err(|cause| no_room(scratch, cause))?;
    }
    drop(decoded);
    Ok(Opened::Tar(Arc::new(file)))
}

/// Creates an unnamed temporary file in `scratch`.
pub(super) fn temporary(scratch: &Path) -> Result<File, Error> {
    tempfile::tempfile_in(scratch).map_err(|cause| no_room(scratch, cause))
}

pub(super) fn no_room(scratch: &Path, cause: io::Error) -> Error {
    Error::io(format!("failed to write a temporary file in {} (TMPDIR)", scratch.display()), cause)
}

/// Counts the bytes that are read, and fails above a limit.
struct Counted<R> {
    inner: R,
    count: u64,
    limit: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        if self.count > self.limit {
            return Err(damaged(&"it is more than twice as large as what it unpacks to"));
        }
        Ok(count)
    }
}

/// A shared reader, so that the count can be read while a decoder reads.
struct Shared<'a, R>(&'a std::cell::RefCell<R>);

impl<R: Read> Read for Shared<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(buffer)
    }
}

type Frame<R> = StreamingDecoder<io::Chain<io::Cursor<Vec<u8>>, R>, FrameDecoder>;

/// Reads the frames of a zstd file one after the other. Parallel packers write several frames.
struct Frames<R: Read> {
    rest: Option<R>,
    frame: Option<Box<Frame<R>>>,
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let count = frame.read(buffer).map_err(|cause| damaged(&cause))?;
                if count > 0 || buffer.is_empty() {
                    return Ok(count);
                }
            }
            if let Some(frame) = self.frame.take() {
                let (source, decoder) = frame.into_parts();
                let said = decoder.get_checksum_from_data();
                if said.is_some() && said != decoder.get_calculated_checksum() {
                    return Err(damaged(&"wrong checksum of a zstd frame"));
                }
                self.rest = Some(source.into_inner().1);
            }
            let Some(mut rest) = self.rest.take() else { return Ok(0) };
            let mut start = Vec::new();
            (&mut rest).take(4).read_to_end(&mut start)?;
            if start.is_empty() {
                return Ok(0);
            }
            let frame = StreamingDecoder::new(io::Cursor::new(start).chain(rest));
            self.frame = Some(Box::new(frame.map_err(|cause| damaged(&cause))?));
        }
    }
}

fn damaged(cause: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, cause.to_string())
}

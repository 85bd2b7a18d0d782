//! Reproducible tar and gzip, in both directions. The same files give the same bytes on any machine, and archives of
//! other programs are read within limits, because they may be hostile.

use std::fmt;
use std::io::{self, BufWriter, Read, Write};

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};

use crate::oci::tar::is_safe;
use crate::oci::{Digest, Hasher};

/// Modification time of every file: 1980-01-01T00:00:00Z, the earliest time that the ZIP format can express.
pub(crate) const MODIFIED: u64 = 315_532_800;

const BUFFER: usize = 32 << 10;
const BLOCK: usize = 512;
const NAME: usize = 100;
const PREFIX: usize = 155;

/// A complete archive, compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Bytes of the gzip stream.
    pub bytes: Vec<u8>,
    /// Digest of the uncompressed tar archive.
    pub diff_id: Digest,
    /// Size of the uncompressed tar archive, in bytes.
    pub tar_size: u64,
}

/// Packs files into a gzip stream, one after another. The tar archive is never in memory as a whole.
#[derive(Debug)]
pub struct Writer {
    /// Buffered, because the encoder clears a buffer of 32 KiB with every write.
    gzip: BufWriter<GzEncoder<Vec<u8>>>,
    hasher: Hasher,
    size: u64,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// Returns a writer for an archive without files.
    pub fn new() -> Self {
        let gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::new(6));
        Self { gzip: BufWriter::with_capacity(BUFFER, gzip), hasher: Hasher::new(), size: 0 }
    }

    /// Appends a file with mode 0644. Files are stored in the order of the calls.
    ///
    /// # Panics
    /// Never: a write to memory does not fail.
    pub fn file(&mut self, path: &str, bytes: &[u8]) {
        let mut header = Header::new_ustar();
        match Name::of(path) {
            Name::Short => header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes()),
            Name::Split(at) => {
                let ustar = header.as_ustar_mut().expect("the header was made as ustar");
                ustar.prefix[..at].copy_from_slice(&path.as_bytes()[..at]);
                ustar.name[..path.len() - at - 1].copy_from_slice(&path.as_bytes()[at + 1..]);
            }
            Name::Extended => {
                self.extended_path(path);
                set_ascii_name(&mut header, path);
            }
        }
        header.set_mode(0o644);
        header.set_mtime(MODIFIED);
        self.entry(header, EntryType::Regular, bytes);
    }

    /// Writes the PAX header of a file whose path does not fit into a ustar header.
    ///
    /// <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_03>
    fn extended_path(&mut self, path: &str) {
        let (directory, base) = path.rsplit_once('/').map_or(("", path), |(directory, base)| (directory, base));
        let mut header = Header::new_ustar();
        set_ascii_name(&mut header, crate::path::join(directory, &format!("PaxHeaders.0/{base}")).as_str());
        header.set_mode(0);
        header.set_mtime(0);
        self.entry(header, EntryType::XHeader, pax_record("path", path).as_bytes());
    }

    fn entry(&mut self, mut header: Header, kind: EntryType, bytes: &[u8]) {
        header.set_entry_type(kind);
        header.set_uid(0);
        header.set_gid(0);
        header.set_device_major(0).and_then(|()| header.set_device_minor(0)).expect("the header was made as ustar");
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        self.write(header.as_bytes());
        self.write(bytes);
        self.write(&[0; BLOCK][..bytes.len().next_multiple_of(BLOCK) - bytes.len()]);
    }

    fn write(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        self.gzip.write_all(bytes).expect("a write to memory does not fail");
    }

    /// Ends the archive with two blocks of zeros and no further padding.
    ///
    /// # Panics
    /// Never: a write to memory does not fail.
    pub fn finish(mut self) -> Packed {
        self.write(&[0; 2 * BLOCK]);
        let gzip = self.gzip.into_inner().expect("a write to memory does not fail");
        let bytes = gzip.finish().expect("a write to memory does not fail");
        Packed { bytes, diff_id: self.hasher.finish(), tar_size: self.size }
    }
}

/// Packs `files` in their order.
pub fn write<P: AsRef<str>, B: AsRef<[u8]>>(files: impl IntoIterator<Item = (P, B)>) -> Packed {
    let mut writer = Writer::new();
    for (path, bytes) in files {
        writer.file(path.as_ref(), bytes.as_ref());
    }
    writer.finish()
}

/// The part of a header that a path is written to.
enum Name {
    /// The name field of the header.
    Short,
    /// The prefix and name fields, split at the `/` at this byte.
    Split(usize),
    /// A PAX header before the file.
    Extended,
}

impl Name {
    fn of(path: &str) -> Self {
        if !path.bytes().all(|b| b.is_ascii() && b != 0) {
            return Self::Extended;
        }
        if path.len() <= NAME {
            return Self::Short;
        }
        let reach = path.len().min(PREFIX + 1);
        match path[..reach].rfind('/') {
            Some(at) if at > 0 && (1..=NAME).contains(&(path.len() - at - 1)) => Self::Split(at),
            _ => Self::Extended,
        }
    }
}

/// Sets the name for programs that do not know PAX: the ASCII characters, truncated.
fn set_ascii_name(header: &mut Header, name: &str) {
    let ascii = name.bytes().filter(|b| b.is_ascii() && *b != 0).take(NAME);
    for (field, byte) in header.as_old_mut().name.iter_mut().zip(ascii) {
        *field = byte;
    }
}

/// Formats `LENGTH KEY=VALUE\n`, where the length includes its own digits.
fn pax_record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if rest + length.to_string().len() != length {
        length += 1;
    }
    format!("{length} {key}={value}\n")
}

/// Limits that [`read`] keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of the uncompressed tar archive.
    pub total: u64,
    /// Most bytes of one file.
    pub file: u64,
}

/// The reason why an archive is not read.
#[derive(Debug)]
pub enum Refused {
    /// The bytes are not a gzip stream or not a tar archive, or are truncated.
    Damaged(io::Error),
    /// The archive is larger than [`Limits::total`] bytes.
    TooLarge(u64),
    /// A file is larger than [`Limits::file`] bytes.
    FileTooLarge(String, u64),
    /// A path is absolute, empty, not UTF-8, or leads outside the archive.
    Path(String),
    /// An entry is neither a file nor a directory.
    Special(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(cause) => write!(f, "the archive is damaged: {}", cause.to_string().escape_debug()),
            Self::TooLarge(limit) => write!(f, "the archive is larger than the limit of {limit} bytes"),
            Self::FileTooLarge(path, limit) => {
                write!(f, "`{}` in the archive is larger than the limit of {limit} bytes", path.escape_debug())
            }
            Self::Path(path) => write!(f, "unsafe path `{}` in the archive", path.escape_debug()),
            Self::Special(path) => {
                write!(
                    f,
                    "`{}` in the archive is a link or device, expected only files and directories",
                    path.escape_debug()
                )
            }
        }
    }
}

impl std::error::Error for Refused {}

/// Reads the files of a gzipped tar archive in their order. Directories are skipped. Long names of GNU tar and PAX
/// paths are supported.
///
/// # Errors
/// When an entry is neither a file nor a directory, when a path is unsafe, when the archive is damaged or exceeds
/// `limits`.
pub fn read(gzip: &[u8], limits: Limits) -> Result<Vec<(String, Vec<u8>)>, Refused> {
    let mut stream = Bounded { inner: MultiGzDecoder::new(gzip), left: limits.total, exceeded: false };
    let result = read_tar(&mut stream, limits).and_then(|files| {
        // The tar reader stops before the checksum at the end of the gzip stream, so the rest is read, too.
        io::copy(&mut stream, &mut io::sink()).map_err(Refused::Damaged)?;
        Ok(files)
    });
    if stream.exceeded { Err(Refused::TooLarge(limits.total)) } else { result }
}

fn read_tar(stream: &mut impl Read, limits: Limits) -> Result<Vec<(String, Vec<u8>)>, Refused> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(stream).entries().map_err(Refused::Damaged)? {
        let mut entry = entry.map_err(Refused::Damaged)?;
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_pax_global_extensions() {
            continue;
        }
        let path = entry.path_bytes().into_owned();
        let path = String::from_utf8(path).map_err(|e| Refused::Path(String::from_utf8_lossy(e.as_bytes()).into()))?;
        if !matches!(kind, EntryType::Regular | EntryType::Continuous) {
            return Err(Refused::Special(path));
        }
        if !is_safe(&path) {
            return Err(Refused::Path(path));
        }
        if entry.size() > limits.file {
            return Err(Refused::FileTooLarge(path, limits.file));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(Refused::Damaged)?;
        if bytes.len() as u64 != entry.size() {
            return Err(Refused::Damaged(io::ErrorKind::UnexpectedEof.into()));
        }
        files.push((path, bytes));
    }
    Ok(files)
}

/// A reader that fails, instead of ending silently, when there are more bytes than allowed.
struct Bounded<R> {
    inner: R,
    left: u64,
    exceeded: bool,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if let Some(left) = self.left.checked_sub(count as u64) {
            self.left = left;
            return Ok(count);
        }
        self.exceeded = true;
        Err(io::Error::other("more bytes than allowed"))
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;

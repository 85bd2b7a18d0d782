//! Finds the files of a tar archive in one pass over its headers, without unpacking it, and refuses archives that are
//! made to do harm.
//!
//! <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13>

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;

use tar::{EntryType, Header};

use crate::oci::FileRange;

pub(super) const BLOCK: u64 = 512;
/// Most entries that are read. No image archive has this many files, and no archive that this program writes has this
/// many blobs.
pub(super) const ENTRIES: usize = 100_000;
/// Most bytes of all names and link targets together, which are kept in memory.
const NAMES: usize = 32 << 20;
/// Longest extended header in bytes.
pub(super) const EXTENDED: u64 = 1 << 20;
/// Most links that are followed from one name to a file.
const HOPS: usize = 8;

/// The reason why a tar archive is not read.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Error {
    /// Whether the archive is at fault: it is not a tar archive, is damaged, or is made to do harm. Otherwise the file
    /// system failed.
    pub damaged: bool,
    /// What is wrong, for messages.
    pub reason: String,
    /// The error of the file system or the parser.
    pub source: Option<io::Error>,
}

impl Error {
    pub(super) fn damaged(reason: impl Into<String>) -> Self {
        Self { damaged: true, reason: reason.into(), source: None }
    }

    /// Converts an error that occurred while the archive was read. An archive that ends too early is damaged.
    pub(crate) fn reading(source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Self::damaged("the archive is truncated"),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                Self { source: Some(source), ..Self::damaged("the archive is damaged") }
            }
            _ => Self { damaged: false, reason: "the archive cannot be read".to_owned(), source: Some(source) },
        }
    }
}

/// A tar archive and the positions of the files in it.
#[derive(Debug)]
pub(crate) struct MemberIndex {
    file: Arc<File>,
    entries: BTreeMap<String, Entry>,
    /// Total length in bytes of names and link targets.
    names: usize,
}

#[derive(Debug)]
enum Entry {
    File {
        offset: u64,
        length: u64,
    },
    /// A link with its target, relative to the root of the archive.
    Link(String),
    /// Several files have this name. Programs differ in which of them they use.
    Several,
}

/// The extended headers that describe the next entry.
#[derive(Debug, Default)]
pub(super) struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl MemberIndex {
    /// Reads all headers of the archive.
    ///
    /// # Errors
    /// When the file is not a tar archive or is truncated, or when it contains unsafe paths, unsafe links or devices.
    pub(crate) fn read(file: Arc<File>) -> Result<Self, Error> {
        let length = file.metadata().map_err(Error::reading)?.len();
        let whole = FileRange::new(file.clone(), 0, length);
        let mut index = Self { file, entries: BTreeMap::new(), names: 0 };
        let mut extended = Extended::default();
        let mut position = 0;
        for _ in 0..ENTRIES {
            let block = whole.read_at(position, BLOCK).map_err(Error::reading)?;
            if block.len() as u64 != BLOCK {
                return Err(Error::damaged(if position == 0 {
                    "not a tar archive"
                } else {
                    "the archive is truncated"
                }));
            }
            if block.iter().all(|byte| *byte == 0) {
                return if position == 0 { Err(Error::damaged("not a tar archive")) } else { Ok(index) };
            }
            let header = Header::from_byte_slice(&block);
            check(header, position)?;
            position += BLOCK;
            let size = size_of(header, &extended)?;
            let end = position.checked_add(size).filter(|end| *end <= length);
            let end = end.ok_or_else(|| Error::damaged("the archive is truncated"))?;
            index.enter(header, &whole, (position, size), &mut extended)?;
            position = end.next_multiple_of(BLOCK);
        }
        Err(Error::damaged(format!("the archive has more than {ENTRIES} entries, which is the limit")))
    }

    /// Adds one entry whose bytes are at `(offset, length)`.
    fn enter(
        &mut self,
        header: &Header,
        whole: &FileRange,
        (offset, length): (u64, u64),
        extended: &mut Extended,
    ) -> Result<(), Error> {
        let kind = header.entry_type();
        if is_extended(kind) {
            if length > EXTENDED {
                return Err(oversized_header(length));
            }
            let bytes = whole.read_at(offset, length).map_err(Error::reading)?;
            return extended.take(kind, bytes);
        }
        let Extended { path, link, .. } = std::mem::take(extended);
        let name = safe_name(path.unwrap_or_else(|| header.path_bytes().into_owned()))?;
        let entry = match kind {
            EntryType::XGlobalHeader => return Ok(()),
            EntryType::Directory if length == 0 => return Ok(()),
            EntryType::Regular | EntryType::Continuous => Entry::File { offset, length },
            EntryType::Link | EntryType::Symlink => {
                let link = link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
                let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
                let from = if kind == EntryType::Symlink { directory } else { "" };
                let target = String::from_utf8(link.unwrap_or_default()).ok().and_then(|link| leads_to(from, &link));
                let leaves = || Error::damaged(format!("the link `{}` leads outside the archive", name.escape_debug()));
                let target = target.ok_or_else(leaves)?;
                self.names += target.len();
                Entry::Link(target)
            }
            _ => {
                let reason = format!("`{}` is neither a file, a directory nor a link", name.escape_debug());
                return Err(Error::damaged(reason));
            }
        };
        self.names += name.len();
        if self.names > NAMES {
            return Err(Error::damaged(format!("the names in the archive are longer than {NAMES} bytes in total")));
        }
        self.entries.entry(name).and_modify(|entry| *entry = Entry::Several).or_insert(entry);
        Ok(())
    }

    /// Checks that the archive contains only regular files, each once.
    ///
    /// # Errors
    /// Names the first entry that is a link or a duplicate.
    pub(crate) fn only_files(&self) -> Result<(), Error> {
        for (name, entry) in &self.entries {
            let name = name.escape_debug();
            match entry {
                Entry::File { .. } => {}
                Entry::Link(_) => return Err(Error::damaged(format!("`{name}` is a link, expected a regular file"))),
                Entry::Several => return Err(Error::damaged(format!("the archive contains `{name}` more than once"))),
            }
        }
        Ok(())
    }

    /// Returns the file with this name, following links.
    ///
    /// # Errors
    /// When several files have the name, or when links form a cycle or a chain of more than 8.
    pub(crate) fn file(&self, name: &str) -> Result<Option<FileRange>, Error> {
        let mut name = name;
        for _ in 0..HOPS {
            match self.entries.get(name) {
                None => return Ok(None),
                Some(Entry::File { offset, length }) => {
                    return Ok(Some(FileRange::new(self.file.clone(), *offset, *length)));
                }
                Some(Entry::Several) => {
                    return Err(Error::damaged(format!(
                        "the archive contains `{}` more than once",
                        name.escape_debug()
                    )));
                }
                Some(Entry::Link(target)) => name = target,
            }
        }
        Err(Error::damaged(format!(
            "the link to `{}` is part of a cycle or of a chain of more than {HOPS} links",
            name.escape_debug()
        )))
    }
}

impl Extended {
    pub(super) fn take(&mut self, kind: EntryType, mut bytes: Vec<u8>) -> Result<(), Error> {
        match kind {
            EntryType::XHeader => return self.take_records(&bytes),
            _ if bytes.last() == Some(&0) => bytes.truncate(bytes.len() - 1),
            _ => {}
        }
        let field = if kind == EntryType::GNULongName { &mut self.path } else { &mut self.link };
        *field = Some(bytes);
        Ok(())
    }

    /// Parses pax records, each `LENGTH KEY=VALUE\n`.
    fn take_records(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for record in tar::PaxExtensions::new(bytes) {
            let record = record.map_err(Error::reading)?;
            match record.key_bytes() {
                b"path" => self.path = Some(record.value_bytes().to_vec()),
                b"linkpath" => self.link = Some(record.value_bytes().to_vec()),
                b"size" => {
                    let size = record.value().ok().and_then(|value| value.parse().ok());
                    self.size =
                        Some(size.ok_or_else(|| Error::damaged("a header has an invalid size: expected a number"))?);
                }
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(Error::damaged("the archive contains a sparse file, which is not supported"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Returns whether an entry describes the entry that follows.
pub(super) fn is_extended(kind: EntryType) -> bool {
    matches!(kind, EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink)
}

/// Verifies the checksum of a header.
pub(super) fn check(header: &Header, position: u64) -> Result<(), Error> {
    let sum = header.as_bytes().iter().enumerate();
    // The bytes of the checksum field count as spaces.
    let sum: u32 = sum.map(|(at, byte)| u32::from(if (148..156).contains(&at) { b' ' } else { *byte })).sum();
    match header.cksum() {
        Ok(found) if found == sum => Ok(()),
        _ if position == 0 => Err(Error::damaged("not a tar archive")),
        _ => Err(Error::damaged(format!("the archive is damaged at byte {position}"))),
    }
}

/// Returns the size of an entry's content in bytes. Only files have content, although some packers write the size of a
/// link's target.
pub(super) fn size_of(header: &Header, extended: &Extended) -> Result<u64, Error> {
    if matches!(header.entry_type(), EntryType::Link | EntryType::Symlink | EntryType::Directory) {
        return Ok(0);
    }
    match extended.size {
        Some(size) => Ok(size),
        None => header.entry_size().map_err(|_| Error::damaged("a header has an invalid size: expected a number")),
    }
}

pub(super) fn oversized_header(size: u64) -> Error {
    Error::damaged(format!("an extended header has {size} bytes, more than the limit of {EXTENDED}"))
}

fn safe_name(name: Vec<u8>) -> Result<String, Error> {
    let unsafe_name = |name: &str| Error::damaged(format!("unsafe path `{}` in the archive", name.escape_debug()));
    let name = String::from_utf8(name).map_err(|error| unsafe_name(&String::from_utf8_lossy(error.as_bytes())))?;
    let plain = name.trim_start_matches("./");
    // `.` and `./` are the root itself.
    if !plain.is_empty() && plain != "." && !is_safe(plain) {
        return Err(unsafe_name(&name));
    }
    Ok(plain.trim_end_matches('/').to_owned())
}

/// Returns the target of a link in `directory`, or `None` when the link leads outside the archive.
fn leads_to(directory: &str, link: &str) -> Option<String> {
    if link.starts_with('/') || link.contains(['\\', '\0']) {
        return None;
    }
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Returns whether a path is relative and never goes up, with `/` or `\` as separator.
pub(crate) fn is_safe(path: &str) -> bool {
    let drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    !path.is_empty()
        && !drive
        && !path.contains('\0')
        && !path.starts_with(['/', '\\'])
        && path.split(['/', '\\']).all(|part| part != "..")
}

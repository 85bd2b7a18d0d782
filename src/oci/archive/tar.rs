//! Where the files of a tar lie: one pass over its headers, nothing is unpacked. What is made to do harm is refused here.
//!
//! <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13>

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;

use tar::{EntryType, Header};

use crate::oci::FileRange;

pub(super) const BLOCK: u64 = 512;
/// No image has so many files beside its layers, and no archive that is written here has so many blobs.
pub(super) const ENTRIES: usize = 100_000;
/// All names and links together: they are kept in memory.
const NAMES: usize = 32 << 20;
/// Longest extended header.
pub(super) const EXTENDED: u64 = 1 << 20;
/// How many links may lead from one to the next.
const HOPS: usize = 8;

/// A tar that is not read.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Error {
    /// It is no such archive, or damaged, or made to do harm; else it is the file system.
    pub damaged: bool,
    /// What is wrong with it.
    pub reason: String,
    /// What the file system or a parser said.
    pub source: Option<io::Error>,
}

impl Error {
    pub(super) fn damaged(reason: impl Into<String>) -> Self {
        Self { damaged: true, reason: reason.into(), source: None }
    }

    /// Reading the archive itself failed: what is cut off is damaged.
    pub(crate) fn reading(source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Self::damaged("it ends in its middle"),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                Self { source: Some(source), ..Self::damaged("it is damaged") }
            }
            _ => Self { damaged: false, reason: "it cannot be read".to_owned(), source: Some(source) },
        }
    }
}

/// A tar file, and where its files lie in it.
#[derive(Debug)]
pub(crate) struct MemberIndex {
    file: Arc<File>,
    entries: BTreeMap<String, Entry>,
    /// Bytes of names and links.
    names: usize,
}

#[derive(Debug)]
enum Entry {
    File {
        offset: u64,
        length: u64,
    },
    /// Leads there, from the root.
    Link(String),
    /// Several files have the name: readers differ in which of them they see.
    Several,
}

/// What stands in headers before the one that it is about.
#[derive(Debug, Default)]
pub(super) struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl MemberIndex {
    /// Reads all headers.
    ///
    /// # Errors
    /// When it is no tar, is cut off, or has paths, links or devices that no such archive has.
    pub(crate) fn read(file: Arc<File>) -> Result<Self, Error> {
        let length = file.metadata().map_err(Error::reading)?.len();
        let whole = FileRange::new(file.clone(), 0, length);
        let mut index = Self { file, entries: BTreeMap::new(), names: 0 };
        let mut extended = Extended::default();
        let mut position = 0;
        for _ in 0..ENTRIES {
            let block = whole.read_at(position, BLOCK).map_err(Error::reading)?;
            if block.len() as u64 != BLOCK {
                return Err(Error::damaged(if position == 0 { "it is no tar" } else { "it ends in its middle" }));
            }
            if block.iter().all(|byte| *byte == 0) {
                return if position == 0 { Err(Error::damaged("it is no tar")) } else { Ok(index) };
            }
            let header = Header::from_byte_slice(&block);
            check(header, position)?;
            position += BLOCK;
            let size = size_of(header, &extended)?;
            let end = position.checked_add(size).filter(|end| *end <= length);
            let end = end.ok_or_else(|| Error::damaged("it ends in its middle"))?;
            index.enter(header, &whole, (position, size), &mut extended)?;
            position = end.next_multiple_of(BLOCK);
        }
        Err(Error::damaged(format!("it has more than {ENTRIES} entries")))
    }

    /// Takes in one entry whose bytes lie at `(offset, length)`.
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
                return Err(Error::damaged(format!("a header of {length} bytes is no header")));
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
                let leaves = || Error::damaged(format!("the link `{}` leads out of it", name.escape_debug()));
                let target = target.ok_or_else(leaves)?;
                self.names += target.len();
                Entry::Link(target)
            }
            _ => {
                let reason = format!("`{}` is neither file, directory nor link", name.escape_debug());
                return Err(Error::damaged(reason));
            }
        };
        self.names += name.len();
        if self.names > NAMES {
            return Err(Error::damaged(format!("the names in it are longer than {NAMES} bytes")));
        }
        self.entries.entry(name).and_modify(|entry| *entry = Entry::Several).or_insert(entry);
        Ok(())
    }

    /// Nothing but plain files, each once.
    ///
    /// # Errors
    /// Names what else there is.
    pub(crate) fn only_files(&self) -> Result<(), Error> {
        for (name, entry) in &self.entries {
            let name = name.escape_debug();
            match entry {
                Entry::File { .. } => {}
                Entry::Link(_) => return Err(Error::damaged(format!("`{name}` in it is a link"))),
                Entry::Several => return Err(Error::damaged(format!("`{name}` is in it more than once"))),
            }
        }
        Ok(())
    }

    /// The file of that name, by whatever links lead to it.
    ///
    /// # Errors
    /// When several files have the name, or links go in a circle.
    pub(crate) fn file(&self, name: &str) -> Result<Option<FileRange>, Error> {
        let mut name = name;
        for _ in 0..HOPS {
            match self.entries.get(name) {
                None => return Ok(None),
                Some(Entry::File { offset, length }) => {
                    return Ok(Some(FileRange::new(self.file.clone(), *offset, *length)));
                }
                Some(Entry::Several) => {
                    return Err(Error::damaged(format!("`{}` is in it more than once", name.escape_debug())));
                }
                Some(Entry::Link(target)) => name = target,
            }
        }
        Err(Error::damaged(format!("the link `{}` leads nowhere", name.escape_debug())))
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

    /// `LENGTH KEY=VALUE\n`, each.
    fn take_records(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for record in tar::PaxExtensions::new(bytes) {
            let record = record.map_err(Error::reading)?;
            match record.key_bytes() {
                b"path" => self.path = Some(record.value_bytes().to_vec()),
                b"linkpath" => self.link = Some(record.value_bytes().to_vec()),
                b"size" => {
                    let size = record.value().ok().and_then(|value| value.parse().ok());
                    self.size = Some(size.ok_or_else(|| Error::damaged("a size in it is no number"))?);
                }
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(Error::damaged("it has a file with holes left out, which no such archive has"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Tells whether an entry says something about the one that follows.
pub(super) fn is_extended(kind: EntryType) -> bool {
    matches!(kind, EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink)
}

/// Is it a header? Its checksum says so.
pub(super) fn check(header: &Header, position: u64) -> Result<(), Error> {
    let sum = header.as_bytes().iter().enumerate();
    // The checksum's own field counts as spaces.
    let sum: u32 = sum.map(|(at, byte)| u32::from(if (148..156).contains(&at) { b' ' } else { *byte })).sum();
    match header.cksum() {
        Ok(found) if found == sum => Ok(()),
        _ if position == 0 => Err(Error::damaged("it is no tar")),
        _ => Err(Error::damaged(format!("it is damaged at byte {position}"))),
    }
}

/// Only files have bytes; some packers write the size of what a link leads to.
pub(super) fn size_of(header: &Header, extended: &Extended) -> Result<u64, Error> {
    if matches!(header.entry_type(), EntryType::Link | EntryType::Symlink | EntryType::Directory) {
        return Ok(0);
    }
    match extended.size {
        Some(size) => Ok(size),
        None => header.entry_size().map_err(|_| Error::damaged("a size in it is no number")),
    }
}

fn safe_name(name: Vec<u8>) -> Result<String, Error> {
    let unsafe_name = |name: &str| Error::damaged(format!("the name `{}` in it is not safe", name.escape_debug()));
    let name = String::from_utf8(name).map_err(|error| unsafe_name(&String::from_utf8_lossy(error.as_bytes())))?;
    let plain = name.trim_start_matches("./");
    // The root itself.
    if !plain.is_empty() && plain != "." && !is_safe(plain) {
        return Err(unsafe_name(&name));
    }
    Ok(plain.trim_end_matches('/').to_owned())
}

/// Where a link in `directory` leads, when it stays below the root.
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

/// Relative, and nowhere upwards; whatever separator its packer used.
pub(crate) fn is_safe(path: &str) -> bool {
    let drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    !path.is_empty()
        && !drive
        && !path.contains('\0')
        && !path.starts_with(['/', '\\'])
        && path.split(['/', '\\']).all(|part| part != "..")
}

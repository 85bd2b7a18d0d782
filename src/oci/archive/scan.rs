//! Checks while bytes arrive whether they form a tar archive, so that a pipe that carries something else, or never
//! ends, is refused before it fills a disk.

use std::io::Read as _;

use ::tar::{EntryType, Header};

use super::tar::{BLOCK, ENTRIES, EXTENDED, Error, Extended, check, is_extended, oversized_header, size_of};

/// Largest file in bytes in a tar archive that is read from a pipe. No image has a larger layer.
const LARGEST: u64 = 64 << 30;
/// Most bytes after the end of the entries. Packers pad their last record.
const TRAILING: u64 = 16 << 20;

/// The part of the archive that the next bytes belong to.
#[derive(Debug)]
enum Next {
    /// The 512-byte block of a header.
    Header,
    /// The content of an extended header, with its length in bytes. It describes the entry that follows.
    Extended(EntryType, usize),
    /// Content and the padding of its last block, with the bytes that are left.
    Content(u64),
    /// The bytes after the end of the entries, with their count so far.
    Trailing(u64),
}

/// Checks a tar archive that arrives in pieces.
#[derive(Debug)]
pub(crate) struct Scan {
    next: Next,
    /// Bytes of a header that has not arrived completely.
    pending: Vec<u8>,
    extended: Extended,
    entries: usize,
    position: u64,
}

impl Default for Scan {
    fn default() -> Self {
        let extended = Extended::default();
        Self { next: Next::Header, pending: Vec::new(), extended, entries: 0, position: 0 }
    }
}

impl Scan {
    /// Checks the next piece of the archive.
    ///
    /// # Errors
    /// As soon as the bytes cannot belong to the archive of an image.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            match &mut self.next {
                Next::Trailing(count) => {
                    *count += bytes.len() as u64;
                    if *count > TRAILING {
                        let reason = format!("more than {TRAILING} bytes follow the end of the entries");
                        return Err(Error::damaged(reason));
                    }
                    return Ok(());
                }
                Next::Content(left) => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= count as u64;
                    if *left == 0 {
                        self.next = Next::Header;
                    }
                    self.position += count as u64;
                    bytes = &bytes[count..];
                }
                Next::Header => self.collect(&mut bytes, BLOCK)?,
                Next::Extended(_, length) => {
                    let padded = (*length as u64).next_multiple_of(BLOCK);
                    self.collect(&mut bytes, padded)?;
                }
            }
        }
        Ok(())
    }

    /// Collects `length` bytes, and parses them when they are complete.
    fn collect(&mut self, bytes: &mut &[u8], length: u64) -> Result<(), Error> {
        let before = self.pending.len();
        let taken = bytes.take(length - before as u64).read_to_end(&mut self.pending).map_err(Error::reading)?;
        self.position += taken as u64;
        if (self.pending.len() as u64) < length {
            return Ok(());
        }
        let mut block = std::mem::take(&mut self.pending);
        match std::mem::replace(&mut self.next, Next::Header) {
            Next::Extended(kind, length) => {
                block.truncate(length);
                self.extended.take(kind, block)
            }
            _ => self.header(&block),
        }
    }

    fn header(&mut self, block: &[u8]) -> Result<(), Error> {
        let start = self.position - BLOCK;
        if block.iter().all(|byte| *byte == 0) {
            if start == 0 {
                return Err(Error::damaged("not a tar archive"));
            }
            self.next = Next::Trailing(0);
            return Ok(());
        }
        self.entries += 1;
        if self.entries > ENTRIES {
            return Err(Error::damaged(format!("the archive has more than {ENTRIES} entries, which is the limit")));
        }
        let header = Header::from_byte_slice(block);
        check(header, start)?;
        let size = size_of(header, &self.extended)?;
        let kind = header.entry_type();
        self.next = match usize::try_from(size) {
            Ok(0) => Next::Header,
            Ok(length) if is_extended(kind) && size <= EXTENDED => Next::Extended(kind, length),
            _ if is_extended(kind) => return Err(oversized_header(size)),
            _ if size > LARGEST => {
                return Err(Error::damaged(format!(
                    "a file in the archive has {size} bytes, more than the limit of {LARGEST}"
                )));
            }
            _ => Next::Content(size.next_multiple_of(BLOCK)),
        };
        if !is_extended(kind) {
            self.extended = Extended::default();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(files: &[(&str, usize)]) -> Vec<u8> {
        let mut builder = ::tar::Builder::new(Vec::new());
        for (name, size) in files {
            let mut header = Header::new_gnu();
            header.set_size(*size as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, &vec![1; *size][..]).expect("appended");
        }
        builder.into_inner().expect("a tar")
    }

    /// Scans `bytes` in pieces of `piece` bytes.
    fn scan(bytes: &[u8], piece: usize) -> Result<(), Error> {
        let mut scan = Scan::default();
        bytes.chunks(piece).try_for_each(|piece| scan.take(piece))
    }

    #[test]
    fn a_tar_archive_is_accepted_in_pieces_of_any_size() {
        let long = "a/".repeat(90) + "b";
        let bytes = tar(&[("empty", 0), ("block", 512), (&long, 1000), ("last", 513)]);
        for piece in [1, 7, 511, 512, 513, 4096] {
            scan(&bytes, piece).expect("a tar");
            scan(&[&bytes[..], &[0; 10240]].concat(), piece).expect("a tar archive with padding");
        }
    }

    #[test]
    fn other_bytes_are_refused_at_the_first_block_that_is_not_a_header() {
        assert_eq!(scan(&[0; 512], 100).expect_err("zeroes").reason, "not a tar archive");
        assert_eq!(scan(&[b'y'; 512], 512).expect_err("text").reason, "not a tar archive");
        let mut bytes = tar(&[("a", 512), ("b", 1)]);
        bytes[1024 + 3] ^= 1;
        assert_eq!(scan(&bytes, 512).expect_err("damaged").reason, "the archive is damaged at byte 1024");
    }

    #[test]
    fn an_archive_without_an_end_is_refused() {
        let bytes = tar(&[("a", 0)]);
        let mut endless = Scan::default();
        endless.take(&bytes).expect("a tar");
        let trailing = (0..40).find_map(|_| endless.take(&vec![0; 1 << 20]).err()).expect("an end");
        assert!(trailing.reason.contains("follow the end"), "{}", trailing.reason);
        let mut entries = Scan::default();
        let entry = &bytes[..512];
        let refused = (0..=ENTRIES).find_map(|_| entries.take(entry).err()).expect("a bound");
        assert!(refused.reason.contains("more than 100000 entries"), "{}", refused.reason);
        let mut header = Header::new_gnu();
        header.set_path("large").expect("a name");
        header.set_size(1 << 60);
        header.set_cksum();
        assert!(
            scan(header.as_bytes(), 512).expect_err("too large").reason.contains("more than the limit of 68719476736")
        );
    }
}

//! Whatever was packed, reading it ends within its bounds and yields safe paths alone.
#![no_main]

use alga_release::archive::{self, Limits};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { total: 1 << 20, file: 1 << 18 };

fn check(gzip: &[u8]) {
    let Ok(files) = archive::read(gzip, LIMITS) else { return };
    let mut total = 0;
    for (path, bytes) in &files {
        assert!(!path.is_empty() && !path.starts_with(['/', '\\']), "{path:?}");
        assert!(path.split(['/', '\\']).all(|part| part != ".."), "{path:?}");
        assert!(bytes.len() as u64 <= LIMITS.file, "{path:?}");
        total += bytes.len() as u64;
    }
    assert!(total <= LIMITS.total);
}

/// `bytes` as one gzip member of stored blocks: so the fuzzer reaches the tar without guessing a checksum of its own.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = bytes.chunks(0xffff).peekable();
    if blocks.peek().is_none() {
        gzip.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let size = block.len() as u16;
        gzip.push(u8::from(blocks.peek().is_none()));
        gzip.extend(size.to_le_bytes());
        gzip.extend((!size).to_le_bytes());
        gzip.extend(block);
    }
    let crc = bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    });
    gzip.extend((!crc).to_le_bytes());
    gzip.extend((bytes.len() as u32).to_le_bytes());
    gzip
}

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    check(&stored(bytes));
});

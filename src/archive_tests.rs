use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { total: 1 << 20, file: 1 << 16 };

fn sample() -> Packed {
    let long = format!("{}/{}", "d".repeat(90), "f".repeat(80));
    let longest = format!("{}/file", "e".repeat(200));
    write([("c/Chart.yaml", "name: c\n"), (long.as_str(), "split"), (longest.as_str(), ""), ("c/ä", "not ASCII")])
}

#[test]
fn the_bytes_never_change() {
    let packed = sample();
    assert_eq!(
        [packed.diff_id.as_str(), Digest::of(&packed.bytes).as_str()],
        [
            "sha256:78a4d4b5318cd09c0d6049febf2ae9f875c06e1b7ea52c38b34bc94dfe15dc09",
            "sha256:5b2c6e4f6ea639f8377c50dbd5665b95c385a448befdcb6791611e2731cdd44c"
        ]
    );
    assert_eq!(packed.tar_size % 512, 0);
    assert_eq!(packed.bytes[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
}

#[test]
fn files_are_read_back_in_the_order_of_writing() {
    let files = read(&sample().bytes, LIMITS).expect("own archive");
    let names: Vec<_> = files.iter().map(|(path, bytes)| (path.len(), bytes.len())).collect();
    assert_eq!(names, [(12, 8), (171, 5), (205, 0), (4, 9)]);
    assert_eq!(files[3].0, "c/ä");
}

#[test]
fn a_record_counts_its_own_length() {
    for length in 1..1200 {
        let record = pax_record("path", &"x".repeat(length));
        assert_eq!(record.split_once(' ').expect("blank").0.parse(), Ok(record.len()));
    }
}

fn hostile(path: &str, kind: EntryType, size: u64, body: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(header.as_bytes()).expect("memory");
    gzip.write_all(body).expect("memory");
    gzip.finish().expect("memory")
}

#[test]
fn hostile_archives_are_refused() {
    for path in ["/etc/passwd", "../x", "c/../../x", "c\\..\\x", "C:/x", "\\x"] {
        let refused = read(&hostile(path, EntryType::Regular, 0, &[]), LIMITS);
        assert!(matches!(refused, Err(Refused::Path(_))), "{path}: {refused:?}");
    }
    for kind in [EntryType::Symlink, EntryType::Link, EntryType::Fifo, EntryType::GNUSparse, EntryType::Block] {
        assert!(read(&hostile("c/x", kind, 0, &[0; 1024]), LIMITS).is_err(), "{kind:?}");
    }
    let cut = read(&hostile("c/x", EntryType::Regular, 600, &[0; 512]), LIMITS);
    assert!(matches!(cut, Err(Refused::Damaged(_))), "{cut:?}");
    let large = read(&hostile("c/x", EntryType::Regular, LIMITS.file + 1, &[]), LIMITS);
    assert!(matches!(large, Err(Refused::FileTooLarge(..))), "{large:?}");
    let bomb = read(&hostile("c/", EntryType::Directory, 2 << 20, &vec![0; 2 << 20]), LIMITS);
    assert!(matches!(bomb, Err(Refused::TooLarge(_))), "{bomb:?}");
    assert!(matches!(read(b"no gzip", LIMITS), Err(Refused::Damaged(_))));
}

#[test]
fn a_truncated_or_changed_gzip_stream_is_refused() {
    let whole = sample().bytes;
    assert!(read(&whole[..whole.len() - 1], LIMITS).is_err());
    let mut flipped = whole.clone();
    let at = flipped.len() - 6;
    flipped[at] ^= 1;
    assert!(read(&flipped, LIMITS).is_err());
}

#[test]
fn long_names_of_gnu_tar_are_supported() {
    let name = format!("c/{}", "n".repeat(300));
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    header.set_cksum();
    builder.append_data(&mut header, &name, &b"x"[..]).expect("memory");
    let bytes = builder.into_inner().and_then(GzEncoder::finish).expect("memory");
    assert_eq!(read(&bytes, LIMITS).expect("valid"), [(name, b"x".to_vec())]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn files_survive_the_round_trip(files in prop::collection::vec(("[a-zA-Z0-9äß ._-]{1,120}(/[a-z🧯]{1,90}){0,4}", prop::collection::vec(any::<u8>(), 0..2000)), 0..6)) {
        let files: Vec<_> = files.into_iter().filter(|(path, _)| is_safe(path)).collect();
        prop_assert_eq!(read(&write(files.clone()).bytes, LIMITS).expect("own archive"), files);
    }

    #[test]
    fn random_bytes_never_panic(noise in prop::collection::vec(any::<u8>(), 0..3000), at in 0_usize..2000) {
        let _ = read(&noise, LIMITS);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&noise).expect("memory");
        let _ = read(&gzip.finish().expect("memory"), LIMITS);
        let mut tar = Vec::new();
        MultiGzDecoder::new(&sample().bytes[..]).read_to_end(&mut tar).expect("own archive");
        for (byte, noise) in tar[at..].iter_mut().zip(&noise[..noise.len().min(40)]) {
            *byte = *noise;
        }
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&tar).expect("memory");
        let _ = read(&gzip.finish().expect("memory"), LIMITS);
    }
}

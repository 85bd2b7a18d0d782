//! Files that are not archives, are truncated, or are made to do harm.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use alga_release::oci::{Content, Digest, Kind, Selector};
use serde_json::{Value, json};
use tar::EntryType;

use super::{OWN, PREFIX_KEY, open, several, write};
use crate::store_contract::{artifact, repository, tag};
use crate::support::images::{Files, blob_name, gzip, layout, tar, zstd};
use crate::support::programs::{after, release, run, stdout};

/// A temporary directory for one file.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join("x.tar");
        fs::write(&path, bytes).expect("written");
        path
    }

    #[track_caller]
    fn refused(&self, bytes: &[u8], kind: Kind, reason: &str) {
        let error = open(&self.file(bytes)).expect_err(reason);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(reason), "expected `{reason}`: {error}");
    }
}

/// Returns the contents of an artifact: its manifest and its blobs.
fn contents() -> Vec<Content> {
    artifact("one").contents().cloned().collect()
}

fn entry(name: &str) -> Value {
    let manifest = artifact("one").descriptor().clone();
    let mut entry = serde_json::to_value(manifest).expect("JSON");
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
    entry
}

/// Returns the files of an archive with these entries in its index.
fn files(entries: &[Value]) -> Files {
    let blobs: Vec<Vec<u8>> = contents().iter().map(|content| content.bytes().expect("in memory").to_vec()).collect();
    let mut files = layout(entries, &blobs);
    let mut index: Value = serde_json::from_slice(&files[1].1).expect("JSON");
    index["annotations"] = json!({ PREFIX_KEY: OWN });
    files[1].1 = index.to_string().into_bytes();
    files
}

fn sound() -> Files {
    files(&[entry(&format!("{OWN}/charts/one:1.0"))])
}

/// Returns the header of a member of the given kind, with the target of a link.
fn special(kind: EntryType, name: &str, link: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(0);
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[tokio::test]
async fn an_archive_that_was_packed_by_tar_is_read() {
    let scratch = Scratch::new();
    let store = open(&scratch.file(&tar(&sound()))).expect("an archive");
    assert_eq!(store.tags(&repository("charts/one")).await.expect("tags"), [tag("1.0")]);
    // `tar` packs a directory with entries for directories, in another order, with names that start with `./`.
    let directory = scratch.0.path().join("unpacked");
    crate::support::images::write(&directory, &sound());
    let packed = scratch.0.path().join("packed.tar");
    stdout(Command::new("tar").arg("-cf").arg(&packed).arg("-C").arg(&directory).arg("."));
    let store = open(&packed).expect("an archive");
    assert_eq!(store.tags(&repository("charts/one")).await.expect("tags"), [tag("1.0")]);
}

#[tokio::test]
async fn an_archive_that_is_truncated_anywhere_is_refused() {
    let scratch = Scratch::new();
    let path = scratch.0.path().join("whole.tar");
    write(&path, &several()).await.expect("written");
    let whole = fs::read(&path).expect("an archive");
    scratch.refused(&[], Kind::Malformed, "not a tar archive");
    // An archive without the second of the two empty blocks at its end is still complete.
    let end = whole.len() - 512;
    let blocks = (0..=end / 512)
        .flat_map(|block| [block * 512 - usize::from(block > 0), block * 512, block * 512 + 1, block * 512 + 257]);
    for length in blocks.filter(|length| (1..end).contains(length)) {
        let error = open(&scratch.file(&whole[..length])).expect_err("truncated");
        assert_eq!(error.kind(), Kind::Malformed, "{length}: {error}");
        assert!(
            ["not a tar archive", "the archive is truncated"].iter().any(|reason| error.to_string().contains(reason)),
            "{error}"
        );
    }
    open(&scratch.file(&whole[..end])).expect("whole");
}

#[test]
fn members_that_do_not_belong_into_a_layout_are_refused() {
    let scratch = Scratch::new();
    let with = |member: Vec<u8>| [member, tar(&sound())].concat();
    let malformed = |bytes: &[u8], reason: &str| scratch.refused(bytes, Kind::Malformed, reason);
    for kind in [EntryType::Block, EntryType::Char, EntryType::Fifo] {
        malformed(&with(special(kind, "device", "")), "`device` is neither a file, a directory nor a link");
    }
    for kind in [EntryType::Link, EntryType::Symlink] {
        malformed(&with(special(kind, "blobs/sha256/link", "../../index.json")), "link");
        malformed(&with(special(kind, "link", "index.json")), "`link` is a link, expected a regular file");
        malformed(&with(special(kind, "link", "../../etc/passwd")), "the link `link` leads outside the archive");
    }
    for name in ["../index.json", "/etc/passwd", "blobs/../../x", "..\\x"] {
        malformed(&with(special(EntryType::Regular, name, "")), "unsafe path `");
    }
    let mut twice = sound();
    twice.push(twice[1].clone());
    malformed(&tar(&twice), "the archive contains `index.json` more than once");
    let mut twice = sound();
    twice.push(("./index.json".to_owned(), b"{}".to_vec()));
    malformed(&tar(&twice), "more than once");
    let mut flipped = tar(&sound());
    flipped[20] ^= 1;
    malformed(&flipped, "not a tar archive");
    malformed(&vec![0; 10_240], "not a tar archive");
    malformed(b"PK\x03\x04 and so on", "not a tar archive");
    malformed(&[0x1f], "not a tar archive");
}

#[test]
fn a_compressed_archive_says_how_to_unpack_it() {
    let scratch = Scratch::new();
    let tar = tar(&sound());
    scratch.refused(&gzip(&tar), Kind::Refused, "compressed with gzip: unpack it with `gzip -d`");
    scratch.refused(&zstd(&tar), Kind::Refused, "compressed with zstd: unpack it with `zstd -d`");
}

#[test]
fn a_path_that_is_not_a_regular_file_is_refused_by_name() {
    let scratch = Scratch::new();
    let directory = scratch.0.path();
    let kind = |path: &std::path::Path, kind, reason: &str| {
        let error = open(path).expect_err(reason);
        assert!(error.kind() == kind && error.to_string().contains(reason), "{error}");
        assert!(error.reference().contains(&path.display().to_string()), "{error}");
    };
    kind(directory, Kind::NoStore, "expected a file, found a directory");
    kind(std::path::Path::new("/dev/zero"), Kind::Refused, "not a regular file");
    kind(&directory.join("absent.tar"), Kind::NoStore, "the file does not exist");
    let pipe = directory.join("pipe");
    stdout(Command::new("mkfifo").arg(&pipe));
    kind(&pipe, Kind::Refused, "not a regular file");
}

#[test]
fn an_index_that_cannot_be_trusted_is_refused() {
    let scratch = Scratch::new();
    let malformed = |files: &Files, reason: &str| scratch.refused(&tar(files), Kind::Malformed, reason);
    let index = |json: &str| {
        let mut files = sound();
        files[1].1 = json.as_bytes().to_vec();
        files
    };
    let name = format!("{OWN}/charts/one:1.0");
    malformed(&sound()[1..].to_vec(), "not an OCI image layout: missing `oci-layout`");
    malformed(&[&sound()[..1], &sound()[2..]].concat(), "not an OCI image layout: missing `index.json`");
    let mut other = sound();
    other[0].1 = br#"{"imageLayoutVersion":"2.0.0"}"#.to_vec();
    malformed(&other, "expected image layout version 1.0.0");
    malformed(&index("{"), "invalid `index.json`");
    malformed(&index(r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#), "invalid `index.json`");
    malformed(&index(r#"{"schemaVersion":2,"manifests":[]}"#), "does not state the prefix of its names");
    let odd = r#"{"schemaVersion":2,"manifests":[],"annotations":{"vnd.alga.appliance.prefix":"a b"}}"#;
    malformed(&index(odd), "invalid prefix in its `index.json`");
    malformed(&index(&format!("{}{}", sound()[0].1.len(), " ".repeat(17 << 20))), "is larger than the limit of");

    let mut absent = entry(&name);
    absent["digest"] = Digest::of(b"absent").as_str().into();
    malformed(&files(&[absent]), "which is missing");
    let mut size = entry(&name);
    size["size"] = 7.into();
    malformed(&files(&[size]), "of 7 bytes, which is missing");
    let mut blob = entry(&name);
    let config = contents()[0].descriptor().clone();
    blob["digest"] = config.digest.as_str().into();
    blob["size"] = config.size.into();
    malformed(&files(&[entry(&name), blob.clone()]), &format!("gives two digests for {name}"));
    blob["annotations"]["org.opencontainers.image.ref.name"] = format!("{OWN}/x@{}", artifact("one").digest()).into();
    malformed(&files(&[blob]), "gives two digests for");
}

#[tokio::test]
async fn index_entries_without_a_full_name_belong_to_no_repository() {
    let scratch = Scratch::new();
    let entries: Vec<Value> = ["1.0", "", "latest:", ":", "a@b", "@sha256:0"].iter().map(|name| entry(name)).collect();
    let mut all = vec![entry(&format!("{OWN}/charts/one:1.0"))];
    all.extend(entries);
    let store = open(&scratch.file(&tar(&files(&all)))).expect("an archive");
    assert_eq!(store.tags(&repository("charts/one")).await.expect("tags"), [tag("1.0")]);
}

#[tokio::test]
async fn changed_content_of_an_archive_is_a_mismatch() {
    let scratch = Scratch::new();
    let sound = sound();
    for content in contents() {
        let mut changed = sound.clone();
        let file = changed
            .iter_mut()
            .find(|(name, _)| *name == blob_name(content.bytes().expect("in memory")))
            .expect("the file is in the archive");
        file.1[3] ^= 1;
        let store = open(&scratch.file(&tar(&changed))).expect("an archive");
        let (one, descriptor) = (repository("charts/one"), content.descriptor());
        let error = if descriptor.digest == *artifact("one").digest() {
            for selector in [Selector::Tag(tag("1.0")), Selector::Digest(descriptor.digest.clone())] {
                let error = store.manifest(&one, &selector).await.expect_err("changed");
                assert_eq!(error.kind(), Kind::Mismatch, "{error}");
            }
            store.has(&one, descriptor).await.expect_err("changed")
        } else {
            let error = store.fetch_verified(&one, descriptor, 1000).await.expect_err("changed");
            assert_eq!(error.kind(), Kind::Mismatch, "{error}");
            store.has(&one, descriptor).await.expect_err("changed")
        };
        assert_eq!(error.kind(), Kind::Mismatch, "{error}");
        assert!(error.to_string().contains("the archive is corrupted"), "{error}");
    }
}

#[tokio::test]
async fn a_missing_blob_is_reported_by_every_way_of_reading_it() {
    let scratch = Scratch::new();
    let blob = contents()[0].clone();
    let files: Files =
        sound().into_iter().filter(|(name, _)| *name != blob_name(blob.bytes().expect("in memory"))).collect();
    let store = open(&scratch.file(&tar(&files))).expect("an archive");
    let one = repository("charts/one");
    assert!(!store.has(&one, blob.descriptor()).await.expect("an answer"));
    assert_eq!(store.fetch_verified(&one, blob.descriptor(), 1000).await.expect_err("absent").kind(), Kind::NotFound);
}

/// The file is sparse: it takes less space than its length.
#[test]
fn headers_that_announce_large_contents_take_no_memory() {
    let scratch = Scratch::new();
    let path = scratch.file(&{
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..11].copy_from_slice(b"huge-member");
        header.set_entry_type(EntryType::Regular);
        header.set_size(20 << 30);
        header.set_cksum();
        header.as_bytes().to_vec()
    });
    let end = 512 + (20 << 30);
    let file = fs::File::options().write(true).open(&path).expect("a file");
    std::os::unix::fs::FileExt::write_all_at(&file, &tar(&sound()), end).expect("written");
    // Less than half of the member, in address space.
    let mut command = release();
    command.args(["history", "nightly", "--store", &format!("oci-archive:{}", path.display())]);
    run(&mut after("ulimit -v 8000000", &command))
        .ends(9)
        .says(&["has no channel nightly: an archive holds versions only"]);
}

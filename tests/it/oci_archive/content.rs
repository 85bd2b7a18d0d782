//! The content of archives is verified while it is written, and an archive is written as a whole or not at all.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use alga_release::oci::archive::{self, Entry};
use alga_release::oci::{Artifact, Content, Descriptor, Digest, Error, FileRange, Kind, Selector, Tag, media_type};

use super::{OWN, PREFIX_KEY, assert_holds, named, open, platforms, prefix, several, write};
use crate::store_contract::{artifact, repository, tag};

/// Returns the names of all files in a directory, including hidden ones.
fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    names
}

/// Returns an artifact whose only layer has the given descriptor and is read from `range`.
fn in_file(descriptor: Descriptor, range: FileRange) -> Artifact {
    let config = Content::new("application/vnd.example.config.v1+json", "{}");
    Artifact::pack(None, config, vec![Content::in_file(descriptor, range)], std::collections::BTreeMap::new())
}

#[tokio::test]
async fn two_artifacts_with_one_name_and_incomplete_artifacts_are_refused() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("refused.tar");
    let refused = async |entries: &[super::Named], reason: &str| {
        let error = write(&path, entries).await.expect_err("refused");
        assert_eq!(error.kind(), Kind::Refused, "{error}");
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(files(scratch.path()), [""; 0]);
    };
    let chart = format!("{OWN}/charts/one");
    let both = ["one", "two"].map(|seed| named(&chart, Some("1.0"), artifact(seed)));
    refused(&both, "two different artifacts have this name").await;
    for name in
        ["", "ghcr.io", "ghcr.io/", "https://ghcr.io/x", "ghcr.io/x/", "ghcr.io/x:1", "ghcr.io/../x", "ghcr.io/X"]
    {
        refused(&[named(name, Some("1.0"), artifact("one"))], "invalid repository name").await;
    }
    let whole = artifact("half");
    let half = Artifact::of(whole.manifest().clone(), Vec::new(), whole.blobs()[..1].to_vec());
    let absent = format!("the manifest names {} (", whole.blobs()[1].descriptor().digest);
    refused(&[named(&chart, Some("1.0"), half)], &absent).await;
    let whole = platforms();
    let none = Artifact::of(whole.manifest().clone(), Vec::new(), Vec::new());
    let absent = format!("the manifest names {} (", whole.manifests()[0].descriptor().digest);
    refused(&[named(&chart, None, none)], &absent).await;
    let without_layer = Artifact::of(whole.manifest().clone(), whole.manifests().to_vec(), whole.blobs()[1..].to_vec());
    let absent = format!("the manifest names {} (", whole.blobs()[0].descriptor().digest);
    refused(&[named(&chart, None, without_layer)], &absent).await;
    // A blob that another artifact contains is present.
    let one = artifact("one");
    let without = Artifact::of(one.manifest().clone(), Vec::new(), Vec::new());
    write(&path, &[named(&chart, None, without), named(&chart, Some("1.0"), one)]).await.expect("written");
}

#[tokio::test]
async fn an_index_keeps_its_digest_when_platforms_are_left_out() {
    let scratch = tempfile::tempdir().expect("a directory");
    let (path, whole, plane) = (scratch.path().join("release.tar"), platforms(), repository("plane"));
    let [kept, left] = [0, 1].map(|at| whole.manifests()[at].descriptor().clone());
    let half = Artifact::of(whole.manifest().clone(), whole.manifests()[..1].to_vec(), whole.blobs()[..2].to_vec());
    write(&path, &[named(&format!("{OWN}/plane"), Some("1.0"), half.clone())]).await.expect("written");
    let store = open(&path).expect("an archive");
    assert_holds(&store, &plane, &half, &Selector::Digest(whole.digest().clone())).await;
    assert!(store.has(&plane, &kept).await.expect("an answer"));
    assert!(!store.has(&plane, &left).await.expect("an answer"));
    assert!(store.manifest(&plane, &Selector::Digest(left.digest)).await.expect_err("left out").is_not_found());
}

#[tokio::test]
async fn a_foreign_layer_is_not_part_of_an_archive() {
    let scratch = tempfile::tempdir().expect("a directory");
    let (path, plane) = (scratch.path().join("release.tar"), repository("plane"));
    let foreign = Content::new("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "kept elsewhere");
    let config = Content::new("application/vnd.oci.image.config.v1+json", "{}");
    let whole = Artifact::pack(None, config.clone(), vec![foreign.clone()], std::collections::BTreeMap::new());
    let without = Artifact::of(whole.manifest().clone(), Vec::new(), vec![config]);
    write(&path, &[named(&format!("{OWN}/plane"), Some("1.0"), without.clone())]).await.expect("written");
    let store = open(&path).expect("an archive");
    assert_holds(&store, &plane, &without, &Selector::Tag(tag("1.0"))).await;
    assert!(!store.has(&plane, foreign.descriptor()).await.expect("an answer"));
}

#[tokio::test]
async fn content_with_a_wrong_digest_leaves_no_file_behind_and_the_old_archive_unchanged() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("release.tar");
    write(&path, &several()).await.expect("written");
    let before = fs::read(&path).expect("an archive");
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|at| at.to_le_bytes()[1]).collect();
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&bytes).expect("written");
    let file = Arc::new(file);
    let whole = Descriptor::of("x/y", &bytes);
    let other = Descriptor { digest: Digest::of(b"other"), ..whole.clone() };
    let longer = Descriptor { size: whole.size + 1, ..whole.clone() };
    let shorter = Descriptor { size: 999_424, ..whole.clone() };
    let range = |length| FileRange::new(file.clone(), 0, length);
    let wrong = [
        (other, 1_000_000),
        (longer.clone(), 1_000_000),
        (longer, 1_000_001),
        (shorter, 1_000_000),
        (whole.clone(), 999_999),
    ];
    for (descriptor, length) in wrong {
        let entries = [named(&format!("{OWN}/x"), Some("1"), in_file(descriptor.clone(), range(length)))];
        let error = write(&path, &entries).await.expect_err("another content");
        assert_eq!(error.kind(), Kind::Mismatch, "{error}");
        assert!(error.to_string().contains(descriptor.digest.as_str()), "{error}");
        assert_eq!(files(scratch.path()), ["release.tar"]);
        assert!(fs::read(&path).expect("an archive") == before);
    }
    write(&path, &[named(&format!("{OWN}/x"), Some("1"), in_file(whole.clone(), range(1_000_000)))])
        .await
        .expect("written");
    let store = open(&path).expect("an archive");
    let read = store.fetch_verified(&repository("x"), &whole, 1 << 20).await.expect("the blob");
    assert!(read == bytes);
    assert_eq!(files(scratch.path()), ["release.tar"]);
}

#[tokio::test]
async fn the_file_of_a_killed_process_is_replaced_and_that_of_a_running_one_is_not() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("release.tar");
    let left = scratch.path().join(".release.tar.unfinished");
    fs::write(&left, vec![7; 1 << 20]).expect("written");
    let held = File::open(&left).expect("a file");
    held.lock().expect("locked");
    let error = write(&path, &several()).await.expect_err("another process");
    assert!(error.to_string().contains("another process is writing this archive"), "{error}");
    assert_eq!(fs::metadata(&left).expect("the file of the other process").len(), 1 << 20);
    drop(held);
    write(&path, &several()).await.expect("written");
    assert_eq!(files(scratch.path()), ["release.tar"]);
    assert_holds(
        &open(&path).expect("an archive"),
        &repository("charts/one"),
        &artifact("one"),
        &Selector::Tag(tag("1.0")),
    )
    .await;
}

#[tokio::test]
async fn an_archive_only_replaces_a_regular_file() {
    let scratch = tempfile::tempdir().expect("a directory");
    let kind = |error: Error| (error.kind(), error.to_string());
    let (there, reason) = kind(write(scratch.path(), &several()).await.expect_err("a directory"));
    assert!(there == Kind::Refused && reason.contains("the path exists and is not a regular file"), "{reason}");
    let (there, reason) = kind(write(Path::new("/dev/null"), &several()).await.expect_err("a device"));
    assert!(there == Kind::Refused && reason.contains("the path exists and is not a regular file"), "{reason}");
    let (there, _) = kind(write(&scratch.path().join("no/such/release.tar"), &several()).await.expect_err("no place"));
    assert_eq!(there, Kind::Io);
}

#[tokio::test]
async fn progress_reaches_the_total_and_counts_shared_content_once() {
    let scratch = tempfile::tempdir().expect("a directory");
    let several = several();
    let entries: Vec<Entry<'_>> =
        several.iter().map(|(name, tag, artifact)| Entry { name: name.clone(), tag: tag.clone(), artifact }).collect();
    let heard = RefCell::new(Vec::new());
    let hear = |progress: archive::Progress<'_>| {
        assert!(progress.written <= progress.content.size);
        heard.borrow_mut().push((progress.written_of_all, progress.total));
    };
    archive::write(&scratch.path().join("x.tar"), PREFIX_KEY, &prefix(OWN), &entries, &hear).await.expect("written");
    let heard = heard.into_inner();
    let contents: std::collections::BTreeMap<_, _> = several
        .iter()
        .flat_map(|(_, _, artifact)| artifact.contents())
        .map(|content| (content.descriptor().digest.clone(), content.descriptor().size))
        .collect();
    let total: u64 = contents.values().sum();
    assert!(heard.is_sorted());
    assert_eq!(heard.last(), Some(&(total, total)));
}

/// Runs in a process of its own, because it measures the memory of the process.
#[tokio::test]
#[ignore = "run by the next test"]
async fn large_member() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("large.tar");
    // The file is sparse, so it takes no space on disk before it is copied.
    let file = tempfile::tempfile_in(scratch.path()).expect("a file");
    let size = 160 << 20;
    file.set_len(size).expect("a size");
    let digest: Digest =
        "sha256:0000000000000000000000000000000000000000000000000000000000000001".parse().expect("a digest");
    let descriptor = Descriptor { digest, size, ..Descriptor::of("x/y", b"") };
    let range = FileRange::new(Arc::new(file), 0, size);
    let error =
        write(&path, &[named(&format!("{OWN}/x"), Some("1"), in_file(descriptor.clone(), range.clone()))]).await;
    let error = error.expect_err("the digest is wrong");
    let found = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
    let digest = found.split("digest ").last().expect("the error names the digest").parse().expect("a digest");
    let descriptor = Descriptor { digest, ..descriptor };
    let entries = [named(&format!("{OWN}/x"), Some("1"), in_file(descriptor.clone(), range))];
    write(&path, &entries).await.expect("written");
    let store = open(&path).expect("an archive");
    assert!(store.has(&repository("x"), &descriptor).await.expect("an answer"));
    let error = store.fetch_verified(&repository("x"), &descriptor, 1 << 20).await.expect_err("too large");
    assert_eq!(error.kind(), Kind::TooLarge);
    let tag: Tag = tag("1");
    let (found, _) = store.manifest(&repository("x"), &Selector::Tag(tag)).await.expect("the manifest");
    assert_eq!(found.media_type, media_type::IMAGE_MANIFEST);
    let status = fs::read_to_string("/proc/self/status").expect("a process");
    let peak = crate::support::peak_memory(&status);
    assert!(peak < 48, "{peak} MiB");
}

#[test]
fn memory_does_not_grow_with_a_large_member() {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["oci_archive::content::large_member", "--exact", "--ignored", "--test-threads", "1"]);
    let output = command.output().expect("started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

//! The promises that every kind of store keeps.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use alga_release::oci::{
    Artifact, Content, Credentials, Descriptor, Digest, FileRange, Kind, Location, Manifest, Options, Repository,
    Selector, Store, Tag, media_type,
};

use crate::support::docker_registry::DockerRegistry;
use crate::support::registry::{Auth, Registry, Setup};

pub fn repository(name: &str) -> Repository {
    name.parse().expect("a repository")
}

pub fn tag(name: &str) -> Tag {
    name.parse().expect("a tag")
}

/// Returns an artifact with a config and a layer that differ for each `seed`.
pub fn artifact(seed: &str) -> Artifact {
    let config = Content::new("application/vnd.example.config.v1+json", format!("{{\"seed\":\"{seed}\"}}"));
    let layer = Content::new("application/vnd.example.layer.v1", format!("layer of {seed}\0\u{1f}").into_bytes());
    Artifact::pack(Some("application/vnd.example"), config, vec![layer], BTreeMap::new())
}

pub async fn push(store: &Store, repository: &Repository, artifact: &Artifact, tag: Option<&Tag>) {
    // The publisher retries in the same way: docker-registry may not know a blob at once that two clients push at the
    // same time.
    for left in (0..3).rev() {
        for blob in artifact.blobs() {
            store.push_blob(repository, blob).await.expect("the blob is pushed");
        }
        match store.push_manifest(repository, artifact.manifest(), tag).await {
            Err(error) if error.kind() == Kind::Refused && left > 0 => {}
            pushed => return pushed.expect("the manifest is pushed"),
        }
    }
}

/// Replaces the bytes of a blob or manifest without the store noticing.
type Tamper<'a> = &'a dyn Fn(&Repository, &Content, &[u8]);

async fn contract(store: &Store, tamper: Option<Tamper<'_>>) {
    fetched_content_equals_pushed_content(store).await;
    pushing_again_changes_nothing(store).await;
    Box::pin(concurrent_pushes_of_one_artifact_succeed(store)).await;
    missing_content_is_not_found(store).await;
    a_manifest_with_absent_blobs_is_refused(store).await;
    tags_move_and_are_listed_in_order(store).await;
    a_tag_that_another_publisher_moved_is_not_overwritten(store).await;
    a_blob_has_the_size_of_its_descriptor(store).await;
    a_large_blob_arrives(store).await;
    a_part_of_a_file_is_stored_only_if_its_digest_is_right(store).await;
    if let Some(tamper) = tamper {
        tampered_content_is_a_mismatch(store, tamper).await;
    }
}

async fn assert_holds(store: &Store, repository: &Repository, artifact: &Artifact, selector: &Selector) {
    let read = store.read();
    let (descriptor, bytes) = read.manifest(repository, selector).await.expect("the manifest");
    assert_eq!((&descriptor.digest, &bytes), (artifact.digest(), artifact.manifest().bytes()));
    assert_eq!(descriptor.media_type, media_type::IMAGE_MANIFEST);
    assert!(read.has(repository, artifact.descriptor()).await.expect("an answer"));
    let manifest = Manifest::parse(&descriptor.media_type, &bytes).expect("a manifest");
    for (named, blob) in manifest.blobs().zip(artifact.blobs()) {
        assert!(read.has(repository, named).await.expect("an answer"));
        let bytes = read.fetch_verified(repository, named, 1 << 20).await.expect("the blob");
        assert_eq!(Some(&bytes), blob.bytes());
    }
}

async fn fetched_content_equals_pushed_content(store: &Store) {
    let (repository, artifact) = (repository("charts/one"), artifact("one"));
    push(store, &repository, &artifact, Some(&tag("1.0"))).await;
    assert_eq!(store.read().resolve(&repository, &tag("1.0")).await.expect("the tag"), *artifact.digest());
    assert_holds(store, &repository, &artifact, &Selector::Tag(tag("1.0"))).await;
    assert_holds(store, &repository, &artifact, &Selector::Digest(artifact.digest().clone())).await;
}

async fn pushing_again_changes_nothing(store: &Store) {
    let (repository, artifact) = (repository("again"), artifact("again"));
    for _ in 0..2 {
        push(store, &repository, &artifact, Some(&tag("1.0"))).await;
        push(store, &repository, &artifact, None).await;
    }
    assert_holds(store, &repository, &artifact, &Selector::Tag(tag("1.0"))).await;
    assert_eq!(store.read().tags(&repository).await.expect("tags"), [tag("1.0")]);
}

async fn concurrent_pushes_of_one_artifact_succeed(store: &Store) {
    let (repository, artifact) = (repository("at-once"), artifact("at once"));
    let name = tag("1.0");
    tokio::join!(
        push(store, &repository, &artifact, Some(&name)),
        push(store, &repository, &artifact, Some(&name)),
        push(store, &repository, &artifact, None),
    );
    assert_holds(store, &repository, &artifact, &Selector::Tag(name)).await;
}

async fn missing_content_is_not_found(store: &Store) {
    let (held, artifact, absent) = (repository("held"), artifact("held"), Content::new("x/y", "absent"));
    push(store, &held, &artifact, Some(&tag("1.0"))).await;
    let read = store.read();
    let not_found = |kind: Kind| assert_eq!(kind, Kind::NotFound);
    for repository in [&held, &repository("no/such")] {
        let digest = absent.descriptor().digest.clone();
        not_found(read.resolve(repository, &tag("2.0")).await.expect_err("no tag").kind());
        not_found(read.manifest(repository, &Selector::Tag(tag("2.0"))).await.expect_err("no tag").kind());
        not_found(read.manifest(repository, &Selector::Digest(digest.clone())).await.expect_err("none").kind());
        not_found(read.fetch_verified(repository, absent.descriptor(), 99).await.expect_err("no blob").kind());
        assert!(!read.has(repository, absent.descriptor()).await.expect("an answer"));
        let manifest = Descriptor { media_type: media_type::IMAGE_MANIFEST.to_owned(), ..absent.descriptor().clone() };
        assert!(!read.has(repository, &manifest).await.expect("an answer"));
        not_found(store.tag(repository, &tag("3.0"), &digest).await.expect_err("no manifest").kind());
        not_found(read.resolve(repository, &tag("3.0")).await.expect_err("no tag").kind());
    }
    not_found(read.tags(&repository("no/such")).await.expect_err("no repository").kind());
}

async fn a_manifest_with_absent_blobs_is_refused(store: &Store) {
    let (repository, artifact) = (repository("absent"), artifact("absent"));
    store.push_blob(&repository, &artifact.blobs()[0]).await.expect("one of two");
    for tag in [Some(&tag("1.0")), None] {
        let error = store.push_manifest(&repository, artifact.manifest(), tag).await.expect_err("refused");
        assert_eq!(error.kind(), Kind::Refused, "{error}");
    }
    let read = store.read();
    assert!(read.resolve(&repository, &tag("1.0")).await.expect_err("no tag").is_not_found());
    let selector = Selector::Digest(artifact.digest().clone());
    assert!(read.manifest(&repository, &selector).await.expect_err("no manifest").is_not_found());
    assert!(!read.has(&repository, artifact.descriptor()).await.expect("an answer"));
}

async fn tags_move_and_are_listed_in_order(store: &Store) {
    let repository = repository("moving");
    let (old, new) = (artifact("old"), artifact("new"));
    for name in ["b", "a", "stable"] {
        push(store, &repository, &old, Some(&tag(name))).await;
    }
    push(store, &repository, &new, None).await;
    assert_eq!(store.read().resolve(&repository, &tag("stable")).await.expect("the tag"), *old.digest());
    store.tag(&repository, &tag("stable"), new.digest()).await.expect("the tag moves");
    store.tag(&repository, &tag("B"), new.digest()).await.expect("a new tag");
    assert_holds(store, &repository, &new, &Selector::Tag(tag("stable"))).await;
    assert_holds(store, &repository, &old, &Selector::Tag(tag("a"))).await;
    let expected = ["B", "a", "b", "stable"].map(tag);
    assert_eq!(store.read().tags(&repository).await.expect("tags"), expected);
    for (prefix, expected) in
        [("st", &["stable"][..]), ("stable", &["stable"]), ("b", &["b"]), ("beta-", &[]), ("z-", &[])]
    {
        let found = store.read().tags_with_prefix(&repository, prefix).await.expect("tags");
        assert_eq!(found, expected.iter().map(|name| tag(name)).collect::<Vec<_>>(), "{prefix}");
    }
}

/// A registry only notices the other move in a second attempt. A directory compares before it writes.
async fn a_tag_that_another_publisher_moved_is_not_overwritten(store: &Store) {
    if store.read().path().is_none() {
        return;
    }
    let (repository, name) = (repository("contract/moves"), tag("pointer"));
    let [first, second, third] = ["first", "second", "third"].map(artifact);
    for artifact in [&first, &second, &third] {
        push(store, &repository, artifact, None).await;
    }
    let moved = async |to: &Artifact, from: Option<&Artifact>| {
        store
            .move_tag(&repository, to.manifest(), &name, from.map(Artifact::digest))
            .await
            .map_err(|error| error.kind())
    };
    assert_eq!(moved(&first, Some(&second)).await, Err(Kind::Conflict));
    assert_eq!(moved(&first, None).await, Ok(()));
    assert_eq!(moved(&second, None).await, Err(Kind::Conflict));
    assert_eq!(moved(&second, Some(&third)).await, Err(Kind::Conflict));
    assert_holds(store, &repository, &first, &Selector::Tag(name.clone())).await;
    assert_eq!(moved(&second, Some(&first)).await, Ok(()));
    // Repeating the same move is not a conflict.
    assert_eq!(moved(&second, Some(&first)).await, Ok(()));
    assert_holds(store, &repository, &second, &Selector::Tag(name.clone())).await;
}

async fn a_blob_has_the_size_of_its_descriptor(store: &Store) {
    let (repository, blob) = (repository("sizes"), Content::new("x/y", "ten bytes."));
    store.push_blob(&repository, &blob).await.expect("pushed");
    for (size, kind) in [(9, Kind::TooLarge), (11, Kind::Mismatch), (0, Kind::TooLarge)] {
        let wrong = Descriptor { size, ..blob.descriptor().clone() };
        let error = store.read().fetch_verified(&repository, &wrong, 1000).await.expect_err("another size");
        assert_eq!(error.kind(), kind, "{error}");
    }
    let error = store.read().fetch_verified(&repository, blob.descriptor(), 9).await.expect_err("above the limit");
    assert_eq!(error.kind(), Kind::TooLarge);
    let empty = Content::new("x/y", "");
    store.push_blob(&repository, &empty).await.expect("an empty blob is valid");
    let bytes = store.read().fetch_verified(&repository, empty.descriptor(), 0).await.expect("the empty blob");
    assert!(bytes.is_empty());
}

async fn a_large_blob_arrives(store: &Store) {
    let (repository, blob) = (repository("large"), Content::new("x/y", vec![7_u8; (3 << 20) + 1]));
    for _ in 0..2 {
        store.push_blob(&repository, &blob).await.expect("pushed");
    }
    let bytes = store.read().fetch_verified(&repository, blob.descriptor(), 4 << 20).await.expect("the blob");
    assert_eq!(Some(&bytes), blob.bytes());
}

async fn a_part_of_a_file_is_stored_only_if_its_digest_is_right(store: &Store) {
    let repository = repository("files");
    let bytes: Vec<u8> = (0..3 << 20).map(|at: u32| at.to_le_bytes()[1] ^ at.to_le_bytes()[2]).collect();
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&bytes).expect("written");
    let file = Arc::new(file);
    for (offset, length) in [(0, bytes.len()), (1000, 2 << 20), (7, 1 << 18), (9, 0), (70_000, 1)] {
        let part = &bytes[offset..offset + length];
        let content =
            Content::in_file(Descriptor::of("x/y", part), FileRange::new(file.clone(), offset as u64, length as u64));
        // Each push reads the range from its start.
        store.push_blob(&repository, &content).await.expect("pushed");
        store.push_blob(&repository, &content).await.expect("pushed again");
        let read = store.read().fetch_verified(&repository, content.descriptor(), 4 << 20).await.expect("the blob");
        assert!(read == part, "{offset} {length}");
    }
    for (offset, length) in [(1, 2 << 20), (1 << 20, 5 << 20), (2, 10)] {
        let claimed = Descriptor { size: length, ..Descriptor::of("x/y", &offset.to_string().into_bytes()) };
        let content = Content::in_file(claimed, FileRange::new(file.clone(), offset, length));
        let error = store.push_blob(&repository, &content).await.expect_err("other bytes");
        assert_eq!(error.kind(), Kind::Mismatch, "{error}");
        assert!(!store.read().has(&repository, content.descriptor()).await.expect("an answer"));
    }
}

async fn tampered_content_is_a_mismatch(store: &Store, tamper: Tamper<'_>) {
    let (repository, artifact) = (repository("tampered"), artifact("tampered"));
    push(store, &repository, &artifact, Some(&tag("1.0"))).await;
    for content in artifact.contents() {
        let mut other = content.bytes().expect("in memory").to_vec();
        other[5] ^= 1;
        tamper(&repository, content, &other);
    }
    for blob in artifact.blobs() {
        let error = store.read().fetch_verified(&repository, blob.descriptor(), 1000).await.expect_err("tampered");
        assert_eq!(error.kind(), Kind::Mismatch, "{error}");
    }
    for selector in [Selector::Tag(tag("1.0")), Selector::Digest(artifact.digest().clone())] {
        let error = store.read().manifest(&repository, &selector).await.expect_err("tampered");
        assert_eq!(error.kind(), Kind::Mismatch, "{error}");
    }
}

fn overwrite(directory: &Path, repository: &Repository, digest: &Digest, bytes: &[u8]) {
    let path = directory.join(repository.as_str()).join("blobs/sha256").join(digest.hex());
    std::fs::write(path, bytes).expect("the file exists");
}

/// Opening a pipe waits for its writer, like a disk that is slow or disconnected.
#[test]
fn a_blob_whose_file_blocks_leaves_the_runtime_free_for_a_signal() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(&Location::Layout(directory.path().to_owned()), Options::default()).expect("a store");
    let (repository, blob) = (repository("blocking"), Content::new("x/y", "content"));
    let runtime = || tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime().block_on(store.push_blob(&repository, &blob)).expect("pushed");
    let path = directory.path().join("blocking/blobs/sha256").join(blob.descriptor().digest.hex());
    std::fs::remove_file(&path).expect("removed");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());

    let (done, ends) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = runtime();
        runtime.block_on(async {
            let (read, descriptor) = (store.read(), blob.descriptor());
            tokio::select! { biased;
                _ = read.has(&repository, descriptor) => panic!("the read did not wait"),
                () = std::future::ready(()) => {}
            }
            tokio::select! { biased;
                _ = read.fetch_verified(&repository, descriptor, 100) => panic!("the read did not wait"),
                () = std::future::ready(()) => {}
            }
            tokio::select! { biased;
                _ = store.push_blob(&repository, &blob) => panic!("the push did not wait"),
                () = std::future::ready(()) => {}
            }
        });
        runtime.shutdown_background();
        done.send(()).expect("the test waits");
    });
    let ended = ends.recv_timeout(std::time::Duration::from_mins(1));
    // Releases threads that still wait for a writer.
    drop(std::fs::File::options().read(true).write(true).open(&path).expect("a pipe"));
    ended.expect("the thread of the runtime waited for the file");
}

#[tokio::test]
async fn a_directory_of_layouts_keeps_the_contract() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("layouts");
    let store = Store::open(&Location::Layout(root.clone()), Options::default()).expect("a store");
    let tamper = |repository: &Repository, content: &Content, bytes: &[u8]| {
        overwrite(&root, repository, &content.descriptor().digest, bytes);
    };
    Box::pin(contract(&store, Some(&tamper))).await;
}

/// Runs the contract against a registry. `path` is below the root of the registry: empty, or `/organisation`.
async fn registry_keeps_the_contract(setup: Setup, path: &str, credentials: Credentials) {
    let registry = Registry::with(setup);
    let location = Location::parse(&format!("{}{path}", registry.url()), false).expect("a location");
    let options = Options { credentials, ca: registry.certificates(), ..Options::default() };
    let store = Store::open(&location, options).expect("a store");
    let tamper = |repository: &Repository, content: &Content, bytes: &[u8]| {
        let (name, digest) = (format!("{path}/{repository}"), content.descriptor().digest.as_str());
        let name = name.trim_start_matches('/');
        if media_type::is_manifest(&content.descriptor().media_type) {
            registry.put_manifest(name, None, digest, &content.descriptor().media_type, bytes);
        } else {
            registry.put_blob(name, digest, bytes);
        }
    };
    Box::pin(contract(&store, Some(&tamper))).await;
}

pub fn alice() -> Credentials {
    Credentials::Basic { username: "alice".to_owned(), password: "secret-pass".to_owned().into() }
}

pub fn tokens_for_alice() -> Auth {
    Auth::Token { realm: None, user: Some(("alice".to_owned(), "secret-pass".to_owned())) }
}

#[tokio::test]
async fn a_registry_keeps_the_contract() {
    registry_keeps_the_contract(Setup::default(), "", Credentials::Anonymous).await;
    registry_keeps_the_contract(Setup { mount: false, ..Setup::default() }, "/a/b", Credentials::Anonymous).await;
}

#[tokio::test]
async fn a_registry_with_tokens_keeps_the_contract() {
    let setup = Setup { auth: tokens_for_alice(), ..Setup::default() };
    registry_keeps_the_contract(setup, "/organisation", alice()).await;
}

#[tokio::test]
async fn a_registry_with_passwords_keeps_the_contract() {
    let auth = Auth::Basic { username: "alice".to_owned(), password: "secret-pass".to_owned() };
    registry_keeps_the_contract(Setup { auth, ..Setup::default() }, "", alice()).await;
}

#[tokio::test]
async fn a_registry_behind_tls_keeps_the_contract() {
    let setup = Setup { tls: true, auth: tokens_for_alice(), ..Setup::default() };
    registry_keeps_the_contract(setup, "/organisation", alice()).await;
}

#[tokio::test]
async fn independent_registries_keep_the_contract() {
    for registry in DockerRegistry::each() {
        let location = Location::parse(&format!("{}/organisation", registry.address()), false).expect("a location");
        let store = Store::open(&location, Options::default()).expect("a store");
        Box::pin(contract(&store, None)).await;
    }
}

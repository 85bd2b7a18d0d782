//! Releases in an archive file: written, read back by this program and by other tools, and refused when the file is
//! broken.

mod broken;
mod content;
mod peers;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alga_release::oci::archive::{self, Entry};
use alga_release::oci::{
    Artifact, Content, Descriptor, Document, Error, Kind, Location, Manifest, Options, Prefix, ReadStore, Repository,
    Selector, Store, Tag,
};

use crate::store_contract::{artifact, repository, tag};
use crate::support::images::{self, GZIP, Image};
use crate::support::programs::{Source, alga, release, run};

const OWN: &str = "ghcr.io/nine-minds";
const ELSEWHERE: &str = "registry.example.com:5000";

/// Key of the annotation that holds the prefix of an archive.
const PREFIX_KEY: &str = "vnd.alga.appliance.prefix";

/// An artifact with the full name of its repository.
type Named = (String, Option<Tag>, Artifact);

fn prefix(text: &str) -> Prefix {
    Prefix::parse(text, false).expect("a prefix")
}

fn named(name: &str, tagged: Option<&str>, artifact: Artifact) -> Named {
    (name.to_owned(), tagged.map(tag), artifact)
}

async fn write(path: &Path, named: &[Named]) -> Result<(), Error> {
    let entries: Vec<Entry<'_>> =
        named.iter().map(|(name, tag, artifact)| Entry { name: name.clone(), tag: tag.clone(), artifact }).collect();
    archive::write(path, PREFIX_KEY, &prefix(OWN), &entries, &|_| {}).await
}

fn open(path: &Path) -> Result<ReadStore, Error> {
    let options = Options { archive_prefix: PREFIX_KEY, ..Options::default() };
    ReadStore::open(&Location::Archive(path.to_owned()), options)
}

/// A container image for two platforms.
fn platforms() -> Artifact {
    let (mut manifests, mut blobs) = (Vec::new(), Vec::new());
    for architecture in ["amd64", "arm64"] {
        let (manifest, contents) = Image::new(architecture, &[3000]).oci(GZIP);
        manifests.push(Document::new(images::MANIFEST, manifest));
        blobs.extend(contents.into_iter().map(|blob| Content::new("application/octet-stream", blob)));
    }
    let entries: Vec<_> = manifests.iter().map(|manifest| manifest.descriptor().clone()).collect();
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": images::INDEX, "manifests": entries });
    Artifact::of(Document::new(images::INDEX, index.to_string()), manifests, blobs)
}

/// Returns own artifacts with and without tags, one of them shared, and images of another registry.
fn several() -> Vec<Named> {
    vec![
        named(&format!("{OWN}/charts/one"), Some("1.0"), artifact("one")),
        named(&format!("{OWN}/charts/one"), Some("stable"), artifact("one")),
        named(&format!("{OWN}/charts/one"), None, artifact("old")),
        named(&format!("{OWN}/charts/two"), Some("1.0"), artifact("one")),
        named(&format!("{ELSEWHERE}/team/plane"), Some("7"), platforms()),
        named("ghcr.io/others/redis", None, artifact("redis")),
    ]
}

async fn assert_holds(store: &ReadStore, repository: &Repository, artifact: &Artifact, selector: &Selector) {
    let (descriptor, bytes) = store.manifest(repository, selector).await.expect("the manifest");
    assert_eq!((&descriptor.digest, &bytes), (artifact.digest(), artifact.manifest().bytes()));
    assert_eq!(descriptor.media_type, artifact.descriptor().media_type);
    for content in artifact.contents() {
        assert!(store.has(repository, content.descriptor()).await.expect("an answer"));
    }
    for blob in artifact.blobs() {
        assert_eq!(
            store.fetch_verified(repository, blob.descriptor(), 1 << 20).await.expect("a blob"),
            blob.bytes().expect("in memory")
        );
    }
    for manifest in artifact.manifests() {
        let selector = Selector::Digest(manifest.descriptor().digest.clone());
        assert_eq!(store.manifest(repository, &selector).await.expect("a platform").1, manifest.bytes());
    }
}

/// Returns every tagged artifact in a directory of layouts.
async fn all_of(directory: &Path) -> Vec<Named> {
    let store = ReadStore::open(&Location::Layout(directory.to_owned()), Options::default()).expect("layouts");
    let mut all = Vec::new();
    for path in repositories(directory) {
        let repository = repository(&path.strip_prefix(directory).expect("below").display().to_string());
        for tag in store.tags(&repository).await.expect("tags") {
            let (descriptor, bytes) = store.manifest(&repository, &Selector::Tag(tag.clone())).await.expect("there");
            let mut blobs = Vec::new();
            for blob in Manifest::parse(&descriptor.media_type, &bytes).expect("a manifest").blobs() {
                let bytes = store.fetch_verified(&repository, blob, 64 << 20).await.expect("a blob");
                blobs.push(Content::new(&blob.media_type, bytes));
            }
            let artifact = Artifact::of(Document::new(&descriptor.media_type, bytes), Vec::new(), blobs);
            all.push((format!("{OWN}/{repository}"), Some(tag), artifact));
        }
    }
    all
}

fn repositories(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let (layouts, deeper): (Vec<_>, Vec<_>) =
        entries.filter(|path| path.is_dir()).partition(|path| path.join("index.json").is_file());
    layouts.into_iter().chain(deeper.iter().flat_map(|path| repositories(path))).collect()
}

#[tokio::test]
async fn a_published_release_is_the_same_in_an_archive() {
    let (source, scratch) = (Source::new(), tempfile::tempdir().expect("a directory"));
    let layout = source.layout();
    for version in ["1.0.3", "1.0.4"] {
        let release = source.path("ee/appliance/releases/1.0.3/release.json");
        source.write(
            &format!("ee/appliance/releases/{version}/release.json"),
            &fs::read_to_string(release).expect("the fixture"),
        );
        source.publish(&["--version", version, "--channel", "nightly", "--store", &layout]).ends(0);
    }
    let all = all_of(&source.store()).await;
    assert!(all.len() > 10, "{}", all.len());
    let path = scratch.path().join("release.tar");
    write(&path, &all).await.expect("written");

    let (store, layouts) = (open(&path).expect("an archive"), Location::Layout(source.store()));
    let layouts = ReadStore::open(&layouts, Options::default()).expect("layouts");
    for (name, tag, artifact) in &all {
        let repository = prefix(OWN).strip(name).expect("below");
        let tag = tag.clone().expect("a tag");
        assert_eq!(store.resolve(&repository, &tag).await.expect("the tag"), *artifact.digest());
        assert_holds(&store, &repository, artifact, &Selector::Tag(tag)).await;
        assert_holds(&store, &repository, artifact, &Selector::Digest(artifact.digest().clone())).await;
        let [here, there] = [&store, &layouts].map(|store| store.tags(&repository));
        assert_eq!(here.await.expect("tags"), there.await.expect("tags"));
    }

    let archive = format!("oci-archive:{}", path.display());
    for arguments in [&["verify", "nightly", "--offline"][..], &["history", "nightly"], &["in-use"]] {
        let read = |store: &str| {
            let mut json = alga(&[arguments, &["--store", store, "--output", "json"]].concat()).ends(0).json();
            json["store"].take();
            json
        };
        assert_eq!(read(&archive), read(&layout), "{arguments:?}");
    }
    let between = ["diff", "1.0.3", "1.0.3", "--store", &layout, "--other-store", &archive, "--output", "json"];
    assert_eq!(alga(&between).ends(0).json()["hasChanges"], false);
    let changed = ["diff", "1.0.3", "1.0.4", "--store", &archive, "--output", "json"];
    assert_eq!(alga(&changed).ends(0).json()["hasChanges"], true);
}

#[test]
fn only_a_copy_writes_an_archive() {
    let (source, scratch) = (Source::new(), tempfile::tempdir().expect("a directory"));
    let path = scratch.path().join("release.tar");
    let location = format!("oci-archive:{}", path.display());
    let refused = ["only copy writes an archive, as a whole", "alga-release copy VERSION oci-archive:"];
    source.publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &location]).ends(9).says(&refused);
    assert!(!path.exists());
    let error = Store::open(&Location::Archive(path), Options::default()).expect_err("refused");
    assert_eq!(error.kind(), Kind::Refused);
    for none in ["oci-archive:", "oci-archive:-"] {
        run(release().args(["verify", "nightly", "--store", none])).ends(9).says(&["expected `oci-archive:FILE`"]);
    }
}

#[tokio::test]
async fn each_repository_has_its_own_content() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("several.tar");
    write(&path, &several()).await.expect("written");
    let store = open(&path).expect("an archive");
    let (one, two) = (repository("charts/one"), repository("charts/two"));
    for name in ["1.0", "stable"] {
        assert_holds(&store, &one, &artifact("one"), &Selector::Tag(tag(name))).await;
    }
    assert_holds(&store, &two, &artifact("one"), &Selector::Tag(tag("1.0"))).await;
    let old = artifact("old");
    assert_holds(&store, &one, &old, &Selector::Digest(old.digest().clone())).await;
    assert_eq!(store.tags(&one).await.expect("tags"), ["1.0", "stable"].map(tag));

    // Content that the file holds for one repository is not found in another one.
    let not_found = |error: Error| assert_eq!(error.kind(), Kind::NotFound, "{error}");
    for wrong in [&two, &repository("no/such")] {
        assert!(!store.has(wrong, old.descriptor()).await.expect("an answer"));
        assert!(!store.has(wrong, old.blobs()[0].descriptor()).await.expect("an answer"));
        not_found(store.manifest(wrong, &Selector::Digest(old.digest().clone())).await.expect_err("elsewhere"));
        not_found(store.fetch_verified(wrong, old.blobs()[0].descriptor(), 1000).await.expect_err("elsewhere"));
        not_found(store.resolve(wrong, &tag("2.0")).await.expect_err("no tag"));
    }
    not_found(store.tags(&repository("no/such")).await.expect_err("no repository"));
    not_found(store.tags(&repository("team/plane")).await.expect_err("another registry"));

    let external = |host: &str| store.external(&prefix(host)).expect("a view").expect("an archive keeps them");
    assert_holds(&external(ELSEWHERE), &repository("team/plane"), &platforms(), &Selector::Tag(tag("7"))).await;
    let redis = artifact("redis");
    let selector = Selector::Digest(redis.digest().clone());
    assert_holds(&external("ghcr.io"), &repository("others/redis"), &redis, &selector).await;
    not_found(external("docker.io").tags(&repository("others/redis")).await.expect_err("a third registry"));
}

#[tokio::test]
async fn the_same_content_gives_the_same_bytes() {
    let scratch = tempfile::tempdir().expect("a directory");
    let paths = ["first.tar", "again.tar", "reversed.tar"].map(|name| scratch.path().join(name));
    let mut all = several();
    write(&paths[0], &all).await.expect("written");
    write(&paths[1], &all).await.expect("written");
    all.reverse();
    // A store returns descriptors without annotations and artifact type, and contents in a file.
    for (_, _, artifact) in &mut all {
        *artifact = read_again(artifact, &paths[0]);
    }
    write(&paths[2], &all).await.expect("written");
    let [first, again, reversed] = paths.map(|path| fs::read(path).expect("an archive"));
    assert!(first == again && first == reversed);
    assert_eq!(
        alga_release::oci::Digest::of(&first).as_str(),
        "sha256:a8eb08ce21fd92e8fc2e889677233cfe36fbcb411fbe890015752336a61921f8"
    );
}

/// Returns the same artifact with its blobs in parts of a file.
fn read_again(artifact: &Artifact, file: &Path) -> Artifact {
    let bytes = fs::read(file).expect("a file");
    let file = Arc::new(fs::File::open(file).expect("a file"));
    let part = |content: &Content| {
        let (descriptor, length) = (content.descriptor().clone(), content.bytes().expect("in memory").len());
        let at = bytes
            .windows(length)
            .position(|window| window == content.bytes().expect("in memory"))
            .expect("the file contains the blob");
        let range = alga_release::oci::FileRange::new(file.clone(), at as u64, length as u64);
        Content::in_file(Descriptor { annotations: BTreeMap::new(), ..descriptor }, range)
    };
    let bare = |document: &Document| Document::new(&document.descriptor().media_type, document.bytes().clone());
    let manifests = artifact.manifests().iter().map(bare).collect();
    Artifact::of(bare(artifact.manifest()), manifests, artifact.blobs().iter().map(part).collect())
}

#[tokio::test]
async fn small_members_come_before_large_ones_so_that_a_pipe_can_be_judged_early() {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("several.tar");
    write(&path, &several()).await.expect("written");
    let mut tar = tar::Archive::new(fs::File::open(&path).expect("a file"));
    let mut names = Vec::new();
    for entry in tar.entries().expect("a tar") {
        let entry = entry.expect("an entry");
        let header = entry.header();
        assert_eq!(header.entry_type(), tar::EntryType::Regular);
        let numbers = (header.mode(), header.uid(), header.gid(), header.mtime());
        assert_eq!(numbers.0.expect("a mode"), 0o644);
        assert_eq!([numbers.1, numbers.2, numbers.3].map(|number| number.expect("a number")), [0; 3]);
        assert!(
            [header.username_bytes(), header.groupname_bytes()].iter().all(|name| name.is_none_or(<[u8]>::is_empty))
        );
        names.push(entry.path().expect("a path").display().to_string());
    }
    let digests = |contents: &mut dyn Iterator<Item = &Content>| {
        let mut names: Vec<_> =
            contents.map(|content| format!("blobs/sha256/{}", content.descriptor().digest.hex())).collect();
        names.sort();
        names.dedup();
        names
    };
    let several = several();
    let manifests =
        several.iter().flat_map(|(_, _, artifact)| artifact.manifests().iter().chain([artifact.manifest()]));
    let (manifests, mut expected) =
        (manifests.collect::<Vec<_>>(), vec!["oci-layout".to_owned(), "index.json".to_owned()]);
    expected.extend(digests(&mut manifests.into_iter().map(Document::content)));
    expected.extend(digests(&mut several.iter().flat_map(|(_, _, artifact)| artifact.blobs())));
    assert_eq!(names, expected);
}

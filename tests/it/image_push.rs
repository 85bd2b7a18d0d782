//! `image push` stores the image of an archive of any kind unchanged, and nothing else.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alga_release::image::archive;
use alga_release::oci::Digest;
use serde_json::{Value, json};

use crate::schemas::valid;
use crate::support::images::{self, BARE, GZIP, INDEX, Image, MANIFEST, REVISION, describe, gunzip, gzip, tar};
use crate::support::programs::{Run, Source, release, run};
use crate::support::published::{publish, served, store, writes};
use crate::support::registry::{Action, Auth, Fault, Registry, Setup};

pub const PLANE: &str = "org/alga-appliance-control-plane";

pub fn pushing(registry: &Registry, archive: &Path, more: &[&str]) -> Command {
    let mut command = release();
    command.args(["image", "push"]).arg(archive).args(["--store", &store(registry), "--output", "json"]);
    if !more.contains(&"--retry-for") {
        command.args(["--retry-for", "0"]);
    }
    command.args(more);
    command
}

pub fn push(registry: &Registry, archive: &Path, more: &[&str]) -> Run {
    run(&mut pushing(registry, archive, more))
}

/// An archive file in its own temporary directory.
pub struct Archive(tempfile::TempDir);

impl Archive {
    pub fn new(bytes: &[u8]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("image.tar"), bytes).expect("written");
        Self(directory)
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("image.tar")
    }
}

pub fn manifest_of(registry: &Registry, reference: &str) -> Value {
    let (_, bytes) = registry.manifest(PLANE, reference).expect("a manifest");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// Returns the blobs that a manifest names, the config first.
pub fn blobs(registry: &Registry, manifest: &Value) -> Vec<Vec<u8>> {
    let layers = manifest["layers"].as_array().expect("layers");
    let named = std::iter::once(&manifest["config"]).chain(layers);
    named.map(|one| registry.blob(PLANE, one["digest"].as_str().expect("a digest")).expect("a blob")).collect()
}

#[track_caller]
fn holds_nothing(registry: &Registry, run: &Run) {
    assert!(registry.tags(PLANE).is_empty(), "{run:?}");
    assert_eq!(registry.uploads(), 0, "{run:?}");
}

#[test]
fn an_image_keeps_its_digests_in_every_kind_of_archive() {
    let image = Image::new("amd64", &[3 << 20, 70_000, 0]);
    let (manifest, contents) = image.oci(GZIP);
    let files = image.layout(GZIP);
    let plain = tar(&files);
    let dotted: images::Files = files.iter().map(|(name, bytes)| (format!("./{name}"), bytes.clone())).collect();
    let directory = tempfile::tempdir().expect("a directory");
    images::write(directory.path(), &files);
    let archives = [tar(&dotted), gzip(&plain), images::zstd(&plain), plain].map(|bytes| Archive::new(&bytes));
    let paths = archives.iter().map(Archive::path).chain([directory.path().to_owned()]);
    for path in paths {
        let registry = Registry::start();
        let report = push(&registry, &path, &[]).ends(0).json();
        valid("image.json", &report);
        assert_eq!(report["digest"], Digest::of(&manifest).as_str());
        assert_eq!((report["tag"].as_str(), report["revision"].as_str()), (Some("1.0"), Some(REVISION)));
        let (media_type, stored) = registry.manifest(PLANE, "1.0").expect("the tag");
        assert!(media_type == MANIFEST && stored == manifest, "{path:?}");
        assert!(blobs(&registry, &manifest_of(&registry, "1.0")) == contents, "{path:?}");
        let last = registry.log().into_iter().rfind(|received| received.method == "PUT").expect("a write");
        assert_eq!(last.path, format!("/v2/{PLANE}/manifests/1.0"));
    }
}

#[test]
fn a_pipe_is_read_to_its_end_and_leaves_no_temporary_file() {
    let (registry, scratch) = (Registry::start(), tempfile::tempdir().expect("a directory"));
    let image = Image::new("amd64", &[200_000]);
    for archive in [tar(&image.layout(GZIP)), gzip(&tar(&image.layout(GZIP)))] {
        let archive = Archive::new(&archive);
        let mut command = pushing(&registry, Path::new("-"), &["--tag", "piped"]);
        let file = std::fs::File::open(archive.path()).expect("a file");
        let run = run(command.env("TMPDIR", scratch.path()).stdin(Stdio::from(file))).ends(0);
        run.says(&[
            "temporary file",
            &scratch.path().display().to_string(),
            &format!("revision of the image: {REVISION}"),
        ]);
        assert_eq!(scratch.path().read_dir().expect("a directory").count(), 0);
    }
    assert_eq!(registry.tags(PLANE)["piped"], Digest::of(&image.oci(GZIP).0).as_str());
}

#[test]
fn uncompressed_layers_are_compressed_to_the_same_bytes_every_time() {
    let image = Image::new("amd64", &[3 << 20, 4096]);
    let mut seen = Vec::new();
    for files in [image.docker_save(), image.docker_save(), image.layout(BARE)] {
        let registry = Registry::start();
        push(&registry, &Archive::new(&tar(&files)).path(), &["--tag", "x"]).ends(0);
        let manifest = manifest_of(&registry, "x");
        let contents = blobs(&registry, &manifest);
        assert!(contents[0] == image.config);
        let bare: Vec<Vec<u8>> = contents[1..].iter().map(|layer| gunzip(layer)).collect();
        assert!(bare == image.layers);
        assert!(manifest["layers"].as_array().expect("layers").iter().all(|layer| layer["mediaType"] == GZIP));
        seen.push(manifest["layers"].clone());
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:#?}");
}

#[test]
fn uncompressed_layers_stay_uncompressed_when_asked() {
    let image = Image::new("amd64", &[2 << 20, 0]);
    for files in [image.docker_save(), image.layout(BARE)] {
        let registry = Registry::start();
        push(&registry, &Archive::new(&tar(&files)).path(), &["--tag", "x", "--layers", "uncompressed"]).ends(0);
        let manifest = manifest_of(&registry, "x");
        assert!(blobs(&registry, &manifest)[1..] == image.layers);
        assert!(manifest["layers"].as_array().expect("layers").iter().all(|layer| layer["mediaType"] == BARE));
    }
    let registry = Registry::start();
    push(&registry, &Archive::new(&tar(&image.layout(BARE))).path(), &["--layers", "uncompressed"]).ends(0);
    assert_eq!(registry.tags(PLANE)["1.0"], Digest::of(&image.oci(BARE).0).as_str());
}

#[test]
fn a_saved_archive_whose_layers_are_compressed_or_linked_is_read() {
    let image = Image::new("amd64", &[100_000, 50_000]);
    let packed: images::Files = image
        .docker_save()
        .into_iter()
        .map(|(name, bytes)| {
            let packed = if name.ends_with("layer.tar") { gzip(&bytes) } else { bytes };
            (name, packed)
        })
        .collect();
    let registry = Registry::start();
    push(&registry, &Archive::new(&tar(&packed)).path(), &[]).ends(0);
    let gz: Vec<Vec<u8>> = image.layers.iter().map(|layer| gzip(layer)).collect();
    assert!(blobs(&registry, &manifest_of(&registry, "2.0"))[1..] == gz);

    // docker writes a layer that two images share as a link.
    let mut twice = image.clone();
    twice.layers = vec![image.layers[0].clone(), image.layers[0].clone()];
    let diff_id = Digest::of(&image.layers[0]).to_string();
    let mut config: Value = serde_json::from_slice(&image.config).expect("JSON");
    config["rootfs"]["diff_ids"] = json!([diff_id, diff_id]);
    let config = config.to_string().into_bytes();
    let manifest = json!([{ "Config": "c.json", "RepoTags": null, "Layers": ["a/layer.tar", "b/layer.tar"] }]);
    let bytes = tar_with_links(
        &[
            ("c.json".to_owned(), config),
            ("a/layer.tar".to_owned(), image.layers[0].clone()),
            ("manifest.json".to_owned(), manifest.to_string().into_bytes()),
        ],
        &[("b/layer.tar", "../a/layer.tar", tar::EntryType::Symlink)],
    );
    let registry = Registry::start();
    let report = push(&registry, &Archive::new(&bytes).path(), &[]).ends(0).json();
    assert_eq!(report["tag"], REVISION[..8]);
    assert_eq!(blobs(&registry, &manifest_of(&registry, &REVISION[..8])).len(), 3);
}

fn tar_with_links(files: &[(String, Vec<u8>)], links: &[(&str, &str, tar::EntryType)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, target, kind) in links {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_size(0);
        // The name is set directly, because the tar crate would normalise it.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        builder.append(&header, std::io::empty()).expect("memory");
    }
    let links = builder.into_inner().expect("memory");
    let end = links.len() - 1024;
    [&links[..end], &tar(files)].concat()
}

#[test]
fn an_image_that_is_already_published_is_neither_read_nor_sent_again() {
    let registry = Registry::start();
    let archive = Archive::new(&tar(&Image::new("amd64", &[3 << 20, 2 << 20]).layout(GZIP)));
    push(&registry, &archive.path(), &[]).ends(0);
    registry.clear_log();
    let again = push(&registry, &archive.path(), &[]).ends(0).json();
    assert_eq!((again["outcome"].as_str(), again["hasChanges"].as_bool()), (Some("present"), Some(false)));
    assert_eq!(registry.lines().len(), 1, "{:?}", registry.lines());

    registry.clear_log();
    push(&registry, &archive.path(), &["--tag", "other"]).ends(0);
    let sent: usize = registry.log().iter().map(|received| received.body).sum();
    assert!(sent < 1 << 16, "the registry has the layers already: {sent}");

    let dry = push(&registry, &archive.path(), &["--tag", "third", "--dry-run"]).ends(0).json();
    assert_eq!(dry["outcome"], "would-push");
    assert!(!registry.tags(PLANE).contains_key("third"));
}

#[test]
fn a_dry_run_requests_no_push_scope() {
    let registry = Registry::with(Setup { auth: Auth::Token { realm: None, user: None }, ..Setup::default() });
    let archive = Archive::new(&tar(&Image::new("amd64", &[10]).layout(GZIP)));
    let asked = || -> Vec<String> { registry.log().into_iter().map(|received| received.query).collect() };
    assert_eq!(push(&registry, &archive.path(), &["--dry-run"]).ends(0).json()["outcome"], "would-push");
    let read = asked();
    assert!(read.iter().any(|query| query.ends_with("%3Apull")), "{read:?}");
    assert!(read.iter().all(|query| !query.contains("push")), "{read:?}");
    push(&registry, &archive.path(), &[]).ends(0);
    assert!(asked().iter().any(|query| query.ends_with("%3Apull%2Cpush")), "{:?}", asked());
    // A dry run does not create a missing directory.
    let place = archive.0.path().join("store");
    let mut command = release();
    command.args(["image", "push"]).arg(archive.path()).arg(format!("--store=oci-layout:{}", place.display()));
    run(command.arg("--dry-run")).ends(0);
    assert!(!place.exists());
}

#[test]
fn layers_with_known_digests_that_the_registry_has_are_not_read() {
    let image = Image::new("amd64", &[3 << 20, 2 << 20]);
    let (registry, mut files) = (Registry::start(), image.layout(GZIP));
    push(&registry, &Archive::new(&tar(&files)).path(), &[]).ends(0);
    let layers: Vec<String> = image.oci(GZIP).1[1..].iter().map(|layer| images::blob_name(layer)).collect();
    // Reading a layer would now fail, because its bytes no longer match its digest.
    for (_, bytes) in files.iter_mut().filter(|(name, _)| layers.contains(name)) {
        bytes.fill(0);
    }
    registry.clear_log();
    push(&registry, &Archive::new(&tar(&files)).path(), &["--tag", "other"]).ends(0);
    let looks = |layer: &&String| {
        let digest = layer.rsplit('/').next().expect("a digest");
        registry.log().iter().filter(|got| got.method == "HEAD" && got.path.ends_with(digest)).count() == 1
    };
    assert_eq!(layers.iter().filter(looks).count(), layers.len(), "{:?}", registry.lines());
    assert_eq!(registry.tags(PLANE)["other"], registry.tags(PLANE)["1.0"]);
}

#[test]
fn an_archive_of_current_docker_is_read_by_its_layout_and_keeps_its_digests() {
    let image = Image::new("amd64", &[2 << 20, 100]);
    let (manifest, contents) = image.oci(BARE);
    let names: Vec<String> = contents.iter().map(|blob| images::blob_name(blob)).collect();
    let saved = json!([{ "Config": names[0], "RepoTags": ["team/plane:2.0"], "Layers": names[1..] }]);
    let mut files = image.layout(BARE);
    files.push(("manifest.json".to_owned(), saved.to_string().into_bytes()));
    let registry = Registry::start();
    push(&registry, &Archive::new(&tar(&files)).path(), &["--layers", "uncompressed"]).ends(0);
    assert_eq!(registry.tags(PLANE)["1.0"], Digest::of(&manifest).as_str());
    assert!(blobs(&registry, &manifest_of(&registry, "1.0")) == contents);
}

#[test]
fn a_saved_image_is_pushed_under_its_first_tag_that_is_not_latest_and_several_images_are_refused_by_name() {
    let image = Image::new("amd64", &[100]);
    let saved = |change: &dyn Fn(&mut Value)| {
        let mut files = image.docker_save();
        let last = files.last_mut().expect("manifest.json");
        let mut manifest: Value = serde_json::from_slice(&last.1).expect("JSON");
        change(&mut manifest);
        last.1 = manifest.to_string().into_bytes();
        Archive::new(&tar(&files))
    };
    let registry = Registry::start();
    // docker writes names without its own registry, and `latest` first.
    for names in
        [json!(["plane:3.1", "team/plane:3"]), json!(["plane:latest", "localhost:5000/plane", "team/plane:3.1"])]
    {
        let tagged = saved(&|manifest| manifest[0]["RepoTags"] = names.clone());
        assert_eq!(push(&registry, &tagged.path(), &[]).ends(0).json()["tag"], "3.1");
    }
    let untagged = saved(&|manifest| manifest[0]["RepoTags"] = json!(["localhost:5000/plane", "plane:latest"]));
    assert_eq!(push(&registry, &untagged.path(), &[]).ends(0).json()["tag"], REVISION[..8]);

    let registry = Registry::start();
    let several = saved(&|manifest| {
        let mut other = manifest[0].clone();
        other["RepoTags"] = json!(["team/other:1"]);
        manifest.as_array_mut().expect("images").push(other);
    });
    let run = push(&registry, &several.path(), &["--tag", "x"]).ends(3);
    assert_eq!(registry.lines(), Vec::<String>::new());
    run.says(&["expected one image, found 2: registry.example/team/plane:2.0, team/other:1"]);

    let none = saved(&|manifest| *manifest = json!([]));
    push(&registry, &none.path(), &["--tag", "x"]).ends(1).says(&["expected one image, found none"]);
    assert_eq!(registry.lines(), Vec::<String>::new());
}

#[test]
fn a_config_above_the_size_limit_is_refused_before_anything_is_sent() {
    let mut image = Image::new("amd64", &[100]);
    let mut config: Value = serde_json::from_slice(&image.config).expect("JSON");
    config["comment"] = "x".repeat(5 << 20).into();
    image.config = config.to_string().into_bytes();
    for files in [image.layout(GZIP), image.docker_save()] {
        let registry = Registry::start();
        push(&registry, &Archive::new(&tar(&files)).path(), &["--tag", "x"]).ends(1).says(&["is larger than"]);
        assert_eq!(registry.lines(), Vec::<String>::new());
    }
}

#[test]
fn a_tag_does_not_move_to_another_image() {
    let registry = Registry::start();
    push(&registry, &Archive::new(&tar(&Image::new("amd64", &[10]).layout(GZIP))).path(), &[]).ends(0);
    let before = registry.tags(PLANE);
    let other = Archive::new(&tar(&Image::new("amd64", &[20]).layout(GZIP)));
    push(&registry, &other.path(), &[]).ends(3).says(&["1.0", "--tag"]);
    assert_eq!(registry.tags(PLANE), before);
}

#[test]
fn a_broken_upload_is_repeated_for_that_blob_only() {
    let registry = Registry::start();
    let image = Image::new("amd64", &[4 << 20, 3 << 20]);
    registry.fail(Fault { skip: 1, ..Fault::first("PUT", "/blobs/uploads/", Action::ResetBefore) });
    push(&registry, &Archive::new(&tar(&image.layout(GZIP))).path(), &["--retry-for", "1m"]).ends(0);
    assert_eq!(registry.failed(), 1);
    assert!(blobs(&registry, &manifest_of(&registry, "1.0")) == image.oci(GZIP).1);
    let ends = registry.log().iter().filter(|got| got.method == "PUT" && got.path.contains("/uploads/")).count();
    assert_eq!(ends, 4, "three blobs, one of them sent twice");
}

/// Builds an index of images for several platforms with an attestation about one of them.
fn index(children: &[(&str, &Image)], media_type: &str) -> (Vec<u8>, images::Files) {
    let (mut entries, mut contents) = (Vec::new(), Vec::new());
    for (architecture, image) in children {
        let (manifest, blobs) = image.oci(media_type);
        let mut entry = describe(MANIFEST, &manifest);
        entry["platform"] = json!({ "os": "linux", "architecture": architecture });
        entries.push(entry);
        contents.extend(blobs);
        contents.push(manifest);
    }
    let statement = b"{\"_type\":\"https://in-toto.io/Statement/v0.1\"}".to_vec();
    let config = b"{\"architecture\":\"unknown\",\"os\":\"unknown\",\"config\":{},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}";
    let attestation = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": describe("application/vnd.oci.image.config.v1+json", config),
        "layers": [describe("application/vnd.in-toto+json", &statement)],
    });
    let attestation = attestation.to_string().into_bytes();
    let mut entry = describe(MANIFEST, &attestation);
    entry["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    entries.push(entry);
    contents.extend([statement, config.to_vec(), attestation]);
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string().into_bytes();
    contents.push(index.clone());
    let files = images::layout(&[describe(INDEX, &index)], &contents);
    (index, files)
}

#[test]
fn all_platforms_of_an_index_are_pushed_and_the_expected_one_must_be_among_them() {
    let (amd, arm) = (Image::new("amd64", &[100_000]), Image::new("arm64", &[200_000]));
    let (bytes, files) = index(&[("arm64", &arm), ("amd64", &amd)], GZIP);
    let (registry, archive) = (Registry::start(), Archive::new(&tar(&files)));
    let report = push(&registry, &archive.path(), &["--tag", "x"]).ends(0).json();
    assert_eq!(report["platforms"], json!(["linux/arm64", "linux/amd64"]));
    let (media_type, stored) = registry.manifest(PLANE, "x").expect("the tag");
    assert!(media_type == INDEX && stored == bytes);
    for child in manifest_of(&registry, "x")["manifests"].as_array().expect("manifests") {
        blobs(&registry, &manifest_of(&registry, child["digest"].as_str().expect("a digest")));
    }

    let registry = Registry::start();
    let run = push(&registry, &archive.path(), &["--tag", "x", "--platform", "linux/s390x"]).ends(3);
    holds_nothing(&registry, &run);
    run.says(&["linux/s390x", "linux/arm64, linux/amd64"]);
    let single = Archive::new(&tar(&arm.layout(GZIP)));
    let run = push(&registry, &single.path(), &[]).ends(3);
    holds_nothing(&registry, &run);
    run.says(&["expected an image for linux/amd64, found one for linux/arm64"]);
    push(&registry, &single.path(), &["--platform", "linux/arm64"]).ends(0);

    // Uncompressed layers of all platforms are compressed, and the index names the new manifests.
    let registry = Registry::start();
    let (_, bare) = index(&[("arm64", &arm), ("amd64", &amd)], BARE);
    push(&registry, &Archive::new(&tar(&bare)).path(), &["--tag", "x"]).ends(0);
    let index = manifest_of(&registry, "x");
    for (at, image) in [arm, amd].iter().enumerate() {
        assert_eq!(index["manifests"][at]["platform"]["os"], "linux");
        let manifest = manifest_of(&registry, index["manifests"][at]["digest"].as_str().expect("a digest"));
        assert_eq!(manifest["annotations"]["org.example.kept"], "as it is");
        assert!(gunzip(&blobs(&registry, &manifest)[1]) == image.layers[0]);
    }
}

#[test]
fn the_only_image_that_an_archive_holds_of_an_index_is_used() {
    let (amd, arm) = (Image::new("amd64", &[100]), Image::new("arm64", &[200]));
    let (_, mut files) = index(&[("arm64", &arm), ("amd64", &amd)], GZIP);
    let (absent, _) = arm.oci(GZIP);
    files.retain(|(name, _)| *name != images::blob_name(&absent));
    let registry = Registry::start();
    let run = push(&registry, &Archive::new(&tar(&files)).path(), &["--tag", "x"]).ends(0);
    assert_eq!(run.json()["digest"], Digest::of(&amd.oci(GZIP).0).as_str());
    run.says(&["names 1 manifests that the archive does not hold"]);
}

#[test]
fn an_image_that_no_runtime_or_registry_accepts_is_refused_by_name() {
    let image = Image::new("amd64", &[100]);
    let with = |media_type: &str| tar(&image.layout(media_type));
    let nested = {
        let (inner, files) = index(&[("amd64", &image)], GZIP);
        let outer = json!({ "schemaVersion": 2, "manifests": [describe(INDEX, &inner)] }).to_string().into_bytes();
        let mut contents: Vec<Vec<u8>> = files.into_iter().skip(2).map(|(_, bytes)| bytes).collect();
        contents.push(outer.clone());
        tar(&images::layout(&[describe(INDEX, &outer)], &contents))
    };
    let two = {
        let (one, mut contents) = image.oci(GZIP);
        let (other, more) = Image::new("amd64", &[7]).oci(GZIP);
        contents.extend(more);
        let mut named = describe(MANIFEST, &one);
        named["annotations"] = json!({ "org.opencontainers.image.ref.name": "first" });
        let entries = [named, describe(MANIFEST, &other)];
        contents.extend([one, other]);
        tar(&images::layout(&entries, &contents))
    };
    let cases = [
        (with("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"), "a foreign layer"),
        (with("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), "a foreign layer"),
        (with("application/vnd.example.unheard-of"), "application/vnd.example.unheard-of"),
        (nested, "names another index"),
        (two, "expected one image, found 2: first"),
    ];
    let none = Archive::new(&tar(&images::layout(&[], &[])));
    push(&Registry::start(), &none.path(), &["--tag", "x"]).ends(1).says(&["expected one image, found none"]);
    for (archive, words) in cases {
        let registry = Registry::start();
        let run = push(&registry, &Archive::new(&archive).path(), &["--tag", "x"]).ends(3);
        holds_nothing(&registry, &run);
        assert_eq!(writes(&registry), 0);
        run.says(&[words]);
    }
}

#[test]
fn a_harmful_archive_is_refused_before_anything_is_sent() {
    use tar::EntryType::{Block, Char, Fifo, Link, Symlink};
    let files = Image::new("amd64", &[100]).layout(GZIP);
    let with = |name: &str, target: &str, kind| tar_with_links(&files, &[(name, target, kind)]);
    let bomb = gzip(&vec![0; 300 << 20]);
    let mut zeros_inside = files.clone();
    zeros_inside.push(("zeros".to_owned(), vec![0; 300 << 20]));
    let cases = [
        (with("../outside", "", tar::EntryType::Regular), "unsafe path `"),
        (with("/etc/passwd", "", tar::EntryType::Regular), "unsafe path `"),
        (with("a/../../b", "", tar::EntryType::Regular), "unsafe path `"),
        (with("blobs/sha256/link", "../../../etc/passwd", Symlink), "leads outside the archive"),
        (with("link", "/etc/passwd", Symlink), "leads outside the archive"),
        (with("link", "../passwd", Link), "leads outside the archive"),
        (with("device", "", Char), "neither a file, a directory nor a link"),
        (with("device", "", Block), "neither a file, a directory nor a link"),
        (with("pipe", "", Fifo), "neither a file, a directory nor a link"),
        (with("index.json", "", tar::EntryType::Regular), "more than once"),
        (with("oci-layout", "oci-layout", Symlink), "more than once"),
        (bomb, "not a tar archive"),
        (gzip(&tar(&zeros_inside)), "unpacks to more than"),
        (b"PK\x03\x04 is not a tar".repeat(100), "not a tar archive"),
        (Vec::new(), "not a tar archive"),
        (vec![0; 4096], "not a tar archive"),
        (tar(&[("a".to_owned(), b"b".to_vec())]), "expected an OCI layout"),
    ];
    for (archive, words) in cases {
        let registry = Registry::start();
        let run = push(&registry, &Archive::new(&archive).path(), &["--tag", "x"]).ends(1);
        assert_eq!(registry.lines(), Vec::<String>::new());
        run.says(&[words]);
    }
}

/// Reads an archive in this process.
fn read(bytes: &[u8]) -> Result<archive::Image, archive::Error> {
    let file = Archive::new(bytes);
    let platform = "linux/amd64".parse().expect("a platform");
    let layers = archive::Layers::Compressed;
    let settings = archive::Settings { scratch: file.0.path(), platform: &platform, layers, say: &|_| {} };
    archive::read(archive::Input::Path(file.path()), &settings)
}

/// A reader of some bytes followed by others without end, which counts the bytes that were read.
struct Endless {
    start: std::io::Cursor<Vec<u8>>,
    again: std::io::Cursor<Vec<u8>>,
    taken: Arc<AtomicU64>,
}

impl std::io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut count = self.start.read(buffer)?;
        if count == 0 {
            if self.again.position() == self.again.get_ref().len() as u64 {
                self.again.set_position(0);
            }
            count = self.again.read(buffer)?;
        }
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[test]
fn endless_input_that_is_not_an_archive_is_refused_within_bounds() {
    let header = |size: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_path("layer").expect("a name");
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let image = tar(&Image::new("amd64", &[100]).layout(GZIP));
    let many = |bytes: Vec<u8>| bytes.repeat(1000);
    let cases = [
        ("zeroes", Vec::new(), vec![0; 4096], 1, "not a tar archive"),
        ("text", Vec::new(), many(b"y\n".to_vec()), 1, "not a tar archive"),
        ("compressed zeroes", Vec::new(), gzip(&vec![0; 1 << 20]), 1, "not a tar archive"),
        ("a file without end", header(1 << 60), vec![0; 4096], 1, "more than the limit of 68719476736"),
        ("an end without end", image, vec![0; 4096], 18, "follow the end of the entries"),
        ("entries without end", Vec::new(), many(header(0)), 52, "more than 100000 entries"),
        ("empty gzip", Vec::new(), many(gzip(b"")), 18, "as large as what it unpacks to"),
        ("empty zstd", Vec::new(), many(images::zstd(b"")), 18, "as large as what it unpacks to"),
    ];
    for (name, start, again, mebibytes, words) in cases {
        let taken = Arc::new(AtomicU64::new(0));
        let (start, again) = (std::io::Cursor::new(start), std::io::Cursor::new(again));
        let pipe = Endless { start, again, taken: Arc::clone(&taken) };
        let scratch = tempfile::tempdir().expect("a directory");
        let platform = "linux/amd64".parse().expect("a platform");
        let layers = archive::Layers::Compressed;
        let settings = archive::Settings { scratch: scratch.path(), platform: &platform, layers, say: &|_| {} };
        let error = archive::read(archive::Input::Pipe(Box::new(pipe)), &settings).expect_err(name);
        let chain = format!("{error}: {:?}", std::error::Error::source(&error));
        assert!(chain.contains(words) && chain.contains("image archive"), "{name}: {chain}");
        assert!(taken.load(Ordering::Relaxed) <= mebibytes << 20, "{name}: {taken:?}");
    }
}

#[test]
fn a_device_with_endless_zeroes_is_refused_at_once() {
    let registry = Registry::start();
    let run = push(&registry, Path::new("/dev/zero"), &["--tag", "x"]).ends(1);
    run.says(&["cannot read the image archive /dev/zero: not a tar archive"]);
    assert_eq!(registry.lines(), Vec::<String>::new());
}

#[test]
fn the_errors_of_an_image_push_name_only_the_image() {
    let archive = Archive::new(&tar(&Image::new("amd64", &[100]).layout(GZIP)));
    for (method, path, status, code) in [
        ("POST", "/blobs/uploads", 403, 4),
        ("PUT", "/manifests/", 400, 1),
        ("PUT", "/manifests/", 503, 75),
        ("GET", "/manifests/", 404, 75),
    ] {
        let registry = Registry::start();
        registry.fail(Fault::every(method, path, Action::status(status, "")));
        let run = push(&registry, &archive.path(), &["--tag", "x"]).ends(code);
        let run = run.says(&["the image ", "alga-appliance-control-plane:x cannot be"]);
        for word in ["chart", "release ", "channel", "version"] {
            assert!(!run.stderr.contains(word), "{method} {path} {status}: {word}: {}", run.stderr);
        }
    }
}

#[test]
fn an_archive_with_any_byte_changed_gives_the_same_image_or_is_refused() {
    let image = Image::new("amd64", &[600]);
    for files in [image.layout(GZIP), image.docker_save()] {
        let mut bytes = tar(&files);
        let whole = read(&bytes).expect("an image");
        let mut refused = 0;
        for at in (0..bytes.len()).step_by(29) {
            for bit in [1, 0x80] {
                bytes[at] ^= bit;
                match read(&bytes) {
                    // A change in the padding between files has no effect, and one in a layer is found when the layer is read.
                    Ok(read) => assert_eq!(read.artifact.digest(), whole.artifact.digest(), "{at}"),
                    Err(error) => {
                        refused += 1;
                        assert_ne!(error.kind(), archive::Kind::Io, "{at}: {error}");
                    }
                }
                bytes[at] ^= bit;
            }
        }
        assert!(refused > 50, "{refused}");
    }
}

#[test]
fn an_archive_that_ends_too_early_leaves_no_tag() {
    let image = Image::new("amd64", &[9000, 3000]);
    let (layout, saved) = (tar(&image.layout(GZIP)), tar(&image.docker_save()));
    let end = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).expect("bytes").next_multiple_of(512);
    for (bytes, end) in [(&layout, end(&layout)), (&saved, end(&saved)), (&gzip(&layout), gzip(&layout).len() - 1)] {
        for length in (0..=end).step_by(97).chain([end, end - 1, 511, 512, 513]) {
            let error = read(&bytes[..length]).expect_err(&format!("cut off at {length} of {}", bytes.len()));
            assert_eq!(error.kind(), archive::Kind::Damaged, "{length}: {error}");
        }
    }
    let registry = Registry::start();
    for length in [600, end(&layout) / 2, end(&layout)] {
        let run = push(&registry, &Archive::new(&layout[..length]).path(), &["--tag", "x"]).ends(1);
        holds_nothing(&registry, &run);
    }
}

#[test]
fn contents_with_wrong_digests_leave_no_tag() {
    let image = Image::new("amd64", &[300_000, 2 << 20]);
    for (mut files, what) in [(image.layout(GZIP), "blobs/"), (image.docker_save(), "layer.tar")] {
        let count = files.len();
        let contents: Vec<usize> = (0..count).filter(|at| files[*at].0.contains(what)).collect();
        for at in contents {
            let middle = files[at].1.len() / 2;
            files[at].1[middle] ^= 1;
            let registry = Registry::start();
            let run = push(&registry, &Archive::new(&tar(&files)).path(), &["--tag", "x"]).ends(1);
            assert!(registry.tags(PLANE).is_empty(), "{run:?}");
            files[at].1[middle] ^= 1;
        }
    }
    // The config of a saved image is named by its digest.
    let mut files = image.docker_save();
    files[0].1.push(b' ');
    let registry = Registry::start();
    let run = push(&registry, &Archive::new(&tar(&files)).path(), &["--tag", "x"]).ends(1);
    holds_nothing(&registry, &run);
}

#[test]
fn a_wrong_layer_is_found_even_where_the_registry_accepts_it() {
    let image = Image::new("amd64", &[3 << 20]);
    let mut files = image.layout(GZIP);
    let layer = files.iter().position(|(_, bytes)| bytes.len() > 1 << 20).expect("a layer");
    files[layer].1[1000] ^= 1;
    let registry = Registry::start();
    let run = push(&registry, &Archive::new(&tar(&files)).path(), &["--tag", "x", "--retry-for", "5m"]).ends(1);
    // The push fails at once, because another attempt would send the same bytes.
    run.says(&["its file has changed"]);
    assert!(registry.log().iter().all(|got| !got.path.contains("/manifests/x") || got.method == "HEAD"));
}

#[test]
fn the_control_plane_is_published_with_the_release_and_pinned() {
    let (source, registry) = (Source::new(), Registry::start());
    let image = Image::new("amd64", &[2 << 20]);
    let archive = Archive::new(&tar(&image.docker_save()));
    let path = archive.path().display().to_string();
    let arguments = ["--control-plane-archive", &path, "--output", "json"];
    let dry =
        publish(&source, &registry, "1.0.3", "nightly", &[&arguments[..], &["--dry-run"]].concat()).ends(0).json();
    valid("report.json", &dry);
    assert_eq!(writes(&registry), 0);
    let report = publish(&source, &registry, "1.0.3", "nightly", &arguments).ends(0).json();
    valid("report.json", &report);
    assert_eq!(dry["planDigest"], report["planDigest"]);
    let digest = registry.tags(PLANE)["1.0.3"].clone();
    assert_eq!(
        served(&registry, "nightly")["controlPlane"],
        format!("{}/alga-appliance-control-plane@{digest}", store(&registry))
    );
    assert!(gunzip(&blobs(&registry, &manifest_of(&registry, "1.0.3"))[1]) == image.layers[0]);

    registry.clear_log();
    let again = publish(&source, &registry, "1.0.3", "nightly", &arguments).ends(0).json();
    assert_eq!((again["hasChanges"].as_bool(), writes(&registry)), (Some(false), 0));

    let arm = Archive::new(&tar(&Image::new("arm64", &[9]).docker_save()));
    let path = arm.path().display().to_string();
    let arguments = ["--control-plane-archive", &path];
    publish(&source, &registry, "1.0.3", "nightly", &arguments)
        .ends(3)
        .says(&["expected an image for linux/amd64, found one for linux/arm64"]);
    let other = Archive::new(&tar(&Image::new("amd64", &[9]).docker_save()));
    let path = other.path().display().to_string();
    let run = publish(&source, &registry, "1.0.3", "nightly", &["--control-plane-archive", &path]).ends(3);
    run.says(&["image alga-appliance-control-plane 1.0.3 is already published"]);
    assert_eq!(registry.tags(PLANE)["1.0.3"], digest);
}

#[test]
fn standard_input_is_the_archive_or_the_password() {
    let (source, registry) = (Source::new(), Registry::start());
    let login = ["--username", "alice", "--password-stdin"];
    push(&registry, Path::new("-"), &login)
        .ends(9)
        .says(&["standard input cannot be both the archive and the password"]);
    let run =
        publish(&source, &registry, "1.0.3", "nightly", &[&login[..], &["--control-plane-archive", "-"]].concat());
    run.ends(9).says(&["standard input cannot be both the archive and the password"]);
    assert_eq!(registry.lines(), Vec::<String>::new());
}

#[test]
fn an_image_without_a_tag_in_its_archive_needs_one_on_the_command_line() {
    let mut image = Image::new("amd64", &[10]);
    let mut config: Value = serde_json::from_slice(&image.config).expect("JSON");
    config["config"] = json!({});
    image.config = config.to_string().into_bytes();
    let mut files = image.layout(GZIP);
    files[1].1 = String::from_utf8(files[1].1.clone()).expect("text").replace("\"1.0\"", "\"latest\"").into_bytes();
    let (registry, archive) = (Registry::start(), Archive::new(&tar(&files)));
    push(&registry, &archive.path(), &[]).ends(9).says(&["--tag TAG"]);
    assert_eq!(registry.lines(), Vec::<String>::new());
    let report = push(&registry, &archive.path(), &["--tag", "x", "--repository", "other/plane"]).ends(0).json();
    valid("image.json", &report);
    assert!(registry.tags("org/other/plane").contains_key("x"));
}

#[test]
fn an_image_is_pushed_into_a_layout_too() {
    let (image, directory) = (Image::new("amd64", &[3 << 20]), tempfile::tempdir().expect("a directory"));
    let archive = Archive::new(&tar(&image.layout(GZIP)));
    let target = format!("oci-layout:{}", directory.path().join("store").display());
    let mut command = release();
    command.args(["image", "push"]).arg(archive.path()).args(["--store", &target, "--output", "json"]);
    assert_eq!(run(&mut command).ends(0).json()["outcome"], "pushed");
    assert_eq!(run(&mut command).ends(0).json()["outcome"], "present");
    let (manifest, blobs) = image.oci(GZIP);
    let below = directory.path().join("store/alga-appliance-control-plane");
    for blob in blobs.iter().chain([&manifest]) {
        assert!(std::fs::read(below.join(images::blob_name(blob))).expect("a blob") == *blob);
    }
    assert!(crate::support::files_below(&below).keys().all(|name| !name.contains("/.")));
}

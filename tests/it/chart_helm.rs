//! Charts are packed as Helm packs and pushes them, and the bytes do not depend on the machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use alga_release::archive::{self, Limits};
use alga_release::chart::{self, Versions};
use alga_release::oci::{Manifest, media_type};
use alga_release::source::Tree;
use alga_release::yaml;
use serde_json::Value as Json;

use crate::support::{missing, peer, require, root};

const LIMITS: Limits = Limits { total: 100 << 20, file: 5 << 20 };

const CHARTS: [&str; 5] =
    ["helm", "ee/helm/email-service", "ee/helm/temporal", "ee/helm/temporal-worker", "ee/helm/workflow-worker"];

const UGLY: [&str; 10] = [
    "apps/bare",
    "apps/linked",
    "apps/long-names",
    "apps/shouting",
    "apps/two words",
    "charts/deep/down/matryoshka",
    "charts/ignorer",
    "charts/merged",
    "charts/odd",
    "charts/old-guard",
];

/// The root of a tree and the path of a chart below it.
type Place = (PathBuf, String);

/// Returns every chart of both trees, and the charts of other vendors where they are installed.
fn every_chart() -> Vec<Place> {
    let fixtures = CHARTS.into_iter().map(|path| (root("charts-fixtures"), path.to_owned()));
    let ugly = UGLY.into_iter().map(|path| (root("tests/trees/ugly"), path.to_owned()));
    fixtures.chain(ugly).chain(another_vendors().unwrap_or_default()).collect()
}

fn another_vendors() -> Option<Vec<Place>> {
    #[expect(clippy::disallowed_methods, reason = "tests find their data by the environment")]
    let tree = PathBuf::from(std::env::var_os("ALGA_TREES")?).join("monitoring");
    let charts = fs::read_dir(tree.join("charts")).expect("charts").map(|entry| entry.expect("an entry").path());
    let mut charts: Vec<Place> = charts
        .filter(|chart| chart.join("Chart.yaml").is_file())
        .map(|chart| (tree.clone(), format!("charts/{}", chart.file_name().expect("a name").display())))
        .collect();
    charts.sort();
    assert!(!charts.is_empty(), "{} has no charts", tree.display());
    Some(charts)
}

type Files = BTreeMap<String, Vec<u8>>;

fn files_of(archive: &[u8]) -> Files {
    let files = archive::read(archive, LIMITS).expect("a readable archive");
    let count = files.len();
    let files: Files = files.into_iter().collect();
    assert_eq!(files.len(), count, "a path occurs twice");
    files
}

fn pack(root: &Path, path: &str, versions: Versions) -> chart::PackedChart {
    let tree = Tree::open(root).expect("the tree");
    let chart = chart::load(&tree, path).unwrap_or_else(|error| panic!("{path}: {error}"));
    chart.pack(&tree, versions).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn helm(home: &Path) -> Option<Command> {
    let mut command = Command::new(require("helm")?);
    command.env("HELM_CACHE_HOME", home).env("HELM_CONFIG_HOME", home).env("HELM_DATA_HOME", home);
    Some(command)
}

/// Runs `helm package` and returns the path of the archive.
fn helm_package(home: &Path, chart: &Path) -> Option<PathBuf> {
    let out = home.join("out");
    let _ = fs::remove_dir_all(&out);
    let result = helm(home)?.arg("package").arg(chart).arg("-d").arg(&out).output().expect("helm runs");
    assert!(result.status.success(), "{}: {}", chart.display(), String::from_utf8_lossy(&result.stderr));
    Some(fs::read_dir(&out).expect("output").next().expect("an archive").expect("an archive").path())
}

fn is_rewritten(path: &str) -> bool {
    path.ends_with("/Chart.yaml") || path.ends_with("/Chart.lock")
}

/// Compares a file that Helm rewrote. Helm drops comments and empty fields, sorts keys and folds their case, so only the
/// fields that Helm kept are compared.
fn same_rewritten(path: &str, ours: &[u8], helms: &[u8]) {
    let parse = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).expect("UTF-8");
        yaml::parse(text).expect(path).into_iter().next().and_then(|document| document.root).expect("a document")
    };
    let (ours, helms) = (parse(ours), parse(helms));
    for entry in helms.entries() {
        let key = entry.key.as_str().expect("a key");
        let own = ours.entries().iter().filter(|own| own.key.as_str().is_some_and(|k| k.eq_ignore_ascii_case(key)));
        let own = own.max_by_key(|own| own.key.as_str());
        let defaulted = matches!(key, "apiVersion" | "generated" | "dependencies" | "digest");
        assert!(own.is_some() || defaulted, "{path}: {key}");
        if let (Some(own), "name" | "version" | "digest" | "type") = (own, key) {
            assert_eq!(own.value.as_str(), entry.value.as_str(), "{path}: {key}");
        }
        if let (Some(own), "dependencies") = (own, key) {
            assert_eq!(own.value.items().len(), entry.value.items().len(), "{path}: {key}");
        }
    }
}

#[test]
fn archives_hold_the_files_that_helm_packs() {
    let home = tempfile::tempdir().expect("a directory");
    for (root, path) in every_chart() {
        let Some(package) = helm_package(home.path(), &root.join(&path)) else { return };
        let packed = pack(&root, &path, Versions::AsWritten);
        let archive = packed.artifact.blobs()[1].bytes().expect("in memory").clone();
        let (ours, helms) = (files_of(&archive), files_of(&fs::read(&package).expect("the archive")));
        assert_eq!(ours.keys().collect::<Vec<_>>(), helms.keys().collect::<Vec<_>>(), "{path}");
        for (name, bytes) in &ours {
            if is_rewritten(name) {
                same_rewritten(name, bytes, &helms[name]);
            } else {
                assert!(*bytes == helms[name], "{path}: {name}");
            }
        }
    }
    if another_vendors().is_none() {
        missing("the charts of another vendor are missing: ALGA_TREES names a directory with monitoring/");
    }
}

/// Helm reads the same from this program's archive as from its own.
#[test]
fn helm_reads_the_archive_and_its_metadata_as_its_own() {
    let home = tempfile::tempdir().expect("a directory");
    for (root, path) in every_chart() {
        let Some(package) = helm_package(home.path(), &root.join(&path)) else { return };
        let packed = pack(&root, &path, Versions::AsWritten);
        let own = home.path().join("own.tgz");
        fs::write(&own, packed.artifact.blobs()[1].bytes().expect("in memory")).expect("written");
        let show = |what: &str, archive: &Path| {
            let result =
                helm(home.path()).expect("helm").args(["show", what]).arg(archive).output().expect("helm runs");
            assert!(result.status.success(), "{path}: {}", String::from_utf8_lossy(&result.stderr));
            String::from_utf8(result.stdout).expect("UTF-8")
        };
        for what in ["chart", "values", "crds"] {
            assert_eq!(show(what, &own), show(what, &package), "{path}: {what}");
        }
    }
}

struct Registry(Child, String);

impl Registry {
    #[expect(clippy::zombie_processes, reason = "`drop` waits for the process")]
    fn start() -> Option<Self> {
        let mut child = Command::new(require("crane")?)
            .args(["registry", "serve", "--address", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("crane runs");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let line = lines.find(|line| line.contains("serving on port")).expect("crane serves");
        // crane logs every request to stderr and ends when that pipe is closed.
        std::thread::spawn(move || lines.for_each(drop));
        let port = line.rsplit(' ').next()?.to_owned();
        Some(Self(child, format!("127.0.0.1:{port}")))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn crane(arguments: &[&str]) -> Vec<u8> {
    let result = Command::new(peer("crane").expect("crane")).args(arguments).output().expect("crane runs");
    assert!(result.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&result.stderr));
    result.stdout
}

#[test]
fn config_and_annotations_are_those_that_helm_pushes() {
    let home = tempfile::tempdir().expect("a directory");
    let (Some(_), Some(registry)) = (require("helm"), Registry::start()) else { return };
    for (root, path) in every_chart() {
        let package = helm_package(home.path(), &root.join(&path)).expect("helm");
        let target = format!("oci://{}/charts", registry.1);
        let result = helm(home.path())
            .expect("helm")
            .args(["push", "--plain-http"])
            .arg(&package)
            .arg(&target)
            .output()
            .expect("helm runs");
        assert!(result.status.success(), "{path}: {}", String::from_utf8_lossy(&result.stderr));
        let packed = pack(&root, &path, Versions::AsWritten);
        let repository = format!("{}/charts/{}", registry.1, packed.name);
        let manifest = crane(&["manifest", "--insecure", &format!("{repository}:{}", packed.tag())]);
        let parse = |bytes: &[u8]| Manifest::parse(media_type::IMAGE_MANIFEST, bytes).expect("a manifest");
        let mut helms = parse(&manifest);
        let ours = parse(packed.artifact.manifest().bytes());
        let config = crane(&["blob", "--insecure", &format!("{repository}@{}", helms.config.digest)]);
        let own_config = packed.artifact.blobs()[0].bytes().expect("in memory");
        assert_eq!(String::from_utf8_lossy(own_config), String::from_utf8_lossy(&config), "{path}");
        helms.annotations.remove("org.opencontainers.image.created");
        assert_eq!(ours.annotations, helms.annotations, "{path}");
        assert_eq!(ours.config.media_type, helms.config.media_type);
        assert_eq!(ours.layers[0].media_type, helms.layers[0].media_type);
    }
}

#[test]
fn the_digests_of_the_fixture_charts_never_change() {
    for (path, digest) in [
        ("helm", "sha256:c11c52be636ac16e2ff3c5cc25c503b58f12c1ead32b4d1eef8c16abb6e93e13"),
        ("ee/helm/email-service", "sha256:a195c85e01da60974583089ce67d0064c0771f39968447d75da7bab524220f0d"),
        ("ee/helm/temporal", "sha256:6a5158705b4893ae509b36da5f298cd87d7a7895974e8e645f4be61f015c42bc"),
        ("ee/helm/temporal-worker", "sha256:3b87327865cb4e1be9db6acf9d5e1e8254b8707962f1f6cf8ea4dcea167ce970"),
        ("ee/helm/workflow-worker", "sha256:ed8079a748a5dd8aac952333ba2efbac51223610a1ca1c989202c6ed9ffa4507"),
    ] {
        let packed = pack(&root("charts-fixtures"), path, Versions::AsWritten);
        assert_eq!(packed.artifact.digest().as_str(), digest, "{path}");
    }
}

/// Copies a directory in reverse order with other file modes and new times.
fn copy_backwards(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    let mut entries: Vec<_> = fs::read_dir(from).expect("a directory").map(|entry| entry.expect("an entry")).collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
    for entry in entries {
        let target = to.join(entry.file_name());
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            copy_backwards(&entry.path(), &target);
        } else if kind.is_symlink() {
            #[cfg(unix)]
            std::os::unix::fs::symlink(fs::read_link(entry.path()).expect("a link"), &target).expect("a link");
        } else {
            fs::write(&target, fs::read(entry.path()).expect("a file")).expect("a file");
            #[cfg(unix)]
            fs::set_permissions(&target, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("a mode");
        }
    }
}

#[test]
fn a_copy_of_a_chart_in_another_place_has_the_same_digest() {
    for (root, path) in every_chart() {
        let copy = tempfile::tempdir().expect("a directory");
        copy_backwards(&root.join(&path), &copy.path().join("some where/ä"));
        for versions in [Versions::AsWritten, Versions::Stamped] {
            let there = pack(copy.path(), "some where/ä", versions);
            assert_eq!(pack(&root, &path, versions).artifact.digest(), there.artifact.digest(), "{path}");
        }
    }
}

#[test]
fn a_stamp_changes_the_version_and_nothing_else() {
    for (root, path) in every_chart() {
        let written = pack(&root, &path, Versions::AsWritten);
        let stamped = pack(&root, &path, Versions::Stamped);
        let separator = if written.version.contains('+') { '.' } else { '+' };
        assert_eq!(stamped.version, format!("{}{separator}{}", written.version, written.artifact.digest().short_hex()));
        let config: Json =
            serde_json::from_slice(stamped.artifact.blobs()[0].bytes().expect("in memory")).expect("JSON");
        assert_eq!(config["version"], stamped.version.as_str());
        let (before, after) = (
            files_of(written.artifact.blobs()[1].bytes().expect("in memory")),
            files_of(stamped.artifact.blobs()[1].bytes().expect("in memory")),
        );
        let chart_yaml = format!("{}/Chart.yaml", written.name);
        for (name, bytes) in &before {
            if *name == chart_yaml {
                let text =
                    String::from_utf8(bytes.clone()).expect("UTF-8").replacen(&written.version, &stamped.version, 1);
                assert_eq!(text.as_bytes(), after[name], "{path}");
            } else {
                assert_eq!(*bytes, after[name], "{path}: {name}");
            }
        }
    }
}

#[test]
fn charts_are_found_by_their_names() {
    let tree = Tree::open(&root("charts-fixtures")).expect("the tree");
    assert_eq!(chart::find(&tree, "sebastian").expect("one"), "helm");
    assert_eq!(chart::find(&tree, "temporal").expect("one"), "ee/helm/temporal");
    assert!(chart::find(&tree, "redis").is_err(), "a subchart is not found");
    assert!(chart::find(&tree, "nothing").expect_err("none").way_out().expect("a hint").contains("charts:"));
    let tree = Tree::open(&root("tests/trees/ugly")).expect("the tree");
    assert_eq!(chart::find(&tree, "byte-order").expect("one"), "apps/two words");
}

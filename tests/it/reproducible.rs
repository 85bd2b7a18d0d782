//! The published bytes depend only on the source and the arguments, not on the machine, the user or the time.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value as Json;

use crate::support::programs::{Run, after, publish, release, run, stdout};
use crate::support::{files_below, require, root};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const OTHER_COMMIT: &str = "76543210fedcba9876543210fedcba9876543210";
const EPOCH: &str = "1700000000";
const SOURCE: &str = "https://github.com/nine-minds/alga-psa";
const SECRET: &str = "ghp_secret";

/// The way in which a directory is copied.
#[derive(Clone, Copy)]
struct Manner {
    backwards: bool,
    mode: u32,
    age: Duration,
}

fn copy(from: &Path, to: &Path, manner: Manner) {
    fs::create_dir_all(to).expect("a directory");
    let mut entries: Vec<_> = fs::read_dir(from).expect("a directory").map(|entry| entry.expect("an entry")).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    if manner.backwards {
        entries.reverse();
    }
    for entry in entries {
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a kind").is_dir() {
            copy(&entry.path(), &target, manner);
        } else {
            fs::write(&target, fs::read(entry.path()).expect("a file")).expect("a file");
            fs::set_permissions(&target, Permissions::from_mode(manner.mode)).expect("a mode");
            let file = File::open(&target).expect("a file");
            file.set_modified(SystemTime::UNIX_EPOCH + manner.age).expect("a time");
        }
    }
}

const PLAIN: Manner = Manner { backwards: false, mode: 0o664, age: Duration::from_secs(1_600_000_000) };
const OTHER: Manner = Manner { backwards: true, mode: 0o600, age: Duration::from_secs(86_399) };

/// Digests of artifacts by kind and name.
type Digests = BTreeMap<String, String>;

fn digests(report: &Json) -> Digests {
    let text = |value: &Json| value.as_str().expect("text").to_owned();
    let artifacts = report["artifacts"].as_array().expect("artifacts");
    artifacts
        .iter()
        .map(|artifact| (format!("{} {}", text(&artifact["kind"]), text(&artifact["name"])), text(&artifact["digest"])))
        .collect()
}

fn store(directory: &Path) -> String {
    format!("oci-layout:{}", directory.display())
}

fn given<'a>(commit: &'a str, epoch: &'a str) -> [&'a str; 10] {
    ["--version", "1.0.3", "--channel", "nightly", "--source-commit", commit, "--epoch", epoch, "--source-url", SOURCE]
}

/// Publishes as another user on another machine does.
fn publish_elsewhere(source: &Path, out: &Path, more: &[&str]) -> Json {
    let mut command = after("umask 077", &release());
    command.env_clear().env("TZ", "Asia/Tokyo").env("LC_ALL", "de_DE.UTF-8").env("LANG", "de_DE.UTF-8");
    command.env("PATH", "/bin:/usr/bin").env("LOGNAME", "another").current_dir(source);
    command.args(["publish", ".", "--output", "json", "--store"]).arg(store(out));
    let report = stdout(command.args(given(COMMIT, EPOCH)).args(more));
    serde_json::from_slice(&report).expect("a report")
}

fn publish_here(source: &Path, out: &Path, more: &[&str]) -> Json {
    let store = store(out);
    publish(source, given(COMMIT, EPOCH).iter().chain(more).copied().chain(["--store", &store]))
}

#[test]
fn the_same_source_always_has_the_same_digests_on_every_machine() {
    let home = tempfile::tempdir().expect("a directory");
    let (plain, other) = (home.path().join("plain"), home.path().join("other/ä b"));
    copy(&root("charts-fixtures"), &plain, PLAIN);
    copy(&root("charts-fixtures"), &other, OTHER);
    for (name, flags, expected) in CASES {
        let out = home.path().join(name);
        let here = digests(&publish_here(&plain, &out.join("a"), flags));
        let there = digests(&publish_elsewhere(&other, &out.join("b"), flags));
        assert_eq!(here, there, "{name}");
        let expected: Digests = expected.iter().map(|(key, digest)| ((*key).into(), (*digest).into())).collect();
        assert_eq!(here, expected, "{name}");
        let releases = |out: &str| files_below(&home.path().join(name).join(out));
        let (mut ours, mut theirs) = (releases("a"), releases("b"));
        // The record of the move has its time and its author.
        for files in [&mut ours, &mut theirs] {
            files.retain(|path, _| !path.starts_with("alga-appliance-release/"));
        }
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{name}");
        assert!(ours == theirs, "{name}: every byte");
    }
}

#[test]
fn another_commit_or_time_changes_only_the_bundle_and_the_release() {
    let home = tempfile::tempdir().expect("a directory");
    let run = |name: &str, commit: &str, epoch: &str| {
        let store = store(&home.path().join(name));
        digests(&publish(&root("charts-fixtures"), given(commit, epoch).into_iter().chain(["--store", &store])))
    };
    let before = run("before", COMMIT, EPOCH);
    for (name, commit, epoch) in [("commit", OTHER_COMMIT, EPOCH), ("epoch", COMMIT, "1700000001")] {
        let after = run(name, commit, epoch);
        for (key, digest) in &before {
            assert_eq!(key.starts_with("chart "), after[key] == *digest, "{name}: {key}");
        }
    }
}

/// A git repository with one commit that holds the tree of the fixtures.
struct Checkout {
    home: tempfile::TempDir,
    git: PathBuf,
    /// Path of the tree relative to the repository.
    below: &'static str,
}

impl Checkout {
    fn new(below: &'static str) -> Option<Self> {
        let git = require("git")?;
        let checkout = Self { home: tempfile::tempdir().expect("a directory"), git, below };
        copy(&root("charts-fixtures"), &checkout.tree(), PLAIN);
        fs::write(checkout.repository().join(".gitignore"), "*.ignored\n").expect("a file");
        checkout.git(&["init", "--quiet", "--initial-branch", "main"]);
        let remote = format!("https://user:{SECRET}@github.com/nine-minds/alga-psa.git");
        checkout.git(&["remote", "add", "origin", &remote]);
        checkout.commit("first");
        Some(checkout)
    }

    fn repository(&self) -> PathBuf {
        self.home.path().join("repository")
    }

    fn tree(&self) -> PathBuf {
        self.repository().join(self.below)
    }

    fn out(&self) -> PathBuf {
        self.home.path().join("out")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let date = "2024-02-03T04:05:06+09:00";
        let mut command = Command::new(&self.git);
        command.args(["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]);
        command.args(arguments).current_dir(self.repository());
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        command.env("GIT_AUTHOR_DATE", "2001-01-01T00:00:00Z").env("GIT_COMMITTER_DATE", date);
        String::from_utf8(stdout(&mut command)).expect("UTF-8").trim().to_owned()
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "--all", "--force"]);
        self.git(&["commit", "--quiet", "--message", message]);
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.tree().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    fn publish(&self, more: &[&str]) -> Run {
        self.publish_from(&self.tree(), more)
    }

    fn publish_from(&self, tree: &Path, more: &[&str]) -> Run {
        let mut command = release();
        command.arg("publish").arg(tree).args(["--version", "1.0.3", "--channel", "nightly"]);
        command.args(["--output", "json", "--store"]).arg(store(&self.out())).args(more);
        run(&mut command)
    }

    fn dry_run(&self) -> Run {
        self.publish(&["--dry-run"])
    }

    /// Returns the annotations of the bundle.
    fn annotations(&self, report: &Json) -> Json {
        let digest = digests(report)["bundle alga-appliance-config"].clone();
        let blob = self.out().join("alga-appliance-config/blobs").join(digest.replace(':', "/"));
        let manifest: Json = serde_json::from_slice(&fs::read(blob).expect("the bundle")).expect("JSON");
        manifest["annotations"].clone()
    }
}

fn said(output: &Run) -> String {
    format!("{}{}", output.stdout, output.stderr)
}

#[track_caller]
fn assert_clean(output: &Run) {
    assert_eq!(output.code, Some(0), "{}", said(output));
}

/// Asserts that the publication is refused, and that each place and the way out are named.
#[track_caller]
fn assert_dirty(output: &Run, places: &[&str]) {
    assert_eq!(output.code, Some(3), "{}", said(output));
    for place in places.iter().chain(&["--allow-dirty"]) {
        assert!(said(output).contains(place), "{place}: {}", said(output));
    }
}

#[test]
fn the_bundle_names_the_commit_and_the_time_but_no_secret() {
    for below in ["", "deep/er"] {
        let Some(checkout) = Checkout::new(below) else { return };
        let output = checkout.publish(&[]);
        assert_clean(&output);
        let commit = checkout.git(&["rev-parse", "HEAD"]);
        let annotations = checkout.annotations(&output.json());
        assert_eq!(annotations["org.opencontainers.image.revision"], format!("1.0.3@sha1:{commit}"));
        assert_eq!(annotations["org.opencontainers.image.created"], "2024-02-02T19:05:06Z");
        assert_eq!(annotations["org.opencontainers.image.source"], SOURCE);
        assert!(!said(&output).contains(SECRET));
        assert!(!everything_readable(&checkout.out()).contains(SECRET));
    }
}

/// Returns the text of all published bytes, packed and unpacked.
fn everything_readable(out: &Path) -> String {
    let limits = alga_release::archive::Limits { total: 100 << 20, file: 5 << 20 };
    let mut text = String::new();
    let mut archives = 0;
    for (path, bytes) in files_below(out) {
        text.push_str(&path);
        text.push_str(&String::from_utf8_lossy(&bytes));
        if bytes.starts_with(&[0x1f, 0x8b]) {
            archives += 1;
            for (path, bytes) in alga_release::archive::read(&bytes, limits).expect("an archive") {
                text.push_str(&path);
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
    }
    assert_eq!(archives, 6, "five charts and the bundle");
    text
}

#[test]
fn uncommitted_files_are_refused_by_name_and_published_with_allow_dirty() {
    for below in ["", "deep/er"] {
        let Some(checkout) = Checkout::new(below) else { return };
        let changed = [
            "helm/values.yaml",
            "ee/helm/temporal/templates/new.yaml",
            "helm/files/x.ignored",
            "ee/appliance/flux/profiles/single-node/values/new.single-node.yaml",
        ];
        for path in changed {
            let old = fs::read(checkout.tree().join(path)).unwrap_or_default();
            checkout.write(path, &format!("{}\n# {SECRET}\n", String::from_utf8_lossy(&old)));
        }
        let output = checkout.publish(&[]);
        assert_dirty(&output, &changed);
        assert!(!said(&output).contains(SECRET));
        assert!(!checkout.out().exists() || files_below(&checkout.out()).is_empty(), "nothing may be written");
        let output = checkout.publish(&["--allow-dirty"]);
        assert_clean(&output);
        let commit = checkout.git(&["rev-parse", "HEAD"]);
        let revision = &checkout.annotations(&output.json())["org.opencontainers.image.revision"];
        assert_eq!(*revision, format!("1.0.3@sha1:{commit}-dirty"));
    }
}

#[test]
fn each_kind_of_uncommitted_change_is_refused() {
    let Some(checkout) = Checkout::new("") else { return };
    for path in ["helm/templates/new.yaml", "helm/files/x.ignored", "ee/appliance/flux/base/core/new.yaml"] {
        checkout.write(path, "a: b\n");
        assert_dirty(&checkout.dry_run(), &[path]);
        fs::remove_file(checkout.tree().join(path)).expect("removed");
        assert_clean(&checkout.dry_run());
    }
    for path in ["helm/README.md", "ee/helm/workflow-worker/crds/workflowschedules.yaml", "helm/files/robots.txt"] {
        fs::remove_file(checkout.tree().join(path)).expect("removed");
        assert_dirty(&checkout.dry_run(), &[path]);
        checkout.git(&["checkout", "--", path]);
        assert_clean(&checkout.dry_run());
    }
}

#[test]
fn changes_of_files_that_are_not_published_are_allowed() {
    let Some(checkout) = Checkout::new("deep") else { return };
    // These files are ignored by `.helmignore`, or are outside of the charts.
    checkout.write("helm/ci/more-values.yaml", "a: b\n");
    checkout.write("ee/helm/email-service/testdata/second.eml", "Subject: none\n");
    checkout.write("ee/helm/elsewhere.yaml", "a: b\n");
    checkout.write("server/src/main.ts", "//\n");
    checkout.write("../outside.txt", "x\n");
    fs::remove_file(checkout.tree().join("README.md")).expect("removed");
    fs::remove_file(checkout.tree().join("ee/helm/email-service/testdata/inbound.eml")).expect("removed");
    assert_clean(&checkout.dry_run());
}

/// The configuration enters the release: `manifest.extra`, image repositories, the profile.
#[test]
fn a_configuration_that_is_not_committed_is_refused() {
    let Some(checkout) = Checkout::new("") else { return };
    checkout.write("alga-release.yaml", "manifest: {extra: {note: uncommitted}}\n");
    assert_dirty(&checkout.dry_run(), &["alga-release.yaml"]);
}

#[test]
fn a_change_that_is_staged_but_not_committed_is_refused() {
    let Some(checkout) = Checkout::new("") else { return };
    checkout.write("ee/helm/email-service/NOTICE", "a: b\n");
    checkout.git(&["add", "--all"]);
    assert_dirty(&checkout.dry_run(), &["ee/helm/email-service/NOTICE"]);
}

#[test]
fn a_check_out_that_converts_line_ends_counts_as_committed() {
    let Some(checkout) = Checkout::new("") else { return };
    checkout.git(&["config", "core.autocrlf", "true"]);
    let path = "helm/values.yaml";
    fs::remove_file(checkout.tree().join(path)).expect("removed");
    checkout.git(&["checkout", "--", path]);
    assert!(fs::read(checkout.tree().join(path)).expect("a file").windows(2).any(|two| two == b"\r\n"));
    assert_clean(&checkout.dry_run());
}

/// The flags that replace git, as hints name them.
const FLAGS: [&str; 3] = ["--source-commit HEX", "--epoch SECONDS", "--source-url URL"];

/// Flags for a source without a git repository.
const GIVEN: [&str; 4] = ["--source-commit", COMMIT, "--epoch", EPOCH];

#[test]
fn a_tree_without_git_is_refused_with_the_flags_that_replace_git() {
    let Some(checkout) = Checkout::new("") else { return };
    fs::remove_dir_all(checkout.repository().join(".git")).expect("removed");
    let reason = "the source tree is not in a git repository";
    checkout.publish(&[]).ends(9).says(&[reason]).says(&FLAGS);
    checkout.publish(&["--epoch", EPOCH]).ends(9).says(&[reason]).says(&FLAGS);
    checkout.publish(&["--source-commit", COMMIT]).ends(9).says(&["missing time of the release", "--epoch SECONDS"]);
    let annotations = checkout.annotations(&checkout.publish(&GIVEN).ends(0).json());
    assert_eq!(annotations["org.opencontainers.image.revision"], format!("1.0.3@sha1:{COMMIT}"));
    assert!(annotations.get("org.opencontainers.image.source").is_none(), "{annotations}");
}

#[test]
fn a_shallow_clone_gives_the_digests_of_its_repository() {
    let Some(checkout) = Checkout::new("") else { return };
    checkout.write("ee/helm/temporal/NOTES", "second\n");
    checkout.commit("second");
    let expected = digests(&checkout.dry_run().ends(0).json());
    let clone = checkout.home.path().join("clone");
    let (from, to) = (format!("file://{}", checkout.repository().display()), clone.display().to_string());
    checkout.git(&["clone", "--quiet", "--depth", "1", &from, &to]);
    let remote = checkout.git(&["remote", "get-url", "origin"]);
    checkout.git(&["-C", &to, "remote", "set-url", "origin", &remote]);
    assert!(clone.join(".git/shallow").exists(), "the clone has the whole history");
    assert_eq!(digests(&checkout.publish_from(&clone, &["--dry-run"]).ends(0).json()), expected);
}

#[test]
fn a_worktree_gives_the_digests_of_its_repository_and_is_refused_without_it() {
    let Some(checkout) = Checkout::new("deep/er") else { return };
    let expected = digests(&checkout.dry_run().ends(0).json());
    let worktree = checkout.home.path().join("worktree");
    checkout.git(&["worktree", "add", "--quiet", &worktree.display().to_string()]);
    let tree = worktree.join("deep/er");
    assert_eq!(digests(&checkout.publish_from(&tree, &["--dry-run"]).ends(0).json()), expected);
    fs::rename(checkout.repository(), checkout.home.path().join("moved")).expect("renamed");
    let place = format!("{}: the file belongs to a git worktree", worktree.join(".git").display());
    let missing = checkout.repository().join(".git/worktrees/worktree").display().to_string();
    checkout.publish_from(&tree, &["--dry-run"]).ends(9).says(&[&place, &missing]).says(&FLAGS);
    checkout.publish_from(&tree, &GIVEN).ends(0);
}

#[test]
fn a_git_repository_that_cannot_be_read_is_refused_with_the_flags_that_replace_git() {
    type Damage = fn(&Path);
    let damages: [(Damage, &str); 4] = [
        (|git| fs::write(git.join("HEAD"), "nonsense\n").expect("written"), "failed to read the git repository"),
        (|git| fs::remove_file(git.join("HEAD")).expect("removed"), "not a git repository"),
        (|git| fs::remove_dir_all(git.join("objects")).expect("removed"), "not a git repository"),
        (|git| fs::remove_dir_all(git.join("refs/heads")).expect("removed"), "the git repository has no commit yet"),
    ];
    for (damage, reason) in damages {
        let Some(checkout) = Checkout::new("") else { return };
        // A valid repository around the damaged one must not be used instead.
        let outer = checkout.home.path().display().to_string();
        checkout.git(&["-C", &outer, "init", "--quiet"]);
        checkout.git(&["-C", &outer, "commit", "--quiet", "--allow-empty", "--message", "outer"]);
        let git = checkout.repository().join(".git");
        damage(&git);
        let place = format!("{}: {reason}", git.canonicalize().expect("a path").display());
        let run = checkout.publish(&[]).says(&[&place]).says(&FLAGS);
        assert!(matches!(run.code, Some(1 | 9)), "{run:?}");
        assert!(!checkout.out().exists(), "nothing may be written: {run:?}");
        checkout.publish(&GIVEN).ends(0);
    }
}

/// A name, flags, and the digests that they give.
type Case = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);

const CASES: [Case; 3] = [
    (
        "digest",
        &[],
        &[
            ("chart email-service", "sha256:a195c85e01da60974583089ce67d0064c0771f39968447d75da7bab524220f0d"),
            ("chart sebastian", "sha256:c11c52be636ac16e2ff3c5cc25c503b58f12c1ead32b4d1eef8c16abb6e93e13"),
            ("chart temporal", "sha256:6a5158705b4893ae509b36da5f298cd87d7a7895974e8e645f4be61f015c42bc"),
            ("chart temporal-worker", "sha256:3b87327865cb4e1be9db6acf9d5e1e8254b8707962f1f6cf8ea4dcea167ce970"),
            ("chart workflow-worker", "sha256:ed8079a748a5dd8aac952333ba2efbac51223610a1ca1c989202c6ed9ffa4507"),
            ("bundle alga-appliance-config", "sha256:9811b7146f0255c787c090d95657c4b2f40f10ed8148754e0732bccef0537288"),
            (
                "release alga-appliance-release",
                "sha256:3dfcde210f1cc90d61f16d352aa16ce945990e477116f48e15e7624ab1b35823",
            ),
        ],
    ),
    (
        "version",
        &["--chart-pin", "version"],
        &[
            ("chart email-service", "sha256:a195c85e01da60974583089ce67d0064c0771f39968447d75da7bab524220f0d"),
            ("chart sebastian", "sha256:c11c52be636ac16e2ff3c5cc25c503b58f12c1ead32b4d1eef8c16abb6e93e13"),
            ("chart temporal", "sha256:6a5158705b4893ae509b36da5f298cd87d7a7895974e8e645f4be61f015c42bc"),
            ("chart temporal-worker", "sha256:3b87327865cb4e1be9db6acf9d5e1e8254b8707962f1f6cf8ea4dcea167ce970"),
            ("chart workflow-worker", "sha256:ed8079a748a5dd8aac952333ba2efbac51223610a1ca1c989202c6ed9ffa4507"),
            ("bundle alga-appliance-config", "sha256:308e920916f36d12b035fe54972e9b5621be902fe3a27e56c0b0a0153a45b494"),
            (
                "release alga-appliance-release",
                "sha256:42b35632f2eac385156b237317012d2ccf338590f010cf4a6294708939d5b028",
            ),
        ],
    ),
    (
        "stamped",
        &["--chart-version", "stamped"],
        &[
            ("chart email-service", "sha256:0bfb50e50ca820cfc751ff2168e34537bbea6f1df6709b0ad5b91e971a627a79"),
            ("chart sebastian", "sha256:07b9cd39c24ff2c6d03fb90f2fff68c859028afa04941773ec331a5ed7dc5d88"),
            ("chart temporal", "sha256:6890d36329ada0f1042bb201225b2aa81efb0ae3ad31bb1287611167b360c6dd"),
            ("chart temporal-worker", "sha256:0535870331ab2cfa5783cc08b25a67673d6f4add41d5347ec2ec7df2c80ac2f9"),
            ("chart workflow-worker", "sha256:0db5a4ea4ba859432b2fe2d7e3e72e11783b4efafc48c648d4d2a48a10eeb834"),
            ("bundle alga-appliance-config", "sha256:903e149d5801fd852fe6e095093f1113fe448a9ae6b7ec92d251f60bdf62e02c"),
            (
                "release alga-appliance-release",
                "sha256:67eb0bec09c7d0f77b20b698d9322324cf6f6846b8bf9087ecc79dcd00e910a1",
            ),
        ],
    ),
];

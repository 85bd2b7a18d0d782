//! The images of the `Containerfile`, built by buildah without a network: the programs of this build replace the build stage.
//!
//! `ALGA_STATIC` names a directory with the two programs linked statically, as the image has them; without it they are those
//! of this test run, with their loader and libraries beside them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::docker_registry::DockerRegistry;
use crate::support::programs::{Source, run, stdout};
use crate::support::{files_below, missing, require, root};

/// The commit's time.
const EPOCH: &str = "1700000000";

#[expect(clippy::disallowed_methods, reason = "tests find their data by the environment")]
fn static_programs() -> Option<PathBuf> {
    std::env::var_os("ALGA_STATIC").map(PathBuf::from)
}

/// A program of this build, by its name.
fn program(name: &str) -> PathBuf {
    match (static_programs(), name) {
        (Some(directory), name) => directory.join(name),
        (None, "alga-release") => env!("CARGO_BIN_EXE_alga-release").into(),
        (None, _) => env!("CARGO_BIN_EXE_alga-resolve").into(),
    }
}

/// Copies a file to below `root`, where it has the same name.
fn place(root: &Path, from: &Path, name: &str) {
    let to = root.join(name.trim_start_matches('/'));
    fs::create_dir_all(to.parent().expect("a parent")).expect("a directory");
    fs::copy(from, &to).expect("copied");
    fs::set_permissions(&to, fs::Permissions::from_mode(0o555)).expect("a mode");
}

/// What the building stage leaves: each image's root.
fn built(stage: &Path) {
    for (image, programs) in [("publisher", &["alga-release", "alga-resolve"][..]), ("resolver", &["alga-resolve"])] {
        let root = stage.join("out").join(image);
        for name in programs {
            place(&root, &program(name), &format!("usr/bin/{name}"));
            if static_programs().is_some() {
                continue;
            }
            let listed = String::from_utf8(stdout(Command::new("ldd").arg(program(name)))).expect("text");
            for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
                place(&root, Path::new(library), library);
            }
        }
        place(&root, Path::new("/etc/ssl/certs/ca-certificates.crt"), "etc/ssl/certs/ca-certificates.crt");
    }
}

/// buildah with a storage of its own.
struct Builder {
    buildah: PathBuf,
    here: tempfile::TempDir,
}

impl Builder {
    /// Returns nothing if buildah is missing or this user may not use it.
    fn new() -> Option<Self> {
        let buildah = require("buildah")?;
        let id = String::from_utf8(stdout(Command::new("id").arg("-u"))).expect("text");
        if id.trim() != "0" {
            missing("images are built by root, who alone may change roots");
            return None;
        }
        Some(Self { buildah, here: tempfile::tempdir().expect("a directory") })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.here.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.buildah);
        command.args(["--storage-driver", "vfs", "--root"]).arg(self.path("storage"));
        command.arg("--runroot").arg(self.path("running"));
        command
    }

    /// Builds a target of the `Containerfile` from a stage, into a layout; its digest.
    fn build(&self, target: &str, stage: &Path, layout: &str) -> String {
        let mut build = self.command();
        build.args([
            "build",
            "--quiet",
            "--isolation",
            "chroot",
            "--no-cache",
            "--timestamp",
            EPOCH,
            "--target",
            target,
        ]);
        build.args(["--build-arg", "VERSION=1.2.3", "--build-arg", "REVISION=abc", "--tag", target]);
        build.arg("--build-context").arg(format!("build={}", stage.display()));
        build.arg("--build-context").arg(format!("judges={}", stage.join("judges").display()));
        build.arg("--file").arg(root("Containerfile")).arg(stage);
        stdout(&mut build);
        let to = format!("oci:{}:{target}", self.path(layout).display());
        stdout(self.command().args(["push", "--quiet", target, &to]));
        let index: Value =
            serde_json::from_slice(&fs::read(self.path(layout).join("index.json")).expect("an index")).expect("JSON");
        index["manifests"][0]["digest"].as_str().expect("a digest").to_owned()
    }

    /// The image's files, unpacked.
    fn unpacked(&self, target: &str) -> PathBuf {
        let container = String::from_utf8(stdout(self.command().args(["from", "--pull-never", target]))).expect("text");
        let mounted = stdout(self.command().args(["mount", container.trim()]));
        PathBuf::from(String::from_utf8(mounted).expect("text").trim())
    }

    /// The JSON that describes an image of a layout.
    fn description(&self, layout: &str, digest: &str) -> Value {
        let blob = |digest: &str| -> Value {
            let path = self.path(layout).join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
            serde_json::from_slice(&fs::read(path).expect("a blob")).expect("JSON")
        };
        blob(blob(digest)["config"]["digest"].as_str().expect("a digest"))
    }
}

/// An unpacked image, and the directory that is mounted at `/work`.
struct Place {
    root: PathBuf,
    work: PathBuf,
}

/// Returns a program of an unpacked image, as a pod of Kubernetes runs it: a read-only root with the image alone, one writable
/// directory, and a user without a name, a home, `/proc` and `/tmp`.
fn contained(place: &Place, user: u32, program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let script =
        "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" && mount --bind \"$2\" \"$1/work\" || exit 99
        root=$1; user=$3; shift 3; exec chroot --userspec=\"$user:$user\" --groups= \"$root\" \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(&place.root)
        .arg(&place.work)
        .arg(user.to_string())
        .arg(format!("/usr/bin/{program}"));
    command.args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(environment.iter().copied());
    command
}

#[test]
fn the_containerfile_has_no_finding_and_what_is_loose_in_it_is_found() {
    let Some(hadolint) = require("hadolint") else { return };
    let text = fs::read_to_string(root("Containerfile")).expect("the file");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("Containerfile");
    let lint = |text: &str| {
        fs::write(&path, text).expect("written");
        // The machine's own configuration is not used.
        let mut hadolint = Command::new(&hadolint);
        hadolint.current_dir(directory.path()).env_clear().args(["--no-color", "--failure-threshold", "style"]);
        run(hadolint.arg(&path))
    };
    let clean = lint(&text).ends(0);
    assert_eq!(clean.stdout, "");
    for (from, to, rule) in [
        ("rust:1.95.0-bookworm", "rust", "DL3006"),
        ("rust:1.95.0-bookworm", "rust:latest", "DL3007"),
        ("WORKDIR /src", "WORKDIR src", "DL3000"),
        ("65532:65532", "root", "DL3002"),
        (r#"ENTRYPOINT ["/usr/bin/alga-release"]"#, "ENTRYPOINT /usr/bin/alga-release", "DL3025"),
    ] {
        assert!(text.contains(from), "{from}");
        let found = lint(&text.replace(from, to)).ends(1);
        assert!(found.stdout.contains(rule), "{rule}: {}", found.stdout);
    }
}

#[test]
fn an_image_holds_what_it_must_and_the_same_build_gives_the_same_digest() {
    let Some(builder) = Builder::new() else { return };
    for (target, programs) in [("publisher", &["alga-release", "alga-resolve"][..]), ("resolver", &["alga-resolve"])] {
        let digests = ["first", "second"].map(|attempt| {
            let stage = builder.path(&format!("{target}-{attempt}"));
            built(&stage);
            builder.build(target, &stage, &format!("{target}-{attempt}-layout"))
        });
        assert_eq!(digests[0], digests[1], "{target}");
        let config = builder.description(&format!("{target}-first-layout"), &digests[0]);
        assert_eq!(config["config"]["User"], "65532:65532", "{target}");
        assert_eq!(config["config"]["Entrypoint"][0], format!("/usr/bin/{}", programs[0]), "{target}");
        assert_eq!(config["created"], "2023-11-14T22:13:20Z", "{target}");
        let labels = &config["config"]["Labels"];
        for label in ["title", "description", "source", "version", "revision", "created", "licenses"] {
            let value = labels[format!("org.opencontainers.image.{label}")].as_str().unwrap_or_default();
            assert!(!value.is_empty() && !value.contains('$'), "{target}: {label}: {labels}");
        }
        let files = files_below(&builder.unpacked(target).join("usr/bin"));
        assert_eq!(files.keys().map(String::as_str).collect::<Vec<_>>(), programs, "{target}");
        assert!(builder.unpacked(target).join("etc/ssl/certs/ca-certificates.crt").is_file(), "{target}");
        if static_programs().is_some() {
            assert!(!builder.unpacked(target).join("lib64").exists(), "{target}");
        }
    }
}

#[test]
fn the_image_with_helm_and_kustomize_asks_both() {
    let Some(builder) = Builder::new() else { return };
    let (Some(helm), Some(kustomize)) = (require("helm"), require("kustomize")) else { return };
    let stage = builder.path("stage");
    built(&stage);
    place(&stage.join("judges/out"), &helm, "usr/bin/helm");
    place(&stage.join("judges/out"), &kustomize, "usr/bin/kustomize");
    builder.build("publisher-render", &stage, "layout");
    let source = Source::new();
    let work = source.path("..").canonicalize().expect("a directory");
    fs::set_permissions(&work, fs::Permissions::from_mode(0o777)).expect("a mode");
    let place = Place { root: builder.unpacked("publisher-render"), work };
    // A runtime mounts it, and programs are started with it as their input.
    fs::create_dir_all(place.root.join("dev")).expect("a directory");
    stdout(Command::new("mknod").args(["-m", "666"]).arg(place.root.join("dev/null")).args(["c", "1", "3"]));
    let lint = ["lint", "/work/tree", "--render", "require", "--output", "json"];
    let report = run(&mut contained(&place, 65532, "alga-release", &lint, &[("TMPDIR", "/work")])).ends(0).json();
    let judges: Vec<&str> = report["judges"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|judge| judge["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(judges, ["helm", "kustomize"], "{report:#}");
    assert!(
        report["judges"].as_array().expect("a list").iter().all(|judge| judge["version"].is_string()),
        "{report:#}"
    );
}

#[test]
fn the_image_publishes_and_resolves_as_an_unknown_user_on_a_read_only_root() {
    let Some(builder) = Builder::new() else { return };
    let Some((registry, ca)) = DockerRegistry::with_tls() else { return };
    let stage = builder.path("stage");
    built(&stage);
    builder.build("publisher", &stage, "layout");
    let source = Source::new();
    // The tree belongs to another user than the one that reads it.
    if source.commit().is_none() {
        return;
    }
    let work = source.path("..").canonicalize().expect("a directory");
    fs::write(work.join("ca.pem"), ca).expect("written");
    fs::set_permissions(&work, fs::Permissions::from_mode(0o755)).expect("a mode");
    let place = Place { root: builder.unpacked("publisher"), work };
    let store = format!("https://{}/org", registry.address());
    let publish =
        format!("publish /work/tree --version 1.0.3 --channel nightly --store {store} --image-check off --retry-for 0");
    let publish: Vec<&str> = publish.split(' ').collect();
    // Its certificate is of an authority that the image does not know.
    run(&mut contained(&place, 65532, "alga-release", &publish, &[])).ends(1).says(&["not trusted"]);
    let trusting = [("SSL_CERT_FILE", "/work/ca.pem")];
    run(&mut contained(&place, 65532, "alga-release", &publish, &trusting)).ends(0);
    let again = run(&mut contained(&place, 65532, "alga-release", &publish, &trusting)).ends(0);
    assert!(again.stdout.starts_with("nothing to do"), "{}", again.stdout);
    let resolve = ["resolve", "nightly", "--store", &store];
    let resolved = run(&mut contained(&place, 1_000_680_000, "alga-resolve", &resolve, &trusting)).ends(0).json();
    assert_eq!(resolved["version"], "1.0.3");
}

#[test]
fn names_are_resolved_by_the_files_that_a_runtime_mounts() {
    let Some(builder) = Builder::new() else { return };
    let Some(registry) = DockerRegistry::start() else { return };
    let stage = builder.path("stage");
    built(&stage);
    builder.build("publisher", &stage, "layout");
    let source = Source::new();
    if source.commit().is_none() {
        return;
    }
    let work = source.path("..").canonicalize().expect("a directory");
    fs::set_permissions(&work, fs::Permissions::from_mode(0o755)).expect("a mode");
    let place = Place { root: builder.unpacked("publisher"), work };
    let (_, port) = registry.address().rsplit_once(':').expect("a port");
    let publish = format!(
        "publish /work/tree --version 1.0.3 --channel nightly --store registry.example:{port}/org --plain-http --image-check off --retry-for 0"
    );
    let publish: Vec<&str> = publish.split(' ').collect();
    // Host names are not resolved there, which is a temporary failure.
    fs::write(place.root.join("etc/resolv.conf"), "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n")
        .expect("written");
    run(&mut contained(&place, 65532, "alga-release", &publish, &[])).ends(75).says(&["registry.example"]);
    fs::write(place.root.join("etc/hosts"), "127.0.0.1 localhost registry.example\n").expect("written");
    run(&mut contained(&place, 65532, "alga-release", &publish, &[])).ends(0);
    let store = format!("localhost:{port}/org");
    let resolve = ["resolve", "nightly", "--store", &store];
    let resolved = run(&mut contained(&place, 65532, "alga-resolve", &resolve, &[])).ends(0).json();
    assert_eq!(resolved["version"], "1.0.3");
}

#[test]
fn a_work_tree_of_git_is_read_without_git() {
    let source = Source::new();
    let Some(commit) = source.commit() else { return };
    // No variable at all: no PATH to look for programs on, no HOME.
    let mut publish = Command::new(env!("CARGO_BIN_EXE_alga-release"));
    publish.env_clear().arg("publish").arg(source.path("")).args(["--version", "1.0.3", "--channel", "nightly"]);
    publish.args(["--store", &source.layout()]);
    run(&mut publish).ends(0);
    let mut resolve = Command::new(env!("CARGO_BIN_EXE_alga-resolve"));
    resolve.env_clear().args(["resolve", "nightly", "--store", &source.layout()]);
    run(&mut resolve).ends(0);
    let published = files_below(&source.store());
    let named = published.values().any(|bytes| String::from_utf8_lossy(bytes).contains(&format!("@sha1:{commit}")));
    assert!(named, "nothing of what is published names the commit {commit}");
}

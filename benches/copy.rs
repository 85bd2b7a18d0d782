//! Copying a whole release with an image of 1 GiB in four layers between two registries, a directory and an archive, against the
//! programs of others on the same artifacts and registries, in the same run: each as people would script it, one command for each
//! artifact. Prints seconds, the largest resident size and requests; judges nothing.
//!
//! `cargo bench --bench copy`; needs the programs that `tests/peers/install --system` brings, and 6 GiB in `TMPDIR`.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a bench talks to people")]

#[allow(dead_code, reason = "shared with another bench")]
mod archives;
mod memory;
#[allow(dead_code, reason = "shared with another bench")]
mod peers;
#[allow(dead_code, reason = "shared with another bench")]
mod proxy;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use archives::{LAYERS, SIZE, layers, layout};
use memory::measured;
use peers::{Registry, publisher, which};
use proxy::Proxy;

/// Rounds of each; the median is printed.
const ROUNDS: usize = 3;
/// Below which name the release is.
const ORIGIN: &str = "bench";
/// And its copy.
const COPY: &str = "copy";
const VERSION: &str = "1.0.3";

fn main() {
    let Some(peers) = Peers::find() else {
        println!("skipped: skopeo, crane, oras or docker-registry are missing: tests/peers/install --system");
        return;
    };
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let small = Origin::start(&scratch.path().join("small"), 8 << 20);
    println!("requests between two registries, of both, first and again; layers of 2 MiB");
    for (name, program) in peers.between() {
        count(name, &small.registry.address, &program);
    }
    drop(small);
    let origin = Origin::start(&scratch.path().join("large"), SIZE);
    println!("{ROUNDS} rounds, medians; a release with an image of {} MiB in {LAYERS} layers", SIZE >> 20);
    let from = &origin.registry.address;
    println!("from registry to registry");
    for (name, program) in peers.between() {
        show(name, |place| program(from, &place.registry.address));
    }
    println!("from a registry to a directory");
    show("copy", |place| vec![ours(from, &place.layout())]);
    show("skopeo copy", |place| peers.skopeo_layouts(from, &place.path("skopeo")));
    show("oras cp -r", |place| peers.oras_layouts(from, &place.path("oras")));
    show("crane pull", |place| peers.crane_layouts(from, &place.path("crane")));
    println!("from a registry to one file, or a file for each");
    show("copy", |place| vec![ours(from, &place.archive())]);
    show("skopeo copy", |place| peers.skopeo_archives(from, &place.path("")));
    show("oras backup", |place| peers.oras_backups(from, &place.path("")));
    println!("from files to a registry");
    let files = scratch.path();
    let archive = format!("oci-archive:{}", files.join("release.tar").display());
    let prepare = [vec![ours(from, &archive)], peers.skopeo_archives(from, files), peers.oras_backups(from, files)];
    script(prepare.into_iter().flatten().collect());
    show("copy", |place| vec![ours_from(&archive, &format!("{}/{COPY}", place.registry.address))]);
    show("skopeo copy", |place| peers.skopeo_restores(files, &place.registry.address));
    show("oras restore", |place| peers.oras_restores(files, &place.registry.address));
}

/// A registry with the release.
struct Origin {
    registry: Registry,
}

impl Origin {
    fn start(directory: &Path, size: u64) -> Self {
        fs::create_dir_all(directory).expect("a directory");
        let image = layout(directory, &layers(directory, LAYERS, size));
        let registry = Registry::start(directory);
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts-fixtures");
        let mut publish = publisher(&tree, &format!("{}/{ORIGIN}", registry.address));
        publish.args(["--image-check", "off", "--control-plane-archive"]).arg(image);
        quietly(publish);
        Self { registry }
    }
}

/// The artifacts of the release: repository and tag.
fn artifacts() -> [(&'static str, &'static str); 8] {
    [
        ("charts/sebastian", "0.0.1"),
        ("charts/temporal", "0.1.0"),
        ("charts/temporal-worker", "0.1.0"),
        ("charts/workflow-worker", "0.1.0"),
        ("charts/email-service", "0.1.0"),
        ("alga-appliance-config", VERSION),
        ("alga-appliance-control-plane", VERSION),
        ("alga-appliance-release", VERSION),
    ]
}

/// Where a round copies to; nothing of it is left after.
struct Place {
    directory: tempfile::TempDir,
    registry: Registry,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let registry = Registry::start(directory.path());
        Self { directory, registry }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn layout(&self) -> String {
        format!("oci-layout:{}", self.path("layout").display())
    }

    fn archive(&self) -> String {
        format!("oci-archive:{}", self.path("release.tar").display())
    }
}

/// Each round into a new place; the second number is of copying again what is there.
fn show(name: &str, commands: impl Fn(&Place) -> Vec<Command>) {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let place = Place::new();
        let first = script(commands(&place));
        rounds.push((first, script(commands(&place))));
    }
    rounds.sort_by_key(|((seconds, _), _)| *seconds);
    let ((first, memory), (again, _)) = rounds[ROUNDS / 2];
    println!("  {name:14} {:6.2} s {memory:4.0} MiB   again {:6.2} s", first.as_secs_f64(), again.as_secs_f64());
}

/// How many requests each registry gets.
fn count(name: &str, from: &str, commands: &Script<'_>) {
    let place = Place::new();
    let (source, target) = (Proxy::start(from, Duration::ZERO), Proxy::start(&place.registry.address, Duration::ZERO));
    let mut text = String::new();
    for _ in 0..2 {
        script(commands(&source.address, &target.address));
        let _ = write!(text, "{:8} {:4}", source.count().requests, target.count().requests);
    }
    println!("  {name:14} {text}");
}

/// One after the other: how long all took, and the largest resident size of any in MiB.
fn script(commands: Vec<Command>) -> (Duration, f64) {
    let each = commands.into_iter().map(quietly);
    each.fold((Duration::ZERO, 0.0), |(time, peak), (more, size)| (time + more, size.max(peak)))
}

fn quietly(mut command: Command) -> (Duration, f64) {
    measured(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// `alga-release copy` out of a registry.
fn ours(from: &str, target: &str) -> Command {
    ours_from(&format!("{from}/{ORIGIN}"), target)
}

fn ours_from(store: &str, target: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alga-release"));
    command.args(["copy", VERSION, target, "--quiet", "--store", store]);
    command
}

/// The commands between two registries, by their addresses.
type Script<'a> = dyn Fn(&str, &str) -> Vec<Command> + 'a;

/// The programs of others.
struct Peers {
    skopeo: PathBuf,
    crane: PathBuf,
    oras: PathBuf,
}

impl Peers {
    fn find() -> Option<Self> {
        which("docker-registry")?;
        Some(Self { skopeo: which("skopeo")?, crane: which("crane")?, oras: which("oras")? })
    }

    /// All that copy from registry to registry.
    fn between(&self) -> [(&'static str, Box<Script<'_>>); 4] {
        [
            ("copy", Box::new(|from, to| vec![ours(from, &format!("{to}/{COPY}"))])),
            ("skopeo copy", Box::new(|from, to| self.skopeo(&in_registry(from, ORIGIN), &in_registry(to, COPY)))),
            ("oras cp -r", Box::new(|from, to| self.oras_between(from, to))),
            ("crane copy", Box::new(|from, to| self.crane_between(from, to))),
        ]
    }

    fn each(program: &Path, arguments: impl Fn(&str, &str) -> Vec<String>) -> Vec<Command> {
        let commands = artifacts().into_iter().map(|(repository, tag)| {
            let mut command = Command::new(program);
            command.args(arguments(repository, tag));
            command
        });
        commands.collect()
    }

    fn skopeo(&self, from: &dyn Fn(&str, &str) -> String, to: &dyn Fn(&str, &str) -> String) -> Vec<Command> {
        Self::each(&self.skopeo, |repository, tag| {
            let flags = ["copy", "--all", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false"];
            let mut arguments = flags.map(ToOwned::to_owned).to_vec();
            arguments.extend([from(repository, tag), to(repository, tag)]);
            arguments
        })
    }

    fn skopeo_layouts(&self, from: &str, directory: &Path) -> Vec<Command> {
        let layout = |repository: &str, tag: &str| {
            let path = directory.join(repository);
            fs::create_dir_all(&path).expect("a directory");
            format!("oci:{}:{tag}", path.display())
        };
        self.skopeo(&in_registry(from, ORIGIN), &layout)
    }

    /// It writes no archive twice.
    fn skopeo_archives(&self, from: &str, directory: &Path) -> Vec<Command> {
        let _ = artifacts().map(|(repository, _)| fs::remove_file(file(directory, "skopeo", repository)));
        self.skopeo(&in_registry(from, ORIGIN), &in_archive(directory))
    }

    fn skopeo_restores(&self, directory: &Path, to: &str) -> Vec<Command> {
        self.skopeo(&in_archive(directory), &in_registry(to, COPY))
    }

    fn oras_between(&self, from: &str, to: &str) -> Vec<Command> {
        Self::each(&self.oras, |repository, tag| {
            let flags = ["cp", "-r", "--from-plain-http", "--to-plain-http"].map(ToOwned::to_owned);
            let names = [format!("{from}/{ORIGIN}/{repository}:{tag}"), format!("{to}/{COPY}/{repository}:{tag}")];
            flags.into_iter().chain(names).collect()
        })
    }

    fn oras_layouts(&self, from: &str, directory: &Path) -> Vec<Command> {
        Self::each(&self.oras, |repository, tag| {
            let flags = ["cp", "-r", "--from-plain-http", "--to-oci-layout"].map(ToOwned::to_owned);
            let target = format!("{}:{tag}", directory.join(repository).display());
            flags.into_iter().chain([format!("{from}/{ORIGIN}/{repository}:{tag}"), target]).collect()
        })
    }

    fn oras_backups(&self, from: &str, directory: &Path) -> Vec<Command> {
        Self::each(&self.oras, |repository, tag| {
            let target = file(directory, "oras", repository).display().to_string();
            let flags = ["backup", "--plain-http", "--include-referrers", "--output"].map(ToOwned::to_owned);
            flags.into_iter().chain([target, format!("{from}/{ORIGIN}/{repository}:{tag}")]).collect()
        })
    }

    fn oras_restores(&self, directory: &Path, to: &str) -> Vec<Command> {
        Self::each(&self.oras, |repository, tag| {
            let source = file(directory, "oras", repository).display().to_string();
            let flags = ["restore", "--plain-http", "--input"].map(ToOwned::to_owned);
            flags.into_iter().chain([source, format!("{to}/{COPY}/{repository}:{tag}")]).collect()
        })
    }

    fn crane_between(&self, from: &str, to: &str) -> Vec<Command> {
        Self::each(&self.crane, |repository, tag| {
            let names = [format!("{from}/{ORIGIN}/{repository}:{tag}"), format!("{to}/{COPY}/{repository}:{tag}")];
            ["copy", "--insecure"].map(ToOwned::to_owned).into_iter().chain(names).collect()
        })
    }

    fn crane_layouts(&self, from: &str, directory: &Path) -> Vec<Command> {
        Self::each(&self.crane, |repository, tag| {
            let path = directory.join(repository);
            fs::create_dir_all(&path).expect("a directory");
            let flags = ["pull", "--insecure", "--format=oci"].map(ToOwned::to_owned);
            let names = [format!("{from}/{ORIGIN}/{repository}:{tag}"), path.display().to_string()];
            flags.into_iter().chain(names).collect()
        })
    }
}

/// As skopeo names it.
fn in_registry(address: &str, prefix: &str) -> impl Fn(&str, &str) -> String {
    let root = format!("docker://{address}/{prefix}");
    move |repository, tag| format!("{root}/{repository}:{tag}")
}

fn in_archive(directory: &Path) -> impl Fn(&str, &str) -> String {
    move |repository, tag| format!("oci-archive:{}:{tag}", file(directory, "skopeo", repository).display())
}

/// One file for each artifact.
fn file(directory: &Path, program: &str, repository: &str) -> PathBuf {
    directory.join(format!("{program}-{}.tar", repository.replace('/', "-")))
}

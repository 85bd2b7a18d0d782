//! Pushing an image of 1 GiB out of its archive, against skopeo and crane on the same files and registry, in the same
//! run. Prints seconds and the largest resident size; judges nothing.
//!
//! `cargo bench --bench image [-- LAYERS]`, four layers if nothing is said; needs the programs that `tests/peers/install --system` brings, and 5 GiB in `TMPDIR`.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a bench talks to people")]

mod archives;
mod memory;
#[allow(dead_code, reason = "shared with another bench")]
mod peers;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use archives::{Archives, LAYERS, SIZE};
use memory::measured;
use peers::{Registry, which};

/// Rounds of each; the median is printed.
const ROUNDS: usize = 3;

fn main() {
    let programs = (which("skopeo"), which("crane"), which("docker-registry"));
    let (Some(skopeo), Some(crane), Some(_)) = programs else {
        println!("skipped: skopeo, crane or docker-registry are missing: tests/peers/install --system");
        return;
    };
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let layers = std::env::args().find_map(|word| word.parse().ok()).filter(|layers| *layers > 0).unwrap_or(LAYERS);
    let archives = Archives::new(scratch.path(), layers);
    let release = PathBuf::from(env!("CARGO_BIN_EXE_alga-release"));
    let ours = |archive: &Path, store: &str| {
        let mut command = Command::new(&release);
        command.args(["image", "push"]).arg(archive).args(["--tag", "1", "--quiet", "--store", store]);
        command
    };
    let skopeo = |from: &str, archive: &Path, store: &str| {
        let mut command = Command::new(&skopeo);
        command.args(["copy", "--insecure-policy", "--dest-tls-verify=false"]);
        command.arg(format!("{from}:{}", archive.display()));
        command.arg(format!("docker://{store}/alga-appliance-control-plane:1"));
        command
    };
    let crane = |archive: &Path, store: &str| {
        let mut command = Command::new(&crane);
        command.args(["push", "--insecure"]).arg(archive).arg(format!("{store}/alga-appliance-control-plane:1"));
        command
    };
    println!("{ROUNDS} rounds, medians; an image of {} MiB in {layers} layers", SIZE >> 20);
    println!("from an OCI archive or layout");
    show("  image push, archive", |store| ours(&archives.oci, store));
    show("  image push, layout", |store| ours(&archives.layout, store));
    show("  skopeo copy, archive", |store| skopeo("oci-archive", &archives.oci, store));
    show("  crane push, layout", |store| crane(&archives.layout, store));
    println!("from what docker save writes");
    show("  image push", |store| ours(&archives.saved, store));
    show("  skopeo copy", |store| skopeo("docker-archive", &archives.saved, store));
    show("  crane push", |store| crane(&archives.saved, store));
}

/// The same registry, empty for each round; the second number is of pushing what is there.
fn show(name: &str, command: impl Fn(&str) -> Command) {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let registry = Registry::start(directory.path());
        let store = format!("{}/bench", registry.address);
        rounds.push((quietly(command(&store)), quietly(command(&store))));
    }
    rounds.sort_by_key(|((seconds, _), _)| *seconds);
    let ((first, memory), (again, _)) = rounds[ROUNDS / 2];
    println!("{name:24} {:6.2} s {memory:4.0} MiB   again {:6.2} s", first.as_secs_f64(), again.as_secs_f64());
}

/// How long it took, and its largest resident size in MiB.
fn quietly(mut command: Command) -> (Duration, f64) {
    measured(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

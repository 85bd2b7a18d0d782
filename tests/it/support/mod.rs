//! Code that several tests share.

pub mod clock;
pub mod cluster;
pub mod cosign;
pub mod definitions;
pub mod docker_registry;
pub mod images;
pub mod in_process;
pub mod judge;
pub mod planted;
pub mod programs;
pub mod proxy;
pub mod published;
pub mod registry;
pub mod release_with_images;
pub mod signed_channel;
pub mod token_server;
pub mod trust;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

/// Finds a program of another project: in `$ALGA_PEERS_DIR`, in the cache, or in `PATH`.
#[allow(clippy::disallowed_methods, reason = "tests look for programs where their environment says")]
pub fn peer(name: &str) -> Option<PathBuf> {
    let given = std::env::var_os("ALGA_PEERS_DIR").map(PathBuf::from);
    let cached = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/alga-peers/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    given
        .into_iter()
        .chain(cached)
        .chain(std::env::split_paths(&path))
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

/// Reports that something is missing and the test is skipped. With `ALGA_PEERS=require` in the environment, the test
/// fails instead.
pub fn missing(what: &str) {
    #[expect(clippy::disallowed_methods, reason = "a switch of the tests themselves")]
    let required = std::env::var("ALGA_PEERS").is_ok_and(|peers| peers == "require");
    assert!(!required, "{what}");
    // Printed directly to the terminal, because the output of a passing test is not shown.
    let _ = writeln!(std::io::stderr(), "skipped: {what}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let mut skipped = SKIPPED.lock().expect("no test panics while it writes");
    writeln!(skipped, "{test}\t{what}").expect("written");
}

/// The tests that were skipped in this run, with the reasons. `tests/skipped.rs` prints them for the cargo process that
/// runs both.
static SKIPPED: LazyLock<Mutex<File>> = LazyLock::new(|| {
    let name = format!("skipped-{}", std::os::unix::process::parent_id());
    Mutex::new(File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)).expect("a file"))
});

/// Finds a program as [`peer`] does, and reports when it is missing.
pub fn require(name: &str) -> Option<PathBuf> {
    let found = peer(name);
    if found.is_none() {
        missing(&format!("{name} is missing; get it by `tests/peers/install --system`"));
    }
    found
}

/// Returns the path of a file or directory of this repository.
pub fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Reads every file below a directory, by its relative path.
pub fn files_below(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                left.push(path);
            } else {
                let name = path.strip_prefix(directory).expect("below").display().to_string();
                files.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    files
}

/// Returns the largest anonymous memory of a process in MiB, from `/proc/PID/status`. Pages of the program's file are
/// not counted, because a build with debug information has many of them.
pub fn peak_memory(status: &str) -> u64 {
    let kibibytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).expect("a size")
    };
    kibibytes("VmHWM:").saturating_sub(kibibytes("RssFile:")) >> 10
}

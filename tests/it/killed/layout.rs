//! A publish that is killed at any system call that changes a directory of layouts.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::walk::{Served, served};
use super::{NEW, OLD, change_charts, ends_as, finishes, publish, say, tree};
use crate::support::programs::{Source, resolve};
use crate::support::require;

/// System calls that change files, or that must not be interrupted in between. Each is counted separately. Calls that
/// the program does not use are never reached.
const CALLS: [&str; 9] =
    ["write", "rename", "renameat2", "fsync", "fdatasync", "mkdir", "unlink", "flock", "ftruncate"];

struct Case {
    source: Source,
    strace: PathBuf,
    old: PathBuf,
    before: Served,
    undisturbed: PathBuf,
    after: Served,
    directory: tempfile::TempDir,
}

fn at(path: &Path) -> String {
    format!("oci-layout:{}", path.display())
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-r").arg(from).arg(to).status().expect("cp");
    assert!(status.success());
}

impl Case {
    fn new(strace: PathBuf) -> Self {
        let (source, directory) = (tree(), tempfile::tempdir().expect("a temporary directory"));
        let (old, undisturbed) = (directory.path().join("old"), directory.path().join("undisturbed"));
        finishes(publish(&source, &at(&old), OLD));
        change_charts(&source);
        copy(&old, &undisturbed);
        finishes(publish(&source, &at(&undisturbed), NEW));
        let (before, after) = (served(old.as_path(), "nightly"), served(undisturbed.as_path(), "nightly"));
        Self { source, strace, old, before, undisturbed, after, directory }
    }

    /// Publishes and is killed at the call with this number. Returns whether there was such a call.
    fn killed_at(&self, store: &Path, call: &str, number: usize) -> bool {
        let publish = publish(&self.source, &at(store), NEW);
        let mut traced = Command::new(&self.strace);
        let inject = format!("inject={call}:signal=KILL:when={number}");
        traced.env_clear().args(["-f", "-qq", "-e", &format!("trace={call}"), "-e", &inject, "-o", "/dev/null", "--"]);
        traced.arg(publish.get_program()).args(publish.get_args());
        let status = traced.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().expect("strace");
        !status.success()
    }

    fn whole_after(&self, call: &str, number: usize) -> bool {
        let what = format!("killed at {call} {number}");
        let store = self.directory.path().join(format!("{call}-{number}"));
        copy(&self.old, &store);
        if !self.killed_at(&store, call, number) {
            ends_as(store.as_path(), self.undisturbed.as_path(), Some(&self.before), &self.after, &what);
            return false;
        }
        let now = served(store.as_path(), "nightly");
        let expected = if now.version == OLD { &self.before } else { &self.after };
        assert_eq!((&now.version, &now.release), (&expected.version, &expected.release), "{what}");
        let resolved = resolve(&["resolve", "nightly", "--store", &at(&store)]).ends(0).json();
        assert_eq!(resolved["version"], *now.version, "{what}");
        finishes(publish(&self.source, &at(&store), NEW));
        ends_as(store.as_path(), self.undisturbed.as_path(), Some(&self.before), &self.after, &what);
        std::fs::remove_dir_all(store).expect("removed");
        true
    }
}

#[test]
fn a_publish_killed_at_any_write_leaves_a_whole_directory_and_another_run_finishes() {
    let Some(strace) = require("strace") else { return };
    let (case, kills) = (Case::new(strace), AtomicUsize::new(0));
    super::for_each(CALLS.len(), |index| {
        let mut number = 1;
        while case.whole_after(CALLS[index], number) {
            number += 1;
        }
        kills.fetch_add(number - 1, Ordering::Relaxed);
    });
    let kills = kills.into_inner();
    assert!(kills > 50, "the program was killed at only {kills} calls");
    say(&format!("killed {kills} times, at each of {}", CALLS.join(", ")));
}

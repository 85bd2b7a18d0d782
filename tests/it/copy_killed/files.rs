//! A copy that is killed at any system call that changes the files of its target: a directory of layouts or an archive.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Case, copy, copying, for_each, origin, say};
use crate::support::programs::run;
use crate::support::registry::Registry;
use crate::support::{files_below, require};

/// Runs a command until it is killed at the call with this number. Returns whether there was such a call.
fn killed_at(strace: &Path, command: &Command, call: &str, number: usize) -> bool {
    let mut traced = Command::new(strace);
    let inject = format!("inject={call}:signal=KILL:when={number}");
    traced.env_clear().args(["-f", "-qq", "-e", &format!("trace={call}"), "-e", &inject, "-o", "/dev/null", "--"]);
    traced.arg(command.get_program()).args(command.get_args());
    let status = traced.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().expect("strace");
    !status.success()
}

/// Calls `killed` with each number of each call until there is no call with that number. Returns how often the program
/// was killed.
fn at_each(calls: &[&str], killed: impl Fn(&str, usize) -> bool + Sync) -> usize {
    let kills = AtomicUsize::new(0);
    for_each(calls.len(), |index| {
        let mut number = 1;
        while killed(calls[index], number) {
            number += 1;
        }
        kills.fetch_add(number - 1, Ordering::Relaxed);
    });
    kills.into_inner()
}

#[test]
fn a_copy_killed_at_any_write_to_a_directory_leaves_no_partial_release_and_another_run_finishes() {
    let Some(strace) = require("strace") else { return };
    let (origin, directory) = (origin(), tempfile::tempdir().expect("a temporary directory"));
    let at = |path: &Path| format!("oci-layout:{}", path.display());
    let channel = ["--channel", "nightly"];
    let undisturbed = directory.path().join("undisturbed");
    copy(&origin, &at(&undisturbed), &channel).ends(0);
    let case = Case::new(&origin, undisturbed.as_path());
    let calls =
        ["write", "rename", "renameat2", "fsync", "fdatasync", "mkdir", "unlink", "flock", "ftruncate", "pwrite64"];
    let kills = at_each(&calls, |call, number| {
        let (target, what) = (directory.path().join(format!("{call}-{number}")), format!("killed at {call} {number}"));
        let killed = killed_at(&strace, &copying(&origin, &at(&target), &channel), call, number);
        case.is_whole(&target, &what);
        if killed {
            copy(&origin, &at(&target), &[&channel[..], &["--reason", "again"]].concat()).ends(0);
        }
        case.is_done(&target, &what);
        let left: Vec<String> = files_below(&target).into_keys().filter(|name| name.contains("/.")).collect();
        assert!(left.is_empty(), "{what}: {left:?}");
        std::fs::remove_dir_all(target).expect("removed");
        killed
    });
    assert!(kills > 50, "the program was killed at only {kills} calls");
    say(&format!("a copy to a directory killed {kills} times, at each of {}", calls.join(", ")));
}

/// An archive of another release may have the name.
const FORCE: &[&str] = &["--force"];

/// An archive in its own directory.
struct Target {
    directory: tempfile::TempDir,
    old: Option<Vec<u8>>,
}

impl Target {
    fn new(old: Option<&[u8]>) -> Self {
        let target = Self { directory: tempfile::tempdir().expect("a directory"), old: old.map(<[u8]>::to_vec) };
        if let Some(old) = old {
            std::fs::write(target.path(), old).expect("written");
        }
        target
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("release.tar")
    }

    fn name(&self) -> String {
        format!("oci-archive:{}", self.path().display())
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        std::fs::read(self.path()).ok()
    }
}

/// Kills a copy, runs it again and checks the archive. Returns whether the copy was killed.
fn archived(strace: &Path, origin: &Registry, target: &Target, whole: &[u8], call: &str, number: usize) -> bool {
    let what = format!("killed at {call} {number}");
    let killed = killed_at(strace, &copying(origin, &target.name(), FORCE), call, number);
    let now = target.bytes();
    assert!(now == target.old || now.as_deref() == Some(whole), "{what}: neither the old nor the new archive");
    if killed {
        run(&mut copying(origin, &target.name(), FORCE)).ends(0);
    }
    assert!(target.bytes().as_deref() == Some(whole), "{what}: other bytes");
    let files = target.directory.path().read_dir().expect("a directory").count();
    assert_eq!(files, 1, "{what}: temporary files are left");
    killed
}

#[test]
fn a_copy_killed_at_any_write_leaves_the_old_archive_or_none_and_another_run_writes_it() {
    let Some(strace) = require("strace") else { return };
    let (origin, undisturbed) = (origin(), Target::new(None));
    copy(&origin, &undisturbed.name(), &[]).ends(0);
    let whole = undisturbed.bytes().expect("an archive");
    let calls = ["pwrite64", "ftruncate", "flock", "fsync", "rename", "renameat2"];
    let kills = at_each(&calls, |call, number| {
        let old = (number % 2 == 0).then_some(&b"the archive of another release"[..]);
        archived(&strace, &origin, &Target::new(old), &whole, call, number)
    });
    assert!(kills > 30, "the program was killed at only {kills} calls");
    say(&format!("a copy to an archive killed {kills} times, at each of {}", calls.join(", ")));
}

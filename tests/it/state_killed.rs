//! A resolver that is killed at any system call that changes a file leaves a whole state and a whole rendering.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::programs::{Source, resolve};
use crate::support::published::with_images;
use crate::support::{files_below, require};

/// System calls that change files, or that must not be interrupted in between. Calls that the program does not use are
/// never reached.
const CALLS: [&str; 9] =
    ["write", "rename", "renameat2", "fsync", "fdatasync", "mkdir", "unlink", "flock", "ftruncate"];

/// A layout in which 1.0.3 was followed before 1.0.4 was published.
struct Case {
    source: Source,
    strace: PathBuf,
    state: PathBuf,
    rendered: PathBuf,
}

impl Case {
    fn new(strace: PathBuf) -> Self {
        let source = Source::new();
        with_images(&source, &["1.0.4"]);
        let case = Self { state: source.path("state"), rendered: source.path("rendered"), source, strace };
        case.publish("1.0.3");
        resolve(&case.arguments(&case.state, &case.rendered)).ends(0);
        case.publish("1.0.4");
        case
    }

    fn publish(&self, version: &str) {
        let layout = self.source.layout();
        self.source.publish(&["--version", version, "--channel", "stable", "--store", &layout]).ends(0);
    }

    /// Renders to one directory and keeps the state in another. The memory is leaked, because the arguments are
    /// borrowed and a test has only a few.
    fn arguments(&self, state: &Path, rendered: &Path) -> Vec<&'static str> {
        let leak = |text: String| -> &'static str { text.leak() };
        let state = leak(state.join("state.json").display().to_string());
        let rendered = leak(rendered.display().to_string());
        let store = leak(self.source.layout());
        vec!["render", "stable", "--host", "a.example", "--store", store, "--state", state, "--output-dir", rendered]
    }

    /// Returns whether there was a call with this number at which the program was killed.
    fn killed_at(&self, arguments: &[&str], call: &str, number: usize) -> bool {
        let mut traced = Command::new(&self.strace);
        let inject = format!("inject={call}:signal=KILL:when={number}");
        traced.env_clear().args(["-f", "-qq", "-e", &format!("trace={call}"), "-e", &inject, "-o", "/dev/null", "--"]);
        traced.arg(env!("CARGO_BIN_EXE_alga-resolve")).args(arguments);
        let status = traced.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().expect("strace");
        !status.success()
    }

    fn whole_after(&self, call: &str, number: usize) -> bool {
        let what = format!("killed at {call} {number}");
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let (state, rendered) = (scratch.path().join("state"), scratch.path().join("rendered"));
        copy(&self.state, &state);
        copy(&self.rendered, &rendered);
        let arguments = self.arguments(&state, &rendered);
        let killed = self.killed_at(&arguments, call, number);
        let version = Self::remembered(&arguments, &what);
        let before = listed(&rendered);
        assert!(!killed || version == "1.0.3" || version == "1.0.4", "{what}: {version}");
        assert!(before.iter().all(|name| rendered.join(name).exists()), "{what}: {before:?}");
        resolve(&arguments).ends(0);
        assert_eq!(Self::remembered(&arguments, &what), "1.0.4", "{what}");
        let mut files: Vec<String> = files_below(&rendered).into_keys().collect();
        files.retain(|name| name != "kustomization.yaml");
        assert_eq!(files, listed(&rendered), "{what}");
        killed
    }

    fn remembered(arguments: &[&str], what: &str) -> String {
        let run =
            resolve(&["resolve", "stable", arguments[4], arguments[5], "--state", arguments[7], "--offline"]).ends(0);
        assert!(!run.stderr.contains("damaged"), "{what}: {}", run.stderr);
        run.json()["version"].as_str().expect("a version").to_owned()
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-r").arg(from).arg(to).status().expect("cp");
    assert!(status.success());
}

/// Returns the files that the list in a directory names, sorted.
fn listed(directory: &Path) -> Vec<String> {
    let index = std::fs::read_to_string(directory.join("kustomization.yaml")).expect("a list");
    let names = index.lines().filter_map(|line| line.strip_prefix("  - "));
    let mut names: Vec<String> = names.map(|name| name.trim_matches('"').to_owned()).collect();
    assert_eq!(names.len(), 10, "{index}");
    names.sort();
    names
}

#[test]
fn a_resolver_killed_at_any_write_leaves_a_whole_state_and_another_run_finishes() {
    let Some(strace) = require("strace") else { return };
    let case = Case::new(strace);
    let mut kills = 0;
    for call in CALLS {
        let mut number = 1;
        while case.whole_after(call, number) {
            number += 1;
        }
        kills += number - 1;
    }
    assert!(kills > 30, "the program was killed at only {kills} calls");
}

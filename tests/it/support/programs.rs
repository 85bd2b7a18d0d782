//! The two programs, run as people run them, on a copy of a source tree.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// What a program did.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Ended with `code`, and without a panic.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    /// Says all of this on standard error.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in: {}", self.stderr);
        }
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|cause| panic!("{cause}: {}{}", self.stdout, self.stderr))
    }
}

/// A program in an empty environment but for `environment`.
pub fn program(path: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    let mut command = Command::new(path);
    command.args(arguments).env_clear().envs(environment.iter().copied());
    Run::of(&command.output().expect("a program"))
}

/// `alga-resolve`.
pub fn resolve(arguments: &[&str]) -> Run {
    program(env!("CARGO_BIN_EXE_alga-resolve"), arguments, &[])
}

/// A copy of the fixtures. Removed on drop.
#[derive(Debug)]
pub struct Source {
    directory: tempfile::TempDir,
}

impl Source {
    /// As it is in the repository.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts-fixtures");
        copy(&fixtures, &directory.path().join("tree"));
        Self { directory }
    }

    /// A file of the tree.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("tree").join(name)
    }

    /// A layout beside the tree, that does not exist yet.
    pub fn layout(&self) -> String {
        format!("oci-layout:{}", self.store().display())
    }

    /// The layout's directory.
    pub fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("written");
    }

    /// Appends to a file.
    pub fn append(&self, name: &str, text: &str) {
        let before = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        self.write(name, &(before + text));
    }

    /// `alga-release publish`, of a given commit and time, without looking at images.
    pub fn publish(&self, arguments: &[&str]) -> Run {
        self.publish_in(arguments, &[])
    }

    /// The same in an environment.
    pub fn publish_in(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
        let tree = self.path("");
        let commit = "a".repeat(40);
        let mut all = vec!["publish", tree.to_str().expect("UTF-8"), "--source-commit", &commit];
        for (flag, value) in [("--epoch", "1700000000"), ("--image-check", "off")] {
            if !arguments.contains(&flag) {
                all.extend([flag, value]);
            }
        }
        all.extend(arguments);
        program(env!("CARGO_BIN_EXE_alga-release"), &all, environment)
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

//! The two programs, run from outside as people run them, with an environment that holds nothing of the tester's.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::docker_registry::{PASSWORD, USER};
use super::root;

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

    /// Prints all of this on standard output.
    #[track_caller]
    pub fn prints(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stdout.contains(word), "no `{word}` in: {}", self.stdout);
        }
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|cause| panic!("{cause}: {}{}", self.stdout, self.stderr))
    }
}

fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", "/nonexistent")
        .env("USER", "tester")
        .env("HOSTNAME", "bench");
    command
}

/// `alga-release`.
pub fn release() -> Command {
    clean(env!("CARGO_BIN_EXE_alga-release"))
}

/// `alga-release` with these arguments.
pub fn alga(arguments: &[&str]) -> Run {
    let mut command = release();
    command.args(arguments);
    // A test that breaks something does not wait for it to pass.
    let asks = ["promote", "rollback", "history", "verify", "in-use", "diff"];
    if arguments.first().is_some_and(|name| asks.contains(name)) && !arguments.contains(&"--retry-for") {
        command.args(["--retry-for", "0"]);
    }
    run(&mut command)
}

/// `alga-resolve`.
pub fn resolve(arguments: &[&str]) -> Run {
    run(&mut resolving(arguments))
}

/// The same, not started yet.
pub fn resolving(arguments: &[&str]) -> Command {
    let mut command = clean(env!("CARGO_BIN_EXE_alga-resolve"));
    command.args(arguments);
    command
}

/// The command, started by a shell that does `before` first: other limits, another umask.
pub fn after(before: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{before}; exec \"$@\"")).arg("sh");
    shell.arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    shell
}

/// What tests use as passwords, tokens and the like, all of them: nothing that any of them runs may print one.
const SECRETS: [&str; 8] =
    ["secret-pass", "docker-secret", "for-registry", "proxy-pass", "s3cret", "hunter2", "-secret", "Bearer "];

/// Runs a command; what it did, which is never to show a secret, nor one in the form in which it is sent.
pub fn run(command: &mut Command) -> Run {
    let run = Run::of(&output(command));
    for secret in SECRETS.into_iter().chain([basic(USER, PASSWORD).as_str(), basic("alice", "secret-pass").as_str()]) {
        let shown = run.stdout.contains(secret) || run.stderr.contains(secret);
        assert!(!shown, "`{secret}` is printed: {run:?}");
    }
    run
}

fn basic(user: &str, password: &str) -> String {
    BASE64_STANDARD.encode(format!("{user}:{password}"))
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|cause| panic!("{command:?}: {cause}"))
}

/// Runs a command that must succeed; its standard output.
pub fn stdout(command: &mut Command) -> Vec<u8> {
    let output = output(command);
    assert!(output.status.success(), "{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// `alga-release publish SOURCE --output json` with further arguments; the report.
pub fn publish<I: AsRef<OsStr>>(source: &Path, arguments: impl IntoIterator<Item = I>) -> Value {
    let report = stdout(release().arg("publish").arg(source).args(["--output", "json"]).args(arguments));
    serde_json::from_slice(&report).expect("a report")
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
        copy(&root("charts-fixtures"), &directory.path().join("tree"));
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

    /// Makes the tree a work tree of git, all of it committed, or says that there is no git; the commit.
    pub fn commit(&self) -> Option<String> {
        let git = super::require("git")?;
        let command = |arguments: &[&str]| {
            let mut command = Command::new(&git);
            command.arg("-C").arg(self.path("")).args(["-c", "user.name=a", "-c", "user.email=a@example.com"]);
            command.args(arguments).env_clear().env("HOME", "/nonexistent");
            for name in ["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"] {
                command.env(name, "2023-11-14T22:13:20Z");
            }
            String::from_utf8(stdout(&mut command)).expect("text").trim().to_owned()
        };
        command(&["init", "--quiet"]);
        command(&["add", "--all", "--force"]);
        command(&["commit", "--quiet", "--allow-empty", "--message", "all"]);
        Some(command(&["rev-parse", "HEAD"]))
    }

    /// `alga-release publish`, of a given commit and time, without looking at images.
    pub fn publish(&self, arguments: &[&str]) -> Run {
        run(&mut self.publishing(arguments))
    }

    /// The same in an environment.
    pub fn publish_in(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
        run(self.publishing(arguments).envs(environment.iter().copied()))
    }

    /// The same, not started yet.
    pub fn publishing(&self, arguments: &[&str]) -> Command {
        let mut command = release();
        command.arg("publish").arg(self.path("")).args(["--source-commit", &"a".repeat(40)]);
        for (flag, value) in [("--epoch", "1700000000"), ("--image-check", "off"), ("--retry-for", "0")] {
            if !arguments.contains(&flag) {
                command.args([flag, value]);
            }
        }
        command.args(arguments);
        command
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

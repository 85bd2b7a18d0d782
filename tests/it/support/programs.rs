//! Runs the two programs from outside, as people run them, with an environment that contains nothing of the tester's.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::docker_registry::{PASSWORD, USER};
use super::root;

/// The result of running a program.
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

    /// Checks that the program ended with `code`, and without a panic.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    /// Checks that standard error contains all of these words.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "missing `{word}` in: {}", self.stderr);
        }
        self
    }

    /// Checks that standard output contains all of these words.
    #[track_caller]
    pub fn prints(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stdout.contains(word), "missing `{word}` in: {}", self.stdout);
        }
        self
    }

    /// Parses standard output as JSON.
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

/// Returns a command that runs `alga-release`.
pub fn release() -> Command {
    clean(env!("CARGO_BIN_EXE_alga-release"))
}

/// Runs `alga-release` with these arguments.
pub fn alga(arguments: &[&str]) -> Run {
    let mut command = release();
    command.args(arguments);
    // A test with a failing registry does not wait for retries.
    let asks = ["promote", "rollback", "history", "verify", "in-use", "diff"];
    if arguments.first().is_some_and(|name| asks.contains(name)) && !arguments.contains(&"--retry-for") {
        command.args(["--retry-for", "0"]);
    }
    run(&mut command)
}

/// Runs `alga-resolve` with these arguments.
pub fn resolve(arguments: &[&str]) -> Run {
    run(&mut resolving(arguments))
}

/// Returns a command that runs `alga-resolve` with these arguments.
pub fn resolving(arguments: &[&str]) -> Command {
    let mut command = clean(env!("CARGO_BIN_EXE_alga-resolve"));
    command.args(arguments);
    command
}

/// Wraps a command in a shell that runs `before` first, for example to set limits or the umask.
pub fn after(before: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{before}; exec \"$@\"")).arg("sh");
    shell.arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    shell
}

/// The passwords and tokens of all tests. No program that a test runs may print one of them.
const SECRETS: [&str; 8] =
    ["secret-pass", "docker-secret", "for-registry", "proxy-pass", "s3cret", "hunter2", "-secret", "Bearer "];

/// Runs a command, and checks that its output contains no secret, neither in plain text nor in the encoding in which it
/// is sent.
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

/// Runs a command that must succeed, and returns its standard output.
pub fn stdout(command: &mut Command) -> Vec<u8> {
    let output = output(command);
    assert!(output.status.success(), "{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Runs `alga-release publish SOURCE --output json` with further arguments, and returns the report.
pub fn publish<I: AsRef<OsStr>>(source: &Path, arguments: impl IntoIterator<Item = I>) -> Value {
    let report = stdout(release().arg("publish").arg(source).args(["--output", "json"]).args(arguments));
    serde_json::from_slice(&report).expect("a report")
}

/// A copy of the fixtures, which is removed on drop.
#[derive(Debug)]
pub struct Source {
    directory: tempfile::TempDir,
}

impl Source {
    /// Copies the fixtures as they are in the repository.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        copy(&root("charts-fixtures"), &directory.path().join("tree"));
        Self { directory }
    }

    /// Returns the path of a file in the tree.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("tree").join(name)
    }

    /// Returns the location of a layout beside the tree, which does not exist yet.
    pub fn layout(&self) -> String {
        format!("oci-layout:{}", self.store().display())
    }

    /// Returns the directory of that layout.
    pub fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    /// Writes a file of the tree.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("written");
    }

    /// Appends to a file of the tree.
    pub fn append(&self, name: &str, text: &str) {
        let before = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        self.write(name, &(before + text));
    }

    /// Removes the application images from the configuration, so that a signed release needs none of them in its store.
    pub fn without_images(&self) {
        self.append("alga-release.yaml", "images: {}\n");
    }

    /// Commits the whole tree to a new git repository and returns the commit. Returns `None` after reporting that git
    /// is missing.
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

    /// Runs `alga-release publish` at a given commit and time, without checking images.
    pub fn publish(&self, arguments: &[&str]) -> Run {
        run(&mut self.publishing(arguments))
    }

    /// Runs [`Self::publish`] with environment variables.
    pub fn publish_in(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
        run(self.publishing(arguments).envs(environment.iter().copied()))
    }

    /// Returns the command that [`Self::publish`] runs.
    pub fn publishing(&self, arguments: &[&str]) -> Command {
        let mut command = release();
        command.arg("publish").arg(self.path("")).args(["--source-commit", &"a".repeat(40)]);
        for (flag, value) in [("--epoch", "1700000000"), ("--image-check", "off"), ("--retry-for", "0")] {
            if !arguments.contains(&flag) {
                command.args([flag, value]);
            }
        }
        // The helpers of the tests give every publication a channel. `--no-channel` takes its place.
        let channel =
            arguments.iter().position(|word| *word == "--channel").filter(|_| arguments.contains(&"--no-channel"));
        let is_dropped = |at: usize| channel.is_some_and(|channel| at == channel || at == channel + 1);
        command.args(arguments.iter().enumerate().filter(|(at, _)| !is_dropped(*at)).map(|(_, word)| word));
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

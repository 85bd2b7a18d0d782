//! Bad command lines and bad inputs, each with its whole output. Each file of `tests/cases/bad` is one theme, written so that a person can
//! review what the programs say:
//!
//! ```text
//! == a title begins a case: a new directory with `tree/` (the fixtures) and `store/` (1.0.3 in nightly and stable, 1.0.4 in nightly)
//! % a line of shell that prepares something
//! $ a line of shell whose output follows; lines of standard output have a `| ` before them
//! exit 9
//! ```
//!
//! With `ALGA_UPDATE=1` in the environment, the outputs are written instead of compared. `DIR` is the directory of a case, `DIGEST` any
//! digest, `TIME` any time, and `REGISTRY` the address of a registry that runs for each file; the shell has it as `$REGISTRY`. The shell
//! also has `ALGA_STORE=oci-layout:store`, `ALGA_RETRY_FOR=0`, `SOURCE_DATE_EPOCH` and a `$COMMIT`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use regex::Regex;

use crate::support::programs::Source;
use crate::support::registry::Registry;
use crate::support::root;

/// Least number of lines with an output.
const LEAST: usize = 150;
/// Commit and time of every source tree.
const COMMIT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const EPOCH: &str = "1700000000";

/// The store that each case gets a copy of.
static PUBLISHED: LazyLock<Source> = LazyLock::new(|| {
    let source = Source::new();
    let release_file = |version: &str| format!("ee/appliance/releases/{version}/release.json");
    let text = fs::read_to_string(source.path(&release_file("1.0.3"))).expect("a file");
    source.write(&release_file("1.0.4"), &text.replace("1.0.3", "1.0.4"));
    let store = source.layout();
    for (version, channel) in [("1.0.3", "nightly"), ("1.0.3", "stable"), ("1.0.4", "nightly")] {
        source.publish(&["--version", version, "--channel", channel, "--store", &store]).ends(0);
    }
    source
});

/// What differs from run to run, and what is in its place.
static PLACEHOLDERS: LazyLock<[(Regex, &str); 6]> = LazyLock::new(|| {
    [
        (r"sha256:[0-9a-f]{64}", "sha256:DIGEST"),
        (r"sha256:[0-9a-f]{12}\b", "sha256:DIGEST"),
        (r"\b20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,}Z", "TIME"),
        (r"\b20[0-9]{2}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}(:[0-9]{2})?", "TIME"),
        (r"tried [0-9]+ times in [0-9.]+ s", "tried N times in N s"),
        (r"\b(nightly|stable)-([0-9]+)-[0-9a-f]{8}\b", "${1}-${2}-DIGEST"),
    ]
    .map(|(pattern, text)| (Regex::new(pattern).expect("a pattern"), text))
});

struct Case {
    directory: tempfile::TempDir,
    registry: String,
}

impl Case {
    fn new(registry: &Registry) -> Self {
        let case = Self { directory: tempfile::tempdir().expect("a directory"), registry: registry.address() };
        let (tree, store) = (PUBLISHED.path(""), PUBLISHED.store());
        let copied = case.shell(&format!("cp -R '{}' tree && cp -R '{}' store", tree.display(), store.display()));
        assert!(copied.status.success(), "{copied:?}");
        case
    }

    /// Runs a line in the directory of the case, with an environment that has nothing of the tester's.
    fn shell(&self, line: &str) -> Output {
        let programs = Path::new(env!("CARGO_BIN_EXE_alga-release")).parent().expect("a directory");
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(self.directory.path()).env_clear();
        shell.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
        for (name, value) in [
            ("HOME", "/nonexistent"),
            ("USER", "tester"),
            ("HOSTNAME", "bench"),
            ("LC_ALL", "C"),
            ("ALGA_RETRY_FOR", "0"),
            ("ALGA_STORE", "oci-layout:store"),
            ("REGISTRY", &self.registry),
            ("COMMIT", COMMIT),
            ("SOURCE_DATE_EPOCH", EPOCH),
        ] {
            shell.env(name, value);
        }
        shell.output().expect("a shell")
    }

    fn readable(&self, text: &str) -> String {
        let directory = self.directory.path().display().to_string();
        let text = text.replace(&directory, "DIR").replace(&self.registry, "REGISTRY");
        PLACEHOLDERS.iter().fold(text, |text, (pattern, with)| pattern.replace_all(&text, *with).into_owned())
    }

    /// Returns what a line prints, as the file has it.
    fn output(&self, line: &str) -> String {
        let output = self.shell(line);
        let [stdout, stderr] =
            [&output.stdout, &output.stderr].map(|bytes| self.readable(&String::from_utf8_lossy(bytes)));
        assert!(!stderr.contains("panicked"), "{line}: {stderr}");
        let mut text = String::new();
        for line in stdout.lines() {
            let _ = writeln!(text, "| {line}");
        }
        for line in stderr.lines() {
            assert!(!["$ ", "% ", "== ", "exit "].iter().any(|start| line.starts_with(start)), "{line}");
            let _ = writeln!(text, "{line}");
        }
        let _ = writeln!(text, "exit {}", output.status.code().expect("no signal"));
        text
    }
}

/// Runs every line of a file. Returns the file as it should be, the number of lines with an output.
fn outcome(text: &str) -> (String, usize) {
    let registry = Registry::start();
    let (mut case, mut found, mut count) = (None, String::new(), 0);
    for line in text.lines() {
        let words = line.split_once(' ').unwrap_or((line, ""));
        match words {
            ("==", _) => {
                case = Some(Case::new(&registry));
                let _ = writeln!(found, "{}{line}", if found.is_empty() { "" } else { "\n" });
            }
            ("#", _) => {
                let _ = writeln!(found, "{line}");
            }
            ("%", command) => {
                let done = case.as_ref().expect("a title before it").shell(command);
                assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
                let _ = writeln!(found, "{line}");
            }
            ("$", command) => {
                let output = case.as_ref().expect("a title before it").output(command);
                let _ = write!(found, "{line}\n{output}");
                count += 1;
            }
            _ => {}
        }
    }
    (found, count)
}

/// Returns the first difference, with the command that it belongs to.
fn difference(path: &Path, expected: &str, found: &str) -> String {
    let [expected, found] = [expected, found].map(|text| text.lines().collect::<Vec<_>>());
    let at = (0..expected.len().max(found.len())).find(|at| expected.get(*at) != found.get(*at)).unwrap_or(0);
    let command = found[..at.min(found.len())].iter().rev().find(|line| line.starts_with("$ "));
    format!(
        "{}:{}: {}\n  expected: {:?}\n  found:    {:?}\n",
        path.display(),
        at + 1,
        command.unwrap_or(&""),
        expected.get(at),
        found.get(at)
    )
}

#[test]
fn every_bad_line_and_every_bad_input_has_the_output_that_its_file_shows() {
    let files = fs::read_dir(root("tests/cases/bad")).expect("cases").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "txt")).collect();
    files.sort();
    let update = std::env::vars().any(|(key, _)| key == "ALGA_UPDATE");
    let texts = files.iter().map(|path| fs::read_to_string(path).expect("text")).collect::<Vec<_>>();
    let outcomes = std::thread::scope(|scope| {
        let running: Vec<_> = texts.iter().map(|text| scope.spawn(|| outcome(text))).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    let (mut differences, mut count) = (String::new(), 0);
    for ((path, text), (found, lines)) in files.iter().zip(&texts).zip(&outcomes) {
        count += lines;
        if update {
            fs::write(path, found).expect("written");
        } else if text != found {
            differences += &difference(path, text, found);
        }
    }
    assert!(differences.is_empty(), "\n{differences}run this test with ALGA_UPDATE=1, and read what has changed");
    assert!(count >= LEAST, "{count} lines, expected at least {LEAST}");
}

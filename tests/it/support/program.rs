//! Both programs, run from outside.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value as Json;

/// `alga-release`, with an environment that holds nothing of the tester's.
pub fn release() -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_alga-release")))
}

fn clean(mut command: Command) -> Command {
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent").env("USER", "tester");
    command
}

/// Runs a command; what it said.
pub fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|cause| panic!("{command:?}: {cause}"))
}

/// Runs a command that must succeed; its standard output.
pub fn stdout(command: &mut Command) -> Vec<u8> {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// `alga-release publish SOURCE --output json` with further arguments; the report.
pub fn publish<I: AsRef<OsStr>>(source: &Path, arguments: impl IntoIterator<Item = I>) -> Json {
    let report = stdout(release().arg("publish").arg(source).args(["--output", "json"]).args(arguments));
    serde_json::from_slice(&report).expect("a report")
}

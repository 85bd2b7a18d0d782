//! Writes results to standard output and files, and messages to standard error.

use std::borrow::Cow;
use std::io::Write as _;
use std::path::Path;

use alga_release::ops;
use alga_release::text;
use serde::Serialize;

use crate::environment;
use crate::failure::Failure;

/// Writes all of `bytes`. A closed pipe is not a failure, because its reader has seen enough.
pub fn write_stdout(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::io("to write the result", cause)),
        _ => Ok(()),
    }
}

/// Writes text for people. In the log of a CI job, no line of the text is a command to the runner.
pub fn write_text(text: &str) -> Result<(), Failure> {
    write_stdout(in_log(text).as_bytes())
}

/// Returns text that is safe in the log of a CI job: no line of it is a command to the runner.
pub fn in_log(text: &str) -> Cow<'_, str> {
    let of_job = ["GITHUB_ACTIONS", "TF_BUILD"].iter().filter_map(|name| environment::variable(name));
    let taken = of_job.into_iter().any(|value| value.eq_ignore_ascii_case("true"));
    if taken { text::inert(text).into() } else { text.into() }
}

/// Writes a file atomically: to a temporary name in the same directory, then renamed.
pub fn write_file(directory: &Path, name: &str, content: &[u8]) -> Result<(), Failure> {
    let (path, beside) = (directory.join(name), directory.join(format!(".{name}.{}", std::process::id())));
    let written = std::fs::write(&beside, content).and_then(|()| std::fs::rename(&beside, &path));
    written.map_err(|cause| {
        let _ = std::fs::remove_file(&beside);
        Failure::io(&format!("to write {}", path.display()), cause)
    })
}

/// Writes a value as indented JSON with a line end.
pub fn write_json(value: &impl Serialize) -> Result<(), Failure> {
    write_stdout(&ops::json(value))
}

/// Writes to standard error. A closed pipe or a full disk does not end the command in the middle of its work.
pub fn say(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

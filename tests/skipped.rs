//! Counts the tests of `it` that were skipped because a program or a file is missing, and prints the reasons. libtest has no hook for
//! the end of a run, so this is a test binary of its own: cargo runs it after `it`, and before the tests of the documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

/// What the name of a file starts with into which `it` writes: the id of the process of cargo that runs both follows.
const PREFIX: &str = "skipped-";

fn main() -> io::Result<()> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let own = format!("{PREFIX}{}", std::os::unix::process::parent_id());
    let lines = fs::read_to_string(directory.join(&own)).unwrap_or_default();
    remove(directory, &own)?;
    io::stdout().write_all(summary(&lines).as_bytes())
}

/// Removes the file of this run, and those of runs that ended before this program came.
fn remove(directory: &Path, own: &str) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(process) = name.strip_prefix(PREFIX) else { continue };
        if name == own || !Path::new("/proc").join(process).exists() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Returns the count of tests and, for each reason, their names. Each line is a test and a reason, with a tab between them.
fn summary(lines: &str) -> String {
    let mut reasons: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (test, reason) in lines.lines().filter_map(|line| line.split_once('\t')) {
        reasons.entry(reason).or_default().insert(test);
    }
    let tests: BTreeSet<&str> = reasons.values().flatten().copied().collect();
    if tests.is_empty() {
        return String::new();
    }
    let line = |(reason, tests): (&str, BTreeSet<&str>)| {
        let names: Vec<&str> = tests.iter().copied().collect();
        format!("  {reason} ({}): {}\n", tests.len(), names.join(", "))
    };
    let lines: String = reasons.into_iter().map(line).collect();
    format!("\nskipped {} tests, or parts of them:\n{lines}", tests.len())
}

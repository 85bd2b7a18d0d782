//! A comparison of two releases, every chart of which changed: how long it takes and how much memory, by the number of charts.
//! Judges nothing.
//!
//! `cargo bench --bench diff`; needs the programs that `tests/peers/install --system` brings.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a bench talks to people")]

mod memory;
#[allow(dead_code, reason = "shared with another bench")]
mod peers;
mod tree;

use std::path::Path;
use std::process::{Command, Stdio};

use memory::measured;
use peers::{Peers, Registry, publisher, timed};
use tree::plant;

/// Rounds of each; the median is printed.
const ROUNDS: usize = 5;
/// Files of a chart, and lines of each: 70 KB, as a chart of some size has.
const FILES: usize = 20;
const LINES: usize = 100;

fn main() {
    if Peers::find().is_none() {
        println!("skipped: helm, oras, flux-artifact or docker-registry are missing: tests/peers/install --system");
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let registry = Registry::start(directory.path());
    println!("{:<12} {:>9} {:>9} {:>12}", "charts", "seconds", "MiB", "MiB of charts");
    for count in [1, 20, 200, 1000] {
        let tree = directory.path().join(format!("tree{count}"));
        let store = format!("{}/d{count}", registry.address);
        plant(&tree, count);
        let bytes = fill(&tree, count, "before");
        publish(&tree, &store, "1.0.3");
        fill(&tree, count, "after");
        publish(&tree, &store, "1.0.4");
        let mut rounds: Vec<_> = (0..ROUNDS).map(|_| measured(&mut diff(&store))).collect();
        rounds.sort_by_key(|(time, _)| *time);
        let (time, memory) = rounds[ROUNDS / 2];
        println!("{count:<12} {:>9.3} {memory:>9.1} {:>12.1}", time.as_secs_f64(), f64::from(bytes) / 1_048_576.0);
    }
}

/// Writes the files of each chart, one line of which says `word`; how many bytes they are.
fn fill(tree: &Path, count: usize, word: &str) -> u32 {
    let mut bytes = 0;
    for number in 0..count {
        let chart = tree.join(format!("charts/chart-{number:04}"));
        let version = if word == "before" { "1.0.0" } else { "1.0.1" };
        let text = format!("apiVersion: v2\nname: chart-{number:04}\nversion: {version}\n");
        std::fs::write(chart.join("Chart.yaml"), text).expect("the scratch directory is writable");
        for file in 0..FILES {
            let line = |line: usize| format!("# chart {number}, file {file}, line {line} of many\n");
            let mut lines: Vec<String> = (0..LINES).map(line).collect();
            lines[LINES / 2] = format!("# {word}\n");
            let text = lines.concat();
            bytes += u32::try_from(text.len()).expect("a small file");
            std::fs::write(chart.join(format!("templates/more-{file}.yaml")), text).expect("the directory is writable");
        }
    }
    bytes
}

fn publish(tree: &Path, store: &str, version: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alga-release"));
    let usual = publisher(tree, store);
    command.args(usual.get_args().map(|argument| if argument == "1.0.3" { version.as_ref() } else { argument }));
    timed(&mut [command]);
}

/// As JSON, which holds the whole of it.
fn diff(store: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alga-release"));
    command.args(["diff", "1.0.3", "1.0.4", "--quiet", "--output", "json", "--store", store]).stdout(Stdio::null());
    command
}

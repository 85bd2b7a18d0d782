//! The program `tests/peers/judge`, which answers questions with the libraries of Flux and Helm.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value as Json;

use super::require;

/// Asks all questions in one process, and returns the answers in the same order. Returns `None` when the program is
/// missing.
pub fn judge(questions: &[Json]) -> Option<Vec<Json>> {
    let program = require("judge")?;
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a judge");
    let mut stdin = child.stdin.take().expect("a pipe");
    let lines: Vec<String> = questions.iter().map(Json::to_string).collect();
    let writer = thread::spawn(move || stdin.write_all((lines.join("\n") + "\n").as_bytes()).expect("the judge reads"));
    let output = child.wait_with_output().expect("the judge ends");
    writer.join().expect("written");
    let answers = String::from_utf8(output.stdout).expect("text");
    let answers: Vec<Json> = answers.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), questions.len(), "an answer to each question");
    Some(answers)
}

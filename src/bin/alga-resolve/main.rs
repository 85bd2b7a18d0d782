//! The resolver on the appliance. It resolves a channel, a version or a digest to one validated release, and renders
//! the objects of the cluster or chooses the image of the control plane.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the only place that prints")]
#![allow(clippy::disallowed_methods, reason = "the only place that reads clock and environment")]

mod args;
mod ask;
mod control_plane;
mod input;
mod refused;
mod render;
mod report;
mod store;
mod trust;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use alga_release::text::clean;

use args::{Args, Command, Given};
use ask::Answer;

/// A failed command: its exit code, message and hint.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
    hint: Option<String>,
    /// Whether the store gave no trustworthy answer at all.
    unreachable: bool,
}

impl Failure {
    fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, unreachable: false }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Adds the word that was probably meant, if there is one.
    fn meaning(self, near: Option<&str>) -> Self {
        let hint = near.map(|near| format!("did you mean `{near}`?")).or(self.hint);
        Self { hint, ..self }
    }
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(9, message)
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    // The script that boots the machine must continue after any failure.
    let always = arguments.first().is_some_and(|word| word == "control-plane");
    let done = args::parse(arguments).and_then(|given| match given {
        Given::Text(text) => print(text.as_bytes()),
        Given::Args(args) => run(&args),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say("error", &failure.message);
            if let Some(hint) = &failure.hint {
                say("hint", hint);
            }
            if always { ExitCode::SUCCESS } else { ExitCode::from(failure.code) }
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Resolve => resolve(args),
        Command::Render(flags) => render::run(args, flags),
        Command::ControlPlane(flags) => control_plane::run(args, flags),
    }
}

fn resolve(args: &Args) -> Result<(), Failure> {
    let place = ask::Place::open(args)?;
    let answer = place.ask(args)?;
    place.keep(&answer)?;
    if !answer.from_state {
        place.follow(&answer);
    }
    if args.text == Some(true) {
        report::warn_if_stale(&answer);
        return print(summary(&answer).as_bytes());
    }
    let json = &answer.resolved.json;
    if let Some(trust) = report::json(&answer, true).filter(|_| args.text.is_some()) {
        return print(&report::with_key(json, "trust", &trust));
    }
    report::notes(&answer, true);
    print(json)
}

fn summary(answer: &Answer) -> String {
    let resolved = &answer.resolved;
    let release = &resolved.release;
    let record = resolved.record.as_ref().map_or_else(String::new, |record| {
        format!("channel  {} (move {}, {})\n", record.name, record.sequence, record.moved)
    });
    let bundle = &release.config;
    let verified = answer.facts.as_ref().map_or_else(|| "not verified (pass `--trust FILE`)".to_owned(), report::line);
    clean(&format!(
        "version  {}\nrelease  {}\n{record}bundle   {}@{}\ntrust    {verified}\n",
        release.version, resolved.release_digest, bundle.repository, bundle.digest
    ))
}

/// Prints a line to standard error. A closed standard error is ignored.
fn say(kind: &str, text: &str) {
    let _ = writeln!(std::io::stderr(), "{kind}: {}", clean(text));
}

/// Writes all of `bytes` to standard output. A reader that has closed the pipe is not an error.
fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(1, format!("failed to write the result: {cause}")))
        }
        _ => Ok(()),
    }
}

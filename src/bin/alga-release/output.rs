//! Results on standard output, talk on standard error.

use std::borrow::Cow;
use std::io::{IsTerminal, Write as _};
use std::path::Path;
use std::sync::Arc;

use alga_release::lint::render;
use alga_release::ops;
use alga_release::plan::{Event, Progress};
use alga_release::text::{self, clean};
use indicatif::ProgressDrawTarget;
use serde::Serialize;

use crate::environment;
use crate::failure::Failure;
use crate::flags::{Format, OutputArgs, OutputFormat};
use crate::progress::Bars;

/// From this size on a blob is spoken of.
const LARGE: u64 = 16 << 20;

/// Writes all of `bytes`; a reader that has gone away is no failure.
pub fn write_stdout(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::io("writing the result", cause)),
        _ => Ok(()),
    }
}

/// Writes text for people. In the log of a job, no line of it is a command to the runner.
pub fn write_text(text: &str) -> Result<(), Failure> {
    write_stdout(in_log(text).as_bytes())
}

/// Text as it may stand where this program's output goes.
pub fn in_log(text: &str) -> Cow<'_, str> {
    let of_job = ["GITHUB_ACTIONS", "TF_BUILD"].iter().filter_map(|name| environment::variable(name));
    let taken = of_job.into_iter().any(|value| value.eq_ignore_ascii_case("true"));
    if taken { text::inert(text).into() } else { text.into() }
}

/// Whole or not at all: written beside its place, then renamed.
pub fn write_file(directory: &Path, name: &str, content: &[u8]) -> Result<(), Failure> {
    let (path, beside) = (directory.join(name), directory.join(format!(".{name}.{}", std::process::id())));
    let written = std::fs::write(&beside, content).and_then(|()| std::fs::rename(&beside, &path));
    written.map_err(|cause| {
        let _ = std::fs::remove_file(&beside);
        Failure::io(&format!("writing {}", path.display()), cause)
    })
}

/// Pretty JSON and a line end.
pub fn write_json(value: &impl Serialize) -> Result<(), Failure> {
    write_stdout(&ops::json(value))
}

/// Writes to standard error. A reader that has gone away, or a full disk behind it, does not end the command in the middle of its work.
pub fn say(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// What is said while a command is at work.
#[derive(Clone, Debug)]
pub struct Talk {
    json: bool,
    quiet: bool,
    bars: Arc<Bars>,
}

impl Talk {
    pub fn new<F: OutputFormat>(args: &OutputArgs<F>) -> Self {
        let terminal = std::io::stderr().is_terminal() && environment::variable("CI").is_none();
        let json = args.log.log_format == Format::Json;
        let shown = terminal && !json && !args.log.quiet;
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { json, quiet: args.log.quiet, bars: Arc::new(Bars::new(target)) }
    }

    fn line(&self, level: &str, text: &str) {
        let text = clean(text).replace('\n', "\\u{a}");
        let line = match (self.json, level) {
            (true, _) => serde_json::json!({ "level": level, "message": text }).to_string(),
            (false, "info") => text,
            (false, _) if render::is_line(&text) => text,
            (false, _) => format!("{level}: {text}"),
        };
        self.bars.suspend(|| say(&format!("{}\n", in_log(&line))));
    }

    pub fn info(&self, text: &str) {
        if !self.quiet {
            self.line("info", text);
        }
    }

    pub fn warn(&self, text: &str) {
        self.line("warning", text);
    }

    pub fn done(&self) {
        self.bars.clear();
    }
}

impl Progress for Talk {
    fn event(&self, event: &Event<'_>) {
        let hidden = self.bars.are_hidden();
        match event {
            Event::Note { text } => self.info(text),
            Event::Warning { text } => self.warn(text),
            Event::Started { bytes } => self.bars.start(*bytes),
            Event::Sending { repository, blob, bytes } => {
                self.bars.sending(repository, blob, *bytes);
                if let Some(line) = self.bars.line().filter(|_| hidden) {
                    self.info(&line);
                }
            }
            Event::Stored { bytes, repository, digest } => {
                self.bars.stored(repository, digest, *bytes);
                self.bars.say(repository.to_string());
                if hidden && *bytes >= LARGE {
                    self.info(&format!("stored {repository}@{digest}, {}", indicatif::BinaryBytes(*bytes)));
                }
            }
            Event::Tagged { repository, tag } if hidden => self.info(&format!("pushed {repository}:{tag}")),
            Event::Moved { channel } if hidden => self.info(&format!("moved {channel}")),
            Event::ReadBack => self.bars.say("read back"),
            Event::Tagged { .. } | Event::Moved { .. } => {}
        }
    }
}

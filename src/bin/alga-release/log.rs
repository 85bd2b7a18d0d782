//! The log of a run on standard error: notes, warnings, progress, and the error that ends it.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::IsTerminal;
use std::sync::{Arc, Mutex};

use alga_release::lint::render;
use alga_release::oci::Exchange;
use alga_release::plan::{Event, Progress};
use alga_release::text::{self, clean};
use indicatif::{BinaryBytes, ProgressDrawTarget};
use serde_json::{Value, json};

use crate::environment;
use crate::failure::{Failure, Interrupted};
use crate::flags::{Format, LogArgs};
use crate::output::{in_log, say};
use crate::progress::Bars;

/// Size in bytes from which on a stored blob has a line of its own.
const LARGE: u64 = 16 << 20;

/// Writes what a command reports while it works. Clones write to the same log.
#[derive(Clone, Debug)]
pub struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    json: bool,
    quiet: bool,
    /// 0, 1 for details, 2 for requests too.
    verbosity: u8,
    /// Random identifier of this run, 16 hex digits, in every JSON line.
    run: String,
    bars: Bars,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Warnings that were written already.
    warned: BTreeSet<String>,
    /// References of the tags that are set.
    done: Vec<String>,
    /// References of the tags that are still to be set; absent until the command starts to write.
    left: Option<Vec<String>>,
}

impl Log {
    pub fn new(args: &LogArgs) -> Self {
        let terminal = std::io::stderr().is_terminal() && environment::variable("CI").is_none();
        let json = args.log_format == Format::Json;
        let shown = terminal && !json && !args.quiet;
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self(Arc::new(Inner {
            json,
            quiet: args.quiet,
            verbosity: args.verbose,
            run: format!("{:016x}", std::hash::RandomState::new().build_hasher().finish()),
            bars: Bars::new(target),
            state: Mutex::default(),
        }))
    }

    /// Reports whether the user asked for details with `-v`.
    pub fn is_verbose(&self) -> bool {
        self.0.verbosity > 0
    }

    /// Writes one line: text for people, or an object with the same message and further fields.
    fn line(&self, level: &str, event: &str, message: &str, fields: Value) {
        let message = clean(message).replace('\n', "\\u{a}");
        let line = match (self.0.json, level) {
            (true, _) => return self.object(level, event, &message, fields),
            (false, "info" | "debug") => message,
            (false, _) if render::is_line(&message) => message,
            (false, _) => format!("{level}: {message}"),
        };
        self.0.bars.suspend(|| say(&format!("{}\n", in_log(&line))));
    }

    fn object(&self, level: &str, event: &str, message: &str, fields: Value) {
        let mut object = json!({ "run": self.0.run, "level": level, "event": event, "message": message });
        if let (Value::Object(object), Value::Object(fields)) = (&mut object, fields) {
            object.extend(fields);
        }
        let line = text::json(object.to_string()) + "\n";
        self.0.bars.suspend(|| say(&in_log(&line)));
    }

    pub fn info(&self, text: &str) {
        if !self.0.quiet {
            self.line("info", "note", text, Value::Null);
        }
    }

    /// Writes a warning, the same one once.
    pub fn warn(&self, text: &str) {
        let is_new = self.0.state.lock().is_ok_and(|mut state| state.warned.insert(text.to_owned()));
        if is_new {
            self.line("warning", "warning", text, Value::Null);
        }
    }

    /// Writes the error that ends the run.
    pub fn failed(&self, failure: &Failure) {
        if self.0.json {
            self.object("error", "failed", failure.message(), failure.fields());
        } else {
            say(&in_log(&failure.text()));
        }
    }

    /// Removes the progress bars.
    pub fn done(&self) {
        self.0.bars.clear();
    }

    /// Returns what a run that ends now has done.
    pub fn interrupted(&self) -> Interrupted {
        let state = self.0.state.lock();
        state.map_or_else(
            |_| Interrupted::default(),
            |state| Interrupted { done: state.done.clone(), left: state.left.clone() },
        )
    }

    /// Writes what was set, when details are asked for; programs that read JSON get each of them.
    fn is_set(&self, event: &str, reference: String) {
        if self.0.json || self.is_verbose() {
            self.line("info", event, &format!("{event} {reference}"), json!({ "reference": reference }));
        }
        if let Ok(mut state) = self.0.state.lock() {
            state.left.iter_mut().for_each(|left| left.retain(|name| *name != reference));
            state.done.push(reference);
        }
    }

    fn exchange(&self, exchange: &Exchange<'_>) {
        let Exchange { method, url, status, elapsed } = exchange;
        let milliseconds = elapsed.as_millis();
        let answer = status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let fields =
            json!({ "method": method, "url": url, "status": status, "milliseconds": u64::try_from(milliseconds).ok() });
        self.line("debug", "request", &format!("{method} {url} {answer} ({milliseconds} ms)"), fields);
    }
}

impl Progress for Log {
    fn event(&self, event: &Event<'_>) {
        let bars = &self.0.bars;
        match event {
            Event::Note { text } => self.info(text),
            Event::Warning { text } => self.warn(text),
            Event::Exchange(exchange) => self.exchange(exchange),
            Event::Started { bytes, left } => {
                bars.start(*bytes);
                if let Ok(mut state) = self.0.state.lock() {
                    state.left = Some(left.to_vec());
                }
            }
            Event::Sending { repository, blob, bytes } => {
                bars.sending(repository, blob, *bytes);
                if let Some(line) = bars.line().filter(|_| bars.are_hidden()) {
                    self.info(&line);
                }
            }
            Event::Stored { bytes, repository, digest } => {
                bars.stored(repository, digest, *bytes);
                bars.say(repository.to_string());
                if bars.are_hidden() && *bytes >= LARGE {
                    self.info(&format!("stored {repository}@{digest}, {}", BinaryBytes(*bytes)));
                }
            }
            Event::Tagged { repository, tag } => self.is_set("pushed", format!("{repository}:{tag}")),
            Event::Moved { repository, channel } => self.is_set("moved", format!("{repository}:{channel}")),
            Event::ReadBack => bars.say("read back"),
        }
    }

    fn follows_exchanges(&self) -> bool {
        self.0.verbosity >= 2
    }
}

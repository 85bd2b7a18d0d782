//! The surroundings of an operation: variables, programs, clock and progress.

use std::sync::Arc;

use crate::oci::{Notice, Trace};
use crate::plan::{Event, Progress};
use crate::system::{Clock, Environment, NoPrograms, NoTerminal, Programs, Terminal};

/// The surroundings of an operation: they are the same for every operation of a program.
#[derive(Clone)]
pub struct Context {
    /// Variables in which credentials, and where they are kept, are looked up.
    pub environment: Environment,
    /// Runs credential helpers, signers, helm and kubectl.
    pub programs: Arc<dyn Programs>,
    /// Dates the moves of channels, and waits.
    pub clock: Arc<dyn Clock>,
    /// Asks for passwords that no variable holds.
    pub terminal: Arc<dyn Terminal>,
    /// Receives notes, warnings and the progress of transfers.
    pub progress: Arc<dyn Progress + Send + Sync>,
}

/// A sink that drops every event.
struct Silence;

impl Progress for Silence {
    fn event(&self, _: &Event<'_>) {}
}

impl Context {
    /// Creates a context without variables, programs and a terminal, which drops all notes and progress.
    pub fn silent(clock: impl Clock + 'static) -> Self {
        Self {
            environment: Environment::default(),
            programs: Arc::new(NoPrograms),
            clock: Arc::new(clock),
            terminal: Arc::new(NoTerminal),
            progress: Arc::new(Silence),
        }
    }

    /// Reports a note, which needs no action.
    pub(crate) fn note(&self, text: &str) {
        self.progress.event(&Event::Note { text });
    }

    /// Reports a warning, which a person should check.
    pub(crate) fn warn(&self, text: &str) {
        self.progress.event(&Event::Warning { text });
    }

    /// Returns the callback by which the registry client reports its waits.
    pub(crate) fn notice(&self) -> Notice {
        let context = self.clone();
        Arc::new(move |text| context.warn(text))
    }

    /// Returns the function that the registry client calls after each request, if the requests are followed.
    pub(crate) fn trace(&self) -> Option<Trace> {
        let progress = Arc::clone(&self.progress);
        let follows = progress.follows_exchanges();
        follows.then(|| -> Trace { Arc::new(move |exchange| progress.event(&Event::Exchange(exchange))) })
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("programs", &self.programs).field("clock", &self.clock).finish_non_exhaustive()
    }
}

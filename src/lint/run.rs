//! One run of all checks, from opened contents to a report.

use std::panic::resume_unwind;
use std::time::Duration;

use super::judged::{self, Answer};
use super::report::{Judge, Report, Timing};
use super::settings::Settings;
use super::written::Written;
use super::{Contents, Findings, TOPICS, Topic, refusals, upgrade};
use crate::source;
use crate::system::Clock;

/// The input of a run.
pub(crate) struct Run<'a> {
    /// What the report calls the contents.
    pub subject: &'a str,
    /// The contents that are checked.
    pub contents: &'a Contents<'a>,
    /// The release that the appliances run now. If it is given, the run also finds what an upgrade from it would break.
    pub against: Option<&'a Contents<'a>>,
    /// Maps lines of the bundle to the lines that the author wrote.
    pub written: Written<'a>,
    /// Allowances and changed severities.
    pub settings: &'a Settings,
    /// Errors of packing, which become findings.
    pub refusals: Vec<source::Error>,
    /// Answers of helm and kubectl.
    pub answers: &'a [Answer],
    /// The external programs that ran, or were missing.
    pub judges: Vec<Judge>,
    /// Clock for the duration of each topic; `None` if no durations are requested.
    pub clock: Option<&'a dyn Clock>,
}

impl<'a> Run<'a> {
    /// Creates a run that checks contents without an older release or external programs.
    pub(crate) fn new(
        subject: &'a str,
        contents: &'a Contents<'a>,
        written: Written<'a>,
        settings: &'a Settings,
    ) -> Self {
        let (refusals, judges) = (Vec::new(), Vec::new());
        Self { subject, contents, against: None, written, settings, refusals, answers: &[], judges, clock: None }
    }

    /// Runs all checks and returns the report.
    pub(crate) fn report(self) -> Report {
        let (mut found, mut timings) = (Findings::default(), Vec::new());
        for (topic, (of_topic, taken)) in TOPICS.iter().zip(self.topics()) {
            found.extend(of_topic);
            timings.extend(taken.map(|taken| Timing::new(topic.name, taken)));
        }
        if let Some(old) = self.against {
            upgrade::check(old, self.contents, &mut found);
        }
        let range = self.settings.kubernetes;
        judged::check(self.contents, range, &mut found);
        judged::judged(self.contents, self.answers, self.settings, &mut found);
        refusals::add(self.refusals, &mut found);
        let mut report = Report::new(self.subject, self.contents, &self.written, self.settings, found);
        report.judges = self.judges;
        report.timings = timings;
        report
    }

    /// Runs the checks of each topic on its own thread. A panic in one of the threads is resumed on the caller's thread.
    fn topics(&self) -> Vec<(Findings, Option<Duration>)> {
        let (contents, clock) = (self.contents, self.clock);
        let run = |topic: &Topic| {
            let mut found = Findings::default();
            let before = clock.map(Clock::now);
            (topic.check)(contents, &mut found);
            let taken = clock.map(Clock::now).zip(before).map(|(after, before)| after.duration_since(before));
            (found, taken.and_then(|taken| Duration::try_from(taken).ok()))
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = TOPICS.iter().map(|topic| scope.spawn(move || run(topic))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        })
    }
}

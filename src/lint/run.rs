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

/// What is checked, and what is known beside it.
pub(crate) struct Run<'a> {
    /// What the report calls the contents.
    pub subject: &'a str,
    /// The contents.
    pub contents: &'a Contents<'a>,
    /// The release that the appliances run: what an upgrade from there would break is found too.
    pub against: Option<&'a Contents<'a>>,
    /// The files as their author wrote them.
    pub written: Written<'a>,
    /// What findings become.
    pub settings: &'a Settings,
    /// Why packing refused the contents.
    pub refusals: Vec<source::Error>,
    /// What other programs answered.
    pub answers: &'a [Answer],
    /// The programs that were asked.
    pub judges: Vec<Judge>,
    /// Measures how long each topic takes, where that is asked for.
    pub clock: Option<&'a dyn Clock>,
}

impl<'a> Run<'a> {
    /// Checks contents alone.
    pub(crate) fn new(
        subject: &'a str,
        contents: &'a Contents<'a>,
        written: Written<'a>,
        settings: &'a Settings,
    ) -> Self {
        let (refusals, judges) = (Vec::new(), Vec::new());
        Self { subject, contents, against: None, written, settings, refusals, answers: &[], judges, clock: None }
    }

    /// Runs every check.
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

    /// Runs the checks of each topic on a thread of its own. A panic in one of them goes on here.
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

//! One run of all checks, from opened contents to a report.

use std::time::Duration;

use super::judged::{self, Answer};
use super::report::{Judge, Report, Timing};
use super::settings::Settings;
use super::written::Written;
use super::{Contents, Findings, TOPICS, refusals, upgrade};
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
        for topic in TOPICS {
            let taken = self.timed(|| (topic.check)(self.contents, &mut found));
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

    /// Returns how long some work takes, where there is a clock.
    fn timed(&self, work: impl FnOnce()) -> Option<Duration> {
        let before = self.clock.map(Clock::now);
        work();
        let after = self.clock.map(Clock::now);
        Duration::try_from(after?.duration_since(before?)).ok()
    }
}

//! A diagnosis for people.

use std::fmt::Write as _;

use super::{Diagnosis, Verdict};
use crate::text::clean;

impl Diagnosis {
    /// Returns the diagnosis for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let authenticated = match self.authenticated {
            Some(true) => "; accepted",
            Some(false) => "; refused",
            None => "",
        };
        let or = |value: Option<String>, otherwise: &str| value.unwrap_or_else(|| otherwise.to_owned());
        let clock = self.clock_skew_seconds.map(|skew| format!("{skew} s ahead of the registry's"));
        let left = self.rate_limit_remaining.map(|left| format!("{left} requests remaining"));
        let _ = writeln!(text, "store        {}", self.store);
        let _ = writeln!(
            text,
            "credentials  {}{authenticated}",
            if self.credentials.is_empty() { "none needed" } else { &self.credentials }
        );
        let _ = writeln!(text, "proxy        {}", or(self.proxy.clone(), "none"));
        let silent = self.repositories.iter().all(|report| report.verdict == Verdict::Unreachable);
        let unknown = |otherwise| if silent { "unknown: the registry did not answer" } else { otherwise };
        if !self.store.starts_with("oci-layout:") {
            let _ = writeln!(text, "clock        {}", or(clock, unknown("unknown: the registry does not send a date")));
            let _ = writeln!(text, "rate limit   {}", or(left, unknown("not announced by the registry")));
        }
        self.table(&mut text);
        self.reasons(&mut text);
        clean(&text)
    }

    /// Adds the reasons. One that concerns the connection to the registry is the same for all repositories and is given once.
    fn reasons(&self, text: &mut String) {
        let mut said = Vec::new();
        for report in &self.repositories {
            let own = !matches!(report.verdict, Verdict::Unreachable | Verdict::Unauthenticated | Verdict::Failed);
            if !own && said.contains(&report.verdict) {
                continue;
            }
            said.push(report.verdict);
            let lines = [("because", &report.reason), ("hint", &report.hint)];
            let lines: Vec<_> = lines.iter().filter_map(|(what, line)| Some((what, line.as_ref()?))).collect();
            if !lines.is_empty() {
                let _ = writeln!(text, "{}: {}", report.repository, report.verdict.name());
            }
            for (what, line) in lines {
                let _ = writeln!(text, "  {what}: {line}");
            }
        }
    }

    fn table(&self, text: &mut String) {
        let width = self.repositories.iter().map(|report| report.repository.len()).max().unwrap_or(0);
        let word = |answer: Option<bool>| answer.map_or("-", |yes| if yes { "yes" } else { "no" });
        let head = ("", "repository", "exists", "may push", "public");
        let _ = writeln!(text, "{:13} {:width$}  {:6}  {:8}  {:6}", head.0, head.1, head.2, head.3, head.4);
        for report in &self.repositories {
            let (exists, push, public) = (word(report.exists), word(report.may_push), word(report.public));
            let (kind, name, verdict) = (report.kind.name(), &report.repository, report.verdict.name());
            let _ = writeln!(text, "{kind:13} {name:width$}  {exists:6}  {push:8}  {public:6}  {verdict}");
        }
    }
}

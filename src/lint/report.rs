//! The report of a run: findings with the paths that users know, and allowed findings with their reasons.

use std::time::Duration;

use serde::Serialize;

use super::allow::Allowances;
use super::finding::{Finding, Located};
use super::rule::{Class, Rule, Severity};
use super::settings::Settings;
use super::written::Written;
use super::{Contents, Findings};
use crate::config::FILE_NAME;
use crate::yaml::edit::{Edit, apply};

/// Version of the report's JSON format, `docs/schemas/lint.json`.
const SCHEMA: &str = "alga.release.lint/v1";
/// Longest line, in bytes, that a report quotes from a file.
const LONGEST_EXCERPT: usize = 240;

/// The result of all checks, for people and programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Version of the format: [`SCHEMA`].
    pub schema: &'static str,
    /// The directory or the reference that was checked.
    pub subject: String,
    /// Findings that are not allowed, sorted by place.
    pub findings: Vec<Reported>,
    /// Findings that are allowed, with their reasons.
    pub allowed: Vec<Reported>,
    /// The external programs (helm, kubectl) that took part in the checks.
    pub judges: Vec<Judge>,
    /// Duration of each topic; empty unless requested.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub timings: Vec<Timing>,
    /// Reason that the caller gave for publishing despite errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignored_because: Option<String>,
}

/// A finding with the path of its file as users know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reported {
    /// The rule that is violated.
    pub rule: &'static Rule,
    /// The stage at which the violation shows.
    pub class: Class,
    /// Severity, after the configuration was applied.
    pub severity: Severity,
    /// Path of the file below the root of the source tree or of the bundle.
    pub file: String,
    /// Line number, counted from 1.
    pub line: usize,
    /// Column, counted from 1 in characters.
    pub column: usize,
    /// Number of characters that the finding covers; 0 if only the line is known.
    pub width: usize,
    /// What is wrong, in lowercase without a final period.
    pub message: String,
    /// What to do: a hint that begins with a verb.
    pub help: String,
    /// The line of the file, unless it contains a secret or is too long to quote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    /// The line as `--fix` rewrites it, if the violation can be fixed automatically.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
    /// The reason for which the finding is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A line and its replacement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// The line as it is.
    pub from: String,
    /// The line after the fix.
    pub to: String,
}

/// An external program that checked the contents, or the reason why it did not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judge {
    /// Name of the program: `helm`, `kubectl` or `kustomize`.
    pub name: String,
    /// Version of the program; `None` if it did not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The reason why the program did not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_asked: Option<String>,
}

/// Duration of the checks of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// Name of the topic, as in the module's list.
    pub topic: &'static str,
    /// Time that the check took, in microseconds.
    pub micros: u64,
}

impl Timing {
    pub(super) fn new(topic: &'static str, taken: Duration) -> Self {
        Self { topic, micros: u64::try_from(taken.as_micros()).unwrap_or(u64::MAX) }
    }
}

impl Report {
    /// Creates a report from findings. `written` maps lines of the bundle to the lines that the author wrote.
    pub(crate) fn new(
        subject: &str,
        contents: &Contents<'_>,
        written: &Written<'_>,
        settings: &Settings,
        found: Findings,
    ) -> Self {
        let mut report = Self {
            schema: SCHEMA,
            subject: subject.to_owned(),
            findings: Vec::new(),
            allowed: Vec::new(),
            judges: Vec::new(),
            timings: Vec::new(),
            ignored_because: None,
        };
        let mut allowances = Allowances::read(contents, settings);
        let mut place = |mut finding: Finding, allowances: Option<&mut Allowances<'_>>| {
            let file = path_of(&finding.place.file, contents, written);
            let reason = allowances.and_then(|allowances| allowances.judge(&mut finding, &file));
            let allowed = reason.is_some();
            let reported = reported(finding, file, contents, written, reason);
            if allowed { report.allowed.push(reported) } else { report.findings.push(reported) }
        };
        for finding in found.sorted() {
            place(finding, Some(&mut allowances));
        }
        for finding in allowances.unused().sorted() {
            place(finding, None);
        }
        report.sort();
        report
    }

    /// Sorts the findings by the places that users know, and removes duplicates.
    fn sort(&mut self) {
        let key = |one: &Reported| (one.file.clone(), one.line, one.column, one.rule.id, one.message.clone());
        self.findings.sort_by_cached_key(key);
        self.findings.dedup();
        self.allowed.sort_by_cached_key(key);
    }

    /// Returns the number of findings with the given severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Reports whether at least one finding is an error.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Returns the number of findings in words, such as `2 errors, 1 warning`.
    pub fn summary(&self) -> String {
        super::render::summary(self)
    }

    /// Returns the findings that are errors.
    pub fn errors(&self) -> impl Iterator<Item = &Reported> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }
}

/// Returns the path of a file as users know it.
fn path_of(file: &Located, contents: &Contents<'_>, written: &Written<'_>) -> String {
    match file {
        Located::Configuration => FILE_NAME.to_owned(),
        Located::Overlay(path) => crate::path::join(written.overlay(), path),
        Located::Chart { chart, path } => {
            let directory = contents.charts.get(chart).and_then(|chart| chart.directory.clone());
            crate::path::join(&directory.unwrap_or_else(|| format!("charts/{chart}")), path)
        }
        Located::Tree(path) => path.clone(),
        Located::Release => "release.json".to_owned(),
    }
}

fn reported(
    finding: Finding,
    file: String,
    contents: &Contents<'_>,
    written: &Written<'_>,
    reason: Option<String>,
) -> Reported {
    let Finding { rule, severity, place, message, help, secret, fix } = finding;
    let text = text_of(&place.file, contents);
    let found = text.map(|text| spot(text, place.line, place.span.as_ref()));
    let (column, width, excerpt) = found.unwrap_or((1, 0, None));
    let line = match &place.file {
        Located::Overlay(path) => written.line(path, text.unwrap_or_default(), place.line),
        _ => place.line,
    };
    let fix = text.and_then(|text| line_fix(text, place.line, &fix));
    Reported {
        rule,
        class: rule.class,
        severity,
        file,
        line,
        column,
        width: if secret { 0 } else { width },
        message,
        help: help.unwrap_or_else(|| rule.way_out.to_owned()),
        excerpt: excerpt.filter(|_| !secret),
        fix: fix.filter(|_| !secret),
        reason,
    }
}

fn text_of<'a>(file: &Located, contents: &'a Contents<'_>) -> Option<&'a str> {
    match file {
        Located::Overlay(path) => contents.text(path),
        Located::Chart { chart, path } => contents.charts.get(chart)?.text(path),
        Located::Configuration => contents.configuration.as_deref(),
        Located::Tree(_) | Located::Release => None,
    }
}

/// Returns edits as the replacement of one line, or `None` if an edit is outside of the line.
fn line_fix(text: &str, line: usize, edits: &[Edit]) -> Option<Fix> {
    let from = text.lines().nth(line.checked_sub(1)?)?;
    let start = from.as_ptr().addr() - text.as_ptr().addr();
    let within = |edit: &Edit| edit.range.start >= start && edit.range.end <= start + from.len();
    if edits.is_empty() || !edits.iter().all(within) {
        return None;
    }
    let shifted =
        |edit: &Edit| Edit { range: edit.range.start - start..edit.range.end - start, text: edit.text.clone() };
    let to = apply(from, edits.iter().map(shifted).collect()).ok()?;
    Some(Fix { from: from.to_owned(), to })
}

/// Returns the column, the width and the quoted line of a place.
fn spot(text: &str, line: usize, span: Option<&std::ops::Range<usize>>) -> (usize, usize, Option<String>) {
    let content = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let start = content.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    let excerpt = (!content.trim().is_empty() && content.len() <= LONGEST_EXCERPT).then(|| content.to_owned());
    let within = span.filter(|span| !content.is_empty() && span.start >= start && span.start < start + content.len());
    match within {
        Some(span) => {
            let end = span.end.min(start + content.len());
            let characters = |range: std::ops::Range<usize>| text.get(range).map_or(0, |text| text.chars().count());
            (characters(start..span.start) + 1, characters(span.start..end), excerpt)
        }
        None => (content.chars().take_while(|character| character.is_whitespace()).count() + 1, 0, excerpt),
    }
}

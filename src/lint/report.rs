//! From findings to a report: their places as people know them, and what is allowed with which reason.

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

/// Version of the report's JSON, `docs/schemas/lint.json`.
const SCHEMA: &str = "alga.release.lint/v1";
/// Longest line of a file that a report shows, in bytes.
const LONGEST_EXCERPT: usize = 240;

/// What the checks found, for people and programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// What was checked: a directory, or a reference.
    pub subject: String,
    /// What was found and is not allowed, in the order of places.
    pub findings: Vec<Reported>,
    /// What was found and is allowed.
    pub allowed: Vec<Reported>,
    /// The programs that were asked beside the program's own checks.
    pub judges: Vec<Judge>,
    /// How long each topic took, where that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub timings: Vec<Timing>,
    /// Why errors do not refuse the release, where the caller said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignored_because: Option<String>,
}

/// A finding, placed in a file as people know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reported {
    /// The rule.
    pub rule: &'static Rule,
    /// What the rule is about.
    pub class: Class,
    /// How bad it is.
    pub severity: Severity,
    /// Path of the file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// Number of characters from there on that the finding is about; 0 where only the line is known.
    pub width: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
    /// The line of the file, unless it is a secret or too long to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    /// What `--fix` makes of the line, where the finding can be mended mechanically.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
    /// Why it is allowed, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A line that is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// The line as it is.
    pub from: String,
    /// The line as it is to be.
    pub to: String,
}

/// A program that was asked to judge, or that could not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judge {
    /// Name of the program.
    pub name: String,
    /// Its version; nothing when it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Why it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_asked: Option<String>,
}

/// How long the rules of a topic took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// Name of the topic.
    pub topic: &'static str,
    /// How long the rules took, in microseconds.
    pub micros: u64,
}

impl Timing {
    pub(super) fn new(topic: &'static str, taken: Duration) -> Self {
        Self { topic, micros: u64::try_from(taken.as_micros()).unwrap_or(u64::MAX) }
    }
}

impl Report {
    /// Makes a report of findings. `written` knows the files as their author wrote them.
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

    /// Orders the findings by places as people know them, each once.
    fn sort(&mut self) {
        let key = |one: &Reported| (one.file.clone(), one.line, one.column, one.rule.id, one.message.clone());
        self.findings.sort_by_cached_key(key);
        self.findings.dedup();
        self.allowed.sort_by_cached_key(key);
    }

    /// Returns the number of findings of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Tells whether an appliance would fail.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Returns the number of findings in words: `2 errors, 1 warning`.
    pub fn summary(&self) -> String {
        super::render::summary(self)
    }

    /// Returns the findings that are errors.
    pub fn errors(&self) -> impl Iterator<Item = &Reported> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }
}

/// Returns the path under which people know a file.
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

/// Returns edits as the replacement of a line; nothing where they go beyond it.
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

/// Returns the column, the width and the line's text of a place.
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

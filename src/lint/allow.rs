//! Allowances: a comment beside what is found, an entry of the configuration, or a flag says that a finding is as it should be, and why.
//! An allowance that allows nothing is a finding of its own, so that none outlives its reason.

use std::collections::BTreeMap;

use super::finding::{Finding, Located, Place};
use super::rule::{Class, Rule, Severity};
use super::settings::{By, Change, Settings, fits};
use super::{Contents, Findings};

/// What an allowance begins with, after the sign of a comment.
const WORDS: &str = "alga-lint: allow ";

/// An allowance that fits no finding.
pub(super) static ALLOWANCE_UNUSED: Rule = Rule {
    id: "allowance-unused",
    class: Class::Checks,
    severity: Severity::Warning,
    title: "an allowance allows nothing",
    verdict: "Nothing fails. The reason for the allowance is gone, and a new finding of the same rule would be hidden.",
    example: "# alga-lint: allow values-unread-key read by a hook   (above a key that the chart reads)\n",
    way_out: "Remove the allowance.",
};

/// An allowance that cannot be read.
pub(super) static ALLOWANCE_INVALID: Rule = Rule {
    id: "allowance-invalid",
    class: Class::Checks,
    severity: Severity::Error,
    title: "an allowance names no rule or gives no reason",
    verdict: "The allowance has no effect.",
    example: "# alga-lint: allow values-unread-key\n",
    way_out: "Write `alga-lint: allow RULE REASON`, with one of the rules that `alga-release lint --explain` lists.",
};

pub(super) static RULES: &[&Rule] = &[&ALLOWANCE_UNUSED, &ALLOWANCE_INVALID];

/// An allowance in a comment.
#[derive(Debug)]
struct Comment {
    rule: String,
    reason: String,
    line: usize,
    /// Whether the comment has the line for itself: it is then for the line below it.
    alone: bool,
    used: bool,
}

/// Every allowance of a run.
#[derive(Debug)]
pub(super) struct Allowances<'a> {
    comments: BTreeMap<Located, Vec<Comment>>,
    changes: Vec<(&'a Change, bool)>,
    invalid: Findings,
}

impl<'a> Allowances<'a> {
    /// Reads the comments of all files, and the settings.
    pub(super) fn read(contents: &Contents<'_>, settings: &'a Settings) -> Self {
        let changes = settings.changes.iter().map(|change| (change, false)).collect();
        let mut allowances = Self { comments: BTreeMap::new(), changes, invalid: Findings::default() };
        for (path, bytes) in contents.files.bytes() {
            allowances.file(&Located::Overlay(path.clone()), bytes);
        }
        for (chart, path, bytes) in
            contents.charts.values().flat_map(|chart| chart.files.iter().map(move |(path, bytes)| (chart, path, bytes)))
        {
            allowances.file(&Located::Chart { chart: chart.name.clone(), path: path.clone() }, bytes);
        }
        allowances
    }

    fn file(&mut self, file: &Located, bytes: &[u8]) {
        let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| text.contains(WORDS)) else { return };
        for (at, line) in text.lines().enumerate() {
            let Some((before, after)) = line.split_once(WORDS) else { continue };
            let Some(before) = before.trim_end().strip_suffix('#').or(before.trim_end().strip_suffix("/*")) else {
                continue;
            };
            let alone = before.trim().trim_end_matches(['{', '-', ' ']).is_empty();
            let after = after.split("*/").next().unwrap_or_default().trim();
            let (rule, reason) = after.split_once(char::is_whitespace).unwrap_or((after, ""));
            if super::rule(rule).is_none() || reason.trim().is_empty() {
                let place = Place { file: file.clone(), line: at + 1, span: None };
                let what = if super::rule(rule).is_none() { "no known rule" } else { "no reason" };
                self.invalid.add(&ALLOWANCE_INVALID, place, format!("the allowance has {what}"));
                continue;
            }
            let comment =
                Comment { rule: rule.to_owned(), reason: reason.trim().to_owned(), line: at + 1, alone, used: false };
            self.comments.entry(file.clone()).or_default().push(comment);
        }
    }

    /// Changes the severity of a finding, or returns the reason why it is allowed. `path` is what people call the file.
    pub(super) fn judge(&mut self, finding: &mut Finding, path: &str) -> Option<String> {
        let of_file = self.comments.get_mut(&finding.place.file).into_iter().flatten();
        for comment in of_file.filter(|comment| comment.rule == finding.rule.id) {
            let line = comment.line + usize::from(comment.alone);
            if line == finding.place.line {
                comment.used = true;
                return Some(comment.reason.clone());
            }
        }
        let mut last = None;
        for (change, used) in &mut self.changes {
            let fits = change.path.as_ref().is_none_or(|pattern| fits(pattern, path));
            if change.rule == finding.rule.id && fits {
                *used = true;
                last = Some(*change);
            }
        }
        let change = last?;
        match change.severity {
            None => Some(change.reason.clone()),
            Some(severity) => {
                finding.severity = severity;
                None
            }
        }
    }

    /// Returns a finding for each allowance that was of no use or could not be read.
    pub(super) fn unused(self) -> Findings {
        let mut found = self.invalid;
        for (file, comment) in self.comments.iter().flat_map(|(file, all)| all.iter().map(move |one| (file, one))) {
            if !comment.used {
                let place = Place { file: file.clone(), line: comment.line, span: None };
                found.add(&ALLOWANCE_UNUSED, place, format!("the allowance of `{}` allows nothing", comment.rule));
            }
        }
        for (change, used) in self.changes {
            if let (By::Configuration(at), false) = (change.by, used) {
                let place = Place { file: Located::Configuration, line: 1, span: None };
                let message = format!("lint.rules[{at}]: nothing is found that the entry for `{}` fits", change.rule);
                found.add(&ALLOWANCE_UNUSED, place, message);
            }
        }
        found
    }
}

//! Allowances: a comment beside a finding, an entry of the configuration, or a flag states that a finding is intended, and why.
//! An allowance that matches no finding is reported itself, so that allowances are removed when they are no longer needed.

use std::collections::BTreeMap;

use super::finding::{Finding, Located, Place};
use super::rule::{Class, Rule, Severity};
use super::settings::{By, Change, Settings, fits};
use super::{Contents, Findings};

/// Text that starts an allowance, after the comment sign.
const WORDS: &str = "alga-lint: allow ";

/// Rule for an allowance that matches no finding.
pub(super) static ALLOWANCE_UNUSED: Rule = Rule {
    id: "allowance-unused",
    class: Class::Checks,
    severity: Severity::Warning,
    title: "an allowance matches no finding",
    verdict: "Nothing fails. The reason for the allowance is gone, and the allowance would hide a new finding of the same rule.",
    example: "# alga-lint: allow values-unread-key read by a hook   (above a key that the chart reads)\n",
    way_out: "remove the allowance",
};

/// Rule for an allowance that cannot be parsed.
pub(super) static ALLOWANCE_INVALID: Rule = Rule {
    id: "allowance-invalid",
    class: Class::Checks,
    severity: Severity::Error,
    title: "an allowance has an unknown rule or no reason",
    verdict: "The allowance has no effect.",
    example: "# alga-lint: allow values-unread-key\n",
    way_out: "write `alga-lint: allow RULE REASON`; `alga-release lint --explain all` lists the rules",
};

pub(super) static RULES: &[&Rule] = &[&ALLOWANCE_UNUSED, &ALLOWANCE_INVALID];

/// An allowance in a comment of a file.
#[derive(Debug)]
struct Comment {
    rule: String,
    reason: String,
    line: usize,
    /// Whether the comment is alone on its line. Such a comment applies to the next line.
    alone: bool,
    used: bool,
}

/// All allowances of a run, with a note of which were used.
#[derive(Debug)]
pub(super) struct Allowances<'a> {
    comments: BTreeMap<Located, Vec<Comment>>,
    changes: Vec<(&'a Change, bool)>,
    invalid: Findings,
}

impl<'a> Allowances<'a> {
    /// Reads the allowances in the comments of all files, and those of the settings.
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
                let known = super::rule(rule).is_some();
                let message = if known { "the allowance lacks a reason" } else { "the allowance lacks a known rule" };
                self.invalid.add(&ALLOWANCE_INVALID, place, message);
                continue;
            }
            let comment =
                Comment { rule: rule.to_owned(), reason: reason.trim().to_owned(), line: at + 1, alone, used: false };
            self.comments.entry(file.clone()).or_default().push(comment);
        }
    }

    /// Applies the allowances to a finding: changes its severity, or returns the reason for which it is allowed. `path` is the path that
    /// users know.
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

    /// Returns a finding for each allowance that matched nothing or could not be parsed.
    pub(super) fn unused(self) -> Findings {
        let mut found = self.invalid;
        for (file, comment) in self.comments.iter().flat_map(|(file, all)| all.iter().map(move |one| (file, one))) {
            if !comment.used {
                let place = Place { file: file.clone(), line: comment.line, span: None };
                found.add(&ALLOWANCE_UNUSED, place, format!("the allowance of `{}` matches no finding", comment.rule));
            }
        }
        for (change, used) in self.changes {
            if let (By::Configuration(at), false) = (change.by, used) {
                let place = Place { file: Located::Configuration, line: 1, span: None };
                let message = format!("lint.rules[{at}]: the entry for `{}` matches no finding", change.rule);
                found.add(&ALLOWANCE_UNUSED, place, message);
            }
        }
        found
    }
}

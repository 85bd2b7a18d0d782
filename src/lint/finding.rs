//! A violation of a rule and its place.

use std::ops::Range;

use super::rule::{Rule, Severity};
use crate::yaml::Node;
use crate::yaml::edit::{Edit, replace_scalar};

/// The file that contains a finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Located {
    /// The configuration file, `alga-release.yaml`.
    Configuration,
    /// A file of the overlay, by its path below the overlay's root, as in the bundle.
    Overlay(String),
    /// A file of a chart in the release.
    Chart {
        /// Name of the chart, from its `Chart.yaml`.
        chart: String,
        /// Path below the chart's directory; the files of a subchart are below `charts/NAME/`.
        path: String,
    },
    /// Another file of the source tree, by its path below the root.
    Tree(String),
    /// The JSON document of the release.
    Release,
}

/// The line of a finding, and its position in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file that contains the line.
    pub file: Located,
    /// Line number, counted from 1.
    pub line: usize,
    /// Byte range in the file's text; `None` if only the line is known.
    pub span: Option<Range<usize>>,
}

impl Place {
    /// Returns the place of a node in a file of the overlay.
    pub(crate) fn overlay(file: &str, node: &Node) -> Self {
        Self { file: Located::Overlay(file.to_owned()), line: node.line, span: Some(node.span.clone()) }
    }

    /// Returns the place of a line in a file of the overlay.
    pub(crate) fn overlay_line(file: &str, line: usize) -> Self {
        Self { file: Located::Overlay(file.to_owned()), line, span: None }
    }

    /// Returns the place of a column in a file of the overlay, whose content is `text`. The column counts characters from 1.
    pub(crate) fn overlay_column(file: &str, text: &str, line: usize, column: usize) -> Self {
        let content = text.lines().nth(line.saturating_sub(1));
        let start = content.map(|content| {
            let within: usize = content.chars().take(column.saturating_sub(1)).map(char::len_utf8).sum();
            content.as_ptr().addr() - text.as_ptr().addr() + within
        });
        Self { file: Located::Overlay(file.to_owned()), line, span: start.map(|start| start..start + 1) }
    }

    /// Returns a place in a file of a chart.
    pub(crate) fn chart(chart: &str, path: &str, line: usize, span: Option<Range<usize>>) -> Self {
        Self { file: Located::Chart { chart: chart.to_owned(), path: path.to_owned() }, line, span }
    }
}

/// A violation of a rule at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule that is violated.
    pub rule: &'static Rule,
    /// Severity of this finding; the same as the rule's unless something changed it.
    pub severity: Severity,
    /// Place of the violation.
    pub place: Place,
    /// What is wrong: lowercase, without a final period.
    pub message: String,
    /// What to do in this case, in the form of [`Rule::way_out`], which is used if this is `None`.
    pub help: Option<String>,
    /// Edits within the line that fix the violation.
    pub fix: Vec<Edit>,
    /// Whether the text at the place is a secret. Such a text is never printed.
    pub secret: bool,
}

impl Finding {
    /// Sets the hint for this finding.
    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// Offers to replace a scalar of the file whose content is `text`.
    pub(crate) fn rename(&mut self, text: &str, node: &Node, to: &str) -> &mut Self {
        self.fix = vec![replace_scalar(text, node, to)];
        self
    }

    /// Keeps the text at the place out of every report.
    pub(crate) fn secret(&mut self) -> &mut Self {
        self.secret = true;
        self
    }

    /// Replaces the rule's severity for this finding.
    pub(crate) fn severity(&mut self, severity: Severity) -> &mut Self {
        self.severity = severity;
        self
    }
}

/// The findings of one run.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    found: Vec<Finding>,
}

impl Findings {
    /// Adds a finding with the severity of its rule.
    pub(crate) fn add(&mut self, rule: &'static Rule, place: Place, message: impl Into<String>) -> &mut Finding {
        let (severity, message) = (rule.severity, message.into());
        self.found.push(Finding { rule, severity, place, message, help: None, fix: Vec::new(), secret: false });
        self.found.last_mut().expect("one was added")
    }

    /// Adds the findings of another run.
    pub(crate) fn extend(&mut self, other: Self) {
        self.found.extend(other.found);
    }

    /// Returns the findings sorted by place, without duplicates.
    pub(crate) fn sorted(mut self) -> Vec<Finding> {
        let start = |finding: &Finding| finding.place.span.as_ref().map_or(0, |span| span.start);
        let key = |finding: &Finding| {
            let Finding { place, rule, message, .. } = finding;
            (place.file.clone(), place.line, start(finding), rule.id, message.clone())
        };
        self.found.sort_by_cached_key(key);
        self.found.dedup();
        self.found
    }
}

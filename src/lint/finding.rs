//! What a rule found, and where.

use std::ops::Range;

use super::rule::{Rule, Severity};
use crate::yaml::Node;
use crate::yaml::edit::{Edit, replace_scalar};

/// A file that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Located {
    /// The configuration file.
    Configuration,
    /// A file of the overlay, by its path below the overlay's root, as the bundle holds it.
    Overlay(String),
    /// A file of a chart.
    Chart {
        /// Name of the chart.
        chart: String,
        /// Path below the chart's directory; files of a subchart are below `charts/NAME/`.
        path: String,
    },
    /// Another file of the source tree, by its path below the root.
    Tree(String),
    /// The JSON of the release.
    Release,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Located,
    /// Line, from 1.
    pub line: usize,
    /// Bytes of the file's text, where they are known.
    pub span: Option<Range<usize>>,
}

impl Place {
    /// Names a node of a file of the overlay.
    pub(crate) fn overlay(file: &str, node: &Node) -> Self {
        Self { file: Located::Overlay(file.to_owned()), line: node.line, span: Some(node.span.clone()) }
    }

    /// Names a line of a file of the overlay.
    pub(crate) fn overlay_line(file: &str, line: usize) -> Self {
        Self { file: Located::Overlay(file.to_owned()), line, span: None }
    }

    /// Names a column, from 1 and in characters, of a file of the overlay whose text is `text`.
    pub(crate) fn overlay_column(file: &str, text: &str, line: usize, column: usize) -> Self {
        let content = text.lines().nth(line.saturating_sub(1));
        let start = content.map(|content| {
            let within: usize = content.chars().take(column.saturating_sub(1)).map(char::len_utf8).sum();
            content.as_ptr().addr() - text.as_ptr().addr() + within
        });
        Self { file: Located::Overlay(file.to_owned()), line, span: start.map(|start| start..start + 1) }
    }

    /// Names a place in a file of a chart.
    pub(crate) fn chart(chart: &str, path: &str, line: usize, span: Option<Range<usize>>) -> Self {
        Self { file: Located::Chart { chart: chart.to_owned(), path: path.to_owned() }, line, span }
    }
}

/// Something that a rule found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub place: Place,
    /// What is wrong: lower case, without a final period.
    pub message: String,
    /// What to do here, in a whole sentence; the rule's own way out where it is absent.
    pub help: Option<String>,
    /// Edits of the line that mend it.
    pub fix: Vec<Edit>,
    /// Whether the text at the place is a secret, which is never shown.
    pub secret: bool,
}

impl Finding {
    /// Says what to do here.
    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// Offers to write another text in the place of a scalar of the file whose text is `text`.
    pub(crate) fn rename(&mut self, text: &str, node: &Node, to: &str) -> &mut Self {
        self.fix = vec![replace_scalar(text, node, to)];
        self
    }

    /// Keeps the text at the place from being shown.
    pub(crate) fn secret(&mut self) -> &mut Self {
        self.secret = true;
        self
    }

    /// Makes this finding less or more severe than its rule.
    pub(crate) fn severity(&mut self, severity: Severity) -> &mut Self {
        self.severity = severity;
        self
    }
}

/// The findings of a run.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    found: Vec<Finding>,
}

impl Findings {
    /// Adds what a rule found.
    pub(crate) fn add(&mut self, rule: &'static Rule, place: Place, message: impl Into<String>) -> &mut Finding {
        let (severity, message) = (rule.severity, message.into());
        self.found.push(Finding { rule, severity, place, message, help: None, fix: Vec::new(), secret: false });
        self.found.last_mut().expect("one was added")
    }

    /// Adds the findings of another run.
    pub(crate) fn extend(&mut self, other: Self) {
        self.found.extend(other.found);
    }

    /// Returns the findings in the order of places, each once.
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

//! Errors of packing as findings. A tree with such an error cannot be published, whatever the rules allow.

use super::finding::{Located, Place};
use super::rule::{Class, Rule, Severity};
use super::{Finding, Findings};
use crate::source::Error;

/// Rule for errors that packing reports.
pub(super) static UNPACKABLE: Rule = Rule {
    id: "unpackable",
    class: Class::Packages,
    severity: Severity::Error,
    title: "the tree cannot be packed into a release",
    verdict: "`publish` fails before it sends anything, for example because Helm cannot load a chart, Flux cannot read a \
              file, or a HelmRelease cannot be pinned to its chart.",
    example: "version: 1.10   # in Chart.yaml: Helm reads the number 1.1\n",
    way_out: "correct the error that the message names",
};

pub(super) static RULES: &[&Rule] = &[&UNPACKABLE];

/// Adds each error of packing once. These findings cannot be allowed.
pub(super) fn add(errors: Vec<Error>, found: &mut Findings) {
    let mut seen: Vec<String> = Vec::new();
    for error in errors {
        let (text, place) = (error.to_string(), error.place());
        if seen.contains(&text) {
            continue;
        }
        let file = if place.path.is_empty() { ".".to_owned() } else { place.path.clone() };
        let message = text.strip_prefix(&format!("{place}: ")).unwrap_or(&text).to_owned();
        let place = Place { file: Located::Tree(file), line: place.line.unwrap_or(1), span: None };
        let finding: &mut Finding = found.add(&UNPACKABLE, place, message);
        if let Some(way_out) = error.way_out() {
            finding.help(way_out);
        }
        seen.push(text);
    }
}

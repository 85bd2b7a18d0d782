//! What a report comes to for the next step of a workflow: single values, and the report in every form that a step reads.

use serde::Serialize;

use super::page::{markdown, page};
use super::{CopyReport, MoveReport, PublishReport};
use crate::diff::{Diff, render};
use crate::oci::Digest;
use crate::text;

/// What a command came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Digest of the release.
    pub digest: Digest,
    /// Version of the release.
    pub version: String,
    /// Whether there was, or would be, anything to write.
    pub has_changes: bool,
    /// Digest of the plan; absent when the command plans nothing.
    pub plan_digest: Option<Digest>,
    /// Digest of the channel's manifest when the command ended, which `--if-current` takes: `none` when the channel serves nothing
    /// yet, absent when the command is about no channel.
    pub channel_digest: Option<String>,
    /// The command's own JSON.
    pub changes: Vec<u8>,
    /// The report as Markdown.
    pub markdown: String,
    /// The report as a page.
    pub html: String,
    /// What people should know.
    pub warnings: Vec<String>,
}

impl Outcome {
    /// Returns the single values, by the names that files and variables of a step have.
    pub fn values(&self) -> Vec<(&'static str, String)> {
        let mut values = vec![
            ("digest", self.digest.to_string()),
            // Whoever wrote the release chose it: it stays one line.
            ("version", text::shown(&self.version)),
            ("has-changes", self.has_changes.to_string()),
        ];
        values.extend(self.plan_digest.as_ref().map(|digest| ("plan-digest", digest.to_string())));
        values.extend(self.channel_digest.clone().map(|serves| ("channel-digest", serves)));
        values
    }
}

/// Returns a report as JSON for people and programs: indented, with one line end, without control characters.
///
/// # Panics
/// When a report has keys other than text, which none has.
pub fn json(report: &impl Serialize) -> Vec<u8> {
    let json = serde_json::to_string_pretty(report).expect("a report has text keys alone");
    (text::json(json) + "\n").into_bytes()
}

/// The report as Markdown and as a page: the comparison, where there is one.
fn pages(diff: Option<&Diff>, title: &str, text: &str) -> (String, String) {
    match diff {
        Some(diff) => (render::markdown(diff), render::html(diff)),
        None => (markdown(title, text), page(title, text)),
    }
}

fn or_none(manifest: Option<&Digest>) -> String {
    manifest.map_or_else(|| "none".to_owned(), ToString::to_string)
}

/// The outcome of a report that has a plan: what all of them say in the same fields.
macro_rules! outcome {
    ($report:expr, $title:expr, $diff:expr, $channel:expr) => {{
        let (markdown, html) = pages($diff, &$title, &($report.text() + &$report.details()));
        Outcome {
            digest: $report.digest.clone(),
            version: $report.version.clone(),
            has_changes: $report.has_changes,
            plan_digest: Some($report.plan_digest.clone()),
            channel_digest: $channel,
            changes: json($report),
            markdown,
            html,
            warnings: $report.warnings.clone(),
        }
    }};
}

impl From<&PublishReport> for Outcome {
    fn from(report: &PublishReport) -> Self {
        let channel = report.channel.as_ref();
        let serves = channel.map(|channel| or_none(channel.manifest.as_ref().or(channel.before.as_ref())));
        outcome!(report, format!("Release {}", report.version), report.diff.as_ref(), serves)
    }
}

impl From<&MoveReport> for Outcome {
    fn from(report: &MoveReport) -> Self {
        let before = report.before.as_ref().map(|before| &before.manifest);
        let serves = or_none(report.manifest.as_ref().or(before));
        outcome!(report, format!("Channel {}", report.channel), report.diff.as_ref(), Some(serves))
    }
}

impl From<&CopyReport> for Outcome {
    fn from(report: &CopyReport) -> Self {
        let channel = report.channel.as_ref();
        let serves = channel.map(|channel| or_none(channel.manifest.as_ref().or(channel.before.as_ref())));
        outcome!(report, format!("Copy of release {}", report.version), None, serves)
    }
}

impl From<&Diff> for Outcome {
    fn from(diff: &Diff) -> Self {
        Self {
            digest: diff.to.digest.clone(),
            version: diff.to.version.clone(),
            has_changes: diff.has_changes,
            plan_digest: None,
            channel_digest: None,
            changes: render::json(diff),
            markdown: render::markdown(diff),
            html: render::html(diff),
            warnings: Vec::new(),
        }
    }
}

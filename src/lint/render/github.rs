//! Findings as workflow commands, which GitHub shows beside the lines of a pull request.
//!
//! <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>

use std::fmt::Write as _;

use crate::lint::{Report, Severity};
use crate::text::clean;

/// Returns one workflow command for each finding.
pub fn github(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let message = data(&format!("{}\n{}", clean(&finding.message), clean(&finding.help)));
        let (file, title) = (property(&finding.file), property(finding.rule.id));
        let (line, column) = (finding.line, finding.column);
        let _ = writeln!(text, "::{command} file={file},line={line},col={column},title={title}::{message}");
    }
    text
}

/// Escapes the text of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes the value of a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

//! Findings in SARIF 2.1.0, a format for code scanners and editors.
//!
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::lint::{Report, Reported, Severity, rules};

/// Returns the SARIF log of one run.
pub fn sarif(report: &Report) -> Value {
    let rules: Vec<Value> = rules()
        .map(|rule| {
            json!({
                "id": rule.id,
                "shortDescription": { "text": rule.title },
                "fullDescription": { "text": rule.verdict },
                "help": { "text": rule.way_out },
                "defaultConfiguration": { "level": level(rule.severity) },
            })
        })
        .collect();
    let results: Vec<Value> = report.findings.iter().chain(&report.allowed).map(result).collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {
                "driver": {
                    "name": "alga-release lint",
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "rules": rules,
                },
            },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn level(severity: Severity) -> &'static str {
    severity.as_str()
}

fn result(finding: &Reported) -> Value {
    let mut region = json!({ "startLine": finding.line, "startColumn": finding.column });
    if finding.width > 0 {
        region["endColumn"] = json!(finding.column + finding.width);
    }
    let mut result = json!({
        "ruleId": finding.rule.id,
        "level": level(finding.severity),
        "message": { "text": format!("{}\n{}", finding.message, finding.help) },
        "locations": [{ "physicalLocation": { "artifactLocation": { "uri": uri(&finding.file) }, "region": region } }],
    });
    if let Some(reason) = &finding.reason {
        result["suppressions"] = json!([{ "kind": "inSource", "justification": reason }]);
    }
    result
}

/// Returns a path as a relative URI reference, with percent-encoding.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/@+,;=!$&'()*".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

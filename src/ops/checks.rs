//! The checks of releases as text for people: how many passed, which were not made, and the whole table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::text::{counted, shown};
use crate::verify::{Check, Outcome};

/// Returns a line for each check, and below it the reason, and with `hints` the way out, when the check did not pass.
pub(super) fn table<'c>(checks: impl IntoIterator<Item = &'c Check>, hints: bool) -> String {
    let checks: Vec<&Check> = checks.into_iter().collect();
    let width = |of: fn(&Check) -> usize| checks.iter().map(|check| of(check)).max().unwrap_or(0);
    let kinds = width(|check| check.kind.as_str().len());
    let names = width(|check| shown(&check.name).chars().count());
    let aspects = width(|check| check.aspect.as_str().len());
    let mut text = String::new();
    for check in checks {
        let outcome = match check.outcome {
            Outcome::Ok => "ok",
            Outcome::Failed => "FAILED",
            Outcome::NotChecked => "not checked",
        };
        let (kind, aspect) = (check.kind.as_str(), check.aspect.as_str());
        let (name, reference) = (shown(&check.name), shown(&check.reference));
        let _ = writeln!(text, "  {outcome:11}  {kind:kinds$}  {name:names$}  {aspect:aspects$}  {reference}");
        if let Some(reason) = &check.reason {
            let _ = writeln!(text, "               {}", shown(reason));
        }
        for signer in check.signed.iter().flat_map(|signed| &signed.signers) {
            let (key, role, forms) = (signer.key.short(), signer.role, signer.forms.join(", "));
            let _ = writeln!(text, "               signed by {key} ({role}): {forms}");
        }
        for verifier in check.signed.iter().flat_map(|signed| &signed.verifiers) {
            let _ = writeln!(text, "               {}", shown(&verifier.text));
        }
        if let Some(help) = check.help.as_ref().filter(|_| hints) {
            let _ = writeln!(text, "               hint: {}", shown(help));
        }
    }
    text
}

/// Returns how many of the checks passed: `verified 40 of 45`.
pub(super) fn verified(checks: &[Check]) -> String {
    let passed = checks.iter().filter(|check| check.is_ok()).count();
    format!("verified {passed} of {}", checks.len())
}

/// Returns a line for each reason why checks were not made, with all artifacts that it applies to.
pub(super) fn not_checked(checks: &[Check]) -> Vec<String> {
    let mut groups: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for check in checks.iter().filter(|check| check.outcome == Outcome::NotChecked) {
        let reason = check.reason.as_deref().unwrap_or_default();
        groups.entry((check.kind.as_str(), reason)).or_default().push(shown(&check.reference));
    }
    let line = |((kind, reason), names): ((&str, &str), Vec<String>)| {
        let count = counted(names.len(), kind, &format!("{kind}s"));
        format!("{count} not checked ({reason}): {}", names.join(", "))
    };
    groups.into_iter().map(line).collect()
}

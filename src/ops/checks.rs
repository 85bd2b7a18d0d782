//! Checks as a table.

use std::fmt::Write as _;

use crate::text::shown;
use crate::verify::{Check, Outcome};

/// Returns one line for each check, and below it the reason and the way out where it is not as it should be.
pub(super) fn table<'c>(checks: impl IntoIterator<Item = &'c Check>) -> String {
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
        if let Some(help) = &check.help {
            let _ = writeln!(text, "               hint: {}", shown(help));
        }
    }
    text
}

/// Returns how many checks had which outcome: `12 ok, 1 FAILED, 2 not checked`.
pub(super) fn count(checks: &[Check]) -> String {
    let of = |outcome| checks.iter().filter(|check| check.outcome == outcome).count();
    let parts = [(of(Outcome::Ok), "ok"), (of(Outcome::Failed), "FAILED"), (of(Outcome::NotChecked), "not checked")];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if parts.is_empty() { "nothing to check".to_owned() } else { parts.join(", ") }
}

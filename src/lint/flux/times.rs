//! The intervals at which Flux reconciles objects and retries.

use crate::lint::{Class, Findings, Place, Rule, Severity};
use crate::text::shown;
use crate::yaml::Node;

use super::applied::Applied;

pub(super) static SHORT_INTERVAL: Rule = Rule {
    id: "interval-short",
    class: Class::Reconciles,
    severity: Severity::Warning,
    title: "a Flux object is reconciled several times a minute",
    verdict: "Flux works without pause, and registries limit the rate of requests.",
    example: "kind: HelmRelease\nspec:\n  interval: 5s\n",
    way_out: "set an interval of at least one minute; Flux installs a new release at once, whatever the interval is",
};

pub(super) static RETRY: Rule = Rule {
    id: "retry-interval-missing",
    class: Class::Reconciles,
    severity: Severity::Warning,
    title: "a Kustomization with a long interval has no `retryInterval`",
    verdict: "After a failure, such as a registry that is unreachable for a moment, Flux retries only after the whole interval.",
    example: "kind: Kustomization\nspec:\n  interval: 1h\n",
    way_out: "add `retryInterval: 1m`",
};

pub(super) static RULES: &[&Rule] = &[&SHORT_INTERVAL, &RETRY];

/// Shortest interval, in milliseconds, that is accepted.
const SHORT: f64 = 60_000.0;
/// Shortest interval, in milliseconds, that requires a `retryInterval`.
const LONG: f64 = 1_800_000.0;

pub(super) fn check(applied: &Applied<'_>, found: &mut Findings) {
    for one in applied.each_object().into_iter().filter(|one| one.object.group().ends_with(".toolkit.fluxcd.io")) {
        let Some(interval) = one.object.node.get(&["spec", "interval"]) else { continue };
        let Some(milliseconds) = interval.as_str().and_then(milliseconds) else { continue };
        let (kind, name) = (one.object.kind(), shown(one.object.name()));
        let place = |node: &Node| Place::overlay(one.object.file, node);
        if milliseconds < SHORT {
            let message =
                format!("{kind} `{name}` is reconciled every {}", shown(interval.as_str().unwrap_or_default()));
            found.add(&SHORT_INTERVAL, place(interval), message);
        }
        let retries = one.object.node.get(&["spec", "retryInterval"]).is_some() || applied.may_be_patched(one);
        if kind == "Kustomization" && milliseconds >= LONG && !retries {
            found.add(&RETRY, place(interval), format!("Kustomization `{name}` retries only after its whole interval"));
        }
    }
}

/// Parses a duration in Go's format, without a sign, into milliseconds.
fn milliseconds(text: &str) -> Option<f64> {
    let (mut rest, mut sum) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = rest.split_at(digits);
        let end = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let (unit, next) = unit.split_at(end);
        let factor = match unit {
            "ms" => 1.0,
            "s" => 1000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * factor;
        rest = next;
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_in_the_format_of_go() {
        for (text, expected) in
            [("10m", Some(600_000.0)), ("1h30m", Some(5_400_000.0)), ("1.5s", Some(1500.0)), ("20ms", Some(20.0))]
        {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
        for text in ["", "5", "5d", "m", "1.2.3s"] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }
}

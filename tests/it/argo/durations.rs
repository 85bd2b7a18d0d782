//! Checks that durations fit: attempts into the deadline of a workflow, and the wait for a registry into the deadline
//! of an attempt.

use std::collections::BTreeMap;

use serde_json::Value;

use super::attempts::seconds;
use super::lint::{Lint, parents};
use super::manifests::{Object, by_name, list, text};

/// Checks the deadlines of a workflow and of the attempts that it reaches.
pub fn of_workflow<'a>(lint: &Lint<'a>, object: &'a Object) -> Vec<String> {
    let spec = object.spec();
    let Some(entrypoint) = by_name(&spec["templates"]).get(text(&spec["entrypoint"])).copied() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let (longest, deadline) = (longest(lint, object, entrypoint), spec["activeDeadlineSeconds"].as_u64());
    if deadline.is_none_or(|deadline| deadline < longest) {
        found.push(format!("duration: all attempts take {longest} s, but the workflow ends after {deadline:?}"));
    }
    let waits = by_name(&spec["arguments"]["parameters"]).get("registry-retry-for").map(|wait| text(&wait["value"]));
    for template in lint.reached(object).into_iter().filter(|template| template.get("container").is_some()) {
        found.extend(waits.and_then(|wait| of_attempt(template, wait)));
    }
    found
}

/// Checks the retries of a template.
pub fn of_retries(template: &Value) -> Vec<String> {
    let default = by_name(&template["inputs"]["parameters"]).get("retry-for").map(|wait| text(&wait["default"]));
    let mut found: Vec<String> = default.and_then(|wait| of_attempt(template, wait)).into_iter().collect();
    if template["retryStrategy"].get("backoff").is_some() {
        found.push(
            "retry: Argo waits for the backoff before it evaluates the expression, even after a refusal".to_owned(),
        );
    }
    found
}

/// Half of an attempt's deadline is for a failing registry, the other half for the work. The last retry must begin
/// before `maxDuration`, which Argo 3.7.16 counts from the start of the first attempt (`processNodeRetries`).
fn of_attempt(template: &Value, wait: &str) -> Option<String> {
    let name = text(&template["name"]);
    let Some(wait) = seconds(wait) else { return Some(format!("duration: invalid duration `{wait}` (in {name})")) };
    if attempt(template) < 2 * wait {
        return Some(format!("duration: a wait of {wait} s is more than half of the deadline of {name}"));
    }
    let backoff = &template["retryStrategy"]["backoff"];
    let limit = seconds(text(&backoff["maxDuration"]))?;
    let pauses = (0..retries(template)).map(|retry| {
        let factor = text(&backoff["factor"]).parse::<u64>().unwrap_or(1);
        (0..retry).fold(seconds(text(&backoff["duration"])).unwrap_or_default(), |pause, _| pause * factor)
    });
    let last: u64 = pauses.map(|pause| pause + wait).sum();
    (last > limit)
        .then(|| format!("duration: the last retry of {name} begins after {last} s, but `maxDuration` is {limit} s"))
}

fn retries(template: &Value) -> u64 {
    text(&template["retryStrategy"]["limit"]).parse().unwrap_or_default()
}

/// Returns the deadline of one attempt. For pods of other teams, it is unknown without a deadline.
fn attempt(template: &Value) -> u64 {
    let deadline = &template["activeDeadlineSeconds"];
    deadline.as_u64().or_else(|| text(deadline).parse().ok()).unwrap_or_default()
}

/// Returns the longest time that a template may take: for a dag, that of its longest path.
fn longest<'a>(lint: &Lint<'a>, object: &'a Object, template: &Value) -> u64 {
    if let Some(suspend) = template.get("suspend") {
        return seconds(text(&suspend["duration"])).unwrap_or_default();
    }
    if template.get("container").is_some() {
        return (retries(template) + 1) * attempt(template);
    }
    let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
    for task in list(&template["dag"]["tasks"]) {
        let before = parents(task).unwrap_or_default();
        let begin = before.iter().filter_map(|parent| ends.get(parent.as_str())).max().copied().unwrap_or_default();
        // Argo refuses a template that calls itself.
        let called = lint.called(object, task).filter(|called| called["name"] != template["name"]);
        let own = called.map(|called| longest(lint, lint.owner(object, task), called)).unwrap_or_default();
        ends.insert(text(&task["name"]), begin + own);
    }
    ends.into_values().max().unwrap_or_default()
}

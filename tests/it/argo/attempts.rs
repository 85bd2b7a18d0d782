//! The pods of a template, one after the other: which failures are retried, and how long that takes.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::expression::{self, Outcome};
use super::manifests::{list, text};
use super::model::{Cluster, Given, Model, Node, Phase, Scope, Texts, only};

/// An end of a pod that is not the end of its program, as Argo 3.7.16 shows it (`inferFailedReason`; seen with a real
/// controller).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lost {
    pub phase: Phase,
    /// Exit code of the container `main`, if the container ended.
    pub code: Option<i32>,
    pub message: &'static str,
    /// Whether the program ran to its end before.
    pub ran: bool,
}

impl Lost {
    pub const DELETED: Self = Self { phase: Phase::Error, code: None, message: "pod deleted", ran: true };
    /// The pod has its own message, so Argo shows it as Failed, whatever happened to its containers.
    pub const EVICTED: Self =
        Self { phase: Phase::Failed, code: None, message: "The node was low on resource: memory.", ran: false };
    pub const SHUT_DOWN: Self = Self {
        phase: Phase::Failed,
        code: Some(143),
        message: "Pod was terminated in response to imminent node shutdown.",
        ran: true,
    };
    pub const KILLED: Self =
        Self { phase: Phase::Failed, code: Some(137), message: "main: OOMKilled (exit code 137)", ran: false };
    /// A failure that ends when the network is repaired.
    pub const GIT_AWAY: Self = Self {
        phase: Phase::Error,
        code: None,
        message: "init: Error (exit code 64): failed to clone \"https://github.com\": dial tcp: i/o timeout",
        ran: false,
    };
    pub const NO_SUCH_REVISION: Self = Self {
        phase: Phase::Error,
        code: None,
        message: "init: Error (exit code 64): failed to get resolve revision: reference not found",
        ran: false,
    };
    pub const POD_REFUSED: Self = Self {
        phase: Phase::Error,
        code: None,
        message: "pods \"release-x7k2p\" is forbidden: violates PodSecurity \"restricted:latest\"",
        ran: false,
    };
    /// The program did its work, but its report could not be stored.
    pub const NOT_STORED: Self = Self {
        phase: Phase::Error,
        code: Some(0),
        message: "wait: Error (exit code 64): You need to configure artifact storage.",
        ran: true,
    };
}

impl Cluster {
    /// Runs the pods of a template one after the other, under its lock.
    pub fn attempts(&self, template: &Value, inputs: &Texts, given: &Given) -> Model<Node> {
        let nothing = (Texts::new(), std::collections::BTreeMap::new());
        let scope = Scope { workflow: &nothing.0, inputs, tasks: &nothing.1 };
        let locks: Vec<Arc<Mutex<()>>> = self.locks_of(template, &scope)?;
        let _held: Vec<_> = locks.iter().map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner)).collect();
        let strategy = &template["retryStrategy"];
        only(strategy, &["limit", "retryPolicy", "expression", "backoff"], "a retry strategy")?;
        let limit: usize = text(&strategy["limit"]).parse().map_err(|_| "outside of the model: no limit of retries")?;
        let (mut codes, mut waited) = (Vec::new(), 0);
        loop {
            let mut node = self.pod(template, &scope, given, codes.len())?;
            codes.append(&mut node.codes);
            if node.phase == Some(Phase::Succeeded) || codes.len() > limit {
                return Ok(Node { codes, waited, ..node });
            }
            // Argo 3.7.16 waits before it evaluates the expression (`processNodeRetries`). With a real controller, a
            // refusal waited too.
            waited += backoff(&strategy["backoff"], codes.len())?;
            let last = codes.last().copied().flatten();
            let known = |path: &[String]| match path.join(".").as_str() {
                "lastRetry.status" => Some(Outcome::Text(format!("{:?}", node.phase?))),
                "lastRetry.exitCode" => Some(Outcome::Text(last.unwrap_or(-1).to_string())),
                "lastRetry.message" => Some(Outcome::Text(node.message.clone())),
                _ => None,
            };
            if !expression::parse(text(&strategy["expression"]))?.holds(&known)? {
                return Ok(Node { codes, waited, ..node });
            }
        }
    }

    fn locks_of(&self, template: &Value, scope: &Scope<'_>) -> Model<Vec<Arc<Mutex<()>>>> {
        let Some(synchronization) = template.get("synchronization") else { return Ok(Vec::new()) };
        only(synchronization, &["mutexes"], "the synchronization")?;
        let mut all = self.locks.lock().map_err(|_| "a lock is broken")?;
        let names = list(&synchronization["mutexes"]).iter().map(|mutex| scope.filled(text(&mutex["name"])));
        names.map(|name| Ok(Arc::clone(all.entry(name?).or_default()))).collect()
    }
}

/// Returns Argo's pause after an attempt in seconds: the base, times the factor for each earlier attempt.
fn backoff(backoff: &Value, attempts: usize) -> Model<u64> {
    if backoff.is_null() {
        return Ok(0);
    }
    let base = seconds(text(&backoff["duration"])).ok_or("outside of the model: a backoff without a duration")?;
    let factor: u64 = text(&backoff["factor"]).parse().map_err(|_| "outside of the model: no factor")?;
    Ok((1..attempts).fold(base, |wait, _| wait * factor))
}

/// Parses a duration of one number and one unit, such as `90s`, `15m` or `24h`. A number without a unit is in seconds.
pub fn seconds(duration: &str) -> Option<u64> {
    let (number, unit) = match duration.strip_suffix(|unit: char| unit.is_ascii_alphabetic()) {
        None => (duration, 1),
        Some(number) if duration.ends_with('s') => (number, 1),
        Some(number) if duration.ends_with('m') => (number, 60),
        Some(number) if duration.ends_with('h') => (number, 3600),
        Some(_) => return None,
    };
    number.parse::<u64>().ok().map(|number| number * unit)
}

#[test]
fn durations_are_in_seconds() {
    for (duration, expected) in
        [("0", Some(0)), ("90s", Some(90)), ("15m", Some(900)), ("24h", Some(86400)), ("5d", None), ("", None)]
    {
        assert_eq!(seconds(duration), expected, "{duration}");
    }
}

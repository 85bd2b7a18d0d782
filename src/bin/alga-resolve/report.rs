//! What was verified of a release, as lines for people and as JSON.

use alga_release::appliance::{Facts, not_covered};
use serde_json::{Value, json};

use super::ask::Answer;
use super::say;

/// Returns who signed the release and until when that counts, on one line. Keys are shortened.
pub fn line(facts: &Facts) -> String {
    let signers = if facts.signers.is_empty() { &facts.release_signers } else { &facts.signers };
    let signers: Vec<&str> = signers.iter().map(|key| key.get(..12).unwrap_or(key)).collect();
    let position = match (facts.epoch, facts.sequence) {
        (Some(epoch), Some(sequence)) => format!(", epoch {epoch}, sequence {sequence}"),
        _ => String::new(),
    };
    let until = facts.expires.as_ref().map_or_else(String::new, |expires| format!(", until {expires}"));
    format!("signed by {}{position}{until} (trust document version {})", signers.join(" and "), facts.trust_version)
}

/// Prints what was verified to standard error. `digests` says whether images are used by their digests.
pub fn notes(answer: &Answer, digests: bool) {
    let Some(facts) = &answer.facts else { return };
    say("note", &format!("verified {}: {}", answer.resolved.release.version, line(facts)));
    warn_if_stale(answer);
    let open = not_covered(&answer.resolved.release, &answer.described.config, digests);
    if !open.is_empty() {
        say("note", &format!("the signatures do not cover what is known by tag or version only: {}", open.join(", ")));
    }
}

/// Warns of a release that would not be accepted again.
pub fn warn_if_stale(answer: &Answer) {
    if let Some(reason) = &answer.stale {
        say("warning", &format!("the release {} is stale: {reason}", answer.resolved.release.version));
    }
}

/// Returns what was verified as JSON, or `None` without a trust document.
pub fn json(answer: &Answer, digests: bool) -> Option<Value> {
    let facts = answer.facts.as_ref()?;
    Some(json!({
        "trustVersion": facts.trust_version,
        "signers": facts.signers,
        "refreshedBy": facts.refreshed_by,
        "releaseSigners": facts.release_signers,
        "epoch": facts.epoch,
        "sequence": facts.sequence,
        "expires": facts.expires,
        "stale": answer.stale,
        "notCovered": not_covered(&answer.resolved.release, &answer.described.config, digests),
    }))
}

/// Adds a key to the text of a JSON object. All other bytes stay.
pub fn with_key(object: &[u8], key: &str, value: &Value) -> Vec<u8> {
    let end = object.iter().rposition(|byte| *byte == b'}').unwrap_or(object.len());
    let added = format!(",\"{key}\":{value}");
    [&object[..end], added.as_bytes(), &object[end..]].concat()
}

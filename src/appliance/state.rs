//! The state of an appliance: the last release that it followed, for every store and channel, and its own address.
//! Older and newer programs can read the same state. Each keeps the keys that it does not know.

use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::HostInputs;
use crate::oci::Digest;
use crate::release::{Installation, Record, Release, Resolved};

/// The whole state. The code is written by hand, because derived code for these fields would make the resolver larger.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Entries by store, repository and reference.
    releases: Map<String, Value>,
    /// `host` (the address of the product), `root` (the names of the root objects of the last rendering), and the keys
    /// of newer programs.
    pub(super) others: Map<String, Value>,
}

/// The names of the root objects, which are the `OCIRepository` and the `Kustomization` that contain all others. An
/// appliance has one root, because two roots would apply and prune each other's objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Namespace of both root objects.
    pub namespace: String,
    /// Name of both root objects.
    pub name: String,
}

impl Root {
    /// Returns the names that a release gives to its root objects.
    pub fn of(installation: &Installation) -> Self {
        Self { namespace: installation.flux_namespace.clone(), name: installation.source_name.clone() }
    }
}

impl std::fmt::Display for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The last release that was followed under one reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Known {
    /// Digest of the manifest that was read.
    pub manifest: Digest,
    /// Digest of the release manifest.
    pub release_digest: Digest,
    /// Highest sequence number that counts. An answer with a lower one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Sequence number of this release, if it is too far above `sequence` to count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jumped: Option<u64>,
    /// Whether the channel's answer had no record of a move and was followed nevertheless.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unrecorded: bool,
    /// Time of the read in seconds since 1970 by this machine's clock. No decision depends on it.
    #[serde(default)]
    pub resolved_at: u64,
    /// Whether the release was requested by version or digest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// Digest of the bytes in `json`.
    pub config: Digest,
    /// JSON of the release, byte for byte.
    pub json: String,
}

/// Largest number of moves that a channel is expected to make between two answers. Without this limit, one answer with
/// the highest possible sequence number would make every later move look like a replay.
const LONGEST_JUMP: u64 = 1000;

/// The relation between an answer of a channel and the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Following {
    /// The same move, a later one, or the first one.
    Forward,
    /// The answer has no record of a move, so an old answer looks the same as a new one.
    Unrecorded,
    /// The answer is followed, but its sequence number does not count, because it is more than [`LONGEST_JUMP`] above
    /// the present one. It counts after the next move names this manifest as its `previous`.
    Jump {
        /// Sequence number of the answer.
        answered: u64,
        /// Sequence number that still counts.
        seen: u64,
    },
}

/// The reason why an answer of a channel is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The answer is older than one that was followed.
    #[error(
        "move {answered} of the channel is older than move {seen}, which was followed before: the answer is a replay"
    )]
    Replay {
        /// Sequence number of the answer.
        answered: u64,
        /// Sequence number that was followed before.
        seen: u64,
    },
    /// The answer has the sequence number of another move.
    #[error("move {0} of the channel was followed before, but it served another release")]
    Forked(u64),
    /// The answer has no record of a move, but an earlier answer had one.
    #[error("the answer has no record of a move, but move {0} of the channel was followed before")]
    Unrecorded(u64),
}

impl Known {
    /// Reports whether `sequence` is the sequence number of this release.
    fn counts(&self) -> bool {
        self.jumped.is_none() && !self.unrecorded
    }

    /// Reports whether `answer` is the same manifest, or another one with the same release and the same JSON.
    fn serves(&self, answer: &Resolved) -> bool {
        self.manifest == answer.manifest
            || (self.release_digest == answer.release_digest && self.json.as_bytes() == answer.json)
    }

    /// Reports whether the sequence number of a move counts after `seen`. It counts if it is near, or if the move is
    /// near to an earlier jump and names that manifest as its predecessor.
    fn reaches(&self, record: &Record, seen: u64) -> bool {
        let near = |from: u64| (from..=from.saturating_add(LONGEST_JUMP)).contains(&record.sequence);
        let confirms =
            |jumped: u64| record.previous.as_ref() == Some(&self.manifest) && record.sequence > jumped && near(jumped);
        near(seen) || self.jumped.is_some_and(confirms)
    }

    /// Returns the entry of a verified release, whose move numbers are kept elsewhere.
    pub fn verified(answer: &Resolved, pinned: bool, now: u64) -> Self {
        Self {
            manifest: answer.manifest.clone(),
            release_digest: answer.release_digest.clone(),
            sequence: None,
            jumped: None,
            unrecorded: false,
            resolved_at: now,
            pinned,
            config: Digest::of(&answer.json),
            json: String::from_utf8_lossy(&answer.json).into_owned(),
        }
    }

    /// Reports whether a text is the version or a digest of this release.
    pub(super) fn is_named(&self, version_or_digest: &str) -> bool {
        let digest = self.manifest.as_str() == version_or_digest || self.release_digest.as_str() == version_or_digest;
        digest || self.release().is_some_and(|release| release.version == version_or_digest)
    }

    /// Returns the release, if the JSON matches its digest.
    pub fn release(&self) -> Option<Release> {
        (Digest::of(self.json.as_bytes()) == self.config).then(|| Release::parse(self.json.as_bytes()).ok())?
    }

    /// Returns the release as if it had just been read.
    pub fn resolved(&self) -> Option<Resolved> {
        Some(Resolved {
            manifest: self.manifest.clone(),
            release_digest: self.release_digest.clone(),
            json: self.json.clone().into_bytes(),
            release: self.release()?,
            record: None,
            signatures: Vec::new(),
        })
    }
}

impl State {
    /// Reads the bytes of a state file.
    ///
    /// # Errors
    /// Returns an error when the bytes are not a JSON object of this form.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        Self::parse_noting(json).map(|(state, _)| state)
    }

    /// Reads the bytes of a state file, and returns whether they have keys, but not `releases`, which every program writes.
    pub(super) fn parse_noting(json: &[u8]) -> Result<(Self, bool), serde_json::Error> {
        let shape = |reason| Err(serde_json::Error::custom(reason));
        let Value::Object(mut others) = serde_json::from_slice(json)? else {
            return shape("the state is not an object");
        };
        match others.remove("releases") {
            Some(Value::Object(releases)) => Ok((Self { releases, others }, false)),
            Some(_) => shape("`releases` is not an object"),
            None => {
                let is_foreign = !others.is_empty();
                Ok((Self { releases: Map::new(), others }, is_foreign))
            }
        }
    }

    /// Returns the bytes of a state file.
    pub fn to_json(&self) -> Vec<u8> {
        let mut all = self.others.clone();
        all.insert("releases".to_owned(), self.releases.clone().into());
        let mut json = serde_json::to_vec_pretty(&Value::Object(all)).expect("only text keys");
        json.push(b'\n');
        json
    }

    /// Returns the address that was given last.
    pub fn host(&self) -> Option<HostInputs> {
        self.others.get("host").and_then(|host| HostInputs::deserialize(host).ok())
    }

    /// Sets the address of the product.
    pub fn set_host(&mut self, host: &HostInputs) {
        self.others.insert("host".to_owned(), serde_json::to_value(host).expect("only text"));
    }

    /// Returns the names of the root objects of the last rendering, or `None` for the state of an older program.
    pub fn root(&self) -> Option<Root> {
        self.others.get("root").and_then(|root| Root::deserialize(root).ok())
    }

    /// Sets the names of the root objects.
    pub fn set_root(&mut self, root: &Root) {
        self.others.insert("root".to_owned(), serde_json::to_value(root).expect("only text"));
    }

    /// Returns the release that was followed under a key.
    pub fn known(&self, key: &str) -> Option<Known> {
        self.releases.get(key).and_then(|known| Known::deserialize(known).ok())
    }

    /// Returns the release of a version or a digest below `place`, whatever reference was used to read it.
    pub fn find(&self, place: &str, version_or_digest: &str) -> Option<Known> {
        let below = |key: &&String| key.strip_prefix(place).is_some_and(|rest| rest.starts_with([':', '@']));
        let known = self.releases.keys().filter(below).filter_map(|key| self.known(key));
        let mut named = known.filter(|known| known.is_named(version_or_digest));
        named.next()
    }

    /// Decides whether a channel's answer may be followed.
    ///
    /// # Errors
    /// Returns an error when the answer is older than the one followed before, when it has the same sequence number but
    /// other content, or when only the earlier answer had a record.
    pub fn judge(&self, key: &str, channel: &str, answer: &Resolved) -> Result<Following, Refused> {
        let known = self.known(key);
        let seen = known.as_ref().and_then(|known| Some((known, known.sequence?)));
        let Some(record) = record_of(channel, answer) else {
            return match seen {
                // This answer was accepted before.
                Some((known, _)) if known.unrecorded && known.manifest == answer.manifest => Ok(Following::Unrecorded),
                Some((_, seen)) => Err(Refused::Unrecorded(seen)),
                None => Ok(Following::Unrecorded),
            };
        };
        let (answered, Some((known, seen))) = (record.sequence, seen) else { return Ok(Following::Forward) };
        if answered < seen {
            return Err(Refused::Replay { answered, seen });
        }
        if answered == seen && known.counts() && !known.serves(answer) {
            return Err(Refused::Forked(seen));
        }
        Ok(if known.reaches(record, seen) { Following::Forward } else { Following::Jump { answered, seen } })
    }

    /// Stores the answer that was followed. `channel` is `None` for a version or a digest, of which only the last one
    /// is kept. An answer is not stored if another program has stored a newer one meanwhile.
    pub fn follow(&mut self, key: &str, channel: Option<&str>, answer: &Resolved, now: u64) {
        let record = channel.and_then(|channel| record_of(channel, answer));
        let before = self.known(key);
        let seen = before.as_ref().and_then(|known| known.sequence);
        let sequence = record.map(|record| record.sequence);
        if sequence.is_some() && sequence < seen {
            return;
        }
        let jumped = before.zip(seen).zip(record).is_some_and(|((before, seen), record)| !before.reaches(record, seen));
        let known = Known {
            manifest: answer.manifest.clone(),
            release_digest: answer.release_digest.clone(),
            // If the answer's own sequence number does not count, the last one that counts is kept.
            sequence: sequence.filter(|_| !jumped).or(seen),
            jumped: sequence.filter(|_| jumped),
            unrecorded: channel.is_some() && record.is_none(),
            resolved_at: now,
            pinned: channel.is_none(),
            config: Digest::of(&answer.json),
            json: String::from_utf8_lossy(&answer.json).into_owned(),
        };
        if known.pinned {
            self.releases.retain(|_, other| other.get("pinned") != Some(&Value::Bool(true)));
        }
        let mut value = serde_json::to_value(&known).expect("only text keys");
        // Keys that a newer program has added to the entry are kept.
        if let (Some(Value::Object(before)), Value::Object(fields)) = (self.releases.remove(key), &mut value) {
            let own = ["sequence", "jumped", "unrecorded", "pinned"];
            for (field, old) in before.into_iter().filter(|(field, _)| !own.contains(&field.as_str())) {
                fields.entry(field).or_insert(old);
            }
        }
        self.releases.insert(key.to_owned(), value);
    }
}

/// Returns the record of the channel's own move. If someone tagged the manifest of another channel by hand, its record
/// counts other moves.
fn record_of<'a>(channel: &str, answer: &'a Resolved) -> Option<&'a Record> {
    answer.record.as_ref().filter(|record| record.name == channel)
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;

//! What an appliance remembers: the last release that it followed, for every place and channel, and its own address.
//! Older and newer programs read each other's: what one does not know stays as it is.

use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::HostInputs;
use crate::oci::Digest;
use crate::release::{Installation, Record, Release, Resolved};

/// All of it. Derived code to read and write these fields would be a part of the resolver's size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// By store, repository and reference.
    releases: Map<String, Value>,
    /// `host`, the address of the product; `root`, the names of the root objects that were rendered last; and what newer programs write.
    others: Map<String, Value>,
}

/// The names of the root objects: the `OCIRepository` and the `Kustomization` that hold all others. An appliance has one root: two
/// would apply, and prune, each other's objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Namespace of both.
    pub namespace: String,
    /// Name of both.
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
    /// Digest of the release.
    pub release_digest: Digest,
    /// The highest sequence that counts: an answer with a lower one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The sequence of this release, where it is too far above `sequence` to count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jumped: Option<u64>,
    /// The channel's answer recorded no move, and was followed all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unrecorded: bool,
    /// When it was read: seconds since 1970, by this machine's clock. Decides nothing.
    #[serde(default)]
    pub resolved_at: u64,
    /// Was it asked for by version or digest?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// Digest of `json`.
    pub config: Digest,
    /// The release, byte for byte.
    pub json: String,
}

/// Most moves that a channel is expected to make between two answers. Without a limit, one answer with the highest sequence that
/// there is would make a replay of every later move.
const LONGEST_JUMP: u64 = 1000;

/// How an answer of a channel relates to the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Following {
    /// The same, a higher sequence, or the first one.
    Forward,
    /// The answer records no move of the channel, so an old answer could not be told from a new one.
    Unrecorded,
    /// The answer is followed, and its sequence does not count: it is more than [`LONGEST_JUMP`] above the one that does. It counts when the
    /// next move confirms it, whose `previous` is this manifest.
    Jump {
        /// Sequence of the answer.
        answered: u64,
        /// Sequence that still counts.
        seen: u64,
    },
}

/// Why an answer of a channel is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is older than one that was followed.
    #[error(
        "move {answered} of the channel is older than move {seen}, which was followed before: an old answer, replayed"
    )]
    Replay {
        /// Sequence of the answer.
        answered: u64,
        /// Sequence that was followed.
        seen: u64,
    },
    /// It has the sequence of another one.
    #[error("move {0} of the channel was followed before, and served another release then")]
    Forked(u64),
    /// It records no move, and one that did was followed.
    #[error("the answer records no move of the channel, and move {0} was followed before")]
    Unrecorded(u64),
}

impl Known {
    /// Returns whether `sequence` is that of this release.
    fn counts(&self) -> bool {
        self.jumped.is_none() && !self.unrecorded
    }

    /// Returns whether `answer` is the same manifest, or one with the same release and the same JSON.
    fn serves(&self, answer: &Resolved) -> bool {
        self.manifest == answer.manifest
            || (self.release_digest == answer.release_digest && self.json.as_bytes() == answer.json)
    }

    /// Returns whether the sequence of a move counts after `seen`: it is near, or the move names the manifest of an earlier jump as its
    /// predecessor and is near to that.
    fn reaches(&self, record: &Record, seen: u64) -> bool {
        let near = |from: u64| (from..=from.saturating_add(LONGEST_JUMP)).contains(&record.sequence);
        let confirms =
            |jumped: u64| record.previous.as_ref() == Some(&self.manifest) && record.sequence > jumped && near(jumped);
        near(seen) || self.jumped.is_some_and(confirms)
    }

    /// The release, held against its digest.
    pub fn release(&self) -> Option<Release> {
        (Digest::of(self.json.as_bytes()) == self.config).then(|| Release::parse(self.json.as_bytes()).ok())?
    }

    /// As if it had just been read.
    pub fn resolved(&self) -> Option<Resolved> {
        Some(Resolved {
            manifest: self.manifest.clone(),
            release_digest: self.release_digest.clone(),
            json: self.json.clone().into_bytes(),
            release: self.release()?,
            record: None,
        })
    }
}

impl State {
    /// Reads the bytes of a state file.
    ///
    /// # Errors
    /// When they are no JSON object of this shape.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        let shape = |reason| Err(serde_json::Error::custom(reason));
        let Value::Object(mut others) = serde_json::from_slice(json)? else { return shape("it is not an object") };
        match others.remove("releases") {
            Some(Value::Object(releases)) => Ok(Self { releases, others }),
            Some(_) => shape("`releases` is not an object"),
            None => Ok(Self { releases: Map::new(), others }),
        }
    }

    /// The bytes of a state file.
    pub fn to_json(&self) -> Vec<u8> {
        let mut all = self.others.clone();
        all.insert("releases".to_owned(), self.releases.clone().into());
        let mut json = serde_json::to_vec_pretty(&Value::Object(all)).expect("text keys alone");
        json.push(b'\n');
        json
    }

    /// The address that was given last.
    pub fn host(&self) -> Option<HostInputs> {
        self.others.get("host").and_then(|host| HostInputs::deserialize(host).ok())
    }

    /// Remembers an address.
    pub fn set_host(&mut self, host: &HostInputs) {
        self.others.insert("host".to_owned(), serde_json::to_value(host).expect("text alone"));
    }

    /// Returns the names of the root objects that were rendered last; nothing in the state of an older program.
    pub fn root(&self) -> Option<Root> {
        self.others.get("root").and_then(|root| Root::deserialize(root).ok())
    }

    /// Remembers the names of the root objects.
    pub fn set_root(&mut self, root: &Root) {
        self.others.insert("root".to_owned(), serde_json::to_value(root).expect("text alone"));
    }

    /// What is known under a key.
    pub fn known(&self, key: &str) -> Option<Known> {
        self.releases.get(key).and_then(|known| Known::deserialize(known).ok())
    }

    /// What is known of a version or a digest below `place`, under whatever name it was read.
    pub fn find(&self, place: &str, version_or_digest: &str) -> Option<Known> {
        let below = |key: &&String| key.strip_prefix(place).is_some_and(|rest| rest.starts_with([':', '@']));
        let known = self.releases.keys().filter(below).filter_map(|key| self.known(key));
        let mut named = known.filter(|known| {
            let digest =
                known.manifest.as_str() == version_or_digest || known.release_digest.as_str() == version_or_digest;
            digest || known.release().is_some_and(|release| release.version == version_or_digest)
        });
        named.next()
    }

    /// Decides whether a channel's answer may be followed.
    ///
    /// # Errors
    /// When it is older than what was followed before, has its sequence and another content, or records no move where that did.
    pub fn judge(&self, key: &str, channel: &str, answer: &Resolved) -> Result<Following, Refused> {
        let known = self.known(key);
        let seen = known.as_ref().and_then(|known| Some((known, known.sequence?)));
        let Some(record) = record_of(channel, answer) else {
            return match seen {
                // Accepted before.
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

    /// Remembers what was followed; `channel` is nothing for a version or a digest, of which the last one alone is kept. An answer
    /// that has become old meanwhile, since another program was faster, is not kept.
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
            // Of an answer whose own sequence does not count, the last one that does stays.
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
        let mut value = serde_json::to_value(&known).expect("text keys alone");
        // What a newer program has added to the entry stays.
        if let (Some(Value::Object(before)), Value::Object(fields)) = (self.releases.remove(key), &mut value) {
            let own = ["sequence", "jumped", "unrecorded", "pinned"];
            for (field, old) in before.into_iter().filter(|(field, _)| !own.contains(&field.as_str())) {
                fields.entry(field).or_insert(old);
            }
        }
        self.releases.insert(key.to_owned(), value);
    }
}

/// The record of a channel's own move; one of another channel, whose manifest was tagged by hand, counts other moves.
fn record_of<'a>(channel: &str, answer: &'a Resolved) -> Option<&'a Record> {
    answer.record.as_ref().filter(|record| record.name == channel)
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;

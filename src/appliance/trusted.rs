//! What an appliance accepted under a trust document. The state keeps it by the digest of the document that is baked into
//! the appliance, by product and by channel, and not by store: a mirror must not be able to serve an older statement.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Facts, Known, State};
use crate::oci::{Digest, Tag};
use crate::trust::{Accepted, Position, SignedDocument, Time};

/// Key of the state with what was accepted, by the digest of the baked trust document.
pub(super) const TRUST: &str = "trust";
/// Key of the state with the reason why an operator turned verification off.
const TURNED_OFF: &str = "trustTurnedOff";
/// Key of the state with the decisions of operators that set a rule aside.
const DECISIONS: &str = "decisions";
/// Most decisions that the state keeps.
const KEPT_DECISIONS: usize = 100;
/// Key of the release that was last asked for by version or digest. A channel's key has a slash.
const PINNED: &str = "pinned";
/// Time for which the floor may stay behind the clock, in seconds. Writing it at every check would wear out a disk.
const FLOOR_STEP: u64 = 86_400;

/// What was accepted under one baked trust document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trusted {
    /// Newest trust document that was followed; absent while the baked document counts.
    pub document: Option<SignedDocument>,
    /// Baked trust document in its envelope; absent in the state of an older program. It is opened only when another
    /// document is baked into the appliance later.
    pub(super) baked: Option<String>,
    /// Highest time that is known to have passed.
    pub floor: Option<Time>,
    pub(super) positions: BTreeMap<String, Position>,
    pub(super) releases: Map<String, Value>,
    /// Keys of newer programs.
    others: Map<String, Value>,
}

/// The part of a state about a trust document is damaged.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state's entry about trust is damaged: {0}")]
pub struct DamagedTrust(String);

/// A decision of an operator that sets a rule aside.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OperatorDecision<'a> {
    /// Option by which it was made, without dashes.
    pub option: &'static str,
    /// Reason that the operator gave.
    pub reason: &'a str,
    /// Release that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<&'a Digest>,
}

impl Trusted {
    pub(super) fn parse(value: &Value) -> Result<Self, String> {
        let Value::Object(mut others) = value.clone() else { return Err("the entry is not an object".to_owned()) };
        let text = |value: Option<Value>, key: &str| match value {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("`{key}` is not a text")),
        };
        let document = text(others.remove("document"), "document")?
            .map(|envelope| SignedDocument::open(envelope.as_bytes()).map_err(|cause| cause.to_string()));
        let baked = text(others.remove("baked"), "baked")?;
        let floor =
            text(others.remove("floor"), "floor")?.map(|time| time.parse::<Time>().map_err(|cause| cause.to_string()));
        let mut positions = BTreeMap::new();
        match others.remove("positions") {
            None => {}
            Some(Value::Object(entries)) => {
                for (place, value) in entries {
                    let position = Position::deserialize(&value).map_err(|cause| format!("`positions`: {cause}"))?;
                    positions.insert(place, position);
                }
            }
            Some(_) => return Err("`positions` is not an object".to_owned()),
        }
        let releases = match others.remove("releases") {
            None => Map::new(),
            Some(Value::Object(releases)) => releases,
            Some(_) => return Err("`releases` is not an object".to_owned()),
        };
        Ok(Self { document: document.transpose()?, baked, floor: floor.transpose()?, positions, releases, others })
    }

    fn to_value(&self) -> Value {
        let mut all = self.others.clone();
        if let Some(document) = &self.document {
            all.insert("document".to_owned(), String::from_utf8_lossy(document.envelope()).into());
        }
        if let Some(baked) = &self.baked {
            all.insert("baked".to_owned(), baked.as_str().into());
        }
        if let Some(floor) = self.floor {
            all.insert("floor".to_owned(), floor.to_string().into());
        }
        let mut positions = Map::new();
        for (place, position) in &self.positions {
            positions.insert(place.clone(), serde_json::to_value(position).expect("text keys"));
        }
        all.insert("positions".to_owned(), Value::Object(positions));
        all.insert("releases".to_owned(), self.releases.clone().into());
        Value::Object(all)
    }

    /// Keeps a trust document, unless another program has followed a later one meanwhile.
    pub fn follow(&mut self, document: &SignedDocument) {
        let version = document.document().version;
        if self.document.as_ref().is_none_or(|held| held.document().version < version) {
            self.document = Some(document.clone());
        }
    }

    /// Returns the highest position of a channel that was accepted.
    pub fn position(&self, product: &str, channel: &Tag) -> Option<&Position> {
        self.positions.get(&place(product, channel))
    }

    /// Keeps the position of an accepted statement, and raises the time floor. Returns false and changes nothing when
    /// another program has accepted a later statement meanwhile, or another one of the same position.
    pub fn accept(&mut self, accepted: &Accepted) -> bool {
        let (statement, position) = (&accepted.statement, accepted.position());
        let place = place(&statement.product, &statement.channel);
        let of = |position: &Position| (position.epoch, position.sequence);
        if self.positions.get(&place).is_some_and(|held| {
            of(held) > of(&position) || (of(held) == of(&position) && held.payload != position.payload)
        }) {
            return false;
        }
        self.positions.insert(place, position);
        self.raise_floor(accepted.floor, accepted.newer);
        true
    }

    /// Raises the time floor for a channel that was accepted before and did not change. Returns false and changes nothing
    /// when another program has accepted another statement meanwhile.
    pub fn accept_again(&mut self, product: &str, channel: &Tag, position: &Position, now: Time) -> bool {
        let is_same = self.position(product, channel) == Some(position);
        if is_same {
            self.raise_floor(now, false);
        }
        is_same
    }

    /// Raises the time floor. Unless `exactly`, a floor that is less than a day behind stays.
    pub fn raise_floor(&mut self, floor: Time, exactly: bool) {
        let step = if exactly { 0 } else { FLOOR_STEP };
        if self.floor.is_none_or(|held| floor > held.plus(step)) {
            self.floor = Some(floor);
        }
    }

    /// Returns the release that was accepted for a channel.
    pub fn release(&self, product: &str, channel: &Tag) -> Option<(Known, Facts)> {
        entry(self.releases.get(&place(product, channel))?)
    }

    /// Returns the release of a version or a digest, whatever reference was used to read it.
    pub fn find(&self, version_or_digest: &str) -> Option<(Known, Facts)> {
        self.releases.values().filter_map(entry).find(|(known, _)| known.is_named(version_or_digest))
    }

    /// Keeps a release that was accepted, for a channel or as the last pinned one.
    pub fn keep(&mut self, channel: Option<(&str, &Tag)>, known: &Known, facts: &Facts) {
        let key = channel.map_or_else(|| PINNED.to_owned(), |(product, channel)| place(product, channel));
        let mut value = serde_json::to_value(known).expect("only text keys");
        value["verified"] = serde_json::to_value(facts).expect("only text keys");
        self.releases.insert(key, value);
    }
}

/// Returns the key of a channel.
fn place(product: &str, channel: &Tag) -> String {
    format!("{product}/{channel}")
}

fn entry(value: &Value) -> Option<(Known, Facts)> {
    Some((Known::deserialize(value).ok()?, Facts::deserialize(value.get("verified")?).ok()?))
}

impl State {
    /// Returns what was accepted under a baked trust document; empty if nothing was.
    ///
    /// # Errors
    /// When the entry is damaged. It is not taken for an empty one, because old statements would then be accepted again.
    pub fn trusted(&self, root: &Digest) -> Result<Trusted, DamagedTrust> {
        match self.others.get(TRUST) {
            None => Ok(Trusted::default()),
            Some(Value::Object(roots)) => {
                let trusted = roots.get(root.as_str()).map(Trusted::parse).transpose();
                Ok(trusted.map_err(DamagedTrust)?.unwrap_or_default())
            }
            Some(_) => Err(DamagedTrust("`trust` is not an object".to_owned())),
        }
    }

    /// Changes what was accepted under a baked trust document, and notes that this appliance verifies releases. Returns
    /// what `change` returns.
    ///
    /// # Errors
    /// When the entry is damaged.
    pub fn change_trusted<T>(
        &mut self,
        root: &Digest,
        change: impl FnOnce(&mut Trusted) -> T,
    ) -> Result<T, DamagedTrust> {
        let mut trusted = self.trusted(root)?;
        let result = change(&mut trusted);
        let roots = self.others.entry(TRUST).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(roots) = roots {
            roots.insert(root.to_string(), trusted.to_value());
        }
        self.others.remove(TURNED_OFF);
        Ok(result)
    }

    /// Reports whether releases were verified before and no operator has turned that off since.
    pub fn requires_trust(&self) -> bool {
        self.others.contains_key(TRUST) && !self.others.contains_key(TURNED_OFF)
    }

    /// Notes that releases are not verified any more. What was accepted is kept, so that nothing older is accepted when
    /// releases are verified again.
    pub fn turn_trust_off(&mut self) {
        if self.requires_trust() {
            self.others.insert(TURNED_OFF.to_owned(), true.into());
        }
    }

    /// Records a decision of an operator, with the time of this machine. The last decision is not recorded again, since a
    /// script may make it at every check.
    pub fn record(&mut self, decision: &OperatorDecision<'_>, now: Time) {
        let mut value = serde_json::to_value(decision).expect("only text keys");
        let decisions = self.others.entry(DECISIONS).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(decisions) = decisions {
            let is_same =
                |last: &Value| ["option", "reason", "release"].iter().all(|key| last.get(key) == value.get(key));
            if decisions.last().is_some_and(is_same) {
                return;
            }
            value["at"] = now.to_string().into();
            decisions.push(value);
            let excess = decisions.len().saturating_sub(KEPT_DECISIONS);
            decisions.drain(..excess);
        }
    }
}

#[cfg(test)]
#[path = "trusted_tests.rs"]
mod tests;

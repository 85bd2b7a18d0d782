//! What was accepted under another baked trust document of the same vendor. A new image of the appliance comes with a
//! later version of the trust document. What the appliance knows goes on to count, if the chain of documents leads from
//! one version to the other.

use serde_json::Value;

use super::trusted::TRUST;
use super::{State, Trusted};
use crate::oci::Digest;
use crate::trust::{SignedDocument, TrustDocument};

/// What was accepted under another baked trust document.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    /// Trust document that was in force; absent in the state of an older program.
    pub document: Option<SignedDocument>,
    trusted: Trusted,
}

impl State {
    /// Returns what was accepted for a product under other baked trust documents than `root`, where it is more than what
    /// was accepted under `root`. Damaged entries are left out.
    pub fn elsewhere(&self, root: &Digest, product: &str, own: &Trusted) -> Vec<Elsewhere> {
        let roots = self.others.get(TRUST).and_then(Value::as_object).into_iter().flatten();
        let others = roots.filter(|(key, _)| *key != root.as_str()).filter_map(|(_, value)| {
            let mut entry = value.as_object()?.clone();
            // Opening a document verifies signatures, and nearly every run of an appliance needs nothing from here.
            let document = entry.remove("document");
            let trusted = Trusted::parse(&Value::Object(entry)).ok()?;
            if !own.lacks(&trusted, product) {
                return None;
            }
            let envelope = document.as_ref().and_then(Value::as_str).or(trusted.baked.as_deref());
            let document = envelope.and_then(|envelope| SignedDocument::open(envelope.as_bytes()).ok());
            let is_other = document.as_ref().is_some_and(|one| one.document().product != product);
            (!is_other).then_some(Elsewhere { document, trusted })
        });
        others.collect()
    }
}

impl Trusted {
    /// Reports whether nothing was accepted yet.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty() && self.releases.is_empty() && self.floor.is_none()
    }

    /// Returns the places of a product at which another entry has a higher position.
    fn lower_than<'a>(&self, other: &'a Self, product: &str) -> Vec<&'a String> {
        let is_higher = |place: &&String| {
            let held = self.positions.get(*place).map(|held| (held.epoch, held.sequence));
            let is_of = place.strip_prefix(product).is_some_and(|rest| rest.starts_with('/'));
            is_of && other.positions.get(*place).map(|one| (one.epoch, one.sequence)) > held
        };
        other.positions.keys().filter(is_higher).collect()
    }

    fn lacks(&self, other: &Self, product: &str) -> bool {
        !self.lower_than(other, product).is_empty() || (self.is_empty() && other.floor.is_some())
    }

    /// Keeps the document that is baked into the appliance.
    pub fn set_baked(&mut self, baked: &SignedDocument) {
        self.baked = Some(String::from_utf8_lossy(baked.envelope()).into_owned());
    }

    /// Reports whether a document is the one that [`Self::set_baked`] kept.
    pub fn is_baked(&self, document: &SignedDocument) -> bool {
        self.baked.as_ref().is_some_and(|baked| baked.as_bytes() == document.envelope())
    }

    /// Takes over what was accepted under another baked document of the chain of `held`: positions that are higher, with
    /// their releases, the later time floor, and the trust document if it is later than `held`.
    pub fn take_over(&mut self, other: &Elsewhere, held: &SignedDocument) {
        let Elsewhere { trusted, document } = other;
        let TrustDocument { product, version, .. } = held.document();
        let is_first = self.is_empty();
        for place in self.lower_than(trusted, product) {
            self.positions.insert(place.clone(), trusted.positions[place].clone());
            if let Some(release) = trusted.releases.get(place) {
                self.releases.insert(place.clone(), release.clone());
            }
        }
        if is_first {
            for (place, release) in trusted.releases.iter().filter(|(place, _)| !place.contains('/')) {
                self.releases.insert(place.clone(), release.clone());
            }
        }
        if let Some(floor) = trusted.floor {
            self.raise_floor(floor, true);
        }
        if let Some(document) = document.as_ref().filter(|document| document.document().version > *version) {
            self.follow(document);
        }
    }
}

#[cfg(test)]
#[path = "taken_over_tests.rs"]
mod tests;

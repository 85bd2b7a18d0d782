//! What was verified of a release, and how long that counts.

use serde::{Deserialize, Serialize};

use crate::oci::Digest;
use crate::trust::{
    Accepted, KeyId, Position, ReadFrom, Role, SignedDocument, Terms, Time, TrustDocument, check_clock, check_current,
    check_issued,
};

/// What was verified of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Version of the trust document by which the release was accepted.
    pub trust_version: u64,
    /// Keys of the channel's role that signed the statement; empty for a version or a digest.
    pub signers: Vec<String>,
    /// Keys that signed the refresh in use; empty without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refreshed_by: Vec<String>,
    /// Keys of the role `release` that signed the release.
    pub release_signers: Vec<String>,
    /// Epoch of the statement; absent for a version or a digest, as are all fields below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Sequence number of the statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Time at which the statement or its refresh was issued, whichever is later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<String>,
    /// Time from which the statement or its refresh does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Digest of the payload of the statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Digest>,
    /// Digest of the payload of the trust document by which the statement was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_document: Option<Digest>,
}

fn texts<'a>(keys: impl IntoIterator<Item = &'a KeyId>) -> Vec<String> {
    keys.into_iter().map(ToString::to_string).collect()
}

impl Facts {
    /// Returns the facts of a release that a channel serves.
    pub fn of_channel(accepted: &Accepted, document: &SignedDocument) -> Self {
        Self {
            trust_version: document.document().version,
            signers: texts(&accepted.signers),
            refreshed_by: texts(&accepted.refreshed_by),
            release_signers: texts(&accepted.release_signers),
            epoch: Some(accepted.statement.epoch),
            sequence: Some(accepted.statement.sequence),
            issued: Some(accepted.issued.to_string()),
            expires: Some(accepted.expires.to_string()),
            statement: Some(accepted.payload.clone()),
            trust_document: Some(document.payload_digest().clone()),
        }
    }

    /// Returns the facts of a release that was asked for by version or digest.
    pub fn of_release<'a>(signers: impl IntoIterator<Item = &'a KeyId>, document: &TrustDocument) -> Self {
        Self {
            trust_version: document.version,
            signers: Vec::new(),
            refreshed_by: Vec::new(),
            release_signers: texts(signers),
            epoch: None,
            sequence: None,
            issued: None,
            expires: None,
            statement: None,
            trust_document: None,
        }
    }

    /// Returns the position of a channel whose manifest is still the one that was accepted, if the manifest is accepted
    /// again without its signatures being read. Returns `None` when anything that the decision depends on is another one
    /// than before: the manifest is then verified as a whole, which gives the reason of a refusal.
    ///
    /// The manifest names its layers by digest, and the trust document is the same, so the signatures, the threshold, the
    /// place, the annotations and the lifetimes are what they were. The position, the clock and all expiries are checked.
    /// `document` is the digest of the payload of the trust document in `terms`.
    pub fn again<'a>(&self, release: &Digest, document: &Digest, terms: &Terms<'a>) -> Option<&'a Position> {
        let role = terms.document.channels.get(terms.channel.as_str())?;
        let highest = terms.highest?;
        let is_highest = (Some(highest.epoch), Some(highest.sequence)) == (self.epoch, self.sequence)
            && highest.payload.is_some()
            && highest.payload == self.statement;
        let is_same = self.trust_document.as_ref() == Some(document) && Some(role.epoch) == self.epoch;
        // Media need no refresh. What was accepted from media without one is not accepted from a registry.
        let is_refreshed = role.refresh.is_none() || !self.refreshed_by.is_empty();
        let (issued, expires): (Time, Time) = (parsed(self.issued.as_ref())?, parsed(self.expires.as_ref())?);
        check_clock(terms.document, terms.floor, terms.now).ok()?;
        check_issued(issued, terms.now).ok()?;
        let is_current = check_current(terms.document, Some(release), terms.now, terms.source) == Ok(false)
            && terms.now < expires
            && !terms.document.withdrawn.contains(release);
        // An acceptance from media may rest on the decision of an operator, so media are always verified.
        let in_registry = terms.source == ReadFrom::Registry;
        (is_highest && is_same && is_refreshed && is_current && in_registry).then_some(highest)
    }

    /// Returns why the release would not be accepted again: time has passed, or keys were removed. Such a release may be
    /// rendered again, but nothing changes to it.
    pub fn stale(
        &self,
        document: &TrustDocument,
        channel: Option<&str>,
        release: &Digest,
        now: Time,
    ) -> Option<String> {
        if document.withdrawn.contains(release) {
            return Some("the trust document has withdrawn the release".to_owned());
        }
        if !document.is_current(now) {
            return Some(format!("trust document version {} expired at {}", document.version, document.expires));
        }
        if let Some(expires) = parsed(self.expires.as_ref()).filter(|expires| now >= *expires) {
            return Some(format!("the statement of the channel expired at {expires}"));
        }
        let count = |keys: &[String], role: &Role| {
            keys.iter().filter(|key| key.parse().is_ok_and(|key| role.keys.contains(&key))).count()
        };
        if count(&self.release_signers, &document.release) == 0 {
            return Some("the trust document no longer has the key that signed the release".to_owned());
        }
        let channel = channel?;
        let Some(role) = document.channels.get(channel) else {
            return Some(format!("the trust document no longer has a role for the channel {channel}"));
        };
        if let Some(epoch) = self.epoch.filter(|epoch| *epoch != role.epoch) {
            return Some(format!(
                "the statement is of epoch {epoch} of the channel, and epoch {} has begun",
                role.epoch
            ));
        }
        let missing = count(&self.signers, &role.role) < role.role.threshold;
        missing.then(|| "the trust document no longer has enough of the keys that signed the statement".to_owned())
    }
}

fn parsed(time: Option<&String>) -> Option<Time> {
    time?.parse().ok()
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;

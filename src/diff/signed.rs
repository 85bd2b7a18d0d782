//! Changes of who signed: a release or a channel that loses its signatures, other keys, another trust document. The keys are
//! those that the signatures name. Whether they verify is for `verify --trust` to say.

use std::collections::BTreeSet;

use super::risk::Risk;
use super::value::Diff;
use crate::trust::{KeyId, SignatureBundle, Statement};

/// What the signatures of a release say about themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatedSignatures {
    /// Whether the release has a signature in either form.
    pub is_signed: bool,
    /// Keys that the bundles of the release name.
    pub keys: BTreeSet<KeyId>,
    /// Name of the channel that the release was reached by.
    pub channel: Option<String>,
    /// Keys that the statements of the channel name.
    pub channel_keys: BTreeSet<KeyId>,
    /// Version of the trust document that the signers of the channel used; absent where the channel is not signed.
    pub trust_version: Option<u64>,
}

impl StatedSignatures {
    /// Adds what a bundle of the release or a layer of the channel manifest states.
    pub fn add(&mut self, bytes: &[u8]) {
        let Ok(bundle) = SignatureBundle::parse(bytes) else { return };
        match Statement::parse(bundle.payload()) {
            Ok(Statement::Artifact(_)) => {
                self.is_signed = true;
                self.keys.extend(bundle.claimed_key());
            }
            Ok(Statement::Channel(statement)) => {
                self.trust_version = self.trust_version.max(Some(statement.trust_version));
                self.channel_keys.extend(bundle.claimed_key());
            }
            _ => {}
        }
    }
}

impl Diff {
    /// Adds the risks of the signatures that differ between the two releases.
    pub fn add_signatures(&mut self, from: &StatedSignatures, to: &StatedSignatures) {
        self.risks.extend(risks(from, to));
        self.sort_risks();
    }
}

fn risks(from: &StatedSignatures, to: &StatedSignatures) -> Vec<Risk> {
    let mut risks = Vec::new();
    if from.is_signed && !to.is_signed {
        let text = "the older release is signed and the newer one is not: appliances that verify releases refuse it";
        risks.push(Risk::danger("unsigned", text.to_owned()));
    }
    let is_signed = |side: &StatedSignatures| side.trust_version.is_some();
    if let (true, Some(channel)) = (is_signed(from) && !is_signed(to), &to.channel) {
        let channel = super::name(channel);
        let text = format!("the channel {channel} is not signed: appliances that verify channels do not follow it");
        risks.push(Risk::danger("unsigned", text));
    }
    for (what, from, to) in [("release", &from.keys, &to.keys), ("channel", &from.channel_keys, &to.channel_keys)] {
        if !from.is_empty() && !to.is_empty() && from != to {
            let text = format!("other keys signed the {what}: {} in place of {}", short(to), short(from));
            risks.push(Risk::warning("signers", text));
        }
    }
    if let (Some(before), Some(after)) = (from.trust_version, to.trust_version)
        && before != after
    {
        let text =
            format!("the channel was signed under trust document version {after}, and before under version {before}");
        risks.push(Risk::warning("trust-version", text));
    }
    risks
}

fn short(keys: &BTreeSet<KeyId>) -> String {
    keys.iter().map(|key| super::name(&key.short())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::Level;

    fn key(digit: char) -> KeyId {
        digit.to_string().repeat(64).parse().unwrap()
    }

    fn signed(release: char, channel: char, trust_version: u64) -> StatedSignatures {
        StatedSignatures {
            is_signed: true,
            keys: [key(release)].into(),
            channel: Some("stable".to_owned()),
            channel_keys: [key(channel)].into(),
            trust_version: Some(trust_version),
        }
    }

    fn found(from: &StatedSignatures, to: &StatedSignatures) -> Vec<(Level, &'static str)> {
        risks(from, to).into_iter().map(|risk| (risk.level, risk.kind)).collect()
    }

    #[test]
    fn lost_signatures_are_a_danger_and_other_keys_a_warning() {
        let before = signed('a', 'b', 1);
        assert_eq!(found(&before, &before), []);
        let unsigned = StatedSignatures { channel: Some("stable".to_owned()), ..StatedSignatures::default() };
        assert_eq!(found(&before, &unsigned), [(Level::Danger, "unsigned"), (Level::Danger, "unsigned")]);
        assert_eq!(found(&unsigned, &before), []);
        // A version has no channel, and no statement of one.
        let version =
            StatedSignatures { channel: None, channel_keys: BTreeSet::new(), trust_version: None, ..before.clone() };
        assert_eq!(found(&before, &version), []);
        assert_eq!(found(&before, &signed('c', 'b', 1)), [(Level::Warning, "signers")]);
        let all = [(Level::Warning, "signers"), (Level::Warning, "signers"), (Level::Warning, "trust-version")];
        assert_eq!(found(&before, &signed('c', 'd', 2)), all);
        let text = &risks(&before, &signed('c', 'b', 1))[0].text;
        assert_eq!(text, "other keys signed the release: `cccccccccccc` in place of `aaaaaaaaaaaa`");
    }
}

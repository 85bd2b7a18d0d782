//! Decides which image the control plane runs after boot. Customers log in to the control plane. Whatever the registry
//! answers, only an image that the channel deliberately names may replace the running image.

/// The answer of the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel<'a> {
    /// A verified release that is not older than the last one. The image is absent when the release names none.
    Answered(Option<&'a str>),
    /// No trustworthy answer: the channel is unreachable, invalid or replayed.
    Failed,
}

/// Everything that the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// Answer of the channel.
    pub channel: Channel<'a>,
    /// Images that are present on this machine.
    pub present: &'a [String],
    /// Image that runs now; absent on the first boot.
    pub running: Option<&'a str>,
    /// Image that was installed with the machine.
    pub baseline: Option<&'a str>,
    /// Control-plane image of the last release that was followed.
    pub known: Option<&'a str>,
}

/// The decision, by its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// Run the channel's image, and pull it if the machine does not have it. If the pull fails, the running image
    /// stays.
    Channel(&'a str),
    /// Run the image of the last release that was followed, which the machine has.
    Known(&'a str),
    /// Keep the running image.
    Hold,
    /// Nothing runs: start the image that was installed with the machine.
    Baseline(&'a str),
    /// Nothing runs, and no image is known.
    Nothing,
}

impl<'a> Decision<'a> {
    /// Returns the image to change to, or `None` to keep the running image.
    pub fn image(self) -> Option<&'a str> {
        match self {
            Self::Channel(image) | Self::Known(image) | Self::Baseline(image) => Some(image),
            Self::Hold | Self::Nothing => None,
        }
    }
}

/// Makes the decision. The function is pure and uses neither clock nor network.
pub fn decide<'a>(situation: &Situation<'a>) -> Decision<'a> {
    if let Channel::Answered(Some(image)) = situation.channel {
        return Decision::Channel(image);
    }
    let is_baseline = |image| situation.baseline.is_some_and(|baseline| same(image, baseline));
    if situation.running.is_some_and(|running| !is_baseline(running)) {
        return Decision::Hold;
    }
    let here = |image: &&str| situation.present.iter().any(|present| same(present, image));
    // A channel that answered without an image has withdrawn its last image.
    let known = situation.known.filter(|_| situation.channel == Channel::Failed);
    if let Some(known) = known.filter(here).filter(|known| !is_baseline(known)) {
        return Decision::Known(known);
    }
    match (situation.running, situation.baseline) {
        (Some(_), _) => Decision::Hold,
        (None, Some(baseline)) => Decision::Baseline(baseline),
        (None, None) => Decision::Nothing,
    }
}

/// Reports whether two references name one image. If both have a digest, only the digests are compared.
fn same(a: &str, b: &str) -> bool {
    let digest = |image: &'_ str| image.split_once('@').map(|(_, digest)| digest.to_owned());
    match (digest(a), digest(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "r.io/control@sha256:11";
    const OLD: &str = "r.io/control@sha256:22";
    const BAKED: &str = "localhost/control:baked";

    /// Checks every combination of channel, running, baseline, known and present images against the rules.
    #[test]
    fn every_combination_follows_the_rules_of_the_contract() {
        let images = [None, Some(NEW), Some(OLD), Some(BAKED)];
        let channels =
            [Channel::Failed, Channel::Answered(None), Channel::Answered(Some(NEW)), Channel::Answered(Some(BAKED))];
        let all = [NEW, OLD, BAKED];
        let mut combinations = 0;
        for (channel, running) in channels.into_iter().flat_map(|c| images.map(|running| (c, running))) {
            for (baseline, known) in
                [None, Some(BAKED), Some(OLD)].into_iter().flat_map(|b| images.map(|known| (b, known)))
            {
                for mask in 0..8 {
                    let present: Vec<String> = all
                        .iter()
                        .enumerate()
                        .filter(|(at, _)| mask & (1 << at) != 0)
                        .map(|(_, i)| (*i).to_owned())
                        .collect();
                    let situation = Situation { channel, present: &present, running, baseline, known };
                    check(&situation, decide(&situation));
                    combinations += 1;
                }
            }
        }
        assert_eq!(combinations, 4 * 4 * 3 * 4 * 8);
    }

    /// Checks the rules of the contract, one after the other.
    fn check(situation: &Situation<'_>, decision: Decision<'_>) {
        let Situation { channel, present, running, baseline, known } = *situation;
        let runs_baseline = running.is_some() && running == baseline;
        let at_hand = known.filter(|known| {
            channel == Channel::Failed && Some(*known) != baseline && present.iter().any(|image| image == known)
        });
        let expected = match (channel, running) {
            (Channel::Answered(Some(image)), _) => Decision::Channel(image),
            (_, Some(_)) if !runs_baseline => Decision::Hold,
            _ if at_hand.is_some() => Decision::Known(at_hand.unwrap()),
            (_, Some(_)) => Decision::Hold,
            (_, None) => baseline.map_or(Decision::Nothing, Decision::Baseline),
        };
        assert_eq!(decision, expected, "{situation:?}");
        // No failure replaces the running image with the one that was installed with the machine.
        let backwards = running.is_some() && decision.image() == baseline && baseline.is_some();
        assert!(!backwards || matches!(channel, Channel::Answered(Some(_))), "{situation:?}");
    }

    #[test]
    fn two_references_with_the_same_digest_name_one_image() {
        assert!(same("r.io/a:1@sha256:11", "mirror.io/a@sha256:11"));
        assert!(!same("r.io/a:1@sha256:11", "r.io/a:1"));
        let running = "mirror.io/control:1@sha256:22";
        let situation = Situation {
            channel: Channel::Failed,
            present: &[NEW.to_owned()],
            running: Some(running),
            baseline: Some(OLD),
            known: Some(NEW),
        };
        assert_eq!(decide(&situation), Decision::Known(NEW));
    }
}

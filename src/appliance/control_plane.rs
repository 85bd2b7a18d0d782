//! Which image the control plane runs after boot. It is what customers log in to: whatever the registry does, what runs now is
//! never replaced by something that the channel did not deliberately name.

/// What the channel said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel<'a> {
    /// A verified release, no older than the last one, with this image; none when it names none.
    Answered(Option<&'a str>),
    /// Nothing that can be trusted: unreachable, broken, replayed.
    Failed,
}

/// All that the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What the channel said.
    pub channel: Channel<'a>,
    /// Images on this machine.
    pub present: &'a [String],
    /// What runs now; nothing on the first boot.
    pub running: Option<&'a str>,
    /// The image that came with the machine.
    pub baseline: Option<&'a str>,
    /// The image of the last release that was followed.
    pub known: Option<&'a str>,
}

/// What to do, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// The channel's image, to be pulled where it is not on the machine; when that fails, what runs now stays.
    Channel(&'a str),
    /// The image of the last release that was followed: it is on the machine, and nothing better runs.
    Known(&'a str),
    /// What runs now stays.
    Hold,
    /// Nothing runs: what came with the machine.
    Baseline(&'a str),
    /// Nothing runs and there is nothing to run.
    Nothing,
}

impl<'a> Decision<'a> {
    /// The image to change to; nothing when all stays.
    pub fn image(self) -> Option<&'a str> {
        match self {
            Self::Channel(image) | Self::Known(image) | Self::Baseline(image) => Some(image),
            Self::Hold | Self::Nothing => None,
        }
    }
}

/// Decides. Pure: no clock, no network.
pub fn decide<'a>(situation: &Situation<'a>) -> Decision<'a> {
    if let Channel::Answered(Some(image)) = situation.channel {
        return Decision::Channel(image);
    }
    let is_baseline = |image| situation.baseline.is_some_and(|baseline| same(image, baseline));
    if situation.running.is_some_and(|running| !is_baseline(running)) {
        return Decision::Hold;
    }
    let here = |image: &&str| situation.present.iter().any(|present| same(present, image));
    // A channel that answered without an image has taken the last one back.
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

/// Do two references name one image? By their digests, where both have one.
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

    /// Every combination of channel, running, baseline, known and what is on the machine, beside what must hold for it.
    #[test]
    fn every_combination_keeps_its_promise() {
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

    /// The rules of the contract, each by itself.
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
        // Whatever fails, what runs is never exchanged for what came with the machine.
        let backwards = running.is_some() && decision.image() == baseline && baseline.is_some();
        assert!(!backwards || matches!(channel, Channel::Answered(Some(_))), "{situation:?}");
    }

    #[test]
    fn one_image_under_two_names_is_one_image() {
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

//! `alga-resolve control-plane`: prints one image reference or nothing, and always succeeds.

use alga_release::appliance::{Channel, Decision, Situation, decide};
use serde_json::Value;

use super::args::{Args, ControlPlaneFlags};
use super::ask::{Answer, Place};
use super::{Failure, print, report, say, usage};

pub fn run(args: &Args, flags: &ControlPlaneFlags) -> Result<(), Failure> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    let (running, baseline) = (given(&flags.running), given(&flags.baseline));
    for image in running.iter().chain(&baseline).chain(&flags.present) {
        if !image.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(usage(format!("invalid image reference `{image}`: expected printable ASCII characters")));
        }
    }
    // If the place is invalid, the decision still falls back to the running image or the baseline.
    let place = match Place::open(args) {
        Ok(place) => Some(place),
        Err(failure) => {
            say("error", &failure.message);
            None
        }
    };
    let answer = place.as_ref().filter(|_| !args.modes.offline).and_then(|place| match kept(place, args) {
        Ok(answer) if !answer.from_state => Some(answer),
        Ok(_) => None,
        Err(failure) => {
            say("warning", &failure.message);
            None
        }
    });
    let known = place.as_ref().and_then(known_image);
    let image = answer.as_ref();
    let image = image.map(|answer| answer.resolved.release.control_plane_image(&answer.described.config));
    let situation = Situation {
        channel: image.as_ref().map_or(Channel::Failed, |image| Channel::Answered(image.as_deref())),
        present: &flags.present,
        running: running.as_deref(),
        baseline: baseline.as_deref(),
        known: known.as_deref(),
    };
    let decision = decide(&situation);
    say("note", reason(decision, &situation));
    if let Some(answer) = &answer {
        report::notes(answer, true);
    }
    let trust = answer.as_ref().and_then(|answer| report::json(answer, true));
    print_decision(args, decision, reason(decision, &situation), trust)?;
    if let (Some(place), Some(answer)) = (&place, &answer) {
        place.follow(answer);
    }
    Ok(())
}

/// Asks for a release. A verified one is in the state before its image is printed.
fn kept(place: &Place, args: &Args) -> Result<Answer, Failure> {
    let answer = place.ask(args)?;
    place.keep(&answer)?;
    Ok(answer)
}

/// Returns the image of the last release that was followed, if this appliance may still use it.
fn known_image(place: &Place) -> Option<String> {
    let release = place.known()?.release()?;
    place.check_names(&release).ok()?;
    release.control_plane_image(&place.described(&release).ok()?.config)
}

fn reason(decision: Decision<'_>, situation: &Situation<'_>) -> &'static str {
    match (decision, situation.channel) {
        (Decision::Channel(_), _) => "the image of the channel",
        (Decision::Known(_), _) => "the channel did not answer: the image of the last release that was followed",
        (Decision::Hold, Channel::Failed) => "the channel did not answer: the running image stays",
        (Decision::Hold, Channel::Answered(_)) => "the release names no control-plane image: the running image stays",
        (Decision::Baseline(_), _) => "nothing runs: the image that was installed with the machine",
        (Decision::Nothing, _) => "nothing runs, and no image is known",
    }
}

fn print_decision(args: &Args, decision: Decision<'_>, reason: &str, trust: Option<Value>) -> Result<(), Failure> {
    if args.text == Some(false) {
        let mut json = serde_json::json!({ "image": decision.image(), "reason": reason });
        if let Some(trust) = trust {
            json["trust"] = trust;
        }
        return print(format!("{json}\n").as_bytes());
    }
    decision.image().map_or(Ok(()), |image| print(format!("{image}\n").as_bytes()))
}

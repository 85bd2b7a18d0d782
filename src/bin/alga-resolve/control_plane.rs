//! `alga-resolve control-plane`: one reference or nothing, and always success.

use alga_release::appliance::{Channel, Decision, Situation, decide};

use super::args::{Args, ControlPlaneFlags};
use super::ask::Place;
use super::{Failure, print, say, usage};

pub fn run(args: &Args, flags: &ControlPlaneFlags) -> Result<(), Failure> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    let (running, baseline) = (given(&flags.running), given(&flags.baseline));
    for image in running.iter().chain(&baseline).chain(&flags.present) {
        if !image.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(usage(format!("`{image}` is no reference of an image")));
        }
    }
    // Even what cannot be asked for leaves something to run.
    let place = match Place::open(args) {
        Ok(place) => Some(place),
        Err(failure) => {
            say("error", &failure.message);
            None
        }
    };
    let answer = place.as_ref().filter(|_| !args.modes.offline).and_then(|place| match place.ask(args) {
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
    report(args, decision, reason(decision, &situation))?;
    if let (Some(place), Some(answer)) = (&place, &answer) {
        place.follow(answer);
    }
    Ok(())
}

/// The image of the last release that was followed, when it is one that this appliance still may use.
fn known_image(place: &Place) -> Option<String> {
    let release = place.known()?.release()?;
    place.check_names(&release).ok()?;
    release.control_plane_image(&place.described(&release).ok()?.config)
}

fn reason(decision: Decision<'_>, situation: &Situation<'_>) -> &'static str {
    match (decision, situation.channel) {
        (Decision::Channel(_), _) => "the image of the channel",
        (Decision::Known(_), _) => "the image of the last release that was followed: the channel did not answer",
        (Decision::Hold, Channel::Failed) => "the channel did not answer: what runs stays",
        (Decision::Hold, Channel::Answered(_)) => "the release names no control plane: what runs stays",
        (Decision::Baseline(_), _) => "nothing runs: the image that came with the machine",
        (Decision::Nothing, _) => "nothing runs, and there is no image to run",
    }
}

fn report(args: &Args, decision: Decision<'_>, reason: &str) -> Result<(), Failure> {
    if args.text == Some(false) {
        let json = serde_json::json!({ "image": decision.image(), "reason": reason });
        return print(format!("{json}\n").as_bytes());
    }
    decision.image().map_or(Ok(()), |image| print(format!("{image}\n").as_bytes()))
}

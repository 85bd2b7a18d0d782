//! A channel moves to a release that is published already: forward by a promotion, to where it is told by a roll-back. Pure.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::observe::ChannelState;
use super::publish::{Action, Plan, Refusal, forward};
use crate::oci::{Content, Digest, InvalidReference, Repository, Tag};
use crate::release::{self, InvalidRelease, MoveKind};
use crate::verify::Check;

/// Version of the report's JSON, `docs/schemas/move.json`.
const SCHEMA: &str = "alga.release.move/v1";

/// The release that a channel shall serve.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// Its digest.
    pub release: Digest,
    /// Its version.
    pub version: &'a str,
    /// Its JSON, as it is served where it comes from.
    pub json: &'a [u8],
    /// When it came to the channel that it is promoted from, RFC 3339.
    pub moved: Option<&'a str>,
    /// What was looked at.
    pub checks: &'a [Check],
}

/// The channel that shall move.
#[derive(Clone, Debug)]
pub struct Current<'a> {
    /// Where releases and channels lie.
    pub repository: &'a Repository,
    /// Its name.
    pub channel: &'a Tag,
    /// What it serves; nothing when it serves nothing yet.
    pub serves: Option<ChannelState>,
    /// The highest sequence that is known of it.
    pub sequence: u64,
}

/// What a move must not break.
#[derive(Clone, Debug)]
pub struct MoveRules {
    /// Promotions go forward; a roll-back goes anywhere.
    pub kind: MoveKind,
    /// May it go to a version that has no order with the one that is served?
    pub allow_unordered: bool,
    /// How long it must have been in the channel that it comes from, and what time it is now.
    pub min_age: Option<(SignedDuration, Timestamp)>,
    /// The only plan that may be carried out.
    pub if_plan: Option<Digest>,
    /// The manifest that the channel must have; `Some(None)` for none yet.
    pub if_current: Option<Option<Digest>>,
}

/// A move that a rule forbids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoveRefusal {
    /// Back, or sideways.
    #[error(transparent)]
    Order(#[from] Refusal),
    /// Not all of it is there, or as it should be.
    #[error("the release {version} is not complete: {} of {checked} checks failed", failed.len())]
    Incomplete {
        /// Of the release.
        version: String,
        /// What was wrong: `KIND NAME REFERENCE: REASON`.
        failed: Vec<String>,
        /// How many checks there were.
        checked: usize,
    },
    /// It came to its channel only now.
    #[error("{version} has been in its channel since {moved} only: want {min_age:#} at least")]
    TooYoung {
        /// Of the release.
        version: String,
        /// Since when.
        moved: String,
        /// How long it must be there.
        min_age: SignedDuration,
    },
    /// Nobody knows how long it is there.
    #[error("nobody recorded since when {0} is in a channel: its age is not known")]
    NoAge(String),
    /// Another plan was approved.
    #[error("the plan is {found}, not {expected}: something changed since it was approved")]
    OtherPlan {
        /// The one that was approved.
        expected: Digest,
        /// The one that it would be now.
        found: Digest,
    },
    /// The channel moved meanwhile.
    #[error("the manifest of channel {channel} is {found}, not {expected}: the channel moved since that was looked at")]
    OtherCurrent {
        /// The channel.
        channel: Tag,
        /// What it should have been.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Its JSON is none.
    #[error("the release cannot be served: {0}")]
    Invalid(String),
}

impl From<InvalidRelease> for MoveRefusal {
    fn from(cause: InvalidRelease) -> Self {
        Self::Invalid(cause.to_string())
    }
}

impl From<InvalidReference> for MoveRefusal {
    fn from(cause: InvalidReference) -> Self {
        Self::Invalid(cause.to_string())
    }
}

/// Plans the move of a channel, with the JSON that it shall serve; an empty plan when it serves that release already.
///
/// # Errors
/// When one of the rules forbids it.
pub fn promote(
    current: &Current<'_>,
    candidate: &Candidate<'_>,
    rules: &MoveRules,
) -> Result<(Plan, Content), MoveRefusal> {
    let Current { repository, channel, serves, sequence } = current;
    let serves = serves.as_ref();
    let json = Content::new(release::CONFIG_MEDIA_TYPE, release::with_channel(candidate.json, channel)?);
    if serves.is_some_and(|serves| serves.serves(&candidate.release, candidate.json)) {
        return Ok((Plan::default(), json));
    }
    untouched(channel, serves, rules)?;
    complete(candidate)?;
    if let (Some(serves), MoveKind::Publish | MoveKind::Promote | MoveKind::Copy) = (serves, rules.kind) {
        forward(channel, serves, candidate.version, rules.allow_unordered)?;
    }
    old_enough(candidate, rules)?;
    let action = Action::Move {
        repository: (*repository).clone(),
        channel: (*channel).clone(),
        release: candidate.release.clone(),
        config: json.descriptor().clone(),
        from: serves.map(|serves| serves.manifest.clone()),
        sequence: sequence.saturating_add(1),
        kind: rules.kind,
    };
    let plan = Plan { actions: vec![action] };
    approved(&plan, rules.if_plan.as_ref())?;
    Ok((plan, json))
}

/// Is it the plan that was approved?
///
/// # Errors
/// When another one was.
pub fn approved(plan: &Plan, expected: Option<&Digest>) -> Result<(), MoveRefusal> {
    match expected {
        Some(expected) if *expected != plan.digest() => {
            Err(MoveRefusal::OtherPlan { expected: expected.clone(), found: plan.digest() })
        }
        _ => Ok(()),
    }
}

fn untouched(channel: &Tag, serves: Option<&ChannelState>, rules: &MoveRules) -> Result<(), MoveRefusal> {
    let found = serves.map(|serves| &serves.manifest);
    match &rules.if_current {
        Some(expected) if expected.as_ref() != found => {
            let text = |digest: Option<&Digest>| digest.map_or_else(|| "none".to_owned(), ToString::to_string);
            let (expected, found) = (text(expected.as_ref()), text(found));
            Err(MoveRefusal::OtherCurrent { channel: channel.clone(), expected, found })
        }
        _ => Ok(()),
    }
}

fn complete(candidate: &Candidate<'_>) -> Result<(), MoveRefusal> {
    let line = |check: &Check| {
        let reason = check.reason.as_deref().unwrap_or("it is not as it should be");
        format!("{} {} {}: {reason}", check.kind.as_str(), check.name, check.reference)
    };
    let failed: Vec<String> = candidate.checks.iter().filter(|check| check.failed()).map(line).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let (version, checked) = (candidate.version.to_owned(), candidate.checks.len());
    Err(MoveRefusal::Incomplete { version, failed, checked })
}

fn old_enough(candidate: &Candidate<'_>, rules: &MoveRules) -> Result<(), MoveRefusal> {
    let Some((min_age, now)) = rules.min_age else { return Ok(()) };
    let version = candidate.version.to_owned();
    let Some((text, moved)) = candidate.moved.and_then(|text| Some((text, text.parse::<Timestamp>().ok()?))) else {
        return Err(MoveRefusal::NoAge(version));
    };
    if now.duration_since(moved) >= min_age {
        return Ok(());
    }
    Err(MoveRefusal::TooYoung { version, moved: text.to_owned(), min_age })
}

/// A move, for people and programs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MoveReport {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Was nothing written by intent?
    pub dry_run: bool,
    /// Is there, or was there, anything to write?
    pub has_changes: bool,
    /// Where.
    pub store: String,
    /// Promotion or roll-back.
    pub kind: MoveKind,
    /// Which channel.
    pub channel: Tag,
    /// From which channel, version or digest, as it was asked for.
    pub from: String,
    /// Version of the release that it shall serve.
    pub version: String,
    /// Digest of that release.
    pub digest: Digest,
    /// Digest of the plan.
    pub plan_digest: Digest,
    /// The writes.
    pub plan: Plan,
    /// What the channel served before.
    pub before: Option<Before>,
    /// Digest of the channel's manifest after the move; absent in a dry run.
    pub manifest: Option<Digest>,
    /// Sequence of the channel's last move, this one counted.
    pub sequence: u64,
    /// What was looked at; nothing when there was nothing to do.
    pub checks: Vec<Check>,
    /// What people should know.
    pub warnings: Vec<String>,
}

/// What a channel served before a move.
#[derive(Clone, Debug, Serialize)]
pub struct Before {
    /// Version of the release.
    pub version: String,
    /// Its digest.
    pub digest: Digest,
    /// Digest of the channel's manifest: what `--if-current` takes.
    pub manifest: Digest,
}

impl MoveReport {
    /// The report of `plan`, before it is carried out.
    pub fn new(plan: &Plan, current: &Current<'_>, candidate: &Candidate<'_>) -> Self {
        let serves = current.serves.as_ref();
        let planned = plan.actions.iter().find_map(|action| match action {
            Action::Move { sequence, kind, .. } => Some((*sequence, *kind)),
            _ => None,
        });
        let before = serves.map(|serves| Before {
            version: serves.version.clone(),
            digest: serves.release.clone(),
            manifest: serves.manifest.clone(),
        });
        Self {
            schema: SCHEMA,
            dry_run: false,
            has_changes: !plan.is_empty(),
            store: String::new(),
            kind: planned.map_or(MoveKind::Promote, |(_, kind)| kind),
            channel: current.channel.clone(),
            from: String::new(),
            version: candidate.version.to_owned(),
            digest: candidate.release.clone(),
            plan_digest: plan.digest(),
            plan: plan.clone(),
            manifest: serves.filter(|_| plan.is_empty()).map(|serves| serves.manifest.clone()),
            before,
            sequence: planned.map_or(current.sequence, |(sequence, _)| sequence),
            checks: candidate.checks.to_vec(),
            warnings: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::NamedKind;
    use crate::verify::{Aspect, Outcome};

    fn json(version: &str) -> Vec<u8> {
        let digest = Digest::of(b"bundle");
        format!(
            r#"{{"schema":"{}","version":"{version}","channel":"nightly","valuesProfile":"p","images":{{}},
            "config":{{"repository":"r.io/x","version":"1","digest":"{digest}"}},"charts":{{}},"later":[1]}}"#,
            release::SCHEMA
        )
        .into_bytes()
    }

    fn state(version: &str) -> ChannelState {
        let json = json(version);
        let (manifest, release) = (Digest::of(b"manifest"), Digest::of(&json));
        ChannelState { manifest, release, version: version.to_owned(), json, record: None }
    }

    fn rules() -> MoveRules {
        MoveRules { kind: MoveKind::Promote, allow_unordered: false, min_age: None, if_plan: None, if_current: None }
    }

    fn plan(version: &str, serves: Option<&str>, rules: &MoveRules) -> Result<Plan, MoveRefusal> {
        let json = json(version);
        let release = Digest::of(&json);
        let moved = Some("2026-11-23T12:00:00Z");
        let candidate = Candidate { release, version, json: &json, moved, checks: &[] };
        let (repository, channel) = ("releases".parse().expect("a name"), "stable".parse().expect("a tag"));
        let sequence = if serves.is_some() { 4 } else { 0 };
        let current = Current { repository: &repository, channel: &channel, serves: serves.map(state), sequence };
        promote(&current, &candidate, rules).map(|(plan, _)| plan)
    }

    #[test]
    fn a_promotion_goes_forward_and_a_roll_back_anywhere() {
        assert!(matches!(plan("1.0.2", Some("1.0.3"), &rules()), Err(MoveRefusal::Order(Refusal::Downgrade { .. }))));
        assert!(matches!(plan("x", Some("1.0.3"), &rules()), Err(MoveRefusal::Order(Refusal::Unordered { .. }))));
        assert!(plan("x", Some("1.0.3"), &MoveRules { allow_unordered: true, ..rules() }).is_ok());
        let back = plan("1.0.2", Some("1.0.3"), &MoveRules { kind: MoveKind::Rollback, ..rules() }).expect("a plan");
        let Action::Move { sequence: 5, kind: MoveKind::Rollback, from: Some(from), .. } = &back.actions[0] else {
            panic!("{back:?}")
        };
        assert_eq!(*from, Digest::of(b"manifest"));
        assert!(plan("1.0.3", Some("1.0.3"), &rules()).expect("a plan").is_empty());
        let first = plan("1.0.3", None, &rules()).expect("a plan");
        assert!(matches!(&first.actions[..], [Action::Move { sequence: 1, from: None, .. }]));
    }

    #[test]
    fn the_plan_and_the_channel_are_those_that_were_approved() {
        let approved = plan("1.0.4", Some("1.0.3"), &rules()).expect("a plan").digest();
        assert!(plan("1.0.4", Some("1.0.3"), &MoveRules { if_plan: Some(approved.clone()), ..rules() }).is_ok());
        let refused = plan("1.0.5", Some("1.0.3"), &MoveRules { if_plan: Some(approved.clone()), ..rules() });
        let Err(MoveRefusal::OtherPlan { expected, found }) = refused else { panic!("{refused:?}") };
        assert!(expected == approved && found != approved);
        let other = MoveRules { if_current: Some(Some(Digest::of(b"other"))), ..rules() };
        assert!(matches!(plan("1.0.4", Some("1.0.3"), &other), Err(MoveRefusal::OtherCurrent { .. })));
        let none = MoveRules { if_current: Some(None), ..rules() };
        assert!(plan("1.0.4", None, &none).is_ok());
        assert!(matches!(plan("1.0.4", Some("1.0.3"), &none), Err(MoveRefusal::OtherCurrent { .. })));
    }

    #[test]
    fn a_release_must_be_as_old_as_is_asked_for() {
        let at = |now: &str| {
            let now: Timestamp = now.parse().expect("a time");
            plan("1.0.4", None, &MoveRules { min_age: Some((SignedDuration::from_hours(24), now)), ..rules() })
        };
        assert!(matches!(at("2026-11-24T11:59:59Z"), Err(MoveRefusal::TooYoung { .. })));
        assert!(at("2026-11-24T12:00:00Z").is_ok());
    }

    #[test]
    fn one_failed_check_stops_the_move_and_what_was_not_checked_does_not() {
        let json = json("1.0.4");
        let check = |outcome| Check {
            kind: NamedKind::Chart,
            name: "web".to_owned(),
            aspect: Aspect::Manifest,
            reference: "r.io/charts/web@sha256:0".to_owned(),
            outcome,
            reason: Some("gone".to_owned()),
        };
        let (repository, channel) = ("releases".parse().expect("a name"), "stable".parse().expect("a tag"));
        let with = |outcome| {
            let checks = [check(outcome)];
            let candidate =
                Candidate { release: Digest::of(&json), version: "1.0.4", json: &json, moved: None, checks: &checks };
            let current = Current { repository: &repository, channel: &channel, serves: None, sequence: 0 };
            promote(&current, &candidate, &rules()).map(drop)
        };
        let failed = vec!["chart web r.io/charts/web@sha256:0: gone".to_owned()];
        let version = "1.0.4".to_owned();
        assert_eq!(with(Outcome::Failed), Err(MoveRefusal::Incomplete { version, failed, checked: 1 }));
        assert_eq!(with(Outcome::NotChecked), Ok(()));
    }
}

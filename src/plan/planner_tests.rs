use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::oci::{Pinned, Prefix};
use crate::plan::{Announced, ArtifactKind, ChannelState, DesiredRelease, ObservedChannel, OtherPlan, SignedChannel};
use crate::release::{Record, Release};

fn json(version: &str) -> Vec<u8> {
    let digest = Digest::of(b"bundle");
    format!(
        r#"{{"schema":"{}","version":"{version}","channel":"nightly","valuesProfile":"p","images":{{}},
        "config":{{"repository":"r.io/x","version":"1","digest":"{digest}"}},"charts":{{}},"later":[1]}}"#,
        release::SCHEMA
    )
    .into_bytes()
}

fn channel() -> Tag {
    "stable".parse().expect("a tag")
}

fn record(version: &str, kind: MoveKind, sequence: u64, previous: Option<Digest>) -> Record {
    Record {
        name: "stable".to_owned(),
        release: Digest::of(&json(version)),
        sequence,
        previous,
        kind,
        moved: "2026-11-23T12:00:00Z".to_owned(),
        by: None,
        from: None,
        reason: None,
    }
}

/// A channel that serves `version` since its move number 4. For `None`, a channel without a move.
fn observed(version: Option<&str>) -> Observed {
    let serves = version.map(|version| ChannelState {
        manifest: Digest::of(b"manifest"),
        release: Digest::of(&json(version)),
        version: version.to_owned(),
        json: json(version),
        record: Some(record(version, MoveKind::Promote, 4, Some(Digest::of(b"earlier")))),
        signatures: Vec::new(),
    });
    let sequence = if serves.is_some() { 4 } else { 0 };
    Observed {
        artifacts: Vec::new(),
        release: None,
        attachments: Vec::new(),
        damaged: Vec::new(),
        channel: ObservedChannel {
            newest: serves.as_ref().map(|one| one.manifest.clone()),
            serves,
            sequence,
            ..ObservedChannel::default()
        },
    }
}

/// A release that the store already holds.
fn desired(version: &str) -> Desired {
    let (repository, json) = ("releases".parse().expect("a name"), json(version));
    let digest = Digest::of(&json);
    let release = DesiredRelease { repository, version: version.to_owned(), digest, json, written: None };
    let named = vec![Pinned { repository: "r.io/x/charts/web".to_owned(), digest: Digest::of(version.as_bytes()) }];
    let prefix = Prefix::parse("r.io/x", false).expect("a prefix");
    Desired { prefix, artifacts: Vec::new(), release, attached: Vec::new(), named, unread: Vec::new(), platform: None }
}

fn moving(channel: &Tag, kind: MoveKind) -> Moving<'_> {
    Moving { channel, kind, allow_unordered: false, if_current: None, min_age: None, renewal: None, copied: None }
}

fn planned(version: &str, observed: &Observed, change: impl FnOnce(&mut Moving<'_>)) -> Result<Plan, Refusal> {
    let channel = channel();
    let mut moving = moving(&channel, MoveKind::Promote);
    change(&mut moving);
    plan(&desired(version), observed, Some(&moving))
}

#[test]
fn a_promotion_goes_forward_and_a_rollback_anywhere() {
    let serves = observed(Some("1.0.3"));
    assert!(matches!(planned("1.0.2", &serves, |_| {}), Err(Refusal::Downgrade { .. })));
    assert!(matches!(planned("x", &serves, |_| {}), Err(Refusal::Unordered { .. })));
    assert!(planned("x", &serves, |moving| moving.allow_unordered = true).is_ok());
    let back = planned("1.0.2", &serves, |moving| moving.kind = MoveKind::Rollback).expect("a plan");
    let Some(Move { sequence: 5, kind: MoveKind::Rollback, from: Some(from), adopts: None, .. }) = &back.moves else {
        panic!("{back:?}")
    };
    assert_eq!(*from, Digest::of(b"manifest"));
    assert!(planned("1.0.3", &serves, |_| {}).expect("a plan").is_empty());
    let first = planned("1.0.3", &observed(None), |_| {}).expect("a plan").moves.expect("a move");
    assert_eq!((first.sequence, first.from), (1, None));
}

#[test]
fn a_rollback_to_what_a_channel_serves_behind_recorded_moves_is_a_move_of_its_own() {
    let mut behind = observed(Some("1.0.3"));
    behind.channel.announced = vec![announced("1.0.4", MoveKind::Publish, b"manifest")];
    behind.channel.sequence = 5;
    assert!(planned("1.0.3", &behind, |_| {}).expect("a plan").is_empty(), "a promotion goes nowhere");
    let back = planned("1.0.3", &behind, |moving| moving.kind = MoveKind::Rollback).expect("a plan");
    assert_eq!(back.moves.map(|moves| moves.sequence), Some(6));
    behind.channel.announced.clear();
    assert!(planned("1.0.3", &behind, |moving| moving.kind = MoveKind::Rollback).expect("a plan").is_empty());
}

#[test]
fn a_move_with_if_current_needs_that_channel_manifest() {
    let of = |current| planned("1.0.4", &observed(Some("1.0.3")), |moving| moving.if_current = Some(current));
    assert!(of(Some(Digest::of(b"manifest"))).is_ok());
    assert!(matches!(of(Some(Digest::of(b"other"))), Err(Refusal::OtherCurrent { .. })));
    assert!(matches!(of(None), Err(Refusal::OtherCurrent { .. })));
    assert!(planned("1.0.4", &observed(None), |moving| moving.if_current = Some(None)).is_ok());
}

#[test]
fn a_promotion_refuses_a_release_below_the_minimum_age() {
    let at = |now: &str, since: Option<&str>| {
        let now: Timestamp = now.parse().expect("a time");
        let age = MinAge { least: SignedDuration::from_hours(24), now, since: since.map(ToOwned::to_owned) };
        planned("1.0.4", &observed(None), |moving| moving.min_age = Some(age))
    };
    let since = Some("2026-11-23T12:00:00Z");
    assert!(matches!(at("2026-11-24T11:59:59Z", since), Err(Refusal::TooYoung { .. })));
    assert!(at("2026-11-24T12:00:00Z", since).is_ok());
    assert!(matches!(at("2026-11-24T12:00:00Z", None), Err(Refusal::NoAge(_))));
}

#[test]
fn the_plan_digest_covers_the_state_after_the_plan_and_not_the_remaining_writes() {
    let before = planned("1.0.4", &observed(Some("1.0.3")), |_| {}).expect("a plan");
    // Other moves used sequence numbers.
    let mut later = observed(Some("1.0.3"));
    later.channel.sequence = 9;
    let later = planned("1.0.4", &later, |_| {}).expect("a plan");
    assert_eq!((later.digest(), later.moves.expect("a move").sequence), (before.digest(), 10));
    // The channel serves the release because of this very move.
    let mut after = observed(Some("1.0.4"));
    let serves = after.channel.serves.as_mut().expect("a channel");
    serves.record = Some(record("1.0.4", MoveKind::Promote, 5, Some(Digest::of(b"manifest"))));
    let done = planned("1.0.4", &after, |_| {}).expect("a plan");
    assert!(done.is_empty());
    assert_eq!(done.digest(), before.digest());
    // A channel that serves the release because of another move gives another digest.
    let other = planned("1.0.4", &observed(Some("1.0.4")), |_| {}).expect("a plan");
    assert!(other.is_empty());
    assert_ne!(other.digest(), before.digest());
}

#[test]
fn every_part_of_an_approval_changes_the_plan_digest() {
    let serves = observed(Some("1.0.3"));
    let approved = planned("1.0.4", &serves, |_| {}).expect("a plan");
    let release = planned("1.0.5", &serves, |_| {}).expect("a plan");
    let kind = planned("1.0.4", &serves, |moving| moving.kind = MoveKind::Copy).expect("a plan");
    let current = planned("1.0.4", &observed(Some("1.0.2")), |_| {}).expect("a plan");
    let first = planned("1.0.4", &observed(None), |_| {}).expect("a plan");
    let other: Tag = "beta".parse().expect("a tag");
    let elsewhere = plan(&desired("1.0.4"), &serves, Some(&moving(&other, MoveKind::Promote))).expect("a plan");
    let without = plan(&desired("1.0.4"), &serves, None).expect("a plan");
    let mut named = desired("1.0.4");
    named.named.clear();
    let named = plan(&named, &serves, Some(&moving(&channel(), MoveKind::Promote))).expect("a plan");
    for other in [&release, &kind, &first, &elsewhere, &without, &named] {
        assert_ne!(other.digest(), approved.digest(), "{other:?}");
    }
    assert_eq!(current.digest(), approved.digest(), "both replace the same channel manifest");
    let content = Some(approved.approval.clone());
    let kept = crate::plan::Approved { digest: approved.digest(), content, sequence: Some(5) };
    assert_eq!(approved.check(Some(&kept)), Ok(()));
    let Err(OtherPlan { differences, .. }) = release.check(Some(&kept)) else { panic!("refused") };
    let line = |what: &str, was: &Digest, is: &Digest| format!("{what}: approved {was}, now {is}");
    let reference = line("reference r.io/x/charts/web", &Digest::of(b"1.0.4"), &Digest::of(b"1.0.5"));
    assert_eq!(differences, [line("release", &approved.approval.release, &release.approval.release), reference]);
    let Err(OtherPlan { differences, .. }) = named.check(Some(&kept)) else { panic!("refused") };
    let gone = format!("approved reference that is not in this plan: r.io/x/charts/web@{}", Digest::of(b"1.0.4"));
    assert_eq!(differences, [gone]);
    let Err(OtherPlan { differences, .. }) = first.check(Some(&kept)) else { panic!("refused") };
    let replaced = format!("replaced channel manifest: approved {}, now none", Digest::of(b"manifest"));
    assert_eq!(differences, [replaced, "sequence of the move: approved 5, now 1".to_owned()]);
}

/// The announcement of an interrupted promotion of `version`, with the sequence number 5.
fn announced(version: &str, kind: MoveKind, previous: &[u8]) -> Announced {
    let record = record(version, kind, 5, Some(Digest::of(previous)));
    let json = release::with_channel(&json(version), &channel()).expect("a release");
    let json = Content::new(release::CONFIG_MEDIA_TYPE, json);
    let manifest = release::channel_artifact(json, &record, &[]).digest().clone();
    Announced { manifest, record, signatures: Vec::new() }
}

#[test]
fn an_interrupted_run_is_completed_only_for_the_same_move() {
    let with = |announced: Announced| {
        let mut observed = observed(Some("1.0.3"));
        (observed.channel.sequence, observed.channel.announced) = (5, vec![announced]);
        planned("1.0.4", &observed, |_| {}).expect("a plan").moves.expect("a move")
    };
    let same = announced("1.0.4", MoveKind::Promote, b"manifest");
    let digest = same.manifest.clone();
    let adopting = with(same);
    assert_eq!((adopting.sequence, adopting.adopts), (5, Some(digest)));
    for other in [
        announced("1.0.5", MoveKind::Promote, b"manifest"),
        announced("1.0.4", MoveKind::Copy, b"manifest"),
        announced("1.0.4", MoveKind::Promote, b"earlier"),
    ] {
        let passing = with(other);
        assert_eq!((passing.sequence, passing.adopts), (6, None));
    }
    // A manifest with this record but with other content is not adopted.
    let mut forged = announced("1.0.4", MoveKind::Promote, b"manifest");
    forged.manifest = Digest::of(b"something else");
    assert_eq!(with(forged).adopts, None);
}

#[test]
fn a_version_with_other_content_is_refused_and_one_with_only_another_channel_is_kept() {
    let artifact = Release::artifact(json("1.0.4"));
    let mut desired = desired("1.0.4");
    desired.release.digest = artifact.digest().clone();
    desired.release.written = Some(DesiredArtifact {
        kind: ArtifactKind::Release,
        name: "releases".to_owned(),
        version: "1.0.4".to_owned(),
        repository: desired.release.repository.clone(),
        tag: "1.0.4".parse().expect("a tag"),
        artifact,
    });
    let digest = Digest::of(b"published");
    let with = |json: Option<Vec<u8>>| {
        let mut observed = observed(None);
        observed.release = Some(Existing { digest: digest.clone(), json });
        plan(&desired, &observed, None)
    };
    assert!(matches!(with(None), Err(Refusal::Immutable { kind: ArtifactKind::Release, .. })));
    assert!(matches!(with(Some(json("1.0.5"))), Err(Refusal::Immutable { .. })));
    let other_channel = release::with_channel(&json("1.0.4"), &channel()).expect("a release");
    let kept = with(Some(other_channel)).expect("a plan");
    assert!(kept.is_empty());
    assert_eq!(kept.approval.release, digest);
}

/// A bundle as a layer of a channel manifest; the planner does not read it.
fn bundle(text: &str) -> Content {
    Content::new(crate::oci::media_type::SIGSTORE_BUNDLE, text.as_bytes().to_vec())
}

/// A signed channel that serves `version`, with the highest verified number 4.
fn signed(version: &str) -> Observed {
    let mut observed = observed(Some(version));
    observed.channel.serves.as_mut().expect("serves").signatures = vec![bundle("of move 4")];
    let verified = SignedChannel {
        sequence: Some(4),
        current_until: Some(Time::from_seconds(9_000_000_000)),
        ..SignedChannel::default()
    };
    observed.channel.signed = Some(verified);
    observed
}

#[test]
fn a_signed_channel_does_not_move_without_a_signature() {
    let (channel, observed) = (channel(), signed("1.0.3"));
    let mut unsigned = observed.clone();
    unsigned.channel.signed = None;
    let refused = plan(&desired("1.0.4"), &unsigned, Some(&moving(&channel, MoveKind::Promote)));
    assert_eq!(refused.map(drop), Err(Refusal::Unsigned(channel.clone())));
    let moves = plan(&desired("1.0.4"), &observed, Some(&moving(&channel, MoveKind::Promote)))
        .expect("a plan")
        .moves
        .expect("a move");
    assert_eq!(moves.sequence, 5);
}

#[test]
fn tags_do_not_raise_the_number_of_a_signed_move() {
    let (channel, mut observed) = (channel(), signed("1.0.3"));
    observed.channel.sequence = 900;
    let moves = plan(&desired("1.0.4"), &observed, Some(&moving(&channel, MoveKind::Promote)))
        .expect("a plan")
        .moves
        .expect("a move");
    assert_eq!(moves.sequence, 5);
    observed.channel.signed = Some(SignedChannel::default());
    let moves = plan(&desired("1.0.4"), &observed, Some(&moving(&channel, MoveKind::Promote)))
        .expect("a plan")
        .moves
        .expect("a move");
    assert_eq!(moves.sequence, 901, "the first signed move goes on from the unsigned ones");
    let last = SignedChannel { sequence: Some((1 << 53) - 1), ..SignedChannel::default() };
    observed.channel.signed = Some(last);
    let refused = plan(&desired("1.0.4"), &observed, Some(&moving(&channel, MoveKind::Promote)));
    assert_eq!(refused.map(drop), Err(Refusal::NoSequence(channel.clone())));
}

#[test]
fn a_channel_that_serves_the_release_without_a_current_proof_is_signed_again() {
    let (channel, mut observed) = (channel(), signed("1.0.3"));
    let nothing = plan(&desired("1.0.3"), &observed, Some(&moving(&channel, MoveKind::Promote))).expect("a plan");
    assert!(nothing.is_empty());
    observed.channel.signed.as_mut().expect("signed").current_until = None;
    let moves = plan(&desired("1.0.3"), &observed, Some(&moving(&channel, MoveKind::Promote)))
        .expect("a plan")
        .moves
        .expect("a move");
    assert_eq!(moves.sequence, 5);
}

#[test]
fn an_announced_move_is_completed_only_with_the_proof_that_it_carries() {
    let (channel, mut observed) = (channel(), signed("1.0.3"));
    let mut one = announced("1.0.4", MoveKind::Promote, b"manifest");
    one.signatures = vec![bundle("of move 5")];
    let json = release::with_channel(&json("1.0.4"), &channel).expect("a release");
    let json = Content::new(release::CONFIG_MEDIA_TYPE, json);
    one.manifest = release::channel_artifact(json, &one.record, &one.signatures).digest().clone();
    observed.channel.announced = vec![one.clone()];
    observed.channel.sequence = 5;
    let planned = |observed: &Observed| {
        let plan = plan(&desired("1.0.4"), observed, Some(&moving(&channel, MoveKind::Promote))).expect("a plan");
        let moves = plan.moves.expect("a move");
        (moves.sequence, moves.adopts)
    };
    assert_eq!(planned(&observed), (5, None));
    observed.channel.signed.as_mut().expect("signed").verified.insert(one.manifest.clone());
    assert_eq!(planned(&observed), (5, Some(one.manifest.clone())));
    observed.channel.announced[0].signatures = vec![bundle("of another move")];
    assert_eq!(planned(&observed), (5, None));
}

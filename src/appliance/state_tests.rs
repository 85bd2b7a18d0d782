use super::*;
use crate::release::MoveKind;

const JSON: &str = r#"{"schema":"alga.appliance.release/v1","version":"VERSION","channel":"stable","valuesProfile":"p",
    "images":{},"charts":{},"config":{"repository":"r.io/x","version":"1","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}"#;

fn answer(version: &str, channel: &str, sequence: Option<u64>) -> Resolved {
    let json = JSON.replace("VERSION", version).into_bytes();
    let release_digest = Digest::of(&json);
    let record = sequence.map(|sequence| Record {
        name: channel.to_owned(),
        release: release_digest.clone(),
        sequence,
        previous: None,
        kind: MoveKind::Publish,
        moved: "2026-11-23T10:00:00Z".to_owned(),
        by: None,
        from: None,
        reason: None,
    });
    let manifest = Digest::of(format!("{version}{sequence:?}").as_bytes());
    Resolved { manifest, release_digest, release: Release::parse(&json).unwrap(), json, record, signatures: Vec::new() }
}

const KEY: &str = "r.io/a/releases:stable";

fn after(answers: &[Resolved]) -> State {
    let mut state = State::default();
    for answer in answers {
        state.follow(KEY, Some("stable"), answer, 7);
    }
    State::parse(&state.to_json()).unwrap()
}

#[test]
fn a_lower_sequence_is_a_replay_and_a_higher_one_is_followed_with_any_version() {
    let state = after(&[answer("2", "stable", Some(5))]);
    assert_eq!(
        state.judge(KEY, "stable", &answer("3", "stable", Some(4))),
        Err(Refused::Replay { answered: 4, seen: 5 })
    );
    assert_eq!(state.judge(KEY, "stable", &answer("2", "stable", Some(5))), Ok(Following::Forward));
    assert_eq!(state.judge(KEY, "stable", &answer("1", "stable", Some(6))), Ok(Following::Forward));
    assert_eq!(
        state.judge("r.io/a/releases:nightly", "nightly", &answer("1", "nightly", Some(1))),
        Ok(Following::Forward)
    );
}

#[test]
fn the_same_sequence_is_refused_with_other_content_and_followed_with_the_same() {
    let state = after(&[answer("2", "stable", Some(5))]);
    assert_eq!(state.judge(KEY, "stable", &answer("1", "stable", Some(5))), Err(Refused::Forked(5)));
    // Another program wrote the same move again.
    let again = Resolved { manifest: Digest::of(b"again"), ..answer("2", "stable", Some(5)) };
    assert_eq!(state.judge(KEY, "stable", &again), Ok(Following::Forward));
    let disguised = Resolved { json: answer("1", "stable", None).json, ..again };
    assert_eq!(state.judge(KEY, "stable", &disguised), Err(Refused::Forked(5)));
}

#[test]
fn an_answer_without_a_record_is_refused_once_a_move_was_followed() {
    let unrecorded = answer("3", "stable", None);
    assert_eq!(State::default().judge(KEY, "stable", &unrecorded), Ok(Following::Unrecorded));
    let state = after(std::slice::from_ref(&unrecorded));
    assert_eq!(state.judge(KEY, "stable", &answer("4", "stable", None)), Ok(Following::Unrecorded));
    assert_eq!(state.judge(KEY, "stable", &answer("4", "stable", Some(1))), Ok(Following::Forward));
    let state = after(&[answer("2", "stable", Some(5))]);
    assert_eq!(state.judge(KEY, "stable", &unrecorded), Err(Refused::Unrecorded(5)));
}

#[test]
fn an_accepted_answer_without_a_record_is_in_the_state_and_keeps_the_sequence() {
    let state = after(&[answer("2", "stable", Some(5)), answer("3", "stable", None)]);
    let known = state.known(KEY).unwrap();
    assert_eq!((known.release().unwrap().version.as_str(), known.sequence, known.unrecorded), ("3", Some(5), true));
    assert_eq!(state.judge(KEY, "stable", &answer("3", "stable", None)), Ok(Following::Unrecorded));
    assert_eq!(state.judge(KEY, "stable", &answer("4", "stable", None)), Err(Refused::Unrecorded(5)));
    assert!(state.judge(KEY, "stable", &answer("1", "stable", Some(4))).is_err());
    assert_eq!(state.judge(KEY, "stable", &answer("2", "stable", Some(5))), Ok(Following::Forward));
    let known = after(&[answer("3", "stable", None), answer("4", "stable", Some(6))]).known(KEY).unwrap();
    assert_eq!((known.sequence, known.unrecorded), (Some(6), false));
}

#[test]
fn moves_of_another_channel_do_not_count() {
    let other = answer("9", "nightly", Some(90));
    assert_eq!(State::default().judge(KEY, "stable", &other), Ok(Following::Unrecorded));
    let state = after(&[answer("2", "stable", Some(5)), other]);
    assert_eq!(state.judge(KEY, "stable", &answer("3", "stable", Some(6))), Ok(Following::Forward));
    assert_eq!(state.judge(KEY, "stable", &answer("9", "nightly", Some(1))), Err(Refused::Unrecorded(5)));
}

/// A move with the predecessor `previous`.
fn next(previous: &Resolved, sequence: u64) -> Resolved {
    let mut next = answer("8", "stable", Some(sequence));
    next.record.as_mut().unwrap().previous = Some(previous.manifest.clone());
    next
}

#[test]
fn a_jump_is_followed_and_blocks_no_later_move_of_the_publisher() {
    for far in [1006, 9000, u64::MAX] {
        let state = after(&[answer("2", "stable", Some(5)), answer("9", "stable", Some(far))]);
        let known = state.known(KEY).unwrap();
        assert_eq!(
            (known.release().unwrap().version.as_str(), known.sequence, known.jumped),
            ("9", Some(5), Some(far))
        );
        // The tag is set back, or the publisher continues from the last known move.
        for (version, sequence) in [("2", 5), ("3", 6), ("3", 1005)] {
            let back = answer(version, "stable", Some(sequence));
            assert_eq!(state.judge(KEY, "stable", &back), Ok(Following::Forward), "{far} {sequence}");
            let known = after(&[answer("2", "stable", Some(5)), answer("9", "stable", Some(far)), back]);
            let known = known.known(KEY).unwrap();
            assert_eq!((known.sequence, known.jumped), (Some(sequence), None));
        }
        let jump = Ok(Following::Jump { answered: far, seen: 5 });
        assert_eq!(
            state.judge(KEY, "stable", &answer("9", "stable", Some(far))),
            jump,
            "the same answer is a jump each time"
        );
        assert!(state.judge(KEY, "stable", &answer("1", "stable", Some(4))).is_err());
    }
    let state = after(&[answer("2", "stable", Some(5)), answer("3", "stable", Some(1005))]);
    assert_eq!(state.known(KEY).unwrap().sequence, Some(1005));
    // The first answer cannot be a jump.
    assert_eq!(after(&[answer("2", "stable", Some(1 << 40))]).known(KEY).unwrap().sequence, Some(1 << 40));
}

#[test]
fn a_jump_counts_after_the_next_move_names_it_as_its_predecessor() {
    let jump = answer("7", "stable", Some(5000));
    let jumped = [answer("2", "stable", Some(5)), jump.clone()];
    let state = after(&jumped);
    assert_eq!(state.judge(KEY, "stable", &next(&jump, 5001)), Ok(Following::Forward));
    let state = after(&[jumped[0].clone(), jump.clone(), next(&jump, 5001)]);
    let known = state.known(KEY).unwrap();
    assert_eq!((known.sequence, known.jumped), (Some(5001), None));
    assert!(state.judge(KEY, "stable", &answer("3", "stable", Some(6))).is_err());
    // With another predecessor, without one, or with a number that is not the next, the answer is another jump.
    let state = after(&jumped);
    let others = [
        next(&jumped[0], 5001),
        answer("8", "stable", Some(5001)),
        next(&jump, 5000),
        next(&jump, 6001),
        next(&jump, 4999),
    ];
    for other in others {
        let answered = other.record.as_ref().unwrap().sequence;
        assert_eq!(state.judge(KEY, "stable", &other), Ok(Following::Jump { answered, seen: 5 }), "{answered}");
    }
}

#[test]
fn the_slower_of_two_programs_does_not_set_the_sequence_back() {
    let state = after(&[answer("3", "stable", Some(6)), answer("2", "stable", Some(5))]);
    assert_eq!(state.known(KEY).unwrap().sequence, Some(6));
    assert_eq!(state.known(KEY).unwrap().release().unwrap().version, "3");
}

#[test]
fn keys_of_newer_programs_are_kept_and_missing_keys_are_accepted() {
    let mut json: Value = serde_json::from_slice(&after(&[answer("2", "stable", Some(5))]).to_json()).unwrap();
    json["later"] = serde_json::json!({ "a": [1] });
    json["host"] = serde_json::json!({ "of": "another shape" });
    json["releases"][KEY]["later"] = true.into();
    json["releases"]["strange"] = serde_json::json!(["another shape"]);
    json["releases"][KEY].as_object_mut().unwrap().remove("resolvedAt");
    let mut state = State::parse(&serde_json::to_vec(&json).unwrap()).unwrap();
    assert_eq!(state.known(KEY).unwrap().sequence, Some(5));
    assert_eq!((state.host(), state.known("strange")), (None, None));
    state.follow(KEY, Some("stable"), &answer("3", "stable", Some(6)), 8);
    let again: Value = serde_json::from_slice(&state.to_json()).unwrap();
    assert_eq!((&again["later"]["a"][0], &again["releases"][KEY]["later"]), (&1.into(), &true.into()));
    assert_eq!(again["releases"]["strange"], json["releases"]["strange"]);
    assert_eq!(State::parse(b"{}").unwrap(), State::default());
}

#[test]
fn a_release_that_does_not_match_its_digest_is_not_known() {
    let state = after(&[answer("2", "stable", Some(5))]);
    let mut json: Value = serde_json::from_slice(&state.to_json()).unwrap();
    let text = json["releases"][KEY]["json"].as_str().unwrap().replace("r.io/x", "r.io/y");
    json["releases"][KEY]["json"] = text.into();
    let state = State::parse(&serde_json::to_vec(&json).unwrap()).unwrap();
    assert!(state.known(KEY).unwrap().resolved().is_none());
    // The same answer repairs the entry, and the sequence number still prevents a replay.
    assert_eq!(state.judge(KEY, "stable", &answer("2", "stable", Some(5))), Ok(Following::Forward));
    assert!(state.judge(KEY, "stable", &answer("1", "stable", Some(4))).is_err());
}

#[test]
fn a_version_or_digest_is_found_under_any_reference() {
    let mut state = after(&[answer("2", "stable", Some(5))]);
    let digest = answer("2", "stable", Some(5)).release_digest.to_string();
    assert!(state.find("r.io/a/releases", "2").is_some() && state.find("r.io/a/releases", &digest).is_some());
    assert!(state.find("r.io/a/releases", "3").is_none() && state.find("r.io/a/rel", "2").is_none());
    for version in ["7", "8"] {
        state.follow(&format!("r.io/a/releases:{version}"), None, &answer(version, "", None), 9);
    }
    assert!(state.find("r.io/a/releases", "8").is_some() && state.find("r.io/a/releases", "7").is_none());
    assert!(state.known(KEY).is_some(), "channels are kept");
}

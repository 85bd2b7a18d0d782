use super::*;
use crate::trust::ChannelStatement;
use crate::trust::testing::Vendor;

fn root() -> Digest {
    Digest::of(b"root")
}

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

fn accepted(epoch: u64, sequence: u64, reason: &str) -> Accepted {
    let statement = ChannelStatement {
        release: Digest::of(b"release"),
        product: "p".to_owned(),
        channel: "stable".parse().unwrap(),
        epoch,
        trust_version: 1,
        sequence,
        previous: None,
        issued: time("2026-11-23T10:00:00Z"),
        expires: time("2026-12-23T10:00:00Z"),
        kind: crate::release::MoveKind::Publish,
        by: None,
        from: None,
        reason: Some(reason.to_owned()),
    };
    Accepted {
        payload: Digest::of(&statement.to_payload()),
        signers: [Vendor::new().nightly.key().id()].into(),
        refreshed_by: [].into(),
        release_signers: [Vendor::new().release.key().id()].into(),
        issued: statement.issued,
        expires: statement.expires,
        floor: time("2026-11-24T10:00:00Z"),
        newer: true,
        expired: false,
        statement,
    }
}

#[test]
fn a_lower_position_and_another_statement_of_the_same_one_are_not_kept() {
    let mut trusted = Trusted::default();
    assert!(trusted.accept(&accepted(2, 5, "a")));
    for (epoch, sequence, reason) in [(2, 4, "a"), (1, 9, "a"), (2, 5, "b")] {
        let before = trusted.clone();
        assert!(!trusted.accept(&accepted(epoch, sequence, reason)), "{epoch} {sequence} {reason}");
        assert_eq!(trusted, before);
    }
    for (epoch, sequence) in [(2, 5), (2, 6), (3, 1)] {
        assert!(trusted.accept(&accepted(epoch, sequence, "a")), "{epoch} {sequence}");
    }
    let channel = "stable".parse().unwrap();
    assert_eq!(trusted.position("p", &channel).map(|held| (held.epoch, held.sequence)), Some((3, 1)));
    assert_eq!(trusted.position("other", &channel), None);
}

#[test]
fn the_time_floor_rises_with_each_new_statement_and_otherwise_once_a_day() {
    let mut trusted = Trusted::default();
    let day = |day: u64| time("2026-11-01T00:00:00Z").plus(day * FLOOR_STEP);
    trusted.raise_floor(day(2), true);
    for (floor, exactly, expected) in [
        (day(2).plus(1), false, day(2)),
        (day(2).plus(1), true, day(2).plus(1)),
        (day(1), true, day(2).plus(1)),
        (day(3), false, day(2).plus(1)),
        (day(4), false, day(4)),
    ] {
        trusted.raise_floor(floor, exactly);
        assert_eq!(trusted.floor, Some(expected));
    }
}

#[test]
fn a_damaged_entry_is_an_error_and_keys_of_newer_programs_are_kept() {
    let mut state = State::default();
    state.change_trusted(&root(), |trusted| trusted.accept(&accepted(1, 1, "a"))).unwrap();
    assert!(state.requires_trust());
    let json: Value = serde_json::from_slice(&state.to_json()).unwrap();
    for (pointer, value) in [
        ("", Value::Null),
        ("/document", "{}".into()),
        ("/document", 7.into()),
        ("/floor", "yesterday".into()),
        ("/positions", Value::Null),
        ("/positions", serde_json::json!({ "p/stable": { "epoch": -1, "sequence": 1 } })),
        ("/releases", 7.into()),
    ] {
        let mut damaged = json.clone();
        let entry = damaged["trust"][root().as_str()].pointer_mut("").unwrap();
        match pointer.strip_prefix('/') {
            None => *entry = value.clone(),
            Some(key) => entry[key] = value.clone(),
        }
        let mut state = State::parse(&serde_json::to_vec(&damaged).unwrap()).unwrap();
        assert!(state.trusted(&root()).is_err(), "{pointer} {value}");
        assert!(state.change_trusted(&root(), |_| ()).is_err(), "{pointer} {value}");
        assert_eq!(state.trusted(&Digest::of(b"other")).unwrap(), Trusted::default());
    }
    let mut later = json;
    later["trust"][root().as_str()]["later"] = true.into();
    let mut state = State::parse(&serde_json::to_vec(&later).unwrap()).unwrap();
    state.change_trusted(&root(), |trusted| trusted.accept(&accepted(1, 2, "a"))).unwrap();
    let written: Value = serde_json::from_slice(&state.to_json()).unwrap();
    assert_eq!(written["trust"][root().as_str()]["later"], true);
    state.others.insert(TRUST.to_owned(), 7.into());
    assert!(state.trusted(&root()).is_err() && state.requires_trust());
}

#[test]
fn verification_that_is_turned_off_forgets_no_position_and_is_turned_on_by_its_use() {
    let mut state = State::default();
    state.turn_trust_off();
    assert_eq!(state, State::default());
    state.change_trusted(&root(), |trusted| trusted.accept(&accepted(1, 7, "a"))).unwrap();
    state.turn_trust_off();
    assert!(!state.requires_trust());
    state.change_trusted(&root(), |_| ()).unwrap();
    assert!(state.requires_trust());
    assert!(state.trusted(&root()).unwrap().position("p", &"stable".parse().unwrap()).is_some());
}

#[test]
fn the_last_hundred_decisions_are_kept() {
    let mut state = State::default();
    for number in 0..120 {
        let reason = number.to_string();
        let decision = OperatorDecision { option: "forget-trust", reason: &reason, release: None };
        state.record(&decision, time("2026-11-23T10:00:00Z"));
    }
    let json: Value = serde_json::from_slice(&state.to_json()).unwrap();
    let decisions = json[DECISIONS].as_array().unwrap();
    assert_eq!((decisions.len(), &decisions[0]["reason"]), (KEPT_DECISIONS, &"20".into()));
}

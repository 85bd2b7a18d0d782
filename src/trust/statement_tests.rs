use serde_json::{Value, json};

use super::*;

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

pub(crate) fn channel() -> ChannelStatement {
    ChannelStatement {
        release: Digest::of(b""),
        product: "alga-appliance".to_owned(),
        channel: "stable".parse().unwrap(),
        epoch: 1,
        trust_version: 3,
        sequence: 7,
        previous: Some(Digest::of(b"before")),
        issued: time("2026-11-23T10:00:00Z"),
        expires: time("2027-05-01T00:00:00Z"),
        kind: MoveKind::Promote,
        by: Some("robertisaacs".to_owned()),
        from: Some("nightly".to_owned()),
        reason: None,
    }
}

pub(crate) fn refresh() -> RefreshStatement {
    RefreshStatement::of(&channel(), 4, time("2026-12-01T00:00:00Z"), time("2026-12-15T00:00:00Z"))
}

fn problems(value: &Value) -> String {
    Statement::parse(value.to_string().as_bytes()).unwrap_err().to_string()
}

#[test]
fn the_signature_of_an_artifact_has_the_bytes_that_cosign_signs() {
    let statement = Statement::Artifact(Digest::of(b""));
    let payload = statement.to_payload();
    assert_eq!(
        String::from_utf8(payload.clone()).unwrap(),
        r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}"#
    );
    assert_eq!(Statement::parse(&payload).unwrap(), statement);
    assert_eq!((statement.subject(), statement.predicate_type()), (&Digest::of(b""), ARTIFACT_PREDICATE));
}

#[test]
fn the_statement_of_a_channel_has_the_order_of_keys_of_the_contract() {
    let statement = Statement::Channel(Box::new(channel()));
    let payload = statement.to_payload();
    let previous = Digest::of(b"before");
    assert_eq!(
        String::from_utf8(payload.clone()).unwrap(),
        format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{{"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}}}],"predicateType":"https://alga.dev/appliance/channel/v1","predicate":{{"product":"alga-appliance","channel":"stable","epoch":1,"trustVersion":3,"sequence":7,"previous":"{previous}","issued":"2026-11-23T10:00:00Z","expires":"2027-05-01T00:00:00Z","kind":"promote","by":"robertisaacs","from":"nightly"}}}}"#
        )
    );
    assert_eq!(Statement::parse(&payload).unwrap(), statement);
    let mut first = channel();
    (first.previous, first.by, first.from) = (None, None, None);
    first.reason = Some("\u{7}\n\"é".to_owned());
    assert_eq!(Statement::parse(&first.to_payload()).unwrap(), Statement::Channel(Box::new(first)));
}

#[test]
fn a_refresh_names_the_payload_of_the_statement() {
    let statement = Statement::Refresh(refresh());
    let payload = statement.to_payload();
    let named = Digest::of(&channel().to_payload());
    assert_eq!(
        String::from_utf8(payload.clone()).unwrap(),
        format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{{"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}}}],"predicateType":"https://alga.dev/appliance/channel-refresh/v1","predicate":{{"product":"alga-appliance","channel":"stable","epoch":1,"trustVersion":4,"statement":"{named}","issued":"2026-12-01T00:00:00Z","expires":"2026-12-15T00:00:00Z"}}}}"#
        )
    );
    assert_eq!(Statement::parse(&payload).unwrap(), statement);
}

#[test]
fn a_statement_is_about_one_subject_with_one_digest() {
    let whole: Value = serde_json::from_slice(&Statement::Artifact(Digest::of(b"")).to_payload()).unwrap();
    let subject = whole["subject"][0].clone();
    let cases = [
        ("/subject", json!([]), "subject: expected one subject, found 0"),
        ("/subject", json!([subject, subject]), "subject: expected one subject, found 2"),
        ("/subject", json!({}), "subject: expected a list, found an object"),
        ("/subject/0", json!("x"), "subject[0]: expected an object, found text"),
        ("/subject/0/digest", json!({"sha512": "00"}), "subject[0].digest.sha512: expected the digest `sha256` alone"),
        ("/subject/0/digest/sha256", json!("AB"), "subject[0].digest.sha256: invalid digest `sha256:AB`"),
        ("/_type", json!("https://in-toto.io/Statement/v0.1"), "_type: expected `https://in-toto.io/Statement/v1`"),
        (
            "/predicateType",
            json!("https://slsa.dev/provenance/v1"),
            "does not use the type `https://slsa.dev/provenance/v1`",
        ),
    ];
    for (pointer, value, reason) in cases {
        let mut changed = whole.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        let error = problems(&changed);
        assert!(error.contains(reason), "{pointer}: {error}");
    }
    let mut both = whole;
    both["subject"][0]["digest"]["sha1"] = json!("00");
    assert!(problems(&both).contains("subject[0].digest.sha1: expected the digest `sha256` alone"));
}

#[test]
fn every_value_of_a_predicate_is_checked() {
    let statement: Value = serde_json::from_slice(&channel().to_payload()).unwrap();
    let cases = [
        ("product", json!(""), "product: expected a name of 1 to 255 characters"),
        ("channel", json!("a b"), "predicate.channel: "),
        ("epoch", json!(0), "epoch: expected a whole number from 1 to 9007199254740991, found 0"),
        ("trustVersion", json!(1.5), "trustVersion: expected a whole number from 1 to 9007199254740991, found 1.5"),
        ("sequence", json!(1_u64 << 53), "sequence: expected a whole number"),
        ("sequence", json!(u64::MAX), "sequence: expected a whole number"),
        ("sequence", json!(-1), "sequence: expected a whole number"),
        ("sequence", json!("7"), "sequence: expected a whole number from 1 to 9007199254740991, found text"),
        ("previous", json!(null), "previous: expected text, found null"),
        ("previous", json!("x"), "previous: invalid digest `x`"),
        ("issued", json!("2026-11-23T10:00:00+01:00"), "issued: invalid time `2026-11-23T10:00:00+01:00`"),
        (
            "expires",
            json!("2026-11-23T10:00:00Z"),
            "expires: expected a time after `issued`, 2026-11-23T10:00:00Z, found",
        ),
        ("kind", json!("Promote"), "kind: invalid kind of a move `Promote`"),
        ("by", json!(7), "by: expected text, found a number"),
        ("reason", json!([]), "reason: expected text, found a list"),
    ];
    for (key, value, reason) in cases {
        let mut changed = statement.clone();
        changed["predicate"][key] = value;
        let error = problems(&changed);
        assert!(error.contains(reason), "{key}: {error}");
    }
    for key in ["product", "channel", "epoch", "trustVersion", "sequence", "issued", "expires", "kind"] {
        let mut changed = statement.clone();
        changed["predicate"].as_object_mut().unwrap().remove(key);
        assert_eq!(problems(&changed), format!("invalid statement: predicate.{key}: missing"));
    }
    let refresh: Value = serde_json::from_slice(&refresh().to_payload()).unwrap();
    for key in ["product", "channel", "epoch", "trustVersion", "statement", "issued", "expires"] {
        let mut changed = refresh.clone();
        changed["predicate"].as_object_mut().unwrap().remove(key);
        assert_eq!(problems(&changed), format!("invalid statement: predicate.{key}: missing"));
    }
}

#[test]
fn the_largest_sequence_is_the_largest_number_that_every_reader_keeps() {
    let mut last = channel();
    last.sequence = (1 << 53) - 1;
    assert_eq!(Statement::parse(&last.to_payload()).unwrap(), Statement::Channel(Box::new(last.clone())));
    last.sequence += 1;
    assert!(Statement::parse(&last.to_payload()).is_err());
}

#[test]
fn json_that_programs_read_differently_is_refused() {
    let text = String::from_utf8(channel().to_payload()).unwrap();
    let cases = [
        text.replacen("\"epoch\"", "\"sequence\":9,\"epoch\"", 1),
        text.replacen("\"epoch\"", "\"Sequence\":9,\"epoch\"", 1),
        text.replacen("\"subject\"", "\"Subject\":[],\"subject\"", 1),
        format!("\u{feff}{text}"),
        format!("{text} {{}}"),
        text.replacen("\"sequence\":7", "\"sequence\":07", 1),
        text.replacen("\"sequence\":7", "\"sequence\":7e0", 1),
        text.replacen("promote", "promote\\udc00", 1),
        " ".repeat(PAYLOAD_LIMIT + 1),
        "[".repeat(1000),
    ];
    for case in cases {
        assert!(Statement::parse(case.as_bytes()).is_err(), "{case}");
    }
}

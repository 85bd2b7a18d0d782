use super::*;
use crate::oci::media_type;
use crate::release::MoveKind;
use crate::trust::testing::{SigningKey, Vendor, bundle};
use crate::trust::{ChannelStatement, RefreshStatement};

const JSON: &[u8] = br#"{"schema":"alga.appliance.release/v1","version":"1.0.3","channel":"nightly","valuesProfile":"p","images":{},"config":{"repository":"r.io/x","version":"1"},"charts":{}}"#;

fn channel() -> Tag {
    "stable".parse().unwrap()
}

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

fn statement(sequence: u64, reason: &str) -> ChannelStatement {
    ChannelStatement {
        release: Digest::of(b"release"),
        product: "alga-appliance".to_owned(),
        channel: channel(),
        epoch: 1,
        trust_version: 1,
        sequence,
        previous: None,
        issued: time("2026-11-23T10:00:00Z"),
        expires: time("2026-12-23T10:00:00Z"),
        kind: MoveKind::Promote,
        by: None,
        from: None,
        reason: Some(reason.to_owned()),
    }
}

fn record(of: &ChannelStatement) -> Record {
    Record {
        name: of.channel.to_string(),
        release: of.release.clone(),
        sequence: of.sequence,
        previous: None,
        kind: of.kind,
        moved: of.issued.to_string(),
        by: None,
        from: None,
        reason: of.reason.clone(),
    }
}

fn layer(payload: &[u8], key: &SigningKey) -> Content {
    Content::new(media_type::SIGSTORE_BUNDLE, bundle(payload, key))
}

fn refreshed(of: &ChannelStatement, issued: &str, key: &SigningKey) -> Content {
    layer(&RefreshStatement::of(of, 1, time(issued), of.expires).to_payload(), key)
}

/// What a channel serves, as a target shows it.
fn state(of: &ChannelStatement, layers: Vec<Content>) -> ChannelState {
    ChannelState {
        manifest: Digest::of(format!("{of:?} {}", layers.len()).as_bytes()),
        release: of.release.clone(),
        version: "1.0.3".to_owned(),
        json: JSON.to_vec(),
        record: Some(record(of)),
        signatures: layers,
    }
}

fn copied<'a>(of: &ChannelStatement, layers: &[Content], document: Option<&'a TrustDocument>) -> CopiedChannel<'a> {
    let json = Content::new(release::CONFIG_MEDIA_TYPE, JSON);
    let record = record(of);
    let place = StatementPlace::read(&channel(), Some(&record), layers, document).unwrap();
    let artifact = release::channel_artifact(json, &record, layers);
    CopiedChannel { artifact, signatures: layers.to_vec(), record, place, document }
}

#[test]
fn a_copy_moves_forward_alone() {
    let key = SigningKey::generate();
    let signed = |statement: &ChannelStatement| vec![layer(&statement.to_payload(), &key)];
    let (second, third) = (statement(2, "x"), statement(3, "x"));
    let copy = copied(&second, &signed(&second), None);
    let newer = |serves: &ChannelState| copy.is_newer(&channel(), Some(serves));
    assert_eq!(copy.is_newer(&channel(), None), Ok(true));
    let first = statement(1, "x");
    assert_eq!(newer(&state(&first, signed(&first))), Ok(true));
    assert_eq!(newer(&state(&second, signed(&second))), Ok(false), "the same statement");
    let ahead = Refusal::Ahead { channel: channel(), offered: (1, 2), held: (1, 3) };
    assert_eq!(newer(&state(&third, signed(&third))), Err(ahead));
    let mut epoch = statement(1, "x");
    epoch.epoch = 2;
    let ahead = Refusal::Ahead { channel: channel(), offered: (1, 2), held: (2, 1) };
    assert_eq!(newer(&state(&epoch, signed(&epoch))), Err(ahead));
    let other = statement(2, "y");
    let twice = Refusal::OtherStatement { channel: channel(), epoch: 1, sequence: 2 };
    assert_eq!(newer(&state(&other, signed(&other))), Err(twice));
    // Numbers of unsigned moves never count against signed ones.
    assert_eq!(newer(&state(&third, Vec::new())), Ok(true));
}

#[test]
fn a_later_refresh_of_the_same_statement_is_copied() {
    let key = SigningKey::generate();
    let statement = statement(2, "x");
    let with = |issued: &str| vec![layer(&statement.to_payload(), &key), refreshed(&statement, issued, &key)];
    let (early, late) = (with("2026-11-23T10:00:00Z"), with("2026-11-24T10:00:00Z"));
    let unrefreshed = vec![layer(&statement.to_payload(), &key), layer(b"{}", &key)];
    for (offered, held, newer) in
        [(&late, &early, true), (&early, &late, false), (&early, &unrefreshed, true), (&unrefreshed, &early, false)]
    {
        let mut serves = state(&statement, held.clone());
        serves.manifest = Digest::of(b"another manifest");
        assert_eq!(copied(&statement, offered, None).is_newer(&channel(), Some(&serves)), Ok(newer));
    }
}

#[test]
fn with_a_trust_document_only_proven_statements_of_the_target_count() {
    let (vendor, stranger) = (Vendor::new(), SigningKey::generate());
    let document = vendor.document();
    let proven = |of: &ChannelStatement| {
        vec![layer(&of.to_payload(), &vendor.stable[0]), layer(&of.to_payload(), &vendor.stable[1])]
    };
    let (second, forged) = (statement(2, "x"), statement(9, "x"));
    let copy = copied(&second, &proven(&second), Some(&document));
    let target = state(&forged, vec![layer(&forged.to_payload(), &stranger)]);
    assert_eq!(copy.is_newer(&channel(), Some(&target)), Ok(true));
    assert!(copied(&second, &proven(&second), None).is_newer(&channel(), Some(&target)).is_err());
    let target = state(&forged, proven(&forged));
    assert!(matches!(copy.is_newer(&channel(), Some(&target)), Err(Refusal::Ahead { .. })));
}

#[test]
fn a_trust_document_older_than_the_target_does_not_replace_a_target_that_is_ahead() {
    let (vendor, stranger) = (Vendor::new(), SigningKey::generate());
    let document = vendor.document();
    let proven = |of: &ChannelStatement| {
        vec![layer(&of.to_payload(), &vendor.stable[0]), layer(&of.to_payload(), &vendor.stable[1])]
    };
    let second = statement(2, "x");
    let copy = copied(&second, &proven(&second), Some(&document));
    // The target is by keys that the document at hand does not have yet.
    let serves = |change: &dyn Fn(&mut ChannelStatement)| {
        let mut later = statement(9, "x");
        change(&mut later);
        let layers = vec![layer(&later.to_payload(), &stranger)];
        copy.is_newer(&channel(), Some(&state(&later, layers)))
    };
    let later_document = serves(&|later| later.trust_version = 2);
    let (channel, offered) = (channel(), (1, 2));
    let refusal = |held, version| Refusal::LaterTrust { channel: channel.clone(), offered, held, version, known: 1 };
    assert_eq!(later_document, Err(refusal((1, 9), 2)));
    let later_epoch = serves(&|later| (later.trust_version, later.epoch, later.sequence) = (3, 2, 1));
    assert_eq!(later_epoch, Err(refusal((2, 1), 3)));
    assert_eq!(serves(&|later| (later.trust_version, later.sequence) = (2, 1)), Ok(true));
    assert_eq!(serves(&|_| ()), Ok(true), "a statement of the present version that does not verify does not count");
}

#[test]
fn a_channel_whose_statement_is_not_clear_is_not_copied() {
    let key = SigningKey::generate();
    let (one, other) = (statement(2, "x"), statement(2, "y"));
    let read = |record: Option<&Record>, layers: &[Content]| {
        StatementPlace::read(&channel(), record, layers, None).map_err(|cause| cause.name())
    };
    let layers = [layer(&one.to_payload(), &key), layer(&other.to_payload(), &key)];
    // Only one of them agrees with the record.
    assert!(read(Some(&record(&one)), &layers).is_ok());
    assert_eq!(read(None, &layers), Err("annotations-differ"));
    assert_eq!(read(Some(&record(&statement(3, "x"))), &layers), Err("annotations-differ"));
    assert_eq!(read(Some(&record(&one)), &[]), Err("unsigned"));
    let nightly = ChannelStatement { channel: "nightly".parse().unwrap(), ..one.clone() };
    assert_eq!(read(Some(&record(&one)), &[layer(&nightly.to_payload(), &key)]), Err("other-channel"));
    let mut later = one.clone();
    later.expires = later.expires.plus(1);
    let layers = [layer(&one.to_payload(), &key), layer(&later.to_payload(), &key)];
    assert_eq!(read(Some(&record(&one)), &layers), Err("several-statements"));
}

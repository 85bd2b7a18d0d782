use super::*;
use crate::oci::Tag;
use crate::release::{MoveKind, Record};
use crate::trust::testing::{Vendor, bundle, envelope};
use crate::trust::{ChannelStatement, DOCUMENT_TYPE, Offer, RefreshStatement, Statement, accept};

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

#[test]
fn a_release_is_stale_after_its_time_and_after_its_keys_were_removed() {
    let vendor = Vendor::new();
    let document = vendor.document();
    let release = Digest::of(b"release");
    let facts = Facts {
        trust_version: 1,
        signers: vec![vendor.stable[0].key().id().to_string(), vendor.stable[1].key().id().to_string()],
        refreshed_by: Vec::new(),
        release_signers: vec![vendor.release.key().id().to_string()],
        epoch: Some(1),
        sequence: Some(1),
        expires: Some("2026-12-01T00:00:00Z".to_owned()),
        ..Facts::of_release(&[], &document)
    };
    let now = time("2026-11-30T00:00:00Z");
    let stale = |document: &TrustDocument, now| facts.stale(document, Some("stable"), &release, now);
    assert_eq!(stale(&document, now), None);
    assert!(stale(&document, time("2026-12-01T00:00:00Z")).unwrap().contains("expired at 2026-12-01"));
    assert!(stale(&document, document.expires).unwrap().contains("trust document version 1 expired"));
    let mut other = document.clone();
    other.withdrawn.insert(release.clone());
    assert!(stale(&other, now).unwrap().contains("withdrawn"));
    let mut other = document.clone();
    other.release = Role { keys: [vendor.nightly.key().id()].into(), threshold: 1 };
    assert!(stale(&other, now).unwrap().contains("signed the release"));
    let mut other = document.clone();
    other.channels.get_mut("stable").unwrap().role.keys.remove(&vendor.stable[0].key().id());
    assert!(stale(&other, now).unwrap().contains("signed the statement"));
    let mut epoch = document.clone();
    epoch.channels.get_mut("stable").unwrap().epoch = 2;
    assert!(stale(&epoch, now).unwrap().contains("epoch 2 has begun"));
    let mut without = document.clone();
    without.channels.remove("stable");
    assert!(stale(&without, now).unwrap().contains("no longer has a role for the channel stable"));
    // A version or a digest has no statement.
    assert_eq!(facts.stale(&other, None, &release, now), None);
}

/// A channel that was accepted, with all that the next decision depends on.
struct Held {
    vendor: Vendor,
    document: SignedDocument,
    channel: Tag,
    statement: ChannelStatement,
    layers: Vec<Vec<u8>>,
    now: Time,
}

impl Held {
    fn new() -> Self {
        let (vendor, now) = (Vendor::new(), time("2026-11-27T00:00:00Z"));
        let statement = ChannelStatement {
            release: Digest::of(b"release"),
            product: vendor.document().product,
            channel: "stable".parse().unwrap(),
            epoch: 1,
            trust_version: 1,
            sequence: 7,
            previous: None,
            issued: time("2026-11-26T00:00:00Z"),
            expires: time("2026-12-26T00:00:00Z"),
            kind: MoveKind::Promote,
            by: None,
            from: None,
            reason: None,
        };
        let refresh = RefreshStatement::of(&statement, 1, now, now.plus(7 * 86_400));
        let artifact = Statement::Artifact(statement.release.clone());
        let mut layers: Vec<_> = vendor.stable[..2].iter().map(|key| bundle(&statement.to_payload(), key)).collect();
        layers.push(bundle(&refresh.to_payload(), &vendor.refresh));
        layers.push(bundle(&artifact.to_payload(), &vendor.release));
        let document = signed(&vendor, &vendor.document());
        Self { channel: statement.channel.clone(), vendor, document, statement, layers, now }
    }

    fn accepted(&self) -> Accepted {
        let record = Record {
            name: self.channel.to_string(),
            release: self.statement.release.clone(),
            sequence: 7,
            previous: None,
            kind: MoveKind::Promote,
            moved: self.statement.issued.to_string(),
            by: None,
            from: None,
            reason: None,
        };
        let layers: Vec<&[u8]> = self.layers.iter().map(Vec::as_slice).collect();
        accept(&Offer { record: Some(&record), layers: &layers }, &self.terms(None)).unwrap()
    }

    fn terms<'a>(&'a self, highest: Option<&'a Position>) -> Terms<'a> {
        let without = Terms::without_memory(self.document.document(), &self.channel, self.now, ReadFrom::Registry);
        Terms { highest, ..without }
    }
}

fn signed(vendor: &Vendor, document: &TrustDocument) -> SignedDocument {
    let envelope = envelope(DOCUMENT_TYPE, document.to_bytes(), &vendor.root());
    SignedDocument::open(&envelope.to_bytes()).unwrap()
}

#[test]
fn an_unchanged_channel_is_accepted_again_only_while_nothing_has_changed_that_counts() {
    let held = Held::new();
    let accepted = held.accepted();
    let (facts, position) = (Facts::of_channel(&accepted, &held.document), accepted.position());
    let release = &held.statement.release;
    let again = |facts: &Facts, terms: &Terms<'_>| facts.again(release, held.document.payload_digest(), terms).cloned();
    assert_eq!(again(&facts, &held.terms(Some(&position))), Some(position.clone()));

    // The position.
    let (epoch, sequence) = (position.epoch, position.sequence);
    let other = Some(Digest::of(b"another statement"));
    assert_eq!(again(&facts, &held.terms(None)), None);
    for highest in [
        Position { sequence: sequence + 1, ..position.clone() },
        Position { sequence: sequence - 1, ..position.clone() },
        Position { epoch: epoch + 1, ..position.clone() },
        Position { payload: other, ..position.clone() },
        Position { payload: None, ..position.clone() },
    ] {
        assert_eq!(again(&facts, &held.terms(Some(&highest))), None, "{highest:?}");
    }
    // The facts, as far as a state can lack them.
    let without: [fn(&mut Facts); 7] = [
        |facts| facts.statement = None,
        |facts| facts.trust_document = None,
        |facts| facts.issued = None,
        |facts| facts.expires = None,
        |facts| facts.epoch = None,
        |facts| facts.sequence = None,
        |facts| facts.refreshed_by.clear(),
    ];
    for (at, change) in without.into_iter().enumerate() {
        let mut facts = facts.clone();
        change(&mut facts);
        assert_eq!(again(&facts, &held.terms(Some(&position))), None, "{at}");
    }
    // The clock: to the second.
    let at = |now: Time| again(&facts, &Terms { now, ..held.terms(Some(&position)) }).is_some();
    let (issued, expires) = (accepted.issued, accepted.expires);
    let before = |time: Time, seconds| Time::from_seconds(time.seconds() - seconds);
    assert_eq!((issued, expires), (held.now, held.now.plus(7 * 86_400)), "those of the refresh");
    assert!(at(before(expires, 1)) && !at(expires));
    assert!(at(before(issued, 3600)) && !at(before(issued, 3601)));
    let with = |floor| again(&facts, &Terms { floor: Some(floor), ..held.terms(Some(&position)) }).is_some();
    assert!(with(held.now.plus(3600)) && !with(held.now.plus(3601)));
    // Media, whatever an operator has decided.
    for accept_expired in [None, Some(release)] {
        let source = ReadFrom::Media { accept_expired };
        assert_eq!(again(&facts, &Terms { source, ..held.terms(Some(&position)) }), None);
    }
}

#[test]
fn another_trust_document_ends_what_was_accepted_before() {
    let held = Held::new();
    let accepted = held.accepted();
    let (facts, position) = (Facts::of_channel(&accepted, &held.document), accepted.position());
    let release = &held.statement.release;
    let changes: [fn(&mut TrustDocument); 6] = [
        |document| document.version = 2,
        |document| document.withdrawn.extend([Digest::of(b"release")]),
        |document| document.expires = time("2026-11-27T00:00:00Z"),
        |document| document.issued = time("2026-11-27T01:00:01Z"),
        |document| document.channels.get_mut("stable").unwrap().epoch = 2,
        |document| drop(document.channels.remove("stable")),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut document = held.vendor.document();
        change(&mut document);
        let document = signed(&held.vendor, &document);
        let terms = Terms { document: document.document(), ..held.terms(Some(&position)) };
        assert_eq!(facts.again(release, document.payload_digest(), &terms), None, "{at}");
        // Whatever the digest is said to be, withdrawal, time and epoch are checked.
        if at > 0 {
            assert_eq!(facts.again(release, held.document.payload_digest(), &terms), None, "{at}");
        }
    }
}

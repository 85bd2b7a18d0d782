use super::*;
use crate::trust::testing::{Vendor, envelope};
use crate::trust::{DOCUMENT_TYPE, Position, Time};

const PRODUCT: &str = "alga-appliance";

fn signed(vendor: &Vendor, version: u64) -> SignedDocument {
    let mut document = vendor.document();
    document.version = version;
    let envelope = envelope(DOCUMENT_TYPE, document.to_bytes(), &vendor.root());
    SignedDocument::open(&envelope.to_bytes()).unwrap()
}

fn place(channel: &str) -> String {
    format!("{PRODUCT}/{channel}")
}

fn at(epoch: u64, sequence: u64) -> Position {
    Position { epoch, sequence, payload: Some(Digest::of(format!("{epoch} {sequence}").as_bytes())) }
}

/// Returns a state with what was accepted under a baked document.
fn state_of(baked: &SignedDocument, change: impl FnOnce(&mut Trusted)) -> State {
    let mut state = State::default();
    let noted = state.change_trusted(baked.payload_digest(), |trusted| {
        trusted.set_baked(baked);
        change(trusted);
    });
    noted.unwrap();
    State::parse(&state.to_json()).unwrap()
}

#[test]
fn what_another_baked_document_of_the_chain_accepted_counts_where_it_is_higher() {
    let vendor = Vendor::new();
    let (first, second) = (signed(&vendor, 1), signed(&vendor, 2));
    let floor = Time::from_seconds(1_800_000_000);
    let state = state_of(&first, |trusted| {
        trusted.positions.extend([(place("stable"), at(1, 9)), (place("nightly"), at(2, 1))]);
        trusted.positions.insert(format!("{PRODUCT}-other/stable"), at(5, 5));
        trusted.releases.insert(place("stable"), "of 9".into());
        trusted.releases.insert("pinned".to_owned(), "a version".into());
        trusted.floor = Some(floor);
    });
    let root = second.payload_digest();
    let mut own = Trusted::default();
    let others = state.elsewhere(root, PRODUCT, &own);
    let [other] = &others[..] else { panic!("{others:?}") };
    assert!(other.document.as_ref().unwrap().adjoins(&second));
    own.take_over(other, &second);
    assert_eq!(own.positions, [(place("stable"), at(1, 9)), (place("nightly"), at(2, 1))].into());
    assert_eq!((own.floor, &own.document), (Some(floor), &None), "the document is older than the baked one");
    assert_eq!(own.releases.len(), 2);
    assert!(state.elsewhere(root, PRODUCT, &own).is_empty(), "nothing is left to take over");

    // A position never falls, and the release stays with it.
    let mut own = Trusted::default();
    own.positions.insert(place("stable"), at(1, 10));
    own.releases.insert(place("stable"), "of 10".into());
    own.floor = Some(floor.plus(5));
    let [other] = &state.elsewhere(root, PRODUCT, &own)[..] else { panic!("nightly is higher") };
    own.take_over(other, &second);
    assert_eq!((&own.positions[&place("stable")], &own.positions[&place("nightly")]), (&at(1, 10), &at(2, 1)));
    assert_eq!((own.releases[&place("stable")].as_str(), own.floor), (Some("of 10"), Some(floor.plus(5))));
    assert_eq!(own.releases.len(), 1);
}

#[test]
fn the_later_of_two_documents_stays_in_force() {
    let vendor = Vendor::new();
    let (first, second, third) = (signed(&vendor, 1), signed(&vendor, 2), signed(&vendor, 3));
    let followed = state_of(&first, |trusted| {
        trusted.follow(&third);
        trusted.positions.insert(place("stable"), at(1, 9));
    });
    let mut own = Trusted::default();
    let others = followed.elsewhere(second.payload_digest(), PRODUCT, &own);
    assert_eq!(others[0].document, Some(third.clone()));
    own.take_over(&others[0], &second);
    assert_eq!(own.document, Some(third));
}

#[test]
fn documents_of_another_chain_do_not_adjoin() {
    let (vendor, other) = (Vendor::new(), Vendor::new());
    let (first, second) = (signed(&vendor, 1), signed(&vendor, 2));
    assert!(first.adjoins(&first) && first.adjoins(&second) && second.adjoins(&first));
    for one in [signed(&other, 1), signed(&other, 2), signed(&vendor, 4)] {
        assert!(!second.adjoins(&one) && !one.adjoins(&second));
    }
}

#[test]
fn entries_without_a_document_are_found_and_those_of_other_products_are_not() {
    let vendor = Vendor::new();
    let (first, second) = (signed(&vendor, 1), signed(&vendor, 2));
    let with = |place: String| {
        let mut state = State::default();
        let accepted =
            state.change_trusted(first.payload_digest(), |trusted| trusted.positions.insert(place, at(1, 1)));
        accepted.unwrap();
        state.elsewhere(second.payload_digest(), PRODUCT, &Trusted::default())
    };
    assert!(matches!(&with(place("stable"))[..], [Elsewhere { document: None, .. }]));
    assert!(with("another/stable".to_owned()).is_empty());
    let own = state_of(&first, |trusted| drop(trusted.positions.insert(place("stable"), at(1, 1))));
    assert!(own.elsewhere(first.payload_digest(), PRODUCT, &Trusted::default()).is_empty());
}

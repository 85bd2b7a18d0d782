use super::*;
use crate::trust::testing::{SigningKey, Vendor};

/// Returns the first document of a vendor and the vendor.
fn first() -> (Vendor, SignedDocument) {
    let vendor = Vendor::new();
    let document = vendor.document();
    let signed = SignedDocument::open(&sign(&document, &vendor.root())).unwrap();
    (vendor, signed)
}

fn sign(document: &TrustDocument, keys: &[&SigningKey]) -> Vec<u8> {
    crate::trust::testing::envelope(DOCUMENT_TYPE, document.to_bytes(), keys).to_bytes()
}

/// Returns the document after `held` before anything else is changed.
fn after(held: &SignedDocument) -> TrustDocument {
    let mut next = held.document().clone();
    next.version += 1;
    next
}

#[test]
fn a_document_needs_its_own_root_keys() {
    let (vendor, signed) = first();
    assert_eq!(signed.signers().len(), 2);
    let document = signed.document();
    assert_eq!(signed.payload_digest(), &Digest::of(&document.to_bytes()));
    let one = sign(document, &vendor.root()[..1]);
    let error = SignedDocument::open(&one).unwrap_err();
    assert_eq!(error, InvalidTrust::Threshold { version: 1, of: 1, threshold: 2, found: 1 });
    let twice = sign(document, &[vendor.root()[0], vendor.root()[0]]);
    assert!(SignedDocument::open(&twice).is_err(), "one key counts once");
    let others = sign(document, &[&vendor.stable[0], &vendor.stable[1]]);
    assert!(SignedDocument::open(&others).is_err(), "keys of another role");
    let mut envelope = Envelope::parse(signed.envelope(), DOCUMENT_TYPE, DOCUMENT_LIMIT).unwrap();
    let at = envelope.payload.windows(6).position(|window| window == b"stable").unwrap();
    envelope.payload[at] = b'S';
    assert!(matches!(SignedDocument::open(&envelope.to_bytes()), Err(InvalidTrust::Threshold { found: 0, .. })));
}

#[test]
fn the_next_document_is_signed_by_the_root_keys_of_both_versions() {
    let (vendor, held) = first();
    let new = [SigningKey::generate(), SigningKey::generate()];
    let mut next = after(&held);
    next.root.keys = new.iter().map(|key| key.key().id()).collect();
    next.keys.extend(new.iter().map(|key| (key.key().id(), key.key())));
    let old: Vec<&SigningKey> = vendor.root();
    let both = [old[0], old[1], &new[0], &new[1]];
    let accepted = held.next(&sign(&next, &both)).unwrap();
    assert_eq!((accepted.document().version, accepted.signers().len()), (2, 4));
    let error = held.next(&sign(&next, &[&new[0], &new[1], old[0]])).unwrap_err();
    assert_eq!(error, InvalidTrust::Threshold { version: 2, of: 1, threshold: 2, found: 1 });
    let error = held.next(&sign(&next, &[&new[0], old[0], old[1]])).unwrap_err();
    assert_eq!(error, InvalidTrust::Threshold { version: 2, of: 2, threshold: 2, found: 1 });
    // The old keys have left the role and cannot sign version 3.
    let third = after(&accepted);
    assert!(accepted.next(&sign(&third, &old)).is_err());
    accepted.next(&sign(&third, &[&new[0], &new[1]])).unwrap();
}

#[test]
fn a_chain_has_no_gaps_and_never_goes_back() {
    let (vendor, held) = first();
    for version in [1, 3, (1 << 53) - 1] {
        let mut next = after(&held);
        next.version = version;
        let error = held.next(&sign(&next, &vendor.root())).unwrap_err();
        assert_eq!(error, InvalidTrust::Version { expected: 2, found: version });
    }
    let mut next = after(&held);
    "another".clone_into(&mut next.product);
    let error = held.next(&sign(&next, &vendor.root())).unwrap_err();
    assert_eq!(error.to_string(), "trust document version 2: expected the product `alga-appliance`, found `another`");
}

#[test]
fn the_epoch_of_a_channel_never_falls() {
    let (vendor, held) = first();
    let mut next = after(&held);
    next.channels.get_mut("stable").unwrap().epoch = 5;
    let held = held.next(&sign(&next, &vendor.root())).unwrap();
    let mut next = after(&held);
    next.channels.get_mut("stable").unwrap().epoch = 4;
    let error = held.next(&sign(&next, &vendor.root())).unwrap_err();
    assert_eq!(error.to_string(), "trust document version 3: the epoch of the channel stable falls from 5 to 4");
    next.channels.remove("stable");
    held.next(&sign(&next, &vendor.root())).unwrap();
}

#[test]
fn a_document_counts_until_it_expires() {
    let (_, held) = first();
    let expires = held.document().expires;
    assert!(held.document().is_current(Time::from_seconds(expires.seconds() - 1)));
    assert!(!held.document().is_current(expires));
}

#[test]
fn whatever_is_not_a_signed_document_is_refused() {
    for bytes in [&b""[..], b"{}", b"\xff\xfe", b"[[[[", &vec![b'{'; 100_000]] {
        assert!(matches!(SignedDocument::open(bytes), Err(InvalidTrust::Malformed(_))));
    }
    let (vendor, held) = first();
    let other =
        crate::trust::testing::envelope("application/vnd.in-toto+json", held.document().to_bytes(), &vendor.root());
    let error = SignedDocument::open(&other.to_bytes()).unwrap_err();
    assert!(
        error.to_string().contains("payloadType: expected `application/vnd.alga.appliance.trust.v1+json`"),
        "{error}"
    );
}

//! Bytes that are nearly right, which random bytes never are.

use proptest::prelude::*;

use super::statement::tests::{channel, refresh};
use super::testing::{SigningKey, Vendor, bundle, envelope};
use super::*;
use crate::oci::Digest;

/// Returns the bytes with some of them replaced, removed or repeated.
fn damaged(bytes: &[u8], damages: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, how, byte) in damages.iter().copied().filter(|_| !bytes.is_empty()).collect::<Vec<_>>() {
        let at = at % bytes.len().max(1);
        match how % 5 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, byte),
            2 => drop(bytes.drain(at..(at + usize::from(byte) % 40).min(bytes.len()))),
            3 => bytes.extend_from_within(at..(at + usize::from(byte)).min(bytes.len())),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|one| *one = byte),
        }
    }
    bytes
}

fn statements(bytes: &[u8]) -> Result<(), TestCaseError> {
    match Statement::parse(bytes) {
        Ok(read) => prop_assert_eq!(Statement::parse(&read.to_payload()), Ok(read)),
        Err(malformed) => prop_assert!(!malformed.problems().is_empty()),
    }
    if let Ok(read) = Claim::parse(bytes) {
        prop_assert_eq!(Claim::parse(&read.to_bytes()), Ok(read));
    }
    Ok(())
}

fn envelopes(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(read) = SignatureBundle::parse(bytes) {
        prop_assert_eq!(SignatureBundle::parse(&read.to_bytes()), Ok(read));
    }
    if let Ok(read) = Envelope::parse(bytes, DOCUMENT_TYPE, DOCUMENT_LIMIT) {
        let again = Envelope::parse(&read.to_bytes(), DOCUMENT_TYPE, usize::MAX).expect("what was written");
        prop_assert_eq!(again.to_bytes(), read.to_bytes());
    }
    if let Ok(read) = SignedDocument::open(bytes) {
        prop_assert!(read.signers().len() >= read.document().root.threshold);
    }
    Ok(())
}

fn documents(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(read) = TrustDocument::parse(bytes) {
        prop_assert_eq!(TrustDocument::parse(&read.to_bytes()), Ok(read));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_bytes_are_refused_or_read_in_one_way(
        damages in prop::collection::vec(prop::collection::vec(any::<(usize, u8, u8)>(), 0..4), 100),
    ) {
        let vendor = Vendor::new();
        let document = vendor.document();
        let key = SigningKey::generate();
        let claim = Claim { reference: "r.io/a".to_owned(), digest: Digest::of(b"") }.to_bytes();
        let payloads = [channel().to_payload(), refresh().to_payload(), Statement::Artifact(Digest::of(b"")).to_payload(), claim];
        let bundle = bundle(&payloads[0], &key);
        let signed = envelope(DOCUMENT_TYPE, document.to_bytes(), &vendor.root()).to_bytes();
        for damage in &damages {
            for payload in &payloads {
                statements(&damaged(payload, damage))?;
            }
            for bytes in [&bundle, &signed] {
                envelopes(&damaged(bytes, damage))?;
            }
            documents(&damaged(&document.to_bytes(), damage))?;
            let der = damaged(key.key().der(), damage);
            prop_assert!(Key::from_der(&der).is_ok_and(|read| read.der() == der) || Key::from_der(&der).is_err());
        }
    }
}

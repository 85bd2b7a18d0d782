//! A trust document is refused with its problems, or is the same again once it was written and read. Without signatures,
//! nothing follows from it.
#![no_main]

use alga_release::trust::{DOCUMENT_LIMIT, DOCUMENT_TYPE, Envelope, SignedDocument, TrustDocument};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    assert!(SignedDocument::open(bytes).is_err(), "these bytes have no signature");
    let envelope = Envelope::new(DOCUMENT_TYPE, bytes.to_vec());
    assert!(SignedDocument::open(&envelope.to_bytes()).is_err(), "the envelope has no signature");
    match TrustDocument::parse(bytes) {
        Ok(document) => {
            let written = document.to_bytes();
            if written.len() <= DOCUMENT_LIMIT {
                let again = TrustDocument::parse(&written).expect("what was written is read");
                assert_eq!(again, document);
                assert_eq!(again.to_bytes(), written);
            }
            for key in document.keys.keys() {
                assert!(document.roles_of(key).len() <= 1 + 2 * document.channels.len());
            }
        }
        Err(malformed) => assert!(!malformed.problems().is_empty() && !malformed.to_string().is_empty()),
    }
});

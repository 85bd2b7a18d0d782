//! A bundle or an envelope is refused with a reason, or is the same again once it was written and read. No key signed it.
#![no_main]

use alga_release::trust::{BUNDLE_LIMIT, DOCUMENT_TYPE, Envelope, Key, KeyId, SignatureBundle};
use libfuzzer_sys::fuzz_target;

/// The base point of the curve.
const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt
6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==
-----END PUBLIC KEY-----
";

fuzz_target!(|bytes: &[u8]| {
    let key = Key::from_pem(KEY.as_bytes()).expect("a key");
    let id: KeyId = key.id();
    match SignatureBundle::parse(bytes) {
        Ok(bundle) => {
            let _ = bundle.signer([(&id, &key)].into_iter());
            let written = bundle.to_bytes();
            assert_eq!(SignatureBundle::parse(&written).expect("what was written is read"), bundle);
        }
        Err(malformed) => assert!(!malformed.problems().is_empty() && !malformed.to_string().is_empty()),
    }
    if let Ok(envelope) = Envelope::parse(bytes, DOCUMENT_TYPE, BUNDLE_LIMIT) {
        assert!(envelope.signers([(&id, &key)].into_iter()).len() <= 1);
        let written = envelope.to_bytes();
        let again = Envelope::parse(&written, DOCUMENT_TYPE, usize::MAX).expect("what was written is read");
        assert_eq!(again.to_bytes(), written);
    }
    let _ = Key::from_der(bytes).or_else(|_| Key::from_pem(bytes)).map(|key| key.verify(bytes, bytes));
});

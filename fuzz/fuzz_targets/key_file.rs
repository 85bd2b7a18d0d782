//! A key file is refused, or its key signs and is the same key again once it was written and read.
#![no_main]

use alga_release::signing::KeyFile;
use libfuzzer_sys::fuzz_target;
use secrecy::{ExposeSecret, SecretString};

fuzz_target!(|text: &[u8]| match KeyFile::parse(text) {
    Ok(KeyFile::Plain(key)) => {
        assert!(key.key().verify(b"message", &key.sign(b"message")));
        let written = key.to_pem();
        let again = KeyFile::parse(written.expose_secret().as_bytes()).expect("what was written is read");
        let again = again.unlock(&SecretString::default()).expect("a key without a password");
        assert_eq!(again.key(), key.key());
    }
    // Its password costs too much time for every input.
    Ok(KeyFile::Encrypted(_)) => {}
    Err(invalid) => assert!(!invalid.to_string().is_empty()),
});

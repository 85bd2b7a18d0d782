//! A statement or a claim is refused with a reason, or is the same again once it was written and read.
#![no_main]

use alga_release::trust::{Claim, Statement, Time};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match Statement::parse(bytes) {
        Ok(statement) => {
            let payload = statement.to_payload();
            let again = Statement::parse(&payload).expect("what was written is read");
            assert_eq!(again, statement);
            assert_eq!(again.to_payload(), payload);
        }
        Err(malformed) => assert!(!malformed.problems().is_empty() && !malformed.to_string().is_empty()),
    }
    match Claim::parse(bytes) {
        Ok(claim) => assert_eq!(Claim::parse(&claim.to_bytes()).expect("what was written is read"), claim),
        Err(malformed) => assert!(!malformed.problems().is_empty()),
    }
    if let Some(time) = str::from_utf8(bytes).ok().and_then(|text| text.parse::<Time>().ok()) {
        assert_eq!(time.to_string().as_bytes(), bytes);
    }
});

//! Any text parses as a template or is refused, with places inside of the text; what parsed can be walked and dropped.
#![no_main]

use alga_release::template;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match template::parse(text) {
        Ok(template) => {
            for one in template.uses() {
                assert!(text.get(one.span).is_some(), "a place is not in the text");
            }
            for definition in &template.definitions {
                assert!(text.get(definition.span.clone()).is_some(), "a place is not in the text");
            }
        }
        Err(error) => {
            assert!(text.get(error.at..).is_some(), "a place is not in the text");
            assert!(error.opened.is_none_or(|at| text[at..].starts_with("{{")), "no block is opened there");
        }
    }
});

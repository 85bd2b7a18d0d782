//! The parameters of operations that a test calls in its own process.

use std::sync::Mutex;

use alga_release::image::Check;
use alga_release::ops::{PackRequest, RevisionRequest};
use alga_release::plan::{Event, Progress};

use super::programs::Source;

/// Keeps the notes and warnings of an operation.
#[derive(Debug, Default)]
pub struct Heard(pub Mutex<Vec<String>>);

impl Progress for Heard {
    fn event(&self, event: &Event<'_>) {
        if let Event::Note { text } | Event::Warning { text } = event {
            self.0.lock().expect("a lock").push((*text).to_owned());
        }
    }
}

/// Returns the request to pack a version of a source tree at a fixed commit and time, without checking its images.
pub fn tree(source: &Source, version: &str) -> PackRequest {
    let [version, channel] = [version, "nightly"].map(|tag| tag.parse().expect("a tag"));
    let revision = RevisionRequest { commit: Some("a".repeat(40)), source_url: None, epoch: Some(1_700_000_000) };
    let image_check = Some(Check::Off);
    PackRequest { image_check, revision, ..PackRequest::new(source.path(""), version, channel) }
}

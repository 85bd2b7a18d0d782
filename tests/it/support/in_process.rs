//! What the operations get when they are called in the test's own process.

use std::sync::Mutex;

use alga_release::image::Check;
use alga_release::ops::{PackRequest, RevisionRequest};
use alga_release::plan::{Event, Progress};

use super::programs::Source;

/// Keeps notes and warnings.
#[derive(Debug, Default)]
pub struct Heard(pub Mutex<Vec<String>>);

impl Progress for Heard {
    fn event(&self, event: &Event<'_>) {
        if let Event::Note { text } | Event::Warning { text } = event {
            self.0.lock().expect("a lock").push((*text).to_owned());
        }
    }
}

/// A version of a source tree for the channel `nightly`, at a fixed commit and time, without a look at its images.
pub fn tree(source: &Source, version: &str) -> PackRequest {
    let [version, channel] = [version, "nightly"].map(|tag| tag.parse().expect("a tag"));
    let revision = RevisionRequest { commit: Some("a".repeat(40)), source_url: None, epoch: Some(1_700_000_000) };
    let image_check = Some(Check::Off);
    PackRequest { image_check, revision, ..PackRequest::new(source.path(""), version, channel) }
}

//! Recognizes that a registry refuses a write until a person changes something. Each vendor reports this in another
//! way.

use reqwest::StatusCode;

use super::Error;
use super::client::{Answer, Operation};
use super::error::{Refusal, kind_of};
use crate::oci::{Kind, Obstacle};

/// The part of a push that a registry refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// The start of an upload.
    Start,
    /// The content of a blob.
    Blob,
    /// A manifest that is pushed by digest.
    Manifest,
    /// A manifest that is pushed under a tag.
    Tag,
}

/// Returns the error for a write that was not successful.
pub(super) fn write_refused(operation: &Operation, answer: &Answer, written: Written) -> Error {
    let refusal = Refusal::parse(&answer.body);
    let kind = refusal.obstacle(answer.status, written).map_or_else(|| kind_of(answer.status), Kind::Blocked);
    refusal.error(operation, answer, kind)
}

impl Refusal {
    /// Returns the reason why the registry refuses the write for good, and `None` for missing permissions, missing
    /// blobs and transient errors. Registries use different status codes for the same reason, so their messages are
    /// searched as well:
    ///
    /// - immutable tag: Harbor 412 `configured as immutable`, Quay 409, ECR 400 `cannot be overwritten because the
    ///   repository is immutable`, Google 400 `has enabled tag immutability`, Nexus 400 `does not allow updating
    ///   assets`, Artifactory 403 `Not enough permissions to delete/overwrite artifact`;
    /// - full registry: Harbor 403 `will exceed the configured upper limit`, Quay 403 `Quota has been exceeded`.
    fn obstacle(&self, status: StatusCode, written: Written) -> Option<Obstacle> {
        let text = self.text.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let keeps = ["immutab", "cannot be overwritten", "delete/overwrite", "does not allow updating"];
        let full = ["quota", "upper limit", "storage limit", "maximum allowed number"];
        match status.as_u16() {
            507 => Some(Obstacle::Quota),
            400..=499 if written == Written::Tag && says(&keeps) => Some(Obstacle::ImmutableTag),
            409 | 412 if written == Written::Tag => Some(Obstacle::ImmutableTag),
            413 => Some(Obstacle::Size),
            402 | 403 if says(&full) => Some(Obstacle::Quota),
            404 if written == Written::Start || self.has("NAME_UNKNOWN") => Some(Obstacle::NoRepository),
            401 | 403 | 404 | 408 | 429 => None,
            400..=499 if self.has("NAME_UNKNOWN") => Some(Obstacle::NoRepository),
            400..=499 => Some(Obstacle::Content),
            _ => None,
        }
    }
}

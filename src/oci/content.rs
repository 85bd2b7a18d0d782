//! Bytes together with what they are. A digest is always of bytes that are at hand.

use bytes::Bytes;

use super::Descriptor;

/// Some content and its descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    descriptor: Descriptor,
    bytes: Bytes,
}

impl Content {
    /// Describes `bytes`, once.
    pub fn new(media_type: &str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { descriptor: Descriptor::of(media_type, &bytes), bytes }
    }

    /// What it is.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The bytes that the descriptor describes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same bytes, annotated where a manifest names them.
    #[must_use]
    pub fn annotated(mut self, key: &str, value: &str) -> Self {
        self.descriptor = self.descriptor.annotated(key, value);
        self
    }

    /// The same bytes, with the artifact type that their manifest states.
    pub(super) fn typed(mut self, artifact_type: Option<&str>) -> Self {
        self.descriptor.artifact_type = artifact_type.map(ToOwned::to_owned);
        self
    }
}

//! Bytes in memory together with their descriptor.

use bytes::Bytes;

use super::{Content, Descriptor};

/// A manifest or an index as it is stored. Unlike a [`Content`], its bytes are always in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    content: Content,
    bytes: Bytes,
}

impl Document {
    /// Describes `bytes`, once.
    pub fn new(media_type: &str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { content: Content::new(media_type, bytes.clone()), bytes }
    }

    /// Returns the descriptor of the bytes.
    pub fn descriptor(&self) -> &Descriptor {
        self.content.descriptor()
    }

    /// Returns the bytes that the descriptor describes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the same as something to be stored.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The same bytes, with the artifact type that they state as a manifest.
    pub(super) fn typed(self, artifact_type: Option<&str>) -> Self {
        Self { content: self.content.typed(artifact_type), bytes: self.bytes }
    }
}

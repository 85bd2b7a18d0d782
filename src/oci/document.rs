//! Bytes in memory together with their descriptor.

use bytes::Bytes;

use super::{Content, Descriptor};

/// A manifest or an index with its stored bytes. Unlike those of a [`Content`], the bytes are always in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    content: Content,
    bytes: Bytes,
}

impl Document {
    /// Computes the descriptor of `bytes`, once.
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

    /// Returns the document as content that can be stored.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Sets the artifact type in the descriptor to the one that the manifest states.
    pub(super) fn typed(self, artifact_type: Option<&str>) -> Self {
        Self { content: self.content.typed(artifact_type), bytes: self.bytes }
    }
}

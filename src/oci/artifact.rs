//! A manifest and all that it names, packed: every digest is known before a store is touched.

use std::collections::BTreeMap;

use super::{Content, Descriptor, Digest, Manifest, media_type};

/// A manifest with its blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    manifest: Content,
    blobs: Vec<Content>,
}

impl Artifact {
    /// Packs an OCI image manifest around `config` and `layers`. A blob that stands twice is kept once.
    pub fn pack(
        artifact_type: Option<&str>,
        config: Content,
        layers: Vec<Content>,
        annotations: BTreeMap<String, String>,
    ) -> Self {
        let mut manifest = Manifest::new(
            config.descriptor().clone(),
            layers.iter().map(|layer| layer.descriptor().clone()).collect(),
            annotations,
        );
        manifest.artifact_type = artifact_type.map(ToOwned::to_owned);
        let bytes = serde_json::to_vec(&manifest).expect("a manifest has text keys alone");
        let mut blobs: Vec<Content> = vec![config];
        for layer in layers {
            if blobs.iter().all(|blob| blob.descriptor().digest != layer.descriptor().digest) {
                blobs.push(layer);
            }
        }
        Self { manifest: Content::new(media_type::IMAGE_MANIFEST, bytes).typed(artifact_type), blobs }
    }

    /// The manifest.
    pub fn manifest(&self) -> &Content {
        &self.manifest
    }

    /// Descriptor of the manifest.
    pub fn descriptor(&self) -> &Descriptor {
        self.manifest.descriptor()
    }

    /// Digest of the manifest: the artifact's identity.
    pub fn digest(&self) -> &Digest {
        &self.descriptor().digest
    }

    /// Config and layers, each once.
    pub fn blobs(&self) -> &[Content] {
        &self.blobs
    }

    /// Count of all bytes.
    pub fn size(&self) -> u64 {
        self.descriptor().size + self.blobs.iter().map(|blob| blob.descriptor().size).sum::<u64>()
    }
}

//! A manifest with everything that it names, packed: every digest is known before the first request to a store.

use std::collections::{BTreeMap, BTreeSet};

use super::{Content, Descriptor, Digest, Document, Index, Manifest, media_type};

/// A manifest with its blobs, and for an index with the manifests that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    manifest: Document,
    /// Manifests that an index names.
    manifests: Vec<Document>,
    blobs: Vec<Content>,
}

impl Artifact {
    /// Packs an OCI image manifest around `config` and `layers`. A blob that occurs twice is kept once.
    pub fn pack(
        artifact_type: Option<&str>,
        config: Content,
        layers: Vec<Content>,
        annotations: BTreeMap<String, String>,
    ) -> Self {
        Self::packed(artifact_type, config, layers, None, annotations)
    }

    /// Packs a manifest that refers to `subject`, with the empty config.
    ///
    /// <https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md#guidelines-for-artifact-usage>
    pub fn pack_referrer(
        artifact_type: &str,
        layers: Vec<Content>,
        subject: Descriptor,
        annotations: BTreeMap<String, String>,
    ) -> Self {
        let config = Content::new(media_type::EMPTY, b"{}".to_vec());
        Self::packed(Some(artifact_type), config, layers, Some(Box::new(subject)), annotations)
    }

    fn packed(
        artifact_type: Option<&str>,
        config: Content,
        layers: Vec<Content>,
        subject: Option<Box<Descriptor>>,
        annotations: BTreeMap<String, String>,
    ) -> Self {
        let named = layers.iter().map(|layer| layer.descriptor().clone()).collect();
        let mut manifest = Manifest::new(config.descriptor().clone(), named, annotations);
        manifest.artifact_type = artifact_type.map(ToOwned::to_owned);
        manifest.subject = subject;
        let bytes = serde_json::to_vec(&manifest).expect("a manifest has only text keys");
        let manifest = Document::new(media_type::IMAGE_MANIFEST, bytes).typed(artifact_type);
        Self::of(manifest, Vec::new(), std::iter::once(config).chain(layers).collect())
    }

    /// Builds an artifact from a manifest that is already packed: an image manifest with its blobs, or an index with
    /// its manifests and all their blobs. Content that occurs twice is kept once.
    pub fn of(manifest: Document, manifests: Vec<Document>, blobs: Vec<Content>) -> Self {
        let manifests = each_once(manifests, Document::descriptor);
        Self { manifest, manifests, blobs: each_once(blobs, Content::descriptor) }
    }

    /// Returns the manifest or index.
    pub fn manifest(&self) -> &Document {
        &self.manifest
    }

    /// Returns the descriptor of the manifest.
    pub fn descriptor(&self) -> &Descriptor {
        self.manifest.descriptor()
    }

    /// Returns the digest of the manifest, which identifies the artifact.
    pub fn digest(&self) -> &Digest {
        &self.descriptor().digest
    }

    /// Returns the manifests that an index names. They are stored by digest, before the index.
    pub fn manifests(&self) -> &[Document] {
        &self.manifests
    }

    /// Returns how many manifests of an index are not part of this artifact, because their platforms were left out.
    pub fn absent(&self) -> usize {
        if !media_type::is_index(&self.descriptor().media_type) {
            return 0;
        }
        let named = Index::parse(&self.descriptor().media_type, self.manifest.bytes())
            .map(|index| index.manifests)
            .unwrap_or_default();
        let carried = |digest: &Digest| self.manifests.iter().any(|manifest| manifest.descriptor().digest == *digest);
        named.iter().filter(|manifest| !carried(&manifest.digest)).count()
    }

    /// Returns the config that the manifest names. An index has none.
    pub fn config(&self) -> Option<&Content> {
        let manifest = Manifest::parse(&self.descriptor().media_type, self.manifest.bytes()).ok()?;
        self.blobs.iter().find(|blob| blob.descriptor().digest == manifest.config.digest)
    }

    /// Returns the configs and layers of all manifests, each once.
    pub fn blobs(&self) -> &[Content] {
        &self.blobs
    }

    /// Returns the size of all contents in bytes.
    pub fn size(&self) -> u64 {
        self.contents().map(|content| content.descriptor().size).sum()
    }

    /// Returns all contents in the order in which they are stored.
    pub fn contents(&self) -> impl Iterator<Item = &Content> {
        let manifests = self.manifests.iter().chain([&self.manifest]).map(Document::content);
        self.blobs.iter().chain(manifests)
    }
}

fn each_once<T>(contents: Vec<T>, descriptor: impl Fn(&T) -> &Descriptor) -> Vec<T> {
    let mut seen = BTreeSet::new();
    contents.into_iter().filter(|content| seen.insert(descriptor(content).digest.clone())).collect()
}

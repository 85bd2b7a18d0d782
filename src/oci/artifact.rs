//! A manifest and all that it names, packed: every digest is known before a store is touched.

use std::collections::{BTreeMap, BTreeSet};

use super::{Content, Descriptor, Digest, Document, Index, Manifest, media_type};

/// A manifest with its blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    manifest: Document,
    /// The manifests that an index names.
    manifests: Vec<Document>,
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
        let manifest = Document::new(media_type::IMAGE_MANIFEST, bytes).typed(artifact_type);
        Self::of(manifest, Vec::new(), std::iter::once(config).chain(layers).collect())
    }

    /// What is packed already: a manifest, or an index with the manifests that it names, and all their blobs. What stands twice is
    /// kept once.
    pub fn of(manifest: Document, manifests: Vec<Document>, blobs: Vec<Content>) -> Self {
        let manifests = each_once(manifests, Document::descriptor);
        Self { manifest, manifests, blobs: each_once(blobs, Content::descriptor) }
    }

    /// Returns the manifest.
    pub fn manifest(&self) -> &Document {
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

    /// Where it is an index, the manifests that it names: stored by their digests, before it.
    pub fn manifests(&self) -> &[Document] {
        &self.manifests
    }

    /// Where it is an index, how many of the manifests that it names it does not carry: platforms that were left.
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

    /// Returns the config that the manifest names; an index names none.
    pub fn config(&self) -> Option<&Content> {
        let manifest = Manifest::parse(&self.descriptor().media_type, self.manifest.bytes()).ok()?;
        self.blobs.iter().find(|blob| blob.descriptor().digest == manifest.config.digest)
    }

    /// Config and layers, of all manifests, each once.
    pub fn blobs(&self) -> &[Content] {
        &self.blobs
    }

    /// Count of all bytes.
    pub fn size(&self) -> u64 {
        self.contents().map(|content| content.descriptor().size).sum()
    }

    /// Everything, in the order of storing.
    pub fn contents(&self) -> impl Iterator<Item = &Content> {
        let manifests = self.manifests.iter().chain([&self.manifest]).map(Document::content);
        self.blobs.iter().chain(manifests)
    }
}

fn each_once<T>(contents: Vec<T>, descriptor: impl Fn(&T) -> &Descriptor) -> Vec<T> {
    let mut seen = BTreeSet::new();
    contents.into_iter().filter(|content| seen.insert(descriptor(content).digest.clone())).collect()
}

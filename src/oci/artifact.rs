//! A manifest and all that it names, packed: every digest is known before a store is touched.

use std::collections::{BTreeMap, BTreeSet};

use super::{Content, Descriptor, Digest, Index, Manifest, media_type};

/// A manifest with its blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    manifest: Content,
    /// Where it is an index: the manifests that it names.
    manifests: Vec<Content>,
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
        let manifest = Content::new(media_type::IMAGE_MANIFEST, bytes).typed(artifact_type);
        Self::of(manifest, Vec::new(), std::iter::once(config).chain(layers).collect())
    }

    /// What is packed already: a manifest, or an index with the manifests that it names, and all their blobs. What stands twice is
    /// kept once.
    pub fn of(manifest: Content, manifests: Vec<Content>, blobs: Vec<Content>) -> Self {
        Self { manifest, manifests: each_once(manifests), blobs: each_once(blobs) }
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

    /// Where it is an index, the manifests that it names: stored by their digests, before it.
    pub fn manifests(&self) -> &[Content] {
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
        self.blobs.iter().chain(&self.manifests).chain(std::iter::once(&self.manifest))
    }
}

fn each_once(contents: Vec<Content>) -> Vec<Content> {
    let mut seen = BTreeSet::new();
    contents.into_iter().filter(|content| seen.insert(content.descriptor().digest.clone())).collect()
}

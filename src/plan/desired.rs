//! The content that a store holds, and the release that a channel serves, after a plan.

use serde::Serialize;

use super::observe::Observed;
use crate::image::Platform;
use crate::oci::{Artifact, Attached, Digest, Pinned, Prefix, Repository, Tag};
use crate::release::{self, Release};

/// The role of an artifact in a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ArtifactKind {
    /// A Helm chart of the source tree.
    Chart,
    /// The config bundle of the release.
    Bundle,
    /// A container image: the control plane's image, or an image that is copied.
    Image,
    /// The release manifest itself.
    Release,
}

impl ArtifactKind {
    /// Returns the word for the kind that messages and reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chart => "chart",
            Self::Bundle => "bundle",
            Self::Image => "image",
            Self::Release => "release",
        }
    }
}

/// An artifact that the plan writes if the store lacks it, and the immutable tag that keeps it.
#[derive(Clone, Debug)]
pub struct DesiredArtifact {
    /// Role of the artifact in the release.
    pub kind: ArtifactKind,
    /// Name of the chart, the image or the repository, for messages.
    pub name: String,
    /// Version of the artifact. The tag is the same text with `_` in place of `+`.
    pub version: String,
    /// Repository below the store's prefix.
    pub repository: Repository,
    /// Tag that protects the artifact from the registry's garbage collection.
    pub tag: Tag,
    /// The manifest with everything that it names.
    pub artifact: Artifact,
}

/// The release that a store holds after the plan.
#[derive(Clone, Debug)]
pub struct DesiredRelease {
    /// Repository of releases and channels, below the store's prefix.
    pub repository: Repository,
    /// Version of the release.
    pub version: String,
    /// Digest of the release manifest.
    pub digest: Digest,
    /// JSON of the release, as it was read from its source.
    pub json: Vec<u8>,
    /// The manifest and its tag, if the plan may write them. Absent within one store, which already holds the release.
    pub written: Option<DesiredArtifact>,
}

/// All artifacts of one release in one store.
#[derive(Clone, Debug)]
pub struct Desired {
    /// Name under which appliances read the store.
    pub prefix: Prefix,
    /// Artifacts that the plan writes if the store lacks them, in the order of writing: charts, bundle, images.
    pub artifacts: Vec<DesiredArtifact>,
    /// The release manifest, which is written after all other artifacts.
    pub release: DesiredRelease,
    /// Referrers of the artifacts (signatures, SBOMs), by their target repository.
    pub attached: Vec<(Repository, Attached)>,
    /// Artifacts that the release names by digest and that the plan does not write.
    pub named: Vec<Pinned>,
    /// Images in the store that were only read with the publisher's credentials. They must be publicly readable before
    /// a channel moves.
    pub unread: Vec<(Repository, Digest)>,
    /// Platform that those images are needed for; absent when all platforms are needed.
    pub platform: Option<Platform>,
}

impl Desired {
    /// Returns a release that is in the store already: nothing of it is written.
    pub(crate) fn stored(prefix: Prefix, release: DesiredRelease) -> Self {
        let (artifacts, attached, named, unread) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { prefix, artifacts, release, attached, named, unread, platform: None }
    }

    /// Returns everything that the plan may write, the release manifest last.
    pub fn all(&self) -> impl Iterator<Item = &DesiredArtifact> {
        self.artifacts.iter().chain(&self.release.written)
    }

    /// Returns every artifact that the release names by digest, under its name in the target store, sorted.
    pub(super) fn references(&self) -> Vec<Pinned> {
        let written = self.artifacts.iter().map(|one| Pinned {
            repository: self.prefix.name_of(&one.repository),
            digest: one.artifact.digest().clone(),
        });
        let mut references: Vec<Pinned> = written.chain(self.named.iter().cloned()).collect();
        references.sort();
        references.dedup();
        references
    }

    /// Replaces the release with the published one when the published one only lacks the description. Older publishers
    /// did not write the description, and a published version must not change.
    #[must_use]
    pub(crate) fn keeping(mut self, observed: &Observed) -> Self {
        let published = observed.release.as_ref().and_then(|existing| existing.json.as_deref());
        if let Some(json) = published.and_then(|published| release::without_description(published, &self.release.json))
        {
            let artifact = Release::artifact(json.clone());
            (self.release.json, self.release.digest) = (json, artifact.digest().clone());
            if let Some(written) = &mut self.release.written {
                written.artifact = artifact;
            }
        }
        self
    }
}

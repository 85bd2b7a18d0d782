//! What a store holds, and a channel serves, when a plan is done.

use serde::Serialize;

use super::observe::Observed;
use crate::image::Platform;
use crate::oci::{Artifact, Attached, Digest, Pinned, Prefix, Repository, Tag};
use crate::release::{self, Release};

/// What an artifact is to a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ArtifactKind {
    /// A Helm chart.
    Chart,
    /// The config bundle.
    Bundle,
    /// A container image: the control plane's, or one that is copied.
    Image,
    /// The release manifest.
    Release,
}

impl ArtifactKind {
    /// Returns the word for the kind in messages and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chart => "chart",
            Self::Bundle => "bundle",
            Self::Image => "image",
            Self::Release => "release",
        }
    }
}

/// An artifact that a plan writes unless it is there, and the immutable tag that keeps it.
#[derive(Clone, Debug)]
pub struct DesiredArtifact {
    /// What the artifact is to the release.
    pub kind: ArtifactKind,
    /// Name for people: of the chart, the image or the repository.
    pub name: String,
    /// Version of the artifact; its tag is the same except for `+`.
    pub version: String,
    /// Repository below the store's prefix.
    pub repository: Repository,
    /// Tag that keeps the artifact from being collected.
    pub tag: Tag,
    /// The manifest with everything that it names.
    pub artifact: Artifact,
}

/// The release that a store holds when a plan is done.
#[derive(Clone, Debug)]
pub struct DesiredRelease {
    /// Repository of releases and channels, below the store's prefix.
    pub repository: Repository,
    /// Version of the release.
    pub version: String,
    /// Digest of the release manifest.
    pub digest: Digest,
    /// JSON of the release, as it is read where the release comes from.
    pub json: Vec<u8>,
    /// The manifest and its tag, where the plan may write them. Within a store the release is there already: absent.
    pub written: Option<DesiredArtifact>,
}

/// All of one release, in one store.
#[derive(Clone, Debug)]
pub struct Desired {
    /// Name under which appliances read the store.
    pub prefix: Prefix,
    /// Artifacts that the plan writes unless they are there, in the order of writing: charts, bundle, images.
    pub artifacts: Vec<DesiredArtifact>,
    /// The release, which is written after all of them.
    pub release: DesiredRelease,
    /// What refers to the artifacts, by the repository that it goes to: signatures, bills of material.
    pub attached: Vec<(Repository, Attached)>,
    /// What the release names by digest and the plan does not write: checked, or left where it is.
    pub named: Vec<Pinned>,
    /// Images of the store that only the publisher's own credentials have read: the public must be able to read them before a
    /// channel moves.
    pub unread: Vec<(Repository, Digest)>,
    /// What those images have to run on; all of their platforms where it is absent.
    pub platform: Option<Platform>,
}

impl Desired {
    /// Returns everything that the plan may write, the release manifest last.
    pub fn all(&self) -> impl Iterator<Item = &DesiredArtifact> {
        self.artifacts.iter().chain(&self.release.written)
    }

    /// Returns what the release names by digest, under the names that it has in the target, sorted.
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

    /// Keeps the release that is published under the version when it lacks the description alone, which publishers before did not
    /// write: a published version does not change, and a channel serves what was published.
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

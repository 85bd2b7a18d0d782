//! What a store shall hold when a release is published.

use serde::Serialize;

use super::observe::Observed;
use crate::oci::{Artifact, Repository, Tag};
use crate::release::{self, Release};

/// What an artifact is to a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ArtifactKind {
    /// A Helm chart.
    Chart,
    /// The config bundle.
    Bundle,
    /// The control-plane image.
    Image,
    /// The release manifest.
    Release,
}

/// An artifact and the immutable tag that it shall have.
#[derive(Clone, Debug)]
pub struct DesiredArtifact {
    /// What it is.
    pub kind: ArtifactKind,
    /// Name for people.
    pub name: String,
    /// Its version; the tag is the same but for `+`.
    pub version: String,
    /// Where it goes.
    pub repository: Repository,
    /// Under which tag.
    pub tag: Tag,
    /// The bytes.
    pub artifact: Artifact,
}

/// All of one release.
#[derive(Clone, Debug)]
pub struct Desired {
    /// Charts, bundle and control-plane image, in the order of writing.
    pub artifacts: Vec<DesiredArtifact>,
    /// The release manifest, written after all of them.
    pub release: DesiredArtifact,
    /// Its JSON.
    pub json: Vec<u8>,
    /// The channel that shall serve it, if one shall.
    pub channel: Option<Tag>,
}

impl Desired {
    /// Everything, the release manifest last.
    pub fn all(&self) -> impl Iterator<Item = &DesiredArtifact> {
        self.artifacts.iter().chain(std::iter::once(&self.release))
    }

    /// Keeps the release that is published under the version when it lacks the description alone, which publishers before did not
    /// write: a published version does not change, and a channel serves what was published.
    #[must_use]
    pub fn keeping(mut self, observed: &Observed) -> Self {
        let published = observed.release.as_ref().and_then(|existing| existing.json.as_deref());
        if let Some(json) = published.and_then(|published| release::without_description(published, &self.json)) {
            self.release.artifact = Release::artifact(json.clone());
            self.json = json;
        }
        self
    }
}

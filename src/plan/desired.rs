//! What a store shall hold when a release is published.

use serde::Serialize;

use crate::oci::{Artifact, Repository, Tag};

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
}

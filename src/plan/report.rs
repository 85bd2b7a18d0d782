//! What becomes of each artifact of a release, for people and programs.

use serde::Serialize;

use super::desired::{ArtifactKind, Desired, DesiredArtifact};
use super::planner::Plan;
use crate::oci::{Digest, Repository, Tag};

/// What happened, or in a dry run would happen, to an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was sent.
    Pushed,
    /// It was there already.
    Present,
    /// A dry run: it would be sent.
    WouldPush,
}

/// One artifact of a release.
#[derive(Clone, Debug, Serialize)]
pub struct ArtifactReport {
    /// What it is.
    pub kind: ArtifactKind,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where.
    pub repository: Repository,
    /// Under which tag.
    pub tag: Tag,
    /// Of its manifest.
    pub digest: Digest,
    /// Count of all its bytes.
    pub size: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// Returns what becomes of each artifact that `plan` may write, the release last.
pub(crate) fn artifact_reports(plan: &Plan, desired: &Desired, dry_run: bool) -> Vec<ArtifactReport> {
    let pushed = |artifact: &DesiredArtifact| {
        let digest = artifact.artifact.digest();
        plan.pushes().any(|(repository, pushed)| *repository == artifact.repository && pushed.digest == *digest)
    };
    let report = |artifact: &DesiredArtifact| ArtifactReport {
        kind: artifact.kind,
        name: artifact.name.clone(),
        version: artifact.version.clone(),
        repository: artifact.repository.clone(),
        tag: artifact.tag.clone(),
        // A release that differs by its `channel` alone is kept as it is.
        digest: match artifact.kind {
            ArtifactKind::Release => plan.approval.release.clone(),
            _ => artifact.artifact.digest().clone(),
        },
        size: artifact.artifact.size(),
        outcome: match (pushed(artifact), dry_run) {
            (true, false) => Outcome::Pushed,
            (true, true) => Outcome::WouldPush,
            (false, _) => Outcome::Present,
        },
    };
    desired.all().map(report).collect()
}

//! The outcome for each artifact of a release, for reports.

use serde::Serialize;

use super::desired::{ArtifactKind, Desired, DesiredArtifact};
use super::planner::Plan;
use crate::oci::{Digest, Repository, Tag};

/// The outcome for an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The artifact was pushed.
    Pushed,
    /// The store already had the artifact.
    Present,
    /// A dry run: the artifact would be pushed.
    WouldPush,
}

/// One artifact of a release.
#[derive(Clone, Debug, Serialize)]
pub struct ArtifactReport {
    /// Role of the artifact in the release.
    pub kind: ArtifactKind,
    /// Name of the chart, the image or the repository.
    pub name: String,
    /// Version of the artifact, before `+` becomes `_`.
    pub version: String,
    /// Repository below the store's prefix.
    pub repository: Repository,
    /// Tag that names the artifact.
    pub tag: Tag,
    /// Digest of the artifact's manifest.
    pub digest: Digest,
    /// Size of the manifest and all its blobs in bytes.
    pub size: u64,
    /// Outcome for the artifact in this run.
    pub outcome: Outcome,
}

/// Returns the outcome for each artifact that `plan` may write, the release last.
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
        // A published release that differs only in its `channel` is kept.
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

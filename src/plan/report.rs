//! What became of a publication, for people and programs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::desired::{ArtifactKind, Desired, DesiredArtifact};
use super::observe::Observed;
use super::publish::{Action, Plan};
use crate::oci::{Digest, Pinned, Repository, Tag};

/// Version of the report's JSON, `docs/schemas/report.json`.
const SCHEMA: &str = "alga.release.report/v1";

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

/// The channel of a publication.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelReport {
    /// Its name.
    pub name: Tag,
    /// Did it move, or in a dry run: would it?
    pub moves: bool,
    /// Version that it served before.
    pub from: Option<String>,
    /// Digest of its manifest after the move.
    pub manifest: Option<Digest>,
    /// Sequence of its last move.
    pub sequence: u64,
}

/// A publication.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Was nothing written by intent?
    pub dry_run: bool,
    /// Was there, or would there be, anything to write?
    pub has_changes: bool,
    /// Where it was published.
    pub store: String,
    /// Under which name appliances read it.
    pub prefix: String,
    /// The release's version.
    pub version: String,
    /// The release's digest.
    pub digest: Digest,
    /// Digest of the plan.
    pub plan_digest: Digest,
    /// The writes, in order.
    pub plan: Plan,
    /// Charts, bundle, release.
    pub artifacts: Vec<ArtifactReport>,
    /// The images that were pinned.
    pub images: BTreeMap<String, Pinned>,
    /// The control plane.
    pub control_plane: Option<Pinned>,
    /// The channel, when one was asked for.
    pub channel: Option<ChannelReport>,
    /// What people should know, sorted by place.
    pub warnings: Vec<String>,
}

impl Report {
    /// The report of `plan`, before it is executed.
    pub fn new(plan: &Plan, desired: &Desired, observed: &Observed, dry_run: bool) -> Self {
        let pushed = |artifact: &DesiredArtifact| {
            plan.actions.iter().any(|action| {
                matches!(action, Action::Push { repository, descriptor }
                    if *repository == artifact.repository && descriptor.digest == *artifact.artifact.digest())
            })
        };
        let artifacts = desired.all().map(|artifact| ArtifactReport {
            kind: artifact.kind,
            name: artifact.name.clone(),
            version: artifact.version.clone(),
            repository: artifact.repository.clone(),
            tag: artifact.tag.clone(),
            digest: artifact.artifact.digest().clone(),
            size: artifact.artifact.size(),
            outcome: match (pushed(artifact), dry_run) {
                (true, false) => Outcome::Pushed,
                (true, true) => Outcome::WouldPush,
                (false, _) => Outcome::Present,
            },
        });
        let mut artifacts: Vec<_> = artifacts.collect();
        let digest =
            observed.release.as_ref().map_or(desired.release.artifact.digest(), |release| &release.digest).clone();
        if let Some(release) = artifacts.last_mut() {
            release.digest = digest.clone();
        }
        Self {
            schema: SCHEMA,
            dry_run,
            has_changes: !plan.is_empty(),
            store: String::new(),
            prefix: String::new(),
            version: desired.release.version.clone(),
            digest,
            plan_digest: plan.digest(),
            plan: plan.clone(),
            artifacts,
            images: BTreeMap::new(),
            control_plane: None,
            channel: desired.channel.as_ref().map(|channel| channel_report(plan, observed, channel)),
            warnings: Vec::new(),
        }
    }
}

fn channel_report(plan: &Plan, observed: &Observed, channel: &Tag) -> ChannelReport {
    let moves = plan.actions.iter().find_map(|action| match action {
        Action::Move { sequence, .. } => Some(*sequence),
        _ => None,
    });
    let serves = observed.channel.as_ref();
    ChannelReport {
        name: channel.clone(),
        moves: moves.is_some(),
        from: serves.map(|serves| serves.version.clone()),
        manifest: serves.filter(|_| moves.is_none()).map(|serves| serves.manifest.clone()),
        sequence: moves.unwrap_or(observed.sequence),
    }
}

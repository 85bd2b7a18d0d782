//! The plan of a publication: pure.

use serde::Serialize;

use super::desired::{Desired, DesiredArtifact};
use super::observe::{ChannelState, Existing, Observed};
use crate::oci::{Descriptor, Digest, Repository, Tag};
use crate::release::{self, MoveKind};

/// One write.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum Action {
    /// A manifest and the blobs that it names.
    Push {
        /// Where.
        repository: Repository,
        /// Of the manifest.
        descriptor: Descriptor,
    },
    /// A tag that does not move any more.
    Tag {
        /// Where.
        repository: Repository,
        /// The tag.
        tag: Tag,
        /// What it names now.
        from: Option<Digest>,
        /// What it shall name.
        to: Digest,
    },
    /// The channel: the only tag that moves.
    Move {
        /// Where.
        repository: Repository,
        /// The channel.
        channel: Tag,
        /// Digest of the release that it shall serve.
        release: Digest,
        /// Of the JSON that it shall serve.
        config: Descriptor,
        /// Digest of the channel's manifest now.
        from: Option<Digest>,
        /// Of the move.
        sequence: u64,
        /// Why.
        kind: MoveKind,
    },
}

/// All writes, in order. Holds no bytes, handles or clock: it prints, compares and is what a dry run shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// Content, then version tags, then the move.
    pub actions: Vec<Action>,
}

impl Plan {
    /// Nothing to do?
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// Identity of the plan: sha256 of its JSON.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("a plan has text keys alone"))
    }
}

/// A publication that a rule forbids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The version holds other content.
    #[error(
        "{kind} {name} {version} is published already with other content: {repository}:{version} is {published}, this would be {ours}"
    )]
    Immutable {
        /// "chart", "bundle", "image", "release".
        kind: &'static str,
        /// Of the artifact.
        name: String,
        /// Of the artifact.
        version: String,
        /// Where.
        repository: Repository,
        /// What is there.
        published: Digest,
        /// What this publication would put there.
        ours: Digest,
    },
    /// The channel serves a newer release.
    #[error("channel {channel} serves {serves}, which is newer than {version}")]
    Downgrade {
        /// The channel.
        channel: Tag,
        /// Version that it serves.
        serves: String,
        /// Version that it was asked to serve.
        version: String,
    },
    /// The versions cannot be ordered.
    #[error("channel {channel} serves {serves}: cannot tell whether {version} is newer")]
    Unordered {
        /// The channel.
        channel: Tag,
        /// Version that it serves.
        serves: String,
        /// Version that it was asked to serve.
        version: String,
    },
}

/// Plans the writes that bring a store from `observed` to `desired`; none when it is there already.
///
/// # Errors
/// When a version holds other content, or the channel would go back; `allow_unordered` lets versions pass that have no order.
pub fn publish(desired: &Desired, observed: &Observed, allow_unordered: bool) -> Result<Plan, Refusal> {
    let (mut plan, release) = bring_all(desired, observed)?;
    if let Some(channel) = &desired.channel {
        plan.actions.extend(move_channel(desired, observed, channel, release, allow_unordered)?);
    }
    Ok(plan)
}

/// Plans all writes but the channel's; gives the digest of the release too, as the store has it or will have it.
///
/// # Errors
/// When a version holds other content.
pub fn bring_all(desired: &Desired, observed: &Observed) -> Result<(Plan, Digest), Refusal> {
    let mut actions = Vec::new();
    let mut tags = Vec::new();
    for (artifact, found) in desired.artifacts.iter().zip(&observed.artifacts) {
        bring(artifact, found.as_ref(), &mut actions, &mut tags)?;
    }
    let release = release_digest(desired, observed.release.as_ref())?;
    if observed.release.is_none() {
        bring(&desired.release, None, &mut actions, &mut tags)?;
    }
    actions.append(&mut tags);
    Ok((Plan { actions }, release))
}

/// Plans the writes of one artifact alone, when `found` is under its tag.
///
/// # Errors
/// When that is other content: the tag does not move.
pub fn push(desired: &DesiredArtifact, found: Option<&Digest>) -> Result<Plan, Refusal> {
    let (mut actions, mut tags) = (Vec::new(), Vec::new());
    bring(desired, found, &mut actions, &mut tags)?;
    actions.append(&mut tags);
    Ok(Plan { actions })
}

fn bring(
    desired: &DesiredArtifact,
    found: Option<&Digest>,
    pushes: &mut Vec<Action>,
    tags: &mut Vec<Action>,
) -> Result<(), Refusal> {
    let ours = desired.artifact.digest();
    match found {
        Some(published) if published == ours => {}
        Some(published) => return Err(immutable(desired, published)),
        None => {
            let repository = desired.repository.clone();
            let push =
                Action::Push { repository: repository.clone(), descriptor: desired.artifact.descriptor().clone() };
            // One manifest may have several tags.
            if !pushes.contains(&push) {
                pushes.push(push);
            }
            tags.push(Action::Tag { repository, tag: desired.tag.clone(), from: None, to: ours.clone() });
        }
    }
    Ok(())
}

fn immutable(desired: &DesiredArtifact, published: &Digest) -> Refusal {
    use super::ArtifactKind;
    Refusal::Immutable {
        kind: match desired.kind {
            ArtifactKind::Chart => "chart",
            ArtifactKind::Bundle => "bundle",
            ArtifactKind::Image => "image",
            ArtifactKind::Release => "release",
        },
        name: desired.name.clone(),
        version: desired.version.clone(),
        repository: desired.repository.clone(),
        published: published.clone(),
        ours: desired.artifact.digest().clone(),
    }
}

/// The release under the version's tag is kept when it differs from the desired one by its `channel` alone.
fn release_digest(desired: &Desired, existing: Option<&Existing>) -> Result<Digest, Refusal> {
    let ours = desired.release.artifact.digest();
    match existing {
        None => Ok(ours.clone()),
        Some(existing) if existing.digest == *ours => Ok(ours.clone()),
        Some(Existing { digest, json: Some(json) }) if release::equal_but_for_channel(json, &desired.json) => {
            Ok(digest.clone())
        }
        Some(existing) => Err(immutable(&desired.release, &existing.digest)),
    }
}

fn move_channel(
    desired: &Desired,
    observed: &Observed,
    channel: &Tag,
    release: Digest,
    allow_unordered: bool,
) -> Result<Option<Action>, Refusal> {
    let serves = observed.channel.as_ref();
    if let Some(serves) = serves {
        if serves.serves(&release, &desired.json) {
            return Ok(None);
        }
        forward(channel, serves, &desired.release.version, allow_unordered)?;
    }
    Ok(Some(Action::Move {
        repository: desired.release.repository.clone(),
        channel: channel.clone(),
        release,
        config: desired.release.artifact.blobs()[0].descriptor().clone(),
        from: serves.map(|serves| serves.manifest.clone()),
        sequence: observed.sequence.saturating_add(1),
        kind: MoveKind::Publish,
    }))
}

/// A channel does not go back, nor where nobody can tell.
pub(super) fn forward(
    channel: &Tag,
    serves: &ChannelState,
    version: &str,
    allow_unordered: bool,
) -> Result<(), Refusal> {
    let (channel, current, version) = (channel.clone(), serves.version.clone(), version.to_owned());
    match release::compare_versions(&version, &current) {
        Some(std::cmp::Ordering::Less) => Err(Refusal::Downgrade { channel, serves: current, version }),
        None if !allow_unordered => Err(Refusal::Unordered { channel, serves: current, version }),
        _ => Ok(()),
    }
}

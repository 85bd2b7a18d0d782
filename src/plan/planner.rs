//! Desired + observed + how a channel moves → a plan: pure. Publishing, promoting, copying and rolling back differ in these
//! inputs alone.

use serde::Serialize;

use super::approval::{Approval, ApprovedMove};
use super::damaged::Damaged;
use super::desired::{Desired, DesiredArtifact};
use super::observe::{Announced, Existing, Observed};
use super::refusal::Refusal;
use crate::oci::{Content, Descriptor, Digest, Repository, Tag};
use crate::release::{self, MoveKind};

/// One write that a plan makes before a channel moves.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum Write {
    /// Pushes a manifest and the blobs that it names.
    Push {
        /// Repository below the store's prefix.
        repository: Repository,
        /// Descriptor of the manifest.
        descriptor: Descriptor,
    },
    /// Sets a tag that does not move afterwards.
    Tag {
        /// Repository below the store's prefix.
        repository: Repository,
        /// The tag that is set.
        tag: Tag,
        /// Digest that the tag names before the write.
        from: Option<Digest>,
        /// Digest that the tag names after the write.
        to: Digest,
    },
}

/// The move of a channel: the only tag that a plan repoints.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "action", rename = "move")]
pub struct Move {
    /// Repository of releases and channels.
    pub repository: Repository,
    /// Name of the channel.
    pub channel: Tag,
    /// Digest of the release that the channel serves after the move.
    pub release: Digest,
    /// Descriptor of the JSON that the channel serves after the move.
    pub config: Descriptor,
    /// Digest of the channel's manifest before the move.
    pub from: Option<Digest>,
    /// Digest of the channel's newest manifest that is known, where its tag is missing: the move goes on from it.
    #[serde(rename = "goesOnFrom", skip_serializing_if = "Option::is_none")]
    pub goes_on_from: Option<Digest>,
    /// Sequence number of the move.
    pub sequence: u64,
    /// Reason of the move.
    pub kind: MoveKind,
    /// Digest of a channel manifest that an interrupted run of the same move has written under its keep-alive tag: the move
    /// completes that run instead of announcing another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopts: Option<Digest>,
}

impl Move {
    /// Returns the digest of the manifest that the move replaces, for its record.
    pub(super) fn previous(&self) -> Option<&Digest> {
        self.from.as_ref().or(self.goes_on_from.as_ref())
    }
}

/// All writes, in order, and the move that comes last. A plan holds no bytes, handles or clock: a dry run prints it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Content, then tags.
    pub writes: Vec<Write>,
    /// The move of the channel; absent when no channel moves.
    pub moves: Option<Move>,
    /// What will be true after the plan: the part of it that a person approves.
    pub approval: Approval,
}

impl Plan {
    /// Tells whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.moves.is_none()
    }

    /// Returns the identity of what the plan makes true, which `--if-plan` takes.
    pub fn digest(&self) -> Digest {
        self.approval.digest()
    }

    /// Returns the manifests that the plan pushes.
    pub(crate) fn pushes(&self) -> impl Iterator<Item = (&Repository, &Descriptor)> {
        self.writes.iter().filter_map(|write| match write {
            Write::Push { repository, descriptor } => Some((repository, descriptor)),
            Write::Tag { .. } => None,
        })
    }
}

/// One list, `actions`, of writes and the move.
impl Serialize for Plan {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Action<'a> {
            Write(&'a Write),
            Move(&'a Move),
        }
        #[derive(Serialize)]
        struct Actions<'a> {
            actions: Vec<Action<'a>>,
        }
        let actions = self.writes.iter().map(Action::Write).chain(self.moves.iter().map(Action::Move)).collect();
        Actions { actions }.serialize(serializer)
    }
}

/// How a channel is to move.
#[derive(Clone, Debug)]
pub struct Moving<'a> {
    /// Name of the channel.
    pub channel: &'a Tag,
    /// Reason of the move. Every kind but a roll-back goes forward only.
    pub kind: MoveKind,
    /// Allows a move between versions that have no order.
    pub allow_unordered: bool,
    /// Manifest that the channel must have; `Some(None)` when it must not exist yet.
    pub if_current: Option<Option<Digest>>,
    /// How long the release must have been in the channel that it comes from.
    pub min_age: Option<MinAge>,
}

/// A minimum age of a release.
#[derive(Clone, Debug)]
pub struct MinAge {
    /// The shortest time that is allowed.
    pub least: jiff::SignedDuration,
    /// The present time.
    pub now: jiff::Timestamp,
    /// When the release came to the channel that it is promoted from, RFC 3339; absent when no record says so.
    pub since: Option<String>,
}

/// Plans the writes that bring a store from `observed` to `desired`, and the move of a channel when one is asked for. The plan
/// is empty when the store and the channel are there already.
///
/// # Errors
/// When a version holds other content, or a rule forbids the move.
pub fn plan(desired: &Desired, observed: &Observed, moving: Option<&Moving<'_>>) -> Result<Plan, Refusal> {
    let writes = writes(desired, observed)?;
    let release = release_digest(desired, observed.release.as_ref())?;
    let (moves, approved) = match moving {
        Some(moving) => {
            let (moves, approved) = moved(desired, observed, &release, moving)?;
            (moves, Some(approved))
        }
        None => (None, None),
    };
    let artifacts = desired.references();
    Ok(Plan { writes, moves, approval: Approval { release, moves: approved, artifacts } })
}

fn writes(desired: &Desired, observed: &Observed) -> Result<Vec<Write>, Refusal> {
    let (mut pushes, mut tags) = (Vec::new(), Vec::new());
    for one in &observed.attachments {
        pushes.push(Write::Push { repository: one.repository.clone(), descriptor: one.artifact.descriptor().clone() });
    }
    for (artifact, found) in desired.artifacts.iter().zip(&observed.artifacts) {
        bring(artifact, found.as_ref(), &mut pushes, &mut tags)?;
    }
    if let (Some(release), None) = (&desired.release.written, &observed.release) {
        bring(release, None, &mut pushes, &mut tags)?;
    }
    for damaged in &observed.damaged {
        mend(damaged, &mut pushes, &mut tags);
    }
    for one in &observed.attachments {
        if let Some((tag, from)) = one.tag.clone() {
            tags.push(Write::Tag { repository: one.repository.clone(), tag, from, to: one.artifact.digest().clone() });
        }
    }
    pushes.append(&mut tags);
    Ok(pushes)
}

/// Pushes what is damaged again, and its tag with a manifest that is.
fn mend(damaged: &Damaged, pushes: &mut Vec<Write>, tags: &mut Vec<Write>) {
    let Damaged { repository, artifact, tag, .. } = damaged;
    let push = Write::Push { repository: repository.clone(), descriptor: artifact.descriptor().clone() };
    if !pushes.contains(&push) {
        pushes.push(push);
    }
    if damaged.holds(artifact.digest()) {
        let to = artifact.digest().clone();
        tags.push(Write::Tag { repository: repository.clone(), tag: tag.clone(), from: Some(to.clone()), to });
    }
}

fn bring(
    desired: &DesiredArtifact,
    found: Option<&Digest>,
    pushes: &mut Vec<Write>,
    tags: &mut Vec<Write>,
) -> Result<(), Refusal> {
    let ours = desired.artifact.digest();
    match found {
        Some(published) if published == ours => {}
        Some(published) => return Err(Refusal::immutable(desired, published)),
        None => {
            let repository = desired.repository.clone();
            let push =
                Write::Push { repository: repository.clone(), descriptor: desired.artifact.descriptor().clone() };
            // One manifest may have several tags.
            if !pushes.contains(&push) {
                pushes.push(push);
            }
            tags.push(Write::Tag { repository, tag: desired.tag.clone(), from: None, to: ours.clone() });
        }
    }
    Ok(())
}

/// Plans the push of one artifact under its tag, when `found` is the digest under that tag.
///
/// # Errors
/// When the tag holds other content.
pub fn push(desired: &DesiredArtifact, found: Option<&Digest>) -> Result<Plan, Refusal> {
    let (mut pushes, mut tags) = (Vec::new(), Vec::new());
    bring(desired, found, &mut pushes, &mut tags)?;
    pushes.append(&mut tags);
    let release = desired.artifact.digest().clone();
    Ok(Plan { writes: pushes, moves: None, approval: Approval { release, moves: None, artifacts: Vec::new() } })
}

/// The release under the version's tag is kept when it differs from the desired one by its `channel` alone.
fn release_digest(desired: &Desired, existing: Option<&Existing>) -> Result<Digest, Refusal> {
    let ours = &desired.release.digest;
    match (&desired.release.written, existing) {
        (None, _) | (_, None) => Ok(ours.clone()),
        (_, Some(existing)) if existing.digest == *ours => Ok(ours.clone()),
        (_, Some(Existing { digest, json: Some(json) }))
            if release::equal_but_for_channel(json, &desired.release.json) =>
        {
            Ok(digest.clone())
        }
        (Some(written), Some(existing)) => Err(Refusal::immutable(written, &existing.digest)),
    }
}

/// The move, unless the channel serves the release already, and what is to be approved of it.
fn moved(
    desired: &Desired,
    observed: &Observed,
    release: &Digest,
    moving: &Moving<'_>,
) -> Result<(Option<Move>, ApprovedMove), Refusal> {
    let Moving { channel, kind, .. } = *moving;
    let serves = observed.channel.serves.as_ref();
    let approved = |kind, replaces| ApprovedMove { channel: channel.clone(), replaces, kind };
    if let Some(serves) = serves.filter(|serves| serves.serves(release, &desired.release.json)) {
        // The record tells the move that made this true, so that a repeated run finds what was approved.
        let record = serves.record.as_ref();
        let replaces = record.and_then(|record| record.previous.clone());
        return Ok((None, approved(record.map_or(kind, |record| record.kind), replaces)));
    }
    moving.may_replace(serves, &desired.release.version)?;
    let json = release::with_channel(&desired.release.json, channel)?;
    let json = Content::new(release::CONFIG_MEDIA_TYPE, json);
    let from = serves.map(|serves| serves.manifest.clone());
    let same = |record: &release::Record| {
        record.release == *release && record.kind == kind && (record.previous == from || from.is_none())
    };
    // It is this move only if its manifest is the one that this program writes for its record: nothing more is in it.
    let is_whole = |one: &&Announced| *release::channel_artifact(json.clone(), &one.record).digest() == one.manifest;
    let announced = &observed.channel.announced;
    let is_last =
        |one: &&Announced| announced.iter().all(|later| later.record.previous.as_ref() != Some(&one.manifest));
    let adopted = announced.iter().rev().filter(|one| same(&one.record)).filter(is_last).find(is_whole);
    let next = || observed.channel.sequence.checked_add(1).ok_or_else(|| Refusal::NoSequence(channel.clone()));
    let sequence = adopted.map_or_else(next, |one| Ok(one.record.sequence))?;
    let goes_on_from = observed.channel.newest.clone().filter(|_| from.is_none() && adopted.is_none());
    let replaces = match adopted {
        Some(adopted) => adopted.record.previous.clone(),
        None => observed.channel.newest.clone(),
    };
    let moves = Move {
        repository: desired.release.repository.clone(),
        channel: channel.clone(),
        release: release.clone(),
        config: json.descriptor().clone(),
        from,
        goes_on_from,
        sequence,
        kind,
        adopts: adopted.map(|one| one.manifest.clone()),
    };
    Ok((Some(moves), approved(kind, replaces)))
}

#[cfg(test)]
#[path = "planner_tests.rs"]
mod tests;

//! Computes a plan from the desired state, the observed state, and the kind of move. The computation is pure.
//! Publishing, promoting, copying and rolling back differ only in these inputs.

use serde::Serialize;

use super::approval::{Approval, ApprovedMove};
use super::attach::Attachment;
use super::copied::CopiedChannel;
use super::damaged::Damaged;
use super::desired::{Desired, DesiredArtifact};
use super::observe::{Announced, Existing, Observed, ObservedChannel};
use super::refusal::Refusal;
use super::signed::{UNPROVEN, is_about_channel};
use crate::oci::{Content, Descriptor, Digest, Repository, Tag};
use crate::release::{self, MoveKind};
use crate::trust::Time;

/// Largest sequence number of a move: JSON numbers are exact up to it.
const LARGEST: u64 = (1 << 53) - 1;

/// One write that a plan makes before a channel moves.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum Write {
    /// Pushes a manifest and the blobs that it names.
    Push {
        /// Repository below the store's prefix.
        repository: Repository,
        /// Descriptor of the pushed manifest.
        descriptor: Descriptor,
    },
    /// Sets a tag that does not move afterwards, such as a version.
    Tag {
        /// Repository below the store's prefix.
        repository: Repository,
        /// The tag that is set.
        tag: Tag,
        /// Digest that the tag names before the write; absent when the tag does not exist.
        from: Option<Digest>,
        /// Digest that the tag names after the write.
        to: Digest,
    },
}

/// The move of a channel. The channel tag is the only tag that a plan repoints.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "action", rename = "move")]
pub struct Move {
    /// Repository that holds releases and channels, below the store's prefix.
    pub repository: Repository,
    /// Name of the channel.
    pub channel: Tag,
    /// Digest of the release that the channel serves after the move.
    pub release: Digest,
    /// Descriptor of the JSON that the channel serves after the move.
    pub config: Descriptor,
    /// Digest of the channel manifest before the move; absent when the channel does not exist.
    pub from: Option<Digest>,
    /// Digest of the newest known channel manifest, if the channel tag is missing. The move continues from this
    /// manifest.
    #[serde(rename = "goesOnFrom", skip_serializing_if = "Option::is_none")]
    pub goes_on_from: Option<Digest>,
    /// Sequence number of the move, one more than that of the last known move.
    pub sequence: u64,
    /// Kind of the move: publish, promote, roll back or copy.
    pub kind: MoveKind,
    /// Digest of the channel manifest that an interrupted run of the same move wrote under its keep-alive tag. The move
    /// completes that run and does not announce another move. Or the manifest of a signed channel that is copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopts: Option<Digest>,
    /// Digest of the channel manifest whose record and statement the move keeps, with a later refresh. The sequence
    /// number is then that of the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refreshes: Option<Digest>,
}

impl Move {
    /// Returns the digest of the channel manifest that the move replaces, for the record.
    pub(super) fn previous(&self) -> Option<&Digest> {
        self.from.as_ref().or(self.goes_on_from.as_ref())
    }
}

/// All writes in order, with the move at the end. A plan holds no bytes, handles or clock, so a dry run can print all
/// of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Pushes, followed by tags.
    pub writes: Vec<Write>,
    /// The move of the channel; absent when no channel moves.
    pub moves: Option<Move>,
    /// The state after the plan, which a person approves.
    pub approval: Approval,
}

impl Plan {
    /// Reports whether the plan has no write and no move.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.moves.is_none()
    }

    /// Returns the plan digest, which `--if-plan` takes.
    pub fn digest(&self) -> Digest {
        self.approval.digest()
    }

    /// Returns the manifests that the plan pushes, with their repositories.
    pub(crate) fn pushes(&self) -> impl Iterator<Item = (&Repository, &Descriptor)> {
        self.writes.iter().filter_map(|write| match write {
            Write::Push { repository, descriptor } => Some((repository, descriptor)),
            Write::Tag { .. } => None,
        })
    }
}

/// Serializes the writes and the move as one list, `actions`.
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

/// The requested move of a channel and its conditions.
#[derive(Clone, Debug)]
pub struct Moving<'a> {
    /// Name of the channel.
    pub channel: &'a Tag,
    /// Kind of the move. Only a rollback may return to an older release.
    pub kind: MoveKind,
    /// Allows a move between versions that cannot be compared (`--allow-unordered`).
    pub allow_unordered: bool,
    /// Channel manifest that the channel must serve before the move; `Some(None)` when the channel must not exist yet.
    pub if_current: Option<Option<Digest>>,
    /// Minimum time that the release has been in the channel that it is promoted from.
    pub min_age: Option<MinAge>,
    /// For a refresh: from when on it is due, and what it does.
    pub renewal: Option<Renewal>,
    /// For a copy of a signed channel: the manifest that is written as it is.
    pub copied: Option<&'a CopiedChannel<'a>>,
}

/// A later expiry for what a channel serves, and the signatures of its release by the keys of today (`refresh`).
#[derive(Clone, Debug)]
pub struct Renewal {
    /// Time until which the channel must be accepted without a refresh; a channel that expires earlier is refreshed.
    pub needed_until: Time,
    /// Expiry that a refresh gives to the channel.
    pub expires: Time,
    /// Whether the statement stays. Otherwise the whole statement is issued again.
    pub keeps_statement: bool,
    /// Whether the refresh of a statement that stays is signed again.
    pub refreshes: bool,
    /// Time until which appliances accept the channel after the refresh.
    pub accepted_until: Time,
    /// Signatures of the release that the channel manifest carries after the refresh. The statement does not cover them, so keys of the
    /// role `release` can be exchanged while the channel does not move.
    pub release: Vec<Content>,
}

impl Renewal {
    /// Reports whether a channel that is accepted until a time needs a later expiry.
    pub fn is_due_at(&self, until: Option<Time>) -> bool {
        until.is_none_or(|until| until < self.needed_until && until < self.expires)
    }

    /// Reports whether a channel is refreshed: it expires too early, or carries other signatures of its release.
    fn is_due(&self, channel: &ObservedChannel) -> bool {
        let until = channel.signed.as_ref().and_then(|signed| {
            let until = signed.current_until?;
            if self.keeps_statement { Some(until) } else { signed.statement_until }
        });
        let layers = channel.serves.iter().flat_map(|serves| &serves.signatures);
        let carried = layers.filter(|layer| !is_about_channel(layer)).map(|layer| &layer.descriptor().digest);
        self.is_due_at(until) || !carried.eq(self.release.iter().map(|layer| &layer.descriptor().digest))
    }
}

/// Minimum age of a release in a channel (`--min-age`).
#[derive(Clone, Debug)]
pub struct MinAge {
    /// Shortest time that is allowed.
    pub least: jiff::SignedDuration,
    /// Present time from the system clock.
    pub now: jiff::Timestamp,
    /// Time when the release came to the source channel, RFC 3339; absent when no record gives the time.
    pub since: Option<String>,
}

/// Plans the writes that bring a store from `observed` to `desired`, and the move of a channel if one is requested. The
/// plan is empty when nothing has to change.
///
/// # Errors
/// Returns an error when a version holds other content, or when a rule forbids the move.
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

/// Returns a refusal for each version that holds other content, in the order of writing. [`plan`] returns the first one.
pub fn conflicts(desired: &Desired, observed: &Observed) -> Vec<Refusal> {
    let artifacts = desired.artifacts.iter().zip(&observed.artifacts);
    let other = artifacts.filter_map(|(artifact, found)| {
        let published = found.as_ref().filter(|found| *found != artifact.artifact.digest())?;
        Some(Refusal::immutable(artifact, published))
    });
    other.chain(release_digest(desired, observed.release.as_ref()).err()).collect()
}

fn writes(desired: &Desired, observed: &Observed) -> Result<Vec<Write>, Refusal> {
    let (mut pushes, mut tags) = (attached(&observed.attachments), Vec::new());
    for (artifact, found) in desired.artifacts.iter().zip(&observed.artifacts) {
        bring(artifact, found.as_ref(), &mut pushes, &mut tags)?;
    }
    if let (Some(release), None) = (&desired.release.written, &observed.release) {
        bring(release, None, &mut pushes, &mut tags)?;
    }
    for damaged in &observed.damaged {
        repair(damaged, &mut pushes, &mut tags);
    }
    tags.extend(attached_tags(&observed.attachments));
    pushes.append(&mut tags);
    Ok(pushes)
}

/// Pushes referrers of artifacts.
fn attached(attachments: &[Attachment]) -> Vec<Write> {
    let push = |one: &Attachment| Write::Push {
        repository: one.repository.clone(),
        descriptor: one.artifact.descriptor().clone(),
    };
    attachments.iter().map(push).collect()
}

/// Sets the tags of those referrers that have one.
fn attached_tags(attachments: &[Attachment]) -> impl Iterator<Item = Write> {
    attachments.iter().filter_map(|one| {
        let (tag, from) = one.tag.clone()?;
        Some(Write::Tag { repository: one.repository.clone(), tag, from, to: one.artifact.digest().clone() })
    })
}

/// Pushes a damaged artifact again, and sets its tag again if its manifest is damaged.
fn repair(damaged: &Damaged, pushes: &mut Vec<Write>, tags: &mut Vec<Write>) {
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
            // One manifest may have several tags, but it is pushed once.
            if !pushes.contains(&push) {
                pushes.push(push);
            }
            tags.push(Write::Tag { repository, tag: desired.tag.clone(), from: None, to: ours.clone() });
        }
    }
    Ok(())
}

/// Plans the push of one artifact under its tag, with the referrers that the store lacks. `found` is the digest that the
/// tag names now.
///
/// # Errors
/// Returns an error when the tag holds other content.
pub fn push(desired: &DesiredArtifact, found: Option<&Digest>, attachments: &[Attachment]) -> Result<Plan, Refusal> {
    let (mut pushes, mut tags) = (attached(attachments), Vec::new());
    bring(desired, found, &mut pushes, &mut tags)?;
    tags.extend(attached_tags(attachments));
    pushes.append(&mut tags);
    let release = desired.artifact.digest().clone();
    Ok(Plan { writes: pushes, moves: None, approval: Approval { release, moves: None, artifacts: Vec::new() } })
}

/// Returns the digest of the release. A published release that differs only in its `channel` is kept.
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

/// Returns the part that a person approves, and the move unless the channel already serves the release.
fn moved(
    desired: &Desired,
    observed: &Observed,
    release: &Digest,
    moving: &Moving<'_>,
) -> Result<(Option<Move>, ApprovedMove), Refusal> {
    if let Some(copied) = moving.copied {
        return copied.moved(&desired.release.json, (observed, release), moving, &desired.release.repository);
    }
    let Moving { channel, kind, .. } = *moving;
    let serves = observed.channel.serves.as_ref();
    let approved = |kind, replaces| ApprovedMove { channel: channel.clone(), replaces, kind };
    // Another tool may have moved the channel back behind moves that appliances have followed. They refuse the channel until a roll-back
    // records the release that it serves as a move of its own.
    let behind = kind == MoveKind::Rollback && !observed.channel.announced.is_empty();
    let signed = observed.channel.signed.as_ref();
    let proven = match &moving.renewal {
        Some(renewal) => !renewal.is_due(&observed.channel),
        None => signed.is_none_or(|signed| signed.current_until.is_some()),
    };
    let there = serves.filter(|serves| !behind && proven && serves.serves(release, &desired.release.json));
    if let Some(serves) = there {
        // The record describes the move that made this true, so a repeated run gets the digest that was approved.
        let record = serves.record.as_ref();
        let replaces = record.and_then(|record| record.previous.clone());
        return Ok((None, approved(record.map_or(kind, |record| record.kind), replaces)));
    }
    moving.may_replace(serves, signed, &desired.release.version)?;
    if signed.is_none() && serves.is_some_and(|serves| !serves.signatures.is_empty()) {
        return Err(Refusal::Unsigned(channel.clone()));
    }
    let json = release::with_channel(&desired.release.json, channel)?;
    let json = Content::new(release::CONFIG_MEDIA_TYPE, json);
    let from = serves.map(|serves| serves.manifest.clone());
    let kept = moving.renewal.as_ref().filter(|renewal| renewal.keeps_statement).and(serves);
    let kept = kept.and_then(|serves| Some((serves.record.as_ref()?.sequence, &serves.manifest)));
    let adopted = adopted(observed, release, kind, from.as_ref(), &json).filter(|_| kept.is_none());
    let next = || {
        let last = signed.and_then(|signed| signed.sequence).unwrap_or(observed.channel.sequence);
        if signed.is_some_and(|signed| signed.sequence.is_none()) && last > UNPROVEN {
            return Err(Refusal::Unproven { channel: channel.clone(), found: last });
        }
        last.checked_add(1).filter(|next| *next <= LARGEST).ok_or_else(|| Refusal::NoSequence(channel.clone()))
    };
    let known = adopted.map(|one| one.record.sequence).or(kept.map(|(sequence, _)| sequence));
    let sequence = known.map_or_else(next, Ok)?;
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
        refreshes: kept.map(|(_, manifest)| manifest.clone()),
    };
    Ok((Some(moves), approved(kind, replaces)))
}

/// Returns the announced move that an interrupted run of the same move made, and that is completed now.
fn adopted<'a>(
    observed: &'a Observed,
    release: &Digest,
    kind: MoveKind,
    from: Option<&Digest>,
    json: &Content,
) -> Option<&'a Announced> {
    let (announced, signed) = (&observed.channel.announced, observed.channel.signed.as_ref());
    let same = |record: &release::Record| {
        record.release == *release && record.kind == kind && (record.previous.as_ref() == from || from.is_none())
    };
    // The announced manifest must be exactly the one that this program writes for its record, without other content.
    let is_whole = |one: &&Announced| {
        let artifact = release::channel_artifact(json.clone(), &one.record, &one.signatures);
        *artifact.digest() == one.manifest
    };
    // Without a proof that a reader accepts, an announced move is not completed but made again.
    let is_proven =
        |one: &&Announced| signed.map_or(one.signatures.is_empty(), |signed| signed.verified.contains(&one.manifest));
    let is_last =
        |one: &&Announced| announced.iter().all(|later| later.record.previous.as_ref() != Some(&one.manifest));
    announced.iter().rev().filter(|one| same(&one.record)).filter(is_last).filter(is_proven).find(is_whole)
}

#[cfg(test)]
#[path = "planner_tests.rs"]
mod tests;

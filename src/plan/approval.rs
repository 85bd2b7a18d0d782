//! The part of a plan that a person approves: the state after the plan, not the writes that are left. A run that was
//! killed, or whose result was lost, can therefore be repeated under the same approval.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::planner::Plan;
use crate::oci::{Digest, Pinned, Tag};
use crate::release::MoveKind;

/// The state after a plan. Neither the sequence number of a move nor the present content of the store is part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Digest of the release manifest.
    pub release: Digest,
    /// The move of a channel; absent when no channel moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves: Option<ApprovedMove>,
    /// Every artifact that the release names by digest, under its name in the target store, sorted.
    pub artifacts: Vec<Pinned>,
}

/// The part of an approval that concerns a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovedMove {
    /// Name of the channel that moves.
    pub channel: Tag,
    /// Digest of the channel manifest that the move replaces; absent on the first move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Digest>,
    /// Kind of the move: publish, promote, roll back or copy.
    pub kind: MoveKind,
}

/// The plan differs from the approved one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plan digest is {found}, expected {expected}: something changed since it was approved")]
pub struct OtherPlan {
    /// Digest of the approved plan, from `--if-plan`.
    pub expected: Digest,
    /// Digest of the present plan.
    pub found: Digest,
    /// The differences, one line each. Without the content of the approved plan, the lines describe the present plan.
    pub differences: Vec<String>,
    /// Whether the content of the approved plan was available for the comparison.
    pub is_compared: bool,
}

/// The approved plan: its digest, and its content if that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    /// Digest of the plan, from `--if-plan`.
    pub digest: Digest,
    /// Content of the plan, from the JSON report of the dry run.
    pub content: Option<Approval>,
    /// Sequence number of the move in the dry run. It is only compared to explain a difference.
    pub sequence: Option<u64>,
}

impl Plan {
    /// Checks that this plan is the approved one.
    ///
    /// # Errors
    /// Returns the differences when another plan was approved.
    pub fn check(&self, approved: Option<&Approved>) -> Result<(), OtherPlan> {
        let found = self.digest();
        let Some(approved) = approved.filter(|approved| approved.digest != found) else { return Ok(()) };
        let differences = match &approved.content {
            Some(content) => {
                let mut lines = self.approval.differences(content);
                let sequences = approved.sequence.zip(self.moves.as_ref().map(|moves| moves.sequence));
                if let Some((was, is)) = sequences.filter(|(was, is)| was != is) {
                    lines.push(format!("sequence of the move: approved {was}, now {is}"));
                }
                lines
            }
            None => self.approval.lines(),
        };
        let is_compared = approved.content.is_some();
        Err(OtherPlan { expected: approved.digest.clone(), found, differences, is_compared })
    }
}

impl Approval {
    /// Returns the SHA-256 of the approval's JSON, which is the plan digest.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("an approval has only text keys"))
    }

    /// Describes this plan for a reader who knows only the digest of the approved one.
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("this plan serves release {}", self.release)];
        if let Some(moves) = &self.moves {
            lines.push(format!("this plan moves channel {} (kind of move: {})", moves.channel, moves.kind.as_str()));
            lines.push(format!("this plan replaces channel manifest {}", or_none(moves.replaces.as_ref())));
        }
        lines
    }

    fn differences(&self, approved: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut differ = |what: &str, was: String, is: String| {
            if was != is {
                lines.push(format!("{what}: approved {was}, now {is}"));
            }
        };
        differ("release", approved.release.to_string(), self.release.to_string());
        let word = |of: &Self, word: &dyn Fn(&ApprovedMove) -> String| {
            of.moves.as_ref().map_or_else(|| "none".to_owned(), word)
        };
        let mut differ_in_move = |what: &str, of: &dyn Fn(&ApprovedMove) -> String| {
            differ(what, word(approved, of), word(self, of));
        };
        differ_in_move("channel", &|moves| moves.channel.to_string());
        differ_in_move("kind of move", &|moves| moves.kind.as_str().to_owned());
        differ_in_move("replaced channel manifest", &|moves| or_none(moves.replaces.as_ref()));
        lines.extend(self.references_that_differ(approved));
        lines
    }

    /// Returns the references that only one of the two approvals has. Two references to the same repository make one
    /// line.
    fn references_that_differ(&self, approved: &Self) -> Vec<String> {
        let only = |a: &Self, b: &Self| {
            let mut only: BTreeMap<String, Vec<Digest>> = BTreeMap::new();
            for Pinned { repository, digest } in a.artifacts.iter().filter(|one| !b.artifacts.contains(one)) {
                only.entry(repository.clone()).or_default().push(digest.clone());
            }
            only
        };
        let (was, mut is) = (only(approved, self), only(self, approved));
        let mut lines = Vec::new();
        for (repository, was) in was {
            match (&was[..], is.remove(&repository).as_deref()) {
                ([was], Some([is])) => lines.push(format!("reference {repository}: approved {was}, now {is}")),
                (was, others) => {
                    let gone = |digest| format!("approved reference that is not in this plan: {repository}@{digest}");
                    lines.extend(was.iter().map(gone));
                    lines.extend(others.into_iter().flatten().map(|digest| added(&repository, digest)));
                }
            }
        }
        for (repository, digests) in is {
            lines.extend(digests.iter().map(|digest| added(&repository, digest)));
        }
        lines
    }
}

fn added(repository: &str, digest: &Digest) -> String {
    format!("reference in this plan that was not approved: {repository}@{digest}")
}

fn or_none(digest: Option<&Digest>) -> String {
    digest.map_or_else(|| "none".to_owned(), ToString::to_string)
}

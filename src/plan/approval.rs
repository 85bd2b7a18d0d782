//! What a person approves of a plan: what will be true when the plan is done, not what is left to write. A run that was killed,
//! or that finished before anybody heard of it, is therefore repeated under the same approval.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::planner::Plan;
use crate::oci::{Digest, Pinned, Tag};
use crate::release::MoveKind;

/// What will be true when a plan is done. Neither the sequence of a move nor what the store holds already is part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Digest of the release.
    pub release: Digest,
    /// The move of a channel; absent when no channel is to serve the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves: Option<ApprovedMove>,
    /// Everything that the release names by digest, under the names that it has in the target, sorted.
    pub artifacts: Vec<Pinned>,
}

/// The part of an approval that is about a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovedMove {
    /// Name of the channel.
    pub channel: Tag,
    /// Digest of the channel manifest that is replaced; absent on the first move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Digest>,
    /// Reason of the move.
    pub kind: MoveKind,
}

/// A plan other than the approved one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plan is {found}, not {expected}: something changed since it was approved")]
pub struct OtherPlan {
    /// Digest of the plan that was approved.
    pub expected: Digest,
    /// Digest of the plan that would be carried out now.
    pub found: Digest,
    /// What differs, a line each; without the approved plan's own content, what the present plan says.
    pub differences: Vec<String>,
    /// Whether the content of the approved plan was there to be compared.
    pub is_compared: bool,
}

/// The plan that was approved: its digest, and its content where that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    /// Digest of the plan.
    pub digest: Digest,
    /// Content of the plan, out of the JSON of its dry run.
    pub content: Option<Approval>,
    /// Sequence number that the move had in the dry run, for the comparison alone.
    pub sequence: Option<u64>,
}

impl Plan {
    /// Checks that this is the plan that was approved.
    ///
    /// # Errors
    /// When something else was approved, with what differs.
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
    /// Returns the SHA-256 of the approval's JSON, which is the digest of the plan.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("an approval has text keys alone"))
    }

    /// What this plan says, for a reader who knows no more of the approved one than its digest.
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("this plan serves release {}", self.release)];
        if let Some(moves) = &self.moves {
            lines.push(format!("this plan is a {} of channel {}", moves.kind.as_str(), moves.channel));
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
        differ_in_move("channel manifest that is replaced", &|moves| or_none(moves.replaces.as_ref()));
        lines.extend(self.references_that_differ(approved));
        lines
    }

    /// Names each reference that only one of two approvals has; a repository with one such reference in each is one line.
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
                    let gone = |digest| format!("reference approved, and not in this plan: {repository}@{digest}");
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
    format!("reference in this plan, and not approved: {repository}@{digest}")
}

fn or_none(digest: Option<&Digest>) -> String {
    digest.map_or_else(|| "none".to_owned(), ToString::to_string)
}

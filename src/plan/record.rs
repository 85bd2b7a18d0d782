//! The circumstances of a move, from which its record is made.

use super::planner::Move;
use crate::release::Record;

/// The circumstances of a move (person, time, reason), which are not part of the plan.
#[derive(Clone, Debug, Default)]
pub struct MoveRecord {
    /// Time of the move, RFC 3339 in UTC.
    pub moved: String,
    /// Person or service that makes the move.
    pub by: Option<String>,
    /// Channel, version or digest that the release comes from.
    pub from: Option<String>,
    /// Reason for the move, as free text.
    pub reason: Option<String>,
}

impl MoveRecord {
    /// Returns the record of a move that is made under these circumstances.
    pub(crate) fn of(&self, moves: &Move) -> Record {
        Record {
            name: moves.channel.to_string(),
            release: moves.release.clone(),
            sequence: moves.sequence,
            previous: moves.previous().cloned(),
            kind: moves.kind,
            moved: self.moved.clone(),
            by: self.by.clone(),
            from: self.from.clone(),
            reason: self.reason.clone(),
        }
    }
}

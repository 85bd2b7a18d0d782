//! The message about files that would be published and differ from the commit.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::source::git::Change;

/// Number of changed files that a message names.
const NAMED_CHANGES: usize = 20;

/// Returns the message about files that differ from the commit.
pub(super) fn not_committed(changes: &BTreeMap<String, Change>) -> String {
    let mut text = format!("{} of the files that would be published differ from the commit:", changes.len());
    for (path, change) in changes.iter().take(NAMED_CHANGES) {
        let change = match change {
            Change::Modified => "modified",
            Change::Untracked => "not in the commit",
            Change::Deleted => "deleted",
        };
        let _ = write!(text, "\n    {}: {change}", path.escape_debug());
    }
    if changes.len() > NAMED_CHANGES {
        let _ = write!(text, "\n    and {} more", changes.len() - NAMED_CHANGES);
    }
    text
}

//! Compares two texts line by line. Of a binary or a very large file, only the size and the digest are told.

use serde::Serialize;
use similar::{Algorithm, ChangeTag, TextDiff};

use crate::oci::Digest;

/// Unchanged lines that are shown before and after a change, as in git.
const CONTEXT: usize = 3;
/// Largest file, in bytes, whose lines are compared.
const FILE_LIMIT: usize = 1 << 20;
/// Most lines that are shown of one file.
const SHOWN_LINES: usize = 1000;
/// Most bytes that are shown of one line.
const LINE_LIMIT: usize = 2000;
/// Most bytes of lines that are shown of one release.
const TOTAL: usize = 8 << 20;
/// Most lines that are compared of one release.
const COMPARED_LINES: usize = 4_000_000;
/// Most lines that are compared of one release to find renamed files.
const RENAME_LINES: usize = 200_000;

/// How a thing differs between two releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Only the newer release has it.
    Added,
    /// Only the older release has it.
    Removed,
    /// Both releases have it, and it is not the same.
    Changed,
}

impl Change {
    /// Tells a change from the state before and the state after, at least one of which exists.
    pub fn of<T>(from: Option<&T>, to: Option<&T>) -> Self {
        match (from, to) {
            (None, _) => Self::Added,
            (_, None) => Self::Removed,
            _ => Self::Changed,
        }
    }
}

/// How much may still be compared and shown. A release may change everything at once, or be made to keep a reader busy.
#[derive(Debug)]
pub(super) struct Budget {
    /// Bytes of lines that may be shown.
    left: usize,
    /// Lines that may be compared. Where no two of them are the same, 4,000,000 lines take seconds.
    lines: usize,
    /// Lines that may be compared to find renamed files.
    pub renames: usize,
}

impl Budget {
    /// Allows lines to be counted but not to be shown.
    pub(super) fn none() -> Self {
        Self { left: 0, ..Self::default() }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: TOTAL, lines: COMPARED_LINES, renames: RENAME_LINES }
    }
}

/// A run of changed lines with the unchanged lines around them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hunk {
    /// Number of its first line in the older file, from 1; 0 when the older file has no line of it.
    pub old_start: usize,
    /// Count of its lines in the older file.
    pub old_lines: usize,
    /// Number of its first line in the newer file, from 1; 0 when the newer file has no line of it.
    pub new_start: usize,
    /// Count of its lines in the newer file.
    pub new_lines: usize,
    /// The lines, each after ` `, `-` or `+`; one that begins with `\` is a remark on the line before.
    pub lines: Vec<String>,
}

/// How the content of a file differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "content", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Delta {
    /// Text, compared line by line.
    Text {
        /// Count of lines that only the newer file has.
        added: usize,
        /// Count of lines that only the older file has.
        removed: usize,
        /// The changed lines, up to the limits of a file and of a release.
        hunks: Vec<Hunk>,
        /// Count of changed lines beyond those limits.
        omitted: usize,
    },
    /// Bytes that are not UTF-8, or that contain a zero byte.
    Binary {
        /// The older file, if there is one.
        from: Option<Blob>,
        /// The newer file, if there is one.
        to: Option<Blob>,
    },
    /// Text of more than 1 MiB, or beyond the 4,000,000 lines that are compared of one release.
    Large {
        /// The older file, if there is one.
        from: Option<Blob>,
        /// The newer file, if there is one.
        to: Option<Blob>,
    },
}

impl Delta {
    /// Reports whether the content is the same on both sides, as that of a renamed file may be.
    pub(super) fn is_same(&self) -> bool {
        match self {
            Self::Text { added, removed, .. } => added + removed == 0,
            Self::Binary { from, to } | Self::Large { from, to } => from == to,
        }
    }
}

/// A file whose content is not shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Blob {
    /// Size of the file in bytes.
    pub size: usize,
    /// Digest of the file's bytes.
    pub digest: Digest,
}

impl Blob {
    fn of(bytes: Option<&[u8]>) -> Option<Self> {
        bytes.map(|bytes| Self { size: bytes.len(), digest: Digest::of(bytes) })
    }
}

/// Compares two states of a file, at least one of which exists.
pub(super) fn compare(from: Option<&[u8]>, to: Option<&[u8]>, budget: &mut Budget) -> Delta {
    let (Some(old), Some(new)) = (from.map_or(Some(""), text), to.map_or(Some(""), text)) else {
        return Delta::Binary { from: Blob::of(from), to: Blob::of(to) };
    };
    let lines = old.bytes().chain(new.bytes()).filter(|byte| *byte == b'\n').count();
    if old.len().max(new.len()) > FILE_LIMIT || lines > budget.lines {
        return Delta::Large { from: Blob::of(from), to: Blob::of(to) };
    }
    budget.lines -= lines;
    text_delta(old, new, budget)
}

fn text(bytes: &[u8]) -> Option<&str> {
    if bytes.contains(&0) { None } else { std::str::from_utf8(bytes).ok() }
}

fn text_delta(old: &str, new: &str, budget: &mut Budget) -> Delta {
    let diff = TextDiff::configure().algorithm(Algorithm::Patience).diff_lines(old, new);
    let (mut added, mut removed, mut omitted) = (0, 0, 0);
    let mut shown = SHOWN_LINES;
    let mut hunks = Vec::new();
    for group in diff.grouped_ops(CONTEXT) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let (old, new) = (first.old_range().start..last.old_range().end, first.new_range().start..last.new_range().end);
        let mut lines = Vec::new();
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            removed += usize::from(sign == '-');
            added += usize::from(sign == '+');
            let line = line(sign, change.value());
            if shown == 0 || budget.left < line.len() {
                omitted += 1;
                continue;
            }
            shown -= 1;
            budget.left -= line.len();
            lines.push(line);
            if change.missing_newline() {
                lines.push("\\ No newline at end of file".to_owned());
            }
        }
        if !lines.is_empty() {
            let start = |range: &std::ops::Range<usize>| range.start + usize::from(!range.is_empty());
            let (old_start, new_start) = (start(&old), start(&new));
            hunks.push(Hunk { old_start, old_lines: old.len(), new_start, new_lines: new.len(), lines });
        }
    }
    Delta::Text { added, removed, hunks, omitted }
}

/// Returns a line after its sign, without its line end, and cut when it is longer than 2000 bytes.
fn line(sign: char, text: &str) -> String {
    let text = text.strip_suffix('\n').unwrap_or(text);
    if text.len() <= LINE_LIMIT {
        return format!("{sign}{text}");
    }
    let cut = text.floor_char_boundary(LINE_LIMIT);
    format!("{sign}{}… ({} bytes more)", &text[..cut], text.len() - cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(old: &str, new: &str) -> Delta {
        compare(Some(old.as_bytes()), Some(new.as_bytes()), &mut Budget::default())
    }

    #[test]
    fn a_changed_line_is_shown_with_the_lines_around_it() {
        let old: String = (1..=20).fold(String::new(), |text, n| format!("{text}line {n}\n"));
        let Delta::Text { added, removed, hunks, omitted } = delta(&old, &old.replace("line 10\n", "line X\n")) else {
            panic!("not text");
        };
        assert_eq!((added, removed, omitted, hunks.len()), (1, 1, 0, 1));
        assert_eq!((hunks[0].old_start, hunks[0].old_lines, hunks[0].new_start, hunks[0].new_lines), (7, 7, 7, 7));
        let expected = [" line 7", " line 8", " line 9", "-line 10", "+line X", " line 11", " line 12", " line 13"];
        assert_eq!(hunks[0].lines, expected);
    }

    #[test]
    fn a_missing_line_end_of_the_last_line_is_a_change() {
        let Delta::Text { hunks, .. } = delta("a\n", "a") else { panic!("not text") };
        assert_eq!(hunks[0].lines, ["-a", "+a", "\\ No newline at end of file"]);
        let Delta::Text { hunks, .. } = compare(None, Some(b"a\n"), &mut Budget::default()) else { panic!("not text") };
        assert_eq!((hunks[0].old_start, hunks[0].new_start, hunks[0].lines.len()), (0, 1, 1));
    }

    #[test]
    fn binary_and_huge_files_are_named_and_not_shown() {
        assert!(matches!(delta("a\0b", "a"), Delta::Binary { from: Some(Blob { size: 3, .. }), .. }));
        let invalid = compare(None, Some(&[0xff, 0xfe]), &mut Budget::default());
        assert!(matches!(invalid, Delta::Binary { from: None, to: Some(_) }));
        assert!(matches!(delta("a", &"x\n".repeat(FILE_LIMIT)), Delta::Large { .. }));
    }

    #[test]
    fn lines_beyond_a_limit_are_counted_and_not_shown() {
        let new = "new\n".repeat(SHOWN_LINES + 7);
        let Delta::Text { added, omitted, hunks, .. } = delta("", &new) else { panic!("not text") };
        assert_eq!((added, omitted, hunks[0].lines.len()), (SHOWN_LINES + 7, 7, SHOWN_LINES));
        let Delta::Text { hunks, .. } = delta("a", &"é".repeat(LINE_LIMIT)) else { panic!("not text") };
        assert!(hunks[0].lines.iter().any(|line| line.ends_with(&format!("… ({LINE_LIMIT} bytes more)"))), "{hunks:?}");
        let mut budget = Budget { left: 10, ..Budget::default() };
        let Delta::Text { omitted, .. } = compare(None, Some(b"12345\n12345\n"), &mut budget) else {
            panic!("not text")
        };
        assert_eq!(omitted, 1);
        let mut budget = Budget { lines: 3, ..Budget::default() };
        assert!(matches!(compare(None, Some(b"1\n2\n"), &mut budget), Delta::Text { .. }));
        assert!(matches!(compare(None, Some(b"1\n2\n"), &mut budget), Delta::Large { .. }));
    }
}

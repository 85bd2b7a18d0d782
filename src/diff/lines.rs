//! Two texts, line by line. What is no text, or too much of it, is said and not shown.

use serde::Serialize;
use similar::{Algorithm, ChangeTag, TextDiff};

use crate::oci::Digest;

/// Lines of context around a change.
const CONTEXT: usize = 3;
/// Largest file whose lines are compared.
const FILE_LIMIT: usize = 1 << 20;
/// Most lines of one file that are shown.
const SHOWN_LINES: usize = 1000;
/// Most bytes of one line that are shown.
const LINE_LIMIT: usize = 2000;
/// Most bytes of lines that one [`Budget`] allows.
const TOTAL: usize = 8 << 20;

/// Most lines that one [`Budget`] compares.
const COMPARED_LINES: usize = 4_000_000;

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is another.
    Changed,
}

impl Change {
    /// Of two states, at least one of which is there.
    pub fn of<T>(from: Option<&T>, to: Option<&T>) -> Self {
        match (from, to) {
            (None, _) => Self::Added,
            (_, None) => Self::Removed,
            _ => Self::Changed,
        }
    }
}

/// How much is still compared and shown: a release may change everything at once, or be made to keep a reader busy.
#[derive(Debug)]
pub(super) struct Budget {
    /// Bytes of lines that are shown.
    left: usize,
    /// Lines that are compared: seconds, where nothing in them is alike.
    lines: usize,
}

impl Budget {
    /// Lines are counted and none is shown.
    pub(super) fn none() -> Self {
        Self { left: 0, lines: COMPARED_LINES }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: TOTAL, lines: COMPARED_LINES }
    }
}

/// A run of changed lines with what stands around them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hunk {
    /// First line of it before, from 1; 0 when there is none.
    pub old_start: usize,
    /// Count of its lines before.
    pub old_lines: usize,
    /// First line of it after.
    pub new_start: usize,
    /// Count of its lines after.
    pub new_lines: usize,
    /// Each begins with ` `, `-`, `+`, or `\` for what is said about the line before.
    pub lines: Vec<String>,
}

/// How a file's content differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "content", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Delta {
    /// Text, line by line.
    Text {
        /// Count of lines that are new.
        added: usize,
        /// Count of lines that are gone.
        removed: usize,
        /// The changes, as far as they are shown.
        hunks: Vec<Hunk>,
        /// Count of lines that are not shown.
        omitted: usize,
    },
    /// No text: bytes that are not UTF-8, or hold a zero.
    Binary {
        /// Before.
        from: Option<Blob>,
        /// After.
        to: Option<Blob>,
    },
    /// Text of more than 1 MiB, or more than is compared of one release.
    Large {
        /// Before.
        from: Option<Blob>,
        /// After.
        to: Option<Blob>,
    },
}

/// Bytes that are not shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Blob {
    /// Count of bytes.
    pub size: usize,
    /// Of the bytes.
    pub digest: Digest,
}

impl Blob {
    fn of(bytes: Option<&[u8]>) -> Option<Self> {
        bytes.map(|bytes| Self { size: bytes.len(), digest: Digest::of(bytes) })
    }
}

/// Compares two states of a file, at least one of which is there.
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

/// One line without its end, cut when it is very long.
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
    fn a_changed_line_is_shown_with_what_stands_around_it() {
        let old: String = (1..=20).fold(String::new(), |text, n| format!("{text}line {n}\n"));
        let Delta::Text { added, removed, hunks, omitted } = delta(&old, &old.replace("line 10\n", "line X\n")) else {
            panic!("no text");
        };
        assert_eq!((added, removed, omitted, hunks.len()), (1, 1, 0, 1));
        assert_eq!((hunks[0].old_start, hunks[0].old_lines, hunks[0].new_start, hunks[0].new_lines), (7, 7, 7, 7));
        let expected = [" line 7", " line 8", " line 9", "-line 10", "+line X", " line 11", " line 12", " line 13"];
        assert_eq!(hunks[0].lines, expected);
    }

    #[test]
    fn the_end_of_the_last_line_is_a_change_too() {
        let Delta::Text { hunks, .. } = delta("a\n", "a") else { panic!("no text") };
        assert_eq!(hunks[0].lines, ["-a", "+a", "\\ No newline at end of file"]);
        let Delta::Text { hunks, .. } = compare(None, Some(b"a\n"), &mut Budget::default()) else { panic!("no text") };
        assert_eq!((hunks[0].old_start, hunks[0].new_start, hunks[0].lines.len()), (0, 1, 1));
    }

    #[test]
    fn binary_and_huge_files_are_said_and_not_shown() {
        assert!(matches!(delta("a\0b", "a"), Delta::Binary { from: Some(Blob { size: 3, .. }), .. }));
        let invalid = compare(None, Some(&[0xff, 0xfe]), &mut Budget::default());
        assert!(matches!(invalid, Delta::Binary { from: None, to: Some(_) }));
        assert!(matches!(delta("a", &"x\n".repeat(FILE_LIMIT)), Delta::Large { .. }));
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let new = "new\n".repeat(SHOWN_LINES + 7);
        let Delta::Text { added, omitted, hunks, .. } = delta("", &new) else { panic!("no text") };
        assert_eq!((added, omitted, hunks[0].lines.len()), (SHOWN_LINES + 7, 7, SHOWN_LINES));
        let Delta::Text { hunks, .. } = delta("a", &"é".repeat(LINE_LIMIT)) else { panic!("no text") };
        assert!(hunks[0].lines.iter().any(|line| line.ends_with(&format!("… ({LINE_LIMIT} bytes more)"))), "{hunks:?}");
        let mut budget = Budget { left: 10, ..Budget::default() };
        let Delta::Text { omitted, .. } = compare(None, Some(b"12345\n12345\n"), &mut budget) else {
            panic!("no text")
        };
        assert_eq!(omitted, 1);
        let mut budget = Budget { lines: 3, ..Budget::default() };
        assert!(matches!(compare(None, Some(b"1\n2\n"), &mut budget), Delta::Text { .. }));
        assert!(matches!(compare(None, Some(b"1\n2\n"), &mut budget), Delta::Large { .. }));
    }
}

//! The overlay as its author wrote it: publishing changes some of its files, and a finding names the author's line.

use std::cell::RefCell;
use std::collections::BTreeMap;

use similar::{Algorithm, DiffOp, capture_diff_slices};

/// The files that publishing changed, and where the overlay is.
#[derive(Debug)]
pub(crate) struct Written<'a> {
    overlay: &'a str,
    changed: Option<&'a BTreeMap<String, Vec<u8>>>,
    /// For each changed file that was asked for: the author's line of each line.
    lines: RefCell<BTreeMap<String, Vec<usize>>>,
}

impl<'a> Written<'a> {
    /// Knows the overlay in a directory of the source tree, and those of its files that publishing changed.
    pub(crate) fn in_tree(overlay: &'a str, changed: &'a BTreeMap<String, Vec<u8>>) -> Self {
        Self { overlay, changed: Some(changed), lines: RefCell::default() }
    }

    /// Knows nothing but the bundle.
    pub(crate) fn in_bundle() -> Self {
        Self { overlay: "bundle", changed: None, lines: RefCell::default() }
    }

    /// Returns the directory under which people know the overlay's files.
    pub(super) fn overlay(&self) -> &str {
        self.overlay
    }

    /// Returns the author's line for a line of a file whose text in the bundle is `text`.
    pub(super) fn line(&self, path: &str, text: &str, line: usize) -> usize {
        let Some(original) = self.changed.and_then(|changed| changed.get(path)) else { return line };
        let mut lines = self.lines.borrow_mut();
        let of_file =
            lines.entry(path.to_owned()).or_insert_with(|| authors_lines(&String::from_utf8_lossy(original), text));
        of_file.get(line.saturating_sub(1)).or(of_file.last()).copied().unwrap_or(line)
    }
}

/// Returns, for each line of `now`, the line of `before` that it comes from; for a line that is new, the line before which it was put.
fn authors_lines(before: &str, now: &str) -> Vec<usize> {
    let (before, now): (Vec<&str>, Vec<&str>) = (before.lines().collect(), now.lines().collect());
    let last = before.len().max(1);
    let mut lines = Vec::with_capacity(now.len());
    for operation in capture_diff_slices(Algorithm::Myers, &before, &now) {
        match operation {
            DiffOp::Equal { old_index, len, .. } => lines.extend((0..len).map(|at| old_index + at + 1)),
            DiffOp::Insert { old_index, new_len, .. } => {
                lines.extend(std::iter::repeat_n((old_index + 1).min(last), new_len));
            }
            DiffOp::Replace { old_index, old_len, new_len, .. } => {
                lines.extend((0..new_len).map(|at| old_index + at.min(old_len.saturating_sub(1)) + 1));
            }
            DiffOp::Delete { .. } => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_authors_line() {
        let before = "a\nb\nsourceRef\n  git\nc\nd\n";
        let now = "a\nb\nchartRef\nc\nadded\nd\n";
        assert_eq!(authors_lines(before, now), [1, 2, 3, 5, 6, 6]);
        let changed = BTreeMap::from([("x.yaml".to_owned(), before.as_bytes().to_vec())]);
        let written = Written::in_tree("flux", &changed);
        assert_eq!(written.line("x.yaml", now, 4), 5);
        assert_eq!(written.line("y.yaml", now, 4), 4, "a file that publishing does not change");
    }
}

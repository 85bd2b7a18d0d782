//! The overlay as its author wrote it. Publishing rewrites some files, but a finding must name the author's line.

use std::cell::RefCell;
use std::collections::BTreeMap;

use similar::{Algorithm, DiffOp, capture_diff_slices};

/// The files that publishing changed, and the directory of the overlay.
#[derive(Debug)]
pub(crate) struct Written<'a> {
    overlay: &'a str,
    changed: Option<&'a BTreeMap<String, Vec<u8>>>,
    /// The author's line for each line of a changed file, computed when a file is first needed.
    lines: RefCell<BTreeMap<String, Vec<usize>>>,
}

impl<'a> Written<'a> {
    /// Creates the mapping for an overlay in a source tree. `changed` holds the original content of the files that publishing changed.
    pub(crate) fn in_tree(overlay: &'a str, changed: &'a BTreeMap<String, Vec<u8>>) -> Self {
        Self { overlay, changed: Some(changed), lines: RefCell::default() }
    }

    /// Creates the mapping for a bundle, whose files are reported as they are.
    pub(crate) fn in_bundle() -> Self {
        Self { overlay: "bundle", changed: None, lines: RefCell::default() }
    }

    /// Returns the directory that users know as the root of the overlay's files.
    pub(super) fn overlay(&self) -> &str {
        self.overlay
    }

    /// Returns the author's line for a line of a file whose content in the bundle is `text`.
    pub(super) fn line(&self, path: &str, text: &str, line: usize) -> usize {
        let Some(original) = self.changed.and_then(|changed| changed.get(path)) else { return line };
        let mut lines = self.lines.borrow_mut();
        let of_file =
            lines.entry(path.to_owned()).or_insert_with(|| authors_lines(&String::from_utf8_lossy(original), text));
        of_file.get(line.saturating_sub(1)).or(of_file.last()).copied().unwrap_or(line)
    }
}

/// Returns, for each line of `now`, the corresponding line of `before`. An added line corresponds to the line that follows it.
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
    fn a_line_of_the_bundle_maps_to_the_line_that_the_author_wrote() {
        let before = "a\nb\nsourceRef\n  git\nc\nd\n";
        let now = "a\nb\nchartRef\nc\nadded\nd\n";
        assert_eq!(authors_lines(before, now), [1, 2, 3, 5, 6, 6]);
        let changed = BTreeMap::from([("x.yaml".to_owned(), before.as_bytes().to_vec())]);
        let written = Written::in_tree("flux", &changed);
        assert_eq!(written.line("x.yaml", now, 4), 5);
        assert_eq!(written.line("y.yaml", now, 4), 4, "an unchanged file");
    }
}

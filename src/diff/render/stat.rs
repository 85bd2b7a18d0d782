//! One line for each thing that differs, as `git diff --stat` and `git diff --name-only` print it. Files are named below `charts/NAME`,
//! `values` and `overlay`; images below `images`, and keys of the release below `release`. Pins are left out: they follow from the rest.

use std::fmt::Write as _;

use super::super::chart::{ChartChange, FileChange};
use super::super::fields::FieldChange;
use super::super::lines::{Blob, Change, Delta};
use super::super::value::{Diff, ImageChange, ImageState};
use super::text::{GREEN, RED, Style};
use crate::text::counted;

/// Columns where the output is not a terminal, as git takes them.
const COLUMNS: usize = 80;
/// Fewest columns of the graph.
const GRAPH: usize = 6;
/// Columns around the name and the count: ` NAME | COUNT GRAPH`.
const AROUND: usize = 5;

/// A thing that differs.
struct Row {
    name: String,
    renamed_from: Option<String>,
    what: What,
}

enum What {
    /// Counts of the lines of a text that differ.
    Lines { added: usize, removed: usize },
    /// How anything else differs, in words.
    Words(String),
}

/// Prints the name of each thing that differs; a renamed file by its new name.
pub fn name_only(diff: &Diff) -> String {
    rows(diff).into_iter().map(|row| row.name + "\n").collect()
}

/// Prints the name of each thing that differs, with the count of its lines that differ and a graph, and the sum of all files.
pub fn stat(diff: &Diff, style: Style) -> String {
    let rows = rows(diff);
    let columns = Columns::of(&rows, style);
    let mut text: String = rows.iter().map(|row| columns.line(row)).collect();
    let counts = rows.iter().filter_map(|row| match row.what {
        What::Lines { added, removed } => Some((added, removed)),
        What::Words(_) => None,
    });
    let files = counts.clone().count();
    if files > 0 {
        let (added, removed) = counts.fold((0, 0), |sum, (added, removed)| (sum.0 + added, sum.1 + removed));
        let _ = write!(text, " {} changed", counted(files, "file", "files"));
        let sums = [(added, ["insertion(+)", "insertions(+)"]), (removed, ["deletion(-)", "deletions(-)"])];
        for (count, [one, several]) in sums.into_iter().filter(|(count, _)| *count > 0 || added + removed == 0) {
            let _ = write!(text, ", {}", counted(count, one, several));
        }
        text.push('\n');
    }
    text
}

fn rows(diff: &Diff) -> Vec<Row> {
    let mut rows: Vec<Row> = diff.charts.iter().flat_map(of_chart).collect();
    rows.extend(diff.values.iter().map(|file| of_file("values", file)));
    rows.extend(diff.overlay.iter().filter(|file| !file.pin).map(|file| of_file("overlay", file)));
    rows.extend(diff.images.iter().map(of_image));
    let keys = diff.extra_images.iter().chain(&diff.control_plane).chain(&diff.other);
    rows.extend(keys.map(of_key));
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    rows.dedup_by(|second, first| {
        let same = second.name == first.name;
        if same {
            // Two entries of one list are one key.
            first.what = What::Words("changed".to_owned());
        }
        same
    });
    rows
}

fn row(name: &str, words: &str) -> Row {
    Row { name: super::line(name), renamed_from: None, what: What::Words(super::line(words)) }
}

fn of_chart(chart: &ChartChange) -> Vec<Row> {
    let directory = format!("charts/{}", chart.name);
    if !chart.files.is_empty() {
        return chart.files.iter().map(|file| of_file(&directory, file)).collect();
    }
    let words = match (&chart.from, &chart.to) {
        (Some(from), Some(to)) if from.version != to.version => arrow(&from.version, &to.version),
        (Some(_), Some(to)) if chart.repacked => format!("{}, repacked", to.version),
        (Some(_), Some(to)) => format!("{}, not compared", to.version),
        (Some(from), None) => format!("{} (gone)", from.version),
        (None, to) => format!("{} (new)", to.as_ref().map_or("", |to| &to.version)),
    };
    vec![row(&directory, &words)]
}

fn of_file(directory: &str, file: &FileChange) -> Row {
    let path = |path: &str| super::line(&format!("{directory}/{path}"));
    let size = |blob: &Option<Blob>| blob.as_ref().map_or(0, |blob| blob.size);
    let what = match &file.delta {
        Delta::Text { added, removed, .. } => What::Lines { added: *added, removed: *removed },
        Delta::Binary { from, to } => What::Words(format!("Bin {} -> {} bytes", size(from), size(to))),
        Delta::Large { from, to } => What::Words(format!("Large {} -> {} bytes", size(from), size(to))),
    };
    Row { name: path(&file.path), renamed_from: file.renamed_from.as_deref().map(path), what }
}

fn of_image(image: &ImageChange) -> Row {
    let name = |state: &ImageState, other: Option<&ImageState>| match &state.digest {
        Some(digest) if other.is_some_and(|other| other.tag == state.tag) => {
            format!("{}@{}", state.tag, digest.short())
        }
        _ => state.tag.clone(),
    };
    let words = match (&image.from, &image.to) {
        (Some(from), Some(to)) => arrow(&name(from, Some(to)), &name(to, Some(from))),
        (Some(from), None) => format!("{} (gone)", from.tag),
        (None, to) => format!("{} (new)", to.as_ref().map_or("", |to| &to.tag)),
    };
    row(&format!("images/{}", image.key), &words)
}

fn of_key(field: &FieldChange) -> Row {
    let key = field.path.strip_suffix("[]").unwrap_or(&field.path);
    let words = match (field.change, &field.from, &field.to) {
        (Change::Changed, Some(from), Some(to)) => arrow(from, to),
        (Change::Added, ..) => "(new)".to_owned(),
        (Change::Removed, ..) => "(gone)".to_owned(),
        (Change::Changed, ..) => "changed".to_owned(),
    };
    row(&format!("release/{key}"), &super::short_digests(&words))
}

fn arrow(from: &str, to: &str) -> String {
    format!("{from} -> {to}")
}

/// The widths of the columns.
struct Columns {
    name: usize,
    count: usize,
    signs: usize,
    /// Lines of the file that has most of them.
    most: usize,
    style: Style,
}

impl Columns {
    fn of(rows: &[Row], style: Style) -> Self {
        let lines = |row: &Row| if let What::Lines { added, removed } = row.what { added + removed } else { 0 };
        let most = rows.iter().map(lines).max().unwrap_or(0);
        let longest = rows.iter().map(|row| row.label().chars().count()).max().unwrap_or(0);
        let count = most.to_string().len();
        let all = if style.width == usize::MAX { COLUMNS } else { style.width }.saturating_sub(count + AROUND);
        // The graph takes what the names leave; three eighths of the line where they leave less.
        let graph = most.min(all.saturating_sub(longest).max(all * 3 / 8).max(GRAPH));
        // A name is cut on a terminal alone: a program reads it whole.
        let name = if style.width == usize::MAX { longest } else { longest.min(all.saturating_sub(graph).max(GRAPH)) };
        Self { name, count, signs: graph, most, style }
    }

    fn line(&self, row: &Row) -> String {
        let label = cut(&row.label(), self.name);
        let start = format!(" {label}{} |", " ".repeat(self.name - label.chars().count()));
        match &row.what {
            What::Words(words) => format!("{start} {words}\n"),
            What::Lines { added, removed } => {
                let total = added + removed;
                let (plus, minus) = self.signs(*added, *removed);
                let plus = self.style.painted(GREEN, &"+".repeat(plus));
                let minus = self.style.painted(RED, &"-".repeat(minus));
                format!("{start} {total:>width$} {plus}{minus}", width = self.count).trim_end().to_owned() + "\n"
            }
        }
    }

    /// Scales two counts to the width of the graph; a count above zero keeps one sign.
    fn signs(&self, added: usize, removed: usize) -> (usize, usize) {
        if self.most <= self.signs {
            return (added, removed);
        }
        let scaled = |count: usize| if count == 0 { 0 } else { 1 + count * (self.signs - 1) / self.most };
        let total = scaled(added + removed).max(usize::from(added > 0) + usize::from(removed > 0));
        let plus = if removed == 0 { total } else { scaled(added).min(total.saturating_sub(1)) };
        (plus, total - plus)
    }
}

impl Row {
    fn label(&self) -> String {
        let Some(old) = &self.renamed_from else { return self.name.clone() };
        // The directories that both paths have in common are written once, as git does.
        let pairs = old.char_indices().zip(self.name.chars());
        let same = pairs.take_while(|((_, a), b)| a == b).filter(|((_, a), _)| *a == '/').map(|((at, _), _)| at + 1);
        match same.last() {
            Some(at) => format!("{}{{{} => {}}}", &old[..at], &old[at..], &self.name[at..]),
            None => format!("{old} => {}", self.name),
        }
    }
}

/// Cuts the beginning of a name: its end tells more.
fn cut(name: &str, width: usize) -> String {
    let count = name.chars().count();
    if count <= width {
        return name.to_owned();
    }
    std::iter::once('…').chain(name.chars().skip(count - width.saturating_sub(1))).collect()
}

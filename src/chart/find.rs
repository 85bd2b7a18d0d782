//! Finds a chart by its name when the configuration does not give its path.

use super::files::FILE_LIMIT;
use super::metadata::{Metadata, Reader};
use crate::path::join;
use crate::source::{EntryKind, Error, Place, Tree};

/// Deepest directory that the search enters.
const DEPTH_LIMIT: usize = 64;

/// Returns the directory of the chart named `name`, relative to the tree's root. The search skips directories whose names
/// begin with a dot, `node_modules` and the subcharts of charts, and does not follow symbolic links.
///
/// # Errors
/// When no chart has the name, or more than one.
pub fn find(tree: &Tree, name: &str) -> Result<String, Error> {
    let mut found = Vec::new();
    look(tree, "", name, 0, &mut found)?;
    let shown = name.escape_debug();
    let hint = format!("set the chart's directory under `charts:` in alga-release.yaml: `{shown}: PATH`");
    match found.as_slice() {
        [path] => Ok(path.clone()),
        [] => Err(Error::invalid(Place::file("."), format!("no chart is named `{shown}`")).hint(hint)),
        [first, ..] => {
            let reason = format!("{} charts are named `{shown}`: {}", found.len(), found.join(", "));
            Err(Error::invalid(Place::file(join(first, "Chart.yaml")), reason).hint(hint))
        }
    }
}

fn look(tree: &Tree, directory: &str, name: &str, depth: usize, found: &mut Vec<String>) -> Result<(), Error> {
    let entries = tree.list(directory)?;
    let is_chart = entries.iter().any(|entry| entry.name == "Chart.yaml" && entry.kind != EntryKind::Directory);
    if is_chart && name_of(tree, &join(directory, "Chart.yaml")).as_deref() == Some(name) {
        found.push(directory.to_owned());
    }
    for entry in entries.into_iter().filter(|entry| entry.kind == EntryKind::Directory) {
        let skipped =
            entry.name.starts_with('.') || entry.name == "node_modules" || (is_chart && entry.name == "charts");
        if !skipped && depth < DEPTH_LIMIT {
            look(tree, &join(directory, &entry.name), name, depth + 1, found)?;
        }
    }
    Ok(())
}

/// Returns the name that a Chart.yaml gives, or `None` where the file cannot be read: such a chart is not a match.
fn name_of(tree: &Tree, path: &str) -> Option<String> {
    let text = String::from_utf8(tree.peek(path, FILE_LIMIT).ok()?).ok()?;
    let mut metadata = Metadata::default();
    let mut reader = Reader { place: &Place::file(path), packed: false, warnings: &mut Vec::new() };
    reader.read_name(text.strip_prefix('\u{feff}').unwrap_or(&text), &mut metadata).ok()?;
    Some(metadata.name)
}

//! Checks that no object refers to a git repository after the rewriting.

use crate::flux::{File, Object, SOURCE};
use crate::path::join;
use crate::source::{Error, Place, Warning};
use crate::yaml::{Node, Value};

use super::Overlay;

const FLUX: &str = ".toolkit.fluxcd.io";
/// The common start of the kind's singular and plural, in lower case.
const MENTION: &str = "gitrepositor";

/// Returns file and line of each GitRepository among Flux's objects, and of each reference to one.
pub(crate) fn git_references<'a>(objects: &[Object<'a>]) -> Vec<(&'a str, usize)> {
    let mut places = Vec::new();
    for object in objects.iter().filter(|object| object.group().ends_with(FLUX)) {
        if object.is(SOURCE, "GitRepository") {
            places.push((object.file, object.node.line));
        }
        for reference in object.references().into_iter().filter(|reference| reference.is("GitRepository")) {
            let kind = reference.kind.filter(|_| !reference.node.is_alias());
            places.push((object.file, kind.map_or(reference.node, |kind| kind.node).line));
        }
    }
    places
}

/// Refuses objects that still refer to a GitRepository, and warns about all other lines that mention a GitRepository.
///
/// # Errors
/// One error that names every place.
pub(super) fn nothing_points_at_git(overlay: &Overlay) -> Result<Vec<Warning>, Error> {
    let references = git_references(&overlay.objects());
    let mut places: Vec<Place> = references.into_iter().map(|(file, line)| overlay.place(file, line)).collect();
    places.sort();
    places.dedup();
    let Some(first) = places.first().cloned() else { return Ok(mentions(overlay)) };
    let others: Vec<String> = places[1..].iter().map(ToString::to_string).collect();
    let also = if others.is_empty() { String::new() } else { format!(", and so do {}", others.join(", ")) };
    Err(Error::refused(first, format!("the object still refers to a GitRepository{also}"))
        .hint("remove the object, or take its source from an OCIRepository: the appliance has no git repositories"))
}

fn mentions(overlay: &Overlay) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (path, bytes) in overlay.files() {
        if !bytes.windows(MENTION.len()).any(|part| part.eq_ignore_ascii_case(MENTION.as_bytes())) {
            continue;
        }
        let text = String::from_utf8_lossy(bytes);
        let text = overlay.files.parsed().get(path).map_or_else(|| text.clone().into_owned(), without_comments);
        for (at, line) in text.lines().enumerate() {
            let lower = line.to_ascii_lowercase();
            let comment = lower.trim_start().starts_with(['#']) || lower.trim_start().starts_with("//");
            if !comment && (lower.contains(MENTION)) {
                let place = Place::line(join(&overlay.settings.directory, path), at + 1);
                warnings.push(Warning {
                    place,
                    text: "the line mentions a GitRepository, which the appliance does not have".to_owned(),
                });
            }
        }
    }
    warnings
}

fn without_comments(parsed: &File) -> String {
    let mut bytes = parsed.text.clone().into_bytes();
    for comment in parsed.documents.iter().flat_map(|document| &document.comments) {
        bytes[comment.span.clone()].fill(b' ');
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the node at a path such as `items[0].spec.chart`.
pub(super) fn at<'a>(root: &'a Node, path: &str) -> Option<&'a Node> {
    path.split('.').try_fold(root, |node, part| {
        let mut parts = part.split('[');
        let mut node = node.value_of(parts.next()?)?;
        for index in parts {
            let Value::Sequence { items, .. } = &node.resolved().value else { return None };
            node = items.get(index.trim_end_matches(']').parse::<usize>().ok()?)?;
        }
        Some(node)
    })
}

//! Refuses texts that the parser of this program accepts but the parser of kustomize, Flux and Helm does not.

use crate::yaml::{Document, Node, Style, Value};

/// Checks a text that was parsed into `documents`.
///
/// # Errors
/// The line, counted from 1, and the reason, when the other parser would refuse the text.
pub(crate) fn strict(text: &str, documents: &[Document]) -> Result<(), (usize, String)> {
    let nodes: Vec<&Node> =
        documents.iter().filter_map(|document| document.root.as_ref()).flat_map(Node::walk).collect();
    empty_keys(text, &nodes)?;
    if text.contains('\t') { tabs(text, &nodes) } else { Ok(()) }
}

/// Refuses missing keys, which are allowed only in braces and after `?`.
fn empty_keys(text: &str, nodes: &[&Node]) -> Result<(), (usize, String)> {
    for entry in nodes.iter().filter(|node| !node.is_flow() && !node.is_alias()).flat_map(|node| node.entries()) {
        let key = &entry.key;
        let absent = key.span.is_empty() && key.is_null() && key.anchor.is_none();
        let before = text.get(..key.span.start).unwrap_or_default().trim_end();
        if absent && !before.ends_with('?') {
            return Err((key.line, "missing key before `:`".to_owned()));
        }
    }
    Ok(())
}

/// Refuses lines that are indented with a tab, including empty lines and comments.
fn tabs(text: &str, nodes: &[&Node]) -> Result<(), (usize, String)> {
    let inside = |node: &&&Node| node.is_flow() || matches!(node.value, Value::Scalar { .. });
    let block = |node: &Node| matches!(node.value, Value::Scalar { style: Style::Literal | Style::Folded, .. });
    let blank = |end: usize| {
        let rest = text.get(end..).unwrap_or_default();
        rest.len() - rest.trim_start().len()
    };
    let span = |node: &&Node| (node.span.start, node.span.end + if block(node) { blank(node.span.end) } else { 0 });
    let mut spans: Vec<(usize, usize)> = nodes.iter().filter(inside).map(span).collect();
    spans.sort_unstable();
    let mut start = 0;
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let tab = start + line.len() - line.trim_start_matches(' ').len();
        start += line.len();
        if !line.trim_start_matches(' ').starts_with('\t') {
            continue;
        }
        let before = &spans[..spans.partition_point(|(from, _)| *from <= tab)];
        if !before.iter().any(|(_, to)| tab < *to) {
            return Err((at + 1, "the line is indented with a tab".to_owned()));
        }
    }
    Ok(())
}

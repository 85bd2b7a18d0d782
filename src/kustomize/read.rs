//! Reads the objects of a text as kustomize reads a file of resources or a strategic merge patch.

use std::collections::VecDeque;

use crate::yaml::{self, Node};

use super::problem::Kind;
use super::resource::resolved;
use super::strict::strict;

/// An object that was read from a text.
#[derive(Clone, Debug)]
pub(super) struct Read {
    /// Line of the text on which the object starts, from 1.
    pub line: usize,
    /// The object, with aliases and merge keys resolved.
    pub node: Node,
}

/// The reason why kustomize refuses a text.
#[derive(Clone, Debug)]
pub(super) struct Unread {
    /// Line of the text, counted from 1.
    pub line: usize,
    /// Kind of the problem with the text.
    pub kind: Kind,
    /// Reason of the problem: one sentence without a period.
    pub reason: String,
    /// Instruction that resolves the problem: a whole sentence.
    pub way_out: &'static str,
}

const WRITE_OBJECTS: &str = "list only files that hold Kubernetes objects, or remove the document";

/// Reads the objects of a text.
///
/// # Errors
/// When a document is not an object that kustomize accepts. The error is about the first such document.
pub(super) fn objects(text: &str) -> Result<Vec<Read>, Unread> {
    separators(text)?;
    let documents = yaml::parse(text).map_err(|error| Unread {
        line: error.line,
        kind: Kind::BrokenYaml,
        reason: format!("invalid YAML in column {}: {}", error.column, error.reason),
        way_out: "correct the YAML",
    })?;
    strict(text, &documents).map_err(|(line, reason)| Unread {
        line,
        kind: Kind::BrokenYaml,
        reason,
        way_out: "correct the YAML",
    })?;
    let alone = documents.iter().filter(|document| document.root.is_some()).count() == 1;
    let mut queue = VecDeque::new();
    for document in &documents {
        let Some(root) = document.root.as_ref().filter(|root| !is_nothing(root)) else { continue };
        let items = root.text_at(&["kind"]).filter(|kind| alone && matches!(*kind, "List" | "ResourceList"));
        match items.and_then(|_| root.get(&["items"])) {
            Some(items) if items.is_mapping() && !items.entries().is_empty() => {
                return Err(not_an_object(items, "invalid `items` of a list of objects: expected a list"));
            }
            Some(items) => queue.extend(items.items()),
            None => queue.push_back(root),
        }
    }
    flattened(queue)
}

/// Validates each object, and replaces lists by their items.
fn flattened(mut queue: VecDeque<&Node>) -> Result<Vec<Read>, Unread> {
    let mut found = Vec::new();
    while let Some(node) = queue.pop_front() {
        if is_nothing(node) {
            continue;
        }
        validate(node)?;
        let items = node.text_at(&["kind"]).filter(|kind| kind.ends_with("List")).and_then(|_| node.get(&["items"]));
        match items {
            None => found.push(Read { line: node.resolved().line, node: resolved(node) }),
            Some(items) if items.is_null() => {}
            Some(items) if items.is_sequence() => queue.extend(items.items()),
            Some(items) => return Err(not_an_object(items, "invalid `items` of a list of objects: expected a list")),
        }
    }
    Ok(found)
}

fn is_nothing(node: &Node) -> bool {
    node.is_null()
        || (node.is_mapping() && node.entries().is_empty())
        || (node.is_sequence() && node.items().is_empty())
}

fn validate(node: &Node) -> Result<(), Unread> {
    if node.is_sequence() {
        return Err(not_an_object(node, "expected an object, found a list"));
    }
    if !node.is_mapping() {
        let text = cut(node.as_str().unwrap_or_default());
        return Err(not_an_object(node, &format!("expected an object, found the text `{text}`")));
    }
    let filled = |path: &[&str]| node.text_at(path).is_some_and(|text| !text.is_empty());
    if !filled(&["kind"]) {
        return Err(not_an_object(node, "missing `kind` of the object"));
    }
    let list = node.text_at(&["kind"]).is_some_and(|kind| kind.ends_with("List"));
    if !list && !filled(&["metadata", "name"]) {
        return Err(not_an_object(node, "missing `metadata.name` of the object"));
    }
    Ok(())
}

/// Returns the first 40 characters of a text for a message.
fn cut(text: &str) -> String {
    text.chars().take(40).collect::<String>().escape_debug().to_string()
}

fn not_an_object(node: &Node, reason: &str) -> Unread {
    Unread { line: node.line, kind: Kind::NotAnObject, reason: reason.to_owned(), way_out: WRITE_OBJECTS }
}

/// Refuses content after a document separator. kustomize splits documents by lines and does not accept such content.
fn separators(text: &str) -> Result<(), Unread> {
    for (at, line) in text.split_inclusive('\n').enumerate().skip(1) {
        let Some(rest) = line.strip_prefix("---").filter(|_| line.ends_with('\n')) else { continue };
        let rest = rest.trim();
        if !rest.is_empty() && !rest.starts_with('#') {
            let reason = format!("unexpected `{}` after a document separator", cut(rest));
            let way_out = "put the content of the document on the next line";
            return Err(Unread { line: at + 1, kind: Kind::NotAnObject, reason, way_out });
        }
    }
    Ok(())
}

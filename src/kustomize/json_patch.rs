//! Applies JSON Patch as the library that kustomize uses does.
//!
//! <https://datatracker.ietf.org/doc/html/rfc6902>. Unlike the RFC, that library lets `replace` add a key to a mapping.

use crate::yaml::{Entry, Node, Value};

use super::resource::{entries_mut, moved, scalar, size};
use super::scalar::{Type, type_of};

/// Largest number of nodes of a patched object.
const MOST_NODES: usize = 1_000_000;
/// Deepest nesting of a patched object.
const MOST_DEPTH: usize = 200;

/// The reason why an operation cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// kustomize refuses the operation.
    Refused(String),
    /// The result would be larger than this program supports.
    TooLarge,
}

fn refused<T>(reason: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Refused(reason.into()))
}

/// Applies one operation to an object.
///
/// # Errors
/// When the operation is invalid, or cannot be applied to the object.
pub(super) fn apply(document: &mut Node, operation: &Node) -> Result<(), Failure> {
    let op = operation.text_at(&["op"]).unwrap_or("unknown");
    if !matches!(op, "add" | "remove" | "replace" | "move" | "copy" | "test") {
        return refused(format!("unknown operation `{}`", op.escape_debug()));
    }
    let Some(path) = operation.get(&["path"]).and_then(Node::as_str) else {
        return refused(format!("missing `path` of the operation `{op}`"));
    };
    let value = || operation.get(&["value"]).cloned().unwrap_or_else(null);
    let from = || operation.get(&["from"]).and_then(Node::as_str);
    match (op, from()) {
        ("add", _) => add(document, path, &value()),
        ("remove", _) => remove(document, path).map(drop),
        ("replace", _) => replace(document, path, &value()),
        ("test", _) => test(document, path, &value()),
        ("move", Some(from)) => {
            let value = remove(document, from)?;
            add(document, path, &value)
        }
        ("copy", Some(from)) => {
            let value = found(document, from)?.unwrap_or_else(null);
            add(document, path, &value)
        }
        _ => refused(format!("missing `from` of the operation `{op}`")),
    }
}

fn null() -> Node {
    let value = Value::Scalar { text: String::new(), style: crate::yaml::Style::Plain };
    Node { value, ..scalar("", 0) }
}

/// Splits a path into the steps to the container and the last step.
fn steps(path: &str) -> Option<(Vec<String>, String)> {
    let (_, below) = path.split_once('/')?;
    let decoded = |part: &str| part.replace("~1", "/").replace("~0", "~");
    let mut parts: Vec<String> = below.split('/').map(decoded).collect();
    let last = parts.pop()?;
    Some((parts, last))
}

/// Returns the mapping or list that contains the last step of a path.
fn container<'n>(document: &'n mut Node, path: &str) -> Result<(&'n mut Node, String), Failure> {
    let missing = || Failure::Refused(format!("the object has no `{}`", path.escape_debug()));
    let (parts, last) = steps(path).ok_or_else(missing)?;
    let mut node = document;
    for part in parts {
        node = match &mut node.value {
            Value::Mapping { entries, .. } => {
                let entry = entries.iter_mut().find(|entry| entry.key.as_str() == Some(part.as_str()));
                &mut entry.ok_or_else(missing)?.value
            }
            Value::Sequence { items, .. } => {
                let at = position(&part, items.len()).ok_or_else(missing)?;
                items.get_mut(at).ok_or_else(missing)?
            }
            Value::Scalar { .. } | Value::Alias { .. } => return Err(missing()),
        };
    }
    if node.is_mapping() || node.is_sequence() { Ok((node, last)) } else { Err(missing()) }
}

/// Returns the index that a step names in a list. A negative index counts from the end.
fn position(step: &str, length: usize) -> Option<usize> {
    let at: i64 = step.parse().ok()?;
    usize::try_from(at).ok().or_else(|| length.checked_sub(usize::try_from(-at).ok()?))
}

fn found(document: &mut Node, path: &str) -> Result<Option<Node>, Failure> {
    let (node, last) = container(document, path)?;
    match &node.value {
        Value::Sequence { items, .. } => {
            let at = position(&last, items.len());
            match at.and_then(|at| items.get(at)) {
                Some(item) => Ok(Some(item.clone())),
                None => refused(format!("the list has no item `{}`", path.escape_debug())),
            }
        }
        _ => Ok(node.entry(&last).map(|entry| entry.value.clone())),
    }
}

fn room(document: &Node, value: &Node) -> Result<(), Failure> {
    let ((nodes, depth), (more, deeper)) = (size(document), size(value));
    if nodes + more > MOST_NODES || depth + deeper > MOST_DEPTH { Err(Failure::TooLarge) } else { Ok(()) }
}

fn add(document: &mut Node, path: &str, value: &Node) -> Result<(), Failure> {
    room(document, value)?;
    let (node, last) = container(document, path)?;
    let value = moved(value, node.line);
    if let Value::Sequence { items, .. } = &mut node.value {
        let at = if last == "-" { Some(items.len()) } else { position(&last, items.len() + 1) };
        match at.filter(|at| *at <= items.len()) {
            Some(at) => items.insert(at, value),
            None => return refused(format!("the list has no position `{}`", path.escape_debug())),
        }
        return Ok(());
    }
    put(node, &last, value);
    Ok(())
}

fn put(mapping: &mut Node, key: &str, value: Node) {
    let line = mapping.line;
    let Some(entries) = entries_mut(mapping) else { return };
    match entries.iter_mut().find(|entry| entry.key.as_str() == Some(key)) {
        Some(entry) => entry.value = moved(&value, entry.value.line),
        None => entries.push(Entry { key: scalar(key, line), value }),
    }
}

fn remove(document: &mut Node, path: &str) -> Result<Node, Failure> {
    let (node, last) = container(document, path)?;
    match &mut node.value {
        Value::Sequence { items, .. } => match position(&last, items.len()).filter(|at| *at < items.len()) {
            Some(at) => Ok(items.remove(at)),
            None => refused(format!("the list has no item `{}`", path.escape_debug())),
        },
        Value::Mapping { entries, .. } => {
            match entries.iter().position(|entry| entry.key.as_str() == Some(last.as_str())) {
                Some(at) => Ok(entries.remove(at).value),
                None => refused(format!("the object has no `{}`", path.escape_debug())),
            }
        }
        _ => refused(format!("the object has no `{}`", path.escape_debug())),
    }
}

fn replace(document: &mut Node, path: &str, value: &Node) -> Result<(), Failure> {
    room(document, value)?;
    if path.is_empty() {
        if !value.is_mapping() {
            return refused("invalid `value` of the operation `replace`: expected a mapping for the whole object");
        }
        *document = moved(value, document.line);
        return Ok(());
    }
    let (node, last) = container(document, path)?;
    if let Value::Sequence { items, .. } = &mut node.value {
        let at = position(&last, items.len());
        match at.and_then(|at| items.get_mut(at)) {
            Some(item) => *item = moved(value, item.line),
            None => return refused(format!("the list has no item `{}`", path.escape_debug())),
        }
        return Ok(());
    }
    let value = moved(value, node.line);
    put(node, &last, value);
    Ok(())
}

fn test(document: &mut Node, path: &str, value: &Node) -> Result<(), Failure> {
    let there = if path.is_empty() { Some(document.clone()) } else { found(document, path)? };
    if there.is_some_and(|there| same(&there, value)) || (value.is_null() && found(document, path)?.is_none()) {
        return Ok(());
    }
    refused(format!("the value of `{}` is not the one that the operation `test` expects", path.escape_debug()))
}

/// Reports whether two trees are equal as JSON. The recursion is bounded, because objects of a build have a limited depth.
fn same(a: &Node, b: &Node) -> bool {
    let (a, b) = (a.resolved(), b.resolved());
    match (type_of(a), type_of(b)) {
        (Type::List, Type::List) => {
            let (a, b) = (a.items(), b.items());
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Type::Mapping, Type::Mapping) => {
            let key = |entry: &Entry| {
                entry.key.as_str().and_then(|key| b.entry(key)).map(|other| same(&entry.value, &other.value))
            };
            a.entries().len() == b.entries().len() && a.entries().iter().all(|entry| key(entry) == Some(true))
        }
        (Type::Null, Type::Null) => true,
        (one, other) => one == other && a.as_str() == b.as_str(),
    }
}

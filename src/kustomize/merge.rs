//! Strategic merge, as far as needed to tell whether a patch applies and to build the objects that Flux reads. Lists are
//! replaced, as kustomize does for kinds without a schema. The lists of other kinds are not read by this program.

use crate::yaml::{Entry, Node};

use super::resource::{entries_mut, moved};
use super::scalar::{Type, type_of};

const DIRECTIVE: &str = "$patch";

/// The result of merging a node.
#[derive(Debug)]
enum Left {
    Node(Node),
    Nothing,
}

/// Merges a patch into an object, and returns `None` where the patch deletes the object.
///
/// # Errors
/// When a value of the patch has another type than in the object, or the patch has an unknown directive.
pub(super) fn merge(object: &Node, patch: &Node) -> Result<Option<Node>, String> {
    match merged(object, patch, "")? {
        Left::Node(node) => Ok(Some(once(node))),
        Left::Nothing => Ok(None),
    }
}

/// Merges a node of a patch. The recursion is as deep as the patch, whose depth the parser limits.
fn merged(into: &Node, patch: &Node, field: &str) -> Result<Left, String> {
    let (from, to) = (type_of(patch), type_of(into));
    if from == Type::Null {
        return Ok(Left::Nothing);
    }
    if to == Type::Null {
        return Ok(added(patch, into.line));
    }
    let shape = |of: Type| match of {
        Type::List | Type::Mapping => of,
        _ => Type::Text,
    };
    if shape(from) != shape(to) {
        let name = |of: Type| if shape(of) == Type::Text { "a scalar" } else { of.as_str() };
        let at = if field.is_empty() { "the object".to_owned() } else { format!("`{field}`") };
        return Err(format!("{at} is {} in the object and {} in the patch", name(to), name(from)));
    }
    if from != Type::Mapping {
        return Ok(Left::Node(moved(patch, into.line)));
    }
    match patch.text_at(&[DIRECTIVE]) {
        Some("delete") => return Ok(Left::Nothing),
        Some("replace") => return Ok(added(patch, into.line)),
        Some("merge") | None => {}
        Some(other) => return Err(format!("unknown directive `{DIRECTIVE}: {}`", other.escape_debug())),
    }
    let mut result = into.clone();
    for (at, entry) in patch.entries().iter().enumerate() {
        let Some(key) = entry.key.as_str().filter(|key| *key != DIRECTIVE) else { continue };
        if patch.entries()[..at].iter().any(|other| other.key.as_str() == Some(key)) {
            continue; // kustomize uses the first of several equal keys.
        }
        let below = if field.is_empty() { key.to_owned() } else { format!("{field}.{key}") };
        let left = match into.entry(key) {
            Some(own) => merged(&own.value, &entry.value, below.escape_debug().to_string().as_str())?,
            None if entry.value.is_null() => Left::Nothing,
            None => added(&entry.value, into.line),
        };
        set(&mut result, entry, left);
    }
    Ok(Left::Node(result))
}

fn set(mapping: &mut Node, entry: &Entry, left: Left) {
    let line = mapping.line;
    let Some(entries) = entries_mut(mapping) else { return };
    let at = entries.iter().position(|one| one.key.as_str() == entry.key.as_str());
    match (at, left) {
        (Some(at), Left::Node(value)) => entries[at].value = value,
        (Some(at), Left::Nothing) => drop(entries.remove(at)),
        (None, Left::Node(value)) => entries.push(Entry { key: moved(&entry.key, line), value }),
        (None, Left::Nothing) => {}
    }
}

fn added(patch: &Node, line: usize) -> Left {
    if patch.text_at(&[DIRECTIVE]) == Some("delete") {
        return Left::Nothing;
    }
    let mut node = moved(patch, line);
    if let Some(entries) = entries_mut(&mut node) {
        entries.retain(|entry| entry.key.as_str() != Some(DIRECTIVE));
    }
    Left::Node(node)
}

/// Removes entries without a value whose key occurs again later, as merging does in the whole object.
fn once(mut node: Node) -> Node {
    if node.duplicate_key().is_none() {
        return node;
    }
    if let Some(entries) = entries_mut(&mut node) {
        let keys: Vec<Option<String>> = entries.iter().map(|entry| entry.key.as_str().map(ToOwned::to_owned)).collect();
        let again = |at: usize| keys[at].is_some() && keys[at + 1..].contains(&keys[at]);
        let mut at = 0;
        entries.retain(|entry| {
            at += 1;
            !(entry.value.is_null() && again(at - 1))
        });
        for entry in entries {
            let line = entry.value.line;
            let value = std::mem::replace(&mut entry.value, super::resource::scalar("", line));
            entry.value = once(value);
        }
    }
    node
}

//! What breaks when a running appliance is upgraded: changes that Kubernetes refuses, and objects that are deleted and cannot be
//! restored. A new installation shows none of these problems.

mod charts;
mod objects;
mod releases;
pub(super) mod versions;

use super::flux::Applied;
use super::{Contents, Findings, Place, Rule};
use crate::flux::{File, Object};
use crate::yaml::Node;

/// The rules of this topic, one list for each file.
pub(super) static RULES: &[&[&Rule]] = &[objects::RULES, releases::RULES, charts::RULES, versions::RULES];

/// Checks the upgrade from an older release, which appliances run, to this one.
pub(super) fn check(old: &Contents<'_>, new: &Contents<'_>, found: &mut Findings) {
    let (from, to) = (Applied::of(old), Applied::of(new));
    objects::check(&from, &to, found);
    releases::check(&from, &to, found);
    charts::check(old, new, found);
}

/// Returns a place for an object that only the older release has: its file, or the kustomization file next to it.
fn place_of_removed(object: &Object<'_>, new: &Contents<'_>) -> Place {
    let directory = crate::path::parent(object.file);
    let beside = crate::path::join(directory, "kustomization.yaml");
    let candidates = [object.file, &beside, "base/kustomization.yaml"];
    let file = candidates.into_iter().find(|file| new.files.bytes().contains_key(*file));
    Place::overlay_line(file.unwrap_or(object.file), 1)
}

/// Returns the node at a path in the form of [`Node::differences`], or the nearest existing node above it.
fn node_at<'n>(root: &'n Node, path: &str) -> &'n Node {
    let mut node = root;
    for part in path.split(['.', '[']) {
        let index = part.strip_suffix(']').and_then(|index| index.parse::<usize>().ok());
        let next = match index {
            Some(index) => node.items().get(index),
            None => node.get(&[part]),
        };
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    node
}

/// Returns the objects in a parsed file.
fn objects_of<'f>(path: &'f str, file: &'f File) -> Vec<Object<'f>> {
    Object::of_documents(path, &file.documents)
}

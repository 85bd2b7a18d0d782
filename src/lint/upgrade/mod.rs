//! What an upgrade of a running appliance would break: what Kubernetes refuses to change, and what is deleted and not the same when it
//! is created again. An installation from nothing shows none of it.

mod charts;
mod objects;
mod releases;
pub(super) mod versions;

use super::flux::Applied;
use super::{Contents, Findings, Place, Rule};
use crate::flux::{File, Object};
use crate::yaml::Node;

/// The rules, a list for each file.
pub(super) static RULES: &[&[&Rule]] = &[objects::RULES, releases::RULES, charts::RULES, versions::RULES];

/// Checks the way from an older release, which appliances run, to this one.
pub(super) fn check(old: &Contents<'_>, new: &Contents<'_>, found: &mut Findings) {
    let (from, to) = (Applied::of(old), Applied::of(new));
    objects::check(&from, &to, found);
    releases::check(&from, &to, found);
    charts::check(old, new, found);
}

/// Returns a place for what only the older release has: in the same file, or in the kustomization file beside it.
fn place_of_removed(object: &Object<'_>, new: &Contents<'_>) -> Place {
    let directory = crate::path::parent(object.file);
    let beside = crate::path::join(directory, "kustomization.yaml");
    let candidates = [object.file, &beside, "base/kustomization.yaml"];
    let file = candidates.into_iter().find(|file| new.files.bytes().contains_key(*file));
    Place::overlay_line(file.unwrap_or(object.file), 1)
}

/// Returns the node at a path as [`Node::differences`] writes it, or the nearest one above it.
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

/// Returns the objects of a text that may be none of YAML.
fn objects_of<'f>(path: &'f str, file: &'f File) -> Vec<Object<'f>> {
    Object::of_documents(path, &file.documents)
}

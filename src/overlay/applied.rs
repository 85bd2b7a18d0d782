//! Which Flux Kustomization applies which file of a published bundle: Flux deletes what one of them no longer lists.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Error;
use crate::yaml::Node;

use super::children::{Child, children};
use super::kustomization::appliers;
use super::load;

/// A Flux Kustomization.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Applier {
    /// Its namespace; empty where it says none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Does it delete what it applied and no longer finds?
    pub prunes: bool,
}

/// By the file, below the bundle's root; what nothing lists is not in it.
pub type Applied = BTreeMap<String, BTreeSet<Applier>>;

/// For each file of a bundle, what applies it: `root`, the appliance's own of `base`, and those that the bundle brings. The source
/// of the bundle has the root's name.
///
/// # Errors
/// When the YAML of the bundle is broken, or kustomize could not build it.
pub fn applied(files: &BTreeMap<String, Vec<u8>>, root: &Applier) -> Result<Applied, Error> {
    let overlay = load::of_bundle(files, &root.namespace, &root.name)?;
    let objects = overlay.objects();
    let children = children(&overlay, &objects)?;
    let applier = |at: Option<usize>| at.and_then(|at| children.get(at)).map_or_else(|| root.clone(), of_child);
    let found = appliers(&overlay, &children)?;
    Ok(found.into_iter().map(|(file, by)| (file, by.into_iter().map(applier).collect())).collect())
}

fn of_child(child: &Child<'_>) -> Applier {
    let prunes = child.object.node.get(&["spec", "prune"]).and_then(Node::as_str) == Some("true");
    let namespace = child.object.namespace().unwrap_or_default().to_owned();
    Applier { namespace, name: child.object.name().to_owned(), prunes }
}

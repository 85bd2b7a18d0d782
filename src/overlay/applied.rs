//! Which Flux Kustomization applies which file of a published bundle: Flux deletes what one of them no longer lists.

use std::collections::{BTreeMap, BTreeSet};

use crate::flux::Kustomization;
use crate::source::Error;

use super::children::{build, children, roots};
use super::load;

/// A Flux Kustomization.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Applier {
    /// Its namespace; empty where it says none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether it deletes what it applied and no longer finds.
    pub prunes: bool,
}

/// The Kustomizations that apply each file, by its path below the bundle's root; a file that nothing lists is not in the map.
pub type Applied = BTreeMap<String, BTreeSet<Applier>>;

/// Returns what applies each file of a bundle: `root`, the appliance's own Kustomization of `base`, and those that the bundle brings. The
/// source of the bundle has the root's name.
///
/// # Errors
/// When the YAML of the bundle is broken, or kustomize could not build it.
pub fn applied(files: &BTreeMap<String, Vec<u8>>, root: &Applier) -> Result<Applied, Error> {
    let overlay = load::of_bundle(files, &root.namespace, &root.name)?;
    let objects = overlay.objects();
    let children = children(&overlay, &objects)?;
    let roots = roots(&children);
    let applier = |at: usize| roots[at].kustomization.map_or_else(|| root.clone(), of_child);
    let build = build(&overlay, &roots)?;
    let files = build.roots().into_iter();
    Ok(files.map(|(file, by)| (file.to_owned(), by.into_iter().map(applier).collect())).collect())
}

fn of_child(child: &Kustomization<'_>) -> Applier {
    let namespace = child.object.namespace().unwrap_or_default().to_owned();
    Applier { namespace, name: child.object.name().to_owned(), prunes: child.prune }
}

//! Which Flux Kustomization applies which file of a bundle: Flux deletes what one of them no longer lists.

use std::collections::{BTreeMap, BTreeSet};

use crate::flux::{Error, Kustomization, Root, build};

use super::bundle::Bundle;

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
pub(crate) type Applied = BTreeMap<String, BTreeSet<Applier>>;

impl Bundle {
    /// Returns what applies each file: `root`, the appliance's own Kustomization of `base`, and the Kustomizations of the bundle whose
    /// source is the bundle. The source has the root's name.
    ///
    /// # Errors
    /// When Flux could not read a file, or kustomize could not build the bundle.
    pub fn applied(&self, root: &Applier) -> Result<Applied, Error> {
        if let Some(broken) = self.broken().first() {
            return Err(broken.clone());
        }
        let parts = self.parts();
        let own = |one: &&Kustomization<'_>| one.is_from("OCIRepository") && one.source_name() == root.name;
        let children = parts.kustomizations.iter().filter(own);
        let children = children.filter_map(|one| Some(Root { directory: one.directory()?, kustomization: Some(one) }));
        let base = Root { directory: "base".to_owned(), kustomization: None };
        let roots: Vec<Root<'_>> = std::iter::once(base).chain(children).collect();
        let applier = |at: usize| roots[at].kustomization.map_or_else(|| root.clone(), of_child);
        let build = build(self.files(), &roots)?;
        let files = build.roots().into_iter();
        Ok(files.map(|(file, by)| (file.to_owned(), by.into_iter().map(applier).collect())).collect())
    }
}

fn of_child(child: &Kustomization<'_>) -> Applier {
    let namespace = child.object.namespace().unwrap_or_default().to_owned();
    Applier { namespace, name: child.object.name().to_owned(), prunes: child.prune }
}

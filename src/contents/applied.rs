//! Tells which Flux Kustomization applies which file of a bundle. Flux deletes objects that a Kustomization no longer lists.

use std::collections::{BTreeMap, BTreeSet};

use crate::flux::{Error, Kustomization, Root, build};

use super::bundle::Bundle;

/// A Flux Kustomization that applies files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Applier {
    /// Namespace of the Kustomization, empty where it has none.
    pub namespace: String,
    /// Name of the Kustomization.
    pub name: String,
    /// Whether the Kustomization deletes applied objects that are no longer in the bundle.
    pub prunes: bool,
}

/// The Kustomizations that apply each file, by path relative to the bundle. Files that no Kustomization applies are absent.
pub(crate) type Applied = BTreeMap<String, BTreeSet<Applier>>;

impl Bundle {
    /// Returns the Kustomizations that apply each file: `root`, which is the appliance's own Kustomization of `base`, and the
    /// bundle's Kustomizations whose source is the bundle. The source has the root's name.
    ///
    /// # Errors
    /// When Flux cannot read a file, or kustomize cannot build the bundle.
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

//! Who lists what: kustomize's files, and what Flux takes where there is none.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Error, Place, below, join};
use crate::yaml::Node;

use super::Overlay;
use super::children::Child;
use super::load;

const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Is it one of the names that kustomize reads?
pub(super) fn is_file_name(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| NAMES.contains(&name))
}

/// What lists a file: a kustomization file, or a directory without one that Flux reads whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lister {
    /// Below the overlay.
    pub directory: String,
    /// The kustomization file, where there is one.
    pub file: Option<String>,
    /// That all objects are moved to.
    pub namespace: Option<String>,
    /// Of the walk: what is applied first is lower.
    pub order: usize,
    /// Where a prefix or suffix for all names is set.
    pub renames: Option<Place>,
}

/// For each file of the overlay, what lists it first.
pub(super) type Listings = BTreeMap<String, Lister>;

/// For each file of the overlay, the children that apply it by their places in the list, and the root as nothing.
pub(super) type Appliers = BTreeMap<String, BTreeSet<Option<usize>>>;

/// Follows the root and then the children in their order.
pub(super) fn listings(overlay: &Overlay, children: &[Child<'_>]) -> Result<Listings, Error> {
    Ok(walk(overlay, children)?.found)
}

/// The same, for who applies a file at all.
pub(super) fn appliers(overlay: &Overlay, children: &[Child<'_>]) -> Result<Appliers, Error> {
    Ok(walk(overlay, children)?.appliers)
}

fn walk<'a>(overlay: &'a Overlay, children: &[Child<'_>]) -> Result<Walk<'a>, Error> {
    let (found, appliers, open) = (Listings::new(), Appliers::new(), BTreeSet::new());
    let mut walk = Walk { overlay, found, appliers, child: None, order: 0, open };
    walk.enter("base", None, None)?;
    for (at, child) in children.iter().enumerate() {
        walk.child = Some(at);
        let spec = |key: &str| {
            child.object.node.get(&["spec", key]).filter(|node| node.as_str().is_some_and(|t| !t.is_empty()))
        };
        let renames = spec("namePrefix").or_else(|| spec("nameSuffix"));
        let renames = renames.map(|node| overlay.place(child.object.file, node.line));
        let namespace = spec("targetNamespace").and_then(Node::as_str).map(ToOwned::to_owned);
        if let Some(directory) = &child.directory {
            walk.enter(directory, namespace, renames)?;
        }
    }
    Ok(walk)
}

/// The kustomization file of a directory.
pub(super) fn file_of(overlay: &Overlay, directory: &str) -> Option<String> {
    NAMES.iter().map(|name| join(directory, name)).find(|path| overlay.parsed.contains_key(path))
}

struct Walk<'a> {
    overlay: &'a Overlay,
    found: Listings,
    appliers: Appliers,
    /// Whose directory is walked; nothing for the root's.
    child: Option<usize>,
    order: usize,
    open: BTreeSet<String>,
}

impl Walk<'_> {
    fn enter(&mut self, directory: &str, namespace: Option<String>, renames: Option<Place>) -> Result<(), Error> {
        if !self.open.insert(directory.to_owned()) {
            return Ok(()); // in a circle: kustomize itself will say so
        }
        self.order += 1;
        if let Some(file) = file_of(self.overlay, directory) {
            self.listed(directory, file, namespace, renames)?;
        } else {
            let lister = Lister { directory: directory.to_owned(), file: None, namespace, order: self.order, renames };
            self.everything(directory, &lister)?;
        }
        self.open.remove(directory);
        Ok(())
    }

    fn listed(
        &mut self,
        directory: &str,
        file: String,
        namespace: Option<String>,
        renames: Option<Place>,
    ) -> Result<(), Error> {
        let Some(root) = self.overlay.root_of(&file) else { return Ok(()) };
        let own = root.text_at(&["namespace"]).filter(|name| !name.is_empty()).map(ToOwned::to_owned);
        let rename = ["namePrefix", "nameSuffix"].into_iter().filter_map(|key| root.entry(key));
        let rename = rename.filter(|entry| entry.value.as_str().is_some_and(|text| !text.is_empty()));
        let rename = rename.map(|entry| self.overlay.place(&file, entry.key.line)).next();
        let namespace = namespace.or(own);
        let renames = renames.or(rename);
        let lister =
            Lister { directory: directory.to_owned(), file: Some(file), namespace, order: self.order, renames };
        for key in ["resources", "components", "bases"] {
            for item in root.get(&[key]).map(Node::items).unwrap_or_default() {
                let path = self.path_of(directory, lister.file.as_deref().unwrap_or(directory), item)?;
                if self.overlay.files.contains_key(&path) {
                    self.list(path, &lister);
                } else {
                    self.enter(&path, lister.namespace.clone(), lister.renames.clone())?;
                }
            }
        }
        Ok(())
    }

    fn list(&mut self, path: String, lister: &Lister) {
        self.appliers.entry(path.clone()).or_default().insert(self.child);
        self.found.entry(path).or_insert_with(|| lister.clone());
    }

    /// The file or directory of the bundle that an entry of a kustomization file names.
    fn path_of(&self, directory: &str, file: &str, item: &Node) -> Result<String, Error> {
        let text = item.as_str().unwrap_or_default();
        let invalid = |reason: String| Error::invalid(self.overlay.place(file, item.line), reason);
        let Some(path) = below(directory, text) else {
            let reason = format!("it lists `{}`, which lies outside of the overlay", text.escape_debug());
            return Err(invalid(reason).hint("the bundle holds the overlay alone: move it into it"));
        };
        let start = format!("{path}/");
        let files = &self.overlay.files;
        let within = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{start}{name}") };
        if files.contains_key(&path) || NAMES.iter().any(|name| files.contains_key(&within(name))) {
            return Ok(path);
        }
        if files.range(start.clone()..).next().is_some_and(|(file, _)| file.starts_with(&start)) {
            let reason = format!("it lists the directory `{}`, which has no kustomization file", path.escape_debug());
            return Err(invalid(reason)
                .hint("list its files, or give it a kustomization.yaml: the cluster could not build this"));
        }
        let reason = format!("it lists `{}`, which is no file or directory of the bundle", path.escape_debug());
        Err(invalid(reason).hint("it is missing, or an ignore rule leaves it out: the cluster could not build this"))
    }

    /// Flux takes every YAML file below a directory without a kustomization file, and enters what has one by that.
    fn everything(&mut self, directory: &str, lister: &Lister) -> Result<(), Error> {
        let overlay = self.overlay;
        let start = format!("{directory}/");
        let mut own = BTreeSet::new();
        let below = |path: &&String| directory.is_empty() || path.starts_with(&start);
        for path in overlay.parsed.keys().filter(below).filter(|path| !load::has_extension(path, &["json"])) {
            match nearest(overlay, directory, path) {
                Some(below) => {
                    own.insert(below);
                }
                None => {
                    self.list(path.clone(), lister);
                }
            }
        }
        for below in own {
            self.enter(&below, lister.namespace.clone(), lister.renames.clone())?;
        }
        Ok(())
    }
}

/// The outermost directory between `directory` and the file that has a kustomization file.
fn nearest(overlay: &Overlay, directory: &str, path: &str) -> Option<String> {
    let start = if directory.is_empty() { 0 } else { directory.len() + 1 };
    let cuts = path[start..].match_indices('/').map(|(at, _)| &path[..start + at]);
    cuts.filter(|cut| file_of(overlay, cut).is_some()).map(ToOwned::to_owned).next()
}

/// The way from a directory to a file, both below the overlay.
pub(super) fn relative(directory: &str, file: &str) -> String {
    let from: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    let to: Vec<&str> = file.split('/').collect();
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let mut parts = vec![".."; from.len() - shared];
    parts.extend(&to[shared..]);
    parts.join("/")
}

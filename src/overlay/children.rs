//! The Flux Kustomizations in the overlay: the directories that they apply, and the order in which Flux applies them.

use crate::flux::{Build, Cycle, Kustomization, Object, Reference, Root, build as flux_build, in_order};
use crate::source::Error;

use super::Overlay;

/// A Flux Kustomization of the overlay.
#[derive(Clone, Debug)]
pub(super) struct Child<'a> {
    pub kustomization: Kustomization<'a>,
    /// Whether the source is a `GitRepository`.
    pub git: bool,
    /// Directory of the overlay that the Kustomization applies. Absent when its source is not the overlay.
    pub directory: Option<String>,
}

/// Returns all children, each after its dependencies, and otherwise sorted by path.
pub(super) fn children<'a>(overlay: &Overlay, objects: &[Object<'a>]) -> Result<Vec<Child<'a>>, Error> {
    let found = Kustomization::all(objects).into_iter().map(|kustomization| child(overlay, kustomization));
    let mut found = found.collect::<Result<Vec<_>, _>>()?;
    found.sort_by(|a, b| a.directory.cmp(&b.directory));
    let kustomizations: Vec<&Kustomization<'_>> = found.iter().map(|child| &child.kustomization).collect();
    let order = in_order(&kustomizations).map_err(|cycle| refused(overlay, &kustomizations, &cycle))?;
    Ok(order.into_iter().map(|at| found[at].clone()).collect())
}

/// Returns the directories that Flux applies: `base`, by the appliance's own Kustomization, and those of the children.
pub(super) fn roots<'c>(children: &'c [Child<'_>]) -> Vec<Root<'c>> {
    let mut roots = vec![Root { directory: "base".to_owned(), kustomization: None }];
    roots.extend(children.iter().filter_map(|child| {
        Some(Root { directory: child.directory.clone()?, kustomization: Some(&child.kustomization) })
    }));
    roots
}

/// Builds the overlay from the directories that Flux applies.
pub(super) fn build(overlay: &Overlay, roots: &[Root<'_>]) -> Result<Build, Error> {
    flux_build(&overlay.files, roots).map_err(|error| overlay.unusable(error))
}

fn child<'a>(overlay: &Overlay, kustomization: Kustomization<'a>) -> Result<Child<'a>, Error> {
    let file = kustomization.object.file;
    let texts = kustomization.source.into_iter().flat_map(Reference::scalars).chain(kustomization.path);
    for scalar in texts {
        overlay.refuse_variable(file, scalar.node, "the source and the path of a Kustomization")?;
    }
    let git = kustomization.is_from("GitRepository");
    let own = kustomization.is_from("OCIRepository") && kustomization.source_name() == overlay.settings.source_name;
    let directory = match (git, own) {
        (true, _) => Some(inside(overlay, &kustomization)?),
        (_, true) => kustomization.directory(),
        _ => None,
    };
    Ok(Child { kustomization, git, directory })
}

/// Returns the directory of a Kustomization relative to the overlay.
fn inside(overlay: &Overlay, kustomization: &Kustomization<'_>) -> Result<String, Error> {
    let directory = &overlay.settings.directory;
    let normal = kustomization.directory();
    let rest = normal.as_deref().and_then(|path| path.strip_prefix(directory.as_str()));
    match rest {
        Some("") => Ok(String::new()),
        Some(rest) if directory.is_empty() => Ok(rest.to_owned()),
        Some(rest) if rest.starts_with('/') => Ok(rest[1..].to_owned()),
        _ => {
            let text = kustomization.path.map_or("", |path| path.text).escape_debug();
            let place = overlay.place(kustomization.object.file, kustomization.line_of(&["path"]));
            Err(Error::refused(place, format!("the path `{text}` is outside of the overlay `{directory}`"))
                .hint("move the directory into the overlay: the bundle holds only the overlay"))
        }
    }
}

fn refused(overlay: &Overlay, all: &[&Kustomization<'_>], cycle: &Cycle) -> Error {
    let members: Vec<&Kustomization<'_>> = cycle.members.iter().map(|at| all[*at]).collect();
    let names: Vec<&str> = members.iter().map(|one| one.object.name()).collect();
    let first = members.first().map(|one| overlay.place(one.object.file, one.line_of(&["dependsOn"])));
    let place = first.unwrap_or_else(|| overlay.place("base", 1));
    Error::refused(place, format!("the Kustomizations {} depend on each other in a circle", names.join(", ")))
        .hint("remove one `dependsOn`: Flux never applies Kustomizations that wait for each other")
}

//! Flux's own Kustomizations: which directories they apply, and in which order.

use std::collections::BTreeMap;

use crate::source::{Error, below};
use crate::yaml::Node;

use super::load::Object;
use super::{KUSTOMIZE, Overlay};

/// A Flux Kustomization of the overlay.
#[derive(Clone, Debug)]
pub(super) struct Child<'a> {
    pub object: Object<'a>,
    /// Its source is a `GitRepository`?
    pub git: bool,
    /// What it applies, below the overlay; nothing when its source is somebody else's.
    pub directory: Option<String>,
}

/// All children, a dependency before what depends on it, else by path.
pub(super) fn children<'a>(overlay: &Overlay, objects: &[Object<'a>]) -> Result<Vec<Child<'a>>, Error> {
    let mut found = Vec::new();
    for object in objects.iter().filter(|object| object.is(KUSTOMIZE, "Kustomization")) {
        found.push(child(overlay, object.clone())?);
    }
    found.sort_by(|a, b| a.directory.cmp(&b.directory));
    ordered(overlay, &found)
}

fn child<'a>(overlay: &Overlay, object: Object<'a>) -> Result<Child<'a>, Error> {
    let spec = |path: &[&str]| object.node.get(&[&["spec"], path].concat());
    for path in [&["path"][..], &["sourceRef", "kind"], &["sourceRef", "name"], &["sourceRef", "namespace"]] {
        if let Some(node) = spec(path) {
            overlay.refuse_variable(object.file, node, "the source and the path of a Kustomization")?;
        }
    }
    let kind = spec(&["sourceRef", "kind"]).and_then(Node::as_str).unwrap_or_default();
    let path = spec(&["path"]);
    let text = path.and_then(Node::as_str).unwrap_or_default();
    let line = path.map_or(object.node.line, |node| node.line);
    let directory = match kind {
        "GitRepository" => Some(inside(overlay, object.file, line, text)?),
        "OCIRepository"
            if spec(&["sourceRef", "name"]).and_then(Node::as_str) == Some(&overlay.settings.source_name) =>
        {
            below("", text.trim_start_matches('/'))
        }
        _ => None,
    };
    Ok(Child { object, git: kind == "GitRepository", directory })
}

/// A path of the repository as one below the overlay.
fn inside(overlay: &Overlay, file: &str, line: usize, text: &str) -> Result<String, Error> {
    let directory = &overlay.settings.directory;
    let normal = below("", text.trim_start_matches('/'));
    let rest = normal.as_deref().and_then(|path| path.strip_prefix(directory.as_str()));
    match rest {
        Some("") => Ok(String::new()),
        Some(rest) if directory.is_empty() => Ok(rest.to_owned()),
        Some(rest) if rest.starts_with('/') => Ok(rest[1..].to_owned()),
        _ => {
            let reason = format!("the path `{}` lies outside of the overlay `{directory}`", text.escape_debug());
            Err(Error::refused(overlay.place(file, line), reason)
                .hint("the bundle holds the overlay alone: move the directory into it"))
        }
    }
}

fn ordered<'a>(overlay: &Overlay, children: &[Child<'a>]) -> Result<Vec<Child<'a>>, Error> {
    let mut at = BTreeMap::new();
    for (index, child) in children.iter().enumerate() {
        at.entry((child.object.namespace(), child.object.name())).or_insert(index);
    }
    let needs = |child: &Child<'a>| -> Vec<usize> {
        let items = child.object.node.get(&["spec", "dependsOn"]).map(Node::items).unwrap_or_default();
        let key = |item: &Node| {
            let namespace = item.text_at(&["namespace"]).or(child.object.namespace());
            at.get(&(namespace, item.text_at(&["name"])?)).copied()
        };
        items.iter().filter_map(key).collect()
    };
    let needs: Vec<Vec<usize>> = children.iter().map(needs).collect();
    let mut done: Vec<usize> = Vec::new();
    while done.len() < children.len() {
        let ready = |at: &usize| !done.contains(at) && needs[*at].iter().all(|need| done.contains(need));
        let Some(next) = (0..children.len()).find(ready) else {
            let left = (0..children.len()).filter(|at| !done.contains(at));
            return Err(circle(overlay, &left.map(|at| &children[at]).collect::<Vec<_>>()));
        };
        done.push(next);
    }
    Ok(done.into_iter().map(|at| children[at].clone()).collect())
}

fn circle(overlay: &Overlay, left: &[&Child<'_>]) -> Error {
    let names: Vec<&str> = left.iter().map(|child| child.object.name()).collect();
    let first = left.first().map(|child| {
        let line = child.object.node.get(&["spec", "dependsOn"]).map_or(child.object.node.line, |node| node.line);
        overlay.place(child.object.file, line)
    });
    let place = first.unwrap_or_else(|| overlay.place("base", 1));
    Error::refused(place, format!("the Kustomizations {} wait for each other", names.join(", ")))
        .hint("Flux never applies any of them: remove one `dependsOn`")
}

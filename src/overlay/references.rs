//! What kustomization files load. The cluster builds from the bundle alone: what kustomize would fetch from elsewhere, or
//! would not read, is refused before it is published.

use crate::source::{Error, Place, below, join};
use crate::yaml::Node;

use super::kustomization::is_file_name;
use super::load::{Object, refuse_duplicate};
use super::{KUSTOMIZE, Overlay};

/// Keys with lists of paths whose files kustomize reads as YAML of its own or of Kubernetes, each key at most once.
const STRICT: [&str; 7] =
    ["resources", "components", "bases", "generators", "transformers", "validators", "configurations"];
/// Keys with lists of mappings that name one file.
const PATCHES: [&str; 3] = ["patches", "patchesJson6902", "replacements"];
/// Keys with lists of mappings that name files.
const GENERATORS: [&str; 2] = ["configMapGenerator", "secretGenerator"];

/// Refuses references to what is not in the bundle by their form, and files in which a key stands twice.
pub(super) fn refuse(overlay: &Overlay, objects: &[Object<'_>]) -> Result<(), Error> {
    for file in overlay.parsed.keys().filter(|file| is_file_name(file)) {
        let Some(root) = overlay.root_of(file) else { continue };
        let directory = file.rsplit_once('/').map_or("", |(directory, _)| directory);
        for node in loaded(root) {
            refuse_remote(overlay, file, directory, node)?;
        }
        for item in STRICT.iter().flat_map(|key| items(root, key)) {
            let path = item.as_str().and_then(|text| below(directory, text)).unwrap_or_default();
            let Some(parsed) = overlay.parsed.get(&path) else { continue };
            for root in parsed.documents.iter().filter_map(|document| document.root.as_ref()) {
                refuse_duplicate(&join(&overlay.settings.directory, &path), root)?;
            }
        }
    }
    // Flux writes these into the kustomization file before it builds.
    for child in objects.iter().filter(|object| object.is(KUSTOMIZE, "Kustomization")) {
        for node in child.node.get(&["spec", "components"]).map(Node::items).unwrap_or_default() {
            refuse_remote(overlay, child.file, "", node)?;
        }
    }
    Ok(())
}

fn items<'n>(root: &'n Node, key: &str) -> &'n [Node] {
    root.get(&[key]).map(Node::items).unwrap_or_default()
}

/// Everything in a kustomization file that names what is to be loaded.
fn loaded(root: &Node) -> Vec<&Node> {
    let mut found: Vec<&Node> = STRICT.iter().flat_map(|key| items(root, key)).collect();
    found.extend(items(root, "crds"));
    found.extend(items(root, "patchesStrategicMerge"));
    found.extend(root.get(&["openapi", "path"]));
    found.extend(PATCHES.iter().flat_map(|key| items(root, key)).filter_map(|item| item.get(&["path"])));
    for generator in GENERATORS.iter().flat_map(|key| items(root, key)) {
        found.extend(["files", "envs"].iter().flat_map(|key| items(generator, key)));
        found.extend(generator.get(&["env"]));
    }
    found
}

fn refuse_remote(overlay: &Overlay, file: &str, directory: &str, node: &Node) -> Result<(), Error> {
    let text = node.as_str().unwrap_or_default();
    // `KEY=PATH` of a generator.
    let path = text.split_once('=').map_or(text, |(key, path)| if key.contains(['/', '?']) { text } else { path });
    let there = below(directory, text).is_some_and(|path| overlay.files.contains_key(&path));
    if there || text.contains('\n') || !is_remote(path) {
        return Ok(());
    }
    let place: Place = overlay.place(file, node.line);
    let reason = format!("it loads `{}`, which lies outside of the bundle", text.escape_debug());
    Err(Error::refused(place, reason)
        .hint("the appliance fetches nothing from git or by URL: put the file or directory into the overlay"))
}

/// Would kustomize fetch it? <https://github.com/kubernetes-sigs/kustomize/blob/master/api/internal/git/repospec.go>
fn is_remote(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let scheme = lower.contains("://") || ["git::", "github.com/", "github.com:"].iter().any(|s| lower.starts_with(s));
    let user = lower.split_once('@').is_some_and(|(user, rest)| !user.contains('/') && rest.contains(':'));
    let query = lower.contains("?ref=") || lower.contains("?version=");
    scheme || user || query || lower.contains("_git/") || format!("{lower}/").contains(".git/")
}

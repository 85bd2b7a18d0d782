//! Refuses kustomization files that load something from outside of the bundle. The cluster builds from the bundle alone, so
//! kustomize could not fetch it there.

use crate::flux::{File, Kustomization, Object, refuse_duplicate_key};
use crate::path::below;
use crate::source::{Error, Place};
use crate::yaml::Node;

use super::Overlay;

/// Refuses remote references, recognised by their form, and files in which a mapping has a duplicate key.
pub(super) fn refuse(overlay: &Overlay, objects: &[Object<'_>]) -> Result<(), Error> {
    for file in overlay.files.kustomization_files() {
        for node in file.loaded() {
            refuse_remote(overlay, file.file, file.directory(), node)?;
        }
        for item in file.strict() {
            let path = item.as_str().and_then(|text| below(file.directory(), text)).unwrap_or_default();
            for root in overlay.files.parsed().get(&path).into_iter().flat_map(File::roots) {
                refuse_duplicate_key(&path, root).map_err(|error| overlay.unusable(error))?;
            }
        }
    }
    // Flux writes `components` of a Kustomization into the kustomization file before the build.
    for child in Kustomization::all(objects) {
        for node in child.components {
            refuse_remote(overlay, child.object.file, "", node)?;
        }
    }
    Ok(())
}

fn refuse_remote(overlay: &Overlay, file: &str, directory: &str, node: &Node) -> Result<(), Error> {
    let text = node.as_str().unwrap_or_default();
    // Generators write files as `KEY=PATH`.
    let path = text.split_once('=').map_or(text, |(key, path)| if key.contains(['/', '?']) { text } else { path });
    let there = below(directory, text).is_some_and(|path| overlay.files().contains_key(&path));
    if there || text.contains('\n') || !is_remote(path) {
        return Ok(());
    }
    let place: Place = overlay.place(file, node.line);
    let reason = format!("the file loads `{}`, which is outside of the bundle", text.escape_debug());
    Err(Error::refused(place, reason)
        .hint("copy the file or directory into the overlay: the appliance fetches nothing from git or by URL"))
}

/// Reports whether kustomize would fetch the path from elsewhere. <https://github.com/kubernetes-sigs/kustomize/blob/master/api/internal/git/repospec.go>
fn is_remote(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let scheme = lower.contains("://") || ["git::", "github.com/", "github.com:"].iter().any(|s| lower.starts_with(s));
    let user = lower.split_once('@').is_some_and(|(user, rest)| !user.contains('/') && rest.contains(':'));
    let query = lower.contains("?ref=") || lower.contains("?version=");
    scheme || user || query || lower.contains("_git/") || format!("{lower}/").contains(".git/")
}

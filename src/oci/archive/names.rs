//! How the manifests of an archive are named in its `index.json`.

use crate::oci::{Descriptor, Selector, media_type};

/// Where containerd looks for the whole name.
pub(super) const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// `HOST/PATH:TAG` or `HOST/PATH@DIGEST`.
pub(super) fn full_name(repository: &str, selector: &Selector) -> String {
    let separator = if matches!(selector, Selector::Tag(_)) { ':' } else { '@' };
    format!("{repository}{separator}{selector}")
}

/// The repository and which of its manifests an entry is, when it has such a name.
pub(super) fn names(entry: &Descriptor) -> Option<(&str, Selector)> {
    let name = entry.annotations.get(media_type::REF_NAME)?;
    if let Some((repository, digest)) = name.split_once('@') {
        return Some((repository, Selector::Digest(digest.parse().ok()?)));
    }
    let (repository, tag) = name.rsplit_once(':')?;
    Some((repository, Selector::Tag(tag.parse().ok()?)))
}

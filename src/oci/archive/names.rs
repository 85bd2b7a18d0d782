//! The names of an archive's manifests in its `index.json`.

use crate::oci::{Descriptor, Selector, media_type};

/// Annotation that containerd reads the full image name from.
pub(super) const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Formats `HOST/PATH:TAG` or `HOST/PATH@DIGEST`.
pub(super) fn full_name(repository: &str, selector: &Selector) -> String {
    let separator = if matches!(selector, Selector::Tag(_)) { ':' } else { '@' };
    format!("{repository}{separator}{selector}")
}

/// Splits the name of an index entry into repository and selector. Returns `None` when the entry has no such name.
pub(super) fn names(entry: &Descriptor) -> Option<(&str, Selector)> {
    let name = entry.annotations.get(media_type::REF_NAME)?;
    if let Some((repository, digest)) = name.split_once('@') {
        return Some((repository, Selector::Digest(digest.parse().ok()?)));
    }
    let (repository, tag) = name.rsplit_once(':')?;
    Some((repository, Selector::Tag(tag.parse().ok()?)))
}

//! What a person probably meant who wrote the name of a store or of a registry in another way than it is read here.

use std::path::Path;

use super::{Location, Prefix};
use crate::text::nearest;

/// Names that other programs have for a directory of OCI layouts.
const LAYOUT_NAMES: [&str; 3] = ["oci", "dir", "layout"];
/// Names that other programs have for an image layout in a tar.
const ARCHIVE_NAMES: [&str; 3] = ["archive", "tar", "docker-archive"];

/// Returns the store that was probably meant, if that is a valid one.
pub(super) fn store(text: &str) -> Option<String> {
    let meant = on_disk(text).or_else(|| of_kind(text)).or_else(|| registry(text))?;
    (meant != text && Location::read(&meant, false).is_ok()).then_some(meant)
}

/// Returns the registry that was probably meant, if that is a valid one.
pub(super) fn registry(text: &str) -> Option<String> {
    let rest = text.trim();
    let rest = rest.split_once("://").map_or(rest, |(_, rest)| rest).trim_end_matches('/');
    let (host, path) = rest.split_once('/')?;
    // A store is not one image: it has neither a tag nor a digest, and is above the repository.
    let path = match path.split_once(['@', ':']) {
        Some((name, _)) => name.rsplit_once('/').map_or(name, |(above, _)| above),
        None => path,
    };
    let path = path.to_lowercase();
    let meant = format!("{host}/{path}");
    (meant != text && Prefix::read(&meant, false).is_ok()).then_some(meant)
}

/// Returns whether a text that could be the host of a registry is a directory here, or a file.
pub(super) fn is_path(text: &str) -> bool {
    let first = text.split('/').next().unwrap_or(text);
    if first.contains(':') || first == "localhost" {
        return false;
    }
    // A mirror of a registry may be in a directory of the same name.
    if first.contains('.') { Path::new(text).is_file() } else { Path::new(text).is_dir() }
}

/// A path that is written without the kind of store.
fn on_disk(text: &str) -> Option<String> {
    let starts = ["/", "./", "../"].iter().any(|start| text.starts_with(start));
    if starts || matches!(text, "." | "..") {
        return Some(with_kind(text));
    }
    is_path(text).then(|| with_kind(&format!("./{text}")))
}

fn with_kind(path: &str) -> String {
    let path_of = Path::new(path);
    let is_archive = path_of.extension().is_some_and(|extension| extension == "tar") || path_of.is_file();
    if is_archive { format!("oci-archive:{path}") } else { format!("oci-layout:{path}") }
}

/// A kind of store that is misspelt, or named as other programs do.
fn of_kind(text: &str) -> Option<String> {
    let (kind, rest) = text.trim().split_once(':')?;
    let path = if rest.starts_with("///") { &rest[2..] } else { rest };
    if path.is_empty() || path.starts_with("//") {
        return None;
    }
    let kind = kind.to_lowercase();
    if kind == "file" {
        return Some(with_kind(path));
    }
    let known = ["oci-layout", "oci-archive"];
    let meant = match kind.as_str() {
        kind if LAYOUT_NAMES.contains(&kind) => "oci-layout".to_owned(),
        kind if ARCHIVE_NAMES.contains(&kind) => "oci-archive".to_owned(),
        kind => nearest(&kind.replace('_', "-"), known.into_iter())?,
    };
    Some(format!("{meant}:{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_written_in_another_way_is_suggested_in_the_valid_way() {
        for (text, meant) in [
            ("oci-layuot:x", "oci-layout:x"),
            ("oci_layout:x", "oci-layout:x"),
            ("OCI-Layout:x", "oci-layout:x"),
            ("oci-archiv:/tmp/x.tar", "oci-archive:/tmp/x.tar"),
            ("oci:out", "oci-layout:out"),
            ("file:///tmp/x", "oci-layout:/tmp/x"),
            ("file:///tmp/x.tar", "oci-archive:/tmp/x.tar"),
            ("docker-archive:x.tar", "oci-archive:x.tar"),
            ("/tmp/x.tar", "oci-archive:/tmp/x.tar"),
            ("/tmp/x", "oci-layout:/tmp/x"),
            ("./out", "oci-layout:./out"),
            ("..", "oci-layout:.."),
            ("src", "oci-layout:./src"),
            ("Cargo.toml", "oci-archive:./Cargo.toml"),
            ("docker://ghcr.io/x", "ghcr.io/x"),
            ("ghcr.io/Nine-Minds", "ghcr.io/nine-minds"),
            ("ghcr.io/x:1.0", "ghcr.io/x"),
            ("ghcr.io/x/alga-appliance-release:stable", "ghcr.io/x"),
            ("docker://ghcr.io/x/y/release@sha256:00", "ghcr.io/x/y"),
            (" ghcr.io/x ", "ghcr.io/x"),
        ] {
            assert_eq!(store(text).as_deref(), Some(meant), "{text}");
            let refused = Location::parse(text, false).unwrap_err();
            assert_eq!(refused.nearest(), Some(meant), "{text}: {refused}");
        }
    }

    #[test]
    fn nothing_is_suggested_for_what_is_like_no_store() {
        for text in ["", "foo:bar:", "ftp:x", "host:port", "a b", "://", "docker://", ":", "@"] {
            assert_eq!(store(text), None, "{text}");
        }
        for text in ["oci://ghcr.io/x", "ghcr.io/x", "registry", "localhost:5000/x", "https://src"] {
            assert!(Location::parse(text, false).is_ok(), "{text}");
        }
    }
}

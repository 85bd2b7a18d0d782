//! One file that holds artifacts of several repositories and registries: an OCI image layout in an uncompressed tar
//! archive, which other programs can read.
//!
//! `oci-layout` and `index.json` come first, then the manifests, then all other blobs. Manifests and blobs are in the
//! order of their digests, each once, however many artifacts share them. A program that reads the archive from a pipe
//! therefore knows everything that follows, and which blobs its own store lacks, before the first large blob. The same
//! content gives the same bytes.
//!
//! `index.json` names each tagged manifest `HOST/PATH:TAG`, and each manifest without a tag `HOST/PATH@sha256:…`.
//! Manifests that an index names have no entry of their own. An annotation holds the prefix of the store's own
//! repositories; all other repositories are external.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>

mod names;
mod read;
pub(crate) mod scan;
pub(crate) mod tar;
mod write;

pub(super) use read::Archive;
pub use write::{Entry, Existing, Progress, existing, write};

use std::path::Path;

use super::{Error, Kind};

/// Content of the `oci-layout` file.
const MARKER: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// Returns the error for an attempt to push into an archive.
pub(super) fn written_as_a_whole(path: &Path) -> Error {
    let reason =
        "an archive cannot be changed, only written as a whole by a copy: pass a registry or a directory of layouts";
    Error::new(Kind::Refused, "open", name_of(path), reason)
}

/// Returns the error for a directory in the place of an archive.
fn no_file(path: &Path, attempted: &'static str) -> Error {
    Error::new(Kind::NoStore, attempted, name_of(path), "expected a file, found a directory")
}

/// Formats the path as messages name an archive.
fn name_of(path: &Path) -> String {
    format!("oci-archive:{}", path.display())
}

/// Returns the path of a blob's file inside a layout.
fn member(digest: &super::Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

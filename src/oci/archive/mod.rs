//! One file that holds artifacts of several repositories and registries: an OCI image layout in an uncompressed tar, which other
//! programs read.
//!
//! First `oci-layout` and `index.json`, then the manifests, then all other blobs, both in the order of their digests, each once
//! however many artifacts share it. So a reader of a pipe knows all that follows, and what of it is missing at home, before the
//! first large blob. The same content gives the same bytes.
//!
//! In `index.json`, each tagged manifest stands as `HOST/PATH:TAG`, each that has no tag as `HOST/PATH@sha256:…`; what an index
//! names itself has no entry. An annotation says below which prefix the repositories of the store are; all others are external.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>

mod names;
mod read;
pub(crate) mod scan;
pub(crate) mod tar;
mod write;

pub(super) use read::Archive;
pub use write::{Entry, Progress, write};

use std::path::Path;

use super::{Error, Kind};

/// What the marker file says.
const MARKER: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// Why nothing is pushed to an archive.
pub(super) fn written_as_a_whole(path: &Path) -> Error {
    let reason = "an archive is written as a whole, by a copy alone: name a registry or a directory of layouts";
    Error::new(Kind::Refused, "opening", name_of(path), reason)
}

/// For messages.
fn name_of(path: &Path) -> String {
    format!("oci-archive:{}", path.display())
}

/// In a layout, the file of a blob.
fn member(digest: &super::Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

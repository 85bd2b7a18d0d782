//! A directory of OCI image layouts: `DIR/<repository>/{oci-layout,index.json,blobs/sha256/…}`. Any tool that reads
//! layouts can read each of them.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>

#[cfg(feature = "publish")]
mod copy;
mod read;
mod referrers;
#[cfg(feature = "publish")]
mod write;

pub(super) use read::Layout;

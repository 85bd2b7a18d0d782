//! The OCI specifications: content, names and the kinds of store. This module does not know what the artifacts are for.

mod any_repository;
mod attached_signatures;
mod descriptor;
mod digest;
mod error;
mod index;
mod json;
mod layout;
mod manifest;
pub mod media_type;
mod near_miss;
mod parsed;
mod reference;
mod registry;
mod signatures;
#[macro_use]
mod store;

#[cfg(feature = "publish")]
pub mod archive;
#[cfg(not(feature = "publish"))]
#[path = "archive/absent.rs"]
mod archive;
#[cfg(feature = "publish")]
mod artifact;
#[cfg(feature = "publish")]
mod content;
#[cfg(feature = "publish")]
mod document;
#[cfg(feature = "publish")]
mod graph;
#[cfg(feature = "publish")]
mod push;
#[cfg(feature = "publish")]
mod relocation;
#[cfg(feature = "publish")]
mod tags;

pub use any_repository::AnyRepository;
pub(crate) use attached_signatures::referrers_tag;
pub use attached_signatures::{StoredSignatures, StoredStatement};
pub use descriptor::Descriptor;
pub use digest::InvalidDigest;
pub use digest::{Digest, Hasher};
pub use error::{Error, Kind, Obstacle, optional};
pub use index::Index;
pub(crate) use json::each_key_once;
pub use manifest::Manifest;
pub(crate) use parsed::Parsed;
pub(crate) use reference::has_host;
pub use reference::{InvalidReference, Pinned, Prefix, Reference, Repository, Selector, Tag};
pub use registry::InvalidCertificates;
pub use registry::{Certificates, Credentials, Exchange, Notice, Options, Trace};
pub(crate) use signatures::SIGNATURE_LIMIT;
pub use signatures::StoredClaim;
#[cfg(feature = "publish")]
pub(crate) use signatures::{ATTACHED_PREFIX, signature_tag};
pub use store::{Location, ReadStore};

#[cfg(feature = "publish")]
pub(crate) use archive::{scan, tar};
#[cfg(feature = "publish")]
pub use artifact::Artifact;
#[cfg(feature = "publish")]
pub use content::{Content, FileRange};
#[cfg(feature = "publish")]
pub use document::Document;
#[cfg(feature = "publish")]
pub use graph::Attached;
#[cfg(feature = "publish")]
pub(crate) use graph::attached_tags;
#[cfg(feature = "publish")]
pub use push::Store;
#[cfg(feature = "publish")]
pub(crate) use registry::jittered;
#[cfg(feature = "publish")]
pub use registry::{Probe, Upload};
#[cfg(feature = "publish")]
pub use relocation::Relocation;
#[cfg(feature = "publish")]
pub(crate) use relocation::{Mention, docker_name, split_name};

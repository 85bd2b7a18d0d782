//! The reading half of the store interface. Code that receives a [`ReadStore`] cannot write.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::archive::Archive;
use super::layout::Layout;
use super::reference::invalid;
use super::registry::{Access, Options, Registry};
use super::{Descriptor, Digest, Error, InvalidReference, Kind, Prefix, Repository, Selector, Tag, near_miss};

/// Largest manifest in bytes that is read. Registries must accept manifests up to this size.
const MANIFEST_LIMIT: u64 = 4 << 20;

/// The location of a store, which also selects its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A registry, written as `HOST[:PORT][/PATH]`.
    Registry(Prefix),
    /// `oci-layout:DIR`: a directory with one OCI image layout for each repository.
    Layout(PathBuf),
    /// `oci-archive:FILE`: one file with an OCI image layout in a tar archive.
    Archive(PathBuf),
}

impl Location {
    /// Parses the value of `--store`. `plain_http` has the same meaning as for [`Prefix::parse`].
    ///
    /// # Errors
    /// When the text is neither a registry nor `oci-layout:DIR` nor `oci-archive:FILE`. The error has a suggestion.
    pub fn parse(text: &str, plain_http: bool) -> Result<Self, InvalidReference> {
        let location = if near_miss::is_path(text) {
            Err(invalid(
                "registry",
                text,
                "it is a path on this machine; for a host of this name, put `https://` before it",
            ))
        } else {
            Self::read(text, plain_http)
        };
        location.map_err(|invalid| invalid.of_store().meaning(near_miss::store(text)))
    }

    /// Parses without a suggestion in the error.
    pub(super) fn read(text: &str, plain_http: bool) -> Result<Self, InvalidReference> {
        match text.strip_prefix("oci-archive:") {
            None => {}
            Some("" | "-") => {
                return Err(invalid("archive", text, "expected `oci-archive:FILE` with a file, not a pipe"));
            }
            Some(file) => return Ok(Self::Archive(PathBuf::from(file))),
        }
        match text.strip_prefix("oci-layout:") {
            Some(directory) => Ok(Self::Layout(PathBuf::from(if directory.is_empty() { "." } else { directory }))),
            None => Prefix::read(text, plain_http).map(Self::Registry),
        }
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Registry(prefix) => prefix.fmt(f),
            Self::Layout(directory) => write!(f, "oci-layout:{}", directory.display()),
            Self::Archive(file) => write!(f, "oci-archive:{}", file.display()),
        }
    }
}

#[derive(Debug)]
pub(super) enum Backing {
    Registry(Arc<Registry>),
    Layout(Layout),
    Archive(Archive),
}

/// A store that can be read: all repositories below one prefix, with one connection pool.
#[derive(Debug)]
pub struct ReadStore {
    pub(super) backing: Backing,
}

/// Calls the same method on every kind of store.
macro_rules! on_backing {
    ($store:expr, $inner:ident => $call:expr) => {
        match &$store.backing {
            $crate::oci::store::Backing::Registry($inner) => $call.await,
            $crate::oci::store::Backing::Layout($inner) => $call.await,
            $crate::oci::store::Backing::Archive($inner) => $call.await,
        }
    };
}

impl ReadStore {
    /// Opens a store. No request is sent and nothing is created.
    ///
    /// # Errors
    /// When TLS cannot be set up, when a directory holds files that are not layouts, when an archive is invalid.
    pub fn open(location: &Location, options: Options) -> Result<Self, Error> {
        let backing = match location {
            Location::Registry(prefix) => Backing::Registry(Arc::new(Registry::open(prefix, options, Access::Pull)?)),
            Location::Layout(directory) => Backing::Layout(Layout::open(directory)?),
            Location::Archive(file) => Backing::Archive(Archive::open(file, options.archive_prefix)?),
        };
        Ok(Self { backing })
    }

    /// Returns the path of a store on a disk. Content read from there has no other check than its digest.
    pub fn path(&self) -> Option<&Path> {
        match &self.backing {
            Backing::Registry(_) => None,
            Backing::Layout(layout) => Some(layout.directory()),
            Backing::Archive(archive) => Some(archive.path()),
        }
    }

    /// Returns the part of a directory or archive that holds the images of another registry. A registry holds only its
    /// own images and gives `None`.
    ///
    /// # Errors
    /// In the same cases as [`ReadStore::open`].
    pub fn external(&self, registry: &Prefix) -> Result<Option<Self>, Error> {
        match &self.backing {
            Backing::Registry(_) => Ok(None),
            Backing::Layout(layout) => {
                layout.external(registry.host()).map(|layout| Some(Self { backing: Backing::Layout(layout) }))
            }
            Backing::Archive(archive) => {
                archive.external(registry).map(|archive| Some(Self { backing: Backing::Archive(archive) }))
            }
        }
    }

    /// Returns the digest of the manifest that a tag points to now.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the tag or the repository does not exist.
    pub async fn resolve(&self, repository: &Repository, tag: &Tag) -> Result<Digest, Error> {
        on_backing!(self, store => store.resolve(repository, tag))
    }

    /// Reads a manifest in one request: its descriptor and its bytes. The bytes are verified when the selector is a
    /// digest.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Mismatch`], [`Kind::TooLarge`].
    pub async fn manifest(&self, repository: &Repository, selector: &Selector) -> Result<(Descriptor, Bytes), Error> {
        let (media_type, bytes) = on_backing!(self, store => store.manifest(repository, selector, MANIFEST_LIMIT))?;
        let descriptor = Descriptor::of(&media_type, &bytes);
        match selector {
            Selector::Digest(digest) if *digest != descriptor.digest => {
                Err(mismatch(&format!("{repository}@{digest}"), &descriptor.digest))
            }
            _ => Ok((descriptor, bytes)),
        }
    }

    /// Reads a blob of at most `limit` bytes and verifies its size and digest.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Mismatch`], [`Kind::TooLarge`].
    pub async fn fetch_verified(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Bytes, Error> {
        let reference = || format!("{repository}@{}", descriptor.digest);
        if descriptor.size > limit {
            let reason = format!("size is {} bytes, more than the limit of {limit} bytes", descriptor.size);
            return Err(Error::new(Kind::TooLarge, "read", reference(), reason));
        }
        let bytes = on_backing!(self, store => store.blob(repository, descriptor))?;
        let digest = Digest::of(&bytes);
        if digest != descriptor.digest || bytes.len() as u64 != descriptor.size {
            return Err(mismatch(&reference(), &digest));
        }
        Ok(bytes)
    }
}

pub(super) fn mismatch(reference: &str, found: &Digest) -> Error {
    Error::new(
        Kind::Mismatch,
        "read",
        reference,
        format!("digest mismatch: the content has the digest {found}, so it is corrupted or forged"),
    )
}

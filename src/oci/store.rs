//! The reading half of the seam. Whoever holds a [`ReadStore`] cannot write.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::archive::Archive;
use super::layout::Layout;
use super::reference::invalid;
use super::registry::{Access, Options, Registry};
use super::{Descriptor, Digest, Error, InvalidReference, Kind, Prefix, Repository, Selector, Tag};

/// Largest manifest that is read: what registries must accept at least.
const MANIFEST_LIMIT: u64 = 4 << 20;

/// Where a store is: the only switch on its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// `HOST[:PORT][/PATH]`.
    Registry(Prefix),
    /// `oci-layout:DIR`: a directory of OCI image layouts, one a repository.
    Layout(PathBuf),
    /// `oci-archive:FILE`: one file, an OCI image layout in a tar.
    Archive(PathBuf),
}

impl Location {
    /// Parses what `--store` takes; `plain_http` as for [`Prefix::parse`].
    ///
    /// # Errors
    /// When it is neither a registry nor `oci-layout:DIR` nor `oci-archive:FILE`.
    pub fn parse(text: &str, plain_http: bool) -> Result<Self, InvalidReference> {
        match text.strip_prefix("oci-archive:") {
            None => {}
            Some("" | "-") => return Err(invalid("archive", text, "want `oci-archive:FILE`, a file and no pipe")),
            Some(file) => return Ok(Self::Archive(PathBuf::from(file))),
        }
        match text.strip_prefix("oci-layout:") {
            Some(directory) => Ok(Self::Layout(PathBuf::from(if directory.is_empty() { "." } else { directory }))),
            None => Prefix::parse(text, plain_http).map(Self::Registry),
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

/// Calls the same method of whichever store it is.
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
    /// When TLS cannot be set up, when a directory is something other than layouts, when an archive is none.
    pub fn open(location: &Location, options: Options) -> Result<Self, Error> {
        let backing = match location {
            Location::Registry(prefix) => Backing::Registry(Arc::new(Registry::open(prefix, options, Access::Pull)?)),
            Location::Layout(directory) => Backing::Layout(Layout::open(directory)?),
            Location::Archive(file) => Backing::Archive(Archive::open(file, options.archive_prefix)?),
        };
        Ok(Self { backing })
    }

    /// The directory or the file, where the store is on a disk: nobody vouches for the bytes there.
    pub fn path(&self) -> Option<&Path> {
        match &self.backing {
            Backing::Registry(_) => None,
            Backing::Layout(layout) => Some(layout.directory()),
            Backing::Archive(archive) => Some(archive.path()),
        }
    }

    /// The part of a directory of layouts, or of an archive, that keeps the images of another registry; nothing where the store is a registry,
    /// which keeps its own alone.
    ///
    /// # Errors
    /// As [`ReadStore::open`].
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

    /// Which manifest a tag names now.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such tag or repository.
    pub async fn resolve(&self, repository: &Repository, tag: &Tag) -> Result<Digest, Error> {
        on_backing!(self, store => store.resolve(repository, tag))
    }

    /// Reads a manifest, in one request: its descriptor and its bytes, verified where it is asked for by digest.
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

    /// Reads a blob of at most `limit` bytes and holds it against its descriptor: size, digest, nothing left over.
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
            let reason = format!("{} bytes are more than the {limit} that are read here", descriptor.size);
            return Err(Error::new(Kind::TooLarge, "reading", reference(), reason));
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
        "reading",
        reference,
        format!("the bytes have another digest, {found}: corrupted or forged"),
    )
}

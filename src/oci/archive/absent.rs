//! The archive store of a build without the feature `publish`. It refuses every archive, so that the resolver needs no
//! tar code.

use std::convert::Infallible;
use std::future::Ready;
use std::path::Path;

use bytes::Bytes;

use crate::oci::{Descriptor, Digest, Error, Kind, Prefix, Repository, Selector, Tag};

/// An archive, which cannot exist in this build.
#[derive(Debug)]
pub struct Archive(Infallible);

type Answer<T> = Ready<Result<T, Error>>;

impl Archive {
    /// Refuses to open an archive.
    ///
    /// # Errors
    /// Always fails with [`Kind::Refused`].
    pub fn open(path: &Path, _: &str) -> Result<Self, Error> {
        let reason =
            "this program cannot read archives: copy the archive into a directory (oci-layout:DIR) or a registry first";
        Err(Error::new(Kind::Refused, "open", format!("oci-archive:{}", path.display()), reason))
    }

    pub fn external(&self, _: &Prefix) -> Result<Self, Error> {
        match self.0 {}
    }

    pub fn path(&self) -> &Path {
        match self.0 {}
    }

    pub fn resolve(&self, _: &Repository, _: &Tag) -> Answer<Digest> {
        match self.0 {}
    }

    pub fn manifest(&self, _: &Repository, _: &Selector, _: u64) -> Answer<(String, Bytes)> {
        match self.0 {}
    }

    pub fn referrers(&self, _: &Repository, _: &Digest) -> Result<Vec<Descriptor>, Error> {
        match self.0 {}
    }

    pub fn blob(&self, _: &Repository, _: &Descriptor) -> Answer<Bytes> {
        match self.0 {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_refused_with_a_way_out() {
        let error = Archive::open(Path::new("x.tar"), "").expect_err("no archive can be opened");
        assert_eq!(error.kind(), Kind::Refused);
        assert!(error.to_string().contains("oci-archive:x.tar: this program cannot read archives"), "{error}");
    }
}

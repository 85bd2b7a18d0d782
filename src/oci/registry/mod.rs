//! The distribution API, as registries really speak it. The HTTP crate stays inside this folder.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md>

use bytes::Bytes;
use secrecy::SecretString;

use super::{Descriptor, Digest, Error, Prefix, Repository, Selector, Tag};

#[cfg(feature = "publish")]
mod write;

/// Who asks.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// A user and a password or token, for the registry's own host alone.
    Basic {
        /// The user.
        username: String,
        /// Password or token.
        password: SecretString,
    },
}

/// How to talk to a registry.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Who asks.
    pub credentials: Credentials,
}

/// A prefix of a registry.
#[derive(Debug)]
pub struct Registry {
    prefix: Prefix,
}

impl Registry {
    pub fn open(prefix: &Prefix, _options: Options) -> Result<Self, Error> {
        Ok(Self { prefix: prefix.clone() })
    }
    pub async fn resolve(&self, _repository: &Repository, _tag: &Tag) -> Result<Digest, Error> {
        todo!()
    }
    /// Media type and bytes, at most `limit`, not yet verified.
    pub async fn manifest(&self, _r: &Repository, _s: &Selector, _limit: u64) -> Result<(String, Bytes), Error> {
        todo!()
    }
    /// At most the descriptor's size, not yet verified
    pub async fn blob(&self, _repository: &Repository, _descriptor: &Descriptor) -> Result<Bytes, Error> {
        todo!()
    }
    pub async fn has(&self, _repository: &Repository, _descriptor: &Descriptor) -> Result<bool, Error> {
        todo!()
    }
    pub async fn tags(&self, _repository: &Repository) -> Result<Vec<Tag>, Error> {
        todo!()
    }
}

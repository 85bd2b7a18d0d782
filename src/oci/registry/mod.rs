//! The distribution API, as registries really speak it. The HTTP crate stays inside this folder.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md>
//!
//! Why the wire is our own, and not oci-client's, which reads back what is pushed in the tests. Measured with five artifacts of two
//! blobs against docker-registry, 50 ms a request:
//!
//! - its `push` takes 14 requests an artifact, one after another, and sends again what is there; here it is 5, of which a known
//!   blob saves one: `POST …/uploads/?mount=<digest>` starts an upload and asks whether there is need for one;
//! - it pings before every request of an open registry, and asks for a token for each of five concurrent pushes; here nothing is
//!   pinged, and a repository has one token however many wait for it;
//! - it retries nothing, and hides `Retry-After`, all other headers, and failed authentication; here a failure that may pass is
//!   waited out by one policy (`retry`), as long as the caller wants;
//! - it cannot mount with a fallback, cancel an upload, or delete; it panics when a `Location` is missing; it doubles the time to the
//!   first request, and its parser of references alone takes 42 ms.
//!
//! HTTP/1.1 alone: a store is sent some dozens of small requests, bounded by the round trips and not by the connections, which are made
//! once, at once. HTTP/2 would save handshakes, and no round trip.

mod auth;
mod body;
mod client;
#[cfg(feature = "publish")]
mod copy;
mod error;
#[cfg(feature = "publish")]
mod obstacle;
#[cfg(feature = "publish")]
mod pages;
#[cfg(feature = "publish")]
mod probe;
mod read;
mod realm;
mod retry;
#[cfg(feature = "publish")]
mod tags;
mod tls;
#[cfg(feature = "publish")]
mod write;

use std::time::Duration;

use secrecy::SecretString;

use super::{Error, Prefix, Repository};
pub(super) use auth::Access;
use client::{Client, Operation};
#[cfg(feature = "publish")]
pub use probe::Probe;
pub use retry::Notice;
#[cfg(feature = "publish")]
pub(crate) use retry::jittered;
pub use tls::Certificates;
pub use tls::InvalidCertificates;
#[cfg(feature = "publish")]
pub(crate) use write::Mounts;
#[cfg(feature = "publish")]
pub use write::Upload;

/// Who asks.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// A user and a password or token, for the registry's own host alone, or a token server that belongs to it.
    Basic {
        /// The user.
        username: String,
        /// Password or token.
        password: SecretString,
    },
    /// What `docker login` keeps for some registries in place of a password: the token server gives tokens for it, and nobody
    /// else gets to see it.
    IdentityToken(SecretString),
}

/// How to open a store: most of it says how to talk to a registry.
#[derive(Clone)]
pub struct Options {
    /// Who asks.
    pub credentials: Credentials,
    /// Hosts of token servers that the credentials go to over HTTPS, beside those that belong to the registry: `HOST` or `HOST:PORT`.
    pub auth_realms: Vec<String>,
    /// Whether two hosts belong to one owner, so that the credentials go to the token server on the other one, too.
    pub same_owner: fn(&str, &str) -> bool,
    /// Certificates to trust beside those of the system.
    pub ca: Certificates,
    /// Talk TLS to whoever answers, without looking at the certificate.
    pub insecure: bool,
    /// Requests at once.
    pub jobs: usize,
    /// How long what may pass by itself is waited out, from the first failure of an operation; zero for not at all.
    pub retry_for: Duration,
    /// Hears of each wait.
    pub notice: Option<Notice>,
    /// Key of the annotation in an archive that says below which prefix the archive's names are. Who writes archives sets it.
    pub archive_prefix: &'static str,
}

impl Default for Options {
    /// Anonymous, 16 requests at once, no second attempt. No two hosts belong to one owner.
    fn default() -> Self {
        Self {
            credentials: Credentials::Anonymous,
            auth_realms: Vec::new(),
            same_owner: |_, _| false,
            ca: Certificates::default(),
            insecure: false,
            jobs: 16,
            retry_for: Duration::ZERO,
            notice: None,
            archive_prefix: "",
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { credentials, auth_realms, same_owner: _, ca, insecure, jobs, retry_for, notice, archive_prefix } =
            self;
        f.debug_struct("Options")
            .field("credentials", credentials)
            .field("auth_realms", auth_realms)
            .field("ca", ca)
            .field("insecure", insecure)
            .field("jobs", jobs)
            .field("retry_for", retry_for)
            .field("notice", &notice.is_some())
            .field("archive_prefix", archive_prefix)
            .finish_non_exhaustive()
    }
}

/// A prefix of a registry.
#[derive(Debug)]
pub(super) struct Registry {
    prefix: Prefix,
    /// Boxed, since the other kind of store is small.
    client: Box<Client>,
    /// What every token allows at least: one token serves all that is done with a repository.
    access: Access,
}

impl Registry {
    /// Sends nothing. The certificates of the system are loaded for HTTPS alone.
    ///
    /// # Errors
    /// When TLS cannot be set up: the system has no certificates.
    pub(super) fn open(prefix: &Prefix, options: Options, access: Access) -> Result<Self, Error> {
        let client = Box::new(Client::new(prefix, options)?);
        Ok(Self { prefix: prefix.clone(), client, access })
    }

    /// What error messages name, and what the token is asked for.
    fn operation(
        &self,
        attempted: &'static str,
        repository: &Repository,
        selector: impl std::fmt::Display,
        access: Access,
    ) -> Operation {
        let name = self.prefix.name_of(repository);
        let selector = selector.to_string();
        let reference = match selector.as_str() {
            "" => name,
            digest if digest.starts_with("sha256:") => format!("{name}@{digest}"),
            tag => format!("{name}:{tag}"),
        };
        Operation { attempted, reference, path: self.prefix.full_path(repository), access: access.max(self.access) }
    }
}

//! The distribution API, as registries implement it. The HTTP crate is not used outside this directory.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md>
//!
//! The client is written for this program, and does not use the crate oci-client. The tests read back what is pushed
//! with oci-client. Measured with five artifacts of two blobs against docker-registry at 50 ms per request:
//!
//! - oci-client sends 14 requests for an artifact, one after another, and uploads blobs that exist. This client sends
//!   5, and one less for a known blob: `POST …/uploads/?mount=<digest>` starts an upload and asks whether one is
//!   needed.
//! - oci-client pings before every request to an open registry, and requests a token for each of five concurrent
//!   pushes. This client does not ping, and requests one token for each repository.
//! - oci-client does not retry, and hides `Retry-After`, all other headers, and failed authentication. This client
//!   waits out transient errors by one policy (`retry`), for as long as the caller allows.
//! - oci-client cannot mount a blob with a fallback, cancel an upload, or delete. It panics when a `Location` is
//!   missing, and takes twice the time to the first request. Its parser of references alone takes 42 ms.
//!
//! Only HTTP/1.1 is used. A store receives a few dozen small requests, whose time depends on round trips. HTTP/2 would
//! save handshakes, which happen once and at the same time, but no round trip.

mod api;
mod auth;
mod body;
mod client;
#[cfg(feature = "publish")]
mod copy;
mod error;
#[cfg(feature = "publish")]
mod obstacle;
mod pages;
#[cfg(feature = "publish")]
mod probe;
mod read;
mod realm;
mod referrers;
mod retry;
#[cfg(feature = "publish")]
mod tags;
mod tls;
mod trace;
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
pub use trace::{Exchange, Trace};
#[cfg(feature = "publish")]
pub(crate) use write::Mounts;
#[cfg(feature = "publish")]
pub use write::Upload;

/// The credentials for a registry.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// No credentials: requests are anonymous.
    #[default]
    Anonymous,
    /// A user with a password or token. They are sent only to the registry's own host and to token servers that belong
    /// to it.
    Basic {
        /// Name of the user.
        username: String,
        /// Password or token of the user.
        password: SecretString,
    },
    /// A token that `docker login` stores for some registries instead of a password. It is sent only to the token
    /// server, which exchanges it for tokens.
    IdentityToken(SecretString),
}

/// The options for opening a store. Most of them concern registries.
#[derive(Clone)]
pub struct Options {
    /// Credentials for the registry.
    pub credentials: Credentials,
    /// Further token servers that the credentials may be sent to over HTTPS: `HOST` or `HOST:PORT`.
    pub auth_realms: Vec<String>,
    /// Returns whether two hosts belong to one owner. Credentials for one are then sent to a token server on the other.
    pub same_owner: fn(&str, &str) -> bool,
    /// Certificates to trust in addition to those of the system.
    pub ca: Certificates,
    /// Accept any TLS certificate without verifying it.
    pub insecure: bool,
    /// Most requests that are sent at the same time.
    pub jobs: usize,
    /// How long transient errors are retried, from the first failure of an operation. Zero means no retry.
    pub retry_for: Duration,
    /// Receives a message before each wait.
    pub notice: Option<Notice>,
    /// Called after each request.
    pub trace: Option<Trace>,
    /// Key of the annotation in an archive that holds the prefix of the archive's names. Set by the module that writes
    /// archives.
    pub archive_prefix: &'static str,
}

impl Default for Options {
    /// Anonymous, 16 requests at the same time, no retry. No two hosts belong to one owner.
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
            trace: None,
            archive_prefix: "",
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { credentials, auth_realms, ca, insecure, jobs, retry_for, notice, trace, archive_prefix, .. } = self;
        f.debug_struct("Options")
            .field("credentials", credentials)
            .field("auth_realms", auth_realms)
            .field("ca", ca)
            .field("insecure", insecure)
            .field("jobs", jobs)
            .field("retry_for", retry_for)
            .field("notice", &notice.is_some())
            .field("trace", &trace.is_some())
            .field("archive_prefix", archive_prefix)
            .finish_non_exhaustive()
    }
}

/// A registry, seen through one prefix.
#[derive(Debug)]
pub(super) struct Registry {
    prefix: Prefix,
    /// Boxed, because the other kinds of store are small.
    client: Box<Client>,
    /// The least permission that every token grants, so that one token serves all requests for a repository.
    access: Access,
}

impl Registry {
    /// Opens a registry without sending a request. The certificates of the system are loaded for HTTPS only.
    ///
    /// # Errors
    /// When TLS cannot be set up, for example because the system has no certificates.
    pub(super) fn open(prefix: &Prefix, options: Options, access: Access) -> Result<Self, Error> {
        let client = Box::new(Client::new(prefix, options)?);
        Ok(Self { prefix: prefix.clone(), client, access })
    }

    /// Describes an operation: the reference that messages name, and the scope of its token.
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

//! Opens a store with its credentials, and once more without them, as the public reads it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::{Context, Error};
use crate::config::Config;
use crate::contents::{External, Reader};
use crate::credentials::{self, Keychain, Login};
use crate::image::{self, Check};
use crate::oci::{Certificates, Credentials, Location, Options, Prefix, ReadStore, Repository, Store};
use crate::release::{self, Named, Release};

/// How long a request is retried while a registry fails, when nothing is written. A person waits for the result.
const RETRY_READS_FOR: Duration = Duration::from_secs(30);
/// How long a request is retried while a registry fails, when something is written. A publication that stops half-way costs more
/// than the wait.
const RETRY_WRITES_FOR: Duration = Duration::from_mins(5);

/// A store that an operation works on, and how it is reached.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct StoreRequest {
    /// `HOST[:PORT][/PATH]`, `oci-layout:DIR` or `oci-archive:FILE`.
    pub store: String,
    /// Prefix under which appliances read the store; `None` for the registry itself or, on a disk, [`Self::configured_prefix`].
    pub prefix: Option<String>,
    /// Prefix under which appliances read a store that is on a disk.
    pub configured_prefix: String,
    /// Whether plain HTTP is spoken to a registry that is not on the loopback interface.
    pub plain_http: bool,
    /// Hosts of token servers that credentials go to over HTTPS, beside those that belong to the registry.
    pub auth_realms: Vec<String>,
    /// Certificates that are trusted in addition to those of the system.
    pub certificates: Certificates,
    /// Whether the registry's certificate goes unverified.
    pub insecure: bool,
    /// How long a request is retried while the registry fails; zero for a single attempt, `None` for 30 s when the store is only read
    /// and 5 minutes when the store is written.
    pub retry_for: Option<Duration>,
    /// Largest number of requests that are open at the same time.
    pub jobs: usize,
    /// Credentials that were given for this store; `None` for those of the variables, or those that are kept on this machine.
    pub login: Option<Login>,
    /// Whether [`Self::login`] and the variables are ignored, because they are for another store of the same operation.
    pub only_kept_credentials: bool,
    /// Whether the release must be readable without credentials, so that it is read without them too.
    pub public_read: bool,
}

impl StoreRequest {
    /// Requests the configured store.
    pub fn new(config: &Config) -> Self {
        Self {
            store: config.prefix.clone(),
            prefix: None,
            configured_prefix: config.prefix.clone(),
            plain_http: false,
            auth_realms: config.auth_realms.clone(),
            certificates: Certificates::default(),
            insecure: false,
            retry_for: None,
            jobs: Options::default().jobs,
            login: None,
            only_kept_credentials: false,
            public_read: config.public_read,
        }
    }

    /// Requests another store, which is reached in the same way but not asked with credentials that were given for this one.
    #[must_use]
    pub fn other(&self, store: &str) -> Self {
        Self { store: store.to_owned(), prefix: None, only_kept_credentials: true, ..self.clone() }
    }

    /// Trusts the certificates in a PEM file beside those of the system; `named_by` is the flag that names the file.
    ///
    /// # Errors
    /// Returns [`Error::Certificates`] when the file cannot be read.
    pub fn trust(&mut self, path: &Path, named_by: &str) -> Result<(), Error> {
        self.certificates = certificates(path, named_by)?;
        Ok(())
    }

    fn locations(&self) -> Result<(Location, Prefix), Error> {
        let location = Location::parse(&self.store, self.plain_http)?;
        let prefix = match (&self.prefix, &location) {
            (Some(prefix), _) => Prefix::parse(prefix, self.plain_http)?,
            (None, Location::Registry(prefix)) => prefix.clone(),
            (None, Location::Layout(_) | Location::Archive(_)) => {
                Prefix::parse(&self.configured_prefix, self.plain_http)?
            }
        };
        Ok((location, prefix))
    }
}

/// Use of a store. A token with the right to push is requested from a registry only for [`Access::Write`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The store cannot be written.
    Read,
    /// The store can be written.
    Write,
}

/// A store that was opened: for reading, it cannot be written.
#[derive(Debug)]
enum Opened {
    Reading(ReadStore),
    Writing(Store),
}

/// A store that was opened, with the way to every other registry that its releases name.
#[derive(Debug)]
pub struct Connection {
    /// Where the store is.
    pub location: Location,
    /// Name under which appliances read the store.
    pub prefix: Prefix,
    /// Credentials that the store is asked with, and where they were found.
    pub login: Login,
    opened: Opened,
    public: Option<ReadStore>,
    keychain: Keychain,
    /// Options of a registry client without credentials.
    options: Options,
    public_read: bool,
    prefix_is_given: bool,
    context: Context,
}

impl Connection {
    /// Returns the surroundings in which the store was opened.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// Opens a store. No request is sent and nothing is written yet.
    ///
    /// # Errors
    /// When the request is invalid, when credentials or certificates cannot be read, when the store cannot be opened.
    pub async fn open(request: &StoreRequest, access: Access, context: &Context) -> Result<Self, Error> {
        let (location, prefix) = request.locations()?;
        if access == Access::Write && matches!(location, Location::Archive(_)) {
            return Err(Error::NotWritable { store: location.to_string() });
        }
        let mut keychain = Keychain::kept(&context.environment, &context.programs);
        let mut login = Login::default();
        if let Location::Registry(registry) = &location {
            check_tls(request, registry, context)?;
            if request.only_kept_credentials {
                login = keychain.for_registry(&registry.to_string()).await?;
                context.note(&format!("credentials of {registry}: {}", login.source));
            } else {
                keychain = keychain.with_own(request.login.clone())?;
                login = keychain.for_store(registry).await?;
                context.note(&format!("credentials: {}", login.source));
            }
        }
        let options = Options {
            auth_realms: request.auth_realms.clone(),
            same_owner: credentials::same_owner,
            ca: request.certificates.clone(),
            insecure: request.insecure,
            retry_for: request.retry_for.unwrap_or(match access {
                Access::Read => RETRY_READS_FOR,
                Access::Write => RETRY_WRITES_FOR,
            }),
            jobs: request.jobs,
            notice: Some(context.notice()),
            trace: context.trace(),
            archive_prefix: release::ARCHIVE_PREFIX,
            ..Options::default()
        };
        // Without credentials, the store is read as the public reads it anyway.
        let apart = request.public_read && !login.is_anonymous();
        let public = if apart { Some(ReadStore::open(&location, options.clone())?) } else { None };
        let own = Options { credentials: login.credentials.clone(), ..options.clone() };
        let opened = match access {
            Access::Read => Opened::Reading(ReadStore::open(&location, own)?),
            Access::Write => Opened::Writing(Store::open(&location, own)?),
        };
        Ok(Self {
            location,
            prefix,
            login,
            opened,
            public,
            keychain,
            options,
            public_read: request.public_read,
            prefix_is_given: request.prefix.is_some(),
            context: context.clone(),
        })
    }

    /// Reports a note, which needs no action.
    pub(super) fn note(&self, text: &str) {
        self.context.note(text);
    }

    /// Returns how long requests are retried after transient errors.
    pub(super) fn retry_for(&self) -> Duration {
        self.options.retry_for
    }

    /// Returns the store for reading.
    pub fn read(&self) -> &ReadStore {
        match &self.opened {
            Opened::Reading(store) => store,
            Opened::Writing(store) => store.read(),
        }
    }

    /// Returns the store for writing; `None` where it was opened for reading.
    pub fn store(&self) -> Option<&Store> {
        match &self.opened {
            Opened::Reading(_) => None,
            Opened::Writing(store) => Some(store),
        }
    }

    /// Returns the store as the public reads it; `None` where it need not be public or is asked without credentials anyway.
    pub fn public(&self) -> Option<&ReadStore> {
        self.public.as_ref()
    }

    /// Returns both ways to read the store.
    pub fn reader(&self) -> Reader<'_> {
        Reader { store: self.read(), public: self.public() }
    }

    /// Opens the store again, without credentials.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub fn without_credentials(&self) -> Result<Store, Error> {
        Ok(Store::open(&self.location, self.options.clone())?)
    }

    /// Returns whether the releases of the store must be readable without credentials.
    pub fn must_be_public(&self) -> bool {
        self.public_read
    }

    /// Returns the prefix of a release: what the release names below its prefix is in the store.
    ///
    /// # Errors
    /// Returns [`Error::UnknownPrefix`] when the release does not show its prefix.
    pub fn prefix_of(&self, release: &Release, config: &Config) -> Result<Prefix, Error> {
        if self.prefix_is_given {
            return Ok(self.prefix.clone());
        }
        release.prefix(config).ok_or_else(|| Error::UnknownPrefix {
            bundle: release.config.repository.clone(),
            expected: config.repositories.config.clone(),
        })
    }

    /// Returns the name that a repository of the store has in the rest of the world.
    pub fn name_of(&self, repository: &Repository) -> String {
        match &self.location {
            Location::Registry(prefix) => prefix.name_of(repository),
            Location::Layout(_) | Location::Archive(_) => repository.to_string(),
        }
    }

    /// Opens the other registries that a release names, unless the store is on a disk: such a store keeps copies
    /// of their artifacts.
    ///
    /// # Errors
    /// Returns the errors of [`Self::open_others`].
    pub async fn external(&self, named: &[Named]) -> Result<BTreeMap<String, External>, Error> {
        match self.location {
            Location::Registry(_) => self.open_others(named).await,
            Location::Layout(_) | Location::Archive(_) => Ok(BTreeMap::new()),
        }
    }

    /// Opens the other registries that a release names, each with the credentials that are kept for that registry.
    ///
    /// # Errors
    /// When credentials cannot be read, or a registry cannot be opened.
    pub async fn open_others(&self, named: &[Named]) -> Result<BTreeMap<String, External>, Error> {
        let mut external = BTreeMap::new();
        for named in named {
            let Some((registry, repository, _)) = named.external() else { continue };
            let name = registry.name_of(repository);
            if external.contains_key(&name) {
                continue;
            }
            let login = self.keychain.for_registry(&name).await?;
            let location = Location::Registry(registry.clone());
            let apart = self.public_read && !login.is_anonymous();
            let public = if apart { Some(ReadStore::open(&location, self.options.clone())?) } else { None };
            let options = Options { credentials: login.credentials, ..self.options.clone() };
            external.insert(name, External { store: ReadStore::open(&location, options)?, public });
        }
        Ok(external)
    }

    /// Finds the credentials for the other registries of images that are to be pinned. The store's own credentials are for the
    /// store's host alone, and a store on a disk asks no other registry.
    ///
    /// # Errors
    /// When credentials cannot be read.
    pub async fn other_registries(
        &self,
        pins: &image::PinRequest<'_>,
        context: &Context,
    ) -> Result<OtherRegistries, Error> {
        let mut others = OtherRegistries { credentials: BTreeMap::new(), options: self.options.clone() };
        if !matches!(self.location, Location::Registry(_)) || pins.check == Check::Off {
            return Ok(others);
        }
        let images = pins.images.values().map(|(repository, _)| repository);
        for repository in images.chain(pins.control_plane.iter().map(|(repository, _)| repository)) {
            if let Some(name) = repository.external_name()
                && !others.credentials.contains_key(&name)
            {
                let login = self.keychain.for_registry(&name).await?;
                if !login.is_anonymous() {
                    context.note(&format!("credentials of {name}: {}", login.source));
                }
                others.credentials.insert(name, login.credentials);
            }
        }
        Ok(others)
    }
}

/// Other registries whose images a release names.
#[derive(Debug)]
pub struct OtherRegistries {
    /// Credentials by the `HOST/PATH` of the repository.
    credentials: BTreeMap<String, Credentials>,
    options: Options,
}

impl OtherRegistries {
    /// Opens the registry of a repository; `None` when the repository is not one of those.
    pub fn open(&self, registry: &Prefix, repository: &Repository) -> Option<ReadStore> {
        let credentials = self.credentials.get(&registry.name_of(repository))?.clone();
        let options = Options { credentials, ..self.options.clone() };
        ReadStore::open(&Location::Registry(registry.clone()), options).ok()
    }
}

/// Checks what a connection to a registry trusts. The TLS library ignores an `SSL_CERT_FILE` that it cannot read, but a user who
/// sets the variable relies on it.
fn check_tls(request: &StoreRequest, registry: &Prefix, context: &Context) -> Result<(), Error> {
    if registry.plain_http() {
        return Ok(());
    }
    if let Some(path) = context.environment.path("SSL_CERT_FILE") {
        certificates(&path, "SSL_CERT_FILE")?;
    }
    if request.insecure {
        context.warn(&format!(
            "the certificate of {} is not verified: the connection may be intercepted, and the credentials read",
            registry.host()
        ));
    }
    Ok(())
}

/// Reads a file of PEM certificates; `named_by` is the flag or variable that names the file.
fn certificates(path: &Path, named_by: &str) -> Result<Certificates, Error> {
    let wrong = |cause: &dyn std::fmt::Display| Error::Certificates {
        named_by: named_by.to_owned(),
        path: path.to_owned(),
        reason: cause.to_string(),
    };
    let pem = std::fs::read(path).map_err(|cause| wrong(&cause))?;
    Certificates::parse(&pem).map_err(|cause| wrong(&cause))
}

//! From the flags of a store to where it is, who asks it, and how one talks to it.

use std::collections::BTreeMap;
use std::time::Duration;

use alga_release::config::Config;
use alga_release::image::{self, Check};
use alga_release::oci::{Certificates, Credentials, Location, Options, Prefix, ReadStore, Repository, Store};

use crate::args::StoreArgs;
use crate::credentials::{Found, Keychain};
use crate::environment;
use crate::failure::Failure;
use crate::output::Talk;

/// How long a request is tried again, where nobody says.
const RETRY_FOR: Duration = Duration::from_mins(5);

/// A store that is named, not yet opened.
#[derive(Debug)]
pub struct StoreAccess {
    pub location: Location,
    /// Under which name appliances read what is there.
    pub prefix: Prefix,
    keychain: Keychain,
    /// For anybody.
    options: Options,
}

impl StoreAccess {
    /// Sends no request.
    ///
    /// # Errors
    /// When a flag, a given password or a file with certificates is wrong.
    pub fn new(args: &StoreArgs, config: &Config, talk: &Talk) -> Result<Self, Failure> {
        let (location, prefix) = locations(args, config)?;
        let ca = match &args.ca_file {
            Some(path) => environment::certificates(path, "--ca-file")?,
            None => Certificates::default(),
        };
        if let Location::Registry(registry) = &location
            && !registry.plain_http()
        {
            environment::check_system_certificates()?;
            if args.insecure {
                talk.warn(&format!(
                    "--insecure: nobody checks that {} is who it says it is; it and everybody on the way can read the credentials",
                    registry.host()
                ));
            }
        }
        // A disk asks nobody who he is.
        let keychain = match location {
            Location::Registry(_) => Keychain::open(args)?,
            Location::Layout(_) | Location::Archive(_) => Keychain::default(),
        };
        let retry_for = args.retry_for.unwrap_or(RETRY_FOR);
        let options =
            Options { ca, insecure: args.insecure, retry_for, notice: Some(talk.notice()), ..Options::default() };
        Ok(Self { location, prefix, keychain, options })
    }

    /// For a registry, who asks it; the source is said, its value never.
    ///
    /// # Errors
    /// As [`Keychain::for_store`].
    pub async fn credentials(&self, talk: &Talk) -> Result<Found, Failure> {
        match &self.location {
            Location::Registry(prefix) => {
                let found = self.keychain.for_store(prefix).await?;
                talk.info(&format!("credentials: {}", found.source));
                Ok(found)
            }
            Location::Layout(_) | Location::Archive(_) => Ok(Found::default()),
        }
    }

    /// Opens the store as whoever may, and again as the public where that is somebody else. Nothing is sent to it yet.
    ///
    /// # Errors
    /// As [`Self::credentials`], and when the store cannot be opened.
    pub async fn open(&self, access: Access, public_read: bool, talk: &Talk) -> Result<Stores, Failure> {
        self.open_as(self.credentials(talk).await?, access, public_read)
    }

    /// The same for a second store: what is given for the first one alone is not for it.
    ///
    /// # Errors
    /// As [`Keychain::for_registry`], and when the store cannot be opened.
    pub async fn open_second(&self, access: Access, public_read: bool, talk: &Talk) -> Result<Stores, Failure> {
        let found = match &self.location {
            Location::Registry(prefix) => {
                let found = self.keychain.for_registry(&prefix.to_string()).await?;
                talk.info(&format!("credentials of {prefix}: {}", found.source));
                found
            }
            Location::Layout(_) | Location::Archive(_) => Found::default(),
        };
        self.open_as(found, access, public_read)
    }

    fn open_as(&self, found: Found, access: Access, public_read: bool) -> Result<Stores, Failure> {
        // Who has no credentials reads as the public does.
        let apart = public_read && !found.is_anonymous();
        let public = if apart { Some(ReadStore::open(&self.location, self.anonymous())?) } else { None };
        Ok(Stores { opened: Opened::open(&self.location, self.options(found.credentials), access)?, public })
    }

    /// The same, where a registry that fails is not tried again unless that is asked for.
    pub fn without_patience(mut self, args: &StoreArgs) -> Self {
        self.options.retry_for = args.retry_for.unwrap_or_default();
        self
    }

    /// The same, with so many requests at once.
    pub fn with_jobs(mut self, jobs: u16) -> Self {
        self.options.jobs = jobs.into();
        self
    }

    /// Who asks another registry for one of its repositories, `HOST/PATH`: never who asks the store.
    ///
    /// # Errors
    /// As [`Keychain::for_registry`].
    pub async fn for_registry(&self, name: &str) -> Result<Found, Failure> {
        self.keychain.for_registry(name).await
    }

    /// How to talk to a registry as somebody.
    pub fn options(&self, credentials: Credentials) -> Options {
        Options { credentials, ..self.options.clone() }
    }

    /// How to talk to a registry as the public does.
    pub fn anonymous(&self) -> Options {
        self.options.clone()
    }

    /// Images of other registries are read there, each with the credentials that are kept for that registry: those for the store
    /// are for the store's host alone. A layout and an archive look at none of them.
    ///
    /// # Errors
    /// As [`Keychain::for_registry`].
    pub async fn elsewhere(&self, pins: &image::Request<'_>, talk: &Talk) -> Result<Elsewhere, Failure> {
        let mut elsewhere = Elsewhere { credentials: BTreeMap::new(), options: self.anonymous() };
        if !matches!(self.location, Location::Registry(_)) || pins.check == Check::Off {
            return Ok(elsewhere);
        }
        let images = pins.images.values().map(|(repository, _)| repository);
        for repository in images.chain(pins.control_plane.iter().map(|(repository, _)| repository)) {
            if let Some(name) = repository.external_name()
                && !elsewhere.credentials.contains_key(&name)
            {
                let found = self.for_registry(&name).await?;
                if !found.is_anonymous() {
                    talk.info(&format!("credentials of {name}: {}", found.source));
                }
                elsewhere.credentials.insert(name, found.credentials);
            }
        }
        Ok(elsewhere)
    }
}

/// A store, and the same as the public sees it when that is somebody else.
#[derive(Debug)]
pub struct Stores {
    pub opened: Opened,
    pub public: Option<ReadStore>,
}

/// What is done with a store: a registry is asked for the right to push only where something is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// A store that was opened: for reading, it cannot be written.
#[derive(Debug)]
pub enum Opened {
    Reading(ReadStore),
    Writing(Store),
}

impl Opened {
    /// Sends nothing yet.
    pub fn open(location: &Location, options: Options, access: Access) -> Result<Self, Failure> {
        Ok(match access {
            Access::Read => Self::Reading(ReadStore::open(location, options)?),
            Access::Write => Self::Writing(Store::open(location, options)?),
        })
    }

    pub fn read(&self) -> &ReadStore {
        match self {
            Self::Reading(store) => store,
            Self::Writing(store) => store.read(),
        }
    }

    /// Nothing where it was opened for reading.
    pub fn store(&self) -> Option<&Store> {
        match self {
            Self::Reading(_) => None,
            Self::Writing(store) => Some(store),
        }
    }
}

/// How to read the images of other registries.
#[derive(Debug)]
pub struct Elsewhere {
    /// By `HOST/PATH`.
    credentials: BTreeMap<String, Credentials>,
    options: Options,
}

impl Elsewhere {
    /// The registry of a repository, when it is one of those.
    pub fn open(&self, registry: &Prefix, repository: &Repository) -> Option<ReadStore> {
        let credentials = self.credentials.get(&registry.name_of(repository))?.clone();
        let options = Options { credentials, ..self.options.clone() };
        ReadStore::open(&Location::Registry(registry.clone()), options).ok()
    }
}

fn locations(args: &StoreArgs, config: &Config) -> Result<(Location, Prefix), Failure> {
    let text = args.store.as_deref().unwrap_or(&config.prefix);
    let location = Location::parse(text, args.plain_http)?;
    let prefix = match (&args.prefix, &location) {
        (Some(prefix), _) => Prefix::parse(prefix, args.plain_http)?,
        (None, Location::Registry(prefix)) => prefix.clone(),
        (None, Location::Layout(_) | Location::Archive(_)) => Prefix::parse(&config.prefix, args.plain_http)?,
    };
    Ok((location, prefix))
}

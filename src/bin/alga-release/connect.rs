//! The way to a store that several commands go: where it is, who asks, and who the public is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use alga_release::config::{Config, nearest};
use alga_release::oci::{self, Digest, Location, Prefix, ReadStore, Repository, Selector, Store, Tag};
use alga_release::release::{self, Named, Release, ResolveError, Resolved};
use alga_release::verify::{External, Reader};

use crate::args::{ConfigurationArgs, StoreArgs};
use crate::environment;
use crate::failure::Failure;
use crate::output::Talk;
use crate::store::{Access, StoreAccess, Stores};

/// Requests at once, where nobody says.
const JOBS: u16 = 16;

/// The work, unless a signal comes first.
pub async fn until_signal<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |cause| Failure::io("listening for signals", cause);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        result = work => result,
        _ = interrupt.recv() => Err(Failure::signal(130)),
        _ = terminate.recv() => Err(Failure::signal(143)),
    }
}

/// The configuration, for commands that read no source tree.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigArgs {
    /// Configuration file [default: `alga-release.yaml` in this directory]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl ConfigArgs {
    pub fn load(&self) -> Result<Config, Failure> {
        let args = ConfigurationArgs { config: self.config.clone(), profile: None };
        environment::configuration(Path::new("."), &args)
    }
}

/// A runtime on this thread.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|cause| Failure::io("starting", cause))
}

/// A store that was opened, and the same as the public sees it when that is somebody else.
#[derive(Debug)]
pub struct Connection {
    pub location: Location,
    /// Requests at once.
    pub jobs: u16,
    stores: Stores,
    access: StoreAccess,
    /// Are other registries asked, and must the public be able to read?
    elsewhere: bool,
    public_read: bool,
    prefix: Option<Prefix>,
}

impl Connection {
    /// Sends nothing to the store yet.
    pub async fn open(args: &StoreArgs, config: &Config, access: Access, talk: &Talk) -> Result<Self, Failure> {
        Self::open_with(args, config, access, JOBS, talk).await
    }

    /// The same, with so many requests at once.
    pub async fn open_with(
        args: &StoreArgs,
        config: &Config,
        access: Access,
        jobs: u16,
        talk: &Talk,
    ) -> Result<Self, Failure> {
        let to_store = StoreAccess::new(args, config, talk)?.with_jobs(jobs);
        let location = to_store.location.clone();
        let prefix = args.prefix.as_ref().map(|_| to_store.prefix.clone());
        let stores = to_store.open(access, config.public_read, talk).await?;
        let elsewhere = matches!(location, Location::Registry(_));
        let public_read = config.public_read;
        Ok(Self { location, jobs, stores, access: to_store, elsewhere, public_read, prefix })
    }

    pub fn read(&self) -> &ReadStore {
        self.stores.opened.read()
    }

    /// Nothing where it was opened for reading.
    pub fn store(&self) -> Option<&Store> {
        self.stores.opened.store()
    }

    pub fn public(&self) -> Option<&ReadStore> {
        self.stores.public.as_ref()
    }

    pub fn reader(&self) -> Reader<'_> {
        Reader { store: self.read(), public: self.public() }
    }

    /// Asks no other registry than the store's.
    pub fn offline(mut self) -> Self {
        self.elsewhere = false;
        self
    }

    /// Asks other registries, whatever the store is.
    pub fn online(mut self) -> Self {
        self.elsewhere = true;
        self
    }

    /// The prefix of a release: what is named below it is in the store.
    pub fn prefix_of(&self, release: &Release, config: &Config) -> Result<Prefix, Failure> {
        if let Some(prefix) = &self.prefix {
            return Ok(prefix.clone());
        }
        release.prefix(config).ok_or_else(|| {
            let bundle = &config.repositories.config;
            let reason =
                format!("the release's bundle is {}, which does not end with `{bundle}`", release.config.repository);
            Failure::usage_hint(reason, "say below which name the release is read: --prefix HOST/PATH")
        })
    }

    /// The other registries that a release names, each with the credentials that are kept for it.
    pub async fn external(&self, named: &[Named]) -> Result<BTreeMap<String, External>, Failure> {
        let mut external = BTreeMap::new();
        for named in named.iter().filter(|_| self.elsewhere) {
            let Some((registry, repository, _)) = named.external() else { continue };
            let name = registry.name_of(repository);
            if external.contains_key(&name) {
                continue;
            }
            let found = self.access.for_registry(&name).await?;
            let location = Location::Registry(registry.clone());
            let apart = self.public_read && !found.is_anonymous();
            let public = if apart { Some(ReadStore::open(&location, self.access.anonymous())?) } else { None };
            let options = self.access.options(found.credentials);
            external.insert(name, External { store: ReadStore::open(&location, options)?, public });
        }
        Ok(external)
    }

    /// What a channel, version or digest serves.
    pub async fn resolve(&self, config: &Config, word: &str, selector: &Selector) -> Result<Resolved, Failure> {
        resolve(self.read(), &self.location, config, word, selector).await
    }

    /// A channel that serves nothing yet, a slip, or a version that is not published.
    pub async fn not_there(&self, config: &Config, word: &str, error: oci::Error) -> Failure {
        not_there(self.read(), &self.location, config, word, error).await
    }
}

/// What a channel, version or digest serves in a store; where there is none, the nearest name is suggested.
pub async fn resolve(
    store: &ReadStore,
    location: &Location,
    config: &Config,
    word: &str,
    selector: &Selector,
) -> Result<Resolved, Failure> {
    match release::resolve(store, &config.repositories.release, selector).await {
        Err(ResolveError::Store(error)) if error.is_not_found() => {
            Err(not_there(store, location, config, word, error).await)
        }
        other => Ok(other?),
    }
}

async fn not_there(store: &ReadStore, location: &Location, config: &Config, word: &str, error: oci::Error) -> Failure {
    if is_channel(config, word) {
        return Failure::from(error).hint(format!("nothing was published to {word} in {location} yet"));
    }
    let slip = |near: String| {
        let reason = format!("there is no channel and no version `{}` in {location}", word.escape_debug());
        Failure::usage_hint(reason, format!("did you mean `{near}`?"))
    };
    if let Some(near) = nearest(word, config.channels.iter().map(Tag::as_str)) {
        return slip(near);
    }
    let mut known: Vec<Tag> = match word.parse::<Digest>() {
        Ok(_) => Vec::new(),
        Err(_) => store.tags(&config.repositories.release).await.unwrap_or_default(),
    };
    known.retain(|tag| config.channels.iter().all(|channel| release::keep_alive_sequence(channel, tag).is_none()));
    let hint = match nearest(word, known.iter().map(Tag::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "name a channel, a published version, or the digest of one".to_owned(),
    };
    Failure::from(error).hint(hint)
}

/// Is it the name of a channel of the configuration?
pub fn is_channel(config: &Config, word: &str) -> bool {
    config.channels.iter().any(|channel| channel.as_str() == word)
}

/// A channel of the configuration.
pub fn channel(config: &Config, word: &str) -> Result<Tag, Failure> {
    if let Some(channel) = config.channels.iter().find(|channel| channel.as_str() == word) {
        return Ok(channel.clone());
    }
    let known: Vec<&str> = config.channels.iter().map(Tag::as_str).collect();
    let hint = match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the configuration names: {}", known.join(", ")),
    };
    Err(Failure::usage_hint(format!("there is no channel `{}`", word.escape_debug()), hint))
}

/// A digest that an argument names.
pub fn digest(flag: &str, text: &str) -> Result<Digest, Failure> {
    text.parse().map_err(|cause| Failure::usage(format!("{flag}: {cause}")))
}

/// How the rest of the world names a repository of the store.
pub fn name_of(location: &Location, repository: &Repository) -> String {
    match location {
        Location::Registry(prefix) => prefix.name_of(repository),
        Location::Layout(_) | Location::Archive(_) => repository.to_string(),
    }
}

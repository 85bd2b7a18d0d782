//! One of the two releases of a comparison, and how the reports name it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::Config;
use crate::contents::{Opened, ReadOnce};
use crate::oci::{Digest, Location, ReadStore};
use crate::plan::{ChannelState, Desired};
use crate::release::{InvalidRelease, Record, Release, Resolved};

/// Contents of files by their paths.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// How the reports name one of the two releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The channel, version, digest or directory that was asked for.
    pub reference: String,
    /// Name of the product that the release belongs to.
    pub product: String,
    /// Store that the release is in, or that it is to be published to; `None` for a source tree that is only compared.
    pub store: Option<String>,
    /// Version of the release.
    pub version: String,
    /// Digest of the release manifest.
    pub digest: Digest,
    /// The last move of the channel, if a channel was asked for.
    pub moved: Option<Moved>,
}

/// The last move of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Number of the move in the channel.
    pub sequence: u64,
    /// `publish`, `promote`, `rollback` or `copy`.
    pub kind: &'static str,
    /// Time of the move, RFC 3339.
    pub at: String,
    /// Person or workflow that moved the channel.
    pub by: Option<String>,
    /// Reason that was given for the move.
    pub reason: Option<String>,
}

impl From<&Record> for Moved {
    fn from(record: &Record) -> Self {
        Self {
            sequence: record.sequence,
            kind: record.kind.as_str(),
            at: record.moved.clone(),
            by: record.by.clone(),
            reason: record.reason.clone(),
        }
    }
}

/// A release that is compared, with the way to its contents.
#[derive(Debug)]
pub struct Side<'a> {
    /// How the reports name the release.
    pub identity: Identity,
    /// The release manifest, and the charts and the bundle that it names.
    pub opened: Opened<'a>,
}

impl<'a> Side<'a> {
    /// Opens a release that was resolved in a store; `reference` is the channel, version or digest that was asked for.
    pub fn read(store: impl Into<ReadOnce<'a>>, config: &Config, reference: &str, resolved: Resolved) -> Self {
        let moved = resolved.record.as_ref().map(Moved::from);
        let opened = Opened::in_store(store, config, resolved.release);
        Self::new(opened, reference, resolved.release_digest, moved)
    }

    fn new(opened: Opened<'a>, reference: &str, digest: Digest, moved: Option<Moved>) -> Self {
        let identity = Identity {
            reference: reference.to_owned(),
            product: opened.config().product.clone(),
            store: None,
            version: opened.release.version.clone(),
            digest,
            moved,
        };
        Self { identity, opened }
    }

    /// Names the store of the release in the reports.
    #[must_use]
    pub fn in_store(mut self, store: &Location) -> Self {
        self.identity.store = Some(store.to_string());
        self
    }

    /// Opens the release that a channel points to, as it was observed for a plan.
    ///
    /// # Errors
    /// Never for a channel that was observed, because the observation has parsed the same JSON.
    pub fn served(
        store: &'a ReadStore,
        config: &Config,
        channel: &str,
        serves: &ChannelState,
    ) -> Result<Self, InvalidRelease> {
        let opened = Opened::in_store(store, config, Release::parse(&serves.json)?);
        Ok(Self::new(opened, channel, serves.release.clone(), serves.record.as_ref().map(Moved::from)))
    }

    /// Opens a release that is packed and not published.
    ///
    /// # Errors
    /// When the JSON is not a release manifest.
    pub fn of(desired: &'a Desired, config: &Config, reference: &str) -> Result<Self, InvalidRelease> {
        let artifacts = desired.all().map(|one| (&one.repository, &one.artifact));
        let opened = Opened::packed(artifacts, config, Release::parse(&desired.release.json)?);
        Ok(Self::new(opened, reference, desired.release.digest.clone(), None))
    }
}

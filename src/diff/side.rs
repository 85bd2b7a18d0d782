//! One release of a comparison, and what it is called.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::Config;
use crate::contents::{Opened, ReadOnce};
use crate::oci::{Digest, ReadStore};
use crate::plan::{ChannelState, Desired};
use crate::release::{InvalidRelease, Record, Release, Resolved};

/// Files by their paths.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// What a side of a comparison is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// What was asked for: a channel, a version, a digest, a directory.
    pub reference: String,
    /// The release's version.
    pub version: String,
    /// The release's digest.
    pub digest: Digest,
    /// How the channel came to it, where a channel was asked for.
    pub moved: Option<Moved>,
}

/// The last move of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Its number.
    pub sequence: u64,
    /// Its kind.
    pub kind: &'static str,
    /// When, RFC 3339.
    pub at: String,
    /// By whom.
    pub by: Option<String>,
    /// Why, in words.
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

/// One release.
#[derive(Debug)]
pub struct Side<'a> {
    /// What the release is called.
    pub identity: Identity,
    /// The release itself.
    pub opened: Opened<'a>,
}

impl<'a> Side<'a> {
    /// A release that a store serves; `reference` is what was asked for.
    pub fn read(store: impl Into<ReadOnce<'a>>, config: &Config, reference: &str, resolved: Resolved) -> Self {
        let identity = Identity {
            reference: reference.to_owned(),
            version: resolved.release.version.clone(),
            digest: resolved.release_digest,
            moved: resolved.record.as_ref().map(Moved::from),
        };
        Self { identity, opened: Opened::in_store(store, config, resolved.release) }
    }

    /// What a channel serves, as it was observed for a plan.
    ///
    /// # Errors
    /// Never for what was observed: its JSON was read before.
    pub fn served(
        store: &'a ReadStore,
        config: &Config,
        channel: &str,
        serves: &ChannelState,
    ) -> Result<Self, InvalidRelease> {
        let identity = Identity {
            reference: channel.to_owned(),
            version: serves.version.clone(),
            digest: serves.release.clone(),
            moved: serves.record.as_ref().map(Moved::from),
        };
        Ok(Self { identity, opened: Opened::in_store(store, config, Release::parse(&serves.json)?) })
    }

    /// A release that is packed and not published.
    ///
    /// # Errors
    /// When its JSON is no release.
    pub fn of(desired: &'a Desired, config: &Config, reference: &str) -> Result<Self, InvalidRelease> {
        let identity = Identity {
            reference: reference.to_owned(),
            version: desired.release.version.clone(),
            digest: desired.release.digest.clone(),
            moved: None,
        };
        let artifacts = desired.all().map(|one| (&one.repository, &one.artifact));
        Ok(Self { identity, opened: Opened::packed(artifacts, config, Release::parse(&desired.release.json)?) })
    }
}

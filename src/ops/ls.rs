//! Lists the channels of a store and the published versions, or one channel with the versions that it has served.
//!
//! The number of requests does not follow the number of tags: the tags are listed by pages, and only the highest versions are read.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use futures_util::future::{join, try_join, try_join_all};
use serde::Serialize;

use super::{Connection, Error};
use crate::config::{Config, TRUST_TAGS};
use crate::graph;
use crate::oci::{self, Digest, Kind, Repository, Selector, Tag};
use crate::release::{self, End, History, Move, MoveKind, Release, ResolveError};

mod text;

/// Version of the JSON, `docs/schemas/ls.json`.
const SCHEMA: &str = "alga.release.ls/v1";
/// Largest number of channels that are found by their keep-alive tags alone. Configured channels come on top.
const FOUND: usize = 50;
/// Largest number of versions that complete a command line.
const NAMES: usize = 200;

/// The list that is requested.
#[derive(Clone, Debug)]
pub struct LsRequest {
    /// The only channel that is listed; `None` for all channels and all versions.
    pub channel: Option<Tag>,
    /// Largest number of versions that are read. Of a channel, the largest number of moves.
    pub limit: u16,
}

/// Channels and versions of a store.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LsReport {
    /// Version of this JSON.
    pub schema: &'static str,
    /// Store that was read.
    pub store: String,
    /// Channels by name; the requested channel alone where one was requested.
    pub channels: Vec<LsChannel>,
    /// Versions: all of the store, the highest first; or those that the requested channel has served, the latest first.
    pub versions: Vec<LsVersion>,
    /// Number of further versions that were not read; `None` where nothing tells how many there are.
    pub more: Option<usize>,
    /// Why the list of versions is not complete, other than by the limit.
    pub notes: Vec<String>,
}

/// A channel and what it serves now.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LsChannel {
    /// Name of the channel.
    pub name: Tag,
    /// Version that the channel serves; `None`, as is the release, for a channel that serves nothing.
    pub version: Option<String>,
    /// Digest of the release.
    pub release: Option<Digest>,
    /// Number of the last move; `None`, as are the three fields below, where the channel has no record.
    pub sequence: Option<u64>,
    /// Kind of the last move.
    pub kind: Option<MoveKind>,
    /// Time of the last move, RFC 3339.
    pub moved: Option<String>,
    /// Who moved the channel.
    pub by: Option<String>,
    /// Why the channel cannot be read.
    pub problem: Option<String>,
}

/// A published version of the product.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LsVersion {
    /// Version as the release says it.
    pub version: String,
    /// Digest of the release.
    pub release: Option<Digest>,
    /// Time of the source commit, RFC 3339: a release has no other time of its own.
    pub created: Option<String>,
    /// Channels that serve the release now.
    pub channels: Vec<Tag>,
    /// When the requested channel served the release.
    pub served: Option<Served>,
    /// Why the release cannot be read.
    pub problem: Option<String>,
}

/// When a channel served a release, and who moved it there. Of several times, the last.
#[derive(Clone, Debug, Serialize)]
pub struct Served {
    /// Time of the move to the release, RFC 3339; `None` where it is not recorded.
    pub since: Option<String>,
    /// Time of the move to another release; `None` where the channel still serves the release.
    pub until: Option<String>,
    /// Who moved the channel to the release.
    pub by: Option<String>,
}

/// Lists channels and versions.
///
/// # Errors
/// When the store cannot be reached, when nothing is published there, when the requested channel serves nothing.
pub async fn ls(request: &LsRequest, config: &Config, connection: &Connection) -> Result<LsReport, Error> {
    let list = List { config, connection, limit: request.limit.into() };
    match &request.channel {
        Some(channel) => list.one(channel).await,
        None => list.all().await,
    }
}

/// Names that a store knows, for the completion of command lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreNames {
    /// Names of the channels, sorted.
    pub channels: Vec<String>,
    /// Versions, the highest first.
    pub versions: Vec<String>,
}

/// Lists the names of the channels and of the highest versions. Nothing but the list of tags is read.
///
/// # Errors
/// When the store cannot be reached, or does not list its tags.
pub async fn names(config: &Config, connection: &Connection) -> Result<StoreNames, Error> {
    let list = List { config, connection, limit: NAMES };
    let tags = connection.read().tags(list.repository()).await?;
    let channels = list.channel_names(&tags);
    let versions = versions_among(tags, &channels);
    Ok(StoreNames {
        channels: channels.iter().map(Tag::to_string).collect(),
        versions: versions.iter().take(list.limit).map(version_of).collect(),
    })
}

#[derive(Clone, Copy)]
struct List<'a> {
    config: &'a Config,
    connection: &'a Connection,
    limit: usize,
}

impl List<'_> {
    fn repository(&self) -> &Repository {
        &self.config.repositories.release
    }

    async fn all(&self) -> Result<LsReport, Error> {
        let tags = self.connection.read().tags(self.repository()).await;
        let (tags, unlisted) = match tags {
            Ok(tags) => (tags, None),
            Err(error) if error.is_not_found() => (Vec::new(), None),
            // Not every registry lists its tags to everyone: the channels can be read all the same.
            Err(error) if error.kind() == Kind::Denied || error.kind() == Kind::Malformed => (Vec::new(), Some(error)),
            Err(error) => return Err(error.into()),
        };
        let names = self.channel_names(&tags);
        let mut tags = versions_among(tags, &names);
        let older = tags.split_off(tags.len().min(self.limit));
        let channels = try_join_all(names.iter().map(|name| self.channel(name)));
        let (channels, mut versions) = try_join(channels, self.versions(&tags)).await?;
        // What a channel serves is listed, however old it is.
        let served = channels.iter().filter_map(|channel| Tag::of_version(channel.version.as_deref()?).ok());
        let served: BTreeSet<Tag> = served.filter(|tag| !tags.contains(tag)).collect();
        let more = older.iter().filter(|tag| !served.contains(tag)).count();
        let mut served: Vec<Tag> = served.into_iter().collect();
        served.sort_by(highest_first);
        versions.extend(self.versions(&served).await?);
        if channels.iter().all(|channel| channel.release.is_none() && channel.problem.is_none()) && versions.is_empty()
        {
            let nothing = Error::NothingInUse { channel: None, store: self.connection.location.to_string() };
            return Err(self.connection.no_layout(self.config).unwrap_or(nothing));
        }
        let unread = |channel: &LsChannel| channel.release.is_none() && channel.problem.is_some();
        let notes = match unlisted {
            // Nothing of the store can be read.
            Some(error) if channels.iter().any(unread) && channels.iter().all(|one| one.release.is_none()) => {
                return Err(error.into());
            }
            unlisted => unlisted.iter().map(|error| format!("versions are not listed: {error}")).collect::<Vec<_>>(),
        };
        for version in &mut versions {
            let now = |channel: &&LsChannel| channel.release.is_some() && channel.release == version.release;
            version.channels = channels.iter().filter(now).map(|channel| channel.name.clone()).collect();
        }
        let more = if notes.is_empty() { Some(more) } else { None };
        Ok(self.report(channels, versions, more, notes))
    }

    fn report(
        &self,
        channels: Vec<LsChannel>,
        versions: Vec<LsVersion>,
        more: Option<usize>,
        notes: Vec<String>,
    ) -> LsReport {
        let store = self.connection.location.to_string();
        LsReport { schema: SCHEMA, store, channels, versions, more, notes }
    }

    /// Returns the configured channels, and those that other configurations name: each has keep-alive tags, which show its name.
    fn channel_names(&self, tags: &[Tag]) -> Vec<Tag> {
        let mut names: BTreeSet<Tag> = self.config.channels.iter().cloned().collect();
        let found: BTreeSet<Tag> = tags.iter().filter_map(kept_channel).filter(|name| !is_version(name)).collect();
        names.extend(found.into_iter().take(FOUND));
        names.into_iter().collect()
    }

    async fn channel(&self, name: &Tag) -> Result<LsChannel, Error> {
        let nothing = LsChannel {
            name: name.clone(),
            version: None,
            release: None,
            sequence: None,
            kind: None,
            moved: None,
            by: None,
            problem: None,
        };
        let selector = Selector::Tag(name.clone());
        let resolved = match release::resolve(self.connection.read(), self.repository(), &selector).await {
            Ok(resolved) => resolved,
            Err(ResolveError::Store(error)) if error.is_not_found() => return Ok(nothing),
            Err(error) => return Ok(LsChannel { problem: Some(problem(error)?), ..nothing }),
        };
        let record = resolved.record;
        Ok(LsChannel {
            version: Some(resolved.release.version),
            release: Some(resolved.release_digest),
            sequence: record.as_ref().map(|record| record.sequence),
            kind: record.as_ref().map(|record| record.kind),
            moved: record.as_ref().map(|record| record.moved.clone()),
            by: record.and_then(|record| record.by),
            ..nothing
        })
    }

    async fn versions(&self, tags: &[Tag]) -> Result<Vec<LsVersion>, Error> {
        Ok(try_join_all(tags.iter().map(|tag| self.version(tag))).await?.into_iter().flatten().collect())
    }

    /// Reads a version; nothing for a tag that was removed meanwhile, or that names something other than a release.
    async fn version(&self, tag: &Tag) -> Result<Option<LsVersion>, Error> {
        let selector = Selector::Tag(tag.clone());
        let entry = |release, created, problem| LsVersion {
            version: version_of(tag),
            release,
            created,
            channels: Vec::new(),
            served: None,
            problem,
        };
        match release::resolve(self.connection.read(), self.repository(), &selector).await {
            // A channel that the configuration does not name, written by a publisher that kept no records.
            Ok(resolved) if resolved.release.tag().as_ref() != Ok(tag) => Ok(None),
            Ok(resolved) => {
                let created = self.created(&resolved.release).await?;
                Ok(Some(entry(Some(resolved.release_digest), created, None)))
            }
            Err(ResolveError::Store(error)) if error.is_not_found() => Ok(None),
            Err(ResolveError::NotARelease { .. }) => Ok(None),
            Err(error) => Ok(Some(entry(None, None, Some(problem(error)?)))),
        }
    }

    /// Returns the time of the commit that a release was made of: its bundle says it.
    async fn created(&self, release: &Release) -> Result<Option<String>, Error> {
        let repository = match &release.description {
            Some(_) => release.described(self.config)?.config.repositories.config,
            None => self.config.repositories.config.clone(),
        };
        let selector = Selector::Digest(release.config.digest.clone());
        match self.connection.read().manifest(&repository, &selector).await {
            Ok((descriptor, bytes)) => Ok(graph::created_of(&descriptor.media_type, &bytes)),
            Err(error) if error.kind().is_of_server() => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    async fn one(&self, channel: &Tag) -> Result<LsReport, Error> {
        let history = release::history(self.connection.read(), self.repository(), channel, self.limit);
        let (history, now) = join(history, self.channel(channel)).await;
        let history = match history {
            Err(error) if error.is_not_found() => {
                return Err(self.connection.not_there(self.config, channel.as_str()).await);
            }
            history => history?,
        };
        if let Some(end) = history.no_present_move() {
            let (channel, store) = (channel.clone(), self.connection.location.to_string());
            return Err(Error::NoPresentMove { channel, store, end: end.clone() });
        }
        let served = self.served(channel, &history).await?;
        let (more, notes) = match &history.end {
            End::Beginning => (Some(0), Vec::new()),
            End::Limit => (None, Vec::new()),
            end => (None, vec![format!("the history of {channel} ends early: {end}")]),
        };
        Ok(self.report(vec![now?], served, more, notes))
    }

    /// Returns each release of a history once, the latest first.
    async fn served(&self, channel: &Tag, history: &History) -> Result<Vec<LsVersion>, Error> {
        let mut latest: Vec<(&Move, Option<String>)> = Vec::new();
        let mut until = None;
        for (at, one) in history.moves.iter().enumerate() {
            let moved = one.record.as_ref().map(|record| record.moved.clone());
            // Several moves to one release in a row are one time of serving it, which the first of them begins.
            match latest.iter_mut().find(|(known, _)| known.release == one.release) {
                Some((known, _)) if history.moves[..at].last().is_some_and(|newer| newer.release == one.release) => {
                    *known = one;
                }
                Some(_) => {}
                None => latest.push((one, until.clone())),
            }
            until = moved;
        }
        let now = history.moves.first().map(|first| &first.release);
        try_join_all(latest.into_iter().map(async |(one, until)| {
            let record = one.record.as_ref();
            Ok(LsVersion {
                version: one.version().unwrap_or("?").to_owned(),
                release: Some(one.release.clone()),
                created: match &one.content {
                    Some(release) => self.created(release).await?,
                    None => None,
                },
                channels: now.filter(|now| **now == one.release).map(|_| channel.clone()).into_iter().collect(),
                served: Some(Served {
                    since: record.map(|record| record.moved.clone()),
                    until,
                    by: record.and_then(|record| record.by.clone()),
                }),
                problem: one.content.is_none().then(|| format!("cannot read what {} serves", one.manifest)),
            })
        }))
        .await
    }
}

/// Returns the reason why something cannot be read.
///
/// # Errors
/// When the store cannot be reached.
fn problem(error: ResolveError) -> Result<String, Error> {
    match error {
        ResolveError::Store(error) if error.kind().is_of_server() || error.kind() == Kind::Denied => Err(error.into()),
        error => Ok(error.to_string()),
    }
}

/// Returns the version that a tag is of: tags have `_` where versions have `+`.
fn version_of(tag: &Tag) -> String {
    tag.as_str().replace('_', "+")
}

/// Says whether a tag is a version that can be ordered.
fn is_version(tag: &Tag) -> bool {
    let version = version_of(tag);
    release::compare_versions(&version, &version).is_some()
}

/// Says whether a tag may be that of a version: it keeps no channel manifest alive, hangs nothing on another
/// manifest, and is not that of a trust document.
fn may_be_version(tag: &Tag) -> bool {
    let is_of_others = [oci::ATTACHED_PREFIX, TRUST_TAGS].iter().any(|start| tag.as_str().starts_with(start));
    is_version(tag) || (kept_channel(tag).is_none() && !is_of_others)
}

/// Returns the tags that may be those of versions, the highest version first.
fn versions_among(tags: Vec<Tag>, channels: &[Tag]) -> Vec<Tag> {
    let mut versions: Vec<Tag> =
        tags.into_iter().filter(|tag| !channels.contains(tag) && may_be_version(tag)).collect();
    versions.sort_by(highest_first);
    versions
}

/// Orders versions from the highest to the lowest, and before all others those that can be ordered.
fn highest_first(a: &Tag, b: &Tag) -> Ordering {
    let order = release::compare_versions(&version_of(b), &version_of(a)).unwrap_or(Ordering::Equal);
    is_version(b).cmp(&is_version(a)).then(order).then_with(|| b.cmp(a))
}

/// Returns the channel of a keep-alive tag.
fn kept_channel(tag: &Tag) -> Option<Tag> {
    let (rest, digest) = tag.as_str().rsplit_once('-')?;
    let (channel, _) = rest.rsplit_once('-')?;
    let channel: Tag = channel.parse().ok()?;
    let is_kept = digest.len() == 8 && release::keep_alive_sequence(&channel, tag).is_some();
    is_kept.then_some(channel)
}

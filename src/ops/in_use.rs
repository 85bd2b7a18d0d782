//! Lists every tag and digest of a store that the channels need, so that the registry's retention rules keep them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures_util::future::try_join_all;
use serde::Serialize;

use super::{Connection, Error};
use crate::config::Config;
use crate::oci::{AnyRepository, Digest, Prefix, Repository, Selector, Tag};
use crate::release::{self, End, History, Move, Release, Target};
use crate::text::{clean, shown};

/// Version of the JSON, `docs/schemas/in-use.json`.
const SCHEMA: &str = "alga.release.in-use/v1";

/// How much of each channel's history is in use.
#[derive(Clone, Copy, Debug)]
pub struct InUseRequest {
    /// Number of moves of each channel.
    pub moves: u16,
}

/// What the channels need.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InUseReport {
    /// Version of this JSON.
    pub schema: &'static str,
    /// Store that was read.
    pub store: String,
    /// Number of moves of each channel.
    pub moves: u16,
    /// Whether the list is complete. Otherwise nothing may be removed by it.
    pub complete: bool,
    /// What could not be found out.
    pub problems: Vec<String>,
    /// Tags and digests to keep, sorted.
    pub keep: Vec<Keep>,
}

/// A tag or digest that is in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Keep {
    /// `HOST/PATH`, or the repository's name in a store on a disk.
    pub repository: String,
    /// The tag; `None` for a digest.
    pub tag: Option<Tag>,
    /// The digest; `None` for a tag.
    pub digest: Option<Digest>,
    /// The first channel or release that needs it.
    #[serde(rename = "for")]
    pub why: String,
}

impl Keep {
    fn line(&self) -> String {
        match (&self.tag, &self.digest) {
            (Some(tag), _) => format!("{}:{tag}", self.repository),
            (None, Some(digest)) => format!("{}@{digest}", self.repository),
            (None, None) => self.repository.clone(),
        }
    }
}

/// Lists what the channels of the configuration need.
///
/// # Errors
/// When the store fails, and when no channel serves anything: an empty list would let everything be removed.
pub async fn in_use(request: &InUseRequest, config: &Config, connection: &Connection) -> Result<InUseReport, Error> {
    let repository = &config.repositories.release;
    let each = config.channels.iter().map(async |channel| {
        match release::history(connection.read(), repository, channel, request.moves.into()).await {
            Err(error) if error.is_not_found() => Ok(None),
            history => history.map(|history| Some((channel, history))),
        }
    });
    let histories: Vec<_> = try_join_all(each).await?.into_iter().flatten().collect();
    if histories.is_empty() {
        return Err(Error::NothingInUse { store: connection.location.to_string() });
    }
    let mut list = List { connection, config, keep: BTreeMap::new(), problems: Vec::new() };
    for (channel, history) in histories {
        list.channel(channel, &history);
        for release in history.moves.iter().filter_map(|one| one.content.as_ref()) {
            let config = release.described(config)?.config;
            let prefix = connection.prefix_of(release, &config)?;
            list.release(release, &prefix, &config);
        }
    }
    let List { mut problems, keep, .. } = list;
    problems.sort();
    problems.dedup();
    Ok(InUseReport {
        schema: SCHEMA,
        store: connection.location.to_string(),
        moves: request.moves,
        complete: problems.is_empty(),
        problems,
        keep: keep.into_values().collect(),
    })
}

struct List<'a> {
    connection: &'a Connection,
    config: &'a Config,
    /// By their lines.
    keep: BTreeMap<String, Keep>,
    problems: Vec<String>,
}

impl List<'_> {
    /// Adds a tag or digest. Only the first reason is kept, so that nothing is listed twice.
    fn add(&mut self, repository: &Repository, selector: Selector, why: &str) {
        let repository = self.connection.name_of(repository);
        let (tag, digest) = match selector {
            Selector::Tag(tag) => (Some(tag), None),
            Selector::Digest(digest) => (None, Some(digest)),
        };
        let keep = Keep { repository, tag, digest, why: why.to_owned() };
        self.keep.entry(keep.line()).or_insert(keep);
    }

    fn channel(&mut self, channel: &Tag, history: &History) {
        let repository = &self.config.repositories.release;
        self.add(repository, Selector::Tag(channel.clone()), &format!("channel {channel}"));
        for one in &history.moves {
            let why = format!("channel {channel}, move {}", one.sequence().unwrap_or_default());
            self.add(repository, Selector::Digest(one.manifest.clone()), &why);
            self.add(repository, Selector::Digest(one.release.clone()), &why);
            if let Some(tag) = &one.kept_by {
                self.add(repository, Selector::Tag(tag.clone()), &why);
            }
            if one.content.is_none() {
                self.problems.push(unreadable(channel, one));
            }
        }
        if !matches!(history.end, End::Beginning | End::Limit) {
            self.problems.push(format!("the history of {channel} ends early: {}", history.end));
        }
    }

    fn release(&mut self, release: &Release, prefix: &Prefix, config: &Config) {
        let why = format!("release {}", release.version);
        if let Ok(tag) = release.tag() {
            self.add(&self.config.repositories.release, Selector::Tag(tag), &why);
        }
        for named in release.named(prefix, config) {
            let why = format!("{why}: {} {}", named.kind.as_str(), named.name);
            match named.target {
                Target::At { repository: AnyRepository::Own(repository), selector } => {
                    self.add(&repository, selector, &why);
                    if let Some(tag) = named.tag {
                        self.add(&repository, Selector::Tag(tag), &why);
                    }
                }
                Target::Invalid(reason) => self.problems.push(format!("{why}: {reason}")),
                Target::At { .. } | Target::Unplaced(_) => {}
            }
        }
    }
}

fn unreadable(channel: &Tag, one: &Move) -> String {
    let number = one.sequence().map_or_else(|| "without a record".to_owned(), |sequence| sequence.to_string());
    format!("what move {number} of {channel} served cannot be read: {}", one.manifest)
}

impl InUseReport {
    /// Returns the report for people.
    pub fn text(&self) -> String {
        let lines: Vec<(String, String)> = self.keep.iter().map(|keep| (keep.line(), shown(&keep.why))).collect();
        let width = lines.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
        let mut text = format!("in use in {}, with the last {} moves of each channel:\n", self.store, self.moves);
        for (line, why) in &lines {
            let _ = writeln!(text, "  {line:width$}  {why}");
        }
        clean(&text)
    }

    /// Returns `REPOSITORY:TAG` or `REPOSITORY@DIGEST` of all that is in use, one a line.
    pub fn keep_list(&self) -> String {
        self.keep.iter().map(|keep| keep.line() + "\n").collect()
    }
}

//! Lists every tag and digest of a store that the channels need, so that the registry's retention rules keep them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use super::{Connection, Error, trust};
use crate::config::Config;
use crate::oci::{self, AnyRepository, Digest, Prefix, Repository, Selector, Tag};
use crate::release::{self, End, History, Move, Release, Target};
use crate::text::{clean, shown};

/// Version of the JSON, `docs/schemas/in-use.json`.
const SCHEMA: &str = "alga.release.in-use/v1";

/// Keep-alive tags that are looked up at once; the store bounds its requests below that.
const AT_ONCE: usize = 64;

/// How much of each channel's history is in use.
#[derive(Clone, Copy, Debug)]
pub struct InUseRequest {
    /// Number of moves of each channel.
    pub moves: u16,
    /// Whether to list the keep-alive tags that may be deleted.
    pub prune_plan: bool,
}

/// Tags and digests that the channels need.
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
    /// Reasons why the list is incomplete.
    pub problems: Vec<String>,
    /// Tags and digests to keep, sorted.
    pub keep: Vec<Keep>,
    /// Keep-alive tags that may be deleted, where that was asked; none when the list is not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prune: Option<Vec<Prune>>,
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

/// A keep-alive tag that may be deleted, and so may the manifest that it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Prune {
    /// `HOST/PATH`, or the repository's name in a store on a disk.
    pub repository: String,
    /// Keep-alive tag that may be deleted.
    pub tag: Tag,
    /// Digest of the channel manifest that the tag names.
    pub digest: Digest,
    /// Channel of which this is an earlier move.
    pub channel: Tag,
    /// Number of the move.
    pub sequence: u64,
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
        if let Some(error) = connection.no_layout(config) {
            return Err(error);
        }
        let channel = if let [one] = &*config.channels { Some(one.clone()) } else { None };
        return Err(Error::NothingInUse { channel, store: connection.location.to_string() });
    }
    let mut list = List { connection, config, keep: BTreeMap::new(), problems: Vec::new() };
    for (channel, history) in &histories {
        list.channel(channel, history);
        for release in history.moves.iter().filter_map(|one| one.content.as_ref()) {
            let config = release.described(config)?.config;
            let prefix = connection.prefix_of(release, &config)?;
            list.release(release, &prefix, &config);
        }
    }
    match trust::tags(connection.read(), repository).await {
        Ok(tags) => tags.into_iter().for_each(|tag| list.add(repository, Selector::Tag(tag), "trust document")),
        Err(error) if error.kind().is_of_server() => return Err(error.into()),
        Err(error) => list.problems.push(format!("cannot list the trust documents: {error}")),
    }
    list.problems.sort();
    list.problems.dedup();
    let prune = if request.prune_plan { Some(list.prune(&histories).await?) } else { None };
    let List { problems, keep, .. } = list;
    Ok(InUseReport {
        schema: SCHEMA,
        store: connection.location.to_string(),
        moves: request.moves,
        complete: problems.is_empty(),
        problems,
        keep: keep.into_values().collect(),
        prune,
    })
}

struct List<'a> {
    connection: &'a Connection,
    config: &'a Config,
    /// Entries by the line that names them.
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

    /// Returns the keep-alive tags of moves before those that are kept. A tag whose manifest is kept, or is not the one that the tag was
    /// made for, is left out: deleting a tag deletes its manifest in many registries.
    async fn prune(&self, histories: &[(&Tag, History)]) -> Result<Vec<Prune>, Error> {
        if !self.problems.is_empty() {
            return Ok(Vec::new());
        }
        let (store, repository) = (self.connection.read(), &self.config.repositories.release);
        let name = self.connection.name_of(repository);
        let mut prune = Vec::new();
        for (channel, history) in histories {
            let Some(oldest) = history.moves.iter().filter_map(Move::sequence).min() else { continue };
            let tags = store.tags_with_prefix(repository, &release::keep_alive_prefix(channel)).await?;
            let tags = tags.into_iter().filter_map(|tag| Some((release::keep_alive_sequence(channel, &tag)?, tag)));
            let older = tags.filter(|(sequence, _)| *sequence < oldest);
            let looks = older.map(|(sequence, tag)| async move {
                let digest = oci::optional(store.resolve(repository, &tag).await)?;
                Ok::<_, Error>(digest.map(|digest| (sequence, tag, digest)))
            });
            let mut found = stream::iter(looks).buffer_unordered(AT_ONCE);
            while let Some((sequence, tag, digest)) = found.try_next().await?.flatten() {
                let keep = |line: String| self.keep.contains_key(&line);
                let kept = keep(format!("{name}:{tag}")) || keep(format!("{name}@{digest}"));
                if !kept && release::keep_alive_tag(channel, sequence, &digest) == tag {
                    let (repository, channel) = (name.clone(), (*channel).clone());
                    prune.push(Prune { repository, tag, digest, channel, sequence });
                }
            }
        }
        prune.sort_by(|a, b| (&a.channel, a.sequence, &a.tag).cmp(&(&b.channel, b.sequence, &b.tag)));
        Ok(prune)
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
    format!("cannot read the release that move {number} of {channel} served: {}", one.manifest)
}

impl InUseReport {
    /// Checks that nothing is missing in the list.
    ///
    /// # Errors
    /// [`Error::IncompleteList`].
    pub fn verdict(&self) -> Result<(), Error> {
        if self.complete { Ok(()) } else { Err(Error::IncompleteList { store: self.store.clone() }) }
    }

    /// Returns the report for people: the prune plan where that was asked, else what is in use.
    pub fn text(&self) -> String {
        if let Some(prune) = &self.prune {
            return self.prune_text(prune);
        }
        let lines: Vec<(String, String)> = self.keep.iter().map(|keep| (keep.line(), shown(&keep.why))).collect();
        let width = lines.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
        let mut text = format!("in use in {}, with the last {} moves of each channel:\n", self.store, self.moves);
        for (line, why) in &lines {
            let _ = writeln!(text, "  {line:width$}  {why}");
        }
        clean(&text)
    }

    fn prune_text(&self, prune: &[Prune]) -> String {
        let Self { store, moves, complete, .. } = self;
        let mut text = match (complete, prune.len()) {
            (false, _) => format!("nothing may be deleted in {store}: the list of what is in use is not complete\n"),
            (true, 0) => format!(
                "nothing may be deleted in {store}: no channel has older keep-alive tags than those of its last {moves} moves\n"
            ),
            (true, count) => format!(
                "{count} keep-alive tags may be deleted in {store}, older than the last {moves} moves of their channel:\n"
            ),
        };
        for Prune { repository, tag, digest, channel, sequence } in prune {
            let _ = writeln!(text, "  {repository}:{tag}  {digest}  channel {channel}, move {sequence}");
        }
        clean(&text)
    }

    /// Returns `REPOSITORY:TAG` or `REPOSITORY@DIGEST` of all that is in use, one a line.
    pub fn keep_list(&self) -> String {
        self.keep.iter().map(|keep| keep.line() + "\n").collect()
    }
}

//! `alga-release in-use`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use alga_release::config::Config;
use alga_release::oci::{AnyRepository, Digest, Prefix, Repository, Selector, Tag};
use alga_release::ops::{Access, Connection};
use alga_release::release::{self, End, History, Move, Release, Target};
use alga_release::text::{clean, shown};
use clap::ValueEnum;
use futures_util::future::try_join_all;
use serde::Serialize;

use crate::args::{Format, OutputArgs, StoreArgs};
use crate::connect::{self, ConfigArgs, until_signal};
use crate::failure::Failure;
use crate::output::{self, Talk};
use crate::system;

/// Version of the JSON, `docs/schemas/in-use.json`.
const SCHEMA: &str = "alga.release.in-use/v1";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many moves of each channel
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    moves: u16,
    /// `keep-list`: REPOSITORY:TAG or REPOSITORY@DIGEST, one a line
    #[arg(long, value_enum, conflicts_with = "output")]
    format: Option<ListFormat>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    configuration: ConfigArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    Text,
    Json,
    KeepList,
}

/// What retention must keep, for people and programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    schema: &'static str,
    store: String,
    moves: u16,
    /// Is there something that could not be found out? Then nothing may be removed by this list.
    complete: bool,
    problems: Vec<String>,
    keep: Vec<Keep>,
}

/// A tag or digest, and the first thing that needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Keep {
    repository: String,
    tag: Option<Tag>,
    digest: Option<Digest>,
    #[serde(rename = "for")]
    why: String,
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

pub fn run(args: &Args) -> Result<(), Failure> {
    let talk = Talk::new(&args.output);
    let config = args.configuration.load()?;
    let work = async {
        let connection = Connection::open(&args.store.request(&config)?, Access::Read, &system::context(&talk)).await?;
        let each = config.channels.iter().map(|channel| async {
            let repository = &config.repositories.release;
            match release::history(connection.read(), repository, channel, args.moves.into()).await {
                Err(error) if error.is_not_found() => Ok(None),
                history => history.map(|history| Some((channel.clone(), history))),
            }
        });
        let histories = try_join_all(each).await?;
        Ok((histories.into_iter().flatten().collect::<Vec<_>>(), connection))
    };
    let (histories, connection) = connect::runtime()?.block_on(until_signal(work))?;
    if histories.is_empty() {
        // An empty list would let everything be removed.
        let reason =
            format!("no channel serves anything in {}: nothing can be said about what is in use", connection.location);
        return Err(Failure::refused(reason, "look at the store and the configured channels"));
    }
    let report = report(args, &config, &connection, &histories)?;
    report.problems.iter().for_each(|problem| talk.warn(problem));
    let format = match (args.format, args.output.output) {
        (Some(format), _) => format,
        (None, Format::Text) => ListFormat::Text,
        (None, Format::Json) => ListFormat::Json,
    };
    match format {
        ListFormat::Json => output::write_json(&report)?,
        ListFormat::Text => output::write_text(&clean(&text(&report)))?,
        ListFormat::KeepList => {
            let lines: String = report.keep.iter().map(|keep| keep.line() + "\n").collect();
            output::write_stdout(lines.as_bytes())?;
        }
    }
    if report.complete {
        return Ok(());
    }
    let reason = format!("not everything that is in use in {} is known", report.store);
    Err(Failure::refused(
        reason,
        "remove nothing by this list; see alga-release history and verify, or ask for fewer --moves",
    ))
}

fn report(
    args: &Args,
    config: &Config,
    connection: &Connection,
    histories: &[(Tag, History)],
) -> Result<Report, Failure> {
    let mut list = List { connection, config, keep: BTreeMap::new(), problems: Vec::new() };
    for (channel, history) in histories {
        list.channel(channel, history);
        for one in &history.moves {
            if let Some(release) = &one.content {
                let prefix = connection.prefix_of(release, config)?;
                list.release(release, &prefix);
            }
        }
    }
    let List { mut problems, keep, .. } = list;
    problems.sort();
    problems.dedup();
    Ok(Report {
        schema: SCHEMA,
        store: connection.location.to_string(),
        moves: args.moves,
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
    /// The first reason wins: a thing is listed once.
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

    fn release(&mut self, release: &Release, prefix: &Prefix) {
        let why = format!("release {}", release.version);
        if let Ok(tag) = release.tag() {
            self.add(&self.config.repositories.release, Selector::Tag(tag), &why);
        }
        for named in release.named(prefix, self.config) {
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

fn text(report: &Report) -> String {
    let lines: Vec<(String, String)> = report.keep.iter().map(|keep| (keep.line(), shown(&keep.why))).collect();
    let width = lines.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
    let mut text = format!("in use in {}, with the last {} moves of each channel:\n", report.store, report.moves);
    for (line, why) in &lines {
        let _ = writeln!(text, "  {line:width$}  {why}");
    }
    text
}

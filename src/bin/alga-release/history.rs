//! `alga-release history`.

use std::fmt::Write as _;

use alga_release::oci::{Digest, Tag};
use alga_release::ops::{self, Access, Connection};
use alga_release::release::{self, Apart, End, History, Move, MoveKind};
use alga_release::text::clean;
use alga_release::text::shown;
use jiff::Timestamp;
use serde::Serialize;

use crate::args::{Format, OutputArgs, StoreArgs};
use crate::connect::{self, ConfigArgs, until_signal};
use crate::failure::Failure;
use crate::output::{self, Talk};
use crate::system;

/// Version of the JSON, `docs/schemas/history.json`.
const SCHEMA: &str = "alga.release.history/v1";
/// How far back a time is looked for.
const FAR: u16 = 1000;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Channel
    channel: String,
    /// How many moves at the most [default: 20; 1000 with --to-time]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    moves: Option<u16>,
    /// Show what the channel served at this time, RFC 3339
    #[arg(long, value_name = "TIME")]
    to_time: Option<Timestamp>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    configuration: ConfigArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let talk = Talk::new(&args.output);
    let config = args.configuration.load()?;
    let channel = ops::channel(&config, &args.channel)?;
    let default = if args.to_time.is_some() { FAR } else { 20 };
    let moves = args.moves.unwrap_or(default);
    let work = async {
        let connection = Connection::open(&args.store.request(&config)?, Access::Read, &system::context(&talk)).await?;
        let repository = &config.repositories.release;
        match release::history(connection.read(), repository, &channel, moves.into()).await {
            Err(error) if error.is_not_found() => {
                Err(connection.not_there(&config, channel.as_str(), error).await.into())
            }
            history => Ok((history?, connection.location.to_string())),
        }
    };
    let (history, store) = connect::runtime()?.block_on(until_signal(work))?;
    let served = args.to_time.map(|time| served(&history, &channel, time)).transpose()?;
    let view = View::new(&history, &channel, store, args.to_time.zip(served));
    match args.output.output {
        Format::Json => output::write_json(&view),
        Format::Text => output::write_text(&clean(&text(&view))),
    }
}

/// The newest move that is not after `time`; nothing when the channel served nothing then.
fn served<'a>(history: &'a History, channel: &Tag, time: Timestamp) -> Result<Option<&'a Move>, Failure> {
    let at = |one: &Move| one.record.as_ref().and_then(|record| record.moved.parse::<Timestamp>().ok());
    for one in &history.moves {
        match at(one) {
            Some(moved) if moved <= time => return Ok(Some(one)),
            Some(_) => {}
            None => break,
        }
    }
    if history.end == End::Beginning && history.moves.iter().all(|one| at(one).is_some()) {
        return Ok(None);
    }
    let reason = format!("what {channel} served at {time} is not known: {}", history.end);
    let hint = if history.end == End::Limit { "look further back: --moves N" } else { "see the history itself" };
    Err(Failure::refused(reason, hint))
}

/// A history, for people and programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    schema: &'static str,
    store: String,
    channel: Tag,
    /// Only with `--to-time`.
    at: Option<At>,
    moves: Vec<MoveView>,
    end: EndView,
    apart: Vec<ApartView>,
}

#[derive(Debug, Serialize)]
struct At {
    time: String,
    /// Nothing when the channel served nothing then.
    served: Option<MoveView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MoveView {
    sequence: Option<u64>,
    version: Option<String>,
    release: Digest,
    manifest: Digest,
    kind: Option<MoveKind>,
    moved: Option<String>,
    by: Option<String>,
    from: Option<String>,
    reason: Option<String>,
    kept_by: Option<Tag>,
}

#[derive(Debug, Serialize)]
struct EndView {
    why: &'static str,
    text: String,
}

#[derive(Debug, Serialize)]
struct ApartView {
    tag: Tag,
    sequence: u64,
    why: &'static str,
    #[serde(rename = "move")]
    found: Option<MoveView>,
    problem: Option<String>,
}

impl MoveView {
    fn new(one: &Move) -> Self {
        let record = one.record.as_ref();
        Self {
            sequence: one.sequence(),
            version: one.version().map(ToOwned::to_owned),
            release: one.release.clone(),
            manifest: one.manifest.clone(),
            kind: record.map(|record| record.kind),
            moved: record.map(|record| record.moved.clone()),
            by: record.and_then(|record| record.by.clone()),
            from: record.and_then(|record| record.from.clone()),
            reason: record.and_then(|record| record.reason.clone()),
            kept_by: one.kept_by.clone(),
        }
    }
}

impl View {
    fn new(history: &History, channel: &Tag, store: String, at: Option<(Timestamp, Option<&Move>)>) -> Self {
        let apart = |apart: &Apart| ApartView {
            tag: apart.tag.clone(),
            sequence: apart.sequence,
            why: apart.why.as_str(),
            found: apart.found.as_ref().ok().map(MoveView::new),
            problem: apart.found.as_ref().err().cloned(),
        };
        Self {
            schema: SCHEMA,
            store,
            channel: channel.clone(),
            at: at.map(|(time, served)| At { time: time.to_string(), served: served.map(MoveView::new) }),
            moves: history.moves.iter().map(MoveView::new).collect(),
            end: EndView { why: end_word(&history.end), text: history.end.to_string() },
            apart: history.apart.iter().map(apart).collect(),
        }
    }
}

fn end_word(end: &End) -> &'static str {
    match end {
        End::Beginning => "beginning",
        End::Limit => "limit",
        End::Missing(_) => "missing",
        End::Unreadable { .. } => "unreadable",
        End::NoRecord => "no-record",
        End::NoPrevious(_) => "no-previous",
        End::NotFalling { .. } => "not-falling",
    }
}

fn text(view: &View) -> String {
    let mut text = String::new();
    if let Some(at) = &view.at {
        let served = at.served.as_ref().map_or_else(|| "nothing".to_owned(), line);
        let _ = writeln!(text, "{} served at {}:\n  {served}", view.channel, at.time);
        return text;
    }
    let _ = writeln!(text, "{} in {}", view.channel, view.store);
    for one in &view.moves {
        let _ = writeln!(text, "  {}", line(one));
    }
    let before = if view.end.why == "beginning" { "" } else { "the history ends here: " };
    let _ = writeln!(text, "{before}{}", shown(&view.end.text));
    if !view.apart.is_empty() {
        let _ = writeln!(text, "kept, but not in this chain:");
    }
    for apart in &view.apart {
        let found = apart.found.as_ref().map(line).or_else(|| apart.problem.as_deref().map(shown));
        let _ = writeln!(text, "  {}: {}\n    {}", apart.tag, apart.why, found.unwrap_or_default());
    }
    text
}

/// A move and what is recorded of it, in one line.
fn line(one: &MoveView) -> String {
    let number = one.sequence.map_or_else(|| "-".to_owned(), |sequence| sequence.to_string());
    let kind = one.kind.map_or("no record", MoveKind::as_str);
    let moved = one.moved.as_deref().map_or_else(|| "-".to_owned(), shown);
    let version = one.version.as_deref().map_or_else(|| "?".to_owned(), shown);
    let mut text = format!("{number:>4}  {moved:20}  {kind:9}  {version}  {}", one.release);
    for (word, value) in [("by", &one.by), ("from", &one.from)] {
        if let Some(value) = value {
            let _ = write!(text, "  {word} {}", shown(value));
        }
    }
    if let Some(reason) = &one.reason {
        let _ = write!(text, "  “{}”", shown(reason));
    }
    text
}

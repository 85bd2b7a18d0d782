//! Tells what a channel has served: when, by whom, from where, why.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::signed_moves::{self, MoveSignatures};
use super::signing::followed;
use super::{Connection, Error};
use crate::config::Config;
use crate::oci::{Digest, Tag};
use crate::release::{self, Apart, End, History, Move, MoveKind, Why};
use crate::text::{clean, shown};
use crate::trust::SignedDocument;

/// Version of the JSON, `docs/schemas/history.json`.
const SCHEMA: &str = "alga.release.history/v1";
/// Number of moves that are read unless the request says otherwise.
const MOVES: u16 = 20;
/// Number of moves that are read to find the one at a given time.
const MOVES_TO_TIME: u16 = 1000;

/// The part of a channel's history that is read.
#[derive(Clone, Debug)]
pub struct HistoryRequest {
    /// Name of the channel.
    pub channel: Tag,
    /// Largest number of moves that are read; `None` for 20, or for 1000 with [`Self::to_time`].
    pub moves: Option<u16>,
    /// Time for which the report says what the channel served.
    pub to_time: Option<Timestamp>,
    /// Trust document by which the statements of the moves are verified; `None` verifies none.
    pub trust: Option<SignedDocument>,
}

/// The moves of a channel, for people and programs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryReport {
    /// Version of this JSON.
    pub schema: &'static str,
    /// Store that was read.
    pub store: String,
    /// Name of the channel.
    pub channel: Tag,
    /// Release that the channel served at the requested time.
    pub at: Option<ServedAt>,
    /// The moves, newest first.
    pub moves: Vec<HistoryMove>,
    /// Why the moves go no further back.
    pub end: HistoryEnd,
    /// Moves that tags keep and that the chain of moves does not lead to.
    pub apart: Vec<HistoryApart>,
    /// Version of the trust document by which the moves were verified; absent when they were not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_version: Option<u64>,
    /// What is missing or wrong between the signed statements, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<String>,
    /// Why the present move is not known, where it is not.
    #[serde(skip)]
    missing: Option<End>,
}

/// The release that a channel served at a given time.
#[derive(Clone, Debug, Serialize)]
pub struct ServedAt {
    /// The time, RFC 3339.
    pub time: String,
    /// The last move before that time; `None` when the channel served nothing yet.
    pub served: Option<HistoryMove>,
}

/// One move of a channel. Without a record, the fields from `kind` to `reason` are `None`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryMove {
    /// Number of the move.
    pub sequence: Option<u64>,
    /// Version that the channel served from then on.
    pub version: Option<String>,
    /// Digest of that release.
    pub release: Digest,
    /// Digest of the channel's manifest.
    pub manifest: Digest,
    /// Kind of the move.
    pub kind: Option<MoveKind>,
    /// Time of the move, RFC 3339.
    pub moved: Option<String>,
    /// Who moved the channel.
    pub by: Option<String>,
    /// Where the release came from.
    pub from: Option<String>,
    /// Why the channel moved.
    pub reason: Option<String>,
    /// Tag that keeps the channel's manifest.
    pub kept_by: Option<Tag>,
    /// Signatures in the channel's manifest.
    pub signatures: MoveSignatures,
    /// Epoch of the channel that begins with this move and its own sequence numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begins_epoch: Option<u64>,
}

/// The end of a history.
#[derive(Clone, Debug, Serialize)]
pub struct HistoryEnd {
    /// Why it ends, as a word for programs.
    pub why: &'static str,
    /// Reason of the end as a sentence for people.
    pub text: String,
}

/// A move outside of the chain.
#[derive(Clone, Debug, Serialize)]
pub struct HistoryApart {
    /// Tag that keeps the move.
    pub tag: Tag,
    /// Number of the move, from the tag.
    pub sequence: u64,
    /// Why the chain does not lead to it.
    pub why: &'static str,
    /// The move; `None` when it cannot be read.
    #[serde(rename = "move")]
    pub found: Option<HistoryMove>,
    /// Why it cannot be read.
    pub problem: Option<String>,
}

/// Reads a channel's history.
///
/// # Errors
/// When the channel serves nothing, when the store fails, when the history does not tell what was served at the requested time.
pub async fn history(
    request: &HistoryRequest,
    config: &Config,
    connection: &Connection,
) -> Result<HistoryReport, Error> {
    let HistoryRequest { channel, moves, to_time, trust } = request;
    let moves = moves.unwrap_or(if to_time.is_some() { MOVES_TO_TIME } else { MOVES });
    let history = release::history(connection.read(), &config.repositories.release, channel, moves.into()).await;
    let history = match history {
        Err(error) if error.is_not_found() => return Err(connection.not_there(config, channel.as_str()).await),
        history => history?,
    };
    let mut at = to_time.map(|time| served_at(&history, channel, time)).transpose()?;
    let (store, repository) = (connection.read(), &config.repositories.release);
    let trust = match trust {
        Some(trust) => Some(followed(trust, store, repository, connection.context()).await?),
        None => None,
    };
    let mut moves: Vec<HistoryMove> = history.moves.iter().map(HistoryMove::new).collect();
    let mut gaps = Vec::new();
    if let Some(trust) = &trust {
        let signed = signed_moves::verify(store, repository, channel, &history.moves, trust.document()).await?;
        for (one, signatures) in moves.iter_mut().zip(signed.of) {
            one.signatures = signatures;
        }
        if let Some(served) = at.as_mut().and_then(|at| at.served.as_mut())
            && let Some(one) = moves.iter().find(|one| one.manifest == served.manifest)
        {
            served.signatures = one.signatures.clone();
        }
        gaps = signed.gaps;
    }
    Ok(HistoryReport {
        schema: SCHEMA,
        store: connection.location.to_string(),
        channel: channel.clone(),
        at,
        moves,
        end: HistoryEnd { why: end_word(&history.end), text: history.end.to_string() },
        apart: history.apart.iter().map(HistoryApart::new).collect(),
        trust_version: trust.map(|trust| trust.document().version),
        gaps,
        missing: history.no_present_move().cloned(),
    })
}

/// Finds the newest move that is not after `time`.
fn served_at(history: &History, channel: &Tag, time: Timestamp) -> Result<ServedAt, Error> {
    let moved = |one: &Move| one.record.as_ref().and_then(|record| record.moved.parse::<Timestamp>().ok());
    for one in &history.moves {
        match moved(one) {
            Some(moved) if moved <= time => {
                return Ok(ServedAt { time: time.to_string(), served: Some(HistoryMove::new(one)) });
            }
            Some(_) => {}
            None => break,
        }
    }
    if history.end == End::Beginning && history.moves.iter().all(|one| moved(one).is_some()) {
        return Ok(ServedAt { time: time.to_string(), served: None });
    }
    Err(Error::UnknownAt { channel: channel.clone(), time, end: history.end.clone() })
}

impl HistoryMove {
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
            signatures: MoveSignatures::unverified(one),
            begins_epoch: one.begins_epoch,
        }
    }

    /// Returns the move and what is recorded of it, in one line.
    fn line(&self) -> String {
        let number = self.sequence.map_or_else(|| "-".to_owned(), |sequence| sequence.to_string());
        let kind = self.kind.map_or("no record", MoveKind::as_str);
        let moved = self.moved.as_deref().map_or_else(|| "-".to_owned(), shown);
        let version = self.version.as_deref().map_or_else(|| "?".to_owned(), shown);
        let mut text = format!("{number:>4}  {moved:20}  {kind:9}  {version}  {}", self.release);
        for (word, value) in [("by", &self.by), ("from", &self.from)] {
            if let Some(value) = value {
                let _ = write!(text, "  {word} {}", shown(value));
            }
        }
        if let Some(reason) = &self.reason {
            let _ = write!(text, "  “{}”", shown(reason));
        }
        if self.signatures.count > 0 || self.signatures.problem.is_some() {
            let _ = write!(text, "  {}", self.signatures.words());
        }
        text
    }
}

impl HistoryApart {
    fn new(apart: &Apart) -> Self {
        Self {
            tag: apart.tag.clone(),
            sequence: apart.sequence,
            why: apart.why.as_str(),
            found: apart.found.as_ref().ok().map(HistoryMove::new),
            problem: apart.found.as_ref().err().cloned(),
        }
    }
}

fn end_word(end: &End) -> &'static str {
    match end {
        End::Beginning => "beginning",
        End::Limit => "limit",
        End::Missing(_) => "missing",
        End::Unreadable { .. } => "unreadable",
        End::Gone => "gone",
        End::Lost { .. } => "lost",
        End::NoRecord => "no-record",
        End::NoPrevious(_) => "no-previous",
        End::NotFalling { .. } => "not-falling",
    }
}

impl HistoryReport {
    /// Checks that the history tells what the channel serves now.
    ///
    /// # Errors
    /// [`Error::NoPresentMove`] when the tag of the channel is missing or its manifest cannot be read.
    pub fn verdict(&self) -> Result<(), Error> {
        self.missing.as_ref().map_or(Ok(()), |end| {
            let (channel, store) = (self.channel.clone(), self.store.clone());
            Err(Error::NoPresentMove { channel, store, end: end.clone() })
        })
    }

    /// Returns the report for people. With `details`, it has the manifests of moves before they were refreshed.
    pub fn text(&self, details: bool) -> String {
        let mut text = String::new();
        if let Some(at) = &self.at {
            let served = at.served.as_ref().map_or_else(|| "nothing".to_owned(), HistoryMove::line);
            let _ = writeln!(text, "{} served at {}:\n  {served}", self.channel, at.time);
            return clean(&text);
        }
        let _ = writeln!(text, "{} in {}", self.channel, self.store);
        for one in &self.moves {
            let _ = writeln!(text, "  {}", one.line());
            if let Some(epoch) = one.begins_epoch {
                let _ = writeln!(text, "        epoch {epoch} of the channel begins with this move");
            }
        }
        for gap in &self.gaps {
            let _ = writeln!(text, "gap: {gap}");
        }
        let before = if self.end.why == "beginning" { "" } else { "the history ends here: " };
        let _ = writeln!(text, "{before}{}", shown(&self.end.text));
        let shown_apart = |one: &&HistoryApart| details || one.why != Why::Refreshed.as_str();
        let apart: Vec<&HistoryApart> = self.apart.iter().filter(shown_apart).collect();
        if !apart.is_empty() {
            let _ = writeln!(text, "kept, but not in this chain:");
        }
        for apart in apart {
            let found = apart.found.as_ref().map(HistoryMove::line).or_else(|| apart.problem.as_deref().map(shown));
            let _ = writeln!(text, "  {}: {}\n    {}", apart.tag, apart.why, found.unwrap_or_default());
        }
        clean(&text)
    }
}

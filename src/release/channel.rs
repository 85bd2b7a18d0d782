//! The channel manifest, which serves a release and records the move. Moving the channel and recording the move are one
//! write, and the records form a chain of digests.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::InvalidRelease;
use super::manifest::Release;
use crate::oci::{Digest, Tag};

const PREFIX: &str = "vnd.alga.appliance.channel.";

/// The kind of a channel's move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MoveKind {
    /// A new release was published to the channel.
    Publish,
    /// A release came from another channel.
    Promote,
    /// The channel returned to an older release.
    Rollback,
    /// A release came from another store.
    Copy,
    /// The channel's signed statement was issued again with a later expiry.
    Refresh,
}

/// A word that is not a kind of move.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid kind of a move `{0}`: expected publish, promote, rollback, copy or refresh")]
pub struct InvalidMoveKind(String);

impl MoveKind {
    /// Returns the kind as one word, as the annotations have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::Copy => "copy",
            Self::Refresh => "refresh",
        }
    }
}

impl FromStr for MoveKind {
    type Err = InvalidMoveKind;

    fn from_str(text: &str) -> Result<Self, InvalidMoveKind> {
        let mut kinds = [Self::Publish, Self::Promote, Self::Rollback, Self::Copy, Self::Refresh].into_iter();
        kinds.find(|kind| kind.as_str() == text).ok_or_else(|| InvalidMoveKind(text.chars().take(80).collect()))
    }
}

/// The record of one move, from the annotations of a channel manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Name of the channel that moved.
    pub name: String,
    /// Digest of the release that the channel serves.
    pub release: Digest,
    /// Sequence number, which rises by one with each move.
    pub sequence: u64,
    /// Digest of the channel manifest that the move replaced.
    pub previous: Option<Digest>,
    /// Kind of the move: publish, promote, roll back or copy.
    pub kind: MoveKind,
    /// Time of the move, RFC 3339 in UTC.
    pub moved: String,
    /// Person or service that made the move.
    pub by: Option<String>,
    /// Channel, version or digest that the release came from.
    pub from: Option<String>,
    /// Reason for the move, as free text.
    pub reason: Option<String>,
}

impl Record {
    /// Returns the annotations that record the move.
    pub(crate) fn to_annotations(&self) -> BTreeMap<String, String> {
        let entries = [
            ("name", Some(self.name.clone())),
            ("release", Some(self.release.to_string())),
            ("sequence", Some(self.sequence.to_string())),
            ("previous", self.previous.as_ref().map(ToString::to_string)),
            ("kind", Some(self.kind.as_str().to_owned())),
            ("moved", Some(self.moved.clone())),
            ("by", self.by.clone()),
            ("from", self.from.clone()),
            ("reason", self.reason.clone()),
        ];
        entries.into_iter().filter_map(|(key, value)| Some((format!("{PREFIX}{key}"), value?))).collect()
    }

    /// Reads a record. Returns `None` when the manifest has no record, or an unreadable one.
    pub(crate) fn from_annotations(annotations: &BTreeMap<String, String>) -> Option<Self> {
        let get = |key: &str| annotations.get(&format!("{PREFIX}{key}")).cloned();
        Some(Self {
            name: get("name")?,
            release: get("release")?.parse().ok()?,
            sequence: get("sequence")?.parse().ok()?,
            previous: get("previous").and_then(|digest| digest.parse().ok()),
            kind: get("kind")?.parse().ok()?,
            moved: get("moved")?,
            by: get("by"),
            from: get("from"),
            reason: get("reason"),
        })
    }
}

/// Returns the tag that keeps a channel manifest after the channel has moved on: `<channel>-<sequence>-<first 8 hex
/// digits of its digest>`.
pub(crate) fn keep_alive_tag(channel: &Tag, sequence: u64, manifest: &Digest) -> Tag {
    let tag = format!("{}{sequence}-{}", keep_alive_prefix(channel), &manifest.hex()[..8]);
    tag.parse().expect("the configuration limits the length of channel names")
}

/// Returns the common start of the keep-alive tags of `channel`.
pub(crate) fn keep_alive_prefix(channel: &Tag) -> String {
    format!("{channel}-")
}

/// Returns the sequence number in a keep-alive tag of `channel`, or `None` for any other tag.
pub(crate) fn keep_alive_sequence(channel: &Tag, tag: &Tag) -> Option<u64> {
    let (sequence, digest) = tag.as_str().strip_prefix(&keep_alive_prefix(channel))?.split_once('-')?;
    (digest.len() == 8 && digest.bytes().all(|b| b.is_ascii_hexdigit())).then(|| sequence.parse().ok()).flatten()
}

/// Returns the JSON with another `channel`. Only that value is replaced; every other byte stays.
///
/// # Errors
/// Returns an error when the JSON is not a release.
pub(crate) fn with_channel(json: &[u8], channel: &Tag) -> Result<Vec<u8>, InvalidRelease> {
    #[derive(Deserialize)]
    struct Part<'a> {
        #[serde(borrow)]
        channel: &'a RawValue,
    }
    Release::parse(json)?;
    let Ok(part) = serde_json::from_slice::<Part<'_>>(json) else {
        return Err(Release::parse(b"{}").expect_err("an empty object is not a release"));
    };
    // The raw value borrows from `json`, so the difference of the two addresses is its offset.
    let start = part.channel.get().as_ptr() as usize - json.as_ptr() as usize;
    let end = start + part.channel.get().len();
    Ok([&json[..start], format!("\"{channel}\"").as_bytes(), &json[end..]].concat())
}

/// Reports whether two releases are the same except for their channel. JSON that is not a release equals nothing.
pub(crate) fn equal_but_for_channel(a: &[u8], b: &[u8]) -> bool {
    let neutral: Tag = "channel".parse().expect("a word is a tag");
    match (with_channel(a, &neutral), with_channel(b, &neutral)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_the_same_after_a_round_trip_through_annotations() {
        let record = Record {
            name: "stable".to_owned(),
            release: Digest::of(b"release"),
            sequence: 7,
            previous: Some(Digest::of(b"before")),
            kind: MoveKind::Promote,
            moved: "2026-11-23T10:00:00Z".to_owned(),
            by: Some("robertisaacs".to_owned()),
            from: Some("nightly".to_owned()),
            reason: None,
        };
        let annotations = record.to_annotations();
        assert_eq!(annotations["vnd.alga.appliance.channel.sequence"], "7");
        assert!(!annotations.contains_key("vnd.alga.appliance.channel.reason"));
        assert_eq!(Record::from_annotations(&annotations), Some(record));
        assert_eq!(Record::from_annotations(&BTreeMap::new()), None);
    }

    #[test]
    fn with_channel_replaces_only_the_value_of_the_channel() {
        let digest = Digest::of(b"");
        let json = format!(
            "{{ \"later\": {{\"channel\":\"not me\"}},\n\t\"schema\":\"{}\",\"version\":\"1\",\"channel\" :  \"stable\" ,\
             \"valuesProfile\":\"p\",\"images\":{{}},\"config\":{{\"repository\":\"r.io/x\",\"version\":\"1\",\"digest\":\"{digest}\"}},\
             \"charts\":{{}}}}",
            super::super::SCHEMA
        );
        let spliced = with_channel(json.as_bytes(), &"nightly".parse().unwrap()).unwrap();
        assert_eq!(String::from_utf8(spliced).unwrap(), json.replacen("\"stable\"", "\"nightly\"", 1));
        assert!(with_channel(b"[]", &"nightly".parse().unwrap()).is_err());
    }

    #[test]
    fn every_kind_of_a_move_is_one_word() {
        for word in ["publish", "promote", "rollback", "copy", "refresh"] {
            assert_eq!(word.parse::<MoveKind>().unwrap().as_str(), word);
        }
        for word in ["", "Publish", "move"] {
            assert!(word.parse::<MoveKind>().is_err(), "{word}");
        }
    }

    #[test]
    fn keep_alive_tags_contain_their_sequence_number() {
        let channel = "stable".parse().unwrap();
        let tag = keep_alive_tag(&channel, 12, &Digest::of(b""));
        assert_eq!(tag.as_str(), "stable-12-e3b0c442");
        assert_eq!(keep_alive_sequence(&channel, &tag), Some(12));
        assert_eq!(keep_alive_sequence(&"nightly".parse().unwrap(), &tag), None);
        assert_eq!(keep_alive_sequence(&channel, &"stable-x-e3b0c442".parse().unwrap()), None);
    }
}

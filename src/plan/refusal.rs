//! The rules that a plan must keep: a version never changes, and a channel moves only as its rules allow.

use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp};

use super::desired::{ArtifactKind, DesiredArtifact};
use super::observe::ChannelState;
use super::planner::{MinAge, Moving};
use super::signed::{SignedChannel, UNPROVEN};
use crate::oci::{Digest, Repository, Tag};
use crate::release::{self, InvalidRelease, MoveKind};

/// A plan that a rule forbids.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A published version holds other content.
    #[error(
        "{} {name} {version} is already published with other content: {repository}:{version} is {published}, and the new content is {ours}",
        kind.as_str()
    )]
    Immutable {
        /// What the artifact is to a release.
        kind: ArtifactKind,
        /// Name of the artifact.
        name: String,
        /// Version of the artifact.
        version: String,
        /// Repository below the store's prefix.
        repository: Repository,
        /// Digest that the store holds.
        published: Digest,
        /// Digest that this plan would write.
        ours: Digest,
    },
    /// The channel serves a newer release.
    #[error("channel {channel} serves {serves}, which is newer than {version}")]
    Downgrade {
        /// Name of the channel.
        channel: Tag,
        /// Version that the channel serves.
        serves: String,
        /// Version that the channel was asked to serve.
        version: String,
        /// Kind of the move.
        kind: MoveKind,
    },
    /// The two versions cannot be compared.
    #[error("channel {channel} serves {serves}: cannot tell whether {version} is newer")]
    Unordered {
        /// Name of the channel.
        channel: Tag,
        /// Version that the channel serves.
        serves: String,
        /// Version that the channel was asked to serve.
        version: String,
    },
    /// The release came to its channel too recently.
    #[error("{version} has been in its channel since {since}, which is less than {least:#} (`--min-age`)")]
    TooYoung {
        /// Version of the release.
        version: String,
        /// When the release came to the channel, RFC 3339.
        since: String,
        /// Shortest time that is allowed.
        least: SignedDuration,
    },
    /// No record gives the time when the release came to its channel.
    #[error("cannot tell how long {0} has been in its channel: no record gives the time")]
    NoAge(String),
    /// The channel does not serve the manifest that `--if-current` gives.
    #[error("the manifest of channel {channel} is {found}, expected {expected} (`--if-current`)")]
    OtherCurrent {
        /// Name of the channel.
        channel: Tag,
        /// Digest that was expected, or `none`.
        expected: String,
        /// Digest that was found, or `none`.
        found: String,
    },
    /// The channel has used the largest sequence number.
    #[error("channel {0} cannot move: its last move has the largest possible sequence number")]
    NoSequence(Tag),
    /// The channel would be signed for the first time, and the number of its last move is larger than numbers without
    /// a proof may be.
    #[error(
        "cannot sign the next move of channel {channel}: its last move has the number {found}, which no signature proves, and numbers \
         without a proof count up to {UNPROVEN}"
    )]
    Unproven {
        /// Name of the channel.
        channel: Tag,
        /// Number of the last move.
        found: u64,
    },
    /// The channel carries signed statements, and the move would carry none.
    #[error("channel {0} is signed, and this move is not: appliances that verify the channel would refuse it")]
    Unsigned(Tag),
    /// The channel of the target has a later statement than the copy.
    #[error(
        "channel {channel} of the target has statement {} of epoch {}, and the copy has statement {} of epoch {}, which is older",
        held.1, held.0, offered.1, offered.0
    )]
    Ahead {
        /// Name of the channel.
        channel: Tag,
        /// Epoch and sequence number of the statement that is copied.
        offered: (u64, u64),
        /// Epoch and sequence number of the target's statement.
        held: (u64, u64),
    },
    /// The channel of the target has a later statement than the copy, which a later trust document verifies.
    #[error(
        "channel {channel} of the target has statement {} of epoch {} under trust document version {version}, which version {known} does \
         not verify, and the copy has statement {} of epoch {}, which is older",
        held.1, held.0, offered.1, offered.0
    )]
    LaterTrust {
        /// Name of the channel.
        channel: Tag,
        /// Epoch and sequence number of the statement that is copied.
        offered: (u64, u64),
        /// Epoch and sequence number of the target's statement, which is not verified.
        held: (u64, u64),
        /// Version of the trust document that the target's statement names.
        version: u64,
        /// Version of the trust document that was given.
        known: u64,
    },
    /// The channel of the target has another statement with the same number.
    #[error(
        "channel {channel} of the target has another statement with the number {sequence} of epoch {epoch}: two different statements have \
         one place"
    )]
    OtherStatement {
        /// Name of the channel.
        channel: Tag,
        /// Epoch of both statements.
        epoch: u64,
        /// Sequence number of both statements.
        sequence: u64,
    },
    /// The JSON of the release is invalid.
    #[error("cannot serve the release: {0}")]
    Invalid(#[from] InvalidRelease),
}

impl Refusal {
    /// Returns what a person can do about a rule of signed channels, as an instruction.
    pub fn way_out(&self) -> Option<String> {
        let way = match self {
            Self::Unsigned(_) => {
                "pass the trust document with `--trust FILE`, and a key of the channel with `--sign-key FILE`"
            }
            Self::Ahead { channel, .. } => {
                return Some(format!(
                    "copy from a store that has the later statement; `alga-release history {channel}` shows the moves of a store"
                ));
            }
            Self::LaterTrust { .. } => "pass a newer trust document with `--trust FILE`, which verifies the target",
            Self::OtherStatement { .. } => {
                "find out who signed both statements: the keys of the channel may be stolen; a new epoch of the channel makes the old ones void"
            }
            Self::Unproven { .. } => {
                "find out who wrote the move, and pass the last number that is yours with `--accept-sequence N`"
            }
            _ => return None,
        };
        Some(way.to_owned())
    }

    pub(super) fn immutable(desired: &DesiredArtifact, published: &Digest) -> Self {
        Self::Immutable {
            kind: desired.kind,
            name: desired.name.clone(),
            version: desired.version.clone(),
            repository: desired.repository.clone(),
            published: published.clone(),
            ours: desired.artifact.digest().clone(),
        }
    }
}

impl Moving<'_> {
    /// Checks every rule for the next release of the channel. Where moves are signed, only a version that the keys of the
    /// channel made it serve is compared: others could block every move with a high version, or allow one with a low
    /// version.
    pub(super) fn may_replace(
        &self,
        serves: Option<&ChannelState>,
        signed: Option<&SignedChannel>,
        version: &str,
    ) -> Result<(), Refusal> {
        self.untouched(serves)?;
        let counts = signed.is_none_or(|signed| signed.is_proven);
        if let Some(serves) = serves.filter(|_| counts && self.kind != MoveKind::Rollback) {
            self.forward(serves, version)?;
        }
        self.min_age.as_ref().map_or(Ok(()), |age| age.check(version))
    }

    pub(super) fn untouched(&self, serves: Option<&ChannelState>) -> Result<(), Refusal> {
        let found = serves.map(|serves| &serves.manifest);
        match &self.if_current {
            Some(expected) if expected.as_ref() != found => {
                let text = |digest: Option<&Digest>| digest.map_or_else(|| "none".to_owned(), ToString::to_string);
                let (expected, found) = (text(expected.as_ref()), text(found));
                Err(Refusal::OtherCurrent { channel: self.channel.clone(), expected, found })
            }
            _ => Ok(()),
        }
    }

    fn forward(&self, serves: &ChannelState, version: &str) -> Result<(), Refusal> {
        let (channel, serves, version) = (self.channel.clone(), serves.version.clone(), version.to_owned());
        match release::compare_versions(&version, &serves) {
            Some(Ordering::Less) => Err(Refusal::Downgrade { channel, serves, version, kind: self.kind }),
            None if !self.allow_unordered => Err(Refusal::Unordered { channel, serves, version }),
            _ => Ok(()),
        }
    }
}

impl MinAge {
    fn check(&self, version: &str) -> Result<(), Refusal> {
        let since = self.since.as_ref().and_then(|text| Some((text, text.parse::<Timestamp>().ok()?)));
        let Some((text, since)) = since else { return Err(Refusal::NoAge(version.to_owned())) };
        if self.now.duration_since(since) >= self.least {
            return Ok(());
        }
        Err(Refusal::TooYoung { version: version.to_owned(), since: text.clone(), least: self.least })
    }
}

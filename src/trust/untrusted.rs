//! The reasons why something that a store serves is not trusted. Each rule has a reason of its own.

use super::Time;
use crate::oci::{Digest, Tag};

/// The reason why a channel or a release is not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// The trust document has no role for the channel.
    #[error("the trust document has no role for the channel {0}")]
    UnknownChannel(Tag),
    /// No layer of the channel manifest is a statement.
    #[error("the channel is not signed: the channel manifest has no statement{}", because(unreadable.as_deref()))]
    Unsigned {
        /// Reason why the first layer that could be one is not a statement.
        unreadable: Option<String>,
    },
    /// The channel manifest has more layers than are read.
    #[error("the channel manifest has {found} layers with signatures, and the limit is {limit}")]
    TooManyLayers {
        /// Number of layers that were found.
        found: usize,
        /// Most layers that are read.
        limit: usize,
    },
    /// Several different statements have enough signatures.
    #[error("the channel manifest has {0} different statements that enough keys signed; expected one")]
    SeveralStatements(usize),
    /// No key of the channel's role signed the statement.
    #[error("the statement of the channel is not signed by a key of the channel's role in the trust document")]
    UnknownKey,
    /// Too few keys signed the statement.
    #[error("the statement of the channel has signatures by {found} of the {threshold} keys that must sign it")]
    Threshold {
        /// Number of keys that must sign.
        threshold: usize,
        /// Number of keys of the role that signed.
        found: usize,
    },
    /// The statement is about another product.
    #[error("the statement of the channel is for the product `{}`; expected `{}`", shown(found), shown(expected))]
    OtherProduct {
        /// Product of the trust document.
        expected: String,
        /// Product of the statement.
        found: String,
    },
    /// The statement is about another channel.
    #[error("the statement is for the channel {found}; expected {expected}")]
    OtherChannel {
        /// Channel that was asked for.
        expected: Tag,
        /// Channel of the statement.
        found: Tag,
    },
    /// The statement is of another epoch than the trust document states.
    #[error("the statement of the channel is of epoch {found}; the trust document states epoch {expected}")]
    OtherEpoch {
        /// Epoch of the channel in the trust document.
        expected: u64,
        /// Epoch of the statement.
        found: u64,
    },
    /// The signers used a later trust document.
    #[error(
        "the statement of the channel was signed under trust document version {needed}, which version {held} does not reach"
    )]
    TrustVersion {
        /// Version of the trust document that the signers used.
        needed: u64,
        /// Version of the trust document in force.
        held: u64,
    },
    /// The statement is older than one that was accepted.
    #[error(
        "the statement of the channel has epoch {} and sequence {}, which are lower than epoch {} and sequence {}, \
         accepted before: an old statement is replayed", offered.0, offered.1, held.0, held.1
    )]
    Lower {
        /// Epoch and sequence of the statement.
        offered: (u64, u64),
        /// Epoch and sequence that were accepted before.
        held: (u64, u64),
    },
    /// Two different statements have one position.
    #[error(
        "two different statements of the channel have epoch {epoch} and sequence {sequence}: {} was accepted before, \
         {} is served now", known.short(), offered.short()
    )]
    Equivocation {
        /// Epoch of both statements.
        epoch: u64,
        /// Sequence of both statements.
        sequence: u64,
        /// Digest of the payload that was accepted before.
        known: Digest,
        /// Digest of the payload that is served now.
        offered: Digest,
    },
    /// An annotation of the channel manifest is missing or differs from the statement.
    #[error(
        "the annotation `vnd.alga.appliance.channel.{0}` of the channel manifest differs from the signed statement"
    )]
    Disagrees(&'static str),
    /// The channel manifest's JSON is not the release's.
    #[error("the JSON of the channel manifest differs from the JSON of the release in more than `channel`")]
    OtherJson,
    /// The statement has expired.
    #[error("the statement of the channel expired at {expires}; the time is {now}")]
    Expired {
        /// Time from which the statement does not count.
        expires: Time,
        /// Time of this machine.
        now: Time,
    },
    /// The lifetime is longer than the role allows.
    #[error("the statement issued at {issued} expires at {expires}, later than the {days} days that its role allows")]
    Lifetime {
        /// Time at which the statement was made.
        issued: Time,
        /// Time from which it does not count.
        expires: Time,
        /// Most days that the role allows.
        days: u64,
    },
    /// Something was signed in the future of this machine.
    #[error(
        "the clock of this machine is wrong: it shows {now}, and what is signed was issued at {issued}, more than an hour later"
    )]
    Ahead {
        /// Time at which it was signed.
        issued: Time,
        /// Time of this machine.
        now: Time,
    },
    /// The clock is behind a time that has passed.
    #[error(
        "the clock of this machine is wrong: it shows {now}, more than an hour before {floor}, a time that has already \
         passed"
    )]
    BeforeFloor {
        /// Time of this machine.
        now: Time,
        /// Highest time that is known to have passed.
        floor: Time,
    },
    /// The channel's role requires a refresh, and there is none.
    #[error("the statement of the channel has no refresh, which the channel's role requires")]
    NoRefresh,
    /// Too few keys signed the refresh.
    #[error("the refresh of the channel has signatures by {found} of the {threshold} keys that must sign it")]
    RefreshThreshold {
        /// Number of keys that must sign.
        threshold: usize,
        /// Number of keys of the role that signed.
        found: usize,
    },
    /// The refresh has expired.
    #[error("the refresh of the channel expired at {expires}; the time is {now}")]
    RefreshExpired {
        /// Time from which the refresh does not count.
        expires: Time,
        /// Time of this machine.
        now: Time,
    },
    /// The trust document has expired.
    #[error("trust document version {version} expired at {expires}; the time is {now}")]
    DocumentExpired {
        /// Version of the document.
        version: u64,
        /// Time from which the document does not count.
        expires: Time,
        /// Time of this machine.
        now: Time,
    },
    /// The vendor withdrew the release.
    #[error("the release {0} is withdrawn by the trust document")]
    Withdrawn(Digest),
    /// No key of the role `release` signed the release.
    #[error("the release {0} is not signed by a key of the role `release` in the trust document")]
    ReleaseUnsigned(Digest),
}

impl Untrusted {
    /// Reports whether a signature is missing, so that a layer that cannot be read may be the cause.
    pub fn lacks_signature(&self) -> bool {
        matches!(
            self,
            Self::Unsigned { .. }
                | Self::UnknownKey
                | Self::Threshold { .. }
                | Self::NoRefresh
                | Self::RefreshThreshold { .. }
                | Self::ReleaseUnsigned(_)
        )
    }

    /// Returns the name of the reason, for programs. Names do not change.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UnknownChannel(_) => "unknown-channel",
            Self::Unsigned { .. } => "unsigned",
            Self::TooManyLayers { .. } => "too-many-layers",
            Self::SeveralStatements(_) => "several-statements",
            Self::UnknownKey => "unknown-key",
            Self::Threshold { .. } => "below-threshold",
            Self::OtherProduct { .. } => "other-product",
            Self::OtherChannel { .. } => "other-channel",
            Self::OtherEpoch { .. } => "other-epoch",
            Self::TrustVersion { .. } => "unknown-trust-version",
            Self::Lower { .. } => "replay",
            Self::Equivocation { .. } => "equivocation",
            Self::Disagrees(_) => "annotations-differ",
            Self::OtherJson => "json-differs",
            Self::Expired { .. } => "expired",
            Self::Lifetime { .. } => "lifetime",
            Self::Ahead { .. } | Self::BeforeFloor { .. } => "clock-fault",
            Self::NoRefresh => "no-refresh",
            Self::RefreshThreshold { .. } => "refresh-below-threshold",
            Self::RefreshExpired { .. } => "refresh-expired",
            Self::DocumentExpired { .. } => "trust-expired",
            Self::Withdrawn(_) => "withdrawn",
            Self::ReleaseUnsigned(_) => "release-unsigned",
        }
    }
}

fn because(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

fn shown(text: &str) -> String {
    crate::text::shown(text)
}

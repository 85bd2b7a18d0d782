//! What is signed about artifacts and channels: in-toto statements of three types. Each is read into a type of its own,
//! so that a signature of one thing is never taken for a signature of another.
//!
//! <https://github.com/in-toto/attestation/blob/v1.1.0/spec/v1/statement.md>

use serde::Serialize;

use super::Time;
use super::document::{product, times};
use super::fields::{self, Malformed, NUMBERS, Object};
use crate::oci::{Digest, Tag};
use crate::release::MoveKind;

/// Type of the payload of an envelope with a statement.
pub const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";
/// Type of a statement's JSON.
const SCHEMA: &str = "https://in-toto.io/Statement/v1";
/// Predicate type of the signature of an artifact, as cosign writes it.
pub const ARTIFACT_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";
/// Predicate type of a statement about what a channel serves.
pub const CHANNEL_PREDICATE: &str = "https://alga.dev/appliance/channel/v1";
/// Predicate type of a later expiry for a channel's statement.
pub const REFRESH_PREDICATE: &str = "https://alga.dev/appliance/channel-refresh/v1";
/// Largest payload that is read, in bytes. In a bundle of 32 KiB, base64 leaves room for less.
const PAYLOAD_LIMIT: usize = 32 * 1024;

/// A statement that the owner of a key signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// The artifact with this digest is the vendor's.
    Artifact(Digest),
    /// A channel serves a release.
    Channel(Box<ChannelStatement>),
    /// A channel's statement has a later expiry.
    Refresh(RefreshStatement),
}

/// The statement that a channel serves a release, from a sequence number on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelStatement {
    /// Digest of the release that the channel serves.
    pub release: Digest,
    /// Name of the product that the channel is of.
    pub product: String,
    /// Name of the channel that moves.
    pub channel: Tag,
    /// Epoch of the channel in the trust document.
    pub epoch: u64,
    /// Version of the trust document that the signers used.
    pub trust_version: u64,
    /// Number of the move within the epoch, from 1 to 2^53 − 1.
    pub sequence: u64,
    /// Digest of the payload of the statement before; absent on the first.
    pub previous: Option<Digest>,
    /// Time at which the statement was made.
    pub issued: Time,
    /// Time from which the statement does not count any more.
    pub expires: Time,
    /// Kind of the move, as in the channel's annotations.
    pub kind: MoveKind,
    /// Person or service that made the move.
    pub by: Option<String>,
    /// Channel, version or digest that the release came from.
    pub from: Option<String>,
    /// Reason for the move, as free text.
    pub reason: Option<String>,
}

/// The statement that another statement is still the channel's last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshStatement {
    /// Digest of the release that the channel serves.
    pub release: Digest,
    /// Name of the product that the channel is of.
    pub product: String,
    /// Name of the channel that is kept fresh.
    pub channel: Tag,
    /// Epoch of the channel in the trust document.
    pub epoch: u64,
    /// Version of the trust document that the signers used.
    pub trust_version: u64,
    /// Digest of the payload of the channel's statement.
    pub statement: Digest,
    /// Time at which the refresh was made.
    pub issued: Time,
    /// Time from which the refresh does not count any more.
    pub expires: Time,
}

impl Statement {
    /// Reads a payload.
    ///
    /// # Errors
    /// Names every problem. A statement with another predicate type, with several subjects, or with a subject that has
    /// other digests than SHA-256 is refused, since another program may take it for a signature of something else.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        fields::read("statement", payload, PAYLOAD_LIMIT, |object| {
            object.known(&["_type", "subject", "predicateType", "predicate"]);
            let schema = object.exactly("_type", SCHEMA);
            let subject = subject(object);
            let statement = match object.text("predicateType")? {
                // cosign writes an empty predicate; nothing in it is used.
                ARTIFACT_PREDICATE => Some(Self::Artifact(subject?)),
                CHANNEL_PREDICATE => {
                    ChannelStatement::read(&object.object("predicate")?, subject).map(Box::new).map(Self::Channel)
                }
                REFRESH_PREDICATE => RefreshStatement::read(&object.object("predicate")?, subject).map(Self::Refresh),
                other => {
                    let other = crate::text::shown(other);
                    object.problem("predicateType", format!("this program does not use the type `{other}`"));
                    None
                }
            };
            schema.and(statement)
        })
    }

    /// Returns the bytes that are signed. The same statement always gives the same bytes.
    pub fn to_payload(&self) -> Vec<u8> {
        match self {
            Self::Artifact(digest) => Written::of(digest, ARTIFACT_PREDICATE, Predicate::Artifact {}).to_bytes(),
            Self::Channel(channel) => channel.to_payload(),
            Self::Refresh(refresh) => refresh.to_payload(),
        }
    }

    /// Returns the digest that the statement is about.
    pub fn subject(&self) -> &Digest {
        match self {
            Self::Artifact(digest) => digest,
            Self::Channel(channel) => &channel.release,
            Self::Refresh(refresh) => &refresh.release,
        }
    }

    /// Returns the predicate type of the statement.
    pub fn predicate_type(&self) -> &'static str {
        match self {
            Self::Artifact(_) => ARTIFACT_PREDICATE,
            Self::Channel(_) => CHANNEL_PREDICATE,
            Self::Refresh(_) => REFRESH_PREDICATE,
        }
    }
}

/// Reads the only subject, which has the digest SHA-256 alone.
fn subject(object: &Object<'_>) -> Option<Digest> {
    let subjects = object.objects("subject")?;
    let [subject] = &subjects[..] else {
        object.problem("subject", format!("expected one subject, found {}", subjects.len()));
        return None;
    };
    subject.known(&["name", "digest"]);
    let digest = subject.object("digest")?;
    digest.known(&["sha256"]);
    for other in digest.keys().filter(|key| *key != "sha256") {
        digest.problem(other, "expected the digest `sha256` alone");
    }
    let hex = digest.text("sha256")?;
    format!("sha256:{hex}")
        .parse()
        .map_err(|cause: crate::oci::InvalidDigest| digest.problem("sha256", cause.to_string()))
        .ok()
}

impl ChannelStatement {
    /// Returns the bytes that are signed. The same statement always gives the same bytes.
    pub fn to_payload(&self) -> Vec<u8> {
        Written::of(&self.release, CHANNEL_PREDICATE, self.predicate()).to_bytes()
    }

    fn read(object: &Object<'_>, release: Option<Digest>) -> Option<Self> {
        object.known(&[
            "product",
            "channel",
            "epoch",
            "trustVersion",
            "sequence",
            "previous",
            "issued",
            "expires",
            "kind",
            "by",
            "from",
            "reason",
        ]);
        let product = product(object);
        let channel = object.parsed("channel");
        let epoch = object.number("epoch", NUMBERS);
        let trust_version = object.number("trustVersion", NUMBERS);
        let sequence = object.number("sequence", NUMBERS);
        let previous = object.optional("previous");
        let times = times(object);
        let kind = object.parsed("kind");
        let text = |key| object.optional_text(key).map(str::to_owned);
        let (by, from, reason) = (text("by"), text("from"), text("reason"));
        let (issued, expires) = times?;
        Some(Self {
            release: release?,
            product: product?,
            channel: channel?,
            epoch: epoch?,
            trust_version: trust_version?,
            sequence: sequence?,
            previous,
            issued,
            expires,
            kind: kind?,
            by,
            from,
            reason,
        })
    }

    fn predicate(&self) -> Predicate<'_> {
        Predicate::Channel {
            product: &self.product,
            channel: self.channel.as_str(),
            epoch: self.epoch,
            trust_version: self.trust_version,
            sequence: self.sequence,
            previous: self.previous.as_ref(),
            issued: self.issued.to_string(),
            expires: self.expires.to_string(),
            kind: self.kind.as_str(),
            by: self.by.as_deref(),
            from: self.from.as_deref(),
            reason: self.reason.as_deref(),
        }
    }
}

impl RefreshStatement {
    /// Returns a refresh of a channel's statement with new times, for the trust document of the given version.
    pub fn of(statement: &ChannelStatement, trust_version: u64, issued: Time, expires: Time) -> Self {
        Self {
            release: statement.release.clone(),
            product: statement.product.clone(),
            channel: statement.channel.clone(),
            epoch: statement.epoch,
            trust_version,
            statement: Digest::of(&statement.to_payload()),
            issued,
            expires,
        }
    }

    /// Returns the bytes that are signed. The same refresh always gives the same bytes.
    pub fn to_payload(&self) -> Vec<u8> {
        Written::of(&self.release, REFRESH_PREDICATE, self.predicate()).to_bytes()
    }

    fn read(object: &Object<'_>, release: Option<Digest>) -> Option<Self> {
        object.known(&["product", "channel", "epoch", "trustVersion", "statement", "issued", "expires"]);
        let product = product(object);
        let channel = object.parsed("channel");
        let epoch = object.number("epoch", NUMBERS);
        let trust_version = object.number("trustVersion", NUMBERS);
        let statement = object.parsed("statement");
        let (issued, expires) = times(object)?;
        Some(Self {
            release: release?,
            product: product?,
            channel: channel?,
            epoch: epoch?,
            trust_version: trust_version?,
            statement: statement?,
            issued,
            expires,
        })
    }

    fn predicate(&self) -> Predicate<'_> {
        Predicate::Refresh {
            product: &self.product,
            channel: self.channel.as_str(),
            epoch: self.epoch,
            trust_version: self.trust_version,
            statement: &self.statement,
            issued: self.issued.to_string(),
            expires: self.expires.to_string(),
        }
    }
}

/// A statement in the order of its keys.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(rename = "_type")]
    schema: &'static str,
    subject: [Subject<'a>; 1],
    predicate_type: &'static str,
    predicate: Predicate<'a>,
}

#[derive(Serialize)]
struct Subject<'a> {
    digest: Sha256<'a>,
}

#[derive(Serialize)]
struct Sha256<'a> {
    sha256: &'a str,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Predicate<'a> {
    Artifact {},
    Channel {
        product: &'a str,
        channel: &'a str,
        epoch: u64,
        trust_version: u64,
        sequence: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        previous: Option<&'a Digest>,
        issued: String,
        expires: String,
        kind: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    },
    Refresh {
        product: &'a str,
        channel: &'a str,
        epoch: u64,
        trust_version: u64,
        statement: &'a Digest,
        issued: String,
        expires: String,
    },
}

impl<'a> Written<'a> {
    fn of(subject: &'a Digest, predicate_type: &'static str, predicate: Predicate<'a>) -> Self {
        let subject = [Subject { digest: Sha256 { sha256: subject.hex() } }];
        Self { schema: SCHEMA, subject, predicate_type, predicate }
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text keys")
    }
}

#[cfg(test)]
#[path = "statement_tests.rs"]
pub(super) mod tests;

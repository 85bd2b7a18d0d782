//! What must be signed, in a file: one command writes it, another signs it on another machine, and the first command
//! attaches the signatures.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::SignerRole;
use crate::oci::Digest;
use crate::oci::media_type::SIMPLE_SIGNING;
use crate::text::shown;
use crate::trust::{
    ChannelStatement, Claim, KeyId, RefreshStatement, STATEMENT_TYPE, Statement, decode_signature, encode_signature,
    statement_message,
};

/// Version of the file's JSON, `docs/schemas/prepared.json`.
const SCHEMA: &str = "alga.release.prepared/v1";
/// Largest file that is read, in bytes. Two messages of an artifact take about two kilobytes.
pub const PREPARED_LIMIT: u64 = 16 << 20;

/// Bytes that a key signs, with what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    payload: Vec<u8>,
    meaning: Meaning,
}

/// What a message says, read from its own bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The older form of the signature of an artifact.
    Claim(Claim),
    /// A statement about an artifact or a channel, which is signed in an envelope.
    Statement(Statement),
}

impl Message {
    /// Returns the message of a claim.
    pub fn of_claim(claim: &Claim) -> Self {
        Self { payload: claim.to_bytes(), meaning: Meaning::Claim(claim.clone()) }
    }

    /// Returns the message of a statement.
    pub fn of_statement(statement: &Statement) -> Self {
        Self { payload: statement.to_payload(), meaning: Meaning::Statement(statement.clone()) }
    }

    /// Reads a payload of one of the two types.
    fn read(payload_type: &str, payload: Vec<u8>) -> Result<Self, String> {
        let meaning = match payload_type {
            SIMPLE_SIGNING => Claim::parse(&payload).map(Meaning::Claim).map_err(|cause| cause.to_string())?,
            STATEMENT_TYPE => Statement::parse(&payload).map(Meaning::Statement).map_err(|cause| cause.to_string())?,
            other => return Err(format!("unknown payload type `{}`", shown(other))),
        };
        Ok(Self { payload, meaning })
    }

    /// Returns what the message says.
    pub fn meaning(&self) -> &Meaning {
        &self.meaning
    }

    /// Returns the payload, which is not yet in the form that is signed.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Returns the role whose keys sign such a message. It follows from the payload alone.
    pub fn role(&self) -> SignerRole {
        match &self.meaning {
            Meaning::Claim(_) | Meaning::Statement(Statement::Artifact(_)) => SignerRole::Release,
            Meaning::Statement(Statement::Channel(_)) => SignerRole::Channel,
            Meaning::Statement(Statement::Refresh(_)) => SignerRole::Refresh,
        }
    }

    /// Returns the bytes that a key signs.
    pub fn to_be_signed(&self) -> Vec<u8> {
        match &self.meaning {
            Meaning::Claim(_) => self.payload.clone(),
            Meaning::Statement(_) => statement_message(&self.payload),
        }
    }

    /// Says in words what whoever signs the message states.
    pub fn words(&self) -> String {
        match &self.meaning {
            Meaning::Claim(Claim { reference, digest }) => format!("the artifact {}@{digest}", shown(reference)),
            Meaning::Statement(Statement::Artifact(digest)) => format!("the artifact {digest}"),
            Meaning::Statement(Statement::Channel(channel)) => channel_words(channel),
            Meaning::Statement(Statement::Refresh(refresh)) => refresh_words(refresh),
        }
    }

    fn payload_type(&self) -> &'static str {
        match &self.meaning {
            Meaning::Claim(_) => SIMPLE_SIGNING,
            Meaning::Statement(_) => STATEMENT_TYPE,
        }
    }

    fn sha256(&self) -> String {
        Digest::of(&self.to_be_signed()).hex().to_owned()
    }
}

fn channel_words(statement: &ChannelStatement) -> String {
    let ChannelStatement { channel, product, release, epoch, sequence, kind, issued, expires, .. } = statement;
    let text = |word: &str, text: &Option<String>| {
        text.as_ref().map_or_else(String::new, |text| format!(", {word} {}", shown(text)))
    };
    let circumstances = [
        text("by", &statement.by),
        text("from", &statement.from),
        statement.reason.as_ref().map_or_else(String::new, |reason| format!(", reason: {}", shown(reason))),
    ]
    .concat();
    let previous = statement.previous.as_ref();
    let previous = previous.map_or_else(String::new, |previous| format!(", after the statement {previous}"));
    format!(
        "the channel {channel} of {} serves the release {release} ({}{circumstances}); sequence {sequence} of epoch \
         {epoch}{previous}, issued at {issued}, expires at {expires}",
        shown(product),
        kind.as_str()
    )
}

fn refresh_words(refresh: &RefreshStatement) -> String {
    let RefreshStatement { channel, product, release, statement, issued, expires, .. } = refresh;
    format!(
        "the channel {channel} of {} still serves the release {release} by the statement {statement}; issued at {issued}, \
         expires at {expires}",
        shown(product)
    )
}

/// A message with the keys that may sign it, and the signatures that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedMessage {
    /// Message with its own bytes.
    pub message: Message,
    /// IDs of the keys of the message's role.
    pub keys: BTreeSet<KeyId>,
    /// Number of keys that must sign.
    pub threshold: usize,
    /// Signatures by the IDs of their keys, as ASN.1 DER. They are not verified.
    pub signatures: BTreeMap<KeyId, Vec<u8>>,
}

/// The messages of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Messages in the order in which they were prepared, each once.
    pub messages: Vec<PreparedMessage>,
}

/// A file that does not hold messages to sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrepared {
    /// The file is not the JSON that `--prepare` writes.
    #[error("invalid JSON of a prepared file: {0}")]
    Json(String),
    /// A message cannot be read, or is not the one that was prepared.
    #[error("invalid message {number}: {reason}")]
    Message {
        /// Number of the message, from 1.
        number: usize,
        /// Why the message is not valid.
        reason: String,
    },
}

impl Prepared {
    /// Reads the JSON of a file. The role and the words of a message are not read: they follow from its payload.
    ///
    /// # Errors
    /// Names the first message that is not valid.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidPrepared> {
        let file: File =
            serde_json::from_slice(json).map_err(|cause| InvalidPrepared::Json(shown(&cause.to_string())))?;
        if file.schema != SCHEMA {
            let reason = format!("the schema is `{}`, expected `{SCHEMA}`", shown(&file.schema));
            return Err(InvalidPrepared::Json(reason));
        }
        let messages = file
            .messages
            .into_iter()
            .enumerate()
            .map(|(at, one)| one.read().map_err(|reason| InvalidPrepared::Message { number: at + 1, reason }));
        Ok(Self { messages: messages.collect::<Result<_, _>>()? })
    }

    /// Returns the JSON of the file, with a line end.
    pub fn to_json(&self) -> Vec<u8> {
        let messages = self.messages.iter().map(WrittenMessage::of).collect();
        let file = File { schema: SCHEMA.to_owned(), messages };
        let mut json = serde_json::to_vec_pretty(&file).expect("a file has only text keys");
        json.push(b'\n');
        json
    }

    /// Adds a message, or further signatures of one that is there.
    pub fn add(&mut self, new: PreparedMessage) {
        match self.messages.iter_mut().find(|one| one.message == new.message) {
            Some(known) => known.signatures.extend(new.signatures),
            None => self.messages.push(new),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: String,
    messages: Vec<WrittenMessage>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenMessage {
    role: String,
    what: String,
    keys: BTreeSet<String>,
    threshold: usize,
    payload_type: String,
    payload: String,
    sha256: String,
    signatures: Vec<WrittenSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSignature {
    key: String,
    signature: String,
}

impl WrittenMessage {
    fn of(one: &PreparedMessage) -> Self {
        let signature = |(key, der): (&KeyId, &Vec<u8>)| WrittenSignature {
            key: key.to_string(),
            signature: encode_signature(der),
        };
        Self {
            role: one.message.role().to_string(),
            what: one.message.words(),
            keys: one.keys.iter().map(ToString::to_string).collect(),
            threshold: one.threshold,
            payload_type: one.message.payload_type().to_owned(),
            payload: STANDARD.encode(&one.message.payload),
            sha256: one.message.sha256(),
            signatures: one.signatures.iter().map(signature).collect(),
        }
    }

    fn read(self) -> Result<PreparedMessage, String> {
        let payload = STANDARD.decode(&self.payload).map_err(|_| "`payload` is not base64".to_owned())?;
        let message = Message::read(&self.payload_type, payload)?;
        if message.sha256() != self.sha256 {
            return Err(format!(
                "its payload was changed: `sha256` is {}, expected {}",
                shown(&self.sha256),
                message.sha256()
            ));
        }
        let key = |text: &str| text.parse::<KeyId>().map_err(|cause| cause.to_string());
        let mut signatures = BTreeMap::new();
        for WrittenSignature { key: id, signature } in &self.signatures {
            let der = decode_signature(signature).ok_or("a signature is not base64")?;
            signatures.insert(key(id)?, der);
        }
        let keys = self.keys.iter().map(|id| key(id)).collect::<Result<_, _>>()?;
        Ok(PreparedMessage { message, keys, threshold: self.threshold, signatures })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> PreparedMessage {
        let digest = Digest::of(b"artifact");
        let message = Message::of_statement(&Statement::Artifact(digest));
        let key: KeyId = "ab".repeat(32).parse().expect("an ID");
        let (keys, signatures) = (BTreeSet::from([key]), BTreeMap::from([(key, vec![1, 2, 3])]));
        PreparedMessage { message, keys, threshold: 1, signatures }
    }

    fn changed(from: &str, to: &str) -> Result<Prepared, InvalidPrepared> {
        let prepared = Prepared { messages: vec![message()] };
        let json = String::from_utf8(prepared.to_json()).expect("text");
        assert!(json.contains(from), "{json}");
        Prepared::parse(json.replace(from, to).as_bytes())
    }

    #[test]
    fn what_was_written_is_read_again() {
        let claim = Claim { reference: "r.io/x".to_owned(), digest: Digest::of(b"artifact") };
        let claim = PreparedMessage { message: Message::of_claim(&claim), ..message() };
        let prepared = Prepared { messages: vec![message(), claim] };
        assert_eq!(Prepared::parse(&prepared.to_json()), Ok(prepared));
    }

    #[test]
    fn role_and_words_are_those_of_the_payload_whatever_the_file_says() {
        let read = changed(r#""role": "release""#, r#""role": "channel""#).expect("a file");
        assert_eq!(read.messages[0].message.role(), SignerRole::Release);
        let read = changed("the artifact sha256:", "nothing of importance sha256:").expect("a file");
        assert!(read.messages[0].message.words().starts_with("the artifact sha256:"));
    }

    #[test]
    fn a_changed_file_is_refused() {
        let prepared = Prepared { messages: vec![message()] };
        let (json, other) = (prepared.to_json(), Message::of_statement(&Statement::Artifact(Digest::of(b"other"))));
        let json = String::from_utf8(json).expect("text");
        let ours = STANDARD.encode(message().message.payload());
        let json = json.replace(&ours, &STANDARD.encode(other.payload()));
        let refused = Prepared::parse(json.as_bytes()).expect_err("another payload").to_string();
        assert!(refused.starts_with("invalid message 1: its payload was changed"), "{refused}");
        for (from, to) in [
            ("alga.release.prepared/v1", "alga.release.prepared/v9"),
            ("\"threshold\"", "\"thresholds\""),
            ("application/vnd.in-toto+json", "application/json"),
            (&"ab".repeat(32), "ab"),
        ] {
            assert!(changed(from, to).is_err(), "{to}");
        }
        for garbage in ["", "{}", "[]", "null", "{\"schema\":1}", "\u{1b}[2J"] {
            assert!(matches!(Prepared::parse(garbage.as_bytes()), Err(InvalidPrepared::Json(_))), "{garbage}");
        }
    }

    #[test]
    fn a_message_is_kept_once_with_the_signatures_of_all() {
        let mut prepared = Prepared { messages: vec![message()] };
        let other: KeyId = "cd".repeat(32).parse().expect("an ID");
        prepared.add(PreparedMessage { signatures: BTreeMap::from([(other, vec![4])]), ..message() });
        prepared.add(message());
        assert_eq!((prepared.messages.len(), prepared.messages[0].signatures.len()), (1, 2));
    }
}

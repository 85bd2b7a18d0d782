//! Signatures that are made elsewhere: what must be signed goes to a file, and comes back with signatures.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::Serialize;
use serde_json::Value;

use super::{Signing, TrustError, bytes_of};
use crate::oci::{Digest, Repository, Tag};
use crate::ops::{Connection, Context, Error, key};
use crate::plan::{ObservedChannel, UNPROVEN, statement_of};
use crate::signing::{KeySignature, Meaning, Message, PREPARED_LIMIT, Prepared, PreparedMessage};
use crate::text::{clean, counted, shown};
use crate::trust::{ChannelStatement, Key, KeyId, Position, Role, Statement, Time, TrustDocument};

/// Version of the report's JSON, `docs/schemas/signed.json`.
const SCHEMA: &str = "alga.release.signed/v1";
/// Permissions of a file with messages: nothing in it is secret.
const MODE: u32 = 0o644;

/// The messages of a run that must be signed elsewhere, and the file for them.
#[derive(Debug)]
pub(super) struct Preparing {
    path: PathBuf,
    prepared: Mutex<Prepared>,
}

impl Preparing {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, prepared: Mutex::default() }
    }

    pub(super) fn add(&self, message: Message, role: &Role, signatures: &[KeySignature]) {
        let signatures = signatures.iter().map(|one| (one.key.id(), one.der.clone())).collect();
        let (keys, threshold) = (role.keys.clone(), role.threshold);
        if let Ok(mut prepared) = self.prepared.lock() {
            prepared.add(PreparedMessage { message, keys, threshold, signatures });
        }
    }
}

/// What `sign FILE` did, for people and programs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PreparedReport {
    /// Version of this JSON, `alga.release.signed/v1`.
    pub schema: &'static str,
    /// Whether nothing was signed on purpose.
    pub dry_run: bool,
    /// Path of the file.
    pub file: String,
    /// Whether every message has enough signatures.
    pub complete: bool,
    /// Messages of the file, in its order.
    pub messages: Vec<SignedMessage>,
}

/// One message of a file, and who signed it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedMessage {
    /// Role whose keys sign the message.
    pub role: String,
    /// What the message says, in words.
    pub what: String,
    /// SHA-256 of the bytes that are signed, in hex.
    pub sha256: String,
    /// Number of keys that must sign.
    pub threshold: usize,
    /// IDs of the keys that signed, with those that signed now.
    pub signers: Vec<String>,
    /// IDs of the keys that signed now.
    pub added: Vec<String>,
}

impl PreparedReport {
    /// Returns a line for each message with its signers, and a summary.
    pub fn text(&self) -> String {
        let line = |one: &SignedMessage| {
            let (signed, threshold) = (one.signers.len(), one.threshold);
            format!("{} by the role {}: {signed} of {threshold}\n", shown(&one.what), one.role)
        };
        let lines: String = self.messages.iter().map(line).collect();
        let added = self.messages.iter().map(|one| one.added.len()).sum();
        let (file, added) = (shown(&self.file), counted(added, "signature", "signatures"));
        let state = if self.complete { "nothing more must sign" } else { "more signatures are needed" };
        let done = if self.dry_run { "dry run: nothing was signed".to_owned() } else { format!("added {added}") };
        clean(&format!("{lines}{file}: {done}; {state}\n"))
    }
}

impl Signing {
    /// Reports whether messages are only prepared, and nothing is written.
    pub(in crate::ops) fn is_preparing(&self) -> bool {
        self.preparing.is_some()
    }

    /// Writes the messages that were prepared to their file.
    pub(in crate::ops) fn write_prepared(&self, context: &Context) -> Result<(), Error> {
        let Some(Preparing { path, prepared }) = &self.preparing else { return Ok(()) };
        let prepared = prepared.lock().map(|prepared| prepared.clone()).unwrap_or_default();
        key::write(path, &prepared.to_json(), MODE, true)?;
        let (count, file) = (counted(prepared.messages.len(), "message", "messages"), path.display());
        context.note(&format!("wrote {count} to sign to {file}: sign them with `alga-release sign {file}`"));
        Ok(())
    }

    /// Returns time and maker of the statement that was signed elsewhere.
    pub(in crate::ops) fn given_circumstances(&self) -> Option<(Time, Option<String>)> {
        let meanings = || self.given.iter().map(|(_, one)| one.message.meaning());
        let moved = meanings().find_map(|meaning| match meaning {
            Meaning::Statement(Statement::Channel(channel)) => Some((channel.issued, channel.by.clone())),
            _ => None,
        });
        moved.or_else(|| {
            meanings().find_map(|meaning| match meaning {
                Meaning::Statement(Statement::Refresh(refresh)) => Some((refresh.issued, None)),
                _ => None,
            })
        })
    }

    /// Returns a recorded position without a statement that is about to be written: it was signed on this machine, and
    /// comes back with the signatures of others.
    pub(super) fn unless_given(&self, position: Position) -> Position {
        let is_given = |one: &PreparedMessage| position.payload.as_ref() == Some(&Digest::of(one.message.payload()));
        if self.given.iter().any(|(_, one)| is_given(one)) {
            return Position { sequence: position.sequence.saturating_sub(1), payload: None, ..position };
        }
        position
    }

    /// Checks that a statement is the one that was signed elsewhere, if one of its kind was.
    pub(super) fn check_given(&self, channel: &Tag, message: &Message) -> Result<(), TrustError> {
        let mut given = self.given.iter().map(|(_, one)| &one.message);
        let Some(other) = given.clone().find(|other| other.role() == message.role()) else { return Ok(()) };
        if given.any(|other| other == message) {
            return Ok(());
        }
        let differences = differences(other.payload(), message.payload());
        Err(TrustError::OtherStatement { channel: channel.clone(), differences })
    }
}

/// Returns the role in a trust document whose keys sign a message.
fn role_of<'a>(message: &Message, document: &'a TrustDocument) -> Result<&'a Role, String> {
    let (product, channel, epoch, version) = match message.meaning() {
        Meaning::Claim(_) | Meaning::Statement(Statement::Artifact(_)) => return Ok(&document.release),
        Meaning::Statement(Statement::Channel(one)) => (&one.product, &one.channel, one.epoch, one.trust_version),
        Meaning::Statement(Statement::Refresh(one)) => (&one.product, &one.channel, one.epoch, one.trust_version),
    };
    if *product != document.product {
        return Err(format!("the trust document is of the product `{}`", shown(&document.product)));
    }
    if version > document.version {
        return Err(format!("it needs trust document version {version}, found {}", document.version));
    }
    let role = document.channels.get(channel.as_str()).ok_or("the trust document has no role for the channel")?;
    if role.epoch != epoch {
        return Err(format!("it is of epoch {epoch}, and the trust document states epoch {}", role.epoch));
    }
    match message.meaning() {
        Meaning::Statement(Statement::Refresh(_)) => {
            let refresh = role.refresh.as_ref().ok_or("the trust document has no refresh role for the channel")?;
            Ok(&refresh.role)
        }
        _ => Ok(&role.role),
    }
}

/// Returns what differs between the statement that was signed and the one that would be written.
fn differences(signed: &[u8], now: &[u8]) -> Vec<String> {
    let fields = |payload: &[u8]| {
        let mut statement: Value = serde_json::from_slice(payload).unwrap_or_default();
        let release = statement["subject"][0]["digest"]["sha256"].take();
        let mut fields = statement["predicate"].as_object().cloned().unwrap_or_default();
        fields.insert("release".to_owned(), release);
        fields
    };
    let (signed, now) = (fields(signed), fields(now));
    let text = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::String(text)) => shown(text),
        Some(other) => other.to_string(),
    };
    let keys: std::collections::BTreeSet<&String> = signed.keys().chain(now.keys()).collect();
    let differing = keys.into_iter().filter(|key| signed.get(*key) != now.get(*key));
    differing.map(|key| format!("{key}: signed {}, now {}", text(signed.get(key)), text(now.get(key)))).collect()
}

/// Reads a file with messages.
fn read_prepared(path: &Path) -> Result<Prepared, TrustError> {
    let read = bytes_of(path, PREPARED_LIMIT);
    let bytes = read.map_err(|source| TrustError::ReadPrepared { path: path.to_owned(), source })?;
    Prepared::parse(&bytes).map_err(|cause| TrustError::Prepared { path: path.to_owned(), cause })
}

/// Reads the statement of a channel in a file.
pub(in crate::ops) fn statement_in(path: &Path) -> Result<ChannelStatement, TrustError> {
    let statement = read_prepared(path)?.messages.into_iter().find_map(|one| match one.message.meaning() {
        Meaning::Statement(Statement::Channel(statement)) => Some((**statement).clone()),
        _ => None,
    });
    statement.ok_or_else(|| TrustError::NoMove { path: path.to_owned() })
}

/// Checks that a statement is the next one of a channel, or the one that the channel carries; returns whether the channel
/// carries it. No signature is verified: whoever signs the statement signs the digest of the one before too. The first
/// statement of an epoch names none before it, and no number follows one above [`UNPROVEN`] that a removed key signed.
pub(in crate::ops) fn check_next(
    path: &Path,
    statement: &ChannelStatement,
    observed: &ObservedChannel,
) -> Result<bool, TrustError> {
    let layers = observed.serves.iter().flat_map(|serves| &serves.signatures);
    let carried: Vec<ChannelStatement> = layers
        .filter_map(|layer| match statement_of(layer)? {
            Statement::Channel(carried) => Some(*carried),
            _ => None,
        })
        .collect();
    let is_next = |one: &ChannelStatement| {
        let is_later = statement.sequence > one.sequence || one.sequence > UNPROVEN;
        let begins = statement.epoch > one.epoch && statement.previous.is_none();
        begins || (statement.previous == Some(Digest::of(&one.to_payload())) && is_later)
    };
    if carried.contains(statement) {
        return Ok(true);
    }
    if carried.iter().any(is_next) || (carried.is_empty() && statement.previous.is_none()) {
        return Ok(false);
    }
    let last = carried.iter().map(|one| one.sequence).max();
    let found = last.map_or_else(|| "no signed statement".to_owned(), |last| format!("statement {last}"));
    let (path, channel, sequence) = (path.to_owned(), statement.channel.clone(), statement.sequence);
    Err(TrustError::NotNext { path, channel, sequence, found })
}

/// Reads files with signatures. [`Signing::check_signatures`] verifies them, when the trust document in force is known.
pub(super) fn read_signatures(paths: &[PathBuf]) -> Result<Vec<(PathBuf, PreparedMessage)>, TrustError> {
    let mut all = Vec::new();
    for path in paths {
        all.extend(read_prepared(path)?.messages.into_iter().map(|one| (path.clone(), one)));
    }
    Ok(all)
}

/// Returns the version of the trust document that a statement of a channel was made by.
fn trust_version(message: &Message) -> Option<u64> {
    match message.meaning() {
        Meaning::Statement(Statement::Channel(one)) => Some(one.trust_version),
        Meaning::Statement(Statement::Refresh(one)) => Some(one.trust_version),
        _ => None,
    }
}

/// Verifies the signatures of a message, and returns the role whose keys sign it.
fn verify<'a>(path: &Path, one: &PreparedMessage, document: &'a TrustDocument) -> Result<&'a Role, TrustError> {
    let (path, what) = (|| path.to_owned(), || one.message.words());
    let role =
        role_of(&one.message, document).map_err(|reason| TrustError::Foreign { path: path(), what: what(), reason })?;
    let message = one.message.to_be_signed();
    for (id, der) in &one.signatures {
        let reason = match document.keys_of(role).find(|(known, _)| *known == id) {
            None => "the key is not in the role that signs it",
            Some((_, key)) if !key.verify(&message, der) => "it is not a signature of the message",
            Some(_) => continue,
        };
        return Err(TrustError::Signature { path: path(), what: what(), key: *id, reason });
    }
    Ok(role)
}

/// Signs the messages of a file with all keys that have a role for them, and adds the signatures to the file. Says first
/// what each message states, read from the bytes that are signed. The trust document is followed in a store, if one is
/// given.
///
/// # Errors
/// When the file holds anything else, no key has a role, or another statement was signed at the same number before.
pub async fn sign_prepared(
    path: &Path,
    signing: &Signing,
    store: Option<(&Connection, &Repository)>,
    dry_run: bool,
    context: &Context,
) -> Result<PreparedReport, Error> {
    let mut prepared = read_prepared(path)?;
    match store {
        Some((connection, repository)) => signing.follow(connection, repository).await?,
        None => signing.check_file(context)?,
    }
    let version = signing.document().version;
    let roles = prepared.messages.iter().map(|one| verify(path, one, signing.document()));
    let roles: Vec<&Role> = roles.collect::<Result<_, _>>()?;
    let mut messages = Vec::new();
    for (one, role) in prepared.messages.iter_mut().zip(roles) {
        let what = one.message.words();
        context.note(&format!("to sign by the role {}: {what}", one.message.role()));
        if let Some(before) = trust_version(&one.message).filter(|before| *before < version) {
            context.warn(&format!(
                "the message was prepared with trust document version {before}, and version {version} is in force: prepare it again, or \
                 `--signature` will refuse it"
            ));
        }
        let new = if dry_run { Vec::new() } else { signing.sign_message(&one.message, role).await? };
        let new = new.into_iter().map(|signature| (signature.key.id(), signature.der));
        let new: Vec<(KeyId, Vec<u8>)> = new.filter(|(key, _)| !one.signatures.contains_key(key)).collect();
        let added = new.iter().map(|(key, _)| key.to_string()).collect();
        one.signatures.extend(new);
        (one.keys, one.threshold) = (role.keys.clone(), role.threshold);
        messages.push(SignedMessage {
            role: one.message.role().to_string(),
            what,
            sha256: Digest::of(&one.message.to_be_signed()).hex().to_owned(),
            threshold: role.threshold,
            signers: one.signatures.keys().map(ToString::to_string).collect(),
            added,
        });
    }
    let adds = messages.iter().any(|one| !one.added.is_empty());
    let is_signed = |one: &SignedMessage| one.signers.len() >= one.threshold;
    let complete = messages.iter().all(is_signed);
    if !adds && !complete && !dry_run {
        return Err(TrustError::NothingSigned { path: path.to_owned() }.into());
    }
    if adds {
        key::write(path, &prepared.to_json(), MODE, true)?;
    }
    Ok(PreparedReport { schema: SCHEMA, dry_run, file: path.display().to_string(), complete, messages })
}

impl Signing {
    /// Verifies the signatures that were made elsewhere by the trust document in force.
    pub(super) fn check_signatures(&self, document: &TrustDocument) -> Result<(), TrustError> {
        self.given.iter().try_for_each(|(path, one)| verify(path, one, document).map(drop))
    }

    /// Signs a message with the keys at hand. The number of a statement is recorded first.
    async fn sign_message(&self, message: &Message, role: &Role) -> Result<Vec<KeySignature>, Error> {
        let keys: Vec<Key> = self.keys(role);
        let bytes = message.to_be_signed();
        if self.signers.most(message.role(), &keys, &bytes) > 0 {
            self.keep(message, true)?;
        }
        Ok(self.signers.sign(message.role(), &keys, &bytes).await?)
    }
}

//! Signs what a command writes: the artifacts of a release, and the statement of each move of a channel.

mod artifacts;
mod detached;
mod error;
mod follow;
mod followed;
mod images;
mod proof;
mod signed_by;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use super::key::secrets;
use super::{Context, Error};
use crate::appliance::StateFile;
use crate::config::Config;
use crate::oci::{Digest, ReadStore, Repository, Tag};
use crate::plan::{ObservedChannel, Verifying};
use crate::signing::{
    KeySignature, Meaning, Message, PreparedMessage, SignerRole, Signers, SigningRecord, SigningRequest,
};
use crate::trust::{
    ChannelRole, ChannelStatement, DOCUMENT_LIMIT, InvalidTrust, Key, KeyId, ReadFrom, Role, SignedDocument, Statement,
    Time, TrustDocument,
};

pub use detached::{PreparedReport, SignedMessage, sign_prepared};
use detached::{Preparing, read_signatures};
pub(super) use detached::{check_next, statement_in};
pub use error::TrustError;
pub use followed::trust_document;
pub(super) use followed::{chain, followed, trust};
pub(super) use images::{StoredImages, stored};
pub(super) use proof::{Proving, read_from};
pub use signed_by::SignedBy;

/// Days before the expiry of the trust document from which on a command warns.
pub(super) const NOTICE: u64 = 30;

/// What a command signs with, as its flags name it.
#[derive(Clone, Debug)]
pub struct SigningTerms {
    /// File with the trust document in force, in its envelope.
    pub trust: PathBuf,
    /// Key files and programs.
    pub signers: SigningRequest,
    /// File in which the publisher keeps what it signed last; without it, no statement of a channel is signed.
    pub record: Option<PathBuf>,
    /// File that what must be signed is written to; nothing else is written then.
    pub prepare: Option<PathBuf>,
    /// Files with signatures that were made elsewhere.
    pub signatures: Vec<PathBuf>,
}

impl SigningTerms {
    /// Returns the trust document that was given, else that of the configuration, whose path is below `root`.
    ///
    /// # Errors
    /// When keys are given, but no document says what they may sign.
    pub fn document(
        given: Option<&Path>,
        signers: &SigningRequest,
        config: &Config,
        root: &Path,
    ) -> Result<Option<PathBuf>, Error> {
        let configured = || config.signing.trust.as_ref().map(|path| root.join(path));
        let document = given.map(ToOwned::to_owned).or_else(configured);
        if document.is_none() && !(signers.key_files.is_empty() && signers.commands.is_empty()) {
            return Err(TrustError::KeysAlone.into());
        }
        Ok(document)
    }
}

/// A trust document and the signers whose keys it knows.
#[derive(Debug)]
pub struct Signing {
    path: PathBuf,
    /// Version in the file.
    signed: SignedDocument,
    /// The version in the file and those of the store that follow it, once the store was asked.
    chain: OnceLock<Vec<SignedDocument>>,
    signers: Signers,
    record: Option<StateFile<SigningRecord>>,
    preparing: Option<Preparing>,
    /// Keys that signed in this run, by their roles.
    used: Mutex<BTreeSet<(SignerRole, KeyId)>>,
    /// Messages that were signed elsewhere, each with its file.
    given: Vec<(PathBuf, PreparedMessage)>,
}

impl Signing {
    /// Reads the trust document and every key. The operation follows the document in its store, and only then checks the
    /// expiry, the keys and the signatures that were made elsewhere.
    ///
    /// # Errors
    /// When the document is not valid, or a key cannot be read.
    pub fn open(terms: &SigningTerms, context: &Context) -> Result<Self, Error> {
        let (path, signed) = (terms.trust.clone(), read_document(&terms.trust)?);
        let mut signers = signers(&terms.signers, context)?;
        // A damaged record must not count as an empty one: what it says must not be signed a second time.
        let record = terms.record.as_ref().map(|path| StateFile::new(path).strict());
        let given = read_signatures(&terms.signatures)?;
        for (_, one) in &given {
            signers.give(one.message.to_be_signed(), one.signatures.clone());
        }
        let preparing = terms.prepare.clone().map(Preparing::new);
        Ok(Self { path, signed, chain: OnceLock::new(), signers, record, preparing, used: Mutex::default(), given })
    }

    /// Returns the trust document in force.
    pub fn document(&self) -> &TrustDocument {
        self.in_force().document()
    }

    fn in_force(&self) -> &SignedDocument {
        self.chain.get().and_then(|chain| chain.last()).unwrap_or(&self.signed)
    }

    /// Refuses a release that the trust document has withdrawn.
    pub(super) fn check_release(&self, release: &Digest) -> Result<(), TrustError> {
        let is_withdrawn = self.document().withdrawn.contains(release);
        if is_withdrawn { Err(TrustError::Withdrawn(release.clone())) } else { Ok(()) }
    }

    /// Adds what the statements of a channel say to what was observed of it. Numbers up to `accepted` count as used.
    pub(super) async fn observed(
        &self,
        observed: ObservedChannel,
        (channel, accepted): (&Tag, Option<u64>),
        source: ReadFrom<'_>,
        (store, repository): (&ReadStore, &Repository),
        context: &Context,
    ) -> Result<ObservedChannel, Error> {
        let (record, document) = (self.recorded()?, self.document());
        let position = record.position(&document.product, channel).map(|position| self.unless_given(position.clone()));
        let (now, signed, earlier) = (now(context), position.as_ref(), &[][..]);
        let verifying = Verifying { document, earlier, channel, now, signed, accepted, source };
        let signed = self.read(&observed, &verifying, store, repository).await?;
        let epoch = document.channels.get(channel.as_str()).map(|role| role.epoch);
        let stated = epoch.and_then(|epoch| observed.stated(epoch));
        if let Some(above) = stated.filter(|above| signed.sequence.is_some_and(|last| *above > last)) {
            context.warn(&format!(
                "{channel} has statement {above} in the store, which no key in force signed, and which is above every statement that \
                 counts: find out who signed it; if it is yours, go on after it with `--accept-sequence {above}`"
            ));
        }
        Ok(ObservedChannel { signed: Some(signed), ..observed })
    }

    fn role(&self, channel: &Tag) -> Result<&ChannelRole, TrustError> {
        let role = self.document().channels.get(channel.as_str());
        role.ok_or_else(|| TrustError::NoChannel(channel.clone()))
    }

    fn keys(&self, role: &Role) -> Vec<Key> {
        self.document().keys_of(role).map(|(_, key)| *key).collect()
    }

    /// Returns the keys of a role that can sign a message with a key file, or have signed it elsewhere.
    fn at_hand(&self, role: &Role, message: &Message) -> Vec<KeyId> {
        let (as_role, bytes) = (message.role(), message.to_be_signed());
        let keys = self.keys(role).into_iter();
        let signs = |key: &Key| self.signers.most(as_role, std::slice::from_ref(key), &bytes) > 0;
        keys.filter(signs).map(|key| key.id()).collect()
    }

    /// Signs a message by the keys of a role. Where messages are prepared, the message is kept with its signatures.
    async fn sign(&self, message: Message, role: &Role) -> Result<Vec<KeySignature>, Error> {
        let (keys, bytes) = (self.keys(role), message.to_be_signed());
        let signatures = self.signers.sign(message.role(), &keys, &bytes).await?;
        if let Ok(mut used) = self.used.lock() {
            used.extend(signatures.iter().map(|one| (message.role(), one.key.id())));
        }
        if let Some(preparing) = &self.preparing {
            preparing.add(message, role, &signatures);
        }
        Ok(signatures)
    }

    /// Returns the record of what this publisher signed, empty where no file keeps it.
    fn recorded(&self) -> Result<SigningRecord, TrustError> {
        let Some(file) = &self.record else { return Ok(SigningRecord::default()) };
        file.read().map(|(record, _)| record).map_err(TrustError::Record)
    }

    /// Records the number of a channel's statement before the statement is signed, and the trust document in force. Does
    /// nothing for other messages.
    ///
    /// # Errors
    /// When no file records it, or when another statement was signed with this number, or with a later one.
    fn keep(&self, message: &Message, is_prepared: bool) -> Result<(), TrustError> {
        let Meaning::Statement(Statement::Channel(statement)) = message.meaning() else { return Ok(()) };
        let ChannelStatement { channel, epoch, sequence, .. } = &**statement;
        let file = self.record.as_ref().ok_or_else(|| TrustError::NoRecord(channel.clone()))?;
        let (payload, mut later) = (Digest::of(message.payload()), None);
        file.update(|record| later = record.keep(statement, payload, self.in_force())).map_err(TrustError::Record)?;
        later.map_or(Ok(()), |signed| {
            let (channel, epoch, offered) = (channel.clone(), *epoch, *sequence);
            Err(TrustError::Signed { channel, epoch, offered, signed, is_prepared })
        })
    }
}

/// Returns the present time in whole seconds.
pub(super) fn now(context: &Context) -> Time {
    Time::from_seconds(u64::try_from(context.clock.now().as_second()).unwrap_or(0))
}

/// Opens the keys and programs that sign, and warns about those that others can read.
pub(super) fn signers(request: &SigningRequest, context: &Context) -> Result<Signers, Error> {
    let signers = Signers::open(request, secrets(context), &context.programs)?;
    signers.warnings.iter().for_each(|warning| context.warn(warning));
    Ok(signers)
}

/// Reads a trust document from its file, and verifies that its own root keys signed it.
pub(super) fn read_document(path: &Path) -> Result<SignedDocument, TrustError> {
    read_file(path, SignedDocument::open)
}

/// Reads the file of a trust document in some form.
pub(super) fn read_file<T>(path: &Path, parse: impl FnOnce(&[u8]) -> Result<T, InvalidTrust>) -> Result<T, TrustError> {
    // The parser names the limit, so the file may be larger.
    let read = bytes_of(path, DOCUMENT_LIMIT as u64 * 2);
    let bytes = read.map_err(|source| TrustError::Read { path: path.to_owned(), source })?;
    parse(&bytes).map_err(|cause| TrustError::Invalid { path: path.to_owned(), cause })
}

/// Reads a file up to a limit in bytes.
fn bytes_of(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

//! The trust document in force: the file of the publisher, and the versions of the store that follow it.

use super::{NOTICE, Signing, TrustError, chain, now};
use crate::oci::{ReadStore, Repository, optional};
use crate::ops::{Connection, Context, Error, TrustFileError};
use crate::plan::{ObservedChannel, SignedChannel, Verifying, statement_of};
use crate::signing::SignerRole;
use crate::trust::{self, DAY, SignedDocument, Statement, TrustDocument};

/// Most versions before the file that are read to find the keys of a channel's last statement.
const EARLIER: u64 = 100;

impl Signing {
    /// Follows the trust document in a store, as an appliance does. From then on, the newest version is in force. A
    /// second call does nothing.
    ///
    /// # Errors
    /// When the store has another document under the version of the file, or earlier versions and not that one; when the
    /// newest version has expired, or does not know a key that signs.
    pub(in crate::ops) async fn follow(&self, connection: &Connection, repository: &Repository) -> Result<(), Error> {
        if self.chain.get().is_some() {
            return Ok(());
        }
        let (store, context) = (connection.read(), connection.context());
        let version = self.signed.document().version;
        let there = async {
            let there = SignedDocument::version_in(version, store, repository).await;
            Ok::<_, Error>(there.map_err(TrustFileError::from)?)
        };
        let (there, chain) = futures_util::try_join!(there, chain(self.signed.clone(), store, repository))?;
        let location = connection.location.to_string();
        match there {
            Some(there) if there.payload_digest() != self.signed.payload_digest() => {
                let (store, path) = (location, self.path.clone());
                return Err(TrustFileError::OtherPublished { store, version, path }.into());
            }
            None if version > 1 => self.unpublished(connection, repository, context).await?,
            _ => {}
        }
        let last = &chain[chain.len() - 1];
        let newest = last.document().version;
        if newest > version {
            context.note(&format!(
                "trust document version {newest} of {location} is used: it follows version {version} in {}",
                self.path.display()
            ));
        }
        self.check(last, context)?;
        // A second call at the same time has read the same versions.
        let _ = self.chain.set(chain);
        Ok(())
    }

    /// Refuses a version that a store does not have though it has earlier ones: appliances would not know its keys. In a
    /// store without any version, appliances that were built with this one know them.
    async fn unpublished(
        &self,
        connection: &Connection,
        repository: &Repository,
        context: &Context,
    ) -> Result<(), Error> {
        let version = self.signed.document().version;
        let store = connection.location.to_string();
        if optional(connection.read().resolve(repository, &trust::document_tag(1)).await)?.is_some() {
            return Err(TrustFileError::Unpublished { store, version }.into());
        }
        context.warn(&format!(
            "{store} has no version of the trust document: appliances with a version before {version} follow nothing in it"
        ));
        Ok(())
    }

    /// Checks the document in the file, where no store of releases is known.
    pub(in crate::ops) fn check_file(&self, context: &Context) -> Result<(), Error> {
        self.check(&self.signed, context)
    }

    /// Checks the document in force: it has not expired, it knows every key that signs or signed elsewhere, and no later
    /// one was used before.
    fn check(&self, signed: &SignedDocument, context: &Context) -> Result<(), Error> {
        let document = signed.document();
        let TrustDocument { version, expires, .. } = *document;
        let now = now(context);
        if !document.is_current(now) {
            return Err(TrustError::Expired { version, expires }.into());
        }
        if expires < now.plus(NOTICE * DAY) {
            context.warn(&format!("trust document version {version} expires at {expires}"));
        }
        self.check_used(signed, context)?;
        self.check_signatures(document)?;
        let channels = || document.channels.values();
        self.signers.check_named(|role| match role {
            SignerRole::Root => document.root.keys.iter().collect(),
            SignerRole::Release => document.release.keys.iter().collect(),
            SignerRole::Channel => channels().flat_map(|role| &role.role.keys).collect(),
            SignerRole::Refresh => {
                channels().filter_map(|role| role.refresh.as_ref()).flat_map(|role| &role.role.keys).collect()
            }
        })?;
        Ok(self.signers.check(|key| !document.roles_of(key).is_empty())?)
    }

    /// Refuses a document that is older than the last one by which a statement was signed here: whoever hides the later
    /// versions could bring removed keys back. Warns about another document of the same version.
    fn check_used(&self, signed: &SignedDocument, context: &Context) -> Result<(), TrustError> {
        let (TrustDocument { product, version, .. }, record) = (signed.document(), self.recorded()?);
        match record.document(product) {
            Some(used) if used.version > *version => {
                Err(TrustError::OlderDocument { version: *version, used: used.version })
            }
            Some(used) if used.version == *version && used.payload != *signed.payload_digest() => {
                context.warn(&format!(
                    "another trust document of version {version} was used here before: find out which of the two appliances have"
                ));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Returns the document in force, and those before it that are known, the newest first.
    fn documents(&self) -> Vec<TrustDocument> {
        let chain = self.chain.get().map_or(std::slice::from_ref(&self.signed), Vec::as_slice);
        chain.iter().rev().map(|one| one.document().clone()).collect()
    }

    /// Reads what the statements of a channel say. A statement by a key that was removed since is verified by the version
    /// of the trust document in which the key still had its role, so that the next sequence number is known.
    pub(super) async fn read(
        &self,
        observed: &ObservedChannel,
        verifying: &Verifying<'_>,
        store: &ReadStore,
        repository: &Repository,
    ) -> Result<SignedChannel, Error> {
        let mut documents = self.documents();
        let (known, oldest) = (documents.remove(0), self.signed.document().version);
        for version in (oldest.saturating_sub(EARLIER).max(1)..oldest).rev() {
            let signed = SignedChannel::read(observed, &Verifying { earlier: &documents, ..*verifying });
            if signed.previous.is_some() || !has_statement(observed, verifying) {
                return Ok(signed);
            }
            let earlier = SignedDocument::version_in(version, store, repository).await;
            // Whoever can write to the store could make a version before the file. The root keys of today tell.
            match earlier.map_err(TrustFileError::from)? {
                Some(earlier) if earlier.is_signed_by(&known) => documents.push(earlier.document().clone()),
                _ => break,
            }
        }
        Ok(SignedChannel::read(observed, &Verifying { earlier: &documents, ..*verifying }))
    }
}

/// Returns whether a channel carries a statement of the present epoch, whoever signed it.
fn has_statement(observed: &ObservedChannel, verifying: &Verifying<'_>) -> bool {
    let role = verifying.document.channels.get(verifying.channel.as_str());
    let layers = observed.serves.iter().flat_map(|serves| &serves.signatures);
    let mut statements = layers.filter_map(statement_of);
    statements.any(|statement| {
        matches!(statement, Statement::Channel(statement) if role.is_some_and(|role| role.epoch == statement.epoch))
    })
}

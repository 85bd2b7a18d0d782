//! The trust document that a command verifies by: from its file, and then along its later versions in a store.

use std::path::Path;

use super::{TrustError, now, read_document};
use crate::oci::{Location, ReadStore, Repository};
use crate::ops::{Context, Error};
use crate::trust::{PublishedError, ReadFrom, STEPS, SignedDocument, TrustDocument};
use crate::verify::Trust;

/// Reads a trust document from its file, and verifies that its own root keys signed it.
///
/// # Errors
/// When the file cannot be read, or its content is not a trust document that its root keys signed.
pub fn trust_document(path: &Path) -> Result<SignedDocument, Error> {
    Ok(read_document(path)?)
}

/// Returns the last version of a trust document in a store, as an appliance finds it that starts with `held`.
pub(in crate::ops) async fn followed(
    held: &SignedDocument,
    store: &ReadStore,
    repository: &Repository,
    context: &Context,
) -> Result<SignedDocument, Error> {
    let (differs, chain) =
        futures_util::join!(held.differs_in(store, repository), chain(held.clone(), store, repository));
    if differs {
        let version = held.document().version;
        context.warn(&format!("the store serves another trust document of version {version} than the one in the file"));
    }
    chain?.pop().ok_or(TrustError::TooManyVersions.into())
}

/// Returns a trust document and the versions of a store that follow it, the newest last.
pub(in crate::ops) async fn chain(
    held: SignedDocument,
    store: &ReadStore,
    repository: &Repository,
) -> Result<Vec<SignedDocument>, Error> {
    let mut chain = vec![held];
    for _ in 0..STEPS {
        match chain[chain.len() - 1].next_in(store, repository).await {
            Ok(None) => return Ok(chain),
            Ok(Some(next)) => chain.push(next),
            Err(PublishedError::Store(error)) => return Err(error.into()),
            Err(cause) => return Err(TrustError::Published(cause).into()),
        }
    }
    Err(TrustError::TooManyVersions.into())
}

/// Returns what the signatures in the store at `location` are verified by.
pub(in crate::ops) fn trust<'a>(document: &'a TrustDocument, location: &Location, context: &Context) -> Trust<'a> {
    let source = match location {
        Location::Registry(_) => ReadFrom::Registry,
        Location::Layout(_) | Location::Archive(_) => ReadFrom::Media { accept_expired: None },
    };
    Trust { document, now: now(context), source }
}

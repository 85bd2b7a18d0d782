//! Verifies the source of a copy: by which trust document, and the statement of the channel that a copy comes from or
//! carries as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::try_join;

use super::carry_out::MoveTerms;
use super::moves::complete;
use super::resolve::check_version;
use super::signing::{self, followed};
use super::transfer::TransferExtent;
use super::{Connection, Context, Error, Signing, TrustError, trust_document};
use crate::config::Config;
use crate::contents::Stores;
use crate::oci::{Content, Selector, Tag, media_type};
use crate::plan::{CopiedChannel, StatementPlace, bundles_of};
use crate::release::{self, MoveKind, Resolved};
use crate::trust::{self, Offer, SignedDocument, Terms};
use crate::verify::{Checked, Extent, Trust};

/// The trust document by which the source of a copy or of a promotion is verified. Where the copy is signed by other
/// keys, that is not the document of those keys.
pub(super) struct SourceTrust {
    given: Option<SignedDocument>,
    signing: Option<Arc<Signing>>,
}

impl SourceTrust {
    /// Reads the document that is given for the source. Without one, the document by which the command signs counts, if
    /// it signs nothing anew.
    ///
    /// # Errors
    /// When the document or a later version of it in the store is not valid, or the store fails.
    pub(super) async fn open(
        terms: &MoveTerms,
        extent: &TransferExtent,
        (source, config): (&Connection, &Config),
        context: &Context,
    ) -> Result<Self, Error> {
        let repository = &config.repositories.release;
        let given = match &extent.source_trust {
            None => None,
            Some(path) => Some(followed(&trust_document(path)?, source.read(), repository, context).await?),
        };
        let signing = terms.signing.clone().filter(|_| given.is_none() && !extent.is_signed_anew());
        if let Some(signing) = signing.as_ref().filter(|_| extent.drop_signatures) {
            signing.follow(source, repository).await?;
        }
        Ok(Self { given, signing })
    }

    /// Returns what the signatures of the source are verified by, once the document was followed there. The release that
    /// the source has under a version must be of this version.
    ///
    /// # Errors
    /// [`TrustError::OtherVersion`].
    pub(super) fn of(
        &self,
        source: &Connection,
        config: &Config,
        (selector, resolved): (&Selector, &Resolved),
        context: &Context,
    ) -> Result<Option<Trust<'_>>, TrustError> {
        let given = self.given.as_ref().map(SignedDocument::document);
        let Some(document) = given.or(self.signing.as_deref().map(Signing::document)) else { return Ok(None) };
        check_version(selector, config, document, resolved)?;
        Ok(Some(signing::trust(document, &source.location, context)))
    }
}

/// Checks the statement of the channel that a copy comes from and does not carry, as before a promotion.
///
/// # Errors
/// When the statement does not count although the trust document has a role for the channel, or the store fails.
pub(super) async fn check_statement(
    source: &Connection,
    config: &Config,
    resolved: &Resolved,
    channel: &Tag,
    trust: Trust<'_>,
) -> Result<(), Error> {
    let (prefix, external) = (source.prefix_of(&resolved.release, config)?, BTreeMap::new());
    let stores = Stores { own: source.reader().into(), external: &external };
    let checked = Checked {
        resolved,
        prefix: &prefix,
        config,
        location: &source.location,
        stores: &stores,
        extent: Extent::Move { channel: Some(channel) },
        trust: Some(trust),
    };
    complete(&resolved.release.version, &checked.statement().await?, MoveKind::Copy)
}

/// Returns whether a copy carries the channel manifest as it is: the channel is signed, and has the same name in the target.
pub(super) fn is_carried(resolved: &Resolved, selector: &Selector, to: &Tag) -> bool {
    let same = matches!(selector, Selector::Tag(tag) if tag == to);
    same && resolved.record.is_some() && !resolved.signatures.is_empty()
}

/// Reads the manifest of a signed channel with its proof. With a trust document, the channel must be one that an appliance
/// follows.
///
/// # Errors
/// When the statement does not count, or the store fails.
pub(super) async fn read<'a>(
    source: &Connection,
    config: &Config,
    resolved: &Resolved,
    channel: &Tag,
    trust: Option<Trust<'a>>,
) -> Result<CopiedChannel<'a>, Error> {
    let (store, repository) = (source.read(), &config.repositories.release);
    let selector = Selector::Digest(resolved.manifest.clone());
    let (artifact, layers) = try_join!(
        store.artifact(repository, &selector, &|_| true),
        release::signatures(store, repository, &resolved.signatures)
    )?;
    let layers: Vec<Content> =
        layers.into_iter().map(|bytes| Content::new(media_type::SIGSTORE_BUNDLE, bytes)).collect();
    let refused = |cause| TrustError::SourceChannel { channel: channel.clone(), cause };
    let record = resolved.record.as_ref();
    let document = trust.map(|trust| trust.document);
    let place = StatementPlace::read(channel, record, &layers, document).map_err(refused)?;
    if let Some(Trust { document, now, source }) = trust {
        let terms = Terms::without_memory(document, channel, now, source);
        trust::accept(&Offer { record, layers: &bundles_of(&layers) }, &terms).map_err(refused)?;
    }
    let record = record.cloned().ok_or(trust::Untrusted::Disagrees("release")).map_err(refused)?;
    Ok(CopiedChannel { artifact, signatures: layers, record, place, document })
}

/// Checks that the JSON of the channel is that of the release, except for the name of the channel.
pub(super) fn check_json(release: &[u8], resolved: &Resolved, channel: &Tag) -> Result<(), TrustError> {
    let same = trust::check_json(release, &resolved.json, channel);
    same.map_err(|cause| TrustError::SourceChannel { channel: channel.clone(), cause })
}

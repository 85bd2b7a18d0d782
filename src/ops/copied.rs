//! Reads the signed channel of a source, for a copy that carries it as it is.

use futures_util::try_join;

use super::{Connection, Error, TrustError};
use crate::config::Config;
use crate::oci::{Content, Selector, Tag, media_type};
use crate::plan::{CopiedChannel, StatementPlace, bundles_of};
use crate::release::{self, Resolved};
use crate::trust::{self, Offer, Terms};
use crate::verify::Trust;

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

//! The trust documents of a store, for retention and for copies: appliances follow them one after the other, so that none
//! may be missing.

use futures_util::future::try_join_all;

use super::error::TrustFileError;
use crate::oci::{self, Attached, ReadStore, Repository, Selector, Tag, optional};
use crate::ops::{Connection, Error};
use crate::trust::{STEPS, SignedDocument, TAG_PREFIX, document_tag};

/// Returns the tags of all trust documents. A tag without a version, or of another artifact type, is left out. Where a
/// registry does not list its tags, the versions are looked up from the first one on.
pub(in crate::ops) async fn tags(store: &ReadStore, repository: &Repository) -> Result<Vec<Tag>, oci::Error> {
    let tags = match store.tags_with_prefix(repository, TAG_PREFIX).await {
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        Err(error) if !matches!(error.kind(), oci::Kind::Denied | oci::Kind::Malformed) => return Err(error),
        Err(_) => return looked_up(store, repository).await,
        Ok(tags) => tags,
    };
    let reads = tags.into_iter().map(async |tag| match version_of(&tag) {
        Some(version) => Ok(SignedDocument::is_in(version, store, repository).await?.then_some(tag)),
        None => Ok(None),
    });
    Ok(try_join_all(reads).await?.into_iter().flatten().collect())
}

/// Returns the tags of the versions from the first one on, up to the first that is missing.
async fn looked_up(store: &ReadStore, repository: &Repository) -> Result<Vec<Tag>, oci::Error> {
    let mut tags = Vec::new();
    for version in 1..=STEPS {
        let tag = document_tag(version);
        if optional(store.resolve(repository, &tag).await)?.is_none() {
            break;
        }
        tags.push(tag);
    }
    Ok(tags)
}

/// Returns the version whose document has a tag.
fn version_of(tag: &Tag) -> Option<u64> {
    let version = tag.as_str().strip_prefix(TAG_PREFIX)?.parse().ok()?;
    (document_tag(version) == *tag).then_some(version)
}

/// Returns the trust documents of a store that a copy brings to a target, which is absent where the target is a file.
///
/// # Errors
/// When the target has another document under a version, or a store fails.
pub(in crate::ops) async fn carried(
    source: &Connection,
    target: Option<&Connection>,
    repository: &Repository,
) -> Result<Attached, Error> {
    let tags = tags(source.read(), repository).await?;
    let reads = tags.iter().map(async |tag| {
        let artifact = source.read().artifact(repository, &Selector::Tag(tag.clone()), &|_| true).await?;
        let has = match target {
            Some(target) => has(source, target, repository, tag).await?,
            None => false,
        };
        Ok::<_, Error>((!has).then(|| (tag.clone(), artifact)))
    });
    let tagged = try_join_all(reads).await?.into_iter().flatten().collect();
    Ok(Attached { referrers: Vec::new(), tagged })
}

/// Returns whether a target has the document of a tag.
async fn has(source: &Connection, target: &Connection, repository: &Repository, tag: &Tag) -> Result<bool, Error> {
    let Some(there) = optional(target.read().resolve(repository, tag).await)? else { return Ok(false) };
    if source.read().resolve(repository, tag).await? == there {
        return Ok(true);
    }
    // The same document may have been signed by further keys, or have other reasons.
    let version = version_of(tag);
    let payload = async |connection: &Connection| {
        let Some(version) = version else { return Ok(None) };
        let document = SignedDocument::version_in(version, connection.read(), repository).await;
        Ok::<_, TrustFileError>(document?.map(|document| document.payload_digest().clone()))
    };
    if version.is_some() && payload(source).await? == payload(target).await.unwrap_or(None) {
        return Ok(true);
    }
    let store = target.location.to_string();
    Err(TrustFileError::OtherInTarget { tag: tag.clone(), store }.into())
}

//! The referrers of a release's artifacts (signatures, SBOMs) that the target store lacks.

use futures_util::future::try_join_all;

use super::signature::claims_image;
use crate::oci::{
    self, Artifact, Attached, Descriptor, Digest, Document, Index, Manifest, ReadStore, Repository, Selector, Tag,
    media_type, optional, referrers_tag,
};

/// A referrer of an artifact that the store lacks.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// Repository of the referrer, below the store's prefix.
    pub repository: Repository,
    /// The manifest of the referrer and everything that it names.
    pub artifact: Artifact,
    /// Tag of the referrer and the digest that the tag names now. A referrer without a tag is found by its `subject`.
    pub tag: Option<(Tag, Option<Digest>)>,
}

/// Returns the referrers in `attached` that `repository` of the store lacks.
///
/// # Errors
/// Returns an error when the store fails.
pub(crate) async fn attachments(
    store: &ReadStore,
    repository: &Repository,
    attached: &Attached,
) -> Result<Vec<Attachment>, oci::Error> {
    let mut missing = Vec::new();
    let tagged = attached.tagged.iter().map(|(tag, artifact)| async move {
        match signatures_beside(store, repository, tag, artifact).await? {
            Some(artifact) => lacking(store, repository, tag.clone(), artifact).await,
            None => Ok(None),
        }
    });
    missing.extend(try_join_all(tagged).await?.into_iter().flatten());
    let Some((subject, ..)) = attached.referrers.first() else { return Ok(missing) };
    if store.knows_referrers(repository, subject).await? {
        let looks = attached.referrers.iter().map(|(_, _, artifact)| async move {
            let there = store.has(repository, artifact.descriptor()).await?;
            let repository = repository.clone();
            Ok::<_, oci::Error>((!there).then(|| Attachment { repository, artifact: artifact.clone(), tag: None }))
        });
        missing.extend(try_join_all(looks).await?.into_iter().flatten());
        return Ok(missing);
    }
    let mut subjects: Vec<&Digest> = attached.referrers.iter().map(|(subject, ..)| subject).collect();
    subjects.sort();
    subjects.dedup();
    for subject in subjects {
        let listed = attached.referrers.iter().filter(|(of, ..)| of == subject);
        let tag = referrers_tag(subject);
        let there = store.index(repository, &tag).await?;
        let list = listing(there, listed.map(|(_, descriptor, artifact)| (descriptor, artifact)));
        missing.extend(lacking(store, repository, tag, list).await?);
    }
    Ok(missing)
}

/// Returns what a tag with signatures of the older form is to name: the layers that it has already, and ours. Signatures
/// by others are kept. `None` means that all of ours are there.
async fn signatures_beside(
    store: &ReadStore,
    repository: &Repository,
    tag: &Tag,
    artifact: &Artifact,
) -> Result<Option<Artifact>, oci::Error> {
    let ours = Manifest::parse(&artifact.descriptor().media_type, artifact.manifest().bytes());
    let Ok(ours) = ours.map(|manifest| manifest.layers) else { return Ok(Some(artifact.clone())) };
    if ours.iter().any(|layer| layer.media_type != media_type::SIMPLE_SIGNING) {
        return Ok(Some(artifact.clone()));
    }
    let Some((descriptor, bytes)) = optional(store.manifest(repository, &Selector::Tag(tag.clone())).await)? else {
        return Ok(Some(artifact.clone()));
    };
    let theirs = Manifest::parse(&descriptor.media_type, &bytes).map(|manifest| manifest.layers).unwrap_or_default();
    let is_new = |layer: &&Descriptor| !theirs.contains(layer);
    if ours.iter().all(|layer| !is_new(&layer)) {
        return Ok(None);
    }
    let layers: Vec<Descriptor> = theirs.iter().chain(ours.iter().filter(is_new)).cloned().collect();
    Ok(Some(claims_image(&layers, artifact.blobs())))
}

/// Returns the artifact to push when the store does not have it under this tag.
async fn lacking(
    store: &ReadStore,
    repository: &Repository,
    tag: Tag,
    artifact: Artifact,
) -> Result<Option<Attachment>, oci::Error> {
    let found = optional(store.resolve(repository, &tag).await)?;
    let there = found.as_ref() == Some(artifact.digest());
    Ok((!there).then(|| Attachment { repository: repository.clone(), artifact, tag: Some((tag, found)) }))
}

/// Returns the referrers list of a manifest for a registry without the referrers API: the entries of the present list
/// and the new ones.
fn listing<'a>(mut index: Index, new: impl Iterator<Item = (&'a Descriptor, &'a Artifact)>) -> Artifact {
    let (mut manifests, mut blobs) = (Vec::new(), Vec::new());
    for (descriptor, artifact) in new {
        if index.manifests.iter().all(|other| other.digest != descriptor.digest) {
            index.manifests.push(descriptor.clone());
        }
        manifests.extend(artifact.manifests().iter().chain([artifact.manifest()]).cloned());
        blobs.extend(artifact.blobs().iter().cloned());
    }
    let bytes = serde_json::to_vec(&index).expect("an index has only text keys");
    Artifact::of(Document::new(media_type::IMAGE_INDEX, bytes), manifests, blobs)
}

//! The referrers of a release's artifacts (signatures, SBOMs) that the target store lacks.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::signature::claims_image;
use crate::oci::{
    self, Artifact, Attached, Content, Descriptor, Digest, Document, Index, Manifest, ReadStore, Repository, Selector,
    Tag, media_type, optional, referrers_tag,
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
    let tagged = attached.tagged.iter().map(|(tag, artifact)| async move {
        if is_signatures(artifact) {
            return beside(store, repository, tag, artifact).await;
        }
        let found = optional(store.resolve(repository, tag).await)?;
        Ok(lacking(repository, tag, artifact.clone(), found))
    });
    let mut subjects: Vec<&Digest> = attached.referrers.iter().map(|(subject, ..)| subject).collect();
    subjects.sort();
    subjects.dedup();
    let referrers = subjects.into_iter().map(|subject| async move {
        let new: Vec<_> = attached.referrers.iter().filter(|(of, ..)| of == subject).collect();
        unlisted(store, repository, subject, &new).await
    });
    let (tagged, referrers) = futures_util::try_join!(try_join_all(tagged), try_join_all(referrers))?;
    Ok(tagged.into_iter().flatten().chain(referrers.into_iter().flatten()).collect())
}

/// Returns the referrers of a manifest that the store does not list: themselves where the store keeps the list, else the
/// list under the fallback tag.
async fn unlisted(
    store: &ReadStore,
    repository: &Repository,
    subject: &Digest,
    new: &[&(Digest, Descriptor, Artifact)],
) -> Result<Vec<Attachment>, oci::Error> {
    // A directory without the repository lists nothing; a registry without lists answers, and is not an error.
    if let Some(listed) = optional(store.listed(repository, subject).await)?.unwrap_or_else(|| Some(Vec::new())) {
        let is_new = |digest: &Digest| listed.iter().all(|there| there.digest != *digest);
        let new = new.iter().filter(|(_, descriptor, _)| is_new(&descriptor.digest));
        let attachment =
            |artifact: &Artifact| Attachment { repository: repository.clone(), artifact: artifact.clone(), tag: None };
        return Ok(new.map(|(_, _, artifact)| attachment(artifact)).collect());
    }
    let tag = referrers_tag(subject);
    let (found, index) = store.index(repository, &tag).await?.unzip();
    let index = index.unwrap_or_else(|| Index::new(Vec::new()));
    let list = listing(index, new.iter().map(|(_, descriptor, artifact)| (descriptor, artifact)));
    Ok(lacking(repository, &tag, list, found).into_iter().collect())
}

/// Reports whether an artifact holds signatures of the older form, and nothing else.
fn is_signatures(artifact: &Artifact) -> bool {
    Manifest::parse(&artifact.descriptor().media_type, artifact.manifest().bytes())
        .is_ok_and(|manifest| manifest.layers.iter().all(|layer| layer.media_type == media_type::SIMPLE_SIGNING))
}

/// Puts what is attached to the artifacts of each repository together. Where several images of signatures have one tag,
/// the result has the layers of all of them, so that one write sets the tag.
pub(crate) fn merged(all: impl Iterator<Item = (Repository, Attached)>) -> Vec<(Repository, Attached)> {
    let mut merged: BTreeMap<Repository, Attached> = BTreeMap::new();
    for (repository, attached) in all {
        let one = merged.entry(repository).or_default();
        for referrer in attached.referrers {
            if !one.referrers.contains(&referrer) {
                one.referrers.push(referrer);
            }
        }
        for (tag, artifact) in attached.tagged {
            match one.tagged.iter_mut().find(|(other, _)| *other == tag) {
                Some((_, there)) => *there = both(there, &artifact),
                None => one.tagged.push((tag, artifact)),
            }
        }
    }
    merged.into_iter().collect()
}

/// Returns an image with the signatures of two images. Of anything else, the second one wins.
fn both(first: &Artifact, second: &Artifact) -> Artifact {
    let layers = |artifact: &Artifact| {
        let parsed = Manifest::parse(&artifact.descriptor().media_type, artifact.manifest().bytes());
        let layers = parsed.map(|manifest| manifest.layers).unwrap_or_default();
        layers.iter().all(|layer| layer.media_type == media_type::SIMPLE_SIGNING).then_some(layers)
    };
    let (Some(mut all), Some(more)) = (layers(first), layers(second)) else { return second.clone() };
    all.extend(more.into_iter().filter(|layer| !all.contains(layer)).collect::<Vec<_>>());
    let blobs: Vec<Content> = first.blobs().iter().chain(second.blobs()).cloned().collect();
    claims_image(&all, &blobs)
}

/// Returns what a tag with signatures of the older form is to name: the layers that it has already, and ours. Signatures
/// by others are kept. `None` means that all of ours are there.
async fn beside(
    store: &ReadStore,
    repository: &Repository,
    tag: &Tag,
    ours: &Artifact,
) -> Result<Option<Attachment>, oci::Error> {
    let layers = |media_type: &str, bytes: &[u8]| Manifest::parse(media_type, bytes).map(|manifest| manifest.layers);
    let Some((descriptor, bytes)) = optional(store.manifest(repository, &Selector::Tag(tag.clone())).await)? else {
        return Ok(lacking(repository, tag, ours.clone(), None));
    };
    let theirs = layers(&descriptor.media_type, &bytes).unwrap_or_default();
    let mut new = layers(&ours.descriptor().media_type, ours.manifest().bytes()).unwrap_or_default();
    new.retain(|layer| !theirs.contains(layer));
    if new.is_empty() {
        return Ok(None);
    }
    let image = claims_image(&[theirs, new].concat(), ours.blobs());
    Ok(lacking(repository, tag, image, Some(descriptor.digest)))
}

/// Returns the artifact to push under a tag that does not name it yet.
fn lacking(repository: &Repository, tag: &Tag, artifact: Artifact, found: Option<Digest>) -> Option<Attachment> {
    let there = found.as_ref() == Some(artifact.digest());
    (!there).then(|| Attachment { repository: repository.clone(), artifact, tag: Some((tag.clone(), found)) })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(artifact: &Artifact) -> Vec<String> {
        let parsed =
            Manifest::parse(&artifact.descriptor().media_type, artifact.manifest().bytes()).expect("a manifest");
        let signature = |layer: &Descriptor| layer.annotations[media_type::COSIGN_SIGNATURE].clone();
        parsed.layers.iter().map(signature).collect()
    }

    #[test]
    fn signatures_under_one_tag_are_put_together() {
        let claim = |text: &str| {
            let claim = Content::new(media_type::SIMPLE_SIGNING, text.as_bytes().to_vec());
            claim.annotated(media_type::COSIGN_SIGNATURE, text)
        };
        let image = |claims: &[Content]| {
            let layers: Vec<Descriptor> = claims.iter().map(|claim| claim.descriptor().clone()).collect();
            claims_image(&layers, claims)
        };
        let (repository, tag): (Repository, Tag) = ("x".parse().expect("a name"), "a.sig".parse().expect("a tag"));
        let attached =
            |claims: &[Content]| Attached { referrers: Vec::new(), tagged: vec![(tag.clone(), image(claims))] };
        let all = [attached(&[claim("one"), claim("two")]), attached(&[claim("two"), claim("three")])];
        let merged = merged(all.into_iter().map(|one| (repository.clone(), one)));
        let [(_, Attached { tagged, .. })] = &merged[..] else { panic!("{merged:?}") };
        let [(_, artifact)] = &tagged[..] else { panic!("{tagged:?}") };
        assert_eq!(layers(artifact), ["one", "two", "three"]);
        assert_eq!(artifact.blobs().len(), 4, "the config and the layers");
    }
}

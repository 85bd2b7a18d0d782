//! Content that is missing in a store or that does not match its digest.

use futures_util::future::{join_all, try_join_all};

use super::desired::{ArtifactKind, Desired, DesiredArtifact};
use super::observe::Observed;
use crate::image::Platform;
use crate::oci::{Artifact, Content, Descriptor, Digest, Error, Kind, ReadStore, Repository, Selector, Tag};

/// An artifact with missing or corrupt content.
#[derive(Clone, Debug)]
pub struct Damaged {
    /// Repository of the artifact, below the store's prefix.
    pub repository: Repository,
    /// The artifact with intact bytes.
    pub artifact: Artifact,
    /// Tag that names the artifact.
    pub tag: Tag,
    /// Digest of each missing or corrupt manifest or blob, with the reason.
    pub content: Vec<(Digest, String)>,
}

impl Damaged {
    /// Reports whether this manifest or blob is missing or corrupt.
    pub(super) fn holds(&self, digest: &Digest) -> bool {
        self.content.iter().any(|(damaged, _)| damaged == digest)
    }

    /// Returns one line for each missing or corrupt manifest or blob.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let Self { repository, tag, content, .. } = self;
        content.iter().map(move |(digest, reason)| format!("{repository}:{tag}: {digest}: {reason}"))
    }
}

/// Reads every artifact of `desired` that the store has under its tag. Returns those with missing or corrupt content.
///
/// # Errors
/// Returns an error when the store fails.
pub(crate) async fn damaged(store: &ReadStore, desired: &Desired, observed: &Observed) -> Result<Vec<Damaged>, Error> {
    let found = try_join_all(there(desired, observed).map(|artifact| examine(store, artifact, true))).await?;
    Ok(found.into_iter().flatten().collect())
}

/// Returns one line for each missing or corrupt manifest or blob that the release names and that the plan does not
/// push. Charts, the bundle and the release are read in full. For images, only the existence of the blobs is checked.
///
/// # Errors
/// Returns an error when the store fails.
pub(super) async fn broken(store: &ReadStore, desired: &Desired, observed: &Observed) -> Result<Vec<String>, Error> {
    let pushed = |artifact: &DesiredArtifact| {
        observed.damaged.iter().any(|damaged| damaged.artifact.digest() == artifact.artifact.digest())
    };
    let artifacts = there(desired, observed).filter(|artifact| !pushed(artifact));
    let artifacts = artifacts.map(|artifact| examine(store, artifact, artifact.kind != ArtifactKind::Image));
    // An image from an archive is an artifact of the plan. The plan pushes it, or it was read above.
    let own = |digest: &Digest| desired.all().any(|artifact| artifact.artifact.digest() == digest);
    let images = desired.unread.iter().filter(|(_, digest)| !own(digest));
    let images = images.map(|(repository, digest)| image(store, repository, digest, desired));
    let (artifacts, images) = futures_util::try_join!(try_join_all(artifacts), try_join_all(images))?;
    let lines = artifacts.iter().flatten().flat_map(Damaged::lines);
    Ok(lines.chain(images.into_iter().flatten()).collect())
}

/// Returns the artifacts that the store has under their tags.
fn there<'a>(desired: &'a Desired, observed: &'a Observed) -> impl Iterator<Item = &'a DesiredArtifact> {
    let release = observed.release.as_ref().map(|existing| &existing.digest);
    let found = observed.artifacts.iter().map(Option::as_ref).chain([release]);
    let ours = |(artifact, found): &(&DesiredArtifact, Option<&Digest>)| *found == Some(artifact.artifact.digest());
    desired.all().zip(found).filter(ours).map(|(artifact, _)| artifact)
}

async fn examine(store: &ReadStore, desired: &DesiredArtifact, read: bool) -> Result<Option<Damaged>, Error> {
    let DesiredArtifact { repository, tag, artifact, .. } = desired;
    let manifests = artifact.manifests().iter().chain([artifact.manifest()]).map(|manifest| async move {
        let digest = &manifest.descriptor().digest;
        reason(store.manifest(repository, &Selector::Digest(digest.clone())).await.map(drop), digest)
    });
    let blobs = artifact.blobs().iter().map(|blob| async move {
        let digest = &blob.descriptor().digest;
        reason(present(store, repository, blob, read).await, digest)
    });
    let (manifests, blobs) = futures_util::join!(join_all(manifests), join_all(blobs));
    let found: Result<Vec<_>, Error> = manifests.into_iter().chain(blobs).collect();
    let content: Vec<_> = found?.into_iter().flatten().collect();
    let damaged = Damaged { repository: repository.clone(), artifact: artifact.clone(), tag: tag.clone(), content };
    Ok(Some(damaged).filter(|damaged| !damaged.content.is_empty()))
}

/// Returns one line for each missing manifest or blob of an image that the release names by digest.
async fn image(
    store: &ReadStore,
    repository: &Repository,
    digest: &Digest,
    desired: &Desired,
) -> Result<Vec<String>, Error> {
    let line = |(digest, reason): (Digest, String)| format!("{repository}@{digest}: {reason}");
    let runs = |child: &Descriptor| desired.platform.as_ref().is_none_or(|wanted| Platform::of(child).fits(wanted));
    let artifact = match store.artifact(repository, &Selector::Digest(digest.clone()), &runs).await {
        Ok(artifact) => artifact,
        Err(error) => return Ok(reason(Err(error), digest)?.into_iter().map(line).collect()),
    };
    let asked = artifact
        .blobs()
        .iter()
        .map(|blob| async move { reason(present(store, repository, blob, false).await, &blob.descriptor().digest) });
    let found: Result<Vec<_>, Error> = join_all(asked).await.into_iter().collect();
    Ok(found?.into_iter().flatten().map(line).collect())
}

/// Reads a blob to its end, or only checks that it exists.
async fn present(store: &ReadStore, repository: &Repository, blob: &Content, read: bool) -> Result<(), Error> {
    if read {
        return store.read_through(repository, blob.descriptor()).await;
    }
    store.find(repository, blob.descriptor()).await
}

/// Returns the digest and the reason when content is missing or corrupt. A temporary failure of the store is an error.
fn reason(read: Result<(), Error>, digest: &Digest) -> Result<Option<(Digest, String)>, Error> {
    match read {
        Ok(()) => Ok(None),
        Err(error) if matches!(error.kind(), Kind::NotFound) => {
            Ok(Some((digest.clone(), "the content is missing".to_owned())))
        }
        Err(error) if matches!(error.kind(), Kind::Mismatch | Kind::TooLarge | Kind::Malformed) => {
            Ok(Some((digest.clone(), error.reason().to_owned())))
        }
        Err(error) => Err(error),
    }
}

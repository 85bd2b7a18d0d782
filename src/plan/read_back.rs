//! Reads everything that the release names as an appliance will read it, after the writes and before the move.

use std::time::Duration;

use futures_util::future::{join, join_all, try_join_all};
use tokio::time::Instant;

use super::channel::Channel;
use super::desired::{ArtifactKind, Desired, DesiredArtifact};
use super::execute::Run;
use super::execute_error::ExecuteError;
use super::late::{LATEST, Seen, late};
use crate::oci::{self, Digest, ReadStore, Repository, Selector};

/// Longest time to wait for a new package to become publicly readable.
const BECOMES_PUBLIC: Duration = Duration::from_secs(10);

/// The store and the credentials of the reads.
#[derive(Clone, Copy)]
struct Reader<'a> {
    store: &'a ReadStore,
    /// Whether the reads are anonymous, as on an appliance.
    is_public: bool,
}

impl Run<'_> {
    /// Reads everything back concurrently. At the same time, checks that the channel serves the manifest in the plan
    /// and that no other publisher moves it. Returns the time when the channel was read.
    pub(super) async fn read_back(
        &self,
        desired: &Desired,
        channel: Option<&Channel<'_>>,
    ) -> Result<Option<Instant>, ExecuteError> {
        let public = self.executor.public.filter(|_| channel.is_some());
        let reader =
            Reader { store: public.unwrap_or_else(|| self.executor.store.read()), is_public: public.is_some() };
        let artifacts = desired.all().map(|artifact| self.artifact_is_there(reader, artifact));
        let images = desired.unread.iter().filter(|_| reader.is_public);
        let images = images.map(|(repository, digest)| self.image_is_there(reader, repository, digest));
        let reads = join(join_all(artifacts), join(join_all(images), self.read_json(reader, channel)));
        let look = async {
            match channel {
                Some(channel) => self.look(channel).await.map(Some),
                None => Ok(None),
            }
        };
        let ((artifacts, (images, json)), look) = join(reads, look).await;
        let failures = artifacts.into_iter().chain(images).chain([json]).filter_map(Result::err);
        let (private, failed): (Vec<_>, Vec<_>) = failures.partition(|error| reader.is_public && is_private(error));
        match failed.into_iter().next() {
            Some(error) => Err(error),
            None if private.is_empty() => look,
            None => {
                let mut packages: Vec<String> = private.iter().filter_map(package).collect();
                packages.sort();
                packages.dedup();
                Err(ExecuteError::NotPublic { packages })
            }
        }
    }

    /// Reads one artifact by its tag, with the publisher's own credentials.
    pub(super) async fn read_one(&self, artifact: &DesiredArtifact) -> Result<(), ExecuteError> {
        let reader = Reader { store: self.executor.store.read(), is_public: false };
        self.artifact_is_there(reader, artifact).await
    }

    async fn artifact_is_there(&self, reader: Reader<'_>, artifact: &DesiredArtifact) -> Result<(), ExecuteError> {
        let DesiredArtifact { repository, tag, .. } = artifact;
        let (selector, reference) = (Selector::Tag(tag.clone()), format!("{repository}:{tag}"));
        let found = self
            .read(reader, &reference, async |store: &ReadStore| store.manifest(repository, &selector).await)
            .await?;
        // A published release that differs only in its `channel` is kept.
        let release = artifact.kind == ArtifactKind::Release;
        let expected = if release { &self.plan.approval.release } else { artifact.artifact.digest() };
        if *expected == found.0.digest {
            return Ok(());
        }
        Err(ExecuteError::moved(repository, tag, Some(expected), Some(&found.0.digest), String::new()))
    }

    async fn image_is_there(
        &self,
        reader: Reader<'_>,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(), ExecuteError> {
        let (selector, reference) = (Selector::Digest(digest.clone()), format!("{repository}@{digest}"));
        self.read(reader, &reference, async |store: &ReadStore| store.manifest(repository, &selector).await)
            .await
            .map(drop)
    }

    /// Reads the JSON of the release and of the channel, which an appliance needs before it can read anything else.
    async fn read_json(&self, reader: Reader<'_>, channel: Option<&Channel<'_>>) -> Result<(), ExecuteError> {
        let mut written = Vec::new();
        for (repository, descriptor) in self.plan.pushes().filter(|(_, descriptor)| self.is_release(descriptor)) {
            written.push((repository, self.artifact(repository, descriptor)?));
        }
        written.extend(channel.map(|channel| (channel.repository, &channel.artifact)));
        let mut blobs: Vec<_> =
            written.iter().filter_map(|(at, artifact)| Some((*at, artifact.config()?.descriptor()))).collect();
        blobs.dedup();
        let reads = blobs.into_iter().map(|(repository, json)| async move {
            let reference = format!("{repository}@{}", json.digest);
            let read = async |store: &ReadStore| store.fetch_verified(repository, json, json.size).await;
            self.read(reader, &reference, read).await.map(drop)
        });
        try_join_all(reads).await.map(drop)
    }

    /// Reads content that exists. Reads again for a while if the registry does not show the content yet, or not yet to
    /// the public.
    async fn read<T>(
        &self,
        reader: Reader<'_>,
        reference: &str,
        read: impl AsyncFn(&ReadStore) -> Result<T, oci::Error>,
    ) -> Result<T, ExecuteError> {
        let look = async || match read(reader.store).await {
            Ok(found) => Ok(Seen::Now(found)),
            Err(source) if comes(&source, reader) => Ok(Seen::Earlier(source)),
            Err(source) => Err(source),
        };
        let longest = if reader.is_public { BECOMES_PUBLIC } else { LATEST };
        let found = self.executor.wait_for(reference, longest, self.progress, look).await;
        let source = match found {
            Ok(found) => return Ok(found),
            Err(source) => source,
        };
        // If the publisher cannot see the content either, the registry is late and the package is not private.
        let is_late = source.is_not_found()
            && (!reader.is_public || read(self.executor.store.read()).await.is_err_and(|own| own.is_not_found()));
        let reference = reference.to_owned();
        let source = if is_late {
            late(reference.clone(), "the content is missing, though it was written or seen before")
        } else {
            source
        };
        Err(ExecuteError::NotReadable { reference, source })
    }
}

/// Reports whether the error may disappear once the registry shows the new content to all readers.
fn comes(source: &oci::Error, reader: Reader<'_>) -> bool {
    source.is_not_found() || (reader.is_public && source.kind() == oci::Kind::Denied)
}

/// Reports whether the package is private. For a private package, registries answer that access is denied or that it
/// does not exist.
fn is_private(error: &ExecuteError) -> bool {
    match error {
        ExecuteError::NotReadable { source, .. } => {
            matches!(source.kind(), oci::Kind::Denied | oci::Kind::NotFound)
        }
        _ => false,
    }
}

/// Returns `HOST/PATH` of the content that could not be read.
fn package(error: &ExecuteError) -> Option<String> {
    let ExecuteError::NotReadable { source, .. } = error else { return None };
    Some(source.repository().to_owned())
}

//! Between the writes and the move: everything that the release names, read as an appliance will read it.

use futures_util::future::{join, join_all, try_join_all};

use super::channel::{Channel, moved};
use super::desired::{ArtifactKind, Desired, DesiredArtifact};
use super::execute::{ExecuteError, Run};
use crate::oci::{self, Digest, ReadStore, Repository, Selector};

impl Run<'_> {
    /// Reads everything at once; beside it, checks that the channel is as the plan found it and that no rival moves it.
    pub(super) async fn read_back(&self, desired: &Desired, channel: Option<&Channel<'_>>) -> Result<(), ExecuteError> {
        let public = self.executor.public.filter(|_| channel.is_some());
        let reader = public.unwrap_or_else(|| self.executor.store.read());
        let artifacts = desired.all().map(|artifact| self.read_one(reader, artifact));
        let images = desired.unread.iter().filter(|_| public.is_some());
        let images = images.map(|(repository, digest)| read_image(reader, repository, digest));
        let reads = join(join_all(artifacts), join(join_all(images), self.read_json(reader, channel)));
        let look = async {
            match channel {
                Some(channel) => self.look(channel).await,
                None => Ok(()),
            }
        };
        let ((artifacts, (images, json)), look) = join(reads, look).await;
        let failures = artifacts.into_iter().chain(images).chain([json]).filter_map(Result::err);
        let (private, failed): (Vec<_>, Vec<_>) = failures.partition(|error| public.is_some() && is_private(error));
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

    /// Reads one artifact by its tag.
    pub(super) async fn read_one(&self, reader: &ReadStore, artifact: &DesiredArtifact) -> Result<(), ExecuteError> {
        let DesiredArtifact { repository, tag, .. } = artifact;
        let read = reader.manifest(repository, &Selector::Tag(tag.clone())).await;
        let (descriptor, _) = read.map_err(|source| not_readable(format!("{repository}:{tag}"), source))?;
        // A release that differs by its `channel` alone is kept as it is.
        let release = artifact.kind == ArtifactKind::Release;
        let expected = if release { &self.plan.approval.release } else { artifact.artifact.digest() };
        if *expected == descriptor.digest {
            return Ok(());
        }
        Err(moved(repository, tag, Some(expected), Some(&descriptor.digest), None))
    }

    /// The JSON that the plan writes, of the release and of the channel: what an appliance cannot do without before it knows of
    /// anything else.
    async fn read_json(&self, reader: &ReadStore, channel: Option<&Channel<'_>>) -> Result<(), ExecuteError> {
        let mut written = Vec::new();
        for (repository, descriptor) in self.plan.pushes().filter(|(_, descriptor)| self.is_release(descriptor)) {
            written.push((repository, self.artifact(repository, descriptor)?));
        }
        written.extend(channel.map(|channel| (channel.repository, &channel.artifact)));
        let mut blobs: Vec<_> =
            written.iter().filter_map(|(at, artifact)| Some((at, artifact.config()?.descriptor()))).collect();
        blobs.dedup();
        let reads = blobs.into_iter().map(|(repository, json)| async move {
            let read = reader.fetch_verified(repository, json, json.size).await;
            read.map(drop).map_err(|source| not_readable(format!("{repository}@{}", json.digest), source))
        });
        try_join_all(reads).await.map(drop)
    }
}

async fn read_image(reader: &ReadStore, repository: &Repository, digest: &Digest) -> Result<(), ExecuteError> {
    let read = reader.manifest(repository, &Selector::Digest(digest.clone())).await;
    read.map(drop).map_err(|source| not_readable(format!("{repository}@{digest}"), source))
}

fn not_readable(reference: String, source: oci::Error) -> ExecuteError {
    ExecuteError::NotReadable { reference, source }
}

/// Where the public is not let in, a registry says so, or that there is nothing.
fn is_private(error: &ExecuteError) -> bool {
    match error {
        ExecuteError::NotReadable { source, .. } => {
            matches!(source.kind(), oci::Kind::Denied | oci::Kind::NotFound)
        }
        _ => false,
    }
}

/// `HOST/PATH` of what was not readable.
fn package(error: &ExecuteError) -> Option<String> {
    let ExecuteError::NotReadable { source, .. } = error else { return None };
    let name = source.reference().split('@').next().unwrap_or_default();
    let tag = name.rfind(':').filter(|colon| !name[*colon..].contains('/'));
    Some(name[..tag.unwrap_or(name.len())].to_owned())
}

//! Carries out a plan: blobs and manifests concurrently, then the release after everything that it names, then the
//! channel.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::{Either, join, try_join_all};
use tokio::time::{Instant, sleep, timeout};

use super::attach::Attachment;
use super::channel::Channel;
use super::damaged::{Damaged, broken};
use super::desired::Desired;
use super::execute_error::ExecuteError;
use super::observe::Observed;
use super::planner::{Plan, Write};
use super::progress::{Event, Progress};
use super::record::MoveRecord;
use crate::oci::{self, Artifact, Content, Descriptor, Digest, ReadStore, Repository, Store, Tag, Upload, media_type};
use crate::system::Clock;

/// Waits before the blobs of a refused manifest are pushed again.
const REPAIRS: [Duration; 2] = [Duration::ZERO, Duration::from_secs(1)];
/// Time for which a read of the channel stays valid. After that, the channel is read again before the move.
const FRESH: Duration = Duration::from_millis(500);
/// Largest blob that is read back when the store already has it, in bytes.
const READ_BACK: u64 = 64 << 20;
/// Interval of the progress reports for a large blob.
const PULSE: Duration = Duration::from_millis(200);

/// The content behind the digests of a plan.
#[derive(Debug)]
pub(super) struct Contents<'a> {
    pub artifacts: BTreeMap<&'a Digest, &'a Artifact>,
}

impl<'a> Contents<'a> {
    pub(super) fn new(desired: &'a Desired, observed: &'a Observed) -> Self {
        let written = desired.all().map(|one| &one.artifact);
        let attached = observed.attachments.iter().map(|one| &one.artifact);
        let damaged = observed.damaged.iter().map(|one| &one.artifact);
        let all = written.chain(attached).chain(damaged);
        Self { artifacts: all.map(|artifact| (artifact.digest(), artifact)).collect() }
    }

    /// Returns the manifest with this digest, with everything that it names.
    pub(super) fn artifact(&self, digest: &Digest) -> Option<&'a Artifact> {
        self.artifacts.get(digest).copied()
    }
}

/// Everything that the execution of a plan needs.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The plan that is carried out.
    pub plan: &'a Plan,
    /// The desired state that the plan was made from.
    pub desired: &'a Desired,
    /// The observed state that the plan was made from.
    pub observed: &'a Observed,
    /// The circumstances of the move, for the channel's record.
    pub record: &'a MoveRecord,
    /// Signed statements about the move, which the channel manifest carries. Empty where nothing is signed.
    pub signatures: &'a [Content],
    /// Channel manifest of another store that is written as it is.
    pub copied: Option<&'a Artifact>,
}

/// The store in which a plan is carried out, and how.
#[derive(Debug)]
pub struct Executor<'a> {
    /// Store that the plan writes to.
    pub store: &'a Store,
    /// The same store with anonymous reads, if the publisher reads with credentials. Read back before a channel moves.
    pub public: Option<&'a ReadStore>,
    /// Upload session that was opened in advance for the channel's JSON.
    pub upload: Option<Upload>,
    /// Clock that measures the waits.
    pub clock: &'a dyn Clock,
    /// Longest time to wait for an answer that shows an earlier state.
    pub patience: Duration,
    /// Announcements whose moves will not happen any more.
    pub given_up: BTreeSet<Tag>,
}

impl<'a> Executor<'a> {
    /// Returns an executor without a public reader, an open upload or abandoned announcements.
    pub(crate) fn new(store: &'a Store, clock: &'a dyn Clock, patience: Duration) -> Self {
        Self { store, public: None, upload: None, clock, patience, given_up: BTreeSet::new() }
    }
}

/// Carries out a plan. Returns the digest of the new channel manifest if the plan moves a channel.
///
/// The longest chain of requests is: start of an upload, end of the upload, manifest, release, read-back, channel,
/// read-back.
///
/// # Errors
/// See [`ExecuteError`]. After any error, the channel serves either the whole old release or the whole new one.
pub(crate) async fn execute(
    inputs: &Inputs<'_>,
    executor: &Executor<'_>,
    progress: &dyn Progress,
) -> Result<Option<Digest>, ExecuteError> {
    if inputs.plan.is_empty() {
        return Ok(None);
    }
    let contents = Contents::new(inputs.desired, inputs.observed);
    let run = Run {
        plan: inputs.plan,
        contents,
        damaged: &inputs.observed.damaged,
        attachments: &inputs.observed.attachments,
        executor,
        progress,
        done: Mutex::default(),
    };
    let channel = run.channel(inputs)?;
    run.write(channel.as_ref(), run.nothing_is_broken(inputs)).await?;
    let looked = run.read_back(inputs.desired, channel.as_ref()).await?;
    progress.event(&Event::ReadBack);
    let Some(channel) = channel else { return Ok(None) };
    let mut looked = looked.unwrap_or_else(Instant::now);
    if looked.elapsed() > FRESH {
        looked = Instant::now();
        run.look_once(&channel).await?;
    }
    run.move_channel(&channel, looked).await.map(Some)
}

pub(super) struct Run<'a> {
    pub plan: &'a Plan,
    pub contents: Contents<'a>,
    pub damaged: &'a [Damaged],
    pub attachments: &'a [Attachment],
    pub executor: &'a Executor<'a>,
    pub progress: &'a dyn Progress,
    pub done: Mutex<Vec<String>>,
}

impl<'a> Run<'a> {
    pub(super) fn artifact(
        &self,
        repository: &Repository,
        manifest: &Descriptor,
    ) -> Result<&'a Artifact, ExecuteError> {
        let found = self.contents.artifact(&manifest.digest);
        found.ok_or_else(|| self.stopped(unknown(repository, &manifest.digest)))
    }

    /// Pushes everything but the channel tag: blobs, manifests with their version tags, and the keep-alive tag. The
    /// release manifest is written after everything that it names.
    pub(super) async fn write(
        &self,
        channel: Option<&Channel<'_>>,
        there: impl Future<Output = Result<(), ExecuteError>>,
    ) -> Result<(), ExecuteError> {
        let mut artifacts = Vec::new();
        for (repository, descriptor) in self.plan.pushes() {
            artifacts.push((repository, self.artifact(repository, descriptor)?, self.is_release(descriptor)));
        }
        let bytes = artifacts.iter().map(|(_, artifact, _)| artifact.size()).sum();
        self.progress.event(&Event::Started { bytes, left: &self.left() });
        // The channel's JSON is often identical to the release's JSON.
        let of_release: Vec<_> =
            artifacts.iter().filter(|(_, _, last)| *last).flat_map(|(_, a, _)| a.blobs()).collect();
        let of_channel = channel.into_iter().flat_map(|channel| {
            let new = channel.artifact.blobs().iter().filter(|blob| !of_release.contains(blob));
            new.map(|blob| self.push_json(channel, blob))
        });
        let stopped = |source| self.stopped(source);
        let blobs = artifacts.iter().flat_map(|&(repository, artifact, _)| {
            artifact.blobs().iter().map(move |blob| self.push_blob(repository, blob))
        });
        let blobs = try_join_all(blobs.map(Either::Left).chain(of_channel.map(Either::Right)));
        let started = Instant::now();
        futures_util::try_join!(async { blobs.await.map_err(stopped) }, self.tags_are_free(), there)?;
        if started.elapsed() > FRESH {
            self.tags_are_free().await?;
        }
        // No tag is written before every byte has been verified and is in the store. Signatures come before the tags of
        // what they sign.
        for wave in [true, false] {
            let first = artifacts.iter().filter(|(_, artifact, last)| !*last && self.is_attached(artifact) == wave);
            let first = first.map(|(repository, artifact, _)| self.push_manifest(repository, artifact));
            try_join_all(first).await.map_err(stopped)?;
        }
        let last = artifacts.iter().filter(|(_, _, last)| *last);
        let last = last.map(|(repository, artifact, _)| self.push_manifest(repository, artifact));
        // Neither write is cancelled when the other fails: an announcement that arrives after this process ends would
        // block the next publisher.
        let (last, kept) = join(try_join_all(last), self.keep_alive(channel)).await;
        last.map(drop).and(kept).map_err(|source| self.stopped(source))
    }

    /// Verifies the content that existed before, because the store may have lost some of it. Does nothing when no
    /// channel moves.
    async fn nothing_is_broken(&self, inputs: &Inputs<'_>) -> Result<(), ExecuteError> {
        if inputs.plan.moves.is_none() {
            return Ok(());
        }
        let store = self.executor.store.read();
        let failed = broken(store, inputs.desired, inputs.observed).await.map_err(|source| self.stopped(source))?;
        if failed.is_empty() { Ok(()) } else { Err(ExecuteError::Broken { failed }) }
    }

    fn is_damaged(&self, digest: &Digest) -> bool {
        self.damaged.iter().any(|damaged| damaged.holds(digest))
    }

    /// Reports whether an artifact is a signature or another referrer, and not what the release names.
    fn is_attached(&self, artifact: &Artifact) -> bool {
        self.attachments.iter().any(|one| one.artifact.digest() == artifact.digest())
    }

    /// Reports whether this is the release manifest, which is written after everything that it names.
    pub(super) fn is_release(&self, descriptor: &Descriptor) -> bool {
        descriptor.digest == self.plan.approval.release
    }

    /// Pushes a blob of the channel manifest: its JSON into the upload that was opened for it. Without an upload, or when the registry has
    /// forgotten it, pushes the JSON like any other blob.
    async fn push_json(&self, channel: &Channel<'_>, blob: &Content) -> Result<(), oci::Error> {
        let repository = channel.repository;
        let is_json = blob.descriptor().digest == *channel.json();
        if let Some(upload) = self.executor.upload.as_ref().filter(|_| is_json) {
            match self.executor.store.push_blob_into(upload, blob).await {
                Err(error) if error.kind() != oci::Kind::Unavailable => {}
                pushed => return pushed,
            }
        }
        self.push_blob(repository, blob).await
    }

    async fn push_blob(&self, repository: &Repository, blob: &Content) -> Result<(), oci::Error> {
        let store = self.executor.store;
        if self.is_damaged(&blob.descriptor().digest) {
            store.replace_blob(repository, blob).await?;
        } else if !self.watched(repository, blob).await? && blob.descriptor().size <= READ_BACK {
            store.read().read_through(repository, blob.descriptor()).await?;
        }
        self.progress.event(&Event::Stored {
            repository,
            digest: &blob.descriptor().digest,
            bytes: blob.descriptor().size,
        });
        Ok(())
    }

    /// Pushes a blob and reports the progress at intervals. Returns whether the blob was sent.
    async fn watched(&self, repository: &Repository, blob: &Content) -> Result<bool, oci::Error> {
        let mut pushing = pin!(self.executor.store.push_blob(repository, blob));
        if blob.progress().is_none() {
            return pushing.await;
        }
        loop {
            match timeout(PULSE, &mut pushing).await {
                Ok(pushed) => return pushed,
                Err(_) => self.progress.event(&Event::Sending {
                    repository,
                    blob: blob.descriptor(),
                    bytes: blob.progress().unwrap_or_default(),
                }),
            }
        }
    }

    /// Returns the tags that the plan gives to a manifest.
    fn tags_of(&self, repository: &Repository, manifest: &Digest) -> impl Iterator<Item = Named<'a>> {
        self.tags().filter(move |named| named.repository == repository && named.to == manifest)
    }

    fn tags(&self) -> impl Iterator<Item = Named<'a>> {
        self.plan.writes.iter().filter_map(|write| match write {
            Write::Tag { repository, tag, from, to } => Some(Named { repository, tag, from: from.as_ref(), to }),
            Write::Push { .. } => None,
        })
    }

    /// Checks that no other publisher has published other content under the version tags since the plan was made.
    async fn tags_are_free(&self) -> Result<(), ExecuteError> {
        let looks = self.tags().map(|Named { repository, tag, from, to }| async move {
            let found = oci::optional(self.executor.store.read().resolve(repository, tag).await);
            match found.map_err(|source| self.stopped(source))? {
                Some(found) if found != *to && Some(&found) != from => {
                    Err(ExecuteError::moved(repository, tag, from, Some(&found), String::new()))
                }
                _ => Ok(()),
            }
        });
        try_join_all(looks).await.map(drop)
    }

    /// Pushes a manifest after its blobs. When the registry refuses the manifest, pushes the blobs again: some
    /// registries do not see a new blob at once, or lose it.
    pub(super) async fn put(
        &self,
        repository: &Repository,
        artifact: &Artifact,
        tag: Option<(&Tag, Option<&Digest>)>,
    ) -> Result<(), oci::Error> {
        let store = self.executor.store;
        let mut pushed = self.push_manifests(repository, artifact, tag).await;
        for wait in REPAIRS {
            match &pushed {
                Err(error) if error.kind() == oci::Kind::Refused => {}
                _ => break,
            }
            sleep(wait).await;
            try_join_all(artifact.blobs().iter().map(|blob| store.push_blob(repository, blob))).await?;
            pushed = self.push_manifests(repository, artifact, tag).await;
        }
        pushed
    }

    /// Pushes a manifest under the tags that the plan gives to it, and reports it as done.
    async fn push_manifest(&self, repository: &Repository, artifact: &Artifact) -> Result<(), oci::Error> {
        let mut tags = self.tags_of(repository, artifact.digest());
        let first = tags.next();
        self.put(repository, artifact, first.map(|named| (named.tag, named.from))).await?;
        let blobs: u64 = artifact.blobs().iter().map(|blob| blob.descriptor().size).sum();
        self.progress.event(&Event::Stored { repository, digest: artifact.digest(), bytes: artifact.size() - blobs });
        self.is_done(first.map_or_else(
            || format!("{repository}@{}", artifact.digest()),
            |Named { tag, .. }| format!("{repository}:{tag}"),
        ));
        if let Some(Named { tag, .. }) = first {
            self.progress.event(&Event::Tagged { repository, tag });
        }
        for Named { tag, from, .. } in tags {
            self.executor.store.move_tag(repository, artifact.manifest(), tag, from).await?;
            self.is_done(format!("{repository}:{tag}"));
            self.progress.event(&Event::Tagged { repository, tag });
        }
        Ok(())
    }

    fn is_done(&self, reference: String) {
        if let Ok(mut done) = self.done.lock() {
            done.push(reference);
        }
    }

    /// Pushes a manifest. For an index, first pushes the manifests that it names, and then the indexes among them.
    async fn push_manifests(
        &self,
        repository: &Repository,
        artifact: &Artifact,
        tag: Option<(&Tag, Option<&Digest>)>,
    ) -> Result<(), oci::Error> {
        let store = self.executor.store;
        for indexes in [false, true] {
            let named = artifact.manifests().iter();
            let wave = named.filter(|content| media_type::is_index(&content.descriptor().media_type) == indexes);
            let pushes = wave.map(|manifest| async {
                if self.is_damaged(&manifest.descriptor().digest) {
                    return store.replace_manifest(repository, manifest, None).await;
                }
                store.push_manifest(repository, manifest, None).await
            });
            try_join_all(pushes).await?;
        }
        if self.is_damaged(artifact.digest()) {
            return store.replace_manifest(repository, artifact.manifest(), tag.map(|(tag, _)| tag)).await;
        }
        match tag {
            Some((tag, from)) => store.move_tag(repository, artifact.manifest(), tag, from).await,
            None => store.push_manifest(repository, artifact.manifest(), None).await,
        }
    }

    pub(super) fn stopped(&self, source: oci::Error) -> ExecuteError {
        let done = self.done.lock().map(|done| done.clone()).unwrap_or_default();
        let left = self.left().into_iter().filter(|name| !done.contains(name)).collect();
        ExecuteError::Stopped { done, left, source }
    }

    /// Returns the references of all tags that the plan sets, the channel's last.
    fn left(&self) -> Vec<String> {
        let tags = self.tags().map(|Named { repository, tag, .. }| format!("{repository}:{tag}"));
        let moves = self.plan.moves.iter().map(|moves| format!("{}:{}", moves.repository, moves.channel));
        tags.chain(moves).collect()
    }
}

/// A tag with its present digest and its planned digest.
#[derive(Clone, Copy)]
struct Named<'a> {
    repository: &'a Repository,
    tag: &'a Tag,
    from: Option<&'a Digest>,
    to: &'a Digest,
}

pub(super) fn unknown(repository: &Repository, digest: &Digest) -> oci::Error {
    oci::Error::new(oci::Kind::NotFound, "push", format!("{repository}@{digest}"), "the plan does not hold its content")
}

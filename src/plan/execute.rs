//! Doing what a plan says: content and manifests at once, the release after what it names, the channel last.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::{Either, join, try_join_all};
use tokio::time::{Instant, sleep, timeout};

use super::channel::Channel;
use super::damaged::{Damaged, broken};
use super::desired::Desired;
use super::observe::Observed;
use super::planner::{Plan, Write};
use super::progress::{Event, Progress};
use crate::oci::{self, Artifact, Content, Descriptor, Digest, ReadStore, Repository, Store, Tag, Upload, media_type};
use crate::system::Clock;

/// How often the blobs of a refused manifest are pushed again, each time after a wait.
const REPAIRS: [Duration; 2] = [Duration::ZERO, Duration::from_secs(1)];
/// For how long a look at the channel holds: beyond it there is another one before the move.
const FRESH: Duration = Duration::from_millis(500);
/// Largest blob that is read back where the store says that it has it.
const READ_BACK: u64 = 64 << 20;
/// How often it is said how much of a large blob is on its way.
const PULSE: Duration = Duration::from_millis(200);

/// Who moves a channel, when and why: what is no part of the plan.
#[derive(Clone, Debug, Default)]
pub struct MoveRecord {
    /// When, RFC 3339 in UTC.
    pub moved: String,
    /// By whom.
    pub by: Option<String>,
    /// From which channel, version or digest.
    pub from: Option<String>,
    /// Why, in words.
    pub reason: Option<String>,
}

/// The bytes that a plan's digests stand for.
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

    /// Returns the manifest of this digest, with everything that it names.
    pub(super) fn artifact(&self, digest: &Digest) -> Option<&'a Artifact> {
        self.artifacts.get(digest).copied()
    }
}

/// What a plan is carried out with.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What the plan was made of.
    pub desired: &'a Desired,
    /// What the plan was made against.
    pub observed: &'a Observed,
    /// Who moves the channel, when and why.
    pub record: &'a MoveRecord,
}

/// A plan that could not be carried out, with what was done and what is left.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The store failed. What is done stays; running again does the rest.
    #[error("stopped after {} of {} writes; no channel moved", done.len(), done.len() + left.len())]
    Stopped {
        /// What is in the store.
        done: Vec<String>,
        /// What is not.
        left: Vec<String>,
        /// Why.
        source: oci::Error,
    },
    /// The channel's tag was sent, and the store did not say clearly what became of it.
    #[error("{repository}:{channel} may have moved: it was written, and whether that succeeded is not known")]
    Unconfirmed {
        /// Where.
        repository: Repository,
        /// Which channel.
        channel: Tag,
        /// Why.
        source: oci::Error,
    },
    /// Something that the release names is not in the store as its digest says.
    #[error("{} of the things that the release names are missing or wrong in the store; no channel moved", failed.len())]
    Broken {
        /// `REPOSITORY:TAG: DIGEST: REASON` of each.
        failed: Vec<String>,
    },
    /// What was written cannot be read as an appliance reads it.
    #[error("{reference} cannot be read back; the version stays published, the channel did not move")]
    NotReadable {
        /// Repository with its tag or digest.
        reference: String,
        /// Why.
        source: oci::Error,
    },
    /// An image that is pushed alone was not pushed, or cannot be read back.
    #[error("the image {reference} {what}")]
    Image {
        /// Repository and tag.
        reference: String,
        /// What could not be done.
        what: &'static str,
        /// Why.
        source: oci::Error,
    },
    /// The public cannot read what an appliance has to.
    #[error("the public cannot read {} of the packages; the version stays published, the channel did not move", packages.len())]
    NotPublic {
        /// `HOST/PATH` of each.
        packages: Vec<String>,
    },
    /// A tag names something else than what was just written: somebody else writes too.
    #[error("{repository}:{tag} names {found} instead of {expected}: somebody else moved it meanwhile{who}")]
    Moved {
        /// Where.
        repository: Repository,
        /// Which tag.
        tag: Tag,
        /// What it should name.
        expected: String,
        /// What it names.
        found: String,
        /// Who moved it and when, where its record says so.
        who: String,
    },
    /// Somebody else moves the same channel at the same time.
    #[error(
        "somebody else moves {channel} at the same time ({tag}{who}): {}",
        if *moved { "the channel serves this release, and theirs is lost from it" } else { "nothing moved here" }
    )]
    Rival {
        /// The channel.
        channel: Tag,
        /// The keep-alive tag of the other move.
        tag: Tag,
        /// Who and when, where its record says so.
        who: String,
        /// All announcements that were there: each of them was carried out, or never will be, once [`super::GRACE`] is over.
        seen: BTreeSet<Tag>,
        /// Whether the channel moved all the same.
        moved: bool,
    },
}

impl ExecuteError {
    /// Returns that a tag names `found` in place of `expected`; `who` says who moved it, as far as it is known.
    pub(crate) fn moved(
        repository: &Repository,
        tag: &Tag,
        expected: Option<&Digest>,
        found: Option<&Digest>,
        who: String,
    ) -> Self {
        let text = |digest: Option<&Digest>| digest.map_or_else(|| "nothing".to_owned(), ToString::to_string);
        let (repository, tag) = (repository.clone(), tag.clone());
        Self::Moved { repository, tag, expected: text(expected), found: text(found), who }
    }
}

/// The store that a plan is carried out in.
#[derive(Debug)]
pub struct Executor<'a> {
    /// The store that is written.
    pub store: &'a Store,
    /// The same store as the anonymous public reads it, when that is somebody else: read back before a channel moves.
    pub public: Option<&'a ReadStore>,
    /// An upload that was opened beforehand for the channel's JSON.
    pub upload: Option<Upload>,
    /// Waits.
    pub clock: &'a dyn Clock,
    /// How long an answer that shows an earlier state is waited out.
    pub patience: Duration,
    /// Announcements of moves that are known not to be carried out any more.
    pub given_up: BTreeSet<Tag>,
}

impl<'a> Executor<'a> {
    /// Returns one that knows of no other reader, upload or publisher.
    pub(crate) fn new(store: &'a Store, clock: &'a dyn Clock, patience: Duration) -> Self {
        Self { store, public: None, upload: None, clock, patience, given_up: BTreeSet::new() }
    }
}

/// Carries out a plan; returns the digest of the channel's new manifest when the plan moved a channel.
///
/// The longest chain of requests: start and end of an upload, manifest, release, read-back, channel, read-back.
///
/// # Errors
/// See [`ExecuteError`]. The channel serves the whole old or the whole new release, whatever happened.
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

    /// Pushes and version tags, and all that the channel's manifest needs. The release's manifest is written when all else is
    /// there.
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
        // A channel's JSON is often the release's own.
        let of_release: Vec<_> =
            artifacts.iter().filter(|(_, _, last)| *last).flat_map(|(_, a, _)| a.blobs()).collect();
        let of_channel = channel.into_iter().flat_map(|channel| {
            let new = channel.artifact.blobs().iter().filter(|blob| !of_release.contains(blob));
            new.map(|blob| self.push_json(channel.repository, blob))
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
        // No tag before every byte was verified and is in the store.
        let first = artifacts.iter().filter(|(_, _, last)| !*last);
        let first = first.map(|(repository, artifact, _)| self.push_manifest(repository, artifact));
        try_join_all(first).await.map_err(stopped)?;
        let last = artifacts.iter().filter(|(_, _, last)| *last);
        let last = last.map(|(repository, artifact, _)| self.push_manifest(repository, artifact));
        // Both to their ends: an announcement that is still on its way when this process ends would stop the next one.
        let (last, kept) = join(try_join_all(last), self.keep_alive(channel)).await;
        last.map(drop).and(kept).map_err(|source| self.stopped(source))
    }

    /// Checks, before a channel moves, what was there already: the store may have lost it since.
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

    /// Tells whether this is the manifest of the release itself, which is written after everything that it names.
    pub(super) fn is_release(&self, descriptor: &Descriptor) -> bool {
        descriptor.digest == self.plan.approval.release
    }

    /// Pushes the channel's JSON into the upload that was opened for it. Where the registry has forgotten the upload, or there
    /// is none, the JSON is pushed as any other blob.
    async fn push_json(&self, repository: &Repository, blob: &Content) -> Result<(), oci::Error> {
        if let Some(upload) = &self.executor.upload {
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

    /// Says now and then how much of a large blob is on its way.
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

    /// The tags that the plan gives to a manifest.
    fn tags_of(&self, repository: &Repository, manifest: &Digest) -> impl Iterator<Item = Named<'a>> {
        self.tags().filter(move |named| named.repository == repository && named.to == manifest)
    }

    fn tags(&self) -> impl Iterator<Item = Named<'a>> {
        self.plan.writes.iter().filter_map(|write| match write {
            Write::Tag { repository, tag, from, to } => Some(Named { repository, tag, from: from.as_ref(), to }),
            Write::Push { .. } => None,
        })
    }

    /// Versions do not move: nobody has published other content under them since the plan was made.
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

    /// A manifest whose blobs were pushed. A registry may not know yet, or no longer, what it has just been given: then it gets it
    /// again.
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

    /// Under its version's tag.
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

    /// Of an index, what it names first: leaves, then the indexes among them.
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

/// A tag, what it names and what it shall name.
#[derive(Clone, Copy)]
struct Named<'a> {
    repository: &'a Repository,
    tag: &'a Tag,
    from: Option<&'a Digest>,
    to: &'a Digest,
}

pub(super) fn unknown(repository: &Repository, digest: &Digest) -> oci::Error {
    oci::Error::new(oci::Kind::NotFound, "push", format!("{repository}@{digest}"), "its bytes are not at hand")
}

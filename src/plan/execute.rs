//! Doing what a plan says: content and manifests at once, the release after what it names, the channel last.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures_util::future::try_join_all;
use tokio::sync::Semaphore;

use super::desired::Desired;
use super::progress::{Event, Progress};
use super::publish::{Action, Plan};
use crate::oci::{self, Artifact, Content, Descriptor, Digest, ReadStore, Repository, Selector, Store, Tag};
use crate::release::{self, MoveKind, Record};

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

/// The bytes that a plan's digests stand for, and everything that the release names.
#[derive(Debug)]
pub struct Contents<'a> {
    artifacts: BTreeMap<&'a Digest, &'a Artifact>,
    blobs: BTreeMap<&'a Digest, &'a Content>,
    named: Vec<(&'a Repository, &'a Tag)>,
}

impl<'a> Contents<'a> {
    /// The bytes of a publication.
    pub fn of(desired: &'a Desired) -> Self {
        let artifacts: BTreeMap<_, _> = desired.all().map(|one| (one.artifact.digest(), &one.artifact)).collect();
        let blobs = artifacts.values().flat_map(|artifact| artifact.blobs());
        let blobs = blobs.map(|blob| (&blob.descriptor().digest, blob)).collect();
        let named = desired.all().map(|one| (&one.repository, &one.tag)).collect();
        Self { artifacts, blobs, named }
    }
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
    /// What was written cannot be read as an appliance reads it.
    #[error("{repository}:{tag} cannot be read back; the version stays published, the channel did not move")]
    NotReadable {
        /// Where.
        repository: Repository,
        /// Which tag.
        tag: Tag,
        /// Without credentials?
        anonymous: bool,
        /// Why.
        source: oci::Error,
    },
    /// A tag names something else than what was just written: somebody else writes too.
    #[error("{repository}:{tag} names {found} instead of {expected}: somebody else moved it meanwhile")]
    Moved {
        /// Where.
        repository: Repository,
        /// Which tag.
        tag: Tag,
        /// What it should name.
        expected: String,
        /// What it names.
        found: String,
    },
}

/// What a plan is executed with.
#[derive(Debug)]
pub struct Executor<'a> {
    /// Where it is written.
    pub store: &'a Store,
    /// As whom it is read back before a channel moves, when that is somebody else: the anonymous public.
    pub public: Option<&'a ReadStore>,
    /// How many requests at once.
    pub jobs: usize,
}

/// Executes `plan`; gives the digest of the channel's new manifest when it moved one.
///
/// # Errors
/// See [`ExecuteError`]. The channel serves the whole old or the whole new release, whatever happened.
pub async fn execute(
    plan: &Plan,
    contents: &Contents<'_>,
    record: &MoveRecord,
    executor: &Executor<'_>,
    progress: &dyn Progress,
) -> Result<Option<Digest>, ExecuteError> {
    let run = Run {
        plan,
        contents,
        executor,
        progress,
        permits: Semaphore::new(executor.jobs.max(1)),
        done: Mutex::default(),
    };
    run.write().await?;
    if plan.is_empty() {
        return Ok(None);
    }
    let moves = plan.actions.iter().find(|action| matches!(action, Action::Move { .. }));
    run.read_back(moves.is_some()).await?;
    progress.event(&Event::ReadBack);
    match moves {
        Some(action) => run.move_channel(action, record).await.map(Some),
        None => Ok(None),
    }
}

struct Run<'a> {
    plan: &'a Plan,
    contents: &'a Contents<'a>,
    executor: &'a Executor<'a>,
    progress: &'a dyn Progress,
    permits: Semaphore,
    done: Mutex<Vec<String>>,
}

impl Run<'_> {
    /// Pushes and version tags. A release's manifest is written when all else is there.
    async fn write(&self) -> Result<(), ExecuteError> {
        let pushes = || {
            self.plan.actions.iter().filter_map(|action| match action {
                Action::Push { repository, descriptor } => Some((repository, descriptor)),
                _ => None,
            })
        };
        let is_release = |descriptor: &Descriptor| descriptor.artifact_type.as_deref() == Some(release::ARTIFACT_TYPE);
        let bytes =
            pushes().filter_map(|(_, descriptor)| self.contents.artifacts.get(&descriptor.digest)).map(|a| a.size());
        self.progress.event(&Event::Started { bytes: bytes.sum() });
        let first = pushes().map(|(repository, descriptor)| async move {
            self.push_blobs(repository, descriptor).await?;
            if is_release(descriptor) { Ok(()) } else { self.push_manifest(repository, descriptor).await }
        });
        try_join_all(first).await.map_err(|source| self.stopped(source))?;
        let last = pushes().filter(|(_, descriptor)| is_release(descriptor));
        let last = last.map(|(repository, descriptor)| self.push_manifest(repository, descriptor));
        try_join_all(last).await.map_err(|source| self.stopped(source))?;
        Ok(())
    }

    async fn push_blobs(&self, repository: &Repository, manifest: &Descriptor) -> Result<(), oci::Error> {
        let Some(artifact) = self.contents.artifacts.get(&manifest.digest) else {
            return Err(unknown(repository, &manifest.digest));
        };
        let pushes = artifact.blobs().iter().map(|blob| async {
            let _permit = self.permits.acquire().await;
            self.executor.store.push_blob(repository, blob).await?;
            self.progress.event(&Event::Stored { repository, bytes: blob.descriptor().size });
            Ok(())
        });
        try_join_all(pushes).await.map(drop)
    }

    async fn push_manifest(&self, repository: &Repository, manifest: &Descriptor) -> Result<(), oci::Error> {
        let Some(artifact) = self.contents.artifacts.get(&manifest.digest) else {
            return Err(unknown(repository, &manifest.digest));
        };
        let tag = self.plan.actions.iter().find_map(|action| match action {
            Action::Tag { repository: at, tag, to, .. } if at == repository && *to == manifest.digest => Some(tag),
            _ => None,
        });
        let _permit = self.permits.acquire().await;
        self.executor.store.push_manifest(repository, artifact.manifest(), tag).await?;
        self.progress.event(&Event::Stored { repository, bytes: manifest.size });
        if let Some(tag) = tag {
            self.progress.event(&Event::Tagged { repository, tag });
        }
        if let Ok(mut done) = self.done.lock() {
            done.push(
                tag.map_or_else(|| format!("{repository}@{}", manifest.digest), |tag| format!("{repository}:{tag}")),
            );
        }
        Ok(())
    }

    fn stopped(&self, source: oci::Error) -> ExecuteError {
        let done = self.done.lock().map(|done| done.clone()).unwrap_or_default();
        let all = self.plan.actions.iter().filter_map(|action| match action {
            Action::Tag { repository, tag, .. } => Some(format!("{repository}:{tag}")),
            Action::Move { repository, channel, .. } => Some(format!("{repository}:{channel}")),
            Action::Push { .. } => None,
        });
        let left = all.filter(|name| !done.contains(name)).collect();
        ExecuteError::Stopped { done, left, source }
    }

    /// Everything that the release names, read as an appliance will read it, all at once.
    async fn read_back(&self, before_move: bool) -> Result<(), ExecuteError> {
        let public = self.executor.public.filter(|_| before_move);
        let reader = public.unwrap_or_else(|| self.executor.store.read());
        let reads = self.contents.named.iter().map(|&(repository, tag)| async move {
            let _permit = self.permits.acquire().await;
            let read = reader.manifest(repository, &Selector::Tag(tag.clone())).await;
            let (descriptor, _) = read.map_err(|source| ExecuteError::NotReadable {
                repository: repository.clone(),
                tag: tag.clone(),
                anonymous: public.is_some(),
                source,
            })?;
            match self.expected(repository, tag) {
                Some(expected) if *expected != descriptor.digest => {
                    Err(moved(repository, tag, Some(expected), Some(&descriptor.digest)))
                }
                _ => Ok(()),
            }
        });
        try_join_all(reads).await.map(drop)
    }

    /// What the plan wrote under `tag`.
    fn expected(&self, repository: &Repository, tag: &Tag) -> Option<&Digest> {
        self.plan.actions.iter().find_map(|action| match action {
            Action::Tag { repository: at, tag: name, to, .. } if at == repository && name == tag => Some(to),
            _ => None,
        })
    }

    /// The keep-alive tag, then the channel: looked at right before and right after. There is no compare-and-swap: what
    /// another publisher writes within that one round trip is overwritten, and shows as a gap in the chain of records.
    async fn move_channel(&self, action: &Action, record: &MoveRecord) -> Result<Digest, ExecuteError> {
        let Action::Move { repository, channel, release, config, from, sequence, kind } = action else {
            unreachable!("the caller found a move");
        };
        let record = Record {
            name: channel.to_string(),
            release: release.clone(),
            sequence: *sequence,
            previous: from.clone(),
            kind: MoveKind::clone(kind),
            moved: record.moved.clone(),
            by: record.by.clone(),
            from: record.from.clone(),
            reason: record.reason.clone(),
        };
        let json = self.contents.blobs.get(&config.digest);
        let json = json.ok_or_else(|| self.stopped(unknown(repository, &config.digest)))?;
        let artifact = release::channel_artifact(json.bytes().to_vec(), &record);
        let keep_alive = release::keep_alive_tag(channel, *sequence, artifact.digest());
        let store = self.executor.store;
        let write = |source| self.stopped(source);
        for blob in artifact.blobs() {
            store.push_blob(repository, blob).await.map_err(write)?;
        }
        store.push_manifest(repository, artifact.manifest(), Some(&keep_alive)).await.map_err(write)?;
        let found = self.served(repository, channel).await.map_err(write)?;
        same(repository, channel, from.as_ref(), found.as_ref())?;
        self.point(repository, channel, &artifact).await?;
        self.progress.event(&Event::Moved { channel });
        Ok(artifact.digest().clone())
    }

    /// Lets the channel's tag name the manifest, and looks whether it does.
    async fn point(&self, repository: &Repository, channel: &Tag, artifact: &Artifact) -> Result<(), ExecuteError> {
        let unconfirmed =
            |source| ExecuteError::Unconfirmed { repository: repository.clone(), channel: channel.clone(), source };
        let written = self.executor.store.push_manifest(repository, artifact.manifest(), Some(channel)).await;
        written.map_err(|source| if is_an_answer(&source) { self.stopped(source) } else { unconfirmed(source) })?;
        let found = self.served(repository, channel).await.map_err(unconfirmed)?;
        same(repository, channel, Some(artifact.digest()), found.as_ref())
    }

    /// What the channel names now.
    async fn served(&self, repository: &Repository, channel: &Tag) -> Result<Option<Digest>, oci::Error> {
        match self.executor.store.read().resolve(repository, channel).await {
            Ok(digest) => Ok(Some(digest)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Does a failed write say that nothing was written? Otherwise it may be that only the answer was lost.
fn is_an_answer(error: &oci::Error) -> bool {
    matches!(error.kind(), oci::Kind::NotFound | oci::Kind::Refused | oci::Kind::Denied | oci::Kind::Io)
}

fn same(
    repository: &Repository,
    channel: &Tag,
    expected: Option<&Digest>,
    found: Option<&Digest>,
) -> Result<(), ExecuteError> {
    if found == expected { Ok(()) } else { Err(moved(repository, channel, expected, found)) }
}

fn moved(repository: &Repository, tag: &Tag, expected: Option<&Digest>, found: Option<&Digest>) -> ExecuteError {
    let text = |digest: Option<&Digest>| digest.map_or_else(|| "nothing".to_owned(), ToString::to_string);
    ExecuteError::Moved {
        repository: repository.clone(),
        tag: tag.clone(),
        expected: text(expected),
        found: text(found),
    }
}

fn unknown(repository: &Repository, digest: &Digest) -> oci::Error {
    oci::Error::new(oci::Kind::NotFound, "pushing", format!("{repository}@{digest}"), "its bytes are not at hand")
}

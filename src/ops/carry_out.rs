//! The end of every verb that writes: observe, plan, compare with the approval, and carry the plan out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::ready;
use serde::Deserialize;

use super::signing::{Proving, SignedBy, now, read_from, trust};
use super::transfer::TransferExtent;
use super::{Connection, Context, Error, Signing, lint};
use crate::config::Config;
use crate::diff::{self, Diff, Side};
use crate::oci::{self, Content, Digest, Location, Repository, Tag, Upload, media_type};
use crate::plan::{
    self, Approval, Approved, ChannelState, Depth, Desired, ExecuteError, Executor, Inputs, MoveRecord, Moving,
    Observed, ObservedChannel, Plan,
};
use crate::release::MoveKind;
use crate::text::shown;
use crate::trust::ReadFrom;
use crate::verify::Trust;

/// Time over which publishers that met spread their next attempts; doubled with each attempt.
const SPREAD: Duration = Duration::from_secs(1);
/// Largest number of tags that a warning names.
const NAMED: usize = 5;

/// Conditions of a move, and the person and the reason for its record.
#[derive(Clone, Debug, Default)]
pub struct MoveTerms {
    /// Only plan that may be carried out; `None` for any.
    pub approved: Option<Approved>,
    /// Manifest that the channel must have; `Some(None)` when the channel must not exist yet.
    pub if_current: Option<Option<Digest>>,
    /// Whether the channel may move between versions that have no order.
    pub allow_unordered: bool,
    /// Sequence number of an announced move that counts however far it is from the last one.
    pub accept_sequence: Option<u64>,
    /// Who moves the channel, for its record.
    pub by: Option<String>,
    /// Why the channel moves, for its record.
    pub reason: Option<String>,
    /// What signs the artifacts and the move; `None` writes without signatures.
    pub signing: Option<Arc<Signing>>,
}

impl MoveTerms {
    /// Returns the terms of a copy: a copy that gives its signatures up signs nothing.
    pub(super) fn of_copy(&self, extent: &TransferExtent) -> Self {
        let mut terms = self.clone();
        terms.signing = terms.signing.filter(|_| !extent.drop_signatures);
        terms
    }

    pub(super) fn moving<'a>(&self, channel: &'a Tag, kind: MoveKind) -> Moving<'a> {
        let (allow_unordered, if_current) = (self.allow_unordered, self.if_current.clone());
        Moving { channel, kind, allow_unordered, if_current, min_age: None, renewal: None, copied: None }
    }

    /// Returns the record of a move that is made now; `from` is the name by which the release was requested.
    pub(super) fn record(&self, from: Option<String>, context: &Context) -> MoveRecord {
        // What was signed elsewhere has its time already, and its signer if no other is named.
        let given = self.signing.as_ref().and_then(|signing| signing.given_circumstances());
        let (moved, by) = match given {
            Some((issued, by)) => (issued.to_string(), self.by.clone().or(by)),
            None => (context.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), self.by.clone()),
        };
        MoveRecord { moved, by, from, reason: self.reason.clone() }
    }

    /// Verifies the statements of what a channel serves and of the moves that were announced, where moves are signed.
    pub(super) async fn verified(
        &self,
        observed: ObservedChannel,
        channel: &Tag,
        source: ReadFrom<'_>,
        (connection, repository): (&Connection, &Repository),
    ) -> Result<ObservedChannel, Error> {
        let Some(signing) = &self.signing else { return Ok(observed) };
        signing.follow(connection, repository).await?;
        let place = (connection.read(), repository);
        signing.observed(observed, (channel, self.accept_sequence), source, place, connection.context()).await
    }

    /// Returns the keys that signed what a plan writes. To know what is signed already, a key may sign although nothing is
    /// written.
    pub(super) fn signed_by(&self, plan: &Plan) -> Vec<SignedBy> {
        let signing = self.signing.as_ref().filter(|_| !plan.is_empty());
        signing.map(|signing| signing.signed_by()).unwrap_or_default()
    }

    /// Returns what the signatures of a release at `location` are verified by.
    pub(super) fn trust(&self, location: &Location, context: &Context) -> Option<Trust<'_>> {
        self.signing.as_ref().map(|signing| trust(signing.document(), location, context))
    }

    pub(super) fn check(&self, plan: &Plan) -> Result<(), Error> {
        Ok(plan.check(self.approved.as_ref())?)
    }
}

/// Reads the plan that was approved out of the JSON of its dry run.
///
/// # Errors
/// When the JSON is not the report of a dry run, or its content does not have its digest.
pub fn approved(json: &[u8]) -> Result<Approved, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Report {
        plan_digest: Digest,
        approval: Approval,
        plan: Actions,
    }
    #[derive(Deserialize)]
    struct Actions {
        actions: Vec<Action>,
    }
    #[derive(Deserialize)]
    struct Action {
        action: String,
        sequence: Option<u64>,
    }
    let report: Report = serde_json::from_slice(json).map_err(|cause| Error::Approval(cause.to_string()))?;
    if report.approval.digest() != report.plan_digest {
        let reason =
            format!("its content has the digest {}, expected {}", report.approval.digest(), report.plan_digest);
        return Err(Error::Approval(reason));
    }
    let sequence = report.plan.actions.iter().find(|one| one.action == "move").and_then(|one| one.sequence);
    Ok(Approved { digest: report.plan_digest, content: Some(report.approval), sequence })
}

/// A plan with what it was made against.
#[derive(Debug)]
pub(super) struct Planned {
    pub plan: Plan,
    pub observed: Observed,
}

/// Observes what the target holds of `desired`, and plans.
pub(super) async fn planned(
    target: &Connection,
    desired: &Desired,
    channel: ObservedChannel,
    moving: Option<&Moving<'_>>,
) -> Result<Planned, Error> {
    let observed = plan::observe(target.read(), desired, Depth::Tags, ready(Ok(channel))).await?;
    let plan = plan::plan(desired, &observed, moving)?;
    Ok(Planned { plan, observed })
}

/// Largest number of times that a move is planned again after another publisher moved the channel.
const ATTEMPTS: u32 = 8;

/// A plan that is carried out, with its target and its terms.
pub(super) struct Carrying<'a> {
    pub target: &'a Connection,
    /// Store that the release is copied from; `None` when it is in the target.
    pub origin: Option<&'a Connection>,
    pub desired: &'a Desired,
    pub moving: Option<&'a Moving<'a>>,
    pub terms: &'a MoveTerms,
    pub record: &'a MoveRecord,
    pub context: &'a Context,
}

impl Carrying<'_> {
    /// Carries a plan out where the target was opened for writing; returns the digest of the manifest that the channel has then. Where
    /// another publisher moves the channel at the same time, one of them wins: after a wait, the move is planned again, as long as the
    /// channel serves the release that it served at first, and the plan was not bound to that. `planned` is then the plan that was
    /// carried out.
    pub(super) async fn carry_out(
        &self,
        planned: &mut Planned,
        upload: Option<Upload>,
    ) -> Result<Option<Digest>, Error> {
        let first = planned.observed.channel.serves.clone();
        let before = first.as_ref().map(|serves| serves.manifest.clone());
        let before = before.filter(|_| planned.plan.moves.is_none());
        if let (Some(signing), Some(moves)) = (&self.terms.signing, &planned.plan.moves) {
            signing.check_release(&moves.release)?;
        }
        if let Some(signing) = self.terms.signing.as_ref().filter(|signing| signing.is_preparing()) {
            self.signatures(&planned.plan, &planned.observed).await?;
            signing.write_prepared(self.context)?;
            return Ok(before);
        }
        self.warn_of_unproven(planned);
        let Some(store) = self.target.store() else { return Ok(before) };
        self.warn_of_ignored(planned);
        let upload = match upload {
            // The channel serves the release already: its JSON is not pushed.
            Some(upload) if planned.plan.moves.is_none() => {
                store.cancel_upload(upload).await;
                None
            }
            upload => upload,
        };
        let executor = Executor::new(store, &*self.context.clock, self.target.retry_for());
        let mut executor = Executor { public: self.target.public(), upload, ..executor };
        let mut lost = BTreeSet::new();
        let moved = self.moved(planned, (first.as_ref(), before), &mut executor, &mut lost).await;
        if let Some(moving) = self.moving {
            plan::withdraw(store, (&self.desired.release.repository, moving.channel), &lost).await;
        }
        moved
    }

    /// Carries a plan out, and plans again as long as other publishers announce moves at the same time. The announcements
    /// whose moves did not happen are added to `lost`.
    async fn moved(
        &self,
        planned: &mut Planned,
        (first, before): (Option<&ChannelState>, Option<Digest>),
        executor: &mut Executor<'_>,
        lost: &mut BTreeSet<Digest>,
    ) -> Result<Option<Digest>, Error> {
        for attempt in 0.. {
            let Planned { plan, observed } = &*planned;
            let signatures = self.signatures(plan, observed).await?;
            let signatures = &signatures[..];
            let copied = self.moving.and_then(|moving| Some(&moving.copied?.artifact));
            let inputs = Inputs { plan, desired: self.desired, observed, record: self.record, signatures, copied };
            let error = match plan::execute(&inputs, executor, &*self.context.progress).await {
                Ok(moved) => return Ok(moved.or(before)),
                Err(error) => error,
            };
            lost.extend(error.lost().cloned());
            let ExecuteError::Rival { seen, moved: false, .. } = &error else { return Err(error.into()) };
            if self.is_bound() || attempt >= ATTEMPTS {
                return Err(error.into());
            }
            executor.given_up.extend(seen.iter().cloned());
            executor.upload = None;
            self.wait(&error, attempt).await;
            *planned = self.plan_again(first, &executor.given_up).await?;
            if planned.plan.moves.is_none() {
                return Ok(planned.observed.channel.serves.as_ref().map(|serves| serves.manifest.clone()));
            }
        }
        unreachable!("an endless loop")
    }

    /// Returns the layers that prove a signed move. A move that an earlier run announced has its proof already.
    async fn signatures(&self, plan: &Plan, observed: &Observed) -> Result<Vec<Content>, Error> {
        let (Some(signing), Some(moves)) = (&self.terms.signing, &plan.moves) else { return Ok(Vec::new()) };
        if moves.adopts.is_some() {
            return Ok(Vec::new());
        }
        let (record, observed, now) = (self.record, &observed.channel, now(self.context));
        let proving = Proving { moves, record, observed, source: self.source(), now };
        let renewal = self.moving.and_then(|moving| moving.renewal.as_ref());
        if let Some(renewal) = renewal.filter(|_| moves.refreshes.is_some()) {
            return signing.prove_refresh(&proving, renewal).await;
        }
        // The target may not have the release yet.
        let (own, store) = (own_bundles(self.desired, &moves.release), self.origin.unwrap_or(self.target).read());
        let release = signing.release_bundles(own, observed, store, (&moves.repository, &moves.release)).await?;
        signing.prove(&proving, release).await
    }

    /// Returns how readers verify the channel. A refresh is made for those of a registry, also where the channel is in a
    /// directory that is copied there.
    fn source(&self) -> ReadFrom<'static> {
        match self.moving {
            Some(Moving { renewal: Some(_), .. }) => ReadFrom::Registry,
            _ => read_from(self.target.read()),
        }
    }

    /// Returns whether the terms bind the run to one plan or to one manifest of the channel.
    fn is_bound(&self) -> bool {
        self.terms.approved.is_some() || self.terms.if_current.is_some()
    }

    /// Waits until every publisher that was there has moved or never will, and then for a time of its own.
    async fn wait(&self, error: &ExecuteError, attempt: u32) {
        let spread = SPREAD * (1 << attempt.min(4));
        let wait = plan::GRACE + oci::jittered(spread * 2).saturating_sub(spread);
        self.context.note(&format!("{error}; trying again in {:.1} s", wait.as_secs_f64()));
        self.context.clock.sleep(wait).await;
    }

    /// Plans again, unless the channel has moved since `first` to another release.
    async fn plan_again(&self, first: Option<&ChannelState>, given_up: &BTreeSet<Tag>) -> Result<Planned, Error> {
        let desired = self.desired;
        let Some(moving) = self.moving else { unreachable!("only a move meets another one") };
        let repository = &desired.release.repository;
        let accepted = self.terms.accept_sequence;
        let channel = plan::observe_channel(self.target.read(), repository, moving.channel, accepted, None).await?;
        let mut channel =
            self.terms.verified(channel, moving.channel, self.source(), (self.target, repository)).await?;
        if let Some(serves) = &channel.serves
            && Some(&serves.release) != first.map(|first| &first.release)
            && !serves.serves(&desired.release.digest, &desired.release.json)
        {
            let first = first.map(|first| &first.manifest);
            return Err(plan::overtaken(repository, moving.channel, first, serves).into());
        }
        // Whoever met others announces the move anew: an announcement that is given up tells them nothing any more.
        channel.announced.retain(|one| !given_up.contains(&one.tag()));
        channel.refreshes.retain(|one| !given_up.contains(&one.tag()));
        planned(self.target, desired, channel, Some(moving)).await
    }

    /// Warns that the version of the channel is not compared, because its keys did not make the channel serve it.
    fn warn_of_unproven(&self, Planned { plan, observed }: &Planned) {
        let (Some(moves), Some(serves), Some(signed)) =
            (&plan.moves, &observed.channel.serves, &observed.channel.signed)
        else {
            return;
        };
        if !signed.is_proven && moves.kind != MoveKind::Rollback {
            let (channel, version) = (&moves.channel, shown(&serves.version));
            self.context.warn(&format!(
                "{channel} serves {version} without a statement that counts: its version is not compared with that of the release"
            ));
        }
    }

    /// Warns about tags that look like later moves and do not count.
    fn warn_of_ignored(&self, planned: &Planned) {
        let ignored = &planned.observed.channel.ignored;
        if planned.plan.moves.is_none() || ignored.is_empty() {
            return;
        }
        let (shown, more) = ignored.split_at(ignored.len().min(NAMED));
        let mut names: Vec<String> = shown.iter().map(ToString::to_string).collect();
        if !more.is_empty() {
            names.push(format!("and {} more", more.len()));
        }
        self.context.warn(&format!(
            "tags that look like later moves of the channel and do not count: {} (the tag does not point to such a move, or the number is \
             too far from that of the last move); `--accept-sequence N` counts the number N",
            names.join(", ")
        ));
    }
}

/// Returns the bundles that sign a release and that the plan writes.
fn own_bundles(desired: &Desired, release: &Digest) -> Vec<Vec<u8>> {
    let referrers = desired.attached.iter().flat_map(|(_, attached)| &attached.referrers);
    let of_release = referrers.filter(|(subject, descriptor, _)| {
        subject == release && descriptor.artifact_type.as_deref() == Some(media_type::SIGSTORE_BUNDLE)
    });
    let layers = of_release.flat_map(|(.., artifact)| artifact.blobs());
    let bundles = layers.filter(|blob| blob.descriptor().media_type == media_type::SIGSTORE_BUNDLE);
    bundles.filter_map(Content::bytes).map(|bytes| bytes.to_vec()).collect()
}

/// Opens an upload for a channel's JSON while the checks are running, so that the round trip is saved. Nothing is written by it.
pub(super) async fn open_upload(target: &Connection, repository: &Repository) -> Result<Option<Upload>, Error> {
    match target.store().filter(|_| matches!(target.location, Location::Registry(_))) {
        Some(store) => Ok(store.open_upload(repository).await?),
        None => Ok(None),
    }
}

/// Gives up an upload after a refusal.
pub(super) async fn cancel(target: &Connection, upload: Option<Upload>) {
    if let (Some(store), Some(upload)) = (target.store(), upload) {
        store.cancel_upload(upload).await;
    }
}

/// Compares what the channel serves with what it would serve.
pub(super) async fn compare(
    target: &Connection,
    config: &Config,
    channel: Option<(&Tag, &ObservedChannel)>,
    to: &Side<'_>,
) -> Result<Diff, Error> {
    let serves = channel.and_then(|(name, observed)| Some((name, observed.serves.as_ref()?)));
    let from = serves.map(|(name, serves)| Side::served(target.read(), config, name.as_str(), serves)).transpose()?;
    let from = from.map(|side| side.in_store(&target.location));
    let mut diff = diff::compare(from.as_ref(), to).await?;
    diff.to.store.get_or_insert_with(|| target.location.to_string());
    lint::add_not_covered(&mut diff, to).await?;
    Ok(diff)
}

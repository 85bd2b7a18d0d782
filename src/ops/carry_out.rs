//! The end of every verb that writes: observe, plan, compare with the approval, and carry the plan out.

use futures_util::future::ready;
use serde::Deserialize;

use super::{Connection, Context, Error};
use crate::config::Config;
use crate::diff::{self, Diff, Side};
use crate::oci::{Digest, Location, Repository, Tag, Upload};
use crate::plan::{
    self, Approval, Approved, Desired, Executor, Inputs, MoveRecord, Moving, Observed, ObservedChannel, Plan,
};
use crate::release::MoveKind;

/// What a move is bound to, and who makes it.
#[derive(Clone, Debug, Default)]
pub struct MoveTerms {
    /// The only plan that may be carried out.
    pub approved: Option<Approved>,
    /// Manifest that the channel must have; `Some(None)` when the channel must not exist yet.
    pub if_current: Option<Option<Digest>>,
    /// Whether the channel may move between versions that have no order.
    pub allow_unordered: bool,
    /// Who moves the channel, for its record.
    pub by: Option<String>,
    /// Why the channel moves, for its record.
    pub reason: Option<String>,
}

impl MoveTerms {
    pub(super) fn moving<'a>(&self, channel: &'a Tag, kind: MoveKind) -> Moving<'a> {
        let (allow_unordered, if_current) = (self.allow_unordered, self.if_current.clone());
        Moving { channel, kind, allow_unordered, if_current, min_age: None }
    }

    /// The record of a move that is made now; `from` is what the release was asked for by.
    pub(super) fn record(&self, from: Option<String>, context: &Context) -> MoveRecord {
        let moved = context.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        MoveRecord { moved, by: self.by.clone(), from, reason: self.reason.clone() }
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
    let observed = plan::observe(target.read(), desired, ready(Ok(channel))).await?;
    let plan = plan::plan(desired, &observed, moving)?;
    Ok(Planned { plan, observed })
}

/// Carries a plan out where the target was opened for writing; returns the digest of the manifest that the channel has then.
pub(super) async fn carry_out(
    target: &Connection,
    desired: &Desired,
    Planned { plan, observed }: &Planned,
    record: &MoveRecord,
    upload: Option<Upload>,
    context: &Context,
) -> Result<Option<Digest>, Error> {
    let serves = observed.channel.serves.as_ref().map(|serves| serves.manifest.clone());
    let before = serves.filter(|_| plan.moves.is_none());
    let Some(store) = target.store() else { return Ok(before) };
    let upload = match upload {
        // The channel serves the release already: its JSON is not pushed.
        Some(upload) if plan.moves.is_none() => {
            store.cancel_upload(upload).await;
            None
        }
        upload => upload,
    };
    let executor = Executor { store, public: target.public(), upload };
    let inputs = Inputs { plan, desired, observed, record };
    Ok(plan::execute(&inputs, &executor, &*context.progress).await?.or(before))
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
    Ok(diff::compare(from.as_ref(), to).await?)
}

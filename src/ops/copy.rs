//! Copying: a whole release with everything that it names, to a mirror, to a disk, or from a disk.

use serde::Serialize;

use super::carry_out::{Carrying, MoveTerms, Planned, planned};
use super::copied::SourceTrust;
use super::resolve::{is_channel, recorded_channel};
use super::signing::read_from;
use super::transfer::{Ready, Target, Transfer, TransferExtent, size};
use super::{Connection, Context, Error, SignedBy, copied};
use crate::config::Config;
use crate::oci::archive::Existing;
use crate::oci::{Digest, Pinned, Selector, Tag};
use crate::plan::copy::{Cost, Left, cost};
use crate::plan::{
    self, Approval, ArtifactReport, ChannelState, DesiredRelease, Moving, Observed, ObservedChannel, Plan,
    artifact_reports,
};
use crate::release::{self, MoveKind};

/// Version of the report's JSON, `docs/schemas/copy.json`.
const SCHEMA: &str = "alga.release.copy/v1";

/// A release to copy, and the channel that is to serve the copy.
#[derive(Clone, Debug)]
pub struct CopyRequest {
    /// Channel, version or digest of the release.
    pub reference: String,
    /// Channel of the target that is to serve the release.
    pub channel: Option<String>,
    /// Conditions of the copy, and the person and the reason for the record of the channel.
    pub terms: MoveTerms,
    /// Parts of the release that are copied, and their names in the target.
    pub extent: TransferExtent,
    /// Whether nothing is written. An archive is not opened before it is written, so the target does not tell.
    pub dry_run: bool,
    /// Whether an archive that exists and holds something else is replaced.
    pub force: bool,
}

/// A copy, for people and programs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyReport {
    /// Version of this JSON, [`SCHEMA`].
    pub schema: &'static str,
    /// Whether this is the report of a dry run.
    pub dry_run: bool,
    /// Whether the copy wrote anything, or a dry run would.
    pub has_changes: bool,
    /// Store that the release was read from.
    pub from: String,
    /// Store that the release is copied to.
    pub store: String,
    /// Prefix under which the copy is read.
    pub prefix: String,
    /// Version of the release.
    pub version: String,
    /// The release that was read.
    pub origin: Pinned,
    /// Digest of the release in the target: another one where it was rewritten.
    pub digest: Digest,
    /// Whether the release was rewritten.
    pub rewritten: bool,
    /// Digest of the plan, which `--if-plan` takes.
    pub plan_digest: Digest,
    /// Content of the plan digest: everything that will be true afterwards.
    pub approval: Approval,
    /// The writes, in order.
    pub plan: Plan,
    /// Charts, bundle, images, release.
    pub artifacts: Vec<ArtifactReport>,
    /// Count of signatures and other manifests that refer to those, and that the target lacked.
    pub attached: usize,
    /// Keys that signed what was written; empty in a dry run, and when nothing was signed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signed_by: Vec<SignedBy>,
    /// Artifacts that the release names and the copy leaves out.
    pub left: Vec<Left>,
    /// Bytes and requests that the copy would need; only in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// The channel that serves the copy, when one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<CopyChannel>,
    /// Images that a rewritten release still pulls from elsewhere.
    pub elsewhere: Vec<String>,
    /// Warnings for people, a line each.
    pub warnings: Vec<String>,
}

/// The channel of a copy.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyChannel {
    /// Name of the channel.
    pub name: Tag,
    /// Whether the channel moves.
    pub moves: bool,
    /// Version that the channel served before.
    pub from: Option<String>,
    /// Digest of the channel's manifest before, which `--if-current` takes.
    pub before: Option<Digest>,
    /// Digest of the channel's manifest after.
    pub manifest: Option<Digest>,
    /// Sequence number of the channel's last move.
    pub sequence: u64,
}

/// Copies a release from `source` to `target`.
///
/// # Errors
/// When something that the release names cannot be read, a rule forbids the move of the channel, or a store fails.
pub async fn copy(
    request: &CopyRequest,
    config: &Config,
    source: &Connection,
    target: &Target,
    context: &Context,
) -> Result<CopyReport, Error> {
    let to: Option<Tag> = request.channel.as_deref().map(str::parse).transpose()?;
    let selector: Selector = request.reference.parse()?;
    let vendor = SourceTrust::open(&request.terms, &request.extent, (source, config), context).await?;
    let request = &CopyRequest { terms: request.terms.of_copy(&request.extent), ..request.clone() };
    follow(request, config, source, target, context).await?;
    let observed = async {
        match (&to, target.connection()) {
            (Some(channel), Some(target)) => {
                let (repository, accepted) = (&config.repositories.release, request.terms.accept_sequence);
                let observed = plan::observe_channel(target.read(), repository, channel, accepted, None).await?;
                request.terms.verified(observed, channel, read_from(target.read()), (target, repository)).await
            }
            _ => Ok(ObservedChannel::default()),
        }
    };
    let (resolved, observed) =
        futures_util::try_join!(source.resolve(config, &request.reference, &selector), observed)?;
    if let Some(to) = &to {
        recorded_channel(config, to, &observed)?;
    }
    let trust = vendor.of(source, config, (&selector, &resolved), context)?;
    let config = &source.described(&resolved, &selector, config)?;
    let (terms, extent) = (&request.terms, &request.extent);
    let transfer = Transfer { config, source, target, extent, trust, signing: terms.signing.as_deref(), context };
    let carried = to.as_ref().filter(|to| extent.rewrite.is_none() && copied::is_carried(&resolved, &selector, to));
    if to.is_some() && carried.is_none() && target.connection().is_none() {
        return Err(Error::NoChannels { store: target.location().to_string() });
    }
    let in_channel = is_channel(config, &request.reference);
    let copied = match (carried, &selector, trust) {
        (Some(channel), ..) => Some(copied::read(source, config, &resolved, channel, trust).await?),
        (None, Selector::Tag(channel), Some(trust)) if in_channel => {
            copied::check_statement(source, config, &resolved, channel, trust).await?;
            None
        }
        _ => None,
    };
    let moves = to.is_some() && copied.is_none();
    let mut ready = Box::pin(transfer.read(&resolved, in_channel, moves, source.read().into())).await?;
    if let (Some(channel), Some(copied)) = (carried, &copied) {
        copied::check_json(&ready.desired.release.json, &resolved, channel)?;
        let keep_alive = release::keep_alive_tag(channel, copied.record.sequence, copied.artifact.digest());
        ready.channel = Some((vec![channel.clone(), keep_alive], copied.artifact.clone()));
    }
    let mut moving = to.as_ref().map(|channel| terms.moving(channel, MoveKind::Copy));
    if let Some(moving) = &mut moving {
        moving.copied = copied.as_ref();
    }
    let copying = Copying { request, transfer, moving };
    Box::pin(copying.carry_out(ready, observed)).await
}

/// Follows the trust document in the store whose vendor signs: that of the target where the copy is signed anew.
async fn follow(
    request: &CopyRequest,
    config: &Config,
    source: &Connection,
    target: &Target,
    context: &Context,
) -> Result<(), Error> {
    let Some(signing) = &request.terms.signing else { return Ok(()) };
    let repository = &config.repositories.release;
    match target.connection() {
        _ if !request.extent.is_signed_anew() => signing.follow(source, repository).await,
        Some(target) => signing.follow(target, repository).await,
        None => signing.check_file(context),
    }
}

struct Copying<'a> {
    request: &'a CopyRequest,
    transfer: Transfer<'a>,
    moving: Option<Moving<'a>>,
}

impl Copying<'_> {
    async fn carry_out(&self, mut ready: Ready, observed: ObservedChannel) -> Result<CopyReport, Error> {
        let (request, context, moving) = (self.request, self.transfer.context, self.moving.as_ref());
        if !request.dry_run {
            Box::pin(self.transfer.sign(&mut ready)).await?;
        }
        let mut planned = match self.transfer.target {
            Target::Store(target) => planned(target, &ready.desired, observed, moving).await.map_err(Error::of_copy)?,
            // An archive is written as a whole, so nothing in it is observed.
            Target::Archive(path) => {
                let observed = match Transfer::existing_archive(&ready, path)? {
                    Existing::Same => self.everything(&ready),
                    Existing::Other if !request.force => {
                        return Err(Error::ArchiveExists { store: self.transfer.target.location().to_string() });
                    }
                    Existing::Nothing | Existing::Other => Observed::nothing(&ready.desired),
                };
                Planned { plan: plan::plan(&ready.desired, &observed, moving)?, observed }
            }
        };
        request.terms.check(&planned.plan)?;
        ready.warnings.iter().for_each(|warning| context.warn(warning));
        let cost = if request.dry_run { Some(self.cost(&ready, &planned).await?) } else { None };
        let from = format!("{} {}", self.transfer.source.location, request.reference);
        let record = request.terms.record(Some(from), context);
        let manifest = match self.transfer.target {
            Target::Store(target) => {
                let (desired, terms, record) = (&ready.desired, &request.terms, &record);
                let origin = Some(self.transfer.source);
                let carrying = Carrying { target, origin, desired, moving, terms, record, context };
                carrying.carry_out(&mut planned, None).await?
            }
            Target::Archive(path) => {
                if !request.dry_run && !planned.plan.is_empty() {
                    self.transfer.write_archive(&ready, path).await?;
                }
                let copied = moving.and_then(|moving| moving.copied).filter(|_| !request.dry_run);
                copied.map(|copied| copied.artifact.digest().clone())
            }
        };
        Ok(self.report(ready, planned, cost, manifest))
    }

    /// Returns the observation of an archive that holds all of the copy.
    fn everything(&self, ready: &Ready) -> Observed {
        let mut observed = Observed::everything(&ready.desired);
        if let Some(copied) = self.moving.as_ref().and_then(|moving| moving.copied) {
            let DesiredRelease { version, json, digest, .. } = &ready.desired.release;
            observed.channel.sequence = copied.record.sequence;
            observed.channel.serves = Some(ChannelState {
                manifest: copied.artifact.digest().clone(),
                release: digest.clone(),
                version: version.clone(),
                json: json.clone(),
                record: Some(copied.record.clone()),
                signatures: Vec::new(),
            });
        }
        observed
    }

    async fn cost(&self, ready: &Ready, Planned { plan, observed }: &Planned) -> Result<Cost, Error> {
        match self.transfer.target {
            Target::Store(target) => Ok(cost(target.read(), plan, &ready.desired, observed).await?),
            Target::Archive(_) if plan.is_empty() => Ok(Cost::default()),
            Target::Archive(_) => Ok(Cost { bytes: size(&ready.desired), ..Cost::default() }),
        }
    }

    fn report(
        &self,
        ready: Ready,
        Planned { plan, observed }: Planned,
        cost: Option<Cost>,
        manifest: Option<Digest>,
    ) -> CopyReport {
        let serves = observed.channel.serves.as_ref();
        let channel = self.moving.as_ref().map(|moving| CopyChannel {
            name: moving.channel.clone(),
            moves: plan.moves.is_some(),
            from: serves.map(|serves| serves.version.clone()),
            before: serves.map(|serves| serves.manifest.clone()),
            manifest,
            sequence: plan.moves.as_ref().map_or(observed.channel.sequence, |moves| moves.sequence),
        });
        let digest = plan.approval.release.clone();
        let signed_by = self.request.terms.signed_by(&plan);
        CopyReport {
            schema: SCHEMA,
            dry_run: self.request.dry_run,
            has_changes: !plan.is_empty(),
            from: self.transfer.source.location.to_string(),
            store: self.transfer.target.location().to_string(),
            prefix: ready.desired.prefix.to_string(),
            version: ready.desired.release.version.clone(),
            rewritten: digest != ready.origin.digest,
            origin: ready.origin,
            digest,
            plan_digest: plan.digest(),
            approval: plan.approval.clone(),
            artifacts: artifact_reports(&plan, &ready.desired, self.request.dry_run),
            plan,
            attached: observed.attachments.len(),
            signed_by,
            left: ready.left,
            cost,
            channel,
            elsewhere: ready.elsewhere,
            warnings: ready.warnings,
        }
    }
}

//! Publishing: a source tree becomes a release in a store, and last a channel serves it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::carry_out::{self, Carrying, MoveTerms, Planned};
use super::pack::{PackRequest, Publication, pack};
use super::resolve::{not_a_version, not_reserved};
use super::signing::{StoredImages, read_from};
use super::{Connection, Context, Error, Kind, SignedBy, lint};
use crate::config::Config;
use crate::diff::{Diff, Side};
use crate::image;
use crate::lint::{Report, Severity, render};
use crate::oci::{Digest, Pinned, Tag};
use crate::plan::{
    self, Approval, ArtifactKind, ArtifactReport, Depth, Desired, ObservedChannel, Plan, artifact_reports,
};
use crate::release::MoveKind;

/// Version of the report's JSON, `docs/schemas/report.json`.
const SCHEMA: &str = "alga.release.report/v1";

/// What is published, and which channel is to serve it.
#[derive(Debug)]
pub struct PublishRequest {
    /// The tree, and what it is published as.
    pub pack: PackRequest,
    /// Whether the channel that the release names is to serve it.
    pub moves_channel: bool,
    /// What the publication is bound to, and who moves the channel.
    pub terms: MoveTerms,
    /// Whether every byte that is published already is read, and what is missing or wrong sent again.
    pub repairs: bool,
}

/// A publication, for people and programs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishReport {
    /// Version of this JSON, [`SCHEMA`].
    pub schema: &'static str,
    /// Whether nothing was written on purpose.
    pub dry_run: bool,
    /// Whether there was, or would be, anything to write.
    pub has_changes: bool,
    /// Location of the store that is written.
    pub store: String,
    /// Name under which appliances read the store.
    pub prefix: String,
    /// Version of the release.
    pub version: String,
    /// Digest of the release.
    pub digest: Digest,
    /// Digest of the plan, which `--if-plan` takes.
    pub plan_digest: Digest,
    /// What the digest of the plan covers.
    pub approval: Approval,
    /// The writes, in order.
    pub plan: Plan,
    /// Charts, bundle, control-plane image, release.
    pub artifacts: Vec<ArtifactReport>,
    /// The images that were pinned, by their keys.
    pub images: BTreeMap<String, Pinned>,
    /// Pinned reference of the control-plane image.
    pub control_plane: Option<Pinned>,
    /// What the signature of the release does not cover, sorted; `None` where the release is not signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_covered: Option<Vec<String>>,
    /// Keys that signed what was written; empty in a dry run, and when nothing was signed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signed_by: Vec<SignedBy>,
    /// The channel, when one was asked for.
    pub channel: Option<ChannelReport>,
    /// What the checks of the contents found.
    pub lint: Report,
    /// Whether every byte that was published already was read.
    #[serde(skip)]
    pub bytes_were_read: bool,
    /// What people should know, sorted by place.
    pub warnings: Vec<String>,
    /// In a dry run: what would change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<Diff>,
}

/// The channel of a publication.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelReport {
    /// Name of the channel.
    pub name: Tag,
    /// Whether the channel moved, or in a dry run would move.
    pub moves: bool,
    /// Version that the channel served before.
    pub from: Option<String>,
    /// Digest of the channel's manifest before; what `--if-current` takes.
    #[serde(skip)]
    pub before: Option<Digest>,
    /// Digest of the channel's manifest after the move.
    pub manifest: Option<Digest>,
    /// Sequence number of the channel's last move.
    pub sequence: u64,
}

/// Publishes a source tree. A store that was opened for reading makes a dry run of it.
///
/// # Errors
/// When something is wrong in the tree, an image is missing, a rule forbids the publication, or the store fails.
pub async fn publish(
    request: PublishRequest,
    config: &Config,
    target: &Connection,
    context: &Context,
) -> Result<PublishReport, Error> {
    let PublishRequest { pack: tree, moves_channel, terms, repairs } = request;
    let version = &tree.version;
    not_reserved(version)?;
    if let Some(channel) = config.channels.iter().find(|channel| is_reserved(version, channel)) {
        return Err(Error::VersionLikeChannel { version: version.clone(), channel: channel.clone() });
    }
    let (name, source) = (tree.channel.clone(), tree.source.display().to_string());
    let (publication, unpinned) = pack(tree, config, target, context).await?;
    if !unpinned.is_empty() {
        return Err(refused(unpinned, publication.desired, target).await);
    }
    publication.warnings.iter().for_each(|warning| context.warn(warning));
    announce(&publication.lint, context);
    let channel = moves_channel.then_some(&name);
    let publishing = Publishing { config, target, context, terms: &terms, channel, source, repairs };
    Box::pin(publishing.carry_out(publication)).await
}

/// Returns the error for images that cannot be pinned, with the charts that are published already with other content: a person can correct
/// both before the next run.
async fn refused(unpinned: Vec<image::Error>, mut desired: Desired, target: &Connection) -> Error {
    let mut errors: Vec<Error> = unpinned.into_iter().map(Error::Image).collect();
    // What depends on the images is not known: the release, and the bundle of the same version.
    desired.artifacts.retain(|artifact| artifact.kind == ArtifactKind::Chart);
    desired.release.written = None;
    let channel = std::future::ready(Ok(ObservedChannel::default()));
    if errors.iter().all(|error| error.kind() == Kind::Refused)
        && let Ok(observed) = plan::observe(target.read(), &desired, Depth::Tags, channel).await
    {
        errors.extend(plan::conflicts(&desired, &observed).into_iter().map(Error::Plan));
    }
    Error::of_all(errors)
}

/// Says what the checks found.
fn announce(report: &Report, context: &Context) {
    for (finding, line) in report.findings.iter().zip(render::lines(report)) {
        match finding.severity {
            Severity::Note => context.note(&line),
            Severity::Warning | Severity::Error => context.warn(&line),
        }
    }
}

/// A version must not look like a channel or one of the channel's keep-alive tags.
fn is_reserved(version: &Tag, channel: &Tag) -> bool {
    let rest = version.as_str().strip_prefix(channel.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

struct Publishing<'a> {
    config: &'a Config,
    target: &'a Connection,
    context: &'a Context,
    terms: &'a MoveTerms,
    channel: Option<&'a Tag>,
    /// The tree, for the comparison.
    source: String,
    repairs: bool,
}

impl Publishing<'_> {
    async fn carry_out(&self, mut publication: Publication) -> Result<PublishReport, Error> {
        let store = self.target.read();
        self.sign(&mut publication).await?;
        let desired = &publication.desired;
        let observed = async {
            match self.channel {
                Some(channel) => {
                    let accepted = self.terms.accept_sequence;
                    let ours = self.repairs.then_some(&*desired.release.json);
                    plan::observe_channel(store, &desired.release.repository, channel, accepted, ours).await
                }
                None => Ok(ObservedChannel::default()),
            }
        };
        let depth = if self.repairs { Depth::Bytes } else { Depth::Tags };
        let mut observed = Box::pin(plan::observe(store, desired, depth, observed)).await?;
        if let Some(channel) = self.channel {
            observed.channel = self
                .terms
                .verified(observed.channel, channel, read_from(store), (self.target, &self.config.repositories.release))
                .await?;
            not_a_version(channel, &observed.channel)?;
        }
        publication.desired = publication.desired.keeping(&observed);
        let desired = &publication.desired;
        let moving = self.channel.map(|channel| self.terms.moving(channel, MoveKind::Publish));
        let dry_run = self.target.store().is_none();
        let conflicts = plan::conflicts(desired, &observed).into_iter().map(Error::Plan).collect();
        let plan = Error::unless_empty(conflicts);
        let plan = plan.and_then(|()| Ok(plan::plan(desired, &observed, moving.as_ref())?));
        let plan = plan.and_then(|plan| self.terms.check(&plan).map(|()| plan));
        let plan = match plan {
            Err(refused) if dry_run => {
                return Err(refused.with_diff(self.compare(&publication, &observed.channel).await?));
            }
            plan => plan?,
        };
        let diff = if dry_run { Some(self.compare(&publication, &observed.channel).await?) } else { None };
        let known = diff.as_ref().and_then(|diff| diff.not_covered.clone());
        let not_covered = match known {
            None => lint::not_covered(&Side::of(desired, self.config, &self.source)?).await?,
            known => known,
        };
        let mut planned = Planned { plan, observed };
        let record = self.terms.record(None, self.context);
        let (target, terms, moving, context) = (self.target, self.terms, moving.as_ref(), self.context);
        let carrying = Carrying { target, origin: None, desired, moving, terms, record: &record, context };
        let manifest = carrying.carry_out(&mut planned, None).await?;
        let report = self.report(publication, planned, manifest, diff);
        Ok(PublishReport { not_covered, ..report })
    }

    /// Signs what is published, if anything signs. A dry run only says which images would not be signed.
    async fn sign(&self, publication: &mut Publication) -> Result<(), Error> {
        let Some(signing) = &self.terms.signing else { return Ok(()) };
        signing.follow(self.target, &self.config.repositories.release).await?;
        let images = StoredImages::of(publication, self.config, self.target).await?;
        images.warnings.iter().for_each(|warning| self.context.warn(warning));
        publication.warnings.extend(images.warnings);
        if self.target.store().is_some() || signing.is_preparing() {
            let signed = signing.sign_all(&publication.desired, &images.subjects, self.target.read());
            publication.desired.attached = signed.await?;
        }
        Ok(())
    }

    /// What would change, against what the channel serves now.
    async fn compare(&self, publication: &Publication, observed: &ObservedChannel) -> Result<Diff, Error> {
        let to = Side::of(&publication.desired, self.config, &self.source)?;
        let channel = self.channel.map(|channel| (channel, observed));
        let mut diff = carry_out::compare(self.target, self.config, channel, &to).await?;
        lint::add_risks(&mut diff, &publication.lint);
        Ok(diff)
    }

    fn report(
        &self,
        publication: Publication,
        Planned { plan, observed }: Planned,
        manifest: Option<Digest>,
        diff: Option<Diff>,
    ) -> PublishReport {
        let Publication { desired, images, lint, warnings } = publication;
        let dry_run = self.target.store().is_none();
        let serves = observed.channel.serves.as_ref();
        let channel = self.channel.map(|channel| ChannelReport {
            name: channel.clone(),
            moves: plan.moves.is_some(),
            from: serves.map(|serves| serves.version.clone()),
            before: serves.map(|serves| serves.manifest.clone()),
            manifest,
            sequence: plan.moves.as_ref().map_or(observed.channel.sequence, |moves| moves.sequence),
        });
        let signed_by = self.terms.signed_by(&plan);
        PublishReport {
            schema: SCHEMA,
            dry_run,
            has_changes: !plan.is_empty(),
            store: self.target.location.to_string(),
            prefix: self.target.prefix.to_string(),
            version: desired.release.version.clone(),
            digest: plan.approval.release.clone(),
            plan_digest: plan.digest(),
            approval: plan.approval.clone(),
            artifacts: artifact_reports(&plan, &desired, dry_run),
            plan,
            images: images.digests,
            control_plane: images.control_plane,
            not_covered: None,
            signed_by,
            channel,
            lint,
            bytes_were_read: self.repairs,
            warnings,
            diff,
        }
    }
}

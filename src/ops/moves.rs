//! One move of a channel to a release that is published: what a promotion and a roll-back are. Within a store and across stores
//! they differ in what the plan is made of alone.

use serde::Serialize;

use super::carry_out::{self, Carrying, MoveTerms, Planned, cancel, open_upload};
use super::checks::not_checked;
use super::lint::{self, How, Stored};
use super::signing::SignedBy;
use super::transfer::Transfer;
use super::{Connection, Context, Error};
use crate::config::Config;
use crate::contents::{ReadOnce, Stores};
use crate::diff::{Diff, Side};
use crate::lint::{Report, render};
use crate::oci::{Digest, Pinned, Tag};
use crate::plan::{Approval, Desired, DesiredRelease, MoveRecord, Moving, ObservedChannel, Plan};
use crate::release::{MoveKind, Resolved};
use crate::verify::{Check, Checked, Extent, Trust, Verified};

/// Version of the report's JSON, `docs/schemas/move.json`.
pub(super) const SCHEMA: &str = "alga.release.move/v1";

/// A move of a channel, for people and programs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MoveReport {
    /// Version of this JSON, [`SCHEMA`].
    pub schema: &'static str,
    /// Whether nothing was written on purpose.
    pub dry_run: bool,
    /// Whether there is, or was, anything to write.
    pub has_changes: bool,
    /// The store of the channel.
    pub store: String,
    /// Kind of the move: promotion, rollback or refresh.
    pub kind: MoveKind,
    /// Name of the channel.
    pub channel: Tag,
    /// The channel, version or digest that the release was asked for by.
    pub from: String,
    /// Version of the release that the channel is to serve.
    pub version: String,
    /// Digest of that release.
    pub digest: Digest,
    /// Digest of the plan, which `--if-plan` takes.
    pub plan_digest: Digest,
    /// What the digest of the plan covers.
    pub approval: Approval,
    /// The writes of the move, in order.
    pub plan: Plan,
    /// What the channel served before.
    pub before: Option<Before>,
    /// Digest of the channel's manifest after the move; absent in a dry run that would move the channel.
    pub manifest: Option<Digest>,
    /// Sequence number of the channel's last move, including this one.
    pub sequence: u64,
    /// For a refresh: time until which appliances accept what the channel serves, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Keys that signed what was written; empty in a dry run, and when nothing was signed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signed_by: Vec<SignedBy>,
    /// The checks of what the release names; empty when there was nothing to do.
    pub checks: Vec<Check>,
    /// What the checks of the release's contents found; absent for a roll-back, and when there was nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lint: Option<Report>,
    /// What people should know.
    pub warnings: Vec<String>,
    /// In a dry run: what would change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<Diff>,
}

/// What a channel served before a move.
#[derive(Clone, Debug, Serialize)]
pub struct Before {
    /// Version of the release.
    pub version: String,
    /// Digest of the release.
    pub digest: Digest,
    /// Digest of the channel's manifest, which `--if-current` takes.
    pub manifest: Digest,
}

/// A move, as far as it is known before anything is read for it.
pub(super) struct Step<'a> {
    pub config: &'a Config,
    /// The store that the release is read from.
    pub source: &'a Connection,
    /// How the release comes to the store of the channel, when that is another one.
    pub across: Option<Transfer<'a>>,
    pub resolved: Resolved,
    /// Channel by whose name the release was asked for.
    pub source_channel: Option<Tag>,
    pub observed: ObservedChannel,
    pub moving: Moving<'a>,
    pub terms: &'a MoveTerms,
    /// What the signatures of the source are verified by.
    pub trust: Option<Trust<'a>>,
    /// What findings about the release's contents become; nothing where its contents are not checked.
    pub lint: Option<How<'a>>,
    pub record: MoveRecord,
    pub context: &'a Context,
}

/// A move that every rule allows.
struct Allowed {
    desired: Desired,
    planned: Planned,
    checks: Vec<Check>,
    lint: Option<Report>,
    warnings: Vec<String>,
    upload: Option<crate::oci::Upload>,
}

impl Allowed {
    fn installable(&self) -> Result<(), Error> {
        match &self.lint {
            Some(report) if report.has_errors() => Err(Error::Lint(Box::new(report.clone()))),
            _ => Ok(()),
        }
    }
}

impl Step<'_> {
    fn target(&self) -> &Connection {
        self.across.and_then(|transfer| transfer.target.connection()).unwrap_or(self.source)
    }

    /// Moves the channel, or in a dry run says what that would come to. A dry run that a rule refuses shows what would have
    /// changed.
    pub(super) async fn carry_out(self) -> Result<MoveReport, Error> {
        let dry_run = self.target().store().is_none();
        match Box::pin(self.attempt(dry_run)).await {
            // What the public cannot read is compared all the same.
            Err(error) if dry_run && error.kind() == super::Kind::Refused => {
                match self.compare(&self.side(self.source.read().into())).await {
                    Ok(diff) => Err(error.with_diff(diff)),
                    Err(_) => Err(error),
                }
            }
            done => done,
        }
    }

    /// The release that the channel is to serve; each of its manifests and blobs is read once.
    fn side<'s>(&self, reads: ReadOnce<'s>) -> Side<'s> {
        let reference = self.record.from.as_deref().unwrap_or_default();
        Side::read(reads, self.config, reference, self.resolved.clone()).in_store(&self.source.location)
    }

    async fn attempt(&self, dry_run: bool) -> Result<MoveReport, Error> {
        let reads = ReadOnce::from(self.source.reader());
        reads.know(&self.config.repositories.release, &self.resolved.content());
        let side = &self.side(reads.clone());
        let mut allowed = match &self.across {
            None => Box::pin(self.within(side, reads)).await?,
            Some(transfer) => Box::pin(self.across(side, reads, transfer)).await?,
        };
        if let Err(error) = allowed.installable().and_then(|()| self.terms.check(&allowed.planned.plan)) {
            cancel(self.target(), allowed.upload).await;
            return Err(error);
        }
        let failed = allowed.checks.iter().filter(|check| check.failed());
        let failed = failed.map(|check| format!("check failed: {}", line(check)));
        allowed.warnings.splice(0..0, failed.chain(not_checked(&allowed.checks)));
        allowed.warnings.extend(allowed.lint.iter().flat_map(render::lines));
        for warning in &allowed.warnings {
            self.context.warn(warning);
        }
        let mut diff = if dry_run && !allowed.planned.plan.is_empty() { Some(self.compare(side).await?) } else { None };
        if let (Some(diff), Some(report)) = (&mut diff, &allowed.lint) {
            lint::add_risks(diff, report);
        }
        let Allowed { desired, planned, upload, .. } = &mut allowed;
        let (moving, terms, record, context) = (Some(&self.moving), self.terms, &self.record, self.context);
        let origin = self.across.map(|_| self.source);
        let carrying = Carrying { target: self.target(), origin, desired, moving, terms, record, context };
        let manifest = carrying.carry_out(planned, upload.take()).await?;
        Ok(self.report(allowed, diff, manifest))
    }

    /// The release is in the store of its channel: nothing but the move is written.
    async fn within(&self, side: &Side<'_>, reads: ReadOnce<'_>) -> Result<Allowed, Error> {
        let known = self.desired(self.resolved.release_digest.clone(), Vec::new());
        // Every rule that needs no further read comes first.
        let early = carry_out::planned(self.source, &known, self.observed.clone(), Some(&self.moving)).await?;
        if early.plan.is_empty() {
            let desired = self.desired(known.release.digest, self.named()?);
            let planned = carry_out::planned(self.source, &desired, self.observed.clone(), Some(&self.moving)).await?;
            return Ok(Allowed {
                desired,
                planned,
                checks: Vec::new(),
                lint: None,
                warnings: Vec::new(),
                upload: None,
            });
        }
        let upload = open_upload(self.source, &self.config.repositories.release);
        let (checked, upload) = futures_util::join!(Box::pin(self.checked(side, reads)), upload);
        let upload = upload?;
        let planned = async {
            let (Verified { release, checks, .. }, lint) = checked?;
            let desired = self.desired(release, self.named()?);
            let planned = carry_out::planned(self.source, &desired, self.observed.clone(), Some(&self.moving)).await?;
            Ok::<_, Error>((desired, planned, checks, lint))
        };
        match planned.await {
            Ok((desired, planned, checks, lint)) => {
                Ok(Allowed { desired, planned, checks, lint, warnings: Vec::new(), upload })
            }
            Err(error) => {
                cancel(self.source, upload).await;
                Err(error)
            }
        }
    }

    /// The release is in another store than the channel: it is copied there first.
    async fn across(&self, side: &Side<'_>, own: ReadOnce<'_>, transfer: &Transfer<'_>) -> Result<Allowed, Error> {
        let (Verified { checks, .. }, lint) = Box::pin(self.checked(side, own.clone())).await?;
        let mut ready = Box::pin(transfer.read(&self.resolved, self.source_channel.is_some(), true, own)).await?;
        if self.target().store().is_some() {
            Box::pin(transfer.sign(&mut ready)).await?;
        }
        let planned =
            carry_out::planned(self.target(), &ready.desired, self.observed.clone(), Some(&self.moving)).await;
        let planned = planned.map_err(Error::of_copy)?;
        let lint = lint.filter(|_| planned.plan.moves.is_some());
        Ok(Allowed { desired: ready.desired, planned, checks, lint, warnings: ready.warnings, upload: None })
    }

    /// Checks everything that the release names, and its contents with what an upgrade from what the channel serves would break.
    ///
    /// # Errors
    /// When the release is not complete, or a store fails.
    async fn checked(&self, side: &Side<'_>, reads: ReadOnce<'_>) -> Result<(Verified, Option<Report>), Error> {
        let prefix = self.source.prefix_of(&self.resolved.release, self.config)?;
        let named = self.resolved.release.named(&prefix, self.config);
        let external = self.source.external(&named).await?;
        let beside = if self.across.is_none() { reads.clone() } else { self.target().read().into() };
        let stores = Stores { own: reads, external: &external };
        let checked = Checked {
            resolved: &self.resolved,
            prefix: &prefix,
            config: self.config,
            location: &self.source.location,
            stores: &stores,
            extent: Extent::Move { channel: self.source_channel.as_ref() },
            trust: self.trust,
        };
        let verified = async { Ok::<_, Error>(checked.verify().await?) };
        let (verified, contents) = futures_util::try_join!(verified, Box::pin(self.contents(side, beside)))?;
        complete(&self.resolved.release.version, &verified.checks, self.moving.kind)?;
        let (Some(how), Some((new, old))) = (self.lint, contents) else { return Ok((verified, None)) };
        let judged = how.judge(side).await?;
        let report = how.stored(&self.resolved.release.version, &new, old.as_ref(), &judged);
        Ok((verified, Some(report)))
    }

    /// Reads the contents of the release, and of what the channel serves now in the store `beside`, where they are checked.
    async fn contents(&self, side: &Side<'_>, beside: ReadOnce<'_>) -> Result<Option<(Stored, Option<Stored>)>, Error> {
        if self.lint.is_none() {
            return Ok(None);
        }
        let served = Stored::served(beside, self.config, &self.observed);
        let (new, old) = futures_util::try_join!(Stored::read(&side.opened, |_| true), served)?;
        Ok(Some((new, old)))
    }

    /// What the store holds already, and the channel is to serve.
    fn desired(&self, digest: Digest, named: Vec<Pinned>) -> Desired {
        let repository = self.config.repositories.release.clone();
        let (version, json) = (self.resolved.release.version.clone(), self.resolved.json.clone());
        let release = DesiredRelease { repository, version, digest, json, written: None };
        Desired { named, ..Desired::stored(self.source.prefix.clone(), release) }
    }

    /// What the release names by digest.
    fn named(&self) -> Result<Vec<Pinned>, Error> {
        let prefix = self.source.prefix_of(&self.resolved.release, self.config)?;
        let named = self.resolved.release.named(&prefix, self.config);
        Ok(named.iter().filter_map(|named| named.pinned(&prefix)).collect())
    }

    /// What customers would get, against what the channel serves now.
    async fn compare(&self, to: &Side<'_>) -> Result<Diff, Error> {
        carry_out::compare(self.target(), self.config, Some((self.moving.channel, &self.observed)), to).await
    }

    fn report(&self, allowed: Allowed, diff: Option<Diff>, manifest: Option<Digest>) -> MoveReport {
        let Allowed { planned: Planned { plan, observed }, checks, lint, warnings, .. } = allowed;
        let before = observed.channel.serves.as_ref().map(|serves| Before {
            version: serves.version.clone(),
            digest: serves.release.clone(),
            manifest: serves.manifest.clone(),
        });
        let signed_by = self.terms.signed_by(&plan);
        MoveReport {
            schema: SCHEMA,
            dry_run: self.target().store().is_none(),
            has_changes: !plan.is_empty(),
            store: self.target().location.to_string(),
            kind: self.moving.kind,
            channel: self.moving.channel.clone(),
            from: self.record.from.clone().unwrap_or_default(),
            version: self.resolved.release.version.clone(),
            digest: plan.approval.release.clone(),
            plan_digest: plan.digest(),
            approval: plan.approval.clone(),
            sequence: plan.moves.as_ref().map_or(observed.channel.sequence, |moves| moves.sequence),
            plan,
            before,
            manifest,
            expires: None,
            signed_by,
            checks,
            lint,
            warnings,
            diff,
        }
    }
}

/// Refuses a release of which a check failed. The way back to a release that ran is open, whatever it says: there, its bytes must be
/// whole.
pub(super) fn complete(version: &str, checks: &[Check], kind: MoveKind) -> Result<(), Error> {
    let refuses = |check: &&Check| check.failed() && (kind != MoveKind::Rollback || !check.aspect.is_of_contents());
    let failed: Vec<String> = checks.iter().filter(refuses).map(line).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Error::Incomplete { version: version.to_owned(), failed, checked: checks.len() })
}

fn line(check: &Check) -> String {
    let reason = check.reason.as_deref().unwrap_or("it is not as it should be");
    let help = check.help.as_ref().map(|help| format!("; hint: {help}")).unwrap_or_default();
    format!("{} {} {}: {reason}{help}", check.kind.as_str(), check.name, check.reference)
}

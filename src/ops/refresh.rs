//! Refresh: what a channel serves gets a later expiry. It is a move of its own kind, which the same planner plans and
//! the same executor carries out.

use jiff::SignedDuration;

use super::carry_out::{self, Carrying, MoveTerms, Planned};
use super::moves::{Before, SCHEMA};
use super::resolve::channel;
use super::{Connection, Context, Error, MoveReport, SignedBy, TrustError, signing};
use crate::config::Config;
use crate::oci::{Selector, Tag};
use crate::plan::{self, Desired, DesiredRelease, ExecuteError, ObservedChannel, Renewal};
use crate::release::MoveKind;
use crate::trust::{self, ReadFrom};

/// Largest number of times that a refresh begins anew after the channel moved to another release.
const ATTEMPTS: usize = 3;

/// Which channel is refreshed, and when.
#[derive(Clone, Debug)]
pub struct RefreshRequest {
    /// Name of the channel.
    pub channel: String,
    /// Shortest time that must be left before the channel expires; `None` for half of the lifetime that its role allows.
    pub min_remaining: Option<SignedDuration>,
    /// Whether the keys of the channel issue the whole statement again, also where a refresh role could refresh it.
    pub reissues: bool,
    /// Manifest that the refresh is bound to, who makes it, and the keys.
    pub terms: MoveTerms,
}

/// Gives a later expiry to what a channel serves. With a store that was opened for reading, this is a dry run.
///
/// # Errors
/// When the channel carries no statement that appliances would accept with a refresh, a key is missing, or the store fails.
pub async fn refresh(
    request: &RefreshRequest,
    config: &Config,
    source: &Connection,
    context: &Context,
) -> Result<MoveReport, Error> {
    let channel = channel(config, &request.channel)?;
    for _ in 1..ATTEMPTS {
        match Box::pin(attempt(request, config, source, &channel, context)).await {
            // The move that came between has a refresh of its own, or gets one now.
            Err(Error::Execute(ExecuteError::Moved { .. })) if request.terms.if_current.is_none() => {}
            done => return done,
        }
    }
    Box::pin(attempt(request, config, source, &channel, context)).await
}

async fn attempt(
    request: &RefreshRequest,
    config: &Config,
    source: &Connection,
    channel: &Tag,
    context: &Context,
) -> Result<MoveReport, Error> {
    let RefreshRequest { terms, .. } = request;
    let signing = terms.signing.as_ref().ok_or(TrustError::NoDocument)?;
    let repository = &config.repositories.release;
    let observed = plan::observe_channel(source.read(), repository, channel, terms.accept_sequence, None).await?;
    let observed = terms.verified(observed, channel, ReadFrom::Registry, (source, repository)).await?;
    let least = request.min_remaining.map(|least| u64::try_from(least.as_secs()).unwrap_or(0));
    let now = signing::now(context);
    let issued = signing.given_circumstances().map_or(now, |(issued, _)| issued);
    let Some(serves) = observed.serves.as_ref().filter(|serves| !serves.signatures.is_empty()) else {
        return Err(TrustError::NoStatement(channel.clone()).into());
    };
    let release = (repository, &serves.release);
    let release = signing.release_bundles(Vec::new(), &observed, source.read(), release).await?;
    let renewal = signing.renewal((channel, &observed), release, least, request.reissues, (now, issued))?;
    if renewal.expires < renewal.needed_until {
        let statement = observed.signed.as_ref().and_then(|signed| signed.statement_until);
        let is_by_statement = renewal.keeps_statement && statement == Some(renewal.expires);
        context.warn(&limited(channel, &renewal, is_by_statement));
    }
    let desired = desired(config, source, channel, &observed).await?;
    let mut moving = terms.moving(channel, MoveKind::Refresh);
    moving.renewal = Some(renewal.clone());
    let mut planned = carry_out::planned(source, &desired, observed, Some(&moving)).await?;
    let (record, moving) = (terms.record(None, context), Some(&moving));
    let carrying =
        Carrying { target: source, origin: None, desired: &desired, moving, terms, record: &record, context };
    let manifest = carrying.carry_out(&mut planned, None).await?;
    let signed_by = terms.signed_by(&planned.plan);
    Ok(report(source, channel, &desired, planned, &renewal, (manifest, signed_by)))
}

/// Returns the warning for a refresh that does not last as long as was asked for.
fn limited(channel: &Tag, renewal: &Renewal, is_by_statement: bool) -> String {
    let Renewal { expires, .. } = renewal;
    if is_by_statement {
        return format!(
            "the statement of {channel} expires at {expires}, and a refresh cannot reach beyond it: issue the statement \
             again with `--reissue` and the keys of the channel"
        );
    }
    let role = if renewal.keeps_statement { "refresh" } else { "channel" };
    format!(
        "the role {role}:{channel} of the trust document lets a statement last until {expires}, which is less than \
         `--min-remaining` requires: every run refreshes the channel. Pass a shorter time, or raise the limit with \
         `alga-release trust lifetime`"
    )
}

/// Returns the release that the channel serves, after a check that the JSON of the channel is that of the release.
async fn desired(
    config: &Config,
    source: &Connection,
    channel: &Tag,
    observed: &ObservedChannel,
) -> Result<Desired, Error> {
    let Some(serves) = &observed.serves else { return Err(TrustError::NoStatement(channel.clone()).into()) };
    let repository = config.repositories.release.clone();
    let selector = Selector::Digest(serves.release.clone());
    let resolved = source.resolve(config, &serves.release.to_string(), &selector).await?;
    trust::check_json(&resolved.json, &serves.json, channel)
        .map_err(|cause| TrustError::NotRefreshed { channel: channel.clone(), cause })?;
    let (version, digest) = (serves.version.clone(), serves.release.clone());
    let release = DesiredRelease { repository, version, digest, json: resolved.json, written: None };
    Ok(Desired::stored(source.prefix.clone(), release))
}

fn report(
    source: &Connection,
    channel: &Tag,
    desired: &Desired,
    Planned { plan, observed }: Planned,
    renewal: &Renewal,
    (manifest, signed_by): (Option<crate::oci::Digest>, Vec<SignedBy>),
) -> MoveReport {
    let before = observed.channel.serves.as_ref().map(|serves| Before {
        version: serves.version.clone(),
        digest: serves.release.clone(),
        manifest: serves.manifest.clone(),
    });
    let served = observed.channel.serves.as_ref().and_then(|serves| Some(serves.record.as_ref()?.sequence));
    let current_until = observed.channel.signed.and_then(|signed| signed.current_until);
    let expires = if plan.moves.is_some() { Some(renewal.accepted_until) } else { current_until };
    MoveReport {
        schema: SCHEMA,
        dry_run: source.store().is_none(),
        has_changes: !plan.is_empty(),
        store: source.location.to_string(),
        kind: MoveKind::Refresh,
        channel: channel.clone(),
        from: channel.to_string(),
        version: desired.release.version.clone(),
        digest: desired.release.digest.clone(),
        plan_digest: plan.digest(),
        approval: plan.approval.clone(),
        sequence: plan.moves.as_ref().map(|moves| moves.sequence).or(served).unwrap_or_default(),
        plan,
        before,
        manifest,
        expires: expires.map(|expires| expires.to_string()),
        signed_by,
        checks: Vec::new(),
        lint: None,
        warnings: Vec::new(),
        diff: None,
    }
}

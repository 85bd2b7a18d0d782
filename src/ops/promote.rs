//! Promotion: a channel serves a release that is published already, in the same store or in another one.

use jiff::SignedDuration;

use super::carry_out::MoveTerms;
use super::copied::SourceTrust;
use super::judges::Render;
use super::lint::How;
use super::moves::{MoveReport, Step};
use super::resolve::{is_channel, recorded_channel};
use super::signing::read_from;
use super::transfer::{Target, Transfer, TransferExtent};
use super::{Connection, Context, Error};
use crate::config::Config;
use crate::lint::Settings;
use crate::oci::{Selector, Tag};
use crate::plan::{self, MinAge};
use crate::release::MoveKind;

/// What is promoted, and where.
#[derive(Clone, Debug)]
pub struct PromoteRequest {
    /// Channel, version or digest of the release.
    pub from: String,
    /// Name of the channel that is to serve the release.
    pub to: String,
    /// How long the release must have been in the channel that it comes from.
    pub min_age: Option<SignedDuration>,
    /// What the move is bound to, and who makes it.
    pub terms: MoveTerms,
    /// What is copied, when the channel is in another store.
    pub extent: TransferExtent,
    /// What findings about the release's contents become.
    pub lint: Settings,
    /// Whether helm and kubectl are asked about its contents.
    pub render: Render,
}

impl PromoteRequest {
    /// Requests a promotion that nothing else is bound to.
    pub fn new(from: impl Into<String>, to: impl Into<String>) -> Self {
        let (from, to) = (from.into(), to.into());
        let (terms, extent) = (MoveTerms::default(), TransferExtent::default());
        Self { from, to, min_age: None, terms, extent, lint: Settings::default(), render: Render::Off }
    }
}

/// Promotes a release from `source` to a channel of `target`, or of `source` itself. A target that was opened for reading makes
/// a dry run of it.
///
/// # Errors
/// When a rule forbids the move, a check fails, or a store fails.
pub async fn promote(
    request: &PromoteRequest,
    config: &Config,
    source: &Connection,
    target: Option<&Target>,
    context: &Context,
) -> Result<MoveReport, Error> {
    let to: Tag = request.to.parse()?;
    let selector: Selector = request.from.parse()?;
    let vendor = SourceTrust::open(&request.terms, &request.extent, (source, config), context).await?;
    let terms = request.terms.of_copy(&request.extent);
    let repository = &config.repositories.release;
    let place = match target {
        None => source,
        Some(target) => {
            target.connection().ok_or_else(|| Error::NoChannels { store: target.location().to_string() })?
        }
    };
    let (resolved, observed) = futures_util::join!(
        source.resolve(config, &request.from, &selector),
        plan::observe_channel(place.read(), repository, &to, terms.accept_sequence, None)
    );
    let observed = terms.verified(observed?, &to, read_from(place.read()), (place, repository)).await?;
    let resolved = resolved?;
    recorded_channel(config, &to, &observed)?;
    let trust = vendor.of(source, config, (&selector, &resolved), context)?;
    let config = &source.described(&resolved, &selector, config)?;
    let source_channel = match selector {
        Selector::Tag(tag) if is_channel(config, &request.from) => Some(tag),
        _ => None,
    };
    let mut moving = terms.moving(&to, MoveKind::Promote);
    moving.min_age = request.min_age.map(|least| {
        let since = resolved.record.as_ref().filter(|_| source_channel.is_some()).map(|record| record.moved.clone());
        MinAge { least, now: context.clock.now(), since }
    });
    let from = target.map_or_else(|| request.from.clone(), |_| format!("{} {}", source.location, request.from));
    // The checks before a move verify the signatures too.
    let (extent, verified, signing) = (&request.extent, None, terms.signing.as_deref());
    let transfer = |target| Transfer { config, source, target, extent, trust: verified, signing, context };
    let across = target.map(transfer);
    let record = terms.record(Some(from), context);
    let how = How { settings: &request.lint, render: request.render, timings: false, context };
    let (terms, lint) = (&terms, Some(how));
    let step = Step {
        config,
        source,
        across,
        resolved,
        source_channel,
        observed,
        moving,
        terms,
        trust,
        lint,
        record,
        context,
    };
    Box::pin(step.carry_out()).await
}

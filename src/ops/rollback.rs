//! Roll-back: a channel moves to an older release, on purpose.

use super::carry_out::MoveTerms;
use super::moves::{MoveReport, Step};
use super::resolve::{channel, is_channel};
use super::{Connection, Context, Error};
use crate::config::Config;
use crate::oci::{Selector, Tag};
use crate::plan;
use crate::release::{self, MoveKind};

/// How many moves of the history are searched for a release other than the present one.
const MOVES: usize = 100;

/// Which channel is rolled back, and to what.
#[derive(Clone, Debug)]
pub struct RollbackRequest {
    /// Name of the channel.
    pub channel: String,
    /// Version or digest of the release; `previous` for the release that the channel served before.
    pub to: String,
    /// What the move is bound to, who makes it and why.
    pub terms: MoveTerms,
}

/// Rolls a channel back. A store that was opened for reading makes a dry run of it.
///
/// # Errors
/// When the channel serves nothing yet, the release is not known, a check fails, or the store fails.
pub async fn rollback(
    request: &RollbackRequest,
    config: &Config,
    source: &Connection,
    context: &Context,
) -> Result<MoveReport, Error> {
    let channel = channel(config, &request.channel)?;
    let (target, observed) = futures_util::join!(
        target(source, config, &channel, &request.to),
        plan::observe_channel(
            source.read(),
            &config.repositories.release,
            &channel,
            request.terms.accept_sequence,
            None
        ),
    );
    let observed = observed?;
    if observed.serves.is_none() {
        return Err(Error::NothingToRollBack { channel });
    }
    let target = target?;
    let resolved = source.resolve(config, &request.to, &target).await?;
    let config = &source.described(&resolved, &target, config)?;
    let moving = request.terms.moving(&channel, MoveKind::Rollback);
    let record = request.terms.record(Some(resolved.release.version.clone()), context);
    let (across, in_channel, terms) = (None, false, &request.terms);
    // The way back to a release that ran is open, whatever its contents are.
    let lint = None;
    let step = Step { config, source, across, resolved, in_channel, observed, moving, terms, lint, record, context };
    Box::pin(step.carry_out()).await
}

/// Finds the release that `word` means: for `previous`, the newest one in the channel's history other than the present one.
async fn target(source: &Connection, config: &Config, channel: &Tag, word: &str) -> Result<Selector, Error> {
    if word != "previous" {
        if is_channel(config, word) {
            return Err(Error::RollbackToChannel { channel: channel.clone(), to: word.to_owned() });
        }
        return Ok(word.parse()?);
    }
    let history = match release::history(source.read(), &config.repositories.release, channel, MOVES).await {
        Err(error) if error.is_not_found() => return Err(Error::NothingToRollBack { channel: channel.clone() }),
        history => history?,
    };
    match history.previous() {
        Some(previous) => Ok(Selector::Digest(previous.release.clone())),
        None => Err(Error::NoPrevious { channel: channel.clone(), end: history.end }),
    }
}

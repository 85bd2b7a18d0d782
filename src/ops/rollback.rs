//! Rolls a channel back: the channel moves to an older release, on purpose.

use std::cmp::Ordering;

use super::carry_out::MoveTerms;
use super::moves::{MoveReport, Step};
use super::resolve::{channel, check_version, is_channel};
use super::signing::read_from;
use super::{Connection, Context, Error, TrustError, signed_moves};
use crate::config::Config;
use crate::oci::{Digest, Selector, Tag};
use crate::plan::{self, ChannelState};
use crate::release::{self, History, Move, MoveKind};
use crate::text::shown;
use crate::verify::Trust;

/// Largest number of moves that are read to find a release other than the present one.
const MOVES: usize = 100;
/// The word for the release that the channel served before.
const PREVIOUS: &str = "previous";

/// Which channel is rolled back, and to what.
#[derive(Clone, Debug)]
pub struct RollbackRequest {
    /// Name of the channel.
    pub channel: String,
    /// Version or digest of the release; `previous` for the release that the channel served before. After a roll-back, `previous` means
    /// that same roll-back when the reason is the same, and is refused otherwise.
    pub to: String,
    /// Plan and manifest that the move is bound to, and the person and the reason for its record.
    pub terms: MoveTerms,
}

/// Rolls a channel back. With a store that was opened for reading, this is a dry run.
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
    let (repository, accepted) = (&config.repositories.release, request.terms.accept_sequence);
    let (target, observed) = futures_util::join!(
        target(source, config, &channel, &request.to),
        plan::observe_channel(source.read(), repository, &channel, accepted, None),
    );
    let (kind, place) = (read_from(source.read()), (source, repository));
    let observed = request.terms.verified(observed?, &channel, kind, place).await?;
    let Some(serves) = &observed.serves else {
        return Err(source.no_layout(config).unwrap_or(Error::NothingToRollBack { channel }));
    };
    let trust = request.terms.trust(&source.location, context);
    let counts = observed.signed.as_ref().is_none_or(|signed| signed.is_proven);
    let target = match target {
        Ok(Target::Named(selector)) => selector,
        history if request.to == PREVIOUS && counts && is_rolled_back(serves) => {
            let selector = again(request, &channel, serves, history.ok().as_ref())?;
            context.note(&format!("{channel} was rolled back to {} already, for the same reason", serves.version));
            selector
        }
        Ok(Target::Previous(history)) => {
            let moves = Moves { history: &history, channel: &channel, config };
            Selector::Digest(moves.previous(source, trust, context).await?)
        }
        Err(error) => return Err(error),
    };
    let resolved = source.resolve(config, &request.to, &target).await?;
    if let Some(trust) = trust {
        check_version(&target, config, trust.document, &resolved)?;
    }
    let version = &resolved.release.version;
    if release::compare_versions(version, &serves.version).is_some_and(Ordering::is_gt) {
        context.warn(&format!("{version} is newer than {}, which {channel} serves", serves.version));
    }
    let config = &source.described(&resolved, &target, config)?;
    let moving = request.terms.moving(&channel, MoveKind::Rollback);
    let record = request.terms.record(Some(resolved.release.version.clone()), context);
    let (across, source_channel, terms) = (None, None, &request.terms);
    // The way back to a release that ran is open, whatever its contents are.
    let lint = None;
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

/// The release that a channel is rolled back to.
enum Target {
    /// A version or a digest.
    Named(Selector),
    /// The newest release in the history of the channel other than the present one.
    Previous(Box<History>),
}

/// The history of a channel, in which the release before the present one is searched.
struct Moves<'a> {
    history: &'a History,
    channel: &'a Tag,
    config: &'a Config,
}

impl Moves<'_> {
    /// Returns the release before the present one. With a trust document, only moves count whose statements enough keys
    /// of the channel signed: whoever can write to the store can write the other ones.
    async fn previous(
        &self,
        source: &Connection,
        trust: Option<Trust<'_>>,
        context: &Context,
    ) -> Result<Digest, Error> {
        let (history, channel) = (self.history, self.channel);
        let recorded = history.previous();
        let none = || Error::NoPrevious { channel: channel.clone(), end: history.end.clone() };
        let Some(Trust { document, .. }) = trust else {
            return recorded.map(|previous| previous.release.clone()).ok_or_else(none);
        };
        let (moves, repository) = (&history.moves, &self.config.repositories.release);
        let signed = signed_moves::verify(source.read(), repository, channel, moves, document).await?;
        let present = moves.first().map(|present| &present.release);
        let mut proven = moves.iter().zip(&signed.of).filter(|(_, signed)| signed.verified).map(|(one, _)| one);
        let proven = proven.find(|earlier| Some(&earlier.release) != present);
        match (proven, recorded) {
            (Some(proven), recorded) => {
                if let Some(other) = recorded.filter(|other| other.release != proven.release) {
                    context.warn(&format!(
                        "the history of {channel} names {} as the previous release, but the statement of that move does not count: {} \
                         is the newest earlier release whose statement counts",
                        named(other),
                        named(proven)
                    ));
                }
                Ok(proven.release.clone())
            }
            (None, Some(other)) => {
                Err(TrustError::UnprovenPrevious { channel: channel.clone(), found: named(other) }.into())
            }
            (None, None) => Err(none()),
        }
    }
}

/// Returns the version that a move serves, or its digest when the version is not known.
fn named(one: &Move) -> String {
    one.version().map_or_else(|| one.release.to_string(), shown)
}

/// Finds the release that `word` means.
async fn target(source: &Connection, config: &Config, channel: &Tag, word: &str) -> Result<Target, Error> {
    if word != PREVIOUS {
        if is_channel(config, word) {
            return Err(Error::RollbackToChannel { channel: channel.clone(), to: word.to_owned() });
        }
        return Ok(Target::Named(word.parse()?));
    }
    let history = match release::history(source.read(), &config.repositories.release, channel, MOVES).await {
        Err(error) if error.is_not_found() => return Err(Error::NothingToRollBack { channel: channel.clone() }),
        history => history?,
    };
    Ok(Target::Previous(Box::new(history)))
}

fn is_rolled_back(serves: &ChannelState) -> bool {
    serves.record.as_ref().is_some_and(|record| record.kind == MoveKind::Rollback)
}

/// Returns what `previous` means when the last move of the channel was a roll-back. The release before that move is the one that was
/// given up, so that the word would lead forward to it.
///
/// # Errors
/// [`Error::RolledBack`], unless this is the same roll-back once more: a pod that was lost after its work is started again.
fn again(
    request: &RollbackRequest,
    channel: &Tag,
    serves: &ChannelState,
    left: Option<&Target>,
) -> Result<Selector, Error> {
    let reason = serves.record.as_ref().and_then(|record| record.reason.as_ref());
    if reason == request.terms.reason.as_ref() {
        return Ok(Selector::Digest(serves.release.clone()));
    }
    let left = match left {
        Some(Target::Previous(history)) => history.previous().map(named),
        _ => None,
    };
    let left = left.unwrap_or_else(|| "another release".to_owned());
    Err(Error::RolledBack { channel: channel.clone(), from: left, to: serves.version.clone() })
}

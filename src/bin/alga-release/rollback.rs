//! `alga-release rollback`.

use alga_release::config::Config;
use alga_release::oci::{Selector, Tag};
use alga_release::ops::{self, Connection};
use alga_release::plan::{self, Current};
use alga_release::release::{self, MoveKind};

use crate::connect::{self, until_signal};
use crate::environment;
use crate::failure::Failure;
use crate::flags::{Approval, Common, OutputsArgs};
use crate::output::Talk;
use crate::outputs::Outputs;
use crate::promote::{Source, Step};
use crate::system;

/// How many moves back another release than the present one is looked for.
const MOVES: usize = 100;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Channel that is taken back
    channel: String,
    /// Release that it shall serve; `previous` for what it served before
    #[arg(long, value_name = "VERSION|DIGEST|previous")]
    to: String,
    /// Why, for its record
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    #[command(flatten)]
    approval: Approval,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    outputs: OutputsArgs,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let talk = Talk::new(&args.common.output);
    let config = args.common.configuration.load()?;
    let channel = ops::channel(&config, &args.channel)?;
    if args.reason.trim().is_empty() {
        return Err(Failure::usage("--reason: want words: the history shall say why"));
    }
    let rules = args.approval.rules(MoveKind::Rollback)?;
    let work = async {
        let connection =
            Connection::open(&args.common.store.request(&config)?, args.approval.access(), &system::context(&talk))
                .await?;
        let repository = &config.repositories.release;
        let (target, serves) = futures_util::join!(
            target(&connection, &config, &channel, &args.to),
            plan::observe_channel(connection.read(), repository, &channel),
        );
        let (serves, sequence) = serves?;
        if serves.is_none() {
            return Err(nothing_yet(&channel));
        }
        let resolved = connection.resolve(&config, &args.to, &target?).await?;
        let from = resolved.release.version.clone();
        let record = args.approval.record(environment::now(), from, Some(args.reason.clone()));
        let current = Current { repository, channel: &channel, serves, sequence };
        let step = Step { config: &config, current, connection: &connection, rules: &rules, talk: &talk };
        step.carry_out(&Source { resolved, in_channel: false }, &record).await
    };
    let outputs = Outputs::open(&args.outputs)?;
    let moved = outputs.unless_failed(connect::runtime()?.block_on(until_signal(work)), args.common.output.output);
    talk.done();
    moved?.print(&args.common.output, &outputs)
}

fn nothing_yet(channel: &Tag) -> Failure {
    let reason = format!("{channel} serves nothing yet: there is nothing to take it back from");
    Failure::refused(reason, format!("alga-release promote --from VERSION --to {channel}"))
}

/// Which release `word` means: where it is `previous`, the newest one in the channel's history that is not the present one.
async fn target(connection: &Connection, config: &Config, channel: &Tag, word: &str) -> Result<Selector, Failure> {
    if word != "previous" {
        let known = ops::is_channel(config, word);
        if known {
            let reason = format!("--to {word}: that is a channel, and a roll-back goes to a release");
            return Err(Failure::usage_hint(reason, format!("alga-release promote --from {word} --to {channel}")));
        }
        return Ok(word.parse()?);
    }
    let repository = &config.repositories.release;
    let history = release::history(connection.read(), repository, channel, MOVES).await;
    let history = match history {
        Err(error) if error.is_not_found() => return Err(nothing_yet(channel)),
        history => history?,
    };
    match history.previous() {
        Some(previous) => Ok(Selector::Digest(previous.release.clone())),
        None => Err(Failure::refused(
            format!("{channel} has no previous release that is known: {}", history.end),
            format!("name the release: --to VERSION; see alga-release history {channel}"),
        )),
    }
}

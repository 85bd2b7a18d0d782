//! `alga-release history`: prints the moves of a channel.

use alga_release::ops::{self, Access, Connection, HistoryRequest};
use jiff::Timestamp;

use crate::connect;
use crate::failure::Failure;
use crate::flags::{Common, Format};
use crate::log::Log;
use crate::output;
use crate::signing::TrustArgs;
use crate::system;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Channel whose history is shown, or HOST/PATH/REPOSITORY:CHANNEL
    channel: String,
    /// Show at most N moves [default: 20; 1000 with --to-time]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    moves: Option<u16>,
    /// Show what the channel served at this time, such as `2026-11-20T17:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = time)]
    to_time: Option<Timestamp>,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    common: Common,
}

/// Parses a time as RFC 3339 has it.
fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "expected a time such as `2026-11-20T17:00:00Z`".to_owned())
}

pub fn run(args: &Args, log: &Log) -> Result<(), Failure> {
    let (mut config, mut store) = (args.common.configuration.load()?, args.common.store.clone());
    let name = connect::locate_channel(&args.channel, &mut store, &mut config)?;
    let channel = ops::channel(&config, &name)?;
    let request = HistoryRequest {
        channel,
        moves: args.moves,
        to_time: args.to_time,
        trust: args.trust.document(&config, args.common.configuration.root())?,
    };
    let store = store.request(&config)?;
    let work = async {
        let connection = Connection::open(&store, Access::Read, &system::context(log)).await?;
        Ok(ops::history(&request, &config, &connection).await?)
    };
    let report = connect::block_on(log, args.common.store.timeout, work)?;
    match args.common.output.output {
        Format::Json => output::write_json(&report)?,
        Format::Text => output::write_text(&report.text(log.is_verbose()))?,
    }
    Ok(report.verdict()?)
}

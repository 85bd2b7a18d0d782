//! The command `alga-release refresh`: flags, call, report.

use alga_release::ops::{self, Connection, MoveReport, MoveTerms, RefreshRequest};
use jiff::SignedDuration;

use crate::failure::Failure;
use crate::flags::{Common, OutputsArgs};
use crate::log::Log;
use crate::outputs::Outputs;
use crate::signing::SigningArgs;
use crate::{connect, promote, system, terms};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Channel to refresh, or HOST/PATH/REPOSITORY:CHANNEL
    channel: String,
    /// Do nothing while the channel expires later than in this time: `36h`, `7d` [default: half of the lifetime that its role allows]
    #[arg(long, value_name = "DURATION", value_parser = promote::duration)]
    min_remaining: Option<SignedDuration>,
    /// Issue the whole statement again with the keys of the channel, also where a refresh key could refresh it
    #[arg(long)]
    reissue: bool,
    /// Show what would be refreshed; sign and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Refresh the channel only if its manifest has this digest
    #[arg(long, value_name = "DIGEST")]
    if_current: Option<String>,
    /// Who refreshes the channel, for the history when the statement is issued again [default: as for `promote`]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    signing: SigningArgs,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    outputs: OutputsArgs,
}

pub fn run(args: &Args, log: &Log) -> Result<(), Failure> {
    let outputs = Outputs::open(&args.outputs)?;
    let refreshed = connect::block_on(log, args.common.store.timeout, Box::pin(refreshed(args, log)));
    let report = outputs.unless_failed(refreshed, args.common.output.output)?;
    promote::print(&report, (&args.common, &args.signing), &outputs, log)
}

async fn refreshed(args: &Args, log: &Log) -> Result<MoveReport, Failure> {
    let (mut config, mut store) = (args.common.configuration.load()?, args.common.store.clone());
    let context = system::context(log);
    let channel = connect::locate_channel(&args.channel, &mut store, &mut config)?;
    let if_current = args.if_current.as_deref().map(|text| connect::parsed("--if-current", text)).transpose()?;
    let place = (&config, args.common.configuration.root());
    let (by, signing) = (args.signing.by(args.by.as_ref()), terms::signing(&args.signing, place, &context)?);
    let terms = MoveTerms { if_current: if_current.map(Some), by, signing, ..MoveTerms::default() };
    let request = RefreshRequest { channel, min_remaining: args.min_remaining, reissues: args.reissue, terms };
    let source = Connection::open(&store.request(&config)?, args.signing.access(args.dry_run), &context).await?;
    Ok(Box::pin(ops::refresh(&request, &config, &source, &context)).await?)
}

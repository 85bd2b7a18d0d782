//! The command `alga-release rollback`: flags, call, report.

use alga_release::ops::{self, Connection, MoveReport, RollbackRequest};

use crate::connect;
use crate::failure::Failure;
use crate::flags::{Approval, Common, OutputsArgs};
use crate::log::Log;
use crate::outputs::Outputs;
use crate::{promote, system};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Channel to roll back, or HOST/PATH/REPOSITORY:CHANNEL
    channel: String,
    /// Release that the channel is to serve; `previous` for the one that it served before. Directly after a roll-back, `previous` does
    /// nothing with the same reason, and is refused with another one
    #[arg(long, value_name = "VERSION|DIGEST|previous")]
    to: String,
    /// Reason of the move, for the history of the channel
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    #[command(flatten)]
    approval: Approval,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    outputs: OutputsArgs,
}

pub fn run(args: &Args, log: &Log) -> Result<(), Failure> {
    if args.reason.trim().is_empty() {
        return Err(Failure::usage("--reason: expected a reason for the history of the channel, found only spaces"));
    }
    let outputs = Outputs::open(&args.outputs)?;
    let moved = connect::block_on(log, args.common.store.timeout, Box::pin(rolled_back(args, log)));
    let report = outputs.unless_failed(moved, args.common.output.output)?;
    promote::print(&report, (&args.common, &args.approval.signing), &outputs, log)
}

async fn rolled_back(args: &Args, log: &Log) -> Result<MoveReport, Failure> {
    let (mut config, mut store) = (args.common.configuration.load()?, args.common.store.clone());
    let context = system::context(log);
    let channel = connect::locate_channel(&args.channel, &mut store, &mut config)?;
    let terms =
        args.approval.terms((&config, args.common.configuration.root()), false, Some(&args.reason), &context)?;
    let request = RollbackRequest { channel, to: args.to.clone(), terms };
    let source = Connection::open(&store.request(&config)?, args.approval.access(), &context).await?;
    Ok(Box::pin(ops::rollback(&request, &config, &source, &context)).await?)
}

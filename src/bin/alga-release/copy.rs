//! `alga-release copy`: copies a release to another store.

use alga_release::ops::{self, Access, Connection, CopyReport, CopyRequest, Outcome, StoreRequest, Target};

use crate::connect;
use crate::extent::ExtentArgs;
use crate::failure::Failure;
use crate::flags::{Approval, Common, OutputsArgs};
use crate::log::Log;
use crate::next::Finished;
use crate::outputs::Outputs;
use crate::system;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Channel, version or digest of the release, or HOST/PATH/REPOSITORY:TAG or HOST/PATH/REPOSITORY@DIGEST
    #[arg(value_name = "REF")]
    reference: String,
    /// Target: `HOST[:PORT][/PATH]`, `oci-layout:DIR` or `oci-archive:FILE.tar`
    #[arg(value_name = "STORE")]
    target: String,
    /// Channel of the target to move to the release [default: no channel moves]
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,
    /// Create the channel if it does not exist and the configuration does not name it
    #[arg(long, requires = "channel")]
    new_channel: bool,
    /// Allow a move between versions that cannot be ordered
    #[arg(long, requires = "channel")]
    allow_unordered: bool,
    #[command(flatten)]
    approval: Approval,
    /// Why the channel moves, for its history
    #[arg(long, requires = "channel")]
    reason: Option<String>,
    /// Number of concurrent requests
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Replace an archive that exists and holds something else
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    extent: ExtentArgs,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    outputs: OutputsArgs,
}

pub fn run(args: &Args, log: &Log) -> Result<(), Failure> {
    let outputs = Outputs::open(&args.outputs)?;
    let copied = connect::block_on(log, args.common.store.timeout, Box::pin(copied(args, log)));
    let report = outputs.unless_failed(copied, args.common.output.output)?;
    let finished = Finished {
        outcome: Outcome::from(&report),
        diff: None,
        details: report.details(),
        text: report.text(),
        dry_run: report.dry_run,
        name: report.channel.as_ref().map_or(report.version.as_str(), |channel| channel.name.as_str()),
        store: &report.store,
        trust: args.approval.signing.trust.as_deref(),
    };
    finished.write(&args.common, &outputs, log)
}

async fn copied(args: &Args, log: &Log) -> Result<CopyReport, Failure> {
    let (mut config, mut store) = (args.common.configuration.load()?, args.common.store.clone());
    let context = system::context(log);
    let reference = connect::locate(&args.reference, &mut store, &mut config)?;
    if let (true, Some(channel)) = (args.new_channel, &args.channel) {
        config.channels.push(connect::parsed("--channel", channel)?);
    }
    let request = CopyRequest {
        reference,
        channel: args.channel.clone(),
        terms: args.approval.terms(
            (&config, args.common.configuration.root()),
            args.allow_unordered,
            args.reason.as_ref(),
            &context,
        )?,
        extent: args.extent.extent(),
        dry_run: args.approval.access() == Access::Read,
        force: args.force,
    };
    let store = StoreRequest { jobs: args.jobs.into(), ..store.request(&config)? };
    let source = Connection::open(&store, Access::Read, &context).await?;
    let target = Target::open(&args.target, &store, &source, args.approval.access(), &context).await?;
    if args.force && target.connection().is_some() {
        return Err(Failure::usage_hint(
            "--force is only for an archive",
            "omit `--force`: in any other store, a version never changes",
        ));
    }
    Ok(Box::pin(ops::copy(&request, &config, &source, &target, &context)).await?)
}

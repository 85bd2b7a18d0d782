//! The command `alga-release verify`: flags, call, report.

use alga_release::ops::{self, Access, Connection, VerifyRequest};

use crate::connect;
use crate::failure::Failure;
use crate::flags::{Common, Format};
use crate::log::Log;
use crate::output;
use crate::signing::TrustArgs;
use crate::system;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Channel, version or digest, or HOST/PATH/REPOSITORY:TAG or @DIGEST
    #[arg(required_unless_present = "all_channels", conflicts_with = "all_channels")]
    reference: Option<String>,
    /// Verify every channel of the configuration that serves a release
    #[arg(long)]
    all_channels: bool,
    /// Read nothing outside of the store; for `oci-layout:DIR` and `oci-archive:FILE`
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    common: Common,
}

pub fn run(args: &Args, log: &Log) -> Result<(), Failure> {
    let (mut config, mut store) = (args.common.configuration.load()?, args.common.store.clone());
    let reference = args.reference.as_ref().map(|word| connect::locate(word, &mut store, &mut config)).transpose()?;
    let store = store.request(&config)?;
    let request = VerifyRequest {
        reference,
        offline: args.offline,
        trust: args.trust.document(&config, args.common.configuration.root())?,
    };
    let work = async {
        let connection = Connection::open(&store, Access::Read, &system::context(log)).await?;
        Ok(ops::verify(&request, &config, &connection).await?)
    };
    let report = connect::block_on(log, args.common.store.timeout, work)?;
    match args.common.output.output {
        Format::Json => output::write_json(&report)?,
        Format::Text if log.is_verbose() => output::write_text(&report.details())?,
        Format::Text => output::write_text(&report.text())?,
    }
    Ok(report.verdict()?)
}

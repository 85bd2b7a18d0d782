//! The command `alga-release ls`.

use alga_release::ops::{self, Access, Connection, LsRequest};

use crate::connect;
use crate::failure::Failure;
use crate::flags::{Common, Format};
use crate::log::Log;
use crate::output;
use crate::system;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Channel, or HOST/PATH/REPOSITORY:CHANNEL [default: all channels, and all versions]
    channel: Option<String>,
    /// Largest number of versions that are read; with CHANNEL, the largest number of moves
    #[arg(long, short = 'L', value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    common: Common,
}

pub fn run(args: &Args, log: &Log) -> Result<(), Failure> {
    let (mut config, mut store) = (args.common.configuration.load()?, args.common.store.clone());
    let name = args.channel.as_ref().map(|word| connect::locate_channel(word, &mut store, &mut config)).transpose()?;
    let channel = name.map(|name| ops::channel(&config, &name)).transpose()?;
    let (request, store) = (LsRequest { channel, limit: args.limit }, store.request(&config)?);
    let work = async {
        let connection = Connection::open(&store, Access::Read, &system::context(log)).await?;
        Ok(ops::ls(&request, &config, &connection).await?)
    };
    let report = connect::block_on(log, args.common.store.timeout, work)?;
    match args.common.output.output {
        Format::Json => output::write_json(&report),
        Format::Text => output::write_text(&report.text()),
    }
}

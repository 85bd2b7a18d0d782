//! The command `alga-release show`.

use alga_release::ops::{self, Access, Connection, ShowRequest};
use clap::ValueEnum;

use crate::connect;
use crate::failure::Failure;
use crate::flags::Common;
use crate::log::Log;
use crate::output;
use crate::signing::TrustArgs;
use crate::system;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Channel, version or digest, or HOST/PATH/REPOSITORY:TAG or @DIGEST
    #[arg(value_name = "REF")]
    reference: String,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    common: Common<ShowFormat>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ShowFormat {
    #[default]
    Text,
    Json,
    /// For Graphviz: `dot -Tpng`
    Dot,
    /// A drawing that needs nothing beside itself
    Svg,
}

pub fn run(args: &Args, log: &Log) -> Result<(), Failure> {
    let (mut config, mut store) = (args.common.configuration.load()?, args.common.store.clone());
    let reference = connect::locate(&args.reference, &mut store, &mut config)?;
    let request = ShowRequest { reference, trust: args.trust.document(&config, args.common.configuration.root())? };
    let (store, context) = (store.request(&config)?, system::context(log));
    let work = async {
        let connection = Connection::open(&store, Access::Read, &context).await?;
        Ok(Box::pin(ops::show(&request, &config, &connection)).await?)
    };
    let report = connect::block_on(log, args.common.store.timeout, work)?;
    report.warning().iter().for_each(|warning| log.warn(warning));
    match args.common.output.output {
        ShowFormat::Text => output::write_text(&report.text(context.clock.now())),
        ShowFormat::Json => output::write_json(&report),
        ShowFormat::Dot => output::write_stdout(report.graph.dot().as_bytes()),
        ShowFormat::Svg => output::write_stdout(report.graph.svg().as_bytes()),
    }
}

//! The command `alga-release in-use`: flags, call, report.

use alga_release::ops::{self, Access, Connection, InUseRequest};
use clap::ValueEnum;

use crate::connect;
use crate::failure::Failure;
use crate::flags::Common;
use crate::log::Log;
use crate::output;
use crate::system;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Channels, each also as HOST/PATH/REPOSITORY:CHANNEL [default: those of the configuration]
    #[arg(value_name = "CHANNEL")]
    channels: Vec<String>,
    /// Keep the releases of the last N moves of each channel
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    moves: u16,
    /// Print what a retention job may delete: the keep-alive tags of older moves, with their manifests
    #[arg(long)]
    prune_plan: bool,
    #[arg(long, hide = true)]
    format: Option<String>,
    #[command(flatten)]
    common: Common<ListFormat>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    #[default]
    Text,
    Json,
    /// `REPOSITORY:TAG` or `REPOSITORY@DIGEST`, one per line
    KeepList,
}

pub fn run(args: &Args, log: &Log) -> Result<(), Failure> {
    let format = args.common.output.output;
    if let Some(format) = &args.format {
        return Err(Failure::usage_hint("`--format` was replaced by `--output`", format!("pass `--output {format}`")));
    }
    if args.prune_plan && format == ListFormat::KeepList {
        return Err(Failure::usage("`--prune-plan` cannot be used with `--output keep-list`"));
    }
    let (mut config, mut store) = (args.common.configuration.load()?, args.common.store.clone());
    let names = args.channels.iter().map(|word| connect::locate_channel(word, &mut store, &mut config));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    if !names.is_empty() {
        config.channels = names.iter().map(|name| ops::channel(&config, name)).collect::<Result<_, _>>()?;
    }
    let (request, store) = (InUseRequest { moves: args.moves, prune_plan: args.prune_plan }, store.request(&config)?);
    let work = async {
        let connection = Connection::open(&store, Access::Read, &system::context(log)).await?;
        Ok(ops::in_use(&request, &config, &connection).await?)
    };
    let report = connect::block_on(log, args.common.store.timeout, work)?;
    report.problems.iter().for_each(|problem| log.warn(problem));
    match format {
        ListFormat::Json => output::write_json(&report)?,
        ListFormat::Text => output::write_text(&report.text())?,
        ListFormat::KeepList => output::write_stdout(report.keep_list().as_bytes())?,
    }
    Ok(report.verdict()?)
}

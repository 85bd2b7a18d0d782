//! `alga-release in-use`.

use alga_release::ops::{self, Access, Connection, InUseRequest};
use clap::ValueEnum;

use crate::connect;
use crate::failure::Failure;
use crate::flags::{Common, Format};
use crate::output::{self, Talk};
use crate::system;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Channels, each also as HOST/PATH/REPOSITORY:CHANNEL [default: those of the configuration]
    #[arg(value_name = "CHANNEL")]
    channels: Vec<String>,
    /// How many moves of each channel
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    moves: u16,
    /// Print what a retention job may delete: keep-alive tags of moves before those, with their manifests
    #[arg(long, conflicts_with = "format")]
    prune_plan: bool,
    /// `keep-list`: REPOSITORY:TAG or REPOSITORY@DIGEST, one a line
    #[arg(long, value_enum, conflicts_with = "output")]
    format: Option<ListFormat>,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    Text,
    Json,
    KeepList,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let talk = Talk::new(&args.common.output);
    let (mut config, mut store) = (args.common.configuration.load()?, args.common.store.clone());
    let names = args.channels.iter().map(|word| connect::locate_channel(word, &mut store, &mut config));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    if !names.is_empty() {
        config.channels = names.iter().map(|name| ops::channel(&config, name)).collect::<Result<_, _>>()?;
    }
    let (request, store) = (InUseRequest { moves: args.moves, prune_plan: args.prune_plan }, store.request(&config)?);
    let work = async {
        let connection = Connection::open(&store, Access::Read, &system::context(&talk)).await?;
        Ok(ops::in_use(&request, &config, &connection).await?)
    };
    let report = connect::block_on(work)?;
    report.problems.iter().for_each(|problem| talk.warn(problem));
    match args.format.unwrap_or(args.common.output.output.into()) {
        ListFormat::Json => output::write_json(&report)?,
        ListFormat::Text => output::write_text(&report.text())?,
        ListFormat::KeepList => output::write_stdout(report.keep_list().as_bytes())?,
    }
    if report.complete {
        return Ok(());
    }
    let reason = format!("the list of what is in use in {} is not complete", report.store);
    let hint = "remove nothing by this list; see alga-release history and verify, or ask for fewer --moves";
    Err(Failure::refused(reason, hint))
}

impl From<Format> for ListFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Text => Self::Text,
            Format::Json => Self::Json,
        }
    }
}

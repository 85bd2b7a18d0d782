//! The command `alga-release sign`: flags, call, report.

use std::path::PathBuf;

use alga_release::ops::{self, Access, Connection, SignRequest};

use crate::failure::Failure;
use crate::flags::{Common, Format};
use crate::log::Log;
use crate::signing::SigningArgs;
use crate::{connect, output, system, terms};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Channel, version or digest of a published release, or HOST/PATH/REPOSITORY:TAG or @DIGEST; a path of an existing file is a file
    /// that `--prepare` wrote, which is signed by the trust document in FILE, or by a later one in `--store`
    #[arg(value_name = "REF|FILE", required_unless_present = "all", conflicts_with = "all")]
    reference: Option<String>,
    /// Sign every release that a channel serves or has served
    #[arg(long)]
    all: bool,
    /// With `--all`: number of moves of each channel whose releases are signed
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    moves: u16,
    /// Show what would be signed; sign and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    signing: SigningArgs,
    #[command(flatten)]
    common: Common,
}

pub fn run(args: &Args, log: &Log) -> Result<(), Failure> {
    let file = args.reference.as_ref().map(PathBuf::from).filter(|path| path.is_file());
    let work = async {
        match file {
            Some(file) => prepared(args, &file, log).await,
            None => published(args, log).await,
        }
    };
    connect::block_on(log, args.common.store.timeout, Box::pin(work))
}

async fn prepared(args: &Args, file: &std::path::Path, log: &Log) -> Result<(), Failure> {
    let context = system::context(log);
    let (config, store) = (args.common.configuration.load()?, &args.common.store);
    let place = (&config, args.common.configuration.root());
    let signing =
        terms::signing(&args.signing, place, &context)?.ok_or(ops::Error::Trust(ops::TrustError::NoDocument))?;
    let source = match &store.store {
        Some(_) => Some(Connection::open(&store.request(&config)?, Access::Read, &context).await?),
        None => None,
    };
    let source = source.as_ref().map(|source| (source, &config.repositories.release));
    let report = ops::sign_prepared(file, &signing, source, args.dry_run, &context).await?;
    match args.common.output.output {
        Format::Json => output::write_json(&report),
        Format::Text => output::write_text(&report.text()),
    }
}

async fn published(args: &Args, log: &Log) -> Result<(), Failure> {
    let (mut config, mut store) = (args.common.configuration.load()?, args.common.store.clone());
    let context = system::context(log);
    let reference = args.reference.as_ref().map(|text| connect::locate(text, &mut store, &mut config)).transpose()?;
    let signing = terms::signing(&args.signing, (&config, args.common.configuration.root()), &context)?;
    let request = SignRequest { reference, moves: args.moves, signing };
    let source = Connection::open(&store.request(&config)?, args.signing.access(args.dry_run), &context).await?;
    let report = Box::pin(ops::sign(&request, &config, &source, &context)).await?;
    match args.common.output.output {
        Format::Json => output::write_json(&report),
        Format::Text => output::write_text(&report.text()),
    }
}

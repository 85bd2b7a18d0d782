//! `alga-release image`: pushes images from archives.

use std::path::{Path, PathBuf};

use alga_release::image::Platform;
use alga_release::image::archive;
use alga_release::ops::{self, Access, Connection, ImageReport, ImageRequest, StoreRequest};
use clap::{Subcommand, ValueEnum};

use crate::connect;
use crate::environment;
use crate::failure::Failure;
use crate::flags::{Common, Format, ProfileArgs};
use crate::log::Log;
use crate::output;
use crate::signing::SigningArgs;
use crate::{system, terms};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Push an image from an archive to the store
    #[command(after_help = include_str!("help/image-push.txt"))]
    Push(PushArgs),
}

#[derive(Debug, clap::Args)]
pub struct PushArgs {
    /// Tar of `docker save`, OCI archive or OCI layout directory; tars also with gzip or zstd; `-` for standard input
    pub archive: PathBuf,
    /// Tag for the image; a tag that exists does not move [default: the tag in the archive unless that is `latest`, else the first 8
    /// digits of the revision]
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// Repository below the prefix [default: the configured repository of the control plane]
    #[arg(long, value_name = "NAME")]
    pub repository: Option<String>,
    /// Platform that the image must support
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", default_value = "linux/amd64")]
    pub platform: Platform,
    /// Whether layers that are not compressed are compressed or pushed as they are
    #[arg(long, value_enum, default_value_t = Layers::Compressed)]
    pub layers: Layers,
    /// Read the archive and compare it with the store; write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Number of concurrent requests
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    #[command(flatten)]
    pub signing: SigningArgs,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub profile: ProfileArgs,
}

/// The values of `--layers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Layers {
    Compressed,
    Uncompressed,
}

pub fn run(args: &Args, log: &Log) -> Result<(), Failure> {
    let Command::Push(args) = &args.command;
    let pushed = connect::block_on(log, args.common.store.timeout, pushed(args, log));
    let report = pushed?;
    match args.common.output.output {
        Format::Json => output::write_json(&report),
        Format::Text => output::write_text(&report.text()),
    }
}

async fn pushed(args: &PushArgs, log: &Log) -> Result<ImageReport, Failure> {
    let config =
        environment::configuration(Path::new("."), &args.common.configuration, args.profile.profile.as_deref())?;
    connect::check_stdin(&args.archive, &args.common.store)?;
    let layers = match args.layers {
        Layers::Compressed => archive::Layers::Compressed,
        Layers::Uncompressed => archive::Layers::AsTheyAre,
    };
    let repository = match &args.repository {
        Some(name) => connect::parsed("--repository", name)?,
        None => config.repositories.control_plane.clone(),
    };
    let tag = args.tag.as_ref().map(|tag| connect::parsed("--tag", tag)).transpose()?;
    let (input, platform) = (connect::archive(&args.archive)?, args.platform.clone());
    let context = system::context(log);
    let signing = terms::signing(&args.signing, (&config, Path::new(".")), &context)?;
    let request = ImageRequest { input, platform, layers, tag, repository, signing };
    let store = StoreRequest { jobs: args.jobs.into(), public_read: false, ..args.common.store.request(&config)? };
    let dry = args.dry_run || args.signing.prepare.is_some();
    let access = if dry { Access::Read } else { Access::Write };
    let target = Connection::open(&store, access, &context).await?;
    Ok(ops::push_image(request, &target, &context).await?)
}

//! `alga-release image`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use alga_release::image::Platform;
use alga_release::image::archive::{self, Image};
use alga_release::oci::{Digest, Pinned, Repository, Tag};
use alga_release::ops::{self, Access, Connection, StoreRequest};
use alga_release::plan::{self, Contents, DesiredArtifact, Executor, MoveRecord, Outcome};
use alga_release::text::clean;
use clap::{Subcommand, ValueEnum};
use serde::Serialize;

use crate::connect::{self, until_signal};
use crate::environment;
use crate::failure::Failure;
use crate::flags::{Common, Format, ProfileArgs};
use crate::output::{self, Talk};
use crate::system;

/// Version of the report's JSON, `docs/schemas/image.json`.
const SCHEMA: &str = "alga.release.image/v1";
/// So much of a revision is a tag.
const SHORT_REVISION: usize = 8;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Push an image out of the archive that a builder wrote, by its digest
    #[command(after_help = "\
Examples:
  # what `docker save` writes, compressed or not
  alga-release image push control-plane.tar.gz --tag 62cdce38 --store ghcr.io/nine-minds

  # from the builder without a file between them
  docker save control-plane:62cdce38 | alga-release image push - --store ghcr.io/nine-minds

  # an OCI layout or archive; every digest stays
  alga-release image push build/layout --tag 62cdce38 --output json")]
    Push(PushArgs),
}

#[derive(Debug, clap::Args)]
pub struct PushArgs {
    /// `docker save` tar, OCI archive or OCI layout directory, with gzip or zstd around it or not; `-` for standard input
    pub archive: PathBuf,
    /// Tag of the image; it does not move [default: the archive's own, but for `latest`, else the revision's first 8 digits]
    #[arg(long)]
    pub tag: Option<String>,
    /// Repository below the prefix [default: the configured control plane]
    #[arg(long, value_name = "NAME")]
    pub repository: Option<String>,
    /// Platform that the image must be for
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", default_value = "linux/amd64")]
    pub platform: Platform,
    /// What becomes of layers that are not compressed
    #[arg(long, value_enum, default_value_t = Layers::Compressed)]
    pub layers: Layers,
    /// Read the archive and look at the store; write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Requests at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub profile: ProfileArgs,
}

/// `--layers`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Layers {
    Compressed,
    Uncompressed,
}

/// What became of an image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageReport {
    schema: &'static str,
    dry_run: bool,
    has_changes: bool,
    store: String,
    pub reference: Pinned,
    repository: Repository,
    pub tag: Tag,
    digest: Digest,
    pub size: u64,
    pub platforms: Vec<String>,
    pub revision: Option<String>,
    pub outcome: Outcome,
    warnings: Vec<String>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Push(args) => push(args),
    }
}

fn push(args: &PushArgs) -> Result<(), Failure> {
    let runtime = connect::runtime()?;
    let talk = Talk::new(&args.common.output);
    let config =
        environment::configuration(Path::new("."), &args.common.configuration, args.profile.profile.as_deref())?;
    connect::check_stdin(&args.archive, &args.common.store)?;
    let request = StoreRequest { jobs: args.jobs.into(), ..args.common.store.request(&config)? };
    let rights = if args.dry_run { Access::Read } else { Access::Write };
    let given = args.tag.as_ref().map(|tag| tag.parse()).transpose()?;
    let repository = match &args.repository {
        Some(name) => name.parse()?,
        None => config.repositories.control_plane.clone(),
    };
    let context = system::context(&talk);
    let connection = runtime.block_on(Connection::open(&request, rights, &context))?;
    let image = ops::read_image(connect::archive(&args.archive), &args.platform, layers(args.layers), &context)?;
    let tag = given.map_or_else(|| own_tag(&image), Ok)?;
    let reference =
        Pinned { repository: connection.prefix.name_of(&repository), digest: image.artifact.digest().clone() };
    ops::announce_image(&image, &reference, &context);
    let desired = ops::image_artifact(image.artifact.clone(), repository, tag);
    let outcome = runtime.block_on(until_signal(carry_out(&desired, &connection, &talk)))?;
    talk.done();
    let report = ImageReport {
        dry_run: args.dry_run,
        store: connection.location.to_string(),
        ..ImageReport::new(reference, desired, image, outcome)
    };
    match args.common.output.output {
        Format::Json => output::write_json(&report),
        Format::Text => output::write_text(&image_text(&report)),
    }
}

impl ImageReport {
    fn new(reference: Pinned, desired: DesiredArtifact, image: Image, outcome: Outcome) -> Self {
        Self {
            schema: SCHEMA,
            dry_run: false,
            has_changes: outcome != Outcome::Present,
            store: String::new(),
            digest: reference.digest.clone(),
            reference,
            size: desired.artifact.size(),
            repository: desired.repository,
            tag: desired.tag,
            platforms: image.platforms.iter().map(ToString::to_string).collect(),
            revision: image.revision,
            outcome,
            warnings: image.warnings,
        }
    }
}

fn layers(asked: Layers) -> archive::Layers {
    match asked {
        Layers::Compressed => archive::Layers::Compressed,
        Layers::Uncompressed => archive::Layers::AsTheyAre,
    }
}

/// A store that was opened for reading is a dry run's.
async fn carry_out(desired: &DesiredArtifact, connection: &Connection, talk: &Talk) -> Result<Outcome, Failure> {
    let found = plan::present(connection.read(), desired).await?;
    let plan = plan::push(desired, found.as_ref())?;
    if plan.is_empty() {
        return Ok(Outcome::Present);
    }
    let Some(store) = connection.store() else { return Ok(Outcome::WouldPush) };
    let executor = Executor { store, public: None };
    plan::execute(&plan, &Contents::of_all([desired]), &MoveRecord::default(), &executor, talk).await?;
    Ok(Outcome::Pushed)
}

/// The report of one image, for people.
fn image_text(report: &ImageReport) -> String {
    let head = match report.outcome {
        Outcome::Pushed => "pushed",
        Outcome::Present => "nothing to do: already there",
        Outcome::WouldPush => "would push",
    };
    let mut text = format!("{head} {}\n", report.reference);
    let _ = writeln!(text, "  tag       {}", report.tag);
    let _ = writeln!(text, "  size      {}", indicatif::BinaryBytes(report.size));
    let _ = writeln!(text, "  platform  {}", report.platforms.join(", "));
    let _ = writeln!(text, "  revision  {}", report.revision.as_deref().unwrap_or("not said"));
    clean(&text)
}

/// The archive's own tag, unless it moves by its nature; else the revision's first digits.
fn own_tag(image: &Image) -> Result<Tag, Failure> {
    let mut tags = image.names.iter().filter_map(|name| tag_in(name));
    let revision = || image.revision.as_deref()?.get(..SHORT_REVISION)?.parse().ok();
    tags.find(|tag| tag.as_str() != "latest").or_else(revision).ok_or_else(|| {
        Failure::usage_hint("the image has neither a tag nor a revision of its own", "give one: --tag TAG")
    })
}

/// The tag of `HOST/PATH:TAG`, of `PATH:TAG` as docker writes it, or all of it.
fn tag_in(name: &str) -> Option<Tag> {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    let last = name.rsplit('/').next()?;
    match last.rsplit_once(':') {
        Some((_, tag)) => tag.parse().ok(),
        None if last.len() == name.len() => name.parse().ok(),
        None => None,
    }
}

//! The command `alga-release publish`: flags, call, report.

use std::path::PathBuf;

use alga_release::config::{ChartPin, ChartVersions, Config};
use alga_release::image::{Check, Platform};
use alga_release::ops::{
    self, Connection, ControlPlane, OnErrors, Outcome, PackRequest, PublishReport, PublishRequest, Render, StoreRequest,
};

use crate::connect;
use crate::environment;
use crate::failure::Failure;
use crate::flags::{Approval, Common, ImageArgs, OutputsArgs, ProfileArgs, RENDER, RevisionArgs, words};
use crate::log::Log;
use crate::next::Finished;
use crate::outputs::Outputs;
use crate::system;

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Args {
    /// Root of the source tree
    #[arg(default_value = ".")]
    source: PathBuf,
    /// Version of the release: a tag, ordered as SemVer
    #[arg(long, value_name = "VERSION")]
    version: String,
    /// Channel that will serve the release
    #[arg(long, required_unless_present = "no_channel")]
    channel: Option<String>,
    /// Publish the version without moving a channel
    #[arg(long, conflicts_with = "channel")]
    no_channel: bool,
    #[command(flatten)]
    approval: Approval,
    #[command(flatten)]
    images: ImageArgs,
    /// Control-plane image: a tag, a digest or a full reference; empty for no image
    #[arg(long, value_name = "REF")]
    control_plane: Option<String>,
    /// Archive of the control-plane image, which is pushed with the release as `image push` does
    #[arg(long, value_name = "ARCHIVE", conflicts_with = "control_plane")]
    control_plane_archive: Option<PathBuf>,
    /// Platform that every image must support
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", default_value = "linux/amd64")]
    platform: Platform,
    /// Whether an image that is missing or for another platform is an error [default: require in a registry, warn in a layout]
    #[arg(long, value_parser = words::<Check>(["require", "warn", "off"]))]
    image_check: Option<Check>,
    /// Whether HelmReleases refer to charts by digest or by version
    #[arg(long, value_parser = words::<ChartPin>(["digest", "version"]))]
    chart_pin: Option<ChartPin>,
    /// Publish charts under their own version, or under a version with a content hash
    #[arg(long, value_parser = words::<ChartVersions>(["as-written", "stamped"]))]
    chart_version: Option<ChartVersions>,
    /// Publish files that are not committed to git; the revision gets the ending `-dirty`
    #[arg(long)]
    allow_dirty: bool,
    /// Publish although the checks found errors; REASON is recorded in the report
    #[arg(long, value_name = "REASON")]
    no_lint: Option<String>,
    /// Check with helm and kubectl too that the release can be installed
    #[arg(long, value_parser = words::<Render>(RENDER), default_value = "off")]
    render: Render,
    /// Read every published byte, and push again everything that is missing or wrong in the store
    #[arg(long)]
    repair: bool,
    /// Allow a move between versions that cannot be compared
    #[arg(long)]
    allow_unordered: bool,
    /// Reason of the move, for the history of the channel
    #[arg(long)]
    reason: Option<String>,
    /// Maximum number of requests at the same time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    #[command(flatten)]
    revision: RevisionArgs,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    profile: ProfileArgs,
    #[command(flatten)]
    outputs: OutputsArgs,
}

pub fn run(args: &Args, log: &Log) -> Result<(), Failure> {
    let outputs = Outputs::open(&args.outputs)?;
    let published = connect::block_on(log, args.common.store.timeout, Box::pin(published(args, log)));
    let report = outputs.unless_failed(published, args.common.output.output)?;
    let finished = Finished {
        outcome: Outcome::from(&report),
        diff: report.diff.as_ref(),
        details: report.details(),
        text: report.text(),
        dry_run: report.dry_run,
        name: report.channel.as_ref().map_or(report.version.as_str(), |channel| channel.name.as_str()),
        store: &report.store,
        trust: args.approval.signing.trust.as_deref(),
    };
    finished.write(&args.common, &outputs, log)
}

async fn published(args: &Args, log: &Log) -> Result<PublishReport, Failure> {
    let (config, context) = (configuration(args)?, system::context(log));
    if let Some(archive) = &args.control_plane_archive {
        connect::check_stdin(archive, &args.common.store)?;
    }
    let request = PublishRequest {
        pack: pack_request(args, &config)?,
        moves_channel: !args.no_channel,
        terms: args.approval.terms((&config, &args.source), args.allow_unordered, args.reason.as_ref(), &context)?,
        repairs: args.repair,
    };
    let store = StoreRequest { jobs: args.jobs.into(), ..args.common.store.request(&config)? };
    let target = Connection::open(&store, args.approval.access(), &context).await?;
    Ok(ops::publish(request, &config, &target, &context).await?)
}

/// Returns the request to pack the tree.
fn pack_request(args: &Args, config: &Config) -> Result<PackRequest, Failure> {
    let control_plane = match (&args.control_plane_archive, &args.control_plane) {
        (Some(archive), _) => ControlPlane::Archive(connect::archive(archive)?),
        (None, Some(text)) if !text.is_empty() => ControlPlane::Reference(text.clone()),
        (None, _) => ControlPlane::None,
    };
    let channel = match &args.channel {
        Some(channel) => ops::channel(config, channel)?,
        None => config.channels[0].clone(),
    };
    Ok(PackRequest {
        source: args.source.clone(),
        version: connect::parsed("--version", &args.version)?,
        channel,
        images: environment::image_tags(&args.images, config)?,
        control_plane,
        platform: args.platform.clone(),
        image_check: args.image_check,
        revision: args.revision.request(),
        allow_dirty: args.allow_dirty,
        on_errors: args.no_lint.clone().map_or(OnErrors::Refuse, OnErrors::Publish),
        render: args.render,
    })
}

fn configuration(args: &Args) -> Result<Config, Failure> {
    let mut config =
        environment::configuration(&args.source, &args.common.configuration, args.profile.profile.as_deref())?;
    config.chart_pin = args.chart_pin.unwrap_or(config.chart_pin);
    config.chart_versions = args.chart_version.unwrap_or(config.chart_versions);
    let trust = args.approval.signing.trust.as_ref().map(|path| path.display().to_string());
    config.signing.trust = trust.or(config.signing.trust);
    Ok(config)
}

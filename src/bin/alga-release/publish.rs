//! `alga-release publish`.

use std::path::PathBuf;

use alga_release::config::{ChartPin, ChartVersions, Config};
use alga_release::diff::{self, Diff, Side};
use alga_release::image::{Check, Platform};
use alga_release::oci::{ReadStore, Tag};
use alga_release::ops::{self, Access, Connection, ControlPlane, PackRequest, Publication, StoreRequest};
use alga_release::plan::{self, Action, Contents, Desired, Executor, MoveRecord, Observed, Report};
use clap::ValueEnum;

use crate::connect::{self, until_signal};
use crate::environment;
use crate::failure::Failure;
use crate::flags::{Common, Format, ImageCheck, OutputsArgs, ProfileArgs, RevisionArgs, key_value};
use crate::output::{self, Talk};
use crate::outputs::{self, Outcome, Outputs};
use crate::pager;
use crate::system;

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Args {
    /// Root of the source tree
    #[arg(default_value = ".")]
    source: PathBuf,
    /// Version of the release: a tag, ordered as SemVer
    #[arg(long, value_name = "VERSION")]
    version: String,
    /// Channel that shall serve it
    #[arg(long, required_unless_present = "no_channel")]
    channel: Option<String>,
    /// Publish the version alone; no channel moves
    #[arg(long)]
    no_channel: bool,
    /// Show what would change against what the channel serves, and the plan; write nothing anywhere. `--dry-run=false` is for
    /// workflows, which cannot leave a flag out
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true", hide_default_value = true, hide_possible_values = true)]
    dry_run: bool,
    /// Tag of an application image (repeatable)
    #[arg(long = "image", value_name = "KEY=TAG", value_parser = key_value)]
    images: Vec<(String, String)>,
    /// Tags of application images: a JSON map, or a release.json
    #[arg(long = "images", value_name = "FILE")]
    images_file: Option<PathBuf>,
    /// Control-plane image: a tag, a digest or a full reference; empty for none
    #[arg(long, value_name = "REF")]
    control_plane: Option<String>,
    /// Push the control-plane image out of this archive with the release: as `image push`
    #[arg(long, value_name = "ARCHIVE", conflicts_with = "control_plane")]
    control_plane_archive: Option<PathBuf>,
    /// Platform that the images must be for
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", default_value = "linux/amd64")]
    platform: Platform,
    /// What happens when an image is not there, or is for another platform [default: require in a registry, warn in a layout]
    #[arg(long, value_enum)]
    image_check: Option<ImageCheck>,
    /// How releases are pinned to charts
    #[arg(long, value_enum)]
    chart_pin: Option<ChartPinFlag>,
    /// Under which version charts are published
    #[arg(long, value_enum)]
    chart_version: Option<ChartVersionFlag>,
    /// Publish files that are not committed; marks the revision `-dirty`
    #[arg(long)]
    allow_dirty: bool,
    /// Let a channel move between versions that have no order
    #[arg(long)]
    allow_unordered: bool,
    /// Who moves the channel, for its record
    #[arg(long)]
    by: Option<String>,
    /// Why the channel moves, for its record
    #[arg(long)]
    reason: Option<String>,
    /// Requests at once
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ChartPinFlag {
    Digest,
    Version,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ChartVersionFlag {
    AsWritten,
    Stamped,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let outputs = Outputs::open(&args.outputs)?;
    let published = outputs.unless_failed(published(args), args.common.output.output)?;
    outputs.write(&outcome(&published)?)?;
    match (args.common.output.output, &published.diff) {
        (Format::Json, _) => output::write_json(&published),
        (Format::Text, diff) => {
            let diff = diff.as_ref().map(|diff| diff::render::text(diff, pager::style()) + "\n").unwrap_or_default();
            output::write_text(&(diff + &output::report_text(&published.report)))
        }
    }
}

/// What later steps need of a publication.
fn outcome(published: &Published) -> Result<Outcome, Failure> {
    let Published { report, diff } = published;
    let moving = report.plan.actions.iter().find_map(|action| match action {
        Action::Move { from, .. } => Some(from.clone()),
        _ => None,
    });
    let serves = report.channel.as_ref().map(|channel| channel.manifest.clone().or(moving.flatten()));
    let text = output::report_text(report);
    let title = format!("Release {}", report.version);
    Ok(Outcome {
        digest: report.digest.clone(),
        version: report.version.clone(),
        has_changes: report.has_changes,
        plan_digest: Some(report.plan_digest.clone()),
        channel_digest: serves.map(|digest| digest.map_or_else(|| "none".to_owned(), |digest| digest.to_string())),
        changes: output::json(published)?,
        markdown: diff.as_ref().map_or_else(|| outputs::markdown(&title, &text), diff::render::markdown),
        html: diff.as_ref().map_or_else(|| outputs::page(&title, &text), diff::render::html),
        warnings: report.warnings.clone(),
    })
}

fn published(args: &Args) -> Result<Published, Failure> {
    let runtime = connect::runtime()?;
    let talk = Talk::new(&args.common.output);
    let config = configuration(args)?;
    let (version, channel) = names(args, &config)?;
    if let Some(archive) = &args.control_plane_archive {
        connect::check_stdin(archive, &args.common.store)?;
    }
    let request = pack_request(args, &config, version, channel)?;
    let store = StoreRequest { jobs: args.jobs.into(), ..args.common.store.request(&config)? };
    let rights = if args.dry_run { Access::Read } else { Access::Write };
    let context = system::context(&talk);
    let connection = runtime.block_on(Connection::open(&store, rights, &context))?;
    let Connection { location, prefix, .. } = &connection;
    let packing = async { Ok(Box::pin(ops::pack(request, &config, &connection, &context)).await?) };
    let publication = runtime.block_on(until_signal(packing))?;
    for warning in &publication.warnings {
        talk.warn(warning);
    }
    let (report, diff) = runtime.block_on(until_signal(carry_out(args, &config, &publication, &connection, &talk)))?;
    talk.done();
    let report = Report { store: location.to_string(), prefix: prefix.to_string(), ..report };
    Ok(Published { report, diff })
}

/// What is printed as JSON.
#[derive(serde::Serialize)]
struct Published {
    #[serde(flatten)]
    report: Report,
    /// In a dry run: what would change.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<Diff>,
}

/// Returns what is packed.
fn pack_request(args: &Args, config: &Config, version: Tag, channel: Tag) -> Result<PackRequest, Failure> {
    let control_plane = match (&args.control_plane_archive, &args.control_plane) {
        (Some(archive), _) => ControlPlane::Archive(connect::archive(archive)),
        (None, Some(text)) if !text.is_empty() => ControlPlane::Reference(text.clone()),
        (None, _) => ControlPlane::None,
    };
    Ok(PackRequest {
        source: args.source.clone(),
        version,
        channel,
        moves_channel: !args.no_channel,
        images: environment::image_tags(&args.images, args.images_file.as_deref(), config)?,
        control_plane,
        platform: args.platform.clone(),
        image_check: args.image_check.map(Check::from),
        revision: args.revision.request(),
        allow_dirty: args.allow_dirty,
    })
}

/// Looks, plans, and unless it is a dry run does what was planned.
async fn carry_out(
    args: &Args,
    config: &Config,
    publication: &Publication,
    connection: &Connection,
    talk: &Talk,
) -> Result<(Report, Option<Diff>), Failure> {
    let store = connection.read();
    let observed = plan::observe(store, &publication.desired).await?;
    let desired = &publication.desired.clone().keeping(&observed);
    let compare = || compare(args, config, desired, &observed, store);
    let dry = connection.store().is_none();
    let plan = match plan::publish(desired, &observed, args.allow_unordered) {
        Err(refusal) if dry => return Err(Failure::from(refusal).showing(compare().await?)),
        planned => planned?,
    };
    let mut report = Report::new(&plan, desired, &observed, args.dry_run);
    report.images.clone_from(&publication.images.digests);
    report.control_plane.clone_from(&publication.images.control_plane);
    report.warnings.clone_from(&publication.warnings);
    let Some(writable) = connection.store() else {
        return Ok((report, Some(compare().await?)));
    };
    let contents = Contents::of(desired).with_images(&publication.images, &publication.prefix);
    let executor = Executor { store: writable, public: connection.public() };
    let moved = plan::execute(&plan, &contents, &record(args), &executor, talk).await?;
    if let Some(channel) = &mut report.channel {
        channel.manifest = moved.or(channel.manifest.take());
    }
    Ok((report, None))
}

/// What would change, against what the channel serves now.
async fn compare(
    args: &Args,
    config: &Config,
    desired: &Desired,
    observed: &Observed,
    store: &ReadStore,
) -> Result<Diff, Failure> {
    let to = Side::of(desired, config, &args.source.display().to_string())?;
    let serves = observed.channel.as_ref().zip(desired.channel.as_ref());
    let from = serves.map(|(serves, channel)| Side::served(store, config, channel.as_str(), serves)).transpose()?;
    Ok(diff::compare(from.as_ref(), &to).await?)
}

fn configuration(args: &Args) -> Result<Config, Failure> {
    let mut config =
        environment::configuration(&args.source, &args.common.configuration, args.profile.profile.as_deref())?;
    match args.chart_pin {
        Some(ChartPinFlag::Digest) => config.chart_pin = ChartPin::Digest,
        Some(ChartPinFlag::Version) => config.chart_pin = ChartPin::Version,
        None => {}
    }
    match args.chart_version {
        Some(ChartVersionFlag::AsWritten) => config.chart_versions = ChartVersions::AsWritten,
        Some(ChartVersionFlag::Stamped) => config.chart_versions = ChartVersions::Stamped,
        None => {}
    }
    Ok(config)
}

/// Version and channel: a version must not look like a channel or its keep-alive tags.
fn names(args: &Args, config: &Config) -> Result<(Tag, Tag), Failure> {
    let version: Tag = args.version.parse()?;
    let clash = config.channels.iter().find(|channel| {
        let rest = version.as_str().strip_prefix(channel.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    });
    if let Some(channel) = clash {
        let reason = format!(
            "--version {version}: a version is not named as the channel `{channel}` and its keep-alive tags are"
        );
        return Err(Failure::usage_hint(reason, "name it as 1.0.4-nightly.20261123"));
    }
    let Some(channel) = &args.channel else { return Ok((version, config.channels[0].clone())) };
    if let Some(channel) = config.channels.iter().find(|known| known.as_str() == channel) {
        Ok((version, channel.clone()))
    } else {
        let known: Vec<&str> = config.channels.iter().map(Tag::as_str).collect();
        let reason = format!("--channel {}: there is no such channel", channel.escape_debug());
        Err(Failure::usage_hint(reason, format!("the configuration names: {}", known.join(", "))))
    }
}

fn record(args: &Args) -> MoveRecord {
    MoveRecord {
        moved: environment::now(),
        by: args.by.clone().or_else(environment::user),
        from: None,
        reason: args.reason.clone(),
    }
}

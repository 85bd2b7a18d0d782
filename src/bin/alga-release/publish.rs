//! `alga-release publish`.

use std::collections::BTreeMap;
use std::path::Path;

use alga_release::config::{ChartPin, ChartVersions, Config};
use alga_release::diff::{self, Diff, Side};
use alga_release::image::Check;
use alga_release::oci::{ReadStore, Tag};
use alga_release::ops::{self, Access, Connection, ControlPlane, PackRequest, Publication, StoreRequest};
use alga_release::plan::{self, Action, Contents, Desired, Executor, MoveRecord, Observed, Report};

use crate::args::{self, Format, PublishArgs};
use crate::connect::{self, until_signal};
use crate::environment;
use crate::failure::Failure;
use crate::image as from_archive;
use crate::output::{self, Talk};
use crate::outputs::{self, Outcome, Outputs};
use crate::pager;
use crate::system;

pub fn run(args: &PublishArgs) -> Result<(), Failure> {
    let outputs = Outputs::open(&args.outputs)?;
    let published = outputs.unless_failed(published(args), args.output.output)?;
    outputs.write(&outcome(&published)?)?;
    match (args.output.output, &published.diff) {
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

fn published(args: &PublishArgs) -> Result<Published, Failure> {
    let runtime = connect::runtime()?;
    let talk = Talk::new(&args.output);
    let config = configuration(args)?;
    let (version, channel) = names(args, &config)?;
    if let Some(archive) = &args.control_plane_archive {
        from_archive::stdin_is_one_thing(archive, &args.store)?;
    }
    let request = pack_request(args, &config, version, channel)?;
    let store = StoreRequest { jobs: args.jobs.into(), ..args.store.request(&config)? };
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
fn pack_request(args: &PublishArgs, config: &Config, version: Tag, channel: Tag) -> Result<PackRequest, Failure> {
    let control_plane = match (&args.control_plane_archive, &args.control_plane) {
        (Some(archive), _) => ControlPlane::Archive(from_archive::input(archive)),
        (None, Some(text)) if !text.is_empty() => ControlPlane::Reference(text.clone()),
        (None, _) => ControlPlane::None,
    };
    Ok(PackRequest {
        source: args.source.clone(),
        version,
        channel,
        moves_channel: !args.no_channel,
        images: images(&args.images, args.images_file.as_deref(), config)?,
        control_plane,
        platform: args.platform.clone(),
        image_check: args.image_check.map(Check::from),
        revision: args.revision.request(),
        allow_dirty: args.allow_dirty,
    })
}

/// Looks, plans, and unless it is a dry run does what was planned.
async fn carry_out(
    args: &PublishArgs,
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
    args: &PublishArgs,
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

fn configuration(args: &PublishArgs) -> Result<Config, Failure> {
    let mut config = environment::configuration(&args.source, &args.configuration)?;
    match args.chart_pin {
        Some(args::ChartPin::Digest) => config.chart_pin = ChartPin::Digest,
        Some(args::ChartPin::Version) => config.chart_pin = ChartPin::Version,
        None => {}
    }
    match args.chart_version {
        Some(args::ChartVersion::AsWritten) => config.chart_versions = ChartVersions::AsWritten,
        Some(args::ChartVersion::Stamped) => config.chart_versions = ChartVersions::Stamped,
        None => {}
    }
    Ok(config)
}

/// Version and channel: a version must not look like a channel or its keep-alive tags.
fn names(args: &PublishArgs, config: &Config) -> Result<(Tag, Tag), Failure> {
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

/// The tags given by hand: the file's, then the flags'.
pub fn images(
    images: &[(String, String)],
    file: Option<&Path>,
    config: &Config,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut tags = match file {
        Some(path) => plan::tags_in(&environment::read(path)?, &path.display().to_string(), &config.release_images)?,
        None => BTreeMap::new(),
    };
    tags.extend(images.iter().cloned());
    Ok(tags)
}

fn record(args: &PublishArgs) -> MoveRecord {
    MoveRecord {
        moved: environment::now(),
        by: args.by.clone().or_else(environment::user),
        from: None,
        reason: args.reason.clone(),
    }
}

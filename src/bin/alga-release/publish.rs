//! `alga-release publish`.

use std::collections::BTreeMap;
use std::path::Path;

use alga_release::config::{ChartPin, ChartVersions, Config};
use alga_release::diff::{self, Diff, Side};
use alga_release::image::archive::Layers;
use alga_release::image::{self, Check, PinnedImages};
use alga_release::oci::{AnyRepository, Location, Pinned, Prefix, ReadStore, Reference, Repository, Selector, Tag};
use alga_release::ops::{Access, Connection, StoreRequest};
use alga_release::plan::{
    self, Action, Contents, Desired, DesiredArtifact, Executor, MoveRecord, Observed, Report, Request, Revision,
};
use alga_release::source::{Tree, git};

use crate::args::{self, Format, PublishArgs};
use crate::connect::{self, until_signal};
use crate::environment;
use crate::failure::Failure;
use crate::image as from_archive;
use crate::output::{self, Talk};
use crate::outputs::{self, Outcome, Outputs};
use crate::pager;
use crate::system;

/// How many changed files are named before "and N more".
const NAMED_CHANGES: usize = 20;

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
    let images = images(args, &config)?;
    if let Some(archive) = &args.control_plane_archive {
        from_archive::stdin_is_one_thing(archive, &args.store)?;
    }
    let store = StoreRequest { jobs: args.jobs.into(), ..args.store.request(&config)? };
    let rights = if args.dry_run { Access::Read } else { Access::Write };
    let connection = runtime.block_on(Connection::open(&store, rights, &system::context(&talk)))?;
    let Connection { location, prefix, .. } = &connection;
    let request = Request { config: &config, prefix, version: &version, channel: &channel, images };
    let place = Place { connection: &connection, runtime: &runtime };
    let publication = prepare(args, &request, &place, &talk)?;
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

/// What is to be published, and what people should know of it.
pub struct Publication {
    pub desired: Desired,
    images: PinnedImages,
    prefix: Prefix,
    pub warnings: Vec<String>,
}

/// Where it goes, and how one gets there.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub connection: &'a Connection,
    pub runtime: &'a tokio::runtime::Runtime,
}

/// Packs the tree while the images are looked up.
pub fn prepare(
    args: &PublishArgs,
    request: &Request<'_>,
    place: &Place<'_>,
    talk: &Talk,
) -> Result<Publication, Failure> {
    let tree = Tree::open(&args.source)?;
    let images = plan::image_tags(&tree, request)?;
    let tags: BTreeMap<String, Tag> = images.iter().map(|(key, (_, tag))| (key.clone(), tag.clone())).collect();
    let pins = pin_request(args, request, &place.connection.location, images)?;
    let archive = args.control_plane_archive.as_deref();
    let elsewhere = place.runtime.block_on(place.connection.other_registries(&pins, &system::context(talk)))?;
    let external = |registry: &Prefix, repository: &Repository| elsewhere.open(registry, repository);
    let (packed, archived, images) = std::thread::scope(|scope| {
        let packing = scope.spawn(|| plan::pack(&tree, request, &tags));
        let reading = archive.map(|archive| scope.spawn(|| archived(archive, args, request, talk)));
        let images = place.runtime.block_on(image::pin(place.connection.read(), &pins, external));
        (packing.join(), reading.map(std::thread::ScopedJoinHandle::join), images)
    });
    let packed = packed.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let archived = archived.map(|archived| archived.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    let archived = archived.transpose()?;
    let revision = revision(args, request.config, &tree, &packed)?;
    let mut images = images?;
    if let Some((pinned, _)) = &archived {
        images.control_plane = Some(pinned.clone());
    }
    let mut desired = packed.desired(request, &revision, &images, !args.no_channel)?;
    desired.artifacts.extend(archived.map(|(_, artifact)| artifact));
    let warnings = packed.warnings.iter().chain(&images.warnings).cloned().collect();
    let prefix = request.prefix.clone();
    Ok(Publication { desired, images, prefix, warnings })
}

/// The control plane out of its archive: its reference, and the image under the release's own version.
fn archived(
    archive: &Path,
    args: &PublishArgs,
    request: &Request<'_>,
    talk: &Talk,
) -> Result<(Pinned, DesiredArtifact), Failure> {
    let image = from_archive::read(archive, &args.platform, Layers::Compressed, talk)?;
    let repository = request.config.repositories.control_plane.clone();
    let pinned = Pinned { repository: request.prefix.name_of(&repository), digest: image.artifact.digest().clone() };
    from_archive::say(&image, &pinned, talk);
    Ok((pinned, from_archive::desired(image.artifact, repository, request.version.clone())))
}

/// Looks, plans, and unless it is a dry run does what was planned.
async fn carry_out(
    args: &PublishArgs,
    config: &Config,
    publication: &Publication,
    connection: &Connection,
    talk: &Talk,
) -> Result<(Report, Option<Diff>), Failure> {
    let desired = &publication.desired;
    let store = connection.read();
    let observed = plan::observe(store, desired).await?;
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
pub fn images(args: &PublishArgs, config: &Config) -> Result<BTreeMap<String, String>, Failure> {
    let mut images = match &args.images_file {
        Some(path) => plan::tags_in(&environment::read(path)?, &path.display().to_string(), &config.release_images)?,
        None => BTreeMap::new(),
    };
    images.extend(args.images.iter().cloned());
    Ok(images)
}

fn pin_request<'a>(
    args: &PublishArgs,
    request: &Request<'a>,
    location: &Location,
    images: BTreeMap<String, (AnyRepository, Tag)>,
) -> Result<image::Request<'a>, Failure> {
    let check = match (args.image_check, location) {
        (Some(args::ImageCheck::Require), _) | (None, Location::Registry(_)) => Check::Require,
        (Some(args::ImageCheck::Warn), _) | (None, Location::Layout(_) | Location::Archive(_)) => Check::Warn,
        (Some(args::ImageCheck::Off), _) => Check::Off,
    };
    let control_plane = match &args.control_plane {
        Some(text) if !text.is_empty() => Some(control_plane(text, request.config, request.prefix)?),
        _ => None,
    };
    Ok(image::Request { prefix: request.prefix, images, control_plane, platform: args.platform.clone(), check })
}

/// A tag or digest of the configured repository, or a full reference.
fn control_plane(text: &str, config: &Config, prefix: &Prefix) -> Result<(AnyRepository, Selector), Failure> {
    if !text.contains('/') {
        return Ok((AnyRepository::Own(config.repositories.control_plane.clone()), text.parse()?));
    }
    let reference: Reference = text.parse()?;
    let repository = AnyRepository::of_name(&reference.repository, prefix)?;
    let selector = reference.digest.map(Selector::Digest).or(reference.tag.map(Selector::Tag));
    let selector =
        selector.ok_or_else(|| Failure::usage("--control-plane: want a tag or a digest in the reference"))?;
    Ok((repository, selector))
}

fn revision(args: &PublishArgs, config: &Config, tree: &Tree, packed: &plan::Packed) -> Result<Revision, Failure> {
    let given = &args.revision;
    let head = git::head(tree.root())?;
    let epoch = given.epoch.map_or_else(environment::source_date_epoch, |epoch| Ok(Some(epoch)))?;
    let source = match given.source_url.as_ref().or(config.source.as_ref()) {
        Some(url) => Some(git::source_url(url).map_err(|reason| Failure::usage(format!("source URL: {reason}")))?),
        None => head.as_ref().and_then(git::Head::remote),
    };
    let (commit, time) = match (&given.source_commit, &head) {
        (Some(commit), head) => (commit_id(commit)?, head.as_ref().map(|head| head.time)),
        (None, Some(head)) => {
            let dirty = dirty(args, &packed.changes(tree, head, config)?)?;
            (format!("{}{}", head.commit, if dirty { "-dirty" } else { "" }), Some(head.time))
        }
        (None, None) => {
            let reason = format!("{} is in no git repository with a commit", tree.root().display());
            return Err(Failure::usage_hint(reason, "say which state it is: --source-commit HEX --epoch SECONDS"));
        }
    };
    let epoch = epoch.or(time);
    let epoch = epoch
        .ok_or_else(|| Failure::usage_hint("the release has no time", "give --epoch SECONDS or SOURCE_DATE_EPOCH"))?;
    Ok(Revision { commit, epoch, source })
}

fn commit_id(text: &str) -> Result<String, Failure> {
    let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if hex && matches!(text.len(), 40 | 64) {
        return Ok(text.to_owned());
    }
    Err(Failure::usage("--source-commit: want the full id, 40 or 64 lower-case hex digits"))
}

/// Refuses what is not committed, unless it is allowed.
fn dirty(args: &PublishArgs, changes: &BTreeMap<String, git::Change>) -> Result<bool, Failure> {
    if changes.is_empty() || args.allow_dirty {
        return Ok(!changes.is_empty());
    }
    let name = |(path, change): (&String, &git::Change)| {
        let change = match change {
            git::Change::Modified => "modified",
            git::Change::Untracked => "not in the commit",
            git::Change::Deleted => "deleted",
        };
        format!("\n    {}: {change}", path.escape_debug())
    };
    let mut reason = format!("{} of the files that would be published are not as committed:", changes.len());
    reason.extend(changes.iter().take(NAMED_CHANGES).map(name));
    if changes.len() > NAMED_CHANGES {
        reason = format!("{reason}\n    and {} more", changes.len() - NAMED_CHANGES);
    }
    Err(Failure::refused(reason, "commit them, or say --allow-dirty: the revision is then marked `-dirty`"))
}

fn record(args: &PublishArgs) -> MoveRecord {
    MoveRecord {
        moved: environment::now(),
        by: args.by.clone().or_else(environment::user),
        from: None,
        reason: args.reason.clone(),
    }
}

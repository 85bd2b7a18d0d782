//! The command `alga-release diff`: flags, call, report.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alga_release::config::Config;
use alga_release::diff::{Diff, render};
use alga_release::image::{Check, Platform};
use alga_release::ops::{
    self, Access, Connection, ControlPlane, DiffOrigin, DiffRequest, DiffSide, OnErrors, PackRequest, Render,
    StoreRequest,
};
use clap::ValueEnum;

use crate::connect;
use crate::environment;
use crate::failure::Failure;
use crate::flags::{Common, Format, ImageArgs, OutputsArgs, ProfileArgs, RevisionArgs, StoreArgs};
use crate::log::Log;
use crate::output;
use crate::outputs::Outputs;
use crate::pager;
use crate::system;

/// Exit code for changes, with `--detailed-exitcode`.
const CHANGES: u8 = 2;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The older release: a channel, a version, a digest or a source tree such as `./path`
    #[arg(value_name = "A", required_unless_present = "statement", requires = "to")]
    from: Option<String>,
    /// The newer release: a channel, a version, a digest or a source tree such as `./path`
    #[arg(value_name = "B")]
    to: Option<String>,
    /// Compare what a channel serves with what it would serve by the statement in this file, which `--prepare` wrote
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to", "rendered", "other_store"])]
    statement: Option<PathBuf>,
    /// Exit with code 2 when the releases differ
    #[arg(long)]
    detailed_exitcode: bool,
    /// Number of requests at a time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Also render both releases with the helm and kubectl on the PATH, and compare the objects
    #[arg(long)]
    rendered: bool,
    #[command(flatten)]
    brief: BriefArgs,
    /// Store of B [default: the store of A]
    #[arg(long, value_name = "STORE", help_heading = "Store")]
    other_store: Option<String>,
    #[command(flatten)]
    tree: TreeArgs,
    #[command(flatten)]
    revision: RevisionArgs,
    #[command(flatten)]
    common: Common<DiffFormat>,
    #[command(flatten)]
    profile: ProfileArgs,
    #[command(flatten)]
    outputs: OutputsArgs,
    /// Print without a pager, also on a terminal
    #[arg(long, help_heading = "Output")]
    no_pager: bool,
}

/// Forms of the text that name every change and show none.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Output")]
struct BriefArgs {
    /// Print a line for each file, image and key that differs, with the count of its lines
    #[arg(long, conflicts_with_all = ["rendered", "name_only"])]
    stat: bool,
    /// Print only the name of each file, image and key that differs
    #[arg(long, conflicts_with = "rendered")]
    name_only: bool,
}

/// How a source tree is packed before it is compared.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Source")]
struct TreeArgs {
    /// Version that the tree would be published as
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    #[command(flatten)]
    images: ImageArgs,
    /// Control-plane image: a tag, a digest or a full reference
    #[arg(long, value_name = "REF")]
    control_plane: Option<String>,
    /// Platform that the images must be for
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", default_value = "linux/amd64")]
    platform: Platform,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum DiffFormat {
    #[default]
    Text,
    Json,
    Markdown,
    Html,
}

pub fn run(args: &Args, log: &Log) -> Result<ExitCode, Failure> {
    let short =
        [(args.brief.stat, "--stat"), (args.brief.name_only, "--name-only")].into_iter().find(|(given, _)| *given);
    if let Some((_, flag)) = short.filter(|_| args.common.output.output != DiffFormat::Text) {
        let hint = format!("omit `--output`, or omit `{flag}`: the other formats contain every file with its changes");
        return Err(Failure::usage_hint(format!("`{flag}` prints text only"), hint));
    }
    let outputs = Outputs::open(&args.outputs)?;
    let diff = match (&args.statement, &args.from, &args.to) {
        (Some(file), ..) => of_statement(file, args, log),
        (None, Some(from), Some(to)) => compared(from, to, args, log),
        (None, ..) => Err(Failure::usage("expected two releases")),
    };
    let diff = outputs.unless_failed(diff, Format::Text)?;
    show(args, &diff, &outputs)?;
    Ok(ExitCode::from(if args.detailed_exitcode && diff.has_changes { CHANGES } else { 0 }))
}

fn of_statement(file: &Path, args: &Args, log: &Log) -> Result<Diff, Failure> {
    let config = args.common.configuration.load()?;
    let (store, context) = (args.common.store.request(&config)?, system::context(log));
    let work = async {
        let store = Connection::open(&store, Access::Read, &context).await?;
        Ok(Box::pin(ops::diff_statement(file, &config, &store, &context)).await?)
    };
    connect::block_on(log, args.common.store.timeout, Box::pin(work))
}

fn compared(from: &str, to: &str, args: &Args, log: &Log) -> Result<Diff, Failure> {
    let root = [from, to].into_iter().find_map(|text| tree(text)).unwrap_or(Path::new("."));
    let mut config = environment::configuration(root, &args.common.configuration, args.profile.profile.as_deref())?;
    let (store, other) = stores(from, to, args, &mut config)?;
    let (from, to) = (side(from, args, &config)?, side(to, args, &config)?);
    let request = DiffRequest { from, to, rendered: args.rendered };
    let near = StoreRequest { jobs: args.jobs.into(), public_read: false, ..store.request(&config)? };
    let far = other.as_ref().map(|store| near.other(store));
    let context = system::context(log);
    let work = async {
        let near = Connection::open(&near, Access::Read, &context).await?;
        let far = match &far {
            Some(far) => Some(Connection::open(far, Access::Read, &context).await?),
            None => None,
        };
        Ok(Box::pin(ops::diff(request, &config, &near, far.as_ref().unwrap_or(&near), &context)).await?)
    };
    connect::block_on(log, args.common.store.timeout, Box::pin(work))
}

/// Returns the store of A, and that of B when it is another one; enters where the releases are into the configuration.
fn stores(a: &str, b: &str, args: &Args, config: &mut Config) -> Result<(StoreArgs, Option<String>), Failure> {
    let mut near = args.common.store.clone();
    let released = |text: &str| tree(text).is_none();
    if released(a) {
        connect::locate(a, &mut near, config)?;
    }
    // B is in the store of A unless its own name says where it is.
    let beside = near.store.clone().filter(|_| !b.contains('/'));
    let mut far = StoreArgs { store: args.other_store.clone().or(beside), ..near.clone() };
    let mut far_config = config.clone();
    if released(b) {
        connect::locate(b, &mut far, &mut far_config)?;
    }
    let (from, to) = (&config.repositories.release, &far_config.repositories.release);
    if released(a) && released(b) && from != to {
        let reason = format!("cannot compare releases of the repositories `{from}` and `{to}`");
        return Err(Failure::usage_hint(
            reason,
            "name both with their repository, which has the same name in both stores",
        ));
    }
    if !released(a) {
        (near.store, *config) = (far.store.clone().filter(|_| args.other_store.is_none()).or(near.store), far_config);
    }
    let other = far.store.filter(|store| near.store.as_ref() != Some(store));
    Ok((near, other))
}

/// Returns the source tree that an argument names, unless it names a release.
fn tree(text: &str) -> Option<&Path> {
    let is_path = matches!(text, "." | "..") || ["./", "../", "/"].iter().any(|start| text.starts_with(start));
    is_path.then(|| Path::new(text))
}

/// Returns what an argument names. A source tree is packed as it would be published, but images may be absent and files need not
/// be committed.
fn side(text: &str, args: &Args, config: &Config) -> Result<DiffSide, Failure> {
    let reference = text.to_owned();
    let Some(root) = tree(text) else {
        let (mut store, mut config) = (StoreArgs { store: None, ..args.common.store.clone() }, config.clone());
        let selector = connect::locate(text, &mut store, &mut config)?;
        return Ok(DiffSide { reference, origin: DiffOrigin::Release(selector.parse()?) });
    };
    let TreeArgs { version, images, control_plane, platform } = &args.tree;
    let Some(version) = version else {
        let reason = format!("{}: a source tree has no version of its own", root.display());
        return Err(Failure::usage_hint(reason, "give the version that it would be published as: --version VERSION"));
    };
    let request = PackRequest {
        source: root.to_owned(),
        version: connect::parsed("--version", version)?,
        channel: config.channels[0].clone(),
        images: environment::image_tags(images, config)?,
        control_plane: match control_plane {
            Some(text) if !text.is_empty() => ControlPlane::Reference(text.clone()),
            _ => ControlPlane::None,
        },
        platform: platform.clone(),
        image_check: Some(Check::Warn),
        revision: args.revision.request(),
        allow_dirty: true,
        on_errors: OnErrors::Report,
        render: Render::Off,
    };
    Ok(DiffSide { reference, origin: DiffOrigin::Tree(Box::new(request)) })
}

/// Writes the comparison where a workflow reads it, and prints it.
fn show(args: &Args, diff: &Diff, outputs: &Outputs) -> Result<(), Failure> {
    let outcome = ops::Outcome::from(diff);
    outputs.write(&outcome)?;
    match args.common.output.output {
        DiffFormat::Text if args.brief.stat => pager::show(&render::stat(diff, pager::style()), !args.no_pager),
        DiffFormat::Text if args.brief.name_only => pager::show(&render::name_only(diff), !args.no_pager),
        DiffFormat::Text => pager::show(&render::text(diff, pager::style()), !args.no_pager),
        DiffFormat::Json => output::write_stdout(&outcome.changes),
        DiffFormat::Markdown => output::write_text(&outcome.markdown),
        DiffFormat::Html => output::write_text(&outcome.html),
    }
}

//! `alga-release diff`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alga_release::config::{Config, nearest};
use alga_release::diff::{self, Diff, Side, render};
use alga_release::oci::{ReadStore, Selector, Tag};
use alga_release::plan::Request;
use alga_release::release::{self, ResolveError, Resolved};

use crate::args::{self, DiffArgs, DiffFormat, Format, OutputArgs, PublishArgs, StoreArgs};
use crate::connect::{self, until_signal};
use crate::environment;
use crate::failure::Failure;
use crate::output::{self, Talk};
use crate::outputs::OutputsArgs;
use crate::pager;
use crate::publish::{self, Place, Publication};
use crate::rendered;
use crate::store::StoreAccess;

/// Exit code for changes, with `--detailed-exitcode`.
const CHANGES: u8 = 2;

pub fn run(args: &DiffArgs) -> Result<ExitCode, Failure> {
    let runtime = connect::runtime()?;
    let talk = Talk::new(&talk_args(args));
    let (from, to) = (Asked::parse(&args.from)?, Asked::parse(&args.to)?);
    let root = [&from, &to].into_iter().find_map(Asked::tree).unwrap_or(Path::new("."));
    let config = environment::configuration(root, &args.configuration)?;
    let near = runtime.block_on(Opened::new(&args.store, args, &config, false, &talk))?;
    let far = match &args.other_store {
        Some(store) => Some(runtime.block_on(Opened::new(&other_store(store, args), args, &config, true, &talk))?),
        None => None,
    };
    let far = far.as_ref().unwrap_or(&near);
    let pack = |asked: &Asked, store: &Opened| {
        let place = Place { access: &store.access, store: &store.store, runtime: &runtime };
        asked.tree().map(|root| pack(root, args, &config, &place, &talk)).transpose()
    };
    let (packed_from, packed_to) = (pack(&from, &near)?, pack(&to, far)?);
    let diff = runtime.block_on(until_signal(async {
        let (from, to) = futures_util::try_join!(
            from.side(&args.from, &config, near.store(), packed_from.as_ref()),
            to.side(&args.to, &config, far.store(), packed_to.as_ref())
        )?;
        let mut diff = diff::compare(Some(&from), &to).await?;
        if args.rendered {
            rendered::add(&mut diff, &from, &to).await?;
        }
        Ok(diff)
    }))?;
    show(args, &diff)?;
    Ok(ExitCode::from(if args.detailed_exitcode && diff.has_changes { CHANGES } else { 0 }))
}

fn talk_args(args: &DiffArgs) -> OutputArgs {
    OutputArgs { output: Format::Text, log_format: args.output.log_format, quiet: args.output.quiet }
}

/// What an argument names.
enum Asked {
    Tree(PathBuf),
    Release(Selector),
}

impl Asked {
    fn parse(text: &str) -> Result<Self, Failure> {
        if matches!(text, "." | "..") || ["./", "../", "/"].iter().any(|start| text.starts_with(start)) {
            return Ok(Self::Tree(PathBuf::from(text)));
        }
        Ok(Self::Release(text.parse()?))
    }

    fn tree(&self) -> Option<&Path> {
        match self {
            Self::Tree(root) => Some(root),
            Self::Release(_) => None,
        }
    }

    async fn side<'a>(
        &self,
        reference: &str,
        config: &'a Config,
        store: &'a ReadStore,
        packed: Option<&'a Publication>,
    ) -> Result<Side<'a>, Failure> {
        if let Some(packed) = packed {
            return Ok(Side::of(&packed.desired, config, reference)?);
        }
        let Self::Release(selector) = self else { return Err(Failure::usage(format!("{reference}: not packed"))) };
        Ok(Side::read(store, config, reference, resolve(store, config, selector).await?))
    }
}

/// Reads a release; where there is none, the nearest name is suggested.
async fn resolve(store: &ReadStore, config: &Config, selector: &Selector) -> Result<Resolved, Failure> {
    let repository = &config.repositories.release;
    let error = match release::resolve(store, repository, selector).await {
        Ok(resolved) => return Ok(resolved),
        Err(error) => error,
    };
    let absent = matches!(&error, ResolveError::Store(error) if error.is_not_found());
    let (true, Selector::Tag(tag)) = (absent, selector) else { return Err(error.into()) };
    let mut known: Vec<Tag> = store.tags(repository).await.unwrap_or_default();
    known.retain(|tag| config.channels.iter().all(|channel| release::keep_alive_sequence(channel, tag).is_none()));
    let hint = match nearest(tag.as_str(), known.iter().map(Tag::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "nothing is published there yet".to_owned(),
        None => {
            let channels: Vec<&str> = config.channels.iter().filter(|c| known.contains(c)).map(Tag::as_str).collect();
            format!("there are {} releases and channels; the channels are: {}", known.len(), channels.join(", "))
        }
    };
    Err(Failure::from(error).hint(hint))
}

/// The other store, asked by nobody who was named for the first one.
fn other_store(store: &str, args: &DiffArgs) -> StoreArgs {
    StoreArgs {
        store: Some(store.to_owned()),
        prefix: None,
        username: None,
        password_stdin: false,
        ..args.store.clone()
    }
}

/// A store that is read.
struct Opened {
    access: StoreAccess,
    store: ReadStore,
}

impl Opened {
    async fn new(
        store: &StoreArgs,
        args: &DiffArgs,
        config: &Config,
        other: bool,
        talk: &Talk,
    ) -> Result<Self, Failure> {
        let access = StoreAccess::new(store, config, talk)?.with_jobs(args.jobs);
        let found = if other { access.credentials_kept(talk).await? } else { access.credentials(talk).await? };
        let store = ReadStore::open(&access.location, access.options(found.credentials))?;
        Ok(Self { access, store })
    }

    fn store(&self) -> &ReadStore {
        &self.store
    }
}

/// Packs a source tree as it would be published; images that are not there are said, and nothing needs to be committed.
fn pack(root: &Path, args: &DiffArgs, config: &Config, place: &Place<'_>, talk: &Talk) -> Result<Publication, Failure> {
    let Some(version) = &args.tree.version else {
        let reason = format!("{}: a source tree has no version of its own", root.display());
        return Err(Failure::usage_hint(reason, "say which one it would be published as: --version VERSION"));
    };
    let publishing = publishing(root, version, args);
    let version: Tag = version.parse()?;
    let images = publish::images(&publishing, config)?;
    let request =
        Request { config, prefix: &place.access.prefix, version: &version, channel: &config.channels[0], images };
    let publication = publish::prepare(&publishing, &request, place, talk)?;
    for warning in &publication.warnings {
        talk.warn(warning);
    }
    Ok(publication)
}

fn publishing(root: &Path, version: &str, args: &DiffArgs) -> PublishArgs {
    PublishArgs {
        source: root.to_owned(),
        version: version.to_owned(),
        channel: None,
        no_channel: true,
        dry_run: true,
        images: args.tree.images.clone(),
        images_file: args.tree.images_file.clone(),
        control_plane: args.tree.control_plane.clone(),
        control_plane_archive: None,
        image_check: Some(args::ImageCheck::Warn),
        chart_pin: None,
        chart_version: None,
        allow_dirty: true,
        allow_unordered: false,
        by: None,
        reason: None,
        jobs: args.jobs,
        revision: args.revision.clone(),
        store: args.store.clone(),
        configuration: args.configuration.clone(),
        output: talk_args(args),
        outputs: OutputsArgs::default(),
    }
}

/// Prints the comparison, and writes it where a workflow reads it.
fn show(args: &DiffArgs, diff: &Diff) -> Result<(), Failure> {
    if let Some(directory) = &args.output.output_dir {
        let text = |text: &str| format!("{text}\n").into_bytes();
        output::write_files(
            directory,
            &[
                ("changes.json", render::json(diff)),
                ("report.html", render::html(diff).into_bytes()),
                ("report.md", render::markdown(diff).into_bytes()),
                ("version", text(&diff.to.version)),
                ("digest", text(diff.to.digest.as_str())),
                ("has-changes", text(if diff.has_changes { "true" } else { "false" })),
            ],
        )?;
    }
    match args.output.output {
        DiffFormat::Text => pager::show(&render::text(diff, pager::style()), !args.output.no_pager),
        DiffFormat::Json => output::write_stdout(&render::json(diff)),
        DiffFormat::Markdown => output::write_stdout(render::markdown(diff).as_bytes()),
        DiffFormat::Html => output::write_stdout(render::html(diff).as_bytes()),
    }
}

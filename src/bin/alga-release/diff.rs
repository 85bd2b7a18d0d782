//! `alga-release diff`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alga_release::config::Config;
use alga_release::diff::{self, Diff, Side, render};
use alga_release::oci::{Selector, Tag};
use alga_release::ops::{Access, Connection, StoreRequest};
use alga_release::plan::Request;

use crate::args::{self, DiffArgs, DiffFormat, Format, OutputArgs, PublishArgs};
use crate::connect::{self, until_signal};
use crate::environment;
use crate::failure::Failure;
use crate::output::{self, Talk};
use crate::outputs::{Outcome, Outputs, OutputsArgs};
use crate::pager;
use crate::publish::{self, Place, Publication};
use crate::rendered;
use crate::system;

/// Exit code for changes, with `--detailed-exitcode`.
const CHANGES: u8 = 2;

pub fn run(args: &DiffArgs) -> Result<ExitCode, Failure> {
    let outputs = Outputs::open(&args.outputs)?;
    let diff = outputs.unless_failed(compared(args), Format::Text)?;
    show(args, &diff, &outputs)?;
    Ok(ExitCode::from(if args.detailed_exitcode && diff.has_changes { CHANGES } else { 0 }))
}

fn compared(args: &DiffArgs) -> Result<Diff, Failure> {
    let runtime = connect::runtime()?;
    let talk = Talk::new(&talk_args(args));
    let (from, to) = (Asked::parse(&args.from)?, Asked::parse(&args.to)?);
    let root = [&from, &to].into_iter().find_map(Asked::tree).unwrap_or(Path::new("."));
    let config = environment::configuration(root, &args.configuration)?;
    let request = StoreRequest { jobs: args.jobs.into(), public_read: false, ..args.store.request(&config)? };
    let open = |request| runtime.block_on(Connection::open(&request, Access::Read, &system::context(&talk)));
    let other = args.other_store.as_ref().map(|store| request.other(store));
    let near = open(request)?;
    let far = other.map(open).transpose()?;
    let near = Place { connection: &near, runtime: &runtime };
    let far = far.as_ref().map_or(near, |connection| Place { connection, runtime: &runtime });
    let pack =
        |asked: &Asked, place: &Place<'_>| asked.tree().map(|root| pack(root, args, &config, place, &talk)).transpose();
    let (packed_from, packed_to) = (pack(&from, &near)?, pack(&to, &far)?);
    runtime.block_on(until_signal(async {
        let (from, to) = futures_util::try_join!(
            from.side(&args.from, &config, &near, packed_from.as_ref()),
            to.side(&args.to, &config, &far, packed_to.as_ref())
        )?;
        let mut diff = diff::compare(Some(&from), &to).await?;
        if args.rendered {
            rendered::add(&mut diff, &from, &to).await?;
        }
        Ok(diff)
    }))
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
        place: &Place<'a>,
        packed: Option<&'a Publication>,
    ) -> Result<Side<'a>, Failure> {
        if let Some(packed) = packed {
            return Ok(Side::of(&packed.desired, config, reference)?);
        }
        let Self::Release(selector) = self else { return Err(Failure::usage(format!("{reference}: not packed"))) };
        let resolved = place.connection.resolve(config, reference, selector).await;
        let resolved = resolved.map_err(Failure::from).map_err(|failure| {
            let hint = || format!("if the directory is meant: ./{reference}");
            if Path::new(reference).is_dir() { failure.hint(hint()) } else { failure }
        })?;
        Ok(Side::read(place.connection.read(), config, reference, resolved))
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
        Request { config, prefix: &place.connection.prefix, version: &version, channel: &config.channels[0], images };
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
        platform: args.tree.platform.clone(),
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

/// Writes the comparison where a workflow reads it, and prints it.
fn show(args: &DiffArgs, diff: &Diff, outputs: &Outputs) -> Result<(), Failure> {
    let (json, markdown, html) = (render::json(diff), render::markdown(diff), render::html(diff));
    outputs.write(&Outcome {
        digest: diff.to.digest.clone(),
        version: diff.to.version.clone(),
        has_changes: diff.has_changes,
        plan_digest: None,
        channel_digest: None,
        changes: json.clone(),
        markdown: markdown.clone(),
        html: html.clone(),
        warnings: Vec::new(),
    })?;
    match args.output.output {
        DiffFormat::Text => pager::show(&render::text(diff, pager::style()), !args.output.no_pager),
        DiffFormat::Json => output::write_stdout(&json),
        DiffFormat::Markdown => output::write_text(&markdown),
        DiffFormat::Html => output::write_text(&html),
    }
}

//! `alga-release diff`.

use std::path::Path;
use std::process::ExitCode;

use alga_release::config::Config;
use alga_release::diff::{Diff, render};
use alga_release::image::Check;
use alga_release::ops::{
    self, Access, Connection, ControlPlane, DiffOrigin, DiffRequest, DiffSide, PackRequest, StoreRequest,
};

use crate::args::{DiffArgs, DiffFormat, Format, OutputArgs, TreeArgs};
use crate::connect::{self, until_signal};
use crate::environment;
use crate::failure::Failure;
use crate::output::{self, Talk};
use crate::outputs::{Outcome, Outputs};
use crate::pager;
use crate::publish;
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
    let talk = Talk::new(&talk_args(args));
    let root = [&args.from, &args.to].into_iter().find_map(|text| tree(text)).unwrap_or(Path::new("."));
    let config = environment::configuration(root, &args.configuration)?;
    let (from, to) = (side(&args.from, args, &config)?, side(&args.to, args, &config)?);
    let request = DiffRequest { from, to, rendered: args.rendered };
    let near = StoreRequest { jobs: args.jobs.into(), public_read: false, ..args.store.request(&config)? };
    let far = args.other_store.as_ref().map(|store| near.other(store));
    let context = system::context(&talk);
    let work = async {
        let near = Connection::open(&near, Access::Read, &context).await?;
        let far = match &far {
            Some(far) => Some(Connection::open(far, Access::Read, &context).await?),
            None => None,
        };
        Ok(ops::diff(request, &config, &near, far.as_ref().unwrap_or(&near), &context).await?)
    };
    connect::runtime()?.block_on(until_signal(Box::pin(work)))
}

fn talk_args(args: &DiffArgs) -> OutputArgs {
    OutputArgs { output: Format::Text, log_format: args.output.log_format, quiet: args.output.quiet }
}

/// Returns the source tree that an argument names, unless it names a release.
fn tree(text: &str) -> Option<&Path> {
    let is_path = matches!(text, "." | "..") || ["./", "../", "/"].iter().any(|start| text.starts_with(start));
    is_path.then(|| Path::new(text))
}

/// Returns what an argument names. A source tree is packed as it would be published, but images may be absent and files need not
/// be committed.
fn side(text: &str, args: &DiffArgs, config: &Config) -> Result<DiffSide, Failure> {
    let reference = text.to_owned();
    let Some(root) = tree(text) else {
        return Ok(DiffSide { reference, origin: DiffOrigin::Release(text.parse()?) });
    };
    let TreeArgs { version, images, images_file, control_plane, platform } = &args.tree;
    let Some(version) = version else {
        let reason = format!("{}: a source tree has no version of its own", root.display());
        return Err(Failure::usage_hint(reason, "give the version that it would be published as: --version VERSION"));
    };
    let request = PackRequest {
        source: root.to_owned(),
        version: version.parse()?,
        channel: config.channels[0].clone(),
        moves_channel: false,
        images: publish::images(images, images_file.as_deref(), config)?,
        control_plane: match control_plane {
            Some(text) if !text.is_empty() => ControlPlane::Reference(text.clone()),
            _ => ControlPlane::None,
        },
        platform: platform.clone(),
        image_check: Some(Check::Warn),
        revision: args.revision.request(),
        allow_dirty: true,
    };
    Ok(DiffSide { reference, origin: DiffOrigin::Tree(Box::new(request)) })
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

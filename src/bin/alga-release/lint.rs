//! `alga-release lint`: checks a source tree or a published release.

use std::path::{Path, PathBuf};

use alga_release::lint::{Report, Settings, render};
use alga_release::ops::{self, Access, Connection, LintOrigin, LintRequest, Render, StoreRequest};
use clap::ValueEnum;

use crate::connect;
use crate::environment;
use crate::failure::Failure;
use crate::flags::{Common, ImageArgs, ProfileArgs, RENDER, words};
use crate::log::Log;
use crate::output;
use crate::{pager, system};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Root of a source tree, or a channel, version or digest
    #[arg(default_value = ".", value_name = "SOURCE|REF")]
    subject: String,
    /// Version that the tree would be published as; the image tags of its release.json are read
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    #[command(flatten)]
    images: ImageArgs,
    /// Also find what an upgrade from this release would break
    #[arg(long, value_name = "CHANNEL|VERSION|DIGEST")]
    against: Option<String>,
    /// Allow the findings of a rule (repeatable); --reason says why
    #[arg(long, value_name = "RULE", requires = "reason")]
    allow: Vec<String>,
    /// Why findings are allowed
    #[arg(long)]
    reason: Option<String>,
    /// Also run helm and kubectl, which render every release and build every directory
    #[arg(long, value_parser = words::<Render>(RENDER), default_value = "auto")]
    render: Render,
    /// Correct in the tree what can be corrected mechanically; with --dry-run, only show the changes
    #[arg(long)]
    fix: bool,
    /// With --fix: show the changes and write nothing
    #[arg(long, requires = "fix")]
    dry_run: bool,
    /// Print how long each topic took
    #[arg(long)]
    timings: bool,
    /// Explain a rule, or all rules in Markdown with `all`; nothing is checked
    #[arg(long, value_name = "RULE")]
    explain: Option<String>,
    #[command(flatten)]
    common: Common<LintFormat>,
    #[command(flatten)]
    profile: ProfileArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LintFormat {
    #[default]
    Text,
    Json,
    Sarif,
    Github,
}

/// Most columns of a finding. The renderer multiplies the width, so a width without a limit would overflow.
const WIDEST: usize = 1000;

pub fn run(args: &Args, log: &Log) -> Result<(), Failure> {
    if let Some(rule) = &args.explain {
        return explain(rule);
    }
    let mut report = checked(args, log)?;
    if args.fix {
        output::say(&output::in_log(&ops::mend(&report, Path::new(&args.subject), args.dry_run)?));
        if !args.dry_run {
            report = checked(args, log)?;
        }
    }
    show(&report, args.common.output.output)?;
    if report.has_errors() {
        let reason = format!("{} cannot be installed: {}", report.subject, report.summary());
        let hint = "correct the errors, or allow a rule with `--allow RULE --reason TEXT`; run `alga-release lint --explain RULE` for details";
        return Err(Failure::refused(reason, hint));
    }
    Ok(())
}

fn show(report: &Report, format: LintFormat) -> Result<(), Failure> {
    match format {
        LintFormat::Json => output::write_json(report),
        LintFormat::Sarif => output::write_json(&render::sarif(report)),
        // These lines are commands to the runner, so they are written as they are.
        LintFormat::Github => output::write_stdout(render::github(report).as_bytes()),
        LintFormat::Text => {
            let style = pager::style();
            output::write_text(&render::text(report, style.colour, style.width.min(WIDEST)))
        }
    }
}

fn explain(id: &str) -> Result<(), Failure> {
    match render::explained(id) {
        Ok(text) => output::write_text(&text),
        Err(hint) => Err(Failure::usage_hint(format!("unknown rule `{}`", id.escape_debug()), hint)),
    }
}

fn checked(args: &Args, log: &Log) -> Result<Report, Failure> {
    let tree = Path::new(&args.subject);
    let is_tree = tree.is_dir();
    let is_path = is_tree || args.subject.starts_with(['.', '/']);
    let root = if is_path { tree } else { Path::new(".") };
    let mut config = environment::configuration(root, &args.common.configuration, args.profile.profile.as_deref())?;
    let settings = Settings::of(&config)?.allowing(&args.allow, args.reason.as_deref())?;
    let mut store = args.common.store.clone();
    let origin = if is_tree {
        let version = args.version.as_deref().map(|text| connect::parsed("--version", text)).transpose()?;
        let images = environment::image_tags(&args.images, &config)?;
        LintOrigin::Tree { source: PathBuf::from(&args.subject), version, images }
    } else {
        LintOrigin::Release(connect::locate(&args.subject, &mut store, &mut config)?)
    };
    let against = args.against.as_ref().map(|word| connect::locate(word, &mut store, &mut config)).transpose()?;
    let needs_store = !is_tree || against.is_some();
    let request = LintRequest { origin, against, settings, render: args.render, timings: args.timings };
    let store = StoreRequest { public_read: false, ..store.request(&config)? };
    let context = system::context(log);
    let work = async {
        let connection = if needs_store { Some(Connection::open(&store, Access::Read, &context).await?) } else { None };
        Ok(Box::pin(ops::lint(&request, &config, connection.as_ref(), &context)).await?)
    };
    connect::block_on(log, args.common.store.timeout, Box::pin(work))
}

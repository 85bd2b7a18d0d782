//! The command `alga-release promote`, and the printing of the report of a move.

use alga_release::lint::Settings;
use alga_release::ops::{self, Access, Connection, MoveReport, Outcome, PromoteRequest, Render, Target};
use jiff::{SignedDuration, Span, SpanRelativeTo};

use crate::connect;
use crate::extent::ExtentArgs;
use crate::failure::Failure;
use crate::flags::{Approval, Common, OutputsArgs, RENDER, words};
use crate::log::Log;
use crate::next::Finished;
use crate::outputs::Outputs;
use crate::signing::SigningArgs;
use crate::system;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Channel, version or digest of the release, or HOST/PATH/REPOSITORY:TAG or @DIGEST
    #[arg(long, value_name = "CHANNEL|VERSION|DIGEST")]
    from: String,
    /// Channel that will serve the release
    #[arg(long, value_name = "CHANNEL")]
    to: String,
    /// Create the channel if it does not exist and the configuration does not name it
    #[arg(long)]
    new_channel: bool,
    /// Promote only if the source channel has served the release for this long: `24h`, `2d 12h`
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    min_age: Option<SignedDuration>,
    /// Allow a move between versions that cannot be compared
    #[arg(long)]
    allow_unordered: bool,
    /// Store of the target channel, if it is another store; the release is copied there first
    #[arg(long, value_name = "STORE")]
    to_store: Option<String>,
    #[command(flatten)]
    approval: Approval,
    /// Promote although this rule has findings (repeatable); requires `--reason`
    #[arg(long, value_name = "RULE", requires = "reason")]
    allow: Vec<String>,
    /// Check with helm and kubectl too that the release can be installed
    #[arg(long, value_parser = words::<Render>(RENDER), default_value = "off")]
    render: Render,
    /// Reason of the move, for the history of the channel
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    extent: ExtentArgs,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    outputs: OutputsArgs,
}

/// Parses a duration such as `24h` or `2d 12h`; a day has 24 hours.
pub fn duration(text: &str) -> Result<SignedDuration, String> {
    let span: Span = text.parse().map_err(|_| "expected a duration such as `30m`, `24h` or `2d`".to_owned())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|cause| cause.to_string())?;
    if duration.is_negative() { Err("expected a duration that is not negative".to_owned()) } else { Ok(duration) }
}

pub fn run(args: &Args, log: &Log) -> Result<(), Failure> {
    if args.to_store.is_none() && args.extent != ExtentArgs::default() {
        let reason = "--without-images, --platform and --rewrite-prefix are for a promotion with --to-store";
        return Err(Failure::usage(reason));
    }
    let outputs = Outputs::open(&args.outputs)?;
    let moved = connect::block_on(log, args.common.store.timeout, Box::pin(promoted(args, log)));
    let report = outputs.unless_failed(moved, args.common.output.output)?;
    print(&report, (&args.common, &args.approval.signing), &outputs, log)
}

async fn promoted(args: &Args, log: &Log) -> Result<MoveReport, Failure> {
    let (mut config, mut store) = (args.common.configuration.load()?, args.common.store.clone());
    let context = system::context(log);
    let from = connect::locate(&args.from, &mut store, &mut config)?;
    if args.new_channel {
        config.channels.push(connect::parsed("--to", &args.to)?);
    }
    let lint = Settings::of(&config)?.allowing(&args.allow, args.reason.as_deref())?;
    let request = PromoteRequest {
        from,
        to: args.to.clone(),
        min_age: args.min_age,
        terms: args.approval.terms(
            (&config, args.common.configuration.root()),
            args.allow_unordered,
            args.reason.as_ref(),
            &context,
        )?,
        extent: args.extent.extent(),
        lint,
        render: args.render,
    };
    let (store, access) = (store.request(&config)?, args.approval.access());
    let source_access = if args.to_store.is_some() { Access::Read } else { access };
    let source = Connection::open(&store, source_access, &context).await?;
    let target = match &args.to_store {
        Some(to) => Some(Target::open(to, &store, &source, access, &context).await?),
        None => None,
    };
    Ok(Box::pin(ops::promote(&request, &config, &source, target.as_ref(), &context)).await?)
}

/// Prints the report of a move, and writes the files for the next step of a workflow.
pub fn print(
    report: &MoveReport,
    (common, signing): (&Common, &SigningArgs),
    outputs: &Outputs,
    log: &Log,
) -> Result<(), Failure> {
    let finished = Finished {
        outcome: Outcome::from(report),
        diff: report.diff.as_ref(),
        details: report.details(),
        text: report.text(),
        dry_run: report.dry_run,
        name: report.channel.as_str(),
        store: &report.store,
        trust: signing.trust.as_deref(),
    };
    finished.write(common, outputs, log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, hours) in [("24h", 24), ("2d", 48), ("1d 12h", 36), ("1w", 168), ("0s", 0), ("PT2H", 2)] {
            assert_eq!(duration(text), Ok(SignedDuration::from_hours(hours)), "{text}");
        }
        for text in ["", "24", "soon", "-1h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}

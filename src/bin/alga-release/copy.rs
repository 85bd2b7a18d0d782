//! `alga-release copy`.

use std::fmt::Write as _;

use alga_release::oci::{Digest, Pinned, Selector, Tag};
use alga_release::ops::{self, Access, Connection, StoreRequest};
use alga_release::plan::copy::{Cost, Left};
use alga_release::plan::{self, Action, ArtifactReport, Plan, Report};
use alga_release::release::MoveKind;
use alga_release::text::{clean, shown};

use crate::connect::{self, until_signal};
use crate::environment;
use crate::failure::Failure;
use crate::flags::{Approval, Common, ExtentArgs, Format, OutputsArgs};
use crate::output::{self, Talk};
use crate::outputs::{self, Outcome, Outputs};
use crate::system;
use crate::transfer::{Moving, Planned, Ready, Target, Transfer};

/// Version of the report's JSON, `docs/schemas/copy.json`.
const SCHEMA: &str = "alga.release.copy/v1";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Channel, version or digest of the release
    #[arg(value_name = "REF")]
    reference: String,
    /// Where it goes: a registry, `oci-layout:DIR` or `oci-archive:FILE.tar`
    #[arg(value_name = "STORE")]
    target: String,
    /// Let this channel serve it there; without, no channel moves
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,
    /// Let the channel move between versions that have no order
    #[arg(long, requires = "channel")]
    allow_unordered: bool,
    #[command(flatten)]
    approval: Approval,
    /// Why the channel moves, for its record
    #[arg(long, requires = "channel")]
    reason: Option<String>,
    /// Requests at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    #[command(flatten)]
    extent: ExtentArgs,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    outputs: OutputsArgs,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let outputs = Outputs::open(&args.outputs)?;
    let talk = Talk::new(&args.common.output);
    let copied = connect::runtime()?.block_on(until_signal(Box::pin(copied(args, &talk))));
    talk.done();
    let copied = outputs.unless_failed(copied, args.common.output.output)?;
    outputs.write(&copied.outcome()?)?;
    match args.common.output.output {
        Format::Json => output::write_json(&copied),
        Format::Text => output::write_stdout(copied.text().as_bytes()),
    }
}

async fn copied(args: &Args, talk: &Talk) -> Result<Copied, Failure> {
    let config = args.common.configuration.load()?;
    let channel = args.channel.as_deref().map(|word| ops::channel(&config, word)).transpose()?;
    if channel.is_some() && args.target.starts_with("oci-archive:") {
        return Err(Failure::usage_hint(
            "an archive has no channels",
            "name the channel where it is copied to from there",
        ));
    }
    let selector: Selector = args.reference.parse()?;
    let mut rules = args.approval.rules(MoveKind::Copy)?;
    rules.allow_unordered = args.allow_unordered;
    let context = system::context(talk);
    let request = StoreRequest { jobs: args.jobs.into(), ..args.common.store.request(&config)? };
    let source = Connection::open(&request, Access::Read, &context).await?;
    let target = Target::open(&args.target, &source, &request, args.approval.access(), &context).await?;
    let resolved = source.resolve(&config, &args.reference, &selector).await?;
    let in_channel = ops::is_channel(&config, &args.reference);
    let transfer = Transfer { config: &config, source: &source, target: &target, extent: &args.extent, talk };
    let ready = transfer.read(&resolved, in_channel, channel.is_some()).await?;
    let from = format!("{} {}", source.location, args.reference);
    let record = args.approval.record(environment::now(), from, args.reason.clone());
    let moving = channel.as_ref().map(|channel| Moving { channel, rules: &rules, since: None, checks: &[] });
    let planned = Box::pin(transfer.plan(&ready, moving.as_ref())).await?;
    plan::approved(&planned.plan, rules.if_plan.as_ref())?;
    ready.warnings.iter().for_each(|warning| talk.warn(warning));
    let manifest = if args.approval.dry_run { None } else { transfer.carry_out(&ready, &planned, &record).await? };
    let stores = (source.location.to_string(), target.location.to_string());
    Ok(Copied::new(ready, &planned, args.approval.dry_run, channel.as_ref(), manifest, stores))
}

/// A copy, for people and programs.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Copied {
    /// [`SCHEMA`].
    schema: &'static str,
    /// Was nothing written by intent?
    dry_run: bool,
    /// Is there, or was there, anything to write?
    has_changes: bool,
    /// From where.
    from: String,
    /// Where to.
    store: String,
    /// Under which name it will be read.
    prefix: String,
    /// Of the release.
    version: String,
    /// The release that was read.
    origin: Pinned,
    /// Digest of the release in the store: another one where it was rewritten.
    digest: Digest,
    /// Was it rewritten?
    rewritten: bool,
    /// Digest of the plan.
    plan_digest: Digest,
    /// The writes, in order.
    plan: Plan,
    /// Charts, bundle, images, release.
    artifacts: Vec<ArtifactReport>,
    /// Count of signatures and other manifests that refer to those, and that the store lacked.
    attached: usize,
    /// What the release names and the copy leaves.
    left: Vec<Left>,
    /// In a dry run: what would be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Cost>,
    /// The channel that serves it, when one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<Channel>,
    /// Images that a rewritten release pulls from elsewhere still.
    elsewhere: Vec<String>,
    /// What people should know.
    warnings: Vec<String>,
}

/// The channel of a copy.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Channel {
    /// Its name.
    name: String,
    /// Does it move?
    moves: bool,
    /// Version that it served before.
    from: Option<String>,
    /// Digest of its manifest before: what `--if-current` takes.
    before: Option<Digest>,
    /// Digest of its manifest after.
    manifest: Option<Digest>,
    /// Sequence of its last move.
    sequence: u64,
}

impl Copied {
    fn new(
        ready: Ready,
        planned: &Planned,
        dry_run: bool,
        channel: Option<&Tag>,
        manifest: Option<Digest>,
        (from, store): (String, String),
    ) -> Self {
        let report = Report::new(&planned.plan, &ready.desired, &planned.observed, dry_run);
        let channel = channel.zip(planned.current.as_ref()).map(|(name, (serves, sequence))| {
            let moves = planned.plan.actions.iter().find_map(|action| match action {
                Action::Move { sequence, .. } => Some(*sequence),
                _ => None,
            });
            let before = serves.as_ref().map(|serves| serves.manifest.clone());
            Channel {
                name: name.to_string(),
                moves: moves.is_some(),
                from: serves.as_ref().map(|serves| serves.version.clone()),
                manifest: manifest.or_else(|| before.clone().filter(|_| moves.is_none())),
                before,
                sequence: moves.unwrap_or(*sequence),
            }
        });
        let digest = report.digest;
        Self {
            schema: SCHEMA,
            dry_run,
            has_changes: report.has_changes,
            from,
            store,
            prefix: ready.prefix.to_string(),
            version: report.version,
            rewritten: digest != ready.origin.digest,
            origin: ready.origin,
            digest,
            plan_digest: report.plan_digest,
            plan: report.plan,
            artifacts: report.artifacts,
            attached: planned.attachments.len(),
            left: ready.left,
            cost: dry_run.then_some(planned.cost),
            channel,
            elsewhere: ready.elsewhere,
            warnings: ready.warnings,
        }
    }

    /// For people.
    fn text(&self) -> String {
        let mut text = String::new();
        let (version, store) = (shown(&self.version), &self.store);
        let head = match (self.has_changes, self.dry_run) {
            (false, _) => "nothing to do: already there:",
            (true, true) => "would copy",
            (true, false) => "copied",
        };
        let _ = writeln!(text, "{head} {version}");
        let _ = writeln!(text, "  from    {}", self.from);
        let _ = writeln!(text, "  store   {store}");
        let _ = writeln!(text, "  digest  {}", self.digest);
        if self.rewritten {
            let _ = writeln!(text, "  was     {}", self.origin);
            let _ = writeln!(text, "  prefix  {}", self.prefix);
        }
        text += &output::artifacts_text(&self.artifacts);
        if self.attached > 0 {
            let _ = writeln!(text, "{} signatures and other manifests that refer to these", self.attached);
        }
        if let Some(Cost { bytes, blobs, requests }) = self.cost {
            let requests = if requests > 0 { format!(", {requests} requests that write") } else { String::new() };
            let _ = writeln!(text, "to send: {} in {blobs} blobs{requests}", indicatif::BinaryBytes(bytes));
        }
        if !self.elsewhere.is_empty() {
            let _ = writeln!(text, "still pulled from elsewhere:");
            for line in &self.elsewhere {
                let _ = writeln!(text, "  {}", shown(line));
            }
        }
        text += &self.next();
        clean(&text)
    }

    /// The channel, and what comes next.
    fn next(&self) -> String {
        let (mut text, store) = (String::new(), &self.store);
        let before = self.channel.as_ref().and_then(|channel| channel.before.as_ref());
        let before = before.map_or_else(|| "none".to_owned(), ToString::to_string);
        match &self.channel {
            Some(Channel { name, moves: false, sequence, .. }) => {
                let _ = writeln!(text, "{name} serves it already (move {sequence})");
            }
            Some(Channel { name, from, sequence, .. }) => {
                let from = from.as_ref().map_or_else(|| "nothing".to_owned(), |from| shown(from));
                let word = if self.dry_run { "would move" } else { "moved" };
                let _ = writeln!(text, "{name} {word} from {from} to {} (move {sequence})", shown(&self.version));
            }
            None => {}
        }
        if self.dry_run {
            let _ = writeln!(text, "plan {}; nothing was written", self.plan_digest);
            if self.channel.is_some() {
                let _ = writeln!(text, "next: the same with --if-plan {} --if-current {before}", self.plan_digest);
            }
        } else {
            let _ = writeln!(text, "next: alga-release verify {} --store {store}", shown(&self.version));
        }
        text
    }

    fn outcome(&self) -> Result<Outcome, Failure> {
        let text = self.text();
        let title = format!("Copy of release {}", self.version);
        let serves = self.channel.as_ref().map(|channel| channel.manifest.as_ref().or(channel.before.as_ref()));
        Ok(Outcome {
            digest: self.digest.clone(),
            version: self.version.clone(),
            has_changes: self.has_changes,
            plan_digest: Some(self.plan_digest.clone()),
            channel_digest: serves.map(|digest| digest.map_or_else(|| "none".to_owned(), ToString::to_string)),
            changes: output::json(self)?,
            markdown: outputs::markdown(&title, &text),
            html: outputs::page(&title, &text),
            warnings: self.warnings.clone(),
        })
    }
}

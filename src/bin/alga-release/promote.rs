//! `alga-release promote`, and the way that it goes together with `rollback`.

use std::fmt::Write as _;

use alga_release::config::Config;
use alga_release::diff::{self, Diff, Side};
use alga_release::oci::{Content, Digest, Location, Selector, Store, Tag};
use alga_release::ops::{self, Access, Connection};
use alga_release::plan::{self, Candidate, Contents, Current, Executor, MoveRecord, MoveReport, MoveRules};
use alga_release::release::{MoveKind, Release, Resolved};
use alga_release::text::clean;
use alga_release::text::shown;
use alga_release::verify::{self, Check, Outcome, Stores};
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

use crate::connect::{self, until_signal};
use crate::environment;
use crate::failure::Failure;
use crate::flags::{Approval, Common, ExtentArgs, Format, OutputArgs, OutputsArgs};
use crate::output::{self, Talk};
use crate::outputs::{self, Outputs};
use crate::pager;
use crate::system;
use crate::transfer::{Moving, Target, Transfer};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Channel, version or digest of the release
    #[arg(long, value_name = "CHANNEL|VERSION|DIGEST")]
    from: String,
    /// Channel that shall serve it
    #[arg(long, value_name = "CHANNEL")]
    to: String,
    /// Only what the channel it comes from has served for so long: `24h`, `2d 12h`
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    min_age: Option<SignedDuration>,
    /// Let the channel move between versions that have no order
    #[arg(long)]
    allow_unordered: bool,
    /// Store of the channel, when it is another one: the release is copied there first
    #[arg(long, value_name = "STORE")]
    to_store: Option<String>,
    #[command(flatten)]
    approval: Approval,
    /// Why the channel moves, for its record
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    extent: ExtentArgs,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    outputs: OutputsArgs,
}

/// Days are 24 hours.
fn duration(text: &str) -> Result<SignedDuration, String> {
    let span: Span = text.parse().map_err(|_| "want a duration such as `30m`, `24h` or `2d`".to_owned())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|cause| cause.to_string())?;
    if duration.is_negative() { Err("want a duration that is not negative".to_owned()) } else { Ok(duration) }
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let talk = Talk::new(&args.common.output);
    let config = args.common.configuration.load()?;
    let channel = ops::channel(&config, &args.to)?;
    let selector: Selector = args.from.parse()?;
    let now = environment::now();
    let mut rules = args.approval.rules(MoveKind::Promote)?;
    rules.allow_unordered = args.allow_unordered;
    let clock: Timestamp = now.parse().map_err(|cause| Failure::io("reading the clock", cause))?;
    rules.min_age = args.min_age.map(|age| (age, clock));
    if args.to_store.is_none() && args.extent != ExtentArgs::default() {
        return Err(Failure::usage(
            "--without-images, --platform and --rewrite-prefix are for a promotion with --to-store",
        ));
    }
    let work = async {
        if let Some(store) = &args.to_store {
            let across =
                Across { args, config: &config, channel: &channel, selector: &selector, rules: &rules, talk: &talk };
            return Box::pin(across.carry_out(store, now)).await;
        }
        let connection =
            Connection::open(&args.common.store.request(&config)?, args.approval.access(), &system::context(&talk))
                .await?;
        let (source, serves) = futures_util::join!(
            connection.resolve(&config, &args.from, &selector),
            plan::observe_channel(connection.read(), &config.repositories.release, &channel),
        );
        let (source, (serves, sequence)) = (source?, serves?);
        let from = args.from.clone();
        let in_channel = ops::is_channel(&config, &from);
        let record = args.approval.record(now, from, args.reason.clone());
        let current = Current { repository: &config.repositories.release, channel: &channel, serves, sequence };
        let step = Step { config: &config, current, connection: &connection, rules: &rules, talk: &talk };
        step.carry_out(&Source { resolved: source, in_channel }, &record).await
    };
    let outputs = Outputs::open(&args.outputs)?;
    let moved =
        outputs.unless_failed(connect::runtime()?.block_on(until_signal(Box::pin(work))), args.common.output.output);
    talk.done();
    moved?.print(&args.common.output, &outputs)
}

/// A promotion into another store.
struct Across<'a> {
    args: &'a Args,
    config: &'a Config,
    channel: &'a Tag,
    selector: &'a Selector,
    rules: &'a MoveRules,
    talk: &'a Talk,
}

impl Across<'_> {
    async fn carry_out(&self, store: &str, now: String) -> Result<Moved, Failure> {
        let Self { args, config, channel, selector, rules, talk } = *self;
        let access = args.approval.access();
        let (request, context) = (args.common.store.request(config)?, system::context(talk));
        let connection = Connection::open(&request, Access::Read, &context).await?;
        let target = Target::open(store, &connection, &request, access, &context).await?;
        let target_store =
            target.read().ok_or_else(|| Failure::usage(format!("{} has no channels", target.location)))?;
        let resolved = connection.resolve(config, &args.from, selector).await?;
        let source = Source { resolved, in_channel: ops::is_channel(config, &args.from) };
        let (_, checks) = look(config, &connection, &source).await?;
        let transfer = Transfer { config, source: &connection, target: &target, extent: &args.extent, talk };
        let ready = transfer.read(&source.resolved, source.in_channel, true).await?;
        let since = source.candidate(ready.origin.digest.clone(), &checks).moved;
        let moving = Moving { channel, rules, since, checks: &checks };
        let planned = Box::pin(transfer.plan(&ready, Some(&moving))).await?;
        plan::approved(&planned.plan, rules.if_plan.as_ref())?;
        let (serves, sequence) = planned.current.clone().unwrap_or_default();
        let current = Current { repository: &config.repositories.release, channel, serves, sequence };
        let from = format!("{} {}", connection.location, args.from);
        let record = args.approval.record(now, from.clone(), args.reason.clone());
        let mut report = MoveReport::new(&planned.plan, &current, &source.candidate(planned.release.clone(), &checks));
        report.kind = rules.kind;
        report.dry_run = args.approval.dry_run;
        report.store = target.location.to_string();
        report.from = from;
        report.warnings = not_checked(&checks).into_iter().chain(ready.warnings.iter().cloned()).collect();
        report.warnings.iter().for_each(|warning| talk.warn(warning));
        if report.dry_run {
            let serves = current.serves.as_ref();
            let serves =
                serves.map(|serves| Side::served(target_store, config, channel.as_str(), serves)).transpose()?;
            let to = Side::read(connection.read(), config, &args.from, source.resolved.clone());
            let diff = if planned.plan.is_empty() { None } else { Some(diff::compare(serves.as_ref(), &to).await?) };
            return Ok(Moved { report, diff });
        }
        report.manifest = transfer.carry_out(&ready, &planned, &record).await?.or(report.manifest);
        Ok(Moved { report, diff: None })
    }
}

impl Approval {
    pub fn access(&self) -> Access {
        if self.dry_run { Access::Read } else { Access::Write }
    }

    pub fn rules(&self, kind: MoveKind) -> Result<MoveRules, Failure> {
        let if_plan = self.if_plan.as_deref().map(|text| connect::digest("--if-plan", text)).transpose()?;
        let if_current = match self.if_current.as_deref() {
            None => None,
            Some("none") => Some(None),
            Some(text) => Some(Some(connect::digest("--if-current", text)?)),
        };
        Ok(MoveRules { kind, allow_unordered: false, min_age: None, if_plan, if_current })
    }

    pub fn record(&self, moved: String, from: String, reason: Option<String>) -> MoveRecord {
        let by = self.by.clone().or_else(environment::user);
        MoveRecord { moved, by, from: Some(from), reason }
    }
}

/// The release that a channel shall serve, as it was read.
#[derive(Debug)]
pub struct Source {
    pub resolved: Resolved,
    /// Was it read from a channel?
    pub in_channel: bool,
}

impl Source {
    fn candidate<'a>(&'a self, release: Digest, checks: &'a [Check]) -> Candidate<'a> {
        let Resolved { release: Release { version, .. }, json, record, .. } = &self.resolved;
        let moved = record.as_ref().filter(|_| self.in_channel).map(|record| record.moved.as_str());
        Candidate { release, version, json, moved, checks }
    }
}

/// One move of a channel.
#[derive(Debug)]
pub struct Step<'a> {
    pub config: &'a Config,
    pub current: Current<'a>,
    pub connection: &'a Connection,
    pub rules: &'a MoveRules,
    pub talk: &'a Talk,
}

impl Step<'_> {
    /// As [`Self::attempt`]; a dry run that is refused shows what would have changed.
    pub async fn carry_out(&self, source: &Source, record: &MoveRecord) -> Result<Moved, Failure> {
        let failure = match self.attempt(source, record).await {
            Err(failure) if failure.is_refusal() && self.connection.store().is_none() => failure,
            other => return other,
        };
        match self.compare(source, record.from.as_deref().unwrap_or_default()).await {
            Ok(diff) => Err(failure.showing(diff)),
            Err(_) => Err(failure),
        }
    }

    /// Looks at everything that the release names, plans, and where the store can be written does what was planned.
    async fn attempt(&self, source: &Source, record: &MoveRecord) -> Result<Moved, Failure> {
        let known = source.resolved.release_digest.clone();
        let rules = MoveRules { if_plan: None, ..self.rules.clone() };
        // Every rule that needs no further look comes first.
        let (plan, json) = plan::promote(&self.current, &source.candidate(known.clone(), &[]), &rules)?;
        let store = self.connection.store();
        let to_registry = store.filter(|_| matches!(self.connection.location, Location::Registry(_)));
        let (release, checks) = if plan.is_empty() {
            (known, Vec::new())
        } else {
            let ahead = self.send_ahead(to_registry, &json);
            futures_util::try_join!(look(self.config, self.connection, source), ahead)?.0
        };
        let candidate = source.candidate(release, &checks);
        let (plan, json) = plan::promote(&self.current, &candidate, self.rules)?;
        let mut report = MoveReport::new(&plan, &self.current, &candidate);
        report.kind = self.rules.kind;
        report.dry_run = store.is_none();
        report.store = self.connection.location.to_string();
        report.from = record.from.clone().unwrap_or_default();
        report.warnings = not_checked(&checks);
        report.warnings.iter().for_each(|warning| self.talk.warn(warning));
        let Some(store) = store else {
            let diff = if plan.is_empty() { None } else { Some(self.compare(source, &report.from).await?) };
            return Ok(Moved { report, diff });
        };
        let contents = Contents::of_move(&json, to_registry.is_some());
        let executor = Executor { store, public: self.connection.public() };
        report.manifest = plan::execute(&plan, &contents, record, &executor, self.talk).await?.or(report.manifest);
        Ok(Moved { report, diff: None })
    }

    /// What customers would get, against what the channel serves now.
    async fn compare(&self, source: &Source, reference: &str) -> Result<Diff, Failure> {
        let store = self.connection.read();
        let channel = self.current.channel.as_str();
        let from = self.current.serves.as_ref();
        let from = from.map(|serves| Side::served(store, self.config, channel, serves)).transpose()?;
        let to = Side::read(store, self.config, reference, source.resolved.clone());
        Ok(diff::compare(from.as_ref(), &to).await?)
    }

    /// The channel's JSON goes to a registry while everything is looked at, which saves a round trip: a blob that no manifest names
    /// is seen by nobody, and a registry collects it. From a directory nobody would.
    async fn send_ahead(&self, registry: Option<&Store>, json: &Content) -> Result<(), Failure> {
        match registry {
            Some(store) => Ok(store.push_blob(self.current.repository, json).await?),
            None => Ok(()),
        }
    }
}

/// The release's own digest, and what was looked at: all at once.
async fn look(config: &Config, connection: &Connection, source: &Source) -> Result<(Digest, Vec<Check>), Failure> {
    let resolved = &source.resolved;
    resolved.release.require_images(config).map_err(|cause| {
        let reason = format!("the release {} is not complete: {cause}", resolved.release.version);
        Failure::refused(reason, "the configuration's `images` says which keys a release must have")
    })?;
    let prefix = connection.prefix_of(&resolved.release, config)?;
    let named = resolved.release.named(&prefix, config);
    let external = connection.external(&named).await?;
    let stores = Stores { own: connection.reader(), external: &external };
    let repository = &config.repositories.release;
    let served = verify::served(&stores.own, repository, resolved, source.in_channel, &config.channels);
    let (served, present) = futures_util::try_join!(served, verify::present(&named, &stores))?;
    Ok((served.release, std::iter::once(served.check).chain(present).collect()))
}

fn not_checked(checks: &[Check]) -> Vec<String> {
    let loose = checks.iter().filter(|check| check.outcome == Outcome::NotChecked);
    let line = |check: &Check| {
        let reason = check.reason.as_deref().unwrap_or_default();
        format!("not checked: {} {} ({}): {reason}", check.kind.as_str(), check.name, check.reference)
    };
    loose.map(line).collect()
}

/// What a move came to.
#[derive(Debug, serde::Serialize)]
pub struct Moved {
    #[serde(flatten)]
    report: MoveReport,
    /// In a dry run: what would change.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<Diff>,
}

impl Moved {
    /// For people or programs, and for the next step of a workflow.
    pub fn print(&self, output: &OutputArgs, outputs: &Outputs) -> Result<(), Failure> {
        outputs.write(&self.outcome()?)?;
        let diff = self.diff.as_ref();
        match output.output {
            Format::Json => output::write_json(self),
            Format::Text => {
                let diff = diff.map(|diff| diff::render::text(diff, pager::style()) + "\n").unwrap_or_default();
                output::write_text(&(diff + &text(&self.report)))
            }
        }
    }

    fn outcome(&self) -> Result<outputs::Outcome, Failure> {
        let report = &self.report;
        let before = report.before.as_ref().map(|before| &before.manifest);
        let serves = report.manifest.as_ref().or(before);
        let (text, title) = (text(report), format!("Channel {}", report.channel));
        let diff = self.diff.as_ref();
        Ok(outputs::Outcome {
            digest: report.digest.clone(),
            version: report.version.clone(),
            has_changes: report.has_changes,
            plan_digest: Some(report.plan_digest.clone()),
            channel_digest: Some(serves.map_or_else(|| "none".to_owned(), ToString::to_string)),
            changes: output::json(self)?,
            markdown: diff.map_or_else(|| outputs::markdown(&title, &text), diff::render::markdown),
            html: diff.map_or_else(|| outputs::page(&title, &text), diff::render::html),
            warnings: report.warnings.clone(),
        })
    }
}

/// A move for people.
fn text(report: &MoveReport) -> String {
    let mut text = String::new();
    let (channel, version, digest) = (&report.channel, shown(&report.version), &report.digest);
    let before = report.before.as_ref().map_or_else(|| "nothing".to_owned(), |before| shown(&before.version));
    let word = match (report.kind, report.dry_run) {
        (MoveKind::Rollback, true) => "would be taken back",
        (MoveKind::Rollback, false) => "was taken back",
        (_, true) => "would move",
        (_, false) => "moved",
    };
    if !report.has_changes {
        let _ = writeln!(text, "nothing to do: {channel} serves {version} {digest} (move {})", report.sequence);
        return clean(&text);
    }
    let _ = writeln!(text, "{channel} {word} from {before} to {version} {digest} (move {})", report.sequence);
    let _ = writeln!(text, "  store   {}", report.store);
    let _ = writeln!(text, "  from    {}", shown(&report.from));
    let current = report.before.as_ref().map_or_else(|| "none".to_owned(), |before| before.manifest.to_string());
    let _ = writeln!(text, "  current {current}");
    if let Some(manifest) = &report.manifest {
        let _ = writeln!(text, "  now     {manifest}");
    }
    let _ = writeln!(text, "checked: {}", ops::count(&report.checks));
    text += &ops::table(&report.checks);
    if report.dry_run {
        let _ = writeln!(text, "plan {}; nothing was written", report.plan_digest);
        let _ = writeln!(text, "next: the same with --if-plan {} --if-current {current}", report.plan_digest);
    } else {
        let _ = writeln!(text, "next: alga-resolve resolve {channel} --store {}", report.store);
    }
    clean(&text)
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

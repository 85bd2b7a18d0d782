//! `alga-release verify`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use alga_release::config::Config;
use alga_release::oci::{Kind, Location, Selector, Tag};
use alga_release::ops::{Access, Connection};
use alga_release::release::{self, NamedKind, ResolveError, ResolveKind};
use alga_release::text::clean;
use alga_release::text::shown;
use alga_release::verify::{self, Aspect, Check, Outcome, Stores};
use serde::Serialize;

use crate::args::{Format, OutputArgs, StoreArgs};
use crate::checks;
use crate::connect::{self, ConfigArgs, until_signal};
use crate::failure::Failure;
use crate::output::{self, Talk};
use crate::system;

/// Version of the JSON, `docs/schemas/verify.json`.
const SCHEMA: &str = "alga.release.verify/v1";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Channel, version or digest
    #[arg(required_unless_present = "all_channels", conflicts_with = "all_channels")]
    reference: Option<String>,
    /// Every channel of the configuration that serves something
    #[arg(long)]
    all_channels: bool,
    /// Look at nothing outside of the store: for `oci-layout:DIR` and `oci-archive:FILE`
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    configuration: ConfigArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// What came of it, for people and programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    schema: &'static str,
    store: String,
    /// Was everything as it should be?
    ok: bool,
    /// Was it read as the public reads it?
    anonymous: bool,
    releases: Vec<Verified>,
}

#[derive(Debug, Serialize)]
struct Verified {
    /// As it was asked for.
    reference: String,
    version: Option<String>,
    checks: Vec<Check>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let talk = Talk::new(&args.output);
    let config = args.configuration.load()?;
    let references: Vec<String> = match &args.reference {
        Some(reference) => vec![reference.clone()],
        None => config.channels.iter().map(Tag::to_string).collect(),
    };
    let work = async {
        let connection = Connection::open(&args.store.request(&config)?, Access::Read, &system::context(&talk)).await?;
        let connection = match (args.offline, &connection.location) {
            (true, Location::Registry(_)) => {
                let reason = "--offline: the store is a registry, and that is not read without a network";
                return Err(Failure::usage_hint(
                    reason,
                    "name a directory or an archive: --store oci-layout:DIR, --store oci-archive:FILE",
                ));
            }
            (true, Location::Layout(_) | Location::Archive(_)) => connection.offline(),
            (false, _) => connection.online(),
        };
        let each = references.iter().map(|reference| one(&connection, &config, reference, args.all_channels));
        let releases = futures_util::future::try_join_all(each).await?;
        Ok((releases, connection))
    };
    let (releases, connection) = connect::runtime()?.block_on(until_signal(work))?;
    talk.done();
    let ok = !releases.iter().flat_map(|release| &release.checks).any(Check::failed);
    let anonymous = config.public_read && matches!(connection.location, Location::Registry(_));
    let report = Report { schema: SCHEMA, store: connection.location.to_string(), ok, anonymous, releases };
    match args.output.output {
        Format::Json => output::write_json(&report)?,
        Format::Text => output::write_text(&clean(&text(&report)))?,
    }
    if report.releases.iter().all(|release| release.version.is_none()) && ok {
        return Err(Failure::refused(format!("no channel serves anything in {}", report.store), "publish a release"));
    }
    if ok { Ok(()) } else { Err(failed(&report)) }
}

/// One release. That it cannot even be resolved is a check that failed, unless the store is not there to be asked.
async fn one(connection: &Connection, config: &Config, word: &str, may_be_absent: bool) -> Result<Verified, Failure> {
    let selector: Selector = word.parse()?;
    let repository = &config.repositories.release;
    let reference = word.to_owned();
    let reader = connection.reader();
    let resolved = match release::resolve(reader.store, repository, &selector).await {
        Ok(resolved) => resolved,
        Err(ResolveError::Store(error)) if error.is_not_found() && is_head(&error, &selector) => {
            if !may_be_absent {
                return Err(connection.not_there(config, word, error).await.into());
            }
            let check = row(word, Outcome::NotChecked, "the channel serves nothing yet".to_owned());
            return Ok(Verified { reference, version: None, checks: vec![check] });
        }
        Err(error) if is_no_answer(error.kind()) => return Err(error.into()),
        Err(error) => {
            let check = row(word, Outcome::Failed, error.to_string());
            return Ok(Verified { reference, version: None, checks: vec![check] });
        }
    };
    let prefix = connection.prefix_of(&resolved.release, config)?;
    let external = connection.external(&resolved.release.named(&prefix, config)).await?;
    let stores = Stores { own: reader, external: &external };
    let checks = Box::pin(verify::contents(word, &resolved, &prefix, config, &stores)).await?;
    Ok(Verified { reference, version: Some(resolved.release.version), checks })
}

/// Says nothing about the release.
fn is_no_answer(kind: ResolveKind) -> bool {
    matches!(kind, ResolveKind::Store(Kind::Unavailable | Kind::Untrusted | Kind::Denied | Kind::Io))
}

/// Is it the tag or digest itself that is not there, and not something behind it?
fn is_head(error: &alga_release::oci::Error, selector: &Selector) -> bool {
    error.reference().ends_with(&selector.to_string())
}

fn row(word: &str, outcome: Outcome, reason: String) -> Check {
    Check {
        kind: NamedKind::Release,
        name: word.to_owned(),
        aspect: Aspect::Manifest,
        reference: word.to_owned(),
        outcome,
        reason: Some(reason),
    }
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for release in &report.releases {
        let version = release.version.as_deref().map_or_else(String::new, |version| format!(" ({})", shown(version)));
        let _ =
            writeln!(text, "{}{version} in {}: {}", release.reference, report.store, checks::count(&release.checks));
        text += &checks::table(&release.checks);
    }
    text
}

/// What was wrong, in one place.
fn failed(report: &Report) -> Failure {
    let mut names: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for release in &report.releases {
        for check in release.checks.iter().filter(|check| check.failed()) {
            let line = format!("{} {} {}", check.kind.as_str(), shown(&check.name), check.aspect.as_str());
            names.entry(&release.reference).or_default().push(line);
        }
    }
    let names = names.into_iter().map(|(reference, checks)| format!("{reference} ({})", checks.join(", ")));
    let names: Vec<String> = names.collect();
    let reason = format!("not as it should be in {}: {}", report.store, names.join("; "));
    Failure::refused(reason, "publish the version again: what is missing or corrupted is sent, and nothing else")
}

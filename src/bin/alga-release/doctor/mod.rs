//! `alga-release doctor`: can I publish? Every repository of a release is asked, all at once, and nothing is left behind.

mod diagnosis;

use std::time::Duration;

use alga_release::config::Config;
use alga_release::oci::{AnyRepository, Location, Prefix, Repository, Selector, Store, Tag};
use alga_release::ops::{Access, Connection};
use alga_release::source::Tree;
use alga_release::{plan, release};
use futures_util::future::join_all;

use crate::args::{DoctorArgs, Format};
use crate::connect;
use crate::environment;
use crate::failure::Failure;
use crate::output::{self, Talk};
use crate::system;
use diagnosis::{Asked, Diagnosis, Probes, RepositoryKind, RepositoryReport};

/// Seconds that the clocks may differ: tokens and signatures live for minutes.
const CLOCK_TOLERANCE: i64 = 60;

pub fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let runtime = connect::runtime()?;
    let talk = Talk::new(&args.output);
    let config = environment::configuration(&args.source, &args.configuration)?;
    let diagnosis = runtime.block_on(examine(args, &config, &talk))?;
    for warning in &diagnosis.warnings {
        talk.warn(warning);
    }
    match args.output.output {
        Format::Json => output::write_json(&diagnosis)?,
        Format::Text => output::write_text(&diagnosis.text())?,
    }
    diagnosis.verdict()
}

async fn examine(args: &DoctorArgs, config: &Config, talk: &Talk) -> Result<Diagnosis, Failure> {
    let request = args.store.request_with(config, Duration::ZERO)?;
    let connection = Connection::open(&request, Access::Write, &system::context(talk)).await?;
    let (anonymous, location) = (connection.login.is_anonymous(), &connection.location);
    let store = connection.store().ok_or_else(|| Failure::usage("an archive is not pushed to"))?;
    let public = if anonymous { None } else { Some(connection.without_credentials()?) };
    let mut diagnosis = Diagnosis {
        schema: diagnosis::SCHEMA,
        store: location.to_string(),
        credentials: connection.login.source.clone(),
        proxy: proxy(location),
        public_read: config.public_read,
        ..Diagnosis::default()
    };
    let charts = match charts(args, config, &connection).await {
        Ok(charts) => charts,
        Err(warning) => {
            diagnosis.warnings.push(warning);
            Vec::new()
        }
    };
    let repositories = repositories(config, &charts)?;
    let asked = repositories.iter().map(|(kind, repository)| ask(*kind, repository, store, public.as_ref()));
    let asked = join_all(asked).await;
    let prefix = registry(location);
    for ((kind, repository), (probes, skew)) in repositories.iter().zip(asked) {
        diagnosis.heard(skew, probes.own.remaining);
        let asked = Asked { probes, anonymous, public_read: config.public_read };
        diagnosis.repositories.push(RepositoryReport::new(*kind, prefix, repository, &asked));
    }
    diagnosis.authenticated = diagnosis.is_authenticated(anonymous);
    if let Some(skew) = diagnosis.clock_skew_seconds.filter(|skew| skew.abs() > CLOCK_TOLERANCE) {
        let way = if skew > 0 { "ahead of" } else { "behind" };
        diagnosis.warnings.push(format!("the clock of this machine is {} s {way} the registry's", skew.abs()));
    }
    Ok(diagnosis)
}

/// What one repository says, and by how many seconds our clock is ahead of its registry's.
async fn ask(
    kind: RepositoryKind,
    repository: &Repository,
    store: &Store,
    public: Option<&Store>,
) -> (Probes, Option<i64>) {
    let own = async {
        let probe = store.probe(repository, kind.is_pushed()).await;
        let date = probe.date.as_deref().and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        let skew = date.map(|date| environment::seconds_now() - date.timestamp().as_second());
        (probe, skew)
    };
    let public = async {
        match public {
            Some(public) => Some(public.probe(repository, false).await),
            None => None,
        }
    };
    let ((own, skew), public) = futures_util::join!(own, public);
    (Probes { own, public }, skew)
}

/// The store's own prefix, when it is a registry.
fn registry(location: &Location) -> Option<&Prefix> {
    match location {
        Location::Registry(prefix) => Some(prefix),
        Location::Layout(_) | Location::Archive(_) => None,
    }
}

fn proxy(location: &Location) -> Option<String> {
    let prefix = registry(location).filter(|prefix| !prefix.is_loopback())?;
    let scheme = if prefix.plain_http() { "http" } else { "https" };
    environment::proxy_for(&format!("{scheme}://{}/", prefix.host()))
}

/// The names of a release's charts: of the published one that is asked for, else of the source tree.
async fn charts(args: &DoctorArgs, config: &Config, connection: &Connection) -> Result<Vec<String>, String> {
    let unknown = |cause: &dyn std::fmt::Display| format!("which charts there are is not known: {cause}");
    if let Some(name) = args.channel.as_ref().or(args.version.as_ref()) {
        let tag: Tag = name.parse().map_err(|cause| unknown(&cause))?;
        let resolved = release::resolve(connection.read(), &config.repositories.release, &Selector::Tag(tag)).await;
        let release = resolved.map_err(|cause| unknown(&cause))?.release;
        return Ok(release.own_charts().cloned().collect());
    }
    let tree = Tree::open(&args.source).map_err(|cause| unknown(&cause))?;
    plan::chart_names(&tree, config, &connection.prefix).map_err(|cause| unknown(&cause))
}

/// Every repository of a release that lies in the store.
fn repositories(config: &Config, charts: &[String]) -> Result<Vec<(RepositoryKind, Repository)>, Failure> {
    let names = &config.repositories;
    let mut found = Vec::new();
    for chart in charts {
        found.push((RepositoryKind::Chart, names.charts.join(chart)?));
    }
    found.push((RepositoryKind::Bundle, names.config.clone()));
    found.push((RepositoryKind::Release, names.release.clone()));
    found.push((RepositoryKind::ControlPlane, names.control_plane.clone()));
    for name in config.images.values() {
        if let AnyRepository::Own(repository) = name.parse()?
            && !found.iter().any(|(_, known)| *known == repository)
        {
            found.push((RepositoryKind::Image, repository));
        }
    }
    Ok(found)
}

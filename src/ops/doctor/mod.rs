//! Finds out whether a release can be published. Every repository of a release is asked, all at once, and nothing is left behind.

mod diagnosis;
mod render;

use std::fmt;
use std::path::PathBuf;

use futures_util::future::join_all;
use hyper_util::client::proxy::matcher::Matcher;

use super::{Access, Connection, Context, Environment, Error, Kind, StoreRequest};
use crate::config::Config;
use crate::oci::{AnyRepository, Location, Prefix, Repository, Selector, Store, Tag};
use crate::plan;
use crate::source::Tree;
use crate::text::with_causes;

use diagnosis::{Asked, Probes};
pub use diagnosis::{Diagnosis, RepositoryKind, RepositoryReport, Verdict};

/// Version of the JSON, `docs/schemas/doctor.json`.
const SCHEMA: &str = "alga.release.doctor/v1";
/// Seconds that the clocks may differ: tokens and signatures are valid for minutes.
const CLOCK_TOLERANCE: i64 = 60;

/// The charts whose repositories are asked, beside the other repositories of a release.
#[derive(Clone, Debug)]
pub enum ChartsOf {
    /// The charts of the source tree in this directory.
    Tree(PathBuf),
    /// The charts of a published release: a channel or a version.
    Release(String),
}

impl fmt::Display for ChartsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tree(root) => root.display().fmt(f),
            Self::Release(name) => f.write_str(name),
        }
    }
}

/// The store and the repositories that are asked.
#[derive(Clone, Debug)]
pub struct DoctorRequest {
    /// The store. It is opened here, as a publisher opens it and without credentials.
    pub store: StoreRequest,
    /// Charts whose repositories are asked.
    pub charts: ChartsOf,
}

/// Asks every repository of a release whether it can be read and written. A repository that does not answer is a finding.
///
/// # Errors
/// When the store cannot be opened, or the configuration names an invalid repository.
pub async fn doctor(request: &DoctorRequest, config: &Config, context: &Context) -> Result<Diagnosis, Error> {
    let connection = Connection::open(&request.store, Access::Write, context).await?;
    let Some(store) = connection.store() else { return Err(Error::NotWritable { store: request.store.store.clone() }) };
    let anonymous = connection.login.is_anonymous();
    let public = if anonymous { None } else { Some(connection.without_credentials()?) };
    let location = &connection.location;
    let mut diagnosis = Diagnosis {
        schema: SCHEMA,
        store: location.to_string(),
        credentials: connection.login.source.clone(),
        proxy: proxy(location, &context.environment),
        public_read: config.public_read,
        ..Diagnosis::default()
    };
    let charts = match charts(&request.charts, config, &connection).await {
        Ok(charts) => charts,
        Err(error) if matches!(request.charts, ChartsOf::Release(_)) && !is_of_server(error.kind()) => {
            return Err(error);
        }
        // The repositories beside the charts are asked all the same.
        Err(cause) => {
            diagnosis.unlisted = Some((request.charts.to_string(), with_causes(&cause)));
            Vec::new()
        }
    };
    let repositories = repositories(config, &charts)?;
    let asked = repositories.iter().map(|(kind, repository)| ask(*kind, repository, store, public.as_ref(), context));
    let asked = join_all(asked).await;
    let prefix = registry(location);
    for ((kind, repository), (probes, skew)) in repositories.iter().zip(asked) {
        diagnosis.hear(skew, probes.own.remaining);
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

/// Returns whether the diagnosis of the repositories tells more than the error.
fn is_of_server(kind: Kind) -> bool {
    matches!(kind, Kind::Denied | Kind::Unavailable)
}

/// Asks one repository; also returns by how many seconds our clock is ahead of the registry's.
async fn ask(
    kind: RepositoryKind,
    repository: &Repository,
    store: &Store,
    public: Option<&Store>,
    context: &Context,
) -> (Probes, Option<i64>) {
    let own = async {
        let probe = store.probe(repository, kind.is_pushed()).await;
        let date = probe.date.as_deref().and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        let skew = date.map(|date| context.clock.now().as_second() - date.timestamp().as_second());
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

fn registry(location: &Location) -> Option<&Prefix> {
    match location {
        Location::Registry(prefix) => Some(prefix),
        Location::Layout(_) | Location::Archive(_) => None,
    }
}

/// Returns the proxy that requests to a store go through, without its password.
fn proxy(location: &Location, environment: &Environment) -> Option<String> {
    let prefix = registry(location).filter(|prefix| !prefix.is_loopback())?;
    let scheme = if prefix.plain_http() { "http" } else { "https" };
    let variable = |names: [&str; 2]| names.into_iter().find_map(|name| environment.text(name)).unwrap_or_default();
    let matcher = Matcher::builder()
        .all(variable(["ALL_PROXY", "all_proxy"]))
        .http(variable(["HTTP_PROXY", "http_proxy"]))
        .https(variable(["HTTPS_PROXY", "https_proxy"]))
        .no(variable(["NO_PROXY", "no_proxy"]))
        .build();
    Some(matcher.intercept(&format!("{scheme}://{}/", prefix.host()).parse().ok()?)?.uri().to_string())
}

/// Returns the names of the charts.
async fn charts(of: &ChartsOf, config: &Config, connection: &Connection) -> Result<Vec<String>, Error> {
    match of {
        ChartsOf::Release(name) => {
            let tag: Tag = name.parse()?;
            let selector = Selector::Tag(tag);
            let resolved = connection.resolve(config, name, &selector).await?;
            Ok(resolved.release.own_charts().cloned().collect())
        }
        ChartsOf::Tree(root) => {
            let tree = Tree::open(root)?;
            Ok(plan::chart_names(&tree, config, &connection.prefix)?)
        }
    }
}

/// Returns every repository of a release that is in the store.
fn repositories(config: &Config, charts: &[String]) -> Result<Vec<(RepositoryKind, Repository)>, Error> {
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

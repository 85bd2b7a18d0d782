//! Calls the operations in the test's own process. The caller passes in variables, programs, time and progress.

use std::sync::Arc;
use std::time::Duration;

use alga_release::config::{Config, ValuesNames};
use alga_release::ops::{
    self, Access, ChartsOf, Clock, Connection, Context, DiffOrigin, DiffRequest, DiffSide, DoctorRequest, Environment,
    Error, HistoryRequest, InUseRequest, Kind, NoPrograms, NoTerminal, PackRequest, RevisionRequest, StoreRequest,
    VerifyRequest,
};
use jiff::Timestamp;

use crate::support::in_process::{Heard, tree};
use crate::support::programs::Source;
use crate::support::registry::{Action, Auth, Fault, Registry, Setup};

/// A clock that always returns the same time and never waits.
#[derive(Debug)]
struct Stopped(Timestamp);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn sleep(&self, _: Duration) -> futures_util::future::BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

fn context(variables: &'static [(&str, &str)], now: &str) -> (Context, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let lookup = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
    let context = Context {
        environment: Environment::new(lookup),
        programs: Arc::new(NoPrograms),
        clock: Arc::new(Stopped(now.parse().expect("a time"))),
        terminal: Arc::new(NoTerminal),
        progress: Arc::<Heard>::clone(&heard),
    };
    (context, heard)
}

#[tokio::test]
async fn a_release_is_published_compared_and_verified_in_process() {
    let source = Source::new();
    source.publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &source.layout()]).ends(0);
    let config = Config { values_names: ValuesNames::Hashed, ..Config::default() };
    let (context, heard) = context(&[], "2026-11-20T12:00:00Z");
    let store = StoreRequest { store: source.layout(), ..StoreRequest::new(&config) };
    let connection = Connection::open(&store, Access::Read, &context).await.expect("a store");
    assert!(connection.store().is_none(), "a store that is opened for reading cannot be written");

    let request = VerifyRequest { reference: None, offline: true, trust: None };
    let report = ops::verify(&request, &config, &connection).await.expect("a report");
    assert!(report.ok && report.text().starts_with("nightly (1.0.3)"), "{}", report.text());
    let request = HistoryRequest {
        channel: ops::channel(&config, "nightly").expect("one"),
        moves: None,
        to_time: None,
        trust: None,
    };
    let report = ops::history(&request, &config, &connection).await.expect("a report");
    assert_eq!(report.moves.iter().map(|one| one.sequence).collect::<Vec<_>>(), [Some(1)]);
    let report =
        ops::in_use(&InUseRequest { moves: 1, prune_plan: false }, &config, &connection).await.expect("a report");
    assert!(report.complete && report.keep_list().contains(":1.0.3\n"), "{}", report.keep_list());

    let published =
        DiffSide { reference: "nightly".to_owned(), origin: DiffOrigin::Release("nightly".parse().expect("one")) };
    let packed = DiffSide { reference: "./".to_owned(), origin: DiffOrigin::Tree(Box::new(tree(&source, "1.0.3"))) };
    let request = DiffRequest { from: published, to: packed, rendered: false };
    let diff = Box::pin(ops::diff(request, &config, &connection, &connection, &context)).await.expect("a comparison");
    assert!(!diff.has_changes && diff.from.as_ref().is_some_and(|from| from.digest == diff.to.digest), "{diff:?}");
    assert!(heard.0.lock().expect("a lock").iter().all(|line| !line.contains("credentials")), "{heard:?}");
}

#[tokio::test]
async fn an_error_has_its_meaning_for_the_caller() {
    let (config, (context, _)) = (Config::default(), context(&[], "2026-11-20T12:00:00Z"));
    let (source, registry) = (Source::new(), Registry::start());
    let kind = |error: Error| error.kind();
    assert_eq!(ops::channel(&config, "nigthly").map_err(kind), Err(Kind::Usage));
    let store = StoreRequest { store: format!("{}/org", registry.address()), ..StoreRequest::new(&config) };
    let connection = Connection::open(&store, Access::Read, &context).await.expect("a store");
    let request = VerifyRequest { reference: Some("stable".to_owned()), offline: true, trust: None };
    assert_eq!(ops::verify(&request, &config, &connection).await.map(|_| ()).map_err(kind), Err(Kind::Usage));
    assert_eq!(
        ops::in_use(&InUseRequest { moves: 1, prune_plan: false }, &config, &connection)
            .await
            .map(|_| ())
            .map_err(kind),
        Err(Kind::Refused)
    );
    let side = |revision| {
        let request = PackRequest { revision, ..tree(&source, "1.0.3") };
        DiffSide { reference: "./".to_owned(), origin: DiffOrigin::Tree(Box::new(request)) }
    };
    let request = DiffRequest {
        from: side(tree(&source, "1.0.3").revision),
        to: side(RevisionRequest::default()),
        rendered: false,
    };
    let diff = Box::pin(ops::diff(request, &config, &connection, &connection, &context)).await;
    assert!(matches!(diff, Err(Error::Source(_))), "{diff:?}");
}

#[tokio::test]
async fn credentials_and_time_come_only_from_the_caller() {
    let auth = Auth::Basic { username: "alice".to_owned(), password: "alice-secret".to_owned() };
    let registry = Registry::with(Setup { auth, ..Setup::default() });
    let date = vec![("Date".to_owned(), "Tue, 15 Nov 1994 08:12:31 GMT".to_owned())];
    registry.fail(Fault::every("", "/", Action::Headers(date)));
    let variables = &[("ALGA_REGISTRY_USERNAME", "alice"), ("ALGA_REGISTRY_TOKEN", "alice-secret")];
    let (config, (context, heard)) = (Config::default(), context(variables, "1994-11-15T08:14:01Z"));
    let store = StoreRequest { store: format!("{}/org", registry.address()), ..StoreRequest::new(&config) };
    let request = DoctorRequest { store, charts: ChartsOf::Tree(Source::new().path("")) };
    let diagnosis = ops::doctor(&request, &config, &context).await.expect("a diagnosis");
    assert_eq!((diagnosis.clock_skew_seconds, diagnosis.authenticated), (Some(90), Some(true)));
    assert_eq!(*heard.0.lock().expect("a lock"), ["credentials: ALGA_REGISTRY_TOKEN"]);
    assert!(!format!("{context:?} {request:?}").contains("alice-secret"));
}

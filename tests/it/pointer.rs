//! The channel tag: a registry with out-of-date answers is not another publisher, one of several publishers wins, and a
//! forged tag changes nothing. The clock belongs to the test, so no test waits.

use std::sync::Arc;
use std::time::Duration;

use alga_release::config::Config;
use alga_release::credentials::Login;
use alga_release::oci::Credentials;
use alga_release::ops::{
    self, Access, Connection, Context, Error, HistoryReport, HistoryRequest, Kind, MoveReport, MoveTerms, NoPrograms,
    PromoteRequest, PublishReport, PublishRequest, RollbackRequest, StoreRequest,
};
use serde_json::json;

use crate::support::clock::VirtualClock;
use crate::support::in_process::{Heard, tree};
use crate::support::programs::Source;
use crate::support::published::{RELEASES, digest_of, manifest, record, served, with_images};
use crate::support::registry::{Late, Quirks, Registry, Setup};

/// A registry, and publishers that share a clock with it.
struct Bench {
    source: Source,
    registry: Registry,
    clock: VirtualClock,
    config: Config,
    retry_for: Duration,
    heard: Arc<Heard>,
}

impl Bench {
    fn new(late: Option<Duration>, setup: Setup) -> Self {
        let clock = VirtualClock::default();
        let late = late.map(|late| Late { clock: clock.clone(), tags: late, lists: late, public: late });
        Self {
            source: Source::new(),
            registry: Registry::with(Setup { late, ..setup }),
            clock,
            config: Config::default(),
            retry_for: Duration::from_mins(5),
            heard: Arc::default(),
        }
    }

    fn context(&self) -> Context {
        let mut context = Context::silent(self.clock.clone());
        (context.programs, context.progress) = (Arc::new(NoPrograms), self.heard.clone());
        context
    }

    fn said(&self) -> String {
        self.heard.0.lock().expect("a lock").join("\n")
    }

    async fn connection(&self) -> Connection {
        let store = format!("{}/org", self.registry.address());
        // A registry without authentication issues no token.
        let credentials = Credentials::Basic { username: "tester".to_owned(), password: "s3cret".to_owned().into() };
        let login = Some(Login { credentials, source: "the test".to_owned() });
        let request = StoreRequest { store, retry_for: Some(self.retry_for), login, ..StoreRequest::new(&self.config) };
        Connection::open(&request, Access::Write, &self.context()).await.expect("a store")
    }

    async fn publish(&self, version: &str, terms: MoveTerms) -> Result<PublishReport, Error> {
        with_images(&self.source, &[version]);
        let pack = tree(&self.source, version);
        let request = PublishRequest { pack, moves_channel: true, terms, repairs: false };
        let (context, connection) = (self.context(), self.connection().await);
        Box::pin(ops::publish(request, &self.config, &connection, &context)).await
    }

    async fn rollback(&self, to: &str, by: &str) -> Result<MoveReport, Error> {
        let terms = MoveTerms { by: Some(by.to_owned()), ..MoveTerms::default() };
        let request = RollbackRequest { channel: "nightly".to_owned(), to: to.to_owned(), terms };
        let (context, connection) = (self.context(), self.connection().await);
        Box::pin(ops::rollback(&request, &self.config, &connection, &context)).await
    }

    async fn promote(&self) -> Result<MoveReport, Error> {
        let (context, connection) = (self.context(), self.connection().await);
        let request = PromoteRequest::new("nightly", "stable");
        Box::pin(ops::promote(&request, &self.config, &connection, None, &context)).await
    }

    async fn history(&self, channel: &str) -> HistoryReport {
        let request =
            HistoryRequest { channel: channel.parse().expect("a tag"), moves: Some(1000), to_time: None, trust: None };
        ops::history(&request, &self.config, &self.connection().await).await.expect("a history")
    }
}

fn sequences(history: &HistoryReport) -> Vec<u64> {
    history.moves.iter().filter_map(|one| one.sequence).collect()
}

/// Pushes a channel manifest under its keep-alive tag, as another publisher would that then stopped. Returns the tag.
fn announce(registry: &Registry, channel: &str, sequence: u64, previous: Option<&str>) -> String {
    let before = manifest(registry, "1.0.3");
    let release = registry.tags(RELEASES)["1.0.3"].clone();
    let mut annotations = json!({});
    let mut put = |key: &str, value: &str| annotations[format!("vnd.alga.appliance.channel.{key}")] = json!(value);
    put("name", channel);
    put("release", &release);
    put("sequence", &sequence.to_string());
    put("kind", "promote");
    put("moved", "2026-11-20T11:59:00Z");
    put("by", "another");
    if let Some(previous) = previous {
        put("previous", previous);
    }
    let announced = json!({
        "schemaVersion": 2, "mediaType": before["mediaType"], "artifactType": before["artifactType"],
        "config": before["config"], "layers": before["layers"], "annotations": annotations,
    });
    let bytes = announced.to_string().into_bytes();
    let digest = digest_of(&bytes);
    let tag = format!("{channel}-{sequence}-{}", &digest[7..15]);
    registry.put_manifest(RELEASES, Some(&tag), &digest, before["mediaType"].as_str().expect("a type"), &bytes);
    tag
}

#[tokio::test]
async fn a_registry_with_out_of_date_answers_is_not_another_publisher() {
    for seconds in 0..=5 {
        let bench = Bench::new(Some(Duration::from_secs(seconds)), Setup::default());
        for version in ["1.0.3", "1.0.4"] {
            let report =
                bench.publish(version, MoveTerms::default()).await.unwrap_or_else(|error| panic!("{seconds}: {error}"));
            assert!(report.channel.expect("a channel").moves, "{seconds}");
        }
        bench.promote().await.unwrap_or_else(|error| panic!("{seconds}: {error}"));
        bench.rollback("1.0.3", "tester").await.unwrap_or_else(|error| panic!("{seconds}: {error}"));
        assert_eq!(served(&bench.registry, "nightly")["version"], "1.0.3", "{seconds}");
        assert_eq!(served(&bench.registry, "stable")["version"], "1.0.4", "{seconds}");
        let history = bench.history("nightly").await;
        assert_eq!((sequences(&history), history.end.why), (vec![3, 2, 1], "beginning"), "{seconds}");
        assert!(history.apart.is_empty(), "{seconds}");
    }
}

/// The list of tags is out of date for longer than the tags, or the other way round.
#[tokio::test]
async fn lists_and_tags_may_be_out_of_date_independently() {
    for (tags, lists) in [(0, 5), (5, 0), (1, 4)] {
        let mut bench = Bench::new(Some(Duration::ZERO), Setup::default());
        let [tags, lists] = [tags, lists].map(Duration::from_secs);
        let late = Late { clock: bench.clock.clone(), tags, lists, public: Duration::ZERO };
        bench.registry = Registry::with(Setup { late: Some(late), ..Setup::default() });
        for version in ["1.0.3", "1.0.4", "1.0.5"] {
            bench
                .publish(version, MoveTerms::default())
                .await
                .unwrap_or_else(|error| panic!("{tags:?} {lists:?}: {error}"));
        }
        assert_eq!(sequences(&bench.history("nightly").await), [3, 2, 1], "{tags:?} {lists:?}");
    }
}

#[tokio::test]
async fn an_answer_that_stays_out_of_date_is_a_temporary_failure_and_another_run_finishes() {
    let mut bench = Bench::new(Some(Duration::from_mins(10)), Setup::default());
    let error = bench.publish("1.0.3", MoveTerms::default()).await.expect_err("too late");
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    // Without retries, the failure comes at once.
    bench.retry_for = Duration::ZERO;
    let before = bench.clock.passed();
    assert_eq!(bench.publish("1.0.3", MoveTerms::default()).await.expect_err("too late").kind(), Kind::Unavailable);
    assert_eq!(bench.clock.passed(), before);
    bench.clock.pass(Duration::from_mins(10));
    bench.retry_for = Duration::from_mins(15);
    let mut done = bench.publish("1.0.3", MoveTerms::default()).await;
    for _ in 0..3 {
        bench.clock.pass(Duration::from_mins(10));
        done = bench.publish("1.0.3", MoveTerms::default()).await;
    }
    done.expect("published");
    assert_eq!(sequences(&bench.history("nightly").await), [1]);
}

#[tokio::test]
async fn the_publisher_waits_for_a_package_that_was_just_made_public() {
    let late = Some(Duration::from_secs(5));
    let bench = Bench::new(late, Quirks { deletes: true, ..Quirks::ghcr() }.setup("tester", "s3cret"));
    let private = bench.publish("1.0.3", MoveTerms::default()).await.expect_err("private");
    assert!(private.to_string().contains("the public cannot read"), "{private}");
    assert_eq!(private.kind(), Kind::Refused);
    for repository in bench.registry.repositories() {
        bench.registry.publish(&repository);
    }
    bench.publish("1.0.3", MoveTerms::default()).await.expect("public by now");
    let history = bench.history("nightly").await;
    assert_eq!((sequences(&history), history.end.why), (vec![1], "beginning"));
}

/// The first publication stopped at the check of public reads, and another release moves the channel in the end.
#[tokio::test]
async fn a_history_begins_with_the_first_move_after_a_stopped_publication() {
    let bench = Bench::new(None, Quirks::ghcr().setup("tester", "s3cret"));
    bench.publish("1.0.3", MoveTerms::default()).await.expect_err("private");
    for repository in bench.registry.repositories() {
        bench.registry.publish(&repository);
    }
    bench.publish("1.0.4", MoveTerms::default()).await.expect("public by now");
    bench.publish("1.0.5", MoveTerms::default()).await.expect("published");
    let history = bench.history("nightly").await;
    assert_eq!(history.end.why, "beginning", "{}", history.text(true));
    assert!(history.apart.is_empty(), "{}", history.text(true));
}

#[tokio::test]
async fn every_move_names_the_predecessor_that_a_keep_alive_tag_knows() {
    let bench = Bench::new(None, Setup::default());
    bench.publish("1.0.3", MoveTerms::default()).await.expect("published");
    let first = bench.registry.tags(RELEASES)["nightly"].clone();
    bench.registry.remove_tag(RELEASES, "nightly");
    bench.publish("1.0.4", MoveTerms::default()).await.expect("published");
    assert_eq!(record(&bench.registry, "nightly", "previous"), Some(first));
    assert_eq!(sequences(&bench.history("nightly").await), [2, 1]);
}

#[tokio::test]
async fn a_forged_tag_blocks_nothing() {
    let bench = Bench::new(None, Setup::default());
    bench.publish("1.0.3", MoveTerms::default()).await.expect("published");
    let first = bench.registry.tags(RELEASES)["nightly"].clone();
    let (media_type, bytes) = bench.registry.manifest(RELEASES, "nightly").expect("a channel");
    for tag in ["nightly-18446744073709551615-deadbeef", "nightly-2-deadbeef", "nightly-700-deadbeef"] {
        bench.registry.put_manifest(RELEASES, Some(tag), &first, &media_type, &bytes);
    }
    // Each forged tag is right except for one thing: the channel, the predecessor or the distance.
    announce(&bench.registry, "nightly", 3, Some(&digest_of(b"nothing")));
    announce(&bench.registry, "nightly", 2000, Some(&first));
    announce(&bench.registry, "nightly", u64::MAX, Some(&first));
    let tags = bench.registry.tags(RELEASES).len();
    bench.publish("1.0.4", MoveTerms::default()).await.expect("published");
    assert_eq!(record(&bench.registry, "nightly", "sequence").as_deref(), Some("2"));
    // The registry holds the version, the channel manifest under its own tag, and nothing else.
    assert_eq!(bench.registry.tags(RELEASES).len(), tags + 2);
    assert!(bench.said().contains("nightly-18446744073709551615-deadbeef"), "{}", bench.said());
    assert_eq!(bench.clock.passed(), Duration::ZERO, "nothing is waited for");
}

#[tokio::test]
async fn a_distant_sequence_number_counts_when_it_is_accepted() {
    let bench = Bench::new(None, Setup::default());
    bench.publish("1.0.3", MoveTerms::default()).await.expect("published");
    let first = bench.registry.tags(RELEASES)["nightly"].clone();
    announce(&bench.registry, "nightly", 5000, Some(&first));
    let terms = MoveTerms { accept_sequence: Some(5000), ..MoveTerms::default() };
    bench.publish("1.0.4", terms).await.expect("published");
    assert_eq!(record(&bench.registry, "nightly", "sequence").as_deref(), Some("5001"));
}

/// A move that was announced before may still happen. The publisher waits for the longest time of a move, and then
/// ignores the announcement.
#[tokio::test]
async fn the_publisher_waits_for_an_announced_move_and_then_ignores_it() {
    let bench = Bench::new(None, Setup::default());
    bench.publish("1.0.3", MoveTerms::default()).await.expect("published");
    let first = bench.registry.tags(RELEASES)["nightly"].clone();
    let tag = announce(&bench.registry, "nightly", 2, Some(&first));
    bench.publish("1.0.4", MoveTerms::default()).await.expect("published");
    assert_eq!(bench.clock.passed(), Duration::from_secs(2));
    assert!(bench.said().contains(&tag), "{}", bench.said());
    assert_eq!(record(&bench.registry, "nightly", "sequence").as_deref(), Some("3"));
    assert_eq!(record(&bench.registry, "nightly", "previous"), Some(first));
}

/// `count` publishers roll one channel back, each to its own release. Returns the winner.
async fn race(bench: &Bench, versions: &[String]) -> usize {
    bench.clock.run_together(versions.len());
    let before = bench.history("nightly").await.moves.len();
    let racers = versions.iter().enumerate().map(|(index, version)| async move {
        let ended = bench.rollback(version, &format!("racer {index}")).await;
        bench.clock.one_is_done();
        ended
    });
    let ended = futures_util::future::join_all(racers).await;
    bench.clock.run_together(0);
    let winners: Vec<usize> = (0..ended.len()).filter(|index| ended[*index].is_ok()).collect();
    let [winner] = winners[..] else { panic!("{} winners: {ended:?}", winners.len()) };
    for error in ended.iter().filter_map(|ended| ended.as_ref().err()) {
        assert_eq!(error.kind(), Kind::Refused, "{error}");
        assert!(error.to_string().contains(&format!("to {} by racer {winner}", versions[winner])), "{error}");
    }
    assert_eq!(served(&bench.registry, "nightly")["version"], versions[winner].as_str());
    let history = bench.history("nightly").await;
    assert_eq!((history.moves.len(), history.end.why), (before + 1, "beginning"), "{}", history.text(true));
    winner
}

#[tokio::test]
async fn one_of_five_publishers_wins_and_the_others_name_it() {
    let bench = Bench::new(None, Setup::default());
    let versions: Vec<String> = (0..6).map(|patch| format!("1.0.{patch}")).collect();
    for version in &versions {
        bench.publish(version, MoveTerms::default()).await.expect("published");
    }
    for _ in 0..30 {
        // A publisher whose release is already served has nothing to do and does not take part.
        let now = served(&bench.registry, "nightly")["version"].as_str().expect("a version").to_owned();
        let racers: Vec<String> = versions.iter().filter(|version| **version != now).cloned().collect();
        race(&bench, &racers).await;
    }
}

#[tokio::test]
async fn a_publisher_that_lost_deletes_its_announcement_where_the_registry_deletes() {
    for deletes in [true, false] {
        let quirks = Quirks { deletes, ..Quirks::default() };
        let bench = Bench::new(None, Setup { quirks, ..Setup::default() });
        let versions: Vec<String> = (0..6).map(|patch| format!("1.0.{patch}")).collect();
        for version in &versions {
            bench.publish(version, MoveTerms::default()).await.expect("published");
        }
        race(&bench, &versions[..5]).await;
        let announced = bench.registry.tags(RELEASES).keys().filter(|tag| tag.starts_with("nightly-")).count();
        let moves = bench.history("nightly").await.moves.len();
        assert_eq!(announced == moves, deletes, "{announced} announcements of {moves} moves");
    }
}

#[tokio::test]
async fn a_move_with_an_approval_is_not_tried_again() {
    let bench = Bench::new(None, Setup::default());
    for version in ["1.0.3", "1.0.4", "1.0.5"] {
        bench.publish(version, MoveTerms::default()).await.expect("published");
    }
    let current = Some(bench.registry.tags(RELEASES)["nightly"].parse().expect("a digest"));
    bench.clock.run_together(2);
    let racer = |to: &'static str| {
        let (bench, current) = (&bench, current.clone());
        async move {
            let terms = MoveTerms { if_current: Some(current), ..MoveTerms::default() };
            let request = RollbackRequest { channel: "nightly".to_owned(), to: to.to_owned(), terms };
            let (context, connection) = (bench.context(), bench.connection().await);
            let ended = Box::pin(ops::rollback(&request, &bench.config, &connection, &context)).await;
            bench.clock.one_is_done();
            ended.map(drop)
        }
    };
    let (a, b) = futures_util::join!(racer("1.0.3"), racer("1.0.4"));
    assert!(a.is_err() || b.is_err());
    for error in [a, b].into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), Kind::Refused, "{error}");
    }
    assert!(bench.clock.passed() <= Duration::from_secs(2), "{:?}", bench.clock.passed());
}

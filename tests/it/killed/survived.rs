//! Transient failures are retried within one run: at any request, on a bad day, and with a rate limit.

use std::process::Command;

use super::walk::{kept_alive, served, versions};
use super::{Case, NEW, finishes, for_each, say, store};
use crate::support::planted::plant;
use crate::support::programs::Source;
use crate::support::registry::{Action, Fault, Limit, Registry, Slow, Unreliable};

/// Returns the command of [`super::publish`] with retries.
fn publish(source: &Source, registry: &Registry) -> Command {
    let once = super::publish(source, &store(registry), NEW);
    let mut patient = Command::new(once.get_program());
    patient.env_clear().args(once.get_args().filter(|argument| *argument != "--retry-for" && *argument != "0"));
    patient.args(["--retry-for", "10m"]);
    patient
}

/// The store has the same release after one move, without remains.
#[track_caller]
fn is_as_undisturbed(case: &Case, registry: &Registry, what: &str) {
    let now = served(registry, "nightly");
    assert_eq!((&now.version, &now.release), (&case.after.version, &case.after.release), "{what}");
    assert_eq!((now.chain.len(), kept_alive(registry, "nightly")), (2, vec![1, 2]), "{what}");
    assert_eq!(versions(registry, "nightly"), versions(&case.undisturbed, "nightly"), "{what}");
}

#[test]
fn a_transient_failure_at_any_request_is_retried() {
    let case = Case::second();
    let now = || vec![("Retry-After".to_owned(), "0".to_owned())];
    let faults = [
        Action::status(500, ""),
        Action::status(503, "<html>"),
        Action::Status(429, now(), Vec::new()),
        Action::ResetBefore,
        Action::Reset(0),
        Action::Reset(25),
        Action::CloseBeforeResponse,
    ];
    for_each(case.requests, |index| {
        // Consecutive requests meet different failures, and each kind of failure meets every stage.
        let (registry, action) = (case.fresh(), &faults[index % faults.len()]);
        registry.fail(Fault::after(index, action.clone()));
        finishes(publish(&case.source, &registry));
        is_as_undisturbed(&case, &registry, &format!("{action:?} at request {index}"));
    });
}

#[test]
fn a_release_is_published_to_a_registry_that_fails_sometimes() {
    let case = Case::second();
    let failed = std::sync::atomic::AtomicUsize::new(0);
    for_each(8, |seed| {
        let registry = case.fresh();
        registry.unreliable(Unreliable::new(seed as u64, 5));
        finishes(publish(&case.source, &registry));
        failed.fetch_add(registry.failed(), std::sync::atomic::Ordering::Relaxed);
        registry.heal();
        is_as_undisturbed(&case, &registry, &format!("seed {seed}"));
    });
    let failed = failed.into_inner();
    assert!(failed > 0);
    say(&format!("{failed} requests failed by chance, and 8 releases got through"));
}

#[test]
fn a_release_is_published_to_a_registry_with_a_rate_limit() {
    let case = Case::second();
    for slow in [Slow::Header, Slow::Message, Slow::Forbidden] {
        let registry = case.fresh();
        registry.limit(Limit::new(10, slow));
        finishes(publish(&case.source, &registry));
        assert!(registry.failed() > 3, "{slow:?}");
        is_as_undisturbed(&case, &registry, &format!("{slow:?}"));
    }
}

#[test]
fn a_hundred_charts_are_published_to_a_failing_registry_with_a_rate_limit() {
    let (tree, registry) = (tempfile::tempdir().expect("a temporary directory"), Registry::start());
    plant(tree.path(), (0..100).map(|number| format!("chart-{number:03}")));
    registry.limit(Limit::new(200, Slow::Message));
    registry.unreliable(Unreliable::new(100, 5));
    let mut command = Command::new(env!("CARGO_BIN_EXE_alga-release"));
    command.env_clear().arg("publish").arg(tree.path()).args(["--version", NEW, "--channel", "nightly"]);
    command.args(["--store", &store(&registry), "--source-commit", &"a".repeat(40), "--epoch", "1700000000"]);
    finishes(command);
    let now = served(&registry, "nightly");
    assert_eq!((now.version.as_str(), now.chain.len()), (NEW, 1));
    assert_eq!(registry.repositories().len(), 102);
    let (received, failed) = (registry.log().len(), registry.failed());
    assert!(failed > received / 50, "{failed} of {received}");
    say(&format!("{failed} of {received} requests failed, and a release of 100 charts got through"));
}

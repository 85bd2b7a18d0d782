//! A publish that is killed at any point, that meets any failure, or that runs beside others leaves the channel on the
//! whole old or the whole new release. Another run completes the work.

mod at_once;
mod layout;
mod survived;
pub mod walk;

use std::io::{Read, Write as _};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use crate::support::programs::{Source, resolve};
use crate::support::registry::{Action, Fault, Notice, Registry, Setup};
use walk::{Holds, Served, kept_alive, served, versions};

const OLD: &str = "1.0.3";
const NEW: &str = "1.0.4";

/// A source tree with the images of several versions.
fn tree() -> Source {
    let source = Source::new();
    let images = std::fs::read_to_string(source.path("ee/appliance/releases/1.0.3/release.json")).expect("images");
    for version in ["1.0.4", "1.0.5"] {
        source.write(&format!("ee/appliance/releases/{version}/release.json"), &images);
    }
    source
}

/// Changes the content of every chart.
fn change_charts(source: &Source) {
    for chart in
        ["helm", "ee/helm/temporal", "ee/helm/temporal-worker", "ee/helm/workflow-worker", "ee/helm/email-service"]
    {
        source.append(&format!("{chart}/values.yaml"), "\nanother: value\n");
    }
}

/// Returns the command `alga-release publish` with stamped chart versions and a fixed prefix, so that the digests do
/// not depend on the store.
fn publish(source: &Source, store: &str, version: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alga-release"));
    command.env_clear().arg("publish").arg(source.path("")).args(["--store", store, "--version", version]);
    command.args(["--channel", "nightly", "--source-commit", &"a".repeat(40), "--epoch", "1700000000"]);
    command.args(["--image-check", "off", "--chart-version", "stamped", "--prefix", "registry.example.com/org"]);
    // Retries within a run would hide what the test examines: another run.
    command.args(["--retry-for", "0"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end. Returns its exit code and output.
fn run(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().expect("a program");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    (output.status.code(), said)
}

#[track_caller]
fn finishes(command: Command) {
    let (code, said) = run(command);
    assert_eq!(code, Some(0), "{said}");
}

fn store(registry: &Registry) -> String {
    format!("{}/org", registry.address())
}

/// Calls `work` with each number, two at a time.
pub fn for_each(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        break;
                    }
                    work(index);
                }
            });
        }
    });
}

/// Writes to the terminal directly, because libtest hides the output of a passing test.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A registry that serves the old release or is empty, and the result of an undisturbed run.
struct Case {
    source: Source,
    old: Registry,
    before: Option<Served>,
    undisturbed: Registry,
    after: Served,
    requests: usize,
}

impl Case {
    fn second() -> Self {
        let (source, old) = (tree(), Registry::start());
        finishes(publish(&source, &store(&old), OLD));
        change_charts(&source);
        Self::of(source, old)
    }

    fn first() -> Self {
        Self::of(tree(), Registry::start())
    }

    fn of(source: Source, old: Registry) -> Self {
        let undisturbed = Registry::copy_of(&old, Setup::default());
        finishes(publish(&source, &store(&undisturbed), NEW));
        let requests = undisturbed.log().len();
        let before = (!old.repositories().is_empty()).then(|| served(&old, "nightly"));
        let after = served(&undisturbed, "nightly");
        assert_eq!(after.version, NEW);
        Self { source, old, before, undisturbed, after, requests }
    }

    fn fresh(&self) -> Registry {
        Registry::copy_of(&self.old, Setup::default())
    }

    /// The channel serves one of the two releases, and the resolver can use it. If there was no old release, the
    /// channel may be missing.
    #[track_caller]
    fn serves_old_or_new(&self, registry: &Registry, what: &str) {
        if self.before.is_none() && !Holds::tags(registry, "alga-appliance-release").contains_key("nightly") {
            return;
        }
        let now = served(registry, "nightly");
        let expected = self.before.as_ref().filter(|before| before.version == now.version).unwrap_or(&self.after);
        assert_eq!((&now.version, &now.release), (&expected.version, &expected.release), "{what}");
        let resolved = resolve(&["resolve", "nightly", "--store", &store(registry)]).ends(0).json();
        assert_eq!(resolved["version"], *now.version, "{what}");
    }

    /// Another run ends in the same state as an undisturbed run, with one move.
    #[track_caller]
    fn running_again_finishes(&self, registry: &Registry, what: &str) {
        let mut again = publish(&self.source, &store(registry), NEW);
        // The time differs, so that this is another move than the interrupted one.
        again.args(["--reason", "again"]);
        finishes(again);
        ends_as(registry, &self.undisturbed, self.before.as_ref(), &self.after, what);
    }
}

/// The store is in the same state as after an undisturbed run, and the channel moved once.
#[track_caller]
pub fn ends_as(
    store: &(impl Holds + ?Sized),
    undisturbed: &(impl Holds + ?Sized),
    before: Option<&Served>,
    after: &Served,
    what: &str,
) {
    let now = served(store, "nightly");
    assert_eq!((&now.version, &now.release), (&after.version, &after.release), "{what}");
    let before = before.map(|before| &before.chain[..]).unwrap_or_default();
    assert_eq!(now.chain[1..], *before, "{what}: one move");
    assert_eq!(versions(store, "nightly"), versions(undisturbed, "nightly"), "{what}");
    let numbers = kept_alive(store, "nightly");
    // An interrupted move keeps its sequence number.
    assert!(numbers.len() <= 3 && numbers.is_sorted_by(|a, b| a < b), "{what}: {numbers:?}");
    assert!(numbers.contains(&now.chain[0].1), "{what}: {numbers:?}");
}

/// Publishes until a request is caught, and then kills the program.
fn kill(command: Command, registry: &Registry, index: usize, after: bool) {
    kill_at(command, registry, after, |action| Fault::after(index, action));
}

/// Runs until `fault` catches a request, before or after its execution, and then kills the program.
pub fn kill_at(mut command: Command, registry: &Registry, after: bool, fault: impl FnOnce(Action) -> Fault) {
    let (tell, told) = mpsc::channel();
    let caught = tell.clone();
    let notice = Notice::new(move || {
        let _ = caught.send(true);
    });
    let action = if after { Action::CatchAfter(notice) } else { Action::CatchBefore(notice) };
    let fault = fault(action);
    let at = format!("{} {} {}", fault.method, fault.path, fault.skip);
    registry.fail(fault);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a program");
    let mut said = child.stderr.take().expect("piped");
    let listener = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = said.read_to_string(&mut text);
        let _ = tell.send(false);
        text
    });
    let was_caught = told.recv().expect("caught or ended");
    let _ = child.kill();
    let status = child.wait().expect("a child");
    let text = listener.join().expect("a thread");
    assert!(was_caught, "it ended ({status}) before request {at}: {text}");
}

fn killed_everywhere(case: &Case, kind: &str) {
    for_each(2 * case.requests, |number| {
        let (index, after) = (number / 2, number % 2 == 1);
        let what = format!("killed {} request {index} of the {kind} release", if after { "after" } else { "before" });
        let registry = case.fresh();
        kill(publish(&case.source, &store(&registry), NEW), &registry, index, after);
        case.serves_old_or_new(&registry, &what);
        case.running_again_finishes(&registry, &what);
    });
    let (kills, requests) = (2 * case.requests, case.requests);
    say(&format!("killed {kills} times, before and after each of {requests} requests of the {kind} release"));
}

#[test]
fn a_publish_killed_at_any_request_leaves_a_whole_channel_and_another_run_finishes() {
    killed_everywhere(&Case::second(), "second");
}

#[test]
fn a_first_publish_killed_at_any_request_is_finished_by_another_run() {
    killed_everywhere(&Case::first(), "first");
}

/// The failures of an answer, and the exit codes that are allowed afterwards.
fn faults() -> Vec<(&'static str, Action, &'static [i32])> {
    let now = || vec![("Retry-After".to_owned(), "0".to_owned())];
    let slow = r#"{"message":"You have exceeded a secondary rate limit"}"#;
    vec![
        ("500", Action::status(500, ""), &[75]),
        ("502", Action::status(502, "<html><h1>Bad Gateway</h1></html>"), &[75]),
        ("429", Action::Status(429, now(), Vec::new()), &[75]),
        // A failed HEAD has no body with a reason, so the program sends a GET, which succeeds.
        ("403 for a rate", Action::status(403, slow), &[0, 75]),
        ("403", Action::status(403, ""), &[0, 4]),
        ("reset before", Action::ResetBefore, &[0, 75]),
        ("reset after", Action::Reset(0), &[0, 75]),
        ("reset within", Action::Reset(25), &[75]),
        ("truncated", Action::Truncate(1), &[0, 75]),
        // The second answer may belong to the next request.
        ("twice", Action::Duplicate, &[0, 1, 3, 75]),
        ("redirected for ever", Action::RedirectToItself, &[0, 1]),
    ]
}

#[test]
fn any_failure_at_any_request_leaves_a_whole_channel_and_another_run_finishes() {
    let (case, faults) = (Case::second(), faults());
    for_each(case.requests * faults.len(), |number| {
        let (index, (name, action, codes)) = (number / faults.len(), &faults[number % faults.len()]);
        let (registry, what) = (case.fresh(), format!("{name} at request {index}"));
        registry.fail(Fault::after(index, action.clone()));
        let (code, said) = run(publish(&case.source, &store(&registry), NEW));
        // The list of tags is only used to choose a sequence number, and there is a default without it.
        let optional = registry.log()[index].path.ends_with("/tags/list");
        let expected = code.is_some_and(|code| codes.contains(&code) || (optional && code == 0));
        assert!(expected, "{what}: {code:?}: {said}");
        registry.heal();
        if code == Some(0) {
            return ends_as(&registry, &case.undisturbed, case.before.as_ref(), &case.after, &what);
        }
        case.serves_old_or_new(&registry, &what);
        case.running_again_finishes(&registry, &what);
    });
    say(&format!("{} faults at each of {} requests", faults.len(), case.requests));
}

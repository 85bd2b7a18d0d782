//! Two programs publish at the same time. Each succeeds or reports the other one, and the channel stays whole.

use std::process::Command;

use alga_release::oci::{Location, Options, Store};

use super::walk::{Holds, served};
use super::{change_charts, publish, say, store, tree};
use crate::store_contract::{artifact, push, repository, tag};
use crate::support::programs::Source;
use crate::support::registry::{Action, Fault, Gate, Registry, Setup};

/// Number of rounds. The two programs meet at another point in each round.
const ROUNDS: usize = 8;

/// Publishes 1.0.4 and 1.0.5 from trees with different charts at the same time. Returns the exit codes. The gate opens
/// when one has ended.
fn both(first: &Source, second: &Source, store: &str, gate: &Gate) -> [Option<i32>; 2] {
    let end = |mut command: Command| {
        let output = command.output().expect("a program");
        gate.release();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 3)), "{}: {said}", output.status);
        output.status.code()
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| end(publish(first, store, "1.0.4")));
        let second = scope.spawn(|| end(publish(second, store, "1.0.5")));
        [first, second].map(|end| end.join().expect("a thread"))
    })
}

/// The channel is whole back to its first move, and it has moved unless both programs stopped.
#[track_caller]
fn is_whole(held: &(impl Holds + ?Sized), codes: [Option<i32>; 2], moves_before: usize) {
    let gave_way = codes == [Some(3); 2];
    if gave_way && moves_before == 0 && !held.tags("alga-appliance-release").contains_key("nightly") {
        return;
    }
    let now = served(held, "nightly");
    let sequences: Vec<u64> = now.chain.iter().map(|(_, sequence)| *sequence).collect();
    assert!(sequences.is_sorted_by(|a, b| a > b), "{sequences:?}");
    assert!((moves_before..=moves_before + 2).contains(&sequences.len()), "{sequences:?}");
    assert!(sequences.len() > moves_before || gave_way, "{codes:?}, {now:?}");
}

/// A program that stopped succeeds in another run.
#[track_caller]
fn running_again_finishes(held: &(impl Holds + ?Sized), second: &Source, store: &str) {
    super::finishes(publish(second, store, "1.0.5"));
    assert_eq!(served(held, "nightly").version, "1.0.5");
}

fn trees() -> (Source, Source) {
    let (first, second) = (tree(), tree());
    change_charts(&second);
    (first, second)
}

#[test]
fn two_publishers_at_one_registry_succeed_or_report_the_other() {
    let (first, second) = trees();
    let old = Registry::start();
    super::finishes(publish(&first, &store(&old), "1.0.3"));
    for round in 0..ROUNDS {
        let registry = if round % 2 == 0 { Registry::start() } else { Registry::copy_of(&old, Setup::default()) };
        let codes = both(&first, &second, &store(&registry), &Gate::default());
        is_whole(&registry, codes, round % 2);
        running_again_finishes(&registry, &second, &store(&registry));
    }
}

#[test]
fn two_publishers_that_move_one_channel_at_once_leave_a_whole_chain() {
    let (first, second) = trees();
    let mut ends = Vec::new();
    for path in ["/manifests/nightly?", "/manifests/nightly-"] {
        let (registry, gate) = (Registry::start(), Gate::default());
        // Both have read the channel and found the expected manifest. Then both write, unless one has stopped before.
        let action = Action::Hold(gate.clone());
        registry.fail(Fault { times: 2, ..Fault::first("PUT", path, action) });
        let opener = gate.clone();
        let codes = std::thread::scope(|scope| {
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
                runtime.block_on(async {
                    tokio::select! {
                        () = opener.arrived(2) => opener.release(),
                        () = opener.opened() => {}
                    }
                });
            });
            both(&first, &second, &store(&registry), &gate)
        });
        is_whole(&registry, codes, 0);
        running_again_finishes(&registry, &second, &store(&registry));
        ends.push(codes);
    }
    say(&format!("two at once ended with {ends:?}"));
}

#[test]
fn two_publishers_in_one_directory_succeed_or_report_the_other() {
    let (first, second) = trees();
    for _ in 0..ROUNDS {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("store");
        let store = format!("oci-layout:{}", path.display());
        let codes = both(&first, &second, &store, &Gate::default());
        is_whole(path.as_path(), codes, 0);
        running_again_finishes(path.as_path(), &second, &store);
    }
}

#[test]
fn two_publishers_that_create_one_layout_keep_the_tags_of_both() {
    for _ in 0..40 {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let location = format!("oci-layout:{}", directory.path().join("store").display());
        let location = Location::parse(&location, false).expect("a location");
        let write = |name: &str| {
            let store = Store::open(&location, Options::default()).expect("a store");
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let artifact = artifact(name);
            runtime.block_on(push(&store, &repository("x"), &artifact, Some(&tag(name))));
        };
        std::thread::scope(|scope| {
            scope.spawn(|| write("a"));
            scope.spawn(|| write("b"));
        });
        let tags = directory.path().join("store").as_path().tags("x").into_keys().collect::<Vec<_>>();
        assert_eq!(tags, ["a", "b"]);
    }
}

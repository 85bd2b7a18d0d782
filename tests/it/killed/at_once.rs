//! Two programs that publish at once: each ends well or says that the other was there; nothing is torn.

use alga_release::oci::{Location, Options, Store};

use super::walk::{Holds, served};
use super::{change_charts, publish, say, store, tree};
use crate::store_contract::{artifact, push, repository, tag};
use crate::support::programs::Source;
use crate::support::registry::{Action, Fault, Gate, Registry, Setup};

/// How often it is tried: each time they meet elsewhere.
const ROUNDS: usize = 8;

/// 1.0.4 and 1.0.5 at once, of trees with other charts; what they ended with.
fn both(first: &Source, second: &Source, store: &str) -> [Option<i32>; 2] {
    let start = |source, version| publish(source, store, version).spawn().expect("a program");
    let children = [start(first, "1.0.4"), start(second, "1.0.5")];
    children.map(|child| {
        let output = child.wait_with_output().expect("a child");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 3)), "{}: {said}", output.status);
        output.status.code()
    })
}

/// The channel is whole, back to its first move, and serves a release of one that ended well, or what was there before.
#[track_caller]
fn is_whole(held: &(impl Holds + ?Sized), codes: [Option<i32>; 2], moves_before: usize) {
    let now = served(held, "nightly");
    let sequences: Vec<u64> = now.chain.iter().map(|(_, sequence)| *sequence).collect();
    assert!(sequences.is_sorted_by(|a, b| a > b), "{sequences:?}");
    assert!((moves_before + 1..=moves_before + 2).contains(&now.chain.len()), "{sequences:?}");
    let won =
        [Some(("1.0.4", 0)), Some(("1.0.5", 1))].into_iter().flatten().find(|(version, _)| *version == now.version);
    let (_, winner) = won.expect("one of both");
    assert_eq!(codes[winner], Some(0), "{codes:?}, {now:?}");
}

fn trees() -> (Source, Source) {
    let (first, second) = (tree(), tree());
    change_charts(&second);
    (first, second)
}

#[test]
fn two_at_one_registry_end_well_or_say_that_the_other_was_there() {
    let (first, second) = trees();
    let old = Registry::start();
    let status = publish(&first, &store(&old), "1.0.3").output().expect("a program").status;
    assert!(status.success());
    for round in 0..ROUNDS {
        let registry = if round % 2 == 0 { Registry::start() } else { Registry::copy_of(&old, Setup::default()) };
        let codes = both(&first, &second, &store(&registry));
        is_whole(&registry, codes, round % 2);
    }
}

#[test]
fn two_that_move_one_channel_in_the_same_moment_leave_a_chain_without_holes() {
    let (first, second) = trees();
    let mut ends = Vec::new();
    for path in ["/manifests/nightly?", "/manifests/nightly-"] {
        let (registry, gate) = (Registry::start(), Gate::default());
        // Both have looked and found the channel where they expect it; then both write.
        let action = Action::Hold(gate.clone());
        registry.fail(Fault { times: 2, ..Fault::first("PUT", path, action) });
        let codes = std::thread::scope(|scope| {
            let address = store(&registry);
            let (first, second) = (&first, &second);
            let running = scope.spawn(move || both(first, second, &address));
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(gate.arrived(2));
            gate.release();
            running.join().expect("a thread")
        });
        is_whole(&registry, codes, 0);
        ends.push(codes);
    }
    say(&format!("two at once ended with {ends:?}"));
}

#[test]
fn two_in_one_directory_end_well_or_say_that_the_other_was_there() {
    let (first, second) = trees();
    for _ in 0..ROUNDS {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("store");
        let codes = both(&first, &second, &format!("oci-layout:{}", path.display()));
        is_whole(path.as_path(), codes, 0);
    }
}

#[test]
fn two_that_begin_one_layout_keep_the_tags_of_both() {
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

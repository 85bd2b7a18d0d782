//! Publishing during failures: the registry fails, another publisher publishes, the disk is full. The channel serves
//! the whole old or the whole new release, and another run completes the work.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use alga_release::oci::Digest;
use serde_json::Value;

use crate::support::programs::{Run, Source, after, run};
use crate::support::published::{RELEASES, publish, record, served, state, with_images};
use crate::support::registry::{Action, Fault, Gate, Registry};
use crate::support::{files_below, require};

/// Returns version tags and the release of the channel. The time of a move is not part of the result.
fn outcome(registry: &Registry) -> (BTreeMap<String, BTreeMap<String, String>>, Value) {
    let mut state = state(registry);
    for tags in state.values_mut() {
        tags.retain(|tag, _| !tag.starts_with("nightly"));
    }
    (state, served(registry, "nightly"))
}

/// Every request from `index` on fails. Later requests succeed again.
fn dies_at(source: &Source, index: usize, action: Action) -> Registry {
    let registry = Registry::start();
    registry.fail(Fault { method: "", path: String::new(), skip: index, times: usize::MAX, action });
    let run = publish(source, &registry, "1.0.3", "nightly", &[]);
    // If only the last list of tags is refused, all work is done.
    let done = run.code == Some(0) && registry.tags(RELEASES).contains_key("nightly");
    assert!(done || matches!(run.code, Some(75 | 4 | 1)), "{index}: {run:?}");
    assert!(!run.stderr.contains("panicked"), "{index}: {run:?}");
    if registry.tags(RELEASES).contains_key("nightly") {
        assert_eq!(served(&registry, "nightly")["version"], "1.0.3");
        assert!(registry.tags(RELEASES).contains_key("1.0.3"), "{index}");
    }
    registry.heal();
    publish(source, &registry, "1.0.3", "nightly", &[]).ends(0);
    registry
}

#[test]
fn another_run_finishes_after_the_registry_stops_at_any_request() {
    let (source, undisturbed) = (Source::new(), Registry::start());
    publish(&source, &undisturbed, "1.0.3", "nightly", &[]).ends(0);
    let count = undisturbed.log().len();
    let expected = |registry: &Registry| {
        let state = outcome(registry).0;
        state.into_iter().map(|(name, tags)| (name, tags.into_keys().collect::<Vec<_>>())).collect::<Vec<_>>()
    };
    for index in 0..count {
        let registry = dies_at(&source, index, Action::Status(403, Vec::new(), Vec::new()));
        assert_eq!(expected(&registry), expected(&undisturbed), "{index}");
    }
}

#[test]
fn a_channel_that_another_publisher_moves_meanwhile_is_left_alone() {
    let (source, registry) = (Source::new(), Registry::start());
    with_images(&source, &["1.0.4"]);
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    // The read right before the write finds nothing, because the tag was deleted.
    registry.fail(Fault::first("HEAD", "/manifests/nightly", Action::Status(404, Vec::new(), Vec::new())));
    let before = registry.tags(RELEASES)["nightly"].clone();
    let run = publish(&source, &registry, "1.0.4", "nightly", &[]).ends(3);
    run.says(&["another publisher moved the tag", &before]);
    assert_eq!(registry.tags(RELEASES)["nightly"], before);
}

/// A fixed prefix for every registry, so that digests can be compared.
const PREFIX: [&str; 2] = ["--prefix", "registry.example.com/org"];

/// Checks that every manifest with a tag exists with all its blobs, and so does everything that the channel's release
/// names.
fn assert_whole(registry: &Registry, when: &str) {
    for (repository, tags) in state(registry) {
        for tag in tags.keys() {
            let (_, bytes) =
                registry.manifest(&repository, tag).unwrap_or_else(|| panic!("{when}: {repository}:{tag}"));
            let manifest: Value = serde_json::from_slice(&bytes).expect("JSON");
            for blob in manifest["layers"].as_array().expect("layers").iter().chain([&manifest["config"]]) {
                let digest = blob["digest"].as_str().expect("a digest");
                let bytes =
                    registry.blob(&repository, digest).unwrap_or_else(|| panic!("{when}: {repository}@{digest}"));
                assert_eq!(Digest::of(&bytes).as_str(), digest, "{when}: {repository}:{tag}");
            }
        }
    }
    if registry.tags(RELEASES).contains_key("nightly") {
        let release = served(registry, "nightly");
        assert_eq!(release["version"], "1.0.3", "{when}");
        assert_eq!(record(registry, "nightly", "release").as_ref(), registry.tags(RELEASES).get("1.0.3"), "{when}");
        assert_eq!(registry.tags("org/alga-appliance-config")["1.0.3"], release["config"]["digest"], "{when}");
        for (chart, digest) in release["chartDigests"].as_object().expect("charts") {
            assert!(
                registry.manifest(&format!("org/charts/{chart}"), digest.as_str().expect("a digest")).is_some(),
                "{when}: {chart}"
            );
        }
    }
}

/// Only the request `index` fails.
fn disturbed_once(
    source: &Source,
    index: usize,
    action: &Action,
    expected: &BTreeMap<String, BTreeMap<String, String>>,
) {
    let (registry, when) = (Registry::start(), format!("request {index}: {action:?}"));
    registry.fail(Fault { method: "", path: String::new(), skip: index, times: 1, action: action.clone() });
    let first = publish(source, &registry, "1.0.3", "nightly", &PREFIX);
    assert!(!first.stderr.contains("panicked"), "{when}: {first:?}");
    assert_whole(&registry, &when);
    let moved = registry.tags(RELEASES).contains_key("nightly");
    let says_no = ["no channel moved", "the channel did not move"].iter().any(|words| first.stderr.contains(words));
    match first.code {
        Some(0) => assert!(moved, "{when}: {first:?}"),
        Some(1 | 3 | 75) => assert!(!(moved && says_no), "{when}: it moved: {first:?}"),
        _ => panic!("{when}: {first:?}"),
    }
    registry.heal();
    let again = publish(source, &registry, "1.0.3", "nightly", &PREFIX);
    assert_eq!(again.code, Some(0), "{when}: {again:?}");
    assert_whole(&registry, &when);
    assert_eq!(outcome(&registry).0, *expected, "{when}");
}

#[test]
fn one_failed_request_leaves_a_whole_channel_and_another_run_finishes() {
    let (source, undisturbed) = (Source::new(), Registry::start());
    publish(&source, &undisturbed, "1.0.3", "nightly", &PREFIX).ends(0);
    assert_whole(&undisturbed, "undisturbed");
    let (count, expected) = (undisturbed.log().len(), outcome(&undisturbed).0);
    // The request is not executed, or it is executed and the answer is lost.
    let actions = [Action::Status(500, Vec::new(), Vec::new()), Action::Reset(0)];
    for action in &actions {
        for index in 0..count {
            disturbed_once(&source, index, action, &expected);
        }
    }
}

/// Runs two real publishers. The first one is stopped at `method` of the channel tag until the second one has finished.
/// Returns the result of the first, and the channel manifest of the second.
fn overtaken(registry: &Registry, method: &'static str) -> (Run, String) {
    let source = Source::new();
    with_images(&source, &["1.0.4", "1.0.5"]);
    publish(&source, registry, "1.0.3", "nightly", &[]).ends(0);
    let gate = Gate::default();
    registry.fail(Fault::first(method, "/manifests/nightly?", Action::Hold(gate.clone())));
    std::thread::scope(|scope| {
        let (end, ended) = tokio::sync::oneshot::channel();
        let first = scope.spawn(|| {
            let first = publish(&source, registry, "1.0.4", "nightly", &[]);
            let _ = end.send(());
            first
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            tokio::select! {
                () = gate.arrived(1) => {}
                _ = ended => panic!("the first publisher never came to {method} of the channel"),
            }
        });
        let second = publish(&source, registry, "1.0.5", "nightly", &[]);
        let moved = registry.tags(RELEASES)["nightly"].clone();
        gate.release();
        let first = first.join().expect("the first publisher");
        second.ends(0);
        (first, moved)
    })
}

#[test]
fn a_publisher_that_is_overtaken_before_its_last_read_does_not_move_the_channel() {
    let registry = Registry::start();
    let (first, moved) = overtaken(&registry, "HEAD");
    first.ends(3).says(&["another publisher moved the tag meanwhile, to 1.0.5 by tester@bench on 20", &moved]);
    assert_eq!(registry.tags(RELEASES)["nightly"], moved);
    assert_eq!(served(&registry, "nightly")["version"], "1.0.5");
    assert!(registry.tags(RELEASES).contains_key("1.0.4"), "the version itself is published");
}

/// A registry has no compare-and-swap. A move between the last read and the write is lost from the channel, but not
/// from the registry, and the program reports it.
#[test]
fn a_move_that_is_overwritten_in_the_last_round_trip_is_reported_and_keeps_its_tag() {
    let registry = Registry::start();
    let (first, moved) = overtaken(&registry, "PUT");
    let kept = format!("nightly-3-{}", &moved[7..15]);
    first.ends(3).says(&[
        "another publisher moves nightly at the same time",
        &kept,
        "by tester@bench on 20",
        "the other move was overwritten",
    ]);
    assert_eq!(served(&registry, "nightly")["version"], "1.0.4");
    assert_eq!(registry.tags(RELEASES)[&kept], moved);
}

/// Two publications of one version with different content both found the version free. The first one keeps the version.
#[test]
fn a_version_that_another_publisher_published_meanwhile_is_not_overwritten() {
    let registry = Registry::start();
    let source = Source::new();
    let gate = Gate::default();
    // The plan exists, but nothing has been written yet.
    registry.fail(Fault::first("POST", "", Action::Hold(gate.clone())));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| publish(&source, &registry, "1.0.3", "nightly", &["--jobs", "1"]));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(gate.arrived(1));
        let other = Source::new();
        other.append("ee/helm/temporal/values.yaml", "another: 1\n");
        let second = publish(&other, &registry, "1.0.3", "nightly", &[]);
        let before = state(&registry);
        gate.release();
        let first = first.join().expect("the first publisher");
        second.ends(0);
        first.ends(3);
        assert_eq!(state(&registry)["org/charts/temporal"], before["org/charts/temporal"]);
        assert_eq!(state(&registry)[RELEASES], before[RELEASES]);
    });
}

/// Returns the digests of the tags of every layout, after a check that each layout is whole.
fn whole_layouts(store: &Path) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    let files = if store.exists() { files_below(store) } else { BTreeMap::new() };
    for (index, bytes) in files.iter().filter(|(path, _)| path.ends_with("index.json")) {
        let directory = index.trim_end_matches("/index.json");
        let blob = |descriptor: &Value| {
            let path =
                format!("{directory}/blobs/{}", descriptor["digest"].as_str().expect("a digest").replace(':', "/"));
            let bytes = files.get(&path).unwrap_or_else(|| panic!("{path} is missing"));
            assert_eq!(Digest::of(bytes).as_str(), descriptor["digest"], "{path}");
            bytes.clone()
        };
        let index: Value = serde_json::from_slice(bytes).unwrap_or_else(|cause| panic!("{index}: {cause}"));
        for entry in index["manifests"].as_array().expect("manifests") {
            let manifest: Value = serde_json::from_slice(&blob(entry)).expect("JSON");
            manifest["layers"]
                .as_array()
                .expect("layers")
                .iter()
                .chain([&manifest["config"]])
                .for_each(|one| drop(blob(one)));
            let name = entry["annotations"]["org.opencontainers.image.ref.name"].as_str().expect("a tag");
            tags.insert(format!("{directory}:{name}"), entry["digest"].as_str().expect("a digest").to_owned());
        }
    }
    tags
}

fn versions_of(store: &Path) -> BTreeMap<String, String> {
    let mut tags = whole_layouts(store);
    tags.retain(|name, _| !name.contains(":nightly"));
    tags
}

fn into_layout(source: &Source, version: &str) -> Command {
    let layout = source.layout();
    source.publishing(&["--version", version, "--channel", "nightly", "--store", &layout])
}

/// Limits the size of files to this number of 512-byte blocks, so that writes fail as on a full disk.
fn with_room(blocks: u32, command: &Command) -> Command {
    after(&format!("trap '' XFSZ; ulimit -f {blocks}"), command)
}

/// Checks that there are only the layout's own files, without temporary files.
fn assert_no_leftovers(store: &Path) {
    for path in files_below(store).keys() {
        let name = path.rsplit('/').next().unwrap_or_default();
        let is_blob = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_blob || ["oci-layout", "index.json"].contains(&name), "{path}");
    }
}

#[test]
fn a_full_disk_leaves_no_tag_and_another_run_with_space_finishes() {
    let undisturbed = Source::new();
    run(&mut into_layout(&undisturbed, "1.0.3")).ends(0);
    let expected = versions_of(&undisturbed.store());
    assert_eq!(expected.len(), 7, "five charts, the bundle and the release: {expected:?}");
    // From no space at all to enough space for all but the largest file.
    for blocks in [0, 1, 2, 4, 8] {
        let source = Source::new();
        let full = run(&mut with_room(blocks, &into_layout(&source, "1.0.3"))).ends(1);
        full.says(&["oci-layout:", "File too large", "space"]);
        assert_no_leftovers(&source.store());
        assert_eq!(whole_layouts(&source.store()), BTreeMap::new(), "{blocks}: no tag before all content exists");
        run(&mut into_layout(&source, "1.0.3")).ends(0);
        assert_eq!(versions_of(&source.store()), expected, "{blocks}");
    }
}

/// A channel keeps its release when there is no space for the next one.
#[test]
fn a_full_disk_leaves_the_channel_at_the_old_release() {
    let source = Source::new();
    with_images(&source, &["1.0.4"]);
    run(&mut into_layout(&source, "1.0.3")).ends(0);
    let before = whole_layouts(&source.store())["alga-appliance-release:nightly"].clone();
    for blocks in [0, 1, 2, 4] {
        run(&mut with_room(blocks, &into_layout(&source, "1.0.4"))).ends(1);
        assert_eq!(whole_layouts(&source.store())["alga-appliance-release:nightly"], before, "{blocks}");
    }
    run(&mut into_layout(&source, "1.0.4")).ends(0);
    assert_ne!(whole_layouts(&source.store())["alga-appliance-release:nightly"], before);
}

/// Runs the command without the right to ignore permissions. Root has this right until it drops it.
fn under_permissions(command: Command) -> Option<Command> {
    if fs::metadata("/proc/self").expect("/proc").uid() != 0 {
        return Some(command);
    }
    let setpriv = require("setpriv")?;
    Some(after(&format!("set -- {} --bounding-set=-dac_override,-dac_read_search \"$@\"", setpriv.display()), &command))
}

fn directories_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![directory.to_owned()];
    let mut next = 0;
    while let Some(directory) = found.get(next).cloned() {
        let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
        found.extend(entries.filter(|path| path.is_dir()));
        next += 1;
    }
    found
}

fn allow_writing(store: &Path, allow: bool) {
    for directory in directories_below(store) {
        fs::set_permissions(directory, fs::Permissions::from_mode(if allow { 0o755 } else { 0o555 })).expect("a mode");
    }
}

#[test]
fn a_read_only_store_can_be_read_and_is_not_changed() {
    let source = Source::new();
    with_images(&source, &["1.0.4"]);
    fs::create_dir(source.store()).expect("a directory");
    allow_writing(&source.store(), false);
    let Some(mut first) = under_permissions(into_layout(&source, "1.0.3")) else { return };
    run(&mut first).ends(1).says(&["oci-layout:", "Permission denied", "permissions"]);
    assert!(files_below(&source.store()).is_empty());
    allow_writing(&source.store(), true);
    run(&mut first).ends(0);
    let before = files_below(&source.store());
    allow_writing(&source.store(), false);
    let again = run(&mut first).ends(0);
    assert!(again.stdout.starts_with("nothing to do"), "{}", again.stdout);
    let mut next = under_permissions(into_layout(&source, "1.0.4")).expect("as before");
    run(&mut next).ends(1).says(&["Permission denied"]);
    assert!(files_below(&source.store()) == before);
    allow_writing(&source.store(), true);
    run(&mut next).ends(0);
}

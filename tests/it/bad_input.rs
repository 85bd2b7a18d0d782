//! Invalid trees, arguments and stores give a clear message and an exit code, and nothing is written.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::support::programs::{Run, Source, run};

const CHART: &str = "helm/Chart.yaml";
const VALUES: &str = "helm/values.yaml";
const OVERLAY: &str = "ee/appliance/flux/base/releases/alga-core.yaml";

fn publish(source: &Source, more: &[&str]) -> Run {
    let layout = source.layout();
    source.publish(&[&["--version", "1.0.3", "--channel", "nightly", "--store", &layout], more].concat())
}

/// Asserts that a publication is refused with these words and an exit code for refusals, and that nothing is written.
#[track_caller]
fn refused(source: &Source, more: &[&str], words: &[&str]) {
    let run = publish(source, more);
    assert!(matches!(run.code, Some(1 | 3 | 9)), "{words:?}: {run:?}");
    assert!(!run.stderr.contains("panicked"), "{run:?}");
    assert!(!source.store().exists(), "{words:?}: {run:?}");
    run.says(words);
}

#[test]
fn an_invalid_file_is_named() {
    let cases = [
        (CHART, "apiVersion: v2\nname: [", CHART),
        (CHART, "apiVersion: v2\nname: sebastian\nversion: one\n", "one"),
        (CHART, "apiVersion: v2\nname: sebastian\nversion: 1.10\n", CHART),
        (VALUES, "- a\n- list\n", VALUES),
        (OVERLAY, "a: [\n", OVERLAY),
        ("ee/appliance/releases/1.0.3/release.json", "{", "release.json"),
        ("alga-release.yaml", "chanels: [a]\n", "alga-release.yaml:1"),
    ];
    for (file, text, word) in cases {
        let source = Source::new();
        source.write(file, text);
        refused(&source, &[], &[word]);
    }
}

#[test]
fn a_release_that_the_cluster_or_the_resolver_would_refuse_is_refused() {
    let source = Source::new();
    let chart = std::fs::read_to_string(source.path("ee/helm/temporal/Chart.yaml")).expect("a chart");
    source.write("ee/helm/temporal/Chart.yaml", &chart.replace("name: temporal", "name: temporal_one"));
    refused(&source, &[], &["ee/helm/temporal", "invalid chart name `temporal_one`"]);

    let source = Source::new();
    let values = "ee/appliance/flux/profiles/single-node/values/huge.single-node.yaml";
    source.write(values, &format!("text: {}\n", "x".repeat(5 << 20)));
    refused(&source, &[], &["resolvers read at most"]);

    for (key, word) in [("extraImages: [\"redis:7\"]", "sha256"), ("channels: [NAME]", "longer than 64")] {
        let source = Source::new();
        source.write("alga-release.yaml", &(key.replace("NAME", &"n".repeat(65)) + "\n"));
        refused(&source, &[], &["alga-release.yaml", word]);
    }
}

#[test]
fn missing_files_and_values_are_named() {
    let source = Source::new();
    std::fs::remove_file(source.path(CHART)).expect("removed");
    refused(&source, &[], &["helm"]);
    let source = Source::new();
    std::fs::remove_dir_all(source.path("ee/appliance/flux")).expect("removed");
    refused(&source, &[], &["ee/appliance/flux"]);
    let source = Source::new();
    std::fs::remove_dir_all(source.path("")).expect("removed");
    refused(&source, &[], &["tree"]);
}

#[test]
fn a_chart_path_out_of_the_tree_is_refused() {
    for path in ["./no/such", "../../x", "/etc"] {
        let source = Source::new();
        let text = std::fs::read_to_string(source.path(OVERLAY)).expect("text");
        source.write(OVERLAY, &text.replace("chart: ./helm", &format!("chart: {path}")));
        refused(&source, &[], &[OVERLAY, path.trim_start_matches("./")]);
    }
}

#[test]
fn invalid_arguments_are_refused() {
    refused(&Source::new(), &["--image", "algaCore=a b"], &["algaCore"]);
    refused(&Source::new(), &["--source-url", "file:///x y"], &["URL"]);
    let source = Source::new();
    let layout = source.layout();
    source.publish(&["--version", "1", "--channel", "beta", "--store", &layout]).ends(9).says(&["beta", "nightly"]);
}

fn alias_bomb() -> String {
    let level = |n: usize| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(","));
    (1..12).fold("a0: &a0 x\n".to_owned(), |text, n| text + &level(n))
}

#[test]
fn yaml_bombs_are_refused() {
    for text in [alias_bomb(), format!("a: {}{}", "[".repeat(100_000), "]".repeat(100_000))] {
        for file in [CHART, VALUES, OVERLAY, "alga-release.yaml"] {
            let source = Source::new();
            source.write(file, &text);
            refused(&source, &[], &[file]);
        }
    }
}

#[test]
fn a_huge_file_is_refused_without_reading_it() {
    let source = Source::new();
    std::fs::File::create(source.path(VALUES)).and_then(|file| file.set_len(200 << 20)).expect("sparse");
    refused(&source, &[], &[VALUES]);
}

#[test]
fn links_out_of_the_tree_are_not_followed() {
    for file in ["helm/files/secret.txt", "ee/appliance/flux/base/secret.yaml"] {
        let source = Source::new();
        symlink("/etc/passwd", source.path(file)).expect("a link");
        refused(&source, &[], &[file]);
    }
}

#[test]
fn a_directory_in_place_of_a_file_is_named() {
    {
        let file = CHART;
        let source = Source::new();
        std::fs::remove_file(source.path(file)).expect("removed");
        std::fs::create_dir(source.path(file)).expect("a directory");
        refused(&source, &[], &["helm"]);
    }
}

#[test]
fn a_file_in_place_of_the_store_is_not_changed() {
    let source = Source::new();
    std::fs::write(source.store(), "mine").expect("written");
    publish(&source, &[]).ends(9).says(&["store", "expected a directory, found a file"]);
    assert_eq!(std::fs::read(source.store()).expect("a file"), b"mine");
}

#[test]
fn two_charts_of_one_name_are_reported_with_their_directories() {
    let source = Source::new();
    let file = "ee/helm/temporal-worker/Chart.yaml";
    let text = std::fs::read_to_string(source.path(file)).expect("a chart");
    source.write(file, &text.replacen("name: temporal-worker", "name: workflow-worker", 1));
    refused(&source, &[], &["workflow-worker", "two charts"]);
}

#[test]
fn a_corrupted_blob_in_a_layout_is_named() {
    let source = Source::new();
    publish(&source, &[]).ends(0);
    let blobs = source.store().join("charts/sebastian/blobs/sha256");
    let largest = std::fs::read_dir(blobs).expect("blobs").map(|entry| entry.expect("a blob").path());
    let largest = largest.max_by_key(|path| path.metadata().expect("a size").len()).expect("a blob");
    let mut bytes = std::fs::read(&largest).expect("a blob");
    bytes[99] ^= 1;
    std::fs::write(&largest, bytes).expect("written");
    let name = largest.file_name().expect("a name").to_string_lossy().into_owned();
    publish(&source, &[]).ends(1).says(&[&name, "corrupted"]);
}

#[test]
fn a_directory_with_other_files_is_not_changed() {
    let source = Source::new();
    std::fs::create_dir_all(source.store()).expect("a directory");
    std::fs::write(source.store().join("letter.txt"), "mine").expect("written");
    let run = publish(&source, &[]).says(&["holds files that are not OCI layouts"]);
    assert!(matches!(run.code, Some(1 | 3 | 9)), "{run:?}");
    assert_eq!(std::fs::read_dir(source.store()).expect("a directory").count(), 1);
    std::fs::write(source.store().join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").expect("written");
    publish(&source, &[]).says(&["is itself an OCI layout"]);
    assert_eq!(std::fs::read_dir(source.store()).expect("a directory").count(), 2);
}

#[test]
fn a_missing_file_is_reported_at_the_line_that_lists_it() {
    for replaced in [false, true] {
        let source = Source::new();
        std::fs::remove_file(source.path(OVERLAY)).expect("removed");
        if replaced {
            std::fs::create_dir(source.path(OVERLAY)).expect("a directory");
        }
        refused(&source, &[], &["ee/appliance/flux/base/core/kustomization.yaml:", "releases/alga-core.yaml"]);
    }
}

fn make_pipe(path: &Path) {
    run(Command::new("mkfifo").arg(path)).ends(0);
}

fn make_socket(path: &Path) {
    // The socket's file remains after the listener is closed.
    drop(UnixListener::bind(path).expect("a socket"));
}

/// Opening a pipe blocks until another process writes to the pipe, so the kind of a file must be checked first.
#[test]
fn a_pipe_or_socket_in_place_of_a_file_is_refused_without_waiting() {
    for file in [
        CHART,
        VALUES,
        "helm/files/odd",
        "helm/.helmignore",
        "helm/charts/odd.tgz",
        OVERLAY,
        "ee/appliance/flux/base/odd.yaml",
        "ee/appliance/flux/.sourceignore",
        "ee/appliance/flux/profiles/single-node/values/alga-core.single-node.yaml",
        "ee/appliance/releases/1.0.3/release.json",
        "alga-release.yaml",
    ] {
        for make in [make_pipe, make_socket] {
            let source = Source::new();
            let _ = std::fs::remove_file(source.path(file));
            make(&source.path(file));
            let layout = source.layout();
            let publish = source.publishing(&["--version", "1.0.3", "--channel", "nightly", "--store", &layout]);
            // The time limit ends a program that waits. A program that does not wait is far faster.
            let mut bounded = Command::new("timeout");
            bounded.arg("60").arg(publish.get_program()).args(publish.get_args()).env_clear();
            let run = run(&mut bounded);
            assert!(matches!(run.code, Some(1 | 3 | 9)), "{file}: {run:?}");
            assert!(!source.store().exists(), "{file}: {run:?}");
            run.says(&[file]);
        }
    }
}

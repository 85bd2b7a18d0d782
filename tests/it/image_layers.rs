//! Pushing an image of many layers: killed at any point and run again, its memory, and its progress on a terminal.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use alga_release::oci::Digest;

use crate::image_push::{Archive, PLANE, blobs, manifest_of, push, pushing};
use crate::support::images::{BARE, GZIP, Image, gzip, tar};
use crate::support::registry::{Action, Fault, Gate, Registry};
use crate::support::require;

/// Number of layers of a large image.
const LAYERS: usize = 20;

/// Starts a command and discards its output.
fn start(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started")
}

/// Returns the number of completed uploads.
fn uploads(registry: &Registry) -> usize {
    registry.log().into_iter().filter(|got| got.method == "PUT" && got.path.contains("/uploads/")).count()
}

#[tokio::test]
async fn a_push_killed_at_any_request_leaves_no_tag_on_a_part_of_an_image_and_the_next_run_sends_the_rest() {
    let image = Image::new("amd64", &[3 << 20; 5]);
    let (manifest, contents) = image.oci(GZIP);
    let archive = Archive::new(&tar(&image.layout(GZIP)));
    let whole = Registry::start();
    push(&whole, &archive.path(), &["--jobs", "2"]).ends(0);
    let count = whole.log().len();
    // Two reads of the tag; for each of five layers: look-up, start, end; for the config: start, end; the manifest's write and
    // read-back.
    assert_eq!(count, 2 + 5 * 3 + 2 + 2, "{:?}", whole.lines());
    for after in 0..count {
        let (registry, gate) = (Registry::start(), Gate::default());
        registry.fail(Fault::after(after, Action::Hold(gate.clone())));
        let mut child = start(pushing(&registry, &archive.path(), &["--jobs", "2"]));
        gate.arrived(1).await;
        child.kill().expect("killed");
        child.wait().expect("ended");
        gate.release();
        registry.heal();
        if let Some(tagged) = registry.tags(PLANE).get("1.0") {
            assert_eq!(tagged, Digest::of(&manifest).as_str());
        }
        let there: Vec<bool> =
            contents.iter().map(|blob| registry.blob(PLANE, Digest::of(blob).as_str()).is_some()).collect();
        registry.clear_log();
        push(&registry, &archive.path(), &[]).ends(0);
        assert!(blobs(&registry, &manifest_of(&registry, "1.0")) == contents, "{after}");
        let missing = there.iter().filter(|there| !**there).count();
        assert!(uploads(&registry) <= missing, "after {after}: {there:?} {:?}", registry.lines());
    }
}

#[tokio::test]
async fn a_push_killed_at_the_end_of_any_of_many_layers_is_finished_by_the_next_run() {
    let image = Image::new("amd64", &[3 << 20; LAYERS]);
    let (manifest, contents) = image.oci(GZIP);
    let archive = Archive::new(&tar(&image.layout(GZIP)));
    let whole = Registry::start();
    push(&whole, &archive.path(), &[]).ends(0);
    let count = whole.log().len();
    assert_eq!(count, 2 + LAYERS * 3 + 2 + 2, "each layer takes as few requests as one of five: {:?}", whole.lines());
    for blob in 0..=LAYERS {
        let (registry, gate) = (Registry::start(), Gate::default());
        registry.fail(Fault { skip: blob, ..Fault::first("PUT", "/blobs/uploads/", Action::Hold(gate.clone())) });
        let mut child = start(pushing(&registry, &archive.path(), &[]));
        gate.arrived(1).await;
        child.kill().expect("killed");
        child.wait().expect("ended");
        gate.release();
        registry.heal();
        assert!(registry.tags(PLANE).is_empty(), "{blob}");
        let there = |blob: &&Vec<u8>| registry.blob(PLANE, Digest::of(blob).as_str()).is_some();
        let missing = contents.iter().filter(|blob| !there(blob)).count();
        registry.clear_log();
        push(&registry, &archive.path(), &[]).ends(0);
        assert!(uploads(&registry) <= missing, "{blob}: {missing} {:?}", registry.lines());
        assert!(registry.log().len() <= count, "{blob}: {:?}", registry.lines());
        assert_eq!(registry.tags(PLANE)["1.0"], Digest::of(&manifest).as_str());
        assert!(blobs(&registry, &manifest_of(&registry, "1.0")) == contents, "{blob}");
    }
}

#[tokio::test]
async fn memory_does_not_grow_with_the_image() {
    let image = Image::new("amd64", &[4 << 20; LAYERS]);
    for files in [image.layout(BARE), image.layout(GZIP), image.docker_save()] {
        let (registry, archive, gate) = (Registry::start(), Archive::new(&tar(&files)), Gate::default());
        registry.fail(Fault::first("PUT", "/manifests/", Action::Hold(gate.clone())));
        let mut child = start(pushing(&registry, &archive.path(), &["--tag", "x"]));
        gate.arrived(1).await;
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("a process");
        gate.release();
        assert!(child.wait().expect("ends").success());
        let peak = crate::support::peak_memory(&status);
        assert!(peak < 32, "{peak} MiB");
    }
}

#[tokio::test]
async fn a_terminal_shows_the_progress_of_each_layer_and_of_all() {
    let Some(script) = require("script") else { return };
    let image = Image::new("amd64", &[3 << 20; 2]);
    let (registry, archive, gate) = (Registry::start(), Archive::new(&tar(&image.layout(GZIP))), Gate::default());
    registry.fail(Fault::every("PUT", "/blobs/uploads/", Action::Hold(gate.clone())));
    let pushing = pushing(&registry, &archive.path(), &["--jobs", "4"]);
    let words = std::iter::once(pushing.get_program()).chain(pushing.get_args());
    let line: Vec<String> = words.map(|word| format!("'{}'", word.display())).collect();
    let mut terminal = Command::new(script);
    terminal.args(["-qec", &line.join(" "), "/dev/null"]).env_clear();
    terminal.env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh").env("TERM", "xterm").env("COLUMNS", "200");
    let mut child = terminal.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("started");
    let mut screen = child.stdout.take().expect("a pipe");
    let layers: Vec<String> = image.oci(GZIP).1[1..].iter().map(|layer| Digest::of(layer).short().to_owned()).collect();
    let seen = tokio::task::spawn_blocking(move || {
        let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
        // The registry delays both uploads, so both are shown before they end.
        while !layers
            .iter()
            .all(|layer| String::from_utf8_lossy(&seen).contains(&format!("alga-appliance-control-plane {layer}")))
        {
            let count = screen.read(&mut buffer).expect("readable");
            assert_ne!(count, 0, "{}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..count]);
        }
        gate.release();
        screen.read_to_end(&mut seen).expect("readable");
        String::from_utf8_lossy(&seen).into_owned()
    });
    let seen = seen.await.expect("seen");
    assert!(child.wait().expect("ended").success(), "{seen}");
    assert!(seen.contains("MiB/s"), "{seen}");
}

#[tokio::test]
async fn a_push_killed_while_it_uploads_leaves_no_temporary_file() {
    let image = Image::new("amd64", &[3 << 20; 2]);
    for archive in [tar(&image.docker_save()), gzip(&tar(&image.layout(GZIP)))] {
        let (registry, archive, gate) = (Registry::start(), Archive::new(&archive), Gate::default());
        let scratch = tempfile::tempdir().expect("a directory");
        registry.fail(Fault::first("POST", "/blobs/uploads/", Action::Hold(gate.clone())));
        let mut command = pushing(&registry, &archive.path(), &["--tag", "x"]);
        command.env("TMPDIR", scratch.path());
        let mut child = start(command);
        gate.arrived(1).await;
        let open = std::fs::read_dir(format!("/proc/{}/fd", child.id())).expect("a process");
        let open = open.filter_map(|file| std::fs::read_link(file.expect("a file").path()).ok());
        assert!(open.into_iter().any(|file| file.starts_with(scratch.path())), "the layer is in a temporary file");
        child.kill().expect("killed");
        child.wait().expect("ended");
        gate.release();
        assert_eq!(scratch.path().read_dir().expect("a directory").count(), 0);
    }
}

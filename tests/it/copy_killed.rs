//! A copy that is killed at any point, or whose stores fail or send wrong bytes, leaves no tag that names incomplete
//! content. The same command again ends in the same state as an undisturbed copy.

mod files;
mod wrong_bytes;

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::killed::walk::{Holds, Served, served, versions};
use crate::killed::{ends_as, for_each, kill_at, say};
use crate::support::images::{GZIP, Image, MANIFEST, describe, tar};
use crate::support::planted::plant;
use crate::support::programs::{Run, release, run};
use crate::support::published::{digest_of, store};
use crate::support::registry::{Action, Fault, Registry, Setup};

const VERSION: &str = "1.0.4";
const PLANE: &str = "alga-appliance-control-plane";
const CHART: &str = "charts/chart-1";
const RELEASES: &str = "alga-appliance-release";
/// The prefix of every copy in these tests, so that rewritten content is the same in every store.
const RENAMED: [&str; 3] = ["--rewrite-prefix=mirror.example.com/org", "--channel", "nightly"];

/// A release with two charts, a bundle and a control plane. A tag names the signature of a chart, and a referrer signs
/// the control plane.
fn origin() -> Registry {
    let (directory, registry) = (tempfile::tempdir().expect("a temporary directory"), Registry::start());
    let (tree, archive) = (directory.path().join("tree"), directory.path().join("image.tar"));
    plant(&tree, ["chart-1", "chart-2"]);
    std::fs::write(&archive, tar(&Image::new("amd64", &[3 << 20, 5000]).layout(GZIP))).expect("written");
    let mut publish = release();
    publish.arg("publish").arg(&tree).args([
        "--version",
        VERSION,
        "--channel",
        "nightly",
        "--store",
        &store(&registry),
    ]);
    publish.args(["--source-commit", &"a".repeat(40), "--epoch", "1700000000", "--prefix", "registry.example.com/org"]);
    publish.arg("--control-plane-archive").arg(&archive).args(["--image-check", "off", "--retry-for", "0"]);
    run(&mut publish).ends(0);
    let chart = registry.tags(&format!("org/{CHART}"))["1.0.0"].clone();
    sign(&registry, CHART, Some(&format!("{}.sig", chart.replace(':', "-"))), None);
    let plane = registry.tags(&format!("org/{PLANE}"))[VERSION].clone();
    sign(&registry, PLANE, None, Some(&plane));
    registry
}

/// Pushes a manifest with its own layer, as a signature of another manifest.
fn sign(registry: &Registry, repository: &str, tag: Option<&str>, subject: Option<&str>) {
    let name = format!("org/{repository}");
    let mut manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST });
    let layer = format!("signature of {repository}").into_bytes();
    manifest["config"] = describe("application/vnd.oci.empty.v1+json", b"{}");
    manifest["layers"] = json!([describe("application/vnd.example.signature.v1", &layer)]);
    if let Some(subject) = subject {
        let (media_type, bytes) = registry.manifest(&name, subject).expect("a subject");
        manifest["artifactType"] = "application/vnd.example.signature.v1".into();
        manifest["subject"] = describe(&media_type, &bytes);
    }
    let bytes = manifest.to_string().into_bytes();
    for blob in [&b"{}"[..], &layer] {
        registry.put_blob(&name, &digest_of(blob), blob);
    }
    registry.put_manifest(&name, tag, &digest_of(&bytes), MANIFEST, &bytes);
}

/// Returns the command `alga-release copy nightly TARGET`.
fn copying(from: &Registry, to: &str, more: &[&str]) -> Command {
    let mut command = release();
    command.args(["copy", "nightly", to, "--store", &store(from)]).args(more);
    // Retries within a run would hide what the test examines: another run.
    if !more.contains(&"--retry-for") {
        command.args(["--retry-for", "0"]);
    }
    command.stdin(Stdio::null());
    command
}

fn copy(from: &Registry, to: &str, more: &[&str]) -> Run {
    run(&mut copying(from, to, more))
}

/// Returns a manifest after a check of everything that it names, including the blobs.
#[track_caller]
fn whole(held: &(impl Holds + ?Sized), repository: &str, digest: &str, what: &str) {
    let bytes = held.bytes(repository, digest).unwrap_or_else(|| panic!("{what}: {repository}@{digest} is missing"));
    assert_eq!(digest_of(&bytes), digest, "{what}: {repository}");
    let manifest: Value = serde_json::from_slice(&bytes).expect("a manifest");
    let list = |key: &str| manifest[key].as_array().cloned().unwrap_or_default();
    for named in list("manifests") {
        whole(held, repository, named["digest"].as_str().expect("a digest"), what);
    }
    for blob in list("layers").into_iter().chain(manifest.get("config").cloned()) {
        let digest = blob["digest"].as_str().expect("a digest");
        let bytes =
            held.bytes(repository, digest).unwrap_or_else(|| panic!("{what}: {repository}@{digest} is missing"));
        assert_eq!(digest_of(&bytes), digest, "{what}: {repository}");
    }
}

/// A release and the result of an undisturbed copy.
struct Case<'a, T: Holds + ?Sized> {
    undisturbed: &'a T,
    after: Served,
    /// Digest of the manifest that refers to the control plane.
    referrer: String,
}

impl<'a, T: Holds + ?Sized> Case<'a, T> {
    fn new(origin: &Registry, undisturbed: &'a T) -> Self {
        let after = served(undisturbed, "nightly");
        assert_eq!(after.version, VERSION);
        let plane = Holds::tags(undisturbed, PLANE)[VERSION].clone();
        let subject = describe(MANIFEST, &undisturbed.bytes(PLANE, &plane).expect("a manifest"));
        let referrers: Vec<_> = origin.log().into_iter().map(|received| received.path).collect();
        assert!(referrers.iter().any(|path| path.contains("/referrers/")), "{referrers:?}");
        let layer = b"signature of alga-appliance-control-plane";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.example.signature.v1",
            "config": describe("application/vnd.oci.empty.v1+json", b"{}"),
            "layers": [describe("application/vnd.example.signature.v1", layer)], "subject": subject,
        });
        let case = Self { undisturbed, after, referrer: digest_of(manifest.to_string().as_bytes()) };
        case.is_done(undisturbed, "undisturbed");
        case
    }

    /// No tag names incomplete content. The release has a tag only after everything that it names, and the channel only
    /// after the release.
    #[track_caller]
    fn is_whole(&self, held: &T, what: &str) {
        for repository in held.repositories() {
            for digest in held.tags(&repository).values() {
                whole(held, &repository, digest, what);
            }
        }
        let tags = held.tags(RELEASES);
        if tags.contains_key(VERSION) {
            assert_eq!(versions(held, "nightly"), versions(self.undisturbed, "nightly"), "{what}");
            whole(held, PLANE, &self.referrer, what);
        }
        if tags.contains_key("nightly") {
            let now = served(held, "nightly");
            assert_eq!((&now.version, &now.release), (&self.after.version, &self.after.release), "{what}");
        }
    }

    /// Everything exists, and the channel moved once.
    #[track_caller]
    fn is_done(&self, held: &T, what: &str) {
        self.is_whole(held, what);
        ends_as(held, self.undisturbed, None, &self.after, what);
    }
}

#[test]
fn a_copy_killed_at_any_write_to_a_registry_leaves_no_partial_release_and_another_run_finishes() {
    let (origin, undisturbed) = (origin(), Registry::start());
    copy(&origin, &store(&undisturbed), &RENAMED).ends(0);
    let case = Case::new(&origin, &undisturbed);
    let count = |method: &str| undisturbed.log().iter().filter(|received| received.method == method).count();
    let writes: Vec<_> =
        ["POST", "PUT"].into_iter().flat_map(|method| (0..count(method)).map(move |skip| (method, skip))).collect();
    for_each(2 * writes.len(), |number| {
        let ((method, skip), after) = (writes[number / 2], number % 2 == 1);
        let what = format!("killed {} {method} {skip}", if after { "after" } else { "before" });
        let target = Registry::start();
        let command = copying(&origin, &store(&target), &RENAMED);
        kill_at(command, &target, after, |action| Fault { skip, ..Fault::first(method, "", action) });
        case.is_whole(&target, &what);
        copy(&origin, &store(&target), &[&RENAMED[..], &["--reason", "again"]].concat()).ends(0);
        case.is_done(&target, &what);
    });
    say(&format!("killed {} times, before and after each of {} writes of a copy", 2 * writes.len(), writes.len()));
}

/// Failures of one answer.
fn faults() -> [(&'static str, Action); 3] {
    [("500", Action::status(500, "")), ("reset", Action::Reset(0)), ("truncated", Action::Truncate(1))]
}

#[test]
fn a_failed_request_of_either_registry_is_reported_and_another_run_finishes() {
    let (origin, undisturbed) = (origin(), Registry::start());
    origin.clear_log();
    copy(&origin, &store(&undisturbed), &RENAMED).ends(0);
    let (reads, writes) = (origin.log().len(), undisturbed.log().len());
    let (case, faults) = (Case::new(&origin, &undisturbed), faults());
    for_each((reads + writes) * faults.len(), |number| {
        let (index, (name, action)) = (number / faults.len(), &faults[number % faults.len()]);
        let (from, target) = (Registry::copy_of(&origin, Setup::default()), Registry::start());
        let (side, index, failing) =
            if index < reads { ("source", index, &from) } else { ("target", index - reads, &target) };
        let what = format!("{name} at request {index} of the {side}");
        failing.fail(Fault::after(index, action.clone()));
        let run = copy(&from, &store(&target), &RENAMED);
        assert!(matches!(run.code, Some(0 | 75)), "{what}: {run:?}");
        assert!(!run.stderr.contains("panicked"), "{what}: {run:?}");
        let said = ["alga-appliance-", "charts/"].iter().any(|name| run.stderr.contains(name));
        assert!(run.code == Some(0) || said, "{what}: {run:?}");
        if run.code != Some(0) {
            case.is_whole(&target, &what);
            let reason = ["--reason", "again"];
            copy(&from, &store(&target), &[&RENAMED[..], &reason].concat()).ends(0);
        }
        case.is_done(&target, &what);
    });
    say(&format!("{} faults at each of {reads} requests of the source and {writes} of the target", faults.len()));
}

#[test]
fn a_copy_retries_transient_failures_at_any_request_of_either_registry() {
    let (origin, undisturbed) = (origin(), Registry::start());
    origin.clear_log();
    copy(&origin, &store(&undisturbed), &RENAMED).ends(0);
    let (reads, writes) = (origin.log().len(), undisturbed.log().len());
    let (case, faults) = (Case::new(&origin, &undisturbed), faults());
    for_each(reads.max(writes), |index| {
        let (from, target) = (Registry::copy_of(&origin, Setup::default()), Registry::start());
        // Consecutive requests meet different failures, and each kind of failure meets every stage.
        for (registry, at) in [(&from, index), (&target, index + 1)] {
            let (_, action) = &faults[at % faults.len()];
            registry.fail(Fault::after(index, action.clone()));
        }
        copy(&from, &store(&target), &[&RENAMED[..], &["--retry-for", "5m"]].concat()).ends(0);
        case.is_done(&target, &format!("request {index}"));
    });
}

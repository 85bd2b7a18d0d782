//! The boot script in the documentation, run by a shell. Two scripts play the cluster.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::images::Image;
use crate::support::programs::{Run, Source, run};
use crate::support::published::{publish, store, with_images};
use crate::support::registry::{Action, Fault, Registry};
use crate::support::release_with_images::put;
use crate::support::root;

const BAKED: &str = "localhost/alga-appliance-control-plane:baked";

/// A `kubectl` that records its arguments and answers from files.
const KUBECTL: &str = r#"#!/bin/sh
printf 'kubectl %s\n' "$*" >>"$FAKE/log"
case "$*" in
apply*) for file; do :; done; cp "$file" "$FAKE/applied"; exit "$(cat "$FAKE/apply")" ;;
*"get deployment"*.image*) cat "$FAKE/running" ;;
*"get deployment"*.name*) printf control ;;
*"get kustomizations"*) [ "$(cat "$FAKE/list")" = 0 ] || exit 1
	printf 'kustomization/%s\n' alga-appliance alga-core other ;;
*kustomization/other*sourceRef*) printf 'GitRepository/other' ;;
*sourceRef*) printf 'OCIRepository/alga-appliance' ;;
wait*) exit "$(cat "$FAKE/wait")" ;;
"get configmap"*" -l "*) cat "$FAKE/maps" ;;
"get configmap"*) if [ -e "$FAKE/applied" ]; then cat "$FAKE/after"; else cat "$FAKE/before"; fi ;;
"rollout status"*) exit "$(cat "$FAKE/rollout")" ;;
esac
"#;

const K3S: &str = r#"#!/bin/sh
printf 'k3s %s\n' "$*" >>"$FAKE/log"
case "$*" in
*"images ls"*) cat "$FAKE/images" ;;
*"images pull"*) exit "$(cat "$FAKE/pull")" ;;
esac
"#;

struct Machine {
    source: Source,
    registry: Registry,
    directory: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let new =
            Self { source: Source::new(), registry: Registry::start(), directory: tempfile::tempdir().expect("one") };
        for (name, text) in [("kubectl", KUBECTL), ("k3s", K3S)] {
            new.answers(name, text);
            fs::set_permissions(new.path(name), fs::Permissions::from_mode(0o755)).expect("executable");
        }
        for name in ["apply", "wait", "rollout", "pull", "list"] {
            new.answers(name, "0");
        }
        for (name, text) in
            [("running", BAKED), ("images", BAKED), ("maps", ""), ("before", ""), ("after", "7"), ("log", "")]
        {
            new.answers(name, text);
        }
        new
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn answers(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    /// Publishes a release to stable. Returns its control-plane image.
    fn publish(&self, version: &str) -> String {
        let size = version.bytes().map(usize::from).sum();
        let digest = put(&self.registry, "org/alga-appliance-control-plane", None, &Image::new("amd64", &[size]));
        let image = format!("{}/org/alga-appliance-control-plane@{digest}", self.registry.address());
        with_images(&self.source, &[version]);
        publish(&self.source, &self.registry, version, "stable", &["--control-plane", &image, "--no-lint", "a test"])
            .ends(0);
        image
    }

    fn boot(&self) -> Run {
        fs::remove_file(self.path("applied")).ok();
        self.answers("log", "");
        let resolver = Path::new(env!("CARGO_BIN_EXE_alga-resolve")).parent().expect("a directory");
        let path = format!("{}:{}:/usr/bin:/bin", self.directory.path().display(), resolver.display());
        let mut shell = Command::new("sh");
        shell.arg(root("docs/appliance/alga-boot.sh")).env_clear().env("PATH", path).env("FAKE", self.directory.path());
        shell.env("ALGA_STORE", store(&self.registry)).env("ALGA_STATE", self.path("state.json"));
        run(shell.env("ALGA_HOST", "alga.example"))
    }

    fn log(&self) -> Vec<String> {
        fs::read_to_string(self.path("log")).expect("a log").lines().map(ToOwned::to_owned).collect()
    }

    /// Returns the recorded commands that contain these words, in order.
    fn did(&self, words: &[&str]) -> Vec<String> {
        let hit = |line: &String| words.iter().any(|word| line.contains(word));
        self.log().into_iter().filter(hit).collect()
    }
}

#[test]
fn the_release_is_applied_in_order_and_the_control_plane_is_updated() {
    let machine = Machine::new();
    let image = machine.publish("1.0.3");
    machine.boot().ends(0);
    let done = machine.did(&["images pull", "set image", "apply", "wait", "annotate", "delete"]);
    assert_eq!(done[0], format!("k3s ctr images pull {image}"));
    assert!(done[1].ends_with(&format!("set image -n alga-system deployment/appliance-control-plane control={image}")));
    assert!(done[2].starts_with("kubectl apply --server-side"), "{done:?}");
    let waits: Vec<&String> = done[3..].iter().collect();
    assert!(waits.iter().all(|line| line.starts_with("kubectl wait")) && waits.len() == 5, "{waits:?}");
    let applied = fs::read_to_string(machine.path("applied")).expect("objects");
    let digest =
        applied.lines().find_map(|line| line.strip_prefix("    digest: ")).expect("a digest").trim_matches('"');
    assert!(waits[0].contains(&format!("lastAppliedRevision}}={digest}")), "{waits:?}");
    assert!(waits.iter().all(|line| !line.contains("/other")), "{waits:?}");
}

#[test]
fn changed_values_are_reconciled_after_everything_is_ready() {
    let machine = Machine::new();
    machine.publish("1.0.3");
    machine.answers("before", "3");
    machine.boot().ends(0);
    let done = machine.did(&["wait", "annotate"]);
    let first = done.iter().position(|line| line.contains("annotate")).expect("an annotation");
    assert!(done[first..].iter().all(|line| line.contains("annotate")), "{done:?}");
    assert_eq!(done.len() - first, 6, "{done:?}");
    assert!(done[first].contains("helmreleases.helm.toolkit.fluxcd.io/alga-core reconcile.fluxcd.io/requestedAt=7"));
    machine.answers("after", "3");
    machine.boot().ends(0);
    assert!(machine.did(&["annotate"]).is_empty(), "nothing changed");
}

#[test]
fn unused_values_are_removed_only_after_the_new_release_is_ready() {
    let machine = Machine::new();
    machine.source.write("alga-release.yaml", "valuesNames: hashed\n");
    machine.publish("1.0.3");
    machine.answers("maps", "alga-system appliance-values-alga-core-000000000000\n");
    machine.answers("wait", "1");
    machine.boot().ends(1).says(&["not ready"]);
    assert!(machine.did(&["delete"]).is_empty());
    machine.answers("wait", "0");
    machine.boot().ends(0);
    let deleted = "kubectl delete configmap -n alga-system appliance-values-alga-core-000000000000";
    assert_eq!(machine.did(&["delete", "annotate"]), [deleted]);
    // Values that the release names stay.
    let applied = fs::read_to_string(machine.path("applied")).expect("objects");
    let name = applied.lines().find_map(|line| line.strip_prefix("  name: appliance-values-")).expect("a name");
    machine.answers("maps", &format!("alga-system appliance-values-{}\n", name.trim_matches('"')));
    machine.boot().ends(0);
    assert!(machine.did(&["delete"]).is_empty());
}

#[test]
fn without_a_registry_the_state_is_applied_or_nothing_changes() {
    let machine = Machine::new();
    let image = machine.publish("1.0.3");
    machine.registry.fail(Fault::every("GET", "", Action::status(503, "")));
    machine.answers("running", &image);
    machine.boot().ends(1).says(&["no release to apply"]);
    assert!(machine.did(&["apply", "set image", "pull", "delete"]).is_empty());
    machine.registry.heal();
    machine.boot().ends(0);
    let applied = fs::read_to_string(machine.path("applied")).expect("objects");
    machine.registry.fail(Fault::every("GET", "", Action::status(503, "")));
    machine.boot().ends(0).says(&["answered from the state"]);
    assert_eq!(fs::read_to_string(machine.path("applied")).expect("objects"), applied);
    assert!(machine.did(&["set image", "pull"]).is_empty());
}

#[test]
fn an_image_that_does_not_start_leaves_the_running_one() {
    let machine = Machine::new();
    let image = machine.publish("1.0.3");
    machine.answers("running", "ghcr.io/x/control-plane@sha256:aa");
    machine.answers("pull", "1");
    machine.boot().ends(0).says(&["cannot be pulled"]);
    assert!(machine.did(&["set image"]).is_empty());
    // The image is on the machine, so it needs no pull.
    machine.answers("images", &image);
    machine.answers("rollout", "1");
    machine.boot().ends(1).says(&["did not start"]);
    let rolled = machine.did(&["set image", "images pull"]);
    assert_eq!(rolled.len(), 2, "{rolled:?}");
    assert!(
        rolled[0].ends_with(&image) && rolled[1].ends_with("control=ghcr.io/x/control-plane@sha256:aa"),
        "{rolled:?}"
    );
}

#[test]
fn a_failed_apply_stops_before_anything_is_removed() {
    let machine = Machine::new();
    machine.publish("1.0.3");
    machine.answers("maps", "alga-system appliance-values-old\n");
    machine.answers("apply", "1");
    machine.boot().ends(1).says(&["could not be applied"]);
    assert!(machine.did(&["wait", "annotate", "delete"]).is_empty());
}

#[test]
fn a_second_boot_applies_the_same_and_moves_nothing() {
    let machine = Machine::new();
    let image = machine.publish("1.0.3");
    machine.boot().ends(0);
    let first = fs::read_to_string(machine.path("applied")).expect("objects");
    for (name, text) in [("running", image.as_str()), ("images", &image), ("before", "7")] {
        machine.answers(name, text);
    }
    machine.boot().ends(0);
    assert_eq!(fs::read_to_string(machine.path("applied")).expect("objects"), first);
    assert!(machine.did(&["images pull", "set image", "annotate", "delete"]).is_empty(), "{:?}", machine.log());
}

#[test]
fn a_cluster_that_stops_answering_keeps_its_old_values() {
    let machine = Machine::new();
    machine.publish("1.0.3");
    machine.answers("maps", "alga-system appliance-values-old\n");
    machine.answers("before", "3");
    machine.answers("list", "1");
    machine.boot().ends(1).says(&["not ready"]);
    assert_eq!(machine.did(&["apply", "annotate", "delete"]).len(), 1, "nothing happens after the apply");
    // At the next boot the values are already the new ones. The releases are reconciled nevertheless, once.
    machine.answers("list", "0");
    machine.answers("before", "7");
    machine.boot().ends(0);
    assert_eq!((machine.did(&["delete"]).len(), machine.did(&["annotate"]).len()), (1, 6), "{:?}", machine.log());
    machine.boot().ends(0);
    assert!(machine.did(&["annotate"]).is_empty(), "{:?}", machine.log());
}

#[test]
fn a_release_that_cannot_be_rendered_leaves_the_cluster_as_it_is() {
    let machine = Machine::new();
    let name = "ee/appliance/flux/profiles/single-node/values/email-service.single-node.yaml";
    machine.source.write(name, "- a\n");
    machine.publish("1.0.3");
    machine.answers("maps", "alga-system appliance-values-old\n");
    machine.boot().ends(1).says(&["email-service.single-node.yaml:1", "no release to apply"]);
    assert!(machine.did(&["apply", "wait", "annotate", "delete"]).is_empty());
}

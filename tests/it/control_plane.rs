//! The boot decision as a program: it prints one reference or nothing, and it succeeds in time whatever the network
//! does.

use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use std::time::Duration;

use crate::support::images::Image;
use crate::support::programs::{Run, Source, resolve, resolving, run};
use crate::support::published::{publish, store, with_images};
use crate::support::registry::{Action, Fault, Gate, Registry};
use crate::support::release_with_images::put;
use crate::support::{missing, require};

const RUNNING: &str = "ghcr.io/nine-minds/alga-appliance-control-plane@sha256:aaaa";
const PLANE: &str = "org/alga-appliance-control-plane";
const BAKED: &str = "localhost/alga-appliance-control-plane:baked";

/// A registry with 1.0.3 in stable, with a control plane.
fn registry(source: &Source) -> Registry {
    let registry = Registry::start();
    move_to(source, &registry, "1.0.3", "one");
    registry
}

/// Moves stable to a release with another control plane. Returns its reference.
fn move_to(source: &Source, registry: &Registry, version: &str, image: &str) -> String {
    let size = image.bytes().map(usize::from).sum();
    let digest = put(registry, PLANE, None, &Image::new("amd64", &[size]));
    let pinned = format!("{}/org/alga-appliance-control-plane@{digest}", registry.address());
    with_images(source, &[version]);
    publish(source, registry, version, "stable", &["--control-plane", &pinned]).ends(0);
    pinned
}

fn decide(registry: &Registry, running: &str, more: &[&str]) -> Run {
    let store = store(registry);
    let arguments = ["control-plane", "stable", "--store", &store, "--running", running, "--baseline", BAKED];
    resolve(&[&arguments[..], more].concat()).ends(0)
}

#[test]
fn only_the_image_of_the_channel_is_printed() {
    let source = Source::new();
    let registry = Registry::start();
    let pinned = move_to(&source, &registry, "1.0.3", "one");
    for running in [RUNNING, BAKED, "", pinned.as_str()] {
        assert_eq!(decide(&registry, running, &[]).stdout, format!("{pinned}\n"), "{running}");
    }
    let json = decide(&registry, RUNNING, &["--output", "json"]).json();
    assert_eq!(json["image"], pinned);
}

#[test]
fn any_failure_keeps_the_running_image() {
    let source = Source::new();
    let registry = registry(&source);
    let html = || {
        Action::Status(200, vec![("Content-Type".to_owned(), "text/html".to_owned())], b"<html>login</html>".to_vec())
    };
    for action in [
        Action::status(500, ""),
        Action::status(404, "{}"),
        Action::status(401, ""),
        Action::status(403, ""),
        Action::status(429, ""),
        html(),
        Action::ResetBefore,
        Action::Reset(30),
        Action::Truncate(1),
        Action::CorruptBody,
        Action::Longer(100),
        Action::Endless,
        Action::WrongDigestHeader,
        Action::RedirectToItself,
        Action::Redirect("http://127.0.0.1:1/".to_owned()),
        Action::Redirect("file:///etc/passwd".to_owned()),
    ] {
        for part in ["/manifests/", "/blobs/"] {
            // A blob is verified by its own digest, whatever the header claims.
            if part == "/blobs/" && matches!(action, Action::WrongDigestHeader) {
                continue;
            }
            registry.heal();
            registry.fail(Fault::every("GET", part, action.clone()));
            let run = decide(&registry, RUNNING, &[]);
            assert_eq!(run.stdout, "", "{part} {action:?}: {}", run.stderr);
            assert!(run.stderr.contains("the running image stays"), "{}", run.stderr);
        }
    }
}

#[test]
fn the_baseline_starts_when_nothing_runs_and_nothing_answers() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    let store = format!("{free}/org");
    let ask = |running: &str| {
        resolve(&["control-plane", "stable", "--store", &store, "--running", running, "--baseline", BAKED])
            .ends(0)
            .stdout
    };
    assert_eq!(ask(""), format!("{BAKED}\n"));
    assert_eq!(ask(BAKED), "");
    assert_eq!(ask(RUNNING), "");
    assert_eq!(resolve(&["control-plane", "stable", "--store", &store]).ends(0).stdout, "");
}

#[test]
fn a_replayed_answer_changes_nothing_but_a_rollback_does() {
    let source = Source::new();
    let registry = Registry::start();
    let state = source.path("state.json").display().to_string();
    let first = move_to(&source, &registry, "1.0.3", "one");
    let old = registry.tags("org/alga-appliance-release")["stable"].clone();
    assert_eq!(decide(&registry, BAKED, &["--state", &state]).stdout, format!("{first}\n"));
    let second = move_to(&source, &registry, "1.0.4", "two");
    let new = registry.tags("org/alga-appliance-release")["stable"].clone();
    assert_eq!(decide(&registry, &first, &["--state", &state]).stdout, format!("{second}\n"));
    registry.tag("org/alga-appliance-release", "stable", &old);
    let run = decide(&registry, &second, &["--state", &state]).says(&["a replay"]);
    assert_eq!(run.stdout, "");
    registry.tag("org/alga-appliance-release", "stable", &new);
    assert_eq!(decide(&registry, &second, &["--state", &state]).stdout, format!("{second}\n"));
}

#[test]
fn the_last_followed_image_runs_if_it_is_present_and_nothing_better_runs() {
    let source = Source::new();
    let registry = Registry::start();
    let state = source.path("state.json").display().to_string();
    let pinned = move_to(&source, &registry, "1.0.3", "one");
    decide(&registry, BAKED, &["--state", &state]);
    let offline = |running: &str, more: &[&str]| {
        decide(&registry, running, &[&["--offline", "--state", &state], more].concat()).stdout
    };
    for running in ["", BAKED] {
        assert_eq!(offline(running, &["--present", BAKED, "--present", &pinned]), format!("{pinned}\n"));
    }
    assert_eq!(offline(BAKED, &["--present", BAKED]), "");
    assert_eq!(offline("", &["--present", BAKED]), format!("{BAKED}\n"));
    assert_eq!(offline(RUNNING, &["--present", &pinned]), "");
    // The image does not run either if the appliance does not allow its registry any more.
    assert_eq!(offline(BAKED, &["--present", &pinned, "--allow-registry", "ghcr.io"]), "");
}

#[test]
fn a_wrong_command_line_does_not_prevent_booting() {
    for arguments in [
        &["control-plane"][..],
        &["control-plane", "../../x"],
        &["control-plane", "stable\n; reboot"],
        &["control-plane", "stable", "--nonsense"],
        &["control-plane", "stable", "--timeout", "soon"],
        &["control-plane", "stable", "--offline"],
        &["control-plane", "stable", "--running", "a b"],
        &["control-plane", "stable", "--config", "/nonexistent"],
        &["control-plane", "stable", "--state", "/proc/self/mem", "--store", "127.0.0.1:1"],
    ] {
        let run = resolve(arguments).ends(0);
        assert_eq!(run.stdout, "", "{arguments:?}");
        assert!(!run.stderr.is_empty(), "{arguments:?}");
    }
    // An invalid store leaves the baseline.
    let run = resolve(&["control-plane", "../../x", "--baseline", BAKED]).ends(0);
    assert_eq!(run.stdout, format!("{BAKED}\n"));
}

#[test]
fn a_network_without_answers_causes_a_time_out() {
    let source = Source::new();
    let registry = registry(&source);
    let drip = Action::Drip(Duration::from_millis(50));
    let actions =
        [(Action::Hold(Gate::default()), "0.3 s"), (Action::EndlessHeader, "did not answer"), (drip, "0.3 s")];
    for (action, word) in actions {
        registry.heal();
        registry.fail(Fault::every("GET", "", action));
        decide(&registry, RUNNING, &["--timeout", "0.3"]).says(&[word, "the running image stays"]);
    }
    // The server never accepts, so the connection stays in the queue of the listener.
    let deaf = TcpListener::bind("127.0.0.1:0").expect("a port");
    let store = format!("{}/org", deaf.local_addr().expect("an address"));
    let run =
        resolve(&["control-plane", "stable", "--store", &store, "--running", RUNNING, "--timeout", "0.3"]).ends(0);
    assert_eq!(run.says(&["0.3 s"]).stdout, "");
}

#[test]
fn a_name_server_without_answers_does_not_delay_the_exit() {
    let Some(unshare) = require("unshare") else { return };
    // The name server receives every question and answers none.
    let Ok(deaf) = UdpSocket::bind("127.0.0.77:53") else {
        return missing("a socket of the port of name servers needs root");
    };
    let source = Source::new();
    source.write("resolv.conf", "nameserver 127.0.0.77\noptions timeout:30 attempts:5\n");
    let store = "registry.example.com/org";
    let asking = resolving(&["control-plane", "stable", "--store", store, "--running", RUNNING, "--timeout", "0.5"]);
    let mut command = Command::new(unshare);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").args(["-m", "sh", "-c"]);
    command.args(["mount --bind \"$1\" /etc/resolv.conf && shift && exec timeout 60 \"$@\"", "sh"]);
    command.arg(source.path("resolv.conf")).arg(asking.get_program()).args(asking.get_args());
    let held = run(&mut command).ends(0).says(&["did not answer within 0.5 s", "the running image stays"]);
    assert_eq!(held.stdout, "");
    let mut question = [0; 512];
    deaf.set_nonblocking(true).expect("a socket");
    let length = deaf.recv(&mut question).expect("it was asked for the registry's address");
    assert!(String::from_utf8_lossy(&question[..length]).contains("registry"), "{question:?}");
}

//! A signed publication beside the same one unsigned, and beside `cosign sign` of the same artifacts with the same key: time,
//! requests and the longest chain of them, over a short wire and a long one. Prints; judges nothing.
//!
//! `cargo bench --bench sign`; needs docker-registry, cosign2 and cosign3, which `tests/peers/install --system` brings.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a bench talks to people")]

#[allow(dead_code, reason = "shared with another bench")]
mod peers;
#[allow(dead_code, reason = "shared with another bench")]
mod proxy;
mod tree;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/it/support/trust.rs"]
mod trust;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use peers::{Registry, publisher, timed, which};
use proxy::{Count, Proxy};
use trust::Vendor;

/// Rounds of each; the median is printed.
const ROUNDS: usize = 7;
/// Charts of the release. With bundle and release manifest, these are as many artifacts as the fixtures have.
const CHARTS: usize = 5;
/// Password of the key file that both programs use.
const PASSWORD: &str = "bench";
/// Median of the time, with the counts of the last round.
struct Row {
    seconds: f64,
    count: Count,
}

fn main() {
    let (Some(second), Some(third), Some(_)) = (which("cosign2"), which("cosign3"), which("docker-registry")) else {
        println!("skipped: docker-registry, cosign2 or cosign3 are missing: tests/peers/install --system");
        return;
    };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let registry = Registry::start(directory.path());
    // A signed release pins its images, and the images of the fixtures are in no registry here.
    let tree = directory.path().join("tree");
    tree::plant(&tree, CHARTS);
    let vendor = Vendor::new();
    let key = encrypted(&second, &vendor);
    for round_trip in [0, 40] {
        let proxy = Proxy::start(&registry.address, Duration::from_millis(round_trip));
        let store = |what: &str, round: usize| format!("{}/{what}{round_trip}-{round}", proxy.address);
        let unsigned = row(&proxy, |round| publish(&tree, &store("u", round)));
        let signed = row(&proxy, |round| signed(publish(&tree, &store("s", round)), &vendor, &key));
        let unchanged = row(&proxy, |_| self::signed(publish(&tree, &store("s", 0)), &vendor, &key));
        // Each round signs what no round before has signed.
        let by = |program: &Path, kind: &str, more: &[&str]| {
            let rounds: Vec<Vec<String>> = (0..ROUNDS).map(|round| published(&tree, &store(kind, round))).collect();
            row(&proxy, |round| cosign(program, &key, &rounds[round], more))
        };
        let older = by(&second, "two", &["--tlog-upload=false"]);
        let newer = by(&third, "three", &["--tlog-upload=false", "--use-signing-config=false"]);
        println!("{round_trip} ms round trip, {ROUNDS} rounds     seconds  requests  deep");
        print("publish, unsigned", &unsigned);
        print("publish, signed", &signed);
        print("publish, signed, unchanged", &unchanged);
        print("cosign 2 sign (.sig)", &older);
        print("cosign 3 sign (bundle)", &newer);
        println!(
            "  signed takes {:.2} times unsigned, and adds {:.2} times what cosign 2 and {:.2} times what cosign 3 takes",
            signed.seconds / unsigned.seconds,
            (signed.seconds - unsigned.seconds) / older.seconds,
            (signed.seconds - unsigned.seconds) / newer.seconds,
        );
    }
}

fn print(name: &str, Row { seconds, count }: &Row) {
    println!("  {name:<30} {seconds:>8.4} {:>9} {:>5}", count.requests, count.depth);
}

fn row(proxy: &Proxy, command: impl Fn(usize) -> Command) -> Row {
    let mut last = proxy.count();
    let mut seconds: Vec<f64> = (0..ROUNDS)
        .map(|round| {
            let taken = timed(&mut [command(round)]).as_secs_f64();
            last = proxy.count();
            taken
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    Row { seconds: seconds[ROUNDS / 2], count: last }
}

fn publish(tree: &Path, store: &str) -> Command {
    let mut publish = publisher(tree, store);
    publish.args(["--image-check", "off"]);
    publish
}

/// Adds what signs: the encrypted file for the role `release`, and a plain one for the channel.
fn signed(mut publish: Command, vendor: &Vendor, key: &str) -> Command {
    publish.args(vendor.flags(&["nightly"])).args(["--sign-key", key]).env("COSIGN_PASSWORD", PASSWORD);
    publish
}

/// Publishes a release, and returns the references by digest of its charts, its bundle and its manifest.
fn published(tree: &Path, store: &str) -> Vec<String> {
    let output = publish(tree, store).args(["--output", "json"]).output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
    let artifacts = report["artifacts"].as_array().expect("artifacts").iter();
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    artifacts.map(|one| format!("{store}/{}@{}", text(&one["repository"]), text(&one["digest"]))).collect()
}

/// Signs all artifacts of a release in one command.
fn cosign(program: &Path, key: &str, artifacts: &[String], more: &[&str]) -> Command {
    let mut cosign = Command::new(program);
    cosign.args(["sign", "--yes", "--key", key, "--allow-http-registry"]).args(more).args(artifacts);
    cosign.env("COSIGN_PASSWORD", PASSWORD);
    cosign
}

/// Writes the key of the role `release` in cosign's encrypted form, which both programs read.
fn encrypted(cosign: &Path, vendor: &Vendor) -> String {
    let prefix = vendor.file("encrypted");
    let mut import = Command::new(cosign);
    import.args(["import-key-pair", "--yes", "--key", &vendor.file("release.key"), "--output-key-prefix", &prefix]);
    import.env("COSIGN_PASSWORD", PASSWORD);
    timed(&mut [import]);
    format!("{prefix}.key")
}

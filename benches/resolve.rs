//! The resolver, cold: time from start to the release, requests and the longest chain of them over a short wire and a long one,
//! memory and size, beside oras and a Node script that make the same calls. Judges nothing.
//!
//! `cargo bench --bench resolve`; for the size that is shipped, `ALGA_RESOLVE` names a binary built with `--no-default-features`.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a bench talks to people")]

mod memory;
#[allow(dead_code, reason = "shared with another bench")]
mod peers;
#[allow(dead_code, reason = "shared with another bench")]
mod proxy;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use memory::measured;
use peers::{Peers, Registry, publish};
use proxy::Proxy;

/// Rounds of each; the median is printed.
const ROUNDS: usize = 15;

/// The same calls by Node: manifest by tag, config by digest, held against it.
const NODE: &str = r#"
const [base, repository, tag] = process.argv.slice(1);
const accept = "application/vnd.oci.image.manifest.v1+json";
const manifest = await (await fetch(`${base}/v2/${repository}/manifests/${tag}`, { headers: { accept } })).json();
const bytes = Buffer.from(await (await fetch(`${base}/v2/${repository}/blobs/${manifest.config.digest}`)).arrayBuffer());
const { createHash } = await import("node:crypto");
if ("sha256:" + createHash("sha256").update(bytes).digest("hex") !== manifest.config.digest) process.exit(1);
process.stdout.write(bytes);
"#;

fn main() {
    if Peers::find().is_none() {
        println!("skipped: helm, oras, flux-artifact or docker-registry are missing: tests/peers/install --system");
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let registry = Registry::start(directory.path());
    publish(&Path::new(env!("CARGO_MANIFEST_DIR")).join("charts-fixtures"), &format!("{}/r", registry.address));
    let resolver = std::env::var_os("ALGA_RESOLVE")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_alga-resolve")), PathBuf::from);
    let size = std::fs::metadata(&resolver).expect("the resolver").len();
    println!("size {:.2} MB", bytes(size) / 1e6);
    println!("{:<30} {:>9} {:>8} {:>5} {:>9}", "", "ms", "requests", "deep", "MiB");
    for round_trip in [0, 40] {
        let proxy = Proxy::start(&registry.address, Duration::from_millis(round_trip));
        println!("{round_trip} ms round trip");
        let address = proxy.address.clone();
        let state = directory.path().join(format!("state{round_trip}.json"));
        row("alga-resolve resolve", &proxy, || vec![resolve(&resolver, &address, "resolve")]);
        row("alga-resolve render --state", &proxy, || {
            let mut command = resolve(&resolver, &address, "render");
            command.args(["--host", "a.example", "--state"]).arg(&state);
            vec![command]
        });
        row("alga-resolve control-plane", &proxy, || vec![resolve(&resolver, &address, "control-plane")]);
        let digest = config_digest(&resolver, &address);
        row("oras manifest, blob fetch", &proxy, || oras(&address, &digest));
        row("node", &proxy, || {
            let mut node = Command::new("node");
            node.args([
                "--input-type=module",
                "-e",
                NODE,
                &format!("http://{address}"),
                "r/alga-appliance-release",
                "nightly",
            ]);
            vec![node]
        });
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn bytes(count: u64) -> f64 {
    count as f64
}

fn resolve(program: &Path, address: &str, command: &str) -> Command {
    let mut resolve = Command::new(program);
    resolve.args([command, "nightly", "--store", &format!("{address}/r")]);
    resolve
}

fn config_digest(program: &Path, address: &str) -> String {
    let output = resolve(program, address, "resolve").output().expect("the resolver");
    alga_release::oci::Digest::of(&output.stdout).to_string()
}

fn oras(address: &str, digest: &str) -> Vec<Command> {
    let repository = format!("{address}/r/alga-appliance-release");
    let fetch = |arguments: &[&str]| {
        let mut oras = Command::new(peers::which("oras").expect("oras"));
        oras.args(arguments);
        oras
    };
    vec![
        fetch(&["manifest", "fetch", "--plain-http", &format!("{repository}:nightly")]),
        fetch(&["blob", "fetch", "--plain-http", "--output", "-", &format!("{repository}@{digest}")]),
    ]
}

/// Runs the commands one after another, again and again; prints the median and the last round's counts.
fn row(name: &str, proxy: &Proxy, commands: impl Fn() -> Vec<Command>) {
    let (mut times, mut peak) = (Vec::new(), 0.0_f64);
    let mut last = None;
    for _ in 0..ROUNDS {
        proxy.count();
        let start = Instant::now();
        for mut command in commands() {
            let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
            peak = peak.max(measured(quiet).1);
        }
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        last = Some(proxy.count());
    }
    times.sort_by(f64::total_cmp);
    if let Some(proxy::Count { requests, depth, .. }) = last {
        println!("  {name:<28} {:>9.1} {requests:>8} {depth:>5} {peak:>9.1}", times[ROUNDS / 2]);
    }
}

//! Requests, connections, the longest chain, and time: over a short wire and a long one, beside the commands that people run
//! today; how it grows with the number of charts; how long a program takes to its first request. Judges nothing.
//!
//! `cargo bench --bench wire`; needs the programs that `tests/peers/install --system` brings.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a bench talks to people")]

mod memory;
mod peers;
mod proxy;
mod tree;

use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use memory::measured;
use peers::{Peers, Registry, publish, publisher, timed};
use proxy::Proxy;
use tree::plant;

/// Rounds of each; the median is printed.
const ROUNDS: usize = 5;

fn main() {
    let Some(peers) = Peers::find() else {
        println!("skipped: helm, oras, flux-artifact or docker-registry are missing: tests/peers/install --system");
        return;
    };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let registry = Registry::start(directory.path());
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts-fixtures");
    println!("{:<28} {:>8} {:>8} {:>11} {:>5}", "", "seconds", "requests", "connections", "deep");
    for round_trip in [0, 40] {
        let proxy = Proxy::start(&registry.address, Duration::from_millis(round_trip));
        let store = |what: &str, round: usize| format!("{}/w{round_trip}{what}{round}", proxy.address);
        let rows: [(&str, &dyn Fn(usize) -> Duration); 7] = [
            ("the commands, from empty", &|round| peers.script(&tree, directory.path(), &store("s", round))),
            ("the commands, unchanged", &|_| peers.script(&tree, directory.path(), &store("s", 0))),
            ("publish, from empty", &|round| publish(&tree, &store("p", round))),
            ("publish, unchanged", &|_| publish(&tree, &store("p", 0))),
            ("promote, dry run", &|_| promote(&store("p", 0), &["--dry-run"])),
            ("promote, all checks", &|round| promote(&store("p", round), &[])),
            ("promote, unchanged", &|_| promote(&store("p", 0), &[])),
        ];
        println!("{round_trip} ms round trip");
        for (name, run) in rows {
            row(name, &proxy, run);
        }
    }
    println!("growth, loopback, plain HTTP");
    for count in [10, 100, 1000] {
        grow(count, directory.path(), &registry.address);
    }
    println!("from start to the first byte of a request, plain HTTP");
    first_byte("alga-resolve resolve", |address| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_alga-resolve"));
        command.args(["resolve", "nightly", "--store", &format!("{address}/x")]);
        command
    });
    first_byte("alga-release publish", |address| publisher(&tree, &format!("{address}/x")));
}

/// From nightly to stable; how long it took.
fn promote(store: &str, more: &[&str]) -> Duration {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alga-release"));
    command.args(["promote", "--from", "nightly", "--to", "stable", "--quiet", "--store", store]).args(more);
    timed(&mut [command])
}

/// Runs it, and prints the median and the last round's counts.
fn row(name: &str, proxy: &Proxy, run: &dyn Fn(usize) -> Duration) {
    let mut seconds = Vec::new();
    let mut last = None;
    for round in 0..ROUNDS {
        proxy.count();
        seconds.push(run(round));
        last = Some(proxy.count());
    }
    seconds.sort();
    if let Some(count) = last {
        let median = seconds[ROUNDS / 2].as_secs_f64();
        let proxy::Count { requests, connections, depth } = count;
        println!("  {name:<26} {median:>8.4} {requests:>8} {connections:>11} {depth:>5}");
    }
}

/// Publishes a tree of so many charts twice: time from empty and unchanged, and the peak of memory.
fn grow(count: usize, directory: &Path, address: &str) {
    let tree = directory.join(format!("tree{count}"));
    plant(&tree, count);
    let store = format!("{address}/g{count}");
    let (empty, peak) = measured(publisher(&tree, &store).stdout(Stdio::null()));
    let (again, _) = measured(publisher(&tree, &store).stdout(Stdio::null()));
    println!(
        "  {count:>4} charts   from empty {:>8.4} s   unchanged {:>8.4} s   at most {:>6.1} MiB",
        empty.as_secs_f64(),
        again.as_secs_f64(),
        peak
    );
}

/// From the start of a program to its first byte on a connection.
fn first_byte(name: &str, command: impl Fn(&str) -> Command) {
    let mut times: Vec<f64> = (0..ROUNDS * 3)
        .map(|_| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("an address").to_string();
            let mut command = command(&address);
            let start = Instant::now();
            let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = quiet.spawn().expect("the program starts");
            let (mut stream, _) = listener.accept().expect("it connects");
            stream.read_exact(&mut [0]).expect("it asks");
            let time = start.elapsed();
            let _ = child.kill();
            let _ = child.wait();
            time.as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("  {name:<26} {:>8.1} ms", times[times.len() / 2]);
}

//! Publishing against the commands that people run today, on the same tree and registry, in the same run; and against the bare
//! requests of eight artifacts, sent at once. Prints seconds and ratios; judges nothing.
//!
//! `cargo bench --bench publish`; needs the programs that `tests/peers/install --system` brings.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a bench talks to people")]

mod peers;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use alga_release::oci::Digest;

use peers::{Peers, Registry, publish};

/// Rounds of each; the median is printed.
const ROUNDS: usize = 7;

fn main() {
    let Some(peers) = Peers::find() else {
        println!("skipped: helm, oras, flux-artifact or docker-registry are missing: tests/peers/install --system");
        return;
    };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let registry = Registry::start(directory.path());
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts-fixtures");
    let name = |what: &str, round: usize| format!("{}/{what}{round}", registry.address);

    let script_empty = median(|round| peers.script(&tree, directory.path(), &name("s", round)));
    let script_again = median(|_| peers.script(&tree, directory.path(), &name("s", 0)));
    let ours_empty = median(|round| publish(&tree, &name("p", round)));
    let ours_again = median(|_| publish(&tree, &name("p", 0)));
    let floor = median(|round| bare_requests(&registry.address, &format!("f{round}")));
    let layout = median(|round| publish(&tree, &format!("oci-layout:{}/l{round}", directory.path().display())));

    println!("{ROUNDS} rounds, medians in seconds");
    println!("the commands, from empty   {script_empty:.4}");
    println!("the commands, unchanged    {script_again:.4}");
    println!("publish, from empty        {ours_empty:.4}   {:.1} times faster", script_empty / ours_empty);
    println!("publish, unchanged         {ours_again:.4}   {:.1} times faster", script_again / ours_again);
    println!("bare requests at once      {floor:.4}   publish from empty takes {:.2} times that", ours_empty / floor);
    println!("publish into a layout      {layout:.4}");
}

fn median(mut run: impl FnMut(usize) -> Duration) -> f64 {
    let mut seconds: Vec<f64> = (0..ROUNDS).map(|round| run(round).as_secs_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    seconds[ROUNDS / 2]
}

/// POST, PUT, POST, PUT and the manifest of eight small artifacts, each on a connection of its own, all at once.
fn bare_requests(address: &str, prefix: &str) -> Duration {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for artifact in 0..8 {
            scope.spawn(move || push_bare(address, &format!("{prefix}/a{artifact}")));
        }
    });
    start.elapsed()
}

fn push_bare(address: &str, repository: &str) {
    let mut wire = TcpStream::connect(address).expect("the registry listens");
    wire.set_nodelay(true).expect("a TCP option");
    let blobs = [format!("{{\"of\":\"{repository}\"}}").into_bytes(), repository.repeat(200).into_bytes()];
    for blob in &blobs {
        let location =
            request(&mut wire, address, "POST", &format!("/v2/{repository}/blobs/uploads/"), "text/plain", b"");
        let path =
            location.split_once("/v2/").map(|(_, path)| format!("/v2/{path}")).expect("an upload has a location");
        let digest = Digest::of(blob);
        request(&mut wire, address, "PUT", &format!("{path}&digest={digest}"), "application/octet-stream", blob);
    }
    let describe = |media_type: &str, blob: &[u8]| {
        format!("{{\"mediaType\":\"{media_type}\",\"digest\":\"{}\",\"size\":{}}}", Digest::of(blob), blob.len())
    };
    let media_type = alga_release::oci::media_type::IMAGE_MANIFEST;
    let (config, layer) = (describe("application/x.config", &blobs[0]), describe("application/x.layer", &blobs[1]));
    let manifest =
        format!("{{\"schemaVersion\":2,\"mediaType\":\"{media_type}\",\"config\":{config},\"layers\":[{layer}]}}");
    request(&mut wire, address, "PUT", &format!("/v2/{repository}/manifests/1"), media_type, manifest.as_bytes());
}

/// Sends one request, reads the whole answer, gives its `Location`.
fn request(wire: &mut TcpStream, host: &str, method: &str, path: &str, media_type: &str, body: &[u8]) -> String {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    wire.write_all(&[head.as_bytes(), body].concat()).expect("the registry reads");
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = wire.read(&mut buffer).expect("the registry answers");
        assert!(count > 0, "the registry hung up");
        answer.extend_from_slice(&buffer[..count]);
    }
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 2"), "{method} {path}: {text}");
    let location = text.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap_or_default();
    location.to_owned()
}

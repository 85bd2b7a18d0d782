//! Publishing against the commands that people run today, on the same tree and registry, in the same run; and against the bare
//! requests of eight artifacts, sent at once. Prints seconds and ratios; judges nothing.
//!
//! `cargo bench --bench publish`; needs the programs that `tests/peers/install --system` brings.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a bench talks to people")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use alga_release::oci::Digest;

/// Rounds of each; the median is printed.
const ROUNDS: usize = 7;
/// Charts of the fixtures; bundle and release come to them.
const CHARTS: [&str; 5] =
    ["helm", "ee/helm/temporal", "ee/helm/temporal-worker", "ee/helm/workflow-worker", "ee/helm/email-service"];

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

fn publish(tree: &Path, store: &str) -> Duration {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alga-release"));
    command.arg("publish").arg(tree).args(["--version", "1.0.3", "--channel", "nightly", "--image-check", "off"]);
    command.args(["--source-commit", &"7".repeat(40), "--epoch", "1700000000", "--quiet", "--store", store]);
    timed(&mut [command])
}

fn timed(commands: &mut [Command]) -> Duration {
    let start = Instant::now();
    for command in commands {
        let output = command.stdin(Stdio::null()).output().expect("the program starts");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    start.elapsed()
}

struct Peers {
    helm: PathBuf,
    oras: PathBuf,
    flux: PathBuf,
}

impl Peers {
    fn find() -> Option<Self> {
        which("docker-registry")?;
        Some(Self { helm: which("helm")?, oras: which("oras")?, flux: which("flux-artifact")? })
    }

    /// Package and push each chart, push the overlay, push the release, tag it.
    fn script(&self, tree: &Path, scratch: &Path, prefix: &str) -> Duration {
        let mut commands = Vec::new();
        for chart in CHARTS {
            let mut package = Command::new(&self.helm);
            package.arg("package").arg(tree.join(chart)).arg("-d").arg(scratch);
            commands.push(package);
        }
        for chart in [
            "sebastian-0.0.1",
            "temporal-0.1.0",
            "temporal-worker-0.1.0",
            "workflow-worker-0.1.0",
            "email-service-0.1.0",
        ] {
            let mut push = Command::new(&self.helm);
            push.arg("push")
                .arg(scratch.join(format!("{chart}.tgz")))
                .arg(format!("oci://{prefix}/charts"))
                .arg("--plain-http");
            commands.push(push);
        }
        let mut bundle = Command::new(&self.flux);
        bundle
            .args(["push", &format!("{prefix}/config:1.0.3")])
            .arg(tree.join("ee/appliance/flux"))
            .args(["source", "revision"]);
        commands.push(bundle);
        std::fs::write(scratch.join("release-manifest.json"), "{}").expect("the scratch directory is writable");
        let mut release = Command::new(&self.oras);
        release.current_dir(scratch).args([
            "push",
            "--plain-http",
            &format!("{prefix}/release:1.0.3"),
            "release-manifest.json",
        ]);
        commands.push(release);
        let mut tag = Command::new(&self.oras);
        tag.args(["tag", "--plain-http", &format!("{prefix}/release:1.0.3"), "nightly"]);
        commands.push(tag);
        timed(&mut commands)
    }
}

fn which(name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/alga-peers/bin"));
    let given = std::env::var_os("ALGA_PEERS_DIR").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = given.into_iter().chain(cache).chain(std::env::split_paths(&path));
    directories.map(|directory| directory.join(name)).find(|program| program.is_file())
}

/// Debian's docker-registry on a free port, ended on drop.
struct Registry {
    child: Child,
    address: String,
}

impl Registry {
    fn start(directory: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let address = format!("127.0.0.1:{port}");
        let config = directory.join("registry.yml");
        let data = directory.join("registry");
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: \"{}\"}}}}\nhttp: {{addr: \"{address}\"}}\n",
            data.display()
        );
        std::fs::write(&config, text).expect("the scratch directory is writable");
        let program = which("docker-registry").expect("it was there");
        let child = Command::new(program).arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let registry = Self { child: child.expect("the registry starts"), address };
        let start = Instant::now();
        while TcpStream::connect(&registry.address).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "the registry does not listen");
            std::thread::yield_now();
        }
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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

//! What is measured, and beside what: the commands that people run today, and the real registry.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Charts of the fixtures; bundle and release come to them.
const CHARTS: [&str; 5] =
    ["helm", "ee/helm/temporal", "ee/helm/temporal-worker", "ee/helm/workflow-worker", "ee/helm/email-service"];

/// The publisher, as released.
pub fn publish(tree: &Path, store: &str) -> Duration {
    let mut command = publisher(tree, store);
    command.args(["--image-check", "off"]);
    timed(&mut [command])
}

/// `publish` of the tree.
pub fn publisher(tree: &Path, store: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alga-release"));
    command.arg("publish").arg(tree).args(["--version", "1.0.3", "--channel", "nightly"]);
    command.args(["--source-commit", &"7".repeat(40), "--epoch", "1700000000", "--quiet", "--store", store]);
    command
}

pub fn timed(commands: &mut [Command]) -> Duration {
    let start = Instant::now();
    for command in commands {
        let output = command.stdin(Stdio::null()).output().expect("the program starts");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    start.elapsed()
}

/// The programs of others.
pub struct Peers {
    helm: PathBuf,
    oras: PathBuf,
    flux: PathBuf,
}

impl Peers {
    /// All of them, or nothing.
    pub fn find() -> Option<Self> {
        which("docker-registry")?;
        Some(Self { helm: which("helm")?, oras: which("oras")?, flux: which("flux-artifact")? })
    }

    /// Package and push each chart, push the overlay, push the release, tag it.
    pub fn script(&self, tree: &Path, scratch: &Path, prefix: &str) -> Duration {
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

/// A program of others, where it is.
pub fn which(name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/alga-peers/bin"));
    let given = std::env::var_os("ALGA_PEERS_DIR").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = given.into_iter().chain(cache).chain(std::env::split_paths(&path));
    directories.map(|directory| directory.join(name)).find(|program| program.is_file())
}

/// Debian's docker-registry on a free port, ended on drop.
pub struct Registry {
    child: Child,
    /// Where it listens.
    pub address: String,
}

impl Registry {
    /// Starts it on the data in `directory`.
    pub fn start(directory: &Path) -> Self {
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

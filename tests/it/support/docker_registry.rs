//! Debian's `docker-registry`, as an independent peer.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::missing;

/// A running `docker-registry`. Killed on drop.
#[derive(Debug)]
pub struct DockerRegistry {
    child: Child,
    address: String,
    directory: tempfile::TempDir,
}

impl DockerRegistry {
    /// Starts one, or says that there is none; with `ALGA_PEERS=require` in the environment that is a failure.
    pub fn start() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let address =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").to_string();
        let configuration = format!(
            "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '{address}'}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\n",
            directory.path().display()
        );
        let path = directory.path().join("config.yml");
        std::fs::write(&path, configuration).expect("a configuration");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
        let child = match command.spawn() {
            Ok(child) => child,
            Err(cause) => {
                missing(&format!("docker-registry is missing ({cause}); get it by `tests/peers/install --system`"));
                return None;
            }
        };
        let mut registry = Self { child, address, directory };
        registry.wait();
        Some(registry)
    }

    /// Until it answers.
    fn wait(&mut self) {
        let start = Instant::now();
        while TcpStream::connect(&self.address).is_err() {
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none(), "docker-registry ended: {ended:?}");
            assert!(start.elapsed() < Duration::from_secs(20), "docker-registry does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Takes all manifests and tags of a repository away, as somebody who cleans up does.
    pub fn remove_manifests(&self, repository: &str) {
        let below = format!("docker/registry/v2/repositories/{repository}/_manifests");
        std::fs::remove_dir_all(self.directory.path().join(below)).expect("removed");
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

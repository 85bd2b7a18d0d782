//! Debian's `docker-registry`, as an independent peer.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{files_below, missing};

/// Whom a registry with passwords lets in.
pub const USER: &str = "docker-user";
/// With what.
pub const PASSWORD: &str = "docker-secret";
/// Of the password, by bcrypt.
const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuV1ceFQaoGHhr09XXIsl7c//3ORIUL0K";

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
        Self::with("")
    }

    /// The same, that lets [`USER`] in alone, with [`PASSWORD`].
    pub fn with_password() -> Option<Self> {
        Self::with("auth: {htpasswd: {realm: test, path: 'HERE/htpasswd'}}\n")
    }

    /// With more configuration, in which `HERE` is the registry's own directory.
    fn with(more: &str) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let address =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").to_string();
        let configuration = format!(
            "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '{address}'}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\n",
            directory.path().display()
        ) + &more.replace("HERE", &directory.path().display().to_string());
        std::fs::write(directory.path().join("htpasswd"), format!("{USER}:{HASH}\n")).expect("a password file");
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

    /// What is left of uploads that were started and neither finished nor cancelled; of a cancelled one it keeps the state of
    /// its hash.
    pub fn unfinished_uploads(&self) -> Vec<PathBuf> {
        let files = files_below(self.directory.path()).into_keys().map(PathBuf::from);
        files
            .filter(|path| path.iter().any(|part| part == "_uploads") && !path.iter().any(|part| part == "hashstates"))
            .collect()
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

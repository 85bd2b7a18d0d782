//! Debian's `docker-registry`, as an independent peer.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::token_server::TokenServer;
use super::{files_below, missing};

/// How many free ports are tried.
const PORTS: usize = 5;

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

    /// The same over TLS, for `registry.example`, with tokens of a server. Also whom TLS must trust.
    pub fn with_tokens(server: &TokenServer) -> Option<(Self, String)> {
        let own = rcgen::generate_simple_self_signed(vec!["registry.example".to_owned()]).expect("a certificate");
        let files = [
            ("roots.pem", server.ca.clone()),
            ("tls.pem", own.cert.pem()),
            ("tls.key", own.signing_key.serialize_pem()),
        ];
        let auth = format!(
            "auth: {{token: {{realm: '{}', service: registry.example, issuer: tests, rootcertbundle: 'HERE/roots.pem'}}}}\n",
            server.realm
        );
        let tls = ", tls: {certificate: 'HERE/tls.pem', key: 'HERE/tls.key'}";
        Self::run(&auth, tls, &files).map(|registry| (registry, own.cert.pem()))
    }

    /// The same over TLS, for this machine's address. Also whom TLS must trust.
    pub fn with_tls() -> Option<(Self, String)> {
        let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
        let files = [("tls.pem", own.cert.pem()), ("tls.key", own.signing_key.serialize_pem())];
        let tls = ", tls: {certificate: 'HERE/tls.pem', key: 'HERE/tls.key'}";
        Self::run("", tls, &files).map(|registry| (registry, own.cert.pem()))
    }

    fn with(more: &str) -> Option<Self> {
        Self::run(more, "", &[("htpasswd", format!("{USER}:{HASH}\n"))])
    }

    /// With more configuration, and more of its `http`, in both of which `HERE` is the registry's own directory with `files`.
    fn run(more: &str, http: &str, files: &[(&str, String)]) -> Option<Self> {
        // Somebody else may take the free port before the registry does.
        let found = (0..PORTS).find_map(|_| Self::try_run(more, http, files).ok());
        found.expect("docker-registry ends at once")
    }

    /// An error when it ended at once; nothing when there is no such program.
    fn try_run(more: &str, http: &str, files: &[(&str, String)]) -> Result<Option<Self>, std::process::ExitStatus> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let here = directory.path().display().to_string();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).expect("a file of the registry");
        }
        let address =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").to_string();
        let configuration = format!(
            "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '{address}'{http}}}\nstorage: {{filesystem: {{rootdirectory: HERE}}}}\n{more}"
        );
        let path = directory.path().join("config.yml");
        std::fs::write(&path, configuration.replace("HERE", &here)).expect("a configuration");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
        let child = match command.spawn() {
            Ok(child) => child,
            Err(cause) => {
                missing(&format!("docker-registry is missing ({cause}); get it by `tests/peers/install --system`"));
                return Ok(None);
            }
        };
        let mut registry = Self { child, address, directory };
        registry.wait().map(|()| Some(registry))
    }

    /// Until it answers.
    fn wait(&mut self) -> Result<(), std::process::ExitStatus> {
        let start = Instant::now();
        while TcpStream::connect(&self.address).is_err() {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return Err(status);
            }
            assert!(start.elapsed() < Duration::from_secs(20), "docker-registry does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// What is left of uploads that were started and neither finished nor cancelled; of a cancelled one it keeps the state of
    /// its hash.
    pub fn unfinished_uploads(&self) -> Vec<PathBuf> {
        let files = files_below(self.directory.path()).into_keys().map(PathBuf::from);
        files
            .filter(|path| path.iter().any(|part| part == "_uploads") && !path.iter().any(|part| part == "hashstates"))
            .collect()
    }

    /// Takes all manifests and tags of a repository away, as somebody who cleans up does.
    pub fn remove_manifests(&self, repository: &str) {
        let below = format!("docker/registry/v2/repositories/{repository}/_manifests");
        std::fs::remove_dir_all(self.directory.path().join(below)).expect("removed");
    }

    /// The file of a blob or manifest.
    pub fn data_of(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").expect("a digest");
        self.directory.path().join(format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
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

//! Independent registries as peers: Debian's `docker-registry`, which is distribution 2, and distribution 3.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::token_server::TokenServer;
use super::{files_below, missing, peer};

/// Number of free ports that are tried.
const PORTS: usize = 5;

/// The user that a registry with passwords accepts.
pub const USER: &str = "docker-user";
/// The password of that user.
pub const PASSWORD: &str = "docker-secret";
/// The bcrypt hash of the password.
const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuV1ceFQaoGHhr09XXIsl7c//3ORIUL0K";

/// The part of the `http` configuration that enables TLS.
const TLS: &str = ", tls: {certificate: 'HERE/tls.pem', key: 'HERE/tls.key'}";
/// All registries, in the order in which they are started.
const PROGRAMS: [Program; 2] = [Program::Distribution2, Program::Distribution3];

/// The implementation of a registry.
#[derive(Clone, Copy, Debug)]
enum Program {
    Distribution2,
    Distribution3,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::Distribution2 => "docker-registry",
            Self::Distribution3 => "distribution",
        }
    }

    /// Returns the program, or `None` after reporting that it is missing.
    fn find(self) -> Option<PathBuf> {
        let name = self.name();
        let found = peer(name);
        if found.is_none() {
            missing(&format!("{name} is missing; get it by `tests/peers/install --system`"));
        }
        found
    }
}

/// A running registry, which is killed on drop.
#[derive(Debug)]
pub struct DockerRegistry {
    child: Child,
    address: String,
    directory: tempfile::TempDir,
}

impl DockerRegistry {
    /// Starts `docker-registry`, or reports that it is missing. With `ALGA_PEERS=require` in the environment, a missing
    /// program fails the test.
    pub fn start() -> Option<Self> {
        Self::run(Program::Distribution2, "", "", &[])
    }

    /// Starts each installed registry, one after another. A missing one is reported as by [`Self::start`].
    pub fn each() -> impl Iterator<Item = Self> {
        PROGRAMS.into_iter().filter_map(|program| Self::run(program, "", "", &[]))
    }

    /// Starts each registry so that it accepts only [`USER`] with [`PASSWORD`].
    pub fn each_with_password() -> impl Iterator<Item = Self> {
        let auth = "auth: {htpasswd: {realm: test, path: 'HERE/htpasswd'}}\n";
        PROGRAMS
            .into_iter()
            .filter_map(move |program| Self::run(program, auth, "", &[("htpasswd", format!("{USER}:{HASH}\n"))]))
    }

    /// Starts each registry over TLS for `registry.example`, with tokens of a server. Also returns the certificate to
    /// trust.
    pub fn each_with_tokens(server: &TokenServer) -> impl Iterator<Item = (Self, String)> {
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
        PROGRAMS.into_iter().filter_map(move |program| {
            Self::run(program, &auth, TLS, &files).map(|registry| (registry, own.cert.pem()))
        })
    }

    /// Starts `docker-registry` over TLS for the address of this machine. Also returns the certificate to trust.
    pub fn with_tls() -> Option<(Self, String)> {
        let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
        let files = [("tls.pem", own.cert.pem()), ("tls.key", own.signing_key.serialize_pem())];
        Self::run(Program::Distribution2, "", TLS, &files).map(|registry| (registry, own.cert.pem()))
    }

    /// Starts a registry with additional configuration, in general and for `http`. `HERE` in both is the registry's own
    /// directory, which contains `files`.
    fn run(program: Program, more: &str, http: &str, files: &[(&str, String)]) -> Option<Self> {
        let path = program.find()?;
        // Another process may take the free port before the registry does.
        let found = (0..PORTS).find_map(|_| Self::try_run(&path, more, http, files).ok());
        Some(found.unwrap_or_else(|| panic!("{} ends at once", program.name())))
    }

    /// Returns an error when the program ends at once.
    fn try_run(program: &Path, more: &str, http: &str, files: &[(&str, String)]) -> Result<Self, ExitStatus> {
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
        let mut command = Command::new(program);
        // Distribution 3 sends traces to a server on this machine unless this is turned off.
        command.env("OTEL_TRACES_EXPORTER", "none");
        command.arg("serve").arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
        let mut registry = Self { child: command.spawn().expect("a registry"), address, directory };
        registry.wait().map(|()| registry)
    }

    /// Waits until the registry answers.
    fn wait(&mut self) -> Result<(), ExitStatus> {
        let start = Instant::now();
        while TcpStream::connect(&self.address).is_err() {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return Err(status);
            }
            assert!(start.elapsed() < Duration::from_secs(20), "the registry does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Returns the files of uploads that were neither finished nor cancelled. The hash states that a cancelled upload
    /// leaves are not counted.
    pub fn unfinished_uploads(&self) -> Vec<PathBuf> {
        let files = files_below(self.directory.path()).into_keys().map(PathBuf::from);
        files
            .filter(|path| path.iter().any(|part| part == "_uploads") && !path.iter().any(|part| part == "hashstates"))
            .collect()
    }

    /// Removes all manifests and tags of a repository, as a clean-up job does.
    pub fn remove_manifests(&self, repository: &str) {
        let below = format!("docker/registry/v2/repositories/{repository}/_manifests");
        std::fs::remove_dir_all(self.directory.path().join(below)).expect("removed");
    }

    /// Returns the file of a blob or manifest.
    pub fn data_of(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").expect("a digest");
        self.directory.path().join(format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
    }

    /// Returns the address, `HOST:PORT`.
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

//! How a command runs: its runtime, signals, configuration, and the store that its flags name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use alga_release::config::Config;
use alga_release::credentials::Login;
use alga_release::oci::Digest;
use alga_release::ops::{RETRY_FOR, StoreRequest};

use crate::args::{ConfigurationArgs, StoreArgs};
use crate::environment;
use crate::failure::Failure;

impl StoreArgs {
    /// Returns the store that the flags name. The password is read from standard input, when it is there.
    pub fn request(&self, config: &Config) -> Result<StoreRequest, Failure> {
        self.request_with(config, RETRY_FOR)
    }

    /// Returns the same with the time for which requests are repeated unless a flag says otherwise.
    pub fn request_with(&self, config: &Config, retry_for: Duration) -> Result<StoreRequest, Failure> {
        let mut request = StoreRequest::new(config);
        if let Some(store) = &self.store {
            request.store.clone_from(store);
        }
        request.prefix.clone_from(&self.prefix);
        request.plain_http = self.plain_http;
        request.insecure = self.insecure;
        request.retry_for = self.retry_for.unwrap_or(retry_for);
        if let Some(path) = &self.ca_file {
            request.trust(path, "--ca-file")?;
        }
        if let Some(username) = &self.username {
            let source = "--username and standard input";
            request.login = Some(Login::read(username, std::io::stdin(), source)?);
        }
        Ok(request)
    }
}

/// The work, unless a signal comes first.
pub async fn until_signal<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |cause| Failure::io("listening for signals", cause);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        result = work => result,
        _ = interrupt.recv() => Err(Failure::signal(130)),
        _ = terminate.recv() => Err(Failure::signal(143)),
    }
}

/// The configuration, for commands that read no source tree.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigArgs {
    /// Configuration file [default: `alga-release.yaml` in this directory]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl ConfigArgs {
    pub fn load(&self) -> Result<Config, Failure> {
        let args = ConfigurationArgs { config: self.config.clone(), profile: None };
        environment::configuration(Path::new("."), &args)
    }
}

/// A runtime on this thread.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|cause| Failure::io("starting", cause))
}

/// A digest that an argument names.
pub fn digest(flag: &str, text: &str) -> Result<Digest, Failure> {
    text.parse().map_err(|cause| Failure::usage(format!("{flag}: {cause}")))
}

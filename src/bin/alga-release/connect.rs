//! How a command runs: its runtime, signals, configuration, and the store that its flags name.

use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use alga_release::config::{Config, GivenBy};
use alga_release::credentials::Login;
use alga_release::image::archive::Input;
use alga_release::oci::{Location, Prefix, Tag};
use alga_release::ops::StoreRequest;
use alga_release::release::Address;
use futures_util::future::select_all;
use signal_hook::flag;
use tokio::signal::unix::{SignalKind, signal};

use crate::environment;
use crate::failure::{FAILED, Failure};
use crate::flags::{ConfigurationArgs, StoreArgs};
use crate::log::Log;

impl StoreArgs {
    /// Returns the store that the flags name. The password is read from standard input, when it is there.
    pub fn request(&self, config: &Config) -> Result<StoreRequest, Failure> {
        if self.insecure && self.ca_file.is_some() {
            return Err(Failure::usage("`--insecure` cannot be used with `--ca-file` (or ALGA_CA_FILE)"));
        }
        if self.username.is_some() != self.password_stdin {
            return Err(Failure::usage("`--username` and `--password-stdin` must be used together"));
        }
        let mut request = StoreRequest::new(config);
        if let Some(store) = &self.store {
            request.store.clone_from(store);
        }
        request.prefix.clone_from(&self.prefix);
        request.plain_http = self.plain_http;
        request.insecure = self.insecure;
        request.auth_realms.extend_from_slice(&self.auth_realm);
        request.retry_for = self.retry_for;
        if let Some(path) = &self.ca_file {
            request.trust(path, "--ca-file")?;
        }
        if let Some(username) = &self.username {
            let source = "standard input";
            request.login = Some(Login::read(username, std::io::stdin(), source)?);
        }
        Ok(request)
    }
}

/// Parses the name of a release, and enters the place in it into configuration and flags. Returns the channel, version or digest.
pub fn locate(word: &str, store: &mut StoreArgs, config: &mut Config) -> Result<String, Failure> {
    let address = Address::parse(word, store.store.as_deref(), config, store.plain_http)?;
    address.enter(config);
    if let (None, Location::Registry(prefix)) = (&store.store, &address.location)
        && prefix.to_string() != config.prefix
    {
        store.store = Some(prefix.to_string());
    }
    if let Some(prefix) = &store.prefix {
        config.prefix = Prefix::parse(prefix, store.plain_http)?.to_string();
        config.given.insert("prefix".to_owned(), GivenBy { name: "--prefix".to_owned(), explicit: true });
    }
    Ok(address.selector.to_string())
}

/// Parses the name of a channel. A name with a repository is a channel even if the configuration does not list it.
pub fn locate_channel(word: &str, store: &mut StoreArgs, config: &mut Config) -> Result<String, Failure> {
    let name = locate(word, store, config)?;
    if name != word
        && let Ok(channel) = name.parse()
        && !config.channels.contains(&channel)
    {
        config.channels.push(channel);
    }
    Ok(name)
}

/// Signals that end a command, with the exit codes that shells give to a program that was ended by them.
const SIGNALS: [(SignalKind, u8); 3] =
    [(SignalKind::hangup(), 129), (SignalKind::interrupt(), 130), (SignalKind::terminate(), 143)];

/// Waits for the work, unless a signal comes first, or `--timeout` is over. A second signal ends the program at once: the first one may find it where
/// it cannot stop, as while it waits for a password.
async fn until_stopped<T>(
    log: &Log,
    timeout: Option<Duration>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let failed = |cause| Failure::io("to listen for signals", cause);
    let is_second = Arc::new(AtomicBool::new(false));
    let mut signals = Vec::new();
    for (kind, code) in SIGNALS {
        flag::register_conditional_shutdown(kind.as_raw_value(), code.into(), Arc::clone(&is_second))
            .map_err(failed)?;
        flag::register(kind.as_raw_value(), Arc::clone(&is_second)).map_err(failed)?;
        signals.push((signal(kind).map_err(failed)?, code));
    }
    let received = signals.iter_mut().map(|(signal, code)| Box::pin(async { signal.recv().await.map(|()| *code) }));
    tokio::select! {
        result = work => result,
        () = tokio::time::sleep(timeout.unwrap_or_default()), if timeout.is_some() => {
            Err(Failure::timed_out(timeout, log.interrupted()))
        }
        (code, ..) = select_all(received) => Err(Failure::signal(code.unwrap_or(FAILED), log.interrupted())),
    }
}

/// Runs an operation to its end, unless a signal comes first, or `--timeout` is over, and removes the progress bars.
pub fn block_on<T>(
    log: &Log,
    timeout: Option<Duration>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = runtime()?;
    let result = runtime.block_on(until_stopped(log, timeout, work));
    // A thread that still reads a large archive or a pipe must not hold up the end of the program.
    runtime.shutdown_background();
    log.done();
    result
}

impl ConfigurationArgs {
    /// Returns the configuration of a command that reads no source tree.
    pub fn load(&self) -> Result<Config, Failure> {
        environment::configuration(Path::new("."), self, None)
    }
}

/// Returns the input that an image archive is read from; `-` is standard input.
pub fn archive(path: &Path) -> Result<Input, Failure> {
    if path.as_os_str() == "-" {
        return Ok(Input::Pipe(Box::new(std::io::stdin())));
    }
    // A name that leads nowhere is a mistake in the arguments. An archive that is there and cannot be read has failed.
    match path.symlink_metadata() {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            Err(Failure::usage(format!("cannot read the image archive {}: {cause}", path.display())))
        }
        _ => Ok(Input::Path(path.to_owned())),
    }
}

/// Checks that standard input is not both the archive and the password.
pub fn check_stdin(archive: &Path, store: &StoreArgs) -> Result<(), Failure> {
    if archive.as_os_str() == "-" && store.password_stdin {
        return Err(Failure::usage("standard input cannot be both the archive and the password"));
    }
    Ok(())
}

/// Returns an async runtime on this thread.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|cause| Failure::io("to start the async runtime", cause))
}

/// Parses a tag, a repository or a digest that a flag gives.
pub fn parsed<T: FromStr<Err: Display>>(flag: &str, text: &str) -> Result<T, Failure> {
    if text.is_empty() {
        return Err(Failure::usage(format!("missing value for `{flag}`")));
    }
    text.parse().map_err(|cause| {
        let wrong = Failure::usage(format!("{flag}: {cause}"));
        let without = text.replace('+', "-");
        let is_plus = text.contains('+') && without.parse::<Tag>().is_ok();
        if is_plus { wrong.hint(format!("use `{without}`: a tag has no `+`")) } else { wrong }
    })
}

//! The resolver on the appliance: a channel, a version or a digest becomes one validated release.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the one place that talks to people")]
#![allow(clippy::disallowed_methods, reason = "the one place that reads clock and environment")]

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use alga_release::config::{Config, FILE_NAME};
use alga_release::oci::{self, Certificates, Location, Options, ReadStore, Selector};
use alga_release::release::{self, ResolveError, ResolveKind};
use alga_release::text::clean;

const HELP: &str = "\
Resolve a channel, a version or a digest to one immutable release

Usage: alga-resolve resolve [OPTIONS] CHANNEL|VERSION|DIGEST

The validated release manifest goes to standard output, as JSON, byte for byte as it was published.

Options:
      --store STORE      where releases are: HOST[:PORT][/PATH] or oci-layout:DIR [default: the configured prefix]
      --config FILE      configuration file [default: none, the built-in defaults hold]
      --plain-http       talk plain HTTP to the registry (loopback needs no flag)
      --ca-file FILE     trust these CA certificates beside the system's (PEM)
      --timeout SECONDS  give up after so long [default: 60]
      --output FORMAT    json: the release itself; text: a summary [default: json]
  -h, --help             print this
  -V, --version          print the version

Examples:
  alga-resolve resolve stable
  alga-resolve resolve nightly --store oci-layout:/media/release
  alga-resolve resolve 1.0.3 --store registry.example.com:5000/team --output text

Exit codes: 0 resolved, 1 not a valid release or other bytes than its digest says, 3 there is no such channel, version or
digest, 4 refused credentials, 9 usage or configuration, 75 the store cannot be reached (try again later).
";

/// Largest configuration file that is read.
const CONFIG_LIMIT: u64 = 1 << 20;

#[derive(Debug)]
struct Args {
    reference: String,
    store: Option<String>,
    config: Option<PathBuf>,
    plain_http: bool,
    ca_file: Option<PathBuf>,
    timeout: Duration,
    text: bool,
}

#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
    hint: Option<&'static str>,
}

fn usage(message: impl Into<String>) -> Failure {
    Failure { code: 9, message: message.into(), hint: Some("see alga-resolve --help") }
}

fn main() -> ExitCode {
    match parse(std::env::args_os().skip(1)).and_then(|args| args.map_or(Ok(()), |args| run(&args))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", clean(&failure.message));
            if let Some(hint) = failure.hint {
                eprintln!("hint: {hint}");
            }
            ExitCode::from(failure.code)
        }
    }
}

/// Nothing when help or version was asked for, and given.
fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Option<Args>, Failure> {
    use lexopt::prelude::*;
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut words: Vec<String> = Vec::new();
    let (mut store, mut config, mut ca_file, mut plain_http, mut text) = (None, None, None, false, false);
    let mut timeout = Duration::from_mins(1);
    let wrong = |error: lexopt::Error| usage(error.to_string());
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Short('h') | Long("help") => return print(HELP.as_bytes()).map(|()| None),
            Short('V') | Long("version") => {
                return print(concat!("alga-resolve ", env!("CARGO_PKG_VERSION"), "\n").as_bytes()).map(|()| None);
            }
            Long("store") => store = Some(parser.value().and_then(lexopt::ValueExt::string).map_err(wrong)?),
            Long("config") => config = Some(PathBuf::from(parser.value().map_err(wrong)?)),
            Long("ca-file") => ca_file = Some(PathBuf::from(parser.value().map_err(wrong)?)),
            Long("plain-http") => plain_http = true,
            Long("timeout") => {
                let seconds: f64 = parser.value().and_then(|value| value.parse()).map_err(wrong)?;
                timeout = Duration::try_from_secs_f64(seconds).map_err(|_| usage("--timeout: want seconds"))?;
            }
            Long("output") => match parser.value().and_then(lexopt::ValueExt::string).map_err(wrong)?.as_str() {
                "json" => text = false,
                "text" => text = true,
                other => return Err(usage(format!("--output {other}: want json or text"))),
            },
            Value(word) => words.push(word.string().map_err(wrong)?),
            Short(_) | Long(_) => return Err(wrong(argument.unexpected())),
        }
    }
    let mut words = words.into_iter();
    match (words.next().as_deref(), words.next(), words.next()) {
        (Some("resolve"), Some(reference), None) => {
            Ok(Some(Args { reference, store, config, plain_http, ca_file, timeout, text }))
        }
        (Some("resolve"), None, _) => Err(usage("which release? want CHANNEL, VERSION or DIGEST")),
        (Some("resolve"), _, Some(word)) => Err(usage(format!("unexpected `{word}`"))),
        (Some(other), ..) => Err(usage(format!("there is no command `{other}`"))),
        (None, ..) => Err(usage("want a command")),
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let config = configuration(args)?;
    let invalid = |cause: oci::InvalidReference| usage(cause.to_string());
    let location =
        Location::parse(args.store.as_deref().unwrap_or(&config.prefix), args.plain_http).map_err(invalid)?;
    let selector: Selector = args.reference.parse().map_err(invalid)?;
    let options = Options { ca: certificates(args.ca_file.as_deref())?, ..Options::default() };
    let store = ReadStore::open(&location, options).map_err(|cause| failure(&cause.into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| Failure { code: 1, message: cause.to_string(), hint: None })?;
    let work = release::resolve(&store, &config.repositories.release, &selector);
    let resolved = runtime.block_on(async { tokio::time::timeout(args.timeout, work).await });
    // A name that is still being looked up would hold the process: nobody waits for it.
    runtime.shutdown_background();
    let resolved = resolved.map_err(|_| Failure {
        code: 75,
        message: format!("{location} did not answer within {} s", args.timeout.as_secs_f64()),
        hint: Some("try again later, or give it longer with --timeout"),
    })?;
    let resolved = resolved.map_err(|error| failure(&error))?;
    resolved.release.require_images(config.images.keys()).map_err(|cause| Failure {
        code: 1,
        message: format!("the release {} is not valid: {cause}", resolved.release_digest),
        hint: Some("the configuration's `images` says which keys a release must have: --config"),
    })?;
    if args.text { print(summary(&resolved).as_bytes()) } else { print(&resolved.json) }
}

fn configuration(args: &Args) -> Result<Config, Failure> {
    let Some(path) = &args.config else { return Ok(Config::default()) };
    let name = path.display().to_string();
    let too_large = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > CONFIG_LIMIT);
    if too_large {
        return Err(usage(format!("{name}: no {FILE_NAME}, it is larger than 1 MiB")));
    }
    let text = std::fs::read_to_string(path).map_err(|cause| usage(format!("{name}: {cause}")))?;
    Config::parse(&text, &name).map_err(|cause| usage(cause.to_string()))
}

fn certificates(path: Option<&Path>) -> Result<Certificates, Failure> {
    let Some(path) = path else { return Ok(Certificates::default()) };
    let wrong = |cause: &dyn std::fmt::Display| usage(format!("--ca-file {}: {cause}", path.display()));
    let pem = std::fs::read(path).map_err(|cause| wrong(&cause))?;
    Certificates::parse(&pem).map_err(|cause| wrong(&cause))
}

fn summary(resolved: &release::Resolved) -> String {
    let release = &resolved.release;
    let record = resolved.record.as_ref().map_or_else(String::new, |record| {
        format!("channel  {} (move {}, {})\n", record.name, record.sequence, record.moved)
    });
    let bundle = &release.config;
    clean(&format!(
        "version  {}\nrelease  {}\n{record}bundle   {}@{}\n",
        release.version, resolved.release_digest, bundle.repository, bundle.digest
    ))
}

fn failure(error: &ResolveError) -> Failure {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    let (code, hint) = match error.kind() {
        ResolveKind::Store(oci::Kind::NotFound) => {
            (3, Some("look at the name of the channel or version, and at the store"))
        }
        ResolveKind::Store(oci::Kind::Denied) => (4, Some("the store does not let the public read releases")),
        ResolveKind::Store(oci::Kind::Unavailable) => (75, Some("the store cannot be reached: try again later")),
        _ => (1, None),
    };
    Failure { code, message, hint }
}

/// Writes all of `bytes`; a reader that has gone away is no failure.
fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure { code: 1, message: format!("writing the result: {cause}"), hint: None })
        }
        _ => Ok(()),
    }
}

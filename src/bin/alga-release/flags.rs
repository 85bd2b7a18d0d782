//! Groups of flags that several commands share.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alga_release::ops::RevisionRequest;
use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::de::DeserializeOwned;

use crate::signing::SigningArgs;

/// Flags of every command that works on a store: store, configuration and output.
#[derive(Clone, Debug, clap::Args)]
pub struct Common<F: OutputFormat = Format> {
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub configuration: ConfigurationArgs,
    #[command(flatten)]
    pub output: OutputArgs<F>,
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Store")]
pub struct StoreArgs {
    /// Store: `HOST[:PORT][/PATH]`, `oci-layout:DIR`, or, to read from, `oci-archive:FILE` [default: the configured prefix]
    #[arg(long, short, value_name = "STORE", global = true, env = "ALGA_STORE")]
    pub store: Option<String>,
    /// Registry and path under which appliances read the release [default: the store if it is a registry, else the configured prefix]
    #[arg(long, value_name = "HOST/PATH", global = true, env = "ALGA_PREFIX")]
    pub prefix: Option<String>,
    /// Use plain HTTP for the registry; a registry on this machine needs no flag
    #[arg(long, global = true)]
    pub plain_http: bool,
    /// Trust the CA certificates in this PEM file as well as those of the system
    #[arg(long, value_name = "FILE", global = true, env = "ALGA_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// Send credentials to the token server on this host if the registry names it (repeatable)
    #[arg(long, value_name = "HOST[:PORT]", global = true)]
    pub auth_realm: Vec<String>,
    /// Accept any certificate: the connection may then be intercepted, and its content read or replaced
    #[arg(long, global = true)]
    pub insecure: bool,
    /// How long to retry a request after transient errors: `90s`, `5m`, `1h`, `0` for no retry. A host name that has never resolved is
    /// retried for 5 s at most [default: 30s if the store is only read, 5m if it is written, 0 in `doctor`]
    #[arg(long, value_name = "DURATION", value_parser = duration, global = true, env = "ALGA_RETRY_FOR")]
    pub retry_for: Option<Duration>,
    /// Give up the whole command after this long, with exit code 75: `90s`, `5m`, `1h` [default: no limit]
    #[arg(long, value_name = "DURATION", value_parser = duration, global = true, env = "ALGA_TIMEOUT")]
    pub timeout: Option<Duration>,
    /// User of the registry, with `--password-stdin` [default: credentials of docker or podman, or of gh for ghcr.io, else anonymous]
    #[arg(long, value_name = "NAME", global = true)]
    pub username: Option<String>,
    /// Read the password or token of `--username` from standard input
    #[arg(long, global = true)]
    pub password_stdin: bool,
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigurationArgs {
    /// Configuration file [default: `alga-release.yaml` in the source tree, or in this directory]
    #[arg(long, short, value_name = "FILE", global = true, env = "ALGA_CONFIG")]
    pub config: Option<PathBuf>,
}

impl ConfigurationArgs {
    /// Returns the directory that paths in the configuration are below, for commands without a source tree.
    pub fn root(&self) -> &Path {
        self.config.as_deref().and_then(Path::parent).unwrap_or(Path::new("."))
    }
}

/// The flag of commands that make a release.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub struct ProfileArgs {
    /// Profile whose values go into the release [default: the configured profile]
    #[arg(long, value_name = "NAME", env = "ALGA_PROFILE")]
    pub profile: Option<String>,
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs<F: OutputFormat = Format> {
    /// Format of the result on standard output
    #[arg(long, short, value_enum, default_value_t)]
    pub output: F,
}

/// What a command writes to standard error.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct LogArgs {
    /// Format of messages on standard error
    #[arg(long, value_enum, default_value_t, global = true, env = "ALGA_LOG_FORMAT")]
    pub log_format: Format,
    /// Print only warnings and errors on standard error
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more: `-v` for details, `-vv` for every request
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl LogArgs {
    /// Reads the format of the messages from arguments that as a whole are not valid.
    pub fn of_mistaken(arguments: &[OsString]) -> Self {
        let given =
            arguments.iter().position(|argument| argument == "--log-format").and_then(|at| arguments.get(at + 1));
        let variable = || std::env::var_os("ALGA_LOG_FORMAT");
        let is_json = arguments.iter().any(|argument| argument == "--log-format=json")
            || given.cloned().or_else(variable).is_some_and(|format| format == "json");
        Self { log_format: if is_json { Format::Json } else { Format::Text }, quiet: false, verbose: 0 }
    }
}

/// An enum of the formats that `--output` of a command offers.
pub trait OutputFormat: ValueEnum + Default + Send + Sync + 'static {}

impl<F: ValueEnum + Default + Send + Sync + 'static> OutputFormat for F {}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// Flags that say which commit a source tree is of. They win over what git says.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Source")]
pub struct RevisionArgs {
    /// Commit of the source tree [default: the commit that git has checked out]
    #[arg(long, value_name = "HEX")]
    pub source_commit: Option<String>,
    /// URL of the source repository [default: the configured URL, else the remote of git]
    #[arg(long, value_name = "URL")]
    pub source_url: Option<String>,
    /// Time of the release, in seconds since 1970 [default: `SOURCE_DATE_EPOCH`, else the time of the commit]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub epoch: Option<i64>,
}

impl RevisionArgs {
    pub fn request(&self) -> RevisionRequest {
        let Self { source_commit, source_url, epoch } = self.clone();
        RevisionRequest { commit: source_commit, source_url, epoch }
    }
}

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "For the next step of a workflow")]
pub struct OutputsArgs {
    /// Write the files digest, version, has-changes, changes.json, report.md and report.html into this directory; a command that
    /// moves a channel also writes plan-digest and channel-digest
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
}

/// Flags of a move of a channel: what the move is bound to, and who makes it.
#[derive(Debug, clap::Args)]
pub struct Approval {
    /// Show what would change and the plan; write nothing. `--dry-run=false` is for workflows, which cannot omit a flag
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true", hide_default_value = true, hide_possible_values = true)]
    pub dry_run: bool,
    /// Carry out only the plan with this digest; repeat an interrupted run with the same digest
    #[arg(long, value_name = "DIGEST")]
    pub if_plan: Option<String>,
    /// Carry out only the plan in this file, the `--output json` of a dry run; if the plan differs, list the differences
    #[arg(long, value_name = "FILE", conflicts_with = "if_plan")]
    pub approved: Option<PathBuf>,
    /// Move the channel only if its manifest has this digest; `none` for a channel that serves nothing yet
    #[arg(long, value_name = "DIGEST")]
    pub if_current: Option<String>,
    /// Number the next move after N: for a statement N that was signed and never published, or a recorded move N that is far ahead
    #[arg(long, value_name = "N")]
    pub accept_sequence: Option<u64>,
    /// Who moves the channel, for its history [default: the user that the CI system names, else USER@HOST]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    #[command(flatten)]
    pub signing: SigningArgs,
}

/// Flags that give the tags of application images.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Source")]
pub struct ImageArgs {
    /// Tag of an application image (repeatable); wins over `--images` and release.json
    #[arg(long = "image", value_name = "KEY=TAG", value_parser = key_value)]
    pub images: Vec<(String, String)>,
    /// File with the tags of application images: a JSON map or a release.json
    #[arg(long = "images", value_name = "FILE")]
    pub images_file: Option<PathBuf>,
}

/// The values of `--render`.
pub const RENDER: [&str; 3] = ["off", "auto", "require"];

/// Returns a parser of words that the configuration file also has.
pub fn words<T: DeserializeOwned + Clone + Send + Sync + 'static>(
    words: impl IntoIterator<Item = &'static str>,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(words).try_map(|word| serde_json::from_value::<T>(word.into()))
}

/// Parses the value `KEY=TAG` of a flag.
pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected `KEY=TAG`".to_owned()),
    }
}

/// Parses a duration such as `90s`, `5m` or `1h30m`; `0` needs no unit.
fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    parsed.ok_or_else(|| "expected a duration such as `90s`, `5m`, `1h` or `0`".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[test]
    fn a_duration_has_a_unit() {
        for (text, seconds) in [("0", 0), ("90s", 90), ("5m", 300), ("1h", 3600), ("1h30m", 5400), ("0s", 0)] {
            assert_eq!(super::duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "-5m", "5 parsecs", "P1Y", "1mo"] {
            assert!(super::duration(text).is_err(), "{text}");
        }
    }
}

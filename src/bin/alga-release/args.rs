//! Flags, as people write them. Groups that several commands share are structs of their own.

use std::path::PathBuf;
use std::time::Duration;

use alga_release::image::{Check, Platform};
use alga_release::ops::RevisionRequest;
use clap::{Parser, Subcommand, ValueEnum};

/// Publish Helm charts, a Flux overlay and a release manifest to an OCI registry, as one release.
#[derive(Debug, Parser)]
#[command(
    name = "alga-release",
    version,
    max_term_width = 100,
    after_help = "\
Exit codes: 0 done or nothing to do, 1 failed, 2 changes (with --detailed-exitcode alone),
3 refused by a rule, 4 authentication or permission, 9 usage or configuration,
75 temporary (try again later), 130 and 143 signals."
)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publish a source tree: charts, config bundle, release manifest, and last the channel
    #[command(after_help = "\
Examples:
  # into a directory of OCI layouts: no server, no account
  alga-release publish . --version 1.0.3 --channel nightly --store oci-layout:out

  # what would be published, with every digest; writes nothing
  alga-release publish . --version 1.0.3 --channel nightly --dry-run

  # to a registry, with a token from a file
  ALGA_REGISTRY_TOKEN_FILE=/run/secrets/token ALGA_REGISTRY_USERNAME=me \\
    alga-release publish . --version 1.0.3 --channel nightly --store ghcr.io/nine-minds

  # other image tags than the tree's release.json says
  alga-release publish . --version 1.0.4-rc1 --channel nightly --image algaCore=62cdce38")]
    Publish(Box<PublishArgs>),
    /// Show what changes from one release to another
    #[command(after_help = "\
A and B are a channel, a version, a digest (sha256:…) or a source tree (./path, with --version).

Examples:
  # what customers of stable would get
  alga-release diff stable nightly

  # what publishing this tree would change, as a comment for a pull request
  alga-release diff nightly ./ --version 1.0.4 --output markdown

  # for a workflow: files to read, and exit code 2 when something changes
  alga-release diff stable nightly --output-dir out --detailed-exitcode

  # the same version in two stores
  alga-release diff 1.0.3 1.0.3 --store ghcr.io/nine-minds --other-store oci-layout:mirror")]
    Diff(Box<DiffArgs>),
    /// Container images: the control plane's
    Image(Box<crate::image::Args>),
    /// Can I publish? Asks each repository of a release, without leaving anything behind
    #[command(after_help = "\
Examples:
  # the repositories of the tree in this directory
  alga-release doctor --store ghcr.io/nine-minds

  # those of the release that a channel serves, for a program
  alga-release doctor --channel stable --output json

Exit codes: 0 all is well, 1 it is no registry, 3 something may not be written, or not be read by the
public, 4 not authenticated, 75 the registry cannot be reached.")]
    Doctor(crate::doctor::Args),
    /// Let a channel serve a release that is published already
    #[command(after_help = "\
Examples:
  # what would move; the plan's digest and the channel's are what an approval speaks of
  alga-release promote --from nightly --to stable --dry-run

  # exactly that, and nothing that changed since
  alga-release promote --from nightly --to stable --if-plan sha256:… --if-current sha256:…

  # only what nightly has served for a day
  alga-release promote --from nightly --to stable --min-age 24h

  # from the registry of the builds to the one that customers read
  alga-release promote --from nightly --to stable --store ci.example.com/alga \\
    --to-store ghcr.io/nine-minds --rewrite-prefix")]
    Promote(Box<crate::promote::Args>),
    /// Take a channel back to a release, deliberately
    #[command(after_help = "\
Examples:
  alga-release rollback stable --to previous --reason 'login fails'
  alga-release rollback stable --to 1.0.3 --reason 'login fails' --dry-run")]
    Rollback(Box<crate::rollback::Args>),
    /// Show what a channel has served: when, by whom, from where, why
    #[command(after_help = "\
Examples:
  alga-release history stable
  alga-release history stable --to-time 2026-11-20T17:00:00Z
  alga-release history stable --moves 100 --output json")]
    History(crate::history::Args),
    /// Read a release back: every byte and every reference
    #[command(after_help = "\
Examples:
  alga-release verify stable
  alga-release verify 1.0.3 --store oci-layout:/media/release --offline
  alga-release verify --all-channels --output json")]
    Verify(crate::verify::Args),
    /// List every tag and digest that retention rules of the registry must keep
    #[command(after_help = "\
Examples:
  alga-release in-use --moves 10
  alga-release in-use --format keep-list > keep.txt")]
    InUse(crate::in_use::Args),
    /// Copy a whole release with everything that it names: to a mirror, to a disk, from a disk
    #[command(after_help = "\
REF is what --store serves; STORE is where it goes.

Examples:
  # onto a disk, every digest as it is
  alga-release copy stable oci-archive:/media/release.tar

  # from there to a registry that appliances without internet read, and let its channel serve it
  alga-release copy 1.0.3 mirror.local:5000/alga --store oci-archive:/media/release.tar \\
    --rewrite-prefix --channel stable

  # how much would move
  alga-release copy stable oci-layout:mirror --platform linux/amd64 --dry-run")]
    Copy(Box<crate::copy::Args>),
    /// Print the effective configuration and where each value came from
    #[command(after_help = "\
Examples:
  alga-release config
  alga-release config path/to/tree --output json")]
    Config(ConfigArgs),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  alga-release completions bash > /etc/bash_completion.d/alga-release")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(after_help = "Example:\n  alga-release man | man -l -")]
    Man,
}

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct PublishArgs {
    /// Root of the source tree
    #[arg(default_value = ".")]
    pub source: PathBuf,
    /// Version of the release: a tag, ordered as SemVer
    #[arg(long, value_name = "VERSION")]
    pub version: String,
    /// Channel that shall serve it
    #[arg(long, required_unless_present = "no_channel")]
    pub channel: Option<String>,
    /// Publish the version alone; no channel moves
    #[arg(long)]
    pub no_channel: bool,
    /// Show what would change against what the channel serves, and the plan; write nothing anywhere. `--dry-run=false` is for
    /// workflows, which cannot leave a flag out
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true", hide_default_value = true, hide_possible_values = true)]
    pub dry_run: bool,
    /// Tag of an application image (repeatable)
    #[arg(long = "image", value_name = "KEY=TAG", value_parser = key_value)]
    pub images: Vec<(String, String)>,
    /// Tags of application images: a JSON map, or a release.json
    #[arg(long = "images", value_name = "FILE")]
    pub images_file: Option<PathBuf>,
    /// Control-plane image: a tag, a digest or a full reference; empty for none
    #[arg(long, value_name = "REF")]
    pub control_plane: Option<String>,
    /// Push the control-plane image out of this archive with the release: as `image push`
    #[arg(long, value_name = "ARCHIVE", conflicts_with = "control_plane")]
    pub control_plane_archive: Option<PathBuf>,
    /// Platform that the images must be for
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", default_value = "linux/amd64")]
    pub platform: Platform,
    /// What happens when an image is not there, or is for another platform [default: require in a registry, warn in a layout]
    #[arg(long, value_enum)]
    pub image_check: Option<ImageCheck>,
    /// How releases are pinned to charts
    #[arg(long, value_enum)]
    pub chart_pin: Option<ChartPin>,
    /// Under which version charts are published
    #[arg(long, value_enum)]
    pub chart_version: Option<ChartVersion>,
    /// Publish files that are not committed; marks the revision `-dirty`
    #[arg(long)]
    pub allow_dirty: bool,
    /// Let a channel move between versions that have no order
    #[arg(long)]
    pub allow_unordered: bool,
    /// Who moves the channel, for its record
    #[arg(long)]
    pub by: Option<String>,
    /// Why the channel moves, for its record
    #[arg(long)]
    pub reason: Option<String>,
    /// Requests at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    #[command(flatten)]
    pub revision: RevisionArgs,
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub configuration: ConfigurationArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub outputs: crate::outputs::OutputsArgs,
}

#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    /// Before: channel, version, digest or ./tree
    #[arg(value_name = "A")]
    pub from: String,
    /// After: channel, version, digest or ./tree
    #[arg(value_name = "B")]
    pub to: String,
    /// Exit with 2 when something changes
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Requests at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// Compare what the cluster would get too, with the helm and kubectl on the path
    #[arg(long)]
    pub rendered: bool,
    /// Store of B [default: the same]
    #[arg(long, value_name = "STORE", help_heading = "Store")]
    pub other_store: Option<String>,
    #[command(flatten)]
    pub tree: TreeArgs,
    #[command(flatten)]
    pub revision: RevisionArgs,
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub configuration: ConfigurationArgs,
    #[command(flatten)]
    pub output: DiffOutputArgs,
    #[command(flatten)]
    pub outputs: crate::outputs::OutputsArgs,
}

/// What a source tree is compared as.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Source")]
pub struct TreeArgs {
    /// Version that the tree would be published as
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
    /// Tag of an application image (repeatable)
    #[arg(long = "image", value_name = "KEY=TAG", value_parser = key_value)]
    pub images: Vec<(String, String)>,
    /// Tags of application images: a JSON map, or a release.json
    #[arg(long = "images", value_name = "FILE")]
    pub images_file: Option<PathBuf>,
    /// Control-plane image: a tag, a digest or a full reference
    #[arg(long, value_name = "REF")]
    pub control_plane: Option<String>,
    /// Platform that the images must be for
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", default_value = "linux/amd64")]
    pub platform: Platform,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct DiffOutputArgs {
    /// Format of the result on standard output
    #[arg(long, value_enum, default_value_t = DiffFormat::Text)]
    pub output: DiffFormat,
    /// Print at once, also on a terminal
    #[arg(long)]
    pub no_pager: bool,
    /// Format of what is said on standard error
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub log_format: Format,
    /// Say nothing but warnings and errors on standard error
    #[arg(long, short)]
    pub quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiffFormat {
    Text,
    Json,
    Markdown,
    Html,
}

/// For a tree without git; they win over git.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Source")]
pub struct RevisionArgs {
    /// Commit of the source [default: git's]
    #[arg(long, value_name = "HEX")]
    pub source_commit: Option<String>,
    /// URL of the source [default: the configured one, else git's remote]
    #[arg(long, value_name = "URL")]
    pub source_url: Option<String>,
    /// Seconds since 1970 [default: `SOURCE_DATE_EPOCH`, else the commit's time]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub epoch: Option<i64>,
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Store")]
pub struct StoreArgs {
    /// The store: `HOST[:PORT][/PATH]`, `oci-layout:DIR`; to read from, `oci-archive:FILE`, too [default: the configured prefix]
    #[arg(long, value_name = "STORE")]
    pub store: Option<String>,
    /// Name under which appliances read it [default: the store, when it is a registry, else the configured one]
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// Talk plain HTTP to the registry (loopback needs no flag)
    #[arg(long)]
    pub plain_http: bool,
    /// Trust these CA certificates beside the system's (PEM)
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Do not check whom the registry's certificate is of: everybody on the way can then read along and take its place
    #[arg(long, conflicts_with = "ca_file")]
    pub insecure: bool,
    /// How long a request is tried again while the registry fails for a time: `90s`, `5m`, `1h`, `0` for never [default: 5m;
    /// `doctor`: 0]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub retry_for: Option<Duration>,
    /// User at the registry [default: docker's and podman's credentials, `GH_TOKEN` and gh for ghcr.io, else nobody]
    #[arg(long, requires = "password_stdin")]
    pub username: Option<String>,
    /// Read the password or token from standard input
    #[arg(long, requires = "username")]
    pub password_stdin: bool,
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigurationArgs {
    /// Configuration file [default: `alga-release.yaml` at the root of the source tree]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Profile whose values the release carries
    #[arg(long)]
    pub profile: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Format of the result on standard output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// Format of what is said on standard error
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub log_format: Format,
    /// Say nothing but warnings and errors on standard error
    #[arg(long, short)]
    pub quiet: bool,
}

#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    /// Root of the source tree
    #[arg(default_value = ".")]
    pub source: PathBuf,
    #[command(flatten)]
    pub configuration: ConfigurationArgs,
    /// Format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ImageCheck {
    Require,
    Warn,
    Off,
}

impl From<ImageCheck> for Check {
    fn from(check: ImageCheck) -> Self {
        match check {
            ImageCheck::Require => Self::Require,
            ImageCheck::Warn => Self::Warn,
            ImageCheck::Off => Self::Off,
        }
    }
}

impl RevisionArgs {
    pub fn request(&self) -> RevisionRequest {
        let Self { source_commit, source_url, epoch } = self.clone();
        RevisionRequest { commit: source_commit, source_url, epoch }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ChartPin {
    Digest,
    Version,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ChartVersion {
    AsWritten,
    Stamped,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("want KEY=TAG".to_owned()),
    }
}

/// `90s`, `5m`, `1h30m`; a bare `0` needs no unit.
fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    parsed.ok_or_else(|| "want a time as 90s, 5m, 1h or 0".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::CommandFactory;

    #[test]
    fn durations_have_units() {
        for (text, seconds) in [("0", 0), ("90s", 90), ("5m", 300), ("1h", 3600), ("1h30m", 5400), ("0s", 0)] {
            assert_eq!(super::duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "-5m", "5 parsecs", "P1Y", "1mo"] {
            assert!(super::duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        super::Args::command().debug_assert();
    }
}

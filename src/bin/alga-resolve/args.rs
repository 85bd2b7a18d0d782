//! Reads the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use alga_release::appliance::{Literal, Setting, parse_setting};
use alga_release::oci::Digest;
use alga_release::text::nearest;
use lexopt::ValueExt as _;

use super::Failure;

pub const HELP: &str = "\
Resolve a channel, a version or a digest to one immutable release, and render what an appliance needs from it

Usage: alga-resolve resolve [OPTIONS] RELEASE
       alga-resolve render [OPTIONS] RELEASE
       alga-resolve control-plane [OPTIONS] RELEASE --running REF --baseline REF [--present REF...]

RELEASE is a CHANNEL, a VERSION or a DIGEST in the configured repository. It may also name its repository as
HOST/PATH/REPOSITORY:TAG or HOST/PATH/REPOSITORY@DIGEST. With --store, REPOSITORY:TAG or REPOSITORY@DIGEST names a repository in
that store. A release that describes itself needs no configuration file.

Commands:
  resolve        Print the validated release manifest as JSON, byte for byte as it was published
  render         Print the objects for the cluster as one YAML stream for `kubectl apply -f -`; nothing is applied
  control-plane  Print the image that the control plane must change to, or nothing if the running image stays. The reason goes
                 to standard error, and the exit code is always 0

Options:
      --store STORE           Store to read releases from: HOST[:PORT][/PATH] or oci-layout:DIR [default: from RELEASE, else the
                              configured prefix]
      --config FILE           Configuration file for releases that do not describe themselves. If a release contradicts the file,
                              the release is refused [default: none, the built-in defaults hold]
      --plain-http            Use plain HTTP for the registry (loopback addresses need no flag)
      --ca-file FILE          Trust these CA certificates (PEM) in addition to the system's. SSL_CERT_FILE replaces the system's
      --timeout DURATION      Stop after this time: seconds, or `90s`, `2m` [default: 60, for control-plane 8]
      --allow-registry PREFIX Refuse a release that names anything outside of this prefix (may be repeated)
      --require-channel       Refuse a release whose own channel differs from the requested one
      --accept-unrecorded     Follow a channel that was moved without a record, after a move with a record was followed
      --state FILE            Keep the last release that was followed, and refuse older answers of a channel
      --offline               Answer from the state, without a request
      --fallback-to-state     Answer from the state when the store cannot be reached
      --output FORMAT         Output format: json or text [default: json for resolve, else text]. With a trust document,
                              json has the key `trust`: who signed, and what is not covered. Without this option, resolve prints
                              the published bytes
      --trust FILE            Verify every release by this trust document, and follow the newer documents of the store. Once used
                              with --state, later calls need it too [env: ALGA_TRUST_FILE] [default: /etc/alga/trust.json if the
                              file exists]
      --forget-trust REASON   Do not verify releases in this call, nor in later calls without --trust
      --reset-time-floor REASON  Forget the highest time that is known to have passed, after the clock was wrong
      --accept-expired DIGEST Accept this release from an archive or a layout although its statement or the trust document has
                              expired. Needs --reason
      --reason TEXT           Reason for --accept-expired, for the state
  -h, --help                  Print help
  -V, --version               Print version

Options of render:
      --app-url URL           URL of the product on this appliance. The host follows from the URL, or the URL from --host
      --host NAME             Host name or address of the product on this appliance
      --domain-suffix SUFFIX  Suffix of the names below the host [default: a dot and the host]
                              These three options are kept in the state and used again when they are not given
      --set RELEASE:PATH=VALUE  Set one more value, with keys joined by `.` (may be repeated). A JSON number, boolean or string
                              keeps its type, and any other text is a string
      --image-digests         Write image tags as TAG@sha256:... if the release knows the digest
      --migrate-root          Accept a release whose root objects have other names than in the last rendering
      --output-dir DIR        Write files and a kustomization.yaml to this directory instead

Options of control-plane:
      --running REF           Image that runs now; empty if none runs
      --baseline REF          Image that was installed with the machine
      --present REF           Image that is present on this machine (may be repeated)

Examples:
  alga-resolve resolve stable --state /var/lib/alga/state.json
  alga-resolve resolve 1.0.3 --store registry.example.com:5000/team --output text
  alga-resolve resolve stable --trust trust.json --state /var/lib/alga/state.json --output text
  alga-resolve resolve registry.example.com/acme/platform-release:stable
  alga-resolve render stable --state /var/lib/alga/state.json --host alga.example.com | kubectl apply --server-side -f -
  alga-resolve control-plane stable --running \"$running\" --baseline localhost/control-plane:baked

Exit codes:
  0   done
  1   invalid release, or content that does not match its digest
  3   refused by a rule, not verified, or not a release
  4   authentication or permission
  9   usage or configuration, or no such channel, version or digest
  75  temporary: the store cannot be reached
";

/// The request on the command line.
#[derive(Debug)]
pub enum Given {
    /// Print this text and exit.
    Text(&'static str),
    /// Run a command with these arguments.
    Args(Box<Args>),
}

/// The arguments that all commands share, and the command.
#[derive(Debug)]
pub struct Args {
    pub command: Command,
    pub reference: String,
    pub store: Option<String>,
    pub config: Option<PathBuf>,
    pub plain_http: bool,
    pub ca_file: Option<PathBuf>,
    pub timeout: Duration,
    pub allowed: Vec<String>,
    pub state: Option<PathBuf>,
    /// Whether the output is text; absent when `--output` was not given.
    pub text: Option<bool>,
    pub modes: Modes,
    pub trust: TrustFlags,
}

/// Flags about the trust document. Each of the other flags sets a rule aside and needs a reason, which the state keeps.
#[derive(Debug, Default)]
pub struct TrustFlags {
    pub file: Option<PathBuf>,
    pub forget: Option<String>,
    pub reset_floor: Option<String>,
    pub accept_expired: Option<Digest>,
    pub reason: Option<String>,
}

impl TrustFlags {
    /// Reads the environment when the command line names no trust document.
    fn completed(mut self) -> Result<Self, Failure> {
        if self.file.is_some() && self.forget.is_some() {
            return Err(usage("`--trust` and `--forget-trust` exclude each other"));
        }
        let named = std::env::var_os("ALGA_TRUST_FILE").filter(|path| !path.is_empty());
        self.file = self.file.or(named.map(PathBuf::from)).filter(|_| self.forget.is_none());
        if self.accept_expired.is_some() != self.reason.is_some() {
            return Err(usage("`--accept-expired` and `--reason` require each other"));
        }
        let reasons = [&self.forget, &self.reset_floor, &self.reason];
        if reasons.into_iter().flatten().any(|reason| reason.trim().is_empty()) {
            return Err(usage("expected a reason, found an empty text"));
        }
        Ok(self)
    }

    /// Checks the flags against the place that releases are read from. `verifies` says whether there is a trust document.
    pub fn check(&self, verifies: bool, in_registry: bool) -> Result<(), Failure> {
        match (&self.accept_expired, &self.reset_floor) {
            (Some(_), _) if in_registry => {
                Err(usage("`--accept-expired` is for archives and layouts: a registry must serve a current statement"))
            }
            (Some(_), _) | (_, Some(_)) if !verifies => {
                Err(usage("`--accept-expired` and `--reset-time-floor` require a trust document"))
            }
            _ => Ok(()),
        }
    }
}

/// Flags that decide which answers are accepted.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each field is an independent flag")]
pub struct Modes {
    pub require_channel: bool,
    pub accept_unrecorded: bool,
    pub offline: bool,
    pub fallback: bool,
}

#[derive(Debug)]
pub enum Command {
    Resolve,
    Render(Box<RenderFlags>),
    ControlPlane(ControlPlaneFlags),
}

#[derive(Debug, Default)]
pub struct RenderFlags {
    pub app_url: Option<String>,
    pub host: Option<String>,
    pub domain_suffix: Option<String>,
    pub settings: Vec<(String, Setting)>,
    pub image_digests: bool,
    pub migrate_root: bool,
    pub output_dir: Option<PathBuf>,
}

#[derive(Debug, Default)]
pub struct ControlPlaneFlags {
    pub running: Option<String>,
    pub baseline: Option<String>,
    pub present: Vec<String>,
}

/// Default time limit of `control-plane`. The boot script waits for it, so the limit is short.
const BOOT_TIMEOUT: Duration = Duration::from_secs(8);
/// Default time limit of the other commands.
const TIMEOUT: Duration = Duration::from_mins(1);

fn usage(message: impl Into<String>) -> Failure {
    super::usage(message).hint("see `alga-resolve --help`")
}

fn wrong(error: lexopt::Error) -> Failure {
    match error {
        lexopt::Error::MissingValue { option: Some(option) } => usage(format!("missing value for `{option}`")),
        lexopt::Error::UnexpectedOption(option) => usage(format!("unknown flag `{option}`")),
        lexopt::Error::UnexpectedValue { option, .. } => usage(format!("unexpected value for `{option}`")),
        error => usage(error.to_string()),
    }
}

/// Returns the flag that was probably meant: the flags are those of the help.
fn unknown(name: &str) -> Failure {
    let flags =
        HELP.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).filter_map(|word| word.strip_prefix("--"));
    let near = nearest(name, flags).map(|near| format!("--{near}"));
    usage(format!("unknown flag `--{name}`")).meaning(near.as_deref())
}

fn text(parser: &mut lexopt::Parser) -> Result<String, Failure> {
    parser.value().and_then(lexopt::ValueExt::string).map_err(wrong)
}

fn seconds(parser: &mut lexopt::Parser) -> Result<Duration, Failure> {
    let text = text(parser)?;
    let (number, unit) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60.0),
        None => (text.strip_suffix('s').unwrap_or(&text), 1.0),
    };
    let seconds = number.parse::<f64>().ok().map(|number| number * unit);
    let timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    timeout.ok_or_else(|| {
        usage(format!("invalid value `{text}` for `--timeout`: expected seconds, or a time such as `90s` or `2m`"))
    })
}

fn is_text(format: &str) -> Result<bool, Failure> {
    match format {
        "json" => Ok(false),
        "text" => Ok(true),
        other => Err(usage(format!("invalid value `{other}` for `--output`: expected `json` or `text`"))),
    }
}

/// Parses the value of `--set`: `RELEASE:PATH=VALUE`.
fn setting(text: &str) -> Result<(String, Setting), Failure> {
    let parts = text.split_once('=').and_then(|(place, value)| Some((place.split_once(':')?, value)));
    let setting = parts
        .and_then(|((release, path), value)| Some((release.to_owned(), parse_setting(path, Literal::parse(value))?)));
    setting.ok_or_else(|| usage(format!("invalid value `{text}` for `--set`: expected `RELEASE:PATH=VALUE`")))
}

/// All options of all commands. The command may come after its options.
#[derive(Default)]
struct Collected {
    words: Vec<String>,
    store: Option<String>,
    config: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    state: Option<PathBuf>,
    plain_http: bool,
    timeout: Option<Duration>,
    allowed: Vec<String>,
    text: Option<bool>,
    modes: Modes,
    trust: TrustFlags,
    render: RenderFlags,
    control_plane: ControlPlaneFlags,
    /// Given flags that only one command has: the flag and its command.
    bound: Vec<(&'static str, &'static str)>,
}

pub fn parse(arguments: Vec<OsString>) -> Result<Given, Failure> {
    use lexopt::prelude::{Long, Short, Value};
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut found = Collected::default();
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Short('h') | Long("help") => return Ok(Given::Text(HELP)),
            Short('V') | Long("version") => {
                return Ok(Given::Text(concat!("alga-resolve ", env!("CARGO_PKG_VERSION"), "\n")));
            }
            Value(word) => found.words.push(word.string().map_err(wrong)?),
            Long(name) => {
                let name = name.to_owned();
                if !(found.common(&name, &mut parser)? || found.of_one_command(&name, &mut parser)?) {
                    return Err(unknown(&name));
                }
            }
            Short(letter) => return Err(usage(format!("unknown flag `-{letter}`"))),
        }
    }
    found.into_args().map(|args| Given::Args(Box::new(args)))
}

impl Collected {
    /// Reads an option that every command has. Returns whether `name` is such an option.
    fn common(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<bool, Failure> {
        let path = |parser: &mut lexopt::Parser| parser.value().map(PathBuf::from).map_err(wrong);
        match name {
            "store" => self.store = Some(text(parser)?),
            "config" => self.config = Some(path(parser)?),
            "ca-file" => self.ca_file = Some(path(parser)?),
            "state" => self.state = Some(path(parser)?),
            "plain-http" => self.plain_http = true,
            "timeout" => self.timeout = Some(seconds(parser)?),
            "allow-registry" => self.allowed.push(text(parser)?),
            "require-channel" => self.modes.require_channel = true,
            "accept-unrecorded" => self.modes.accept_unrecorded = true,
            "offline" => self.modes.offline = true,
            "fallback-to-state" => self.modes.fallback = true,
            "trust" => self.trust.file = Some(path(parser)?),
            "forget-trust" => self.trust.forget = Some(text(parser)?),
            "reset-time-floor" => self.trust.reset_floor = Some(text(parser)?),
            "accept-expired" => {
                let digest = text(parser)?.parse::<Digest>();
                self.trust.accept_expired =
                    Some(digest.map_err(|cause| usage(format!("invalid value for `--accept-expired`: {cause}")))?);
            }
            "reason" => self.trust.reason = Some(text(parser)?),
            "output" => self.text = Some(is_text(&text(parser)?)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Reads an option that only one command has. Returns whether `name` is such an option.
    fn of_one_command(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<bool, Failure> {
        let (render, control_plane) = (&mut self.render, &mut self.control_plane);
        let bound = match name {
            "app-url" => (render.app_url = Some(text(parser)?), ("--app-url", "render")).1,
            "host" => (render.host = Some(text(parser)?), ("--host", "render")).1,
            "domain-suffix" => (render.domain_suffix = Some(text(parser)?), ("--domain-suffix", "render")).1,
            "set" => (render.settings.push(setting(&text(parser)?)?), ("--set", "render")).1,
            "image-digests" => (render.image_digests = true, ("--image-digests", "render")).1,
            "migrate-root" => (render.migrate_root = true, ("--migrate-root", "render")).1,
            "output-dir" => {
                render.output_dir = Some(PathBuf::from(parser.value().map_err(wrong)?));
                ("--output-dir", "render")
            }
            "running" => (control_plane.running = Some(text(parser)?), ("--running", "control-plane")).1,
            "baseline" => (control_plane.baseline = Some(text(parser)?), ("--baseline", "control-plane")).1,
            "present" => (control_plane.present.push(text(parser)?), ("--present", "control-plane")).1,
            _ => return Ok(false),
        };
        self.bound.push(bound);
        Ok(true)
    }

    fn into_args(self) -> Result<Args, Failure> {
        let mut words = self.words.into_iter();
        let name =
            words.next().ok_or_else(|| usage("missing command: expected `resolve`, `render` or `control-plane`"))?;
        let (command, timeout) = match name.as_str() {
            "resolve" => (Command::Resolve, TIMEOUT),
            "render" => (Command::Render(Box::new(self.render)), TIMEOUT),
            "control-plane" => (Command::ControlPlane(self.control_plane), BOOT_TIMEOUT),
            other => {
                let near = nearest(other, ["resolve", "render", "control-plane"].into_iter());
                return Err(usage(format!("unknown command `{other}`")).meaning(near.as_deref()));
            }
        };
        if let Some((flag, of)) = self.bound.iter().find(|(_, of)| *of != name) {
            return Err(usage(format!("`{flag}` is a flag of `{of}` only")));
        }
        let reference = words
            .next()
            .ok_or_else(|| usage("missing `RELEASE`: expected CHANNEL, VERSION, DIGEST or HOST/PATH/REPOSITORY:TAG"))?;
        if let Some(word) = words.next() {
            return Err(usage(format!("unexpected argument `{word}`")));
        }
        if self.state.is_none() && (self.modes.offline || self.modes.fallback) {
            return Err(usage("`--offline` and `--fallback-to-state` require `--state`"));
        }
        Ok(Args {
            command,
            reference,
            store: self.store,
            config: self.config,
            plain_http: self.plain_http,
            ca_file: self.ca_file,
            timeout: self.timeout.unwrap_or(timeout),
            allowed: self.allowed,
            state: self.state,
            text: self.text,
            modes: self.modes,
            trust: self.trust.completed()?,
        })
    }
}

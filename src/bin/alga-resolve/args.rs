//! What was asked for.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use alga_release::appliance::{Literal, Setting, parse_setting};
use lexopt::ValueExt as _;

use super::{Failure, usage};

pub const HELP: &str = "\
Resolve a channel, a version or a digest to one immutable release, and what an appliance needs of it

Usage: alga-resolve resolve [OPTIONS] RELEASE
       alga-resolve render [OPTIONS] RELEASE
       alga-resolve control-plane [OPTIONS] RELEASE --running REF --baseline REF [--present REF...]

RELEASE is a CHANNEL, a VERSION or a DIGEST of the configured repository, or names its repository: HOST/PATH/REPOSITORY:TAG or
HOST/PATH/REPOSITORY@DIGEST; with --store, REPOSITORY:TAG or REPOSITORY@DIGEST in that store. What a release says of itself needs
no configuration.

resolve        the validated release manifest goes to standard output, as JSON, byte for byte as it was published
render         the objects for the cluster, as one YAML stream for `kubectl apply -f -`; nothing is applied
control-plane  the image that the control plane is to change to, or nothing where what runs is to stay; the reason goes to
               standard error, and the exit code is always 0

Options:
      --store STORE           where releases are: HOST[:PORT][/PATH] or oci-layout:DIR [default: of RELEASE, else the configured prefix]
      --config FILE           configuration file, for releases that do not describe themselves; one that says otherwise than the
                              release is refused [default: none, the built-in defaults hold]
      --plain-http            talk plain HTTP to the registry (loopback needs no flag)
      --ca-file FILE          trust these CA certificates beside the system's (PEM); SSL_CERT_FILE replaces the system's
      --timeout SECONDS       give up after so long [default: 60; control-plane: 8]
      --allow-registry PREFIX refuse a release that names anything outside of these (may be repeated)
      --require-channel       refuse a release that says that it is of another channel than the one asked for
      --accept-unrecorded     follow a channel that a script moved without a record, after a move with one was followed
      --state FILE            keep the last release that was followed, and refuse older answers of a channel
      --offline               answer from the state, without a request
      --fallback-to-state     answer from the state when the store cannot be reached
      --output FORMAT         json or text [default: json for resolve, else text]
  -h, --help                  print this
  -V, --version               print the version

Options of render:
      --app-url URL           where the product is reached; the host follows from it, and it from --host
      --host NAME             the same, by its name
      --domain-suffix SUFFIX  ending of the names below it [default: a dot and the host]
                              All three are kept in the state and used again where they are not given.
      --set RELEASE:PATH=VALUE  set one more value, keys joined by `.` (may be repeated); a JSON number, boolean or string is
                              that, anything else is text
      --image-digests         write image tags as TAG@sha256:... where the release knows the digest
      --migrate-root          take a release whose root objects have other names than those that were rendered last
      --output-dir DIR        write files and a kustomization.yaml into a directory instead

Options of control-plane:
      --running REF           the image that runs now; empty for none
      --baseline REF          the image that came with the machine
      --present REF           an image on this machine (may be repeated)

Examples:
  alga-resolve resolve stable --state /var/lib/alga/state.json
  alga-resolve resolve 1.0.3 --store registry.example.com:5000/team --output text
  alga-resolve resolve registry.example.com/acme/platform-release:stable
  alga-resolve render stable --state /var/lib/alga/state.json --host alga.example.com | kubectl apply --server-side -f -
  alga-resolve control-plane stable --running \"$running\" --baseline localhost/control-plane:baked

Exit codes: 0 done, 1 not a valid release or other bytes than its digest says, 3 there is no such channel, version or digest, or
it is not a release, or it is refused by a rule, 4 refused credentials, 9 usage or configuration, 75 the store cannot be reached.
";

/// What the command line says.
#[derive(Debug)]
pub enum Given {
    /// Print this and be done.
    Text(&'static str),
    /// Do this.
    Args(Box<Args>),
}

/// What all commands share.
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
    /// Nothing when it was not said.
    pub text: Option<bool>,
    pub modes: Modes,
}

/// Switches of how an answer is come by.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each one is a flag by itself")]
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

/// How long a control plane may be waited for at boot, and anything else.
const BOOT_TIMEOUT: Duration = Duration::from_secs(8);
const TIMEOUT: Duration = Duration::from_mins(1);

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` wants it")]
fn wrong(error: lexopt::Error) -> Failure {
    usage(error.to_string())
}

fn text(parser: &mut lexopt::Parser) -> Result<String, Failure> {
    parser.value().and_then(lexopt::ValueExt::string).map_err(wrong)
}

fn seconds(parser: &mut lexopt::Parser) -> Result<Duration, Failure> {
    let seconds: f64 = parser.value().and_then(|value| value.parse()).map_err(wrong)?;
    Duration::try_from_secs_f64(seconds).map_err(|_| usage("--timeout: want seconds"))
}

fn is_text(format: &str) -> Result<bool, Failure> {
    match format {
        "json" => Ok(false),
        "text" => Ok(true),
        other => Err(usage(format!("--output {other}: want json or text"))),
    }
}

/// `RELEASE:PATH=VALUE`
fn setting(text: &str) -> Result<(String, Setting), Failure> {
    let parts = text.split_once('=').and_then(|(place, value)| Some((place.split_once(':')?, value)));
    let setting = parts
        .and_then(|((release, path), value)| Some((release.to_owned(), parse_setting(path, Literal::parse(value))?)));
    setting.ok_or_else(|| usage(format!("--set {text}: want RELEASE:PATH=VALUE")))
}

/// All that can be said, before it is known for which command.
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
    render: RenderFlags,
    control_plane: ControlPlaneFlags,
    /// A flag that only one command has: the flag and the command.
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
                    return Err(usage(format!("there is no option --{name}")));
                }
            }
            Short(_) => return Err(wrong(argument.unexpected())),
        }
    }
    found.into_args().map(|args| Given::Args(Box::new(args)))
}

impl Collected {
    /// Takes an option that every command has; was it one?
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
            "output" => self.text = Some(is_text(&text(parser)?)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes an option of one command; was it one?
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
        let name = words.next().ok_or_else(|| usage("want a command"))?;
        let (command, timeout) = match name.as_str() {
            "resolve" => (Command::Resolve, TIMEOUT),
            "render" => (Command::Render(Box::new(self.render)), TIMEOUT),
            "control-plane" => (Command::ControlPlane(self.control_plane), BOOT_TIMEOUT),
            other => return Err(usage(format!("there is no command `{other}`"))),
        };
        if let Some((flag, of)) = self.bound.iter().find(|(_, of)| *of != name) {
            return Err(usage(format!("{flag} is an option of {of}")));
        }
        let reference = words
            .next()
            .ok_or_else(|| usage("missing RELEASE: expected CHANNEL, VERSION, DIGEST or HOST/PATH/REPOSITORY:TAG"))?;
        if let Some(word) = words.next() {
            return Err(usage(format!("unexpected `{word}`")));
        }
        if self.state.is_none() && (self.modes.offline || self.modes.fallback) {
            return Err(usage("without --state there is nothing to answer from"));
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
        })
    }
}

//! Gets one answer, from the store or from the state, and checks the answer before anything is done with it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use alga_release::appliance::{Following, HostInputs, Known, Refused, Root, State, StateFile, check_names};
use alga_release::config::Config;
use alga_release::oci::{self, Certificates, Options, Prefix, ReadStore, Selector};
use alga_release::release::{self, Address, Described, Release, ResolveError, ResolveKind, Resolved, compare_versions};
use alga_release::text::with_causes;

use super::args::{Args, Command};
use super::{Failure, say, usage};

/// Largest configuration file that is read, in bytes.
const CONFIG_LIMIT: u64 = 1 << 20;
/// Largest file of certificates that is read, in bytes. The certificates of a whole system take a quarter of a MiB.
const CERTIFICATES_LIMIT: u64 = 4 << 20;
/// Longest time during which transient errors (broken connections, 429, 5xx) are retried. A quarter of the time limit
/// applies too.
const RETRY_FOR: Duration = Duration::from_secs(2);

/// The place of the requested release, and the state of this appliance.
pub struct Place {
    pub config: Config,
    pub address: Address,
    pub state: State,
    file: Option<StateFile>,
    allowed: Vec<Prefix>,
}

/// A release that passed all checks.
pub struct Answer {
    pub resolved: Resolved,
    /// Configuration and installation that hold for the release.
    pub described: Described,
    /// Channel under which the release was requested.
    pub channel: Option<String>,
    pub from_state: bool,
}

impl Place {
    /// Reads configuration and state. Sends no request.
    pub fn open(args: &Args) -> Result<Self, Failure> {
        let mut config = configuration(args)?;
        let invalid = |cause: oci::InvalidReference| usage(cause.to_string()).meaning(cause.nearest());
        let address = Address::parse(&args.reference, args.store.as_deref(), &config, args.plain_http);
        let address = address.map_err(|cause| usage(cause.to_string()).meaning(cause.nearest()))?;
        address.enter(&mut config);
        let allowed: Result<Vec<Prefix>, _> = args.allowed.iter().map(|text| Prefix::parse(text, false)).collect();
        let file = args.state.as_ref().map(StateFile::new);
        let state = match &file {
            None => State::default(),
            Some(file) => {
                let (state, damage) = file
                    .read()
                    .map_err(|cause| Failure::new(if cause.is_other_kind() { 9 } else { 1 }, with_causes(&cause)))?;
                if let Some(damage) = damage {
                    say("warning", &damage);
                }
                state
            }
        };
        Ok(Self { config, address, state, file, allowed: allowed.map_err(invalid)? })
    }

    /// Returns store and repository, as in the keys of the state.
    fn repository(&self) -> String {
        format!("{}/{}", self.address.location, self.address.repository)
    }

    /// Returns store, repository and reference, which is the key in the state.
    fn key(&self) -> String {
        match &self.address.selector {
            Selector::Tag(tag) => format!("{}:{tag}", self.repository()),
            Selector::Digest(digest) => format!("{}@{digest}", self.repository()),
        }
    }

    /// Returns the release that the state has for the requested reference.
    pub fn known(&self) -> Option<Known> {
        let known = self.state.known(&self.key());
        known.or_else(|| self.state.find(&self.repository(), &self.address.selector.to_string()))
    }

    /// Returns the release from the store or from the state, as `args` allow.
    pub fn ask(&self, args: &Args) -> Result<Answer, Failure> {
        if args.modes.offline {
            return self.remembered(args);
        }
        match self.fetch(args) {
            Err(failure) if failure.unreachable && args.modes.fallback => {
                say("warning", &failure.message);
                let answer = self.remembered(args)?;
                say("note", &format!("answered from the state: {}", answer.resolved.release.version));
                Ok(answer)
            }
            Err(failure) => Err(failure),
            Ok(resolved) => {
                let channel = self.channel(&resolved);
                let described = self.check(&resolved, channel.as_deref(), args)?;
                self.judge(&resolved, channel.as_deref(), args)?;
                Ok(Answer { resolved, described, channel, from_state: false })
            }
        }
    }

    fn remembered(&self, args: &Args) -> Result<Answer, Failure> {
        let known = self.known().ok_or_else(|| {
            Failure::new(3, format!("the state has no release for {}", self.key()))
                .hint("run the same command once without `--offline` while the store can be reached")
        })?;
        let damaged = || Failure::new(1, format!("the state's entry for {} is damaged", self.key()));
        let resolved = known.resolved().ok_or_else(damaged)?;
        let channel = self.channel(&resolved);
        let described = self.check(&resolved, channel.as_deref(), args)?;
        Ok(Answer { resolved, described, channel, from_state: true })
    }

    fn fetch(&self, args: &Args) -> Result<Resolved, Failure> {
        let ca = certificates(args.ca_file.as_deref())?;
        let retry_for = RETRY_FOR.min(args.timeout / 4);
        let options = Options { ca, retry_for, archive_prefix: release::ARCHIVE_PREFIX, ..Options::default() };
        let store = ReadStore::open(&self.address.location, options).map_err(|cause| failure(&cause.into()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|cause| Failure::new(1, cause.to_string()))?;
        let work = async {
            let resolved = release::resolve(&store, &self.address.repository, &self.address.selector).await?;
            // A manifest that was followed before was confirmed at that time.
            if self.state.known(&self.key()).is_none_or(|known| known.manifest != resolved.manifest) {
                release::confirm(&store, &self.address.repository, &resolved).await?;
            }
            Ok(resolved)
        };
        let resolved = runtime.block_on(async { tokio::time::timeout(args.timeout, work).await });
        // A running DNS lookup cannot be cancelled and would delay the exit of the process.
        runtime.shutdown_background();
        let resolved = resolved.map_err(|_| Failure {
            unreachable: true,
            ..Failure::new(
                75,
                format!("{} did not answer within {} s", self.address.location, args.timeout.as_secs_f64()),
            )
            .hint("try again later, or raise `--timeout`")
        })?;
        resolved.map_err(|error: ResolveError| failure(&error))
    }

    /// Returns the requested channel, or `None` for a digest, a version, or a keep-alive tag of a channel.
    fn channel(&self, resolved: &Resolved) -> Option<String> {
        let Selector::Tag(tag) = &self.address.selector else { return None };
        let name = tag.as_str();
        let configured = self.config.channels.contains(tag);
        // A name that once answered with a move is a channel, even if the present answer has no record.
        let moved = || self.state.known(&self.key()).is_some_and(|known| known.sequence.is_some());
        let recorded = resolved.record.as_ref().map(|record| record.name == name);
        let other = is_version(name) || resolved.release.version == name;
        (configured || recorded.unwrap_or(!other) || moved()).then(|| name.to_owned())
    }

    /// Checks everything except the order of moves. Returns the configuration and installation that hold for the
    /// release.
    fn check(&self, resolved: &Resolved, channel: Option<&str>, args: &Args) -> Result<Described, Failure> {
        let release = &resolved.release;
        let described = self.described(release)?;
        self.check_root(resolved, &described, args)?;
        let invalid = |cause: &dyn std::fmt::Display| {
            Failure::new(1, format!("the release {} is invalid: {cause}", resolved.release_digest))
        };
        release.require_images(&self.config).map_err(|cause| {
            invalid(&cause).hint("check `images` in the file of `--config`: it lists the keys that a release must have")
        })?;
        self.check_names(release).map_err(|(refused, cause)| {
            if refused {
                Failure::new(3, format!("the release {} is refused: {cause}", resolved.release_digest))
                    .hint("if the registry is trusted, pass `--allow-registry` with its prefix")
            } else {
                invalid(&cause)
            }
        })?;
        match (channel, &self.address.selector) {
            (Some(channel), _) if args.modes.require_channel && release.channel != channel => {
                let found = release.channel.escape_debug();
                Err(Failure::new(3, format!("the channel {channel} points to a release of the channel `{found}`")))
            }
            (None, Selector::Tag(tag)) if is_version(tag.as_str()) && release.version != tag.as_str() => {
                let found = release.version.escape_debug();
                Err(Failure::new(3, format!("the tag {tag} points to a release with the version `{found}`")))
            }
            _ => Ok(described),
        }
    }

    /// Returns the configuration and installation that hold for a release.
    pub fn described(&self, release: &Release) -> Result<Described, Failure> {
        release.described(&self.config).map_err(|cause| {
            usage(cause.to_string())
                .hint("leave out `--config`, or pass the configuration that the release was published with")
        })
    }

    /// Refuses a release with other root objects than before: two roots would apply and prune each other's objects.
    fn check_root(&self, resolved: &Resolved, described: &Described, args: &Args) -> Result<(), Failure> {
        let wanted = Root::of(&described.installation);
        let migrates = matches!(&args.command, Command::Render(flags) if flags.migrate_root);
        match self.root().filter(|root| *root != wanted && !migrates) {
            None => Ok(()),
            Some(root) => {
                let reason = format!(
                    "the release {} is refused: its root objects are named {wanted}, but those of this appliance are named {root}",
                    resolved.release_digest
                );
                Err(Failure::new(3, reason)
                    .hint("suspend the old Kustomization, then run `alga-resolve render` with --migrate-root"))
            }
        }
    }

    /// Returns the names of the appliance's root objects. An older program did not store them. They are then the names
    /// in the release that it followed.
    fn root(&self) -> Option<Root> {
        let followed = || {
            let release = self.known()?.release()?;
            Some(Root::of(&release.described(&self.config).ok()?.installation))
        };
        self.state.root().or_else(followed)
    }

    /// Checks the names in a release. The error is a text, and whether `--allow-registry` refused the name.
    pub fn check_names(&self, release: &Release) -> Result<(), (bool, String)> {
        check_names(release, &self.allowed).map_err(|cause| (cause.refused, cause.to_string()))
    }

    fn judge(&self, resolved: &Resolved, channel: Option<&str>, args: &Args) -> Result<(), Failure> {
        let Some(channel) = channel else { return Ok(()) };
        let warning = match self.state.judge(&self.key(), channel, resolved) {
            Ok(Following::Forward) => return Ok(()),
            Ok(Following::Unrecorded) if self.file.is_none() => return Ok(()),
            Ok(Following::Unrecorded) => {
                "has no record of its move, so an old answer looks the same as a new one".to_owned()
            }
            Ok(Following::Jump { answered, seen }) => format!(
                "jumped from move {seen} to move {answered}: the new number counts only after the next move confirms it"
            ),
            Err(Refused::Unrecorded(seen)) if args.modes.accept_unrecorded => {
                format!("has no record of its move: the answer is accepted, and move {seen} still counts")
            }
            Err(cause) => {
                let hint = match cause {
                    Refused::Unrecorded(_) => {
                        "if a script moved the channel on purpose, run once with `--accept-unrecorded`"
                    }
                    _ => "check who can write the channel; the channel's next move will be followed again",
                };
                return Err(Failure::new(3, format!("{} is refused: {cause}", self.key())).hint(hint));
            }
        };
        say("warning", &format!("the channel {channel} {warning}"));
        Ok(())
    }

    /// Stores an answer that was used. If the state cannot be written, prints a warning and continues.
    pub fn follow(&self, answer: &Answer) {
        self.remember(answer, |_| ());
    }

    /// Stores an answer that was rendered, with the names of its root objects and the address in its values.
    pub fn follow_rendered(&self, answer: &Answer, host: Option<&HostInputs>) {
        self.remember(answer, |state| {
            state.set_root(&Root::of(&answer.described.installation));
            if let Some(host) = host {
                state.set_host(host);
            }
        });
    }

    fn remember(&self, answer: &Answer, more: impl FnOnce(&mut State)) {
        let Some(file) = &self.file else { return };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let written = file.update(|state| {
            if !answer.from_state && !self.is_known(state, answer) {
                state.follow(&self.key(), answer.channel.as_deref(), &answer.resolved, now);
            }
            more(state);
        });
        if let Err(cause) = written {
            say("warning", &with_causes(&cause));
        }
    }

    /// Reports whether the state already has the answer. The file is then not written, because machines check often.
    fn is_known(&self, state: &State, answer: &Answer) -> bool {
        state.known(&self.key()).is_some_and(|known| {
            known.manifest == answer.resolved.manifest && known.json.as_bytes() == answer.resolved.json
        })
    }
}

fn is_version(text: &str) -> bool {
    compare_versions(text, text).is_some()
}

fn configuration(args: &Args) -> Result<Config, Failure> {
    let Some(path) = &args.config else { return Ok(Config::default()) };
    let name = path.display().to_string();
    let bytes = read(path, CONFIG_LIMIT).map_err(|cause| usage(format!("cannot read {name}: {cause}")))?;
    let text =
        String::from_utf8(bytes).map_err(|_| usage(format!("cannot read {name}: the text is not valid UTF-8")))?;
    let config = Config::parse(&text, &name).map_err(|cause| usage(cause.to_string()))?;
    Ok(config.named_by_the_caller())
}

/// Reads a file from the command line up to a limit. The file may be a device without an end.
fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("the file is larger than {} MiB", limit >> 20)));
    }
    Ok(bytes)
}

fn certificates(path: Option<&Path>) -> Result<Certificates, Failure> {
    let Some(path) = path else { return Ok(Certificates::default()) };
    let wrong = |cause: &dyn std::fmt::Display| usage(format!("--ca-file {}: {cause}", path.display()));
    let pem = read(path, CERTIFICATES_LIMIT).map_err(|cause| wrong(&cause))?;
    Certificates::parse(&pem).map_err(|cause| wrong(&cause))
}

fn failure(error: &ResolveError) -> Failure {
    let message = with_causes(error);
    let (code, hint) = match error.kind() {
        ResolveKind::Store(oci::Kind::NotFound | oci::Kind::NoStore) => {
            (9, Some("check the name of the channel or version, and the store"))
        }
        ResolveKind::Store(oci::Kind::Denied) => (4, Some("make the release repository publicly readable")),
        ResolveKind::Store(oci::Kind::Untrusted) => (
            1,
            Some(
                "if you trust this certificate, pass its CA with `--ca-file` or SSL_CERT_FILE; also check this machine's clock",
            ),
        ),
        ResolveKind::Store(oci::Kind::NotRegistry) => (
            1,
            Some(
                "check the host, the port and the proxy: below `/v2/`, the server must speak the OCI distribution API",
            ),
        ),
        ResolveKind::Store(oci::Kind::Unavailable) => (75, Some("try again later: the store cannot be reached")),
        ResolveKind::NotARelease | ResolveKind::Disagrees => {
            (3, Some("check that the address is a registry, and who can write the channel or version"))
        }
        _ => (1, None),
    };
    // Behind a login portal, or with a wrong clock, the answer cannot be trusted. That counts as no answer.
    let no_answer = matches!(error.kind(), ResolveKind::Store(kind) if kind.is_of_server());
    Failure { code, message, hint: hint.map(ToOwned::to_owned), unreachable: no_answer }
}

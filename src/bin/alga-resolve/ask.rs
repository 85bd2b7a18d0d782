//! Gets one answer, from the store or from the state, and checks the answer before anything is done with it.

use std::time::SystemTime;

use alga_release::appliance::{Facts, Following, HostInputs, Known, Refused, Root, State, StateFile, check_names};
use alga_release::config::Config;
use alga_release::oci::{self, Location, Prefix, Selector, Tag};
use alga_release::release::{self, Address, Described, Release, Resolved, compare_versions};
use alga_release::text::with_causes;
use alga_release::trust::{Key, Time};

use super::args::{Args, Command};
use super::input::configuration;
use super::refused::RESTORE;
use super::store::{failure, with_store};
use super::trust::{Asked, Fetched, Trust, check_without, document_path};
use super::{Failure, say, usage};

/// The place of the requested release, and the state of this appliance.
pub struct Place {
    pub config: Config,
    pub address: Address,
    pub state: State,
    file: Option<StateFile>,
    allowed: Vec<Prefix>,
    /// Trust document by which releases are verified.
    trust: Option<Trust>,
    now: Time,
}

/// A release that passed all checks.
pub struct Answer {
    pub resolved: Resolved,
    /// Configuration and installation that hold for the release.
    pub described: Described,
    /// Channel under which the release was requested.
    pub channel: Option<String>,
    pub from_state: bool,
    /// What was verified; absent without a trust document.
    pub facts: Option<Facts>,
    /// Why the release would not be accepted again, if it was accepted before.
    pub stale: Option<String>,
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
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (now, document) = (Time::from_seconds(now), document_path(&args.trust));
        let file = args.state.as_ref().map(StateFile::new);
        let file = if document.is_some() { file.map(StateFile::strict) } else { file };
        let state = file.as_ref().map(read_state).transpose()?.unwrap_or_default();
        if document.is_none() {
            check_without(&state, file.as_ref(), &args.trust, now)?;
        }
        let trust = document.map(|path| Trust::open(&path, &state, file.as_ref(), args, now)).transpose()?;
        args.trust.check(trust.is_some(), matches!(address.location, Location::Registry(_)))?;
        Ok(Self { config, address, state, file, allowed: allowed.map_err(invalid)?, trust, now })
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

    /// Returns the release that the state has for the requested reference. With a trust document, only releases that
    /// were verified count.
    pub fn known(&self) -> Option<Known> {
        if let Some(trust) = &self.trust {
            return trust.known(&self.address.selector).map(|(known, _)| known);
        }
        let known = self.state.known(&self.key());
        known.or_else(|| self.state.find(&self.repository(), &self.address.selector.to_string()))
    }

    /// Returns the keys that may sign releases, by the trust document in force.
    pub fn release_keys(&self) -> Option<Vec<Key>> {
        self.trust.as_ref().map(Trust::release_keys)
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
            Ok(Fetched { resolved, facts, channel }) => {
                let described = self.check(&resolved, channel.as_deref(), args)?;
                if facts.is_none() {
                    self.judge(&resolved, channel.as_deref(), args)?;
                }
                let stale = self.stale(facts.as_ref(), channel.as_deref(), &resolved);
                Ok(Answer { resolved, described, channel, from_state: false, facts, stale })
            }
        }
    }

    fn stale(&self, facts: Option<&Facts>, channel: Option<&str>, resolved: &Resolved) -> Option<String> {
        self.trust.as_ref()?.stale(facts?, channel, &resolved.release_digest)
    }

    fn remembered(&self, args: &Args) -> Result<Answer, Failure> {
        let verified = self.trust.as_ref().and_then(|trust| trust.known(&self.address.selector));
        let known = self.known().ok_or_else(|| {
            Failure::new(3, format!("the state has no release for {}", self.key()))
                .hint("run the same command once without `--offline` while the store can be reached")
        })?;
        let damaged = || Failure::new(1, format!("the state's entry for {} is damaged", self.key()));
        let resolved = known.resolved().ok_or_else(damaged)?;
        let channel = match (&self.trust, &self.address.selector) {
            (Some(trust), Selector::Tag(tag)) => trust.has_channel(tag).then(|| tag.to_string()),
            _ => self.channel(&resolved),
        };
        let described = self.check(&resolved, channel.as_deref(), args)?;
        let facts = verified.map(|(_, facts)| facts);
        let stale = self.stale(facts.as_ref(), channel.as_deref(), &resolved);
        Ok(Answer { resolved, described, channel, from_state: true, facts, stale })
    }

    /// Reads the release from the store. With a trust document, the release is verified.
    fn fetch(&self, args: &Args) -> Result<Fetched, Failure> {
        let Address { location, repository, selector } = &self.address;
        with_store(location, args, async |store| {
            if let Some(trust) = &self.trust {
                let is_channel = |resolved: &Resolved| self.channel(resolved).is_some();
                let asked = Asked { store, address: &self.address, flags: &args.trust };
                return Box::pin(trust.fetch(&asked, is_channel)).await;
            }
            let resolved = release::resolve(store, repository, selector).await.map_err(|error| failure(&error))?;
            // A manifest that was followed before was confirmed at that time.
            if self.state.known(&self.key()).is_none_or(|known| known.manifest != resolved.manifest) {
                release::confirm(store, repository, &resolved).await.map_err(|error| failure(&error))?;
            }
            let channel = self.channel(&resolved);
            Ok(Fetched { resolved, facts: None, channel })
        })
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

    /// Stores a verified answer. This comes before anything about it is printed.
    pub fn keep(&self, answer: &Answer) -> Result<(), Failure> {
        let (Some(trust), Some(facts)) = (&self.trust, answer.facts.as_ref().filter(|_| !answer.from_state)) else {
            return Ok(());
        };
        let channel = answer.channel.as_deref().and_then(|channel| channel.parse::<Tag>().ok());
        trust.keep(&answer.resolved, channel.as_ref(), facts)
    }

    /// Stores an answer that was used. If the state cannot be written, prints a warning and continues. A verified answer
    /// is stored already.
    pub fn follow(&self, answer: &Answer) {
        if answer.facts.is_none() {
            self.remember(answer, |_| ());
        }
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
        let written = file.update(|state| {
            if answer.facts.is_none() && !answer.from_state && !self.is_known(state, answer) {
                state.follow(&self.key(), answer.channel.as_deref(), &answer.resolved, self.now.seconds());
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

fn read_state(file: &StateFile) -> Result<State, Failure> {
    let (state, damage) = file.read().map_err(|cause| {
        let message = with_causes(&cause);
        if cause.is_damage() {
            return Failure::new(3, message).hint(RESTORE);
        }
        Failure::new(if cause.is_other_kind() { 9 } else { 1 }, message)
    })?;
    if let Some(damage) = damage {
        say("warning", &damage);
    }
    Ok(state)
}

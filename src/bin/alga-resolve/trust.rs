//! Verifies releases by a trust document: reads the document and what was accepted under it, follows the chain of
//! documents, and applies the rules of the library to what a store serves.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use alga_release::appliance::{DamagedTrust, Facts, Known, OperatorDecision, Proof, State, StateFile, Trusted};
use alga_release::oci::{Digest, Location, ReadStore, Repository, Selector, Tag};
use alga_release::release::Resolved;
use alga_release::text::with_causes;
use alga_release::trust::{
    self, Accepted, DOCUMENT_LIMIT, Key, Offer, Position, PublishedError, ReadFrom, STEPS, SignedDocument, Terms, Time,
    TrustDocument, Untrusted,
};

use super::args::{Args, TrustFlags};
use super::input::read;
use super::store::failure;
use super::{Failure, say, usage};

/// Trust document that is baked into the appliance. If the file exists, every release is verified.
const BAKED: &str = "/etc/alga/trust.json";
/// Largest file of seeds that is read, in bytes.
const SEED_LIMIT: u64 = 64 << 10;

/// The trust document of this appliance, and what was accepted under it.
pub struct Trust {
    /// Digest of the baked trust document, which is the key in the state.
    root: Digest,
    /// Newest trust document that was followed.
    held: RefCell<SignedDocument>,
    seeds: BTreeMap<String, Position>,
    trusted: Trusted,
    file: Option<StateFile>,
    /// Time at the start of the run.
    now: Time,
}

/// What a store serves.
pub struct Fetched {
    pub resolved: Resolved,
    /// What was verified; absent without a trust document.
    pub facts: Option<Facts>,
    /// Channel that was asked for; `None` for a version or a digest.
    pub channel: Option<String>,
}

/// Returns the file of the trust document that holds for a run.
pub fn document_path(flags: &TrustFlags) -> Option<PathBuf> {
    // A file that cannot be looked up is not absent.
    let baked = || Some(PathBuf::from(BAKED)).filter(|path| path.try_exists().unwrap_or(true));
    flags.file.clone().or_else(baked).filter(|_| flags.forget.is_none())
}

/// Refuses to go on without a trust document after releases were verified. An operator may turn that off with a reason.
pub fn check_without(state: &State, file: Option<&StateFile>, flags: &TrustFlags, now: Time) -> Result<(), Failure> {
    match (&flags.forget, file) {
        (Some(reason), Some(file)) => {
            let decision = OperatorDecision { option: "forget-trust", reason, release: None };
            let change = |state: &mut State| {
                state.turn_trust_off();
                state.record(&decision, now);
            };
            file.update(change).map_err(|cause| Failure::new(1, with_causes(&cause)))
        }
        _ if state.requires_trust() && flags.forget.is_none() => {
            let reason = "no trust document is given, but the releases of this appliance were verified before";
            Err(Failure::new(3, reason)
                .hint("pass `--trust FILE`, or turn verification off with `--forget-trust REASON`"))
        }
        _ => Ok(()),
    }
}

fn damaged(cause: &DamagedTrust) -> Failure {
    Failure::new(3, with_causes(cause)).hint(RESTORE)
}

/// Hint for a state that is damaged and says what was verified.
pub const RESTORE: &str =
    "restore the state from a backup, or remove it: the seed beside the trust document then says what counts";

impl Trust {
    /// Reads the trust document and its seeds. Sends no request.
    pub fn open(path: &Path, state: &State, file: Option<&StateFile>, args: &Args, now: Time) -> Result<Self, Failure> {
        let baked = document(path)?;
        let root = baked.payload_digest().clone();
        let mut trusted = state.trusted(&root).map_err(|cause| damaged(&cause))?;
        if let Some(reason) = &args.trust.reset_floor {
            let file = file.ok_or_else(|| usage("`--reset-time-floor` requires `--state`"))?;
            let decision = OperatorDecision { option: "reset-time-floor", reason, release: None };
            trusted.floor = None;
            change(file, &root, Some((&decision, now)), |trusted| trusted.floor = None)?;
        }
        let held = trusted.document.clone().filter(|held| held.document().version > baked.document().version);
        Ok(Self {
            held: RefCell::new(held.unwrap_or(baked)),
            root,
            seeds: seeds(path)?,
            trusted,
            file: file.cloned(),
            now,
        })
    }

    /// Returns the release that was accepted for a channel, a version or a digest.
    pub fn known(&self, selector: &Selector) -> Option<(Known, Facts)> {
        match selector {
            Selector::Tag(tag) => {
                let of_channel = self.trusted.release(&self.held.borrow().document().product, tag);
                of_channel.or_else(|| self.trusted.find(tag.as_str()).filter(|_| !self.has_channel(tag)))
            }
            Selector::Digest(digest) => self.trusted.find(digest.as_str()),
        }
    }

    /// Reports whether the trust document has a role for a channel of this name.
    pub fn has_channel(&self, tag: &Tag) -> bool {
        self.held.borrow().document().channels.contains_key(tag.as_str())
    }

    /// Returns the keys of the role that signs releases.
    pub fn release_keys(&self) -> Vec<Key> {
        let held = self.held.borrow();
        held.document().keys_of(&held.document().release).map(|(_, key)| *key).collect()
    }

    /// Returns why a release that was accepted before would not be accepted again.
    pub fn stale(&self, facts: &Facts, channel: Option<&str>, release: &Digest) -> Option<String> {
        facts.stale(self.held.borrow().document(), channel, release, self.now)
    }

    /// Follows the chain of trust documents in a store. Each document is stored before the next one is asked for.
    async fn follow(&self, store: &ReadStore, repository: &Repository) -> Result<SignedDocument, Failure> {
        let mut held = self.held.borrow().clone();
        let (differs, mut next) = tokio::join!(held.differs_in(store, repository), held.next_in(store, repository));
        if differs {
            let version = held.document().version;
            say(
                "warning",
                &format!("the store serves another trust document of version {version} than the one in use"),
            );
        }
        for _ in 0..STEPS {
            let Some(document) = next.map_err(refused_document)? else { return Ok(held) };
            self.change(None, |trusted| trusted.follow(&document))?;
            self.held.replace(document.clone());
            held = document;
            next = held.next_in(store, repository).await;
        }
        Err(Failure::new(3, format!("the chain of trust documents has more than {STEPS} new versions")))
    }

    /// Reads a release with its proof, and verifies it.
    pub async fn fetch(
        &self,
        store: &ReadStore,
        (location, repository, selector): (&Location, &Repository, &Selector),
        flags: &TrustFlags,
        is_channel: impl FnOnce(&Resolved) -> bool,
    ) -> Result<Fetched, Failure> {
        let known = self.known(selector).map(|(known, _)| known.manifest);
        let (document, proof) =
            tokio::join!(self.follow(store, repository), Proof::read(store, repository, selector, known.as_ref()));
        let (document, proof) = (document?, proof.map_err(|error| failure(&error))?);
        let channel = match selector {
            Selector::Tag(tag)
                if document.document().channels.contains_key(tag.as_str()) || is_channel(&proof.resolved) =>
            {
                Some(tag.clone())
            }
            _ => None,
        };
        let source = match location {
            Location::Registry(_) => ReadFrom::Registry,
            Location::Layout(_) | Location::Archive(_) => {
                ReadFrom::Media { accept_expired: flags.accept_expired.as_ref() }
            }
        };
        let separator = if matches!(selector, Selector::Tag(_)) { ':' } else { '@' };
        let reference = format!("{location}/{repository}{separator}{selector}");
        let held = known.as_ref() == Some(&proof.resolved.manifest);
        let facts = match &channel {
            Some(channel) => self.of_channel(document.document(), channel, &proof, source, flags),
            None => self.of_release(document.document(), selector, &proof),
        };
        let facts = facts.map_err(|refused| refused.into_failure(&reference, held))?;
        let channel = channel.map(|channel| channel.to_string());
        Ok(Fetched { resolved: proof.resolved, facts: Some(facts), channel })
    }

    fn of_channel(
        &self,
        document: &TrustDocument,
        channel: &Tag,
        proof: &Proof,
        source: ReadFrom<'_>,
        flags: &TrustFlags,
    ) -> Result<Facts, Refused> {
        let resolved = &proof.resolved;
        let highest = self.highest(document, channel);
        let floor = self.trusted.floor;
        let terms = Terms { document, channel, highest: highest.as_ref(), floor, now: self.now, source };
        let layers: Vec<&[u8]> = proof.bundles.iter().map(Vec::as_slice).collect();
        let accepted = trust::accept(&Offer { record: resolved.record.as_ref(), layers: &layers }, &terms)?;
        self.accept(&accepted, flags)?;
        if let Some(named) = &proof.named {
            trust::check_json(named, &resolved.json, channel)?;
        }
        Ok(Facts::of_channel(&accepted, document))
    }

    /// Keeps the position of an accepted statement, before anything else that may fail.
    fn accept(&self, accepted: &Accepted, flags: &TrustFlags) -> Result<(), Refused> {
        let reason = flags.reason.as_deref().filter(|_| accepted.expired);
        let release = Some(&accepted.statement.release);
        let decision = reason.map(|reason| OperatorDecision { option: "accept-expired", reason, release });
        let decision = decision.as_ref().map(|decision| (decision, self.now));
        let kept = self.change(decision, |trusted| trusted.accept(accepted)).map_err(Refused::Failed)?;
        if kept.unwrap_or(true) {
            return Ok(());
        }
        let reason = "another program has accepted a later statement of the channel meanwhile";
        Err(Refused::Failed(Failure::new(75, reason).hint("run the command again")))
    }

    fn of_release(&self, document: &TrustDocument, selector: &Selector, proof: &Proof) -> Result<Facts, Refused> {
        let resolved = &proof.resolved;
        trust::check_clock(document, self.trusted.floor, self.now)?;
        let signers = trust::accept_release(document, &resolved.release_digest, proof.candidates())?;
        if let (Some(record), Some(named)) = (&resolved.record, &proof.named) {
            let channel = record.name.parse().map_err(|_| Untrusted::OtherJson)?;
            trust::check_json(named, &resolved.json, &channel)?;
        }
        match selector {
            Selector::Tag(tag) if resolved.record.is_some() || resolved.release.tag().ok().as_ref() != Some(tag) => {
                return Err(Refused::OtherVersion { asked: tag.clone(), found: resolved.release.version.clone() });
            }
            _ => {}
        }
        self.change(None, |trusted| trusted.raise_floor(self.now, false)).map_err(Refused::Failed)?;
        Ok(Facts::of_release(&signers, document))
    }

    /// Returns the highest position of a channel: of the state, or of the seed when that is higher.
    fn highest(&self, document: &TrustDocument, channel: &Tag) -> Option<Position> {
        let held = self.trusted.position(&document.product, channel);
        let seed = self.seeds.get(channel.as_str());
        // The last of equal ones, which has the digest of its statement.
        seed.into_iter().chain(held).max_by_key(|one| (one.epoch, one.sequence)).cloned()
    }

    /// Changes what was accepted. Without a state file, nothing is kept.
    fn change<T>(
        &self,
        decision: Option<(&OperatorDecision<'_>, Time)>,
        with: impl FnOnce(&mut Trusted) -> T,
    ) -> Result<Option<T>, Failure> {
        self.file.as_ref().map(|file| change(file, &self.root, decision, with)).transpose()
    }

    /// Stores a release that passed all checks, before anything about it is printed.
    pub fn keep(&self, resolved: &Resolved, channel: Option<&Tag>, facts: &Facts) -> Result<(), Failure> {
        let known = Known::verified(resolved, channel.is_none(), self.now.seconds());
        let product = self.held.borrow().document().product.clone();
        let is_same = |(before, held): (Known, Facts)| {
            before.manifest == known.manifest && before.json == known.json && held == *facts
        };
        let kept = |trusted: &Trusted| match channel {
            Some(channel) => trusted.release(&product, channel).is_some_and(is_same),
            None => trusted.find(resolved.release_digest.as_str()).is_some_and(is_same),
        };
        self.change(None, |trusted| {
            // The file is not written when nothing changes, because machines check often.
            if !kept(trusted) {
                trusted.keep(channel.map(|channel| (product.as_str(), channel)), &known, facts);
            }
        })
        .map(drop)
    }
}

fn change<T>(
    file: &StateFile,
    root: &Digest,
    decision: Option<(&OperatorDecision<'_>, Time)>,
    with: impl FnOnce(&mut Trusted) -> T,
) -> Result<T, Failure> {
    let mut changed = None;
    let written = file.update(|state| {
        changed = Some(state.change_trusted(root, with));
        if let Some((decision, now)) = decision {
            state.record(decision, now);
        }
    });
    written.map_err(|cause| {
        Failure::new(1, with_causes(&cause)).hint("make the state writable: nothing is printed before it is written")
    })?;
    changed.transpose().map_err(|cause| damaged(&cause))?.ok_or_else(|| Failure::new(1, "failed to change the state"))
}

/// Why a release is refused.
enum Refused {
    Rule(Untrusted),
    OtherVersion { asked: Tag, found: String },
    Failed(Failure),
}

impl From<Untrusted> for Refused {
    fn from(cause: Untrusted) -> Self {
        Self::Rule(cause)
    }
}

impl Refused {
    /// Returns the failure. `held` says whether the manifest was accepted before.
    fn into_failure(self, reference: &str, held: bool) -> Failure {
        let (name, reason, hint, is_time) = match self {
            Self::Failed(failure) => return failure,
            Self::OtherVersion { asked, found } => {
                let reason = format!("expected the release {asked}, found version `{}`", found.escape_debug());
                ("other-version", reason, CHECK_WRITERS, false)
            }
            Self::Rule(cause) => {
                let (hint, is_time) = of_rule(&cause, held);
                (cause.name(), cause.to_string(), hint, is_time)
            }
        };
        // Time that passes and keys that are removed stop changes, and never the rendering of what was accepted.
        let failure = Failure::new(3, format!("{reference} is refused ({name}): {reason}"));
        Failure { unreachable: is_time, ..failure.hint(hint) }
    }
}

const CHECK_WRITERS: &str = "the current release stays; check who can write to the repository";

/// Returns the hint for a rule, and whether the release in the state may be rendered again nevertheless.
fn of_rule(cause: &Untrusted, held: bool) -> (&'static str, bool) {
    match cause {
        Untrusted::BeforeFloor { .. } | Untrusted::Ahead { .. } => (
            "correct the clock of this machine; if a wrong time was accepted before, run once with `--reset-time-floor REASON`",
            true,
        ),
        Untrusted::Expired { .. } | Untrusted::NoRefresh | Untrusted::RefreshExpired { .. } => (
            "the current release stays until the vendor refreshes the channel; old media need `--accept-expired DIGEST --reason TEXT`",
            true,
        ),
        Untrusted::DocumentExpired { .. } => {
            ("the current release stays until the vendor publishes the next trust document", true)
        }
        Untrusted::UnknownKey
        | Untrusted::Threshold { .. }
        | Untrusted::RefreshThreshold { .. }
        | Untrusted::ReleaseUnsigned(_)
        | Untrusted::OtherEpoch { .. } => (CHECK_WRITERS, held),
        Untrusted::Withdrawn(_) => ("the current release stays; wait for the next release of the channel", held),
        _ => (CHECK_WRITERS, false),
    }
}

fn refused_document(cause: PublishedError) -> Failure {
    match cause {
        PublishedError::Store(cause) => failure(&cause.into()),
        PublishedError::NotADocument { .. } | PublishedError::Invalid { .. } => {
            Failure::new(3, format!("the next trust document is refused (trust-document): {cause}")).hint(CHECK_WRITERS)
        }
    }
}

/// Reads a trust document from a file, and verifies that its own root keys signed it.
fn document(path: &Path) -> Result<SignedDocument, Failure> {
    let name = path.display();
    let bytes = read(path, DOCUMENT_LIMIT as u64)
        .map_err(|cause| usage(format!("cannot read the trust document {name}: {cause}")))?;
    SignedDocument::open(&bytes).map_err(|cause| usage(format!("{name}: {cause}")))
}

/// Reads the positions that are baked beside the trust document: `trust.seed.json` beside `trust.json`. They count when the
/// state has no higher ones.
fn seeds(path: &Path) -> Result<BTreeMap<String, Position>, Failure> {
    let path = path.with_extension("seed.json");
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let wrong = |cause: &dyn std::fmt::Display| {
        usage(format!(
            "cannot read the seed {}: {cause}; expected {{\"CHANNEL\":{{\"epoch\":N,\"sequence\":N}}}}",
            path.display()
        ))
    };
    let bytes = read(&path, SEED_LIMIT).map_err(|cause| wrong(&cause))?;
    serde_json::from_slice(&bytes).map_err(|cause| wrong(&cause))
}

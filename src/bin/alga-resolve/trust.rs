//! Verifies releases by a trust document: reads the document and what was accepted under it, follows the chain of
//! documents, and applies the rules of the library to what a store serves.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use alga_release::appliance::{Elsewhere, Facts, Known, OperatorDecision, Proof, State, StateFile, Trusted};
use alga_release::oci::{self, Digest, Location, ReadStore, Repository, Selector, Tag};
use alga_release::release::{self, Address, Resolved, UnreadRelease};
use alga_release::text::with_causes;
use alga_release::trust::{
    self, Candidate, DOCUMENT_LIMIT, Key, KeyId, Offer, Position, ReadFrom, STEPS, SignedDocument, Terms, Time,
    TrustDocument, Untrusted,
};

use super::args::{Args, TrustFlags};
use super::input::read;
use super::refused::{Refused, damaged, refused_document};
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
    trusted: RefCell<Trusted>,
    /// What was accepted under other baked documents, and is not taken over yet.
    elsewhere: RefCell<Vec<Elsewhere>>,
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

/// What a run reads: a reference in a store.
pub struct Asked<'a> {
    pub store: &'a ReadStore,
    pub address: &'a Address,
    pub flags: &'a TrustFlags,
}

impl Asked<'_> {
    fn is_registry(&self) -> bool {
        matches!(self.address.location, Location::Registry(_))
    }

    fn source(&self) -> ReadFrom<'_> {
        let accept_expired = self.flags.accept_expired.as_ref();
        if self.is_registry() { ReadFrom::Registry } else { ReadFrom::Media { accept_expired } }
    }

    fn reference(&self) -> String {
        let Address { location, repository, selector } = self.address;
        let separator = if matches!(selector, Selector::Tag(_)) { ':' } else { '@' };
        format!("{location}/{repository}{separator}{selector}")
    }

    async fn proof(&self, manifest: &UnreadRelease, accepted: Option<&Digest>) -> Result<Proof, Failure> {
        let Address { repository, selector, .. } = self.address;
        let proof = Box::pin(Proof::read(self.store, repository, selector, manifest, accepted)).await;
        proof.map_err(|error| failure(&error))
    }

    /// Returns the key whose signature is attached to a release as a Sigstore bundle: the first one that verifies.
    async fn release_signer(&self, document: &TrustDocument, release: &Digest) -> Result<BTreeSet<KeyId>, Refused> {
        let failed = |cause: oci::Error| Refused::Failed(failure(&cause.into()));
        let (store, repository) = (self.store, &self.address.repository);
        for referrer in store.bundle_referrers(repository, release).await.map_err(failed)? {
            if let Some(bundle) = store.bundle(repository, &referrer).await.map_err(failed)?
                && let Ok(signers) = trust::accept_release(document, release, [Candidate::Bundle(&bundle.bytes)])
            {
                return Ok(signers);
            }
        }
        Err(Untrusted::ReleaseUnsigned(release.clone()).into())
    }
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
            change(file, &root, Some((&decision, now)), &mut |trusted| {
                trusted.floor = None;
                true
            })?;
        }
        let held = trusted.document.clone().filter(|held| held.document().version > baked.document().version);
        let held = held.unwrap_or_else(|| baked.clone());
        let elsewhere = state.elsewhere(&root, &held.document().product, &trusted);
        if !(state.requires_trust() && trusted.is_baked(&baked)) {
            trusted.set_baked(&baked);
            // Noted before anything is accepted: a run that is refused must not leave the way open for one that verifies
            // nothing.
            let mut note = |trusted: &mut Trusted| {
                trusted.set_baked(&baked);
                true
            };
            file.map(|file| change(file, &root, None, &mut note)).transpose()?;
        }
        let opened = Self {
            held: RefCell::new(held.clone()),
            root,
            seeds: seeds(path)?,
            trusted: RefCell::new(trusted),
            elsewhere: RefCell::new(elsewhere),
            file: file.cloned(),
            now,
        };
        opened.take_over(&|other| [&baked, &held].iter().any(|document| document.adjoins(other)))?;
        Ok(opened)
    }

    /// Takes over what was accepted under other baked documents, where the document in force there is one of this chain.
    fn take_over(&self, is_of_chain: &dyn Fn(&SignedDocument) -> bool) -> Result<(), Failure> {
        for other in self.elsewhere.take() {
            if !other.document.as_ref().is_some_and(is_of_chain) {
                self.elsewhere.borrow_mut().push(other);
                continue;
            }
            let held = self.held.borrow().clone();
            self.change(None, &mut |trusted| {
                trusted.take_over(&other, &held);
                true
            })?;
            let mut trusted = self.trusted.borrow_mut();
            trusted.take_over(&other, &held);
            if let Some(later) = &trusted.document
                && later.document().version > held.document().version
            {
                self.held.replace(later.clone());
            }
        }
        Ok(())
    }

    /// Takes over what was accepted under an earlier document, from which the chain in the store leads to the baked one.
    /// Once something is accepted under the baked document, nothing is asked for any more.
    async fn take_over_earlier(&self, store: &ReadStore, repository: &Repository) -> Result<(), Failure> {
        if self.elsewhere.borrow().is_empty() || !self.trusted.borrow().is_empty() {
            return Ok(());
        }
        let held = self.held.borrow().clone();
        let mut earlier = Vec::new();
        for other in self.elsewhere.borrow().iter() {
            earlier.extend(other.document.clone());
        }
        for document in earlier {
            if document.leads_to(&held, store, repository).await.map_err(|cause| failure(&cause.into()))? {
                self.take_over(&|other| other.payload_digest() == document.payload_digest())?;
            }
        }
        if !self.elsewhere.borrow().is_empty() {
            let product = &held.document().product;
            say(
                "warning",
                &format!(
                    "the state has statements that were accepted under another trust document of {product}. No chain of \
                     trust documents leads from that document to this one, so these statements do not count"
                ),
            );
        }
        Ok(())
    }

    /// Returns the release that was accepted for a channel, a version or a digest.
    pub fn known(&self, selector: &Selector) -> Option<(Known, Facts)> {
        match selector {
            Selector::Tag(tag) => {
                let trusted = self.trusted.borrow();
                let of_channel = trusted.release(&self.held.borrow().document().product, tag);
                of_channel.or_else(|| trusted.find(tag.as_str()).filter(|_| !self.has_channel(tag)))
            }
            Selector::Digest(digest) => self.trusted.borrow().find(digest.as_str()),
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
            let Some(document) = next.map_err(refused_document)? else {
                self.take_over_earlier(store, repository).await?;
                return Ok(self.held.borrow().clone());
            };
            self.change(None, &mut |trusted| {
                trusted.follow(&document);
                true
            })?;
            self.held.replace(document.clone());
            self.take_over(&|other| other.payload_digest() == document.payload_digest())?;
            held = document;
            next = held.next_in(store, repository).await;
        }
        Err(Failure::new(3, format!("the chain of trust documents has more than {STEPS} new versions")))
    }

    /// Reads a release with its proof, and verifies it. A channel manifest that was accepted before is not verified again
    /// if nothing has changed that the decision depends on.
    pub async fn fetch(
        &self,
        asked: &Asked<'_>,
        is_channel: impl FnOnce(&Resolved) -> bool,
    ) -> Result<Fetched, Failure> {
        let Asked { store, address, .. } = *asked;
        let (repository, selector) = (&address.repository, &address.selector);
        let known = self.known(selector);
        let accepted = known.as_ref().map(|(known, _)| &known.manifest);
        let again = |manifest: &UnreadRelease| self.again(manifest, asked, known.as_ref());
        let reading = async {
            let manifest = release::open(store, repository, selector).await.map_err(|error| failure(&error))?;
            let is_settled = again(&manifest).is_some();
            let proof = if is_settled { None } else { Some(asked.proof(&manifest, accepted).await?) };
            Ok((manifest, proof))
        };
        let (document, read) = tokio::join!(self.follow(store, repository), reading);
        let (document, (manifest, proof)) = (document?, read?);
        let proof = if let Some(proof) = proof {
            proof
        } else if let Some(fetched) = again(&manifest) {
            return self.keep_position(&fetched, document.document()).map(|()| fetched);
        } else {
            // The trust document has changed meanwhile.
            asked.proof(&manifest, accepted).await?
        };
        let channel = match selector {
            Selector::Tag(tag) if self.has_channel(tag) || is_channel(&proof.resolved) => Some(tag.clone()),
            _ => None,
        };
        let facts = match &channel {
            Some(channel) => self.of_channel(&document, channel, &proof, asked),
            None => self.of_release(document.document(), &proof, asked).await,
        };
        let held = accepted == Some(&proof.resolved.manifest);
        let facts = facts.map_err(|refused| match (&refused, &proof.unread) {
            (Refused::Rule(cause), Some(unread)) if cause.lacks_signature() => failure(unread),
            _ => refused.into_failure(&asked.reference(), held, asked.is_registry()),
        })?;
        let channel = channel.map(|channel| channel.to_string());
        Ok(Fetched { resolved: proof.resolved, facts: Some(facts), channel })
    }

    /// Returns the release in the state, if the channel manifest is the one that was accepted and is accepted again.
    fn again(&self, manifest: &UnreadRelease, asked: &Asked<'_>, known: Option<&(Known, Facts)>) -> Option<Fetched> {
        let (Selector::Tag(channel), Some((known, facts))) = (&asked.address.selector, known) else { return None };
        if known.manifest != manifest.digest || known.release_digest != manifest.release_digest {
            return None;
        }
        let held = self.held.borrow();
        let document = held.document();
        let (highest, floor) = (self.highest(document, channel), self.trusted.borrow().floor);
        let terms =
            Terms { document, channel, highest: highest.as_ref(), floor, now: self.now, source: asked.source() };
        facts.again(&known.release_digest, held.payload_digest(), &terms)?;
        let resolved = manifest.with_json(known.json.as_bytes())?;
        Some(Fetched { resolved, facts: Some(facts.clone()), channel: Some(channel.to_string()) })
    }

    /// Raises the time floor for a channel that is accepted again, unless another program has accepted another statement
    /// meanwhile.
    fn keep_position(&self, fetched: &Fetched, document: &TrustDocument) -> Result<(), Failure> {
        let channel = fetched.channel.as_ref().and_then(|channel| channel.parse::<Tag>().ok());
        let position = channel.as_ref().and_then(|channel| self.highest(document, channel));
        let (Some(channel), Some(position)) = (channel, position) else { return Ok(()) };
        let kept =
            self.change(None, &mut |trusted| trusted.accept_again(&document.product, &channel, &position, self.now))?;
        if kept { Ok(()) } else { Err(overtaken()) }
    }

    fn of_channel(
        &self,
        signed: &SignedDocument,
        channel: &Tag,
        proof: &Proof,
        asked: &Asked<'_>,
    ) -> Result<Facts, Refused> {
        let (resolved, document) = (&proof.resolved, signed.document());
        let highest = self.highest(document, channel);
        let floor = self.trusted.borrow().floor;
        let terms =
            Terms { document, channel, highest: highest.as_ref(), floor, now: self.now, source: asked.source() };
        let layers: Vec<&[u8]> = proof.bundles.iter().map(Vec::as_slice).collect();
        let accepted = trust::accept(&Offer { record: resolved.record.as_ref(), layers: &layers }, &terms)?;
        // The position is kept before anything else that may fail.
        let release = &accepted.statement.release;
        let decision = decision(accepted.expired, asked.flags, release);
        if !self.change(decision.as_ref(), &mut |trusted| trusted.accept(&accepted)).map_err(Refused::Failed)? {
            return Err(Refused::Failed(overtaken()));
        }
        if let Some(named) = &proof.named {
            trust::check_json(named, &resolved.json, channel)?;
        }
        Ok(Facts::of_channel(&accepted, signed))
    }

    async fn of_release(&self, document: &TrustDocument, proof: &Proof, asked: &Asked<'_>) -> Result<Facts, Refused> {
        let (resolved, release) = (&proof.resolved, &proof.resolved.release_digest);
        trust::check_clock(document, self.trusted.borrow().floor, self.now)?;
        let expired = trust::check_current(document, Some(release), self.now, asked.source())?;
        let signers = match trust::accept_release(document, release, proof.candidates()) {
            Err(Untrusted::ReleaseUnsigned(_)) => Box::pin(asked.release_signer(document, release)).await?,
            done => done?,
        };
        if let (Some(record), Some(named)) = (&resolved.record, &proof.named) {
            let channel = record.name.parse().map_err(|_| Untrusted::OtherJson)?;
            trust::check_json(named, &resolved.json, &channel)?;
        }
        match &asked.address.selector {
            Selector::Tag(tag) if resolved.record.is_some() || resolved.release.tag().ok().as_ref() != Some(tag) => {
                return Err(Refused::OtherVersion { asked: tag.clone(), found: resolved.release.version.clone() });
            }
            _ => {}
        }
        let decision = decision(expired, asked.flags, release);
        let raised = self.change(decision.as_ref(), &mut |trusted| {
            trusted.raise_floor(self.now, false);
            true
        });
        raised.map_err(Refused::Failed)?;
        Ok(Facts::of_release(&signers, document))
    }

    /// Returns the highest position of a channel: of the state, or of the seed when that is higher.
    fn highest(&self, document: &TrustDocument, channel: &Tag) -> Option<Position> {
        let trusted = self.trusted.borrow();
        let held = trusted.position(&document.product, channel);
        let seed = self.seeds.get(channel.as_str());
        // The last of equal ones, which has the digest of its statement.
        seed.into_iter().chain(held).max_by_key(|one| (one.epoch, one.sequence)).cloned()
    }

    /// Changes what was accepted, and returns what `with` returns. Without a state file, nothing is kept.
    fn change(
        &self,
        decision: Option<&OperatorDecision<'_>>,
        with: &mut dyn FnMut(&mut Trusted) -> bool,
    ) -> Result<bool, Failure> {
        let decision = decision.map(|decision| (decision, self.now));
        self.file.as_ref().map_or(Ok(true), |file| change(file, &self.root, decision, with))
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
        // The file is neither read nor written when nothing changes, because machines check often.
        if kept(&self.trusted.borrow()) {
            return Ok(());
        }
        self.change(None, &mut |trusted| {
            if !kept(trusted) {
                trusted.keep(channel.map(|channel| (product.as_str(), channel)), &known, facts);
            }
            true
        })
        .map(drop)
    }
}

/// Returns the decision of the operator to accept a release although something that proves it has expired.
fn decision<'a>(expired: bool, flags: &'a TrustFlags, release: &'a Digest) -> Option<OperatorDecision<'a>> {
    let reason = flags.reason.as_deref().filter(|_| expired)?;
    Some(OperatorDecision { option: "accept-expired", reason, release: Some(release) })
}

fn overtaken() -> Failure {
    Failure::new(75, "another program has accepted a later statement of the channel meanwhile")
        .hint("run the command again")
}

/// Changes what was accepted, and returns what `with` returns. The type of `with` is not a parameter, because the code
/// would exist once for each.
fn change(
    file: &StateFile,
    root: &Digest,
    decision: Option<(&OperatorDecision<'_>, Time)>,
    with: &mut dyn FnMut(&mut Trusted) -> bool,
) -> Result<bool, Failure> {
    let mut changed = Ok(false);
    let written = file.update(|state| {
        changed = state.change_trusted(root, with);
        if let Some((decision, now)) = decision {
            state.record(decision, now);
        }
    });
    written.map_err(|cause| {
        Failure::new(1, with_causes(&cause)).hint("make the state writable: nothing is printed before it is written")
    })?;
    changed.map_err(|cause| damaged(&cause))
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

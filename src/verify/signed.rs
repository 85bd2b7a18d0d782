//! Checks the signatures of a release by a trust document: those of its artifacts, and the statement of the channel that
//! serves it. The rules are those of the resolver, without the memory of an appliance.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use futures_util::try_join;
use serde::Serialize;

use super::attached::FoundSignatures;
use super::served::own_json;
use super::verifiers::{InField, Judged, Verdict, in_field};
use super::{Aspect, Check, Checked, Extent, Subject};
use crate::oci::{self, AnyRepository, Digest, ReadStore, Repository, Selector, Tag};
use crate::release::{self, MoveKind, Named, NamedKind, Target};
use crate::text::cut;
use crate::trust::{self, Accepted, ChannelStatement, KeyId, Offer, ReadFrom, Terms, Time, TrustDocument, Untrusted};

/// The trust document by which signatures are verified.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// Trust document in force.
    pub document: &'a TrustDocument,
    /// Present time, by which statements and documents expire.
    pub now: Time,
    /// Kind of the store: a channel on media needs no current refresh.
    pub source: ReadFrom<'a>,
}

/// Who signed an artifact, and what the verifiers in the field do with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Signed {
    /// Keys that signed, in the order of their IDs.
    pub signers: Vec<Signer>,
    /// Decisions of Flux, cosign and policy engines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verifiers: Vec<InField>,
}

/// A key that signed, and where its signature is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signer {
    /// Key by which the signature verifies.
    pub key: KeyId,
    /// Role in which the key signed: `release`, `channel` or `refresh`.
    pub role: &'static str,
    /// Forms of the signature: `sig` for the tag `sha256-<hex>.sig`, `bundle` for a referrer, `layer` for a layer of the
    /// channel manifest.
    pub forms: Vec<&'static str>,
}

/// The signed statement of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatementFacts {
    /// Number of keys of the channel's role that must sign.
    pub threshold: usize,
    /// Keys of the channel's role that signed the statement.
    pub signers: BTreeSet<KeyId>,
    /// Epoch of the channel in the statement.
    pub epoch: u64,
    /// Number of the move within the epoch.
    pub sequence: u64,
    /// Version of the trust document that the signers used.
    pub trust_version: u64,
    /// SHA-256 of the payload of the statement before; absent on the first.
    pub previous: Option<Digest>,
    /// SHA-256 of the payload of the statement.
    pub payload: Digest,
    /// Kind of the move, as the channel's annotations name it.
    pub kind: MoveKind,
    /// Time at which the statement was made.
    pub issued: String,
    /// Time from which the statement does not count.
    pub expires: String,
    /// Time from which the channel is refused unless it is refreshed: the earlier expiry of statement and refresh.
    /// Absent when the statement is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh_until: Option<String>,
    /// Keys of the refresh role that signed the refresh in use.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub refreshed_by: BTreeSet<KeyId>,
    /// Keys of the role `release` whose signatures of the release are in the channel manifest.
    pub release_signers: BTreeSet<KeyId>,
}

/// The checks of signatures, and the statement of the channel.
#[derive(Debug, Default)]
pub(super) struct SignatureChecks {
    pub checks: Vec<Check>,
    pub statement: Option<StatementFacts>,
}

impl Checked<'_> {
    /// Checks every signature, if there is a trust document.
    pub(super) async fn signatures(&self) -> Result<SignatureChecks, oci::Error> {
        let Some(trust) = &self.trust else { return Ok(SignatureChecks::default()) };
        let named = self.resolved.release.named(self.prefix, self.config);
        let artifacts = try_join_all(named.iter().map(|named| self.of_named(trust, named)));
        let (channel, release, artifacts) =
            try_join!(self.of_statement(trust), self.of_release_signature(trust), artifacts)?;
        let mut all = channel;
        all.checks.extend(release);
        all.checks.extend(artifacts.into_iter().flatten());
        Ok(all)
    }

    /// Returns the checks of who signed, without any other check.
    ///
    /// # Errors
    /// Returns an error when the store cannot be reached.
    pub async fn signers(&self) -> Result<Vec<Check>, oci::Error> {
        Ok(self.signatures().await?.checks)
    }

    /// Checks the statement of the channel alone, where its signatures must count, see [`Extent::Move`].
    ///
    /// # Errors
    /// Returns an error when the store cannot be reached.
    pub async fn statement(&self) -> Result<Vec<Check>, oci::Error> {
        let Some(trust) = &self.trust else { return Ok(Vec::new()) };
        Ok(self.of_statement(trust).await?.checks)
    }

    /// Returns the store as appliances read it.
    fn as_appliances_read(&self) -> &ReadStore {
        let reader = &self.own().reader;
        reader.public.unwrap_or(reader.store)
    }

    /// Checks the statement in a channel manifest, as the resolver does.
    async fn of_statement(&self, trust: &Trust<'_>) -> Result<SignatureChecks, oci::Error> {
        let channel = match self.extent {
            Extent::Whole(channel) => channel,
            // A release may be promoted from a channel that is not signed, if the trust document has no role for the
            // channel. From a channel with a role, the statement decides which release it is and since when.
            Extent::Move { channel } => channel.filter(|one| trust.document.channels.contains_key(one.as_str())),
            Extent::Files => None,
        };
        let Some(channel) = channel else { return Ok(SignatureChecks::default()) };
        let reference = format!("{}:{channel}", self.repository());
        let subject = Subject { kind: NamedKind::Channel, name: channel.as_str(), reference: &reference };
        let (resolved, store) = (self.resolved, self.as_appliances_read());
        let read = match release::readable_signatures(store, self.repository(), &resolved.signatures).await {
            Ok(read) => read,
            Err(error) => {
                let checks = vec![subject.unsigned(error)?];
                return Ok(SignatureChecks { checks, statement: None });
            }
        };
        let layers: Vec<&[u8]> = read.bundles.iter().map(Vec::as_slice).collect();
        let offer = Offer { record: resolved.record.as_ref(), layers: &layers };
        let Trust { document, now, source } = *trust;
        let terms = Terms::without_memory(document, channel, now, source);
        let accepted = trust::accept(&offer, &terms);
        let statement = facts(&offer, trust, channel, accepted.as_ref().ok());
        let check = match accepted {
            Ok(accepted) => Check {
                signed: Some(Box::new(Signed { signers: of_channel(&accepted), verifiers: Vec::new() })),
                ..subject.ok(Aspect::Signed)
            },
            Err(cause) => match read.unread {
                Some(unread) if cause.lacks_signature() => subject.unsigned(unread)?,
                _ => subject.refused(&cause),
            },
        };
        let json = match self.same_json(channel).await? {
            None => None,
            Some(Ok(())) => Some(subject.ok(Aspect::Agrees)),
            Some(Err(cause)) => Some(Check { aspect: Aspect::Agrees, ..subject.refused(&cause) }),
        };
        Ok(SignatureChecks { checks: [check].into_iter().chain(json).collect(), statement })
    }

    /// Compares the JSON of a channel manifest with that of its release, byte for byte. A release that cannot be read is
    /// a failed check already.
    async fn same_json(&self, channel: &Tag) -> Result<Option<Result<(), Untrusted>>, oci::Error> {
        let Some(record) = &self.resolved.record else { return Ok(None) };
        let release = own_json(self.own(), self.repository(), &Selector::Digest(record.release.clone())).await?;
        Ok(release.ok().map(|(_, json)| trust::check_json(&json, &self.resolved.json, channel)))
    }

    /// Checks the signature of the release manifest, and that the trust document has not withdrawn the release.
    async fn of_release_signature(&self, trust: &Trust<'_>) -> Result<Vec<Check>, oci::Error> {
        let (digest, repository) = (&self.resolved.release_digest, self.repository());
        let reference = format!("{repository}@{digest}");
        let (kind, name) = (NamedKind::Release, &self.resolved.release.version);
        let subject = Subject { kind, name, reference: &reference };
        let Trust { document, now, source } = *trust;
        let counts = trust::check_clock(document, None, now)
            .and_then(|()| trust::check_current(document, Some(digest), now, source))
            .and_then(|_| {
                let withdrawn = document.withdrawn.contains(digest);
                if withdrawn { Err(Untrusted::Withdrawn(digest.clone())) } else { Ok(()) }
            });
        if let Err(cause) = counts {
            return Ok(vec![subject.refused(&cause)]);
        }
        self.of_artifact(trust, &subject, repository, digest).await
    }

    /// Checks the signatures of an artifact that the release names and that is in the same store.
    async fn of_named(&self, trust: &Trust<'_>, named: &Named) -> Result<Vec<Check>, oci::Error> {
        let Target::At { repository: AnyRepository::Own(repository), selector } = &named.target else {
            return Ok(Vec::new());
        };
        let digest = match selector {
            Selector::Digest(digest) => digest.clone(),
            // An image without a digest may be another one at any time.
            Selector::Tag(_) if named.kind.is_image() => return Ok(Vec::new()),
            Selector::Tag(_) => match self.own().manifest(repository, selector).await {
                Ok((descriptor, _)) => descriptor.digest,
                Err(_) => return Ok(Vec::new()),
            },
        };
        self.of_artifact(trust, &named.subject(), repository, &digest).await
    }

    async fn of_artifact(
        &self,
        trust: &Trust<'_>,
        subject: &Subject<'_>,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Vec<Check>, oci::Error> {
        let store = self.as_appliances_read();
        let is_whole = matches!(self.extent, Extent::Whole(_));
        // Before a move, one signature is enough, and the older form has it in fewer requests.
        let claims = if is_whole { Ok(Vec::new()) } else { store.claims(repository, digest).await };
        let claims = match claims {
            Ok(claims) => oci::StoredSignatures { layers: claims.len(), claims, bundles: Vec::new() },
            Err(error) => return Ok(vec![subject.unsigned(error)?]),
        };
        let found = FoundSignatures::of(&claims, trust.document, digest);
        if !found.of_claims(digest).is_empty() {
            return Ok(vec![subject.signed(&found, digest, Vec::new())]);
        }
        let stored = match store.stored_signatures(repository, digest).await {
            Ok(stored) => stored,
            Err(error) => return Ok(vec![subject.unsigned(error)?]),
        };
        let found = FoundSignatures::of(&stored, trust.document, digest);
        let name = self.prefix.name_of(repository);
        let judged = Judged { kind: subject.kind, digest, name: &name };
        let verifiers = if is_whole { in_field(&judged, &found) } else { Vec::new() };
        Ok(subject.of_signatures(&found, digest, verifiers))
    }
}

impl Subject<'_> {
    /// Returns the checks of the signatures that were found. Images are signed by their builders, so only the release's
    /// own artifacts must be signed.
    fn of_signatures(&self, found: &FoundSignatures, digest: &Digest, verifiers: Vec<InField>) -> Vec<Check> {
        let must = !matches!(self.kind, NamedKind::Image | NamedKind::ExtraImage);
        let misplaced: Vec<&str> = found.misplaced(digest).into_iter().map(Digest::short).collect();
        if !misplaced.is_empty() {
            let (one, name) = (misplaced.join(", "), "the tag of its signatures");
            let reason = format!("{name} has a signature of another artifact, {one}: someone copied it there");
            let help = "find out who wrote the tag, and remove that signature from it";
            return vec![Check { help: Some(help.to_owned()), ..self.failed(Aspect::Signed, reason) }];
        }
        let signed = !found.of_claims(digest).is_empty() || !found.of_bundles().is_empty();
        if !signed && !must {
            return Vec::new();
        }
        if !signed {
            let found = if found.is_empty() { "it has no signature" } else { "others signed it" };
            let reason = format!("a key of the role release did not sign the {}: {found}", self.kind.as_str());
            return vec![Check { help: Some(NOT_SIGNED.to_owned()), ..self.failed(Aspect::Signed, reason) }];
        }
        let refusing = verifiers.iter().filter(|one| one.verdict == Verdict::Refuses);
        let refusing: Vec<&str> = refusing.map(|one| one.text.as_str()).collect();
        let in_field = if refusing.is_empty() {
            self.ok(Aspect::Verifiers)
        } else {
            let help = Some(NOT_SIGNED.to_owned());
            Check { help, ..self.failed(Aspect::Verifiers, refusing.join("; ")) }
        };
        let judged = !verifiers.is_empty();
        let mut checks = vec![self.signed(found, digest, verifiers)];
        checks.extend(judged.then_some(in_field));
        checks
    }

    fn signed(&self, found: &FoundSignatures, digest: &Digest, verifiers: Vec<InField>) -> Check {
        let signers = of_artifact(found, digest);
        Check { signed: Some(Box::new(Signed { signers, verifiers })), ..self.ok(Aspect::Signed) }
    }

    /// Returns the failed check of something that a rule of the resolver refuses.
    fn refused(&self, cause: &Untrusted) -> Check {
        let reason = format!("an appliance refuses it ({}): {cause}", cause.name());
        Check { help: Some(way_out(cause).to_owned()), ..self.failed(Aspect::Signed, reason) }
    }

    /// Returns the failed check of signatures that cannot be read. A temporary failure of the store is an error.
    fn unsigned(&self, error: oci::Error) -> Result<Check, oci::Error> {
        if error.kind().is_of_server() {
            return Err(error);
        }
        Ok(self.failed(Aspect::Signed, format!("the signatures cannot be read: {}", cut(&error.to_string(), 400))))
    }
}

/// Advice for an artifact that lacks a signature.
const NOT_SIGNED: &str =
    "sign what is published with a key of the role release: `alga-release sign REF --trust FILE --sign-key FILE`";

/// Returns the advice for a rule of the resolver that does not hold.
fn way_out(cause: &Untrusted) -> &'static str {
    match cause {
        Untrusted::Expired { .. } => "move the channel again with its keys, which makes a new statement",
        Untrusted::NoRefresh | Untrusted::RefreshExpired { .. } => {
            "refresh the channel: `alga-release refresh CHANNEL --trust FILE --sign-key FILE`"
        }
        Untrusted::DocumentExpired { .. } => "sign and publish the next version of the trust document",
        Untrusted::Withdrawn(_) => "move the channel to a corrected release",
        Untrusted::Ahead { .. } | Untrusted::BeforeFloor { .. } => "correct the clock of this machine",
        Untrusted::UnknownChannel(_) => "add a role for the channel to the trust document",
        Untrusted::Unsigned { .. } => "move the channel with its keys: `--trust FILE --sign-key FILE`",
        _ => "find out who wrote the channel, and move it with its keys: `--trust FILE --sign-key FILE`",
    }
}

/// Returns the release keys that signed an artifact, with the forms of their signatures.
fn of_artifact(found: &FoundSignatures, digest: &Digest) -> Vec<Signer> {
    let mut forms: BTreeMap<KeyId, Vec<&'static str>> = BTreeMap::new();
    for (keys, form) in [(found.of_claims(digest), "sig"), (found.of_bundles(), "bundle")] {
        for key in keys {
            forms.entry(key).or_default().push(form);
        }
    }
    forms.into_iter().map(|(key, forms)| Signer { key, role: "release", forms }).collect()
}

/// Returns the keys whose signatures are in a channel manifest, with their roles.
fn of_channel(accepted: &Accepted) -> Vec<Signer> {
    let roles =
        [(&accepted.signers, "channel"), (&accepted.refreshed_by, "refresh"), (&accepted.release_signers, "release")];
    let signer = |role, key: &KeyId| Signer { key: *key, role, forms: vec!["layer"] };
    roles.into_iter().flat_map(|(keys, role)| keys.iter().map(move |key| signer(role, key))).collect()
}

/// Returns what the statement of a channel says. A statement that has expired is told all the same.
fn facts(offer: &Offer<'_>, trust: &Trust<'_>, channel: &Tag, accepted: Option<&Accepted>) -> Option<StatementFacts> {
    let proven = trust::proven(offer, trust.document, channel).ok()?;
    let ChannelStatement { epoch, sequence, trust_version, previous, kind, issued, expires, .. } = proven.statement;
    Some(StatementFacts {
        threshold: trust.document.channels.get(channel.as_str())?.role.threshold,
        signers: proven.signers,
        epoch,
        sequence,
        trust_version,
        previous,
        payload: proven.payload,
        kind,
        issued: issued.to_string(),
        expires: expires.to_string(),
        fresh_until: accepted.map(|accepted| accepted.expires.to_string()),
        refreshed_by: accepted.map(|accepted| accepted.refreshed_by.clone()).unwrap_or_default(),
        release_signers: accepted.map(|accepted| accepted.release_signers.clone()).unwrap_or_default(),
    })
}

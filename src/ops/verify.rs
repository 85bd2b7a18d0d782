//! Reads releases back: every byte and every reference.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use super::judges::{Judged, Render};
use super::lint::{How, Stored};
use super::resolve::{SEND_AGAIN, is_head, other_version};
use super::signing::{self, followed};
use super::{Connection, Error, checks, way_out};
use crate::config::Config;
use crate::contents::{Opened, ReadOnce, Stores};
use crate::lint::{Report, Settings, render};
use crate::oci::{Kind, Location, ReadStore, Repository, Selector, Tag};
use crate::plan;
use crate::release::{self, NamedKind, ResolveError, ResolveKind, Resolved};
use crate::text::{clean, counted, shown, with_causes};
use crate::trust::{KeyId, SignedDocument, TrustDocument};
use crate::verify::{Aspect, Check, Checked, Extent, Outcome, Signed, StatementFacts, Trust, Verified};

/// Version of the JSON, `docs/schemas/verify.json`.
const SCHEMA: &str = "alga.release.verify/v1";
/// Reason why signatures are not verified.
const NOT_VERIFIED: &str = "not verified: no trust document";

/// The releases that are read back, and from where.
#[derive(Clone, Debug)]
pub struct VerifyRequest {
    /// Channel, version or digest; `None` for every channel of the configuration.
    pub reference: Option<String>,
    /// Whether only the store is read, which must be on a disk then, and no other registry.
    pub offline: bool,
    /// Trust document by which signatures are verified; `None` verifies none.
    pub trust: Option<SignedDocument>,
}

/// What reading releases back came to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyReport {
    /// Version of this JSON.
    pub schema: &'static str,
    /// Store that was read.
    pub store: String,
    /// Whether no check failed.
    pub ok: bool,
    /// Whether the releases were read without credentials, as the public reads them.
    pub anonymous: bool,
    /// Whether signatures were verified, and by what.
    pub signatures: VerifiedSignatures,
    /// The releases, in the order in which they were requested.
    pub releases: Vec<VerifiedRelease>,
}

/// Whether signatures were verified, and by which trust document.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedSignatures {
    /// Whether the signatures were verified.
    pub verified: bool,
    /// Reason why they were not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Product of the trust document in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// Version of the trust document in force: that of the file, or the last one in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_version: Option<u64>,
    /// Time from which the trust document does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_expires: Option<String>,
}

/// One release that was read back.
#[derive(Clone, Debug, Serialize)]
pub struct VerifiedRelease {
    /// Channel, version or digest, as it was requested.
    pub reference: String,
    /// Version of the release; `None` when the reference cannot be resolved.
    pub version: Option<String>,
    /// Everything that was checked.
    pub checks: Vec<Check>,
    /// What the signed statement of a channel says; absent when it was not verified, or its signatures do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<StatementFacts>,
    /// What the checks of its contents found; absent when the release cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lint: Option<Report>,
}

/// Reads releases back. A release that cannot be resolved is a check that failed.
///
/// # Errors
/// When a store does not answer, when one requested release does not exist, when a registry is to be read offline.
pub async fn verify(request: &VerifyRequest, config: &Config, connection: &Connection) -> Result<VerifyReport, Error> {
    let is_registry = matches!(connection.location, Location::Registry(_));
    if request.offline && is_registry {
        return Err(Error::Offline { store: connection.location.to_string() });
    }
    let references = match &request.reference {
        Some(reference) => vec![reference.clone()],
        None => config.channels.iter().map(Tag::to_string).collect(),
    };
    if let (None, Some(error)) = (&request.reference, connection.no_layout(config)) {
        return Err(error);
    }
    let trust = match &request.trust {
        None => None,
        Some(trust) => {
            Some(followed(trust, connection.read(), &config.repositories.release, connection.context()).await?)
        }
    };
    let trust = trust.as_ref().map(SignedDocument::document);
    let signatures = VerifiedSignatures::by(trust);
    let trust = trust.map(|document| signing::trust(document, &connection.location, connection.context()));
    let may_be_absent = request.reference.is_none();
    let reading = Reading { config, connection, offline: request.offline, may_be_absent, trust };
    let releases =
        futures_util::future::try_join_all(references.iter().map(|reference| reading.one(reference))).await?;
    Ok(VerifyReport {
        schema: SCHEMA,
        store: connection.location.to_string(),
        ok: !releases.iter().any(VerifiedRelease::failed),
        anonymous: connection.must_be_public() && is_registry,
        signatures,
        releases,
    })
}

impl VerifiedRelease {
    /// Returns who signed, in a line for the channel and a line for the artifacts.
    fn signatures(&self) -> Vec<String> {
        let signed = self.checks.iter().filter_map(|check| Some((check, check.signed.as_ref()?)));
        let artifacts: Vec<&Signed> =
            signed.filter(|(check, _)| check.kind != NamedKind::Channel).map(|(_, one)| &**one).collect();
        let keys: BTreeSet<KeyId> = artifacts.iter().flat_map(|one| &one.signers).map(|one| one.key).collect();
        let mut lines: Vec<String> = self.statement.iter().map(statement_line).collect();
        if !artifacts.is_empty() {
            let count = counted(artifacts.len(), "artifact", "artifacts");
            lines.push(format!("signed: {count} by {} (release)", short_keys(&keys)));
        }
        lines
    }

    fn failed(&self) -> bool {
        self.checks.iter().any(Check::failed) || self.lint.as_ref().is_some_and(Report::has_errors)
    }
}

#[derive(Clone, Copy)]
struct Reading<'a> {
    config: &'a Config,
    connection: &'a Connection,
    offline: bool,
    /// Whether a channel may serve nothing yet, as with `--all-channels`.
    may_be_absent: bool,
    trust: Option<Trust<'a>>,
}

impl VerifiedSignatures {
    fn by(document: Option<&TrustDocument>) -> Self {
        Self {
            verified: document.is_some(),
            reason: document.is_none().then_some(NOT_VERIFIED),
            product: document.map(|document| document.product.clone()),
            trust_version: document.map(|document| document.version),
            trust_expires: document.map(|document| document.expires.to_string()),
        }
    }
}

impl Reading<'_> {
    async fn one(self, word: &str) -> Result<VerifiedRelease, Error> {
        let Self { config, connection, .. } = self;
        let selector: Selector = word.parse()?;
        let reader = connection.reader();
        let unresolved = |outcome, reason| {
            let checks = vec![of_release(word, outcome, reason)];
            VerifiedRelease { reference: word.to_owned(), version: None, checks, statement: None, lint: None }
        };
        let resolved = match release::resolve(reader.store, &config.repositories.release, &selector).await {
            Ok(resolved) => resolved,
            Err(ResolveError::Store(error)) if error.is_not_found() && is_head(&error, &selector) => {
                if !self.may_be_absent {
                    return Err(connection.not_there(config, word).await);
                }
                return Ok(unresolved(Outcome::NotChecked, "the channel serves nothing yet".to_owned()));
            }
            Err(error) if is_unanswered(error.kind()) => return Err(error.into()),
            Err(error) => {
                let mut release = unresolved(Outcome::Failed, with_causes(&error));
                let ResolveError::Store(error) = &error else { return Ok(release) };
                release.checks.iter_mut().for_each(|check| check.help = way_out(error).or(check.help.take()));
                return Ok(release);
            }
        };
        if self.trust.is_none() && !resolved.signatures.is_empty() {
            connection.note(&format!("signatures of {word}: {NOT_VERIFIED}"));
        }
        let config = &connection.described(&resolved, &selector, config)?;
        let prefix = connection.prefix_of(&resolved.release, config)?;
        let named = resolved.release.named(&prefix, config);
        let external = if self.offline { BTreeMap::new() } else { connection.open_others(&named).await? };
        let own = ReadOnce::from(reader);
        own.know(&config.repositories.release, &resolved.content());
        let opened = Opened::in_store(own.clone(), config, resolved.release.clone());
        let stores = Stores { own, external: &external };
        let channel = self.channel(&selector).or(config.channels.iter().find(|channel| channel.as_str() == word));
        let checked = Checked {
            resolved: &resolved,
            prefix: &prefix,
            config,
            location: &connection.location,
            stores: &stores,
            extent: Extent::Whole(channel),
            trust: self.trust,
        };
        let verified = async { Ok::<_, Error>(checked.verify().await?) };
        let behind = moved_back(reader.store, &config.repositories.release, channel, &resolved);
        let (Verified { mut checks, statement, .. }, behind) = futures_util::try_join!(Box::pin(verified), behind)?;
        // Contents that are not whole would give findings that are none.
        let lint = if checks.iter().any(Check::failed) {
            None
        } else {
            let (read, settings) = (Stored::read(&opened, |_| true).await?, Settings::of(config)?);
            let how = How { settings: &settings, render: Render::Off, timings: false, context: connection.context() };
            Some(how.stored(word, &read, None, &Judged::default()))
        };
        checks.extend(behind);
        checks.extend(self.other_version(&selector, &resolved));
        let version = Some(resolved.release.version);
        Ok(VerifiedRelease { reference: word.to_owned(), version, checks, statement, lint })
    }
}

impl Reading<'_> {
    /// Returns the channel that is requested, if the trust document has a role for it.
    fn channel<'s>(&self, selector: &'s Selector) -> Option<&'s Tag> {
        let Selector::Tag(tag) = selector else { return None };
        self.trust.is_some_and(|trust| trust.document.channels.contains_key(tag.as_str())).then_some(tag)
    }

    /// Returns a failed check when the tag of a version points to another version.
    fn other_version(&self, selector: &Selector, resolved: &Resolved) -> Option<Check> {
        let tag = other_version(selector, self.config, self.trust?.document, resolved)?;
        let reason = format!("expected the release {tag}, found version `{}`", shown(&resolved.release.version));
        let help = "find out who wrote the tag, and set it to the digest that was published".to_owned();
        let check = of_release(tag.as_str(), Outcome::Failed, reason);
        Some(Check { aspect: Aspect::Agrees, help: Some(help), ..check })
    }
}

/// Returns a failed check when moves after the one that a channel serves are recorded: an appliance that has followed one of them takes
/// the channel for an old answer and refuses it.
async fn moved_back(
    store: &ReadStore,
    repository: &Repository,
    channel: Option<&Tag>,
    resolved: &Resolved,
) -> Result<Option<Check>, Error> {
    let (Some(channel), Some(record)) = (channel, &resolved.record) else { return Ok(None) };
    let later = plan::later_moves(store, repository, channel, &resolved.manifest, record.sequence).await?;
    let Some(newest) = later.last() else { return Ok(None) };
    let (served, later) = (record.sequence, newest.record.sequence);
    let (version, of) = (&resolved.release.version, Selector::Digest(newest.manifest.clone()));
    let newer = release::resolve(store, repository, &of).await.map(|newer| newer.release.version);
    let newer = newer.unwrap_or_else(|_| newest.record.release.to_string());
    let by = newest.record.by.as_ref().map(|by| format!(", by {by}")).unwrap_or_default();
    let reason = format!(
        "the channel serves move {served}, but move {later} is recorded (to {newer}{by}, {}): another tool moved the channel back, or move \
         {later} was interrupted; an appliance that has followed move {later} refuses the channel",
        newest.record.moved
    );
    let help = format!(
        "Run `alga-release rollback {channel} --to {version} --reason TEXT` to keep {version}, or `alga-release promote --from {newer} \
         --to {channel}` to return to {newer}; if a command was interrupted, run that command again."
    );
    Ok(Some(Check {
        kind: NamedKind::Channel,
        name: channel.to_string(),
        aspect: Aspect::Agrees,
        reference: format!("{repository}:{channel}"),
        outcome: Outcome::Failed,
        reason: Some(reason),
        help: Some(help),
        signed: None,
    }))
}

/// Returns a line that says what the statement of a channel says, and who signed it.
fn statement_line(statement: &StatementFacts) -> String {
    let StatementFacts { sequence, epoch, issued, expires, threshold, signers, .. } = statement;
    let count = signers.len();
    let mut line = format!(
        "signed: statement {sequence} (epoch {epoch}), issued {issued}, expires {expires}, by {} (channel, {count} of {threshold})",
        short_keys(signers)
    );
    if let (Some(until), false) = (&statement.fresh_until, statement.refreshed_by.is_empty()) {
        let keys = short_keys(&statement.refreshed_by);
        let _ = write!(line, ", refreshed until {until} by {keys} (refresh)");
    }
    line
}

/// Returns the first 12 hex digits of each key.
fn short_keys(keys: &BTreeSet<KeyId>) -> String {
    keys.iter().map(KeyId::short).collect::<Vec<_>>().join(", ")
}

/// Returns whether an error says nothing about the release.
fn is_unanswered(kind: ResolveKind) -> bool {
    matches!(kind, ResolveKind::Store(kind) if kind.is_of_server() || matches!(kind, Kind::Denied | Kind::Io))
}

fn of_release(word: &str, outcome: Outcome, reason: String) -> Check {
    Check {
        help: (outcome == Outcome::Failed).then(|| SEND_AGAIN.to_owned()),
        kind: NamedKind::Release,
        name: word.to_owned(),
        aspect: Aspect::Manifest,
        reference: word.to_owned(),
        outcome,
        reason: Some(reason),
        signed: None,
    }
}

impl VerifyReport {
    /// Checks that a release was found, and that nothing failed.
    ///
    /// # Errors
    /// [`Error::Unverified`], [`Error::NothingServed`].
    pub fn verdict(&self) -> Result<(), Error> {
        let store = self.store.clone();
        if !self.ok {
            let hint = if self.cannot_be_installed() {
                "publish a version without these findings: `alga-release lint --explain RULE` says how".to_owned()
            } else {
                self.hint()
            };
            return Err(Error::Unverified { store, failures: self.failures(), hint });
        }
        if self.releases.iter().all(|release| release.version.is_none()) {
            return Err(Error::NothingServed { store });
        }
        Ok(())
    }

    /// Returns one line for each release: how many checks passed. Below it are the checks that failed, and what was not checked.
    pub fn text(&self) -> String {
        self.written(|release| {
            let failed =
                checks::table(release.checks.iter().filter(|check| check.failed()), self.shared_hint().is_none());
            checks::not_checked(&release.checks).iter().fold(failed, |text, line| text + "  " + line + "\n")
        })
    }

    /// Returns the same with every check of each release.
    pub fn details(&self) -> String {
        self.written(|release| checks::table(&release.checks, self.shared_hint().is_none()))
    }

    fn written(&self, table: impl Fn(&VerifiedRelease) -> String) -> String {
        let mut text = String::new();
        for release in &self.releases {
            let version =
                release.version.as_deref().map_or_else(String::new, |version| format!(" ({})", shown(version)));
            let (reference, store, count) = (&release.reference, &self.store, checks::verified(&release.checks));
            let _ = writeln!(text, "{reference}{version} in {store}: {count}");
            for line in release.signatures() {
                let _ = writeln!(text, "  {line}");
            }
            text += &table(release);
            for line in release.lint.iter().flat_map(render::lines) {
                let _ = writeln!(text, "  {line}");
            }
        }
        clean(&text)
    }

    /// Returns whether everything is there, and an appliance would fail all the same.
    fn cannot_be_installed(&self) -> bool {
        !self.ok && !self.releases.iter().flat_map(|release| &release.checks).any(Check::failed)
    }

    /// Returns the way out where one is that of every check that failed.
    fn hint(&self) -> String {
        self.shared_hint().unwrap_or("see the hint of each check that failed").to_owned()
    }

    /// Returns the hint that is given once, below the error, because every check that failed has the same one.
    fn shared_hint(&self) -> Option<&str> {
        let mut help =
            self.releases.iter().flat_map(|release| &release.checks).filter_map(|check| check.help.as_deref());
        let first = help.next()?;
        help.all(|help| help == first).then_some(first)
    }

    /// Returns the names of the checks that failed, in one line.
    fn failures(&self) -> String {
        let mut failed: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for release in &self.releases {
            for check in release.checks.iter().filter(|check| check.failed()) {
                let line = format!("{} {} {}", check.kind.as_str(), shown(&check.name), check.aspect.as_str());
                failed.entry(&release.reference).or_default().push(line);
            }
            for finding in release.lint.iter().flat_map(Report::errors) {
                let line = format!("{} {}:{}", finding.rule.id, shown(&finding.file), finding.line);
                failed.entry(&release.reference).or_default().push(line);
            }
        }
        let failed = failed.into_iter().map(|(reference, checks)| format!("{reference} ({})", checks.join(", ")));
        failed.collect::<Vec<_>>().join("; ")
    }
}

//! Signs afterwards what a store holds: the artifacts of releases, in both forms. Channels are signed by their moves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use futures_util::future::try_join_all;
use serde::Serialize;

use super::carry_out::{self, Carrying, MoveTerms};
use super::resolve::check_version;
use super::signing::stored;
use super::{Connection, Context, Error, Signing, TrustError};
use crate::config::Config;
use crate::oci::{AnyRepository, Digest, Repository, Selector};
use crate::plan::{Desired, DesiredRelease, MoveRecord, ObservedChannel};
use crate::release::{self, NamedKind, Release, Target};
use crate::text::{clean, counted, shown};

/// Version of the report's JSON, `docs/schemas/sign.json`.
const SCHEMA: &str = "alga.release.sign/v1";

/// Which releases are signed.
#[derive(Clone, Debug)]
pub struct SignRequest {
    /// Channel, version or digest of one release; `None` for every release that a channel has served.
    pub reference: Option<String>,
    /// Number of moves of each channel whose releases are signed, if all are.
    pub moves: u16,
    /// Trust document and keys that sign.
    pub signing: Option<Arc<Signing>>,
}

/// Result of signing, for people and programs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignReport {
    /// Version of this JSON, `alga.release.sign/v1`.
    pub schema: &'static str,
    /// Whether nothing was written on purpose.
    pub dry_run: bool,
    /// Whether there was, or in a dry run is, anything to sign.
    pub has_changes: bool,
    /// Store of the releases.
    pub store: String,
    /// Versions of the releases, by their digests.
    pub releases: BTreeMap<Digest, String>,
    /// Every artifact that must be signed, once.
    pub artifacts: Vec<SignedArtifact>,
}

/// One artifact of a release, and whether it was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedArtifact {
    /// Role of the artifact in the release, such as `chart`.
    pub kind: &'static str,
    /// Repository below the store's prefix.
    pub repository: Repository,
    /// Digest of the artifact.
    pub digest: Digest,
    /// Whether signatures were written, or in a dry run would be. Otherwise the keys at hand have signed it before.
    pub signed: bool,
}

impl SignReport {
    /// Returns a line for each artifact that was signed, and a summary.
    pub fn text(&self) -> String {
        let verb = if self.dry_run { "would sign" } else { "signed" };
        let new = self.artifacts.iter().filter(|one| one.signed);
        let mut lines = String::new();
        for one in new.clone() {
            let _ = writeln!(lines, "{verb} {}@{}", one.repository, one.digest);
        }
        let (count, before) = (new.count(), self.artifacts.iter().filter(|one| !one.signed).count());
        let releases = counted(self.releases.len(), "release", "releases");
        let names: Vec<String> = self.releases.values().map(|version| shown(version)).collect();
        let what = format!("{releases} ({})", names.join(", "));
        let end = if count == 0 {
            format!(
                "nothing to do: {what} in {} signed before: {}",
                self.store,
                counted(before, "artifact", "artifacts")
            )
        } else {
            format!("{verb} {} of {what}, {before} signed before", counted(count, "artifact", "artifacts"))
        };
        let note = if self.dry_run { "dry run: nothing was written\n" } else { "" };
        clean(&format!("{lines}{end}\n{note}"))
    }
}

/// Signs the artifacts of one release, or of all releases that channels have served. With a store that was opened for
/// reading, this is a dry run.
///
/// # Errors
/// When no key of the role `release` is at hand, a release or one of its artifacts is missing, or the store fails.
pub async fn sign(
    request: &SignRequest,
    config: &Config,
    source: &Connection,
    context: &Context,
) -> Result<SignReport, Error> {
    let signing = request.signing.as_ref().ok_or(TrustError::NoDocument)?;
    signing.follow(source, &config.repositories.release).await?;
    let releases = match &request.reference {
        Some(reference) => {
            let selector: Selector = reference.parse()?;
            let resolved = source.resolve(config, reference, &selector).await?;
            check_version(&selector, config, signing.document(), &resolved)?;
            BTreeMap::from([(resolved.release_digest, resolved.release)])
        }
        None => served(config, source, request.moves).await?,
    };
    let mut wanted = BTreeSet::new();
    for (digest, release) in &releases {
        signing.check_release(digest)?;
        wanted.extend(artifacts(digest, release, config, source)?);
    }
    let signs = Signs { signing, source, context };
    let artifacts = try_join_all(wanted.into_iter().map(|(kind, repository, digest)| async {
        let signed = Box::pin(signs.one(&repository, &digest)).await?;
        Ok::<_, Error>(SignedArtifact { kind, repository, digest, signed })
    }));
    let artifacts = Box::pin(artifacts).await?;
    signing.write_prepared(context)?;
    Ok(SignReport {
        schema: SCHEMA,
        dry_run: source.store().is_none(),
        has_changes: artifacts.iter().any(|one| one.signed),
        store: source.location.to_string(),
        releases: releases.into_iter().map(|(digest, release)| (digest, release.version)).collect(),
        artifacts,
    })
}

/// Returns the releases that the channels serve, and those of their last moves.
async fn served(config: &Config, source: &Connection, moves: u16) -> Result<BTreeMap<Digest, Release>, Error> {
    let mut releases = BTreeMap::new();
    for channel in &config.channels {
        let history = match release::history(source.read(), &config.repositories.release, channel, moves.into()).await {
            Err(error) if error.is_not_found() => continue,
            history => history?,
        };
        let moves = history.moves.into_iter().filter_map(|one| Some((one.release, *one.content?)));
        releases.extend(moves);
    }
    if releases.is_empty() {
        return Err(Error::NothingInUse { channel: None, store: source.location.to_string() });
    }
    Ok(releases)
}

/// Returns the artifacts of a release that are the vendor's own and in the store: charts, bundle, control plane, release,
/// and the application images where the configuration says so.
fn artifacts(
    digest: &Digest,
    release: &Release,
    config: &Config,
    source: &Connection,
) -> Result<Vec<(&'static str, Repository, Digest)>, Error> {
    let config = &release.described(config)?.config;
    let prefix = source.prefix_of(release, config)?;
    let own = release.named(&prefix, config).into_iter().filter_map(|named| {
        let is_signed = match named.kind {
            NamedKind::Chart | NamedKind::Bundle | NamedKind::ControlPlane => true,
            NamedKind::Image => config.signing.images,
            _ => false,
        };
        match named.target {
            Target::At { repository: AnyRepository::Own(repository), selector: Selector::Digest(digest) }
                if is_signed =>
            {
                Some((named.kind.as_str(), repository, digest))
            }
            _ => None,
        }
    });
    let own_release = (NamedKind::Release.as_str(), config.repositories.release.clone(), digest.clone());
    Ok(own.chain([own_release]).collect())
}

struct Signs<'a> {
    signing: &'a Arc<Signing>,
    source: &'a Connection,
    context: &'a Context,
}

impl Signs<'_> {
    /// Signs one artifact, unless the keys at hand have signed it. Returns whether there was anything to sign.
    async fn one(&self, repository: &Repository, digest: &Digest) -> Result<bool, Error> {
        let store = self.source.read();
        let Some(subject) = stored(self.source, repository, digest).await? else {
            let reference = format!("{}@{digest}", self.source.name_of(repository));
            return Err(TrustError::NoArtifact(reference).into());
        };
        let attached = self.signing.sign_subjects(&[subject], store).await?;
        let (repository, digest) = (repository.clone(), digest.clone());
        let release = DesiredRelease { repository, version: String::new(), digest, json: Vec::new(), written: None };
        let desired = Desired { attached, ..Desired::stored(self.source.prefix.clone(), release) };
        let mut planned = carry_out::planned(self.source, &desired, ObservedChannel::default(), None).await?;
        let has_changes = !planned.plan.is_empty();
        let (terms, record) = (MoveTerms::default(), MoveRecord::default());
        let (target, moving, context) = (self.source, None, self.context);
        let carrying =
            Carrying { target, origin: None, desired: &desired, moving, terms: &terms, record: &record, context };
        carrying.carry_out(&mut planned, None).await?;
        Ok(has_changes)
    }
}

//! The trust document in a store: published by version, followed to the newest version, and verified.

use std::collections::BTreeMap;
use std::path::Path;

use super::draft::Draft;
use super::error::TrustFileError;
use super::files::{Place, Versions};
use super::report::{TrustReport, TrustStoreReport};
use super::{TrustFile, expiry_of, warn};
use crate::config::Config;
use crate::oci::{Artifact, Content, Digest, Repository, Store, media_type};
use crate::ops::signing::{self, now};
use crate::ops::{Connection, Context, Error, TrustError};
use crate::trust::{self, DOCUMENT_ARTIFACT_TYPE, DOCUMENT_MEDIA_TYPE, InvalidTrust, SignedDocument, Time};

/// Annotation of a published trust document with the reasons of its changes. Only people read it.
const REASONS: &str = "vnd.alga.appliance.trust.reasons";

/// Publishes the versions in the files that a store does not have. Then the next version is in force: it replaces the
/// version before in the file. A store that was opened for reading makes a dry run of it.
///
/// # Errors
/// When too few root keys signed, the document has expired, the store has another document under a version, or lacks
/// the version before.
pub async fn publish_trust(
    file: &TrustFile,
    config: &Config,
    target: &Connection,
    context: &Context,
) -> Result<TrustReport, Error> {
    let mut files = Versions::open(&file.path)?;
    let publishing = Publishing { path: &file.path, target, repository: &config.repositories.release };
    let new = publishing.unpublished(&files).await?;
    let last = files.newest();
    let draft = files.at(last);
    let (document, time) = (&draft.document, now(context));
    let newest = if new.is_empty() { None } else { Some(publishing.newest(draft, time).await?) };
    let is_newest = newest.is_none_or(|newest| newest == document.version);
    let mut warnings = if is_newest { expiry_of(&files, time) } else { Vec::new() };
    let version = document.version;
    let published: Vec<u64> = new.iter().map(|place| files.at(*place).document.version).collect();
    let is_dry = target.store().is_none();
    if let Some(store) = target.store() {
        for place in &new {
            publishing.write(store, files.at(*place)).await?;
        }
        if let Err(error) = files.advance() {
            warnings.push(format!("version {version} is published, and the file is not updated: {error}"));
        }
    }
    let mut report = TrustReport::of(&files, time);
    if is_dry && !published.is_empty() {
        report.next_step = Some(files.step("publish"));
    }
    (report.dry_run, report.has_changes) = (is_dry, !published.is_empty());
    let version = Some(newest.unwrap_or(version)).filter(|_| !is_dry || published.is_empty());
    report.store = Some(TrustStoreReport { location: target.location.to_string(), version, published });
    report.warnings = warnings;
    warn(&report, context);
    Ok(report)
}

struct Publishing<'a> {
    /// File of the version in force.
    path: &'a Path,
    target: &'a Connection,
    repository: &'a Repository,
}

impl Publishing<'_> {
    /// Returns the places whose documents the store does not have. Each of them may be published.
    async fn unpublished(&self, files: &Versions) -> Result<Vec<Place>, TrustFileError> {
        let mut new = Vec::new();
        // The predecessor of a draft is the version in force, which is published first.
        let places = if files.next.is_some() { &[Place::Current, Place::Next][..] } else { &[Place::Current] };
        for place in places {
            let draft = files.at(*place);
            if self.has(draft, files, *place).await? {
                continue;
            }
            files.check_signed(*place)?;
            if let Some(id) = draft.key_off_the_curve() {
                return Err(TrustFileError::Point(id));
            }
            if *place == Place::Current && draft.document.version > 1 {
                self.follows(draft, files).await?;
            }
            new.push(*place);
        }
        Ok(new)
    }

    /// Returns the newest version that the store serves after a document is published in it. A document that has expired is
    /// published only if later versions follow it, of which the last is current: a version that was lost is needed by
    /// appliances that hold an earlier one.
    async fn newest(&self, draft: &Draft, now: Time) -> Result<u64, Error> {
        let first = SignedDocument::open(&draft.to_envelope())
            .map_err(|cause| TrustError::Invalid { path: self.path.to_owned(), cause })?;
        let chain = signing::chain(first, self.target.read(), self.repository).await?;
        let newest = chain.last().map_or(&draft.document, SignedDocument::document);
        if !newest.is_current(now) {
            return Err(TrustError::Expired { version: newest.version, expires: newest.expires }.into());
        }
        Ok(newest.version)
    }

    /// Returns whether the store has a document.
    async fn has(&self, draft: &Draft, files: &Versions, place: Place) -> Result<bool, TrustFileError> {
        let version = draft.document.version;
        let there = SignedDocument::version_in(version, self.target.read(), self.repository).await?;
        match there {
            None => Ok(false),
            // The same document may have been signed by further keys since.
            Some(there) if *there.payload_digest() == Digest::of(draft.payload()) => Ok(true),
            Some(_) => Err(TrustFileError::OtherPublished {
                store: self.target.location.to_string(),
                version,
                path: files.path_of(place),
            }),
        }
    }

    /// Checks that a document follows the version before it in the store.
    async fn follows(&self, draft: &Draft, files: &Versions) -> Result<(), TrustFileError> {
        let (version, store) = (draft.document.version, self.target.location.to_string());
        let before = SignedDocument::version_in(version - 1, self.target.read(), self.repository).await?;
        let before = before.ok_or(TrustFileError::NoPredecessor { store, version })?;
        let next = before.next(&draft.to_envelope());
        let (path, held) = (files.path_of(Place::Current), trust::document_tag(version - 1).to_string().into());
        next.map(drop).map_err(|cause| TrustFileError::Unrelated { path, held, cause })
    }

    /// Writes a version. Its tag must not exist, so that no version is ever replaced.
    async fn write(&self, store: &Store, draft: &Draft) -> Result<(), TrustFileError> {
        let artifact = artifact(draft);
        for blob in artifact.blobs() {
            store.push_blob(self.repository, blob).await?;
        }
        let tag = trust::document_tag(draft.document.version);
        store.move_tag(self.repository, artifact.manifest(), &tag, None).await?;
        Ok(())
    }
}

/// Packs a document as the artifact that is published.
fn artifact(draft: &Draft) -> Artifact {
    let config = Content::new(media_type::EMPTY, b"{}".to_vec());
    let layer = Content::new(DOCUMENT_MEDIA_TYPE, draft.to_envelope());
    let reasons = (!draft.reasons.is_empty()).then(|| (REASONS.to_owned(), draft.reasons.join("\n")));
    Artifact::pack(Some(DOCUMENT_ARTIFACT_TYPE), config, vec![layer], BTreeMap::from_iter(reasons))
}

/// Replaces the version in the file by the newest version that a store serves and that follows it.
///
/// # Errors
/// When too few root keys signed the version in the file, or the store serves a version that does not follow.
pub async fn update_trust(
    file: &TrustFile,
    config: &Config,
    store: &Connection,
    context: &Context,
) -> Result<TrustReport, Error> {
    let mut files = Versions::open(&file.path)?;
    let chain = chain(&files, config, store).await?;
    let newest = chain.last().expect("the version in the file");
    let has_changes = chain.len() > 1;
    if has_changes {
        if files.next.take().is_some_and(|next| Digest::of(next.payload()) != *chain[1].payload_digest()) {
            context.warn(&format!(
                "the draft {} is left as it is, and does not follow the new version any more: remove it, and make its change again",
                files.path_of(Place::Next).display()
            ));
        } else {
            files.advance()?;
        }
        let draft = Draft::parse(newest.envelope()).map_err(|cause| invalid(&files, cause))?;
        files.write(Place::Current, draft)?;
    }
    let mut report = TrustReport { has_changes, ..TrustReport::of(&files, now(context)) };
    let (location, version) = (store.location.to_string(), Some(newest.document().version));
    report.store = Some(TrustStoreReport { location, version, published: Vec::new() });
    report.warnings = expiry_of(&files, now(context));
    warn(&report, context);
    Ok(report)
}

/// Verifies the document in its files: its signatures, its expiry, and that a store serves no other document under its
/// version.
///
/// # Errors
/// The first rule that does not hold.
pub async fn verify_trust(
    file: &TrustFile,
    store: Option<(&Config, &Connection)>,
    context: &Context,
) -> Result<TrustReport, Error> {
    let files = Versions::open(&file.path)?;
    let (place, time) = (files.newest(), now(context));
    files.check_signed(Place::Current)?;
    files.check_signed(place)?;
    let draft = files.at(place);
    if let Some(id) = draft.key_off_the_curve() {
        return Err(TrustFileError::Point(id).into());
    }
    let document = &draft.document;
    if !document.is_current(time) {
        return Err(TrustError::Expired { version: document.version, expires: document.expires }.into());
    }
    let mut report = TrustReport::of(&files, time);
    report.warnings = expiry_of(&files, time);
    if let Some((config, connection)) = store {
        report.store = Some(compared(&files, config, connection, &mut report.warnings).await?);
    }
    warn(&report, context);
    Ok(report)
}

/// Compares the files with what a store serves.
async fn compared(
    files: &Versions,
    config: &Config,
    store: &Connection,
    warnings: &mut Vec<String>,
) -> Result<TrustStoreReport, Error> {
    let publishing = Publishing { path: &files.path, target: store, repository: &config.repositories.release };
    let location = store.location.to_string();
    let mut version = None;
    for place in [Place::Current, files.newest()] {
        if publishing.has(files.at(place), files, place).await? {
            version = Some(files.at(place).document.version);
        }
    }
    if version.is_some() {
        let newest = chain(files, config, store).await?.last().map(|newest| newest.document().version);
        if newest > version && newest > Some(files.at(files.newest()).document.version) {
            let held = files.current.document.version;
            let newest = newest.unwrap_or(held);
            warnings.push(format!(
                "{location} serves version {newest} of the trust document, and the file has version {held}: run `alga-release trust update`"
            ));
        }
        version = version.max(newest);
    }
    Ok(TrustStoreReport { location, version, published: Vec::new() })
}

/// Returns the version in the file, and the versions of a store that follow it.
async fn chain(files: &Versions, config: &Config, store: &Connection) -> Result<Vec<SignedDocument>, Error> {
    files.check_signed(Place::Current)?;
    let first = SignedDocument::open(&files.current.to_envelope()).map_err(|cause| invalid(files, cause))?;
    signing::chain(first, store.read(), &config.repositories.release).await
}

fn invalid(files: &Versions, cause: InvalidTrust) -> TrustError {
    TrustError::Invalid { path: files.path.clone(), cause }
}

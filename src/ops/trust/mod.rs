//! The trust document of a vendor: made, changed, signed by its root keys, published, shown and verified.
//!
//! The file that `--trust` names holds the version in force, `trust.json`. A change makes the next version beside it,
//! `trust.next.json`, where it waits for signatures. Publishing replaces the first file by the second.

mod carried;
mod change;
mod draft;
mod error;
mod expiry;
mod files;
mod publish;
mod removed;
mod report;
mod role;
mod withdraw;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::key::{PUBLIC_MODE, read_public, write};
use super::signing::{self, NOTICE, now};
use super::{Connection, Context, Error};
use crate::config::Config;
use crate::signing::{Error as SigningError, SignerRole, Signers, SigningRequest};
use crate::trust::{DAY, Key, KeyId, Role, Time, TrustDocument};
use draft::Draft;
use files::{Place, Versions};

pub(super) use carried::{carried, tags};
pub use change::TrustChange;
pub use error::TrustFileError;
pub use expiry::{InvalidExpiry, TrustExpiry};
pub use publish::{publish_trust, update_trust, verify_trust};
pub use report::{TrustDocumentReport, TrustReport, TrustRoleReport, TrustSignatures, TrustStoreReport};
pub use role::{InvalidRoleName, RoleName};
pub use withdraw::withdraw;

/// The file of the trust document, and what signs a new version of it.
#[derive(Clone, Debug)]
pub struct TrustFile {
    /// File with the version in force.
    pub path: PathBuf,
    /// Keys and programs that sign what the command writes; empty leaves the signatures to `sign_trust`.
    pub signers: SigningRequest,
    /// Expiry of what the command writes; `None` keeps the expiry of the version before.
    pub expires: Option<TrustExpiry>,
}

/// The roles of a new trust document.
#[derive(Clone, Debug)]
pub struct TrustInit {
    /// Name of the product that the keys are for.
    pub product: String,
    /// Versions with public keys, each with its role.
    pub keys: Vec<(RoleName, PathBuf)>,
    /// Numbers of keys that must sign; 1 for every other role.
    pub thresholds: Vec<(RoleName, usize)>,
    /// Longest lifetimes in days; 180 for the statements of other channels, 14 for other refreshes.
    pub lifetimes: Vec<(RoleName, u64)>,
}

/// Makes the first version of a trust document.
///
/// # Errors
/// When the file exists, a key cannot be read, the document would break a rule, or a signer fails.
pub async fn init_trust(request: &TrustInit, file: &TrustFile, context: &Context) -> Result<TrustReport, Error> {
    if file.path.symlink_metadata().is_ok() {
        return Err(TrustFileError::Exists(file.path.clone()).into());
    }
    let now = now(context);
    let empty = || Role { keys: BTreeSet::new(), threshold: 1 };
    let expires = file.expires.unwrap_or(TrustExpiry::In(expiry::YEAR)).time(now);
    let mut document = TrustDocument {
        product: request.product.clone(),
        version: 1,
        issued: now,
        expires,
        keys: BTreeMap::new(),
        root: empty(),
        release: empty(),
        channels: BTreeMap::new(),
        withdrawn: BTreeSet::new(),
    };
    // A refresh role needs its channel, in whatever order the flags are.
    let mut keys: Vec<_> = request.keys.iter().collect();
    keys.sort_by_key(|(role, _)| role);
    for (role, path) in keys {
        change::create(&mut document, role)?;
        change::add(&mut document, role, read_public(path)?)?;
    }
    for (role, threshold) in &request.thresholds {
        TrustChange::Threshold { role: role.clone(), threshold: *threshold }.apply(&mut document)?;
    }
    for (role, days) in &request.lifetimes {
        *change::lifetime(&mut document, role)? = *days;
    }
    let missing = [RoleName::Root, RoleName::Release].into_iter();
    if let Some(role) = missing.into_iter().find(|role| role.of(&document).is_some_and(|role| role.keys.is_empty())) {
        return Err(TrustFileError::NoKeys(role).into());
    }
    check(&document, now)?;
    let mut draft = Draft::new(document, Vec::new());
    let signs = signers(file, context)?;
    add_signatures(&mut draft, None, signs.as_ref()).await?;
    let written = write(&file.path, &draft.to_file(), PUBLIC_MODE, false);
    written.map_err(|error| match error {
        SigningError::Exists(path) => Error::from(TrustFileError::Exists(path)),
        error => error.into(),
    })?;
    let files = Versions { path: file.path.clone(), current: draft, next: None };
    let mut report = TrustReport { has_changes: true, ..TrustReport::of(&files, now) };
    report.next_step.get_or_insert_with(|| files.step("publish"));
    Ok(report)
}

/// Changes a trust document: makes its next version, or changes that further while it lacks signatures. A store that is
/// given is read for what a removed key alone signed.
///
/// # Errors
/// When the change breaks a rule, the next version is signed by enough keys already, or a signer fails.
pub async fn change_trust(
    change: &TrustChange,
    file: &TrustFile,
    store: Option<(&Config, &Connection)>,
    context: &Context,
) -> Result<TrustReport, Error> {
    let mut files = Versions::open(&file.path)?;
    let (place, mut document, now) =
        (place_of_change(&files)?, files.at(files.newest()).document.clone(), now(context));
    let old = files.current.document.clone();
    change.apply(&mut document)?;
    if let Some(expires) = file.expires {
        document.expires = expires.time(now);
    } else if *change == TrustChange::Renew {
        document.expires = TrustExpiry::In(expiry::YEAR).time(now);
    }
    let is_same = document == files.at(files.newest()).document;
    if is_same {
        return Ok(TrustReport::of(&files, now));
    }
    if place == Place::Next {
        document.version = old.version + 1;
    }
    document.issued = now;
    check(&document, now)?;
    let draft = files.at(files.newest());
    let is_begun = files.newest() == place;
    let mut reasons = if is_begun { draft.reasons.clone() } else { Vec::new() };
    if is_begun && draft.has_signatures() {
        context.note("the signatures of the version that was changed are removed: sign it again");
    }
    if let TrustChange::Withdraw { release, reason } = change {
        reasons.push(format!("{release} is withdrawn: {reason}"));
    }
    let mut draft = Draft::new(document, reasons);
    let before = (place == Place::Next).then_some(&old);
    let signs = signers(file, context)?;
    add_signatures(&mut draft, before, signs.as_ref()).await?;
    let new = draft.document.clone();
    files.write(place, draft)?;
    let mut report = TrustReport { has_changes: true, ..TrustReport::of(&files, now) };
    if let Some((config, connection)) = store.filter(|_| matches!(change, TrustChange::RemoveKeys { .. })) {
        report.warnings = removed::left_unsigned((&old, &new), &file.path, config, connection).await;
    }
    if let TrustChange::AddKeys { role: RoleName::Refresh(channel), .. } = change
        && old.channels.get(channel.as_str()).is_some_and(|role| role.refresh.is_none())
    {
        let trust = file.path.display();
        report.warnings.push(format!(
            "appliances refuse {channel} from the publication of this version on, until the first refresh: run `alga-release trust \
             publish`, and then at once `alga-release refresh {channel} --trust {trust} --sign-key FILE`"
        ));
    }
    if let TrustChange::NewEpoch { channel } = change {
        report.warnings.push(format!(
            "no statement of {channel} counts under this version until the channel moves again: publish the version, then publish or \
             promote to {channel}"
        ));
    }
    warn(&report, context);
    Ok(report)
}

/// Signs the newest version in the files by the given keys. A key that signed already is not asked again.
///
/// # Errors
/// When nothing can sign, a key is not a root key, or a signer fails.
pub async fn sign_trust(file: &TrustFile, context: &Context) -> Result<TrustReport, Error> {
    let mut files = Versions::open(&file.path)?;
    let place = files.newest();
    let (mut draft, now) = (files.at(place).clone(), now(context));
    if let Some(id) = draft.key_off_the_curve() {
        return Err(TrustFileError::Point(id).into());
    }
    let shown = TrustReport::of(&files, now);
    // A device may ask for a confirmation: the person sees before that what is signed.
    let changes = shown.documents.last().map(|document| (document, &document.changes));
    if let Some((document, changes)) = changes {
        context.note(&format!("signing version {} of {} ({})", document.version, document.product, document.file));
        for change in changes {
            context.note(&format!("  {change}"));
        }
    }
    let signers = signing::signers(&file.signers, context)?;
    if signers.is_empty() {
        return Err(TrustFileError::NothingSigns.into());
    }
    let before = files.before(place).cloned();
    let added = add_signatures(&mut draft, before.as_ref(), Some(&signers)).await?;
    if added.is_empty() {
        context.note("these keys have signed already");
    } else {
        files.write(place, draft)?;
    }
    let mut report = TrustReport { has_changes: !added.is_empty(), ..TrustReport::of(&files, now) };
    if files.check_signed(place).is_ok() {
        report.next_step = Some(files.step("publish"));
    }
    Ok(report)
}

/// Shows the trust document in its files.
///
/// # Errors
/// When a file is not a trust document, or the draft does not follow the version in force.
pub fn show_trust(file: &TrustFile, context: &Context) -> Result<TrustReport, Error> {
    let files = Versions::open(&file.path)?;
    let mut report = TrustReport::of(&files, now(context));
    report.warnings = expiry_of(&files, now(context));
    warn(&report, context);
    Ok(report)
}

/// Returns where the next change goes: into the next version, or into a first version that was not signed yet.
fn place_of_change(files: &Versions) -> Result<Place, TrustFileError> {
    let place = files.newest();
    let is_complete = files.check_signed(place).is_ok();
    match place {
        Place::Next if is_complete => {
            let (path, version) = (files.path_of(place), files.at(place).document.version);
            Err(TrustFileError::Complete { path, version })
        }
        Place::Next => Ok(Place::Next),
        Place::Current if is_complete => Ok(Place::Next),
        Place::Current if files.current.document.version == 1 => Ok(Place::Current),
        Place::Current => files.check_signed(place).map(|()| Place::Next),
    }
}

/// Checks every rule of a document that was changed.
fn check(document: &TrustDocument, now: Time) -> Result<(), TrustFileError> {
    if document.expires <= now {
        return Err(TrustFileError::Expires(document.expires));
    }
    document.check().map_err(TrustFileError::Rule)
}

/// Returns the signers that the flags name. The variables are for `sign_trust`: a change must not ask for a password.
fn signers(file: &TrustFile, context: &Context) -> Result<Option<Signers>, Error> {
    if file.signers.key_files.is_empty() && file.signers.commands.is_empty() {
        return Ok(None);
    }
    signing::signers(&file.signers, context).map(Some)
}

/// Signs a document by root keys, its own and those of the version before. Returns the keys that signed now.
async fn add_signatures(
    draft: &mut Draft,
    before: Option<&TrustDocument>,
    signers: Option<&Signers>,
) -> Result<BTreeSet<KeyId>, Error> {
    let roots = [before, Some(&draft.document)].into_iter().flatten();
    let keys: BTreeMap<KeyId, Key> = roots.flat_map(|of| of.keys_of(&of.root)).map(|(id, key)| (*id, *key)).collect();
    let Some(signers) = signers else { return Ok(BTreeSet::new()) };
    if let Some((place, id)) = signers.stranger(|id| keys.contains_key(id)) {
        return Err(TrustFileError::NotRoot { id, place: place.to_owned() }.into());
    }
    signers.check_named(|_| keys.keys().collect())?;
    let signed: BTreeSet<KeyId> =
        [before, Some(&draft.document)].into_iter().flatten().flat_map(|of| draft.signers(of)).collect();
    let (known, left): (Vec<Key>, Vec<Key>) = keys.values().partition(|key| signed.contains(&key.id()));
    if left.is_empty() {
        return Ok(BTreeSet::new());
    }
    let new = if signers.has_programs(SignerRole::Root) {
        // A program with one key that signed already is not at fault.
        signers.sign(SignerRole::Root, &[&left[..], &known].concat(), &draft.message()).await?
    } else {
        signers.sign(SignerRole::Root, &left, &draft.message()).await?
    };
    Ok(draft.add(new, &[left, known].concat()))
}

/// Returns a warning for each document that has expired or expires soon.
fn expiry_of(files: &Versions, now: Time) -> Vec<String> {
    let Draft { document, .. } = files.at(files.newest());
    let TrustDocument { version, expires, .. } = document;
    if !document.is_current(now) {
        vec![format!("trust document version {version} expired at {expires}: run `alga-release trust renew`")]
    } else if *expires < now.plus(NOTICE * DAY) {
        vec![format!("trust document version {version} expires at {expires}: run `alga-release trust renew`")]
    } else {
        Vec::new()
    }
}

fn warn(report: &TrustReport, context: &Context) {
    report.warnings.iter().for_each(|warning| context.warn(warning));
}

//! Compares two releases, each of a store or packed from a source tree.

use std::path::Path;

use super::carry_out;
use super::judges::{Judged, Render};
use super::lint::{self, How, Stored};
use super::pack::{PackRequest, Publication, pack};
use super::{Connection, Context, Error, rendered, signing};
use crate::config::Config;
use crate::contents::ReadOnce;
use crate::diff::{self, Diff, Side, StatedSignatures};
use crate::lint::Settings;
use crate::oci::{self, Descriptor, Digest, ReadStore, Repository, Selector, StoredSignatures};
use crate::plan;
use crate::release;
use crate::signing::Message;
use crate::trust::Statement;

/// A release that is to be compared.
#[derive(Debug)]
pub struct DiffSide {
    /// The channel, version, digest or directory that the user wrote.
    pub reference: String,
    /// Where the release is read from.
    pub origin: DiffOrigin,
}

/// Where a release that is compared comes from.
#[derive(Debug)]
pub enum DiffOrigin {
    /// A source tree, packed as it would be published.
    Tree(Box<PackRequest>),
    /// A release of a store.
    Release(Selector),
}

/// The two releases to compare, and how deeply.
#[derive(Debug)]
pub struct DiffRequest {
    /// The release before the change.
    pub from: DiffSide,
    /// The release after the change.
    pub to: DiffSide,
    /// Whether the objects that the cluster would get are compared too, which needs helm and kubectl.
    pub rendered: bool,
}

/// Compares two releases; `near` is the store of the first, `far` that of the second.
///
/// # Errors
/// When a release does not exist or its overlay cannot be read, a tree cannot be packed, or a store fails.
pub async fn diff(
    request: DiffRequest,
    config: &Config,
    near: &Connection,
    far: &Connection,
    context: &Context,
) -> Result<Diff, Error> {
    let before = Loaded::open(request.from, config, near, context).await?;
    let after = Loaded::open(request.to, config, far, context).await?;
    let ((from, before_signed), (to, after_signed)) =
        futures_util::try_join!(before.side(config, near), after.side(config, far))?;
    let mut diff = diff::compare(Some(&from), &to).await?;
    if let (Some(before), Some(after)) = (before_signed, after_signed) {
        // The same release has the same signatures.
        let differs = before.release != after.release;
        let (mut before, mut after) = futures_util::try_join!(before.stated(differs), after.stated(differs))?;
        if !differs {
            before.is_signed |= after.is_signed;
            before.keys.extend(after.keys);
            (after.is_signed, after.keys) = (before.is_signed, before.keys.clone());
        }
        diff.add_signatures(&before, &after);
    }
    if let Some((reference, reason)) = diff.unread.take() {
        return Err(Error::NotCompared { reference, reason });
    }
    let report = match &after.from {
        LoadedFrom::Packed(publication) => Some(publication.lint.clone()),
        LoadedFrom::Stored(_) if diff.has_changes => {
            // Charts that are the same on both sides are not fetched.
            let (old, new) = (&from.opened.release, &to.opened.release);
            let changed = |name: &str| old.chart_digests.get(name) != new.chart_digests.get(name);
            let read = (Stored::read(&from.opened, changed), Stored::read(&to.opened, changed));
            let (old, new) = futures_util::try_join!(read.0, read.1)?;
            let settings = Settings::of(config)?;
            let how = How { settings: &settings, render: Render::Off, timings: false, context };
            Some(how.stored(&after.reference, &new, Some(&old), &Judged::default()))
        }
        LoadedFrom::Stored(_) => None,
    };
    if let Some(report) = report {
        lint::add_risks(&mut diff, &report);
    }
    lint::add_not_covered(&mut diff, &to).await?;
    if request.rendered {
        rendered::add(&mut diff, &from, &to, context).await?;
    }
    Ok(diff)
}

/// Compares what a channel serves with what it would serve by a statement that is to be signed. `path` is a file that
/// `--prepare` wrote.
///
/// # Errors
/// When the file holds no statement of a channel, the statement does not follow what the channel serves now, or a release
/// cannot be read.
pub async fn diff_statement(
    path: &Path,
    config: &Config,
    store: &Connection,
    context: &Context,
) -> Result<Diff, Error> {
    let statement = signing::statement_in(path)?;
    let channel = &statement.channel;
    let repository = &config.repositories.release;
    let observed = plan::observe_channel(store.read(), repository, channel, None, None).await?;
    let is_carried = signing::check_next(path, &statement, &observed)?;
    let words = Message::of_statement(&Statement::Channel(Box::new(statement.clone()))).words();
    context.note(&format!("the statement says: {words}"));
    if is_carried {
        context.note(&format!("{channel} carries this statement already, so nothing is left to approve"));
    }
    let release = Selector::Digest(statement.release.clone());
    if observed.serves.is_none() {
        let reference = statement.release.to_string();
        let resolved = store.resolve(config, &reference, &release).await?;
        let first = Side::read(ReadOnce::from(store.read()), config, &reference, resolved).in_store(&store.location);
        return carry_out::compare(store, config, None, &first).await;
    }
    let side = |reference: String, selector| DiffSide { reference, origin: DiffOrigin::Release(selector) };
    let from = side(channel.to_string(), Selector::Tag(channel.clone()));
    let to = side(statement.release.to_string(), release);
    Box::pin(diff(DiffRequest { from, to, rendered: false }, config, store, store, context)).await
}

/// A release of a store whose signatures are not read yet.
struct Signed<'a> {
    store: &'a ReadStore,
    repository: &'a Repository,
    layers: Vec<Descriptor>,
    release: Digest,
    channel: Option<String>,
}

impl Signed<'_> {
    /// Reads what the signatures of the channel, and with `attached` those of the release, say about themselves.
    async fn stated(self, attached: bool) -> Result<StatedSignatures, oci::Error> {
        let layers = release::signatures(self.store, self.repository, &self.layers);
        let of_release = async {
            let none = StoredSignatures::default();
            if attached { self.store.stored_signatures(self.repository, &self.release).await } else { Ok(none) }
        };
        let (layers, of_release) = futures_util::join!(layers, of_release);
        let (layers, of_release) = (answered(layers)?, answered(of_release)?);
        let is_signed = !of_release.claims.is_empty();
        let channel = self.channel.clone();
        let mut stated = StatedSignatures { is_signed, channel, ..StatedSignatures::default() };
        for bytes in layers.iter().chain(of_release.bundles.iter().map(|one| &one.bytes)) {
            stated.add(bytes);
        }
        Ok(stated)
    }
}

/// Returns nothing for signatures that are damaged, because a comparison does not depend on them.
fn answered<T: Default>(read: Result<T, oci::Error>) -> Result<T, oci::Error> {
    match read {
        Err(error) if error.kind().is_of_server() => Err(error),
        read => Ok(read.unwrap_or_default()),
    }
}

/// One of the two releases. A source tree has been packed.
struct Loaded {
    reference: String,
    from: LoadedFrom,
}

enum LoadedFrom {
    Packed(Box<Publication>),
    Stored(Selector),
}

impl Loaded {
    async fn open(side: DiffSide, config: &Config, connection: &Connection, context: &Context) -> Result<Self, Error> {
        let from = match side.origin {
            DiffOrigin::Release(selector) => LoadedFrom::Stored(selector),
            DiffOrigin::Tree(request) => {
                let (publication, unpinned) = Box::pin(pack(*request, config, connection, context)).await?;
                Error::unless_empty(unpinned.into_iter().map(Error::Image).collect())?;
                publication.warnings.iter().for_each(|warning| context.warn(warning));
                LoadedFrom::Packed(Box::new(publication))
            }
        };
        Ok(Self { reference: side.reference, from })
    }

    async fn side<'a>(
        &'a self,
        config: &'a Config,
        connection: &'a Connection,
    ) -> Result<(Side<'a>, Option<Signed<'a>>), Error> {
        let reference = &self.reference;
        let selector = match &self.from {
            // What is packed is signed when it is published.
            LoadedFrom::Packed(publication) => return Ok((Side::of(&publication.desired, config, reference)?, None)),
            LoadedFrom::Stored(selector) => selector,
        };
        match connection.resolve(config, reference, selector).await {
            Ok(resolved) => {
                let signed = Signed {
                    store: connection.read(),
                    repository: &config.repositories.release,
                    layers: resolved.signatures.clone(),
                    release: resolved.release_digest.clone(),
                    channel: resolved.record.as_ref().map(|record| record.name.clone()),
                };
                let side = Side::read(connection.read(), config, reference, resolved).in_store(&connection.location);
                Ok((side, Some(signed)))
            }
            // The user may mean a directory of this name, which needs `./` before it.
            Err(error) if Path::new(reference).is_dir() => {
                Err(Error::NotADirectory { reference: reference.clone(), cause: Box::new(error) })
            }
            Err(error) => Err(error),
        }
    }
}

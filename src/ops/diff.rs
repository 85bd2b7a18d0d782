//! Compares two releases, each of a store or packed from a source tree.

use std::path::Path;

use super::judges::{Judged, Render};
use super::lint::{self, How, Stored};
use super::pack::{PackRequest, Publication, pack};
use super::{Connection, Context, Error, rendered, signing};
use crate::config::Config;
use crate::diff::{self, Diff, Side};
use crate::lint::Settings;
use crate::oci::Selector;
use crate::plan;

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
    let (from, to) = futures_util::try_join!(before.side(config, near), after.side(config, far))?;
    let mut diff = diff::compare(Some(&from), &to).await?;
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
    signing::check_next(path, &statement, &observed)?;
    let release = Selector::Digest(statement.release.clone());
    let side = |reference: String, selector| DiffSide { reference, origin: DiffOrigin::Release(selector) };
    let from = side(channel.to_string(), Selector::Tag(channel.clone()));
    let to = side(statement.release.to_string(), release);
    Box::pin(diff(DiffRequest { from, to, rendered: false }, config, store, store, context)).await
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

    async fn side<'a>(&'a self, config: &'a Config, connection: &'a Connection) -> Result<Side<'a>, Error> {
        let reference = &self.reference;
        let selector = match &self.from {
            LoadedFrom::Packed(publication) => return Ok(Side::of(&publication.desired, config, reference)?),
            LoadedFrom::Stored(selector) => selector,
        };
        match connection.resolve(config, reference, selector).await {
            Ok(resolved) => {
                Ok(Side::read(connection.read(), config, reference, resolved).in_store(&connection.location))
            }
            // The user may mean a directory of this name, which needs `./` before it.
            Err(error) if Path::new(reference).is_dir() => {
                Err(Error::NotADirectory { reference: reference.clone(), cause: Box::new(error) })
            }
            Err(error) => Err(error),
        }
    }
}

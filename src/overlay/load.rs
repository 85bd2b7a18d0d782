//! From the tree to the files of the bundle, read and parsed once.

use std::collections::BTreeMap;

use crate::flux::{self, Files};
use crate::oci::Prefix;
use crate::path::join;
use crate::source::{EntryKind, Error, Place, Tree};

use super::Overlay;
use super::ignore::{FILE, Ignore};
use super::profile::is_values;

/// Most bytes of one file.
const MOST_BYTES: u64 = 10 << 20;

/// What the overlay is called and whom it belongs to.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// Below the root of the tree: `ee/appliance/flux`.
    pub directory: &'a str,
    /// The `OCIRepository` that the appliance makes; a child that names another source is warned about.
    pub source_name: &'a str,
    /// Below the prefix: `charts`.
    pub charts_repository: &'a str,
    /// Name of the `HelmRepository` of the style `version`.
    pub helm_repository: &'a str,
    /// Of the chart sources.
    pub namespace: &'a str,
    /// The effective one first: a `HelmRepository` at the charts of any of them is ours.
    pub prefixes: &'a [Prefix],
    /// `appliance-values-`
    pub values_prefix: &'a str,
}

/// [`Settings`] that an overlay keeps.
#[derive(Clone, Debug, Default)]
pub(super) struct Owned {
    pub directory: String,
    pub source_name: String,
    pub charts_repository: String,
    pub helm_repository: String,
    pub namespace: String,
    pub prefixes: Vec<Prefix>,
    pub values_prefix: String,
}

impl Owned {
    fn of(settings: &Settings<'_>) -> Self {
        Self {
            directory: settings.directory.trim_matches('/').to_owned(),
            source_name: settings.source_name.to_owned(),
            charts_repository: settings.charts_repository.to_owned(),
            helm_repository: settings.helm_repository.to_owned(),
            namespace: settings.namespace.to_owned(),
            prefixes: settings.prefixes.to_vec(),
            values_prefix: settings.values_prefix.to_owned(),
        }
    }
}

/// Reads the overlay.
///
/// # Errors
/// When it is not there or has no `base/`, when a file cannot be published as it is, and when its YAML is broken.
pub fn load(tree: &Tree, settings: &Settings<'_>) -> Result<Overlay, Error> {
    let settings = Owned::of(settings);
    let (ignore, found) = found(tree, &settings.directory)?;
    let mut files = Files::default();
    for file in found {
        let (path, bytes) = file?;
        insert(&mut files, path, bytes).map_err(|error| unusable(&settings.directory, error))?;
    }
    Ok(Overlay { settings, files, ignore })
}

/// Reads the files of the overlay in a directory as far as they can be read, and says what is wrong with the others.
///
/// # Errors
/// When the overlay is not there or has no `base/`.
pub(crate) fn read(tree: &Tree, directory: &str) -> Result<Readable, Error> {
    let (_, found) = found(tree, directory)?;
    let (mut files, mut errors) = (BTreeMap::new(), Vec::new());
    for file in found {
        match file {
            Ok((path, bytes)) => drop(files.insert(path, bytes)),
            Err(error) => errors.push(error),
        }
    }
    Ok((files, errors))
}

/// The files that can be read, by their paths, and what is wrong with the others.
pub(crate) type Readable = (BTreeMap<String, Vec<u8>>, Vec<Error>);

/// One file of the overlay with its path, or why it cannot be published.
type Read = Result<(String, Vec<u8>), Error>;

/// Finds the files that the bundle holds, and reads each when it is asked for.
fn found<'t>(tree: &'t Tree, directory: &'t str) -> Result<(Ignore, impl Iterator<Item = Read>), Error> {
    require_directories(tree, directory)?;
    let mut found = Found { tree, root: directory, files: Vec::new(), odd: Vec::new(), rules: Vec::new() };
    found.walk("")?;
    let Found { mut files, mut odd, rules, .. } = found;
    let ignore = Ignore::new(&rules);
    odd.retain(|(path, _)| ignore.keeps(path));
    files.retain(|path| ignore.keeps(path));
    let odd = odd.into_iter().map(move |(path, reason)| {
        let refused = Error::refused(Place::file(join(directory, &path)), reason);
        Err(refused.hint("replace it by a regular file, or leave it out with .sourceignore"))
    });
    Ok((ignore, odd.chain(files.into_iter().map(move |path| one(tree, directory, path)))))
}

fn one(tree: &Tree, directory: &str, path: String) -> Read {
    let place = || Place::file(join(directory, &path));
    refuse_hostile(&path, place)?;
    let bytes = tree.read(&join(directory, &path), MOST_BYTES)?;
    if std::str::from_utf8(&bytes).is_err() {
        let refused = Error::refused(place(), "the file is not UTF-8");
        return Err(refused.hint("convert it, or leave it out with .sourceignore"));
    }
    Ok((path, bytes))
}

fn insert(files: &mut Files, path: String, bytes: Vec<u8>) -> Result<(), flux::Error> {
    if is_values(&path) {
        files.insert_unread(path, bytes);
        return Ok(());
    }
    files.insert(path, bytes)
}

/// Names the place of what Flux could not use below the root of the tree.
pub(crate) fn unusable(directory: &str, error: flux::Error) -> Error {
    let place = Place::line(join(directory, &error.at.file), error.at.line);
    let invalid = Error::invalid(place, error.reason);
    match error.hint {
        Some(hint) => invalid.hint(hint),
        None => invalid,
    }
}

fn require_directories(tree: &Tree, directory: &str) -> Result<(), Error> {
    let hint = "set `overlay` in the configuration to the directory of the overlay";
    for (path, what) in [(directory.to_owned(), "the overlay"), (join(directory, "base"), "the overlay's `base`")] {
        match tree.kind(&path)? {
            Some(EntryKind::Directory) => {}
            None => return Err(Error::usage(Place::file(path), format!("{what} does not exist")).hint(hint)),
            Some(_) => return Err(Error::usage(Place::file(path), format!("{what} is not a directory")).hint(hint)),
        }
    }
    Ok(())
}

fn refuse_hostile(path: &str, place: impl Fn() -> Place) -> Result<(), Error> {
    let refuse = |reason: &str| Err(Error::refused(place(), reason).hint("rename it: Flux cannot unpack the name"));
    if path.contains('\\') {
        return refuse("the name contains a backslash");
    }
    if path.chars().any(char::is_control) {
        return refuse("the name contains a control character");
    }
    if path.split('/').any(|part| part.ends_with("..")) {
        return refuse("a part of the name ends in `..`");
    }
    Ok(())
}

struct Found<'a> {
    tree: &'a Tree,
    root: &'a str,
    files: Vec<String>,
    odd: Vec<(String, String)>,
    rules: Vec<(String, String)>,
}

impl Found<'_> {
    fn walk(&mut self, directory: &str) -> Result<(), Error> {
        let entries = self.tree.list(join(self.root, directory).trim_end_matches('/'))?;
        if entries.iter().any(|entry| entry.name == FILE && matches!(entry.kind, EntryKind::File(_))) {
            let path = join(self.root, &join(directory, FILE));
            let text = String::from_utf8_lossy(&self.tree.peek(&path, MOST_BYTES)?).into_owned();
            self.rules.push((directory.to_owned(), text));
        }
        for entry in entries {
            let path = join(directory, &entry.name);
            match entry.kind {
                EntryKind::Directory if entry.name == ".git" => {}
                EntryKind::Directory => self.walk(&path)?,
                EntryKind::File(_) => self.files.push(path),
                EntryKind::Link(target) => {
                    self.odd.push((
                        path,
                        format!("a symbolic link (to `{}`): Flux drops links silently", target.escape_debug()),
                    ));
                }
                EntryKind::Other => self.odd.push((path, "neither a file nor a directory".to_owned())),
            }
        }
        Ok(())
    }
}

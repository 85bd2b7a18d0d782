//! Reads the overlay's files from the tree and parses each of them once.

use std::collections::BTreeMap;

use crate::flux::{self, Files};
use crate::oci::Prefix;
use crate::path::join;
use crate::source::{EntryKind, Error, Place, Tree};

use super::Overlay;
use super::ignore::{FILE, Ignore};
use super::profile::is_values;

/// Size of the largest file in an overlay, in bytes.
const MOST_BYTES: u64 = 10 << 20;

/// The part of the configuration that describes the overlay.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// Directory of the overlay, relative to the tree's root, for example `ee/appliance/flux`.
    pub directory: &'a str,
    /// Name of the `OCIRepository` that the appliance makes. A child with another source gives a warning.
    pub source_name: &'a str,
    /// Repository of the charts, relative to the prefix, for example `charts`.
    pub charts_repository: &'a str,
    /// Name of the `HelmRepository` that publishing adds with `chartPin: version`.
    pub helm_repository: &'a str,
    /// Namespace of the chart sources that publishing adds.
    pub namespace: &'a str,
    /// Prefixes of this publisher, the effective one first. A `HelmRepository` below any of them has this publisher's charts.
    pub prefixes: &'a [Prefix],
    /// Start of the names of values ConfigMaps, for example `appliance-values-`.
    pub values_prefix: &'a str,
    /// Name of the Secret with the keys by which Flux verifies this publisher's charts. `None` where it does not verify them.
    pub verify: Option<&'a str>,
}

/// An owned copy of [`Settings`], which the overlay keeps.
#[derive(Clone, Debug, Default)]
pub(super) struct Owned {
    pub directory: String,
    pub source_name: String,
    pub charts_repository: String,
    pub helm_repository: String,
    pub namespace: String,
    pub prefixes: Vec<Prefix>,
    pub values_prefix: String,
    pub verify: Option<String>,
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
            verify: settings.verify.map(ToOwned::to_owned),
        }
    }
}

/// Reads and parses the overlay.
///
/// # Errors
/// When the overlay or its `base/` does not exist, a file cannot be published, or its YAML is invalid.
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

/// Reads the files of the overlay in a directory, and returns the errors of those that cannot be read.
///
/// # Errors
/// When the overlay or its `base/` does not exist.
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

/// The readable files by path, and the errors of all others.
pub(crate) type Readable = (BTreeMap<String, Vec<u8>>, Vec<Error>);

/// One file of the overlay with its path, or the error that prevents publishing the file.
type Read = Result<(String, Vec<u8>), Error>;

/// Finds the files of the bundle. The iterator reads each file when it gets there.
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
        Err(refused.hint("replace the entry by a regular file, or leave it out with .sourceignore"))
    });
    Ok((ignore, odd.chain(files.into_iter().map(move |path| one(tree, directory, path)))))
}

fn one(tree: &Tree, directory: &str, path: String) -> Read {
    let place = || Place::file(join(directory, &path));
    refuse_hostile(&path, place)?;
    let bytes = tree.read(&join(directory, &path), MOST_BYTES)?;
    if std::str::from_utf8(&bytes).is_err() {
        let refused = Error::refused(place(), "the file is not UTF-8");
        return Err(refused.hint("convert the file to UTF-8, or leave it out with .sourceignore"));
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

/// Converts an error about a file that Flux could not use, and makes its place relative to the tree's root.
pub(crate) fn unusable(directory: &str, error: flux::Error) -> Error {
    let place = Place::line(join(directory, &error.at.file), error.at.line);
    let invalid = Error::invalid(place, error.reason);
    match error.hint {
        Some(hint) => invalid.hint(hint),
        None => invalid,
    }
}

fn require_directories(tree: &Tree, directory: &str) -> Result<(), Error> {
    let hint = "set `overlay` in alga-release.yaml to the directory of the overlay";
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
    let refuse = |reason: &str| {
        Err(Error::refused(place(), reason).hint("rename the file: Flux cannot unpack a file with this name"))
    };
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
                        format!(
                            "cannot publish a symbolic link (to `{}`): Flux drops links silently",
                            target.escape_debug()
                        ),
                    ));
                }
                EntryKind::Other => {
                    self.odd.push((path, "expected a file or directory, found a pipe, socket or device".to_owned()));
                }
            }
        }
        Ok(())
    }
}

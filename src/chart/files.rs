//! Lists the files of a chart directory as Helm does, with `.helmignore` and links, but never follows a link out of the chart.

use std::collections::VecDeque;

use super::ignore::Rules;
use crate::path::join;
use crate::source::{EntryKind, Error, Place, Tree};

/// Size of the largest file in a chart, in bytes: Helm up to 4.2 and Flux load no larger file.
pub(super) const FILE_LIMIT: u64 = 5 * 1024 * 1024;
/// Upper bound of the size of all files of a chart together, in bytes.
pub(super) const TOTAL_LIMIT: u64 = 100 * 1024 * 1024;
/// Largest number of files in a chart. Links to directories can multiply files without end.
const COUNT_LIMIT: usize = 100_000;
/// Largest number of links on the way to one file, the same as in Linux.
const LINK_LIMIT: usize = 40;

/// A file that a chart holds.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// Path relative to the chart's directory, which is the file's name in Helm.
    pub(super) name: String,
    /// The place that the bytes are read from.
    pub(super) content: Content,
    /// The place that messages name: the file itself, or the archive that holds it.
    pub(super) place: Place,
}

/// The place of a file's bytes.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// In the tree: the path with all links resolved, and the size in bytes at the time of listing.
    Disk(String, u64),
    /// Bytes that are already in memory.
    Memory(Vec<u8>),
}

impl File {
    /// Reads the bytes without a byte order mark, which Helm strips from every file.
    pub(super) fn read(&self, tree: &Tree) -> Result<Vec<u8>, Error> {
        let mut bytes = match &self.content {
            Content::Disk(path, _) => tree.read(path, FILE_LIMIT)?,
            Content::Memory(bytes) => bytes.clone(),
        };
        if bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        Ok(bytes)
    }

    pub(super) fn size(&self) -> u64 {
        match &self.content {
            Content::Disk(_, size) => *size,
            Content::Memory(bytes) => bytes.len() as u64,
        }
    }
}

/// Returns the ignore rules of the chart at `root`: those of its `.helmignore`, and Helm's own rule.
pub(super) fn rules(tree: &Tree, root: &str) -> Result<Rules, Error> {
    let path = join(root, ".helmignore");
    let Some(kind) = tree.kind(&path)? else { return parse_rules(&path, "") };
    let walk = Walk { tree, root, rules: &Rules::default(), files: Vec::new() };
    let found = match kind {
        EntryKind::Link(_) => walk.follow("", ".helmignore")?,
        kind => Found::There(".helmignore".to_owned(), kind),
    };
    match found {
        Found::There(name, EntryKind::File(_)) => {
            let text = tree.read(&join(root, &name), FILE_LIMIT)?;
            let text = String::from_utf8(text)
                .map_err(|_| Error::invalid(Place::file(&path), "`.helmignore` is not UTF-8"))?;
            parse_rules(&path, &text)
        }
        Found::Dangling => parse_rules(&path, ""),
        Found::Outside => Err(outside(&path)),
        Found::There(..) => Err(Error::invalid(Place::file(&path), "`.helmignore` must be a file")),
    }
}

fn parse_rules(path: &str, text: &str) -> Result<Rules, Error> {
    Rules::parse(text).map_err(|(line, reason)| {
        Error::invalid(Place::line(path, line), reason)
            .hint("correct the pattern: https://helm.sh/docs/chart_template_guide/helm_ignore_file explains the syntax")
    })
}

/// Lists the files of the chart at `root` that `rules` do not ignore, in Helm's order: a directory's entries are sorted by
/// the bytes of their names, and the content of a directory takes the position of the directory's name.
pub(super) fn walk(tree: &Tree, root: &str, rules: &Rules) -> Result<Vec<File>, Error> {
    let mut walk = Walk { tree, root, rules, files: Vec::new() };
    walk.directory("", "", &mut vec![String::new()])?;
    Ok(walk.files)
}

struct Walk<'t> {
    tree: &'t Tree,
    root: &'t str,
    rules: &'t Rules,
    files: Vec<File>,
}

/// The target of a link. Paths are relative to the chart's directory.
enum Found {
    There(String, EntryKind),
    Dangling,
    Outside,
}

impl Walk<'_> {
    /// Walks the directory `name`, whose path with links resolved is `real`. `above` has the resolved paths of its parents.
    fn directory(&mut self, name: &str, real: &str, above: &mut Vec<String>) -> Result<(), Error> {
        for entry in self.tree.list(&join(self.root, real))? {
            let name = join(name, &entry.name);
            let found = match entry.kind {
                EntryKind::Link(_) => self.follow(real, &entry.name)?,
                kind => Found::There(join(real, &entry.name), kind),
            };
            match found {
                Found::There(real, kind) => self.entry(&name, &real, &kind, above)?,
                Found::Dangling => self.dangling(&name)?,
                Found::Outside => self.outside(&name)?,
            }
        }
        Ok(())
    }

    fn entry(&mut self, name: &str, real: &str, kind: &EntryKind, above: &mut Vec<String>) -> Result<(), Error> {
        let is_directory = *kind == EntryKind::Directory;
        // When the chart is the root of the tree, `.git` is in its directory. Flux leaves `.git` out of the source as well.
        let of_git = self.root.is_empty() && name == ".git";
        if of_git || self.rules.ignores(name, is_directory) {
            return Ok(());
        }
        let place = Place::file(join(self.root, name));
        match kind {
            EntryKind::Directory if is_values(name) => {
                Err(Error::invalid(place, "values.yaml is a directory: Helm would pack a chart without values")
                    .hint("make `values.yaml` a file, or remove the directory"))
            }
            EntryKind::Directory if above.iter().any(|path| path == real) => Err(Error::invalid(
                place,
                "the link leads to one of its own parent directories, so the walk would not end",
            )
            .hint("remove the link, or ignore the link in .helmignore")),
            EntryKind::Directory => {
                above.push(real.to_owned());
                self.directory(name, real, above)?;
                above.pop();
                Ok(())
            }
            EntryKind::File(size) => self.file(name, real, *size, place),
            EntryKind::Link(_) | EntryKind::Other => Err(Error::invalid(place, "cannot pack a pipe, socket or device")
                .hint("remove the file, or ignore the file in .helmignore")),
        }
    }

    fn file(&mut self, name: &str, real: &str, size: u64, place: Place) -> Result<(), Error> {
        if size > FILE_LIMIT {
            let reason = format!("the file has {size} bytes; Helm and Flux load at most {FILE_LIMIT}");
            return Err(
                Error::refused(place, reason).hint("ignore the file in .helmignore, or remove it from the chart")
            );
        }
        if self.files.len() == COUNT_LIMIT {
            let reason = format!("the chart has more than {COUNT_LIMIT} files, which is the limit");
            return Err(Error::refused(Place::file(self.root), reason)
                .hint("list files that do not belong to the chart in .helmignore"));
        }
        let content = Content::Disk(join(self.root, real), size);
        self.files.push(File { name: name.to_owned(), content, place });
        Ok(())
    }

    /// Refuses a dangling link unless the rules ignore it. Helm fails on an ignored dangling link too.
    fn dangling(&self, name: &str) -> Result<(), Error> {
        if self.rules.ignores(name, false) || self.rules.ignores(name, true) {
            return Ok(());
        }
        Err(Error::invalid(Place::file(join(self.root, name)), "the target of the link does not exist")
            .hint("remove the link, or ignore the link in .helmignore"))
    }

    fn outside(&self, name: &str) -> Result<(), Error> {
        let path = join(self.root, name);
        let is_directory = self.tree.list(&path).is_ok();
        if self.rules.ignores(name, is_directory) { Ok(()) } else { Err(outside(&path)) }
    }

    /// Follows links from the resolved directory `from`, component by component, so that no step leaves the chart.
    fn follow(&self, from: &str, name: &str) -> Result<Found, Error> {
        let mut done: Vec<String> = from.split('/').filter(|part| !part.is_empty()).map(ToOwned::to_owned).collect();
        let mut ahead = VecDeque::from([name.to_owned()]);
        let mut kind = EntryKind::Directory;
        let mut links = 0;
        while let Some(part) = ahead.pop_front() {
            if part.is_empty() || part == "." {
                continue;
            }
            if kind != EntryKind::Directory {
                return Ok(Found::Dangling);
            }
            if part == ".." {
                if done.pop().is_none() {
                    return Ok(Found::Outside);
                }
                continue;
            }
            done.push(part);
            match self.tree.kind(&join(self.root, &done.join("/")))? {
                None => return Ok(Found::Dangling),
                Some(EntryKind::Link(target)) => {
                    links += 1;
                    if target.starts_with('/') {
                        return Ok(Found::Outside);
                    }
                    if links > LINK_LIMIT {
                        return Ok(Found::Dangling);
                    }
                    done.pop();
                    for part in target.split('/').rev() {
                        ahead.push_front(part.to_owned());
                    }
                }
                Some(found) => kind = found,
            }
        }
        Ok(Found::There(done.join("/"), kind))
    }
}

/// Reports whether `name` is the values.yaml of the chart or of one of its subcharts.
fn is_values(name: &str) -> bool {
    let below = name.strip_prefix("charts/").and_then(|subchart| subchart.split_once('/'));
    below.map_or(name == "values.yaml", |(_, name)| is_values(name))
}

fn outside(path: &str) -> Error {
    Error::refused(Place::file(path), "the link leads out of the chart's directory").hint(
        "copy the file into the chart, or ignore the link in .helmignore: only files in the chart's directory are published",
    )
}

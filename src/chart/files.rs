//! Which files a chart directory holds: Helm's walk, with its rules and links, kept inside the chart.

use std::collections::VecDeque;

use super::ignore::Rules;
use crate::path::join;
use crate::source::{EntryKind, Error, Place, Tree};

/// Largest file in a chart, in bytes: what Helm up to 4.2 and Flux load.
pub(super) const FILE_LIMIT: u64 = 5 * 1024 * 1024;
/// A chart's files together stay below this, in bytes.
pub(super) const TOTAL_LIMIT: u64 = 100 * 1024 * 1024;
/// Most files of a chart: links can multiply directories.
const COUNT_LIMIT: usize = 100_000;
/// Most links on the way to one file, as in Linux.
const LINK_LIMIT: usize = 40;

/// A file of a chart.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// Path below the chart's directory; Helm's name for it.
    pub(super) name: String,
    /// Where its bytes are.
    pub(super) content: Content,
    /// Where a person finds it: the file itself, or the archive that holds it.
    pub(super) place: Place,
}

/// Where the bytes of a file are.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// In the tree, under the path that no link leads through any more; so many bytes when it was listed.
    Disk(String, u64),
    /// At hand.
    Memory(Vec<u8>),
}

impl File {
    /// Its bytes, without a byte order mark: Helm strips it from every file.
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

/// The rules of the chart at `root`: its own file's, and Helm's.
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
            let text =
                String::from_utf8(text).map_err(|_| Error::invalid(Place::file(&path), "the file is not UTF-8"))?;
            parse_rules(&path, &text)
        }
        Found::Dangling => parse_rules(&path, ""),
        Found::Outside => Err(outside(&path)),
        Found::There(..) => Err(Error::invalid(Place::file(&path), "it must be a file")),
    }
}

fn parse_rules(path: &str, text: &str) -> Result<Rules, Error> {
    Rules::parse(text).map_err(|(line, reason)| {
        Error::invalid(Place::line(path, line), reason)
            .hint("see https://helm.sh/docs/chart_template_guide/helm_ignore_file")
    })
}

/// The files of the chart at `root` that `rules` let through, in Helm's order: names of a directory by their bytes, a
/// directory's content where its name stands.
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

/// Where a link leads. Paths are below the chart.
enum Found {
    There(String, EntryKind),
    Dangling,
    Outside,
}

impl Walk<'_> {
    /// Walks the directory `name`, which is `real` when links are followed; `above` are the real paths on the way to it.
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
        // Where the tree's root is the chart: what git keeps for itself is no part of the source, as Flux sees it too.
        let of_git = self.root.is_empty() && name == ".git";
        if of_git || self.rules.ignores(name, is_directory) {
            return Ok(());
        }
        let place = Place::file(join(self.root, name));
        match kind {
            EntryKind::Directory if is_values(name) => {
                Err(Error::invalid(place, "values.yaml is a directory: Helm would pack a chart without values")
                    .hint("want a file, or none"))
            }
            EntryKind::Directory if above.iter().any(|path| path == real) => {
                Err(Error::invalid(place, "the link leads to a directory above itself, without end")
                    .hint("remove the link, or ignore it in .helmignore"))
            }
            EntryKind::Directory => {
                above.push(real.to_owned());
                self.directory(name, real, above)?;
                above.pop();
                Ok(())
            }
            EntryKind::File(size) => self.file(name, real, *size, place),
            EntryKind::Link(_) | EntryKind::Other => {
                Err(Error::invalid(place, "it is a pipe, socket or device, which a chart cannot hold")
                    .hint("remove it, or ignore it in .helmignore"))
            }
        }
    }

    fn file(&mut self, name: &str, real: &str, size: u64, place: Place) -> Result<(), Error> {
        if size > FILE_LIMIT {
            let reason = format!("the file has {size} bytes, more than the {FILE_LIMIT} that Helm and Flux load");
            return Err(Error::refused(place, reason).hint("ignore it in .helmignore, or take it out of the chart"));
        }
        if self.files.len() == COUNT_LIMIT {
            let reason = format!("the chart has more than {COUNT_LIMIT} files");
            return Err(
                Error::refused(Place::file(self.root), reason).hint("ignore what is no part of it in .helmignore")
            );
        }
        let content = Content::Disk(join(self.root, real), size);
        self.files.push(File { name: name.to_owned(), content, place });
        Ok(())
    }

    /// Helm fails even when the link is ignored; here it is then as if it were not there.
    fn dangling(&self, name: &str) -> Result<(), Error> {
        if self.rules.ignores(name, false) || self.rules.ignores(name, true) {
            return Ok(());
        }
        Err(Error::invalid(Place::file(join(self.root, name)), "the link leads nowhere")
            .hint("remove the link, or ignore it in .helmignore"))
    }

    fn outside(&self, name: &str) -> Result<(), Error> {
        let path = join(self.root, name);
        let is_directory = self.tree.list(&path).is_ok();
        if self.rules.ignores(name, is_directory) { Ok(()) } else { Err(outside(&path)) }
    }

    /// Follows links from the real directory `from`, component by component, so that no step leaves the chart.
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

/// The name of the values of the chart or of one of its subcharts?
fn is_values(name: &str) -> bool {
    let below = name.strip_prefix("charts/").and_then(|subchart| subchart.split_once('/'));
    below.map_or(name == "values.yaml", |(_, name)| is_values(name))
}

fn outside(path: &str) -> Error {
    Error::refused(Place::file(path), "the link leaves the chart's directory").hint(
        "copy the file into the chart, or ignore the link in .helmignore: only what is below the chart is published",
    )
}

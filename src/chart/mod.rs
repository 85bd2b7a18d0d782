//! Turns a Helm chart on disk into an artifact: the one that `helm package` and `helm push` make, without the parts that
//! differ from machine to machine.

mod coerce;
mod files;
mod find;
mod ignore;
mod load;
mod metadata;
mod pack;
mod version;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::oci::{Repository, Tag};
use crate::path::join;
use crate::source::{EntryKind, Error, Place, Tree, Warning};
use crate::yaml;

pub(crate) use coerce::{Scalar, scalar};
pub use find::find;
pub use pack::{PackedChart, Versions};

/// Helm's media type for the config blob of a chart.
pub(crate) const CONFIG_MEDIA_TYPE: &str = "application/vnd.cncf.helm.config.v1+json";
/// Helm's media type for the layer of a chart.
pub(crate) const LAYER_MEDIA_TYPE: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/// A chart that was read and checked. Most of its files are read only when the chart is packed.
#[derive(Debug)]
pub struct Chart {
    path: String,
    rules: ignore::Rules,
    root: load::Loaded,
    /// Byte range of the version in Chart.yaml, where the packed Chart.yaml is the author's text.
    version: Option<Range<usize>>,
    warnings: Vec<Warning>,
}

/// Loads the chart in the directory `path` below the tree's root (`""` is the root).
///
/// # Errors
/// When Helm refuses to package the chart, would damage it or could not push it: a version that is not a string, a name or
/// version that registries refuse, a link that leads out of the chart, a file above 5 MiB, or 100 MiB and more in total.
pub fn load(tree: &Tree, path: &str) -> Result<Chart, Error> {
    check_directory(tree, path)?;
    let rules = files::rules(tree, path)?;
    let files = files::walk(tree, path, &rules)?;
    let mut loader = load::Loader { tree, warnings: Vec::new() };
    let directory = Place::file(if path.is_empty() { "." } else { path });
    let root = loader.load(files, &directory, false, 0)?;
    let mut warnings = loader.warnings;
    let version = check_names(&root, &mut warnings)?;
    let total = total(&root);
    if total >= files::TOTAL_LIMIT {
        let reason = format!(
            "the chart's files have {total} bytes together; Helm and Flux load less than {}",
            files::TOTAL_LIMIT
        );
        return Err(Error::refused(directory, reason).hint("list files that do not belong to the chart in .helmignore"));
    }
    warnings.sort_by(|a, b| a.place.cmp(&b.place));
    Ok(Chart { path: path.to_owned(), rules, root, version, warnings })
}

/// Reads the files of a chart that may not load, by their paths below its directory. Archives of subcharts are not opened.
/// Returns the files with the chart's name, which is the directory's name where Chart.yaml gives no name.
///
/// # Errors
/// When the directory cannot be walked.
pub(crate) fn read(tree: &Tree, path: &str) -> Result<(String, BTreeMap<String, Vec<u8>>), Error> {
    let rules = files::rules(tree, path)?;
    let files = files::walk(tree, path, &rules)?;
    let files: BTreeMap<String, Vec<u8>> =
        files.into_iter().filter_map(|file| Some((file.name.clone(), file.read(tree).ok()?))).collect();
    let text = files.get("Chart.yaml").and_then(|bytes| std::str::from_utf8(bytes).ok());
    let document = text.and_then(|text| yaml::parse(text).ok()?.into_iter().next()?.root);
    let name = document.as_ref().and_then(|root| root.text_at(&["name"])).map(ToOwned::to_owned);
    let directory = path.rsplit('/').next().unwrap_or(path);
    Ok((name.unwrap_or_else(|| directory.to_owned()), files))
}

/// Loads a packed chart as Helm does, and returns the chart's name and version.
///
/// # Errors
/// When Helm refuses to load the archive.
pub(crate) fn load_archive(archive: &[u8]) -> Result<(String, String), Error> {
    let place = Place::file("the chart's archive");
    let files = load::unpack(archive, &place)?;
    let mut loader = load::Loader { tree: &Tree::empty(), warnings: Vec::new() };
    let root = loader.load(files, &place, true, 0)?;
    Ok((root.metadata.name, root.metadata.version))
}

impl Chart {
    /// Returns the chart's directory, relative to the tree's root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the chart's name, a valid path component of a repository.
    pub fn name(&self) -> &str {
        &self.root.metadata.name
    }

    /// Returns the version that Chart.yaml gives.
    pub fn version(&self) -> &str {
        &self.root.metadata.version
    }

    /// Returns the warnings about the chart, sorted by place.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Reports whether a file at `path`, relative to the tree's root, would be packed: in the chart's directory and not ignored.
    pub(crate) fn would_pack(&self, path: &str) -> bool {
        let below = if self.path.is_empty() {
            Some(path)
        } else {
            path.strip_prefix(&self.path).and_then(|rest| rest.strip_prefix('/'))
        };
        below.is_some_and(|below| !below.is_empty() && !self.rules.ignores_below(below, false))
    }
}

/// Checks that the chart's directory exists and has a Chart.yaml. No component may be a link, which could leave the tree.
fn check_directory(tree: &Tree, path: &str) -> Result<(), Error> {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    for end in ends.filter(|end| *end > 0) {
        let place = || Place::file(path);
        match tree.kind(&path[..end])? {
            Some(EntryKind::Directory) => {}
            None => return Err(Error::invalid(place(), "the directory does not exist")),
            Some(EntryKind::Link(_)) => {
                return Err(Error::refused(place(), format!("`{}` is a link", path[..end].escape_debug()))
                    .hint("give the directory that the link leads to"));
            }
            Some(_) => return Err(Error::invalid(place(), "expected a directory, found a file")),
        }
    }
    if tree.kind(&join(path, "Chart.yaml"))?.is_none() {
        let path = if path.is_empty() { "." } else { path };
        return Err(Error::invalid(Place::file(path), "missing Chart.yaml"));
    }
    Ok(())
}

/// Checks that registries take the name and the version, and returns the byte range of the version in Chart.yaml.
fn check_names(root: &load::Loaded, warnings: &mut Vec<Warning>) -> Result<Option<Range<usize>>, Error> {
    let (metadata, file) = (&root.metadata, &root.place.path);
    let document = yaml::parse(&root.chart_yaml).ok().and_then(|documents| documents.into_iter().next());
    let top = document.and_then(|document| document.root);
    let node = |key: &str| top.as_ref().and_then(|top| find_key(top, key));
    let place = |key: &str| match node(key) {
        Some(node) if root.verbatim => Place::line(file, node.line),
        _ => Place::file(file),
    };
    if !matches!(metadata.api_version.as_str(), "v1" | "v2") {
        let reason = format!("invalid apiVersion `{}`: expected `v1` or `v2`", metadata.api_version.escape_debug());
        return Err(Error::invalid(place("apiVersion"), reason));
    }
    if metadata.name.contains('/') || metadata.name.parse::<Repository>().is_err() {
        let reason =
            format!("invalid chart name `{}`: registries refuse such a repository name", metadata.name.escape_debug());
        return Err(Error::refused(place("name"), reason)
            .hint("use only lowercase letters and digits, with single separators (`.`, `_`, `-`) between them"));
    }
    if let Err(cause) = Tag::of_version(&metadata.version) {
        return Err(Error::refused(place("version"), cause.to_string()));
    }
    if !version::is_strict(&metadata.version) {
        let text = format!(
            "the version `{}` is not a strict semantic version: Helm and Flux find it exactly, but not by a version range",
            metadata.version
        );
        warnings.push(Warning { place: place("version"), text });
    }
    Ok(node("version").filter(|_| root.verbatim).map(|node| node.resolved().span.clone()))
}

/// Finds the value that Helm uses for a field of Chart.yaml. Of several keys that fold to one name, Helm uses the last in
/// byte order.
fn find_key<'n>(top: &'n yaml::Node, key: &str) -> Option<&'n yaml::Node> {
    let merged = || top.merged().into_iter().find_map(|merged| find_key(merged, key));
    let own = top.entries().iter().filter(|entry| {
        entry.key.as_str().is_some_and(|text| metadata::fold(text) == metadata::fold(key)) && !entry.value.is_null()
    });
    own.max_by_key(|entry| entry.key.as_str()).map(|entry| &entry.value).or_else(merged)
}

fn total(chart: &load::Loaded) -> u64 {
    let own = chart.chart_yaml.len() as u64 + chart.files.iter().map(files::File::size).sum::<u64>();
    own + chart.subcharts.iter().map(total).sum::<u64>()
}

#[cfg(test)]
#[path = "chart_tests.rs"]
mod tests;

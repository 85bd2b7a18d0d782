//! Loads a chart and its subcharts from a list of files by Helm's rules, in the order of Helm's archive.

use std::collections::BTreeMap;

use super::files::{Content, FILE_LIMIT, File, TOTAL_LIMIT};
use super::metadata::{Metadata, Reader};
use crate::archive::{self, Limits};
use crate::source::{Error, Place, Tree, Warning};
use crate::yaml;

/// Deepest nesting of subcharts that is loaded.
const DEPTH_LIMIT: usize = 32;

/// A loaded chart or subchart.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) metadata: Metadata,
    /// Chart.yaml as it is written into the archive, without byte order mark.
    pub(super) chart_yaml: String,
    /// Whether [`Loaded::chart_yaml`] is the author's text, unchanged.
    pub(super) verbatim: bool,
    /// The place of Chart.yaml in the tree.
    pub(super) place: Place,
    /// All other files, in the order and with the names that they have in the archive.
    pub(super) files: Vec<File>,
    /// The subcharts, sorted by name.
    pub(super) subcharts: Vec<Loaded>,
}

/// The state that all levels of subcharts share while they are loaded.
pub(super) struct Loader<'t> {
    pub(super) tree: &'t Tree,
    pub(super) warnings: Vec<Warning>,
}

/// The files of a chart, grouped by their role.
#[derive(Default)]
struct Sorted {
    lock: Option<File>,
    values: Option<File>,
    schema: Option<File>,
    requirements: Option<File>,
    templates: Vec<File>,
    others: Vec<File>,
    subcharts: BTreeMap<String, Vec<File>>,
}

impl Loader<'_> {
    /// Loads the chart that consists of `files`. `place` is its directory, or its archive when `packed` is set.
    pub(super) fn load(
        &mut self,
        files: Vec<File>,
        place: &Place,
        packed: bool,
        depth: usize,
    ) -> Result<Loaded, Error> {
        if depth > DEPTH_LIMIT {
            return Err(Error::refused(
                place.clone(),
                format!("subcharts are nested deeper than {DEPTH_LIMIT} levels, which is the limit"),
            ));
        }
        let Some(file) = files.iter().find(|file| file.name == "Chart.yaml").cloned() else {
            return Err(Error::invalid(place.clone(), "missing Chart.yaml, or .helmignore ignores it"));
        };
        let text = self.text(&file)?;
        let own = self.own(&file.place, &text, packed)?;
        let is_v1 = own.api_version == "v1";
        let sorted = self.sort(files, is_v1, packed)?;
        let full = self.full(&own, &file.place, sorted.requirements.as_ref(), packed)?;
        self.check_values(sorted.values.as_ref(), packed)?;
        self.check_schema(sorted.schema.as_ref())?;
        let subcharts = self.subcharts(sorted.subcharts, &full, depth, packed)?;
        check_dependencies(&full, &subcharts, &file.place)?;
        let has_requirements = sorted.requirements.is_some();
        let changed = written(&own, &full, has_requirements);
        let heads = [sorted.lock.filter(|_| !is_v1), sorted.values, sorted.schema];
        Ok(Loaded {
            // The config blob has to agree with the Chart.yaml in the archive, from which v1 dependencies are removed.
            metadata: if is_v1 && !has_requirements { without_dependencies(&full) } else { full },
            verbatim: changed.is_none(),
            chart_yaml: changed.map_or(text, |metadata| metadata.to_yaml()),
            place: file.place,
            files: heads.into_iter().flatten().chain(sorted.templates).chain(sorted.others).collect(),
            subcharts,
        })
    }

    /// Reads the metadata that Chart.yaml alone gives.
    fn own(&mut self, place: &Place, text: &str, packed: bool) -> Result<Metadata, Error> {
        let mut metadata = Metadata::default();
        self.reader(place, packed).read(text, &mut metadata)?;
        if metadata.api_version.is_empty() {
            "v1".clone_into(&mut metadata.api_version);
        }
        Ok(metadata)
    }

    /// Combines the metadata of Chart.yaml, at `place`, with requirements.yaml, and checks the result as Helm does.
    fn full(
        &mut self,
        own: &Metadata,
        place: &Place,
        requirements: Option<&File>,
        packed: bool,
    ) -> Result<Metadata, Error> {
        let mut full = own.clone();
        if let Some(file) = requirements {
            let text = self.text(file)?;
            self.reader(&file.place, packed).read(&text, &mut full)?;
        }
        if own.api_version == "v1" && !own.dependencies.is_empty() {
            self.warn(place, "Helm ignores `dependencies` in the Chart.yaml of an apiVersion v1 chart: move them to requirements.yaml");
        }
        full.check().map_err(|reason| Error::invalid(place.clone(), reason))?;
        if full.deprecated {
            self.warn(place, "the chart is deprecated");
        }
        Ok(full)
    }

    fn sort(&mut self, files: Vec<File>, is_v1: bool, packed: bool) -> Result<Sorted, Error> {
        let mut sorted = Sorted::default();
        for file in files {
            match file.name.as_str() {
                "Chart.yaml" => {}
                "Chart.lock" | "requirements.lock" => {
                    if !is_v1 && file.name == "requirements.lock" {
                        self.warn(
                            &file.place,
                            "requirements.lock belongs to apiVersion v1: Helm packs it as Chart.lock",
                        );
                    } else if is_v1 && file.name == "requirements.lock" {
                        sorted.others.push(file.clone());
                    }
                    sorted.lock = self.lock(file, packed)?;
                }
                "values.yaml" => sorted.values = Some(self.held(file)?),
                "values.schema.json" => sorted.schema = Some(self.held(file)?),
                "requirements.yaml" => {
                    if is_v1 {
                        sorted.others.push(file.clone());
                    } else {
                        self.warn(
                            &file.place,
                            "requirements.yaml belongs to apiVersion v1: Helm moves its dependencies to Chart.yaml",
                        );
                    }
                    sorted.requirements = Some(file);
                }
                name if name.starts_with("templates/") => sorted.templates.push(file),
                name => match name.strip_prefix("charts/") {
                    Some(below) if extension(name) != ".prov" => {
                        let subchart = below.split('/').next().unwrap_or(below).to_owned();
                        let file = File { name: below.to_owned(), ..file };
                        sorted.subcharts.entry(subchart).or_default().push(file);
                    }
                    _ => sorted.others.push(file),
                },
            }
        }
        Ok(sorted)
    }

    /// Reads a lock file, and returns `None` where the file is empty.
    fn lock(&mut self, file: File, packed: bool) -> Result<Option<File>, Error> {
        let text = self.text(&file)?;
        let root = self.reader(&file.place, packed).first_document(&text)?;
        match root {
            None => Ok(None),
            Some(root) if !root.is_mapping() => Err(Error::invalid(file.place, "expected a mapping (`key: value`)")),
            Some(_) => {
                Ok(Some(File { name: "Chart.lock".to_owned(), content: Content::Memory(text.into_bytes()), ..file }))
            }
        }
    }

    fn check_values(&mut self, file: Option<&File>, packed: bool) -> Result<(), Error> {
        let Some(file) = file else { return Ok(()) };
        let text = self.text(file)?;
        let line = |line| Place { path: file.place.path.clone(), line: (!packed).then_some(line) };
        let documents = yaml::parse(&text).map_err(|cause| Error::invalid(line(cause.line), cause.reason))?;
        for root in documents.iter().filter_map(|document| document.root.as_ref()).filter(|root| !root.is_null()) {
            if !root.is_mapping() {
                return Err(Error::invalid(line(root.line), "invalid values: expected a mapping (`key: value`)"));
            }
            if let Some(key) = root.duplicate_key() {
                let name = key.as_str().unwrap_or_default().escape_debug();
                let text = format!("duplicate key `{name}`: Helm uses the last value");
                self.warnings.push(Warning { place: line(key.line), text });
            }
        }
        Ok(())
    }

    fn check_schema(&self, file: Option<&File>) -> Result<(), Error> {
        let Some(file) = file else { return Ok(()) };
        serde_json::from_slice::<serde::de::IgnoredAny>(&file.read(self.tree)?)
            .map(|_| ())
            .map_err(|cause| Error::invalid(file.place.clone(), format!("invalid JSON: {cause}")))
    }

    fn subcharts(
        &mut self,
        groups: BTreeMap<String, Vec<File>>,
        parent: &Metadata,
        depth: usize,
        packed: bool,
    ) -> Result<Vec<Loaded>, Error> {
        let mut subcharts: BTreeMap<String, Loaded> = BTreeMap::new();
        for (name, files) in groups.into_iter().filter(|(name, _)| !name.starts_with(['_', '.'])) {
            let loaded = self.subchart(&name, files, depth, packed)?;
            let name = loaded.metadata.name.clone();
            if let Some(other) = subcharts.get(&name) {
                let reason = format!(
                    "two subcharts of `{}` are named `{}`; the other one is {}",
                    parent.name.escape_debug(),
                    name.escape_debug(),
                    other.place
                );
                return Err(Error::invalid(loaded.place, reason)
                    .hint("remove one of the two: their files would overwrite each other"));
            }
            subcharts.insert(name, loaded);
        }
        Ok(subcharts.into_values().collect())
    }

    fn subchart(&mut self, name: &str, files: Vec<File>, depth: usize, packed: bool) -> Result<Loaded, Error> {
        let Some(first) = files.first() else {
            return Err(Error::invalid(Place::file(name), "the subchart has no files"));
        };
        if extension(name) == ".tgz" {
            if first.name != name {
                return Err(Error::invalid(
                    first.place.clone(),
                    "expected an archive, found a directory whose name ends in .tgz",
                ));
            }
            let place = first.place.clone();
            let files = unpack(&first.read(self.tree)?, &place)?;
            return self.load(files, &place, true, depth + 1);
        }
        let mut place = first.place.clone();
        if !packed && let Some(directory) = place.path.strip_suffix(&first.name) {
            place.path = format!("{directory}{name}");
        }
        let below = files.into_iter().filter_map(|file| {
            let name = file.name.split_once('/')?.1.to_owned();
            Some(File { name, ..file })
        });
        self.load(below.collect(), &place, packed, depth + 1)
    }

    fn text(&self, file: &File) -> Result<String, Error> {
        String::from_utf8(file.read(self.tree)?)
            .map_err(|_| Error::invalid(file.place.clone(), format!("`{}` is not UTF-8", file.name)))
    }

    /// Returns the file with its bytes in memory, so that the bytes that are packed are the bytes that were checked.
    fn held(&self, file: File) -> Result<File, Error> {
        Ok(File { content: Content::Memory(file.read(self.tree)?), ..file })
    }

    fn reader<'a>(&'a mut self, place: &'a Place, packed: bool) -> Reader<'a> {
        Reader { place, packed, warnings: &mut self.warnings }
    }

    fn warn(&mut self, place: &Place, text: &str) {
        self.warnings.push(Warning { place: place.clone(), text: text.to_owned() });
    }
}

/// Reads the files of a subchart's archive as Helm does, with paths relative to the archive's first directory.
pub(super) fn unpack(bytes: &[u8], place: &Place) -> Result<Vec<File>, Error> {
    let limits = Limits { total: TOTAL_LIMIT, file: FILE_LIMIT };
    let refused = |reason: String| Error::invalid(place.clone(), reason);
    let mut files = Vec::new();
    for (path, bytes) in archive::read(bytes, limits).map_err(|cause| refused(cause.to_string()))? {
        let path = path.replace('\\', "/");
        let (first, name) = path.split_once('/').unwrap_or((&path, ""));
        let parts: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if first == "Chart.yaml" || parts.is_empty() {
            let reason = format!("the archive's entry `{}` is not in the chart's directory", path.escape_debug());
            return Err(refused(reason));
        }
        files.push(File { name: parts.join("/"), content: Content::Memory(bytes), place: place.clone() });
    }
    if files.is_empty() { Err(refused("the archive has no files".to_owned())) } else { Ok(files) }
}

/// Returns the metadata that Helm writes into the archive's Chart.yaml, or `None` where the author's text stays as it is.
/// Dependencies belong to requirements.yaml in apiVersion v1 and to Chart.yaml in v2, and Helm removes or moves others.
fn written(own: &Metadata, full: &Metadata, has_requirements: bool) -> Option<Metadata> {
    if own.api_version == "v1" {
        (!own.dependencies.is_empty()).then(|| without_dependencies(own))
    } else {
        has_requirements.then(|| full.clone())
    }
}

fn without_dependencies(metadata: &Metadata) -> Metadata {
    Metadata { dependencies: Vec::new(), ..metadata.clone() }
}

/// Checks that each dependency is in `charts/`. As in Helm, only the names are compared.
fn check_dependencies(metadata: &Metadata, subcharts: &[Loaded], place: &Place) -> Result<(), Error> {
    let there = |name: &str| subcharts.iter().any(|subchart| subchart.metadata.name == name);
    let missing: Vec<&str> =
        metadata.dependencies.iter().map(|asked| asked.name.as_str()).filter(|name| !there(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let reason = format!("missing dependencies in charts/: {}", missing.join(", "));
    Err(Error::invalid(place.clone(), reason).hint("run `helm dependency build` in the chart's directory"))
}

/// Returns the extension as Go's `filepath.Ext` does: the text from the last dot of the last component.
fn extension(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rfind('.').map_or("", |at| &name[at..])
}

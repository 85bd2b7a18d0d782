//! The values that a HelmRelease gives to its chart, merged in the same way as in helm-controller.

use super::chart::Chart;
use super::value::{At, Content, Placed, Sources, Table, from_node, read};
use super::values::merge;
use crate::appliance::{Literal, parse_setting};
use crate::flux::{HelmRelease, PatchContent, ValuesFrom};
use crate::lint::{Contents, Located, Place};
use crate::oci::Digest;
use crate::path::join;
use crate::release::{SetValue, ValueSource, ValuesReader};

/// Example address of an appliance, because the real address is not known here.
const HOST: &str = "appliance.example.com";

/// A HelmRelease with its chart and its values.
#[derive(Debug)]
pub(super) struct Given<'c, 'a> {
    pub(super) release: HelmRelease<'a>,
    pub(super) chart: &'c Chart<'c>,
    /// All known values, merged.
    pub(super) values: Table,
    /// The values in each source, before the appliance sets its own values.
    pub(super) written: Vec<(usize, Table)>,
    /// The reason why some values are not known.
    pub(super) unknown: Option<String>,
    /// Paths of values that are known only on an appliance.
    pub(super) placeholders: Vec<Vec<String>>,
    /// Paths of all values that the appliance sets.
    pub(super) set: Vec<Vec<String>>,
    /// The images that the appliance writes into the values; empty if the release does not pin its images.
    pub(super) images: Vec<Injected>,
}

/// An image of a pinned release in a value that the appliance sets.
#[derive(Clone, Debug)]
pub(super) struct Injected {
    /// Key of the image in the release.
    pub(super) key: String,
    pub(super) tag: String,
    /// The digest after the tag; `None` for an entry with `as: tag`.
    pub(super) digest: Option<Digest>,
}

impl Injected {
    /// Reports whether a text contains the tag, or a part of the digest.
    pub(super) fn is_in(&self, text: &str) -> bool {
        text.contains(&self.tag) || self.is_pinned_in(text)
    }

    /// Reports whether a text contains the value with its digest. Templates may cut the value, or replace characters in it.
    pub(super) fn is_pinned_in(&self, text: &str) -> bool {
        let digest = self.digest.as_ref();
        digest.is_some_and(|digest| text.contains(&format!("{}@", self.tag)) || text.contains(digest.short_hex()))
    }
}

impl Given<'_, '_> {
    /// Returns the place of the HelmRelease itself.
    pub(super) fn place(&self) -> Place {
        Place::overlay(self.release.object.file, self.release.object.node)
    }
}

/// Reads the values of every HelmRelease that installs a chart of the release.
pub(super) fn all<'c, 'a>(
    contents: &'c Contents<'a>,
    charts: &'c [Chart<'c>],
    sources: &mut Sources,
) -> Vec<Given<'c, 'a>> {
    let readers = readers(contents);
    let patched = patches_values(contents);
    let mut all = Vec::new();
    for release in &contents.parts.releases {
        let Some(files) = contents.chart_of(release) else { continue };
        let Some(chart) = charts.iter().find(|chart| chart.root == files.name) else { continue };
        let mut reader = Reader {
            contents,
            readers: &readers,
            sources,
            layers: Vec::new(),
            written: Vec::new(),
            unknown: None,
            placeholders: Vec::new(),
            set: Vec::new(),
            images: Vec::new(),
        };
        if patched {
            reader.unknown = Some("the overlay patches the values of HelmReleases".to_owned());
        }
        reader.read(release);
        let Reader { layers, written, unknown, placeholders, set, images, .. } = reader;
        let mut values = Table::new();
        for layer in layers {
            merge(&mut values, layer);
        }
        all.push(Given { release: release.clone(), chart, values, written, unknown, placeholders, set, images });
    }
    all
}

/// Returns the values files of the release, with the ConfigMaps that the appliance creates from them.
fn readers(contents: &Contents<'_>) -> Vec<ValuesReader> {
    contents.installation().map(|installation| installation.values).unwrap_or_default()
}

/// Reports whether a patch of the overlay may change the values of a HelmRelease.
fn patches_values(contents: &Contents<'_>) -> bool {
    let of_files = contents
        .files
        .kustomization_files()
        .flat_map(|file| file.patches().into_iter().map(move |patch| (patch, file.directory().to_owned())));
    let of_children = contents
        .parts
        .kustomizations
        .iter()
        .flat_map(|one| one.patches().into_iter().map(|patch| (patch, String::new())));
    of_files.chain(of_children).any(|(patch, directory)| {
        if patch.target_kind.is_some_and(|kind| kind != "HelmRelease" && kind.chars().all(char::is_alphanumeric)) {
            return false;
        }
        let text = match patch.content {
            PatchContent::Inline(node) | PatchContent::Replacement(node) => {
                node.as_str().map_or_else(|| format!("{node:?}"), str::to_owned)
            }
            PatchContent::File(path) => contents.text(&join(&directory, path)).unwrap_or_default().to_owned(),
        };
        text.contains("values") && (patch.target_kind.is_some() || text.contains("HelmRelease"))
    })
}

struct Reader<'r, 'a> {
    contents: &'r Contents<'a>,
    readers: &'r [ValuesReader],
    sources: &'r mut Sources,
    layers: Vec<Table>,
    written: Vec<(usize, Table)>,
    unknown: Option<String>,
    placeholders: Vec<Vec<String>>,
    set: Vec<Vec<String>>,
    images: Vec<Injected>,
}

impl<'a> Reader<'_, 'a> {
    fn read(&mut self, release: &HelmRelease<'a>) {
        for from in &release.values_from {
            match self.layer(release, from) {
                Ok(table) => self.layers.push(table),
                Err(reason) => self.unknown = Some(reason),
            }
        }
        if let Some(node) = release.values.filter(|node| !node.is_null()) {
            let source = self.sources.add(Located::Overlay(release.object.file.to_owned()));
            match from_node(node, source, 0, true) {
                Ok(table) => {
                    self.written.push((source, table.clone()));
                    self.layers.push(table);
                }
                Err(_) => self.unknown = Some("`spec.values` cannot be parsed".to_owned()),
            }
        }
    }

    fn layer(&mut self, release: &HelmRelease<'a>, from: &ValuesFrom<'a>) -> Result<Table, String> {
        let Some(key) = from.config_map() else {
            return Err("some values come from a Secret or from an object without a name".to_owned());
        };
        if key.target_path.is_some() {
            return Err(format!("`targetPath` inserts a text of the ConfigMap {} into the values", key.name));
        }
        let namespace = release.object.namespace();
        let fits = |reader: &&ValuesReader| {
            reader.config_map == key.name
                && reader.key == key.key
                && namespace.is_none_or(|name| name == reader.namespace)
        };
        if let Some(reader) = self.readers.iter().find(fits) {
            return self.of_profile(reader);
        }
        self.of_overlay(&key.name, &key.key, namespace)
    }

    /// Reads a values file of the profile, with the values that the appliance sets in it.
    fn of_profile(&mut self, reader: &ValuesReader) -> Result<Table, String> {
        let unread = || format!("the values file {} cannot be read or parsed", reader.file);
        let (path, bytes) = self
            .contents
            .profile_values()
            .find(|(path, _)| path.rsplit('/').next() == Some(&reader.file))
            .ok_or_else(unread)?;
        let text = std::str::from_utf8(bytes).map_err(|_| unread())?;
        let source = self.sources.add(Located::Overlay(path));
        let mut table = read(text, source, 0).map_err(|_| unread())?;
        self.written.push((source, table.clone()));
        for set in &reader.set {
            self.set(&mut table, set, source);
        }
        Ok(table)
    }

    fn set(&mut self, table: &mut Table, set: &SetValue, source: usize) {
        let (literal, known) = match ValueSource::configured(&set.from) {
            ValueSource::Image(key) => match self.image(key, set) {
                Some(value) => (Literal::Text(value), true),
                None => return,
            },
            ValueSource::Literal(text) => (Literal::parse(text), true),
            ValueSource::AppUrl => (Literal::Text(format!("https://{HOST}")), false),
            ValueSource::Host => (Literal::Text(HOST.to_owned()), false),
            ValueSource::DomainSuffix => (Literal::Text(format!(".{HOST}")), false),
        };
        let Some(setting) = parse_setting(&set.path, literal) else { return };
        if !known {
            self.placeholders.push(setting.path.clone());
        }
        self.set.push(setting.path.clone());
        put(table, &setting.path, content(setting.value), &At { source, line: 1, span: None });
    }

    /// Returns the value that the appliance writes for an image.
    fn image(&mut self, key: &str, set: &SetValue) -> Option<String> {
        let images = self.contents.release?.image_values();
        if let (Some(tag), Some(pinned)) = (images.tags.get(key), images.pinned.get(key)) {
            let digest = set.form.is_none().then(|| pinned.digest.clone());
            self.images.push(Injected { key: key.to_owned(), tag: tag.clone(), digest });
        }
        images.of(key, set)
    }

    /// Reads a ConfigMap that is an object of the overlay.
    fn of_overlay(&mut self, name: &str, key: &str, namespace: Option<&str>) -> Result<Table, String> {
        let unread = || format!("the ConfigMap {name} is not in the release");
        let mut objects = self.contents.parts.objects.iter();
        let object = objects.find(|object| {
            let same = object.namespace().is_none() || namespace.is_none() || object.namespace() == namespace;
            object.is("", "ConfigMap") && object.name() == name && same
        });
        let object = object.ok_or_else(unread)?;
        let node = object.node.get(&["data", key]).ok_or_else(unread)?;
        let source = self.sources.add(Located::Overlay(object.file.to_owned()));
        let table = read(node.as_str().unwrap_or_default(), source, node.line).map_err(|_| unread())?;
        self.written.push((source, table.clone()));
        Ok(table)
    }
}

fn content(literal: Literal) -> Content {
    match literal {
        Literal::Text(text) => Content::Text(text),
        Literal::Other(text) => match serde_json::from_str(&text) {
            Ok(serde_json::Value::Bool(value)) => Content::Bool(value),
            Ok(serde_json::Value::Number(number)) => Content::Number(number),
            _ => Content::Null,
        },
    }
}

/// Sets the value at a path, and creates missing tables on the way.
fn put(table: &mut Table, path: &[String], content: Content, near: &At) {
    let Some((key, rest)) = path.split_first() else { return };
    let there = table.get(key).and_then(|value| value.at.clone()).unwrap_or_else(|| near.clone());
    if rest.is_empty() {
        table.insert(key.clone(), Placed { at: Some(there), content });
        return;
    }
    let new = || Placed { at: Some(there.clone()), content: Content::Table(Table::new()) };
    if let Some(below) = table.entry(key.clone()).or_insert_with(new).table_mut() {
        put(below, rest, content, &there);
    }
}

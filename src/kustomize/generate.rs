//! Generates ConfigMaps and Secrets as kustomize does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::yaml::{Entry, Node};

use super::accumulated::Accumulated;
use super::build::{Builder, Layer};
use super::problem::{Kind, Place};
use super::resource::{Behavior, Resource, entries_mut, mapping, scalar};
use super::shape::{field, items, text};

const BROKEN: Kind = Kind::InvalidGenerator;

/// A key and its value.
type Pair = (String, Vec<u8>);

impl Builder<'_> {
    pub(super) fn generators(&mut self, layer: &Layer<'_>, into: &mut Accumulated) {
        for (key, kind) in [("configMapGenerator", "ConfigMap"), ("secretGenerator", "Secret")] {
            for (file, item) in layer.items(key) {
                self.generator(layer, &Place::new(file, item.line), kind, item, into);
            }
        }
        for key in ["helmCharts", "helmChartInflationGenerator"] {
            if !layer.items(key).is_empty() {
                into.complete = false;
                let way_out = "write a HelmRelease instead: Flux builds without the plugins of kustomize";
                self.problem(
                    BROKEN,
                    layer.place(key),
                    format!("`{key}` needs Helm, which Flux does not run in a build"),
                    way_out,
                );
            }
        }
        if !layer.items("generators").is_empty() {
            into.complete = false;
            self.unchecked(layer.place("generators"), "not checked: this program does not run `generators`");
        }
    }

    fn generator(&mut self, layer: &Layer<'_>, at: &Place, kind: &str, item: &Node, into: &mut Accumulated) {
        let Some(name) = text(item, "name") else {
            into.complete = false;
            return self.problem(BROKEN, at.clone(), "missing `name` of the generator", "write the name of the object");
        };
        let Some(pairs) = self.pairs(layer.directory, at, item, into) else {
            into.complete = false;
            return;
        };
        let mut data = Vec::new();
        let mut binary = Vec::new();
        for (key, bytes) in pairs {
            let text = String::from_utf8(bytes);
            let (list, text) = match text {
                Ok(text) if kind == "ConfigMap" => (&mut data, text),
                Ok(text) => (&mut data, STANDARD.encode(text)),
                Err(error) if kind == "Secret" => (&mut data, STANDARD.encode(error.into_bytes())),
                Err(error) => (&mut binary, STANDARD.encode(error.into_bytes())),
            };
            list.push(Entry { key: scalar(&key, at.line), value: scalar(&text, at.line) });
        }
        let node = mapping(Vec::new(), at.line);
        let plain = layer.root.and_then(|root| field(root, "generatorOptions")).is_some_and(is_plain);
        let hashed = !plain && !field(item, "options").is_some_and(is_plain);
        let mut made = Resource { place: at.clone(), node, previous: Vec::new(), hashed };
        made.set(&["apiVersion"], "v1");
        made.set(&["kind"], kind);
        made.set(&["metadata", "name"], name);
        if let Some(namespace) = text(item, "namespace") {
            made.set(&["metadata", "namespace"], namespace);
        }
        if kind == "Secret" {
            made.set(&["type"], text(item, "type").unwrap_or("Opaque"));
        }
        keep(&mut made.node, "data", data);
        keep(&mut made.node, "binaryData", binary);
        into.absorb_generated(made, behavior(item), self);
    }

    /// Returns the keys with their values, or `None` where a key or value cannot be read.
    fn pairs(&mut self, directory: &str, at: &Place, item: &Node, into: &mut Accumulated) -> Option<Vec<Pair>> {
        let mut pairs: Vec<(Pair, usize)> = Vec::new();
        let mut whole = true;
        let one = field(item, "env").into_iter().filter(|env| env.as_str().is_some_and(|text| !text.is_empty()));
        for env in items(item, "envs").iter().chain(one) {
            let place = Place::new(&at.file, env.line);
            let lines = self.lines(directory, env.as_str().unwrap_or_default(), &place, into);
            whole &= lines.is_some();
            pairs.extend(lines.unwrap_or_default().into_iter().map(|pair| (pair, env.line)));
        }
        for literal in items(item, "literals") {
            let text = literal.as_str().unwrap_or_default();
            if let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.is_empty()) {
                pairs.push(((key.to_owned(), unquoted(value).into()), literal.line));
            } else {
                whole = false;
                let reason = "invalid literal: expected `KEY=VALUE`";
                self.problem(BROKEN, Place::new(&at.file, literal.line), reason, "write `KEY=VALUE`");
            }
        }
        for file in items(item, "files") {
            let place = Place::new(&at.file, file.line);
            let pair = self.file_pair(directory, file.as_str().unwrap_or_default(), &place, into);
            whole &= pair.is_some();
            pairs.extend(pair.map(|pair| (pair, file.line)));
        }
        for (at_pair, ((key, _), line)) in pairs.iter().enumerate() {
            if pairs[..at_pair].iter().any(|((other, _), _)| other == key) {
                whole = false;
                let reason = format!("duplicate key `{}` in the generator", key.escape_debug());
                self.problem(BROKEN, Place::new(&at.file, *line), reason, "remove or rename one of the two");
            }
        }
        whole.then(|| pairs.into_iter().map(|(pair, _)| pair).collect())
    }

    fn file_pair(&mut self, directory: &str, source: &str, at: &Place, into: &mut Accumulated) -> Option<Pair> {
        let (key, path) = match source.split_once('=') {
            None => (source.rsplit('/').next().unwrap_or_default(), source),
            Some((key, path)) if !key.is_empty() && !path.is_empty() && !path.contains('=') => (key, path),
            Some(_) => {
                let reason = format!("invalid file `{}`: expected `PATH` or `KEY=PATH`", source.escape_debug());
                self.problem(BROKEN, at.clone(), reason, "write the path of the file, or a key, `=` and the path");
                return None;
            }
        };
        let path = self.loaded(directory, path, at, into)?;
        Some((key.to_owned(), self.files.bytes().get(&path)?.clone()))
    }

    fn lines(&mut self, directory: &str, path: &str, at: &Place, into: &mut Accumulated) -> Option<Vec<Pair>> {
        let path = self.loaded(directory, path, at, into)?;
        let text = self.text(&path, at, into)?;
        let lines = text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let pair = |line: &str| {
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            (key.to_owned(), value.as_bytes().to_vec())
        };
        Some(lines.map(pair).filter(|(key, _)| !key.is_empty()).collect())
    }
}

fn is_plain(options: &Node) -> bool {
    text(options, "disableNameSuffixHash").is_some_and(|text| text.eq_ignore_ascii_case("true"))
}

fn behavior(item: &Node) -> Option<Behavior> {
    match text(item, "behavior")? {
        "merge" => Some(Behavior::Merge),
        "replace" => Some(Behavior::Replace),
        "create" => Some(Behavior::Create),
        _ => None,
    }
}

/// Removes the quotes around a value that has the same quote at both ends.
fn unquoted(value: &str) -> &str {
    let inner = |quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

/// Adds entries to a mapping of an object unless the mapping has their keys.
pub(super) fn keep(node: &mut Node, key: &str, entries: Vec<Entry>) {
    if entries.is_empty() {
        return;
    }
    let line = node.line;
    let Some(own) = entries_mut(node) else { return };
    let at = own.iter().position(|entry| entry.key.as_str() == Some(key)).unwrap_or_else(|| {
        own.push(Entry { key: scalar(key, line), value: mapping(Vec::new(), line) });
        own.len() - 1
    });
    let Some(there) = entries_mut(&mut own[at].value) else { return };
    for entry in entries {
        if !there.iter().any(|one| one.key.as_str() == entry.key.as_str()) {
            there.push(entry);
        }
    }
}

//! The keys that a chart knows at a position in its values: keys that templates read, and keys that a schema declares.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::chart::Dependency;
use super::follow::Read;
use super::reads::Cursor;

/// Limit of the schemas that are followed at one position.
const WIDEST: usize = 64;

/// A part of a schema, with the whole schema for its references.
#[derive(Clone, Copy, Debug)]
struct Part<'r> {
    whole: &'r Json,
    part: &'r Json,
}

/// A position in the values of a chart.
#[derive(Clone, Debug)]
pub(super) struct Known<'r, 'c, 'a> {
    read: &'r Read<'c, 'a>,
    schemas: &'r [Option<Json>],
    /// Indices of the charts whose values start at this position.
    charts: Vec<usize>,
    cursor: Cursor<'r>,
    parts: Vec<Part<'r>>,
}

impl<'r, 'c, 'a> Known<'r, 'c, 'a> {
    /// Returns the root of the published chart's values. `schemas` are the schemas of the charts.
    pub(super) fn root(read: &'r Read<'c, 'a>, schemas: &'r [Option<Json>]) -> Self {
        let mut root = Self { read, schemas, charts: Vec::new(), cursor: Cursor::default(), parts: Vec::new() };
        root.enter(0);
        root
    }

    /// Adds the keys that a chart knows at the root of its values.
    fn enter(&mut self, chart: usize) {
        self.charts.push(chart);
        self.cursor.join(Cursor::at([&self.read.reads[chart]]));
        if let Some(whole) = &self.schemas[chart] {
            self.parts.extend(resolved(Part { whole, part: whole }));
        }
    }

    /// Moves to the value of a key, or to an item of a list if `key` is `None`.
    pub(super) fn go(&self, key: Option<&str>) -> Self {
        let mut next = Self {
            charts: Vec::new(),
            cursor: self.cursor.go(key),
            parts: self.parts.iter().flat_map(|part| part.go(key)).take(WIDEST).collect(),
            ..*self
        };
        let Some(key) = key else { return next };
        for parent in &self.charts {
            let directory = &self.read.charts[*parent].directory;
            for (index, chart) in self.read.charts.iter().enumerate() {
                let Some(below) = chart.directory.strip_prefix(directory.as_str()).filter(|below| !below.is_empty())
                else {
                    continue;
                };
                if key == "global" {
                    next.cursor.join(Cursor::at([&self.read.reads[index]]).go(Some(key)));
                }
                let is_direct = below.matches('/').count() == 2;
                let dependencies = &self.read.charts[*parent].dependencies;
                let mut named =
                    dependencies.iter().filter(|one| one.name == chart.name).map(Dependency::key).peekable();
                let is_named = if named.peek().is_some() { named.any(|name| name == key) } else { chart.name == key };
                if is_direct && is_named {
                    next.enter(index);
                }
            }
        }
        next
    }

    /// Reports whether the value is read or declared, at least in part.
    pub(super) fn is_known(&self) -> bool {
        self.cursor.is_read() || !self.parts.is_empty()
    }

    /// Reports whether every value below may be read.
    pub(super) fn is_opaque(&self) -> bool {
        self.cursor.is_opaque() || self.parts.iter().any(|part| part.is_opaque())
    }

    /// Reports whether the items of a list are known one by one.
    pub(super) fn has_items(&self) -> bool {
        self.cursor.reads_items()
    }

    /// Returns the keys that are known here.
    pub(super) fn keys(&self) -> BTreeSet<&'r str> {
        let named = self.parts.iter().filter_map(|part| part.part.get("properties")?.as_object());
        self.cursor.keys().chain(named.flat_map(|properties| properties.keys().map(String::as_str))).collect()
    }
}

impl Part<'_> {
    /// Returns the schemas of a property, or of the items if `key` is `None`.
    fn go(self, key: Option<&str>) -> Vec<Self> {
        let below = |word: &str| self.part.get(word);
        let found: Vec<&Json> = match key {
            Some(key) => {
                let named = below("properties").and_then(|properties| properties.get(key));
                let patterns =
                    below("patternProperties").and_then(Json::as_object).into_iter().flat_map(|map| map.values());
                let others = below("additionalProperties").filter(|schema| schema.is_object());
                named.into_iter().chain(patterns).chain(others).collect()
            }
            None => below("items").filter(|schema| schema.is_object()).into_iter().collect(),
        };
        found.into_iter().flat_map(|part| resolved(Self { whole: self.whole, part })).collect()
    }

    /// Reports whether the schema says nothing about the values below.
    fn is_opaque(self) -> bool {
        let says = ["properties", "patternProperties", "items", "allOf", "anyOf", "oneOf", "$ref"];
        !says.iter().any(|word| self.part.get(word).is_some())
    }
}

/// Returns a part with all parts that apply at the same position.
fn resolved(part: Part<'_>) -> Vec<Part<'_>> {
    let (mut found, mut open) = (Vec::new(), vec![part]);
    while let Some(Part { whole, part }) = open.pop() {
        if found.len() + open.len() > WIDEST {
            break;
        }
        for word in ["allOf", "anyOf", "oneOf"] {
            let items = part.get(word).and_then(Json::as_array).into_iter().flatten();
            open.extend(items.map(|part| Part { whole, part }));
        }
        for word in ["if", "then", "else"] {
            open.extend(part.get(word).map(|part| Part { whole, part }));
        }
        let local = part.get("$ref").and_then(Json::as_str).and_then(|text| text.strip_prefix('#'));
        let target = local.and_then(|pointer| whole.pointer(pointer));
        let is_new = |target: &&Json| !found.iter().any(|one: &Part<'_>| std::ptr::eq(one.part, *target));
        open.extend(target.filter(is_new).map(|part| Part { whole, part }));
        found.push(Part { whole, part });
    }
    found
}

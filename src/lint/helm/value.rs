//! Values as Helm parses them, each with the place in the text that sets it.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Number, Value as Json};

use crate::chart::{Scalar, scalar};
use crate::lint::{Located, Place};
use crate::yaml::{self, Node, Value as Written};

/// Limit of the values that are read from one text, with aliases expanded.
const LIMIT: usize = 200_000;

/// The files that contain the values.
#[derive(Debug, Default)]
pub(super) struct Sources(Vec<Located>);

impl Sources {
    /// Adds a file and returns its index.
    pub(super) fn add(&mut self, file: Located) -> usize {
        self.0.push(file);
        self.0.len() - 1
    }

    /// Returns the file with the given index.
    pub(super) fn file(&self, source: usize) -> &Located {
        &self.0[source]
    }

    /// Returns the place of a value in its file.
    pub(super) fn place(&self, at: &At) -> Place {
        Place { file: self.0[at.source].clone(), line: at.line, span: at.span.clone() }
    }
}

/// Position of a value in its file.
#[derive(Clone, Debug)]
pub(super) struct At {
    /// Index of the file in [`Sources`].
    pub(super) source: usize,
    pub(super) line: usize,
    /// Byte range in the file's text; `None` if the text is embedded in another one.
    pub(super) span: Option<Range<usize>>,
}

/// A mapping of keys to values.
pub(super) type Table = BTreeMap<String, Placed>;

/// A value with the place that sets it.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    /// Place of the value's key; `None` for values that Helm adds itself.
    pub(super) at: Option<At>,
    pub(super) content: Content,
}

/// The content of a value, by type.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Placed>),
    Table(Table),
}

/// A text of values that cannot be parsed. Another rule, or the loader of charts, reports the reason.
#[derive(Clone, Debug)]
pub(super) struct Unreadable;

impl Placed {
    pub(super) fn is_null(&self) -> bool {
        matches!(self.content, Content::Null)
    }

    pub(super) fn table(&self) -> Option<&Table> {
        match &self.content {
            Content::Table(table) => Some(table),
            _ => None,
        }
    }

    pub(super) fn table_mut(&mut self) -> Option<&mut Table> {
        match &mut self.content {
            Content::Table(table) => Some(table),
            _ => None,
        }
    }

    /// Calls `visit` with every string in the value.
    pub(super) fn texts<'v>(&'v self, visit: &mut impl FnMut(&'v str)) {
        match &self.content {
            Content::Text(text) => visit(text),
            Content::List(items) => items.iter().for_each(|item| item.texts(visit)),
            Content::Table(table) => table.values().for_each(|value| value.texts(visit)),
            Content::Null | Content::Bool(_) | Content::Number(_) => {}
        }
    }

    /// Returns the value as JSON, for validation against a schema.
    pub(super) fn json(&self) -> Json {
        match &self.content {
            Content::Null => Json::Null,
            Content::Bool(value) => Json::Bool(*value),
            Content::Number(number) => Json::Number(number.clone()),
            Content::Text(text) => Json::String(text.clone()),
            Content::List(items) => Json::Array(items.iter().map(Self::json).collect()),
            Content::Table(table) => Json::Object(json(table)),
        }
    }
}

/// Returns a table as a JSON object.
pub(super) fn json(table: &Table) -> Map<String, Json> {
    table.iter().map(|(key, value)| (key.clone(), value.json())).collect()
}

/// Parses a text of values. Later documents override earlier ones. `line` is the number of lines before the text in its file.
pub(super) fn read(text: &str, source: usize, line: usize) -> Result<Table, Unreadable> {
    let documents = yaml::parse(text).map_err(|_| Unreadable)?;
    let mut table = Table::new();
    for root in documents.iter().filter_map(|document| document.root.as_ref()).filter(|root| !root.is_null()) {
        let next = from_node(root, source, line, line == 0)?;
        super::values::merge(&mut table, next);
    }
    Ok(table)
}

/// Reads a mapping. `spans` says whether the spans of the nodes are byte ranges of the file.
pub(super) fn from_node(root: &Node, source: usize, line: usize, spans: bool) -> Result<Table, Unreadable> {
    if !root.is_mapping() {
        return Err(Unreadable);
    }
    Reader { source, line, spans, left: LIMIT }.table(root)
}

struct Reader {
    source: usize,
    line: usize,
    spans: bool,
    left: usize,
}

impl Reader {
    fn at(&self, node: &Node) -> At {
        At { source: self.source, line: self.line + node.line, span: self.spans.then(|| node.span.clone()) }
    }

    fn table(&mut self, node: &Node) -> Result<Table, Unreadable> {
        let mut table = Table::new();
        for merged in node.merged().into_iter().rev() {
            table.extend(self.table(merged)?);
        }
        for entry in node.entries().iter().filter(|entry| !entry.is_merge()) {
            let key = match scalar(&entry.key) {
                Some((_, Scalar::Bool(value))) => value.to_string(),
                Some((_, Scalar::Int(value))) => value.to_string(),
                Some((text, _)) => text.to_owned(),
                None => return Err(Unreadable),
            };
            let value = self.value(&entry.value, &entry.key)?;
            table.insert(key, value);
        }
        Ok(table)
    }

    fn value(&mut self, node: &Node, named: &Node) -> Result<Placed, Unreadable> {
        self.left = self.left.checked_sub(1).ok_or(Unreadable)?;
        let content = match &node.resolved().value {
            Written::Mapping { .. } => Content::Table(self.table(node)?),
            Written::Sequence { items, .. } => {
                Content::List(items.iter().map(|item| self.value(item, item)).collect::<Result<_, _>>()?)
            }
            _ => content(node)?,
        };
        Ok(Placed { at: Some(self.at(named)), content })
    }
}

/// Converts a float as Helm does for a schema: a float without a fraction becomes an integer.
fn number(value: f64) -> Option<Number> {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        #[expect(clippy::cast_possible_truncation, reason = "it has no fraction and fits")]
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

fn content(node: &Node) -> Result<Content, Unreadable> {
    Ok(match scalar(node).ok_or(Unreadable)? {
        (_, Scalar::Null) => Content::Null,
        (_, Scalar::Bool(value)) => Content::Bool(value),
        (text, Scalar::Int(value)) => {
            let signed = i64::try_from(value).map(Number::from);
            let number = signed.or_else(|_| u64::try_from(value).map(Number::from));
            number.map_or_else(|_| Content::Text(text.to_owned()), Content::Number)
        }
        (_, Scalar::Float(value)) => Content::Number(number(value).ok_or(Unreadable)?),
        (text, Scalar::Text) => Content::Text(text.to_owned()),
    })
}

//! Values during the execution of templates.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

use crate::lint::helm::value::{Content, Placed, Table};

/// Limit of the nested values in a value that is printed.
const LARGEST: usize = 100_000;

/// A value in an executed template.
#[derive(Clone, Debug)]
pub(super) enum Data {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    List(Rc<Vec<Data>>),
    /// A map that is shared by all references to it, because `set` changes it in place.
    Map(Rc<RefCell<BTreeMap<String, Data>>>),
    /// A value that is not known here, such as `.Capabilities`.
    Unknown,
}

impl Data {
    pub(super) fn text(text: impl AsRef<str>) -> Self {
        Self::Text(Rc::from(text.as_ref()))
    }

    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::List(Rc::new(items))
    }

    pub(super) fn map(entries: BTreeMap<String, Self>) -> Self {
        Self::Map(Rc::new(RefCell::new(entries)))
    }

    pub(super) fn of(table: &Table) -> Self {
        Self::map(table.iter().map(|(key, value)| (key.clone(), Self::of_value(value))).collect())
    }

    fn of_value(value: &Placed) -> Self {
        match &value.content {
            Content::Null => Self::Nil,
            Content::Bool(value) => Self::Bool(*value),
            Content::Number(number) => number.as_f64().map_or(Self::Unknown, Self::Float),
            Content::Text(text) => Self::text(text),
            Content::List(items) => Self::list(items.iter().map(Self::of_value).collect()),
            Content::Table(table) => Self::of(table),
        }
    }

    /// Returns Go's truth value: empty values are false. Returns `None` for an unknown value.
    pub(super) fn truth(&self) -> Option<bool> {
        Some(match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(entries) => !entries.borrow().is_empty(),
            Self::Unknown => return None,
        })
    }

    /// Returns the name of the type in Go's messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "invalid",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(_) => "slice",
            Self::Map(_) => "map",
            Self::Unknown => "unknown",
        }
    }

    /// Reports whether the value contains something unknown. Values that are too large, or that contain themselves, count as unknown.
    pub(super) fn is_unknown(&self) -> bool {
        self.unknown_within(&mut LARGEST.to_owned(), 0)
    }

    fn unknown_within(&self, left: &mut usize, depth: usize) -> bool {
        if *left == 0 || depth > 200 {
            return true;
        }
        *left -= 1;
        match self {
            Self::Unknown => true,
            Self::List(items) => items.iter().any(|item| item.unknown_within(left, depth + 1)),
            Self::Map(entries) => entries.borrow().values().any(|value| value.unknown_within(left, depth + 1)),
            _ => false,
        }
    }

    /// Returns the text that Go prints for the value.
    pub(super) fn print(&self) -> Option<String> {
        if self.is_unknown() { None } else { Some(self.printed()) }
    }

    fn printed(&self) -> String {
        match self {
            Self::Nil => "<no value>".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => float(*value),
            Self::Text(text) => text.to_string(),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::inner).collect();
                format!("[{}]", items.join(" "))
            }
            Self::Map(entries) => {
                let entries = entries.borrow();
                let entries: Vec<String> =
                    entries.iter().map(|(key, value)| format!("{key}:{}", value.inner())).collect();
                format!("map[{}]", entries.join(" "))
            }
            Self::Unknown => String::new(),
        }
    }

    fn inner(&self) -> String {
        if matches!(self, Self::Nil) { "<nil>".to_owned() } else { self.printed() }
    }

    /// Returns the value as YAML, with scalars in the form of JSON.
    pub(super) fn yaml(&self) -> Option<String> {
        if self.is_unknown() {
            return None;
        }
        let mut out = String::new();
        self.block(&mut out, 0);
        Some(out.trim().to_owned())
    }

    /// Returns the value as JSON.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        if self.is_unknown() { None } else { Some(self.as_json()) }
    }

    fn as_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::Nil | Self::Unknown => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(value) => Json::from(*value),
            Self::Float(value) => whole(*value).map_or_else(|| Json::from(*value), Json::from),
            Self::Text(text) => Json::from(text.as_ref()),
            Self::List(items) => Json::Array(items.iter().map(Self::as_json).collect()),
            Self::Map(entries) => {
                let entries = entries.borrow();
                Json::Object(entries.iter().map(|(key, value)| (key.clone(), value.as_json())).collect())
            }
        }
    }

    fn block(&self, out: &mut String, indent: usize) {
        match self {
            Self::Map(entries) if !entries.borrow().is_empty() => {
                for (key, value) in entries.borrow().iter() {
                    let _ = write!(out, "\n{:indent$}{}:", "", serde_json::Value::from(key.as_str()));
                    let deeper = if matches!(value, Self::List(_)) { indent } else { indent + 2 };
                    value.block(out, deeper);
                }
            }
            Self::List(items) if !items.is_empty() => {
                for item in items.iter() {
                    let _ = write!(out, "\n{:indent$}-", "");
                    item.block(out, indent + 2);
                }
            }
            scalar => {
                let _ = write!(out, " {}", scalar.as_json());
            }
        }
    }
}

fn whole(value: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "it has no fraction and fits")]
    (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64)
}

/// Formats a float in the same way as Go: with an exponent from 21 digits on.
fn float(value: f64) -> String {
    let shortest = format!("{value:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..21).contains(&exponent) {
        return format!("{value}");
    }
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

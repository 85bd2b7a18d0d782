//! Reads signed JSON strictly, and names every problem at once. Signed bytes are read by several programs, so nothing
//! that two of them may read differently is accepted.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::oci::each_key_once;
use crate::text::shown;

/// Numbers that every JSON reader keeps exactly, without 0.
pub(super) const NUMBERS: RangeInclusive<u64> = 1..=LARGEST;
/// Largest whole number that every JSON reader keeps exactly: 2^53 − 1.
const LARGEST: u64 = (1 << 53) - 1;
/// Most problems that a message lists.
const LISTED: usize = 20;

/// JSON that is not what it should be, with all of its problems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    what: &'static str,
    problems: Vec<Problem>,
}

/// One problem in JSON: a place in it, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of keys to the place, for example `roles.root.threshold`; empty for the JSON as a whole.
    pub path: String,
    /// Value that was found and value that was expected.
    pub reason: String,
}

impl Malformed {
    /// Returns the problems in the order of the JSON's keys.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl std::error::Error for Malformed {}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid {}: ", self.what)?;
        for (at, problem) in self.problems.iter().take(LISTED).enumerate() {
            write!(f, "{}{problem}", if at == 0 { "" } else { "; " })?;
        }
        match self.problems.len().saturating_sub(LISTED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.reason) } else { write!(f, "{}: {}", self.path, self.reason) }
    }
}

/// Collects the problems of one JSON.
#[derive(Debug, Default)]
struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    fn add(&self, path: impl Into<String>, reason: impl Into<String>) {
        self.0.borrow_mut().push(Problem { path: path.into(), reason: reason.into() });
    }

    fn into_error(self, what: &'static str) -> Malformed {
        Malformed { what, problems: self.0.into_inner() }
    }
}

/// Reads `json`, which is called `what` in messages, with the function `read`. It returns `None` only after it has added
/// a problem.
pub(super) fn read<T>(
    what: &'static str,
    json: &[u8],
    limit: usize,
    read: impl FnOnce(&Object<'_>) -> Option<T>,
) -> Result<T, Malformed> {
    let problems = Problems::default();
    let value = parse(json, limit, &problems);
    let root = value.as_ref().and_then(|value| Object::of(value, String::new(), &problems));
    let result = root.and_then(|root| read(&root));
    match result {
        Some(result) if problems.0.borrow().is_empty() => Ok(result),
        _ => Err(problems.into_error(what)),
    }
}

fn parse(json: &[u8], limit: usize, problems: &Problems) -> Option<Value> {
    if json.len() > limit {
        problems.add("", format!("expected at most {limit} bytes, found {}", json.len()));
        return None;
    }
    let checked = each_key_once(json).and_then(|()| serde_json::from_slice(json));
    checked.map_err(|cause| problems.add("", format!("invalid JSON: {}", shown(&cause.to_string())))).ok()
}

/// Says what kind of value `value` is.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// An object in the JSON with the path to it.
#[derive(Clone, Debug)]
pub(super) struct Object<'a> {
    path: String,
    map: &'a Map<String, Value>,
    problems: &'a Problems,
}

impl<'a> Object<'a> {
    fn of(value: &'a Value, path: String, problems: &'a Problems) -> Option<Self> {
        if let Value::Object(map) = value {
            return Some(Self { path, map, problems });
        }
        problems.add(path, format!("expected an object, found {}", kind(value)));
        None
    }

    /// Returns the path of a key of the object, or of the object itself for an empty key.
    pub(super) fn path(&self, key: &str) -> String {
        match (&*self.path, key) {
            (path, "") => path.to_owned(),
            ("", key) => shown(key),
            (path, key) => format!("{path}.{}", shown(key)),
        }
    }

    /// Adds a problem with the value of a key.
    pub(super) fn problem(&self, key: &str, reason: impl Into<String>) {
        self.problems.add(self.path(key), reason);
    }

    /// Refuses keys that differ from a known key only in upper and lower case: some readers take them for it. Other
    /// unknown keys are of later programs.
    pub(super) fn known(&self, keys: &[&str]) {
        for key in self.map.keys() {
            let near = keys.iter().find(|known| known.eq_ignore_ascii_case(key) && **known != key);
            if let Some(known) = near {
                self.problem(key, format!("expected the key `{known}`; some readers ignore the case of a key"));
            }
        }
    }

    /// Returns the value of a key, or adds the problem that there is none.
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        let value = self.map.get(key);
        if value.is_none() {
            self.problem(key, "missing");
        }
        value
    }

    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        let value = self.value(key)?;
        self.text_of(key, value)
    }

    /// Returns the text under a key that may be absent. A `null` is a problem.
    pub(super) fn optional_text(&self, key: &str) -> Option<&'a str> {
        self.text_of(key, self.map.get(key)?)
    }

    fn text_of(&self, key: &str, value: &'a Value) -> Option<&'a str> {
        let text = value.as_str();
        if text.is_none() {
            self.problem(key, format!("expected text, found {}", kind(value)));
        }
        text
    }

    /// Adds a problem unless the text under a key is `expected`.
    pub(super) fn exactly(&self, key: &str, expected: &str) -> Option<()> {
        let found = self.text(key)?;
        if found != expected {
            self.problem(key, format!("expected `{expected}`, found `{}`", shown(found)));
            return None;
        }
        Some(())
    }

    /// Parses the text under a key.
    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(&self, key: &str) -> Option<T> {
        self.parse_text(key, self.text(key)?)
    }

    /// Parses the text under a key that may be absent.
    pub(super) fn optional<T: FromStr<Err: fmt::Display>>(&self, key: &str) -> Option<T> {
        self.parse_text(key, self.optional_text(key)?)
    }

    fn parse_text<T: FromStr<Err: fmt::Display>>(&self, key: &str, text: &str) -> Option<T> {
        text.parse().map_err(|cause: T::Err| self.problem(key, shown(&cause.to_string()))).ok()
    }

    /// Returns the whole number under a key if it is in the range.
    pub(super) fn number(&self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.value(key)?;
        let number = value.as_u64().filter(|number| range.contains(number));
        if number.is_none() {
            let found = if value.is_number() { value.to_string() } else { kind(value).to_owned() };
            let (start, end) = (range.start(), range.end());
            self.problem(key, format!("expected a whole number from {start} to {end}, found {}", shown(&found)));
        }
        number
    }

    pub(super) fn object(&self, key: &str) -> Option<Object<'a>> {
        Self::of(self.value(key)?, self.path(key), self.problems)
    }

    pub(super) fn optional_object(&self, key: &str) -> Option<Object<'a>> {
        Self::of(self.map.get(key)?, self.path(key), self.problems)
    }

    /// Returns the list under a key.
    pub(super) fn list(&self, key: &str) -> Option<&'a [Value]> {
        let value = self.value(key)?;
        let list = value.as_array();
        if list.is_none() {
            self.problem(key, format!("expected a list, found {}", kind(value)));
        }
        list.map(Vec::as_slice)
    }

    /// Returns the objects of the list under a key, each with its own path.
    pub(super) fn objects(&self, key: &str) -> Option<Vec<Object<'a>>> {
        let list = self.list(key)?.iter().enumerate();
        list.map(|(at, value)| Self::of(value, format!("{}[{at}]", self.path(key)), self.problems)).collect()
    }

    /// Parses each text of the list under a key. Adds a problem for each entry that occurs twice.
    pub(super) fn set<T: FromStr<Err: fmt::Display> + Ord>(&self, key: &str) -> Option<BTreeSet<T>> {
        let mut set = BTreeSet::new();
        for (at, value) in self.list(key)?.iter().enumerate() {
            let entry = format!("{key}[{at}]");
            let Some(text) = self.text_of(&entry, value) else { continue };
            if let Some(parsed) = self.parse_text(&entry, text)
                && !set.insert(parsed)
            {
                self.problem(&entry, format!("`{}` occurs twice", shown(text)));
            }
        }
        Some(set)
    }

    /// Returns the keys of the object, in the order of their text.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.map.keys().map(String::as_str)
    }
}

//! Compares two structured values field by field. The order of keys, quotes and comments make no difference.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Number, Value};

use super::lines::{Budget, Change, Delta, compare as compare_lines};
use crate::yaml;

/// Most characters that are shown of a value.
const SHOWN: usize = 200;

/// A field that differs between two values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldChange {
    /// Path of the field: keys joined by `.`, items as `[name]` or `[index]`.
    pub path: String,
    /// Whether the field is new, gone, or another.
    pub change: Change,
    /// The older value as JSON, cut after 200 characters; `None` where `lines` says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The newer value as JSON, cut after 200 characters; `None` where `lines` says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Whether the publisher wrote the field, and not the author.
    pub pin: bool,
    /// How a text of several lines differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<Delta>,
}

/// Returns the value of a YAML node, which is the same for every way to write it, with `<<` merged in.
pub(crate) fn value_of(node: &yaml::Node) -> Value {
    let node = node.resolved();
    match &node.value {
        yaml::Value::Mapping { .. } => {
            let mut map = Map::new();
            for merged in node.merged().iter().rev() {
                if let Value::Object(entries) = value_of(merged) {
                    map.extend(entries);
                }
            }
            for entry in node.entries().iter().filter(|entry| !entry.is_merge()) {
                map.insert(entry.key.as_str().unwrap_or("null").to_owned(), value_of(&entry.value));
            }
            Value::Object(map)
        }
        yaml::Value::Sequence { items, .. } => Value::Array(items.iter().map(value_of).collect()),
        _ if node.is_null() => Value::Null,
        _ => scalar(node),
    }
}

fn scalar(node: &yaml::Node) -> Value {
    let text = node.as_str().unwrap_or_default();
    if node.is_string() || node.tag.is_some() {
        return Value::String(text.to_owned());
    }
    match text {
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => text.parse::<Number>().map_or_else(|_| Value::String(text.to_owned()), Value::Number),
    }
}

/// Returns every field that differs, in the order of their paths.
pub(super) fn compare(from: &Value, to: &Value, budget: &mut Budget) -> Vec<FieldChange> {
    let mut found = Found { changes: Vec::new(), budget };
    found.values("", from, to);
    found.changes
}

struct Found<'a> {
    changes: Vec<FieldChange>,
    budget: &'a mut Budget,
}

impl Found<'_> {
    fn values(&mut self, path: &str, from: &Value, to: &Value) {
        match (from, to) {
            _ if from == to => {}
            (Value::Object(old), Value::Object(new)) => self.maps(path, old, new),
            (Value::Array(old), Value::Array(new)) => self.lists(path, old, new),
            _ => self.push(path, Some(from), Some(to)),
        }
    }

    fn maps(&mut self, path: &str, old: &Map<String, Value>, new: &Map<String, Value>) {
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for key in keys {
            let path = if path.is_empty() { part(key) } else { format!("{path}.{}", part(key)) };
            match (old.get(key), new.get(key)) {
                (Some(old), Some(new)) => self.values(&path, old, new),
                (old, new) => self.push(&path, old, new),
            }
        }
    }

    /// Compares two lists. Items that have names are paired by name, others by index. The items of `valuesFrom` are paired by index
    /// too, because their names may contain a digest of their content.
    fn lists(&mut self, path: &str, old: &[Value], new: &[Value]) {
        if let (Some(before), Some(after), false) = (named(old), named(new), path.ends_with("valuesFrom")) {
            return self.named_items(path, &before, &after, (old, new));
        }
        if old.iter().chain(new).all(|item| !item.is_object() && !item.is_array()) {
            return self.plain_items(path, old, new);
        }
        for at in 0..old.len().max(new.len()) {
            let path = format!("{path}[{at}]");
            match (old.get(at), new.get(at)) {
                (Some(old), Some(new)) => self.values(&path, old, new),
                (old, new) => self.push(&path, old, new),
            }
        }
    }

    fn named_items(&mut self, path: &str, old: &Named<'_>, new: &Named<'_>, lists: (&[Value], &[Value])) {
        let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
        let before = self.changes.len();
        for name in names {
            let path = format!("{path}[{name}]");
            match (old.get(name), new.get(name)) {
                (Some(old), Some(new)) => self.values(&path, old, new),
                (old, new) => self.push(&path, old.copied(), new.copied()),
            }
        }
        if self.changes.len() == before {
            let order = |items: &[Value]| items.iter().map(|item| item["name"].clone()).collect::<Value>();
            self.push(&format!("{path} (order)"), Some(&order(lists.0)), Some(&order(lists.1)));
        }
    }

    fn plain_items(&mut self, path: &str, old: &[Value], new: &[Value]) {
        let (gone, added) = (without(old, new), without(new, old));
        if gone.is_empty() && added.is_empty() {
            let whole = |items: &[Value]| Value::Array(items.to_vec());
            return self.push(&format!("{path} (order)"), Some(&whole(old)), Some(&whole(new)));
        }
        for item in gone {
            self.push(&format!("{path}[]"), Some(item), None);
        }
        for item in added {
            self.push(&format!("{path}[]"), None, Some(item));
        }
    }

    fn push(&mut self, path: &str, from: Option<&Value>, to: Option<&Value>) {
        let change = Change::of(from, to);
        let several = |value: Option<&Value>| value.and_then(Value::as_str).is_some_and(|text| text.contains('\n'));
        let (mut lines, mut texts) = (None, (from.map(shown), to.map(shown)));
        if several(from) || several(to) {
            let text = |value: Option<&'_ Value>| {
                value.map(|value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned))
            };
            let (old, new) = (text(from), text(to));
            let bytes = |text: &'_ Option<String>| text.as_ref().map(|text| text.clone().into_bytes());
            lines = Some(compare_lines(bytes(&old).as_deref(), bytes(&new).as_deref(), self.budget));
            texts = (None, None);
        }
        let (from, to) = texts;
        self.changes.push(FieldChange { path: path.to_owned(), change, from, to, pin: false, lines });
    }
}

type Named<'a> = BTreeMap<&'a str, &'a Value>;

/// Returns the items by their names, if each item has a name of its own.
fn named(items: &[Value]) -> Option<Named<'_>> {
    let named: Option<Named<'_>> = items.iter().map(|item| Some((item.get("name")?.as_str()?, item))).collect();
    named.filter(|named| named.len() == items.len())
}

/// Returns the items of `a` that `b` does not have, each as often as it is missing.
fn without<'v>(a: &'v [Value], b: &[Value]) -> Vec<&'v Value> {
    let mut left: BTreeMap<String, usize> = BTreeMap::new();
    for item in b {
        *left.entry(item.to_string()).or_default() += 1;
    }
    let mut missing = Vec::new();
    for item in a {
        match left.get_mut(&item.to_string()) {
            Some(count) if *count > 0 => *count -= 1,
            _ => missing.push(item),
        }
    }
    missing
}

/// Returns a key as a part of a path, in brackets where the key contains a separator.
pub(super) fn part(key: &str) -> String {
    if key.is_empty() || key.contains(['.', '[', ']', ' ']) { format!("[{key}]") } else { key.to_owned() }
}

/// Returns a value as JSON in one line, cut after 200 characters.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(old: &str, new: &str) -> Vec<String> {
        let parse = |text: &str| {
            let documents = yaml::parse(text).expect("YAML");
            documents.iter().find_map(|document| document.root.as_ref()).map_or(Value::Null, value_of)
        };
        let changes = compare(&parse(old), &parse(new), &mut Budget::default());
        let text = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
        changes.iter().map(|c| format!("{} {} {}", c.path, text(&c.from), text(&c.to))).collect()
    }

    #[test]
    fn quotes_and_comments_are_not_changes_and_types_are() {
        assert_eq!(changes("a: 1 # one\nb: 'x'\n", "b: x\na: 1\n"), [""; 0]);
        assert_eq!(changes("a: 1\n", "a: '1'\n"), ["a 1 \"1\""]);
        assert_eq!(changes("a: yes\nb: true\n", "a: yes\nb: false\n"), ["b true false"]);
        assert_eq!(changes("a: &x {b: 1}\nc: *x\n", "a: {b: 1}\nc: {<<: {b: 2}, b: 1}\n"), [""; 0]);
    }

    #[test]
    fn items_of_a_list_are_paired_by_their_names() {
        let old = "c: [{name: web, image: a}, {name: log, image: b}]\n";
        assert_eq!(
            changes(old, "c: [{name: new}, {name: log, image: b}, {name: web, image: x}]\n"),
            [r#"c[new] - {"name":"new"}"#, r#"c[web].image "a" "x""#]
        );
        let order = changes(old, "c: [{name: log, image: b}, {name: web, image: a}]\n");
        assert_eq!(order, [r#"c (order) ["web","log"] ["log","web"]"#]);
        assert_eq!(changes("a: [x, y]\n", "a: [y, z]\n"), [r#"a[] "x" -"#, r#"a[] - "z""#]);
        assert_eq!(changes("a: [x, x]\n", "a: [x]\n"), [r#"a[] "x" -"#]);
        assert_eq!(changes("a: [x, y]\n", "a: [y, x]\n"), [r#"a (order) ["x","y"] ["y","x"]"#]);
        let sources = changes("valuesFrom: [{name: v-1}, {name: w}]\n", "valuesFrom: [{name: v-2}, {name: w}]\n");
        assert_eq!(sources, [r#"valuesFrom[0].name "v-1" "v-2""#]);
    }

    #[test]
    fn a_key_that_contains_separators_is_one_part_of_the_path() {
        assert_eq!(changes("a: {k8s.io/x: 1}\n", "a: {}\n"), ["a.[k8s.io/x] 1 -"]);
    }

    #[test]
    fn text_of_several_lines_is_compared_line_by_line() {
        let (old, new) = (serde_json::json!({"data": "a\nb\n"}), serde_json::json!({"data": "a\nc\n"}));
        let changes = compare(&old, &new, &mut Budget::default());
        let Some(Delta::Text { added: 1, removed: 1, .. }) = &changes[0].lines else { panic!("{changes:?}") };
        assert_eq!((&changes[0].from, &changes[0].to), (&None, &None));
    }
}

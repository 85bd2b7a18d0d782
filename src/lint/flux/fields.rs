//! The fields of Flux's objects: names, types and bounds, as Flux's resource definitions say them. `fields.txt` is generated from those
//! definitions (`tests/it/flux_fields.rs`).

use std::sync::{LazyLock, OnceLock};

use regex::Regex;

const TABLE: &str = include_str!("fields.txt");

static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| parse(TABLE));

/// One version of a kind of Flux's objects.
#[derive(Debug)]
pub(super) struct Kind {
    /// `GROUP/VERSION`, as objects write it.
    api_version: &'static str,
    /// The kind, as objects write it.
    name: &'static str,
    /// `spec`.
    pub(super) spec: Field,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A mapping whose keys are the inner fields, or any keys where the only inner field is `{}`.
    Object,
    /// A list of the only inner field.
    Array,
    /// A value of any type.
    Any,
}

/// A field of an object.
#[derive(Debug)]
pub(super) struct Field {
    /// Its key; `[]` for the items of a list, `{}` for the values of a mapping with any keys.
    pub(super) name: &'static str,
    /// Whether the API server refuses an object without it.
    pub(super) required: bool,
    /// What it holds.
    pub(super) holds: Type,
    /// Fewest and most characters of a text.
    pub(super) length: (Option<usize>, Option<usize>),
    /// The texts that are allowed; empty where others are too.
    pub(super) one_of: Vec<&'static str>,
    /// What a text must match.
    pub(super) pattern: Option<Pattern>,
    /// The fields below it.
    pub(super) inner: Vec<Field>,
}

/// A pattern, which is compiled when a value is compared with it: an overlay uses few of them.
#[derive(Debug)]
pub(super) struct Pattern {
    /// The pattern as Flux's definition has it.
    pub(super) text: &'static str,
    regex: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// Tells whether a value fits; a pattern that cannot be compiled fits all.
    pub(super) fn is_match(&self, value: &str) -> bool {
        let regex = self.regex.get_or_init(|| Regex::new(self.text).ok());
        regex.as_ref().is_none_or(|regex| regex.is_match(value))
    }
}

impl Kind {
    /// Finds a kind in a version.
    pub(super) fn of(api_version: &str, kind: &str) -> Option<&'static Self> {
        KINDS.iter().find(|one| one.api_version == api_version && one.name == kind)
    }
}

impl Field {
    /// Returns the field of this one's with a name.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        self.inner.iter().find(|field| field.name == name)
    }

    /// Returns the field that describes each item of the list, or each value of the mapping.
    pub(super) fn each(&self) -> Option<&Self> {
        self.inner.first().filter(|field| matches!(field.name, "[]" | "{}"))
    }
}

fn parse(table: &'static str) -> Vec<Kind> {
    let mut kinds = Vec::new();
    let mut lines = table.lines().peekable();
    while let Some(line) = lines.next() {
        let (api_version, name) = line.split_once(' ').unwrap_or((line, ""));
        kinds.extend(fields(&mut lines, 1).into_iter().map(|spec| Kind { api_version, name, spec }));
    }
    kinds
}

/// Reads the lines that are indented by `depth` blanks, each with the lines below it.
fn fields(lines: &mut std::iter::Peekable<std::str::Lines<'static>>, depth: usize) -> Vec<Field> {
    let mut found = Vec::new();
    let indented = |line: &&str| line.len() - line.trim_start().len() == depth;
    while let Some(line) = lines.next_if(indented) {
        let mut field = field(line.trim_start());
        field.inner = fields(lines, depth + 1);
        found.push(field);
    }
    found
}

fn field(line: &'static str) -> Field {
    let (line, pattern) = line.split_once(" pattern=").map_or((line, None), |(line, pattern)| (line, Some(pattern)));
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let holds = match words.next() {
        Some("string") => Type::String,
        Some("integer") => Type::Integer,
        Some("boolean") => Type::Boolean,
        Some("object") => Type::Object,
        Some("array") => Type::Array,
        _ => Type::Any,
    };
    let facts: Vec<(&str, &str)> = words.filter_map(|word| word.split_once('=')).collect();
    let fact = |key: &str| facts.iter().find(|(of, _)| *of == key).map(|(_, value)| *value);
    let number = |key: &str| fact(key).and_then(|value| value.parse().ok());
    Field {
        name: name.trim_end_matches('!'),
        required: name.ends_with('!'),
        holds,
        length: (number("minLength"), number("maxLength")),
        one_of: fact("enum").map(|values| values.split('|').collect()).unwrap_or_default(),
        pattern: pattern.map(|text| Pattern { text, regex: OnceLock::new() }),
        inner: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(field: &Field) -> Vec<&Field> {
        let mut found = vec![field];
        let mut at = 0;
        while at < found.len() {
            let field = found[at];
            found.extend(&field.inner);
            at += 1;
        }
        found
    }

    #[test]
    fn every_line_of_the_table_is_understood() {
        let fields: Vec<&Field> = KINDS.iter().flat_map(|kind| all(&kind.spec)).collect();
        assert_eq!(fields.len() + KINDS.len(), TABLE.lines().count());
        let patterns = fields.iter().filter(|field| field.pattern.is_some()).count();
        assert_eq!(patterns, TABLE.matches(" pattern=").count());
        let known = ["minLength", "maxLength", "enum", "pattern"];
        let facts = TABLE.split([' ', '\n']).filter_map(|word| word.split_once('=')).map(|(key, _)| key);
        let unknown: Vec<&str> = facts.filter(|fact| !known.contains(fact)).collect();
        assert!(unknown.is_empty(), "facts that the rules do not check: {unknown:?}");
        assert!(fields.iter().filter(|field| field.holds == Type::Any).all(|field| field.name == "values"));
    }

    #[test]
    fn a_kind_is_found_in_the_version_that_is_served() {
        let spec = &Kind::of("helm.toolkit.fluxcd.io/v2", "HelmRelease").unwrap().spec;
        let interval = spec.field("interval").unwrap();
        assert!(interval.required && interval.holds == Type::String);
        assert!(interval.pattern.as_ref().unwrap().is_match("1h30m"));
        assert!(!interval.pattern.as_ref().unwrap().is_match("5d"));
        let kind = spec.field("valuesFrom").and_then(Field::each).and_then(|item| item.field("kind")).unwrap();
        assert_eq!(kind.one_of, ["Secret", "ConfigMap"]);
        assert!(Kind::of("helm.toolkit.fluxcd.io/v2beta1", "HelmRelease").is_none());
    }
}

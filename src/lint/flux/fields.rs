//! The fields of Flux's objects, with their types and limits, from Flux's resource definitions. `fields.txt` is generated from the
//! definitions (`tests/it/flux_fields.rs`).

use std::sync::{LazyLock, OnceLock};

use regex::Regex;

const TABLE: &str = include_str!("fields.txt");

static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| parse(TABLE));

/// One version of a kind of Flux object.
#[derive(Debug)]
pub(super) struct Kind {
    /// `GROUP/VERSION`, as in the `apiVersion` of objects.
    api_version: &'static str,
    /// The kind, as in the `kind` of objects.
    name: &'static str,
    /// The field `spec` with all its inner fields.
    pub(super) spec: Field,
}

/// Type of a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// A string in quotes or without quotes.
    String,
    /// A whole number, without a fraction.
    Integer,
    /// The boolean `true` or `false`.
    Boolean,
    /// A mapping. Its keys are the inner fields, or any keys if the only inner field is `{}`.
    Object,
    /// A list. The only inner field describes its items.
    Array,
    /// A value of any type.
    Any,
}

/// A field of an object, with its constraints.
#[derive(Debug)]
pub(super) struct Field {
    /// The key; `[]` for the items of a list, `{}` for the values of a mapping with any keys.
    pub(super) name: &'static str,
    /// Whether the API server refuses an object without the field.
    pub(super) required: bool,
    /// Type of the field's value.
    pub(super) holds: Type,
    /// Minimum and maximum length of a string, in characters.
    pub(super) length: (Option<usize>, Option<usize>),
    /// The allowed strings; empty if every string is allowed.
    pub(super) one_of: Vec<&'static str>,
    /// The pattern that a string must match.
    pub(super) pattern: Option<Pattern>,
    /// The fields below this field.
    pub(super) inner: Vec<Field>,
}

/// A pattern that is compiled when it is first used, because an overlay uses few of the patterns.
#[derive(Debug)]
pub(super) struct Pattern {
    /// The pattern as written in Flux's definition.
    pub(super) text: &'static str,
    regex: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// Reports whether a value matches. A pattern that cannot be compiled matches every value.
    pub(super) fn is_match(&self, value: &str) -> bool {
        let regex = self.regex.get_or_init(|| Regex::new(self.text).ok());
        regex.as_ref().is_none_or(|regex| regex.is_match(value))
    }
}

impl Kind {
    /// Finds a kind in the given version.
    pub(super) fn of(api_version: &str, kind: &str) -> Option<&'static Self> {
        KINDS.iter().find(|one| one.api_version == api_version && one.name == kind)
    }
}

impl Field {
    /// Returns the inner field with the given name.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        self.inner.iter().find(|field| field.name == name)
    }

    /// Returns the field that describes each item of a list, or each value of a mapping.
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

/// Parses the lines that are indented by `depth` spaces, each with the lines below it.
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
    fn every_line_of_the_table_is_parsed() {
        let fields: Vec<&Field> = KINDS.iter().flat_map(|kind| all(&kind.spec)).collect();
        assert_eq!(fields.len() + KINDS.len(), TABLE.lines().count());
        let patterns = fields.iter().filter(|field| field.pattern.is_some()).count();
        assert_eq!(patterns, TABLE.matches(" pattern=").count());
        let known = ["minLength", "maxLength", "enum", "pattern"];
        let facts = TABLE.split([' ', '\n']).filter_map(|word| word.split_once('=')).map(|(key, _)| key);
        let unknown: Vec<&str> = facts.filter(|fact| !known.contains(fact)).collect();
        assert!(unknown.is_empty(), "the rules do not check these facts: {unknown:?}");
        assert!(fields.iter().filter(|field| field.holds == Type::Any).all(|field| field.name == "values"));
    }

    #[test]
    fn a_kind_is_found_only_in_the_version_that_flux_serves() {
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

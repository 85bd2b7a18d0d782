//! Converts nodes to typed values with serde, so that one parser serves both files that are edited and files that are
//! only read. Plain scalars have the types of YAML 1.2's core schema, unless the target type is a string: then every
//! scalar is the text as written.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer as _, Visitor};
use serde::forward_to_deserialize_any;

use super::{Entry, Node, Style, Value, parse};

/// A text that cannot be converted to the target type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// Number of the line, starting at 1, if it is known.
    pub line: Option<usize>,
    /// What is wrong at this place.
    pub reason: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(out, "line {line}: {}", self.reason),
            None => out.write_str(&self.reason),
        }
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self { line: None, reason: reason.to_string() }
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match found {
            de::Unexpected::Str(text) => format!("the text `{}`", text.escape_debug()),
            de::Unexpected::Seq => "a list".to_owned(),
            de::Unexpected::Map => "a mapping".to_owned(),
            de::Unexpected::Unit => "nothing".to_owned(),
            found => found.to_string(),
        };
        let expected = match expected.to_string() {
            text if text == "a sequence" => "a list".to_owned(),
            text if text == "a map" || text.starts_with("struct ") => "a mapping of keys".to_owned(),
            text => text,
        };
        Self::custom(format_args!("expected {expected}, found {found}"))
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        let words: Vec<String> = expected.iter().map(|word| format!("`{word}`")).collect();
        Self::custom(format_args!("invalid value `{}`: expected {}", found.escape_debug(), words.join(" or ")))
    }
}

impl ReadError {
    fn new(line: usize, reason: impl Into<String>) -> Self {
        Self { line: Some(line), reason: reason.into() }
    }

    /// Sets the line, unless an inner value has set it already.
    fn at(self, line: usize) -> Self {
        Self { line: self.line.or(Some(line)), ..self }
    }
}

/// Converts the only document of a text. A document without content is an empty mapping.
///
/// # Errors
/// When the text is not valid YAML, has several documents or a duplicate key, or does not match `T`.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, ReadError> {
    let documents = parse(text).map_err(|cause| ReadError::new(cause.line, cause.reason))?;
    let mut roots = documents.iter().filter_map(|document| document.root.as_ref());
    let first = roots.next().filter(|root| !root.is_null());
    if let Some(second) = roots.next() {
        return Err(ReadError::new(second.line, "expected one document, found a second document"));
    }
    let Some(root) = first else { return T::deserialize(Entries { left: Vec::new(), value: None }.into_value()) };
    if let Some(key) = root.duplicate_key() {
        return Err(ReadError::new(key.line, format!("duplicate key `{}`", key.as_str().unwrap_or("?"))));
    }
    T::deserialize(Reader(root))
}

/// A node that is being converted.
struct Reader<'de>(&'de Node);

impl<'de> Reader<'de> {
    fn visit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let node = self.0.resolved();
        match &node.value {
            Value::Sequence { items, .. } => visitor.visit_seq(Items(items.iter())),
            Value::Mapping { .. } => visitor.visit_map(Entries::of(node)?),
            Value::Scalar { text, style } => {
                let text_tag = node.tag.as_ref().is_some_and(|(tag, _)| matches!(tag.as_str(), "!!str" | "!"));
                if *style == Style::Plain && !text_tag { plain(text, visitor) } else { visitor.visit_str(text) }
            }
            Value::Alias { .. } => visitor.visit_unit(),
        }
    }

    fn line(&self) -> usize {
        self.0.line
    }
}

/// Converts a scalar without quotes by the core schema.
fn plain<'de, V: Visitor<'de>>(text: &str, visitor: V) -> Result<V::Value, ReadError> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return visitor.visit_unit(),
        "true" | "True" | "TRUE" => return visitor.visit_bool(true),
        "false" | "False" | "FALSE" => return visitor.visit_bool(false),
        _ => {}
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let radix = text.strip_prefix("0x").map(|rest| (rest, 16)).or(text.strip_prefix("0o").map(|rest| (rest, 8)));
    let whole = match radix {
        Some((rest, radix)) if !rest.is_empty() && rest.chars().all(|c| c.is_digit(radix)) => {
            Some(i128::from_str_radix(rest, radix).ok())
        }
        _ => digits(unsigned).then(|| text.parse().ok()),
    };
    let too_large =
        || ReadError { line: None, reason: format!("cannot represent the number `{text}` exactly: quote it") };
    if let Some(number) = whole {
        let number: i128 = number.ok_or_else(too_large)?;
        return match (u64::try_from(number), i64::try_from(number)) {
            (Ok(number), _) => visitor.visit_u64(number),
            (_, Ok(number)) => visitor.visit_i64(number),
            _ => Err(too_large()),
        };
    }
    if matches!(unsigned.to_ascii_lowercase().as_str(), ".inf" | ".nan") {
        return Err(too_large());
    }
    let numeric = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    match text.parse::<f64>() {
        Ok(number) if numeric && number.is_finite() => visitor.visit_f64(number),
        Ok(_) if numeric => Err(too_large()),
        _ => visitor.visit_str(text),
    }
}

impl<'de> de::Deserializer<'de> for Reader<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let line = self.line();
        self.visit(visitor).map_err(|error| error.at(line))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.0.as_str() {
            Some(text) => visitor.visit_str(text).map_err(|error: ReadError| error.at(self.line())),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let line = self.line();
        let text = self.0.as_str().ok_or_else(|| ReadError::new(line, "expected a single word"))?;
        let word: StrDeserializer<'_, ReadError> = text.into_deserializer();
        visitor.visit_enum(word).map_err(|error| error.at(line))
    }

    /// Refuses a sequence, which serde would assign to the fields in order.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if self.0.is_sequence() {
            let error: ReadError = de::Error::invalid_type(de::Unexpected::Seq, &visitor);
            return Err(error.at(self.line()));
        }
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple tuple_struct map
        ignored_any
    }
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        self.0.next().map(|item| seed.deserialize(Reader(item))).transpose()
    }
}

/// The remaining entries of a mapping in reverse order, and the value of the last key.
struct Entries<'de> {
    left: Vec<&'de Entry>,
    value: Option<&'de Node>,
}

impl<'de> Entries<'de> {
    /// Collects the entries of a mapping and of the mappings that `<<` merges. Own entries have precedence, then those
    /// of the first merged mapping.
    fn of(mapping: &'de Node) -> Result<Self, ReadError> {
        let mut left: Vec<&Entry> = Vec::new();
        let mut sources = vec![mapping];
        while let Some(source) = sources.pop() {
            if !source.is_mapping() {
                return Err(ReadError::new(source.line, "expected a mapping to merge"));
            }
            for entry in source.entries().iter().filter(|entry| !entry.is_merge()) {
                let key =
                    entry.key.as_str().ok_or_else(|| ReadError::new(entry.key.line, "expected a key that is text"))?;
                if !left.iter().any(|other| other.key.as_str() == Some(key)) {
                    left.push(entry);
                }
            }
            sources.extend(source.merged().into_iter().rev());
        }
        left.reverse();
        Ok(Self { left, value: None })
    }

    fn into_value(self) -> de::value::MapAccessDeserializer<Self> {
        de::value::MapAccessDeserializer::new(self)
    }
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let Some(entry) = self.left.pop() else { return Ok(None) };
        self.value = Some(&entry.value);
        let key: StrDeserializer<'_, ReadError> = entry.key.as_str().unwrap_or_default().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|error| error.at(entry.key.line))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, ReadError> {
        let value = self.value.take().ok_or_else(|| <ReadError as de::Error>::custom("a value without a key"))?;
        seed.deserialize(Reader(value))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    fn json_of(text: &str) -> Result<Value, ReadError> {
        from_str(text)
    }

    #[test]
    fn plain_scalars_have_the_types_of_the_core_schema_and_quoted_ones_are_text() {
        for (text, value) in [
            ("1", json!(1)),
            ("-7", json!(-7)),
            ("+7", json!(7)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("18446744073709551615", json!(u64::MAX)),
            ("1.5", json!(1.5)),
            ("-1e3", json!(-1000.0)),
            ("1.0.3", json!("1.0.3")),
            ("1e", json!("1e")),
            ("e1", json!("e1")),
            ("0x", json!("0x")),
            ("infinity", json!("infinity")),
            ("yes", json!("yes")),
            ("True", json!(true)),
            ("~", json!(null)),
            ("", json!(null)),
            ("'1'", json!("1")),
            ("\"true\"", json!("true")),
            ("!!str 1", json!("1")),
            ("2026-11-23", json!("2026-11-23")),
            ("|\n  a\n  b", json!("a\nb\n")),
            ("[1, {a: b}]", json!([1, { "a": "b" }])),
        ] {
            assert_eq!(json_of(&format!("k: {text}\n")), Ok(json!({ "k": value })), "{text}");
        }
        for text in ["18446744073709551616", "-9223372036854775809", "1e999", ".inf", "-.INF", ".nan"] {
            let error = json_of(&format!("\nk: {text}\n")).unwrap_err();
            assert_eq!((error.line, error.reason.contains("quote it")), (Some(2), true), "{error}");
        }
    }

    #[test]
    fn a_string_is_the_text_as_written() {
        let read: BTreeMap<String, String> = from_str("a: 1.10\nb: 007\nc: yes\nd: 'x'\n").unwrap();
        assert_eq!(read.into_values().collect::<Vec<_>>(), ["1.10", "007", "yes", "x"]);
        let error = from_str::<BTreeMap<String, String>>("a: b\nc:\n  - d\n").unwrap_err();
        assert_eq!(error.line, Some(3), "{error}");
        assert!(from_str::<BTreeMap<String, String>>("a:\n").is_err(), "null is not text");
    }

    #[test]
    fn aliases_are_followed_and_merges_add_missing_keys() {
        let text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc:\n  <<: [*a, *b]\n  x: 9\nd: *a\n";
        let read = json_of(text).unwrap();
        assert_eq!(read["c"], json!({ "x": 9, "y": 2, "z": 4 }));
        assert_eq!(read["d"], read["a"]);
        assert_eq!(json_of("a:\n  <<: 1\n").unwrap_err().line, Some(2));
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only parsed, never used")]
    struct Strict {
        name: String,
        public: Option<bool>,
    }

    #[test]
    fn errors_state_their_line() {
        for (text, line, word) in [
            ("name: a\nnam: b\n", 2, "unknown field `nam`"),
            ("name: a\npublic: no\n", 2, "expected a boolean, found the text `no`"),
            ("name: a\nname: b\n", 2, "duplicate key `name`"),
            ("name: a\n---\nname: b\n", 3, "second document"),
            ("name: [\n", 1, "unclosed"),
            ("- a\n", 1, "expected a mapping of keys, found a list"),
            ("name: a\n? [x]\n: b\n", 2, "key"),
            ("x\n", 1, "expected a mapping of keys, found the text `x`"),
        ] {
            let error = from_str::<Strict>(text).unwrap_err();
            assert!(error.line == Some(line) && error.reason.contains(word), "{text}: {error}");
        }
        assert!(from_str::<Strict>("public: true\n").unwrap_err().reason.contains("missing field `name`"));
        assert_eq!(from_str::<Strict>("name: a\npublic: ~\n").unwrap().public, None);
    }

    #[test]
    fn a_text_without_content_is_an_empty_mapping() {
        for text in ["", "# a\n", "---\n", "~\n", "--- # a\n...\n"] {
            assert_eq!(from_str::<BTreeMap<String, String>>(text), Ok(BTreeMap::new()), "{text:?}");
        }
    }
}

//! JSON that every program understands in the same way. Programs differ in which value of a duplicate key they use (RFC
//! 8259, section 4), and Go's `encoding/json` ignores the case of keys. Without these checks, this program could verify
//! one value while another program uses a different one.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The fields that programs know of one kind of object.
#[derive(Debug)]
pub(super) struct Shape {
    /// Each field with the shape of the object, or of each object of the list, in it. Free maps and plain values have
    /// no shape.
    pub fields: &'static [(&'static str, Option<&'static Shape>)],
    /// Fields of another kind of document. With one of them, some programs would take the document for that kind.
    pub foreign: &'static [&'static str],
}

impl Shape {
    /// Returns the shape of the value of `key`, or the reason why the object may not have this key.
    fn below(&self, key: &str) -> Result<Option<&'static Shape>, String> {
        if let Some((_, shape)) = self.fields.iter().find(|(field, _)| *field == key) {
            return Ok(*shape);
        }
        let shown = key.escape_debug();
        if let Some((field, _)) = self.fields.iter().find(|(field, _)| folds_to(key, field)) {
            return Err(format!("invalid key `{shown}`: expected `{field}`; some readers ignore the case of a key"));
        }
        if self.foreign.iter().any(|field| folds_to(key, field)) {
            return Err(format!(
                "invalid key `{shown}`: a manifest with this key is both an image manifest and an index"
            ));
        }
        Ok(None)
    }
}

/// Compares two keys as Go's `strings.EqualFold` does. `field` is ASCII, and only two characters outside ASCII fold
/// into ASCII.
fn folds_to(key: &str, field: &str) -> bool {
    let folded = key.chars().map(|character| match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    folded.eq(field.chars().map(|character| character.to_ascii_lowercase()))
}

/// Parses an object of the given shape.
///
/// # Errors
/// When an object has a duplicate key, or a key that differs from a known one in case only; when the JSON does not
/// describe a `T`.
pub(super) fn read<T: DeserializeOwned>(json: &[u8], shape: &'static Shape) -> Result<T, serde_json::Error> {
    check(json, Some(shape))?;
    serde_json::from_slice(json)
}

/// Checks that no object in `json` has a duplicate key.
///
/// # Errors
/// Names the duplicate key. Also when `json` is not JSON.
pub(crate) fn each_key_once(json: &[u8]) -> Result<(), serde_json::Error> {
    check(json, None)
}

fn check(json: &[u8], shape: Option<&'static Shape>) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    Checked(shape).deserialize(&mut deserializer)?;
    deserializer.end()
}

/// Checks any value and drops it. The shape applies to an object in the value's place.
#[derive(Clone, Copy)]
struct Checked(Option<&'static Shape>);

impl<'de> DeserializeSeed<'de> for Checked {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let below = self.0.map_or(Ok(None), |shape| shape.below(&key)).map_err(A::Error::custom)?;
            map.next_value_seed(Self(below))?;
            if let Some(twice) = seen.replace(key) {
                return Err(A::Error::custom(format_args!("duplicate key `{}`", twice.escape_debug())));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicate_key_is_refused_at_any_depth() {
        for json in [r#"{"a":1,"b":[{"a":null},{"a":-2.5}],"c":{"a":"x","b":true}}"#, "[]", "7"] {
            assert!(each_key_once(json.as_bytes()).is_ok(), "{json}");
        }
        for json in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"\u0061":2}}]"#, "{", "", "{} {}"] {
            assert!(each_key_once(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn keys_are_compared_as_go_compares_them() {
        for key in ["disks", "DISKS", "Disks", "di\u{17f}ks", "dis\u{212a}s", "DI\u{17f}\u{212a}\u{17f}"] {
            assert!(folds_to(key, "disks"), "{key}");
        }
        for key in ["disk", "diskss", "d\u{131}sks", "d\u{130}sks", "dis\u{138}s", ""] {
            assert!(!folds_to(key, "disks"), "{key}");
        }
    }
}

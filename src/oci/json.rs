//! JSON that every reader understands in the same way. Readers differ in which value of a duplicate key they take (RFC 8259,
//! section 4), and Go's `encoding/json` takes a key for a field that differs from it in case only, so what is checked here could
//! differ from what another program uses.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The fields that readers know of one kind of object.
#[derive(Debug)]
pub(super) struct Shape {
    /// Each field with the shape of the object in it, or of each object in the list in it. Free maps and plain values have none.
    pub fields: &'static [(&'static str, Option<&'static Shape>)],
    /// Fields of another kind of document, for which some readers would take this one.
    pub foreign: &'static [&'static str],
}

impl Shape {
    /// Returns the shape of what is under `key`, or why the object may not have this key.
    fn below(&self, key: &str) -> Result<Option<&'static Shape>, String> {
        if let Some((_, shape)) = self.fields.iter().find(|(field, _)| *field == key) {
            return Ok(*shape);
        }
        let shown = key.escape_debug();
        if let Some((field, _)) = self.fields.iter().find(|(field, _)| folds_to(key, field)) {
            return Err(format!("invalid key `{shown}`: expected `{field}`; some readers ignore the case of a key"));
        }
        if self.foreign.iter().any(|field| folds_to(key, field)) {
            return Err(format!("invalid key `{shown}`: a manifest with it is both an image manifest and an index"));
        }
        Ok(None)
    }
}

/// Compares as Go's `strings.EqualFold` does. `field` is ASCII, and only two characters outside of ASCII fold into it.
fn folds_to(key: &str, field: &str) -> bool {
    let folded = key.chars().map(|character| match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    folded.eq(field.chars().map(|character| character.to_ascii_lowercase()))
}

/// Reads an object of the given shape.
///
/// # Errors
/// When an object has a key twice, or one that other readers take for another; also when it is not a `T`.
pub(super) fn read<T: DeserializeOwned>(json: &[u8], shape: &'static Shape) -> Result<T, serde_json::Error> {
    check(json, Some(shape))?;
    serde_json::from_slice(json)
}

/// Checks that no object in `json` has a key twice.
///
/// # Errors
/// Names the key; also when `json` is not JSON.
pub(crate) fn each_key_once(json: &[u8]) -> Result<(), serde_json::Error> {
    check(json, None)
}

fn check(json: &[u8], shape: Option<&'static Shape>) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    Checked(shape).deserialize(&mut deserializer)?;
    deserializer.end()
}

/// Any value, checked and dropped. The shape is that of an object in the value's place.
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
    fn a_key_folds_to_a_field_as_in_go() {
        for key in ["disks", "DISKS", "Disks", "di\u{17f}ks", "dis\u{212a}s", "DI\u{17f}\u{212a}\u{17f}"] {
            assert!(folds_to(key, "disks"), "{key}");
        }
        for key in ["disk", "diskss", "d\u{131}sks", "d\u{130}sks", "dis\u{138}s", ""] {
            assert!(!folds_to(key, "disks"), "{key}");
        }
    }
}

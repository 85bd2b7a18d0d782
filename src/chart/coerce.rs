//! Resolves the scalars of Chart.yaml as Helm does: Helm reads YAML 1.1 (go-yaml) and turns numbers and booleans into text
//! for the text fields of a chart's metadata, which may lose digits.

use crate::yaml::{Node, Style, Value};

/// A scalar of YAML 1.1 as go-yaml resolves it. Timestamps remain text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text,
}

/// Resolves a scalar node, and returns `None` for collections.
pub(crate) fn scalar(node: &Node) -> Option<(&str, Scalar)> {
    let node = node.resolved();
    let Value::Scalar { text, style } = &node.value else { return None };
    let is_text = *style != Style::Plain || node.tag.as_ref().is_some_and(|(tag, _)| tag == "!!str" || tag == "!");
    Some((text, if is_text { Scalar::Text } else { resolve(text) }))
}

/// Resolves the text of a plain (unquoted) scalar.
pub(super) fn resolve(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Scalar::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
        _ => number(text).unwrap_or(Scalar::Text),
    }
}

fn number(text: &str) -> Option<Scalar> {
    match text.bytes().next()? {
        b'.' => float(text),
        b'+' | b'-' | b'0'..=b'9' => {
            let plain = text.replace('_', "");
            integer(&plain).map(Scalar::Int).or_else(|| float(&plain))
        }
        _ => None,
    }
}

/// Parses an integer as Go's `ParseInt` and `ParseUint` do with base 0.
fn integer(text: &str) -> Option<i128> {
    let (negative, signed, digits) = match text.as_bytes() {
        [b'-', ..] => (true, true, &text[1..]),
        [b'+', ..] => (false, true, &text[1..]),
        _ => (false, false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    let value = if negative { -value } else { value };
    let most = if signed { i128::from(i64::MAX) } else { i128::from(u64::MAX) };
    (i128::from(i64::MIN)..=most).contains(&value).then_some(value)
}

/// Parses a number that matches `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`.
fn float(text: &str) -> Option<Scalar> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['-', '+']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    let mantissa_fits =
        digits(whole) && fraction.is_none_or(digits) && !(whole.is_empty() && fraction.is_none_or(str::is_empty));
    if !mantissa_fits || !exponent_fits {
        return None;
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite()).map(Scalar::Float)
}

/// Returns what Helm puts into a text field: `None` for null, an error for infinity and NaN, which have no JSON form.
pub(super) fn as_text(text: &str, scalar: Scalar) -> Result<Option<String>, ()> {
    match scalar {
        Scalar::Null => Ok(None),
        Scalar::Bool(value) => Ok(Some(value.to_string())),
        Scalar::Int(value) => Ok(Some(value.to_string())),
        Scalar::Float(value) if value.is_finite() => Ok(Some(go_float(value))),
        Scalar::Float(_) => Err(()),
        Scalar::Text => Ok(Some(text.to_owned())),
    }
}

/// Formats as Go's `strconv.FormatFloat(value, 'g', -1, 32)`: the shortest digits that identify a 32-bit float.
fn go_float(value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "Helm loses the same digits")]
    let value = value as f32;
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    let shortest = format!("{value:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if !(-4..6).contains(&exponent) {
        return format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    }
    format!("{value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn becomes(text: &str) -> String {
        match as_text(text, resolve(text)) {
            Ok(Some(text)) => text,
            Ok(None) => "(empty)".to_owned(),
            Err(()) => "(error)".to_owned(),
        }
    }

    #[test]
    fn scalars_become_the_same_text_as_in_helm() {
        for (written, expected) in [
            ("1.10", "1.1"),
            ("1.0", "1"),
            ("1e3", "1000"),
            ("1e21", "1e+21"),
            ("123456789012345678901234", "1.2345679e+23"),
            ("12345678901234567890", "12345678901234567890"),
            ("2024-01-02", "2024-01-02"),
            ("1:30", "1:30"),
            ("0x10", "16"),
            ("0o10", "8"),
            ("010", "8"),
            ("08", "8"),
            ("0b11", "3"),
            ("-0b11", "-3"),
            ("1_000", "1000"),
            (".5", "0.5"),
            ("123456789.123456789", "1.2345679e+08"),
            ("0.00001", "1e-05"),
            ("yes", "true"),
            ("on", "true"),
            ("n", "false"),
            ("~", "(empty)"),
            ("null", "(empty)"),
            (".inf", "(error)"),
            (".nan", "(error)"),
            ("1.2.3", "1.2.3"),
            ("1.2.3-rc", "1.2.3-rc"),
            ("v1", "v1"),
            ("1e", "1e"),
            ("-", "-"),
            (".", "."),
            ("+1", "1"),
            ("0x", "0x"),
            ("1e999", "1e999"),
            ("2e5", "200000"),
            ("2e6", "2e+06"),
        ] {
            assert_eq!(becomes(written), expected, "{written}");
        }
    }
}

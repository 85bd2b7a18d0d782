//! Numbers, characters and strings by the rules of Go's `strconv`.

/// Parses a string in `"` or `` ` ``, including the quotes. Bytes that are not UTF-8 become replacement characters.
pub(super) fn string(written: &str) -> Option<String> {
    if let Some(raw) = written.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.replace('\r', ""));
    }
    let mut rest = written.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let (unit, after) = unit(rest, '"')?;
        match unit {
            Unit::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Unit::Byte(byte) => bytes.push(byte),
        }
        rest = after;
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Checks a character constant, including the quotes, and returns Go's error message if it is invalid.
pub(super) fn check_character(written: &str) -> Result<(), String> {
    let rest = written.strip_prefix('\'').unwrap_or(written);
    match unit(rest, '\'') {
        Some((_, "'")) => Ok(()),
        Some(_) => Err(format!("malformed character constant: {written}")),
        None => Err("invalid syntax".to_owned()),
    }
}

enum Unit {
    Char(char),
    Byte(u8),
}

/// Parses one character or escape sequence inside of the quotes `quote`.
fn unit(text: &str, quote: char) -> Option<(Unit, &str)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first == quote {
        return None;
    }
    if first != '\\' {
        return Some((Unit::Char(first), chars.as_str()));
    }
    let escape = chars.next()?;
    let rest = chars.as_str();
    let simple = |c| Some((Unit::Char(c), rest));
    match escape {
        'a' => simple('\u{7}'),
        'b' => simple('\u{8}'),
        'f' => simple('\u{c}'),
        'n' => simple('\n'),
        'r' => simple('\r'),
        't' => simple('\t'),
        'v' => simple('\u{b}'),
        '\\' => simple('\\'),
        c if c == quote => simple(c),
        'x' => digits(rest, 2, 16).and_then(|(value, rest)| Some((Unit::Byte(u8::try_from(value).ok()?), rest))),
        'u' => digits(rest, 4, 16).and_then(|(value, rest)| Some((Unit::Char(char::from_u32(value)?), rest))),
        'U' => digits(rest, 8, 16).and_then(|(value, rest)| Some((Unit::Char(char::from_u32(value)?), rest))),
        '0'..='7' => {
            let (value, rest) = digits(&text[1..], 3, 8)?;
            Some((Unit::Byte(u8::try_from(value).ok()?), rest))
        }
        _ => None,
    }
}

fn digits(text: &str, count: usize, radix: u32) -> Option<(u32, &str)> {
    let digits = text.get(..count)?;
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    Some((u32::from_str_radix(digits, radix).ok()?, &text[count..]))
}

/// Checks a number, and returns Go's error message if it is invalid.
pub(super) fn check_number(written: &str) -> Result<(), String> {
    if written.strip_suffix('i').is_some_and(is_float) || is_integer(written) {
        return Ok(());
    }
    if !is_float(written) {
        return Err(format!("illegal number syntax: {written:?}"));
    }
    // A float without any of these characters is an integer that is too large for every integer type.
    if written.contains(['.', 'e', 'E', 'p', 'P']) { Ok(()) } else { Err(format!("integer overflow: {written:?}")) }
}

/// Checks a complex number such as `1+2i`, and returns Go's error message if it is invalid.
pub(super) fn check_complex(written: &str) -> Result<(), String> {
    let middle = written.rfind(['+', '-']).unwrap_or(0);
    let (real, imaginary) = written.split_at(middle);
    let valid = is_float(real) && imaginary.strip_suffix('i').is_some_and(is_float);
    if valid { Ok(()) } else { Err("syntax error scanning complex number".to_owned()) }
}

/// Reports whether the text is an integer that fits into 64 bits, signed or unsigned.
fn is_integer(written: &str) -> bool {
    let (negative, unsigned) = match written.as_bytes().first() {
        Some(b'-') => (true, &written[1..]),
        Some(b'+') => (false, &written[1..]),
        _ => (false, written),
    };
    let signed = unsigned.len() < written.len();
    let (radix, digits) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &unsigned[2..]),
        [b'0', b'o' | b'O', ..] => (8, &unsigned[2..]),
        [b'0', b'b' | b'B', ..] => (2, &unsigned[2..]),
        [b'0', ..] if unsigned.len() > 1 => (8, &unsigned[1..]),
        _ => (10, unsigned),
    };
    let bare = digits.replace('_', "");
    if bare.is_empty() || !bare.chars().all(|c| c.is_digit(radix)) || !has_good_underscores(written) {
        return false;
    }
    match u64::from_str_radix(&bare, radix) {
        Ok(value) if negative => value <= 1 << 63,
        Ok(value) if signed => value < 1 << 63,
        Ok(_) => true,
        Err(_) => false,
    }
}

/// Reports whether each underscore is between digits. The prefix of a base counts as a digit.
fn has_good_underscores(written: &str) -> bool {
    let unsigned = written.strip_prefix(['+', '-']).unwrap_or(written);
    let bytes = unsigned.as_bytes();
    let prefixed = matches!(bytes, [b'0', b'x' | b'X' | b'o' | b'O' | b'b' | b'B', ..]);
    let hex = matches!(bytes, [b'0', b'x' | b'X', ..]);
    let mut last = if prefixed { '0' } else { '^' };
    for &byte in &bytes[if prefixed { 2 } else { 0 }..] {
        let digit = byte.is_ascii_digit() || (hex && byte.is_ascii_hexdigit());
        last = match (byte, last) {
            (b'_', '0') => '_',
            (b'_', _) => return false,
            _ if digit => '0',
            (_, '_') => return false,
            _ => '!',
        };
    }
    last != '_'
}

/// Reports whether the text is a float that is finite in 64 bits.
fn is_float(written: &str) -> bool {
    let unsigned = written.strip_prefix(['+', '-']).unwrap_or(written);
    if !has_good_underscores(written) && unsigned.contains('_') {
        return false;
    }
    let bare = unsigned.replace('_', "");
    if let Some(hex) = bare.strip_prefix("0x").or(bare.strip_prefix("0X")) {
        return is_hex_float(hex);
    }
    let numeric = bare.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    numeric && bare.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Reports whether the text, without `0x`, is a hexadecimal float: digits with an optional dot, and a required binary exponent.
fn is_hex_float(hex: &str) -> bool {
    let Some((mantissa, exponent)) = hex.split_once(['p', 'P']) else { return false };
    let digits = mantissa.replacen('.', "", 1);
    let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let huge = if exponent.starts_with('-') { i64::MIN } else { i64::MAX };
    let exponent = exponent.parse::<i64>().unwrap_or(huge);
    let whole = mantissa.split('.').next().unwrap_or_default().trim_start_matches('0').len();
    let scale = exponent.saturating_add(i64::try_from(whole).unwrap_or(i64::MAX).saturating_mul(4));
    let zero = digits.bytes().all(|b| b == b'0');
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()) && (zero || scale <= 1024)
}

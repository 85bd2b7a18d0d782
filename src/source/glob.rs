//! Implements Go's `filepath.Match`, which defines the patterns of `.helmignore` and, for each part of a path, those of
//! `.sourceignore`. Crates for globs follow other rules (`**`, braces, `[!a]`, matching of `/`).

/// The error for a malformed pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPattern;

/// Reports whether `pattern` matches the whole of `name`.
///
/// # Errors
/// When the pattern is malformed.
pub fn matches(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    let plain = |text: &str| !text.bytes().any(|b| matches!(b, b'*' | b'?' | b'[' | b'\\'));
    // Nearly all patterns in use have these two simple forms, and each pattern is tried on each part of each path.
    match pattern.strip_prefix('*') {
        None if plain(pattern) => return Ok(pattern == name),
        Some(end) if plain(end) => return Ok(name.strip_suffix(end).is_some_and(|start| !start.contains('/'))),
        _ => {}
    }
    let (mut pattern, mut name) = (pattern.as_bytes(), name.as_bytes());
    while !pattern.is_empty() {
        let (star, chunk, rest) = scan_chunk(pattern);
        pattern = rest;
        if star && chunk.is_empty() {
            return Ok(!name.contains(&b'/'));
        }
        let last = pattern.is_empty();
        match match_chunk(chunk, name)? {
            Some(left) if left.is_empty() || !last => name = left,
            _ => match if star { match_later(chunk, name, last)? } else { None } {
                Some(left) => name = left,
                None => return check(pattern).map(|()| false),
            },
        }
    }
    Ok(name.is_empty())
}

/// Checks that every part of `pattern` is well-formed.
fn check(mut pattern: &[u8]) -> Result<(), BadPattern> {
    while !pattern.is_empty() {
        let (_, chunk, rest) = scan_chunk(pattern);
        match_chunk(chunk, b"")?;
        pattern = rest;
    }
    Ok(())
}

/// Finds `chunk` after the characters that a star matches, which do not include `/`.
fn match_later<'n>(chunk: &[u8], name: &'n [u8], last: bool) -> Result<Option<&'n [u8]>, BadPattern> {
    for at in 0..name.len() {
        if name[at] == b'/' {
            break;
        }
        if let Some(left) = match_chunk(chunk, &name[at + 1..])?
            && (!last || left.is_empty())
        {
            return Ok(Some(left));
        }
    }
    Ok(None)
}

/// Splits a pattern into leading stars, the text before the next star, and the rest.
fn scan_chunk(pattern: &[u8]) -> (bool, &[u8], &[u8]) {
    let stars = pattern.iter().take_while(|b| **b == b'*').count();
    let pattern = &pattern[stars..];
    let mut in_class = false;
    let mut at = 0;
    while at < pattern.len() {
        match pattern[at] {
            b'\\' if at + 1 < pattern.len() => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'*' if !in_class => break,
            _ => {}
        }
        at += 1;
    }
    (stars > 0, &pattern[..at], &pattern[at..])
}

/// Matches a pattern without stars at the start of `name`, and returns the rest of `name`. After a mismatch, the pattern is
/// still read to its end, because it may be malformed.
fn match_chunk<'n>(mut chunk: &[u8], mut name: &'n [u8]) -> Result<Option<&'n [u8]>, BadPattern> {
    let mut failed = false;
    while let [first, rest @ ..] = chunk {
        failed |= name.is_empty();
        match first {
            b'[' => {
                let (rune, length) = decode(name);
                let (matched, rest) = match_class(rest, rune)?;
                failed |= !matched;
                name = if failed { name } else { &name[length..] };
                chunk = rest;
            }
            b'?' => {
                failed |= name.first() == Some(&b'/');
                name = if failed { name } else { &name[decode(name).1..] };
                chunk = rest;
            }
            _ => {
                let (literal, rest) =
                    if *first == b'\\' { rest.split_first().ok_or(BadPattern)? } else { (first, rest) };
                failed |= name.first() != Some(literal);
                name = if failed { name } else { &name[1..] };
                chunk = rest;
            }
        }
    }
    Ok((!failed).then_some(name))
}

/// Matches a character class after its `[`, and returns the pattern after its `]`.
fn match_class(class: &[u8], rune: char) -> Result<(bool, &[u8]), BadPattern> {
    let (negated, mut class) = class.strip_prefix(b"^").map_or((false, class), |class| (true, class));
    let mut matched = false;
    let mut ranges = 0;
    loop {
        if let Some(rest) = class.strip_prefix(b"]")
            && ranges > 0
        {
            return Ok((matched != negated, rest));
        }
        let (low, rest) = class_member(class)?;
        let (high, rest) = match rest.strip_prefix(b"-") {
            Some(rest) => class_member(rest)?,
            None => (low, rest),
        };
        matched |= (low..=high).contains(&rune);
        class = rest;
        ranges += 1;
    }
}

fn class_member(class: &[u8]) -> Result<(char, &[u8]), BadPattern> {
    let class = match class {
        [] | [b'-' | b']', ..] => return Err(BadPattern),
        [b'\\', rest @ ..] => rest,
        _ => class,
    };
    if class.is_empty() {
        return Err(BadPattern);
    }
    let (rune, length) = decode(class);
    let rest = &class[length..];
    if rest.is_empty() { Err(BadPattern) } else { Ok((rune, rest)) }
}

/// Decodes the first character and its length. An invalid byte decodes to U+FFFD, as in Go.
fn decode(bytes: &[u8]) -> (char, usize) {
    match bytes.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next()) {
        Some(rune) => (rune, rune.len_utf8()),
        None => (char::REPLACEMENT_CHARACTER, usize::from(!bytes.is_empty())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uses the table of Go's own test of `filepath.Match`.
    #[test]
    #[expect(clippy::too_many_lines, reason = "the test is one table")]
    fn patterns_match_as_in_the_table_of_gos_own_test() {
        let table = [
            ("abc", "abc", Ok(true)),
            ("*", "abc", Ok(true)),
            ("*c", "abc", Ok(true)),
            ("a*", "a", Ok(true)),
            ("a*", "abc", Ok(true)),
            ("a*", "ab/c", Ok(false)),
            ("a*/b", "abc/b", Ok(true)),
            ("a*/b", "a/c/b", Ok(false)),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", Ok(true)),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", Ok(true)),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", Ok(false)),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", Ok(false)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Ok(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Ok(false)),
            ("ab[c]", "abc", Ok(true)),
            ("ab[b-d]", "abc", Ok(true)),
            ("ab[e-g]", "abc", Ok(false)),
            ("ab[^c]", "abc", Ok(false)),
            ("ab[^b-d]", "abc", Ok(false)),
            ("ab[^e-g]", "abc", Ok(true)),
            ("a\\*b", "a*b", Ok(true)),
            ("a\\*b", "ab", Ok(false)),
            ("a?b", "a☺b", Ok(true)),
            ("a[^a]b", "a☺b", Ok(true)),
            ("a???b", "a☺b", Ok(false)),
            ("a[^a][^a][^a]b", "a☺b", Ok(false)),
            ("[a-ζ]*", "α", Ok(true)),
            ("*[a-ζ]", "A", Ok(false)),
            ("a?b", "a/b", Ok(false)),
            ("a*b", "a/b", Ok(false)),
            ("[\\]a]", "]", Ok(true)),
            ("[\\-]", "-", Ok(true)),
            ("[x\\-]", "x", Ok(true)),
            ("[x\\-]", "-", Ok(true)),
            ("[x\\-]", "z", Ok(false)),
            ("[\\-x]", "x", Ok(true)),
            ("[\\-x]", "-", Ok(true)),
            ("[\\-x]", "a", Ok(false)),
            ("[]a]", "]", Err(BadPattern)),
            ("[-]", "-", Err(BadPattern)),
            ("[x-]", "x", Err(BadPattern)),
            ("[x-]", "-", Err(BadPattern)),
            ("[x-]", "z", Err(BadPattern)),
            ("[-x]", "x", Err(BadPattern)),
            ("[-x]", "-", Err(BadPattern)),
            ("[-x]", "a", Err(BadPattern)),
            ("\\", "a", Err(BadPattern)),
            ("[a-b-c]", "a", Err(BadPattern)),
            ("[", "a", Err(BadPattern)),
            ("[^", "a", Err(BadPattern)),
            ("[^bc", "a", Err(BadPattern)),
            ("a[", "a", Err(BadPattern)),
            ("a[", "ab", Err(BadPattern)),
            ("a[", "x", Err(BadPattern)),
            ("a/b[", "x", Err(BadPattern)),
            ("*x", "xxx", Ok(true)),
            ("[^a]", "/", Ok(true)),
            ("[!a]", "!", Ok(true)),
            ("[b-a]", "a", Ok(false)),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}

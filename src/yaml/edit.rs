//! Edits a text at the positions of its nodes. Bytes that no edit covers stay unchanged.

use std::fmt::Write as _;
use std::ops::Range;

use super::node::{Comment, Entry, Node, Style, Value};

/// A replacement of some bytes of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The bytes that are replaced; empty to insert.
    pub range: Range<usize>,
    /// The text that replaces them.
    pub text: String,
}

/// Edits that cannot be applied together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two edits overlap, or an edit is outside the text")]
pub struct Conflict;

impl Edit {
    fn insert(at: usize, text: String) -> Self {
        Self { range: at..at, text }
    }
}

/// Applies `edits`, which may be in any order.
///
/// # Errors
/// When two of them overlap or one is outside the text.
pub fn apply(text: &str, mut edits: Vec<Edit>) -> Result<String, Conflict> {
    edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
    let mut out = String::with_capacity(text.len() + edits.iter().map(|edit| edit.text.len()).sum::<usize>());
    let mut at = 0;
    for edit in edits {
        let kept = if edit.range.start < at { None } else { text.get(at..edit.range.start) };
        out.push_str(kept.ok_or(Conflict)?);
        out.push_str(&edit.text);
        at = edit.range.end.max(edit.range.start);
    }
    out.push_str(text.get(at..).ok_or(Conflict)?);
    Ok(out)
}

/// Returns the line ending of a text, which is that of its first line.
pub(crate) fn line_ending(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

/// Returns whether every reader of YAML 1.1 and 1.2 takes the plain scalar for a string.
pub(super) fn is_plain_string(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let words = ["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", "<<", "="];
    let digits = lower.trim_start_matches(['+', '-']).replace('_', "");
    let based = ["0x", "0o", "0b"].iter().any(|base| digits.starts_with(base));
    let odd_float = matches!(digits.as_str(), ".inf" | ".nan");
    let number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && digits.parse::<f64>().is_ok();
    let clock_or_date = digits.starts_with(|c: char| c.is_ascii_digit())
        && (digits.bytes().all(|b| b.is_ascii_digit() || b == b':' || b == b'.') && digits.contains(':')
            || digits.get(4..5) == Some("-") && digits.bytes().take(4).all(|b| b.is_ascii_digit()));
    !(words.contains(&lower.as_str()) || based || odd_float || number || clock_or_date)
}

/// Returns whether a text can be written without quotes in any place and is then a string.
fn is_safe_plain(text: &str) -> bool {
    let safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'/' | b'-');
    is_plain_string(text)
        && text.bytes().all(safe)
        && text.bytes().next().is_some_and(|b| b != b'-')
        && !text.starts_with("...")
}

/// Formats a scalar in double quotes.
pub fn quoted(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Formats a scalar that parses as the string `value`, with quotes if it needs them.
pub(crate) fn scalar(value: &str) -> String {
    if is_safe_plain(value) { value.to_owned() } else { quoted(value) }
}

fn styled(style: Style, value: &str) -> String {
    match style {
        Style::Plain => scalar(value),
        Style::Single if !value.chars().any(char::is_control) => format!("'{}'", value.replace('\'', "''")),
        _ => quoted(value),
    }
}

/// Replaces the value of a scalar, or of the alias in its place, and keeps its quotes. A block scalar becomes a quoted
/// one.
pub fn replace_scalar(text: &str, node: &Node, value: &str) -> Edit {
    let style = match &node.value {
        Value::Scalar { style, .. } => *style,
        _ => Style::Plain,
    };
    let mut new = styled(style, value);
    if matches!(style, Style::Literal | Style::Folded) {
        let header = text[node.span.clone()].lines().next().unwrap_or_default();
        if let Some(at) = header.find(" #").or_else(|| header.find("\t#")) {
            new.push_str(&header[at..]);
        }
    }
    Edit { range: node.span.clone(), text: new }
}

/// Returns the start of the line that contains `at`. A byte order mark is not part of the line.
pub(crate) fn line_start(text: &str, at: usize) -> usize {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    if start == 0 && text.starts_with('\u{feff}') { '\u{feff}'.len_utf8().min(at) } else { start }
}

/// Returns the end of the line that contains `at`, without the line ending.
pub(crate) fn line_end(text: &str, at: usize) -> usize {
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    if text[at..end].ends_with('\r') { end - 1 } else { end }
}

fn after_line(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1)
}

/// Returns the start of an entry: its key, or the `?` before it.
pub(crate) fn entry_start(text: &str, entry: &Entry) -> usize {
    let key = entry.key.full_span().start;
    let before = text[..key].trim_end_matches([' ', '\t', '\r', '\n']);
    let question = before.ends_with('?') && before.len() < key;
    let alone = |at: usize| text[..at].chars().next_back().is_none_or(|c| c.is_whitespace() || matches!(c, '{' | ','));
    if question && alone(before.len() - 1) { before.len() - 1 } else { key }
}

/// Returns the end of an entry: the end of its value, or of its colon.
pub(crate) fn entry_end(text: &str, entry: &Entry) -> usize {
    let end = entry.key.span.end.max(entry.value.span.end).max(entry.value.anchor.as_ref().map_or(0, |a| a.span.end));
    if entry.value.span.is_empty() && entry.value.anchor.is_none() && entry.value.tag.is_none() {
        let rest = &text[entry.key.span.end..];
        let blank = rest.len() - rest.trim_start().len();
        if rest[blank..].starts_with(':') {
            return end.max(entry.key.span.end + blank + 1);
        }
    }
    end
}

/// Returns whether a comment is alone on its line.
pub(crate) fn is_own_line(text: &str, comment: &Comment) -> bool {
    text[line_start(text, comment.span.start)..comment.span.start].trim().is_empty()
}

/// Returns the bytes of an entry of a block mapping, from its key to the end of its last line, with the comment on that
/// line and the more deeply indented comments below. The last line ending is not included.
pub(crate) fn block_entry(text: &str, comments: &[Comment], entry: &Entry) -> Range<usize> {
    let start = entry_start(text, entry);
    let column = start - line_start(text, start);
    let mut end = line_end(text, entry_end(text, entry));
    for comment in comments {
        if comment.span.start <= end {
            continue;
        }
        let begin = line_start(text, comment.span.start);
        let deeper = comment.span.start - begin > column && is_own_line(text, comment);
        if !deeper || !text[end..begin].trim().is_empty() {
            break;
        }
        end = line_end(text, comment.span.start);
    }
    start..end
}

/// Removes an entry from a mapping. In a block mapping, its whole lines are removed.
pub(crate) fn remove_entry(text: &str, mapping: &Node, index: usize) -> Option<Edit> {
    let Value::Mapping { entries, flow } = &mapping.value else { return None };
    let entry = entries.get(index)?;
    let (start, end) = (entry_start(text, entry), entry_end(text, entry));
    let next = entries.get(index + 1).map(|next| entry_start(text, next));
    let gone = |range: Range<usize>| Some(Edit { range, text: String::new() });
    if entries.len() == 1 {
        return Some(Edit { range: mapping.span.clone(), text: "{}".to_owned() });
    }
    if !flow {
        let first = line_start(text, start);
        return match next {
            Some(next) if !text[first..start].trim().is_empty() => gone(start..next),
            _ => gone(first..after_line(text, end)),
        };
    }
    match (next, index.checked_sub(1).and_then(|at| entries.get(at))) {
        (Some(next), _) => gone(start..next),
        (None, Some(previous)) if !text[entry_end(text, previous)..start].contains('#') => {
            gone(entry_end(text, previous)..end)
        }
        _ => {
            let rest = &text[end..];
            let blank = rest.len() - rest.trim_start().len();
            gone(start..if rest[blank..].starts_with(',') { end + blank + 1 } else { end })
        }
    }
}

/// Inserts `key: value` after an entry of a mapping. `value` is YAML.
pub(crate) fn insert_after(text: &str, mapping: &Node, index: usize, key: &str, value: &str) -> Option<Edit> {
    let Value::Mapping { entries, flow } = &mapping.value else { return None };
    let entry = entries.get(index)?;
    let end = entry_end(text, entry);
    let key = like_key(&entry.key, key);
    if *flow {
        return Some(Edit::insert(end, format!(", {key}: {value}")));
    }
    let start = entry_start(text, entry);
    let indent = " ".repeat(start - line_start(text, start));
    Some(Edit::insert(line_end(text, end), format!("{}{indent}{key}: {value}", line_ending(text))))
}

/// Formats `key` with the quotes of the key beside it.
pub(crate) fn like_key(beside: &Node, key: &str) -> String {
    match &beside.value {
        Value::Scalar { style, .. } => styled(*style, key),
        _ => scalar(key),
    }
}

/// Appends strings to the sequence at `key` of a mapping, which may be missing. Returns `None` when the value is not a
/// sequence.
pub(crate) fn append_items(text: &str, mapping: &Node, key: &str, items: &[String]) -> Option<Edit> {
    let ending = line_ending(text);
    let Some(entry) = mapping.entry(key) else { return append_entry(text, mapping, key, items) };
    // In JSON, all strings and keys need double quotes.
    let json = mapping.is_flow() && matches!(entry.key.value, Value::Scalar { style: Style::Double, .. });
    let items: Vec<String> = items.iter().map(|item| if json { quoted(item) } else { scalar(item) }).collect();
    if entry.value.is_null() {
        return Some(fill_null(text, mapping, entry, &items));
    }
    let Value::Sequence { items: present, flow } = &entry.value.value else { return None };
    Some(match (present.last(), *flow) {
        (None, _) => {
            let at = entry.value.span.start + 1;
            let comment = text[at..].trim_start_matches([' ', '\t']).starts_with('#');
            Edit::insert(at, items.join(", ") + if comment { " " } else { "" })
        }
        (Some(last), true) => {
            let (start, end) = (last.full_span().start, last.full_span().end);
            let first = line_start(text, start);
            let own_line = text[first..start].trim().is_empty() && !text[end..line_end(text, end)].contains('#');
            let gap = if own_line { format!("{ending}{}", &text[first..start]) } else { " ".to_owned() };
            Edit::insert(end, each(&items, &format!(",{gap}")))
        }
        (Some(last), false) => {
            let start = last.full_span().start;
            let dash = text[..start].rfind('-')?;
            let gap = if text[dash..start].contains('\n') { " " } else { &text[dash + 1..start] };
            let indent = " ".repeat(dash - line_start(text, dash));
            Edit::insert(line_end(text, last.span.end), each(&items, &format!("{ending}{indent}-{gap}")))
        }
    })
}

/// Joins the items, with `before` in front of each.
fn each(items: &[String], before: &str) -> String {
    items.iter().flat_map(|item| [before, item.as_str()]).collect()
}

/// Inserts a list as the value of an entry without a value.
fn fill_null(text: &str, mapping: &Node, entry: &Entry, items: &[String]) -> Edit {
    if mapping.is_flow() {
        return Edit::insert(entry_end(text, entry), format!(" [{}]", items.join(", ")));
    }
    let start = entry_start(text, entry);
    let indent = " ".repeat(start - line_start(text, start) + 2);
    let lines = each(items, &format!("{}{indent}- ", line_ending(text)));
    if entry.value.span.is_empty() {
        Edit::insert(line_end(text, entry_end(text, entry)), lines)
    } else {
        Edit { range: entry.value.span.clone(), text: lines }
    }
}

fn append_entry(text: &str, mapping: &Node, key: &str, items: &[String]) -> Option<Edit> {
    let Value::Mapping { entries, flow } = &mapping.value else { return None };
    let json = entries.last().is_some_and(|last| matches!(last.key.value, Value::Scalar { style: Style::Double, .. }));
    let items: Vec<String> = items.iter().map(|item| if json && *flow { quoted(item) } else { scalar(item) }).collect();
    let flow_list = format!("[{}]", items.join(", "));
    let Some(last) = entries.len().checked_sub(1) else {
        return Some(Edit { range: mapping.span.clone(), text: format!("{{{key}: {flow_list}}}") });
    };
    if *flow {
        return insert_after(text, mapping, last, key, &flow_list);
    }
    let ending = line_ending(text);
    let start = entry_start(text, &entries[last]);
    let indent = " ".repeat(start - line_start(text, start));
    let lines = each(&items, &format!("{ending}{indent}  - "));
    let at = line_end(text, entry_end(text, &entries[last]));
    Some(Edit::insert(at, format!("{ending}{indent}{}:{lines}", like_key(&entries[last].key, key))))
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;

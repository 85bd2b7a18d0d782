//! Writes settings of the appliance into the values of a release. The text is edited at the places of its nodes, so
//! that everything else stays the same, byte for byte. An edit that would change other values is refused.

use crate::text::shown;
use crate::yaml::edit::{self, Edit};
use crate::yaml::{self, Entry, Node, Style, Value};

/// A value in the form in which it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// A string, which is always quoted.
    Text(String),
    /// A number, a boolean or null, as JSON writes it.
    Other(String),
}

impl Literal {
    /// Reads a value as people write it. A JSON number, boolean, null or string keeps its type; any other text is a
    /// string.
    pub fn parse(text: &str) -> Self {
        match serde_json::from_str(text) {
            Ok(serde_json::Value::String(text)) => Self::Text(text),
            Ok(serde_json::Value::Number(_) | serde_json::Value::Bool(_) | serde_json::Value::Null) => {
                Self::Other(text.trim().to_owned())
            }
            _ => Self::Text(text.to_owned()),
        }
    }

    fn yaml(&self) -> String {
        match self {
            Self::Text(text) => edit::quoted(text),
            Self::Other(text) => text.clone(),
        }
    }

    fn is(&self, node: &Node) -> bool {
        match self {
            Self::Text(text) => node.as_str() == Some(text) && node.is_string(),
            Self::Other(text) if text == "null" => node.is_null(),
            Self::Other(text) => node.as_str() == Some(text) && !node.is_string(),
        }
    }
}

/// One value to write, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Keys from the root of the values.
    pub path: Vec<String>,
    /// Value after the edit.
    pub value: Literal,
}

/// Reads a path of keys joined by `.`. A dot inside a key is written `\.`.
fn parse_path(text: &str) -> Option<Vec<String>> {
    let mut keys = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '.' => keys.push(String::new()),
            '\\' => keys.last_mut()?.push(characters.next()?),
            other => keys.last_mut()?.push(other),
        }
    }
    (!keys.iter().any(String::is_empty)).then_some(keys)
}

/// Returns a setting for a path from a configuration or a command line. Returns `None` when the path has an empty key.
pub fn parse_setting(path: &str, value: Literal) -> Option<Setting> {
    parse_path(path).map(|path| Setting { path, value })
}

/// Values that cannot be edited.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {reason}")]
pub struct InvalidValues {
    file: String,
    line: usize,
    reason: String,
}

impl InvalidValues {
    /// Returns the line that cannot be edited, counted from 1, and the reason.
    pub(crate) fn place(&self) -> (usize, &str) {
        (self.line, &self.reason)
    }
}

/// A line, and the reason why it cannot be edited.
type Wrong = (usize, String);

/// Writes `settings` into the values `text`. Errors name the values by `file`.
///
/// # Errors
/// Returns an error when the text is not a mapping, or when a value cannot be written without changing another.
pub fn inject(file: &str, text: &str, settings: &[Setting]) -> Result<String, InvalidValues> {
    let named = |(line, reason)| InvalidValues { file: shown(file), line, reason };
    let before = root(text).map_err(named)?;
    let mut edited = text.to_owned();
    for setting in settings {
        edited = write(&edited, setting).map_err(named)?;
    }
    let after = root(&edited)
        .map_err(|(_, reason)| named((1, format!("cannot set the values without breaking the file: {reason}"))))?;
    check(before.as_ref(), after.as_ref(), settings).map_err(named)?;
    Ok(edited)
}

/// Returns the only mapping of a text, or `None` when the text has only comments.
fn root(text: &str) -> Result<Option<Node>, Wrong> {
    let documents = yaml::parse(text).map_err(|cause| (cause.line, format!("invalid YAML: {}", cause.reason)))?;
    let mut roots = documents.into_iter().filter_map(|document| document.root);
    let first = roots.next();
    if let Some(second) = roots.next() {
        return Err((second.line, "unexpected second document: values are one document".to_owned()));
    }
    let Some(root) = first else { return Ok(None) };
    if !root.is_mapping() && !root.is_null() {
        return Err((root.line, "expected a mapping of values".to_owned()));
    }
    match root.duplicate_key() {
        Some(key) => Err((key.line, format!("duplicate key `{}`", shown(key.as_str().unwrap_or("?"))))),
        None => Ok(Some(root)),
    }
}

fn write(text: &str, setting: &Setting) -> Result<String, Wrong> {
    let root = root(text)?;
    let edit = match root.as_ref().filter(|root| !root.is_null()) {
        Some(root) => place(text, root, setting)?,
        None => append(text, root.as_ref(), setting),
    };
    let line = 1 + text[..edit.range.start.min(text.len())].matches('\n').count();
    edit::apply(text, vec![edit]).map_err(|conflict| (line, conflict.to_string()))
}

/// Adds a value to a text without any values.
fn append(text: &str, null: Option<&Node>, setting: &Setting) -> Edit {
    let ending = edit::line_ending(text);
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { ending };
    let line = format!("{}: {}", edit::scalar(&setting.path[0]), nested(&setting.path[1..], &setting.value));
    match null.filter(|null| !null.span.is_empty()) {
        Some(null) => Edit { range: null.span.clone(), text: line },
        None => Edit { range: text.len()..text.len(), text: format!("{gap}{line}{ending}") },
    }
}

/// Returns the rest of a path and the value in one line.
fn nested(keys: &[String], value: &Literal) -> String {
    let open: String = keys.iter().flat_map(|key| ["{".to_owned(), edit::quoted(key), ": ".to_owned()]).collect();
    format!("{open}{}{}", value.yaml(), "}".repeat(keys.len()))
}

/// Follows the path as far as its keys exist.
fn place(text: &str, root: &Node, setting: &Setting) -> Result<Edit, Wrong> {
    let mut node = root;
    for (depth, key) in setting.path.iter().enumerate() {
        let rest = &setting.path[depth + 1..];
        let Some(entry) = node.entry(key) else { return insert(text, node.resolved(), key, rest, &setting.value) };
        if rest.is_empty() {
            return replace(text, entry, &setting.value);
        }
        if entry.value.is_null() {
            return fill(text, entry, &nested(rest, &setting.value));
        }
        if !entry.value.is_mapping() {
            let reason = format!("cannot set `{}`: `{}` is not a mapping", shown(&setting.path.join(".")), shown(key));
            return Err((entry.key.line, reason));
        }
        node = &entry.value;
    }
    Err((root.line, "an empty path".to_owned()))
}

fn insert(text: &str, mapping: &Node, key: &str, rest: &[String], value: &Literal) -> Result<Edit, Wrong> {
    if !rest.is_empty() && mapping.value_of(key).is_some() {
        return Err((
            mapping.line,
            format!("`{}` comes from a merge (`<<`): write the mapping out so that its values can be set", shown(key)),
        ));
    }
    let value = nested(rest, value);
    let Some(last) = mapping.entries().len().checked_sub(1) else {
        return Ok(Edit { range: mapping.span.clone(), text: format!("{{{}: {value}}}", edit::quoted(key)) });
    };
    edit::insert_after(text, mapping, last, key, &value)
        .ok_or_else(|| (mapping.line, format!("cannot add `{}` here", shown(key))))
}

/// Replaces the value of an entry, and keeps the style of its quotes.
fn replace(text: &str, entry: &Entry, value: &Literal) -> Result<Edit, Wrong> {
    let node = &entry.value;
    if node.is_null() && !node.is_alias() {
        return fill(text, entry, &value.yaml());
    }
    if node.is_mapping() || node.is_sequence() {
        return Err((entry.key.line, format!("`{}` is not a single value", shown(entry.key.as_str().unwrap_or("?")))));
    }
    let text_tag = node.tag.as_ref().is_none_or(|(tag, _)| tag == "!!str" && matches!(value, Literal::Text(_)));
    if !text_tag {
        return Err((
            entry.key.line,
            format!("`{}` has an explicit type tag", shown(entry.key.as_str().unwrap_or("?"))),
        ));
    }
    Ok(match (&node.value, value) {
        (Value::Scalar { style: Style::Single | Style::Literal | Style::Folded, .. }, Literal::Text(value)) => {
            edit::replace_scalar(text, node, value)
        }
        _ => Edit { range: node.span.clone(), text: value.yaml() },
    })
}

/// Writes the value of an entry that has none.
fn fill(text: &str, entry: &Entry, value: &str) -> Result<Edit, Wrong> {
    let node = &entry.value;
    if node.is_alias() || node.anchor.is_some() || node.tag.is_some() {
        let reason =
            format!("`{}` is an anchored or tagged null: write a value", shown(entry.key.as_str().unwrap_or("?")));
        return Err((entry.key.line, reason));
    }
    if !node.span.is_empty() {
        return Ok(Edit { range: node.span.clone(), text: value.to_owned() });
    }
    let end = edit::entry_end(text, entry);
    let colon = if text[..end].ends_with(':') { "" } else { ":" };
    Ok(Edit { range: end..end, text: format!("{colon} {value}") })
}

/// Checks that every setting took effect and that nothing else changed. An anchor could carry an edit to another place.
fn check(before: Option<&Node>, after: Option<&Node>, settings: &[Setting]) -> Result<(), Wrong> {
    for setting in settings {
        let path: Vec<&str> = setting.path.iter().map(String::as_str).collect();
        let node = after.and_then(|after| after.get(&path));
        // If two settings have the same path, the last one holds.
        let last = settings.iter().rfind(|other| other.path == setting.path).unwrap_or(setting);
        if !node.is_some_and(|node| last.value.is(node)) {
            let line = node.map_or(1, |node| node.line);
            return Err((line, format!("cannot set `{}` here", shown(&path.join(".")))));
        }
    }
    let (Some(before), Some(after)) = (before, after) else { return Ok(()) };
    let asked: Vec<String> = settings.iter().map(|setting| setting.path.join(".")).collect();
    let more = before.differences(after).into_iter().find(|changed| {
        let below = format!("{changed}.");
        !changed.is_empty() && !asked.iter().any(|path| path == changed || path.starts_with(&below))
    });
    more.map_or(Ok(()), |changed| {
        let keys: Vec<&str> = changed.split('.').collect();
        let line = before.get(&keys).map_or(before.line, |node| node.line);
        Err((line, format!("`{}` would change too: an anchor ties it to a value that is set", shown(&changed))))
    })
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;

//! A document as a tree of nodes, each with its position in the text.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// One document of a YAML text.
#[derive(Clone, Debug)]
pub struct Document {
    /// The root node; `None` when the document has only comments.
    pub root: Option<Node>,
    /// Bytes of the document in the text.
    pub span: Range<usize>,
    /// The comments in and before the document, in order.
    pub comments: Vec<Comment>,
}

/// A comment, from its `#` to the end of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Bytes of the comment in the text.
    pub span: Range<usize>,
    /// Number of the line, starting at 1.
    pub line: usize,
}

/// The notation of a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Plain style, without quotes.
    Plain,
    /// In single quotes: `'…'`.
    Single,
    /// In double quotes: `"…"`.
    Double,
    /// A literal block: `|`.
    Literal,
    /// A folded block: `>`.
    Folded,
}

/// The anchor of a node, `&name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// A number that is unique in the document, even if a name is used twice.
    pub id: usize,
    /// The name, without the `&`.
    pub name: String,
    /// Bytes of `&name` in the text.
    pub span: Range<usize>,
}

/// A node of the tree.
#[derive(Clone, Debug)]
pub struct Node {
    /// Content of the node.
    pub value: Value,
    /// Bytes of the node in the text, without its anchor, its tag and the blanks around it. Empty when the value is
    /// missing.
    pub span: Range<usize>,
    /// Line of the first byte, starting at 1.
    pub line: usize,
    /// The anchor, when the node has one.
    pub anchor: Option<Anchor>,
    /// The tag as written, and its bytes in the text.
    pub tag: Option<(String, Range<usize>)>,
}

/// The content of a node.
#[derive(Clone, Debug)]
pub enum Value {
    /// A single value. Its text is unescaped and unfolded.
    Scalar {
        /// The text, unescaped and unfolded.
        text: String,
        /// The notation in the text.
        style: Style,
    },
    /// A sequence: `- a` or `[a]`.
    Sequence {
        /// The items in the order of the text.
        items: Vec<Node>,
        /// Whether the sequence is written as `[a]`.
        flow: bool,
    },
    /// A mapping: `a: b` or `{a: b}`.
    Mapping {
        /// The entries in the order of the text.
        entries: Vec<Entry>,
        /// Whether the mapping is written as `{a: b}`.
        flow: bool,
    },
    /// An alias, `*name`, with the node that it refers to.
    Alias {
        /// Number of the anchor, [`Anchor::id`].
        id: usize,
        /// The node with the anchor.
        target: Arc<Node>,
    },
}

/// An entry of a mapping.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The node before the colon.
    pub key: Node,
    /// The node after the colon.
    pub value: Node,
}

impl Node {
    /// Returns the node that an alias refers to, or the node itself.
    pub fn resolved(&self) -> &Self {
        let mut node = self;
        while let Value::Alias { target, .. } = &node.value {
            node = target;
        }
        node
    }

    /// Returns the bytes of the node with its anchor and tag.
    pub(crate) fn full_span(&self) -> Range<usize> {
        let anchor = self.anchor.as_ref().map_or(self.span.start, |anchor| anchor.span.start);
        let tag = self.tag.as_ref().map_or(self.span.start, |(_, span)| span.start);
        self.span.start.min(anchor).min(tag)..self.span.end
    }

    /// Returns the text of a scalar of any type, and `None` for null and for collections.
    pub fn as_str(&self) -> Option<&str> {
        match &self.resolved().value {
            Value::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// Returns whether the value is missing, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.resolved().value, Value::Scalar { text, style: Style::Plain }
            if self.resolved().tag.is_none() && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Returns whether the node is an alias.
    pub(crate) fn is_alias(&self) -> bool {
        matches!(self.value, Value::Alias { .. })
    }

    /// Returns whether the node is a scalar that every reader takes for a string.
    pub fn is_string(&self) -> bool {
        match &self.resolved().value {
            Value::Scalar { text, style: Style::Plain } => super::edit::is_plain_string(text),
            Value::Scalar { .. } => true,
            _ => false,
        }
    }

    /// Returns the items of a sequence, and an empty slice for other nodes.
    pub fn items(&self) -> &[Self] {
        match &self.resolved().value {
            Value::Sequence { items, .. } => items,
            _ => &[],
        }
    }

    /// Returns the entries of a mapping as written, with `<<` among them, and an empty slice for other nodes.
    pub fn entries(&self) -> &[Entry] {
        match &self.resolved().value {
            Value::Mapping { entries, .. } => entries,
            _ => &[],
        }
    }

    /// Returns whether the node is a mapping.
    pub(crate) fn is_mapping(&self) -> bool {
        matches!(self.resolved().value, Value::Mapping { .. })
    }

    /// Returns whether the node is a sequence.
    pub(crate) fn is_sequence(&self) -> bool {
        matches!(self.resolved().value, Value::Sequence { .. })
    }

    /// Returns whether the node is a collection in `{}` or `[]`.
    pub(crate) fn is_flow(&self) -> bool {
        matches!(self.value, Value::Mapping { flow: true, .. } | Value::Sequence { flow: true, .. })
    }

    /// Returns the entry of this mapping with the key. Merged mappings are not searched.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key.as_str() == Some(key))
    }

    /// Returns the value of a key, also from merged mappings.
    pub(crate) fn value_of(&self, key: &str) -> Option<&Self> {
        if let Some(entry) = self.entry(key) {
            return Some(&entry.value);
        }
        self.merged().into_iter().find_map(|merged| merged.value_of(key))
    }

    /// Returns the mappings that `<<` merges, in decreasing precedence.
    pub fn merged(&self) -> Vec<&Self> {
        let mut found = Vec::new();
        for entry in self.entries().iter().filter(|entry| entry.is_merge()) {
            if entry.value.is_sequence() {
                found.extend(entry.value.items());
            } else {
                found.push(&entry.value);
            }
        }
        found
    }

    /// Returns the node at a path of keys, with aliases followed and merged mappings searched.
    pub fn get(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.value_of(key))
    }

    /// Returns the text of the scalar at a path of keys.
    pub fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.get(path)?.as_str()
    }

    /// Returns the first key in the text that occurs twice in one mapping.
    pub fn duplicate_key(&self) -> Option<&Self> {
        let mut stack = vec![self];
        let mut first: Option<&Self> = None;
        while let Some(node) = stack.pop() {
            let mut seen = BTreeSet::new();
            for entry in node.children_entries() {
                let twice = entry.key.as_str().is_some_and(|key| !seen.insert(key));
                if twice && first.is_none_or(|found| entry.key.span.start < found.span.start) {
                    first = Some(&entry.key);
                }
                stack.extend([&entry.key, &entry.value]);
            }
            if let Value::Sequence { items, .. } = &node.value {
                stack.extend(items);
            }
        }
        first
    }

    fn children_entries(&self) -> &[Entry] {
        if self.is_alias() { &[] } else { self.entries() }
    }

    /// Returns this node and all nodes below it in the order of the text. Aliases are not followed.
    pub fn walk(&self) -> Vec<&Self> {
        let mut found = Vec::new();
        let mut stack = vec![self];
        while let Some(node) = stack.pop() {
            found.push(node);
            match &node.value {
                Value::Sequence { items, .. } => stack.extend(items.iter().rev()),
                Value::Mapping { entries, .. } => {
                    stack.extend(entries.iter().rev().flat_map(|entry| [&entry.value, &entry.key]));
                }
                Value::Scalar { .. } | Value::Alias { .. } => {}
            }
        }
        found
    }

    /// Returns the paths (`spec.chart`, `resources`) where two trees differ as data. Styles, comments and the order of
    /// keys do not count.
    pub fn differences(&self, other: &Self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        differ(self, other, "", &mut found);
        found
    }
}

impl Entry {
    /// Returns whether the entry is a merge, `<<: …`.
    pub(crate) fn is_merge(&self) -> bool {
        matches!(&self.key.value, Value::Scalar { text, style: Style::Plain } if text == "<<")
    }
}

fn differ(a: &Node, b: &Node, path: &str, found: &mut BTreeSet<String>) {
    let (a, b) = (a.resolved(), b.resolved());
    let same = match (&a.value, &b.value) {
        (Value::Scalar { text: x, .. }, Value::Scalar { text: y, .. }) => {
            x == y && a.is_null() == b.is_null() && a.tag.as_ref().map(|t| &t.0) == b.tag.as_ref().map(|t| &t.0)
        }
        (Value::Sequence { items: x, .. }, Value::Sequence { items: y, .. }) if x.len() == y.len() => {
            for (at, (x, y)) in x.iter().zip(y).enumerate() {
                differ(x, y, &format!("{path}[{at}]"), found);
            }
            true
        }
        (Value::Mapping { .. }, Value::Mapping { .. }) => {
            differ_mappings(a, b, path, found);
            true
        }
        _ => false,
    };
    if !same {
        found.insert(path.to_owned());
    }
}

fn differ_mappings(a: &Node, b: &Node, path: &str, found: &mut BTreeSet<String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let complex = |node: &Node| node.entries().iter().filter(|e| e.key.as_str().is_none()).count();
    if complex(a) != complex(b) {
        found.insert(path.to_owned());
    }
    for entry in a.entries() {
        let Some(key) = entry.key.as_str() else { continue };
        match b.entry(key) {
            Some(other) => differ(&entry.value, &other.value, &below(key), found),
            None => {
                found.insert(below(key));
            }
        }
    }
    for key in b.entries().iter().filter_map(|entry| entry.key.as_str()) {
        if a.entry(key).is_none() {
            found.insert(below(key));
        }
    }
}

//! A document as a tree of nodes, each with its place in the text.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// One document of a stream.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its content; absent when there is none but comments.
    pub root: Option<Node>,
    /// Bytes of the text, from the document's start to its end.
    pub span: Range<usize>,
    /// The comments in and before it, in order.
    pub comments: Vec<Comment>,
}

/// A comment, from its `#` to the end of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Bytes of the text.
    pub span: Range<usize>,
    /// Line, from 1.
    pub line: usize,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// `'…'`
    Single,
    /// `"…"`
    Double,
    /// `|`
    Literal,
    /// `>`
    Folded,
}

/// The `&name` of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Unique in its document, though names may stand twice.
    pub id: usize,
    /// Without the `&`.
    pub name: String,
    /// Bytes of `&name`.
    pub span: Range<usize>,
}

/// A node of the tree.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Bytes of the text, without anchor, tag and the blanks around it. Empty where the value is left out.
    pub span: Range<usize>,
    /// Line of its first byte, from 1.
    pub line: usize,
    /// Its `&name`.
    pub anchor: Option<Anchor>,
    /// Its tag as written and the bytes of it.
    pub tag: Option<(String, Range<usize>)>,
}

/// The content of a node.
#[derive(Clone, Debug)]
pub enum Value {
    /// A single value. Its text is unescaped and unfolded.
    Scalar {
        /// The text.
        text: String,
        /// As written.
        style: Style,
    },
    /// `- a` or `[a]`
    Sequence {
        /// In order.
        items: Vec<Node>,
        /// `[a]`?
        flow: bool,
    },
    /// `a: b` or `{a: b}`
    Mapping {
        /// In order.
        entries: Vec<Entry>,
        /// `{a: b}`?
        flow: bool,
    },
    /// `*name`, with the node that it stands for.
    Alias {
        /// Of the anchor, [`Anchor::id`].
        id: usize,
        /// The anchored node.
        target: Arc<Node>,
    },
}

/// An entry of a mapping.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Left of the colon.
    pub key: Node,
    /// Right of the colon.
    pub value: Node,
}

impl Node {
    /// The node that an alias stands for, else the node itself.
    pub fn resolved(&self) -> &Self {
        let mut node = self;
        while let Value::Alias { target, .. } = &node.value {
            node = target;
        }
        node
    }

    /// From its anchor or tag, whichever comes first, to its end.
    pub(crate) fn full_span(&self) -> Range<usize> {
        let anchor = self.anchor.as_ref().map_or(self.span.start, |anchor| anchor.span.start);
        let tag = self.tag.as_ref().map_or(self.span.start, |(_, span)| span.start);
        self.span.start.min(anchor).min(tag)..self.span.end
    }

    /// The text of a scalar, whatever its type; nothing for null and for collections.
    pub fn as_str(&self) -> Option<&str> {
        match &self.resolved().value {
            Value::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// Absent, `~` or `null`?
    pub fn is_null(&self) -> bool {
        matches!(&self.resolved().value, Value::Scalar { text, style: Style::Plain }
            if self.resolved().tag.is_none() && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Is it an alias?
    pub(crate) fn is_alias(&self) -> bool {
        matches!(self.value, Value::Alias { .. })
    }

    /// Is it a scalar that every reader takes for a string?
    pub fn is_string(&self) -> bool {
        match &self.resolved().value {
            Value::Scalar { text, style: Style::Plain } => super::edit::is_plain_string(text),
            Value::Scalar { .. } => true,
            _ => false,
        }
    }

    /// The items of a sequence; none for anything else.
    pub fn items(&self) -> &[Self] {
        match &self.resolved().value {
            Value::Sequence { items, .. } => items,
            _ => &[],
        }
    }

    /// The entries of a mapping as written, `<<` among them; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.resolved().value {
            Value::Mapping { entries, .. } => entries,
            _ => &[],
        }
    }

    /// Is it a mapping?
    pub(crate) fn is_mapping(&self) -> bool {
        matches!(self.resolved().value, Value::Mapping { .. })
    }

    /// Is it a sequence?
    pub(crate) fn is_sequence(&self) -> bool {
        matches!(self.resolved().value, Value::Sequence { .. })
    }

    /// Is it a collection in `{}` or `[]`?
    pub(crate) fn is_flow(&self) -> bool {
        matches!(self.value, Value::Mapping { flow: true, .. } | Value::Sequence { flow: true, .. })
    }

    /// The entry of this very mapping with the key; not one that is merged in.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key.as_str() == Some(key))
    }

    /// The value under a key, with `<<` merged in.
    pub(crate) fn value_of(&self, key: &str) -> Option<&Self> {
        if let Some(entry) = self.entry(key) {
            return Some(&entry.value);
        }
        self.merged().into_iter().find_map(|merged| merged.value_of(key))
    }

    /// The mappings that `<<` merges in, the strongest first.
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

    /// The node at a path of keys, aliases followed and `<<` merged in.
    pub fn get(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.value_of(key))
    }

    /// The text of the scalar at a path of keys.
    pub fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.get(path)?.as_str()
    }

    /// The first key, in the order of the text, that stands twice in one mapping.
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

    /// This node and all below it as written, aliases not followed, in the order of the text.
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

    /// Where two trees differ as data, as paths (`spec.chart`, `resources`); styles, order of keys and comments do not count.
    pub fn differences(&self, other: &Self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        differ(self, other, "", &mut found);
        found
    }
}

impl Entry {
    /// `<<: …`?
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

//! Builds nodes from the parser's events. Limits on depth and size bound the time that any text takes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StructureStyle};

use super::node::{Anchor, Comment, Document, Entry, Node, Style, Value};

/// Deepest nesting, with aliases followed.
const MOST_DEPTH: usize = 100;
/// Most nodes of a text as written.
const MOST_NODES: usize = 1_000_000;
/// Most nodes of a document with all aliases followed.
const MOST_EXPANDED: usize = 4_000_000;

/// A text that is not valid YAML, or exceeds a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct ParseError {
    /// Number of the line, starting at 1.
    pub line: usize,
    /// Column in characters, starting at 1.
    pub column: usize,
    /// What is wrong at this place.
    pub reason: String,
}

/// Parses all documents of a text.
///
/// # Errors
/// When the text is not valid YAML, is nested too deeply, or has too many nodes, counted with aliases followed.
pub fn parse(text: &str) -> Result<Vec<Document>, ParseError> {
    let mut builder = Builder { text, ..Builder::default() };
    let mut events = events(text)?.into_iter().peekable();
    while let Some((event, span)) = events.next() {
        let anchor = match events.peek() {
            Some((Event::Anchor(id, name), span)) => {
                Some(Anchor { id: *id, name: name.clone().into_owned(), span: bytes(span) })
            }
            _ => None,
        };
        builder.take(event, &span, anchor.as_ref())?;
    }
    Ok(builder.documents)
}

fn events(text: &str) -> Result<Vec<(Event<'_>, Span)>, ParseError> {
    let options = granit_parser::options! { emit_anchor_events: true, max_buffered_comment_events: 1_000_000 };
    let mut events = Vec::new();
    for event in Parser::new_from_str_with_options(text, options) {
        events.push(event.map_err(|error| scan_error(&error))?);
        if events.len() > 2 * MOST_NODES {
            return Err(too_many(events.last().map_or(1, |(_, span)| span.start.line()), MOST_NODES));
        }
    }
    Ok(events)
}

fn scan_error(error: &ScanError) -> ParseError {
    let marker = error.marker();
    ParseError { line: marker.line().max(1), column: marker.col() + 1, reason: error.kind().to_string() }
}

fn too_many(line: usize, limit: usize) -> ParseError {
    ParseError { line, column: 1, reason: format!("more than {limit} nodes, which is the limit") }
}

fn bytes(span: &Span) -> Range<usize> {
    let range = span.byte_range().unwrap_or_default();
    range.start..range.end.max(range.start)
}

/// A complete node with its height and its number of nodes.
struct Built {
    node: Node,
    height: usize,
    expanded: usize,
}

struct Open {
    node: Node,
    children: Vec<Node>,
    height: usize,
    expanded: usize,
}

#[derive(Default)]
struct Builder<'a> {
    text: &'a str,
    documents: Vec<Document>,
    comments: Vec<Comment>,
    open: Vec<Open>,
    anchored: BTreeMap<usize, (Arc<Node>, usize, usize)>,
    /// End of the last token that belongs to a node.
    last_end: usize,
    nodes: usize,
    in_document: bool,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: &Span, anchor: Option<&Anchor>) -> Result<(), ParseError> {
        let range = bytes(span);
        let (line, column) = (span.start.line().max(1), span.start.col() + 1);
        let fail = |reason: &str| Err(ParseError { line, column, reason: reason.to_owned() });
        let tag = span.tag_span().map(|tag| (tag.slice(self.text).unwrap_or_default().to_owned(), bytes(&tag)));
        let node = |value| Node { value, span: range.clone(), line, anchor: anchor.cloned(), tag: tag.clone() };
        match event {
            Event::Comment(..) => self.comment(Comment { span: range, line }),
            Event::DocumentStart(explicit, _) => self.start_document(&range, explicit),
            Event::DocumentEnd => self.end_document(&range),
            Event::Scalar(text, style, ..) => {
                let scalar = node(Value::Scalar { text: text.into_owned(), style: style_of(style) });
                let node = self.settle(scalar);
                return self.put(Built { node, height: 0, expanded: 1 });
            }
            Event::Alias(id) => {
                let Some((target, height, expanded)) = self.anchored.get(&id).cloned() else {
                    return fail("the alias is inside the node that it refers to");
                };
                self.last_end = range.end;
                let node = node(Value::Alias { id, target });
                return self.put(Built { node, height, expanded });
            }
            Event::SequenceStart(style, ..) => {
                return self.start(node(Value::Sequence { items: Vec::new(), flow: style == StructureStyle::Flow }));
            }
            Event::MappingStart(style, ..) => {
                return self.start(node(Value::Mapping { entries: Vec::new(), flow: style == StructureStyle::Flow }));
            }
            Event::SequenceEnd | Event::MappingEnd => return self.end(&range),
            _ => {}
        }
        Ok(())
    }

    fn comment(&mut self, comment: Comment) {
        match self.documents.last_mut() {
            Some(document) if self.in_document => document.comments.push(comment),
            _ => self.comments.push(comment),
        }
    }

    fn start_document(&mut self, range: &Range<usize>, explicit: bool) {
        self.anchored.clear();
        // Without `---`, the parser reports the content as the start, which for a block scalar is after its header.
        if explicit {
            self.last_end = range.end;
        }
        self.in_document = true;
        let comments = std::mem::take(&mut self.comments);
        self.documents.push(Document { root: None, span: range.clone(), comments });
    }

    fn end_document(&mut self, range: &Range<usize>) {
        self.in_document = false;
        if let Some(document) = self.documents.last_mut() {
            document.span.end = range.end.max(document.span.start);
        }
    }

    /// Corrects the span of a scalar: it includes the header of a block scalar, but not the blank lines after it.
    fn settle(&mut self, mut node: Node) -> Node {
        let Value::Scalar { text, style } = &mut node.value else { return node };
        match style {
            Style::Literal | Style::Folded => {
                let after = [node.anchor.as_ref().map(|a| a.span.end), node.tag.as_ref().map(|t| t.1.end)];
                let from = after.into_iter().flatten().fold(self.last_end, usize::max);
                let start = block_header(self.text, from).unwrap_or(node.span.start);
                let header_end =
                    start + self.text[start..].find(char::is_whitespace).unwrap_or(self.text.len() - start);
                let content = self.text.get(node.span.clone()).unwrap_or_default().trim_end();
                let end = if content.is_empty() { header_end } else { node.span.start + content.len() };
                node.line -= self.text[start..node.span.start.max(start)].matches('\n').count().min(node.line - 1);
                node.span = start..end.max(header_end);
            }
            Style::Plain if node.span.is_empty() => {
                text.clear(); // The parser reports `~` for a missing value.
                let end = self.text[..node.span.start].trim_end().len().max(self.last_end);
                let at = end.min(node.span.start);
                node.span = at..at;
            }
            _ => {}
        }
        self.last_end = self.last_end.max(node.span.end);
        node
    }

    fn start(&mut self, node: Node) -> Result<(), ParseError> {
        if self.open.len() >= MOST_DEPTH {
            return Err(too_deep(&node));
        }
        self.last_end = node.span.end.max(self.last_end);
        self.open.push(Open { node, children: Vec::new(), height: 0, expanded: 1 });
        Ok(())
    }

    fn end(&mut self, range: &Range<usize>) -> Result<(), ParseError> {
        let Some(Open { mut node, children, height, expanded }) = self.open.pop() else { return Ok(()) };
        let flow = node.is_flow();
        let last = children.last().map_or(node.span.start, |child| child.span.end);
        node.span.end = if flow { range.end } else { last }.max(node.span.start);
        self.last_end = self.last_end.max(node.span.end);
        node.value = match node.value {
            Value::Mapping { flow, .. } => Value::Mapping { entries: paired(children), flow },
            _ => Value::Sequence { items: children, flow },
        };
        self.put(Built { node, height: height + 1, expanded })
    }

    fn put(&mut self, built: Built) -> Result<(), ParseError> {
        let Built { node, height, expanded } = built;
        self.nodes += 1;
        if self.open.len() + height > MOST_DEPTH {
            return Err(too_deep(&node));
        }
        if let Some(anchor) = &node.anchor {
            self.nodes = self.nodes.saturating_add(expanded);
            self.anchored.insert(anchor.id, (Arc::new(node.clone()), height, expanded));
        }
        if self.nodes > MOST_NODES {
            return Err(too_many(node.line, MOST_NODES));
        }
        let Some(parent) = self.open.last_mut() else {
            if let Some(document) = self.documents.last_mut() {
                document.root = (!is_absent(&node)).then_some(node);
            }
            return Ok(());
        };
        parent.height = parent.height.max(height);
        parent.expanded = parent.expanded.saturating_add(expanded);
        if parent.expanded > MOST_EXPANDED {
            return Err(too_many(node.line, MOST_EXPANDED));
        }
        parent.children.push(node);
        Ok(())
    }
}

fn is_absent(node: &Node) -> bool {
    node.span.is_empty() && node.anchor.is_none() && node.tag.is_none() && node.is_null()
}

fn too_deep(node: &Node) -> ParseError {
    ParseError { line: node.line, column: 1, reason: format!("nested more than {MOST_DEPTH} levels deep") }
}

fn paired(children: Vec<Node>) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(children.len() / 2);
    let mut children = children.into_iter();
    while let (Some(key), Some(value)) = (children.next(), children.next()) {
        entries.push(Entry { key, value });
    }
    entries
}

fn style_of(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::Single,
        ScalarStyle::DoubleQuoted => Style::Double,
        ScalarStyle::Literal => Style::Literal,
        ScalarStyle::Folded => Style::Folded,
    }
}

/// Returns the position of the first `|` or `>` at or after `from` that is not in a comment.
fn block_header(text: &str, from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    let mut in_comment = false;
    rest.char_indices().find_map(|(at, c)| match c {
        '\n' | '\r' => {
            in_comment = false;
            None
        }
        '#' => {
            in_comment = true;
            None
        }
        '|' | '>' if !in_comment => Some(from + at),
        _ => None,
    })
}

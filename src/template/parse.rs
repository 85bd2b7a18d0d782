//! Parses the actions of Go's grammar into a tree, with the same verdicts and error messages as Go.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use super::DEPTH_LIMIT;
use super::literal;
use super::token::{Kind, Token, Tokens, tokens};
use super::tree::{Arm, Branch, Definition, Node, Template};

/// An error of the parser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Byte offset at which the parser stopped, the same as in Go's error message.
    pub at: usize,
    /// Byte offset of the `{{` of the innermost action or block that is still open.
    pub opened: Option<usize>,
    /// The reason in Go's words.
    pub reason: String,
    /// Whether the template is nested deeper than [`DEPTH_LIMIT`]. Go may accept such a template.
    pub too_deep: bool,
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.reason)
    }
}

impl std::error::Error for Error {}

/// Parses the text of a template.
///
/// # Errors
/// Fails if Go refuses the template, or if the template is nested deeper than [`DEPTH_LIMIT`].
pub fn parse(text: &str) -> Result<Template, Error> {
    let mut parser = Parser {
        text,
        tokens: tokens(text),
        at: 0,
        furthest: 0,
        depth: 0,
        scope: Scope::default(),
        opened: Vec::new(),
        found: Vec::new(),
        empty: BTreeMap::new(),
    };
    let body = parser.file()?;
    Ok(Template { body, definitions: parser.found })
}

/// The keyword that ends a list of nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    End,
    Else,
}

/// The variables and loops of the template that is being parsed. `define` and `block` start with an empty scope.
#[derive(Default)]
pub(super) struct Scope {
    pub(super) variables: Vec<String>,
    ranges: usize,
}

pub(super) struct Parser<'t> {
    text: &'t str,
    tokens: Tokens,
    /// Index of the next token to parse.
    pub(super) at: usize,
    /// Index of the last token that was examined. Go reports errors at this token.
    furthest: usize,
    depth: usize,
    pub(super) scope: Scope,
    /// Byte offsets of the `{{` of the open blocks.
    opened: Vec<usize>,
    found: Vec<Definition>,
    /// For each defined name, whether its definition so far renders nothing.
    empty: BTreeMap<String, bool>,
}

impl Parser<'_> {
    pub(super) fn token(&self, index: usize) -> &Token {
        &self.tokens.all[index.min(self.tokens.all.len() - 1)]
    }

    pub(super) fn peek(&mut self) -> Kind {
        self.furthest = self.furthest.max(self.at);
        self.token(self.at).kind
    }

    /// Consumes the next token and returns its index.
    pub(super) fn next(&mut self) -> usize {
        self.peek();
        self.at += 1;
        self.at - 1
    }

    pub(super) fn skip_spaces(&mut self) {
        while self.peek() == Kind::Space {
            self.at += 1;
        }
    }

    pub(super) fn peek_after_spaces(&mut self) -> Kind {
        self.skip_spaces();
        self.peek()
    }

    pub(super) fn next_after_spaces(&mut self) -> usize {
        self.skip_spaces();
        self.next()
    }

    pub(super) fn kind(&self, index: usize) -> Kind {
        self.token(index).kind
    }

    pub(super) fn span(&self, index: usize) -> Range<usize> {
        self.token(index).span.clone()
    }

    pub(super) fn written(&self, index: usize) -> &str {
        &self.text[self.span(index)]
    }

    pub(super) fn error(&self, reason: impl Into<String>) -> Error {
        let at = self.token(self.furthest).span.start;
        Error { at, opened: self.opened.last().copied(), reason: reason.into(), too_deep: false }
    }

    pub(super) fn unexpected(&self, index: usize, context: &str) -> Error {
        let found = self.written(index);
        let token = match self.kind(index) {
            Kind::Error => return self.error(self.tokens.error.clone()),
            Kind::Eof => "EOF".to_owned(),
            kind if kind.is_keyword() => format!("<{found}>"),
            _ if found.chars().count() > 10 => format!("{:?}...", found.chars().take(10).collect::<String>()),
            _ => format!("{found:?}"),
        };
        self.error(format!("unexpected {token} in {context}"))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<usize, Error> {
        let index = self.next_after_spaces();
        if self.kind(index) == kind { Ok(index) } else { Err(self.unexpected(index, context)) }
    }

    /// Parses something one level deeper, up to [`DEPTH_LIMIT`].
    pub(super) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth == DEPTH_LIMIT {
            let reason = format!("blocks and parentheses are nested more than {DEPTH_LIMIT} levels deep");
            return Err(Error { too_deep: true, ..self.error(reason) });
        }
        self.depth += 1;
        let read = read(self)?;
        self.depth -= 1;
        Ok(read)
    }

    /// Parses the whole file.
    fn file(&mut self) -> Result<Vec<Node>, Error> {
        let mut body = Vec::new();
        while self.peek() != Kind::Eof {
            if self.peek() == Kind::LeftDelimiter {
                let delimiter = self.next();
                let word = self.next_after_spaces();
                if self.kind(word) == Kind::Define {
                    self.opened.push(self.span(delimiter).start);
                    self.definition()?;
                    self.opened.pop();
                    continue;
                }
                self.at = delimiter;
            }
            match self.text_or_action()? {
                Ok(node) => body.push(node),
                Err(ending) => return Err(self.error(format!("unexpected {}", written(ending)))),
            }
        }
        Ok(body)
    }

    fn definition(&mut self) -> Result<(), Error> {
        let context = "define clause";
        let word = self.next_after_spaces();
        let (name, span) = self.template_name(word, context)?;
        self.expect(Kind::RightDelimiter, context)?;
        let outer = std::mem::take(&mut self.scope);
        self.defined(name, span, context)?;
        self.scope = outer;
        Ok(())
    }

    /// Parses the body of `define` and `block`.
    fn defined(&mut self, name: String, span: Range<usize>, context: &str) -> Result<(), Error> {
        let (body, ending) = self.list()?;
        if ending == Ending::Else {
            return Err(self.error(format!("unexpected {{{{else}}}} in {context}")));
        }
        let empty = self.is_empty(&body);
        if self.empty.get(&name) == Some(&false) && !empty {
            return Err(self.error(format!("template: multiple definition of template {name:?}")));
        }
        if self.empty.get(&name) != Some(&false) {
            self.empty.insert(name.clone(), empty);
        }
        self.found.push(Definition { name, span, body });
        Ok(())
    }

    fn is_empty(&self, body: &[Node]) -> bool {
        body.iter().all(|node| matches!(node, Node::Text(span) if self.text[span.clone()].trim().is_empty()))
    }

    /// Parses nodes up to `end` or `else`.
    fn list(&mut self) -> Result<(Vec<Node>, Ending), Error> {
        let mut nodes = Vec::new();
        while self.peek_after_spaces() != Kind::Eof {
            match self.text_or_action()? {
                Ok(node) => nodes.push(node),
                Err(ending) => return Ok((nodes, ending)),
            }
        }
        Err(self.error("unexpected EOF"))
    }

    fn text_or_action(&mut self) -> Result<Result<Node, Ending>, Error> {
        let index = self.next_after_spaces();
        match self.kind(index) {
            Kind::Text => Ok(Ok(Node::Text(self.span(index)))),
            Kind::LeftDelimiter => {
                self.opened.push(self.span(index).start);
                let action = self.action();
                if action.is_ok() {
                    self.opened.pop();
                }
                action
            }
            _ => Err(self.unexpected(index, "input")),
        }
    }

    fn action(&mut self) -> Result<Result<Node, Ending>, Error> {
        let word = self.next_after_spaces();
        let node = match self.kind(word) {
            Kind::Block => self.deeper(Self::block)?,
            kind @ (Kind::Break | Kind::Continue) => self.jump(kind)?,
            Kind::Else => {
                if !matches!(self.peek_after_spaces(), Kind::If | Kind::With) {
                    self.expect(Kind::RightDelimiter, "else")?;
                }
                return Ok(Err(Ending::Else));
            }
            Kind::End => {
                self.expect(Kind::RightDelimiter, "end")?;
                return Ok(Err(Ending::End));
            }
            kind @ (Kind::If | Kind::Range | Kind::With) => self.deeper(|parser| parser.control(kind))?,
            Kind::Template => self.template()?,
            _ => {
                self.at = word;
                Node::Action(self.pipeline("command", Kind::RightDelimiter)?)
            }
        };
        Ok(Ok(node))
    }

    fn jump(&mut self, kind: Kind) -> Result<Node, Error> {
        let word = if kind == Kind::Break { "{{break}}" } else { "{{continue}}" };
        self.expect(Kind::RightDelimiter, word)?;
        if self.scope.ranges == 0 {
            return Err(self.error(format!("{word} outside {{{{range}}}}")));
        }
        Ok(Node::Jump)
    }

    /// Parses `if`, `range` and `with` after the keyword, with all `else if` and `else with`, which share one `end`.
    fn control(&mut self, kind: Kind) -> Result<Node, Error> {
        let variables = self.scope.variables.len();
        let mut arms = Vec::new();
        let otherwise = loop {
            let pipeline = self.pipeline(context(kind), Kind::RightDelimiter)?;
            self.scope.ranges += usize::from(kind == Kind::Range);
            let (body, ending) = self.list()?;
            self.scope.ranges -= usize::from(kind == Kind::Range);
            arms.push(Arm { pipeline, body });
            if ending == Ending::End {
                break Vec::new();
            }
            if kind != Kind::Range && self.peek() == kind {
                self.next();
                continue;
            }
            let (otherwise, ending) = self.list()?;
            if ending == Ending::Else {
                return Err(self.error("expected end; found {{else}}"));
            }
            break otherwise;
        };
        self.scope.variables.truncate(variables);
        let branch = Branch { arms, otherwise };
        Ok(match kind {
            Kind::If => Node::If(branch),
            Kind::With => Node::With(branch),
            _ => Node::Range(branch),
        })
    }

    fn block(&mut self) -> Result<Node, Error> {
        let context = "block clause";
        let word = self.next_after_spaces();
        let (name, span) = self.template_name(word, context)?;
        let argument = self.pipeline(context, Kind::RightDelimiter)?;
        let outer = std::mem::take(&mut self.scope);
        self.defined(name.clone(), span.clone(), context)?;
        self.scope = outer;
        Ok(Node::Template { name, span, argument: Some(argument) })
    }

    fn template(&mut self) -> Result<Node, Error> {
        let context = "template clause";
        let word = self.next_after_spaces();
        let (name, span) = self.template_name(word, context)?;
        let after = self.next_after_spaces();
        if self.kind(after) == Kind::RightDelimiter {
            return Ok(Node::Template { name, span, argument: None });
        }
        self.at = after;
        let argument = self.pipeline(context, Kind::RightDelimiter)?;
        Ok(Node::Template { name, span, argument: Some(argument) })
    }

    fn template_name(&mut self, index: usize, context: &str) -> Result<(String, Range<usize>), Error> {
        if !matches!(self.kind(index), Kind::Quoted | Kind::Raw) {
            return Err(self.unexpected(index, context));
        }
        Ok((self.string(index)?, self.span(index)))
    }

    pub(super) fn string(&self, index: usize) -> Result<String, Error> {
        literal::string(self.written(index)).ok_or_else(|| self.error("invalid syntax"))
    }
}

fn written(ending: Ending) -> &'static str {
    match ending {
        Ending::End => "{{end}}",
        Ending::Else => "{{else}}",
    }
}

fn context(kind: Kind) -> &'static str {
    match kind {
        Kind::If => "if",
        Kind::With => "with",
        _ => "range",
    }
}

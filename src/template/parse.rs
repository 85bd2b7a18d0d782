//! From tokens to a tree: Go's grammar, with Go's verdicts and its words for them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use super::literal;
use super::token::{Kind, Token, Tokens, tokens};
use super::tree::{Arm, Branch, Command, Definition, Node, Operand, Pipeline, Template, Term};
use super::{DEPTH_LIMIT, known};

/// Why a template does not parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Byte of the text where the parser stopped, which is where Go says it stopped.
    pub at: usize,
    /// Byte of the `{{` of the action or block that was not closed.
    pub opened: Option<usize>,
    /// The reason, as Go words it.
    pub reason: String,
    /// Is the template nested deeper than [`DEPTH_LIMIT`]? Then Go may well take it.
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
/// When Go refuses the template, or it is nested deeper than [`DEPTH_LIMIT`].
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

/// What a list of nodes ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    End,
    Else,
}

/// What a template that is being parsed knows: `define` and `block` start anew.
#[derive(Default)]
struct Scope {
    variables: Vec<String>,
    ranges: usize,
}

struct Parser<'t> {
    text: &'t str,
    tokens: Tokens,
    /// Index of the next token.
    at: usize,
    /// Index of the last token that was asked for: where Go says that it stopped.
    furthest: usize,
    depth: usize,
    scope: Scope,
    /// The `{{` of the blocks that are open.
    opened: Vec<usize>,
    found: Vec<Definition>,
    /// Whether the template that has this name so far renders nothing.
    empty: BTreeMap<String, bool>,
}

impl Parser<'_> {
    fn token(&self, index: usize) -> &Token {
        &self.tokens.all[index.min(self.tokens.all.len() - 1)]
    }

    fn peek(&mut self) -> Kind {
        self.furthest = self.furthest.max(self.at);
        self.token(self.at).kind
    }

    /// Takes the next token; returns its index.
    fn next(&mut self) -> usize {
        self.peek();
        self.at += 1;
        self.at - 1
    }

    fn skip_spaces(&mut self) {
        while self.peek() == Kind::Space {
            self.at += 1;
        }
    }

    fn peek_after_spaces(&mut self) -> Kind {
        self.skip_spaces();
        self.peek()
    }

    fn next_after_spaces(&mut self) -> usize {
        self.skip_spaces();
        self.next()
    }

    fn kind(&self, index: usize) -> Kind {
        self.token(index).kind
    }

    fn span(&self, index: usize) -> Range<usize> {
        self.token(index).span.clone()
    }

    fn written(&self, index: usize) -> &str {
        &self.text[self.span(index)]
    }

    fn error(&self, reason: impl Into<String>) -> Error {
        let at = self.token(self.furthest).span.start;
        Error { at, opened: self.opened.last().copied(), reason: reason.into(), too_deep: false }
    }

    fn unexpected(&self, index: usize, context: &str) -> Error {
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

    /// Goes one level deeper.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth == DEPTH_LIMIT {
            let reason = format!("blocks and parentheses are nested more than {DEPTH_LIMIT} deep");
            return Err(Error { too_deep: true, ..self.error(reason) });
        }
        self.depth += 1;
        let read = read(self)?;
        self.depth -= 1;
        Ok(read)
    }

    /// Reads the whole file.
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

    /// Reads the body of `define` and `block`.
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

    /// Reads up to `end` or `else`.
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

    /// Reads `if`, `range` and `with` after their word, with all `else if` and `else with`, which share one `end`.
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

    fn string(&self, index: usize) -> Result<String, Error> {
        literal::string(self.written(index)).ok_or_else(|| self.error("invalid syntax"))
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipeline, Error> {
        self.skip_spaces();
        let start = self.token(self.at).span.start;
        let (variables, assigns) = self.declarations(context)?;
        let mut commands = Vec::new();
        loop {
            let index = self.next_after_spaces();
            match self.kind(index) {
                kind if kind == end => {
                    self.check_pipeline(&commands, context)?;
                    return Ok(Pipeline { variables, assigns, commands, span: start..self.span(index).start });
                }
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::Raw
                | Kind::Quoted
                | Kind::Variable
                | Kind::LeftParenthesis => {
                    self.at = index;
                    commands.push(self.command()?);
                }
                _ => return Err(self.unexpected(index, context)),
            }
        }
    }

    /// Reads the variables on the left of `:=` or `=`, and whether it is `=`.
    fn declarations(&mut self, context: &str) -> Result<(Vec<String>, bool), Error> {
        let mut declared = Vec::new();
        while self.peek_after_spaces() == Kind::Variable {
            let index = self.next();
            let name = self.written(index).to_owned();
            // Go looks at the token behind the variable and at the next that is no space.
            let behind = self.peek_after_spaces();
            let comma = behind == Kind::Char && self.written(self.at) == ",";
            if !matches!(behind, Kind::Assign | Kind::Declare) && !comma {
                self.at = index;
                break;
            }
            self.next();
            declared.push(name.clone());
            self.scope.variables.push(name);
            if !comma {
                return Ok((declared, behind == Kind::Assign));
            }
            if context != "range" || declared.len() > 1 {
                return Err(self.error(format!("too many declarations in {context}")));
            }
            if !matches!(self.peek_after_spaces(), Kind::Variable | Kind::RightDelimiter | Kind::RightParenthesis) {
                return Err(self.error("range can only initialize variables"));
            }
        }
        Ok((declared, false))
    }

    fn check_pipeline(&self, commands: &[Command], context: &str) -> Result<(), Error> {
        if commands.is_empty() {
            return Err(self.error(format!("missing value for {context}")));
        }
        for (stage, command) in commands.iter().enumerate().skip(1) {
            let operand = &command.operands[0];
            let literal = matches!(operand.term, Term::Bool(_) | Term::Dot | Term::Nil | Term::Number | Term::Text(_));
            if literal && operand.fields.is_empty() {
                return Err(self.error(format!("non executable command in pipeline stage {}", stage + 1)));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Result<Command, Error> {
        let mut operands = Vec::new();
        loop {
            self.skip_spaces();
            operands.extend(self.operand()?);
            let index = self.next();
            match self.kind(index) {
                Kind::Space => {}
                Kind::RightDelimiter | Kind::RightParenthesis => {
                    self.at = index;
                    break;
                }
                Kind::Pipe => break,
                _ => return Err(self.unexpected(index, "operand")),
            }
        }
        if operands.is_empty() { Err(self.error("empty command")) } else { Ok(Command { operands }) }
    }

    /// Reads a term and the fields right behind it; nothing when the next token is none.
    fn operand(&mut self) -> Result<Option<Operand>, Error> {
        self.skip_spaces();
        let index = self.at;
        let start = self.token(index).span.start;
        let Some(term) = self.term()? else { return Ok(None) };
        let mut fields = Vec::new();
        if self.kind(index) == Kind::Field {
            fields.push(self.written(index)[1..].to_owned());
        }
        let literal = matches!(term, Term::Bool(_) | Term::Text(_) | Term::Number | Term::Nil)
            || (matches!(term, Term::Dot) && fields.is_empty());
        if literal && self.peek() == Kind::Field {
            return Err(self.error(format!("unexpected . after term {:?}", self.written(index))));
        }
        while self.peek() == Kind::Field {
            let field = self.next();
            fields.push(self.written(field)[1..].to_owned());
        }
        let end = self.token(self.at - 1).span.end;
        Ok(Some(Operand { term, fields, span: start..end }))
    }

    fn term(&mut self) -> Result<Option<Term>, Error> {
        let index = self.next();
        let written = self.written(index);
        Ok(Some(match self.kind(index) {
            Kind::Identifier => {
                let name = written.to_owned();
                if known(&name).is_none() {
                    return Err(self.error(format!("function {name:?} not defined")));
                }
                Term::Function(name)
            }
            Kind::Dot | Kind::Field => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Variable => {
                let name = written.to_owned();
                if name != "$" && !self.scope.variables.contains(&name) {
                    return Err(self.error(format!("undefined variable {name:?}")));
                }
                Term::Variable(name)
            }
            Kind::Bool => Term::Bool(written == "true"),
            Kind::CharConstant => self.number(literal::check_character(written))?,
            Kind::Complex => self.number(literal::check_complex(written))?,
            Kind::Number => self.number(literal::check_number(written))?,
            Kind::LeftParenthesis => {
                let pipeline = |parser: &mut Self| parser.pipeline("parenthesized pipeline", Kind::RightParenthesis);
                Term::Parenthesised(Box::new(self.deeper(pipeline)?))
            }
            Kind::Quoted | Kind::Raw => Term::Text(self.string(index)?),
            _ => {
                self.at = index;
                return Ok(None);
            }
        }))
    }

    fn number(&self, checked: Result<(), String>) -> Result<Term, Error> {
        checked.map(|()| Term::Number).map_err(|reason| self.error(reason))
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

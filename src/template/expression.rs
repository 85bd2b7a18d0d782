//! Parses the pipelines inside of actions, with their commands, operands and terms.

use super::parse::{Error, Parser};
use super::token::Kind;
use super::tree::{Command, Operand, Pipeline, Term};
use super::{known, literal};

impl Parser<'_> {
    pub(super) fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipeline, Error> {
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

    /// Parses the variables on the left of `:=` or `=`, and reports whether the sign is `=`.
    fn declarations(&mut self, context: &str) -> Result<(Vec<String>, bool), Error> {
        let mut declared = Vec::new();
        while self.peek_after_spaces() == Kind::Variable {
            let index = self.next();
            let name = self.written(index).to_owned();
            // Go examines the token after the variable, and the next token that is not a space.
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

    /// Parses a term and the fields directly after it. Returns `None` if the next token does not start a term.
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

//! Splits a text into tokens by the rules of Go's lexer. Text outside of actions is trimmed, and comments are removed.

use std::ops::Range;

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The rest of the text is invalid; [`Tokens::error`] contains the reason.
    Error,
    Eof,
    Text,
    LeftDelimiter,
    RightDelimiter,
    LeftParenthesis,
    RightParenthesis,
    Space,
    Pipe,
    Assign,
    Declare,
    /// Any other printable ASCII character, such as a comma.
    Char,
    Bool,
    CharConstant,
    Complex,
    Number,
    Quoted,
    Raw,
    Dot,
    Field,
    Variable,
    Identifier,
    Nil,
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

impl Kind {
    /// Reports whether the kind is a keyword, which cannot be the name of a function.
    pub(super) fn is_keyword(self) -> bool {
        use Kind::{Block, Break, Continue, Define, Dot, Else, End, If, Nil, Range, Template, With};
        matches!(self, Block | Break | Continue | Define | Dot | Else | End | If | Nil | Range | Template | With)
    }
}

/// A token with its bytes in the text.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

/// All tokens of a text. The last one is [`Kind::Eof`] or [`Kind::Error`].
pub(super) struct Tokens {
    pub(super) all: Vec<Token>,
    /// Reason for the error, if the last token is one.
    pub(super) error: String,
}

/// Splits a text into tokens.
pub(super) fn tokens(text: &str) -> Tokens {
    let mut lexer = Lexer { text, start: 0, at: 0, parentheses: 0, found: Vec::new() };
    let error = lexer.text().err().unwrap_or_default();
    let kind = if error.is_empty() { Kind::Eof } else { Kind::Error };
    lexer.emit(kind);
    Tokens { all: lexer.found, error }
}

struct Lexer<'t> {
    text: &'t str,
    /// Start of the current token.
    start: usize,
    at: usize,
    parentheses: usize,
    found: Vec<Token>,
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// Reports whether a character may be part of a name. Go allows letters and decimal digits. Other numerals and marks are accepted here
/// as well, because no name in use contains them.
fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn has_left_trim(rest: &str) -> bool {
    rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(is_space))
}

fn has_right_trim(rest: &str) -> bool {
    rest.strip_prefix(is_space).is_some_and(|rest| rest.starts_with('-'))
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn emit(&mut self, kind: Kind) {
        self.found.push(Token { kind, span: self.start..self.at });
        self.start = self.at;
    }

    fn skip(&mut self, bytes: usize) {
        self.at += bytes;
        self.start = self.at;
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        let spaces = rest.len() - rest.trim_start_matches(is_space).len();
        self.skip(spaces);
    }

    /// Reads text and actions up to the end.
    fn text(&mut self) -> Result<(), String> {
        while let Some(found) = self.rest().find("{{") {
            let delimiter = self.at + found;
            let trims = has_left_trim(&self.text[delimiter + 2..]);
            let text = &self.text[self.at..delimiter];
            self.at += if trims { text.trim_end_matches(is_space).len() } else { text.len() };
            if self.at > self.start {
                self.emit(Kind::Text);
            }
            (self.start, self.at) = (delimiter, delimiter);
            self.left_delimiter(trims)?;
        }
        self.at = self.text.len();
        if self.at > self.start {
            self.emit(Kind::Text);
        }
        Ok(())
    }

    fn left_delimiter(&mut self, trims: bool) -> Result<(), String> {
        self.at += 2;
        let marker = if trims { 2 } else { 0 };
        if self.text[self.at + marker..].starts_with("/*") {
            self.skip(marker);
            return self.comment();
        }
        self.emit(Kind::LeftDelimiter);
        self.skip(marker);
        self.parentheses = 0;
        while !self.inside()? {}
        Ok(())
    }

    fn comment(&mut self) -> Result<(), String> {
        self.at += 2;
        let length = self.rest().find("*/").ok_or("unclosed comment")?;
        self.at += length + 2;
        let trims = self.right_delimiter().ok_or("comment ends before closing delimiter")?;
        self.skip(if trims { 4 } else { 2 });
        if trims {
            self.skip_spaces();
        }
        Ok(())
    }

    /// Returns whether a right delimiter at this position trims, or `None` if there is no right delimiter.
    fn right_delimiter(&self) -> Option<bool> {
        let rest = self.rest();
        if has_right_trim(rest) && rest[2..].starts_with("}}") {
            return Some(true);
        }
        rest.starts_with("}}").then_some(false)
    }

    /// Reads the next token of an action, and reports whether the action has ended.
    fn inside(&mut self) -> Result<bool, String> {
        if let Some(trims) = self.right_delimiter() {
            if self.parentheses > 0 {
                return Err("unclosed left paren".to_owned());
            }
            self.skip(if trims { 2 } else { 0 });
            self.at += 2;
            self.emit(Kind::RightDelimiter);
            if trims {
                self.skip_spaces();
            }
            return Ok(true);
        }
        let c = self.next().ok_or("unclosed action")?;
        match c {
            c if is_space(c) => self.space(),
            '=' => self.emit(Kind::Assign),
            ':' if self.next() == Some('=') => self.emit(Kind::Declare),
            ':' => return Err("expected :=".to_owned()),
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', "unterminated quoted string", Kind::Quoted)?,
            '\'' => self.quoted('\'', "unterminated character constant", Kind::CharConstant)?,
            '`' => {
                let end = self.rest().find('`').ok_or("unterminated raw quoted string")?;
                self.at += end + 1;
                self.emit(Kind::Raw);
            }
            '$' => self.name(Kind::Variable, Kind::Variable)?,
            '.' if self.peek().is_some_and(|next| !next.is_ascii_digit()) => self.name(Kind::Field, Kind::Dot)?,
            '.' | '+' | '-' | '0'..='9' => self.number()?,
            c if is_alphanumeric(c) => self.identifier()?,
            '(' => {
                self.parentheses += 1;
                self.emit(Kind::LeftParenthesis);
            }
            ')' => {
                self.parentheses = self.parentheses.checked_sub(1).ok_or("unexpected right paren")?;
                self.emit(Kind::RightParenthesis);
            }
            c if c.is_ascii_graphic() => self.emit(Kind::Char),
            c => return Err(format!("unrecognized character in action: {}", code_point(Some(c)))),
        }
        Ok(false)
    }

    /// Reads spaces after the first one. The last space may belong to a right delimiter that trims.
    fn space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
        let last = &self.text[self.at - 1..];
        if has_right_trim(last) && last[2..].starts_with("}}") {
            self.at -= 1;
        }
        if self.at > self.start {
            self.emit(Kind::Space);
        }
    }

    fn quoted(&mut self, quote: char, unterminated: &str, kind: Kind) -> Result<(), String> {
        loop {
            match self.next() {
                Some('\\') if self.next().is_some_and(|c| c != '\n') => {}
                None | Some('\n' | '\\') => return Err(unterminated.to_owned()),
                Some(c) if c == quote => break,
                Some(_) => {}
            }
        }
        self.emit(kind);
        Ok(())
    }

    /// Reads the letters after `.` or `$`.
    fn name(&mut self, kind: Kind, alone: Kind) -> Result<(), String> {
        if self.at_terminator() {
            self.emit(alone);
            return Ok(());
        }
        self.letters()?;
        self.emit(kind);
        Ok(())
    }

    fn letters(&mut self) -> Result<(), String> {
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        if self.at_terminator() { Ok(()) } else { Err(format!("bad character {}", code_point(self.peek()))) }
    }

    fn identifier(&mut self) -> Result<(), String> {
        self.letters()?;
        let kind = match &self.text[self.start..self.at] {
            "block" => Kind::Block,
            "break" => Kind::Break,
            "continue" => Kind::Continue,
            "define" => Kind::Define,
            "else" => Kind::Else,
            "end" => Kind::End,
            "if" => Kind::If,
            "nil" => Kind::Nil,
            "range" => Kind::Range,
            "template" => Kind::Template,
            "with" => Kind::With,
            "true" | "false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.emit(kind);
        Ok(())
    }

    fn at_terminator(&self) -> bool {
        let rest = self.rest();
        rest.is_empty()
            || rest.starts_with(|c| is_space(c) || matches!(c, '.' | ',' | '|' | ':' | ')' | '('))
            || rest.starts_with("}}")
    }

    fn number(&mut self) -> Result<(), String> {
        self.at = self.start;
        let mut valid = self.scan_number();
        let mut kind = Kind::Number;
        if valid && self.peek().is_some_and(|c| matches!(c, '+' | '-')) {
            kind = Kind::Complex;
            valid = self.scan_number() && self.text[..self.at].ends_with('i');
        }
        if !valid {
            return Err(format!("bad number syntax: {:?}", &self.text[self.start..self.at]));
        }
        self.emit(kind);
        Ok(())
    }

    fn accept(&mut self, valid: &str) -> bool {
        let accepted = self.peek().is_some_and(|c| valid.contains(c));
        self.at += usize::from(accepted);
        accepted
    }

    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        if self.accept("0") {
            for (prefix, of) in [("xX", "0123456789abcdefABCDEF_"), ("oO", "01234567_"), ("bB", "01_")] {
                if self.accept(prefix) {
                    digits = of;
                    break;
                }
            }
        }
        while self.accept(digits) {}
        if self.accept(".") {
            while self.accept(digits) {}
        }
        let exponent = match digits.len() {
            11 => "eE",
            23 => "pP",
            _ => "",
        };
        if self.accept(exponent) {
            self.accept("+-");
            while self.accept("0123456789_") {}
        }
        self.accept("i");
        if self.peek().is_some_and(is_alphanumeric) {
            self.next();
            return false;
        }
        true
    }
}

/// Formats a character in the same way as Go's `%#U`.
fn code_point(c: Option<char>) -> String {
    match c {
        Some(c) if c.is_control() => format!("U+{:04X}", u32::from(c)),
        Some(c) => format!("U+{:04X} '{c}'", u32::from(c)),
        None => "at the end".to_owned(),
    }
}

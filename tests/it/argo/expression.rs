//! The part of Argo's expressions that the manifests may use: comparisons of strings, lists of strings, `matches`,
//! `&&`, `||`, `!`, `??`, `?:`, `?.` and parentheses. Everything else is refused, so that the manifests stay simple.

use std::iter::Peekable;
use std::vec::IntoIter;

/// The parts of a name such as `tasks.diff.outputs.parameters['has-changes']`.
pub type Path = Vec<String>;

#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    Text(String),
    Truth(bool),
    /// A name. If it is read with `?.`, it may be missing and then has no value.
    Name {
        path: Path,
        optional: bool,
    },
    Not(Box<Self>),
    Both(&'static str, Box<Self>, Box<Self>),
    /// A value, and the list of strings that it must be one of.
    Among(Box<Self>, Vec<String>),
    /// A condition, the value if it is true, and the value if it is false.
    Choice(Box<[Self; 3]>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Text(String),
    Truth(bool),
    Nothing,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(&'static str),
}

const SIGNS: [&str; 14] = ["==", "!=", "&&", "||", "??", "?.", "?", ":", "!", "(", ")", "[", "]", ","];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let (mut rest, mut tokens) = (text.trim_start(), Vec::new());
    while !rest.is_empty() {
        if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            tokens.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else if let Some(quoted) = rest.strip_prefix('\'') {
            let (inner, after) = quoted.split_once('\'').ok_or_else(|| format!("missing closing quote in `{text}`"))?;
            tokens.push(Token::Text(inner.to_owned()));
            rest = after;
        } else {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_')).unwrap_or(rest.len());
            if end == 0 {
                return Err(format!("outside of the model: `{rest}` in the expression `{text}`"));
            }
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// Parses an expression.
pub fn parse(text: &str) -> Result<Expression, String> {
    let mut left = tokens(text)?.into_iter().peekable();
    let expression = choice(&mut left).map_err(|cause| format!("{cause} in the expression `{text}`"))?;
    match left.next() {
        None => Ok(expression),
        Some(token) => Err(format!("outside of the model: {token:?} in the expression `{text}`")),
    }
}

type Tokens = Peekable<IntoIter<Token>>;

fn joined(
    left: &mut Tokens,
    signs: &[&'static str],
    next: fn(&mut Tokens) -> Result<Expression, String>,
) -> Result<Expression, String> {
    let mut expression = next(left)?;
    while let Some(Token::Sign(sign)) = left.next_if(|token| matches!(token, Token::Sign(sign) if signs.contains(sign)))
    {
        expression = Expression::Both(sign, Box::new(expression), Box::new(next(left)?));
    }
    Ok(expression)
}

fn choice(left: &mut Tokens) -> Result<Expression, String> {
    let condition = either(left)?;
    if left.next_if_eq(&Token::Sign("?")).is_none() {
        return Ok(condition);
    }
    let yes = choice(left)?;
    left.next_if_eq(&Token::Sign(":")).ok_or("a choice without `:`")?;
    Ok(Expression::Choice(Box::new([condition, yes, choice(left)?])))
}

fn either(left: &mut Tokens) -> Result<Expression, String> {
    joined(left, &["||"], |left| joined(left, &["&&"], compared))
}

fn compared(left: &mut Tokens) -> Result<Expression, String> {
    let value = joined(left, &["==", "!="], |left| joined(left, &["??"], single))?;
    match left.next_if(|token| matches!(token, Token::Word(word) if word == "in" || word == "matches")) {
        Some(Token::Word(word)) if word == "in" => Ok(Expression::Among(Box::new(value), texts(left)?)),
        Some(_) => Ok(Expression::Both("matches", Box::new(value), Box::new(single(left)?))),
        None => Ok(value),
    }
}

/// Parses a list of strings.
fn texts(left: &mut Tokens) -> Result<Vec<String>, String> {
    left.next_if_eq(&Token::Sign("[")).ok_or("`in` without a list")?;
    let mut texts = Vec::new();
    loop {
        let Some(Token::Text(text)) = left.next() else { return Err("a list of something else than texts".to_owned()) };
        texts.push(text);
        if left.next_if_eq(&Token::Sign(",")).is_none() {
            left.next_if_eq(&Token::Sign("]")).ok_or("an open list")?;
            return Ok(texts);
        }
    }
}

fn single(left: &mut Tokens) -> Result<Expression, String> {
    match left.next() {
        Some(Token::Sign("!")) => Ok(Expression::Not(Box::new(single(left)?))),
        Some(Token::Sign("(")) => {
            let inner = choice(left)?;
            left.next_if_eq(&Token::Sign(")")).ok_or("an open bracket")?;
            Ok(inner)
        }
        Some(Token::Text(text)) => Ok(Expression::Text(text)),
        Some(Token::Word(word)) if word == "true" || word == "false" => Ok(Expression::Truth(word == "true")),
        Some(Token::Word(word)) => name(left, &word),
        other => Err(format!("outside of the model: {other:?}")),
    }
}

fn name(left: &mut Tokens, word: &str) -> Result<Expression, String> {
    let parts = |word: &str| word.split('.').filter(|part| !part.is_empty()).map(ToOwned::to_owned).collect::<Path>();
    let (mut path, mut optional) = (parts(word), false);
    loop {
        if left.next_if_eq(&Token::Sign("[")).is_some() {
            let Some(Token::Text(key)) = left.next() else { return Err("an index that is not a text".to_owned()) };
            path.push(key);
            left.next_if_eq(&Token::Sign("]")).ok_or("an open index")?;
        } else if left.next_if_eq(&Token::Sign("?.")).is_some() {
            let Some(Token::Word(word)) = left.next() else { return Err("`?.` without a name".to_owned()) };
            path.extend(parts(&word));
            optional = true;
        } else if let Some(Token::Word(word)) =
            left.next_if(|token| matches!(token, Token::Word(word) if word.starts_with('.')))
        {
            path.extend(parts(&word));
        } else {
            return Ok(Expression::Name { path, optional });
        }
    }
}

impl Expression {
    /// Returns every name in the expression.
    pub fn names(&self) -> Vec<&Path> {
        match self {
            Self::Text(_) | Self::Truth(_) => Vec::new(),
            Self::Name { path, .. } => vec![path],
            Self::Not(inner) | Self::Among(inner, _) => inner.names(),
            Self::Both(_, a, b) => [a.names(), b.names()].concat(),
            Self::Choice(parts) => parts.iter().flat_map(Self::names).collect(),
        }
    }

    /// Reports whether a name that satisfies `wanted` must have a value.
    pub fn requires(&self, wanted: &dyn Fn(&[String]) -> bool) -> bool {
        match self {
            Self::Text(_) | Self::Truth(_) => false,
            Self::Name { path, optional } => !optional && wanted(path),
            Self::Not(inner) | Self::Among(inner, _) => inner.requires(wanted),
            Self::Both(_, a, b) => a.requires(wanted) || b.requires(wanted),
            Self::Choice(parts) => parts.iter().any(|part| part.requires(wanted)),
        }
    }

    /// Returns the value of the expression.
    pub fn value(&self, known: &dyn Fn(&[String]) -> Option<Outcome>) -> Result<Outcome, String> {
        match self {
            Self::Text(text) => Ok(Outcome::Text(text.clone())),
            Self::Truth(truth) => Ok(Outcome::Truth(*truth)),
            Self::Name { path, optional } => known(path)
                .or(optional.then_some(Outcome::Nothing))
                .ok_or_else(|| format!("`{}` is not known here", path.join("."))),
            Self::Not(inner) => Ok(Outcome::Truth(!inner.holds(known)?)),
            Self::Both("&&", a, b) => Ok(Outcome::Truth(a.holds(known)? && b.holds(known)?)),
            Self::Both("||", a, b) => Ok(Outcome::Truth(a.holds(known)? || b.holds(known)?)),
            Self::Both("??", a, b) => match a.value(known)? {
                Outcome::Nothing => b.value(known),
                value => Ok(value),
            },
            Self::Both("matches", a, b) => Ok(Outcome::Truth(found(&a.value(known)?, &b.value(known)?)?)),
            Self::Among(inner, texts) => {
                let value = inner.value(known)?;
                Ok(Outcome::Truth(texts.iter().any(|text| value == Outcome::Text(text.clone()))))
            }
            Self::Choice(parts) => parts[if parts[0].holds(known)? { 1 } else { 2 }].value(known),
            Self::Both(sign, a, b) => Ok(Outcome::Truth((a.value(known)? == b.value(known)?) == (*sign == "=="))),
        }
    }

    /// Reports whether the expression is true.
    pub fn holds(&self, known: &dyn Fn(&[String]) -> Option<Outcome>) -> Result<bool, String> {
        match self.value(known)? {
            Outcome::Truth(truth) => Ok(truth),
            Outcome::Text(text) => {
                Err(format!("outside of the model: expected true or false, found the text `{text}`"))
            }
            Outcome::Nothing => Err("outside of the model: nothing where a truth is wanted".to_owned()),
        }
    }
}

/// Reports whether a text contains one of the words that `|` separates. Other patterns are not supported.
fn found(text: &Outcome, pattern: &Outcome) -> Result<bool, String> {
    let (Outcome::Text(text), Outcome::Text(pattern)) = (text, pattern) else {
        return Err("outside of the model: `matches` of something else than texts".to_owned());
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == ' ' || c == '|';
    if !pattern.chars().all(plain) {
        return Err(format!("outside of the model: the pattern `{pattern}`"));
    }
    Ok(pattern.split('|').any(|word| text.contains(word)))
}

#[test]
fn supported_expressions_are_evaluated() {
    let known = |path: &[String]| match path.join(".").as_str() {
        "a.b-c" => Some(Outcome::Text("x".to_owned())),
        "t.Succeeded" => Some(Outcome::Truth(true)),
        _ => None,
    };
    for (text, expected) in [
        ("a['b-c'] == 'x'", true),
        ("a['b-c'] != 'x' || t.Succeeded", true),
        ("!(t.Succeeded && a['b-c'] == 'y')", true),
        ("t.Succeeded && a['b-c'] == 'y'", false),
        ("!t.Succeeded || 'a' == 'a' && 'b' == 'c'", false),
        ("a['b-c'] in ['y', 'x']", true),
        ("!(a['b-c'] in ['y'])", true),
        ("a['b-c'] matches 'z|x'", true),
        ("a?.none == 'x'", false),
        ("(a?.none ?? 'x') == 'x'", true),
        ("a['b-c']?.none ?? 'x' == 'x'", true),
        ("t.Succeeded ? a['b-c'] == 'x' : t.Succeeded", true),
        ("'a' == 'b' ? 'c' : t.Succeeded", true),
    ] {
        assert_eq!(parse(text).and_then(|parsed| parsed.holds(&known)), Ok(expected), "{text}");
    }
}

#[test]
fn unsupported_expressions_are_refused() {
    let known = |_: &[String]| None;
    for text in [
        "a-b == 'x'",
        "a ?? 'x'",
        "a.b ?? 'x' == 'x'",
        "a?.b",
        "'a' in 'b'",
        "'a' matches '^a'",
        "'a' == 'a' ? 'b'",
        "len(a)",
        "'a' + 'b' == 'ab'",
        "a == \"x\"",
        "'a'",
        "a",
        "('a' == 'a'",
        "'a' == 'a' 'b'",
        "a[0]",
    ] {
        assert!(parse(text).and_then(|parsed| parsed.holds(&known)).is_err(), "{text}");
    }
}

//! The little of Argo's expressions that the manifests may use: comparisons of texts, `&&`, `||`, `!`, brackets. What is more is
//! refused, so that the manifests stay simple.

use std::iter::Peekable;
use std::vec::IntoIter;

/// A name as `tasks.diff.outputs.parameters['has-changes']`, its parts.
pub type Path = Vec<String>;

#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    Text(String),
    Name(Path),
    Not(Box<Self>),
    Both(&'static str, Box<Self>, Box<Self>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Text(String),
    Truth(bool),
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(&'static str),
}

const SIGNS: [&str; 9] = ["==", "!=", "&&", "||", "!", "(", ")", "[", "]"];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let (mut rest, mut tokens) = (text.trim_start(), Vec::new());
    while !rest.is_empty() {
        if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            tokens.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else if let Some(quoted) = rest.strip_prefix('\'') {
            let (inner, after) = quoted.split_once('\'').ok_or_else(|| format!("an open quote in `{text}`"))?;
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

/// Reads an expression.
pub fn parse(text: &str) -> Result<Expression, String> {
    let mut left = tokens(text)?.into_iter().peekable();
    let expression = either(&mut left).map_err(|cause| format!("{cause} in the expression `{text}`"))?;
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

fn either(left: &mut Tokens) -> Result<Expression, String> {
    joined(left, &["||"], |left| joined(left, &["&&"], |left| joined(left, &["==", "!="], single)))
}

fn single(left: &mut Tokens) -> Result<Expression, String> {
    match left.next() {
        Some(Token::Sign("!")) => Ok(Expression::Not(Box::new(single(left)?))),
        Some(Token::Sign("(")) => {
            let inner = either(left)?;
            left.next_if_eq(&Token::Sign(")")).ok_or("an open bracket")?;
            Ok(inner)
        }
        Some(Token::Text(text)) => Ok(Expression::Text(text)),
        Some(Token::Word(word)) => {
            let mut path: Path = word.split('.').map(ToOwned::to_owned).collect();
            while left.next_if_eq(&Token::Sign("[")).is_some() {
                let Some(Token::Text(key)) = left.next() else { return Err("an index that is no text".to_owned()) };
                path.push(key);
                left.next_if_eq(&Token::Sign("]")).ok_or("an open index")?;
            }
            Ok(Expression::Name(path))
        }
        other => Err(format!("outside of the model: {other:?}")),
    }
}

impl Expression {
    /// Every name in it.
    pub fn names(&self) -> Vec<&Path> {
        match self {
            Self::Text(_) => Vec::new(),
            Self::Name(path) => vec![path],
            Self::Not(inner) => inner.names(),
            Self::Both(_, a, b) => [a.names(), b.names()].concat(),
        }
    }

    fn value(&self, known: &dyn Fn(&[String]) -> Option<Outcome>) -> Result<Outcome, String> {
        match self {
            Self::Text(text) => Ok(Outcome::Text(text.clone())),
            Self::Name(path) => known(path).ok_or_else(|| format!("`{}` is not known here", path.join("."))),
            Self::Not(inner) => Ok(Outcome::Truth(!inner.holds(known)?)),
            Self::Both("&&", a, b) => Ok(Outcome::Truth(a.holds(known)? && b.holds(known)?)),
            Self::Both("||", a, b) => Ok(Outcome::Truth(a.holds(known)? || b.holds(known)?)),
            Self::Both(sign, a, b) => Ok(Outcome::Truth((a.value(known)? == b.value(known)?) == (*sign == "=="))),
        }
    }

    /// Is it true?
    pub fn holds(&self, known: &dyn Fn(&[String]) -> Option<Outcome>) -> Result<bool, String> {
        match self.value(known)? {
            Outcome::Truth(truth) => Ok(truth),
            Outcome::Text(text) => Err(format!("outside of the model: the text `{text}` where a truth is wanted")),
        }
    }
}

#[test]
fn what_the_manifests_may_say_is_understood() {
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
    ] {
        assert_eq!(parse(text).and_then(|parsed| parsed.holds(&known)), Ok(expected), "{text}");
    }
}

#[test]
fn what_they_may_not_say_is_refused() {
    let known = |_: &[String]| None;
    for text in [
        "a-b == 'x'",
        "a ?? 'x'",
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

//! A template as a tree, with the place of each part in the text.

use std::ops::Range;

/// One text that parsed.
#[derive(Clone, Debug, Default)]
pub struct Template {
    /// What the file itself renders.
    pub body: Vec<Node>,
    /// The templates that the text defines by `define` and `block`, in the order of their ends.
    pub definitions: Vec<Definition>,
}

/// A template that is defined by `define` or `block`.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Name that `template` and `include` use it by.
    pub name: String,
    /// Bytes of the name in the text, with quotes.
    pub span: Range<usize>,
    /// What it renders.
    pub body: Vec<Node>,
}

/// A piece of text or an action.
#[derive(Clone, Debug)]
pub enum Node {
    /// Text outside of actions, after trimming: its bytes.
    Text(Range<usize>),
    /// `{{ pipeline }}`
    Action(Pipeline),
    /// `{{ if }}`
    If(Branch),
    /// `{{ with }}`
    With(Branch),
    /// `{{ range }}`
    Range(Branch),
    /// `{{ template "name" pipeline }}`, and the use of a `block`.
    Template {
        /// Name of the template that is rendered.
        name: String,
        /// Bytes of the name in the text, with quotes.
        span: Range<usize>,
        /// The value that becomes the dot; nil when absent.
        argument: Option<Pipeline>,
    },
    /// `{{ break }}` or `{{ continue }}`
    Jump,
}

/// A block with one `end`: the first arm whose value is not empty is rendered.
#[derive(Clone, Debug)]
pub struct Branch {
    /// At least one; more are those of `else if` and `else with`. `range` has one.
    pub arms: Vec<Arm>,
    /// What is rendered when all values are empty.
    pub otherwise: Vec<Node>,
}

/// A condition with what is rendered when it holds.
#[derive(Clone, Debug)]
pub struct Arm {
    /// The condition, or the value that `with` and `range` go into.
    pub pipeline: Pipeline,
    /// What is rendered when the value is not empty.
    pub body: Vec<Node>,
}

/// Commands joined by `|`, and the variables that take the result.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Variables that are declared or assigned to, with their `$`.
    pub variables: Vec<String>,
    /// Is it `=`, not `:=`?
    pub assigns: bool,
    /// At least one; the value of each is the last argument of the next.
    pub commands: Vec<Command>,
    /// Bytes of the text.
    pub span: Range<usize>,
}

/// A value, or a function with its arguments.
#[derive(Clone, Debug)]
pub struct Command {
    /// At least one.
    pub operands: Vec<Operand>,
}

/// A term with the fields that are read from it.
#[derive(Clone, Debug)]
pub struct Operand {
    /// What the fields are read from.
    pub term: Term,
    /// Names without dots: of `.Values.image`, both.
    pub fields: Vec<String>,
    /// Bytes of the text.
    pub span: Range<usize>,
}

/// A part of an expression that holds no spaces outside of parentheses.
#[derive(Clone, Debug)]
pub enum Term {
    /// `.`, and the start of `.field`.
    Dot,
    /// `nil`
    Nil,
    /// `true` or `false`
    Bool(bool),
    /// A number or character.
    Number,
    /// A text, unquoted.
    Text(String),
    /// A variable with its `$`; `$` alone is what the template was given.
    Variable(String),
    /// The name of a function.
    Function(String),
    /// `( pipeline )`
    Parenthesised(Box<Pipeline>),
}

//! The tree of a template, with the place of each part in the text.

use std::ops::Range;

/// The result of parsing one file.
#[derive(Clone, Debug, Default)]
pub struct Template {
    /// The nodes that the file itself renders.
    pub body: Vec<Node>,
    /// The templates that the file defines with `define` and `block`, in the order of their ends.
    pub definitions: Vec<Definition>,
}

/// A template that `define` or `block` defines.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Name under which `template` and `include` use it.
    pub name: String,
    /// Bytes of the name in the text, including the quotes.
    pub span: Range<usize>,
    /// The nodes that the template renders.
    pub body: Vec<Node>,
}

/// A piece of text, or an action.
#[derive(Clone, Debug)]
pub enum Node {
    /// Text outside of actions, after trimming, as a byte range.
    Text(Range<usize>),
    /// `{{ pipeline }}`, an action that prints a value or sets a variable.
    Action(Pipeline),
    /// `{{ if }}` with its arms.
    If(Branch),
    /// `{{ with }}` with its arms.
    With(Branch),
    /// `{{ range }}` with its body.
    Range(Branch),
    /// `{{ template "name" pipeline }}`, or the use of a `block`.
    Template {
        /// Name of the template that is rendered.
        name: String,
        /// Bytes of the name in the text, including the quotes.
        span: Range<usize>,
        /// The value that becomes the dot; `None` means nil.
        argument: Option<Pipeline>,
    },
    /// `{{ break }}` or `{{ continue }}`, which leave or repeat a range.
    Jump,
}

/// A block that ends with one `end`. The first arm whose value is not empty is rendered.
#[derive(Clone, Debug)]
pub struct Branch {
    /// The arms of the block: one, plus one for each `else if` and `else with`. `range` has exactly one.
    pub arms: Vec<Arm>,
    /// The nodes that are rendered if all values are empty.
    pub otherwise: Vec<Node>,
}

/// A condition and the nodes that are rendered if the condition is true.
#[derive(Clone, Debug)]
pub struct Arm {
    /// The condition, or the value for `with` and `range`.
    pub pipeline: Pipeline,
    /// The nodes that are rendered if the value is not empty.
    pub body: Vec<Node>,
}

/// Commands that are joined by `|`, and the variables that get the result.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Variables that are declared or assigned, with their `$`.
    pub variables: Vec<String>,
    /// Whether the sign is `=` instead of `:=`.
    pub assigns: bool,
    /// At least one command. The value of each command is the last argument of the next one.
    pub commands: Vec<Command>,
    /// Bytes of the pipeline in the text.
    pub span: Range<usize>,
}

/// A value, or a function with its arguments.
#[derive(Clone, Debug)]
pub struct Command {
    /// At least one operand. The first one is the value or the function.
    pub operands: Vec<Operand>,
}

/// A term with the fields that are read from it.
#[derive(Clone, Debug)]
pub struct Operand {
    /// The term from which the fields are read.
    pub term: Term,
    /// Names of the fields without dots, for example `Values` and `image` in `.Values.image`.
    pub fields: Vec<String>,
    /// Bytes of the operand in the text.
    pub span: Range<usize>,
}

/// A part of an expression without spaces outside of parentheses.
#[derive(Clone, Debug)]
pub enum Term {
    /// The dot `.`, which also starts `.field`.
    Dot,
    /// The keyword `nil`, without a value.
    Nil,
    /// The constant `true` or `false`.
    Bool(bool),
    /// A numeric or character constant.
    Number,
    /// A string constant, with escapes resolved.
    Text(String),
    /// A variable with its `$`. `$` alone is the argument of the template.
    Variable(String),
    /// The name of a function.
    Function(String),
    /// A pipeline in parentheses: `( pipeline )`.
    Parenthesised(Box<Pipeline>),
}

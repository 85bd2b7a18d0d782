//! Go's `text/template` as Helm uses it: whether a template parses, with the same verdict as Go, and its tree. Helm refuses a
//! chart as soon as one of its templates does not parse, whether it is rendered or not.

mod expression;
mod functions;
mod literal;
mod parse;
mod token;
mod tree;
mod uses;
mod visit;

pub use functions::{Known, functions, known};
pub use parse::{Error, parse};
pub use tree::{Arm, Branch, Command, Definition, Node, Operand, Pipeline, Template, Term};
pub(crate) use uses::of as uses_of;
pub use uses::{Name, Use};
pub use visit::operands;

/// The deepest nesting of blocks and parentheses that is read. Go has a limit of 10,000 for parentheses and none for blocks.
pub const DEPTH_LIMIT: usize = 100;

#[cfg(test)]
mod parse_tests;

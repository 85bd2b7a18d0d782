//! Go's `text/template` as Helm uses it: accepts and refuses the same templates as Go, and returns the tree of a template. Helm refuses a
//! chart if any of its templates cannot be parsed, even one that is not rendered.

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

/// Limit of the nesting of blocks and parentheses. Go allows 10,000 levels of parentheses and any number of blocks.
pub const DEPTH_LIMIT: usize = 100;

#[cfg(test)]
mod parse_tests;
